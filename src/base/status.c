// Status texts and the sentence of the last failure, one per thread.
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local char last_message[1024];

const char *bdpo_status_text(bdpo_status status)
{
    static const char *const texts[] = {
#define X(name, text) text,
        BDPO_STATUS_LIST(X)
#undef X
    };
    BDPO_ASSERT((size_t)status < BDPO_COUNTOF(texts));
    return texts[status];
}

const char *bdpo_message(void)
{
    return last_message;
}

#undef bdpo_fail // status.h
bdpo_status bdpo_fail(bdpo_status status, const char *format, ...)
{
    char text[sizeof last_message]; // the arguments may quote the previous message
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(last_message, sizeof last_message, "%s", text);
    return status;
}

void bdpo_bug(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "bdpo: bug at %s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}
