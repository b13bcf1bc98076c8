// A window of the file, and the line that is copied out of it.
#include "formats/line_reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "formats/growing.h"

enum { WINDOW_BYTES = 64 * 1024 };

struct bdpo_line_reader {
    FILE *file;
    char *path;
    size_t limit;
    bdpo_growing text; // of the line
    bdpo_line line;
    uint64_t offset; // of the next line
    int64_t number;  // of the next line
    size_t at, end;  // of what is unread in the window
    char window[WINDOW_BYTES];
};

static bdpo_status fail_errno(const char *path, const char *action)
{
    int error = errno;
    return bdpo_fail(error == ENOENT ? BDPO_NOT_FOUND : BDPO_IO, "%s: cannot %s: %s", path, action,
                     strerror(error));
}

static bdpo_status fill(bdpo_line_reader *r)
{
    r->at = 0;
    r->end = fread(r->window, 1, sizeof r->window, r->file);
    return r->end == 0 && ferror(r->file) ? fail_errno(r->path, "read") : BDPO_OK;
}

static bdpo_status pass_byte_order_mark(bdpo_line_reader *r)
{
    TRY(fill(r));
    if (r->end >= 3 && memcmp(r->window, "\xef\xbb\xbf", 3) == 0) r->at = 3;
    r->offset = r->at;
    return BDPO_OK;
}

bdpo_status bdpo_line_reader_open(bdpo_line_reader **out, const char *path, size_t limit)
{
    bdpo_line_reader *r = bdpo_alloc(1, sizeof *r);
    char *copy = bdpo_alloc(strlen(path) + 1, 1);
    bdpo_status status = BDPO_OK;
    if (!r || !copy) {
        bdpo_free(copy);
        bdpo_free(r);
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its lines", path);
    }
    memcpy(copy, path, strlen(path) + 1);
    r->path = copy;
    r->limit = limit;
    r->number = 1;
    r->file = fopen(path, "rbe");
    status = r->file ? pass_byte_order_mark(r) : fail_errno(path, "open");
    if (status != BDPO_OK) {
        bdpo_line_reader_close(r);
        return status;
    }
    *out = r;
    return BDPO_OK;
}

void bdpo_line_reader_close(bdpo_line_reader *r)
{
    if (!r) return;
    if (r->file) fclose(r->file);
    bdpo_free(r->text.data);
    bdpo_free(r->path);
    bdpo_free(r);
}

const char *bdpo_line_reader_path(const bdpo_line_reader *r)
{
    return r->path;
}

// Adds what the window holds of the line; *ended where it holds its end.
static bdpo_status take(bdpo_line_reader *r, bool *ended)
{
    const char *from = r->window + r->at;
    size_t size = r->end - r->at;
    const char *newline = memchr(from, '\n', size);
    if (newline) size = (size_t)(newline - from) + 1;
    size_t room = r->limit + 2 - (r->text.size < r->limit + 2 ? r->text.size : r->limit + 2);
    if (!bdpo_growing_add(&r->text, from, size < room ? size : room))
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for line %jd", r->path,
                         (intmax_t)r->number);
    r->at += size;
    r->offset += size;
    *ended = newline != NULL;
    return BDPO_OK;
}

// Sizes and the closing zero of a line whose bytes are all here.
static bdpo_status finish(bdpo_line_reader *r)
{
    bdpo_line *line = &r->line;
    size_t size = r->text.size;
    if (!bdpo_growing_add(&r->text, "", 1))
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for line %jd", r->path,
                         (intmax_t)r->number);
    line->text = (char *)r->text.data;
    line->full_size = size;
    if (size > 0 && line->text[size - 1] == '\n') {
        size--;
        if (size > 0 && line->text[size - 1] == '\r') size--;
    }
    line->size = size;
    line->too_long = size > r->limit;
    r->number++;
    return BDPO_OK;
}

bdpo_status bdpo_line_reader_next(bdpo_line **out, bdpo_line_reader *r)
{
    bool ended = false;
    uint64_t began = r->offset;
    *out = NULL;
    r->text.size = 0;
    r->line = (bdpo_line){.number = r->number, .offset = r->offset};
    while (!ended) {
        if (r->at == r->end) TRY(fill(r));
        if (r->at == r->end) break;
        TRY(take(r, &ended));
    }
    if (r->offset == began) return BDPO_OK;
    TRY(finish(r));
    *out = &r->line;
    return BDPO_OK;
}

bdpo_status bdpo_line_reader_seek(bdpo_line_reader *r, uint64_t offset, int64_t number)
{
    r->at = r->end = 0;
    r->offset = offset;
    r->number = number;
    if (offset > INT64_MAX || fseeko(r->file, (off_t)offset, SEEK_SET) != 0)
        return fail_errno(r->path, "go back");
    return offset == 0 ? pass_byte_order_mark(r) : BDPO_OK;
}
