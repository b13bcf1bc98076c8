// Rows that cannot be used, rows that a filter drops, and what is said of them.
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/record_filter.h"
#include "data/record_source.h"
#include "formats/image.h"
#include "formats/parquet.h"
#include "harness.h"
#include "models/scratch.h"

// A PNG of `side` pixels whose bytes depend on `seed`.
static const char *picture(const char *name, int side, int seed)
{
    bdpo_image image;
    const char *path = scratch_path(name);
    CHECK_OK(bdpo_image_new(&image, side, side, BDPO_IMAGE_RGB));
    memset(image.pixels, seed, bdpo_image_bytes(&image));
    CHECK_OK(bdpo_image_write(path, &image, NULL));
    bdpo_image_release(&image);
    return path;
}

// The indices that are kept, as text.
static const char *kept(bdpo_record_source *source)
{
    static char text[512];
    const bdpo_record *record;
    size_t n = 0;
    text[0] = '\0';
    for (;;) {
        CHECK_OK(bdpo_record_source_next(&record, source));
        if (!record) return text;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%d", n ? " " : "", (int)record->index);
    }
}

static bdpo_record_source *open_set(const char *path, const bdpo_record_options *options)
{
    bdpo_record_source *source;
    CHECK_OK(bdpo_record_source_open(&source, path, options));
    return source;
}

static void check_kept(const char *path, bdpo_record_options options, const char *expected)
{
    bdpo_record_source *source = open_set(path, &options);
    CHECK_STR(kept(source), expected);
    int64_t n_dropped = 0;
    for (int i = 0; i < BDPO_N_DROPS; i++)
        n_dropped += bdpo_record_source_n_dropped(source, (bdpo_drop)i);
    CHECK_INT(bdpo_record_source_n_kept(source) + n_dropped, bdpo_record_source_n_read(source));
    bdpo_record_source_close(source);
}

// ---- faults --------------------------------------------------------------------------------

static const char *faulty_list(void)
{
    picture("a.png", 8, 1);
    picture("b.png", 8, 2);
    scratch_file("empty.png", "");
    return scratch_file(
        "list.jsonl", "{\"image_0\":\"a.png\",\"image_1\":\"b.png\",\"prompt\":\"fine\"}\n"
                      "{\"image_0\":\"a.png\",\"image_1\":\"gone.png\",\"prompt\":\"x\"}\n"
                      "{\"image_0\":\"a.png\",\"image_1\":\"b.png\",\"prompt\":\" \"}\n"
                      "{\"image_0\":\"a.png\",\"image_1\":\"b.png\"}\n"
                      "{\"image_0\":\"a.png\",\"image_1\":null,\"prompt\":\"x\"}\n"
                      "{\"image_0\":\"a.png\",\"image_1\":\"empty.png\",\"prompt\":\"x\"}\n"
                      "{\"image_0\":\"a.png\",\n"
                      "[1]\n"
                      "{\"image_0\":\"a.png\",\"image_1\":\"b.png\",\"prompt\":\"x\",\"label\":2}\n"
                      "{\"image_0\":7,\"image_1\":\"b.png\",\"prompt\":\"x\"}\n"
                      "{\"image\":\"a.png\",\"prompt\":\"\xe7\x8c\xab\"}\n");
}

