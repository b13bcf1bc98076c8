// Rate, remaining time, and the two ways to show them.
#include "base/progress.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"

enum { LINE_BYTES = 512, BAR_LEAST = 8, BAR_MOST = 40 };

static const double SAMPLE_S = 0.1; // between two looks at the rate, and between two bars
static const double FADE_S = 20;    // the rate forgets: a pause is over after some of these
static const double PLAIN_LEAST_S = 5, PLAIN_MOST_S = 60; // between plain lines

typedef struct text {
    char text[48];
} text;

// ---- words ---------------------------------------------------------------------------------

static text print_duration(double seconds)
{
    text out;
    int64_t s = (int64_t)(seconds + 0.5), m = s / 60, h = m / 60;
    if (s < 60)
        snprintf(out.text, sizeof out.text, "%" PRId64 "s", s);
    else if (m < 60)
        snprintf(out.text, sizeof out.text, "%" PRId64 "m %02" PRId64 "s", m, s % 60);
    else if (h < 24)
        snprintf(out.text, sizeof out.text, "%" PRId64 "h %02" PRId64 "m", h, m % 60);
    else
        snprintf(out.text, sizeof out.text, "%" PRId64 "d %02" PRId64 "h", h / 24, h % 24);
    return out;
}

// "3.20 steps/s", or "4.5 s/step" where one takes longer than a second.
static text print_rate(double rate, const char *unit)
{
    text out;
    int length = (int)strlen(unit),
        singular = length > 1 && unit[length - 1] == 's' ? length - 1 : length;
    if (rate < 1)
        snprintf(out.text, sizeof out.text, "%.*f s/%.*s", rate > 0.1 ? 2 : 1, 1 / rate, singular,
                 unit);
    else
        snprintf(out.text, sizeof out.text, "%.*f %s/s",
                 rate < 10    ? 2
                 : rate < 100 ? 1
                              : 0,
                 rate, unit);
    return out;
}

static text print_count(const bdpo_progress *p)
{
    text out;
    if (p->total > 0)
        snprintf(out.text, sizeof out.text, "%" PRId64 "/%" PRId64, p->done, p->total);
    else
        snprintf(out.text, sizeof out.text, "%" PRId64, p->done);
    return out;
}

static int percent(const bdpo_progress *p)
{
    return p->done >= p->total ? 100 : (int)(100 * (double)p->done / (double)p->total);
}

// Recent things per second; 0 while nothing is known.
static double recent_rate(const bdpo_progress *p)
{
    return p->rate_weight > 0 ? p->rate_sum / p->rate_weight : 0;
}

// ", 3.20 steps/s, 3m 01s left, loss 0.693"
static void print_tail(char *out, size_t size, const bdpo_progress *p)
{
    double rate = recent_rate(p);
    size_t used = 0;
    out[0] = '\0';
    if (rate > 0) used += (size_t)snprintf(out, size, ", %s", print_rate(rate, p->unit).text);
    if (rate > 0 && p->total > p->done)
        used += (size_t)snprintf(out + used, size - used, ", %s left",
                                 print_duration((double)(p->total - p->done) / rate).text);
    if (p->note[0]) snprintf(out + used, size - used, ", %s", p->note);
}

// ---- lines ---------------------------------------------------------------------------------

