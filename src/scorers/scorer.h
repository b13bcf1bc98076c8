// A scorer: something that gives a picture, or a picture and its prompt, a number. It has a name, a
// checkpoint known by its hash, and settings; the three together say whose number it is.
//
// A scorer is a *family* (a source file: how a score is computed) and a *configuration* (JSON: of
// which files, with which tokenizer and preprocessing). Named presets are configurations that are
// built in; a file of the same form makes a new scorer:
//
//     {"name": "my-clip", "family": "clip", "checkpoint": "ViT-B-32", "pipeline": "open-clip",
//      "preprocess": "torchvision", "scale": "cosine"}
//
// docs/scorers.md lists presets, families and fields.
#ifndef BDPO_SCORER_H
#define BDPO_SCORER_H

#include <bdpo/engine.h>

#include "base/memory.h"
#include "data/preprocess.h"
#include "formats/json.h"

typedef struct bdpo_scorer bdpo_scorer;

typedef struct bdpo_scorer_info {
    const char *name;       // "hpsv2.1": the version is part of it
    const char *family;     // "clip"
    const char *checkpoint; // path of the weights; of an external scorer its command
    const char *sha256;     // of the weights' file; docs/scorers.md says of what where there is
                            // no single file
    const char *settings;   // JSON, one line, keys sorted: all else that changes the number
    bool reads_prompt;      // else the score is the picture's alone
} bdpo_scorer_info;

// What the user asks for.
typedef struct bdpo_scorer_request {
    const char *name;       // a preset, or the path of a configuration (ends in ".json")
    const char *checkpoint; // a file or folder; NULL: the configuration's
    const char *tokenizer;  // a folder or a packed vocabulary; NULL: the configuration's, else the
                            // one beside the checkpoint
    const char *backbone;   // of a head (aesthetic): its CLIP; NULL: the configuration's
} bdpo_scorer_request;

// ---- presets -----------------------------------------------------------------------------------

int bdpo_scorer_preset_count(void);
const char *bdpo_scorer_preset_name(int index);
// The configuration of a preset; NULL where there is none of this name.
const char *bdpo_scorer_preset_find(const char *name);

// ---- for families ------------------------------------------------------------------------------

// One item to score. All pointers are borrowed from the caller of the session.
typedef struct bdpo_score_item {
    const bdpo_image *image; // decoded; NULL: there is none
    const char *image_key;   // names the picture's content (its SHA-256); NULL: not known. Items
                             // of equal `image` or equal key are the same picture
    const char *path;        // the picture's file, for external scorers; NULL: none
    const void *bytes;       // or the file's bytes; NULL: none
    size_t n_bytes;
    const char *prompt; // UTF-8; NULL: there is none, which is not the same as ""
    size_t prompt_size;
    const char *name; // in messages; NULL: "picture"
    uint64_t skip;    // bit k: scorer k is not asked about this item
} bdpo_score_item;

// What a scorer wants to know of a picture or a text before it scores: a block of `n_bytes`, made
// once for all scorers that point at this pass. Shared by lying in the session's bdpo_shared.
typedef struct bdpo_feature_pass bdpo_feature_pass;
struct bdpo_feature_pass {
    size_t n_bytes;             // of one picture's or text's features; 64-byte aligned
    bdpo_preprocess preprocess; // of an image pass
    // features[i] of pixels[i], i < n; NULL in a text pass. What it writes must not depend on n
    // nor on the place i: a plan of a fixed shape, filled up with zeros, does that.
    bdpo_status (*run_images)(bdpo_feature_pass *pass, void *const *features,
                              const float *const *pixels, int n);
    // features of one text; NULL in an image pass.
    bdpo_status (*run_text)(bdpo_feature_pass *pass, void *features, const char *text, size_t size);
    // Other passes come now: what is cheap to get again, as mapped weights, may go. NULL: nothing.
    void (*rest)(bdpo_feature_pass *pass);
};