BDPO_TEST(faults_are_counted_by_reason_and_named)
{
    char *report;
    bdpo_record_source *source = open_set(faulty_list(), NULL);
    CHECK_STR(kept(source), "0 10");
    CHECK_INT(bdpo_record_source_n_read(source), 11);
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_MISSING_FILE), 1);
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_EMPTY_PROMPT), 2);
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_NO_PICTURE), 2);
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_BROKEN_ROW), 4);
    CHECK_OK(bdpo_record_source_drop(source, BDPO_DROP_UNREADABLE, 10, "a.png: is no picture"));
    CHECK_INT(bdpo_record_source_n_kept(source), 1);
    CHECK_OK(bdpo_record_source_report(&report, source));
    CHECK_CONTAINS(report, "list.jsonl (table): 11 rows read, 1 kept, 10 dropped\n");
    CHECK_CONTAINS(report, "list.jsonl, line 2: ");
    CHECK_CONTAINS(report, "gone.png: no such file\n");
    CHECK_CONTAINS(report, "list.jsonl, line 8: expected an object in braces\n");
    CHECK_CONTAINS(report, "list.jsonl, line 9: a label of 2, expected 0 to 1\n");
    CHECK_CONTAINS(report, "list.jsonl, line 10: image_0: expected a string\n");
    CHECK_CONTAINS(report,
                   "           1  picture does not decode\n                row 10: a.png: is no");
    bdpo_free(report);
    bdpo_record_source_close(source);
    check_kept(faulty_list(), (bdpo_record_options){.keep_empty_prompts = true}, "0 2 3 10");
    scratch_remove();
}

BDPO_TEST(strict_ends_at_the_first_fault)
{
    const bdpo_record *record;
    bdpo_record_source *source = open_set(faulty_list(), &(bdpo_record_options){.strict = true});
    CHECK_OK(bdpo_record_source_next(&record, source));
    CHECK_STATUS(bdpo_record_source_next(&record, source), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "list.jsonl, line 2: missing file: ");
    bdpo_record_source_close(source);
    scratch_remove();
}

BDPO_TEST(prompts_that_are_no_text)
{
    picture("a.png", 8, 1);
    check_kept(scratch_file("x.csv", "image,prompt\na.png,fine\na.png,b\xff\na.png,\n"),
               (bdpo_record_options){0}, "0");
    bdpo_record_source *source = open_set(scratch_path("x.csv"), NULL);
    CHECK_STR(kept(source), "0");
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_BAD_TEXT), 1);
    bdpo_record_source_close(source);
    scratch_remove();
}

BDPO_TEST(rows_of_a_table_with_the_wrong_number_of_fields)
{
    char *report;
    picture("a.png", 8, 1);
    bdpo_record_source *source = open_set(
        scratch_file("x.csv", "image,prompt\na.png,x,y\na.png\na.png,\"open\na.png,z\n"), NULL);
    CHECK_STR(kept(source), "");
    CHECK_OK(bdpo_record_source_report(&report, source));
    CHECK_CONTAINS(report, "x.csv, line 2: has 3 fields, the header has 2\n");
    CHECK_CONTAINS(report, "x.csv, line 3: has 1 fields, the header has 2\n");
    CHECK_CONTAINS(report, "x.csv, line 4: opens a quote that is never closed\n");
    bdpo_free(report);
    bdpo_record_source_close(source);
    scratch_remove();
}

BDPO_TEST(names_that_leave_an_image_folder_are_refused)
{
    scratch_directory("set");
    picture("secret.png", 8, 1);
    picture("set/a.png", 8, 1);
    scratch_file("set/metadata.jsonl", "{\"file_name\":\"../secret.png\",\"text\":\"x\"}\n"
                                       "{\"file_name\":\"/etc/hostname\",\"text\":\"x\"}\n"
                                       "{\"file_name\":\"b/../../secret.png\",\"text\":\"x\"}\n"
                                       "{\"file_name\":\"a.png\",\"text\":\"x\"}\n");
    bdpo_record_source *source = open_set(scratch_path("set"), NULL);
    CHECK_STR(kept(source), "3");
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_OUTSIDE), 3);
    bdpo_record_source_close(source);
    // A table of the user's own may.
    check_kept(scratch_file("set/own.jsonl", "{\"image\":\"../secret.png\",\"text\":\"x\"}\n"),
               (bdpo_record_options){0}, "0");
    scratch_remove();
}

