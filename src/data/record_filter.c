// Filters. What they remember of the rows: 16 bytes of a hash for each, for duplicates only.
#include "data/record_filter.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/charset.h"
#include "formats/image_size.h"
#include "formats/line_reader.h"
#include "formats/printable.h"
#include "formats/sha256.h"
#include "text/unicode.h"

enum { MAX_LINE = 4096 };

typedef struct seen_key {
    uint64_t high, low; // both 0: an empty place
} seen_key;

struct bdpo_record_filter {
    const bdpo_record_options *options; // borrowed
    const char *data_set;               // borrowed
    int64_t *indices;                   // sorted
    size_t n_indices, indices_capacity;
    bdpo_arena *arena; // of the words
    const char **words;
    size_t n_words, words_capacity;
    bdpo_runes lower; // of the prompt
    bdpo_growing lower_text;
    seen_key *seen; // a hash table of 2^k places, at most half of them taken
    size_t n_seen, seen_capacity;
};

// ---- lists ---------------------------------------------------------------------------------

typedef bdpo_status (*line_taker)(bdpo_record_filter *f, bdpo_line *line, const char *path);

// Each line that is not blank, without white space around it.
static bdpo_status read_list(bdpo_record_filter *f, const char *path, line_taker take)
{
    bdpo_line_reader *lines;
    bdpo_line *line;
    TRY(bdpo_line_reader_open(&lines, path, MAX_LINE));
    bdpo_status status;
    while ((status = bdpo_line_reader_next(&line, lines)) == BDPO_OK && line) {
        while (line->size > 0 && strchr(" \t", line->text[line->size - 1])) line->size--;
        line->text[line->size] = '\0';
        size_t blank = strspn(line->text, " \t");
        line->text += blank;
        line->size -= blank;
        if (line->too_long || strlen(line->text) < line->size)
            status = bdpo_fail(BDPO_BAD_FILE, "%s, line %jd: expected a short line of text", path,
                               (intmax_t)line->number);
        else if (line->size > 0)
            status = take(f, line, path);
        if (status != BDPO_OK) break;
    }
    bdpo_line_reader_close(lines);
    return status;
}

static bdpo_status take_index(bdpo_record_filter *f, bdpo_line *line, const char *path)
{
    char *end;
    errno = 0;
    int64_t index = strtoll(line->text, &end, 10);
    if (*end != '\0' || index < 0 || errno != 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s, line %jd: found %s, expected an index from 0", path,
                         (intmax_t)line->number, bdpo_printable(line->text).text);
    if (f->n_indices == f->indices_capacity) {
        size_t capacity = f->indices_capacity < 256 ? 256 : 2 * f->indices_capacity;
        int64_t *grown = bdpo_realloc(f->indices, capacity, sizeof *grown);
        if (!grown) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for indices", path);
        f->indices = grown;
        f->indices_capacity = capacity;
    }
    f->indices[f->n_indices++] = index;
    return BDPO_OK;
}

// *out = the lower case of a text, in f->lower_text.
static bdpo_status make_lower(const char **out, bdpo_record_filter *f, const char *text,
                              size_t size)
{
    unsigned char bytes[4];
    f->lower.n = f->lower_text.size = 0;
    bdpo_runes_append_utf8(&f->lower, text, size);
    bdpo_runes_lower(&f->lower, BDPO_UNICODE_RUST);
    TRY(bdpo_runes_check(&f->lower));
    bool room = true;
    for (size_t i = 0; room && i < f->lower.n; i++)
        room =
            bdpo_growing_add(&f->lower_text, bytes, (size_t)bdpo_utf8_put(bytes, f->lower.data[i]));
    if (!room || !bdpo_growing_add(&f->lower_text, "", 1))
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a prompt");
    *out = (const char *)f->lower_text.data;
    return BDPO_OK;
}

