// tests/golden-bad: every malformed file is refused in one line that names file and fault. The
// files and the manifest are written by tools/parity/golden_bad.py.
#include <dirent.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"
#include "formats/tensor_file.h"
#include "harness.h"

// A configuration as a model reads it.
static bdpo_status read_fields(const bdpo_json *root)
{
    static const char *const functions[] = {"silu", "gelu"};
    int i, n, channels[4];
    double x;
    bool b;
    // Optional first, so that a file with one field reaches it.
    TRY(bdpo_json_double_or(&x, root, "norm_eps", 1e-5, 0, 1));
    TRY(bdpo_json_int(&i, root, "in_channels", 1, 64));
    TRY(bdpo_json_ints(channels, &n, 4, root, "block_out_channels", 8, 4096));
    TRY(bdpo_json_int_or_ints(channels, n, root, "attention_head_dim", 1, 1024));
    TRY(bdpo_json_bool(&b, root, "use_linear_projection"));
    return bdpo_json_word(&i, root, "act_fn", functions, 2);
}

static bdpo_status read_config(const char *path)
{
    bdpo_json_document *document;
    TRY(bdpo_json_open(&document, path));
    bdpo_json root = bdpo_json_root(document);
    bdpo_status status = read_fields(&root);
    bdpo_json_free(document);
    return status;
}

static bdpo_status read_tensors(const char *path)
{
    bdpo_tensor_file *file;
    TRY(bdpo_tensor_file_open(&file, path));
    bdpo_tensor_file_close(file);
    return BDPO_OK;
}

// True where the file is refused, or read, as the manifest says; else prints what is wrong.
static bool refused(const char *kind, const char *name, const char *part)
{
    char relative[256];
    snprintf(relative, sizeof relative, "golden-bad/%s", name);
    const char *path = test_path(relative);
    if (strcmp(kind, "good") == 0) CHECK_OK(read_tensors(path));
    if (strcmp(kind, "good") == 0) return true;
    bdpo_status status = strcmp(kind, "config") == 0 ? read_config(path) : read_tensors(path);
    const char *message = status == BDPO_OK ? "not refused" : bdpo_message();
    bool one_line = strpbrk(message, "\n\r\t\033") == NULL;
    if (status == BDPO_BAD_FILE && strstr(message, part) && strstr(message, "golden-bad/") &&
        one_line)
        return true;
    printf("        %s: expected \"%s\" in: %s\n", name, part, message);
    return false;
}

BDPO_TEST(golden_bad_files_are_refused_in_one_line)
{
    char *text, *state = NULL;
    size_t size;
    int n = 0, n_wrong = 0, n_files = 0;
    CHECK_OK(bdpo_file_read(&text, &size, test_path("golden-bad/MANIFEST.tsv"), 1 << 20));
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        char *name = strchr(line, '\t');
        if (line[0] == '#' || !name) continue;
        *name++ = '\0';
        char *part = strchr(name, '\t');
        CHECK(part != NULL);
        *part++ = '\0';
        n_wrong += !refused(line, name, part);
        n++;
    }
    bdpo_free(text);
    CHECK_INT(n_wrong, 0);
    DIR *dir = opendir(test_path("golden-bad"));
    CHECK(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir));)
        n_files += strchr(entry->d_name, '.') > entry->d_name; // no folder
    closedir(dir);
    CHECK_INT(n_files, n + 1); // and the manifest
}
