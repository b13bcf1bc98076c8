// Prompt sets: the four kinds of files, and the real sets of ../shared/data/prompts.
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/prompt_set.h"
#include "formats/sha256.h"
#include "harness.h"
#include "models/scratch.h"

static const char *shared(const char *name)
{
    static char path[2048];
    snprintf(path, sizeof path, "%s/../../shared/data/prompts/%s", BDPO_TESTS_DIR, name);
    return path;
}

static bdpo_prompt_set *read_set(const char *path, const char *kind)
{
    bdpo_prompt_set *set;
    CHECK_OK(bdpo_prompt_set_new(&set));
    CHECK_OK(bdpo_prompt_set_read(set, path, kind));
    return set;
}

BDPO_TEST(prompts_are_the_lines_of_a_file)
{
    bdpo_prompt_set *p;
    CHECK_OK(bdpo_prompt_set_new(&p));
    CHECK_OK(bdpo_prompt_set_add(p, "", "here"));
    CHECK_OK(
        bdpo_prompt_set_read(p,
                             scratch_file("list.txt", "\xef\xbb\xbf"
                                                      "a cat\r\n\n  \n# no comment\nna\xc3\xafve"),
                             NULL));
    CHECK_INT(bdpo_prompt_set_count(p), 4);
    CHECK_STR(bdpo_prompt_set_at(p, 0)->text, "");
    CHECK_STR(bdpo_prompt_set_at(p, 1)->text, "a cat");
    CHECK_STR(bdpo_prompt_set_at(p, 2)->text, "# no comment");
    CHECK_STR(bdpo_prompt_set_at(p, 3)->text, "na\xc3\xafve");
    CHECK_STATUS(bdpo_prompt_set_read(p, scratch_file("bad.txt", "fine\n\xff\xfe\n"), NULL),
                 BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "bad.txt, line 2: found bytes that are not UTF-8");
    CHECK_STATUS(bdpo_prompt_set_read(p, scratch_file("empty.txt", "\n \n"), NULL), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "has no prompt");
    CHECK_OK(bdpo_file_write(scratch_path("zero.txt"), "a\0b\n", 4));
    CHECK_STATUS(bdpo_prompt_set_read(p, scratch_path("zero.txt"), NULL), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), "line 1: found a zero byte");
    CHECK_STATUS(bdpo_prompt_set_read(p, scratch_path("none.txt"), NULL), BDPO_NOT_FOUND);
    CHECK_STATUS(bdpo_prompt_set_add(p, "\xc0", "--prompt"), BDPO_BAD_ARGUMENT);
    bdpo_prompt_set_free(p);
    scratch_remove();
}

// ---- kinds ---------------------------------------------------------------------------------

static void check_two(const char *path, const char *kind)
{
    bdpo_prompt_set *set = read_set(path, kind);
    CHECK_INT(bdpo_prompt_set_count(set), 2);
    CHECK_STR(bdpo_prompt_set_at(set, 0)->text, "a cat");
    CHECK_STR(bdpo_prompt_set_at(set, 1)->text, " two, \"dogs\"");
    CHECK_INT(bdpo_prompt_set_at(set, 1)->row, 1);
    bdpo_prompt_set_free(set);
}

BDPO_TEST(the_kind_is_seen)
{
    check_two(scratch_file("a.csv", "id,caption\n1,a cat\n2,\" two, \"\"dogs\"\"\"\n"), NULL);
    check_two(scratch_file("b.tsv", "Prompt\tCategory\na cat\tx\n two, \"dogs\"\ty\n"), NULL);
    check_two(scratch_file("tabs", "Prompt\tCategory\na cat\tx\n two, \"dogs\"\ty\n"), NULL);
    check_two(scratch_file("c.jsonl", "{\"prompt\":\"a cat\"}\n{\"text\":\" two, \\\"dogs\\\"\"}"),
              NULL);
    check_two(scratch_file("d", "{\"prompt\":\"a cat\"}\n{\"text\":\" two, \\\"dogs\\\"\"}"), NULL);
    check_two(scratch_file("e.json", "[\"a cat\",\n\" two, \\\"dogs\\\"\"]"), NULL);
    check_two(scratch_file("f", " [{\"caption\":\"a cat\"},{\"caption\":\" two, \\\"dogs\\\"\"}]"),
              NULL);
    check_two(scratch_file("g", "a cat\n two, \"dogs\"\n"), NULL);
    check_two(scratch_file("h.csv", "a cat\n two, \"dogs\"\n"), "text");
    scratch_remove();
}

