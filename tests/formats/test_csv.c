// Tables of text: rows, lines, quotes and faults.
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/csv.h"
#include "harness.h"

// Writes `text` to a file and gives its rows as "line:field|field" separated by ';'.
static const char *rows_of(const char *text, size_t size, char delimiter)
{
    static char out[4096];
    char path[64];
    const bdpo_csv_row *row;
    bdpo_csv *csv;
    size_t n = 0;
    snprintf(path, sizeof path, "/tmp/bdpo-csv-%ld", (long)getpid());
    CHECK_OK(bdpo_file_write(path, text, size));
    CHECK_OK(bdpo_csv_open(&csv, path, delimiter));
    out[0] = '\0';
    for (;;) {
        CHECK_OK(bdpo_csv_next(&row, csv));
        if (!row) break;
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%d:", n ? ";" : "", (int)row->line);
        if (row->fault) n += (size_t)snprintf(out + n, sizeof out - n, "!%s", row->fault);
        for (size_t i = 0; i < row->n_fields; i++) {
            CHECK(row->fields[i][row->lengths[i]] == '\0');
            n += (size_t)snprintf(out + n, sizeof out - n, "%s%s", i ? "|" : "", row->fields[i]);
        }
        CHECK(n < sizeof out);
    }
    bdpo_csv_close(csv);
    unlink(path);
    return out;
}

static const char *comma(const char *text)
{
    return rows_of(text, strlen(text), ',');
}

static const char *tab(const char *text)
{
    return rows_of(text, strlen(text), '\t');
}

BDPO_TEST(fields_rows_and_lines)
{
    CHECK_STR(comma("a,b\n1,2\n"), "1:a|b;2:1|2");
    CHECK_STR(comma("a,b\r\n1,2"), "1:a|b;2:1|2");
    CHECK_STR(comma("a,b\r1,2\r"), "1:a|b;1:1|2");
    CHECK_STR(comma("\xef\xbb\xbf"
                    "a\n\n\r\nb\n"),
              "1:a;4:b");
    CHECK_STR(comma(",\n a , b \n"), "1:|;2: a | b ");
    CHECK_STR(comma(""), "");
    CHECK_STR(comma("\n\n"), "");
}

BDPO_TEST(quotes)
{
    CHECK_STR(comma("\"a,\"\"b\"\"\",c\n"), "1:a,\"b\"|c");
    CHECK_STR(comma("\"two\nlines\",x\ny\n"), "1:two\nlines|x;3:y");
    CHECK_STR(comma("\"two\r\nlines\"\r\ny\r\n"), "1:two\r\nlines;3:y");
    CHECK_STR(comma("5\" screen,x\n"), "1:5\" screen|x");
    CHECK_STR(comma("\"\"\n\"\",\"\"\n"), "1:;2:|");
}

BDPO_TEST(a_quote_that_is_never_closed)
{
    CHECK_STR(comma("a\nb,\"c\nd\n"), "1:a;2:!opens a quote that is never closed");
    CHECK_STR(comma("a\n\""), "1:a;2:!opens a quote that is never closed");
}

BDPO_TEST(tab_separated_is_raw)
{
    CHECK_STR(tab("P\tC\n\"G I\" G\tx\n\"all\"\ty\n"), "1:P|C;2:\"G I\" G|x;3:\"all\"|y");
    CHECK_STR(tab("P\tC\r\n\t\r\n"), "1:P|C;2:|");
    CHECK_STR(tab("P\n\"a \"\"b\"\" c\"\n"), "1:P;2:a \"b\" c");
    CHECK_STR(tab("\"P\"\n\"a\"\n"), "1:P;2:a");
    CHECK_STR(tab("P\tC\n\"a\tb\"\tc\n"), "1:P|C;2:a\tb|c");
    CHECK_STR(tab("P\tC\n\"a\tb \"c\" d\n"), "1:P|C;2:\"a|b \"c\" d");
    CHECK_STR(tab("P\n\"\"\n\"a\"\"\n"), "1:P;2:\"\";3:\"a\"\"");
}

