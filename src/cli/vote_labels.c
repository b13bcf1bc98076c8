// Rows of a file, and rows of the store.
#include "cli/vote_labels.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "cli/interrupt.h"
#include "formats/charset.h"
#include "formats/csv.h"
#include "formats/json_write.h"
#include "formats/real_text.h"

enum { BATCH = 10000 };

static const char *const outcomes[] = {"rule", "policy", "tie", "dissent", "no-vote", "missing"};

// ---- values ------------------------------------------------------------------------------------

static void put_number(bdpo_json_text *out, double value)
{
    char text[BDPO_REAL_TEXT_BYTES];
    bdpo_real_text(text, value);
    bdpo_json_put_text(out, text);
}

static void put_real(bdpo_json_text *out, double value, const char *none)
{
    if (isnan(value))
        bdpo_json_put_text(out, none);
    else
        put_number(out, value);
}

static double vote_value(bdpo_choice choice)
{
    return choice == BDPO_NO_VOTE ? (double)NAN : 0.5 + 0.5 * (int)choice;
}

// NULL where it cannot stand in a text file: not UTF-8, or with a zero byte in it.
static const char *text_of_prompt(const bdpo_scored_pair *row)
{
    bool whole = strlen(row->prompt_text) == row->prompt_length;
    return whole && bdpo_text_is_utf8(row->prompt_text) ? row->prompt_text : NULL;
}

// ---- rows of a file ----------------------------------------------------------------------------

typedef struct label_row {
    const bdpo_scored_pair *pair;
    bdpo_vote vote;
    const char *outcome;
    bool tie;
    double votes[BDPO_MAX_VOTERS];
} label_row;

static void fill_row(label_row *out, const bdpo_vote_pairs *pairs, const bdpo_vote_config *config,
                     int64_t index)
{
    bdpo_vote_pair pair = bdpo_vote_pairs_at(pairs, index);
    bdpo_vote_cast(&out->vote, config, &pair);
    out->outcome = outcomes[out->vote.outcome];
    out->tie = bdpo_vote_is_tie(&out->vote);
    for (int v = 0; v < config->n_voters; v++)
        out->votes[v] = vote_value(bdpo_vote_ballot(config, v, &pair).choice);
}

static void fill_missing(label_row *out)
{
    out->vote = (bdpo_vote){.label = NAN, .margin = NAN};
    out->outcome = outcomes[BDPO_N_VOTE_OUTCOMES];
    out->tie = false;
    for (int v = 0; v < BDPO_MAX_VOTERS; v++) out->votes[v] = NAN;
}

static void put_key(bdpo_json_text *out, const char *key)
{
    bdpo_json_put_text(out, out->size > 1 ? ", \"" : "\"");
    bdpo_json_put_text(out, key);
    bdpo_json_put_text(out, "\": ");
}

static void put_string(bdpo_json_text *out, const char *key, const char *text)
{
    put_key(out, key);
    if (text && bdpo_text_is_utf8(text))
        bdpo_json_put_string(out, text);
    else
        bdpo_json_put_text(out, "null");
}

static void put_json_row(bdpo_json_text *out, const label_row *row, const bdpo_vote_config *config)
{
    const bdpo_scored_pair *p = row->pair;
    bdpo_json_put(out, "{");
    put_string(out, "data_set", p->pair.data_set);
    put_key(out, "row");
    bdpo_json_put(out, "%lld", (long long)p->pair.row);
    put_string(out, "image_0", p->sha256_0);
    put_string(out, "image_1", p->sha256_1);
    put_string(out, "prompt", text_of_prompt(p));
    put_key(out, "label");
    put_real(out, row->vote.label, "null");
    put_key(out, "margin");
    put_real(out, row->vote.margin, "null");
    put_string(out, "outcome", row->outcome);
    put_key(out, "tie");
    bdpo_json_put_text(out, row->tie ? "true" : "false");
    put_key(out, "votes");
    bdpo_json_put(out, "{");
    for (int v = 0; v < config->n_voters; v++) {
        if (v > 0) bdpo_json_put(out, ", ");
        bdpo_json_put_string(out, config->voters[v].name);
        bdpo_json_put(out, ": ");
        put_real(out, row->votes[v], "null");
    }
    bdpo_json_put(out, "}}\n");
}

static void put_field(bdpo_json_text *out, const char *text)
{
    bdpo_growing field = {0};
    if (bdpo_csv_put(&field, text, strlen(text), ',') && bdpo_growing_add(&field, "", 1))
        bdpo_json_put_text(out, (const char *)field.data);
    else
        out->failed = true;
    bdpo_free(field.data);
}