BDPO_TEST(a_prompt_in_brackets_is_text)
{
    bdpo_prompt_set *set =
        read_set(scratch_file("x", "[cat:0.5] on a mat\n{red|blue} dog\n"), NULL);
    CHECK_INT(bdpo_prompt_set_count(set), 2);
    bdpo_prompt_set_free(set);
    set = read_set(scratch_file("y.txt", "[\"a\"]\n"), NULL);
    CHECK_STR(bdpo_prompt_set_at(set, 0)->text, "[\"a\"]");
    bdpo_prompt_set_free(set);
    set = read_set(scratch_file("z", "{red|blue} dog\n"), NULL);
    CHECK_INT(bdpo_prompt_set_count(set), 1);
    bdpo_prompt_set_free(set);
    scratch_remove();
}

BDPO_TEST(captions_of_pick_a_pic)
{
    bdpo_prompt_set *set =
        read_set(test_path("fixtures/records/no_images/train-00000-of-00001.parquet"), NULL);
    CHECK_INT(bdpo_prompt_set_count(set), 7);
    CHECK_STR(bdpo_prompt_set_at(set, 3)->text, " spaces around ");
    CHECK_OK(bdpo_prompt_set_make_unique(set));
    CHECK_INT(bdpo_prompt_set_count(set), 6);
    CHECK_INT(bdpo_prompt_set_n_repeated(set), 1);
    CHECK_STR(bdpo_prompt_set_at(set, 0)->text, "a red square, on blue");
    CHECK_INT(bdpo_prompt_set_at(set, 5)->row, 5);
    bdpo_prompt_set_free(set);
}

BDPO_TEST(rows_without_a_prompt_are_counted)
{
    bdpo_prompt_set *set = read_set(
        scratch_file("x.jsonl", "{\"prompt\":\"\"}\n{\"prompt\":null}\n{}\n{\"prompt\":\"a\"}\n"),
        NULL);
    CHECK_INT(bdpo_prompt_set_count(set), 1);
    CHECK_INT(bdpo_prompt_set_n_empty(set), 3);
    CHECK_INT(bdpo_prompt_set_at(set, 0)->row, 3);
    bdpo_prompt_set_free(set);
    scratch_remove();
}

static void check_refused(const char *path, const char *kind, const char *part)
{
    bdpo_prompt_set *set;
    CHECK_OK(bdpo_prompt_set_new(&set));
    CHECK_STATUS(bdpo_prompt_set_read(set, path, kind), BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), part);
    bdpo_prompt_set_free(set);
}

BDPO_TEST(what_is_refused)
{
    bdpo_prompt_set *set;
    check_refused(scratch_file("a.csv", "id,words\n1,a cat\n"), NULL, "has no column prompt");
    check_refused(scratch_file("b.csv", ""), NULL, "expected a header");
    check_refused(scratch_file("c.jsonl", "{\"prompt\":\"a\"}\n{\"prompt\":\n"), NULL,
                  "c.jsonl, line 2");
    check_refused(scratch_file("d.jsonl", "{\"prompt\":5}\n"), NULL,
                  "d.jsonl, line 1: prompt: expected a string");
    check_refused(scratch_file("e.json", "[\"a\", 5]"), NULL, "e.json[1]: expected a text");
    check_refused(scratch_file("f.json", "[\"a\""), NULL, "f.json");
    check_refused(scratch_file("g.tsv", "Prompt\tX\na\n"), NULL,
                  "line 2: has 1 fields, the header has 2");
    check_refused(scratch_file("h.parquet", "PAR1"), NULL, "h.parquet");
    check_refused(scratch_directory("folder"), NULL, "without .json files");
    CHECK_OK(bdpo_prompt_set_new(&set));
    CHECK_STATUS(bdpo_prompt_set_read(set, scratch_file("i", "x"), "yaml"), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "yaml, expected text, table, json or parquet");
    bdpo_prompt_set_free(set);
    scratch_remove();
}

