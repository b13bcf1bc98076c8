// The files of a repository of the hub whose names match a pattern, with sizes and SHA-256 as the
// hub's interface lists them: for data sets, whose shards have hashes in their names.
#ifndef BDPO_FETCH_HUB_LISTING_H
#define BDPO_FETCH_HUB_LISTING_H

#include "base/memory.h"
#include "fetch/download.h"

typedef struct bdpo_hub_file {
    const char *path; // inside the repository; checked: it leads nowhere else
    int64_t size;
    bdpo_sha256_text sha256; // "" for small files
} bdpo_hub_file;

typedef struct bdpo_hub_listing {
    bdpo_arena *arena;
    bdpo_hub_file *files;
    int count, capacity;
} bdpo_hub_listing;

// `what` tells address (of the first page), token and label. *out is released by
// bdpo_hub_listing_free() in any case.
BDPO_MUST_CHECK bdpo_status bdpo_hub_listing_get(bdpo_hub_listing *out, const char *pattern,
                                                 const bdpo_download *what, bdpo_http *http,
                                                 const bdpo_fetch_options *options);
void bdpo_hub_listing_free(bdpo_hub_listing *listing);

// One page, for tests: adds what matches.
BDPO_MUST_CHECK bdpo_status bdpo_hub_listing_parse(bdpo_hub_listing *out, const char *pattern,
                                                   const char *text, size_t size, const char *name);

#endif
