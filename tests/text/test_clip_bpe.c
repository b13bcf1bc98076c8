// The tokenizer on the shared vocabulary and vectors, and its own promises: padding, what was cut,
// zero bytes, ill-formed UTF-8, long words, memory that runs out.
#define _DEFAULT_SOURCE
#include "harness.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "text/clip_bpe.h"

enum { N_IDS = 77 };

static const char *shared(const char *relative)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/../../shared/data/%s", BDPO_TESTS_DIR, relative);
    return path;
}

static void need_shared(void)
{
    if (access(shared("tokenizers/clip_vocab.json"), R_OK) != 0)
        SKIP("../shared/data/tokenizers is absent: no real vocabulary to test on");
}

// A folder in /tmp with the shared vocabulary under the names of a model directory, and a map of
// special tokens where `pad` is not NULL. Static; removed by drop_folder().
static char folder[64];
static void in_folder(char out[4096], const char *name)
{
    snprintf(out, 4096, "%s/%s", folder, name);
}

static void make_folder(const char *pad)
{
    char path[4096], target[4096];
    snprintf(folder, sizeof folder, "/tmp/bdpo-test-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    in_folder(path, "vocab.json");
    CHECK(realpath(shared("tokenizers/clip_vocab.json"), target) && symlink(target, path) == 0);
    in_folder(path, "merges.txt");
    CHECK(realpath(shared("tokenizers/clip_merges.txt"), target) && symlink(target, path) == 0);
    if (!pad) return;
    in_folder(path, "special_tokens_map.json");
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fprintf(file, "{\"pad_token\": \"%s\"}", pad);
    fclose(file);
}

static void drop_folder(void)
{
    static const char *const names[] = {"vocab.json", "merges.txt", "special_tokens_map.json"};
    char path[4096];
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        in_folder(path, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static bdpo_clip_bpe *open_real(bdpo_clip_pipeline pipeline, const char *pad)
{
    bdpo_clip_bpe *bpe;
    make_folder(pad);
    CHECK_OK(bdpo_clip_bpe_open(&bpe, folder, &(bdpo_clip_bpe_options){.pipeline = pipeline}));
    drop_folder();
    return bpe;
}

static bdpo_clip_bpe *open_small(bdpo_clip_pipeline pipeline)
{
    bdpo_clip_bpe *bpe;
    CHECK_OK(bdpo_clip_bpe_open(&bpe, test_path("text/small"),
                                &(bdpo_clip_bpe_options){.pipeline = pipeline}));
    return bpe;
}

// ---- vectors -------------------------------------------------------------------------------

static const struct {
    const char *name;
    bdpo_clip_pipeline pipeline;
    const char *pad; // of the map of special tokens
} tokenizers[] = {
    {"openai", BDPO_CLIP_OPENAI, NULL},       {"hpsv2", BDPO_CLIP_OPEN_CLIP, NULL},
    {"open_clip", BDPO_CLIP_OPEN_CLIP, NULL}, {"hf_slow_ftfy", BDPO_CLIP_SLOW_FTFY, NULL},
    {"hf_slow_noftfy", BDPO_CLIP_SLOW, NULL}, {"hf_slow_ftfy_padbang", BDPO_CLIP_SLOW_FTFY, "!"},
    {"hf_fast", BDPO_CLIP_FAST, NULL},
};

static int check_vector(const bdpo_clip_bpe *bpe, const char *tokenizer, const json_t *vector)
{
    const json_t *text = json_object_get(vector, "text");
    const json_t *expected = json_object_get(json_object_get(vector, "ids"), tokenizer);
    int32_t *ids;
    size_t n;
    CHECK(json_is_string(text) && json_is_array(expected));
    CHECK_OK(
        bdpo_clip_bpe_tokens(bpe, &ids, &n, json_string_value(text), json_string_length(text)));
    bool same = n == json_array_size(expected);
    for (size_t i = 0; same && i < n; i++)
        same = ids[i] == json_integer_value(json_array_get(expected, i));
    if (!same)
        printf("        %s: vector %s differs\n", tokenizer,
               json_string_value(json_object_get(vector, "name")));
    bdpo_free(ids);
    return !same;
}

BDPO_TEST(vectors_of_seven_tokenizers)
{
    need_shared();
    int n_vectors = 0, n_wrong = 0;
    for (size_t i = 0; i < BDPO_COUNTOF(tokenizers); i++) {
        bdpo_clip_bpe *bpe = open_real(tokenizers[i].pipeline, tokenizers[i].pad);
        FILE *file = fopen(shared("tokenizers/clip_tokenizer_vectors.jsonl"), "r");
        CHECK(file != NULL);
        json_t *vector;
        while ((vector = json_loadf(file, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL))) {
            n_wrong += check_vector(bpe, tokenizers[i].name, vector);
            n_vectors++;
            json_decref(vector);
        }
        fclose(file);
        bdpo_clip_bpe_free(bpe);
    }
    CHECK_INT(n_vectors, 7 * 39);
    CHECK_INT(n_wrong, 0);
}

// ---- whole prompt files --------------------------------------------------------------------

typedef struct digester {
    const bdpo_clip_bpe *bpe;
    EVP_MD_CTX *context;
    int n;
} digester;

static void add_prompt(digester *d, const char *text, size_t size)
{
    int32_t ids[N_IDS];
    CHECK_OK(bdpo_clip_bpe_encode(d->bpe, ids, N_IDS, NULL, text, size));
    CHECK(EVP_DigestUpdate(d->context, ids, sizeof ids));
    d->n++;
}

static void add_json(digester *d, const char *path)
{
    json_t *list = json_load_file(path, 0, NULL), *prompt;
    size_t i;
    CHECK(json_is_array(list));
    json_array_foreach(list, i, prompt)
    {
        add_prompt(d, json_string_value(prompt), json_string_length(prompt));
    }
    json_decref(list);
}

// Lines; of a table the first column without its head.
static void add_lines(digester *d, const char *path, bool table)
{
    static char line[65536];
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    for (int n = 0; fgets(line, sizeof line, file); n++)
        if (!table || n > 0) add_prompt(d, line, strcspn(line, table ? "\t\n" : "\n"));
    fclose(file);
}

static void check_set(const char *name, const json_t *set, const char *tokenizer,
                      const bdpo_clip_bpe *bpe)
{
    digester d = {.bpe = bpe, .context = EVP_MD_CTX_new()};
    unsigned char digest[32];
    char hex[65], relative[256];
    CHECK(d.context && EVP_DigestInit_ex(d.context, EVP_sha256(), NULL));
    snprintf(relative, sizeof relative, "prompts/%s", name);
    if (strstr(name, ".json"))
        add_json(&d, shared(relative));
    else
        add_lines(&d, shared(relative), strstr(name, ".tsv") != NULL);
    CHECK(EVP_DigestFinal_ex(d.context, digest, NULL));
    EVP_MD_CTX_free(d.context);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    CHECK_INT(d.n, json_integer_value(json_object_get(set, "prompts")));
    const char *expected =
        json_string_value(json_object_get(json_object_get(set, "sha256"), tokenizer));
    if (!expected || strcmp(hex, expected) != 0)
        FAIL("%s, %s: digest %s, expected %s", name, tokenizer, hex, expected ? expected : "one");
}

BDPO_TEST_FULL(prompt_files_have_their_digests)
{
    need_shared();
    json_t *root = json_load_file(shared("tokenizers/clip_prompt_digests.json"), 0, NULL), *set;
    CHECK(root != NULL);
    for (size_t i = 0; i < BDPO_COUNTOF(tokenizers); i++) {
        const char *name;
        bdpo_clip_bpe *bpe = open_real(tokenizers[i].pipeline, tokenizers[i].pad);
        json_object_foreach(json_object_get(root, "sets"), name, set)
        {
            check_set(name, set, tokenizers[i].name, bpe);
        }
        bdpo_clip_bpe_free(bpe);
    }
    json_decref(root);
}

BDPO_TEST(packed_file_is_the_same_vocabulary)
{
    need_shared();
    static const char text[] =
        "A caf\xc3\xa9, !! in 2023: \xf0\x9f\x98\x80 they'll say <|endoftext|>";
    for (int p = 0; p < BDPO_CLIP_N_PIPELINES; p++) {
        bdpo_clip_bpe *folder_bpe = open_real((bdpo_clip_pipeline)p, NULL), *packed;
        bdpo_clip_bpe_options options = {.pipeline = (bdpo_clip_pipeline)p};
        int32_t a[N_IDS], b[N_IDS];
        CHECK_OK(bdpo_clip_bpe_open_packed(
            &packed, shared("tokenizers/bpe_simple_vocab_16e6.txt.gz"), &options));
        CHECK_INT(bdpo_clip_bpe_get_info(packed).n_ids, 49408);
        CHECK_OK(bdpo_clip_bpe_encode(folder_bpe, a, N_IDS, NULL, text, sizeof text - 1));
        CHECK_OK(bdpo_clip_bpe_encode(packed, b, N_IDS, NULL, text, sizeof text - 1));
        CHECK_BYTES(a, b, sizeof a);
        bdpo_clip_bpe_free(folder_bpe);
        bdpo_clip_bpe_free(packed);
    }
}

BDPO_TEST(pad_ids_of_the_models)
{
    need_shared();
    static const char *const pads[] = {NULL, "<|endoftext|>", "!"};
    static const int32_t expected[] = {49407, 49407, 0};
    for (size_t i = 0; i < BDPO_COUNTOF(pads); i++) {
        bdpo_clip_bpe *bpe = open_real(BDPO_CLIP_FAST, pads[i]);
        bdpo_clip_bpe_info info = bdpo_clip_bpe_get_info(bpe);
        CHECK_INT(info.begin, 49406);
        CHECK_INT(info.end, 49407);
        CHECK_INT(info.pad, expected[i]);
        CHECK_INT(info.n_ids, 49408);
        CHECK_INT(info.max_length, 77);
        bdpo_clip_bpe_free(bpe);
    }
    bdpo_clip_bpe *bpe = open_real(BDPO_CLIP_OPEN_CLIP, "<|endoftext|>");
    CHECK_INT(bdpo_clip_bpe_get_info(bpe).pad, 0);
    bdpo_clip_bpe_free(bpe);
}

BDPO_TEST(pad_token_in_a_prompt_can_be_left_alone)
{
    need_shared();
    static const int32_t split[] = {0, 0, 0}, plain[] = {995};
    for (int plain_pad = 0; plain_pad < 2; plain_pad++) {
        bdpo_clip_bpe *bpe;
        int32_t *ids;
        size_t n;
        make_folder("!");
        CHECK_OK(
            bdpo_clip_bpe_open(&bpe, folder, &(bdpo_clip_bpe_options){.plain_pad = plain_pad}));
        drop_folder();
        CHECK_OK(bdpo_clip_bpe_tokens(bpe, &ids, &n, "!!!", 3));
        CHECK_U64(n, plain_pad ? 1 : 3);
        CHECK_BYTES(ids, plain_pad ? plain : split, n * sizeof *ids);
        bdpo_free(ids);
        bdpo_clip_bpe_free(bpe);
    }
}

// ---- the small vocabulary ------------------------------------------------------------------

BDPO_TEST(long_prompts_are_cut_and_told)
{
    bdpo_clip_bpe *bpe = open_small(BDPO_CLIP_FAST);
    bdpo_clip_bpe_info info = bdpo_clip_bpe_get_info(bpe);
    static const char text[] = "1 2 3 4 5 SIX caf\xc3\xa9";
    int32_t ids[7], all[32];
    bdpo_clip_cut cut;
    CHECK_OK(bdpo_clip_bpe_encode(bpe, all, 32, &cut, text, sizeof text - 1));
    CHECK_U64(cut.n_tokens, 0);
    CHECK(cut.text == NULL);
    CHECK_OK(bdpo_clip_bpe_encode(bpe, ids, 7, &cut, text, sizeof text - 1));
    CHECK_INT(ids[0], info.begin);
    CHECK_BYTES(ids + 1, all + 1, 5 * sizeof *ids);
    CHECK_INT(ids[6], info.end);
    CHECK(cut.n_tokens >= 2);
    CHECK_STR(cut.text, "six caf\xc3\xa9");
    bdpo_clip_cut_release(&cut);
    CHECK_OK(bdpo_clip_bpe_encode(bpe, ids, 2, &cut, "a", 1));
    CHECK_INT(ids[0], info.begin);
    CHECK_INT(ids[1], info.end);
    CHECK_STR(cut.text, "a");
    bdpo_clip_cut_release(&cut);
    CHECK_OK(bdpo_clip_bpe_encode(bpe, ids, 7, NULL, NULL, 0));
    for (int i = 2; i < 7; i++) CHECK_INT(ids[i], info.pad);
    bdpo_clip_bpe_free(bpe);
}

BDPO_TEST(zero_bytes_and_ill_formed_utf8_are_text)
{
    static const struct {
        const char *text;
        size_t size;
        const char *as; // the text that it counts as
    } rows[] = {
        {"\xff", 1, "\xef\xbf\xbd"},
        {"a\xc3", 2, "a\xef\xbf\xbd"},
        {"\xe2\x82z", 3, "\xef\xbf\xbdz"},                           // one for a part begun
        {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, // a surrogate: none was begun
        {"\xf0\x9f\x98", 3, "\xef\xbf\xbd"},
        {"\xc0\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
    };
    bdpo_clip_bpe *bpe = open_small(BDPO_CLIP_FAST);
    int32_t a[N_IDS], b[N_IDS];
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        CHECK_OK(bdpo_clip_bpe_encode(bpe, a, N_IDS, NULL, rows[i].text, rows[i].size));
        CHECK_OK(bdpo_clip_bpe_encode(bpe, b, N_IDS, NULL, rows[i].as, strlen(rows[i].as)));
        CHECK_BYTES(a, b, sizeof a);
    }
    int32_t *ids;
    size_t n;
    CHECK_OK(bdpo_clip_bpe_tokens(bpe, &ids, &n, "a\0b", 3)); // a, zero, b: zero is punctuation
    CHECK_U64(n, 3);
    bdpo_free(ids);
    bdpo_clip_bpe_free(bpe);
}

BDPO_TEST(word_of_a_megabyte_does_not_hang)
{
    enum { SIZE = 1 << 20 };
    char *text = bdpo_alloc(SIZE, 1);
    bdpo_clip_bpe *bpe = open_small(BDPO_CLIP_OPENAI);
    int32_t *ids;
    size_t n;
    CHECK(text != NULL);
    for (size_t i = 0; i < SIZE; i++) text[i] = "then"[i % 4];
    CHECK_OK(bdpo_clip_bpe_tokens(bpe, &ids, &n, text, SIZE));
    CHECK(n >= SIZE / 64 && n < SIZE);
    bdpo_free(ids);
    bdpo_free(text);
    bdpo_clip_bpe_free(bpe);
}

BDPO_TEST(pipelines_have_names)
{
    bdpo_clip_pipeline pipeline;
    for (int i = 0; i < BDPO_CLIP_N_PIPELINES; i++) {
        CHECK_OK(
            bdpo_clip_pipeline_parse(&pipeline, bdpo_clip_pipeline_name((bdpo_clip_pipeline)i)));
        CHECK_INT(pipeline, i);
    }
    CHECK_STATUS(bdpo_clip_pipeline_parse(&pipeline, "quick"), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "slow-ftfy");
}

// Every allocation in turn fails once, in loading and in a call that takes all paths.
BDPO_TEST(memory_that_runs_out_is_told)
{
    static const char text[] =
        "A \xc3\x83\xc2\xa9 &amp;amp; caf\x65\xcc\x81 <|endoftext|> \xc4\xb0";
    char path[1024];
    int n_failures = 0;
    snprintf(path, sizeof path, "%s", test_path("text/small"));
    bdpo_clip_bpe_options options = {.pipeline = BDPO_CLIP_OPENAI};
    for (uint64_t k = 1;; k++) {
        bdpo_clip_bpe *bpe = NULL;
        bdpo_clip_cut cut = {0};
        int32_t ids[4];
        bdpo_alloc_fail_at(bdpo_alloc_count() + k);
        bdpo_status status = bdpo_clip_bpe_open(&bpe, path, &options);
        if (status == BDPO_OK)
            status = bdpo_clip_bpe_encode(bpe, ids, 4, &cut, text, sizeof text - 1);
        bdpo_alloc_fail_at(0);
        bdpo_clip_cut_release(&cut);
        bdpo_clip_bpe_free(bpe);
        if (status == BDPO_OK) break;
        CHECK_STATUS(status, BDPO_NO_MEMORY);
        n_failures++;
    }
    CHECK(n_failures > 20);
}
