// Tokens by spelling and by id, merges by pair: two hash tables with open addressing.
#include "text/clip_vocab.h"

#include <string.h>

#include "base/memory.h"
#include "formats/printable.h"
#include "text/runes.h"

typedef struct merge {
    int32_t left, right, id; // left is BDPO_CLIP_NO_ID in an empty slot
    uint32_t rank;
} merge;

struct bdpo_clip_vocab {
    bdpo_arena *spellings;
    const char **tokens; // [n_ids], NULL where no token has the id
    int n_ids, ids_capacity;
    int32_t *slots; // by spelling: ids; a power of two, at least twice as many as tokens
    size_t n_slots, n_tokens;
    merge *merges; // by pair, likewise
    size_t n_merge_slots, n_merges;
    int32_t bytes[2][256]; // [ends a word][byte]
};

// ---- bytes and their characters ------------------------------------------------------------

static bool stands_for_itself(uint32_t byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
           (byte >= 174 && byte <= 255);
}

// 0-32, 127-160 and 173, in this order, are U+0100 to U+0143.
uint32_t bdpo_clip_byte_rune(unsigned char byte)
{
    if (stands_for_itself(byte)) return byte;
    return 256u + (byte <= 32 ? byte : byte <= 160 ? byte - 127u + 33u : 67u);
}

int bdpo_clip_rune_byte(uint32_t rune)
{
    if (rune < 256) return stands_for_itself(rune) ? (int)rune : -1;
    uint32_t k = rune - 256;
    return k <= 32 ? (int)k : k <= 66 ? (int)(k - 33 + 127) : k == 67 ? 173 : -1;
}

// ---- tokens --------------------------------------------------------------------------------

bdpo_status bdpo_clip_vocab_new(bdpo_clip_vocab **out)
{
    bdpo_clip_vocab *v = bdpo_alloc(1, sizeof *v);
    if (!v) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a vocabulary");
    bdpo_status status = bdpo_arena_new(&v->spellings);
    if (status != BDPO_OK) {
        bdpo_free(v);
        return status;
    }
    *out = v;
    return BDPO_OK;
}

void bdpo_clip_vocab_free(bdpo_clip_vocab *v)
{
    if (!v) return;
    bdpo_arena_free(v->spellings);
    bdpo_free(v->tokens);
    bdpo_free(v->slots);
    bdpo_free(v->merges);
    bdpo_free(v);
}

static uint64_t mix(uint64_t z) // the end of splitmix64
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t hash_of(const char *token, size_t size)
{
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (size_t i = 0; i < size; i++) hash = (hash ^ (unsigned char)token[i]) * 1099511628211u;
    return mix(hash);
}

// The slot of a spelling: with its id, or the empty one where it belongs.
static size_t slot_of(const bdpo_clip_vocab *v, const char *token, size_t size)
{
    size_t mask = v->n_slots - 1, slot = hash_of(token, size) & mask;
    for (;; slot = (slot + 1) & mask) {
        if (v->slots[slot] == BDPO_CLIP_NO_ID) return slot;
        const char *other = v->tokens[v->slots[slot]];
        if (strlen(other) == size && memcmp(other, token, size) == 0) return slot;
    }
}

static bdpo_status no_memory(const char *file)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its vocabulary", file);
}

static bdpo_status grow_slots(bdpo_clip_vocab *v, const char *file)
{
    size_t n = v->n_slots ? v->n_slots * 2 : 1024;
    int32_t *slots = bdpo_alloc(n, sizeof *slots);
    if (!slots) return no_memory(file);
    for (size_t i = 0; i < n; i++) slots[i] = BDPO_CLIP_NO_ID;
    bdpo_free(v->slots);
    v->slots = slots;
    v->n_slots = n;
    for (int32_t id = 0; id < v->n_ids; id++)
        if (v->tokens[id]) slots[slot_of(v, v->tokens[id], strlen(v->tokens[id]))] = id;
    return BDPO_OK;
}

static bdpo_status grow_ids(bdpo_clip_vocab *v, const char *file, int32_t id)
{
    if (id >= v->ids_capacity) {
        int capacity = id + 1 > 2 * v->ids_capacity ? id + 1 : 2 * v->ids_capacity;
        const char **tokens = bdpo_realloc(v->tokens, (size_t)capacity, sizeof *tokens);
        if (!tokens) return no_memory(file);
        v->tokens = tokens;
        v->ids_capacity = capacity;
    }
    while (v->n_ids <= id) v->tokens[v->n_ids++] = NULL;
    return BDPO_OK;
}

bdpo_status bdpo_clip_vocab_add(bdpo_clip_vocab *v, const char *file, const char *token,
                                size_t size, int64_t id)
{
    if (id < 0 || id >= BDPO_CLIP_MAX_IDS)
        return bdpo_fail(BDPO_BAD_FILE, "%s: token %s has the id %lld, expected 0 to %d", file,
                         bdpo_printable(token).text, (long long)id, BDPO_CLIP_MAX_IDS - 1);
    if (2 * (v->n_tokens + 1) > v->n_slots) TRY(grow_slots(v, file));
    if (id < v->n_ids && v->tokens[id])
        return bdpo_fail(BDPO_BAD_FILE, "%s: tokens %s and %s have the same id %d", file,
                         bdpo_printable(v->tokens[id]).text, bdpo_printable(token).text, (int)id);
    if (v->slots[slot_of(v, token, size)] != BDPO_CLIP_NO_ID)
        return bdpo_fail(BDPO_BAD_FILE, "%s: token %s is there twice", file,
                         bdpo_printable(token).text);
    TRY(grow_ids(v, file, (int32_t)id));
    char *copy = bdpo_arena_alloc(v->spellings, size + 1, 1);
    if (!copy) return no_memory(file);
    memcpy(copy, token, size);
    v->slots[slot_of(v, token, size)] = (int32_t)id;
    v->tokens[id] = copy;
    v->n_tokens++;
    return BDPO_OK;
}

