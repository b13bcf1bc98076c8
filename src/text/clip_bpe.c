// The tokenizer: loading, text to ids, ids to text.
#include "text/clip_bpe.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "text/bpe_files.h"
#include "text/clean.h"
#include "text/clip_merge.h"
#include "text/tokenizer_config.h"
#include "text/unicode.h"

enum { DEFAULT_LENGTH = 77, MAX_PATH = 4096 };

// A token that the text is cut at before anything else.
typedef struct added {
    const uint32_t *runes; // of its content, cleaned where it is looked for in cleaned text
    size_t n;
    int32_t id;
    bool normalized;
} added;

struct bdpo_clip_bpe {
    bdpo_clip_pipeline pipeline;
    bdpo_clip_vocab *vocab;
    bdpo_arena *arena; // of `added` and its runes
    added *added;
    size_t n_added;
    bdpo_clip_bpe_info info;
    int32_t mark_ids[3]; // by bdpo_clip_mark
};

// ---- pipelines by name ---------------------------------------------------------------------

static const char *const pipeline_names[BDPO_CLIP_N_PIPELINES] = {"fast", "slow-ftfy", "slow",
                                                                  "openai", "open-clip"};

const char *bdpo_clip_pipeline_name(bdpo_clip_pipeline pipeline)
{
    BDPO_ASSERT((unsigned)pipeline < BDPO_CLIP_N_PIPELINES);
    return pipeline_names[pipeline];
}

bdpo_status bdpo_clip_pipeline_parse(bdpo_clip_pipeline *out, const char *name)
{
    for (int i = 0; i < BDPO_CLIP_N_PIPELINES; i++)
        if (strcmp(name, pipeline_names[i]) == 0) {
            *out = (bdpo_clip_pipeline)i;
            return BDPO_OK;
        }
    return bdpo_fail(BDPO_BAD_ARGUMENT,
                     "no tokenizer pipeline \"%s\", expected fast, slow-ftfy, "
                     "slow, openai or open-clip",
                     name);
}

static bool is_of_transformers(bdpo_clip_pipeline pipeline)
{
    return pipeline <= BDPO_CLIP_SLOW;
}

// ---- loading -------------------------------------------------------------------------------

void bdpo_clip_bpe_free(bdpo_clip_bpe *bpe)
{
    if (!bpe) return;
    bdpo_clip_vocab_free(bpe->vocab);
    bdpo_arena_free(bpe->arena);
    bdpo_free(bpe);
}

static bdpo_status no_memory(const char *path)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for the tokenizer", path);
}

static bdpo_status new_bpe(bdpo_clip_bpe **out, const char *path,
                           const bdpo_clip_bpe_options *options)
{
    bdpo_clip_bpe *bpe = bdpo_alloc(1, sizeof *bpe);
    if (!bpe) return no_memory(path);
    bpe->pipeline = options ? options->pipeline : BDPO_CLIP_FAST;
    BDPO_ASSERT((unsigned)bpe->pipeline < BDPO_CLIP_N_PIPELINES);
    bdpo_status status = bdpo_clip_vocab_new(&bpe->vocab);
    if (status == BDPO_OK) status = bdpo_arena_new(&bpe->arena);
    if (status == BDPO_OK)
        *out = bpe;
    else
        bdpo_clip_bpe_free(bpe);
    return status;
}

static bdpo_status find_special(int32_t *id, const bdpo_clip_bpe *bpe, const char *path,
                                const char *what, const char *token)
{
    *id = bdpo_clip_vocab_find(bpe->vocab, token, strlen(token));
    if (*id != BDPO_CLIP_NO_ID) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: the vocabulary of %d ids lacks the %s token \"%s\"", path,
                     bdpo_clip_vocab_n_ids(bpe->vocab), what, token);
}

