// A call goes pass by pass: first every scorer's passes over the pictures and prompts that are not
// in a cache yet, then every scorer over its items.
#include "scorers/scoring.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "scorers/feature_cache.h"

enum {
    PASSES = BDPO_SESSION_MAX_SCORERS,
    GROUP = 32 // pictures whose pixels are held at a time
};

struct bdpo_session {
    bdpo_engine *engine;
    bdpo_shared *shared;
    bdpo_scorer *scorers[BDPO_SESSION_MAX_SCORERS];
    int n_scorers;
    int n_passes; // of all scorers together; shared ones count each time
    bdpo_feature_cache *images, *texts;
    bdpo_session_counts counts;
    bdpo_arena *reasons; // of the last call
};

// One call.
typedef struct call {
    bdpo_session *session;
    const bdpo_score_item *items;
    int n_items;
    bdpo_feature **images, **texts; // [n_items, n_scorers]; NULL: not needed, or there is none
    bdpo_arena *arena;
} call;

// ---- opening -----------------------------------------------------------------------------------

static bdpo_status open_scorers(bdpo_session *s, const bdpo_scorer_request *requests, int n)
{
    for (int i = 0; i < n; i++) {
        bdpo_scorer *scorer;
        TRY(bdpo_scorer_open(&scorer, &requests[i], s->engine, s->shared));
        s->scorers[s->n_scorers++] = scorer;
        s->n_passes += (scorer->image_pass != NULL) + (scorer->text_pass != NULL);
        for (int j = 0; j < i; j++)
            if (strcmp(s->scorers[j]->info.name, scorer->info.name) == 0)
                return bdpo_fail(BDPO_BAD_ARGUMENT, "scorer %s is asked for twice",
                                 scorer->info.name);
    }
    return BDPO_OK;
}

static bdpo_status open_session(bdpo_session *s, const bdpo_scorer_request *requests, int n,
                                const bdpo_session_options *o)
{
    const size_t usual = (size_t)64 << 20;
    if (n > BDPO_SESSION_MAX_SCORERS)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%d scorers, expected at most %d", n,
                         BDPO_SESSION_MAX_SCORERS);
    TRY(bdpo_shared_new(&s->shared));
    TRY(bdpo_feature_cache_new(&s->images, o->image_cache_bytes ? o->image_cache_bytes : usual));
    TRY(bdpo_feature_cache_new(&s->texts, o->text_cache_bytes ? o->text_cache_bytes : usual));
    return open_scorers(s, requests, n);
}

bdpo_status bdpo_session_new(bdpo_session **out, bdpo_engine *engine,
                             const bdpo_scorer_request *requests, int n_requests,
                             const bdpo_session_options *options)
{
    static const bdpo_session_options none = {0};
    *out = NULL;
    bdpo_session *s = bdpo_alloc(1, sizeof *s);
    if (!s) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scoring session");
    s->engine = engine;
    bdpo_status status = open_session(s, requests, n_requests, options ? options : &none);
    if (status == BDPO_OK)
        *out = s;
    else
        bdpo_session_free(s);
    return status;
}

void bdpo_session_free(bdpo_session *s)
{
    if (!s) return;
    for (int i = 0; i < s->n_scorers; i++) bdpo_scorer_close(s->scorers[i]);
    bdpo_feature_cache_free(s->images);
    bdpo_feature_cache_free(s->texts);
    bdpo_shared_free(s->shared);
    bdpo_arena_free(s->reasons);
    bdpo_free(s);
}

int bdpo_session_n_scorers(const bdpo_session *s)
{
    return s->n_scorers;
}

bdpo_scorer_info bdpo_session_scorer(const bdpo_session *s, int index)
{
    BDPO_ASSERT(index >= 0 && index < s->n_scorers);
    return s->scorers[index]->info;
}

bdpo_session_counts bdpo_session_get_counts(const bdpo_session *s)
{
    return s->counts;
}

// ---- which features ----------------------------------------------------------------------------

static bool is_asked(const call *c, int item, int scorer)
{
    return !(c->items[item].skip >> scorer & 1);
}

