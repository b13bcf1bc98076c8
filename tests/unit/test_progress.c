// base/progress: rate, remaining time and both displays, on a clock that the test turns.
#include "base/progress.h"

#include <stdlib.h>

#include "harness.h"

typedef struct scene {
    double now_s;
    char *text;
    size_t size, n_seen;
    FILE *file;
    bdpo_log log;
    bdpo_progress progress;
} scene;

static double scene_clock(void *user)
{
    return ((const scene *)user)->now_s;
}

static void begin(scene *s, bool terminal, int64_t total, int64_t done)
{
    *s = (scene){.now_s = 1000};
    s->file = open_memstream(&s->text, &s->size);
    CHECK(s->file != NULL);
    bdpo_log_init(&s->log, s->file, BDPO_LOG_INFO);
    s->log.terminal = terminal;
    bdpo_progress_begin_at(&s->progress, &s->log, "train", "steps", total, done, scene_clock, s);
}

// Moves the clock and the count; the note stays.
static void advance(scene *s, double seconds, int64_t done)
{
    s->now_s += seconds;
    bdpo_progress_update(&s->progress, done, s->progress.note[0] ? "loss 0.693" : NULL);
}

// What was written since the last look. Valid until the next writing.
static const char *look(scene *s)
{
    fflush(s->file);
    const char *unseen = s->text + s->n_seen;
    s->n_seen = s->size;
    return unseen;
}

static void end(scene *s, const char *expected)
{
    look(s);
    bdpo_progress_end(&s->progress);
    CHECK_STR(look(s), expected);
    bdpo_progress_end(&s->progress); // a second end says nothing
    CHECK_STR(look(s), "");
    fclose(s->file);
    free(s->text);
}

BDPO_TEST(progress_bar_tells_rate_and_remaining_time)
{
    scene s;
    begin(&s, true, 1000, 0);
    CHECK_STR(look(&s), "\rtrain   0% [>                                       ] 0/1000\033[K");
    for (int i = 1; i <= 250; i++) advance(&s, 0.5, i);
    look(&s);
    advance(&s, 0.5, 251);
    CHECK_STR(
        look(&s),
        "\rtrain  25% [=======>                      ] 251/1000, 2.00 steps/s, 6m 15s left\033[K");
    CHECK(s.log.bar_shown);
    end(&s, "\r\033[Ktrain: 251/1000 steps in 2m 06s, 2.00 steps/s\n");
}

BDPO_TEST(progress_bar_is_drawn_ten_times_a_second_at_most)
{
    scene s;
    int n_drawn = 0;
    begin(&s, true, 100000, 0);
    look(&s);
    for (int i = 1; i <= 3000; i++) { // three seconds of steps of a millisecond
        advance(&s, 0.001, i);
        n_drawn += look(&s)[0] != '\0';
    }
    CHECK(n_drawn >= 27 && n_drawn <= 30); // a draw may come a step after its tenth
    end(&s, "\r\033[Ktrain: 3000/100000 steps in 3s, 1000 steps/s\n");
}

BDPO_TEST(progress_bar_fits_its_line)
{
    static const char *const notes[] = {"loss 0.6931, accuracy 0.51, margin 0.0012",
                                        "überraschend größer als erwartet, daher umgebrochen äöüß"};
    for (size_t i = 0; i < 2; i++) {
        scene s;
        begin(&s, true, 1000, 0);
        look(&s);
        s.now_s += 1;
        bdpo_progress_update(&s.progress, 500, notes[i]);
        const char *line = look(&s);
        CHECK_CONTAINS(line, "\rtrain  50% 500/1000, 500 steps/s, 1s left, ");
        size_t length = strlen(line) - strlen("\r\033[K");
        CHECK_LE((double)length, 79.0);
        // Cut before a character, never inside one.
        CHECK(((unsigned char)line[length] & 0xc0) != 0xc0 || length < 2);
        end(&s, i == 0 ? "\r\033[Ktrain: 500/1000 steps in 1s, 500 steps/s, loss 0.6931, accuracy "
                         "0.51, margin 0.0012\n"
                       : "\r\033[Ktrain: 500/1000 steps in 1s, 500 steps/s, überraschend größer "
                         "als erwartet, daher umgebrochen äöüß\n");
    }
}

