// Any bytes become ids under every pipeline: within the vocabulary, begin and end in place, the
// same each time, and words merged as a plain quadratic merger does; and WordPiece's ids, which a
// space parts. tests/fuzz/tokenizer/ holds the corpus. `check-long` adds random bytes for
// BDPO_FUZZ_SECONDS.
#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "harness.h"
#include "text/bpe_files.h"
#include "text/clip_bpe.h"
#include "text/clip_merge.h"
#include "text/runes.h"
#include "text/tokenizer_config.h"
#include "text/wordpiece.h"

enum { MAX_BYTES = 512, N_IDS = 77 };

typedef struct world {
    bdpo_clip_bpe *bpe[BDPO_CLIP_N_PIPELINES];
    bdpo_clip_vocab *vocab;
    bdpo_wordpiece *wordpiece;
} world;

static world world_new(void)
{
    world w = {0};
    for (int i = 0; i < BDPO_CLIP_N_PIPELINES; i++)
        CHECK_OK(bdpo_clip_bpe_open(&w.bpe[i], test_path("text/small"),
                                    &(bdpo_clip_bpe_options){.pipeline = (bdpo_clip_pipeline)i}));
    CHECK_OK(bdpo_clip_vocab_new(&w.vocab));
    CHECK_OK(bdpo_vocab_json_read(w.vocab, test_path("text/small/vocab.json")));
    CHECK_OK(bdpo_merges_read(w.vocab, test_path("text/small/merges.txt")));
    CHECK_OK(bdpo_clip_vocab_seal(w.vocab, "small", BDPO_CLIP_NO_ID));
    CHECK_OK(
        bdpo_wordpiece_open(&w.wordpiece, test_path("text/wordpiece"), &bdpo_wordpiece_of_blip));
    return w;
}

static void world_free(world *w)
{
    for (int i = 0; i < BDPO_CLIP_N_PIPELINES; i++) bdpo_clip_bpe_free(w->bpe[i]);
    bdpo_clip_vocab_free(w->vocab);
    bdpo_wordpiece_free(w->wordpiece);
}

static const char *bytes_text(const char *bytes, size_t n)
{
    static char text[2 * MAX_BYTES + 1];
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) snprintf(text + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
    return text;
}

static void check_frame(const bdpo_clip_bpe *bpe, const int32_t *ids, const char *bytes, size_t n)
{
    bdpo_clip_bpe_info info = bdpo_clip_bpe_get_info(bpe);
    int last_end = -1;
    for (int i = 0; i < N_IDS; i++) {
        if (ids[i] < 0 || ids[i] >= info.n_ids)
            FAIL("id %d of %d; bytes %s", ids[i], info.n_ids, bytes_text(bytes, n));
        if (ids[i] == info.end) last_end = i;
    }
    if (ids[0] != info.begin || last_end < 1)
        FAIL("begin or end out of place; bytes %s", bytes_text(bytes, n));
}

static void check_pipeline(const bdpo_clip_bpe *bpe, const char *bytes, size_t n)
{
    int32_t ids[N_IDS], again[N_IDS], *all = NULL;
    bdpo_clip_cut cut;
    size_t n_all;
    CHECK_OK(bdpo_clip_bpe_encode(bpe, ids, N_IDS, &cut, bytes, n));
    CHECK_OK(bdpo_clip_bpe_encode(bpe, again, N_IDS, NULL, bytes, n));
    CHECK_BYTES(ids, again, sizeof ids);
    check_frame(bpe, ids, bytes, n);
    CHECK_OK(bdpo_clip_bpe_tokens(bpe, &all, &n_all, bytes, n));
    size_t n_kept = n_all < N_IDS - 2 ? n_all : N_IDS - 2;
    if (n_kept > 0) CHECK_BYTES(ids + 1, all, n_kept * sizeof *ids);
    CHECK_INT(ids[n_kept + 1], bdpo_clip_bpe_get_info(bpe).end);
    CHECK_U64(cut.n_tokens, n_all - n_kept);
    CHECK((cut.text != NULL) == (cut.n_tokens > 0));
    bdpo_clip_cut_release(&cut);
    bdpo_free(all);
}

// The definition: again and again, all neighbours are looked at.
static size_t merge_naively(int32_t *s, size_t n, const bdpo_clip_vocab *vocab)
{
    for (;;) {
        uint32_t rank, best_rank = UINT32_MAX;
        size_t best = n;
        for (size_t i = 0; i + 1 < n; i++)
            if (bdpo_clip_vocab_merge(vocab, &rank, s[i], s[i + 1]) >= 0 && rank < best_rank) {
                best = i;
                best_rank = rank;
            }
        if (best == n) return n;
        s[best] = bdpo_clip_vocab_merge(vocab, &rank, s[best], s[best + 1]);
        for (size_t i = best + 1; i + 1 < n; i++) s[i] = s[i + 1];
        n--;
    }
}

static void check_word(const bdpo_clip_vocab *vocab, const char *bytes, size_t n)
{
    int32_t expected[MAX_BYTES];
    bdpo_clip_ids ids = {0};
    if (n == 0) return;
    for (size_t i = 0; i < n; i++)
        expected[i] = bdpo_clip_vocab_byte(vocab, (unsigned char)bytes[i], i + 1 == n);
    size_t n_expected = merge_naively(expected, n, vocab);
    bdpo_clip_ids_append_word(&ids, vocab, (const unsigned char *)bytes, n);
    if (ids.failed || ids.n != n_expected ||
        memcmp(ids.data, expected, n_expected * sizeof *expected) != 0)
        FAIL("a word merges otherwise than by definition; bytes %s", bytes_text(bytes, n));
    bdpo_clip_ids_release(&ids);
}

