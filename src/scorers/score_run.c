// Three batches are on their way at once. While the scorers work on one, the pictures of the next
// are decoded and the bytes of the one after that are read: whether a picture must be decoded at
// all is known from its hash.
#include "scorers/score_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/progress.h"
#include "scorers/score_batch.h"

enum {
    N_BATCHES = 3,
    MAX_READERS = 16,
    MAX_ITEMS = BDPO_SCORE_BATCH_MAX * BDPO_RECORD_MAX_PICTURES
};

// A batch that took less than `SHORT_S` is followed by one of twice as many records, one that took
// more than `LONG_S` by one of half as many: little is lost by a kill, and nothing by short
// batches.
static const double SHORT_S = 1, LONG_S = 8;

typedef struct run {
    bdpo_score_run_counts *counts;
    bdpo_record_source *source;
    bdpo_session *session;
    bdpo_score_store *store;
    const bdpo_score_run_options *options;
    int n_scorers;
    int64_t scorers[BDPO_SESSION_MAX_SCORERS]; // their ids in the store
    bool reads_prompt[BDPO_SESSION_MAX_SCORERS];
    bdpo_worker *workers[MAX_READERS];
    int n_workers;
    bdpo_score_batch batches[N_BATCHES];
    int batch; // records of the next one
    bdpo_progress progress;
    // Of the batch that is scored:
    bdpo_score_item items[MAX_ITEMS];
    bdpo_batch_picture *pictures[MAX_ITEMS]; // of items[]
    int n_items;
    bdpo_score scores[MAX_ITEMS * BDPO_SESSION_MAX_SCORERS];
} run;

// ---- opening -----------------------------------------------------------------------------------

static bdpo_status put_scorers(run *r)
{
    TRY(bdpo_score_store_begin(r->store));
    for (int k = 0; k < r->n_scorers; k++) {
        bdpo_scorer_info info = bdpo_session_scorer(r->session, k);
        bdpo_stored_scorer scorer = {info.name, info.sha256, info.settings, info.reads_prompt};
        TRY(bdpo_score_store_put_scorer(&r->scorers[k], r->store, &scorer));
        r->reads_prompt[k] = info.reads_prompt;
    }
    return bdpo_score_store_commit(r->store);
}

static bdpo_status open_run(run *r)
{
    int n_readers = r->options->n_readers ? r->options->n_readers : 2;
    r->batch = r->options->batch ? r->options->batch : 2;
    if (n_readers < 1 || n_readers > MAX_READERS)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%d readers; expected 1 to %d", n_readers, MAX_READERS);
    if (r->batch < 1 || r->batch > BDPO_SCORE_BATCH_MAX)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "batches of %d records; expected 1 to %d", r->batch,
                         BDPO_SCORE_BATCH_MAX);
    TRY(put_scorers(r));
    for (; r->n_workers < n_readers; r->n_workers++)
        TRY(bdpo_worker_new(&r->workers[r->n_workers], 2 * BDPO_SCORE_BATCH_MAX));
    return BDPO_OK;
}

static void drain(run *r)
{
    for (int i = 0; i < r->n_workers; i++) bdpo_worker_drain(r->workers[i]);
}

static void close_run(run *r)
{
    for (int i = 0; i < r->n_workers; i++) bdpo_worker_free(r->workers[i]);
    for (int i = 0; i < N_BATCHES; i++) bdpo_score_batch_clear(&r->batches[i]);
}

// ---- what the store has ------------------------------------------------------------------------

// Whether the store has a scorer's answer that is not to be asked for again.
static bool is_there(const run *r, bool missing, double score)
{
    return !missing && !(r->options->retry && isnan(score));
}

