// bdpo store: lists, exports, imports, merges and checks a score store.
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/option_numbers.h"
#include "cli/store_report.h"
#include "scorers/score_export.h"
#include "scorers/score_import.h"

enum { PAIRS = 1, SCORER, DATA_SET, FORMAT, VERSION, NO_PROMPT, VOTES, ANNOTATOR };
enum { MAX_SCORERS = 64 };

// Only what an action takes may be given with it: the set of its options.
enum {
    WITH_PAIRS = 1 << PAIRS,
    WITH_SCORER = 1 << SCORER,
    WITH_DATA_SET = 1 << DATA_SET,
    WITH_FORMAT = 1 << FORMAT,
    WITH_VERSION = 1 << VERSION,
    WITH_NO_PROMPT = 1 << NO_PROMPT,
    WITH_VOTES = 1 << VOTES,
    WITH_ANNOTATOR = 1 << ANNOTATOR
};

typedef struct options {
    bool pairs, no_prompt, votes;
    const char *scorers[MAX_SCORERS];
    int n_scorers;
    const char *data_set, *format, *version, *annotator;
    unsigned given; // WITH_*
} options;

typedef struct action {
    const char *name, *arguments; // after the store's file and the name
    int least, most;              // arguments; -1: any number
    bdpo_score_store_mode mode;
    unsigned options;
    bdpo_status (*run)(bdpo_score_store *store, const bdpo_invocation *invocation, const options *o,
                       const char *const *arguments, int n);
} action;

static bool is_jsonl(const char *word)
{
    return strcmp(word, "jsonl") == 0;
}

// ---- actions -----------------------------------------------------------------------------------

static bdpo_status run_list(bdpo_score_store *store, const bdpo_invocation *invocation,
                            const options *o, const char *const *arguments, int n)
{
    json_t *report;
    (void)o, (void)arguments, (void)n;
    TRY(bdpo_store_report(&report, store));
    if (invocation->json) return bdpo_store_print_json(report);
    bdpo_store_report_print(report);
    json_decref(report);
    return BDPO_OK;
}

static bdpo_status run_export(bdpo_score_store *store, const bdpo_invocation *invocation,
                              const options *o, const char *const *arguments, int n)
{
    int64_t n_rows, scorers[MAX_SCORERS];
    const char *path = n > 0 && strcmp(arguments[0], "-") != 0 ? arguments[0] : NULL;
    bdpo_score_export what = {.path = path,
                              .stream = stdout,
                              .pairs = o->pairs,
                              .filter = {o->data_set, scorers, o->n_scorers}};
    for (int i = 0; i < o->n_scorers; i++)
        TRY(bdpo_score_store_choose_scorer(&scorers[i], store, o->scorers[i]));
    if (path) bdpo_table_format_of(&what.format, path);
    for (int i = 0; o->format && bdpo_table_format_names[i]; i++)
        if (strcmp(o->format, bdpo_table_format_names[i]) == 0) what.format = (bdpo_table_format)i;
    TRY(bdpo_score_store_export(&n_rows, store, &what));
    if (path && invocation->json)
        return bdpo_store_print_json(
            json_pack("{s:o, s:I}", "path", bdpo_store_words(path), "rows", (json_int_t)n_rows));
    bdpo_log_write(invocation->log, BDPO_LOG_INFO, "%s: %lld row%s",
                   path ? path : "standard output", (long long)n_rows, n_rows == 1 ? "" : "s");
    return BDPO_OK;
}

static void say_line(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "bdpo: %s\n", line);
}

static bdpo_status tell_votes(const bdpo_invocation *invocation, const char *path,
                              const bdpo_import_counts *c)
{
    if (invocation->json)
        return bdpo_store_print_json(json_pack(
            "{s:o, s:I, s:I, s:I, s:I, s:I}", "path", bdpo_store_words(path), "rows",
            (json_int_t)c->rows, "added", (json_int_t)c->added, "same", (json_int_t)c->same,
            "images", (json_int_t)c->images, "prompts", (json_int_t)c->prompts));
    printf("%s: rows %lld: votes added %lld, cast before %lld; new images %lld, prompts %lld\n",
           path, (long long)c->rows, (long long)c->added, (long long)c->same, (long long)c->images,
           (long long)c->prompts);
    return BDPO_OK;
}

