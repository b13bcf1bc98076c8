// Text to ids in BERT's steps: cut at the special tokens; lower case; words; no accents;
// punctuation; the longest pieces.
#include "text/wordpiece.h"

#include <string.h>

#include "base/memory.h"
#include "text/clip_merge.h"
#include "text/unicode.h"
#include "text/wordpiece_files.h"

enum { MAX_WORD = 100 }; // a longer one is unknown as a whole

// A token that the text is cut at before anything else, as it is spelled.
typedef struct special {
    const uint32_t *runes;
    size_t n;
    int32_t id;
} special;

struct bdpo_wordpiece {
    bdpo_clip_vocab *vocab;
    bdpo_arena *arena; // of the special tokens
    special *specials;
    int n_specials;
    size_t longest; // token, in bytes
    bdpo_wordpiece_info info;
};

static const char *const of_blip[] = {"[DEC]", "[ENC]"};
const bdpo_wordpiece_options bdpo_wordpiece_of_blip = {of_blip, (int)BDPO_COUNTOF(of_blip)};

// ---- loading -----------------------------------------------------------------------------------

void bdpo_wordpiece_free(bdpo_wordpiece *w)
{
    if (!w) return;
    bdpo_clip_vocab_free(w->vocab);
    bdpo_arena_free(w->arena);
    bdpo_free(w);
}

static bdpo_status add_special(bdpo_wordpiece *w, const char *path, const char *token, int32_t id)
{
    bdpo_runes runes = {0};
    bdpo_runes_append_utf8(&runes, token, strlen(token));
    uint32_t *copy = runes.failed ? NULL : bdpo_arena_alloc(w->arena, runes.n + 1, sizeof *copy);
    if (copy) memcpy(copy, runes.data, runes.n * sizeof *copy);
    w->specials[w->n_specials++] = (special){copy, runes.n, id};
    bdpo_runes_release(&runes);
    return copy ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its tokens", path);
}

// The tokens that transformers names for BERT. It would append one that is missing; that one has no
// row in the model's table.
static bdpo_status find_specials(bdpo_wordpiece *w, const char *path)
{
    static const char *const names[] = {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
    int32_t *const ids[] = {&w->info.unknown, &w->info.end, &w->info.pad, &w->info.begin, NULL};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        int32_t id = bdpo_clip_vocab_find(w->vocab, names[i], strlen(names[i]));
        if (id == BDPO_CLIP_NO_ID)
            return bdpo_fail(BDPO_BAD_FILE, "%s: the vocabulary of %d tokens lacks \"%s\"", path,
                             bdpo_clip_vocab_n_ids(w->vocab), names[i]);
        TRY(add_special(w, path, names[i], id));
        if (ids[i]) *ids[i] = id;
    }
    return BDPO_OK;
}

static bdpo_status load(bdpo_wordpiece *w, const char *path, const bdpo_wordpiece_options *options)
{
    enum { N_NAMED = 5 };
    int n_added = options ? options->n_added : 0;
    TRY(bdpo_clip_vocab_new(&w->vocab));
    TRY(bdpo_arena_new(&w->arena));
    TRY(bdpo_wordpiece_read(w->vocab, path));
    w->specials = bdpo_arena_alloc(w->arena, N_NAMED + (size_t)n_added, sizeof *w->specials);
    if (!w->specials) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its tokens", path);
    TRY(find_specials(w, path));
    for (int i = 0; i < n_added; i++) {
        const char *token = options->added[i];
        int32_t id = bdpo_clip_vocab_find(w->vocab, token, strlen(token));
        if (id == BDPO_CLIP_NO_ID) {
            id = bdpo_clip_vocab_n_ids(w->vocab);
            TRY(bdpo_clip_vocab_add(w->vocab, path, token, strlen(token), id));
        }
        TRY(add_special(w, path, token, id));
    }
    w->info.n_ids = bdpo_clip_vocab_n_ids(w->vocab);
    for (int32_t id = 0; id < w->info.n_ids; id++) {
        const char *token = bdpo_clip_vocab_token(w->vocab, id);
        size_t size = token ? strlen(token) : 0;
        if (size > w->longest) w->longest = size;
    }
    return BDPO_OK;
}

bdpo_status bdpo_wordpiece_open(bdpo_wordpiece **out, const char *path,
                                const bdpo_wordpiece_options *options)
{
    bdpo_wordpiece *w = bdpo_alloc(1, sizeof *w);
    if (!w) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for the tokenizer", path);
    bdpo_status status = load(w, path, options);
    if (status == BDPO_OK)
        *out = w;
    else
        bdpo_wordpiece_free(w);
    return status;
}

