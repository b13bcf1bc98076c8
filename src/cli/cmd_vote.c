// bdpo vote: labels from scores, and how far the scorers agree.
#include <string.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/option_numbers.h"
#include "cli/vote_labels.h"
#include "cli/vote_report.h"

enum {
    STORE = 1,
    DATA_SET,
    VOTERS,
    RULE,
    TIE,
    MARGIN,
    WEIGHT,
    SEED,
    STATISTICS,
    HUMAN,
    OUT,
    WRITE
};

enum { MAX_NUMBERS = 2 * BDPO_MAX_VOTERS };

typedef struct options {
    const char *store, *voters, *rule, *tie, *out;
    const char *margins[MAX_NUMBERS], *weights[MAX_NUMBERS];
    int n_margins, n_weights;
    uint64_t seed;
    bool write;
    bdpo_pair_request request;
} options;

typedef struct session {
    bdpo_invocation *invocation;
    const options *options;
    bdpo_score_store *store;
    bdpo_vote_config config;
    bdpo_vote_pairs pairs;
    json_t *report;
} session;

// ---- options -----------------------------------------------------------------------------------

static bool take_number(const char **list, int *n, const char *name, bdpo_invocation *invocation)
{
    if (*n == MAX_NUMBERS) {
        bdpo_usage_error(invocation, "%s: more than %d", name, MAX_NUMBERS);
        return false;
    }
    list[*n] = bdpo_option_text(invocation);
    return list[(*n)++] != NULL;
}

static bool take_text(const char **out, bdpo_invocation *invocation)
{
    *out = bdpo_option_text(invocation);
    return *out != NULL;
}

static bool take(options *o, int option, bdpo_invocation *invocation)
{
    int word;
    switch (option) {
    case STORE:
        return take_text(&o->store, invocation);
    case DATA_SET:
        return take_text(&o->request.data_set, invocation);
    case VOTERS:
        return take_text(&o->voters, invocation);
    case RULE:
        return take_text(&o->rule, invocation);
    case TIE:
        return take_text(&o->tie, invocation);
    case MARGIN:
        return take_number(o->margins, &o->n_margins, "--margin", invocation);
    case WEIGHT:
        return take_number(o->weights, &o->n_weights, "--weight", invocation);
    case SEED:
        return bdpo_option_seed(&o->seed, invocation, "--seed");
    case STATISTICS:
        return take_text(&o->request.statistics, invocation);
    case HUMAN:
        if (!bdpo_option_word(&word, invocation, "--human", bdpo_human_source_words)) return false;
        o->request.human = (bdpo_human_source)word;
        return true;
    case OUT:
        return take_text(&o->out, invocation);
    case WRITE:
        return o->write = true;
    default:
        return false;
    }
}

// ---- configuration -----------------------------------------------------------------------------

static const char **list_names(const bdpo_scorer_summary *list, int n, bdpo_arena *arena)
{
    const char **names = bdpo_arena_alloc(arena, (size_t)n + 1, sizeof *names);
    for (int i = 0; names && i < n; i++) names[i] = list[i].scorer.name;
    return names;
}

// `known` may be NULL: then only the words are checked.
static bdpo_status configure(bdpo_vote_config *config, const options *o,
                             const bdpo_vote_names *known)
{
    bdpo_vote_config_init(config);
    config->seed = o->seed;
    TRY(bdpo_vote_config_voters(config, o->voters, known));
    TRY(bdpo_vote_config_rule(config, "human", known)); // a judge in any case
    TRY(bdpo_vote_config_rule(config, o->rule, known));
    TRY(bdpo_vote_config_tie(config, o->tie, known));
    for (int i = 0; i < o->n_margins; i++) TRY(bdpo_vote_config_margin(config, o->margins[i]));
    for (int i = 0; i < o->n_weights; i++) TRY(bdpo_vote_config_weight(config, o->weights[i]));
    return BDPO_OK;
}

