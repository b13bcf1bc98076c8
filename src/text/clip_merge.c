// Merges in the order of their rank: over a short array for words as people write them, over a
// linked list with a heap for long ones.
#include "text/clip_merge.h"

#include <string.h>

#include "base/memory.h"

enum { SHORT_WORD = 48 };
static const uint32_t none = UINT32_MAX; // no rank, no neighbour

void bdpo_clip_ids_release(bdpo_clip_ids *ids)
{
    bdpo_free(ids->data);
    bdpo_free(ids->links);
    *ids = (bdpo_clip_ids){0};
}

static bool reserve(bdpo_clip_ids *ids, size_t more)
{
    size_t wanted;
    if (ids->failed) return false;
    if (more <= ids->capacity - ids->n) return true;
    ids->failed = true;
    if (!bdpo_size_add(&wanted, ids->capacity, more) || !bdpo_size_mul(&wanted, wanted, 2))
        return false;
    int32_t *grown = bdpo_realloc(ids->data, wanted, sizeof *grown);
    if (!grown) return false;
    ids->data = grown;
    ids->capacity = wanted;
    ids->failed = false;
    return true;
}

void bdpo_clip_ids_push(bdpo_clip_ids *ids, int32_t id)
{
    if (reserve(ids, 1)) ids->data[ids->n++] = id;
}

// ---- short words ---------------------------------------------------------------------------

static uint32_t rank_of(const bdpo_clip_vocab *vocab, int32_t left, int32_t right)
{
    uint32_t rank = none;
    return bdpo_clip_vocab_merge(vocab, &rank, left, right) == BDPO_CLIP_NO_ID ? none : rank;
}

// Merges s[n] in place; returns how many are left.
static size_t merge_short(int32_t *s, size_t n, const bdpo_clip_vocab *vocab)
{
    uint32_t ranks[SHORT_WORD], unused; // of s[i] and s[i + 1]
    for (size_t i = 0; i + 1 < n; i++) ranks[i] = rank_of(vocab, s[i], s[i + 1]);
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (n < 2 || ranks[best] == none) return n;
        s[best] = bdpo_clip_vocab_merge(vocab, &unused, s[best], s[best + 1]);
        n--;
        memmove(s + best + 1, s + best + 2, (n - best - 1) * sizeof *s);
        if (best + 1 < n) memmove(ranks + best, ranks + best + 1, (n - best - 1) * sizeof *ranks);
        if (best > 0) ranks[best - 1] = rank_of(vocab, s[best - 1], s[best]);
        if (best + 1 < n) ranks[best] = rank_of(vocab, s[best], s[best + 1]);
    }
}

// ---- long words ----------------------------------------------------------------------------

// A word as a list, and a heap of the merges that were possible when they were pushed, as
// rank << 32 | place. One that no longer is, is passed over: the pair at its place has another rank
// (a rank belongs to one pair) or the place was merged away.
typedef struct list {
    const bdpo_clip_vocab *vocab;
    int32_t *s;
    uint32_t *next, *previous;
    uint64_t *heap;
    size_t n_heap;
} list;

static void push(list *l, uint64_t key)
{
    size_t i = l->n_heap++;
    for (; i > 0 && l->heap[(i - 1) / 2] > key; i = (i - 1) / 2) l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = key;
}

static uint64_t pop(list *l)
{
    uint64_t top = l->heap[0], last = l->heap[--l->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= l->n_heap) break;
        if (child + 1 < l->n_heap && l->heap[child + 1] < l->heap[child]) child++;
        if (l->heap[child] >= last) break;
        l->heap[i] = l->heap[child];
        i = child;
    }
    l->heap[i] = last;
    return top;
}

static void push_pair(list *l, uint32_t place)
{
    if (place == none || l->next[place] == none) return;
    uint32_t rank = rank_of(l->vocab, l->s[place], l->s[l->next[place]]);
    if (rank != none) push(l, (uint64_t)rank << 32 | place);
}

static void merge_at(list *l, uint32_t place, uint32_t rank)
{
    uint32_t right = l->next[place], found = none;
    if (l->s[place] == BDPO_CLIP_NO_ID || right == none) return;
    int32_t id = bdpo_clip_vocab_merge(l->vocab, &found, l->s[place], l->s[right]);
    if (id == BDPO_CLIP_NO_ID || found != rank) return;
    l->s[place] = id;
    l->s[right] = BDPO_CLIP_NO_ID;
    l->next[place] = l->next[right];
    if (l->next[right] != none) l->previous[l->next[right]] = place;
    push_pair(l, l->previous[place]);
    push_pair(l, place);
}

// Room for two links and three entries of the heap for each of n: every pair is pushed once, and
// each of at most n merges pushes two more.
static bool reserve_links(bdpo_clip_ids *ids, size_t n)
{
    size_t wanted;
    if (n < none && bdpo_size_mul(&wanted, n, 8)) {
        if (wanted <= ids->links_size) return true;
        bdpo_free(ids->links);
        ids->links = bdpo_alloc(wanted, sizeof *ids->links);
        ids->links_size = ids->links ? wanted : 0;
        if (ids->links) return true;
    }
    ids->failed = true;
    return false;
}

static size_t merge_long(bdpo_clip_ids *ids, int32_t *s, size_t n, const bdpo_clip_vocab *vocab)
{
    list l = {.vocab = vocab, .s = s};
    size_t out = 0;
    if (!reserve_links(ids, n)) return 0;
    l.heap = (uint64_t *)(void *)ids->links;
    l.next = ids->links + 6 * n;
    l.previous = l.next + n;
    for (size_t i = 0; i < n; i++) {
        l.next[i] = i + 1 < n ? (uint32_t)(i + 1) : none;
        l.previous[i] = i > 0 ? (uint32_t)(i - 1) : none;
    }
    for (size_t i = 0; i < n; i++) push_pair(&l, (uint32_t)i);
    while (l.n_heap > 0) {
        uint64_t top = pop(&l);
        merge_at(&l, (uint32_t)top, (uint32_t)(top >> 32));
    }
    for (size_t i = 0; i < n; i++)
        if (s[i] != BDPO_CLIP_NO_ID) s[out++] = s[i];
    return out;
}

void bdpo_clip_ids_append_word(bdpo_clip_ids *ids, const bdpo_clip_vocab *vocab,
                               const unsigned char *word, size_t n)
{
    if (!reserve(ids, n)) return;
    int32_t *s = ids->data + ids->n;
    for (size_t i = 0; i < n; i++) s[i] = bdpo_clip_vocab_byte(vocab, word[i], i + 1 == n);
    ids->n += n <= SHORT_WORD ? merge_short(s, n, vocab) : merge_long(ids, s, n, vocab);
}
