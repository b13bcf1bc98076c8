// base/log: levels, prefixes, whole lines.
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

#include "harness.h"

typedef struct page {
    char *text;
    size_t size;
    FILE *file;
    bdpo_log log;
} page;

static void open_page(page *p, bdpo_log_level level)
{
    p->file = open_memstream(&p->text, &p->size);
    CHECK(p->file != NULL);
    bdpo_log_init(&p->log, p->file, level);
}

static void check_page(page *p, const char *expected)
{
    CHECK_INT(fclose(p->file), 0);
    CHECK_STR(p->text, expected);
    free(p->text);
}

BDPO_TEST(log_writes_what_its_level_wants)
{
    page p;
    open_page(&p, BDPO_LOG_INFO);
    CHECK(!p.log.terminal);
    bdpo_log_write(&p.log, BDPO_LOG_ERROR, "no %s", "unet");
    bdpo_log_write(&p.log, BDPO_LOG_WARNING, "%d threads", 9);
    bdpo_log_write(&p.log, BDPO_LOG_INFO, "100%% done");
    bdpo_log_write(&p.log, BDPO_LOG_DEBUG, "arena");
    check_page(&p, "error: no unet\nwarning: 9 threads\n100% done\n");
    CHECK(bdpo_log_wants(&p.log, BDPO_LOG_INFO) && !bdpo_log_wants(&p.log, BDPO_LOG_DEBUG));
}

BDPO_TEST(log_of_nobody_is_silent)
{
    CHECK(!bdpo_log_wants(NULL, BDPO_LOG_ERROR));
    bdpo_log_write(NULL, BDPO_LOG_ERROR, "unheard");
}

BDPO_TEST(log_prefix_stands_before_each_line)
{
    page p;
    open_page(&p, BDPO_LOG_DEBUG);
    snprintf(p.log.prefix, sizeof p.log.prefix, "[rank %d] ", 3);
    bdpo_log_write(&p.log, BDPO_LOG_WARNING, "late");
    bdpo_log_write(&p.log, BDPO_LOG_DEBUG, "arena");
    check_page(&p, "[rank 3] warning: late\n[rank 3] arena\n");
}

BDPO_TEST(log_line_replaces_a_bar)
{
    page p;
    open_page(&p, BDPO_LOG_INFO);
    p.log.bar_shown = true;
    bdpo_log_write(&p.log, BDPO_LOG_INFO, "one");
    bdpo_log_write(&p.log, BDPO_LOG_INFO, "two");
    check_page(&p, "\r\033[Kone\ntwo\n");
}

BDPO_TEST(log_cuts_a_text_without_end)
{
    static char endless[5000];
    page p;
    memset(endless, 'x', sizeof endless - 1);
    open_page(&p, BDPO_LOG_INFO);
    bdpo_log_write(&p.log, BDPO_LOG_INFO, "%s", endless);
    CHECK_INT(fclose(p.file), 0);
    CHECK(p.size > 2000 && p.size < 2100 && p.text[p.size - 1] == '\n');
    free(p.text);
}

static void *write_lines(void *context)
{
    for (int i = 0; i < 500; i++)
        bdpo_log_write(context, BDPO_LOG_INFO, "a line of %s%s", "several", " parts");
    return NULL;
}

BDPO_TEST(log_lines_of_threads_stay_whole)
{
    page p;
    pthread_t thread[4];
    open_page(&p, BDPO_LOG_INFO);
    for (int i = 0; i < 4; i++) CHECK_INT(pthread_create(&thread[i], NULL, write_lines, &p.log), 0);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    CHECK_INT(fclose(p.file), 0);
    const char *line = "a line of several parts\n";
    CHECK_U64(p.size, 2000 * strlen(line));
    for (size_t i = 0; i < 2000; i++)
        CHECK(memcmp(p.text + i * strlen(line), line, strlen(line)) == 0);
    free(p.text);
}