static bdpo_status run_import(bdpo_score_store *store, const bdpo_invocation *invocation,
                              const options *o, const char *const *arguments, int n)
{
    bdpo_import_counts c;
    bdpo_score_import what = {.path = arguments[0],
                              .scorer = o->n_scorers > 0 ? o->scorers[0] : NULL,
                              .version = o->version,
                              .no_prompt = o->no_prompt,
                              .votes = o->votes,
                              .annotator = o->annotator,
                              .time = time(NULL),
                              .say = say_line};
    (void)n;
    bdpo_import_format_of(&what.format, what.path);
    if (o->format)
        what.format = is_jsonl(o->format)             ? BDPO_IMPORT_JSONL
                      : strcmp(o->format, "tsv") == 0 ? BDPO_IMPORT_TSV
                                                      : BDPO_IMPORT_CSV;
    TRY(bdpo_score_store_import(&c, store, &what));
    if (what.votes) return tell_votes(invocation, what.path, &c);
    if (invocation->json)
        return bdpo_store_print_json(json_pack(
            "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "path", bdpo_store_words(what.path),
            "rows", (json_int_t)c.rows, "added", (json_int_t)c.added, "replaced",
            (json_int_t)c.replaced, "same", (json_int_t)c.same, "none", (json_int_t)c.none,
            "images", (json_int_t)c.images, "prompts", (json_int_t)c.prompts, "scorers",
            (json_int_t)c.scorers));
    printf(
        "%s: rows %lld: scores added %lld, replaced %lld, as before %lld; without a number %lld; "
        "new images %lld, prompts %lld, scorers %lld\n",
        what.path, (long long)c.rows, (long long)c.added, (long long)c.replaced, (long long)c.same,
        (long long)c.none, (long long)c.images, (long long)c.prompts, (long long)c.scorers);
    return BDPO_OK;
}

static json_t *merged(const char *path, const bdpo_merge_counts *c)
{
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "path",
                     bdpo_store_words(path), "images", (json_int_t)c->images, "prompts",
                     (json_int_t)c->prompts, "scorers", (json_int_t)c->scorers, "scores",
                     (json_int_t)c->scores, "pairs", (json_int_t)c->pairs, "votes",
                     (json_int_t)c->votes, "labels", (json_int_t)c->labels, "differing",
                     (json_int_t)c->differing);
}

static bdpo_status run_merge(bdpo_score_store *store, const bdpo_invocation *invocation,
                             const options *o, const char *const *arguments, int n)
{
    json_t *list = invocation->json ? json_array() : NULL;
    bdpo_status status = BDPO_OK;
    (void)o;
    for (int i = 0; i < n && status == BDPO_OK; i++) {
        bdpo_merge_counts c;
        status = bdpo_score_store_merge(&c, store, arguments[i]);
        if (status != BDPO_OK) break;
        if (list) {
            json_array_append_new(list, merged(arguments[i], &c));
            continue;
        }
        printf("%s: new images %lld, prompts %lld, scorers %lld, scores %lld, pairs %lld, "
               "votes %lld, labels %lld\n",
               arguments[i], (long long)c.images, (long long)c.prompts, (long long)c.scorers,
               (long long)c.scores, (long long)c.pairs, (long long)c.votes, (long long)c.labels);
        if (c.differing > 0)
            bdpo_log_write(invocation->log, BDPO_LOG_WARNING,
                           "%s: %lld scores differ; those of %s stay", arguments[i],
                           (long long)c.differing, bdpo_score_store_path(store));
    }
    if (status == BDPO_OK && list) return bdpo_store_print_json(list);
    json_decref(list);
    return status;
}

static void take_problem(void *context, const char *problem)
{
    json_array_append_new(context, bdpo_store_words(problem));
}

