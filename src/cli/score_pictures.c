// One picture at a time: they need not fit into memory together.
#include "cli/score_pictures.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/store_report.h"
#include "formats/image.h"

// What is the same for all of them.
typedef struct picture_task {
    const char *prompt;
    bool strict;
    bdpo_log *log;
} picture_task;

static void print_header(const bdpo_session *session, int width)
{
    printf("%-*s", width, "picture");
    for (int k = 0; k < bdpo_session_n_scorers(session); k++)
        printf("  %12s", bdpo_session_scorer(session, k).name);
    printf("\n");
}

static void print_line(const char *path, const bdpo_score *scores, int n, int width)
{
    printf("%-*s", width, path);
    for (int k = 0; k < n; k++) {
        if (isnan(scores[k].value))
            printf("  %12s", "none");
        else
            printf("  %12.6f", scores[k].value);
    }
    printf("\n");
    fflush(stdout); // whoever reads along has it now
}

// Why a picture that could be read has no score; the table has no room for it.
static void tell_reasons(const bdpo_session *session, const char *path, const bdpo_score *scores,
                         bdpo_log *log)
{
    for (int k = 0; k < bdpo_session_n_scorers(session); k++)
        if (isnan(scores[k].value))
            bdpo_log_write(log, BDPO_LOG_WARNING, "%s: %s: %s", path,
                           bdpo_session_scorer(session, k).name,
                           scores[k].reason ? scores[k].reason : "not a number");
}

static json_t *json_line(const bdpo_session *session, const char *path, const bdpo_score *scores)
{
    json_t *values = json_object(), *reasons = json_object();
    for (int k = 0; k < bdpo_session_n_scorers(session); k++) {
        const char *name = bdpo_session_scorer(session, k).name;
        if (!isnan(scores[k].value))
            json_object_set_new(values, name, json_real(scores[k].value));
        else
            json_object_set_new(
                reasons, name,
                bdpo_store_words(scores[k].reason ? scores[k].reason : "not a number"));
    }
    return json_pack("{s:o, s:o, s:o}", "picture", bdpo_store_words(path), "scores", values, "none",
                     reasons);
}

// *readable tells whether the picture could be scored at all; where not, `strict` makes it a
// failure.
static bdpo_status score_one(bool *readable, bdpo_score *scores, bdpo_session *session,
                             const char *path, const picture_task *task)
{
    bdpo_image image = {0};
    if (bdpo_interrupt_noted()) return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
    bdpo_status status = bdpo_image_read(&image, path);
    *readable = status == BDPO_OK;
    if (!*readable && task->strict) return status;
    if (!*readable) bdpo_log_write(task->log, BDPO_LOG_WARNING, "%s", bdpo_message());
    bdpo_score_item item = {.image = *readable ? &image : NULL,
                            .path = path,
                            .prompt = task->prompt,
                            .prompt_size = strlen(task->prompt),
                            .name = path};
    status = bdpo_session_score(session, scores, &item, 1);
    bdpo_image_release(&image);
    return status;
}

static int width_of(const bdpo_invocation *invocation)
{
    int width = 8;
    for (int i = 0; i < invocation->n_arguments; i++)
        if ((int)strlen(invocation->arguments[i]) > width)
            width = (int)strlen(invocation->arguments[i]);
    return width;
}

bdpo_status bdpo_score_pictures(const bdpo_invocation *invocation, bdpo_session *session,
                                const char *prompt, bool strict)
{
    const picture_task task = {prompt, strict, invocation->log};
    bdpo_score scores[BDPO_SESSION_MAX_SCORERS];
    int n_unreadable = 0, width = width_of(invocation);
    json_t *lines = json_array();
    if (!invocation->json) print_header(session, width);
    bdpo_status status = BDPO_OK;
    for (int i = 0; i < invocation->n_arguments && status == BDPO_OK; i++) {
        const char *path = invocation->arguments[i];
        bool readable = true;
        status = score_one(&readable, scores, session, path, &task);
        n_unreadable += !readable;
        if (status == BDPO_OK && invocation->json)
            json_array_append_new(lines, json_line(session, path, scores));
        if (status != BDPO_OK || invocation->json) continue;
        print_line(path, scores, bdpo_session_n_scorers(session), width);
        if (readable) tell_reasons(session, path, scores, task.log);
    }
    if (status == BDPO_OK && invocation->json) {
        json_dumpf(lines, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        printf("\n");
    }
    json_decref(lines);
    if (status == BDPO_OK && n_unreadable == invocation->n_arguments)
        return bdpo_fail(BDPO_IO, "none of the %d pictures could be read", n_unreadable);
    return status;
}