static bdpo_status ask_picture(const run *r, bdpo_batch_picture *p, int64_t prompt)
{
    double scores[BDPO_SESSION_MAX_SCORERS];
    bool missing[BDPO_SESSION_MAX_SCORERS];
    int64_t image;
    TRY(bdpo_score_store_find_image(&image, r->store, p->sha256.hex));
    TRY(bdpo_score_store_get_scores(scores, missing, r->store, image, prompt, r->scorers,
                                    r->n_scorers));
    for (int k = 0; k < r->n_scorers; k++) {
        if (is_there(r, missing[k], scores[k]))
            p->known |= 1ULL << k;
        else
            p->wanted = true;
    }
    return BDPO_OK;
}

// Which pictures must be decoded, and for whom.
static bdpo_status ask(const run *r, bdpo_score_batch *batch)
{
    for (int i = 0; i < batch->n; i++) {
        bdpo_batch_entry *e = &batch->entries[i];
        int64_t prompt;
        TRY(bdpo_score_store_find_prompt(&prompt, r->store, e->record->prompt,
                                         e->record->prompt_size));
        for (int k = 0; k < e->record->n_pictures; k++)
            if (e->pictures[k].has_bytes) TRY(ask_picture(r, &e->pictures[k], prompt));
    }
    return BDPO_OK;
}

// ---- scoring -----------------------------------------------------------------------------------

static void add_item(run *r, const bdpo_record *record, int picture, bdpo_batch_picture *p)
{
    r->pictures[r->n_items] = p;
    r->items[r->n_items++] = (bdpo_score_item){
        .image = p->image.pixels ? &p->image : NULL,
        .image_key = p->sha256.hex,
        .path = record->pictures[picture].path,
        .bytes = p->bytes.data,
        .n_bytes = p->bytes.size,
        .prompt = record->prompt,
        .prompt_size = record->prompt_size,
        .name = record->pictures[picture].name,
        .skip = p->known,
    };
}

static bdpo_status score(run *r, bdpo_score_batch *batch)
{
    r->n_items = 0;
    for (int i = 0; i < batch->n; i++) {
        bdpo_batch_entry *e = &batch->entries[i];
        for (int k = 0; k < e->record->n_pictures; k++)
            if (e->pictures[k].wanted) add_item(r, e->record, k, &e->pictures[k]);
    }
    if (r->n_items == 0) return BDPO_OK;
    return bdpo_session_score(r->session, r->scores, r->items, r->n_items);
}

// ---- writing -----------------------------------------------------------------------------------

static void count_reason(bdpo_scorer_counts *counts, const char *reason)
{
    counts->none++;
    for (int i = 0; i < BDPO_SCORE_RUN_MAX_REASONS; i++) {
        bdpo_score_reason *known = &counts->reasons[i];
        bool last = i == BDPO_SCORE_RUN_MAX_REASONS - 1;
        if (!known->text[0])
            snprintf(known->text, sizeof known->text, "%s", last ? "other reasons" : reason);
        if (!last && strncmp(known->text, reason, sizeof known->text - 1) != 0) continue;
        known->count++;
        return;
    }
}

static bdpo_status put_scores(run *r, const bdpo_batch_picture *p, int64_t image, int64_t prompt,
                              const bdpo_score *scores)
{
    double stored[BDPO_SESSION_MAX_SCORERS];
    bool missing[BDPO_SESSION_MAX_SCORERS];
    // Asked again: the picture may have come in a row before, or from another process.
    TRY(bdpo_score_store_get_scores(stored, missing, r->store, image, prompt, r->scorers,
                                    r->n_scorers));
    for (int k = 0; k < r->n_scorers; k++) {
        bdpo_scorer_counts *counts = &r->counts->scorers[k];
        if (p->known & 1ULL << k || is_there(r, missing[k], stored[k])) {
            if (isnan(stored[k]))
                count_reason(counts, "said before; --retry asks again");
            else
                counts->present++;
            continue;
        }
        bool none = isnan(scores[k].value);
        const char *reason = p->status != BDPO_OK ? "does not decode"
                             : scores[k].reason   ? scores[k].reason
                                                  : "not a number";
        bdpo_stored_score row = {.image = image,
                                 .prompt = r->reads_prompt[k] ? prompt : BDPO_ANY_PROMPT,
                                 .scorer = r->scorers[k],
                                 .score = scores[k].value,
                                 .reason = none ? reason : NULL};
        TRY(bdpo_score_store_put_score(r->store, &row));
        if (none)
            count_reason(counts, reason);
        else
            counts->computed++;
    }
    return BDPO_OK;
}

