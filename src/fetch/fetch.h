// Named checkpoints, backbones and prompt sets: where they lie on this disk, and how to get them.
//
// Two places hold files. The cache of Hugging Face's libraries is only read. Ours (BDPO_CACHE, else
// XDG_CACHE_HOME/bdpo, else ~/.cache/bdpo) has one directory for each repository, with the files
// under the names they have there: "models--laion--CLIP-ViT-H-14-laion2B-s32B-b79K/config.json".
#ifndef BDPO_FETCH_H
#define BDPO_FETCH_H

#include "fetch/catalogue.h"
#include "fetch/download.h"
#include "fetch/places.h"

// Where a file of a named thing lies, without network. `file` is the name in the repository or its
// last part ("med_config.json"); of files with several names any of them means the one that is
// here. NULL asks for the thing itself, as bdpo_fetch_find_part() does. NOT_FOUND says which
// command would get it; an unknown name is BAD_ARGUMENT.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_find(char out[BDPO_PATH_BYTES], const char *name,
                                            const char *file);

// The same for what a scorer or a pipeline is made of:
//   MODEL      the directory of a model that is one ("clip-h", "pickscore", "sd15"); where only its
//              weights are here, these; else the file ("hpsv2.1", "aesthetic")
//   TOKENIZER  a directory, or a file: CLIP's packed vocabulary, BERT's vocab.txt. BAD_ARGUMENT
//              where the item has none of its own: look beside the model
//   TOWER      the CLIP model under the aesthetic head
BDPO_MUST_CHECK bdpo_status bdpo_fetch_find_part(char out[BDPO_PATH_BYTES], const char *name,
                                                 bdpo_fetch_role role);

// How much of an item is here: all, a part (*n_here of *n files), nothing; and in which place
// (of several, that of the first file).
typedef struct bdpo_fetch_presence {
    bdpo_fetch_where where; // MISSING unless all is here
    int n_here, n;
} bdpo_fetch_presence;
bdpo_fetch_presence bdpo_fetch_item_presence(const bdpo_fetch_item *item,
                                             const bdpo_fetch_places *places);

// Gets what is missing of an item. What Hugging Face's cache has of a directory that is not whole
// there is linked into ours, so that one directory has all.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_item_get(const bdpo_fetch_item *item,
                                                const bdpo_fetch_places *places,
                                                const bdpo_fetch_options *options);

// Reads what is here of an item and compares with the SHA-256 of the catalogue, of the record, or
// of Hugging Face's cache; *n_checked files had one, *n_unknown none.
BDPO_MUST_CHECK bdpo_status bdpo_fetch_item_check(int *n_checked, int *n_unknown,
                                                  const bdpo_fetch_item *item,
                                                  const bdpo_fetch_places *places,
                                                  const bdpo_fetch_options *options);

// The page of a source in a browser.
typedef struct bdpo_fetch_address {
    char text[1024];
} bdpo_fetch_address;
bdpo_fetch_address bdpo_fetch_page(const bdpo_fetch_places *places,
                                   const bdpo_fetch_source *source);

#endif