BDPO_TEST(hpd_names_that_leave_the_folder_and_broken_entries)
{
    scratch_directory("hpd");
    scratch_directory("hpd/test");
    picture("secret.png", 8, 1);
    picture("hpd/test/a.png", 8, 1);
    picture("hpd/test/b.png", 8, 2);
    scratch_file(
        "hpd/test.json",
        "[{\"prompt\":\"x\",\"image_path\":[\"a.png\",\"../../secret.png\",\"b.png\"],"
        "\"rank\":[1,2,3]},"
        "{\"prompt\":\"x\",\"image_path\":[\"a.png\",\"b.png\"],\"rank\":[1]},"
        "{\"prompt\":\"x\",\"file_path\":[\"a.png\",\"b.png\"],\"human_preference\":[1,1]},"
        "{\"prompt\":5,\"file_path\":[\"a.png\",\"b.png\"],\"human_preference\":[1,0]},"
        "{\"prompt\":\"x\",\"file_path\":[\"b.png\",\"a.png\"],\"human_preference\":[0,1]},"
        "{\"prompt\":\"x\"");
    bdpo_record_source *source = open_set(scratch_path("hpd"), NULL);
    CHECK_STR(bdpo_record_source_form(source), "hpd");
    CHECK_STR(kept(source), "1 6");
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_OUTSIDE), 2);
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_BROKEN_ROW), 4);
    int64_t n;
    CHECK_OK(bdpo_record_source_n_rows(&n, source));
    CHECK_INT(n, 8);
    bdpo_record_source_close(source);
    scratch_remove();
}

BDPO_TEST(folders_with_what_is_missing)
{
    char *report;
    scratch_directory("c");
    picture("c/a.png", 8, 1);
    picture("c/b.png", 8, 1);
    scratch_file("c/a.txt", "one\n");
    scratch_file("c/notes.md", "ignored");
    bdpo_record_source *source = open_set(scratch_path("c"), NULL);
    CHECK_STR(kept(source), "0");
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_MISSING_FILE), 1);
    bdpo_record_source_close(source);
    check_kept(scratch_path("c"), (bdpo_record_options){.prompts = scratch_file("p", "x\ny\n")},
               "0 1");
    bdpo_record_options bad = {.prompts = scratch_file("p", "x\n")};
    CHECK_STATUS(bdpo_record_source_open(&source, scratch_path("c"), &bad), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "1 lines, expected one for each of the 2 pictures");

    scratch_directory("p2");
    scratch_directory("p2/chosen");
    scratch_directory("p2/rejected");
    picture("p2/chosen/a.png", 8, 1);
    picture("p2/rejected/a.png", 8, 2);
    picture("p2/rejected/b.png", 8, 2);
    scratch_file("p2/prompts.txt", "first\nsecond\n");
    source = open_set(scratch_path("p2"), NULL);
    const bdpo_record *record;
    CHECK_OK(bdpo_record_source_next(&record, source));
    CHECK_STR(record->prompt, "first");
    CHECK_NEAR(record->label, 1, 0);
    CHECK_STR(kept(source), "");
    CHECK_OK(bdpo_record_source_report(&report, source));
    CHECK_CONTAINS(report, "p2/rejected/\"b.png\": has no partner in ");
    bdpo_free(report);
    bdpo_record_source_close(source);
    scratch_remove();
}

// ---- Pick-a-Pic ----------------------------------------------------------------------------

typedef struct parquet_row {
    const char *caption, *jpg_0, *jpg_1; // NULL: null
    double label_0, label_1;             // NaN: null
    int has_label;                       // -1: null
} parquet_row;

static bdpo_parquet_value text_value(const char *text)
{
    if (!text) return (bdpo_parquet_value){.is_null = true};
    return (bdpo_parquet_value){.data = text, .size = strlen(text)};
}

static bdpo_parquet_value number_value(double x)
{
    return (bdpo_parquet_value){.is_null = isnan(x), .number = isnan(x) ? 0 : x};
}

