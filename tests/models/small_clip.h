// Small CLIP models on disk with weights by name, as transformers and as open_clip store them. The
// other half is tools/parity/scorers.py.
#ifndef SMALL_CLIP_H
#define SMALL_CLIP_H

#include <stdbool.h>

typedef struct small_tower {
    int width, layers, heads, mlp_width;
} small_tower;

typedef struct small_clip {
    const char *weights; // whose these are: the key of each value begins with it
    int embed, patch;
    small_tower vision, text;
    bool quick_gelu;
    int vocabulary;
    // How it is stored.
    bool open_clip; // names, shapes and open_clip_config.json
    bool half;
    bool without_config;
} small_clip;

// The three of the fixture: with 49408 tokens.
extern const small_clip small_h, small_l, small_g;

enum { SMALL_LOGIT_SCALE_4 = 17 }; // times 1/4: 4.25

// Writes it into a directory that exists; `file` is the name of the weights, NULL for the usual
// one.
void small_clip_write(const char *directory, const char *file, const small_clip *model);
// The random head of the fixture, a safetensors file.
void small_head_write(const char *path);

#endif
