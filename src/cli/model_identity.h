// By which name pictures remember the model that made them.
#ifndef BDPO_MODEL_IDENTITY_H
#define BDPO_MODEL_IDENTITY_H

#include "formats/sha256.h"
#include "models/checkpoint.h"

typedef struct bdpo_model_identity {
    const char *kind; // what `hash` is: "identity" or "sha256"
    bdpo_sha256_text hash;
    char name[128]; // the path's last part, without a suffix of ours
} bdpo_model_identity;

// identity: SHA-256 over the name, dtype, shape and first bytes of every weight, which takes
// milliseconds for a model of any size and tells fine-tuned models apart. sha256, with `whole`: of
// the file, as web user interfaces show it; of a directory, of the UNet's file.
BDPO_MUST_CHECK bdpo_status bdpo_model_identify(bdpo_model_identity *out,
                                                const bdpo_checkpoint *checkpoint, bool whole);

#endif