// An added token that the vocabulary lacks gets the next id, which must be the one declared.
static bdpo_status add_to_vocab(bdpo_clip_bpe *bpe, const char *path, const bdpo_added_token *token)
{
    size_t size = strlen(token->content);
    int32_t id = bdpo_clip_vocab_find(bpe->vocab, token->content, size);
    if (id == BDPO_CLIP_NO_ID) {
        id = bdpo_clip_vocab_n_ids(bpe->vocab);
        TRY(bdpo_clip_vocab_add(bpe->vocab, path, token->content, size, id));
    }
    if (token->id == BDPO_CLIP_NO_ID || token->id == id) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: the added token \"%s\" has the id %lld, expected %d", path,
                     token->content, (long long)token->id, id);
}

// The text's own form of an added token, in the arena.
static bdpo_status set_added(added *out, bdpo_clip_bpe *bpe, const char *path,
                             const bdpo_added_token *token)
{
    bdpo_runes runes = {0}, spare = {0};
    out->normalized = bpe->pipeline == BDPO_CLIP_FAST && token->normalized;
    out->id = bdpo_clip_vocab_find(bpe->vocab, token->content, strlen(token->content));
    bdpo_runes_append_utf8(&runes, token->content, strlen(token->content));
    if (out->normalized) bdpo_clip_clean(&runes, &spare, bpe->pipeline);
    uint32_t *copy = runes.failed ? NULL : bdpo_arena_alloc(bpe->arena, runes.n + 1, sizeof *copy);
    if (copy && runes.n > 0) memcpy(copy, runes.data, runes.n * sizeof *copy);
    out->runes = copy;
    out->n = runes.n;
    bdpo_runes_release(&runes);
    bdpo_runes_release(&spare);
    return copy ? BDPO_OK : no_memory(path);
}

static bdpo_status set_all_added(bdpo_clip_bpe *bpe, const char *path,
                                 const bdpo_tokenizer_config *config, bool plain_pad)
{
    bpe->added = bdpo_arena_alloc(bpe->arena, config->n_added, sizeof *bpe->added);
    if (!bpe->added) return no_memory(path);
    for (size_t i = 0; i < config->n_added; i++) {
        const char *content = config->added[i].content;
        bool is_pad = strcmp(content, config->pad) == 0 && strcmp(content, config->end) != 0;
        if (plain_pad && is_pad) continue;
        TRY(set_added(&bpe->added[bpe->n_added++], bpe, path, &config->added[i]));
    }
    return BDPO_OK;
}

// Begin, end and pad must be there, though transformers would append them: what it appends has no
// row in the model's embedding table.
static bdpo_status finish_folder(bdpo_clip_bpe *bpe, const char *path, bool plain_pad)
{
    bdpo_tokenizer_config config;
    TRY(bdpo_tokenizer_config_read(&config, bpe->arena, path));
    bdpo_clip_bpe_info *info = &bpe->info;
    TRY(find_special(&info->begin, bpe, path, "begin", config.begin));
    TRY(find_special(&info->end, bpe, path, "end", config.end));
    TRY(find_special(&info->pad, bpe, path, "pad", config.pad));
    int32_t unknown = bdpo_clip_vocab_find(bpe->vocab, config.unknown, strlen(config.unknown));
    info->max_length = config.max_length;
    if (is_of_transformers(bpe->pipeline)) {
        for (size_t i = 0; i < config.n_added; i++) TRY(add_to_vocab(bpe, path, &config.added[i]));
        TRY(set_all_added(bpe, path, &config, plain_pad));
    }
    return bdpo_clip_vocab_seal(bpe->vocab, path, unknown);
}

static bdpo_status finish_packed(bdpo_clip_bpe *bpe, const char *path)
{
    bdpo_added_token marks[] = {{.content = "<|startoftext|>"}, {.content = "<|endoftext|>"}};
    bdpo_tokenizer_config config = {
        .end = marks[1].content, .pad = marks[1].content, .added = marks, .n_added = 2};
    TRY(find_special(&bpe->info.begin, bpe, path, "begin", marks[0].content));
    TRY(find_special(&bpe->info.end, bpe, path, "end", marks[1].content));
    bpe->info.pad = bpe->info.end;
    bpe->info.max_length = DEFAULT_LENGTH;
    if (is_of_transformers(bpe->pipeline)) TRY(set_all_added(bpe, path, &config, false));
    return bdpo_clip_vocab_seal(bpe->vocab, path, BDPO_CLIP_NO_ID);
}