// The scores of a picture that was an item of this batch; NULL where nothing was left to ask.
static const bdpo_score *scores_of(const run *r, const bdpo_batch_picture *p)
{
    for (int i = 0; i < r->n_items; i++)
        if (r->pictures[i] == p) return &r->scores[(size_t)i * (size_t)r->n_scorers];
    return NULL;
}

static bdpo_status put_picture(run *r, int64_t *image, const bdpo_record_picture *file,
                               const bdpo_batch_picture *p, int64_t prompt)
{
    bdpo_stored_image row = {.sha256 = p->sha256.hex,
                             .size_bytes = (int64_t)p->bytes.size,
                             .width = p->image.width,
                             .height = p->image.height,
                             .path = file->path};
    TRY(bdpo_score_store_put_image(image, r->store, &row));
    r->counts->pictures++;
    return put_scores(r, p, *image, prompt, scores_of(r, p));
}

// A pair stands in the store where both files could be read, even if one is no picture: then a
// scorer's "none" says why it does not vote.
static bdpo_status put_entry(run *r, bdpo_batch_entry *e)
{
    const bdpo_record *record = e->record;
    int64_t images[BDPO_RECORD_MAX_PICTURES], prompt, id;
    for (int k = 0; k < record->n_pictures; k++)
        if (!e->pictures[k].has_bytes) return BDPO_OK;
    TRY(bdpo_score_store_put_prompt(&prompt, r->store, record->prompt, record->prompt_size));
    for (int k = 0; k < record->n_pictures; k++)
        TRY(put_picture(r, &images[k], &record->pictures[k], &e->pictures[k], prompt));
    r->counts->records++;
    if (record->n_pictures != 2) return BDPO_OK;
    bdpo_stored_pair pair = {.data_set = record->data_set,
                             .row = record->index,
                             .image_0 = images[0],
                             .image_1 = images[1],
                             .prompt = prompt,
                             .label = record->label,
                             .model_0 = record->pictures[0].model,
                             .model_1 = record->pictures[1].model};
    r->counts->pairs++;
    return bdpo_score_store_put_pair(&id, r->store, &pair);
}

// Tells the source of what it gave in vain; fails where it is strict.
static bdpo_status report_unusable(run *r, const bdpo_batch_entry *e)
{
    for (int k = 0; k < e->record->n_pictures; k++) {
        const bdpo_batch_picture *p = &e->pictures[k];
        if (p->status == BDPO_OK) continue;
        bdpo_drop why = p->has_bytes                     ? BDPO_DROP_UNREADABLE
                        : p->status == BDPO_NOT_FOUND    ? BDPO_DROP_MISSING_FILE
                        : p->status == BDPO_BAD_ARGUMENT ? BDPO_DROP_NO_PICTURE
                                                         : BDPO_DROP_UNREADABLE;
        return bdpo_record_source_drop(r->source, why, e->record->index, p->message);
    }
    return BDPO_OK;
}

static bdpo_status write_batch(run *r, bdpo_score_batch *batch)
{
    bdpo_score_run_counts before = *r->counts;
    bdpo_status status = bdpo_score_store_begin(r->store);
    for (int i = 0; i < batch->n && status == BDPO_OK; i++)
        status = put_entry(r, &batch->entries[i]);
    if (status == BDPO_OK)
        status = bdpo_score_store_commit(r->store);
    else
        bdpo_score_store_abort(r->store);
    if (status != BDPO_OK) *r->counts = before;
    return status;
}