static void print_problem(void *context, const char *problem)
{
    (void)context;
    printf("%s\n", problem);
}

static bdpo_status run_check(bdpo_score_store *store, const bdpo_invocation *invocation,
                             const options *o, const char *const *arguments, int n)
{
    bdpo_sha256_text digest = {""};
    json_t *problems = json_array();
    (void)o, (void)arguments, (void)n;
    bdpo_status status =
        bdpo_score_store_check(store, invocation->json ? take_problem : print_problem, problems);
    if (status == BDPO_OK) status = bdpo_score_store_digest(&digest, store);
    if (!invocation->json) {
        json_decref(problems);
        if (status == BDPO_OK)
            printf("%s: whole\ncontents  %s\n", bdpo_score_store_path(store), digest.hex);
        return status;
    }
    bool whole = status == BDPO_OK;
    bdpo_status printed = bdpo_store_print_json(
        json_pack("{s:o, s:b, s:s?, s:o}", "path", bdpo_store_words(bdpo_score_store_path(store)),
                  "whole", whole, "contents", whole ? digest.hex : NULL, "problems", problems));
    return whole ? printed : status;
}

static bdpo_status run_upgrade(bdpo_score_store *store, const bdpo_invocation *invocation,
                               const options *o, const char *const *arguments, int n)
{
    (void)o, (void)arguments, (void)n; // opening did it
    if (invocation->json)
        return bdpo_store_print_json(json_pack("{s:o, s:i}", "path",
                                               bdpo_store_words(bdpo_score_store_path(store)),
                                               "version", BDPO_STORE_VERSION));
    printf("%s: version %d\n", bdpo_score_store_path(store), BDPO_STORE_VERSION);
    return BDPO_OK;
}

static const action actions[] = {
    {"list", "", 0, 0, BDPO_STORE_READ, 0, run_list},
    {"export", " [OUT]", 0, 1, BDPO_STORE_READ,
     WITH_PAIRS | WITH_SCORER | WITH_DATA_SET | WITH_FORMAT, run_export},
    {"import", " IN", 1, 1, BDPO_STORE_CREATE,
     WITH_SCORER | WITH_VERSION | WITH_NO_PROMPT | WITH_FORMAT | WITH_VOTES | WITH_ANNOTATOR,
     run_import},
    {"merge", " FILE...", 1, -1, BDPO_STORE_CREATE, 0, run_merge},
    {"check", "", 0, 0, BDPO_STORE_READ, 0, run_check},
    {"upgrade", "", 0, 0, BDPO_STORE_WRITE, 0, run_upgrade},
};

// ---- the command line --------------------------------------------------------------------------

static bool take_scorer(options *o, bdpo_invocation *invocation)
{
    if (o->n_scorers < MAX_SCORERS) {
        o->scorers[o->n_scorers++] = bdpo_option_text(invocation);
        return true;
    }
    bdpo_usage_error(invocation, "--scorer may be given %d times", MAX_SCORERS);
    return false;
}

static bool take(options *o, int option, bdpo_invocation *invocation)
{
    o->given |= 1u << option;
    switch (option) {
    case PAIRS:
        o->pairs = true;
        return true;
    case NO_PROMPT:
        o->no_prompt = true;
        return true;
    case SCORER:
        return take_scorer(o, invocation);
    case VOTES:
        o->votes = true;
        return true;
    case ANNOTATOR:
        o->annotator = bdpo_option_text(invocation);
        return true;
    case DATA_SET:
        o->data_set = bdpo_option_text(invocation);
        return true;
    case FORMAT:
        o->format = bdpo_option_text(invocation);
        return true;
    case VERSION:
        o->version = bdpo_option_text(invocation);
        return true;
    default:
        return false;
    }
}

static const action *find_action(const char *name)
{
    for (size_t i = 0; i < BDPO_COUNTOF(actions); i++)
        if (strcmp(actions[i].name, name) == 0) return &actions[i];
    return NULL;
}

