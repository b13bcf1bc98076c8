// WordPiece on the shared vocabulary and vectors, on texts made from numbers by their committed
// digests, and its own promises: padding, what was cut, zero bytes, ill-formed UTF-8, long words,
// memory that runs out.
#define _DEFAULT_SOURCE
#include "harness.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "base/memory.h"
#include "text/generated_text.h"
#include "text/wordpiece.h"

enum { N_IDS = 35, PER_DIGEST = 1000 };

static const char *shared(const char *relative)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/../../shared/data/%s", BDPO_TESTS_DIR, relative);
    return path;
}

static bdpo_wordpiece *open_small(const char *path)
{
    bdpo_wordpiece *w = NULL;
    CHECK_OK(bdpo_wordpiece_open(&w, test_path(path), &bdpo_wordpiece_of_blip));
    return w;
}

static bdpo_wordpiece *open_shared(void)
{
    bdpo_wordpiece *w = NULL;
    if (access(shared("tokenizers/bert_base_uncased_vocab.txt"), R_OK) != 0)
        SKIP("../shared/data/tokenizers is absent: no real vocabulary to test on");
    CHECK_OK(bdpo_wordpiece_open(&w, shared("tokenizers/bert_base_uncased_vocab.txt"),
                                 &bdpo_wordpiece_of_blip));
    return w;
}

// ---- the real vocabulary -----------------------------------------------------------------------

static void check_vector(const bdpo_wordpiece *w, const json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    const json_t *text = json_object_get(row, "text"),
                 *expected = json_object_get(row, "input_ids");
    int32_t ids[N_IDS];
    int length;
    size_t n_cut;
    CHECK(name && text && expected);
    CHECK_OK(bdpo_wordpiece_encode(w, ids, N_IDS, &length, &n_cut, json_string_value(text),
                                   json_string_length(text)));
    if ((size_t)length != json_array_size(expected))
        FAIL("%s: %d ids, expected %zu", name, length, json_array_size(expected));
    for (int i = 0; i < N_IDS; i++) {
        json_int_t wanted =
            i < length ? json_integer_value(json_array_get(expected, (size_t)i)) : 0;
        if (ids[i] != wanted) FAIL("%s: id %d is %d, expected %d", name, i, ids[i], (int)wanted);
    }
}

BDPO_TEST(shared_vectors)
{
    bdpo_wordpiece *w = open_shared();
    char line[8192];
    int n = 0;
    FILE *file = fopen(shared("tokenizers/bert_tokenizer_vectors.jsonl"), "r");
    CHECK(file != NULL);
    for (; fgets(line, sizeof line, file); n++) {
        json_error_t error;
        json_t *row = json_loads(line, JSON_ALLOW_NUL, &error);
        if (!row) FAIL("line %d: %s", n + 1, error.text);
        check_vector(w, row);
        json_decref(row);
    }
    fclose(file);
    CHECK_INT(n, 45);
    bdpo_wordpiece_free(w);
}

BDPO_TEST(the_published_prompt_has_its_ids)
{
    static const char text[] = "a painting of an ocean with clouds and birds, day time, low depth "
                               "field effect";
    static const int32_t expected[] = {101,  1037, 4169, 1997, 2019, 4153, 2007, 8044, 1998, 5055,
                                       1010, 2154, 2051, 1010, 2659, 5995, 2492, 3466, 102};
    bdpo_wordpiece *w = open_shared();
    bdpo_wordpiece_info info = bdpo_wordpiece_get_info(w);
    int32_t ids[N_IDS];
    int length;
    size_t n_cut;
    CHECK_OK(bdpo_wordpiece_encode(w, ids, N_IDS, &length, &n_cut, text, sizeof text - 1));
    CHECK_INT(length, (int)BDPO_COUNTOF(expected));
    CHECK_BYTES(ids, expected, sizeof expected);
    CHECK_U64(n_cut, 0);
    CHECK_INT(info.n_ids, 30524);
    CHECK_INT(info.begin, 101);
    CHECK_INT(info.end, 102);
    CHECK_INT(info.pad, 0);
    CHECK_INT(info.unknown, 100);
    bdpo_wordpiece_free(w);
}

// ---- digests -----------------------------------------------------------------------------------