static const char *write_parquet(const parquet_row *rows, size_t n)
{
    static const bdpo_parquet_column columns[] = {
        {.name = "label_1", .type = BDPO_PARQUET_DOUBLE, .nullable = true},
        {.name = "jpg_1", .type = BDPO_PARQUET_BYTES, .nullable = true},
        {.name = "caption",
         .type = BDPO_PARQUET_BYTES,
         .logical = BDPO_PARQUET_STRING,
         .nullable = true},
        {.name = "jpg_0", .type = BDPO_PARQUET_BYTES, .nullable = true},
        {.name = "label_0", .type = BDPO_PARQUET_DOUBLE, .nullable = true},
        {.name = "has_label", .type = BDPO_PARQUET_BOOLEAN, .nullable = true},
    };
    bdpo_parquet_writer *writer;
    const char *path = scratch_path("test-0.parquet");
    CHECK_OK(bdpo_parquet_writer_open(&writer, path, columns, BDPO_COUNTOF(columns), NULL));
    for (size_t i = 0; i < n; i++) {
        const parquet_row *r = &rows[i];
        bdpo_parquet_value values[] = {
            number_value(r->label_1), text_value(r->jpg_1),
            text_value(r->caption),   text_value(r->jpg_0),
            number_value(r->label_0), {.is_null = r->has_label<0, .integer = r->has_label> 0},
        };
        CHECK_OK(bdpo_parquet_writer_row(writer, values));
    }
    CHECK_OK(bdpo_parquet_writer_commit(writer));
    return path;
}

BDPO_TEST(labels_and_nulls_of_pick_a_pic)
{
    static const parquet_row rows[] = {
        {"first", "a", "b", 1, 0, 1},
        {"second", "a", "b", 0, 1, 1},
        {"tie", "a", "b", 0.5, 0.5, 1},
        {"nobody chose", "a", "b", 0.5, 0.5, 0},
        {"chosen, they say", "a", "b", 1, 0, 0},
        {"no labels", "a", "b", NAN, NAN, -1},
        {"one label", "a", "b", NAN, 0, 1},
        {"bad labels", "a", "b", 1, 1, 1},
        {"null picture", "a", NULL, 1, 0, 1},
        {"empty picture", "", "b", 1, 0, 1},
        {NULL, "a", "b", 1, 0, 1},
        {"", "a", "b", 1, 0, 1},
        {"high label", "a", "b", 2, -1, 1},
    };
    static const double labels[] = {1, 0, 0.5, NAN, NAN, NAN, 1};
    const bdpo_record *record;
    bdpo_record_source *source = open_set(write_parquet(rows, BDPO_COUNTOF(rows)), NULL);
    for (size_t i = 0; i < BDPO_COUNTOF(labels); i++) {
        CHECK_OK(bdpo_record_source_next(&record, source));
        CHECK_STR(record->prompt, rows[i].caption);
        CHECK_STR(record->split, "test");
        CHECK(isnan(labels[i]) ? isnan(record->label) : record->label == labels[i]);
        CHECK_INT(record->pictures[1].size, 1);
        CHECK_BYTES(record->pictures[1].data, "b", 1);
    }
    CHECK_STR(kept(source), "");
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_BROKEN_ROW), 2);
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_NO_PICTURE), 2);
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_EMPTY_PROMPT), 2);
    bdpo_record_source_close(source);
    check_kept(scratch_path("test-0.parquet"),
               (bdpo_record_options){.drop_ties = true, .drop_unlabelled = true}, "0 1 6");
    scratch_remove();
}

// ---- what cannot be opened -----------------------------------------------------------------

static void check_not_opened(const char *path, bdpo_record_options options, bdpo_status status,
                             const char *part)
{
    bdpo_record_source *source;
    CHECK_STATUS(bdpo_record_source_open(&source, path, &options), status);
    CHECK_CONTAINS(bdpo_message(), part);
}

BDPO_TEST(splits_of_image_folders_are_no_pairs)
{
    const char *root = scratch_directory("splits");
    scratch_directory("splits/test");
    scratch_directory("splits/train");
    picture("splits/test/a.png", 4, 1);
    picture("splits/train/a.png", 4, 2);
    check_kept(root, (bdpo_record_options){0}, ""); // a pair without a prompt
    scratch_file("splits/train/metadata.csv", "file_name,text\na.png,a cat\n");
    check_not_opened(root, (bdpo_record_options){0}, BDPO_BAD_FILE, "no data set that is known");
    check_kept(scratch_path("splits/train"), (bdpo_record_options){0}, "0");
    scratch_remove();
}

