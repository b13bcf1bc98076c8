// The protocol is in scorer_families.h. Up to WINDOW questions are under way at a time. When the
// program breaks a rule or ends, the oldest question is taken to be the reason and has no score;
// the program is started again and asked the others anew, until it fails MISSES times in a row.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "formats/sha256.h"
#include "scorers/judge_process.h"
#include "scorers/scorer_families.h"

enum { WINDOW = 64, MISSES = 3, MAX_WORDS = 64 };

typedef enum question_state { WAITING, ASKED, DONE } question_state;

// A question under way.
typedef struct question {
    long long id;
    int at;     // of the cases
    char *file; // of ours, for a picture that has none; NULL
} question;

typedef struct external_state {
    char *argv[MAX_WORDS + 1];
    double timeout_s;
    bdpo_judge *judge; // NULL: not running
    long long next_id;
    int misses;      // failures since the last answer
    char *directory; // of our files; NULL as long as there is none
    bdpo_arena *reasons;
    question asked[WINDOW]; // the oldest first
    int n_asked;
} external_state;

// ---- configuration -----------------------------------------------------------------------------

static bdpo_status read_command(external_state *state, bdpo_scorer *s)
{
    bdpo_json list;
    TRY(bdpo_json_array(&list, &s->config, "command"));
    size_t n = bdpo_json_count(&list);
    for (size_t i = 0; i < n && i < MAX_WORDS; i++) {
        const char *word = json_string_value(bdpo_json_element(&list, i).value);
        if (!word) n = 0;
        state->argv[i] = word ? bdpo_arena_strdup(s->arena, word) : NULL;
        if (word && !state->argv[i]) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer");
    }
    if (n < 1 || n > MAX_WORDS)
        return bdpo_fail(BDPO_BAD_FILE, "%s: command is not a list of 1 to %d words",
                         s->config.file, MAX_WORDS);
    json_object_set(s->settings, "command", list.value);
    return BDPO_OK;
}

// The digest of the checkpoint where one is named, else of the command.
static bdpo_status read_identity(bdpo_scorer *s)
{
    bdpo_sha256_text text;
    char *command = json_dumps(json_object_get(s->settings, "command"), JSON_COMPACT);
    if (!command) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer");
    s->info.checkpoint = s->checkpoint ? s->checkpoint : bdpo_arena_strdup(s->arena, command);
    bdpo_status status = s->checkpoint ? bdpo_sha256_file(&text, s->checkpoint)
                                       : bdpo_sha256(&text, command, strlen(command));
    free(command); // jansson's
    TRY(status);
    s->info.sha256 = bdpo_arena_strdup(s->arena, text.hex);
    return s->info.sha256 && s->info.checkpoint
               ? BDPO_OK
               : bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer");
}

static bdpo_status external_open(bdpo_scorer *s)
{
    const char *version;
    external_state *state = bdpo_arena_alloc(s->arena, 1, sizeof *state);
    if (!state) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scorer");
    s->state = state;
    TRY(read_command(state, s));
    TRY(read_identity(s));
    TRY(bdpo_json_double_or(&state->timeout_s, &s->config, "timeout_s", 300, 0.01, 1e6));
    TRY(bdpo_json_bool_or(&s->info.reads_prompt, &s->config, "reads_prompt", true));
    TRY(bdpo_json_string_or(&version, &s->config, "version", NULL));
    if (version) json_object_set_new(s->settings, "version", json_string(version));
    return bdpo_judge_start(&state->judge, state->argv);
}

// ---- pictures without a file -------------------------------------------------------------------

static bdpo_status need_directory(external_state *state)
{
    char path[BDPO_PATH_BYTES];
    const char *parent = getenv("TMPDIR");
    if (state->directory) return BDPO_OK;
    TRY(bdpo_file_join(path, parent && *parent ? parent : "/tmp", "bdpo-external-XXXXXX"));
    if (!mkdtemp(path)) return bdpo_fail(BDPO_IO, "%s: cannot be made", path);
    size_t size = strlen(path) + 1;
    state->directory = bdpo_alloc(size, 1);
    if (!state->directory) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a path");
    memcpy(state->directory, path, size);
    return BDPO_OK;
}

static const char *suffix_of(const void *bytes, size_t n)
{
    if (n >= 4 && memcmp(bytes, "\x89PNG", 4) == 0) return "png";
    if (n >= 2 && memcmp(bytes, "\xff\xd8", 2) == 0) return "jpg";
    if (n >= 12 && memcmp(bytes, "RIFF", 4) == 0) return "webp";
    return "bin";
}