static void put_csv_head(bdpo_json_text *out, const bdpo_vote_config *config)
{
    char name[BDPO_VOTER_NAME_BYTES + 8];
    bdpo_json_put_text(out, "data_set,row,image_0,image_1,prompt,label,margin,outcome,tie");
    for (int v = 0; v < config->n_voters; v++) {
        snprintf(name, sizeof name, "vote.%s", config->voters[v].name);
        bdpo_json_put(out, ",");
        put_field(out, name);
    }
    bdpo_json_put(out, "\r\n");
}

static void put_csv_row(bdpo_json_text *out, const label_row *row, const bdpo_vote_config *config)
{
    const bdpo_scored_pair *p = row->pair;
    const char *prompt = text_of_prompt(p);
    put_field(out, p->pair.data_set);
    bdpo_json_put(out, ",%lld,", (long long)p->pair.row);
    put_field(out, p->sha256_0);
    bdpo_json_put(out, ",");
    put_field(out, p->sha256_1);
    bdpo_json_put(out, ",");
    put_field(out, prompt ? prompt : "");
    bdpo_json_put(out, ",");
    put_real(out, row->vote.label, "");
    bdpo_json_put(out, ",");
    put_real(out, row->vote.margin, "");
    bdpo_json_put(out, ",%s,%d", row->outcome, row->tie);
    for (int v = 0; v < config->n_voters; v++) {
        bdpo_json_put(out, ",");
        put_real(out, row->votes[v], "");
    }
    bdpo_json_put(out, "\r\n");
}

// ---- the file ----------------------------------------------------------------------------------

static bool ends_in(const char *path, const char *ending)
{
    size_t length = strlen(path), n = strlen(ending);
    return length > n && strcmp(path + length - n, ending) == 0;
}

bool bdpo_vote_labels_format_known(const char *path)
{
    return ends_in(path, ".jsonl") || ends_in(path, ".csv");
}

typedef struct saving {
    bdpo_file_writer *writer;
    bdpo_json_text text; // of the row at hand
    bool csv;
    const bdpo_vote_pairs *pairs;
    const bdpo_vote_config *config;
} saving;

static bdpo_status flush_text(saving *s)
{
    if (s->text.failed) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a row of labels");
    TRY(bdpo_file_writer_write(s->writer, s->text.text, s->text.size));
    s->text.size = 0;
    return BDPO_OK;
}

// The store's pairs come in the order in which they were read; one that is not among them was left
// out, or came meanwhile.
static bdpo_status save_rows(saving *s, bdpo_pair_cursor *cursor)
{
    int64_t index = 0;
    label_row row;
    for (;;) {
        TRY(bdpo_pair_cursor_next(&row.pair, cursor));
        if (!row.pair) return BDPO_OK;
        if (index < s->pairs->n && s->pairs->pairs[index].id == row.pair->id)
            fill_row(&row, s->pairs, s->config, index++);
        else
            fill_missing(&row);
        if (s->csv)
            put_csv_row(&s->text, &row, s->config);
        else
            put_json_row(&s->text, &row, s->config);
        TRY(flush_text(s));
        if (bdpo_interrupt_noted()) return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
    }
}

bdpo_status bdpo_vote_labels_save(const char *path, const bdpo_vote_pairs *pairs,
                                  const bdpo_vote_config *config, bdpo_score_store *store,
                                  const char *data_set)
{
    saving s = {.csv = ends_in(path, ".csv"), .pairs = pairs, .config = config};
    bdpo_pair_cursor *cursor;
    TRY(bdpo_pair_cursor_open(&cursor, store, data_set, NULL, 0));
    bdpo_status status = bdpo_file_writer_open(&s.writer, path);
    if (status == BDPO_OK) {
        if (s.csv) put_csv_head(&s.text, config);
        status = save_rows(&s, cursor);
        if (status == BDPO_OK)
            status = bdpo_file_writer_commit(s.writer);
        else
            bdpo_file_writer_abort(s.writer);
    }
    bdpo_json_text_clear(&s.text);
    bdpo_pair_cursor_close(cursor);
    return status;
}

// ---- the store ---------------------------------------------------------------------------------

// Those whom the label may depend on.
static bool is_asked(const bdpo_vote_config *config, int voter)
{
    const bdpo_vote_config *c = config;
    bool asks_all = bdpo_vote_rule_asks_voters(c->rule) || c->tie == BDPO_TIE_MARGIN;
    bool by_rule = c->rule == BDPO_RULE_SINGLE || c->rule == BDPO_RULE_HUMAN;
    bool by_tie = c->tie == BDPO_TIE_SCORER || c->tie == BDPO_TIE_HUMAN;
    return (asks_all && c->voters[voter].votes) || (by_rule && voter == c->rule_scorer) ||
           (by_tie && voter == c->tie_scorer);
}

