// Where files are looked for and put, and from which hosts they come: all of it from the
// environment, read once.
#ifndef BDPO_FETCH_PLACES_H
#define BDPO_FETCH_PLACES_H

#include "base/file.h"
#include "fetch/catalogue.h"

typedef struct bdpo_fetch_places {
    char hub_cache[BDPO_PATH_BYTES]; // of Hugging Face's libraries; may not exist
    char cache[BDPO_PATH_BYTES];     // ours; made when the first file comes
    char hub[256], github[256];      // "https://huggingface.co"; no slash at the end
    char token[512];                 // for the hub; "" for none
    bool offline;                    // HF_HUB_OFFLINE: nothing is downloaded
} bdpo_fetch_places;

// HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HOME, BDPO_CACHE, HF_ENDPOINT,
// BDPO_GITHUB_ENDPOINT, HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_places_read(bdpo_fetch_places *out);

// The directory of a source in our cache, whether it is there or not.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_our_directory(char out[BDPO_PATH_BYTES],
                                                     const bdpo_fetch_places *places,
                                                     const bdpo_fetch_source *source);

#endif
