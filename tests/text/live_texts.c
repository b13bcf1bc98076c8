// The comparison of live_texts.h.
#include "text/live_texts.h"

#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "harness.h"

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void live_file_read(live_file *r, const char *folder, const char *name)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    *r = (live_file){0};
    CHECK_OK(bdpo_file_read(&r->data, &r->size, path, (size_t)1 << 30));
}

static uint32_t read_u32(live_file *r)
{
    uint32_t value;
    CHECK(r->size - r->at >= sizeof value);
    memcpy(&value, r->data + r->at, sizeof value);
    r->at += sizeof value;
    return value;
}

static const char *read_bytes(live_file *r, size_t n)
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

int live_compare(live_tokens tokens, const void *tokenizer, live_file *strings, live_file *expected,
                 const char *folder)
{
    int n_texts = 0, n_wrong = 0;
    double total = 0;
    for (strings->at = 0; strings->at < strings->size; n_texts++) {
        uint32_t size = read_u32(strings), n_expected;
        const char *text = read_bytes(strings, size);
        int32_t *ids = NULL;
        size_t n;
        double start = seconds();
        CHECK_OK(tokens(tokenizer, &ids, &n, text, size));
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