// Why scorer k cannot score the item; NULL where it can.
static const char *obstacle(const call *c, int item, int k)
{
    const bdpo_scorer *scorer = c->session->scorers[k];
    const bdpo_score_item *i = &c->items[item];
    bool readable = scorer->family->wants_files && (i->path || i->bytes);
    if (!i->image && !readable) return "there is no picture";
    if (scorer->info.reads_prompt && !i->prompt) return "there is no prompt";
    return NULL;
}

// A picture is known by its content's name, else by its address for as long as the call lasts.
static bdpo_status find_image(bdpo_feature **out, const call *c, const bdpo_feature_pass *pass,
                              const bdpo_score_item *item)
{
    bdpo_feature_cache *cache = c->session->images;
    if (item->image_key)
        return bdpo_feature_cache_get(out, cache, pass, item->image_key, strlen(item->image_key),
                                      pass->n_bytes);
    TRY(bdpo_feature_cache_get(out, cache, pass, &item->image, sizeof item->image, pass->n_bytes));
    (*out)->temporary = true;
    return BDPO_OK;
}

static bdpo_status find_features(call *c)
{
    int n = c->session->n_scorers;
    bdpo_feature_cache_begin(c->session->images);
    bdpo_feature_cache_begin(c->session->texts);
    for (int i = 0; i < c->n_items; i++)
        for (int k = 0; k < n; k++) {
            const bdpo_scorer *s = c->session->scorers[k];
            const bdpo_score_item *item = &c->items[i];
            size_t at = (size_t)i * (size_t)n + (size_t)k;
            if (!is_asked(c, i, k) || obstacle(c, i, k)) continue;
            if (s->image_pass && item->image)
                TRY(find_image(&c->images[at], c, s->image_pass, item));
            if (s->text_pass)
                TRY(bdpo_feature_cache_get(&c->texts[at], c->session->texts, s->text_pass,
                                           item->prompt, item->prompt_size, s->text_pass->n_bytes));
        }
    return BDPO_OK;
}

// A session of one pass has nothing to make room for.
static void rest(const bdpo_session *s, bdpo_feature_pass *pass)
{
    if (pass->rest && s->n_passes > 1) pass->rest(pass);
}

// ---- pictures ----------------------------------------------------------------------------------

// The passes over one kind of pixels, and the pictures that at least one of them has yet to see.
typedef struct pixel_work {
    bdpo_feature_pass *passes[PASSES];
    int n_passes;
    int n_items;
    int *items;
    bdpo_feature **features; // [n_items, n_passes]; NULL where the pass has it or is not asked
} pixel_work;

static int pass_index(const pixel_work *w, const bdpo_feature_pass *pass)
{
    for (int i = 0; i < w->n_passes; i++)
        if (w->passes[i] == pass) return i;
    return -1;
}

// All passes whose pixels are those of scorer k's pass; none where an earlier scorer had them.
static void collect_passes(pixel_work *w, const bdpo_session *s, int k)
{
    const bdpo_feature_pass *first = s->scorers[k]->image_pass;
    w->n_passes = 0;
    for (int i = 0; first && i < s->n_scorers; i++) {
        bdpo_feature_pass *pass = s->scorers[i]->image_pass;
        if (!pass || !bdpo_preprocess_equal(&pass->preprocess, &first->preprocess)) continue;
        if (i < k) {
            w->n_passes = 0;
            return;
        }
        if (pass_index(w, pass) < 0) w->passes[w->n_passes++] = pass;
    }
}

static bool needs(const bdpo_feature *f)
{
    return f && !f->ready && !f->reason;
}

// Takes the features of item i that are still to be made; each is taken once, which its reason
// marks until the work is done.
static bool take_item(pixel_work *w, const call *c, int i, bdpo_feature **row)
{
    int n = c->session->n_scorers;
    bool any = false;
    for (int k = 0; k < n; k++) {
        bdpo_feature *f = c->images[(size_t)i * (size_t)n + (size_t)k];
        int at = f ? pass_index(w, c->session->scorers[k]->image_pass) : -1;
        if (at < 0 || !needs(f)) continue;
        f->reason = "taken";
        row[at] = f;
        any = true;
    }
    return any;
}