static bdpo_status configure_for_store(session *s)
{
    bdpo_scorer_summary *list;
    int n;
    bdpo_arena *arena = s->invocation->arena;
    TRY(bdpo_score_store_list_scorers(&list, &n, s->store, arena));
    bdpo_vote_names known = {list_names(list, n, arena), n, "of the store"};
    if (!known.names) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the names of scorers");
    TRY(configure(&s->config, s->options, &known));
    return bdpo_vote_pairs_resolve(&s->pairs, &s->config, s->store, list, n);
}

// ---- the command -------------------------------------------------------------------------------

static void warn_of_missing(const session *s)
{
    int64_t n_all = s->pairs.n + s->pairs.n_left_out;
    if (s->pairs.n_left_out == 0) return;
    bdpo_log *log = s->invocation->log;
    for (int v = 0; v < s->config.n_voters; v++)
        if (s->pairs.n_missing[v] > 0)
            bdpo_log_write(log, BDPO_LOG_WARNING, "%s lacks scores on %lld of %lld pairs",
                           s->config.voters[v].name, (long long)s->pairs.n_missing[v],
                           (long long)n_all);
    bdpo_log_write(log, BDPO_LOG_WARNING,
                   "%lld pairs left out for want of scores (bdpo score computes them)",
                   (long long)s->pairs.n_left_out);
}

static bdpo_status write_labels(session *s)
{
    json_t *written;
    const options *o = s->options;
    if (o->out)
        TRY(bdpo_vote_labels_save(o->out, &s->pairs, &s->config, s->store, o->request.data_set));
    if (!o->write) return BDPO_OK;
    TRY(bdpo_vote_labels_store(&written, &s->pairs, &s->config, o->request.human, s->store));
    json_object_set_new(s->report, "written", written);
    bdpo_log_write(s->invocation->log, BDPO_LOG_INFO, "%lld labels stored as rule %lld: %s",
                   (long long)json_integer_value(json_object_get(written, "labels")),
                   (long long)json_integer_value(json_object_get(written, "id")),
                   json_string_value(json_object_get(written, "rule")));
    return BDPO_OK;
}

