// One line at a time; the file's own lock keeps lines and the progress bar apart.
#include "base/log.h"

#include <stdarg.h>
#include <unistd.h>

void bdpo_log_init(bdpo_log *out, FILE *file, bdpo_log_level level)
{
    *out = (bdpo_log){.file = file, .level = level, .terminal = isatty(fileno(file)) == 1};
}

bool bdpo_log_wants(const bdpo_log *log, bdpo_log_level level)
{
    return log && level <= log->level;
}

void bdpo_log_write(bdpo_log *log, bdpo_log_level level, const char *format, ...)
{
    static const char *const words[] = {"error: ", "warning: ", "", ""};
    char text[2048];
    if (!bdpo_log_wants(log, level)) return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    flockfile(log->file);
    // The bar is redrawn below by its next update.
    fprintf(log->file, "%s%s%s%s\n", log->bar_shown ? "\r\033[K" : "", log->prefix, words[level],
            text);
    log->bar_shown = false;
    fflush(log->file);
    funlockfile(log->file);
}
