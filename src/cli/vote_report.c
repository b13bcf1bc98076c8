// Every rule over all pairs, then every two judges.
#include "cli/vote_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static const char consensus[] = "consensus";

// ---- numbers -----------------------------------------------------------------------------------

static json_t *integer(int64_t value)
{
    return json_integer((json_int_t)value);
}

// A value that is not defined is null.
static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static double share(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

// ---- voters ------------------------------------------------------------------------------------

static json_t *gather_statistics(const bdpo_vote_statistics *s)
{
    if (s->count == 0) return json_null();
    json_t *out = json_object();
    set(out, "count", integer(s->count));
    set(out, "mean", real(s->mean));
    set(out, "deviation", real(s->deviation));
    set(out, "min", real(s->min));
    set(out, "max", real(s->max));
    return out;
}

static json_t *gather_voter(const bdpo_vote_pairs *pairs, const bdpo_vote_config *config,
                            const bdpo_vote_panel *panel, int voter)
{
    const bdpo_voter *v = &config->voters[voter];
    json_t *out = json_object();
    set(out, "name", json_string(v->name));
    set(out, "checkpoint",
        v->is_human || !pairs->checkpoint[voter] ? json_null()
                                                 : json_string(pairs->checkpoint[voter]));
    set(out, "votes", json_boolean(v->votes));
    set(out, "weight", real(v->weight));
    set(out, "margin", real(v->margin));
    set(out, "picture_0", integer(panel->n_choices[voter][0]));
    set(out, "picture_1", integer(panel->n_choices[voter][1]));
    set(out, "ties", integer(panel->n_choices[voter][2]));
    set(out, "no_vote", integer(panel->n_no_vote[voter]));
    set(out, "decides_sum_alone", integer(panel->n_alone[voter]));
    set(out, "turns_sum", integer(panel->n_turned[voter]));
    set(out, "pairs_missing", integer(pairs->n_missing[voter]));
    set(out, "statistics", v->is_human ? json_null() : gather_statistics(&v->statistics));
    return out;
}

static void gather_panel(json_t *report, const bdpo_vote_pairs *pairs,
                         const bdpo_vote_config *config)
{
    bdpo_vote_panel panel = {0};
    for (int64_t i = 0; i < pairs->n; i++) {
        bdpo_vote_pair pair = bdpo_vote_pairs_at(pairs, i);
        bdpo_vote_panel_add(&panel, config, &pair);
    }
    json_t *voters = json_array();
    int64_t n_alone = 0;
    for (int v = 0; v < config->n_voters; v++) {
        json_array_append_new(voters, gather_voter(pairs, config, &panel, v));
        n_alone += panel.n_alone[v];
    }
    set(report, "voters", voters);
    set(report, "compared", integer(panel.n_compared));
    set(report, "conflict", integer(panel.n_conflicts));
    set(report, "conflict_rate", real(share(panel.n_conflicts, panel.n_compared)));
    set(report, "unanimous", integer(panel.n_unanimous));
    set(report, "unanimous_rate", real(share(panel.n_unanimous, panel.n_compared)));
    set(report, "sum_decided_alone", integer(n_alone));
    set(report, "sum_decided_alone_rate", real(share(n_alone, panel.n_compared)));
    set(report, "sum_against_majority", integer(panel.n_sum_not_majority));
    set(report, "sum_against_majority_rate",
        real(share(panel.n_sum_not_majority, panel.n_compared)));
}

// ---- rules -------------------------------------------------------------------------------------

static void gather_tally(json_t *out, const bdpo_vote_tally *t)
{
    int64_t n_labelled = bdpo_vote_tally_labelled(t);
    set(out, "labelled", integer(n_labelled));
    set(out, "by_rule", integer(t->n_outcomes[BDPO_VOTE_BY_RULE]));
    set(out, "by_tie_policy", integer(t->n_outcomes[BDPO_VOTE_BY_POLICY]));
    set(out, "picture_0", integer(t->n_for_0));
    set(out, "picture_1", integer(t->n_for_1));
    set(out, "ties", integer(bdpo_vote_tally_ties(t)));
    set(out, "skipped", integer(t->n_pairs - n_labelled));
    set(out, "skipped_ties", integer(t->n_outcomes[BDPO_VOTE_SKIPPED_TIE]));
    set(out, "skipped_dissent", integer(t->n_outcomes[BDPO_VOTE_SKIPPED_DISSENT]));
    set(out, "skipped_no_vote", integer(t->n_outcomes[BDPO_VOTE_SKIPPED_NO_VOTE]));
    set(out, "no_votes", integer(t->n_no_vote));
    set(out, "pairs_with_no_vote", integer(t->n_pairs_no_vote));
}

// A row of the table. A rule that cannot be counted says why.
static void gather_rule(json_t *rows, const bdpo_vote_pairs *pairs, const bdpo_vote_config *config,
                        bool chosen)
{
    char text[BDPO_RULE_TEXT_BYTES];
    json_t *out = json_object();
    bdpo_vote_rule_text(text, config);
    set(out, "rule", json_string(text));
    set(out, "chosen", json_boolean(chosen));
    json_array_append_new(rows, out);
    if (bdpo_vote_pairs_check(pairs, config) != BDPO_OK) {
        set(out, "refused", json_string(bdpo_message()));
        return;
    }
    bdpo_vote_tally tally = {0};
    for (int64_t i = 0; i < pairs->n; i++) {
        bdpo_vote_pair pair = bdpo_vote_pairs_at(pairs, i);
        bdpo_vote vote;
        bdpo_vote_cast(&vote, config, &pair);
        bdpo_vote_tally_add(&tally, &vote);
    }
    gather_tally(out, &tally);
}

static bool is_same_rule(const bdpo_vote_config *a, const bdpo_vote_config *b)
{
    char first[BDPO_RULE_TEXT_BYTES], second[BDPO_RULE_TEXT_BYTES];
    bdpo_vote_rule_text(first, a);
    bdpo_vote_rule_text(second, b);
    return strcmp(first, second) == 0;
}

// human, single: of each scorer, then the others in their order.
static json_t *gather_rules(const bdpo_vote_pairs *pairs, const bdpo_vote_config *config)
{
    json_t *rows = json_array();
    bdpo_vote_config other = *config;
    for (int rule = 0; rule < BDPO_N_RULES; rule++) {
        int n = rule == BDPO_RULE_HUMAN || rule == BDPO_RULE_SINGLE ? config->n_voters
                : rule == BDPO_RULE_NORMALIZED_SUM                  ? BDPO_N_NORMALIZATIONS
                                                                    : 1;
        for (int i = 0; i < n; i++) {
            other.rule = (bdpo_vote_rule)rule;
            other.rule_scorer = i;
            other.normalization = config->normalization;
            if (rule == BDPO_RULE_NORMALIZED_SUM) other.normalization = (bdpo_normalization)i;
            bool fits = rule == BDPO_RULE_HUMAN    ? config->voters[i].is_human
                        : rule == BDPO_RULE_SINGLE ? !config->voters[i].is_human
                                                   : true;
            if (fits) gather_rule(rows, pairs, &other, is_same_rule(&other, config));
        }
    }
    return rows;
}

// ---- agreement ---------------------------------------------------------------------------------

typedef struct judges {
    const bdpo_vote_pairs *pairs;
    int n; // the configuration's voters, and the consensus
    const char *names[BDPO_MAX_VOTERS + 1];
    int8_t *choices;     // [n judges][n pairs]
    double *differences; // the same
} judges;

static bdpo_status make_judges(judges *out, const bdpo_vote_pairs *pairs,
                               const bdpo_vote_config *config)
{
    size_t values;
    *out = (judges){.pairs = pairs, .n = config->n_voters + 1};
    for (int v = 0; v < config->n_voters; v++) out->names[v] = config->voters[v].name;
    out->names[config->n_voters] = consensus;
    if (bdpo_size_mul(&values, (size_t)out->n, (size_t)pairs->n)) {
        out->choices = bdpo_alloc(values, sizeof *out->choices);
        out->differences = bdpo_alloc(values, sizeof *out->differences);
    }
    if (out->choices && out->differences) return BDPO_OK;
    return bdpo_fail(BDPO_NO_MEMORY, "no memory to compare %d judges of %lld pairs", out->n,
                     (long long)pairs->n);
}

static bdpo_ballot consensus_ballot(const bdpo_vote *vote)
{
    bdpo_choice choice = bdpo_vote_is_labelled(vote)
                             ? (vote->label > 0.5 ? BDPO_CHOSE_0 : BDPO_CHOSE_1)
                         : vote->outcome == BDPO_VOTE_SKIPPED_TIE ? BDPO_CHOSE_TIE
                                                                  : BDPO_NO_VOTE;
    return (bdpo_ballot){choice, choice};
}

static void fill_judges(judges *j, const bdpo_vote_config *config)
{
    for (int64_t i = 0; i < j->pairs->n; i++) {
        bdpo_vote_pair pair = bdpo_vote_pairs_at(j->pairs, i);
        bdpo_vote vote;
        bdpo_vote_cast(&vote, config, &pair);
        for (int k = 0; k < j->n; k++) {
            bdpo_ballot ballot =
                k < config->n_voters ? bdpo_vote_ballot(config, k, &pair) : consensus_ballot(&vote);
            j->choices[k * j->pairs->n + i] = (int8_t)ballot.choice;
            j->differences[k * j->pairs->n + i] = ballot.difference;
        }
    }
}

static bdpo_judge judge_at(const judges *j, int index)
{
    return (bdpo_judge){j->choices + index * j->pairs->n, j->differences + index * j->pairs->n};
}

static bdpo_status gather_two(json_t *rows, const judges *j, int first, int second)
{
    bdpo_agreement a;
    bdpo_judge one = judge_at(j, first), other = judge_at(j, second);
    TRY(bdpo_agreement_of(&a, &one, &other, j->pairs->n));
    json_t *out = json_object(), *table = json_array();
    set(out, "first", json_string(j->names[first]));
    set(out, "second", json_string(j->names[second]));
    set(out, "pairs", integer(a.n_pairs));
    set(out, "rate", real(a.rate));
    set(out, "rate_decided", real(a.rate_decided));
    set(out, "kappa", real(a.kappa));
    set(out, "tau", real(a.tau));
    set(out, "tau_choices", real(a.tau_choices));
    for (int k = 0; k < 3; k++)
        json_array_append_new(table,
                              json_pack("[I, I, I]", (json_int_t)a.table[k][0],
                                        (json_int_t)a.table[k][1], (json_int_t)a.table[k][2]));
    set(out, "table", table);
    json_array_append_new(rows, out);
    return BDPO_OK;
}

static bdpo_status gather_agreement(json_t *report, const bdpo_vote_pairs *pairs,
                                    const bdpo_vote_config *config)
{
    judges j;
    json_t *rows = json_array();
    set(report, "agreement", rows);
    bdpo_status status = make_judges(&j, pairs, config);
    if (status == BDPO_OK) fill_judges(&j, config);
    for (int first = 0; status == BDPO_OK && first < j.n; first++)
        for (int second = first + 1; status == BDPO_OK && second < j.n; second++)
            status = gather_two(rows, &j, first, second);
    bdpo_free(j.differences);
    bdpo_free(j.choices);
    return status;
}

bdpo_status bdpo_vote_report_make(json_t **out, const bdpo_vote_pairs *pairs,
                                  const bdpo_vote_config *config)
{
    char text[BDPO_RULE_TEXT_BYTES];
    json_t *report = *out = json_object();
    if (!report) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the report");
    set(report, "pairs", integer(pairs->n));
    set(report, "left_out", integer(pairs->n_left_out));
    set(report, "statistics", pairs->statistics ? json_string(pairs->statistics) : json_null());
    bdpo_vote_rule_text(text, config);
    set(report, "rule", json_string(text));
    bdpo_vote_tie_text(text, config);
    set(report, "tie", json_string(text));
    set(report, "seed", integer((int64_t)config->seed));
    gather_panel(report, pairs, config);
    set(report, "rules", gather_rules(pairs, config));
    bdpo_status status = gather_agreement(report, pairs, config);
    if (status == BDPO_OK) return BDPO_OK;
    json_decref(report);
    *out = NULL;
    return status;
}

// ---- printing ----------------------------------------------------------------------------------

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *word(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int width_of(const json_t *rows, const char *key, int least)
{
    const json_t *row;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        int width = (int)strlen(word(row, key));
        if (width > least) least = width;
    }
    return least;
}

static void print_count(const json_t *report, const char *label, const char *key)
{
    char rate[48];
    snprintf(rate, sizeof rate, "%s_rate", key);
    printf("%-28s %9lld  %5.1f %%\n", label, (long long)number(report, key),
           100 * json_number_value(json_object_get(report, rate)));
}

static void print_voters(json_t *report)
{
    json_t *voters = json_object_get(report, "voters"), *v;
    int width = width_of(voters, "name", 7);
    size_t i;
    printf("%-*s %8s %8s %10s %10s %8s %8s %10s %10s\n", width, "voter", "weight", "margin",
           "picture 0", "picture 1", "ties", "no vote", "sum alone", "turns sum");
    json_array_foreach(voters, i, v)
    {
        if (!json_is_true(json_object_get(v, "votes"))) continue;
        printf("%-*s %8g %8g %10lld %10lld %8lld %8lld %10lld %10lld\n", width, word(v, "name"),
               json_number_value(json_object_get(v, "weight")),
               json_number_value(json_object_get(v, "margin")), (long long)number(v, "picture_0"),
               (long long)number(v, "picture_1"), (long long)number(v, "ties"),
               (long long)number(v, "no_vote"), (long long)number(v, "decides_sum_alone"),
               (long long)number(v, "turns_sum"));
    }
    printf("\nof %lld pairs on which two or more have a vote\n",
           (long long)number(report, "compared"));
    print_count(report, "  voters in conflict", "conflict");
    print_count(report, "  voters unanimous", "unanimous");
    print_count(report, "  sum decided by one alone", "sum_decided_alone");
    print_count(report, "  sum against the majority", "sum_against_majority");
}

static void print_rules(json_t *report)
{
    json_t *rules = json_object_get(report, "rules"), *r;
    int width = width_of(rules, "rule", 4);
    size_t i;
    printf("\n  %-*s %9s %10s %10s %8s %8s %8s %8s %9s\n", width, "rule", "labelled", "picture 0",
           "picture 1", "ties", "skipped", "dissent", "no vote", "NaN votes");
    json_array_foreach(rules, i, r)
    {
        const char *mark = json_is_true(json_object_get(r, "chosen")) ? "*" : " ";
        const char *refused = word(r, "refused");
        printf("%s %-*s ", mark, width, word(r, "rule"));
        if (refused)
            printf("%s\n", refused);
        else
            printf("%9lld %10lld %10lld %8lld %8lld %8lld %8lld %9lld\n",
                   (long long)number(r, "labelled"), (long long)number(r, "picture_0"),
                   (long long)number(r, "picture_1"), (long long)number(r, "ties"),
                   (long long)number(r, "skipped"), (long long)number(r, "skipped_dissent"),
                   (long long)number(r, "skipped_no_vote"), (long long)number(r, "no_votes"));
    }
    printf("* the consensus; ties by policy \"%s\"\n", word(report, "tie"));
}

// The value of two judges: 1 on the diagonal is not printed.
static const json_t *find_two(const json_t *agreement, const char *one, const char *other)
{
    const json_t *a;
    size_t i;
    json_array_foreach(agreement, i, a)
    {
        if ((strcmp(word(a, "first"), one) == 0 && strcmp(word(a, "second"), other) == 0) ||
            (strcmp(word(a, "first"), other) == 0 && strcmp(word(a, "second"), one) == 0))
            return a;
    }
    return NULL;
}

static void print_cell(const json_t *agreement, const char *one, const char *other, const char *key,
                       int width)
{
    const json_t *value = json_object_get(find_two(agreement, one, other), key);
    if (json_is_number(value))
        printf(" %*.4f", width, json_number_value(value));
    else
        printf(" %*s", width, strcmp(one, other) == 0 ? "." : "-");
}

static void print_matrix(json_t *report, const char *title, const char *key)
{
    const json_t *voters = json_object_get(report, "voters");
    const json_t *agreement = json_object_get(report, "agreement");
    const char *names[BDPO_MAX_VOTERS + 1];
    int n = (int)json_array_size(voters), width = width_of(voters, "name", 9);
    for (int i = 0; i < n; i++) names[i] = word(json_array_get(voters, (size_t)i), "name");
    names[n++] = consensus;
    printf("\n%s\n%-*s", title, width, "");
    for (int k = 0; k < n; k++) printf(" %*s", width, names[k]);
    for (int i = 0; i < n; i++) {
        printf("\n%-*s", width, names[i]);
        for (int k = 0; k < n; k++) print_cell(agreement, names[i], names[k], key, width);
    }
    printf("\n");
}

void bdpo_vote_report_print(json_t *report)
{
    printf("%lld pairs", (long long)number(report, "pairs"));
    if (number(report, "left_out") > 0)
        printf("; %lld more left out for want of scores", (long long)number(report, "left_out"));
    printf("\n\n");
    print_voters(report);
    print_rules(report);
    print_matrix(report, "agreement: share of pairs with the same choice", "rate");
    print_matrix(report, "Cohen's kappa of the choices", "kappa");
    print_matrix(report, "Kendall's tau-b of the score differences", "tau");
}