// Not bdpo_file_write(): nobody needs the file to survive the machine.
static bdpo_status write_file(char **out, external_state *state, long long id, const void *bytes,
                              size_t n)
{
    char name[64], path[BDPO_PATH_BYTES];
    TRY(need_directory(state));
    snprintf(name, sizeof name, "%lld.%s", id, suffix_of(bytes, n));
    TRY(bdpo_file_join(path, state->directory, name));
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(bytes, 1, n, file) == n;
    if (file && fclose(file) != 0) written = false;
    size_t size = strlen(path) + 1;
    *out = written ? bdpo_alloc(size, 1) : NULL;
    if (*out) {
        memcpy(*out, path, size);
        return BDPO_OK;
    }
    unlink(path);
    return written ? bdpo_fail(BDPO_NO_MEMORY, "no memory for a path")
                   : bdpo_fail(BDPO_IO, "%s: cannot be written", path);
}

// Pixels as a PNG, which holds all modes but CMYK.
static bdpo_status write_pixels(char **out, external_state *state, long long id,
                                const bdpo_image *image)
{
    bdpo_image copy = {0};
    void *data = NULL;
    size_t n;
    bdpo_status status = BDPO_OK;
    if (image->mode == BDPO_IMAGE_CMYK) {
        TRY(bdpo_image_crop(&copy, image, 0, 0, image->width, image->height));
        status = bdpo_image_to_rgb(&copy);
        image = &copy;
    }
    if (status == BDPO_OK) status = bdpo_image_encode(&data, &n, image, BDPO_IMAGE_PNG, NULL);
    if (status == BDPO_OK) status = write_file(out, state, id, data, n);
    bdpo_free(data);
    bdpo_image_release(&copy);
    return status;
}

static void forget(question *q)
{
    if (q->file) unlink(q->file);
    bdpo_free(q->file);
    q->file = NULL;
}

// ---- asking ------------------------------------------------------------------------------------

static bdpo_status put_question(external_state *state, const question *q,
                                const bdpo_score_item *item)
{
    json_t *object = json_object();
    json_t *path = json_string(q->file ? q->file : item->path);
    json_t *prompt = item->prompt ? json_stringn(item->prompt, item->prompt_size) : json_null();
    const char *bad = !path ? "path" : !prompt ? "prompt" : NULL;
    json_object_set_new(object, "id", json_integer(q->id));
    json_object_set_new(object, "image", path);
    json_object_set_new(object, "prompt", prompt);
    char *text = bad ? NULL : json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (bad) return bdpo_fail(BDPO_BAD_ARGUMENT, "the %s is not UTF-8", bad);
    if (!text) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a question");
    bdpo_status status = bdpo_judge_put(state->judge, text, strlen(text));
    if (status == BDPO_OK) status = bdpo_judge_put(state->judge, "\n", 1);
    free(text); // jansson's
    return status;
}

static bdpo_status ask(external_state *state, const bdpo_score_item *item, int at)
{
    question q = {.id = ++state->next_id, .at = at};
    if (!item->path)
        TRY(item->bytes ? write_file(&q.file, state, q.id, item->bytes, item->n_bytes)
                        : write_pixels(&q.file, state, q.id, item->image));
    bdpo_status status = put_question(state, &q, item);
    if (status == BDPO_OK)
        state->asked[state->n_asked++] = q;
    else
        forget(&q);
    return status;
}

// ---- answers -----------------------------------------------------------------------------------

static const char *keep(external_state *state, const char *text)
{
    const char *kept = bdpo_arena_strdup(state->reasons, text);
    return kept ? kept : "there is no memory";
}

static bdpo_status fail_line(const char *what, const char *line, size_t size)
{
    char shown[81];
    int n = 0;
    for (; n < 80 && (size_t)n < size; n++) // nothing that a terminal would obey
        shown[n] = (unsigned char)line[n] >= ' ' && line[n] != 127 ? line[n] : '?';
    return bdpo_fail(BDPO_BAD_FILE, "the program wrote %s: %.*s%s", what, n, shown,
                     size > 80 ? "..." : "");
}

static int find_question(const external_state *state, const json_t *id)
{
    for (int i = 0; json_is_integer(id) && i < state->n_asked; i++)
        if (state->asked[i].id == json_integer_value(id)) return i;
    return -1;
}

// Takes a line for the case it answers: *at.
static bdpo_status take_answer(int *at, external_state *state, const bdpo_score_case *cases,
                               const json_t *answer, const char *line, size_t size)
{
    const json_t *score = json_object_get(answer, "score");
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (!json_is_object(answer)) return fail_line("what is no JSON object", line, size);
    int i = find_question(state, json_object_get(answer, "id"));
    if (i < 0) return fail_line("an id that was not asked for", line, size);
    if (!json_is_number(score) && !json_is_null(score) && !error)
        return fail_line("neither a score, which is a number or null, nor an error", line, size);
    question q = state->asked[i];
    const bdpo_score_case *c = &cases[q.at];
    if (json_is_number(score) && !error)
        *c->score = json_number_value(score);
    else
        *c->reason = error ? keep(state, error) : "the program gave no score";
    *at = q.at;
    forget(&q);
    state->n_asked--;
    memmove(&state->asked[i], &state->asked[i + 1],
            (size_t)(state->n_asked - i) * sizeof state->asked[0]);
    return BDPO_OK;
}

