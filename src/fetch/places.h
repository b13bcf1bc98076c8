// Where files are looked for and put, and from which hosts they come, as the environment says; and
// what of the catalogue lies there. Nothing here uses the network.
#ifndef BDPO_FETCH_PLACES_H
#define BDPO_FETCH_PLACES_H

#include "base/file.h"
#include "fetch/catalogue.h"

typedef struct bdpo_fetch_places {
    char hub_cache[BDPO_PATH_BYTES]; // of Hugging Face's libraries; may not exist; "": none
    char cache[BDPO_PATH_BYTES];     // ours; made when the first file comes
    char hub[512], github[512];      // "https://huggingface.co"; no slash at the end
    char token[512];                 // for the hub; "": none
    bool offline;                    // HF_HUB_OFFLINE: nothing is downloaded
} bdpo_fetch_places;

// BDPO_CACHE, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HOME; HF_ENDPOINT,
// BDPO_GITHUB_ENDPOINT; HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH; HF_HUB_OFFLINE.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_places_read(bdpo_fetch_places *out);

typedef enum bdpo_fetch_where {
    BDPO_FETCH_MISSING,
    BDPO_FETCH_IN_HUB_CACHE,
    BDPO_FETCH_IN_OURS
} bdpo_fetch_where;
const char *bdpo_fetch_where_name(bdpo_fetch_where where); // "missing", "HF cache", "bdpo cache"

// "models--laion--CLIP-ViT-H-14-laion2B-s32B-b79K" below our cache, and the file that tells what we
// know of a fetched one (fetch/record.h).
BDPO_MUST_CHECK bdpo_status bdpo_fetch_our_directory(char out[BDPO_PATH_BYTES],
                                                     const bdpo_fetch_places *places,
                                                     const bdpo_fetch_source *source);
BDPO_MUST_CHECK bdpo_status bdpo_fetch_our_record(char out[BDPO_PATH_BYTES],
                                                  const bdpo_fetch_places *places,
                                                  const bdpo_fetch_source *source,
                                                  const char *name);

// Where a file of the catalogue is; of several names the first that is there. Hugging Face's cache
// is looked at first, there the snapshot of the revision, then the newest other one that has it.
bdpo_fetch_where bdpo_fetch_locate(char out[BDPO_PATH_BYTES], const bdpo_fetch_places *places,
                                   const bdpo_fetch_source *source, const bdpo_fetch_file *file);
// The shard `index` of a file with a '*', in the order of their names.
bdpo_fetch_where bdpo_fetch_locate_shard(char out[BDPO_PATH_BYTES], const bdpo_fetch_places *places,
                                         const bdpo_fetch_source *source,
                                         const bdpo_fetch_file *file, int index);
// The one directory that has every file of the source.
bdpo_fetch_where bdpo_fetch_locate_whole(char out[BDPO_PATH_BYTES], const bdpo_fetch_places *places,
                                         const bdpo_fetch_source *source);

// The next of the names split by '|': copies it, moves *names behind it; false at the end.
bool bdpo_fetch_next_name(char out[BDPO_PATH_BYTES], const char **names);

#endif
