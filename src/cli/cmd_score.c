// bdpo score: what scorers say of pictures, of a data set into a score store, or of a few pictures
// onto the screen.
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/option_numbers.h"
#include "cli/record_options.h"
#include "cli/score_pictures.h"
#include "cli/scorer_argument.h"
#include "cli/store_report.h"
#include "formats/printable.h"
#include "scorers/score_run.h"

enum { STORE = 1, SCORER, PROMPT, BATCH, READERS, RETRY, THREADS };

typedef struct options {
    const char *store, *prompt;
    bdpo_scorer_arguments scorers;
    bdpo_record_options records;
    bdpo_score_run_options run;
    int n_of_data_set; // options given that go with a data set only; --strict is for pictures too
    int n_threads;
} options;

typedef struct job {
    bdpo_invocation *invocation;
    options *o;
    bdpo_engine *engine;
    bdpo_session *session;
    bdpo_record_source *source;
    bdpo_score_store *store;
    bdpo_score_run_counts counts;
} job;

// ---- options -----------------------------------------------------------------------------------

static bool take(options *o, int option, bdpo_invocation *invocation)
{
    bool ok, was_strict = o->records.strict;
    if (bdpo_take_record_option(&ok, &o->records, option, invocation)) {
        o->n_of_data_set += o->records.strict == was_strict;
        return ok;
    }
    switch (option) {
    case STORE:
        return (o->store = bdpo_option_text(invocation)) != NULL;
    case PROMPT:
        return (o->prompt = bdpo_option_text(invocation)) != NULL;
    case SCORER:
        return bdpo_take_scorer(&o->scorers, invocation);
    case BATCH:
        o->n_of_data_set++;
        return bdpo_option_int(&o->run.batch, invocation, "--batch", 1, 16);
    case READERS:
        o->n_of_data_set++;
        return bdpo_option_int(&o->run.n_readers, invocation, "--readers", 1, 16);
    case RETRY:
        o->n_of_data_set++;
        return o->run.retry = true;
    case THREADS:
        return bdpo_option_int(&o->n_threads, invocation, "--threads", 1, 4096);
    default:
        return false;
    }
}

static bool check(const options *o, const bdpo_invocation *invocation)
{
    const char *wrong = NULL;
    if (invocation->n_arguments == 0)
        wrong = "needs DATA or PICTURE ..., got 0 arguments";
    else if (o->scorers.count == 0)
        wrong = "give --scorer NAME, e.g. --scorer pickscore (bdpo fetch lists them)";
    else if (!o->store && !o->prompt)
        wrong = "give --store FILE for a data set, or --prompt TEXT for pictures";
    else if (o->store && o->prompt)
        wrong = "--prompt is for pictures, --store for a data set: give one of them";
    else if (o->prompt && o->n_of_data_set > 0)
        wrong = "options of a data set, such as --form, --rows or --retry, go with --store";
    else if (o->store && invocation->n_arguments != 1)
        wrong = "one data set at a time goes into a store";
    if (wrong) bdpo_usage_error(invocation, "%s", wrong);
    return !wrong;
}

// ---- telling -----------------------------------------------------------------------------------

// A reason may name a file, and files have names of any bytes; JSON takes UTF-8 only.
static void set_count(json_t *object, const char *text, int64_t n)
{
    if (json_object_set_new(object, text, json_integer(n)) != 0)
        json_object_set_new(object, bdpo_printable(text).text, json_integer(n));
}

static json_t *reasons_of(const bdpo_scorer_counts *c)
{
    json_t *reasons = json_object();
    for (int i = 0; i < BDPO_SCORE_RUN_MAX_REASONS && c->reasons[i].text[0]; i++)
        set_count(reasons, c->reasons[i].text, c->reasons[i].count);
    return reasons;
}