int bdpo_clip_vocab_n_ids(const bdpo_clip_vocab *v)
{
    return v->n_ids;
}

int32_t bdpo_clip_vocab_find(const bdpo_clip_vocab *v, const char *token, size_t size)
{
    return v->n_slots == 0 ? BDPO_CLIP_NO_ID : v->slots[slot_of(v, token, size)];
}

const char *bdpo_clip_vocab_token(const bdpo_clip_vocab *v, int32_t id)
{
    return id >= 0 && id < v->n_ids ? v->tokens[id] : NULL;
}

// ---- merges --------------------------------------------------------------------------------

static size_t merge_slot(const bdpo_clip_vocab *v, int32_t left, int32_t right)
{
    size_t mask = v->n_merge_slots - 1;
    size_t slot = mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right) & mask;
    for (;; slot = (slot + 1) & mask) {
        const merge *m = &v->merges[slot];
        if (m->left == BDPO_CLIP_NO_ID || (m->left == left && m->right == right)) return slot;
    }
}

static bdpo_status grow_merges(bdpo_clip_vocab *v, const char *file)
{
    size_t old_n = v->n_merge_slots;
    merge *old = v->merges;
    size_t n = old_n ? old_n * 2 : 1024;
    merge *merges = bdpo_alloc(n, sizeof *merges);
    if (!merges) return no_memory(file);
    for (size_t i = 0; i < n; i++) merges[i].left = BDPO_CLIP_NO_ID;
    v->merges = merges;
    v->n_merge_slots = n;
    for (size_t i = 0; i < old_n; i++)
        if (old[i].left != BDPO_CLIP_NO_ID)
            merges[merge_slot(v, old[i].left, old[i].right)] = old[i];
    bdpo_free(old);
    return BDPO_OK;
}

static bdpo_status find_part(int32_t *id, const bdpo_clip_vocab *v, const char *file,
                             const char *part, size_t size)
{
    *id = bdpo_clip_vocab_find(v, part, size);
    if (*id != BDPO_CLIP_NO_ID) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: merge %zu names \"%.*s\", which is not in the vocabulary",
                     file, v->n_merges + 1, (int)size, part);
}

bdpo_status bdpo_clip_vocab_add_merge(bdpo_clip_vocab *v, const char *file, const char *left,
                                      size_t left_size, const char *right, size_t right_size)
{
    enum { MAX_SPELLING = 4096 };
    char whole[MAX_SPELLING];
    merge m = {.rank = (uint32_t)v->n_merges};
    if (left_size >= MAX_SPELLING || right_size >= MAX_SPELLING - left_size)
        return bdpo_fail(BDPO_BAD_FILE, "%s: merge %zu makes a token of %zu bytes, at most %d",
                         file, v->n_merges + 1, left_size + right_size, MAX_SPELLING - 1);
    memcpy(whole, left, left_size);
    memcpy(whole + left_size, right, right_size);
    TRY(find_part(&m.left, v, file, left, left_size));
    TRY(find_part(&m.right, v, file, right, right_size));
    TRY(find_part(&m.id, v, file, whole, left_size + right_size));
    if (2 * (v->n_merges + 1) > v->n_merge_slots) TRY(grow_merges(v, file));
    v->merges[merge_slot(v, m.left, m.right)] = m; // of a pair that is there twice the later counts
    v->n_merges++;
    return BDPO_OK;
}

int32_t bdpo_clip_vocab_merge(const bdpo_clip_vocab *v, uint32_t *rank, int32_t left, int32_t right)
{
    if (v->n_merge_slots == 0) return BDPO_CLIP_NO_ID;
    const merge *m = &v->merges[merge_slot(v, left, right)];
    if (m->left == BDPO_CLIP_NO_ID) return BDPO_CLIP_NO_ID;
    *rank = m->rank;
    return m->id;
}

// ---- single bytes --------------------------------------------------------------------------

bdpo_status bdpo_clip_vocab_seal(bdpo_clip_vocab *v, const char *file, int32_t unknown)
{
    for (int byte = 0; byte < 256; byte++) {
        unsigned char spelling[8];
        size_t size = (size_t)bdpo_utf8_put(spelling, bdpo_clip_byte_rune((unsigned char)byte));
        memcpy(spelling + size, "</w>", sizeof "</w>");
        for (int ends = 0; ends < 2; ends++) {
            size_t whole = size + (ends ? 4 : 0);
            int32_t id = bdpo_clip_vocab_find(v, (const char *)spelling, whole);
            v->bytes[ends][byte] = id == BDPO_CLIP_NO_ID ? unknown : id;
            if (v->bytes[ends][byte] == BDPO_CLIP_NO_ID)
                return bdpo_fail(BDPO_BAD_FILE,
                                 "%s: no token \"%.*s\" (byte %d) and none for the unknown", file,
                                 (int)whole, (const char *)spelling, byte);
        }
    }
    return BDPO_OK;
}

int32_t bdpo_clip_vocab_byte(const bdpo_clip_vocab *v, unsigned char byte, bool ends_word)
{
    return v->bytes[ends_word][byte];
}
