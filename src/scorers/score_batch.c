// A job of a thread is one entry of a batch, so that a pair's two pictures are read side by side.
#include "scorers/score_batch.h"

#include <stdio.h>

// ---- filling -----------------------------------------------------------------------------------

bdpo_status bdpo_score_batch_fill(bdpo_score_batch *batch, bdpo_record_source *source, int n)
{
    BDPO_ASSERT(batch->n == 0 && n <= BDPO_SCORE_BATCH_MAX);
    while (batch->n < n) {
        const bdpo_record *record;
        TRY(bdpo_record_source_next(&record, source));
        if (!record) break;
        TRY(bdpo_record_clone(&batch->entries[batch->n].record, record));
        batch->n++;
    }
    batch->rows = bdpo_record_source_n_read(source);
    return BDPO_OK;
}

void bdpo_score_batch_clear(bdpo_score_batch *batch)
{
    for (int i = 0; i < batch->n; i++) {
        bdpo_batch_entry *e = &batch->entries[i];
        for (int k = 0; k < e->record->n_pictures; k++) {
            bdpo_picture_bytes_release(&e->pictures[k].bytes);
            bdpo_image_release(&e->pictures[k].image);
        }
        bdpo_record_free(e->record);
        *e = (bdpo_batch_entry){0};
    }
    batch->n = 0;
}

// ---- on the threads ----------------------------------------------------------------------------

// The message of a status belongs to the thread on which it came: it is kept with the picture.
static void keep(bdpo_batch_picture *p, bdpo_status status)
{
    p->status = status;
    if (status != BDPO_OK) snprintf(p->message, sizeof p->message, "%s", bdpo_message());
}

static void hash_entry(void *user, int index)
{
    bdpo_batch_entry *e = &((bdpo_score_batch *)user)->entries[index];
    for (int k = 0; k < e->record->n_pictures; k++) {
        bdpo_batch_picture *p = &e->pictures[k];
        bdpo_status status = bdpo_picture_bytes_get(&p->bytes, &e->record->pictures[k]);
        if (status == BDPO_OK) status = bdpo_sha256(&p->sha256, p->bytes.data, p->bytes.size);
        p->has_bytes = status == BDPO_OK;
        keep(p, status);
    }
}

static void decode_entry(void *user, int index)
{
    bdpo_batch_entry *e = &((bdpo_score_batch *)user)->entries[index];
    for (int k = 0; k < e->record->n_pictures; k++) {
        bdpo_batch_picture *p = &e->pictures[k];
        if (p->wanted && p->has_bytes)
            keep(p, bdpo_image_decode(&p->image, p->bytes.data, p->bytes.size,
                                      e->record->pictures[k].name));
    }
}

static void post(bdpo_score_batch *batch, bdpo_worker_job job, bdpo_worker *const *workers,
                 int n_workers)
{
    for (int i = 0; i < batch->n; i++) bdpo_worker_post(workers[i % n_workers], job, batch, i);
}

void bdpo_score_batch_hash(bdpo_score_batch *batch, bdpo_worker *const *workers, int n_workers)
{
    post(batch, hash_entry, workers, n_workers);
}

void bdpo_score_batch_decode(bdpo_score_batch *batch, bdpo_worker *const *workers, int n_workers)
{
    post(batch, decode_entry, workers, n_workers);
}