static bdpo_status take_word(bdpo_record_filter *f, bdpo_line *line, const char *path)
{
    const char *lower;
    if (!bdpo_utf8_is_valid(line->text, line->size))
        return bdpo_fail(BDPO_BAD_FILE, "%s, line %jd: is not UTF-8", path, (intmax_t)line->number);
    TRY(make_lower(&lower, f, line->text, line->size));
    if (f->n_words == f->words_capacity) {
        size_t capacity = f->words_capacity < 64 ? 64 : 2 * f->words_capacity;
        const char **grown = bdpo_realloc(f->words, capacity, sizeof *grown);
        if (!grown) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for words", path);
        f->words = grown;
        f->words_capacity = capacity;
    }
    f->words[f->n_words] = bdpo_arena_strdup(f->arena, lower);
    if (!f->words[f->n_words++]) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory", path);
    return BDPO_OK;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static bdpo_status read_lists(bdpo_record_filter *f, const bdpo_record_options *o)
{
    TRY(bdpo_arena_new(&f->arena));
    if (o->banned_words) TRY(read_list(f, o->banned_words, take_word));
    if (o->index_list) TRY(read_list(f, o->index_list, take_index));
    if (f->n_indices > 1) qsort(f->indices, f->n_indices, sizeof *f->indices, compare);
    return BDPO_OK;
}

bdpo_status bdpo_record_filter_new(bdpo_record_filter **out, const bdpo_record_options *options,
                                   const char *data_set)
{
    bdpo_record_filter *f = bdpo_alloc(1, sizeof *f);
    if (!f) return bdpo_fail(BDPO_NO_MEMORY, "no memory for filters");
    f->options = options;
    f->data_set = data_set;
    bdpo_status status = read_lists(f, options);
    if (status != BDPO_OK) {
        bdpo_record_filter_free(f);
        return status;
    }
    *out = f;
    return BDPO_OK;
}

void bdpo_record_filter_free(bdpo_record_filter *f)
{
    if (!f) return;
    if (f->arena) bdpo_arena_free(f->arena);
    bdpo_runes_release(&f->lower);
    bdpo_free(f->lower_text.data);
    bdpo_free(f->indices);
    bdpo_free(f->words);
    bdpo_free(f->seen);
    bdpo_free(f);
}

// ---- subsets -------------------------------------------------------------------------------

static uint64_t hex_u64(const char *hex)
{
    char text[17] = {0};
    memcpy(text, hex, 16);
    return strtoull(text, NULL, 16);
}

// The first 53 bits of SHA-256("NAME\nINDEX") as a fraction: anyone can compute it again.
static bdpo_status hash_unit(double *out, const char *data_set, int64_t index)
{
    char text[1024];
    bdpo_sha256_text hash;
    int n = snprintf(text, sizeof text, "%.990s\n%" PRId64, data_set, index);
    TRY(bdpo_sha256(&hash, text, (size_t)n));
    *out = (double)(hex_u64(hash.hex) >> 11) * 0x1p-53;
    return BDPO_OK;
}

bdpo_status bdpo_record_filter_has(bool *out, const bdpo_record_filter *f, int64_t index)
{
    const bdpo_record_options *o = f->options;
    *out = index >= o->first && (o->end == 0 || index < o->end);
    if (*out && o->index_list)
        *out = f->n_indices > 0 &&
               bsearch(&index, f->indices, f->n_indices, sizeof index, compare) != NULL;
    if (!*out || o->hash_to <= 0) return BDPO_OK;
    double at;
    TRY(hash_unit(&at, f->data_set, index));
    *out = at >= o->hash_from && at < o->hash_to;
    return BDPO_OK;
}

// ---- words ---------------------------------------------------------------------------------

// Scripts without spaces between words: Thai and Lao, Burmese, Khmer, and from 0x2e80 on Chinese
// and Japanese. A listed word may stand anywhere in them.
static bool is_unspaced(uint32_t rune)
{
    return (rune >= 0x0e00 && rune < 0x0f00) || (rune >= 0x1000 && rune < 0x10a0) ||
           (rune >= 0x1780 && rune < 0x1800) || rune >= 0x2e80;
}

static bool joins_words(uint32_t rune)
{
    bdpo_rune_kind kind = bdpo_rune_get_kind(rune, BDPO_UNICODE_RUST);
    return (kind == BDPO_RUNE_LETTER || kind == BDPO_RUNE_NUMBER) && !is_unspaced(rune);
}

static uint32_t rune_before(const char *text, const char *at)
{
    bool well_formed;
    size_t from = (size_t)(at - text);
    if (from == 0) return ' ';
    do from--;
    while (from > 0 && ((unsigned char)text[from] & 0xc0) == 0x80);
    return bdpo_utf8_next((const unsigned char *)text, (size_t)(at - text), &from, &well_formed);
}

static uint32_t rune_at(const char *at)
{
    bool well_formed;
    size_t i = 0;
    if (!*at) return ' ';
    return bdpo_utf8_next((const unsigned char *)at, strlen(at), &i, &well_formed);
}

bool bdpo_text_has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    if (length == 0) return false;
    bool joins_first = joins_words(rune_at(word));
    bool joins_last = joins_words(rune_before(word, word + length));
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) {
        bool inside = (joins_first && joins_words(rune_before(text, at))) ||
                      (joins_last && joins_words(rune_at(at + length)));
        if (!inside) return true;
    }
    return false;
}

bdpo_status bdpo_record_filter_words(bdpo_row *row, bdpo_record_filter *f)
{
    const bdpo_record_options *o = f->options;
    const bdpo_record *record = &row->record;
    if (o->drop_ties && record->label == 0.5) bdpo_row_drop(row, BDPO_DROP_TIE, "%s", "");
    if (o->drop_unlabelled && record->n_pictures == 2 && isnan(record->label))
        bdpo_row_drop(row, BDPO_DROP_UNLABELLED, "%s", "");
    if (row->kind != BDPO_ROW_RECORD || f->n_words == 0) return BDPO_OK;
    const char *lower;
    TRY(make_lower(&lower, f, record->prompt, record->prompt_size));
    for (size_t i = 0; i < f->n_words && row->kind == BDPO_ROW_RECORD; i++)
        if (bdpo_text_has_word(lower, f->words[i])) bdpo_row_drop(row, BDPO_DROP_WORD, "%s", "");
    return BDPO_OK;
}