BDPO_TEST(a_zero_byte_is_given)
{
    char path[64];
    const bdpo_csv_row *row;
    bdpo_csv *csv;
    snprintf(path, sizeof path, "/tmp/bdpo-csv-%ld", (long)getpid());
    CHECK_OK(bdpo_file_write(path, "a\0b,c\n", 6));
    CHECK_OK(bdpo_csv_open(&csv, path, ','));
    CHECK_OK(bdpo_csv_next(&row, csv));
    CHECK_INT(row->n_fields, 2);
    CHECK_INT(row->lengths[0], 3);
    CHECK_BYTES(row->fields[0], "a\0b", 4);
    bdpo_csv_close(csv);
    unlink(path);
}

static void put_text(char *at, const char *text)
{
    while (*text) *at++ = *text++;
}

static char *big_text(size_t size)
{
    char *text = bdpo_alloc(size + 1, 1);
    CHECK(text != NULL);
    memset(text, 'x', size);
    return text;
}

BDPO_TEST(a_row_of_20_MiB_is_a_fault_and_the_next_is_read)
{
    enum { SIZE = 20 << 20 };
    char *text = big_text(SIZE);
    put_text(text, "a\n\"y\n");
    put_text(text + SIZE - 4, "\nz\n");
    CHECK_CONTAINS(rows_of(text, SIZE - 1, ','), "1:a;2:!has more than 16 MiB");
    CHECK_CONTAINS(rows_of(text, SIZE - 1, ','), ":z");
    CHECK_STR(rows_of(text, SIZE - 1, '\t'), "1:a;2:\"y;3:!has more than 16 MiB;4:z");
    bdpo_free(text);
}

BDPO_TEST(seek_goes_back)
{
    char path[64];
    const bdpo_csv_row *row;
    bdpo_csv *csv;
    snprintf(path, sizeof path, "/tmp/bdpo-csv-%ld", (long)getpid());
    CHECK_OK(bdpo_file_write(path, "a\n\"b\nb\"\nc\n", 11));
    CHECK_OK(bdpo_csv_open(&csv, path, ','));
    CHECK_OK(bdpo_csv_next(&row, csv));
    CHECK_OK(bdpo_csv_next(&row, csv));
    uint64_t offset = row->offset;
    CHECK_INT(offset, 2);
    do CHECK_OK(bdpo_csv_next(&row, csv));
    while (row);
    CHECK_OK(bdpo_csv_seek(csv, offset, 2));
    CHECK_OK(bdpo_csv_next(&row, csv));
    CHECK_STR(row->fields[0], "b\nb");
    CHECK_INT(row->line, 2);
    CHECK_OK(bdpo_csv_next(&row, csv));
    CHECK_STR(row->fields[0], "c");
    CHECK_INT(row->line, 4);
    bdpo_csv_close(csv);
    unlink(path);
}

BDPO_TEST(what_is_put_is_read_again)
{
    static const char *const fields[] = {"a",      "",     " b ",    "c,d",  "\"",
                                         "e\"\"f", "g\nh", "i\r\nj", "5\" k"};
    bdpo_growing text = {0};
    char expected[256] = "1:";
    size_t n = 2;
    for (size_t i = 0; i < BDPO_COUNTOF(fields); i++) {
        if (i > 0) CHECK(bdpo_growing_add(&text, ",", 1));
        CHECK(bdpo_csv_put(&text, fields[i], strlen(fields[i]), ','));
        n += (size_t)snprintf(expected + n, sizeof expected - n, "%s%s", i ? "|" : "", fields[i]);
    }
    CHECK(bdpo_growing_add(&text, "\n", 1));
    CHECK_STR(rows_of((const char *)text.data, text.size, ','), expected);
    bdpo_free(text.data);
}