BDPO_TEST(what_is_no_data_set_is_refused)
{
    bdpo_record_options none = {0};
    const char *list = scratch_file("x.csv", "image,prompt\n");
    check_not_opened("/nowhere", none, BDPO_NOT_FOUND, "/nowhere: no such file or folder");
    check_not_opened("/tmp/no-*-such", none, BDPO_NOT_FOUND, "no such file");
    check_not_opened(scratch_directory("empty"), none, BDPO_BAD_FILE, "expected one of pickapic, ");
    check_not_opened(scratch_file("x.bin", "x"), none, BDPO_BAD_FILE, "no data set that is known");
    check_not_opened(scratch_file("x.tar", "no tar"), none, BDPO_BAD_FILE, "x.tar: expected a");
    check_not_opened(scratch_file("x.parquet", "x"), none, BDPO_BAD_FILE, "x.parquet");
    check_not_opened(list, (bdpo_record_options){.form = "zip"}, BDPO_BAD_ARGUMENT,
                     "named zip, expected one of pickapic, webdataset, hpd, ");
    check_not_opened(list, (bdpo_record_options){.first = 3, .end = 3}, BDPO_BAD_ARGUMENT,
                     "rows 3 to 3");
    check_not_opened(list, (bdpo_record_options){.hash_from = 0.5}, BDPO_BAD_ARGUMENT,
                     "a part of 0.5 to 0");
    check_not_opened(list, (bdpo_record_options){.hash_to = NAN}, BDPO_BAD_ARGUMENT, "a part of 0");
    check_not_opened(list, (bdpo_record_options){.min_side = -1}, BDPO_BAD_ARGUMENT, "-1 pixels");
    check_not_opened(list, (bdpo_record_options){.index_list = scratch_file("i", "3\nx\n")},
                     BDPO_BAD_FILE, "i, line 2: found \"x\", expected an index");
    check_not_opened(list, (bdpo_record_options){.banned_words = "/nowhere"}, BDPO_NOT_FOUND,
                     "/nowhere: cannot open");
    check_not_opened("/tmp/{5..1}.tar", none, BDPO_BAD_ARGUMENT, "a range of 5 to 1");
    scratch_remove();
}

BDPO_TEST(nobody_chose_whatever_the_labels_are)
{
    const bdpo_record *record;
    picture("a.png", 8, 1);
    bdpo_record_source *source =
        open_set(scratch_file("list.csv", "image_0,image_1,prompt,label_0,label_1,has_label\n"
                                          "a.png,a.png,x,0,0,False\n"
                                          "a.png,a.png,x,0,0,True\n"
                                          "a.png,a.png,x,,0.25,True\n"),
                 NULL);
    CHECK_OK(bdpo_record_source_next(&record, source));
    CHECK(record && isnan(record->label));
    CHECK_OK(bdpo_record_source_next(&record, source));
    CHECK(record && record->index == 2 && record->label == 0.75);
    CHECK_INT(bdpo_record_source_n_dropped(source, BDPO_DROP_BROKEN_ROW), 1);
    bdpo_record_source_close(source);
    scratch_remove();
}

// ---- filters -------------------------------------------------------------------------------

static const char *labelled_list(void)
{
    picture("a.png", 8, 1);
    picture("b.png", 16, 2);
    picture("c.png", 12, 3);
    return scratch_file("list.csv", "image_0,image_1,prompt,label,split\n"
                                    "a.png,b.png,A red Cat,1,train\n"
                                    "b.png,c.png,two dogs,0.5,train\n"
                                    "c.png,b.png,two dogs,,test\n"
                                    "b.png,a.png,A red Cat,0,train\n"
                                    "b.png,c.png,concatenate,0,test\n"
                                    "b.png,c.png,\xe4\xb8\x80\xe5\x8f\xaa\xe7\x8c\xab,1,\n");
}

