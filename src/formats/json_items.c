// Lines come from the line reader; elements from a scanner that knows strings and brackets only,
// and leaves it to the parser to judge what is between.
#include "formats/json_items.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "formats/growing.h"
#include "formats/line_reader.h"

enum { WINDOW_BYTES = 64 * 1024 };

struct bdpo_json_items {
    bdpo_line_reader *lines; // NULL: an array
    char *path;
    FILE *file;
    bdpo_growing text;
    bdpo_json_item item;
    uint64_t begin;    // of the first element or line
    int64_t number;    // of the next element
    uint64_t offset;   // of the next byte
    bool first, ended; // nothing was read of the array; nothing more is to be read
    size_t at, end;    // of what is unread in the window
    char window[WINDOW_BYTES];
};

static bdpo_status fail_errno(const bdpo_json_items *s, const char *action)
{
    int error = errno;
    return bdpo_fail(error == ENOENT ? BDPO_NOT_FOUND : BDPO_IO, "%s: cannot %s: %s", s->path,
                     action, strerror(error));
}

// ---- bytes ---------------------------------------------------------------------------------

// *c is the next byte, not passed yet; -1 at the end.
static bdpo_status peek(bdpo_json_items *s, int *c)
{
    if (s->at == s->end) {
        s->at = 0;
        s->end = fread(s->window, 1, sizeof s->window, s->file);
        if (s->end == 0 && ferror(s->file)) return fail_errno(s, "read");
    }
    *c = s->at < s->end ? (unsigned char)s->window[s->at] : -1;
    return BDPO_OK;
}

static void pass(bdpo_json_items *s)
{
    s->at++;
    s->offset++;
}

static bdpo_status peek_behind_space(bdpo_json_items *s, int *c)
{
    for (;;) {
        TRY(peek(s, c));
        if (*c != ' ' && *c != '\t' && *c != '\n' && *c != '\r') return BDPO_OK;
        pass(s);
    }
}

// ---- elements ------------------------------------------------------------------------------

typedef struct scanner {
    int64_t depth;
    bool in_string, escaped;
} scanner;

// Whether c belongs to the element: false for the comma or bracket behind it.
static bool belongs(scanner *n, int c)
{
    if (n->in_string) {
        if (n->escaped)
            n->escaped = false;
        else if (c == '\\')
            n->escaped = true;
        else if (c == '"')
            n->in_string = false;
        return true;
    }
    if (n->depth == 0 && (c == ',' || c == ']' || c == '}')) return false;
    if (c == '"') n->in_string = true;
    if (c == '[' || c == '{') n->depth++;
    if (c == ']' || c == '}') n->depth--;
    return true;
}

static bdpo_status add(bdpo_json_items *s, const char *bytes, size_t size)
{
    if (s->text.size > BDPO_JSON_ITEM_MAX) return BDPO_OK;
    if (!bdpo_growing_add(&s->text, bytes, size))
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a value", s->path);
    return BDPO_OK;
}

// The bytes up to the comma or the bracket behind the element.
static bdpo_status scan_element(bdpo_json_items *s)
{
    scanner n = {0};
    int c;
    for (;;) {
        TRY(peek(s, &c));
        if (c < 0) break;
        size_t from = s->at;
        while (s->at < s->end && belongs(&n, (unsigned char)s->window[s->at])) s->at++;
        TRY(add(s, s->window + from, s->at - from));
        s->offset += s->at - from;
        if (s->at < s->end) return BDPO_OK;
    }
    s->item.fault = "the file ends inside the array";
    s->ended = true;
    return BDPO_OK;
}

static bdpo_status finish_element(bdpo_json_items *s)
{
    if (s->text.size > BDPO_JSON_ITEM_MAX && !s->item.fault) s->item.fault = "has more than 16 MiB";
    if (!bdpo_growing_add(&s->text, "", 1))
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for a value", s->path);
    s->item.text = s->item.fault ? NULL : (const char *)s->text.data;
    s->item.size = s->item.fault ? 0 : s->text.size - 1;
    s->number++;
    return BDPO_OK;
}

// What is wrong between elements; reading ends there.
static void give_fault(const bdpo_json_item **out, bdpo_json_items *s, const char *fault)
{
    s->item = (bdpo_json_item){.number = s->number, .offset = s->offset, .fault = fault};
    s->ended = true;
    *out = &s->item;
}