static bdpo_status collect_items(pixel_work *w, const call *c)
{
    size_t n = (size_t)c->n_items, width = (size_t)w->n_passes;
    w->items = bdpo_arena_alloc(c->arena, n + 1, sizeof *w->items);
    w->features = bdpo_arena_alloc(c->arena, n * width + 1, sizeof *w->features);
    if (!w->items || !w->features) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a batch");
    w->n_items = 0;
    for (int i = 0; i < c->n_items; i++)
        if (take_item(w, c, i, w->features + (size_t)w->n_items * width))
            w->items[w->n_items++] = i;
    return BDPO_OK;
}

static const char *keep_message(const call *c, bdpo_status status)
{
    const char *kept = bdpo_arena_strdup(c->arena, bdpo_message());
    return kept ? kept : bdpo_status_text(status);
}

// Pixels of items [begin, begin + n) of the work; failed[i] says why where there are none.
static void make_pixels(float *pixels, char (*failed)[512], const pixel_work *w, const call *c,
                        int begin, int n)
{
    const bdpo_preprocess *p = &w->passes[0]->preprocess;
    size_t count = bdpo_preprocess_count(p);
#pragma omp parallel for num_threads(bdpo_engine_threads(c->session->engine)) schedule(dynamic)
    for (int i = 0; i < n; i++) {
        const bdpo_score_item *item = &c->items[w->items[begin + i]];
        bdpo_status status = bdpo_preprocess_run(pixels + (size_t)i * count, p, item->image,
                                                 item->name ? item->name : "picture");
        failed[i][0] = '\0';
        if (status != BDPO_OK) snprintf(failed[i], sizeof failed[i], "%s", bdpo_message());
    }
}

// One pass over a group of pictures that have pixels.
static bdpo_status run_pass(const pixel_work *w, const call *c, int pass, int begin, int n,
                            const float *pixels, char (*failed)[512])
{
    void *features[GROUP];
    const float *inputs[GROUP];
    bdpo_feature *taken[GROUP];
    int m = 0;
    size_t count = bdpo_preprocess_count(&w->passes[0]->preprocess);
    for (int i = 0; i < n; i++) {
        bdpo_feature *f = w->features[(size_t)(begin + i) * (size_t)w->n_passes + (size_t)pass];
        if (!f) continue;
        f->reason = NULL;
        if (failed[i][0]) {
            f->reason = bdpo_arena_strdup(c->arena, failed[i]);
            if (!f->reason) f->reason = "there is no memory";
            continue;
        }
        taken[m] = f;
        features[m] = f->data;
        inputs[m++] = pixels + (size_t)i * count;
    }
    if (m == 0) return BDPO_OK;
    TRY(w->passes[pass]->run_images(w->passes[pass], features, inputs, m));
    for (int i = 0; i < m; i++) taken[i]->ready = true;
    rest(c->session, w->passes[pass]);
    c->session->counts.image_runs += (uint64_t)m;
    return BDPO_OK;
}

static bdpo_status run_pixel_work(const pixel_work *w, const call *c)
{
    size_t count = bdpo_preprocess_count(&w->passes[0]->preprocess);
    char(*failed)[512] = bdpo_alloc(GROUP, sizeof *failed);
    float *pixels = bdpo_alloc_aligned(GROUP * count * sizeof *pixels);
    bdpo_status status =
        failed && pixels ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for %d pictures", GROUP);
    for (int i = 0; i < w->n_items && status == BDPO_OK; i += GROUP) {
        int n = w->n_items - i < GROUP ? w->n_items - i : GROUP;
        make_pixels(pixels, failed, w, c, i, n);
        c->session->counts.pictures_prepared += (uint64_t)n;
        for (int p = 0; p < w->n_passes && status == BDPO_OK; p++)
            status = run_pass(w, c, p, i, n, pixels, failed);
    }
    bdpo_free(failed);
    bdpo_free_aligned(pixels);
    return status;
}

static bdpo_status run_images(const call *c)
{
    for (int k = 0; k < c->session->n_scorers; k++) {
        pixel_work w;
        collect_passes(&w, c->session, k);
        if (w.n_passes == 0) continue;
        TRY(collect_items(&w, c));
        if (w.n_items > 0) TRY(run_pixel_work(&w, c));
    }
    return BDPO_OK;
}

// ---- texts -------------------------------------------------------------------------------------

