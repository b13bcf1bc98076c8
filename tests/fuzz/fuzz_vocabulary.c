// Forged vocabularies of BERT, as vocab.txt and as tokenizer.json: refused in one line, or usable.
#include "base/memory.h"
#include "fuzz/fuzz_bytes.h"
#include "harness.h"
#include "text/wordpiece.h"

static bdpo_status read(const char *path)
{
    static const char text[] = "The plan [SEP] ab\xc3\xa9 \xe4\xb8\x80!";
    bdpo_wordpiece *w;
    int32_t *ids;
    size_t n;
    TRY(bdpo_wordpiece_open(&w, path, &bdpo_wordpiece_of_blip));
    CHECK_OK(bdpo_wordpiece_pieces(w, &ids, &n, text, sizeof text - 1));
    for (size_t i = 0; i < n; i++) CHECK(ids[i] >= 0 && ids[i] < bdpo_wordpiece_get_info(w).n_ids);
    bdpo_free(ids);
    bdpo_wordpiece_free(w);
    return BDPO_OK;
}

// The folder's seeds go to both: each is malformed as the other.
static const fuzz_target lines = {.folder = "vocabulary",
                                  .more = "golden-bad/wordpiece",
                                  .prefix = "",
                                  .file_name = "vocab.txt",
                                  .read = read};
static const fuzz_target json = {.folder = "vocabulary",
                                 .more = "golden-bad/wordpiece",
                                 .prefix = "",
                                 .file_name = "tokenizer.json",
                                 .read = read};

BDPO_TEST(corpus)
{
    fuzz_replay(&lines);
    fuzz_replay(&json);
}

BDPO_TEST(mutants)
{
    fuzz_mutants(&lines, 300);
    fuzz_mutants(&json, 300);
}

BDPO_TEST_LONG(mutants_of_vocabularies_for_long)
{
    fuzz_long(&lines);
}

BDPO_TEST_LONG(mutants_of_tokenizers_for_long)
{
    fuzz_long(&json);
}
