// Named checkpoints, backbones and prompt sets: where they lie on this disk, and how to get them.
//
// Two places hold files. The cache of Hugging Face's libraries is only read. Ours (BDPO_CACHE, else
// XDG_CACHE_HOME/bdpo, else ~/.cache/bdpo) has one directory for each repository, with the files
// under the names they have there: "models--laion--CLIP-ViT-H-14-laion2B-s32B-b79K/config.json".
#ifndef BDPO_FETCH_H
#define BDPO_FETCH_H

#include "base/file.h"
#include "base/log.h"
#include "fetch/catalogue.h"
#include "fetch/places.h"

// Where a file of a named thing lies, without network: "pickscore" -> its weights. `file` is the
// last part of a name ("ImageReward.pt") or the name in the repository; NULL asks for the thing
// itself: the directory of a model that is a directory ("clip-h", "pickscore", "sd15"), else its
// file ("hpsv2.1", "aesthetic"). NOT_FOUND says which command would get it; an unknown name is
// BAD_ARGUMENT and lists the nearest.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_find(char out[BDPO_PATH_BYTES], const char *name,
                                            const char *file);

// How to download. All zero is the usual way.
typedef struct bdpo_fetch_options {
    bdpo_log *log;             // talk and progress; NULL: silence
    bool (*interrupted)(void); // asked often; true ends with INTERRUPTED and a file to resume
    int max_tries;             // in a row that bring no new byte; 0: 6
    double backoff_s;          // before the second try, doubled each time; 0: 1 s
    double stall_s;            // without a byte until a transfer counts as broken; 0: 30 s
} bdpo_fetch_options;

// Gets what is missing of an item. What Hugging Face's cache has of a directory that is not whole
// there is linked into ours, so that one directory has all.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_item_get(const bdpo_fetch_item *item,
                                                const bdpo_fetch_places *places,
                                                const bdpo_fetch_options *options);

#endif
