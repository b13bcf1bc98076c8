// Refusals in words, and patience with limits.
#include "fetch/retry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

enum { MOST_TRIES = 6, OFFLINE_TRIES = 3, LONGEST_WAIT_S = 300 };

static const double LONGEST_BACKOFF_S = 30;

bdpo_fetch_options bdpo_fetch_options_settle(const bdpo_fetch_options *options)
{
    bdpo_fetch_options out = *options;
    if (out.max_tries == 0) out.max_tries = MOST_TRIES;
    if (out.backoff_s == 0) out.backoff_s = 1;
    if (out.stall_s == 0) out.stall_s = 30;
    return out;
}

// ---- what a status means -----------------------------------------------------------------------

static bool is_gated(const bdpo_http_reply *reply)
{
    return strcmp(reply->error_code, "GatedRepo") == 0;
}

// 401 and 403: who the server thinks we are is not enough.
static bdpo_status refuse(const bdpo_http_reply *reply, const bdpo_download *what)
{
    bool token = what->token && what->token[0];
    const char *page = what->page;
    if (!page)
        return bdpo_fail(BDPO_IO, "%s: %s wants to know who asks (%ld); get it by hand",
                         what->label, bdpo_http_host(what->url).text, reply->status);
    if (is_gated(reply) || (reply->status == 403 && token))
        return bdpo_fail(BDPO_IO, "%s: not allowed (%ld): accept the licence at %s, %s",
                         what->label, reply->status, page,
                         token ? "with the account of your token"
                               : "then set HF_TOKEN to a token of that account");
    if (token)
        return bdpo_fail(BDPO_IO,
                         "%s: the server refuses your token (%ld): is HF_TOKEN still valid, and "
                         "may its account see %s?",
                         what->label, reply->status, page);
    return bdpo_fail(BDPO_IO,
                     "%s: the server wants a token (%ld): the repository is gated, private or "
                     "gone; accept its licence at %s, then set HF_TOKEN",
                     what->label, reply->status, page);
}

static bool may_pass(const bdpo_http_reply *reply)
{
    // A signed address on another host runs out; the first host gives a new one.
    if (reply->moved && (reply->status == 401 || reply->status == 403)) return true;
    return reply->status == 408 || reply->status == 425 || reply->status == 429 ||
           reply->status >= 500;
}

bdpo_status bdpo_retry_judge(bool *again, bdpo_status status, const bdpo_http_reply *reply,
                             const bdpo_download *what)
{
    char why[512];
    *again = status != BDPO_OK && reply->broken;
    if (status != BDPO_OK && reply->cut) { // libcurl's words do not name the file
        snprintf(why, sizeof why, "%s", bdpo_message());
        return bdpo_fail(status, "%s: %s", what->label, why);
    }
    if (status != BDPO_OK || reply->status == 200 || reply->status == 206) return status;
    *again = may_pass(reply);
    switch (reply->status) {
    case 401:
    case 403:
        return refuse(reply, what);
    case 404:
    case 410:
        return bdpo_fail(BDPO_NOT_FOUND, "%s: the server has no such file (%ld): %s", what->label,
                         reply->status, what->url);
    case 429:
        return bdpo_fail(BDPO_IO, "%s: %s is asked too often (429)", what->label,
                         bdpo_http_host(what->url).text);
    default:
        return bdpo_fail(BDPO_IO, "%s: %s answers %ld", what->label, bdpo_http_host(what->url).text,
                         reply->status);
    }
}

// ---- waiting -----------------------------------------------------------------------------------

bdpo_status bdpo_fetch_sleep(double seconds, const bdpo_fetch_options *options)
{
    const double piece_s = 0.05; // between two looks at the interrupt
    double end = bdpo_clock_seconds() + seconds;
    for (double left = seconds; left > 0; left = end - bdpo_clock_seconds()) {
        if (options->interrupted && options->interrupted())
            return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
        long nanoseconds = (long)(1e9 * (left < piece_s ? left : piece_s));
        nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
    }
    return BDPO_OK;
}

static double backoff(const bdpo_retry *retry, const bdpo_fetch_options *options)
{
    double wait = options->backoff_s;
    for (int i = 1; i < retry->tries && wait < LONGEST_BACKOFF_S; i++) wait *= 2;
    return wait < LONGEST_BACKOFF_S ? wait : LONGEST_BACKOFF_S;
}

bdpo_status bdpo_retry_wait(bdpo_retry *retry, int64_t done, const bdpo_http_reply *reply,
                            const bdpo_fetch_options *options)
{
    char why[512];
    snprintf(why, sizeof why, "%s", bdpo_message());
    if (done > retry->best) {
        retry->best = done;
        retry->tries = 0;
    }
    retry->tries++;
    if (reply->retry_after_s > LONGEST_WAIT_S)
        return bdpo_fail(BDPO_IO, "%s; it asks to come back in %" PRId64 " s", why,
                         reply->retry_after_s);
    bool offline = reply->unresolved && done == 0; // without a network nobody waits for long
    if (retry->tries >= options->max_tries || (offline && retry->tries >= OFFLINE_TRIES))
        return bdpo_fail(BDPO_IO, "%s (given up after %d tries%s)", why, retry->tries,
                         done > 0 ? "; what came is kept, the same command goes on" : "");
    double wait = backoff(retry, options);
    if ((double)reply->retry_after_s > wait) wait = (double)reply->retry_after_s;
    bdpo_log_write(options->log, BDPO_LOG_WARNING, "%s; %s in %.0f s", why,
                   done > 0 ? "going on" : "again", wait);
    return bdpo_fetch_sleep(wait, options);
}
