// One pass over the pairs of the store; a second where the statistics are of another data set.
#include "cli/vote_pairs.h"

#include <math.h>
#include <string.h>

#include "base/nearest.h"
#include "base/progress.h"
#include "cli/interrupt.h"
#include "formats/printable.h"

const char *const bdpo_human_source_words[] = {"any", "label", "votes", NULL};

// ---- who votes ---------------------------------------------------------------------------------

static const bdpo_scorer_summary *find_scorer(const bdpo_scorer_summary *list, int n, int64_t id)
{
    for (int i = 0; i < n; i++)
        if (list[i].id == id) return &list[i];
    return NULL;
}

static bdpo_status check_distinct(const bdpo_vote_pairs *pairs, const bdpo_vote_config *config,
                                  int voter)
{
    for (int i = 0; i < voter; i++)
        if (!config->voters[i].is_human && pairs->scorer[i] == pairs->scorer[voter])
            return bdpo_fail(BDPO_BAD_ARGUMENT, "voters: %s and %s are the same scorer",
                             config->voters[i].name, config->voters[voter].name);
    return BDPO_OK;
}

bdpo_status bdpo_vote_pairs_resolve(bdpo_vote_pairs *out, const bdpo_vote_config *config,
                                    bdpo_score_store *store, const bdpo_scorer_summary *list, int n)
{
    out->n_voters = config->n_voters;
    for (int i = 0; i < config->n_voters; i++) {
        out->scorer[i] = BDPO_NO_ID;
        if (config->voters[i].is_human) continue;
        TRY(bdpo_score_store_choose_scorer(&out->scorer[i], store, config->voters[i].name));
        TRY(check_distinct(out, config, i));
        const bdpo_scorer_summary *summary = find_scorer(list, n, out->scorer[i]);
        out->checkpoint[i] = summary ? summary->scorer.checkpoint : NULL;
    }
    return BDPO_OK;
}

// ---- pairs -------------------------------------------------------------------------------------

typedef struct reading {
    bdpo_vote_pairs *pairs;
    const bdpo_vote_config *config;
    const bdpo_pair_request *request;
    bdpo_score_moments moments[BDPO_MAX_VOTERS];
    // Of the scorers that the cursor was opened for: the voter of each.
    int voter[BDPO_MAX_VOTERS], n_scorers;
    int64_t n_read;
    bdpo_progress progress;
} reading;

static double human_label(const bdpo_scored_pair *pair, bdpo_human_source source)
{
    double voted = pair->n_votes > 0 ? pair->votes_for_0 / pair->n_votes : (double)NAN;
    if (source == BDPO_HUMAN_VOTES) return voted;
    if (source == BDPO_HUMAN_LABEL || !isnan(pair->pair.label)) return pair->pair.label;
    return voted;
}

static bdpo_status grow(bdpo_vote_pairs *pairs)
{
    if (pairs->n < pairs->capacity) return BDPO_OK;
    size_t capacity = pairs->capacity > 0 ? 2 * (size_t)pairs->capacity : 1024, row, values;
    bool fits = bdpo_size_mul(&row, 2, (size_t)pairs->n_voters) &&
                bdpo_size_mul(&values, capacity, row > 0 ? row : 1);
    bdpo_voting_pair *more = bdpo_realloc(pairs->pairs, capacity, sizeof *more);
    if (more) pairs->pairs = more;
    double *scores = fits && more ? bdpo_realloc(pairs->scores, values, sizeof *scores) : NULL;
    if (scores) pairs->scores = scores;
    if (!scores)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for more than %lld pairs", (long long)pairs->n);
    pairs->capacity = (int64_t)capacity;
    return BDPO_OK;
}

static bdpo_status identify(bdpo_voting_pair *out, const bdpo_scored_pair *pair)
{
    bdpo_sha256_text prompt;
    TRY(bdpo_sha256(&prompt, pair->prompt_text, pair->prompt_length));
    out->id = pair->id;
    out->image[0] = bdpo_vote_identity(pair->sha256_0);
    out->image[1] = bdpo_vote_identity(pair->sha256_1);
    out->prompt = bdpo_vote_identity(prompt.hex);
    return BDPO_OK;
}

// Counts who lacks a score; true where somebody does.
static bool count_missing(const reading *r, const bdpo_scored_pair *pair, int64_t *n_missing)
{
    bool any = false;
    for (int k = 0; k < r->n_scorers; k++) {
        bool missing = pair->missing_0[k] || pair->missing_1[k];
        n_missing[r->voter[k]] += missing;
        any = any || missing;
    }
    return any;
}