// ---- real sets -----------------------------------------------------------------------------

// SHA-256 of the texts, each followed by LF.
static void check_digest(const bdpo_prompt_set *set, int from, int to, int field,
                         const char *expected)
{
    bdpo_sha256_stream *stream;
    bdpo_sha256_text hash;
    CHECK_OK(bdpo_sha256_new(&stream));
    for (int i = from; i < to; i++) {
        const bdpo_prompt *p = bdpo_prompt_set_at(set, i);
        const char *text = field == 0 ? p->text : field == 1 ? p->category : p->challenge;
        CHECK_OK(bdpo_sha256_add(stream, text, strlen(text)));
        CHECK_OK(bdpo_sha256_add(stream, "\n", 1));
    }
    CHECK_OK(bdpo_sha256_finish(&hash, stream));
    CHECK_STR(hash.hex, expected);
}

// Digests by Python: line.split("\t") of each line, joined again.
BDPO_TEST(parti_prompts_are_those_of_a_split_at_tabs)
{
    const char *path = shared("PartiPrompts.tsv");
    if (!bdpo_file_exists(path)) SKIP("../shared/data/prompts/PartiPrompts.tsv is absent");
    bdpo_prompt_set *set = read_set(path, NULL);
    CHECK_INT(bdpo_prompt_set_count(set), 1632);
    CHECK_INT(bdpo_prompt_set_n_empty(set), 0);
    check_digest(set, 0, 1632, 0,
                 "32e76ac65cac2f237b5fad1893315738e3952da7e71d5b36966c0e764adf7651");
    check_digest(set, 0, 1632, 1,
                 "02f908b53d4e131b183c3f1ca6c638f9c05a3bd89f692e207eb4837c74a05522");
    check_digest(set, 0, 1632, 2,
                 "ba0094b3c10becc30059d11c5fe086f56ca94a160a22e5e1e7b040aaab598d29");
    CHECK_OK(bdpo_prompt_set_make_unique(set));
    CHECK_INT(bdpo_prompt_set_count(set), 1632);
    bdpo_prompt_set_free(set);
}

// The same of json.load.
BDPO_TEST(hpd_benchmark_has_four_styles_of_800)
{
    static const struct {
        const char *style, *digest;
    } styles[] = {
        {"anime", "c4e01ffea9bd50950b25cdb6355d7d3991828acbca16b96a2fcc52166fde6e17"},
        {"concept-art", "487edcd19bfd64cabe36f0a57a7d6b4e6466f4df4df7461ad83db7856ead72f6"},
        {"paintings", "02cc306565969f68a26cf76cfe02bd38e44c615a3dbd4e9af57592b99a131c14"},
        {"photo", "10c69a1657ae3e1d05db7845dd3280b05b3723af5465a6ead8106b294fee83ba"},
    };
    const char *folder = shared("");
    if (!bdpo_file_exists(folder)) SKIP("../shared/data/prompts is absent");
    bdpo_prompt_set *set = read_set(folder, NULL);
    CHECK_INT(bdpo_prompt_set_count(set), 3200);
    for (int i = 0; i < 4; i++) {
        CHECK_STR(bdpo_prompt_set_at(set, 800 * i)->style, styles[i].style);
        CHECK_STR(bdpo_prompt_set_at(set, 800 * i + 799)->style, styles[i].style);
        CHECK_INT(bdpo_prompt_set_at(set, 800 * i + 799)->row, 799);
        check_digest(set, 800 * i, 800 * i + 800, 0, styles[i].digest);
    }
    bdpo_prompt_set_free(set);
}