BDPO_TEST(progress_log_line_and_bar_share_the_terminal)
{
    scene s;
    begin(&s, true, 10, 0);
    look(&s);
    bdpo_log_write(&s.log, BDPO_LOG_WARNING, "tie rate is high");
    CHECK_STR(look(&s), "\r\033[Kwarning: tie rate is high\n");
    advance(&s, 1, 1);
    CHECK_CONTAINS(look(&s), "\rtrain  10% [");
    end(&s, "\r\033[Ktrain: 1/10 steps in 1s, 1.00 steps/s\n");
}

BDPO_TEST(progress_elsewhere_is_plain_lines)
{
    scene s;
    int n_lines = 0;
    begin(&s, false, 7200, 0);
    CHECK_STR(look(&s), "");
    for (int i = 1; i <= 4; i++) advance(&s, 1, i);
    CHECK_STR(look(&s), "");
    advance(&s, 1, 5);
    CHECK_STR(look(&s), "train: 5/7200 steps (0%), 1.00 steps/s, 1h 59m left\n");
    for (int i = 6; i <= 7200; i++) {
        advance(&s, 1, i);
        const char *text = look(&s);
        CHECK(strchr(text, '\r') == NULL && strchr(text, '\033') == NULL);
        n_lines += text[0] != '\0';
    }
    // Every 5 s for 50 s, then after a tenth of the time passed (a factor 1.1: 26 lines to 600 s),
    // then every minute: 9 + 26 + 110.
    CHECK_NEAR((double)n_lines, 145.0, 3.0);
    end(&s, "train: 7200/7200 steps in 2h 00m, 1.00 steps/s\n");
}

BDPO_TEST(progress_of_unknown_length)
{
    scene s;
    begin(&s, false, 0, 0);
    advance(&s, 10, 400);
    CHECK_STR(look(&s), "train: 400 steps, 40.0 steps/s\n");
    end(&s, "train: 400 steps in 10s, 40.0 steps/s\n");
    begin(&s, true, 0, 0);
    look(&s);
    advance(&s, 10, 400);
    CHECK_STR(look(&s), "\rtrain 400, 40.0 steps/s\033[K");
    end(&s, "\r\033[Ktrain: 400 steps in 10s, 40.0 steps/s\n");
}

BDPO_TEST(progress_resumed_counts_only_what_it_did)
{
    scene s;
    begin(&s, false, 1000, 900);
    advance(&s, 20, 910);
    CHECK_STR(look(&s), "train: 910/1000 steps (91%), 2.00 s/step, 3m 00s left\n");
    end(&s, "train: 910/1000 steps in 20s, 2.00 s/step\n");
}

BDPO_TEST(progress_rate_follows_a_change_of_speed)
{
    scene s;
    int64_t done = 0;
    begin(&s, false, 1000000, 0);
    for (int i = 0; i < 100; i++) advance(&s, 1, done += 10);
    look(&s);
    for (int i = 0; i < 100; i++) advance(&s, 1, done += 50);
    // Five fade times later the old rate counts exp(-5): 50 - 40 * 0.0067 = 49.73.
    CHECK_NEAR(s.progress.rate_sum / s.progress.rate_weight, 50 - 40 * exp(-5), 1e-3 * 50);
    end(&s, "train: 6000/1000000 steps in 3m 20s, 30.0 steps/s\n");
}

BDPO_TEST(progress_without_progress_has_no_rate)
{
    scene s;
    begin(&s, false, 10, 0);
    advance(&s, 100, 0);
    CHECK_STR(look(&s), "train: 0/10 steps (0%)\n");
    end(&s, "train: 0/10 steps in 1m 40s\n");
}

BDPO_TEST(progress_is_silent_when_the_log_is)
{
    scene s = {.now_s = 1};
    begin(&s, true, 10, 0);
    look(&s);
    s.log.level = BDPO_LOG_WARNING;
    bdpo_progress_begin_at(&s.progress, &s.log, "x", "y", 10, 0, scene_clock, &s);
    advance(&s, 100, 5);
    end(&s, "");
    bdpo_progress_begin(&s.progress, NULL, "x", "y", 10, 0);
    bdpo_progress_update(&s.progress, 5, NULL);
    bdpo_progress_end(&s.progress);
}