static void add_moments(reading *r, const bdpo_scored_pair *pair)
{
    for (int k = 0; k < r->n_scorers; k++) {
        bdpo_score_moments_add(&r->moments[r->voter[k]], pair->scores_0[k]);
        bdpo_score_moments_add(&r->moments[r->voter[k]], pair->scores_1[k]);
    }
}

static bdpo_status keep_pair(reading *r, const bdpo_scored_pair *pair)
{
    bdpo_vote_pairs *to = r->pairs;
    if (count_missing(r, pair, to->n_missing)) {
        to->n_left_out++;
        return BDPO_OK;
    }
    TRY(grow(to));
    bdpo_voting_pair *kept = &to->pairs[to->n];
    TRY(identify(kept, pair));
    kept->human = human_label(pair, r->request->human);
    double *scores = to->scores + to->n * 2 * to->n_voters;
    for (int v = 0; v < 2 * to->n_voters; v++) scores[v] = NAN;
    for (int k = 0; k < r->n_scorers; k++) {
        scores[r->voter[k]] = pair->scores_0[k];
        scores[to->n_voters + r->voter[k]] = pair->scores_1[k];
    }
    to->n++;
    return BDPO_OK;
}

static bdpo_status read_rows(reading *r, bdpo_pair_cursor *cursor, bool keep, bool measure)
{
    for (const bdpo_scored_pair *pair;;) {
        TRY(bdpo_pair_cursor_next(&pair, cursor));
        if (!pair) return BDPO_OK;
        if (keep) TRY(keep_pair(r, pair));
        if (measure) {
            (void)count_missing(r, pair, r->pairs->n_unfinished);
            add_moments(r, pair);
        }
        bdpo_progress_update(&r->progress, ++r->n_read, NULL);
        if (bdpo_interrupt_noted()) return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
    }
}

static bdpo_status read_data_set(reading *r, bdpo_score_store *store, const char *data_set,
                                 bool keep, bool measure)
{
    bdpo_pair_cursor *cursor;
    int64_t ids[BDPO_MAX_VOTERS];
    r->n_scorers = 0;
    for (int v = 0; v < r->config->n_voters; v++) {
        if (r->config->voters[v].is_human) continue;
        ids[r->n_scorers] = r->pairs->scorer[v];
        r->voter[r->n_scorers++] = v;
    }
    TRY(bdpo_pair_cursor_open(&cursor, store, data_set, ids, r->n_scorers));
    bdpo_status status = read_rows(r, cursor, keep, measure);
    bdpo_pair_cursor_close(cursor);
    return status;
}

// ---- the pass for statistics -------------------------------------------------------------------

typedef struct pass {
    const char *data_set; // NULL: there is none
    bool separate;        // another than that of the pairs
    bool finished;        // a scoring run came to its end
    int64_t n_pairs;      // that will be read in all
} pass;

// NULL is any. NOT_FOUND names what there is.
static bdpo_status check_data_set(const char *data_set, const bdpo_score_store *store,
                                  const bdpo_data_set_summary *list, int n)
{
    enum { SHOWN = 12 };
    const char *names[SHOWN], *path = bdpo_score_store_path(store);
    if (!data_set) return BDPO_OK;
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].name, data_set) == 0) return BDPO_OK;
    int n_names = n < SHOWN ? n : SHOWN;
    for (int i = 0; i < n_names; i++) names[i] = list[i].name;
    int nearest = bdpo_nearest_word(names, n_names, data_set);
    if (nearest < 0)
        return bdpo_fail(BDPO_NOT_FOUND, "%s: no data set %s, and no other", path,
                         bdpo_printable(data_set).text);
    return bdpo_fail(BDPO_NOT_FOUND, "%s: no data set %s, the nearest of %d is %s", path,
                     bdpo_printable(data_set).text, n, bdpo_printable(names[nearest]).text);
}

static bool is_wanted(const char *data_set, const char *name)
{
    return !data_set || strcmp(data_set, name) == 0;
}

// The data set that was named, or the one that there is.
static bdpo_status choose_pass(pass *out, bdpo_score_store *store, const bdpo_pair_request *request,
                               bdpo_arena *arena)
{
    bdpo_data_set_summary *list;
    int n;
    *out = (pass){.data_set = request->statistics ? request->statistics : request->data_set};
    TRY(bdpo_score_store_list_data_sets(&list, &n, store, arena));
    TRY(check_data_set(request->data_set, store, list, n));
    TRY(check_data_set(request->statistics, store, list, n));
    if (!out->data_set && n == 1) out->data_set = list[0].name;
    out->separate = out->data_set && n > 1 &&
                    (!request->data_set || strcmp(out->data_set, request->data_set) != 0);
    for (int i = 0; i < n; i++) {
        if (is_wanted(request->data_set, list[i].name)) out->n_pairs += list[i].pairs;
        if (out->data_set && is_wanted(out->data_set, list[i].name))
            out->finished = list[i].finished;
        if (out->separate && is_wanted(out->data_set, list[i].name)) out->n_pairs += list[i].pairs;
    }
    return BDPO_OK;
}

