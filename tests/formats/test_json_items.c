// JSON lines and the elements of an array, one at a time.
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/json_items.h"
#include "harness.h"

static const char *path(void)
{
    static char text[64];
    snprintf(text, sizeof text, "/tmp/bdpo-items-%ld", (long)getpid());
    return text;
}

// "number:text" of each item, or "number!fault", separated by '|'.
static const char *items_of(const char *text)
{
    static char out[2048];
    const bdpo_json_item *item;
    bdpo_json_items *items;
    size_t n = 0;
    out[0] = '\0';
    CHECK_OK(bdpo_file_write(path(), text, strlen(text)));
    CHECK_OK(bdpo_json_items_open(&items, path()));
    for (;;) {
        CHECK_OK(bdpo_json_items_next(&item, items));
        if (!item) break;
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%d%s%s", n ? "|" : "", (int)item->number,
                              item->fault ? "!" : ":", item->fault ? item->fault : item->text);
        if (!item->fault) CHECK_INT(strlen(item->text), item->size);
    }
    bdpo_json_items_close(items);
    unlink(path());
    return out;
}

BDPO_TEST(lines)
{
    CHECK_STR(items_of("{\"a\":1}\n\n{\"b\":2}\r\n {}"), "1:{\"a\":1}|3:{\"b\":2}|4: {}");
    CHECK_STR(items_of(""), "");
    CHECK_STR(items_of("\xef\xbb\xbf{}\n"), "1:{}");
}

BDPO_TEST(elements)
{
    CHECK_STR(items_of(" [1, {\"a\":[2,\"]\\\"},\"]} ,\n\"x,y\"]\n"),
              "0:1|1:{\"a\":[2,\"]\\\"},\"]} |2:\"x,y\"");
    CHECK_STR(items_of("[]"), "");
    CHECK_STR(items_of("\xef\xbb\xbf[ ]\n "), "");
    CHECK_STR(items_of("[1"), "0!the file ends inside the array");
    CHECK_STR(items_of("["), "0!the file ends inside the array");
    CHECK_STR(items_of("[1,"), "0:1|1!the file ends inside the array");
    CHECK_STR(items_of("[1}"), "0:1|1!expected ',' or ']'");
    CHECK_STR(items_of("[1] 2"), "0:1|1!the array is ended, and more follows");
    CHECK_STR(items_of("[1,]"), "0:1|1:");
    CHECK_STR(items_of("[\"]"), "0!the file ends inside the array");
}

BDPO_TEST(seek_and_rewind)
{
    static const char *const texts[] = {"[{\"a\":1}, {\"b\":2},{\"c\":3}]",
                                        "\xef\xbb\xbf{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n"};
    for (size_t k = 0; k < BDPO_COUNTOF(texts); k++) {
        const bdpo_json_item *item;
        bdpo_json_items *items;
        CHECK_OK(bdpo_file_write(path(), texts[k], strlen(texts[k])));
        CHECK_OK(bdpo_json_items_open(&items, path()));
        CHECK_OK(bdpo_json_items_next(&item, items));
        CHECK_OK(bdpo_json_items_next(&item, items));
        uint64_t offset = item->offset;
        int64_t number = item->number;
        do CHECK_OK(bdpo_json_items_next(&item, items));
        while (item);
        CHECK_OK(bdpo_json_items_seek(items, offset, number));
        CHECK_OK(bdpo_json_items_next(&item, items));
        CHECK_STR(item->text, "{\"b\":2}");
        CHECK_INT(item->number, number);
        CHECK_OK(bdpo_json_items_next(&item, items));
        CHECK_STR(item->text, "{\"c\":3}");
        CHECK_OK(bdpo_json_items_rewind(items));
        CHECK_OK(bdpo_json_items_next(&item, items));
        CHECK_STR(item->text, "{\"a\":1}");
        bdpo_json_items_close(items);
    }
    unlink(path());
}

static void put_text(char *at, const char *text)
{
    while (*text) *at++ = *text++;
}

BDPO_TEST(a_value_of_20_MiB_is_a_fault_and_the_next_is_read)
{
    enum { SIZE = 20 << 20 };
    char *text = bdpo_alloc(SIZE + 1, 1);
    CHECK(text != NULL);
    memset(text, 'x', SIZE);
    put_text(text, "[\"");
    put_text(text + SIZE - 5, "\", 7]");
    CHECK_STR(items_of(text), "0!has more than 16 MiB|1:7");
    put_text(text, "{\"");
    put_text(text + SIZE - 5, "\"}\n7\n");
    CHECK_STR(items_of(text), "1!has more than 16 MiB|2:7");
    bdpo_free(text);
}
