// The same pairs in every form of data set (tests/fixtures/records, by tools/parity/records.py) are
// the same records, in order and by random access.
#include <math.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/record_source.h"
#include "formats/json_write.h"
#include "formats/sha256.h"
#include "harness.h"

static bdpo_record_source *open_fixture(const char *name, const bdpo_record_options *options)
{
    char relative[256];
    bdpo_record_source *source;
    snprintf(relative, sizeof relative, "fixtures/records/%s", name);
    CHECK_OK(bdpo_record_source_open(&source, test_path(relative), options));
    return source;
}

static void put_digest(bdpo_json_text *out, const bdpo_record_picture *picture)
{
    bdpo_picture_bytes bytes;
    bdpo_sha256_text hash;
    if (!picture->data && !picture->path) {
        bdpo_json_put(out, "\t-");
        return;
    }
    CHECK(picture->name != NULL);
    CHECK_OK(bdpo_picture_bytes_get(&bytes, picture));
    CHECK_OK(bdpo_sha256(&hash, bytes.data, bytes.size));
    bdpo_picture_bytes_release(&bytes);
    bdpo_json_put(out, "\t%.16s", hash.hex);
}

// A line as records.py writes it; uids and models only where `all`.
static void put_record(bdpo_json_text *out, const bdpo_record *r, bool all)
{
    const bdpo_record_picture *p = r->pictures;
    bdpo_json_put(out, "%d", (int)r->index);
    if (isnan(r->label))
        bdpo_json_put(out, "\tnan");
    else
        bdpo_json_put(out, "\t%g", r->label);
    put_digest(out, &p[0]);
    put_digest(out, &p[1]);
    bool ids = all && r->n_pictures == 2 && p[0].uid;
    bdpo_json_put(out, "\t%s%s%s", ids ? p[0].uid : "-", ids ? " " : "", ids ? p[1].uid : "");
    ids = all && r->n_pictures == 2 && p[0].model;
    bdpo_json_put(out, "\t%s%s%s", ids ? p[0].model : "-", ids ? " " : "", ids ? p[1].model : "");
    bdpo_json_put(out, "\t%s\t", r->split ? r->split : "-");
    CHECK_INT(strlen(r->prompt), r->prompt_size);
    bdpo_json_put_string(out, r->prompt);
    bdpo_json_put(out, "\n");
}

static void check_expected(const bdpo_json_text *actual, const char *expected)
{
    char relative[256], *text;
    size_t size;
    snprintf(relative, sizeof relative, "fixtures/records/%s.expected", expected);
    CHECK_OK(bdpo_file_read(&text, &size, test_path(relative), 1 << 20));
    CHECK_STR(actual->text, text);
    bdpo_free(text);
}

static void check_in_order(const char *name, const char *expected, bool all)
{
    bdpo_json_text text = {0};
    const bdpo_record *record;
    bdpo_record_source *source = open_fixture(name, &(bdpo_record_options){.strict = true});
    for (;;) {
        CHECK_OK(bdpo_record_source_next(&record, source));
        if (!record) break;
        bdpo_record *copy; // through a copy, so that it is seen to hold all
        CHECK_OK(bdpo_record_clone(&copy, record));
        put_record(&text, copy, all);
        bdpo_record_free(copy);
    }
    bdpo_record_source_close(source);
    check_expected(&text, expected);
    bdpo_json_text_clear(&text);
}

// Backwards, each row by its index; then the rows behind a row in the middle, in order.
static void check_at(const char *name, const char *expected, bool all)
{
    bdpo_json_text *lines, text = {0};
    const bdpo_record *record;
    int64_t n;
    bdpo_record_source *source = open_fixture(name, NULL);
    CHECK_OK(bdpo_record_source_n_rows(&n, source));
    CHECK(n > 0);
    lines = bdpo_alloc((size_t)n, sizeof *lines);
    CHECK(lines != NULL);
    for (int64_t i = n - 1; i >= 0; i--) {
        CHECK_OK(bdpo_record_source_at(&record, source, i));
        if (record) CHECK_INT(record->index, i);
        if (record) put_record(&lines[i], record, all);
    }
    for (int64_t i = 0; i < n; i++)
        if (lines[i].text) bdpo_json_put(&text, "%s", lines[i].text);
    check_expected(&text, expected);
    CHECK_STATUS(bdpo_record_source_at(&record, source, n), BDPO_BAD_ARGUMENT);
    CHECK_STATUS(bdpo_record_source_at(&record, source, -1), BDPO_BAD_ARGUMENT);

    text.size = 0;
    CHECK_OK(bdpo_record_source_at(&record, source, n / 2));
    if (record) put_record(&text, record, all);
    for (;;) {
        CHECK_OK(bdpo_record_source_next(&record, source));
        if (!record) break;
        put_record(&text, record, all);
    }
    bdpo_json_text tail = {0};
    for (int64_t i = n / 2; i < n; i++)
        if (lines[i].text) bdpo_json_put(&tail, "%s", lines[i].text);
    CHECK_STR(text.text, tail.text);
    for (int64_t i = 0; i < n; i++) bdpo_json_text_clear(&lines[i]);
    bdpo_free(lines);
    bdpo_json_text_clear(&text);
    bdpo_json_text_clear(&tail);
    bdpo_record_source_close(source);
}

