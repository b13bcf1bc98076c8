// Forged data sets: each row is a record or is counted with one line, the rows that are counted are
// those that are there, and a strict reading ends in one line.
#include <unistd.h>

#include "data/prompt_set.h"
#include "data/record_source.h"
#include "fuzz/fuzz_bytes.h"
#include "harness.h"

static const char *images(void)
{
    static char path[2048];
    snprintf(path, sizeof path, "%s/fixtures/records/imagefolder/images", BDPO_TESTS_DIR);
    return path;
}

// All rows leniently; then some by their index.
static void read_leniently(const char *path)
{
    bdpo_record_source *source;
    const bdpo_record *record;
    bdpo_record_options options = {.images = images(), .drop_duplicates = true};
    int64_t n_rows, n_dropped = 0, last = -1;
    if (bdpo_record_source_open(&source, path, &options) != BDPO_OK) return;
    bdpo_status status = bdpo_record_source_next(&record, source);
    for (; status == BDPO_OK && record; status = bdpo_record_source_next(&record, source)) {
        CHECK(record->index > last);
        last = record->index;
        CHECK(strlen(record->prompt) == record->prompt_size && record->prompt_size > 0);
    }
    if (status != BDPO_OK) { // no row stands for it
        bdpo_record_source_close(source);
        return;
    }
    for (int i = 0; i < BDPO_N_DROPS; i++)
        n_dropped += bdpo_record_source_n_dropped(source, (bdpo_drop)i);
    int64_t n_read = bdpo_record_source_n_read(source);
    CHECK_INT(n_read, bdpo_record_source_n_kept(source) + n_dropped);
    CHECK_OK(bdpo_record_source_n_rows(&n_rows, source));
    CHECK_INT(n_rows, n_read);
    for (int64_t i = n_rows - 1; i >= 0 && i >= n_rows - 3; i--) {
        status = bdpo_record_source_at(&record, source, i);
        if (status != BDPO_OK && status != BDPO_UNSUPPORTED)
            FAIL("row %d: %s", (int)i, bdpo_message());
        if (status == BDPO_OK && record) CHECK_INT(record->index, i);
    }
    bdpo_record_source_close(source);
}

static bdpo_status read_strictly(const char *path)
{
    bdpo_record_source *source;
    const bdpo_record *record;
    bdpo_record_options options = {.images = images(), .strict = true};
    TRY(bdpo_record_source_open(&source, path, &options));
    bdpo_status status;
    do status = bdpo_record_source_next(&record, source);
    while (status == BDPO_OK && record);
    bdpo_record_source_close(source);
    return status;
}

static bdpo_status read_records(const char *path)
{
    read_leniently(path);
    return read_strictly(path);
}

static bdpo_status read_prompts(const char *path)
{
    bdpo_prompt_set *set;
    TRY(bdpo_prompt_set_new(&set));
    bdpo_status status = bdpo_prompt_set_read(set, path, NULL);
    bdpo_prompt_set_free(set);
    return status;
}

// A header whose sum is right again: mutants of tar get further.
static void repair_tar(unsigned char *bytes, size_t size)
{
    for (size_t at = 0; at + 512 <= size; at += 512) {
        if (memcmp(bytes + at + 257, "ustar", 5) != 0) continue;
        unsigned sum = 8 * ' ';
        char text[9];
        for (size_t i = 0; i < 512; i++) sum += i < 148 || i >= 156 ? bytes[at + i] : 0;
        snprintf(text, sizeof text, "%06o", sum);
        memcpy(bytes + at + 148, text, 7);
        bytes[at + 155] = ' ';
    }
}

static const fuzz_target csv = {
    .folder = "records_csv", .file_name = "x.csv", .read = read_records};
static const fuzz_target tsv = {
    .folder = "records_tsv", .file_name = "x.tsv", .read = read_records};
static const fuzz_target jsonl = {
    .folder = "records_jsonl", .file_name = "x.jsonl", .read = read_records};
static const fuzz_target json = {
    .folder = "records_json", .file_name = "x.json", .read = read_records};
static const fuzz_target tar = {
    .folder = "records_tar", .file_name = "x.tar", .read = read_records, .repair = repair_tar};
static const fuzz_target prompts = {.folder = "records_jsonl",
                                    .more = "golden-bad/records",
                                    .prefix = "prompts_",
                                    .file_name = "prompts",
                                    .read = read_prompts};

static const fuzz_target *const targets[] = {&csv, &tsv, &jsonl, &json, &tar, &prompts};

BDPO_TEST(corpus_of_records)
{
    for (size_t i = 0; i < BDPO_COUNTOF(targets); i++) fuzz_replay(targets[i]);
}

BDPO_TEST(mutants_of_records)
{
    for (size_t i = 0; i < BDPO_COUNTOF(targets); i++) fuzz_mutants(targets[i], 50);
}

BDPO_TEST_LONG(mutants_of_records_for_long)
{
    for (size_t i = 0; i < BDPO_COUNTOF(targets); i++) fuzz_long(targets[i]);
}