static void put_voter(bdpo_json_text *out, const bdpo_vote_config *config, int voter)
{
    const bdpo_voter *v = &config->voters[voter];
    bool summed = v->votes && !v->is_human && bdpo_vote_needs_statistics(config);
    bdpo_json_put(out, " ");
    bdpo_json_put_text(out, v->name);
    if (v->margin > 0) bdpo_json_put(out, " margin=");
    if (v->margin > 0) put_number(out, v->margin);
    if (config->rule == BDPO_RULE_WEIGHTED_MAJORITY) bdpo_json_put(out, " weight=");
    if (config->rule == BDPO_RULE_WEIGHTED_MAJORITY) put_number(out, v->weight);
    if (!summed) return;
    bdpo_json_put(out, " scale=");
    put_number(out, bdpo_vote_scale(v, config->normalization));
}

// "majority tie=skip of clip-h hpsv2 margin=0.01 aesthetic"
static void put_rule_text(bdpo_json_text *out, const bdpo_vote_config *config,
                          bdpo_human_source human)
{
    char rule[BDPO_RULE_TEXT_BYTES], tie[BDPO_RULE_TEXT_BYTES];
    bool chance = config->rule == BDPO_RULE_COIN || config->rule == BDPO_RULE_RANDOM_SCORER ||
                  config->tie == BDPO_TIE_RANDOM;
    bool asks_human = false;
    bdpo_vote_rule_text(rule, config);
    bdpo_vote_tie_text(tie, config);
    bdpo_json_put_text(out, rule);
    bdpo_json_put(out, " tie=");
    bdpo_json_put_text(out, tie);
    if (chance) bdpo_json_put(out, " seed=%llu", (unsigned long long)config->seed);
    for (int v = 0; v < config->n_voters; v++)
        asks_human = asks_human || (config->voters[v].is_human && is_asked(config, v));
    if (asks_human) bdpo_json_put(out, " human=%s", bdpo_human_source_words[human]);
    bdpo_json_put(out, " of");
    for (int v = 0; v < config->n_voters; v++)
        if (is_asked(config, v)) put_voter(out, config, v);
}

static bdpo_status put_batch(const bdpo_vote_pairs *pairs, const bdpo_vote_config *config,
                             bdpo_score_store *store, int64_t rule, int64_t first)
{
    for (int64_t i = first; i < pairs->n && i < first + BATCH; i++) {
        bdpo_vote_pair pair = bdpo_vote_pairs_at(pairs, i);
        bdpo_vote vote;
        bdpo_vote_cast(&vote, config, &pair);
        bdpo_stored_label label = {.pair = pairs->pairs[i].id,
                                   .rule = rule,
                                   .probability = vote.label,
                                   .margin = vote.margin,
                                   .tie = bdpo_vote_is_tie(&vote)};
        TRY(bdpo_score_store_put_label(store, &label));
    }
    return BDPO_OK;
}

static bdpo_status put_rule(int64_t *id, const bdpo_vote_pairs *pairs,
                            const bdpo_vote_config *config, bdpo_score_store *store,
                            const char *text)
{
    int64_t scorers[BDPO_MAX_VOTERS];
    int n = 0;
    for (int v = 0; v < config->n_voters; v++)
        if (is_asked(config, v) && !config->voters[v].is_human) scorers[n++] = pairs->scorer[v];
    return bdpo_score_store_put_rule(id, store, text, scorers, n);
}

// Each batch is a transaction: one that was interrupted leaves whole batches.
static bdpo_status put_labels(int64_t *rule, const bdpo_vote_pairs *pairs,
                              const bdpo_vote_config *config, bdpo_score_store *store,
                              const char *text)
{
    for (int64_t first = 0; first < pairs->n; first += BATCH) {
        TRY(bdpo_score_store_begin(store));
        bdpo_status status = first == 0 ? put_rule(rule, pairs, config, store, text) : BDPO_OK;
        if (status == BDPO_OK) status = put_batch(pairs, config, store, *rule, first);
        if (status != BDPO_OK) {
            bdpo_score_store_abort(store);
            return status;
        }
        TRY(bdpo_score_store_commit(store));
        if (bdpo_interrupt_noted()) return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
    }
    return BDPO_OK;
}

bdpo_status bdpo_vote_labels_store(json_t **written, const bdpo_vote_pairs *pairs,
                                   const bdpo_vote_config *config, bdpo_human_source human,
                                   bdpo_score_store *store)
{
    bdpo_json_text text = {0};
    int64_t rule = BDPO_NO_ID;
    *written = NULL;
    put_rule_text(&text, config, human);
    bdpo_status status =
        text.failed ? bdpo_fail(BDPO_NO_MEMORY, "no memory for the rule's text") : BDPO_OK;
    if (status == BDPO_OK) status = put_labels(&rule, pairs, config, store, text.text);
    if (status == BDPO_OK)
        *written = json_pack("{s:s, s:I, s:I}", "rule", text.text, "id", (json_int_t)rule, "labels",
                             (json_int_t)pairs->n);
    bdpo_json_text_clear(&text);
    return status;
}
