// Merging the bytes of one word into tokens.
#ifndef BDPO_CLIP_MERGE_H
#define BDPO_CLIP_MERGE_H

#include "text/clip_vocab.h"

// Ids that grow, and the room that merging takes. Start from {0}; release by
// bdpo_clip_ids_release(). Out of memory sticks, as in bdpo_runes.
typedef struct bdpo_clip_ids {
    int32_t *data;
    size_t n, capacity;
    bool failed;
    uint32_t *links; // for long words: neighbours and a heap
    size_t links_size;
} bdpo_clip_ids;

void bdpo_clip_ids_release(bdpo_clip_ids *ids);
void bdpo_clip_ids_push(bdpo_clip_ids *ids, int32_t id);
// Appends the tokens of a word of n > 0 bytes: of all neighbours that merge, those of the smallest
// rank do, the leftmost first, until none is left. O(n log n).
void bdpo_clip_ids_append_word(bdpo_clip_ids *ids, const bdpo_clip_vocab *vocab,
                               const unsigned char *word, size_t n);

#endif
