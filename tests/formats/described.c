// Descriptions: one line per tensor, per conversion to f32, per value.
#include "formats/described.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "harness.h"

uint64_t fnv1a(const void *bytes, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

static void check_tensor(const bdpo_stored_tensor *t, const char *rest)
{
    char dtype[16], shape[128], actual[128] = "-";
    unsigned long long hash;
    CHECK_INT(sscanf(rest, "%15s %127s %llx", dtype, shape, &hash), 3);
    CHECK_STR(bdpo_stored_dtype_name(t->dtype), dtype);
    for (int d = 0, used = 0; d < t->n_dims; d++)
        used += snprintf(actual + used, sizeof actual - (size_t)used, "%s%lld", d ? "," : "",
                         (long long)t->dim[d]);
    CHECK_STR(actual, shape);
    if (!bdpo_stored_dtype_usable(t->dtype)) {
        CHECK_STATUS(bdpo_stored_tensor_read(t, NULL, t->size_bytes), BDPO_UNSUPPORTED);
        CHECK_CONTAINS(bdpo_message(), dtype);
        CHECK_STATUS(bdpo_stored_tensor_read_f32(t, NULL, t->count), BDPO_UNSUPPORTED);
        return;
    }
    void *bytes = bdpo_alloc(t->size_bytes + 1, 1);
    CHECK_OK(bdpo_stored_tensor_read(t, bytes, t->size_bytes));
    CHECK_U64(fnv1a(bytes, t->size_bytes), hash);
    bdpo_free(bytes);
}

static void check_f32(const bdpo_stored_tensor *t, const char *rest)
{
    unsigned long long hash;
    CHECK_INT(sscanf(rest, "%llx", &hash), 1);
    float *values = bdpo_alloc(t->count + 1, sizeof *values);
    CHECK_OK(bdpo_stored_tensor_read_f32(t, values, t->count));
    CHECK_U64(fnv1a(values, t->count * sizeof *values), hash);
    bdpo_free(values);
}

static void check_value(const bdpo_file_value *v, const char *rest)
{
    char kind[16];
    int at;
    CHECK_INT(sscanf(rest, "%15s %n", kind, &at), 1);
    json_t *expected = json_loads(rest + at, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    CHECK(expected != NULL);
    if (strcmp(kind, "str") == 0) {
        CHECK_INT(v->kind, BDPO_FILE_TEXT);
        CHECK_STR(v->text, json_string_value(expected));
        CHECK_U64(v->length, json_string_length(expected));
    } else if (strcmp(kind, "float") == 0) {
        CHECK_INT(v->kind, BDPO_FILE_FLOAT);
        CHECK_NEAR(v->number, json_real_value(expected), 0); // the same double
    } else if (strcmp(kind, "int") == 0) {
        CHECK_INT(v->kind, BDPO_FILE_INT);
        CHECK_INT(v->integer, json_integer_value(expected));
    } else {
        CHECK_STR(kind, "bool");
        CHECK_INT(v->kind, BDPO_FILE_BOOL);
        CHECK_INT(v->integer, json_is_true(expected));
    }
    json_decref(expected);
}

// A line: what, a name as a JSON string, the rest. Returns what it was.
static char check_line(const bdpo_tensor_file *file, char *line)
{
    json_error_t error;
    char *quoted = strchr(line, ' ') + 1;
    json_t *name = json_loads(quoted, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
    CHECK(name != NULL);
    const char *text = json_string_value(name), *rest = quoted + error.position;
    const bdpo_stored_tensor *t = bdpo_tensor_file_find(file, text);
    const bdpo_file_value *v = bdpo_tensor_file_value(file, text);
    if (line[0] == 'v' ? !v : !t) FAIL("no %s", line);
    switch (line[0]) {
    case 't':
        check_tensor(t, rest);
        break;
    case 'f':
        check_f32(t, rest);
        break;
    default:
        check_value(v, rest);
    }
    json_decref(name);
    return line[0];
}

void check_described(const char *name)
{
    char relative[256], path[1024], *text, *state = NULL;
    size_t size, n_tensors = 0, n_values = 0;
    bdpo_tensor_file *file;
    snprintf(relative, sizeof relative, "fixtures/formats/%s", name);
    snprintf(path, sizeof path, "%s", test_path(relative));
    CHECK_OK(bdpo_tensor_file_open(&file, path));
    snprintf(path + strlen(path), 5, ".txt");
    CHECK_OK(bdpo_file_read(&text, &size, path, 1 << 20));
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        char kind = check_line(file, line);
        n_tensors += kind == 't';
        n_values += kind == 'v';
    }
    CHECK(n_tensors + n_values > 0);
    CHECK_U64(bdpo_tensor_file_count(file), n_tensors);
    size_t n_bytes = 0; // of the values, bytes are not described
    for (size_t i = 0; i < bdpo_tensor_file_n_values(file); i++)
        n_bytes += bdpo_tensor_file_value_at(file, i)->kind == BDPO_FILE_BYTES;
    CHECK_U64(bdpo_tensor_file_n_values(file), n_values + n_bytes);
    bdpo_tensor_file_close(file);
    bdpo_free(text);
}
