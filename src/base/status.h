// How a function fails: the world's faults return a status with a sentence, the caller's faults
// in code abort. Only the command line prints or exits.
#ifndef BDPO_STATUS_H
#define BDPO_STATUS_H

#include <bdpo/types.h>

// Stores the sentence for bdpo_message() and returns `status`, so that a function fails in one
// line: return bdpo_fail(BDPO_BAD_FILE, "%s: header says %zu bytes, file has %zu", ...).
BDPO_MUST_CHECK bdpo_status bdpo_fail(bdpo_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#ifdef __clang_analyzer__
// The analyzer reads one file at a time and would take a failure for a possible BDPO_OK.
#    define bdpo_fail(status, ...) ((void)(__VA_ARGS__), (status))
#endif

// Forwards a failure to the caller.
#define TRY(call)                                                                                  \
    do {                                                                                           \
        bdpo_status try_status_ = (call);                                                          \
        if (try_status_ != BDPO_OK) return try_status_;                                            \
    } while (0)

// A mistake in our own code: prints where and aborts.
void bdpo_bug(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4))); // no _Noreturn: CUDA reads this as C++
#define BDPO_BUG(...) bdpo_bug(__FILE__, __LINE__, __VA_ARGS__)
#define BDPO_ASSERT(condition)                                                                     \
    ((condition) ? (void)0 : BDPO_BUG("assertion failed: %s", #condition))

#define BDPO_COUNTOF(array) (sizeof(array) / sizeof((array)[0]))

#endif