bdpo_wordpiece_info bdpo_wordpiece_get_info(const bdpo_wordpiece *w)
{
    return w->info;
}

// ---- words to pieces ---------------------------------------------------------------------------

// What one call works with.
typedef struct work {
    const bdpo_wordpiece *wordpiece;
    bdpo_runes text, part, word, spare;
    bdpo_clip_ids ids;
} work;

static void release(work *w)
{
    bdpo_runes_release(&w->text);
    bdpo_runes_release(&w->part);
    bdpo_runes_release(&w->word);
    bdpo_runes_release(&w->spare);
    bdpo_clip_ids_release(&w->ids);
}

static bdpo_status check_memory(const work *w)
{
    TRY(bdpo_runes_check(&w->text));
    TRY(bdpo_runes_check(&w->part));
    TRY(bdpo_runes_check(&w->word));
    TRY(bdpo_runes_check(&w->spare));
    if (!w->ids.failed) return BDPO_OK;
    return bdpo_fail(BDPO_NO_MEMORY, "no memory for a text's tokens");
}

// The spelling of a word with room before it for the mark of a piece that does not begin it.
typedef struct spelling {
    char bytes[2 + 4 * MAX_WORD];
    size_t at[MAX_WORD + 1]; // where each character begins, and the end
    size_t n;
} spelling;

static void spell(spelling *s, const uint32_t *runes, size_t n)
{
    size_t at = 2;
    s->n = n;
    for (size_t i = 0; i < n; i++) {
        s->at[i] = at;
        at += (size_t)bdpo_utf8_put((unsigned char *)s->bytes + at, runes[i]);
    }
    s->at[n] = at;
}

// The longest token that stands at character `first`; *next is the character behind it. What is
// before `first` is done with, and gives its place to the mark.
static int32_t longest_piece(const bdpo_wordpiece *w, spelling *s, size_t first, size_t *next)
{
    char *begin = s->bytes + s->at[first];
    if (first > 0) *--begin = '#', *--begin = '#';
    for (size_t last = s->n; last > first; last--) {
        size_t size = (size_t)(s->bytes + s->at[last] - begin);
        if (size > w->longest) continue;
        int32_t id = bdpo_clip_vocab_find(w->vocab, begin, size);
        *next = last;
        if (id != BDPO_CLIP_NO_ID) return id;
    }
    return BDPO_CLIP_NO_ID;
}

static void append_pieces(work *w, const uint32_t *runes, size_t n)
{
    const bdpo_wordpiece *wordpiece = w->wordpiece;
    size_t before = w->ids.n, at = 0;
    spelling s;
    int32_t id = BDPO_CLIP_NO_ID;
    if (n == 0) return;
    if (n <= MAX_WORD) {
        spell(&s, runes, n);
        do {
            id = longest_piece(wordpiece, &s, at, &at);
            if (id != BDPO_CLIP_NO_ID) bdpo_clip_ids_push(&w->ids, id);
        } while (id != BDPO_CLIP_NO_ID && at < n);
    }
    if (id != BDPO_CLIP_NO_ID) return;
    w->ids.n = before; // one rest that is no piece makes the whole word unknown
    bdpo_clip_ids_push(&w->ids, wordpiece->info.unknown);
}

// ---- text to words -----------------------------------------------------------------------------

static bool is_punctuation(uint32_t rune)
{
    if (rune < 0x80)
        return (rune >= 33 && rune <= 47) || (rune >= 58 && rune <= 64) ||
               (rune >= 91 && rune <= 96) || (rune >= 123 && rune <= 126);
    return bdpo_rune_is_python_punctuation(rune);
}

// Ends the word: its accents go, each mark of punctuation is a word of its own.
static void end_word(work *w)
{
    bdpo_runes *word = &w->word;
    size_t begin = 0, n = 0;
    bdpo_runes_nfd(word, &w->spare, BDPO_UNICODE_PYTHON);
    for (size_t i = 0; i < word->n; i++)
        if (!bdpo_rune_is_python_nonspacing(word->data[i])) word->data[n++] = word->data[i];
    for (size_t i = 0; i < n; i++) {
        if (!is_punctuation(word->data[i])) continue;
        append_pieces(w, word->data + begin, i - begin);
        append_pieces(w, word->data + i, 1);
        begin = i + 1;
    }
    if (n > begin) append_pieces(w, word->data + begin, n - begin);
    word->n = 0;
}

