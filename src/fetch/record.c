// Records as JSON: {"sha256": "...", "size": 1, "address": "...", ...}.
#include "fetch/record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "formats/charset.h"
#include "formats/json.h"
#include "formats/json_write.h"

bool bdpo_fetch_sha256_parse(bdpo_sha256_text *out, const char *text)
{
    if (strlen(text) != 2 * BDPO_SHA256_BYTES) return false;
    for (size_t i = 0; i < 2 * BDPO_SHA256_BYTES; i++) {
        char c = text[i];
        if (c >= 'A' && c <= 'F') c = (char)(c - 'A' + 'a');
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
        out->hex[i] = c;
    }
    out->hex[2 * BDPO_SHA256_BYTES] = '\0';
    return true;
}

bdpo_status bdpo_fetch_make_parents(const char *path)
{
    char directory[BDPO_PATH_BYTES];
    TRY(bdpo_file_join(directory, "", path));
    for (char *slash = strchr(directory + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(directory, 0777) != 0 && errno != EEXIST && !bdpo_file_is_directory(directory)) {
            char reason[128];
            if (strerror_r(errno, reason, sizeof reason) != 0) reason[0] = '\0';
            return bdpo_fail(BDPO_IO, "%s: cannot make the directory: %s", directory, reason);
        }
        *slash = '/';
    }
    return BDPO_OK;
}

static bdpo_status copy_field(char *out, size_t size, const bdpo_json *object, const char *field)
{
    const char *text;
    TRY(bdpo_json_string_or(&text, object, field, ""));
    if (strlen(text) >= size)
        return bdpo_fail(BDPO_BAD_FILE, "%s: \"%s\" is longer than %zu bytes", object->file, field,
                         size - 1);
    memcpy(out, text, strlen(text) + 1);
    return BDPO_OK;
}

static bdpo_status read_fields(bdpo_fetch_record *out, const bdpo_json *root)
{
    const char *sha256;
    double size;
    TRY(bdpo_json_string(&sha256, root, "sha256"));
    if (!bdpo_fetch_sha256_parse(&out->sha256, sha256))
        return bdpo_fail(BDPO_BAD_FILE, "%s: \"sha256\" should be 64 hexadecimal digits",
                         root->file);
    TRY(bdpo_json_double(&size, root, "size", 0, 9e15)); // exact below 2^53
    out->size = (int64_t)size;
    TRY(copy_field(out->address, sizeof out->address, root, "address"));
    TRY(copy_field(out->etag, sizeof out->etag, root, "etag"));
    TRY(copy_field(out->commit, sizeof out->commit, root, "commit"));
    return copy_field(out->proof, sizeof out->proof, root, "proof");
}

bdpo_status bdpo_fetch_record_read(bdpo_fetch_record *out, const char *path)
{
    bdpo_json_document *document;
    TRY(bdpo_json_open(&document, path));
    bdpo_json root = bdpo_json_root(document);
    *out = (bdpo_fetch_record){0};
    bdpo_status status = read_fields(out, &root);
    bdpo_json_free(document);
    return status;
}

static void put_field(bdpo_json_text *json, const char *field, const char *text)
{
    bdpo_json_put(json, ",\n  \"%s\": ", field);
    bdpo_json_put_string(json, bdpo_text_is_utf8(text) ? text : "");
}

bdpo_status bdpo_fetch_record_write(const bdpo_fetch_record *record, const char *path)
{
    bdpo_json_text json = {0};
    bdpo_json_put(&json, "{\n  \"sha256\": \"%s\",\n  \"size\": %" PRId64, record->sha256.hex,
                  record->size);
    put_field(&json, "address", record->address);
    put_field(&json, "etag", record->etag);
    put_field(&json, "commit", record->commit);
    put_field(&json, "proof", record->proof);
    bdpo_json_put(&json, "\n}\n");
    bdpo_status status = json.failed ? bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path)
                                     : bdpo_fetch_make_parents(path);
    if (status == BDPO_OK) status = bdpo_file_write(path, json.text, json.size);
    bdpo_json_text_clear(&json);
    return status;
}