static json_t *scorers_of(const job *j)
{
    json_t *list = json_array();
    for (int k = 0; k < bdpo_session_n_scorers(j->session); k++) {
        bdpo_scorer_info info = bdpo_session_scorer(j->session, k);
        const bdpo_scorer_counts *c = &j->counts.scorers[k];
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:s, s:s, s:I, s:I, s:I, s:o}", "name", info.name,
                            "checkpoint", bdpo_store_words(info.checkpoint), "sha256", info.sha256,
                            "settings", info.settings, "computed", (json_int_t)c->computed,
                            "present", (json_int_t)c->present, "none", (json_int_t)c->none,
                            "reasons", reasons_of(c)));
    }
    return list;
}

static json_t *dropped_of(const job *j)
{
    json_t *dropped = json_object();
    for (int k = 0; k < BDPO_N_DROPS; k++) {
        int64_t n = bdpo_record_source_n_dropped(j->source, (bdpo_drop)k);
        if (n > 0) json_object_set_new(dropped, bdpo_drop_text((bdpo_drop)k), json_integer(n));
    }
    return dropped;
}

static bdpo_status tell_json(const job *j)
{
    const bdpo_score_run_counts *c = &j->counts;
    json_t *result = json_pack("{s:o, s:o, s:s, s:b, s:I, s:I, s:I, s:I, s:f, s:o, s:o}", "store",
                               bdpo_store_words(j->o->store), "data_set",
                               bdpo_store_words(bdpo_record_source_name(j->source)), "form",
                               bdpo_record_source_form(j->source), "finished", c->finished, "rows",
                               (json_int_t)bdpo_record_source_n_read(j->source), "records",
                               (json_int_t)c->records, "pairs", (json_int_t)c->pairs, "pictures",
                               (json_int_t)c->pictures, "seconds", c->seconds, "dropped",
                               dropped_of(j), "scorers", scorers_of(j));
    return bdpo_store_print_json(result);
}

static void tell_table(const job *j)
{
    printf("%-16s %-12s %10s %10s %10s\n", "scorer", "checkpoint", "computed", "present", "none");
    for (int k = 0; k < bdpo_session_n_scorers(j->session); k++) {
        bdpo_scorer_info info = bdpo_session_scorer(j->session, k);
        const bdpo_scorer_counts *c = &j->counts.scorers[k];
        printf("%-16s %-12.10s %10" PRId64 " %10" PRId64 " %10" PRId64 "\n", info.name, info.sha256,
               c->computed, c->present, c->none);
        for (int i = 0; i < BDPO_SCORE_RUN_MAX_REASONS && c->reasons[i].text[0]; i++)
            printf("  none: %s, %" PRId64 "\n", c->reasons[i].text, c->reasons[i].count);
    }
}

// Line by line: the log cuts what is long.
static void log_lines(bdpo_log *log, const char *text)
{
    while (*text) {
        int length = (int)strcspn(text, "\n");
        bdpo_log_write(log, BDPO_LOG_INFO, "%.*s", length, text);
        text += length + (text[length] == '\n');
    }
}

static bdpo_status tell(const job *j)
{
    const bdpo_score_run_counts *c = &j->counts;
    char *report;
    TRY(bdpo_record_source_report(&report, j->source));
    log_lines(j->invocation->log, report);
    bdpo_free(report);
    bdpo_log_write(j->invocation->log, BDPO_LOG_INFO,
                   "%" PRId64 " records (%" PRId64 " pairs, %" PRId64
                   " pictures) in %.1f s, %.1f pictures/s, into %s",
                   c->records, c->pairs, c->pictures, c->seconds,
                   c->seconds > 0 ? (double)c->pictures / c->seconds : 0, j->o->store);
    if (j->invocation->json) return tell_json(j);
    tell_table(j);
    return BDPO_OK;
}

// ---- running -----------------------------------------------------------------------------------

static bdpo_status open_scorers(job *j)
{
    options *o = j->o;
    TRY(bdpo_scorer_arguments_find(&o->scorers, j->invocation->arena));
    TRY(bdpo_engine_new(&j->engine, &(bdpo_engine_options){.n_threads = o->n_threads}));
    return bdpo_session_new(&j->session, j->engine, o->scorers.at, o->scorers.count, NULL);
}

