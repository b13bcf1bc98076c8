// One file from an address to a name on this disk. Until it is whole and its SHA-256 is as it
// should be, it lies under NAME.part beside; what can be told about the content stands in
// NAME.part.tag, so that another run goes on where this one ended. NAME itself comes into being by
// a rename.
//
// Two processes that want the same file: one waits for the other (a lock on the part).
#ifndef BDPO_FETCH_DOWNLOAD_H
#define BDPO_FETCH_DOWNLOAD_H

#include "base/log.h"
#include "fetch/http.h"
#include "fetch/record.h"

typedef struct bdpo_download {
    const char *url;
    const char *path;   // of the file
    const char *record; // of its record (fetch/record.h); NULL: none is kept
    const char *label;  // in talk and messages
    const char *sha256; // that the content must have; NULL: unknown
    const char *proof;  // who says so: "catalogue", "user"
    int64_t size;       // of the content, exactly; 0: unknown
    const char *token;  // "" for none
    const char *page;   // of the repository, where its licence can be accepted; NULL: none
    bool http_allowed;  // without TLS
} bdpo_download;

typedef struct bdpo_fetch_options {
    bdpo_log *log;             // talk and progress; NULL: silence
    bool (*interrupted)(void); // asked often; true ends with INTERRUPTED and a part to resume
    int max_tries;             // in a row that bring no new byte; 0: 6
    double backoff_s;          // before the second try, doubled each time; 0: 1 s
    double stall_s;            // without a byte until a transfer counts as broken; 0: 30 s
} bdpo_fetch_options;

// The options with the usual values for zeros.
bdpo_fetch_options bdpo_fetch_options_settle(const bdpo_fetch_options *options);

// `options` are settled ones. NOT_FOUND where the server says 404. Messages name what was asked
// for, what came and what to do; they are complete without a context.
BDPO_MUST_CHECK bdpo_status bdpo_download_file(const bdpo_download *what, bdpo_http *http,
                                               const bdpo_fetch_options *options);

// The same for a short text, into memory; *out is the caller's, released by bdpo_free().
// `next` (1024 bytes) is the address of the page that follows, or "".
BDPO_MUST_CHECK bdpo_status bdpo_download_text(char **out, size_t *size, char next[1024],
                                               const bdpo_download *what, bdpo_http *http,
                                               const bdpo_fetch_options *options);

#endif
