// A table of chains, and a list from the longest unused to the last used.
#include "scorers/feature_cache.h"

#include <string.h>

#include "base/memory.h"

typedef struct slot slot;
struct slot {
    bdpo_feature feature; // first: given out as this
    slot *chain;
    slot *older, *newer;
    const void *pass;
    uint64_t hash;
    size_t key_size, bytes;
    unsigned char key[];
};

struct bdpo_feature_cache {
    slot **chains;
    size_t n_chains, count; // n_chains: a power of two
    slot *oldest, *newest;
    size_t bytes, budget;
};

enum { FIRST_CHAINS = 256 };

bdpo_status bdpo_feature_cache_new(bdpo_feature_cache **out, size_t budget)
{
    bdpo_feature_cache *c = bdpo_alloc(1, sizeof *c);
    if (c) c->chains = bdpo_alloc(FIRST_CHAINS, sizeof(slot *));
    if (!c || !c->chains) {
        bdpo_free(c);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scoring session");
    }
    c->n_chains = FIRST_CHAINS;
    c->budget = budget;
    *out = c;
    return BDPO_OK;
}

// FNV-1a of the key, begun with the pass.
static uint64_t hash_of(const void *pass, const void *key, size_t size)
{
    const unsigned char *bytes = key;
    uint64_t h = 14695981039346656037u ^ (uint64_t)(uintptr_t)pass;
    for (size_t i = 0; i < size; i++) h = (h ^ bytes[i]) * 1099511628211u;
    return h ^ h >> 32;
}

// ---- the list ----------------------------------------------------------------------------------

static void unlink_slot(bdpo_feature_cache *c, slot *s)
{
    if (s->older)
        s->older->newer = s->newer;
    else
        c->oldest = s->newer;
    if (s->newer)
        s->newer->older = s->older;
    else
        c->newest = s->older;
}

static void append(bdpo_feature_cache *c, slot *s)
{
    s->older = c->newest;
    s->newer = NULL;
    if (c->newest)
        c->newest->newer = s;
    else
        c->oldest = s;
    c->newest = s;
}

static void drop(bdpo_feature_cache *c, slot *s)
{
    slot **at = &c->chains[s->hash & (c->n_chains - 1)];
    while (*at != s) at = &(*at)->chain;
    *at = s->chain;
    unlink_slot(c, s);
    c->bytes -= s->bytes;
    c->count--;
    bdpo_free_aligned(s->feature.data);
    bdpo_free(s);
}

// ---- the calls ---------------------------------------------------------------------------------

static void grow(bdpo_feature_cache *c)
{
    slot **chains = bdpo_alloc(2 * c->n_chains, sizeof(slot *));
    if (!chains) return; // longer chains do as well
    bdpo_free(c->chains);
    c->chains = chains;
    c->n_chains *= 2;
    for (slot *s = c->oldest; s; s = s->newer) {
        slot **at = &c->chains[s->hash & (c->n_chains - 1)];
        s->chain = *at;
        *at = s;
    }
}

static slot *find(const bdpo_feature_cache *c, uint64_t hash, const void *pass, const void *key,
                  size_t key_size)
{
    for (slot *s = c->chains[hash & (c->n_chains - 1)]; s; s = s->chain)
        if (s->hash == hash && s->pass == pass && s->key_size == key_size &&
            (key_size == 0 || memcmp(s->key, key, key_size) == 0))
            return s;
    return NULL;
}

static slot *make(const void *pass, uint64_t hash, const void *key, size_t key_size, size_t n_bytes)
{
    size_t size;
    slot *s = bdpo_size_add(&size, sizeof *s, key_size) ? bdpo_alloc(1, size) : NULL;
    if (!s) return NULL;
    s->feature.data = bdpo_alloc_aligned(n_bytes);
    if (!s->feature.data) {
        bdpo_free(s);
        return NULL;
    }
    s->pass = pass;
    s->hash = hash;
    s->key_size = key_size;
    s->bytes = size + n_bytes;
    if (key_size > 0) memcpy(s->key, key, key_size);
    return s;
}

bdpo_status bdpo_feature_cache_get(bdpo_feature **out, bdpo_feature_cache *c, const void *pass,
                                   const void *key, size_t key_size, size_t n_bytes)
{
    uint64_t hash = hash_of(pass, key, key_size);
    slot *s = find(c, hash, pass, key, key_size);
    if (s) {
        unlink_slot(c, s);
        append(c, s);
        *out = &s->feature;
        return BDPO_OK;
    }
    s = make(pass, hash, key, key_size, n_bytes);
    if (!s) return bdpo_fail(BDPO_NO_MEMORY, "no memory for features of %zu bytes", n_bytes);
    if (c->count >= c->n_chains) grow(c);
    slot **at = &c->chains[hash & (c->n_chains - 1)];
    s->chain = *at;
    *at = s;
    append(c, s);
    c->bytes += s->bytes;
    c->count++;
    *out = &s->feature;
    return BDPO_OK;
}

void bdpo_feature_cache_begin(bdpo_feature_cache *c)
{
    for (slot *s = c->oldest, *next; s; s = next) {
        next = s->newer;
        if (s->feature.temporary || !s->feature.ready) drop(c, s);
    }
    while (c->oldest && c->bytes > c->budget) drop(c, c->oldest);
}

void bdpo_feature_cache_free(bdpo_feature_cache *c)
{
    if (!c) return;
    while (c->oldest) drop(c, c->oldest);
    bdpo_free(c->chains);
    bdpo_free(c);
}

size_t bdpo_feature_cache_bytes(const bdpo_feature_cache *c)
{
    return c->bytes;
}
