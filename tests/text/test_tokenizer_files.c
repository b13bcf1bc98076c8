// Tokenizer files that must be refused, each with a sentence that names what is wrong, and the same
// vocabulary in the newer layout.
#include "harness.h"

#include "base/status.h"
#include "text/clip_bpe.h"

static const struct {
    const char *name;
    bdpo_status status;
    const char *says;
} rows[] = {
    {"array", BDPO_BAD_FILE, "vocab.json: the file is an array, expected an object"},
    {"not_json", BDPO_BAD_FILE, "vocab.json: line 1: not JSON"},
    {"empty", BDPO_BAD_FILE, "the vocabulary is empty"},
    {"id_string", BDPO_BAD_FILE, "vocab.json: b is a string, expected a token's id"},
    {"id_twice", BDPO_BAD_FILE, "tokens \"a\" and \"b\" have the same id 0"},
    {"id_negative", BDPO_BAD_FILE, "token \"b\" has the id -1, expected 0 to"},
    {"id_huge", BDPO_BAD_FILE, "token \"b\" has the id 1099511627776, expected 0 to"},
    {"key_twice", BDPO_BAD_FILE, "duplicate object key"},
    {"no_end", BDPO_BAD_FILE, "lacks the end token \"<|endoftext|>\""},
    {"no_begin", BDPO_BAD_FILE, "lacks the begin token \"<|startoftext|>\""},
    {"merge_unknown", BDPO_BAD_FILE, "merges.txt: merge 1 names \"c</w>\", which is not in"},
    {"merge_result", BDPO_BAD_FILE, "merges.txt: merge 1 names \"ab</w>\", which is not in"},
    {"merge_one_word", BDPO_BAD_FILE, "merges.txt: line 2 is \"ab\", expected two tokens"},
    {"merge_three_words", BDPO_BAD_FILE, "merges.txt: line 2 is \"a b c\", expected two tokens"},
    {"pad_missing", BDPO_BAD_FILE, "lacks the pad token \"<pad>\""},
    {"pad_number", BDPO_BAD_FILE, "special_tokens_map.json: pad_token is an integer, expected a"},
    {"added_id", BDPO_BAD_FILE, "the added token \"<x>\" has the id 9, expected 7"},
    {"length", BDPO_BAD_FILE, "model_max_length is 1, expected 2 or more"},
    {"left", BDPO_UNSUPPORTED, "padding_side is \"left\", supported is \"right\""},
    {"no_unknown", BDPO_BAD_FILE, "and none for the unknown"},
    {"nowhere", BDPO_NOT_FOUND, "neither vocab.json nor tokenizer.json is there"},
};

BDPO_TEST(malformed_folders_are_refused)
{
    char path[256];
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        bdpo_clip_bpe *bpe = NULL;
        snprintf(path, sizeof path, "golden-bad/tokenizer/%s", rows[i].name);
        bdpo_status status = bdpo_clip_bpe_open(&bpe, test_path(path), NULL);
        if (status != rows[i].status || !strstr(bdpo_message(), rows[i].says))
            FAIL("%s: %s: \"%s\", expected \"%s\"", rows[i].name, bdpo_status_text(status),
                 bdpo_message(), rows[i].says);
        CHECK(bpe == NULL);
    }
}

BDPO_TEST(malformed_packed_files_are_refused)
{
    static const char *const packed[][2] = {
        {"short.gz", "has 1 merges, expected 48894"},
        {"truncated.gz", "not a whole gzip file"},
        {"no_gzip.gz", "not a whole gzip file"},
        {"bomb.gz", "unpacks to more than"},
    };
    char path[256];
    for (size_t i = 0; i < BDPO_COUNTOF(packed); i++) {
        bdpo_clip_bpe *bpe = NULL;
        snprintf(path, sizeof path, "golden-bad/tokenizer/%s", packed[i][0]);
        CHECK_STATUS(bdpo_clip_bpe_open_packed(&bpe, test_path(path), NULL), BDPO_BAD_FILE);
        CHECK_CONTAINS(bdpo_message(), packed[i][1]);
    }
}