BDPO_TEST(filters_drop_what_they_name)
{
    const char *list = labelled_list();
    check_kept(list, (bdpo_record_options){0}, "0 1 2 3 4 5");
    check_kept(list, (bdpo_record_options){.drop_ties = true}, "0 2 3 4 5");
    check_kept(list, (bdpo_record_options){.drop_unlabelled = true}, "0 1 3 4 5");
    check_kept(list, (bdpo_record_options){.split = "train"}, "0 1 3");
    check_kept(list, (bdpo_record_options){.min_side = 9}, "1 2 4 5");
    check_kept(list, (bdpo_record_options){.min_side = 8}, "0 1 2 3 4 5");
    check_kept(list, (bdpo_record_options){.drop_duplicates = true}, "0 1 4 5");
    const char *words = scratch_file("words", "CAT\n\xe7\x8c\xab\n");
    check_kept(list, (bdpo_record_options){.banned_words = words}, "1 2 4");
    words = scratch_file("words", "two dogs\n");
    check_kept(list, (bdpo_record_options){.banned_words = words}, "0 3 4 5");
    check_kept(list, (bdpo_record_options){.drop_ties = true, .drop_unlabelled = true, .first = 1},
               "3 4 5");
    scratch_remove();
}

BDPO_TEST(words_are_whole)
{
    CHECK(bdpo_text_has_word("a cat.", "cat"));
    CHECK(bdpo_text_has_word("cat", "cat"));
    CHECK(bdpo_text_has_word("concat cat", "cat"));
    CHECK(bdpo_text_has_word("a black-cat sits", "cat"));
    CHECK(!bdpo_text_has_word("concatenate cats", "cat"));
    CHECK(!bdpo_text_has_word("caf\xc3\xa9s", "caf\xc3\xa9"));
    CHECK(!bdpo_text_has_word("\xc3\xa9"
                              "cat",
                              "cat"));
    CHECK(bdpo_text_has_word("c++ code", "c++"));
    CHECK(bdpo_text_has_word("ภาพแมวสีส้ม", "แมว"));     // no spaces in Thai,
    CHECK(bdpo_text_has_word("一只橙色的猫", "橙色")); // nor in Chinese
    CHECK(!bdpo_text_has_word("рыжий котик", "кот"));
    CHECK(!bdpo_text_has_word("cat", ""));
}

BDPO_TEST(subsets_by_index)
{
    const char *list = labelled_list();
    check_kept(list, (bdpo_record_options){.first = 2}, "2 3 4 5");
    check_kept(list, (bdpo_record_options){.end = 2}, "0 1");
    check_kept(list, (bdpo_record_options){.first = 2, .end = 4}, "2 3");
    check_kept(list, (bdpo_record_options){.first = 100}, "");
    const char *indices = scratch_file("indices", "4\n1\n\n 99 \n1\n");
    check_kept(list, (bdpo_record_options){.index_list = indices}, "1 4");
    check_kept(list, (bdpo_record_options){.index_list = indices, .end = 3}, "1");
    scratch_remove();
}

// What is behind the end is not counted, nor read.
static void check_n_read(const char *path, bdpo_record_options options, int64_t n_read)
{
    bdpo_record_source *source = open_set(path, &options);
    (void)kept(source);
    CHECK_INT(bdpo_record_source_n_read(source), n_read);
    bdpo_record_source_close(source);
}

BDPO_TEST(a_subset_of_parquet_and_of_tar)
{
    const char *path = test_path("fixtures/records/pickapic");
    check_kept(path, (bdpo_record_options){.first = 2, .end = 6}, "2 3 4 5");
    check_kept(path, (bdpo_record_options){.first = 6}, "6");
    check_kept(path, (bdpo_record_options){.first = 7}, "");
    check_n_read(path, (bdpo_record_options){.end = 2}, 2);
    check_n_read(path, (bdpo_record_options){.end = 5, .split = "validation_unique"}, 5);
    check_kept(path, (bdpo_record_options){.split = "validation_unique"}, "5 6");
    check_kept(path, (bdpo_record_options){.split = "train", .drop_ties = true}, "0 1 3 4");
    check_kept(path, (bdpo_record_options){.drop_duplicates = true}, "0 1 2 3 4 5");
    path = test_path("fixtures/records/webdataset");
    check_kept(path, (bdpo_record_options){.first = 2, .end = 6}, "2 3 4 5");
    check_kept(path, (bdpo_record_options){.split = "validation"}, "5 6");
    check_kept(path, (bdpo_record_options){.split = "train", .drop_unlabelled = true}, "0 1 2 4");
    path = test_path("fixtures/records/hpd");
    check_kept(path, (bdpo_record_options){.split = "train"}, "6 7 8 9 10");
    check_kept(path, (bdpo_record_options){.split = "test"}, "0 2 3 4 5");
    path = test_path("fixtures/records/no_images");
    check_kept(path, (bdpo_record_options){.drop_unlabelled = true, .drop_duplicates = true},
               "0 1 2 4 5 6"); // without pictures the uids tell
}