// As the original has them: some ranges end before the blocks do.
static bool is_ideograph(uint32_t rune)
{
    static const bdpo_rune_range ranges[] = {
        {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},  {0x20000, 0x2a6df},
        {0x2a700, 0x2b73f}, {0x2b740, 0x2ceaf}, {0x2f800, 0x2fa1f}};
    return rune >= 0x3400 && bdpo_rune_in(rune, ranges, BDPO_COUNTOF(ranges));
}

static bool ends_word(uint32_t rune)
{
    return bdpo_rune_is_python_space(rune) || bdpo_rune_is_space_separator(rune);
}

// Tabs and line ends are spaces; other controls, unassigned characters among them, are nothing.
static bool is_dropped(uint32_t rune)
{
    if (rune == '\t' || rune == '\n' || rune == '\r') return false;
    return rune == 0 || rune == 0xfffd || bdpo_rune_is_python_control(rune);
}

// The original lowers each character by itself, so that a final sigma is one like the others.
static void lower(bdpo_runes *text)
{
    for (size_t i = 0; i < text->n; i++)
        if (text->data[i] == 0x3a3) text->data[i] = 0x3c3;
    bdpo_runes_lower(text, BDPO_UNICODE_PYTHON);
}

// What stands between two special tokens.
static void append_part(work *w, size_t begin, size_t end)
{
    w->part.n = 0;
    bdpo_runes_append(&w->part, w->text.data + begin, end - begin);
    lower(&w->part);
    for (size_t i = 0; i < w->part.n; i++) {
        uint32_t rune = w->part.data[i];
        if (is_dropped(rune)) continue;
        bool alone = is_ideograph(rune);
        if (alone || ends_word(rune)) end_word(w);
        if (alone || !ends_word(rune)) bdpo_runes_push(&w->word, rune);
        if (alone) end_word(w);
    }
    end_word(w);
}

// The longest special token that the text has at `at`, or NULL.
static const special *find_special(const bdpo_wordpiece *w, const bdpo_runes *text, size_t at)
{
    const special *best = NULL;
    for (int i = 0; i < w->n_specials; i++) {
        const special *s = &w->specials[i];
        if (s->runes[0] != text->data[at] || s->n > text->n - at || (best && s->n <= best->n))
            continue;
        if (memcmp(s->runes, text->data + at, s->n * sizeof *s->runes) == 0) best = s;
    }
    return best;
}

static void append_text(work *w)
{
    size_t begin = 0;
    for (size_t i = 0; i < w->text.n;) {
        const special *s = find_special(w->wordpiece, &w->text, i);
        if (!s) {
            i++;
            continue;
        }
        append_part(w, begin, i);
        bdpo_clip_ids_push(&w->ids, s->id);
        begin = i += s->n;
    }
    if (w->text.n > begin) append_part(w, begin, w->text.n);
}

// ---- the calls ---------------------------------------------------------------------------------

// The work's ids are the text's.
static bdpo_status tokenize(work *w, const bdpo_wordpiece *wordpiece, const char *text, size_t size)
{
    *w = (work){.wordpiece = wordpiece};
    bdpo_runes_append_utf8(&w->text, text, size);
    append_text(w);
    bdpo_status status = check_memory(w);
    if (status != BDPO_OK) release(w);
    return status;
}

bdpo_status bdpo_wordpiece_pieces(const bdpo_wordpiece *wordpiece, int32_t **ids, size_t *n_ids,
                                  const char *text, size_t size)
{
    work w;
    TRY(tokenize(&w, wordpiece, text, size));
    *n_ids = w.ids.n;
    *ids = w.ids.data;
    w.ids.data = NULL;
    release(&w);
    return BDPO_OK;
}

bdpo_status bdpo_wordpiece_encode(const bdpo_wordpiece *wordpiece, int32_t *ids, int n_ids,
                                  int *length, size_t *n_cut, const char *text, size_t size)
{
    BDPO_ASSERT(n_ids >= 2);
    const bdpo_wordpiece_info *info = &wordpiece->info;
    size_t room = (size_t)n_ids - 2;
    work w;
    TRY(tokenize(&w, wordpiece, text, size));
    size_t n = w.ids.n < room ? w.ids.n : room;
    *length = (int)n + 2;
    *n_cut = w.ids.n - n;
    ids[0] = info->begin;
    if (n > 0) memcpy(ids + 1, w.ids.data, n * sizeof *ids);
    ids[n + 1] = info->end;
    for (size_t i = n + 2; i < (size_t)n_ids; i++) ids[i] = info->pad;
    release(&w);
    return BDPO_OK;
}