// The format must be known before anything is opened.
static bool check_format(const bdpo_invocation *invocation, const action *a, const options *o,
                         const char *const *arguments, int n)
{
    bdpo_table_format table;
    bdpo_import_format import;
    bool exports = a->run == run_export;
    const char *const *words = bdpo_table_format_names;
    static const char *const import_words[] = {"csv", "tsv", "jsonl", NULL};
    if (!exports) words = import_words;
    if (o->format) {
        for (; *words; words++)
            if (strcmp(*words, o->format) == 0) return true;
        bdpo_usage_error(invocation, "--format of %s takes %s, not %s", a->name,
                         exports ? "csv, jsonl or parquet" : "csv, tsv or jsonl", o->format);
        return false;
    }
    if (n == 0 || strcmp(arguments[0], "-") == 0) return true;
    if (exports ? bdpo_table_format_of(&table, arguments[0])
                : bdpo_import_format_of(&import, arguments[0]))
        return true;
    bdpo_usage_error(invocation, "%s ends in none of %s: give --format", arguments[0],
                     exports ? ".csv, .jsonl, .parquet" : ".csv, .tsv, .jsonl");
    return false;
}

static bool check_import(const bdpo_invocation *invocation, const options *o)
{
    const char *wrong = NULL;
    if (o->n_scorers > 1)
        wrong = "import takes one --scorer";
    else if (o->votes && o->given & (WITH_SCORER | WITH_VERSION | WITH_NO_PROMPT))
        wrong = "--votes are people's: no --scorer, --version or --no-prompt goes with them";
    else if (o->annotator && !o->votes)
        wrong = "--annotator goes with --votes";
    if (wrong) bdpo_usage_error(invocation, "%s", wrong);
    return !wrong;
}

static bool check_use(const bdpo_invocation *invocation, const action *a, const options *o,
                      const char *const *arguments, int n)
{
    static const char *const names[] = {"",        "pairs",     "scorer", "data-set", "format",
                                        "version", "no-prompt", "votes",  "annotator"};
    if (n < a->least || (a->most >= 0 && n > a->most)) {
        bdpo_usage_error(invocation, "%s is used as: FILE %s%s", a->name, a->name, a->arguments);
        return false;
    }
    for (int option = PAIRS; option <= ANNOTATOR; option++) {
        if (!(o->given & ~a->options & 1u << option)) continue;
        bdpo_usage_error(invocation, "%s takes no --%s", a->name, names[option]);
        return false;
    }
    if (a->run == run_import && !check_import(invocation, o)) return false;
    bool streams = a->run == run_export && (n == 0 || strcmp(arguments[0], "-") == 0);
    if (streams && o->format && strcmp(o->format, "parquet") == 0) {
        bdpo_usage_error(invocation, "Parquet is written to a file only: name it");
        return false;
    }
    if (streams && invocation->json) {
        bdpo_usage_error(invocation, "rows on the standard output as JSON: --format jsonl");
        return false;
    }
    if (a->run != run_export && a->run != run_import) return true;
    return check_format(invocation, a, o, arguments, n);
}

// Before a store is made for what does not exist.
static bdpo_status check_inputs(const action *a, const char *const *arguments, int n)
{
    for (int i = 0; i < n && a->mode == BDPO_STORE_CREATE; i++)
        if (!bdpo_file_exists(arguments[i]))
            return bdpo_fail(BDPO_NOT_FOUND, "%s: cannot open: No such file or directory",
                             arguments[i]);
    return BDPO_OK;
}