static void settle_statistics(reading *r, bdpo_vote_config *config)
{
    for (int v = 0; v < config->n_voters; v++) {
        bool finished = r->pairs->finished && r->pairs->n_unfinished[v] == 0;
        config->voters[v].statistics =
            finished ? bdpo_score_moments_statistics(&r->moments[v]) : (bdpo_vote_statistics){0};
    }
}

static bdpo_status check_any(const bdpo_vote_pairs *pairs, const bdpo_vote_config *config,
                             const bdpo_score_store *store)
{
    int worst = 0;
    if (pairs->n > 0) return BDPO_OK;
    const char *path = bdpo_score_store_path(store);
    if (pairs->n_left_out == 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: no pairs to vote on (bdpo score adds them)", path);
    for (int v = 1; v < config->n_voters; v++)
        if (pairs->n_missing[v] > pairs->n_missing[worst]) worst = v;
    return bdpo_fail(
        BDPO_BAD_ARGUMENT,
        "%s: none of %lld pairs has all scores; %s lacks them on %lld (run bdpo score)", path,
        (long long)pairs->n_left_out, config->voters[worst].name,
        (long long)pairs->n_missing[worst]);
}

static bdpo_status read_all(reading *r, bdpo_score_store *store, const pass *p)
{
    bool measure = p->data_set && !p->separate;
    TRY(read_data_set(r, store, r->request->data_set, true, measure));
    return p->separate ? read_data_set(r, store, p->data_set, false, true) : BDPO_OK;
}

bdpo_status bdpo_vote_pairs_read(bdpo_vote_pairs *out, bdpo_vote_config *config,
                                 bdpo_score_store *store, const bdpo_pair_request *request,
                                 bdpo_arena *arena, bdpo_log *log)
{
    pass p;
    reading r = {.pairs = out, .config = config, .request = request};
    TRY(choose_pass(&p, store, request, arena));
    out->statistics = p.data_set;
    out->finished = p.finished;
    bdpo_progress_begin(&r.progress, log, "reading", "pairs", p.n_pairs, 0);
    bdpo_status status = read_all(&r, store, &p);
    bdpo_progress_end(&r.progress);
    TRY(status);
    settle_statistics(&r, config);
    return check_any(out, config, store);
}

bdpo_status bdpo_vote_pairs_check(const bdpo_vote_pairs *pairs, const bdpo_vote_config *config)
{
    bool needed = bdpo_vote_needs_statistics(config);
    for (int v = 0; needed && v < config->n_voters; v++) {
        if (!config->voters[v].votes || config->voters[v].is_human) continue;
        if (!pairs->statistics)
            return bdpo_fail(BDPO_BAD_ARGUMENT, "normalising needs a finished scoring pass, and "
                                                "there are several data sets: say --statistics "
                                                "NAME");
        if (!pairs->finished)
            return bdpo_fail(BDPO_BAD_ARGUMENT,
                             "normalising needs a finished scoring pass, and no run of bdpo score "
                             "came to the end of data set %s",
                             pairs->statistics);
        if (pairs->n_unfinished[v] > 0)
            return bdpo_fail(BDPO_BAD_ARGUMENT,
                             "normalising needs a finished scoring pass, and %s lacks scores on "
                             "%lld pairs of data set %s (run bdpo score)",
                             config->voters[v].name, (long long)pairs->n_unfinished[v],
                             pairs->statistics);
    }
    return bdpo_vote_config_check(config);
}

void bdpo_vote_pairs_release(bdpo_vote_pairs *pairs)
{
    bdpo_free(pairs->pairs);
    bdpo_free(pairs->scores);
    pairs->pairs = NULL;
    pairs->scores = NULL;
}

bdpo_vote_pair bdpo_vote_pairs_at(const bdpo_vote_pairs *pairs, int64_t index)
{
    const bdpo_voting_pair *p = &pairs->pairs[index];
    const double *scores = pairs->scores + index * 2 * pairs->n_voters;
    return (bdpo_vote_pair){.scores = {scores, scores + pairs->n_voters},
                            .human = p->human,
                            .image = {p->image[0], p->image[1]},
                            .prompt = p->prompt};
}
