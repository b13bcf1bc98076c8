// What the forms share.
#include "data/record_form.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
    row->kind = BDPO_ROW_DROPPED;
    row->reason = reason;
}

void bdpo_row_drop_by_message(bdpo_row *row, bdpo_drop reason)
{
    const char *message = bdpo_message();
    size_t length = strlen(row->place);
    if (length > 0 && strncmp(message, row->place, length) == 0) {
        message += length;
        while (*message == ':' || *message == ' ') message++;
    }
    bdpo_row_drop(row, reason, "%s", message);
}

bdpo_status bdpo_form_check_index(int64_t index, int64_t n)
{
    if (index >= 0 && index < n) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "row %jd, expected 0 to %jd", (intmax_t)index,
                     (intmax_t)n - 1);
}
