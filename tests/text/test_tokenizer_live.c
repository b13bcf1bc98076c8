// The tokenizer against the real libraries: texts made from numbers by their committed digests, and
// all that tools/parity/tokenizers_live.py puts into a folder, id by id.
#include "harness.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "text/clip_bpe.h"
#include "text/generated_text.h"

enum { N_IDS = 77, PER_DIGEST = 1000 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

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

typedef struct reader {
    char *data;
    size_t size, at;
} reader;

static void read_whole(reader *r, const char *folder, const char *name)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    *r = (reader){0};
    CHECK_OK(bdpo_file_read(&r->data, &r->size, path, (size_t)1 << 30));
}

static uint32_t read_u32(reader *r)
{
    uint32_t value;
    CHECK(r->size - r->at >= sizeof value);
    memcpy(&value, r->data + r->at, sizeof value);
    r->at += sizeof value;
    return value;
}

static const char *read_bytes(reader *r, size_t n)
{
    CHECK(r->size - r->at >= n);
    r->at += n;
    return r->data + r->at - n;
}

static void show(const char *label, const int32_t *ids, size_t n)
{
    printf("          %s", label);
    for (size_t i = 0; i < n && i < 60; i++) printf(" %d", ids[i]);
    printf("\n");
}

static int compare(const bdpo_clip_bpe *bpe, reader *strings, reader *expected, const char *folder)
{
    int n_texts = 0, n_wrong = 0;
    double total = 0;
    for (strings->at = 0; strings->at < strings->size; n_texts++) {
        uint32_t size = read_u32(strings), n_expected;
        const char *text = read_bytes(strings, size);
        int32_t *ids = NULL;
        size_t n;
        double start = seconds();
        CHECK_OK(bdpo_clip_bpe_tokens(bpe, &ids, &n, text, size));
        total += seconds() - start;
        n_expected = read_u32(expected);
        const void *wanted = read_bytes(expected, n_expected * sizeof *ids);
        if (n != n_expected || (n > 0 && memcmp(ids, wanted, n * sizeof *ids) != 0)) {
            if (n_wrong++ < 5) {
                printf("        text %d (%u bytes): %.*s\n", n_texts, size,
                       size < 400 ? (int)size : 400, text);
                show("found   ", ids, n);
                int32_t copy[60];
                size_t shown = n_expected < 60 ? n_expected : 60;
                memcpy(copy, wanted, shown * sizeof *copy);
                show("expected", copy, shown);
            }
        }
        bdpo_free(ids);
    }
    CHECK(expected->at == expected->size);
    printf("        %s: %d texts, %d differ, %.2f s\n", folder, n_texts, n_wrong, total);
    return n_wrong;
}

static int check_case(const char *folder, reader *strings)
{
    reader pipeline, expected;
    bdpo_clip_bpe_options options = {0};
    bdpo_clip_bpe *bpe;
    read_whole(&pipeline, folder, "pipeline");
    read_whole(&expected, folder, "expected.bin");
    CHECK_OK(bdpo_clip_pipeline_parse(&options.pipeline, pipeline.data));
    CHECK_OK(bdpo_clip_bpe_open(&bpe, folder, &options));
    int n_wrong = compare(bpe, strings, &expected, folder);
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
    reader strings;
    read_whole(&strings, folder, "strings.bin");
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