// Begin, the pieces and pads; and the text cut by a space has the pieces of its parts.
static void check_wordpiece(const bdpo_wordpiece *w, const char *bytes, size_t n)
{
    enum { N = 35 };
    char spaced[MAX_BYTES + 1];
    int32_t ids[N], *all[3];
    size_t n_all[3], n_cut, cut = n / 2;
    int length;
    bdpo_wordpiece_info info = bdpo_wordpiece_get_info(w);
    memcpy(spaced, bytes, cut);
    spaced[cut] = ' ';
    memcpy(spaced + cut + 1, bytes + cut, n - cut);
    CHECK_OK(bdpo_wordpiece_encode(w, ids, N, &length, &n_cut, spaced, n + 1));
    CHECK_OK(bdpo_wordpiece_pieces(w, &all[0], &n_all[0], spaced, n + 1));
    CHECK_OK(bdpo_wordpiece_pieces(w, &all[1], &n_all[1], spaced, cut));
    CHECK_OK(bdpo_wordpiece_pieces(w, &all[2], &n_all[2], spaced + cut, n + 1 - cut));
    size_t kept = (size_t)length - 2;
    bool whole = n_all[0] == n_all[1] + n_all[2] && n_all[0] == kept + n_cut &&
                 ids[0] == info.begin && ids[kept + 1] == info.end;
    for (size_t i = 0; whole && i < n_all[0]; i++) {
        whole = all[0][i] == (i < n_all[1] ? all[1][i] : all[2][i - n_all[1]]) && all[0][i] >= 0 &&
                all[0][i] < info.n_ids && (i >= kept || ids[i + 1] == all[0][i]);
    }
    for (size_t i = kept + 2; whole && i < N; i++) whole = ids[i] == info.pad;
    if (!whole) FAIL("pieces do not fit together; bytes %s", bytes_text(bytes, n));
    for (int i = 0; i < 3; i++) bdpo_free(all[i]);
}

static void try_bytes(const world *w, const char *bytes, size_t n)
{
    for (int i = 0; i < BDPO_CLIP_N_PIPELINES; i++) check_pipeline(w->bpe[i], bytes, n);
    check_word(w->vocab, bytes, n);
    check_wordpiece(w->wordpiece, bytes, n);
}

BDPO_TEST(corpus)
{
    char folder[1024], path[2048], bytes[MAX_BYTES];
    int n_texts = 0;
    snprintf(folder, sizeof folder, "%s", test_path("fuzz/tokenizer"));
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    world w = world_new();
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = fopen(path, "rb");
        CHECK(file != NULL);
        size_t n = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        try_bytes(&w, bytes, n);
        n_texts++;
    }
    closedir(dir);
    world_free(&w);
    CHECK(n_texts >= 6);
}

// xorshift64*: any stream of bytes does here.
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL >> 8;
}

// Bytes of four kinds: any; letters that merge; what entities, marks and mojibake are made of;
// UTF-8.
static void random_text(const world *w, uint64_t seed)
{
    static const char *const parts[] = {
        "<|endoftext|>", "&amp;",    "&#x",      ";",       "\xc3\x83", "\xc2\xa0",
        "\xe2\x82\xac",  "'s",       " ",        "\n",      "\xcc\x81", "\xef\xbf\xbd",
        "\xed\xa0\xbd",  "\xc3\x80", "\xce\xa3", "\x1b[1m", "<"};
    char bytes[MAX_BYTES];
    uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1, kind = next_random(&state) % 4;
    size_t wanted = next_random(&state) % (MAX_BYTES - 16), n = 0;
    while (n < wanted) {
        uint64_t r = next_random(&state);
        if (kind == 1) {
            bytes[n++] = "etaoinshr"[r % 9];
        } else if (kind == 2) {
            const char *part = parts[r % BDPO_COUNTOF(parts)];
            while (*part) bytes[n++] = *part++;
        } else if (kind == 3) {
            n += (size_t)bdpo_utf8_put((unsigned char *)bytes + n,
                                       0x80 + (uint32_t)(r % (r >> 32 & 1 ? 0x700 : 0xd000)));
        } else {
            bytes[n++] = (char)r;
        }
    }
    try_bytes(w, bytes, n);
}

BDPO_TEST(random_texts)
{
    world w = world_new();
    for (uint64_t seed = 1; seed <= 400; seed++) random_text(&w, seed);
    world_free(&w);
}

BDPO_TEST_LONG(random_texts_for_long)
{
    const char *text = getenv("BDPO_FUZZ_SECONDS");
    double limit = text ? atof(text) : 10;
    uint64_t first = (uint64_t)time(NULL) << 20, seed = first;
    struct timespec now, start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    printf("        seeds from %llu\n", (unsigned long long)first);
    world w = world_new();
    do {
        random_text(&w, seed++);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - start.tv_sec) < limit);
    world_free(&w);
    printf("        %llu texts\n", (unsigned long long)(seed - first));
}