static bdpo_status score_data_set(job *j)
{
    const options *o = j->o;
    TRY(bdpo_record_source_open(&j->source, j->invocation->arguments[0], &o->records));
    if (!bdpo_record_source_has_pictures(j->source))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: has prompts and labels but no pictures to score",
                         j->invocation->arguments[0]);
    TRY(open_scorers(j));
    TRY(bdpo_score_store_open(&j->store, o->store, BDPO_STORE_CREATE));
    bdpo_score_run_options how = o->run;
    how.log = j->invocation->log;
    how.interrupted = bdpo_interrupt_noted;
    bdpo_status status = bdpo_score_run(&j->counts, j->source, j->session, j->store, &how);
    return status == BDPO_OK ? tell(j) : status;
}

static bdpo_status score_pictures(job *j)
{
    TRY(open_scorers(j));
    return bdpo_score_pictures(j->invocation, j->session, j->o->prompt, j->o->records.strict);
}

static int run(bdpo_invocation *invocation)
{
    options o = {0};
    for (int option; (option = bdpo_next_option(invocation)) != 0;)
        if (option < 0 || !take(&o, option, invocation)) return BDPO_EXIT_USAGE;
    if (!check(&o, invocation)) return BDPO_EXIT_USAGE;
    job j = {.invocation = invocation, .o = &o};
    bdpo_interrupt_catch();
    int code = bdpo_exit_code(o.store ? score_data_set(&j) : score_pictures(&j));
    bdpo_score_store_close(j.store);
    bdpo_record_source_close(j.source);
    bdpo_session_free(j.session);
    bdpo_engine_free(j.engine);
    return code;
}

static const struct poptOption table[] = {
    {"store", 'o', POPT_ARG_STRING, NULL, STORE, "the score store; made where there is none",
     "FILE"},
    {"scorer", '\0', POPT_ARG_STRING, NULL, SCORER,
     "a preset or a configuration file, and where its files lie; may be given several times",
     "NAME[=CHECKPOINT][,tokenizer=PATH][,backbone=PATH]"},
    {"prompt", 'p', POPT_ARG_STRING, NULL, PROMPT, "of the pictures, whose scores are printed",
     "TEXT"},
    {"batch", '\0', POPT_ARG_STRING, NULL, BATCH,
     "records that are written at once, 1 to 16 (as many as take some seconds)", "N"},
    {"readers", '\0', POPT_ARG_STRING, NULL, READERS, "threads that read and decode ahead (2)",
     "N"},
    {"retry", '\0', POPT_ARG_NONE, NULL, RETRY,
     "ask again where the store says that a scorer gave no number", NULL},
    {"threads", '\0', POPT_ARG_STRING, NULL, THREADS, "to compute with (all cores)", "N"},
    BDPO_RECORD_OPTION_ROW,
    POPT_TABLEEND};

static const bdpo_example examples[] = {
    {"bdpo score cat.png dog.png -p \"a cat\" --scorer pickscore", "two pictures, on the screen"},
    {"bdpo score pickapic/ -o scores.db --scorer \"clip-h hpsv2 aesthetic\"",
     "a data set, by three scorers that bdpo fetch got"},
    {"bdpo score pairs.csv -o scores.db --scorer hpsv2.1=HPS_v2.1_compressed.pt,tokenizer=clip/",
     "files that lie elsewhere"},
    {"bdpo score train-*.parquet -o scores.db --scorer judge.json --hash-part 0:0.1",
     "a scorer of one's own on a fixed tenth"},
    {NULL, NULL}};

const bdpo_command bdpo_cmd_score = {
    .name = "score",
    .arguments = "DATA|PICTURE ...",
    .summary = "what scorers say of pictures",
    .text =
        "Scores a data set of captioned pictures or pairs into a score store, or a few pictures\n"
        "on the screen. All scorers run together: pictures are decoded once, networks that\n"
        "scorers share run once. Only what the store does not have is computed, so a run that\n"
        "was stopped goes on where it was. Rows that cannot be used are counted by reason.",
    .options = table,
    .examples = examples,
    .n_arguments = -1,
    .computes = true,
    .run = run,
};