// What both ways of loading end with.
static void finish(bdpo_clip_bpe *bpe)
{
    static const char *const marks[] = {"<|startoftext|>", "<|endoftext|>"};
    bdpo_clip_bpe_info *info = &bpe->info;
    info->n_ids = bdpo_clip_vocab_n_ids(bpe->vocab);
    if (!is_of_transformers(bpe->pipeline)) info->pad = 0; // as their tensors begin
    for (size_t i = 0; i < BDPO_COUNTOF(marks); i++) {
        int32_t id = bdpo_clip_vocab_find(bpe->vocab, marks[i], strlen(marks[i]));
        bpe->mark_ids[i + 1] = id == BDPO_CLIP_NO_ID ? info->end : id;
    }
}

static bdpo_status join(char path[MAX_PATH], const char *directory, const char *name)
{
    if (snprintf(path, MAX_PATH, "%s/%s", directory, name) < MAX_PATH) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: the path is too long", directory);
}

static bdpo_status read_folder(bdpo_clip_bpe *bpe, const char *directory)
{
    char path[MAX_PATH], other[MAX_PATH];
    TRY(join(path, directory, "vocab.json"));
    bdpo_status status = bdpo_vocab_json_read(bpe->vocab, path);
    if (status == BDPO_OK) {
        TRY(join(path, directory, "merges.txt"));
        return bdpo_merges_read(bpe->vocab, path);
    }
    if (status != BDPO_NOT_FOUND) return status;
    TRY(join(other, directory, "tokenizer.json"));
    status = bdpo_tokenizer_json_read(bpe->vocab, other);
    if (status != BDPO_NOT_FOUND) return status;
    return bdpo_fail(BDPO_NOT_FOUND, "%s: neither vocab.json nor tokenizer.json is there",
                     directory);
}

bdpo_status bdpo_clip_bpe_open(bdpo_clip_bpe **out, const char *directory,
                               const bdpo_clip_bpe_options *options)
{
    bdpo_clip_bpe *bpe = NULL;
    TRY(new_bpe(&bpe, directory, options));
    bdpo_status status = read_folder(bpe, directory);
    if (status == BDPO_OK) status = finish_folder(bpe, directory, options && options->plain_pad);
    if (status != BDPO_OK) {
        bdpo_clip_bpe_free(bpe);
        return status;
    }
    finish(bpe);
    *out = bpe;
    return BDPO_OK;
}

bdpo_status bdpo_clip_bpe_open_packed(bdpo_clip_bpe **out, const char *path,
                                      const bdpo_clip_bpe_options *options)
{
    bdpo_clip_bpe *bpe = NULL;
    TRY(new_bpe(&bpe, path, options));
    bdpo_status status = bdpo_packed_bpe_read(bpe->vocab, path);
    if (status == BDPO_OK) status = finish_packed(bpe, path);
    if (status != BDPO_OK) {
        bdpo_clip_bpe_free(bpe);
        return status;
    }
    finish(bpe);
    *out = bpe;
    return BDPO_OK;
}

bdpo_clip_bpe_info bdpo_clip_bpe_get_info(const bdpo_clip_bpe *bpe)
{
    return bpe->info;
}

// ---- text to ids ---------------------------------------------------------------------------

// What one call works with.
typedef struct work {
    const bdpo_clip_bpe *bpe;
    bdpo_runes text, piece, spare;
    bdpo_clip_ids ids;
    unsigned char *bytes; // of a word
    size_t capacity;
} work;

static void release(work *w)
{
    bdpo_runes_release(&w->text);
    bdpo_runes_release(&w->piece);
    bdpo_runes_release(&w->spare);
    bdpo_clip_ids_release(&w->ids);
    bdpo_free(w->bytes);
}

