// What can be fetched by name: scorers, backbones, prompt sets. One table; the documentation
// (docs/getting-models.md) is made from it.
#ifndef BDPO_FETCH_CATALOGUE_H
#define BDPO_FETCH_CATALOGUE_H

#include "base/status.h"

enum { BDPO_FETCH_MAX_FILES = 20, BDPO_FETCH_MAX_SOURCES = 3 };

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

// What a source is to its item.
typedef enum bdpo_fetch_role {
    BDPO_FETCH_MODEL,     // the thing itself: always the first source
    BDPO_FETCH_TOKENIZER, // a folder, or a vocabulary
    BDPO_FETCH_TOWER      // the model under a head
} bdpo_fetch_role;

// A file of a repository. `path` may hold several names, best first, split by '|', of which any one
// serves; or a '*', and then all shards that match are wanted ("x-*-of-*.parquet": a shard's name
// tells how many there are).
typedef struct bdpo_fetch_file {
    const char *path;
    int64_t size;       // exact where there is a hash, else rounded; 0: some kB; -1: unknown
    const char *sha256; // NULL: unknown until fetched
} bdpo_fetch_file;

typedef struct bdpo_fetch_source {
    bdpo_fetch_role role;
    bdpo_fetch_host host;
    const char *repository; // "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
    const char *earlier;    // another name under which a cache may hold it; NULL: none
    const char *revision;   // a branch or commit
    bool directory;         // used as a directory; else its files are used one by one
    bdpo_fetch_file files[BDPO_FETCH_MAX_FILES]; // ended by a NULL path
} bdpo_fetch_source;

typedef struct bdpo_fetch_item {
    const char *name;
    bdpo_fetch_kind kind;
    const char *licence, *use;
    bdpo_fetch_source sources[BDPO_FETCH_MAX_SOURCES]; // ended by a NULL repository
} bdpo_fetch_item;

int bdpo_fetch_count(void);
const bdpo_fetch_item *bdpo_fetch_item_at(int index);
// BAD_ARGUMENT names the item that looks most alike.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_item_find(const bdpo_fetch_item **out, const char *name);

int bdpo_fetch_source_count(const bdpo_fetch_item *item);
int bdpo_fetch_file_count(const bdpo_fetch_source *source);
const char *bdpo_fetch_kind_name(bdpo_fetch_kind kind);    // "scorer"
int64_t bdpo_fetch_item_size(const bdpo_fetch_item *item); // -1 where that of one is unknown

#endif