// ---- the run -----------------------------------------------------------------------------------

static bdpo_status finish_batch(run *r, bdpo_score_batch *batch)
{
    double begun_s = bdpo_clock_seconds();
    TRY(score(r, batch));
    TRY(write_batch(r, batch));
    for (int i = 0; i < batch->n; i++) TRY(report_unusable(r, &batch->entries[i]));
    double seconds = bdpo_clock_seconds() - begun_s;
    if (!r->options->batch && seconds < SHORT_S && r->batch < BDPO_SCORE_BATCH_MAX) r->batch *= 2;
    if (!r->options->batch && seconds > LONG_S && r->batch > 1) r->batch /= 2;
    bdpo_progress_update(&r->progress, batch->rows, NULL);
    return BDPO_OK;
}

static bdpo_status read_batch(run *r, bdpo_score_batch *batch)
{
    bdpo_status status = bdpo_score_batch_fill(batch, r->source, r->batch);
    bdpo_score_batch_hash(batch, r->workers, r->n_workers); // what came before a failure counts
    return status;
}

// Batch k, whose pictures are ready, while those of k + 1 are decoded and k + 2 is read.
static bdpo_status step(run *r, int64_t k)
{
    bdpo_score_batch *now = &r->batches[k % N_BATCHES];
    bdpo_score_batch *next = &r->batches[(k + 1) % N_BATCHES];
    TRY(ask(r, next));
    bdpo_score_batch_decode(next, r->workers, r->n_workers);
    bdpo_status reading = read_batch(r, &r->batches[(k + 2) % N_BATCHES]);
    bdpo_status status = finish_batch(r, now);
    drain(r);
    bdpo_score_batch_clear(now);
    return status == BDPO_OK ? reading : status;
}

static bdpo_status run_all(run *r)
{
    int64_t n_rows;
    TRY(open_run(r));
    TRY(bdpo_record_source_n_rows(&n_rows, r->source));
    bdpo_progress_begin(&r->progress, r->options->log, "scoring", "rows", n_rows, 0);
    TRY(read_batch(r, &r->batches[0]));
    drain(r);
    TRY(ask(r, &r->batches[0]));
    bdpo_score_batch_decode(&r->batches[0], r->workers, r->n_workers);
    TRY(read_batch(r, &r->batches[1]));
    drain(r);
    for (int64_t k = 0; r->batches[k % N_BATCHES].n > 0; k++) {
        if (r->options->interrupted && r->options->interrupted())
            return bdpo_fail(BDPO_INTERRUPTED, "interrupted; what is scored is in %s",
                             bdpo_score_store_path(r->store));
        TRY(step(r, k));
    }
    TRY(bdpo_score_store_begin(r->store));
    TRY(bdpo_score_store_finish(r->store, bdpo_record_source_name(r->source)));
    TRY(bdpo_score_store_commit(r->store));
    r->counts->finished = true;
    return BDPO_OK;
}

bdpo_status bdpo_score_run(bdpo_score_run_counts *out, bdpo_record_source *source,
                           bdpo_session *session, bdpo_score_store *store,
                           const bdpo_score_run_options *options)
{
    const bdpo_score_run_options defaults = {0};
    double begun_s = bdpo_clock_seconds();
    *out = (bdpo_score_run_counts){0};
    run *r = bdpo_alloc(1, sizeof *r);
    if (!r) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scoring run");
    r->counts = out;
    r->source = source;
    r->session = session;
    r->store = store;
    r->options = options ? options : &defaults;
    r->n_scorers = bdpo_session_n_scorers(session);
    bdpo_status status = run_all(r);
    if (r->progress.label) bdpo_progress_end(&r->progress);
    drain(r);
    close_run(r);
    bdpo_free(r);
    out->seconds = bdpo_clock_seconds() - begun_s;
    return status;
}