BDPO_TEST(a_part_by_hash_is_stable_and_splits_the_set)
{
    enum { N = 2000 };
    static char text[N * 8 + 64];
    static bool seen[N];
    size_t n = (size_t)snprintf(text, sizeof text, "image,prompt\n");
    picture("a.png", 8, 1);
    for (int i = 0; i < N; i++) n += (size_t)snprintf(text + n, sizeof text - n, "a.png,x\n");
    const char *list = scratch_file("many.csv", text);
    const bdpo_record *record;
    int counts[2] = {0};
    for (int part = 0; part < 2; part++) {
        bdpo_record_options options = {
            .name = "many", .hash_from = part ? 0.1 : 0, .hash_to = part ? 1 : 0.1};
        bdpo_record_source *source = open_set(list, &options);
        for (;;) {
            CHECK_OK(bdpo_record_source_next(&record, source));
            if (!record) break;
            CHECK(!seen[record->index]);
            seen[record->index] = true;
            counts[part]++;
        }
        bdpo_record_source_close(source);
    }
    CHECK_INT(counts[0] + counts[1], N);
    CHECK(counts[0] > 150 && counts[0] < 250); // 200 expected, standard deviation 13
    // By Python: int(sha256(b"many\n%d" % i).hexdigest()[:16], 16) / 2**64 < 0.1
    check_kept(list, (bdpo_record_options){.name = "many", .hash_to = 0.1, .end = 50},
               "4 25 37 48");
    scratch_remove();
}

// ---- allocations ---------------------------------------------------------------------------

static bdpo_status read_whole(const char *path, const bdpo_record_options *options)
{
    bdpo_record_source *source;
    const bdpo_record *record;
    char *report;
    TRY(bdpo_record_source_open(&source, path, options));
    bdpo_status status;
    do status = bdpo_record_source_next(&record, source);
    while (status == BDPO_OK && record);
    if (status == BDPO_OK) status = bdpo_record_source_at(&record, source, 1);
    if (status == BDPO_OK) status = bdpo_record_source_report(&report, source);
    if (status == BDPO_OK) bdpo_free(report);
    bdpo_record_source_close(source);
    return status;
}

BDPO_TEST(failing_allocations_are_reported)
{
    static const char *const names[] = {"pickapic", "hpd",        "imagefolder", "paired",
                                        "captions", "webdataset", "pairs.csv",   "pairs.json"};
    bdpo_record_options options = {.drop_duplicates = true,
                                   .min_side = 2,
                                   .banned_words = scratch_file("words", "cat\n"),
                                   .index_list = scratch_file("indices", "0\n1\n2\n")};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/fixtures/records/%s", BDPO_TESTS_DIR, names[i]);
        uint64_t begin = bdpo_alloc_count();
        CHECK_OK(read_whole(path, &options));
        uint64_t total = bdpo_alloc_count() - begin;
        for (uint64_t at = 1; at <= total; at++) {
            bdpo_alloc_fail_at(bdpo_alloc_count() + at);
            bdpo_status status = read_whole(path, &options);
            bdpo_alloc_fail_at(0);
            if (status != BDPO_NO_MEMORY)
                FAIL("%s: allocation %d: %s", names[i], (int)at, bdpo_message());
        }
    }
    scratch_remove();
}
