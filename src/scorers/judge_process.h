// A program that is started once and spoken to in lines: what it reads is put, what it writes is
// got. Both pipes are served at the same time, so that neither side can block the other.
#ifndef BDPO_JUDGE_PROCESS_H
#define BDPO_JUDGE_PROCESS_H

#include "base/status.h"

typedef struct bdpo_judge bdpo_judge;

enum { BDPO_JUDGE_MAX_LINE = 1 << 20 };

// Starts argv[0], which is looked for in PATH; argv ends in NULL. Its errors go where ours go. *out
// is the caller's, ended by bdpo_judge_stop(). NOT_FOUND where it cannot be started.
BDPO_MUST_CHECK bdpo_status bdpo_judge_start(bdpo_judge **out, char *const argv[]);

// Adds bytes to what the program will read; they are sent while lines are got.
BDPO_MUST_CHECK bdpo_status bdpo_judge_put(bdpo_judge *judge, const char *text, size_t size);

// The next line, without its end; borrowed until the next call. IO says why there is none: the
// program ended (how), nothing came for `timeout_s` seconds, or the line is too long.
BDPO_MUST_CHECK bdpo_status bdpo_judge_get(const char **line, size_t *size, bdpo_judge *judge,
                                           double timeout_s);

// Closes what it reads, waits for its end for `patience_s` seconds, then kills it. NULL is fine.
void bdpo_judge_stop(bdpo_judge *judge, double patience_s);

#endif
