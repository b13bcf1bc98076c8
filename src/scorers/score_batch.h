// The records of one batch of a scoring run and what is known of their pictures. The run's thread
// fills a batch from the source and asks the store; threads beside it read and decode.
#ifndef BDPO_SCORE_BATCH_H
#define BDPO_SCORE_BATCH_H

#include "base/worker.h"
#include "data/record_source.h"
#include "formats/image.h"
#include "formats/sha256.h"

enum { BDPO_SCORE_BATCH_MAX = 16, BDPO_BATCH_MESSAGE_BYTES = 512 };

typedef struct bdpo_batch_picture {
    bdpo_picture_bytes bytes;
    bdpo_sha256_text sha256;
    bdpo_image image;   // empty unless it was wanted and decodes
    bdpo_status status; // of reading the bytes, then of decoding them
    char message[BDPO_BATCH_MESSAGE_BYTES];
    bool has_bytes; // and with them sha256
    bool wanted;    // some scorer has yet to see it
    uint64_t known; // bit k: the store has what scorer k says
} bdpo_batch_picture;

typedef struct bdpo_batch_entry {
    bdpo_record *record;
    bdpo_batch_picture pictures[BDPO_RECORD_MAX_PICTURES];
} bdpo_batch_entry;

typedef struct bdpo_score_batch {
    bdpo_batch_entry entries[BDPO_SCORE_BATCH_MAX];
    int n;
    int64_t rows; // of the source that were read when the batch was full
} bdpo_score_batch;

// Reads up to `n` records of the source; fewer at its end.
BDPO_MUST_CHECK bdpo_status bdpo_score_batch_fill(bdpo_score_batch *batch,
                                                  bdpo_record_source *source, int n);
// Empties it for the next fill.
void bdpo_score_batch_clear(bdpo_score_batch *batch);

// Work for the threads, posted to all of them; drained by the caller. Hash: bytes and sha256 of
// every picture. Decode: the image of every wanted one.
void bdpo_score_batch_hash(bdpo_score_batch *batch, bdpo_worker *const *workers, int n_workers);
void bdpo_score_batch_decode(bdpo_score_batch *batch, bdpo_worker *const *workers, int n_workers);

#endif