static int run(bdpo_invocation *invocation)
{
    options o = {0};
    for (int option; (option = bdpo_next_option(invocation)) != 0;)
        if (option < 0 || !take(&o, option, invocation)) return BDPO_EXIT_USAGE;
    if (invocation->n_arguments < 1) return bdpo_usage_error(invocation, "needs FILE");
    const char *name = invocation->n_arguments > 1 ? invocation->arguments[1] : "list";
    const char *const *arguments = invocation->arguments + 2;
    int n = invocation->n_arguments > 2 ? invocation->n_arguments - 2 : 0;
    const action *a = find_action(name);
    if (!a)
        return bdpo_usage_error(
            invocation, "no action \"%s\": list, export, import, merge, check or upgrade", name);
    if (!check_use(invocation, a, &o, arguments, n)) return BDPO_EXIT_USAGE;
    bdpo_score_store *store;
    bdpo_status status = check_inputs(a, arguments, n);
    if (status == BDPO_OK)
        status = bdpo_score_store_open(&store, invocation->arguments[0], a->mode);
    if (status != BDPO_OK) return bdpo_exit_code(status);
    int code = bdpo_exit_code(a->run(store, invocation, &o, arguments, n));
    bdpo_score_store_close(store);
    return code;
}

static const struct poptOption table[] = {
    {"pairs", '\0', POPT_ARG_NONE, NULL, PAIRS,
     "export: a row for each pair, with two columns for each scorer", NULL},
    {"scorer", '\0', POPT_ARG_STRING, NULL, SCORER,
     "export: only this one, several times if wanted; import: whose scores they are",
     "NAME[@CHECKPOINT]"},
    {"data-set", '\0', POPT_ARG_STRING, NULL, DATA_SET, "export: only what its pairs ask for",
     "NAME"},
    {"format", '\0', POPT_ARG_STRING, NULL, FORMAT,
     "of the other file, where its name does not say", "csv|jsonl|parquet|tsv"},
    {"version", '\0', POPT_ARG_STRING, NULL, VERSION,
     "import: version of the scorer: its checkpoint's SHA-256, or your own words", "TEXT"},
    {"no-prompt", '\0', POPT_ARG_NONE, NULL, NO_PROMPT,
     "import: the scorer sees no prompt: one score for each image", NULL},
    {"votes", '\0', POPT_ARG_NONE, NULL, VOTES,
     "import: people's votes instead: columns image_0, image_1, prompt, choice, annotator, time",
     NULL},
    {"annotator", '\0', POPT_ARG_STRING, NULL, ANNOTATOR, "import: who cast all of the votes",
     "NAME"},
    POPT_TABLEEND};

static const bdpo_example examples[] = {
    {"bdpo store scores.db", "scorers, data sets, rules, and how much of each"},
    {"bdpo store scores.db export --pairs pairs.csv", "pairs, two columns for each scorer"},
    {"bdpo store scores.db export --scorer hpsv2.1 --format jsonl", "its scores as JSON lines"},
    {"bdpo store scores.db import judge.csv --scorer judge --version 2025-06",
     "columns image, prompt, score of your own judge"},
    {"bdpo store scores.db import --votes votes.csv",
     "which of two pictures people chose: what bdpo vote calls human"},
    {"bdpo store all.db merge part1.db part2.db", "adds what other stores have"},
    {"bdpo store scores.db check", "reads all of it; the digest of its contents"},
    {NULL, NULL}};

const bdpo_command bdpo_cmd_store = {
    .name = "store",
    .arguments = "FILE [ACTION ...]",
    .summary = "what a score store holds; export, import, merge, check",
    .text = "FILE is a score store (SQLite), as bdpo score writes it. Actions:\n"
            "  list             counts of everything, and lists (this one where none is named)\n"
            "  export [OUT]     scores or, with --pairs, pairs: CSV, JSONL or Parquet; without\n"
            "                   OUT to the standard output\n"
            "  import IN        scores made elsewhere, from CSV, TSV or JSONL: columns image\n"
            "                   (SHA-256, or path from IN's folder), prompt, score, scorer and\n"
            "                   checkpoint; or with --votes, which of two pictures people\n"
            "                   chose; all rows or, where one is bad, none\n"
            "  merge FILE...    adds what other stores have; where scores differ, ours stay\n"
            "  check            whether the file is whole, and the digest of its contents\n"
            "  upgrade          brings a store of an older version to the current one\n"
            "import and merge make FILE where there is none.",
    .options = table,
    .examples = examples,
    .n_arguments = -1,
    .run = run,
};