// Data set, form that is found, what is expected, whether it knows uids and models.
static const struct {
    const char *name, *form, *expected;
    bool all, packed;
} sets[] = {
    {"pickapic", "pickapic", "pickapic", true, false},
    {"pickapic/data/*.parquet", "pickapic", "pickapic", true, false},
    {"no_images", "pickapic", "no_images", true, false},
    {"remade", "pickapic", "remade", false, false},
    {"imagefolder", "imagefolder", "imagefolder", true, false},
    {"paired", "paired", "paired", false, false},
    {"paired/{left,right}", "paired", "paired", false, false},
    {"captions", "captions", "captions", false, false},
    {"singles.jsonl", "table", "singles", false, false},
    {"pairs.csv", "table", "pairs.csv", true, false},
    {"quoted.tsv", "table", "quoted.tsv", true, false},
    {"raw.tsv", "table", "raw.tsv", true, false},
    {"pairs.jsonl", "table", "pairs.jsonl", true, false},
    {"pairs.json", "table", "pairs.json", true, false},
    {"chosen.jsonl", "table", "chosen.jsonl", false, false},
    {"webdataset", "webdataset", "webdataset", true, false},
    {"webdataset/{train-{0000..0001},validation-0000}.tar", "webdataset", "webdataset", true,
     false},
    {"packed.tar.gz", "webdataset", "packed", false, true},
};

BDPO_TEST(every_form_gives_the_same_records)
{
    for (size_t i = 0; i < BDPO_COUNTOF(sets); i++) {
        bdpo_record_source *source = open_fixture(sets[i].name, NULL);
        CHECK_STR(bdpo_record_source_form(source), sets[i].form);
        bdpo_record_source_close(source);
        if (strcmp(sets[i].name, "singles.jsonl") == 0) continue; // its pictures lie elsewhere
        check_in_order(sets[i].name, sets[i].expected, sets[i].all);
    }
}

BDPO_TEST(every_form_gives_a_row_by_its_index)
{
    for (size_t i = 0; i < BDPO_COUNTOF(sets); i++)
        if (!sets[i].packed && strcmp(sets[i].name, "singles.jsonl") != 0)
            check_at(sets[i].name, sets[i].expected, sets[i].all);
    check_at("hpd", "hpd", false);
}

BDPO_TEST(pictures_of_another_folder)
{
    char images[1024];
    bdpo_json_text text = {0};
    const bdpo_record *record;
    snprintf(images, sizeof images, "%s", test_path("fixtures/records/imagefolder/images"));
    bdpo_record_source *source =
        open_fixture("singles.jsonl", &(bdpo_record_options){.images = images, .strict = true});
    for (;;) {
        CHECK_OK(bdpo_record_source_next(&record, source));
        if (!record) break;
        CHECK_INT(record->n_pictures, 1);
        put_record(&text, record, false);
    }
    check_expected(&text, "singles");
    bdpo_json_text_clear(&text);
    bdpo_record_source_close(source);
}

BDPO_TEST(hpd_ranks_become_pairs_and_ties_are_dropped)
{
    bdpo_json_text text = {0};
    const bdpo_record *record;
    bdpo_record_source *source = open_fixture("hpd", NULL);
    CHECK_STR(bdpo_record_source_form(source), "hpd");
    for (;;) {
        CHECK_OK(bdpo_record_source_next(&record, source));
        if (!record) break;
        put_record(&text, record, false);
    }
    check_expected(&text, "hpd");
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_TIE), 1);
    CHECK_INT(bdpo_record_source_n_read(source), 6 + 5);
    CHECK_INT(bdpo_record_source_n_kept(source), 5 + 5);
    bdpo_json_text_clear(&text);
    bdpo_record_source_close(source);
}

BDPO_TEST(a_packed_tar_is_read_in_order_only)
{
    const bdpo_record *record;
    bdpo_record_source *source = open_fixture("packed.tar.gz", NULL);
    CHECK_STATUS(bdpo_record_source_at(&record, source, 1), BDPO_UNSUPPORTED);
    CHECK_CONTAINS(bdpo_message(), "packed.tar.gz: is packed (gzip)");
    bdpo_record_source_close(source);
}

BDPO_TEST(whole_numbers_are_read_from_reals)
{
    const bdpo_record *record;
    bdpo_record_source *source = open_fixture("remade", NULL);
    for (int i = 0; i < 3; i++) CHECK_OK(bdpo_record_source_next(&record, source));
    CHECK_INT(record->n_prompt_examples, 3);
    CHECK_INT(record->ranking_id, 102);
    CHECK(record->pictures[0].uid == NULL && record->pictures[1].model == NULL);
    bdpo_record_source_close(source);
}

BDPO_TEST(a_set_without_pictures_says_so)
{
    char *report;
    const bdpo_record *record;
    bdpo_picture_bytes bytes;
    bdpo_record_source *source = open_fixture("no_images", NULL);
    CHECK(!bdpo_record_source_has_pictures(source));
    CHECK_OK(bdpo_record_source_next(&record, source));
    CHECK_INT(record->n_prompt_examples, 1);
    CHECK_INT(record->ranking_id, 100);
    CHECK_STATUS(bdpo_picture_bytes_get(&bytes, &record->pictures[0]), BDPO_BAD_ARGUMENT);
    CHECK_OK(bdpo_record_source_report(&report, source));
    CHECK_STR(report, "no_images (pickapic): 1 rows read, 1 kept, 0 dropped; it has no pictures, "
                      "only prompts and labels\n");
    bdpo_free(report);
    bdpo_record_source_close(source);
}