static bool reserve_bytes(work *w, size_t n_runes)
{
    size_t wanted;
    if (!bdpo_size_mul(&wanted, n_runes, 4)) wanted = SIZE_MAX;
    if (wanted <= w->capacity) return true;
    unsigned char *grown = bdpo_realloc(w->bytes, wanted, 1);
    w->ids.failed |= !grown;
    if (!grown) return false;
    w->bytes = grown;
    w->capacity = wanted;
    return true;
}

static void append_words(work *w, const bdpo_runes *text)
{
    bdpo_clip_cursor cursor = {0};
    bdpo_clip_mark mark;
    if (!text->data) return; // an empty text
    while (bdpo_clip_next_word(&mark, &cursor, text, w->bpe->pipeline)) {
        if (mark != BDPO_CLIP_NO_MARK) {
            bdpo_clip_ids_push(&w->ids, w->bpe->mark_ids[mark]);
            continue;
        }
        size_t n = 0;
        if (!reserve_bytes(w, cursor.next - cursor.at)) return;
        for (size_t i = cursor.at; i < cursor.next; i++)
            n += (size_t)bdpo_utf8_put(w->bytes + n, text->data[i]);
        bdpo_clip_ids_append_word(&w->ids, w->bpe->vocab, w->bytes, n);
    }
}

// The longest added token that the text has at `at`, or NULL.
static const added *find_added(const bdpo_clip_bpe *bpe, const bdpo_runes *text, size_t at,
                               bool normalized)
{
    const added *best = NULL;
    for (size_t i = 0; i < bpe->n_added; i++) {
        const added *a = &bpe->added[i];
        if (a->n == 0 || a->runes[0] != text->data[at] || a->normalized != normalized) continue;
        if (a->n > text->n - at || (best && a->n <= best->n)) continue;
        if (memcmp(a->runes, text->data + at, a->n * sizeof *a->runes) == 0) best = a;
    }
    return best;
}

// A part of cleaned text, in which the added tokens that are looked for there are cut out.
static void append_cleaned(work *w)
{
    size_t begin = 0;
    bdpo_runes part = w->piece;
    for (size_t i = 0; i < w->piece.n;) {
        const added *a = find_added(w->bpe, &w->piece, i, true);
        if (!a) {
            i++;
            continue;
        }
        part.data = w->piece.data + begin;
        part.n = i - begin;
        append_words(w, &part);
        bdpo_clip_ids_push(&w->ids, a->id);
        begin = i += a->n;
    }
    part.data = w->piece.data ? w->piece.data + begin : NULL;
    part.n = w->piece.n - begin;
    append_words(w, &part);
}

static void append_piece(work *w, size_t begin, size_t end)
{
    if (begin == end) return;
    w->piece.n = 0;
    bdpo_runes_append(&w->piece, w->text.data + begin, end - begin);
    if (!w->piece.failed) bdpo_clip_clean(&w->piece, &w->spare, w->bpe->pipeline);
    if (!w->piece.failed) append_cleaned(w);
}

static bdpo_status tokenize(work *w, const char *text, size_t size)
{
    size_t begin = 0;
    bdpo_runes_append_utf8(&w->text, text, size);
    for (size_t i = 0; i < w->text.n;) {
        const added *a = find_added(w->bpe, &w->text, i, false);
        if (!a) {
            i++;
            continue;
        }
        append_piece(w, begin, i);
        bdpo_clip_ids_push(&w->ids, a->id);
        begin = i += a->n;
    }
    append_piece(w, begin, w->text.n);
    if (w->text.failed || w->piece.failed || w->spare.failed || w->ids.failed)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory to tokenize a text of %zu bytes", size);
    return BDPO_OK;
}

