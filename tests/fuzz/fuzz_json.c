// Forged configurations: refused in one line, or every getter answers.
#include "formats/json.h"

#include "fuzz/fuzz_bytes.h"
#include "harness.h"

static bdpo_status read_all(const bdpo_json *root)
{
    static const char *const words[] = {"silu", "gelu"};
    int i, n, values[4];
    double x;
    bool b;
    const char *text;
    bdpo_json inner;
    if (bdpo_json_has(root, "scheduler")) TRY(bdpo_json_object(&inner, root, "scheduler"));
    for (const char *key = NULL; (key = bdpo_json_next_key(root, key));) {
        // Any getter on any field: a refusal must be a sentence, whatever is there.
        bdpo_status statuses[] = {
            bdpo_json_int(&i, root, key, 0, 100),
            bdpo_json_double(&x, root, key, 0, 1),
            bdpo_json_bool(&b, root, key),
            bdpo_json_string(&text, root, key),
            bdpo_json_word(&i, root, key, words, 2),
            bdpo_json_ints(values, &n, 4, root, key, 0, 100),
            bdpo_json_int_or_ints(values, 4, root, key, 0, 100),
            bdpo_json_words(values, &n, 4, root, key, words, 2),
            bdpo_json_array(&inner, root, key),
        };
        for (size_t k = 0; k < BDPO_COUNTOF(statuses); k++)
            CHECK(statuses[k] == BDPO_OK || statuses[k] == BDPO_BAD_FILE);
    }
    return bdpo_json_int(&i, root, "in_channels", 1, 64);
}

static bdpo_status read(const char *path)
{
    bdpo_json_document *document;
    TRY(bdpo_json_open(&document, path));
    bdpo_json root = bdpo_json_root(document);
    bdpo_status status = read_all(&root);
    bdpo_json_free(document);
    return status;
}

static const fuzz_target target = {
    .folder = "json",
    .more = "golden-bad",
    .prefix = "config_",
    .file_name = "x.json",
    .read = read,
};
static const fuzz_target indices = {
    .folder = "json",
    .more = "golden-bad",
    .prefix = "index_",
    .file_name = "x.safetensors.index.json",
    .read = fuzz_read_tensors,
};

BDPO_TEST(corpus)
{
    fuzz_replay(&target);
}

BDPO_TEST(mutants)
{
    fuzz_mutants(&target, 500);
    fuzz_mutants(&indices, 100);
}

BDPO_TEST_LONG(mutants_for_long)
{
    fuzz_long(&target);
}

BDPO_TEST_LONG(mutants_of_indices_for_long)
{
    fuzz_long(&indices);
}