static bdpo_status get_answer(int *at, external_state *state, const bdpo_score_case *cases)
{
    const char *line;
    size_t size;
    TRY(bdpo_judge_get(&line, &size, state->judge, state->timeout_s));
    json_t *answer = json_loadb(line, size, JSON_ALLOW_NUL, NULL);
    bdpo_status status = take_answer(at, state, cases, answer, line, size);
    json_decref(answer);
    return status;
}

// ---- a batch -----------------------------------------------------------------------------------

// The program failed: the oldest question has no score, the others wait again.
static void give_up_oldest(external_state *state, question_state *states,
                           const bdpo_score_case *cases)
{
    const char *why = keep(state, bdpo_message());
    for (int i = 0; i < state->n_asked; i++) {
        question *q = &state->asked[i];
        states[q->at] = i == 0 ? DONE : WAITING;
        if (i == 0) *cases[q->at].reason = why;
        forget(q);
    }
    state->n_asked = 0;
    state->misses++;
    bdpo_judge_stop(state->judge, 0);
    state->judge = NULL;
}

static void give_up_all(external_state *state, question_state *states, const bdpo_score_case *cases,
                        int n)
{
    const char *why = keep(state, bdpo_message());
    for (int i = 0; i < n; i++)
        if (states[i] != DONE) *cases[i].reason = why, states[i] = DONE;
}

static bdpo_status need_program(external_state *state)
{
    char last[512];
    if (state->judge) return BDPO_OK;
    snprintf(last, sizeof last, "%s", bdpo_message());
    if (state->misses >= MISSES)
        return bdpo_fail(BDPO_IO, "the program failed %d times without an answer; at last: %s",
                         MISSES, last);
    return bdpo_judge_start(&state->judge, state->argv);
}

static bdpo_status ask_more(external_state *state, question_state *states,
                            const bdpo_score_case *cases, int n)
{
    for (int i = 0; i < n && state->n_asked < WINDOW; i++) {
        if (states[i] != WAITING) continue;
        bdpo_status status = ask(state, cases[i].item, i);
        if (status == BDPO_NO_MEMORY) return status;
        states[i] = status == BDPO_OK ? ASKED : DONE;
        if (status != BDPO_OK) *cases[i].reason = keep(state, bdpo_message());
    }
    return BDPO_OK;
}

static bdpo_status run_batch(external_state *state, question_state *states,
                             const bdpo_score_case *cases, int n)
{
    for (int at = 0;;) {
        if (need_program(state) != BDPO_OK) {
            give_up_all(state, states, cases, n);
            return BDPO_OK;
        }
        TRY(ask_more(state, states, cases, n));
        if (state->n_asked == 0) return BDPO_OK;
        bdpo_status status = get_answer(&at, state, cases);
        if (status == BDPO_NO_MEMORY) return status;
        if (status == BDPO_OK) {
            states[at] = DONE;
            state->misses = 0;
        } else {
            give_up_oldest(state, states, cases);
        }
    }
}

// A failed batch leaves questions under way whose answers would come into the next one.
static void stop_asking(external_state *state)
{
    for (int i = 0; i < state->n_asked; i++) forget(&state->asked[i]);
    if (state->n_asked > 0) {
        bdpo_judge_stop(state->judge, 0);
        state->judge = NULL;
    }
    state->n_asked = 0;
}

static bdpo_status external_score(bdpo_scorer *s, const bdpo_score_case *cases, int n)
{
    external_state *state = s->state;
    bdpo_arena_free(state->reasons);
    state->reasons = NULL;
    TRY(bdpo_arena_new(&state->reasons));
    question_state *states = bdpo_alloc((size_t)n, sizeof *states);
    if (!states) return bdpo_fail(BDPO_NO_MEMORY, "no memory for %d questions", n);
    for (int i = 0; i < n; i++) *cases[i].score = NAN;
    state->misses = 0;
    bdpo_status status = run_batch(state, states, cases, n);
    stop_asking(state);
    bdpo_free(states);
    return status;
}

static void external_close(bdpo_scorer *s)
{
    external_state *state = s->state;
    if (!state) return;
    bdpo_judge_stop(state->judge, 5);
    if (state->directory) rmdir(state->directory);
    bdpo_free(state->directory);
    bdpo_arena_free(state->reasons);
}

static const char *const fields[] = {"command", "timeout_s", "reads_prompt", "version", NULL};

const bdpo_scorer_family bdpo_family_external = {.name = "external",
                                                 .wants_files = true,
                                                 .open = external_open,
                                                 .score = external_score,
                                                 .close = external_close,
                                                 .fields = fields};
