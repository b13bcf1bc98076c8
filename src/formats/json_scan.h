// A strict JSON scanner for headers of up to 100 MB: it builds no tree, so that a forged header
// takes no more memory than its own size. Configurations are read by formats/json.h.
#ifndef BDPO_JSON_SCAN_H
#define BDPO_JSON_SCAN_H

#include "base/memory.h"

typedef struct bdpo_json_scan {
    const char *path; // for messages
    const char *begin, *at, *end;
    bdpo_arena *arena; // of the strings that it hands out
} bdpo_json_scan;

// "PATH: header, byte 17: found 'x', expected WHAT", at the next thing to read.
BDPO_MUST_CHECK bdpo_status bdpo_json_scan_fail(bdpo_json_scan *scan, const char *expected);

// Each of these passes white space first. Take: whether the next character is c, which is consumed.
bool bdpo_json_scan_take(bdpo_json_scan *scan, char c);
// The same, but another character is BDPO_BAD_FILE.
BDPO_MUST_CHECK bdpo_status bdpo_json_scan_expect(bdpo_json_scan *scan, char c);
// A string, unescaped, zero-terminated, in the arena. A zero character in it is refused.
BDPO_MUST_CHECK bdpo_status bdpo_json_scan_string(bdpo_json_scan *scan, const char **out);
// An integer without sign, fraction or exponent, below 2^64.
BDPO_MUST_CHECK bdpo_status bdpo_json_scan_u64(bdpo_json_scan *scan, uint64_t *out);
// Any value, checked and dropped; nested at most 127 deep.
BDPO_MUST_CHECK bdpo_status bdpo_json_scan_skip(bdpo_json_scan *scan);
// Nothing but white space is left.
BDPO_MUST_CHECK bdpo_status bdpo_json_scan_finish(bdpo_json_scan *scan);

#endif