static bdpo_status run_texts(const call *c)
{
    bdpo_session *s = c->session;
    size_t n = (size_t)s->n_scorers;
    for (int k = 0; k < s->n_scorers; k++) { // a tower's weights stay warm over all prompts
        bool ran = false;
        for (int i = 0; i < c->n_items; i++) {
            bdpo_feature *f = c->texts[(size_t)i * n + (size_t)k];
            if (!needs(f)) continue;
            ran = true;
            const bdpo_score_item *item = &c->items[i];
            bdpo_status status = s->scorers[k]->text_pass->run_text(
                s->scorers[k]->text_pass, f->data, item->prompt, item->prompt_size);
            if (status == BDPO_NO_MEMORY) return status;
            f->ready = status == BDPO_OK;
            if (!f->ready) f->reason = keep_message(c, status);
            s->counts.text_runs++;
        }
        if (ran) rest(s, s->scorers[k]->text_pass);
    }
    return BDPO_OK;
}

static void count_hits(const call *c)
{
    bdpo_session_counts *n = &c->session->counts;
    size_t all = (size_t)c->n_items * (size_t)c->session->n_scorers;
    for (size_t i = 0; i < all; i++) {
        n->image_hits += c->images[i] && c->images[i]->ready;
        n->text_hits += c->texts[i] && c->texts[i]->ready;
    }
}

// ---- scores ------------------------------------------------------------------------------------

static const char *why_not(const call *c, int item, int k)
{
    size_t at = (size_t)item * (size_t)c->session->n_scorers + (size_t)k;
    const char *reason = obstacle(c, item, k);
    if (reason) return reason;
    if (c->images[at] && !c->images[at]->ready) return c->images[at]->reason;
    if (c->texts[at] && !c->texts[at]->ready) return c->texts[at]->reason;
    return NULL;
}

static bdpo_status run_scorer(bdpo_score *scores, const call *c, int k, bdpo_score_case *cases)
{
    bdpo_scorer *scorer = c->session->scorers[k];
    size_t width = (size_t)c->session->n_scorers;
    int n = 0;
    for (int i = 0; i < c->n_items; i++) {
        size_t at = (size_t)i * width + (size_t)k;
        scores[at] = (bdpo_score){.value = NAN};
        if (!is_asked(c, i, k)) continue;
        scores[at].reason = why_not(c, i, k);
        if (scores[at].reason) continue;
        cases[n++] = (bdpo_score_case){.image = c->images[at] ? c->images[at]->data : NULL,
                                       .text = c->texts[at] ? c->texts[at]->data : NULL,
                                       .item = &c->items[i],
                                       .score = &scores[at].value,
                                       .reason = &scores[at].reason};
    }
    if (n == 0) return BDPO_OK;
    TRY(scorer->family->score(scorer, cases, n));
    for (int i = 0; i < n; i++) {
        *cases[i].score = (double)(float)*cases[i].score;
        if (isfinite(*cases[i].score) || *cases[i].reason) continue;
        *cases[i].score = NAN;
        *cases[i].reason = "the score is not finite";
    }
    return BDPO_OK;
}

static bdpo_status run_call(bdpo_score *scores, call *c)
{
    size_t all = (size_t)c->n_items * (size_t)c->session->n_scorers;
    c->images = bdpo_arena_alloc(c->arena, all + 1, sizeof(bdpo_feature *));
    c->texts = bdpo_arena_alloc(c->arena, all + 1, sizeof(bdpo_feature *));
    bdpo_score_case *cases = bdpo_arena_alloc(c->arena, (size_t)c->n_items + 1, sizeof *cases);
    if (!c->images || !c->texts || !cases)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a batch of %d", c->n_items);
    TRY(find_features(c));
    count_hits(c);
    TRY(run_images(c));
    TRY(run_texts(c));
    for (int k = 0; k < c->session->n_scorers; k++) TRY(run_scorer(scores, c, k, cases));
    return BDPO_OK;
}

bdpo_status bdpo_session_score(bdpo_session *session, bdpo_score *scores,
                               const bdpo_score_item *items, int n_items)
{
    call c = {.session = session, .items = items, .n_items = n_items};
    bdpo_arena_free(session->reasons);
    session->reasons = NULL;
    TRY(bdpo_arena_new(&session->reasons));
    c.arena = session->reasons;
    return run_call(scores, &c);
}
