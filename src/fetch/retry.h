// When to ask a server again, how long to wait before, and what its refusals mean in words.
#ifndef BDPO_FETCH_RETRY_H
#define BDPO_FETCH_RETRY_H

#include "fetch/download.h"

typedef struct bdpo_retry {
    int tries;    // since the last progress
    int64_t best; // bytes that one transfer reached
} bdpo_retry;

// What a finished request means: OK for 200 and 206, else a failure with its sentence; *again tells
// that another try may help. `status` is what bdpo_http_get gave.
BDPO_MUST_CHECK bdpo_status bdpo_retry_judge(bool *again, bdpo_status status,
                                             const bdpo_http_reply *reply,
                                             const bdpo_download *what);

// Waits before the next try; `done` bytes are here now. Fails with the sentence that led here, and
// the number of tries, when there were too many without progress or the server asks for too long a
// wait.
BDPO_MUST_CHECK bdpo_status bdpo_retry_wait(bdpo_retry *retry, int64_t done,
                                            const bdpo_http_reply *reply,
                                            const bdpo_fetch_options *options);

// Sleeps; INTERRUPTED when asked to end.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_sleep(double seconds, const bdpo_fetch_options *options);

#endif