bdpo_status bdpo_clip_bpe_tokens(const bdpo_clip_bpe *bpe, int32_t **ids, size_t *n_ids,
                                 const char *text, size_t size)
{
    work w = {.bpe = bpe};
    bdpo_status status = tokenize(&w, text, size);
    if (status == BDPO_OK) {
        *ids = w.ids.data;
        *n_ids = w.ids.n;
        w.ids.data = NULL;
    }
    release(&w);
    return status;
}

void bdpo_clip_cut_release(bdpo_clip_cut *cut)
{
    bdpo_free(cut->text);
    *cut = (bdpo_clip_cut){0};
}

bdpo_status bdpo_clip_bpe_encode(const bdpo_clip_bpe *bpe, int32_t *ids, int n_ids,
                                 bdpo_clip_cut *cut, const char *text, size_t size)
{
    BDPO_ASSERT(n_ids >= 2);
    work w = {.bpe = bpe};
    if (cut) *cut = (bdpo_clip_cut){0};
    bdpo_status status = tokenize(&w, text, size);
    if (status == BDPO_OK) {
        size_t room = (size_t)n_ids - 2, n = w.ids.n < room ? w.ids.n : room;
        ids[0] = bpe->info.begin;
        if (n > 0) memcpy(ids + 1, w.ids.data, n * sizeof *ids);
        ids[n + 1] = bpe->info.end;
        for (size_t i = n + 2; i < (size_t)n_ids; i++) ids[i] = bpe->info.pad;
        if (cut && w.ids.n > n) {
            cut->n_tokens = w.ids.n - n;
            status = bdpo_clip_bpe_text(bpe, &cut->text, w.ids.data + n, cut->n_tokens);
        }
    }
    release(&w);
    return status;
}

// ---- ids to text ---------------------------------------------------------------------------

// Appends the bytes that a token is spelled for; `out` holds them as runes below 256 for now.
static void append_bytes(bdpo_runes *out, const char *token)
{
    const unsigned char *p = (const unsigned char *)token;
    size_t size = strlen(token), at = 0;
    bool well_formed;
    bool ends = size > 4 && memcmp(token + size - 4, "</w>", 4) == 0;
    if (ends) size -= 4;
    while (at < size) {
        size_t begin = at;
        int byte = bdpo_clip_rune_byte(bdpo_utf8_next(p, size, &at, &well_formed));
        if (byte >= 0)
            bdpo_runes_push(out, (uint32_t)byte);
        else // an added token's own characters
            for (size_t i = begin; i < at; i++) bdpo_runes_push(out, p[i]);
    }
    if (ends) bdpo_runes_push(out, ' ');
}

// Bytes as text: ill-formed ones as U+FFFD, spaces at both ends dropped.
static char *text_of_bytes(const bdpo_runes *bytes)
{
    unsigned char *narrow = bdpo_alloc(bytes->n + 1, 1);
    char *out = bdpo_alloc(bytes->n + 1, 3); // U+FFFD has three
    size_t n = bytes->n, at = 0, size = 0;
    bool well_formed;
    if (narrow && out) {
        for (size_t i = 0; i < n; i++) narrow[i] = (unsigned char)bytes->data[i];
        while (n > 0 && narrow[n - 1] == ' ') n--;
        while (at < n && narrow[at] == ' ') at++;
        while (at < n)
            size += (size_t)bdpo_utf8_put((unsigned char *)out + size,
                                          bdpo_utf8_next(narrow, n, &at, &well_formed));
    } else {
        bdpo_free(out);
        out = NULL;
    }
    bdpo_free(narrow);
    return out;
}

bdpo_status bdpo_clip_bpe_text(const bdpo_clip_bpe *bpe, char **out, const int32_t *ids,
                               size_t n_ids)
{
    bdpo_runes bytes = {0};
    for (size_t i = 0; i < n_ids; i++) {
        const char *token = bdpo_clip_vocab_token(bpe->vocab, ids[i]);
        if (token) append_bytes(&bytes, token);
    }
    *out = bytes.failed ? NULL : text_of_bytes(&bytes);
    bdpo_runes_release(&bytes);
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for the text of %zu ids", n_ids);
}
