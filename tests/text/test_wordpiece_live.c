// WordPiece against transformers' slow BertTokenizer, on all that tools/parity/wordpiece.py puts
// into a folder: prompts, made texts, every character of Unicode.
#include "harness.h"

#include <stdlib.h>

#include "base/memory.h"
#include "text/live_texts.h"
#include "text/wordpiece.h"

static bdpo_status pieces(const void *tokenizer, int32_t **ids, size_t *n_ids, const char *text,
                          size_t size)
{
    return bdpo_wordpiece_pieces(tokenizer, ids, n_ids, text, size);
}

BDPO_TEST_LONG(wordpiece_ids_equal_those_of_transformers)
{
    const char *given = getenv("BDPO_LIVE_WORDPIECE_DIR"), *folder = given ? given : "";
    if (!*folder) SKIP("BDPO_LIVE_WORDPIECE_DIR is not set: see tools/parity/wordpiece.py");
    live_file strings, expected;
    bdpo_wordpiece *w = NULL;
    CHECK_OK(bdpo_wordpiece_open(&w, folder, &bdpo_wordpiece_of_blip));
    live_file_read(&strings, folder, "strings.bin");
    live_file_read(&expected, folder, "expected.bin");
    CHECK_INT(live_compare(pieces, w, &strings, &expected, folder), 0);
    bdpo_free(strings.data);
    bdpo_free(expected.data);
    bdpo_wordpiece_free(w);
}
