// What the forms share.
#include "data/record_form.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/runes.h"

// A character that is no printable one, or is cut off: each of its bytes becomes '?'.
void bdpo_make_line(char *text)
{
    size_t size = strlen(text), at = 0;
    while (at < size) {
        bool well_formed;
        size_t begin = at;
        uint32_t rune = bdpo_utf8_next((const unsigned char *)text, size, &at, &well_formed);
        if (!well_formed || rune < 0x20 || (rune >= 0x7f && rune < 0xa0))
            memset(text + begin, '?', at - begin);
    }
}

void bdpo_row_begin(bdpo_row *row, int64_t index)
{
    row->kind = BDPO_ROW_RECORD;
    row->record = (bdpo_record){.index = index, .label = NAN, .ranking_id = -1};
    row->place[0] = row->message[0] = '\0';
    row->n_rows = 0;
}

void bdpo_row_drop(bdpo_row *row, bdpo_drop reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(row->message, sizeof row->message, format, args);
    va_end(args);
    bdpo_make_line(row->message);
    bdpo_make_line(row->place);
    row->kind = BDPO_ROW_DROPPED;
    row->reason = reason;
}

void bdpo_row_drop_by_message(bdpo_row *row, bdpo_drop reason)
{
    const char *message = bdpo_message();
    size_t length = strlen(row->place);
    if (length > 0 && strncmp(message, row->place, length) == 0) {
        message += length;
        message += strspn(message, ": ");
    }
    bdpo_row_drop(row, reason, "%s", message);
}

bdpo_status bdpo_form_check_index(int64_t index, int64_t n)
{
    if (index >= 0 && index < n) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "row %jd, expected 0 to %jd", (intmax_t)index,
                     (intmax_t)n - 1);
}