// What a scorer gets to see of one item.
typedef struct bdpo_score_case {
    const void *image, *text; // features of its passes; NULL where it has no such pass
    const bdpo_score_item *item;
    double *score;       // to be written; NaN with a reason where there is none
    const char **reason; // a static text, or one that lives until the scorer's next call
} bdpo_score_case;

typedef struct bdpo_scorer_family {
    const char *name;
    bool wants_files; // it reads the item's path or bytes: a picture that is not decoded is no
                      // obstacle
    // Sets passes and state; *scorer is zeroed but for family and the setup below.
    bdpo_status (*open)(bdpo_scorer *scorer);
    // A failure ends the session's call; what concerns one item goes into its reason.
    bdpo_status (*score)(bdpo_scorer *scorer, const bdpo_score_case *cases, int n);
    void (*close)(bdpo_scorer *scorer); // also after a failed open; NULL is fine
    // Its fields beside name, family, checkpoint, tokenizer, backbone and comment; the last is
    // NULL. Others are refused. NULL: not checked.
    const char *const *fields;
} bdpo_scorer_family;

// Parts of models that the scorers of a session have in common, each under a key that says what it
// is ("clip vision <path>").
typedef struct bdpo_shared bdpo_shared;
// NULL where there is none.
void *bdpo_shared_find(const bdpo_shared *shared, const char *key);
// Takes over the object, also on failure, and frees it with the session, the last added first.
BDPO_MUST_CHECK bdpo_status bdpo_shared_add(bdpo_shared *shared, const char *key, void *object,
                                            void (*free_object)(void *object));
// SHA-256 of the weights at `path`, read once in a session: of a file its own; of a folder that of
// the weights file in it; of a sharded model that of the lines "<sha256>  <name>\n" of its shards
// in order of their names. *hex is borrowed from `shared`.
BDPO_MUST_CHECK bdpo_status bdpo_shared_sha256(const char **hex, bdpo_shared *shared,
                                               const char *path);

struct bdpo_scorer {
    const bdpo_scorer_family *family;
    bdpo_scorer_info info; // checkpoint and sha256 are the family's to set; settings come from
                           // the object below when open() returned
    // Set before open():
    bdpo_engine *engine;
    bdpo_shared *shared;
    bdpo_arena *arena; // lives as long as the scorer
    bdpo_json config;  // the root; the reader of a field is the family
    // Resolved: the request's, else the configuration's, relative to its folder; NULL: none given.
    const char *checkpoint, *tokenizer, *backbone;
    json_t *settings; // an object to fill
    // Set by open():
    bdpo_feature_pass *image_pass, *text_pass; // NULL: not needed. Not owned
    void *state;
};

// Reads the field "preprocess" of a configuration, a word or an object {"kind", "size", "mean",
// "std", "antialias", "pillow", "alpha", "exif"}, and writes it into the settings. `size` is the
// model's.
BDPO_MUST_CHECK bdpo_status bdpo_scorer_preprocess(bdpo_preprocess *out, bdpo_scorer *scorer,
                                                   bdpo_preprocess_kind fallback, int size);

// A path in a field of the configuration, which stands relative to the configuration's file. NULL
// where the field is absent. Lives as long as the scorer.
BDPO_MUST_CHECK bdpo_status bdpo_scorer_path(const char **out, bdpo_scorer *scorer,
                                             const char *field);

// ---- opening -----------------------------------------------------------------------------------

// *out is the caller's, closed by bdpo_scorer_close() before `shared` is freed. NOT_FOUND,
// BAD_FILE, BAD_ARGUMENT or UNSUPPORTED with the scorer's name in the sentence.
BDPO_MUST_CHECK bdpo_status bdpo_scorer_open(bdpo_scorer **out, const bdpo_scorer_request *request,
                                             bdpo_engine *engine, bdpo_shared *shared);
void bdpo_scorer_close(bdpo_scorer *scorer); // NULL is fine

BDPO_MUST_CHECK bdpo_status bdpo_shared_new(bdpo_shared **out);
void bdpo_shared_free(bdpo_shared *shared); // NULL is fine

#endif