static bdpo_status end_of_array(const bdpo_json_item **out, bdpo_json_items *s)
{
    int c;
    pass(s);
    TRY(peek_behind_space(s, &c));
    s->ended = true;
    if (c >= 0) give_fault(out, s, "the array is ended, and more follows");
    return BDPO_OK;
}

static bdpo_status next_element(const bdpo_json_item **out, bdpo_json_items *s)
{
    int c;
    if (s->ended) return BDPO_OK;
    TRY(peek_behind_space(s, &c));
    if (c == ']') return end_of_array(out, s);
    if (!s->first) {
        if (c == ',') pass(s);
        if (c != ',') {
            give_fault(out, s, c < 0 ? "the file ends inside the array" : "expected ',' or ']'");
            return BDPO_OK;
        }
        TRY(peek_behind_space(s, &c));
    }
    s->first = false;
    s->text.size = 0;
    s->item = (bdpo_json_item){.number = s->number, .offset = s->offset};
    TRY(scan_element(s));
    TRY(finish_element(s));
    *out = &s->item;
    return BDPO_OK;
}

// ---- lines ---------------------------------------------------------------------------------

static bool is_blank(const char *text, size_t size)
{
    return strspn(text, " \t\r\n") >= size;
}

static bdpo_status next_line(const bdpo_json_item **out, bdpo_json_items *s)
{
    bdpo_line *line;
    do TRY(bdpo_line_reader_next(&line, s->lines));
    while (line && is_blank(line->text, line->size));
    if (!line) return BDPO_OK;
    line->text[line->size] = '\0';
    s->item = (bdpo_json_item){
        .text = line->text,
        .size = line->size,
        .number = line->number,
        .offset = line->offset,
        .fault = line->too_long ? "has more than 16 MiB" : NULL,
    };
    *out = &s->item;
    return BDPO_OK;
}

bdpo_status bdpo_json_items_next(const bdpo_json_item **out, bdpo_json_items *s)
{
    *out = NULL;
    return s->lines ? next_line(out, s) : next_element(out, s);
}

// ---- opening -------------------------------------------------------------------------------

// Past a byte order mark, and past the bracket where there is one.
static bdpo_status begin(bdpo_json_items *s)
{
    int c;
    s->file = fopen(s->path, "rbe");
    if (!s->file) return fail_errno(s, "open");
    TRY(peek(s, &c));
    if (s->end >= 3 && memcmp(s->window, "\xef\xbb\xbf", 3) == 0) s->at = s->offset = 3;
    TRY(peek_behind_space(s, &c));
    if (c != '[') return bdpo_line_reader_open(&s->lines, s->path, BDPO_JSON_ITEM_MAX);
    pass(s);
    s->begin = s->offset;
    s->first = true;
    return BDPO_OK;
}

bdpo_status bdpo_json_items_open(bdpo_json_items **out, const char *path)
{
    bdpo_json_items *s = bdpo_alloc(1, sizeof *s);
    char *copy = bdpo_alloc(strlen(path) + 1, 1);
    if (!s || !copy) {
        bdpo_free(s);
        bdpo_free(copy);
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to read it", path);
    }
    memcpy(copy, path, strlen(path) + 1);
    s->path = copy;
    bdpo_status status = begin(s);
    if (status != BDPO_OK) {
        bdpo_json_items_close(s);
        return status;
    }
    *out = s;
    return BDPO_OK;
}

void bdpo_json_items_close(bdpo_json_items *s)
{
    if (!s) return;
    if (s->file) fclose(s->file);
    bdpo_line_reader_close(s->lines);
    bdpo_free(s->text.data);
    bdpo_free(s->path);
    bdpo_free(s);
}

bool bdpo_json_items_is_array(const bdpo_json_items *s)
{
    return s->lines == NULL;
}

bdpo_status bdpo_json_items_seek(bdpo_json_items *s, uint64_t offset, int64_t number)
{
    if (s->lines) return bdpo_line_reader_seek(s->lines, offset, number);
    s->at = s->end = 0;
    s->offset = offset;
    s->number = number;
    s->first = true; // the bytes there are an element's, not a comma
    s->ended = false;
    if (offset > INT64_MAX || fseeko(s->file, (off_t)offset, SEEK_SET) != 0)
        return fail_errno(s, "go back");
    return BDPO_OK;
}

bdpo_status bdpo_json_items_rewind(bdpo_json_items *s)
{
    if (!s->lines) return bdpo_json_items_seek(s, s->begin, 0);
    return bdpo_line_reader_seek(s->lines, 0, 1);
}