// ---- pictures ------------------------------------------------------------------------------

static void check_side(bdpo_row *row, int min_side, const bdpo_picture_bytes *bytes,
                       const char *name)
{
    int width, height;
    if (bdpo_image_size(&width, &height, bytes->data, bytes->size, name) != BDPO_OK)
        bdpo_row_drop(row, BDPO_DROP_UNREADABLE, "%s", bdpo_message());
    else if (width < min_side || height < min_side)
        bdpo_row_drop(row, BDPO_DROP_SMALL, "%.400s: %d x %d pixels", name, width, height);
}

// Whether the key is new; adds it.
static bool add_key(bdpo_record_filter *f, seen_key key)
{
    size_t at = (size_t)key.high & (f->seen_capacity - 1);
    for (; f->seen[at].high || f->seen[at].low; at = (at + 1) & (f->seen_capacity - 1))
        if (f->seen[at].high == key.high && f->seen[at].low == key.low) return false;
    f->seen[at] = key;
    f->n_seen++;
    return true;
}

static bool grow_seen(bdpo_record_filter *f)
{
    if (f->n_seen * 2 < f->seen_capacity) return true;
    size_t old_capacity = f->seen_capacity, capacity = old_capacity ? 2 * old_capacity : 1024;
    seen_key *old = f->seen, *grown = bdpo_alloc(capacity, sizeof *grown);
    if (!grown) return false;
    f->seen = grown;
    f->seen_capacity = capacity;
    f->n_seen = 0;
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].high || old[i].low) (void)add_key(f, old[i]);
    bdpo_free(old);
    return true;
}

static bdpo_status check_duplicate(bdpo_row *row, bdpo_record_filter *f, bdpo_sha256_text hashes[2])
{
    const bdpo_record *r = &row->record;
    bdpo_sha256_stream *stream;
    bdpo_sha256_text hash;
    bool swapped = r->n_pictures == 2 && strcmp(hashes[0].hex, hashes[1].hex) > 0;
    TRY(bdpo_sha256_new(&stream));
    bdpo_status status = bdpo_sha256_add(stream, r->prompt, r->prompt_size + 1); // with its zero
    for (int k = 0; k < r->n_pictures && status == BDPO_OK; k++)
        status = bdpo_sha256_add(stream, hashes[swapped ? 1 - k : k].hex, 2 * BDPO_SHA256_BYTES);
    if (status != BDPO_OK) {
        bdpo_sha256_free(stream);
        return status;
    }
    TRY(bdpo_sha256_finish(&hash, stream));
    if (!grow_seen(f)) return bdpo_fail(BDPO_NO_MEMORY, "no memory to find duplicates");
    if (!add_key(f, (seen_key){hex_u64(hash.hex), hex_u64(hash.hex + 16)}))
        bdpo_row_drop(row, BDPO_DROP_DUPLICATE, "%s", "");
    return BDPO_OK;
}

// Of a set without pictures the uids stand for them; where there are none, nothing is known.
static bdpo_status check_uids(bdpo_row *row, bdpo_record_filter *f)
{
    bdpo_sha256_text hashes[2];
    for (int k = 0; k < row->record.n_pictures; k++) {
        const char *uid = row->record.pictures[k].uid;
        if (!uid) return BDPO_OK;
        TRY(bdpo_sha256(&hashes[k], uid, strlen(uid)));
    }
    return check_duplicate(row, f, hashes);
}

static bdpo_status check_bytes(bdpo_row *row, bdpo_record_filter *f)
{
    bdpo_sha256_text hashes[2];
    for (int k = 0; k < row->record.n_pictures && row->kind == BDPO_ROW_RECORD; k++) {
        const bdpo_record_picture *picture = &row->record.pictures[k];
        bdpo_picture_bytes bytes;
        bdpo_status status = bdpo_picture_bytes_get(&bytes, picture);
        if (status == BDPO_NO_MEMORY) return status;
        if (status != BDPO_OK) {
            bdpo_row_drop(row, BDPO_DROP_MISSING_FILE, "%s", bdpo_message());
            return BDPO_OK;
        }
        if (f->options->min_side > 0) check_side(row, f->options->min_side, &bytes, picture->name);
        if (f->options->drop_duplicates) status = bdpo_sha256(&hashes[k], bytes.data, bytes.size);
        bdpo_picture_bytes_release(&bytes);
        TRY(status);
    }
    if (row->kind != BDPO_ROW_RECORD || !f->options->drop_duplicates) return BDPO_OK;
    return check_duplicate(row, f, hashes);
}

bdpo_status bdpo_record_filter_pictures(bdpo_row *row, bdpo_record_filter *f)
{
    const bdpo_record_picture *first = &row->record.pictures[0];
    if (f->options->min_side <= 0 && !f->options->drop_duplicates) return BDPO_OK;
    if (first->data || first->path) return check_bytes(row, f);
    return f->options->drop_duplicates ? check_uids(row, f) : BDPO_OK;
}
