// Reading takes the memory of a row, not of the file: a tar of 128 MB, and lists of 300,000 rows.
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/record_source.h"
#include "formats/tar_bytes.h"
#include "harness.h"
#include "malloc_count.h"
#include "models/scratch.h"

enum { N_ROWS = 300000, N_MEMBERS = 128, MEMBER_BYTES = 1 << 20 };

static long peak_kb(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
}

// Reads all of it; the peak grows by at most `limit_kb`.
static void check_reading(const char *path, int64_t n_rows, long limit_kb)
{
    bdpo_record_source *source;
    const bdpo_record *record;
    long before = peak_kb();
    CHECK_OK(bdpo_record_source_open(&source, path, NULL));
    int64_t n = 0;
    for (;; n++) {
        CHECK_OK(bdpo_record_source_next(&record, source));
        if (!record) break;
        CHECK_INT(record->index, n);
    }
    bdpo_record_source_close(source);
    CHECK_INT(n, n_rows);
    CHECK_LE((double)(peak_kb() - before), (double)limit_kb);
}

static void write_list(const char *path, const char *begin, const char *row, const char *end)
{
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    fputs(begin, file);
    for (int i = 0; i < N_ROWS; i++) fprintf(file, "%s%s", i && *end ? "," : "", row);
    fputs(end, file);
    CHECK(fclose(file) == 0);
}

static void write_archive(const char *path)
{
    static char picture[MEMBER_BYTES];
    bdpo_growing row = {0};
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    memset(picture, 'p', sizeof picture);
    for (int i = 0; i < N_MEMBERS; i++) {
        char name[64];
        row.size = 0;
        snprintf(name, sizeof name, "%06d.jpg", i);
        tar_put_file(&row, name, picture, sizeof picture);
        snprintf(name, sizeof name, "%06d.txt", i);
        tar_put_file(&row, name, "a prompt", 8);
        CHECK(fwrite(row.data, 1, row.size, file) == row.size);
    }
    CHECK(fclose(file) == 0);
    bdpo_free(row.data);
}

BDPO_TEST_FULL(memory_is_that_of_a_row)
{
    if (!malloc_is_counted()) SKIP("another allocator is in place, which keeps what is freed");
    scratch_file("a.png", "not looked into");
    static const char object[] =
        "{\"image\":\"a.png\",\"prompt\":\"a rather long prompt about nothing in particular\","
        "\"model\":\"a name\"}";
    char line[256];
    write_list(scratch_path("x.json"), "[", object, "]");
    check_reading(scratch_path("x.json"), N_ROWS, 1024);
    snprintf(line, sizeof line, "%s\n", object);
    write_list(scratch_path("x.jsonl"), "", line, "");
    check_reading(scratch_path("x.jsonl"), N_ROWS, 1024);
    write_list(scratch_path("x.csv"), "image,prompt\n", "a.png,\"a prompt, so long\"\n", "");
    check_reading(scratch_path("x.csv"), N_ROWS, 1024);
    write_archive(scratch_path("x.tar"));
    check_reading(scratch_path("x.tar"), N_MEMBERS, 8 * MEMBER_BYTES / 1024);
    scratch_remove();
}
