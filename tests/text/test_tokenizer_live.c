// The tokenizer against the real libraries: texts made from numbers by their committed digests, and
// all that tools/parity/tokenizers_live.py puts into a folder, id by id.
#include "harness.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/memory.h"
#include "text/clip_bpe.h"
#include "text/generated_text.h"
#include "text/live_texts.h"

enum { N_IDS = 77, PER_DIGEST = 1000 };

// ---- digests -------------------------------------------------------------------------------

static void digest_of(char hex[65], const bdpo_clip_bpe *bpe, int first)
{
    static char text[GENERATED_MAX_BYTES];
    unsigned char digest[32];
    int32_t ids[N_IDS];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    CHECK(context && EVP_DigestInit_ex(context, EVP_sha256(), NULL));
    for (int i = first; i < first + PER_DIGEST; i++) {
        size_t size = generated_text(text, i);
        CHECK_OK(bdpo_clip_bpe_encode(bpe, ids, N_IDS, NULL, text, size));
        CHECK(EVP_DigestUpdate(context, ids, sizeof ids)); // little-endian, as all our machines
    }
    CHECK(EVP_DigestFinal_ex(context, digest, NULL));
    EVP_MD_CTX_free(context);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

// Lines "pipeline digest", the thousands of a pipeline in order; those from `from` to `to`.
static void check_digests(int from, int to)
{
    char folder[1024], line[256], name[32], expected[65], actual[65], last[32] = "";
    bdpo_clip_bpe *bpe = NULL;
    int thousand = 0, n_checked = 0;
    snprintf(folder, sizeof folder, "%s", test_path("text/small"));
    FILE *file = fopen(test_path("text/small/digests.txt"), "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#') continue;
        CHECK(sscanf(line, "%31s %64s", name, expected) == 2);
        if (strcmp(name, last) != 0) {
            bdpo_clip_bpe_options options = {0};
            bdpo_clip_bpe_free(bpe);
            CHECK_OK(bdpo_clip_pipeline_parse(&options.pipeline, name));
            CHECK_OK(bdpo_clip_bpe_open(&bpe, folder, &options));
            snprintf(last, sizeof last, "%s", name);
            thousand = 0;
        }
        if (thousand >= from && thousand < to) {
            digest_of(actual, bpe, thousand * PER_DIGEST);
            if (strcmp(actual, expected) != 0)
                FAIL("%s: texts from %d on: digest %s, expected %s", name, thousand * PER_DIGEST,
                     actual, expected);
            n_checked++;
        }
        thousand++;
    }
    fclose(file);
    bdpo_clip_bpe_free(bpe);
    CHECK_INT(n_checked, 5 * (to - from));
}

BDPO_TEST(generated_texts_have_the_digests_of_the_libraries)
{
    check_digests(0, 1);
}

BDPO_TEST_FULL(more_generated_texts_have_the_digests_of_the_libraries)
{
    check_digests(1, 12);
}

// ---- live ----------------------------------------------------------------------------------

static bdpo_status tokens(const void *tokenizer, int32_t **ids, size_t *n_ids, const char *text,
                          size_t size)
{
    return bdpo_clip_bpe_tokens(tokenizer, ids, n_ids, text, size);
}

static int check_case(const char *folder, live_file *strings)
{
    live_file pipeline, expected;
    bdpo_clip_bpe_options options = {0};
    bdpo_clip_bpe *bpe;
    live_file_read(&pipeline, folder, "pipeline");
    live_file_read(&expected, folder, "expected.bin");
    CHECK_OK(bdpo_clip_pipeline_parse(&options.pipeline, pipeline.data));
    CHECK_OK(bdpo_clip_bpe_open(&bpe, folder, &options));
    int n_wrong = live_compare(tokens, bpe, strings, &expected, folder);
    bdpo_clip_bpe_free(bpe);
    bdpo_free(pipeline.data);
    bdpo_free(expected.data);
    return n_wrong;
}

BDPO_TEST_LONG(ids_equal_those_of_the_libraries)
{
    const char *folder = getenv("BDPO_LIVE_TOKENIZER_DIR");
    if (!folder) SKIP("BDPO_LIVE_TOKENIZER_DIR is not set: see tools/parity/tokenizers_live.py");
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    live_file strings;
    live_file_read(&strings, folder, "strings.bin");
    int n_cases = 0, n_wrong = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s/pipeline", folder, entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        fclose(file);
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        n_wrong += check_case(path, &strings);
        n_cases++;
    }
    closedir(dir);
    bdpo_free(strings.data);
    CHECK(n_cases > 0);
    CHECK_INT(n_wrong, 0);
}