static int terminal_columns(FILE *file)
{
    struct winsize size;
    if (ioctl(fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
    return size.ws_col < LINE_BYTES ? size.ws_col : LINE_BYTES - 1;
}

// Shortens to `most` bytes, not through the middle of a UTF-8 character.
static void cut(char *line, int most)
{
    size_t end = (size_t)most;
    if (strlen(line) <= end) return;
    while (end > 0 && ((unsigned char)line[end] & 0xc0) == 0x80) end--;
    line[end] = '\0';
}

static void print_bar(char *out, int width, double part)
{
    int full = (int)(part * width + 1e-9);
    if (full > width) full = width;
    memset(out, ' ', (size_t)width);
    memset(out, '=', (size_t)full);
    if (full < width) out[full] = '>';
    out[width] = '\0';
}

static void draw_bar(bdpo_progress *p)
{
    char tail[256], line[LINE_BYTES], bar[BAR_MOST + 1];
    FILE *file = p->log->file;
    int columns = terminal_columns(file) - 1; // the last column would wrap on some terminals
    text count = print_count(p);
    print_tail(tail, sizeof tail, p);
    int fixed = (int)(strlen(p->label) + strlen(" 100% [] ") + strlen(count.text) + strlen(tail));
    int width = columns - fixed < BAR_MOST ? columns - fixed : BAR_MOST;
    if (p->total <= 0) {
        snprintf(line, sizeof line, "%s %s%s", p->label, count.text, tail);
    } else if (width < BAR_LEAST) {
        snprintf(line, sizeof line, "%s %3d%% %s%s", p->label, percent(p), count.text, tail);
    } else {
        print_bar(bar, width, (double)p->done / (double)p->total);
        snprintf(line, sizeof line, "%s %3d%% [%s] %s%s", p->label, percent(p), bar, count.text,
                 tail);
    }
    cut(line, columns);
    flockfile(file);
    fprintf(file, "\r%s\033[K", line);
    p->log->bar_shown = true;
    fflush(file);
    funlockfile(file);
}

static void write_plain(bdpo_progress *p)
{
    char tail[256];
    print_tail(tail, sizeof tail, p);
    if (p->total > 0)
        bdpo_log_write(p->log, BDPO_LOG_INFO, "%s: %s %s (%d%%)%s", p->label, print_count(p).text,
                       p->unit, percent(p), tail);
    else
        bdpo_log_write(p->log, BDPO_LOG_INFO, "%s: %s %s%s", p->label, print_count(p).text, p->unit,
                       tail);
}

// ---- the task ------------------------------------------------------------------------------

static double real_clock(void *user)
{
    (void)user;
    return bdpo_clock_seconds();
}

void bdpo_progress_begin_at(bdpo_progress *out, bdpo_log *log, const char *label, const char *unit,
                            int64_t total, int64_t done, bdpo_progress_clock clock,
                            void *clock_user)
{
    double now = clock(clock_user);
    *out = (bdpo_progress){.log = bdpo_log_wants(log, BDPO_LOG_INFO) ? log : NULL,
                           .label = label,
                           .unit = unit,
                           .total = total,
                           .first = done,
                           .done = done,
                           .clock = clock,
                           .clock_user = clock_user,
                           .begin_s = now,
                           .sampled_s = now,
                           .shown_s = now,
                           .sampled = done};
    if (out->log && out->log->terminal) draw_bar(out);
}

void bdpo_progress_begin(bdpo_progress *out, bdpo_log *log, const char *label, const char *unit,
                         int64_t total, int64_t done)
{
    bdpo_progress_begin_at(out, log, label, unit, total, done, real_clock, NULL);
}

// An average of the rates so far in which what is FADE_S ago counts 1/e. The weights are summed
// as well, so that it is right from the first sample.
static void sample_rate(bdpo_progress *p, double now)
{
    double elapsed = now - p->sampled_s;
    if (elapsed < SAMPLE_S || p->done <= p->sampled) return;
    double keep = exp(-elapsed / FADE_S), rate = (double)(p->done - p->sampled) / elapsed;
    p->rate_sum = keep * p->rate_sum + (1 - keep) * rate;
    p->rate_weight = keep * p->rate_weight + (1 - keep);
    p->sampled_s = now;
    p->sampled = p->done;
}

// Plain lines come at first every five seconds, in a long task every minute.
static double plain_interval(const bdpo_progress *p, double now)
{
    return fmin(fmax((now - p->begin_s) / 10, PLAIN_LEAST_S), PLAIN_MOST_S);
}

void bdpo_progress_update(bdpo_progress *p, int64_t done, const char *note)
{
    p->done = done;
    if (!p->log) return;
    double now = p->clock(p->clock_user);
    snprintf(p->note, sizeof p->note, "%s", note ? note : "");
    sample_rate(p, now);
    if (now - p->shown_s < (p->log->terminal ? SAMPLE_S : plain_interval(p, now))) return;
    p->shown_s = now;
    if (p->log->terminal)
        draw_bar(p);
    else
        write_plain(p);
}

void bdpo_progress_end(bdpo_progress *p)
{
    if (!p->log) return;
    double elapsed = p->clock(p->clock_user) - p->begin_s;
    bool moved = p->done > p->first && elapsed > 0;
    // The bar gives way to one last line, the same on a terminal and elsewhere.
    bdpo_log_write(p->log, BDPO_LOG_INFO, "%s: %s %s in %s%s%s%s%s", p->label, print_count(p).text,
                   p->unit, print_duration(elapsed).text, moved ? ", " : "",
                   moved ? print_rate((double)(p->done - p->first) / elapsed, p->unit).text : "",
                   p->note[0] ? ", " : "", p->note);
    p->log = NULL;
}