static void digest_of(char hex[65], const bdpo_wordpiece *w, int first)
{
    static char text[GENERATED_MAX_BYTES];
    unsigned char digest[32];
    int32_t ids[N_IDS + 1];
    size_t n_cut;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    CHECK(context && EVP_DigestInit_ex(context, EVP_sha256(), NULL));
    for (int i = first; i < first + PER_DIGEST; i++) {
        size_t size = generated_text(text, i);
        CHECK_OK(bdpo_wordpiece_encode(w, ids, N_IDS, &ids[N_IDS], &n_cut, text, size));
        CHECK(EVP_DigestUpdate(context, ids, sizeof ids)); // little-endian, as all our machines
    }
    CHECK(EVP_DigestFinal_ex(context, digest, NULL));
    EVP_MD_CTX_free(context);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

// The thousands of texts from `from` to `to`.
static void check_digests(const char *folder, int from, int to)
{
    char line[256], actual[65];
    int thousand = 0;
    bdpo_wordpiece *w = open_small(folder);
    FILE *file = fopen(test_path("text/wordpiece/digests.txt"), "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#') continue;
        if (thousand >= from && thousand < to) {
            digest_of(actual, w, thousand * PER_DIGEST);
            if (strncmp(actual, line, 64) != 0)
                FAIL("texts from %d on: digest %s, expected %.64s", thousand * PER_DIGEST, actual,
                     line);
        }
        thousand++;
    }
    fclose(file);
    CHECK_INT(thousand, 12);
    bdpo_wordpiece_free(w);
}

BDPO_TEST(generated_texts_have_the_digests_of_the_library)
{
    check_digests("text/wordpiece/vocab.txt", 0, 1);
    check_digests("text/wordpiece/json/tokenizer.json", 1, 2);
    check_digests("text/wordpiece", 2, 3);
}

BDPO_TEST_FULL(more_generated_texts_have_the_digests_of_the_library)
{
    check_digests("text/wordpiece", 3, 12);
}

// ---- promises ----------------------------------------------------------------------------------

static void check_same(const bdpo_wordpiece *w, const char *a, size_t n_a, const char *b,
                       size_t n_b)
{
    int32_t *left, *right;
    size_t n_left, n_right;
    CHECK_OK(bdpo_wordpiece_pieces(w, &left, &n_left, a, n_a));
    CHECK_OK(bdpo_wordpiece_pieces(w, &right, &n_right, b, n_b));
    CHECK_U64(n_left, n_right);
    if (n_left > 0) CHECK_BYTES(left, right, n_left * sizeof *left);
    bdpo_free(left);
    bdpo_free(right);
}

#define SAME(w, a, b) check_same(w, a, sizeof a - 1, b, sizeof b - 1)

BDPO_TEST(zero_bytes_and_ill_formed_bytes_are_nothing)
{
    bdpo_wordpiece *w = open_small("text/wordpiece");
    SAME(w, "the\0 pl\0an", "the plan");
    SAME(w,
         "the pl\xff"
         "an \xe4\xb8",
         "the plan");
    SAME(w, "\0", "");
    SAME(w, "[SE\0P]", "[sep]");
    bdpo_wordpiece_free(w);
}

BDPO_TEST(special_tokens_are_found_as_spelled)
{
    static const char text[] = "x[SEP]y [ENC] [enc]";
    int32_t *ids;
    size_t n;
    bdpo_wordpiece *w = open_small("text/wordpiece");
    bdpo_wordpiece_info info = bdpo_wordpiece_get_info(w);
    CHECK_OK(bdpo_wordpiece_pieces(w, &ids, &n, text, sizeof text - 1));
    CHECK(n > 5);
    CHECK_INT(ids[1], info.end);
    CHECK_INT(ids[3], info.n_ids - 1); // the last one added
    for (size_t i = 4; i < n; i++) CHECK(ids[i] < info.n_ids - 2);
    bdpo_free(ids);
    bdpo_wordpiece_free(w);
}

BDPO_TEST(what_is_cut_is_counted)
{
    char text[200];
    int32_t ids[N_IDS];
    int length;
    size_t n_cut;
    bdpo_wordpiece *w = open_small("text/wordpiece");
    bdpo_wordpiece_info info = bdpo_wordpiece_get_info(w);
    for (size_t i = 0; i < sizeof text; i++) text[i] = i % 2 ? ' ' : 'a';
    CHECK_OK(bdpo_wordpiece_encode(w, ids, N_IDS, &length, &n_cut, text, 2 * (N_IDS - 2)));
    CHECK_INT(length, N_IDS);
    CHECK_U64(n_cut, 0);
    CHECK_OK(bdpo_wordpiece_encode(w, ids, N_IDS, &length, &n_cut, text, sizeof text));
    CHECK_INT(length, N_IDS);
    CHECK_U64(n_cut, 100 - (N_IDS - 2));
    CHECK_INT(ids[0], info.begin);
    CHECK_INT(ids[N_IDS - 1], info.end);
    CHECK_OK(bdpo_wordpiece_encode(w, ids, N_IDS, &length, &n_cut, "", 0));
    CHECK_INT(length, 2);
    CHECK_INT(ids[1], info.end);
    CHECK_INT(ids[2], info.pad);
    bdpo_wordpiece_free(w);
}

// 100 characters are pieces, 101 are unknown, however many bytes they have.
BDPO_TEST(words_over_100_characters_are_unknown)
{
    enum { MANY = 100000 };
    bdpo_wordpiece *w = open_small("text/wordpiece");
    char *text = bdpo_alloc(2 * MANY, 1);
    CHECK(text != NULL);
    for (size_t i = 0; i < 2 * (size_t)MANY; i++) text[i] = (char)(i % 2 ? 0xb4 : 0xd0);
    for (int round = 0; round < 3; round++) {
        static const size_t counts[] = {100, 101, MANY};
        int32_t *ids;
        size_t n;
        CHECK_OK(bdpo_wordpiece_pieces(w, &ids, &n, text, 2 * counts[round]));
        CHECK_U64(n, round == 0 ? 100 : 1);
        CHECK((ids[0] == bdpo_wordpiece_get_info(w).unknown) == (round > 0));
        bdpo_free(ids);
    }
    bdpo_free(text);
    bdpo_wordpiece_free(w);
}

BDPO_TEST(out_of_memory_is_told)
{
    static const char text[] = "Caf\xc3\xa9 \xe4\xb8\x80 [SEP] plan";
    int n_failed = 0;
    for (uint64_t k = 1;; k++) {
        int32_t *ids = NULL;
        size_t n;
        bdpo_wordpiece *w = NULL;
        bdpo_alloc_fail_at(bdpo_alloc_count() + k);
        bdpo_status status = bdpo_wordpiece_open(&w, test_path("text/wordpiece"), NULL);
        if (status == BDPO_OK) status = bdpo_wordpiece_pieces(w, &ids, &n, text, sizeof text - 1);
        bdpo_alloc_fail_at(0);
        bdpo_free(ids);
        bdpo_wordpiece_free(w);
        if (status == BDPO_OK) break;
        CHECK_STATUS(status, BDPO_NO_MEMORY);
        n_failed++;
    }
    CHECK(n_failed > 8);
}

// ---- refused files -----------------------------------------------------------------------------

BDPO_TEST(malformed_vocabularies_are_refused)
{
    static const struct {
        const char *name;
        bdpo_status status;
        const char *says;
    } rows[] = {
        {"empty.txt", BDPO_BAD_FILE, "empty.txt: the file is empty, expected a token"},
        {"blank_line.txt", BDPO_BAD_FILE, "blank_line.txt: line 7 is empty, expected a token"},
        {"latin1.txt", BDPO_BAD_FILE, "latin1.txt: line 6 is \"caf\\xe9\", expected a token in"},
        {"zero_byte.txt", BDPO_BAD_FILE, "zero_byte.txt: line 6 is \"a\\x00b\", expected a token"},
        {"twice.txt", BDPO_BAD_FILE, "twice.txt: token \"a\" is there twice"},
        {"no_unknown.txt", BDPO_BAD_FILE, "the vocabulary of 5 tokens lacks \"[UNK]\""},
        {"no_mask.txt", BDPO_BAD_FILE, "the vocabulary of 5 tokens lacks \"[MASK]\""},
        {"array.json", BDPO_BAD_FILE, "array.json"},
        {"bpe.json", BDPO_UNSUPPORTED, "bpe.json: model.type is \"BPE\", supported is "},
        {"cased.json", BDPO_UNSUPPORTED, "normalizer.lowercase is false, supported is true"},
        {"accents.json", BDPO_UNSUPPORTED, "normalizer.strip_accents is false, supported is true"},
        {"id_text.json", BDPO_BAD_FILE, "id_text.json: model.vocab.[UNK] is"},
        {"id_negative.json", BDPO_BAD_FILE, "id_negative.json: model.vocab.[UNK] is -1"},
        {"no_vocab.json", BDPO_BAD_FILE, "no_vocab.json: model.vocab is missing"},
        {"cased", BDPO_UNSUPPORTED, "do_lower_case is false, supported is true"},
        {"nothing", BDPO_NOT_FOUND, "nothing"},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        char path[256];
        bdpo_wordpiece *w = NULL;
        snprintf(path, sizeof path, "golden-bad/wordpiece/%s", rows[i].name);
        bdpo_status status = bdpo_wordpiece_open(&w, test_path(path), NULL);
        if (status != rows[i].status || !strstr(bdpo_message(), rows[i].says))
            FAIL("%s: %s: \"%s\", expected \"%s\"", rows[i].name, bdpo_status_text(status),
                 bdpo_message(), rows[i].says);
        CHECK(w == NULL);
    }
}
