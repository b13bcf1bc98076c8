// tests/golden-bad/records: in every file one thing is wrong, and a strict reading says it in one
// line. Written by tools/parity/golden_bad_records.py.
#include <dirent.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/prompt_set.h"
#include "data/record_source.h"
#include "harness.h"

static bdpo_status read_records(const char *path)
{
    char images[2048];
    bdpo_record_source *source;
    const bdpo_record *record;
    snprintf(images, sizeof images, "%s/fixtures/records/imagefolder/images", BDPO_TESTS_DIR);
    TRY(bdpo_record_source_open(&source, path,
                                &(bdpo_record_options){.images = images, .strict = true}));
    bdpo_status status;
    do status = bdpo_record_source_next(&record, source);
    while (status == BDPO_OK && record);
    bdpo_record_source_close(source);
    return status;
}

static bdpo_status read_prompts(const char *path)
{
    bdpo_prompt_set *set;
    TRY(bdpo_prompt_set_new(&set));
    bdpo_status status = bdpo_prompt_set_read(set, path, NULL);
    bdpo_prompt_set_free(set);
    return status;
}

static bool refused(const char *kind, const char *name, const char *part)
{
    char path[2048];
    snprintf(path, sizeof path, "%s/golden-bad/records/%s", BDPO_TESTS_DIR, name);
    bdpo_status status = strcmp(kind, "records") == 0 ? read_records(path) : read_prompts(path);
    const char *message = status == BDPO_OK ? "not refused" : bdpo_message();
    bool one_line = strpbrk(message, "\n\r\t\033") == NULL;
    if (status == BDPO_BAD_FILE && strstr(message, part) && strstr(message, name) && one_line)
        return true;
    printf("        %s: expected \"%s\" in: %s\n", name, part, message);
    return false;
}

BDPO_TEST(bad_data_sets_are_refused_in_one_line)
{
    char *text, *state = NULL;
    size_t size;
    int n = 0, n_wrong = 0, n_files = 0;
    CHECK_OK(bdpo_file_read(&text, &size, test_path("golden-bad/records/MANIFEST.tsv"), 1 << 20));
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
    DIR *dir = opendir(test_path("golden-bad/records"));
    CHECK(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir));)
        n_files += strchr(entry->d_name, '.') > entry->d_name;
    closedir(dir);
    CHECK_INT(n_files, n + 1); // and the manifest
}