static bdpo_status vote(session *s)
{
    const options *o = s->options;
    TRY(bdpo_vote_pairs_read(&s->pairs, &s->config, s->store, &o->request, s->invocation->arena,
                             s->invocation->log));
    warn_of_missing(s);
    TRY(bdpo_vote_pairs_check(&s->pairs, &s->config));
    TRY(bdpo_vote_report_make(&s->report, &s->pairs, &s->config));
    json_object_set_new(s->report, "store", json_string(o->store));
    json_object_set_new(s->report, "data_set",
                        o->request.data_set ? json_string(o->request.data_set) : json_null());
    TRY(write_labels(s));
    if (s->invocation->json) {
        json_dumpf(s->report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        printf("\n");
    } else {
        bdpo_vote_report_print(s->report);
    }
    return BDPO_OK;
}

// A name that is wrong is wrong usage, what the store lacks is a failure.
static int vote_on_store(session *s)
{
    const options *o = s->options;
    bdpo_status status =
        bdpo_score_store_open(&s->store, o->store, o->write ? BDPO_STORE_WRITE : BDPO_STORE_READ);
    if (status != BDPO_OK) return bdpo_exit_code(status);
    status = configure_for_store(s);
    if (status == BDPO_BAD_ARGUMENT) return bdpo_usage_error(s->invocation, "%s", bdpo_message());
    if (status == BDPO_OK) status = vote(s);
    return bdpo_exit_code(status);
}

static int check_usage(const bdpo_invocation *invocation, const options *o)
{
    bdpo_vote_config config;
    if (!o->store) return bdpo_usage_error(invocation, "give --store FILE");
    if (o->out && !bdpo_vote_labels_format_known(o->out))
        return bdpo_usage_error(invocation, "--out is \"%s\", expected a name in .jsonl or .csv",
                                o->out);
    if (configure(&config, o, NULL) != BDPO_OK)
        return bdpo_usage_error(invocation, "%s", bdpo_message());
    return BDPO_EXIT_DONE;
}

static int run(bdpo_invocation *invocation)
{
    options o = {.voters = BDPO_VOTE_DEFAULT_VOTERS,
                 .rule = BDPO_VOTE_DEFAULT_RULE,
                 .tie = BDPO_VOTE_DEFAULT_TIE};
    for (int option; (option = bdpo_next_option(invocation)) != 0;)
        if (option < 0 || !take(&o, option, invocation)) return BDPO_EXIT_USAGE;
    int code = check_usage(invocation, &o);
    if (code != BDPO_EXIT_DONE) return code;
    session s = {.invocation = invocation, .options = &o};
    bdpo_interrupt_catch();
    code = vote_on_store(&s);
    json_decref(s.report);
    bdpo_vote_pairs_release(&s.pairs);
    bdpo_score_store_close(s.store);
    return code;
}

static const struct poptOption table[] = {
    {"store", '\0', POPT_ARG_STRING, NULL, STORE, "the score store", "FILE"},
    {"data-set", '\0', POPT_ARG_STRING, NULL, DATA_SET, "only pairs of this one", "NAME"},
    {"voters", '\0', POPT_ARG_STRING, NULL, VOTERS,
     "scorers, and human for the human label; without it " BDPO_VOTE_DEFAULT_VOTERS, "A,B,..."},
    {"rule", '\0', POPT_ARG_STRING, NULL, RULE,
     "of the consensus: human, single:SCORER, random-scorer, coin, sum, normalized-sum:zscore, "
     "normalized-sum:minmax, majority (the usual), weighted-majority, soft-majority, unanimous",
     "RULE"},
    {"tie", '\0', POPT_ARG_STRING, NULL, TIE,
     "what becomes of ties: skip (the usual), human, keep, margin, scorer:SCORER, random",
     "POLICY"},
    {"margin", '\0', POPT_ARG_STRING, NULL, MARGIN,
     "a scorer abstains where its scores differ by no more; may be given several times",
     "SCORER=X"},
    {"weight", '\0', POPT_ARG_STRING, NULL, WEIGHT,
     "of a voter under weighted-majority, without it 1; may be given several times", "SCORER=W"},
    {"seed", '\0', POPT_ARG_STRING, NULL, SEED, "of random-scorer, coin and random; without it 0",
     "N"},
    {"statistics", '\0', POPT_ARG_STRING, NULL, STATISTICS,
     "data set whose finished scoring pass normalises; without it the one voted on", "NAME"},
    {"human", '\0', POPT_ARG_STRING, NULL, HUMAN,
     "the human label: label (the data set's), votes (people's, in the store), or any: the label, "
     "else the votes (the usual)",
     "any|label|votes"},
    {"out", '\0', POPT_ARG_STRING, NULL, OUT, "write the labels to this .jsonl or .csv file",
     "FILE"},
    {"write", '\0', POPT_ARG_NONE, NULL, WRITE, "put the labels into the store", NULL},
    POPT_TABLEEND};

static const bdpo_example examples[] = {
    {"bdpo vote --store scores.db", "all rules and the agreement of the usual voters"},
    {"bdpo vote --store scores.db --data-set pick --voters clip-h,hpsv2,aesthetic,human --tie "
     "human",
     "the human label votes too, and breaks ties"},
    {"bdpo vote --store scores.db --rule soft-majority --margin hpsv2=0.001 --out labels.jsonl",
     "vote shares as labels, in a file"},
    {"bdpo vote --store scores.db --rule normalized-sum:minmax --write",
     "normalised sums as labels, in the store"},
    {NULL, NULL}};

const bdpo_command bdpo_cmd_vote = {
    .name = "vote",
    .arguments = "--store FILE",
    .summary = "labels from scores, and the agreement of scorers",
    .text =
        "Votes on the pairs of a score store. Tells how many pairs each rule labels, skips and\n"
        "ties, and how far every two scorers, the human label and the consensus agree. A\n"
        "scorer's name takes the beginning of its checkpoint's hash where several have it:\n"
        "hpsv2@3fa8. docs/voting.md defines rules, ties and numbers.",
    .options = table,
    .examples = examples,
    .n_arguments = 0,
    .run = run,
};
