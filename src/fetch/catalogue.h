// What can be fetched by name: scorers, backbones, prompt sets. One table; the documentation
// (docs/getting-models.md) is made from it.
#ifndef BDPO_FETCH_CATALOGUE_H
#define BDPO_FETCH_CATALOGUE_H

#include "base/status.h"

enum { BDPO_FETCH_MAX_FILES = 16, BDPO_FETCH_MAX_SOURCES = 3 };

typedef enum bdpo_fetch_host {
    BDPO_FETCH_HUB_MODEL,   // huggingface.co/REPOSITORY
    BDPO_FETCH_HUB_DATASET, // huggingface.co/datasets/REPOSITORY
    BDPO_FETCH_GITHUB       // raw.githubusercontent.com/REPOSITORY
} bdpo_fetch_host;

typedef enum bdpo_fetch_kind {
    BDPO_FETCH_SCORER,
    BDPO_FETCH_BACKBONE,
    BDPO_FETCH_PROMPTS,
    BDPO_FETCH_PAIRS
} bdpo_fetch_kind;

// A file of a repository. `path` may hold several names for the same content, best first, split by
// '|' (any of them serves), or wildcards (all that match are wanted).
typedef struct bdpo_fetch_file {
    const char *path;
    int64_t size; // 0: unknown
    const char
        *sha256; // NULL: unknown until fetched; the size beside a hash is exact, else rounded
} bdpo_fetch_file;

typedef struct bdpo_fetch_source {
    bdpo_fetch_host host;
    const char *repository; // "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
    const char *earlier;    // another name of it under which a cache may hold it; or NULL
    const char *revision;   // a branch or commit
    bool directory;         // used as a directory; else the first file is what is used
    bdpo_fetch_file files[BDPO_FETCH_MAX_FILES]; // ended by a NULL path
} bdpo_fetch_source;

typedef struct bdpo_fetch_item {
    const char *name;
    bdpo_fetch_kind kind;
    const char *licence, *use; // "MIT"; what for, in a few words
    bool gated;                // its licence has to be accepted on the site, with an account
    bdpo_fetch_source sources[BDPO_FETCH_MAX_SOURCES]; // the thing itself first
} bdpo_fetch_item;

int bdpo_fetch_count(void);
const bdpo_fetch_item *bdpo_fetch_item_at(int index);
// NULL where there is none; *nearest (may be NULL) is then the name that looks most like it.
const bdpo_fetch_item *bdpo_fetch_item_find(const char *name, const char **nearest);

const char *bdpo_fetch_kind_name(bdpo_fetch_kind kind);    // "scorer"
int64_t bdpo_fetch_item_size(const bdpo_fetch_item *item); // rounded where files are; 0: unknown

#endif
