// Features that were computed, by what made them: a pass and the bytes that name its input. Kept
// between calls up to a budget; the longest unused go first. What the call in progress uses stays,
// whatever it takes.
#ifndef BDPO_FEATURE_CACHE_H
#define BDPO_FEATURE_CACHE_H

#include "base/status.h"

typedef struct bdpo_feature_cache bdpo_feature_cache;

typedef struct bdpo_feature {
    void *data;         // 64-byte aligned, of the size given when it was made
    bool ready;         // data was computed
    const char *reason; // why there is none, borrowed from who set it; NULL
    bool temporary;     // leaves with the call, since its key means nothing afterwards
} bdpo_feature;

// *out is the caller's, released by bdpo_feature_cache_free().
BDPO_MUST_CHECK bdpo_status bdpo_feature_cache_new(bdpo_feature_cache **out, size_t budget);
void bdpo_feature_cache_free(bdpo_feature_cache *cache); // NULL is fine

// The feature of this key, new (not ready) where there was none; it stays until the next begin().
BDPO_MUST_CHECK bdpo_status bdpo_feature_cache_get(bdpo_feature **out, bdpo_feature_cache *cache,
                                                   const void *pass, const void *key,
                                                   size_t key_size, size_t n_bytes);

// Begins another call: what is temporary, failed or beyond the budget leaves.
void bdpo_feature_cache_begin(bdpo_feature_cache *cache);

size_t bdpo_feature_cache_bytes(const bdpo_feature_cache *cache);

#endif
