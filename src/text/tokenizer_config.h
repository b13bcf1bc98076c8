// The JSON files of a tokenizer folder: the vocabulary, and which tokens are special. All JSON of
// this room is read here.
#ifndef BDPO_TOKENIZER_CONFIG_H
#define BDPO_TOKENIZER_CONFIG_H

#include "base/memory.h"
#include "text/clip_vocab.h"

// A token that is looked for in the text itself.
typedef struct bdpo_added_token {
    const char *content;
    bool normalized; // looked for in cleaned text, not in the prompt as written
    int64_t id;      // as declared; BDPO_CLIP_NO_ID where only the name is known
} bdpo_added_token;

enum { BDPO_MAX_ADDED_TOKENS = 4096 };

// As transformers 5 understands the folder: added_tokens_decoder of tokenizer_config.json where it
// has one, else special_tokens_map.json over tokenizer_config.json, added_tokens.json and the added
// tokens of tokenizer.json. A later token of the same content replaces the flag of an earlier one.
typedef struct bdpo_tokenizer_config {
    const char *begin, *end, *unknown, *pad; // borrowed from the arena
    bdpo_added_token *added;
    size_t n_added;
    int max_length;
} bdpo_tokenizer_config;

// Everything in *out lives in `arena`. BDPO_BAD_FILE names file and key.
BDPO_MUST_CHECK bdpo_status bdpo_tokenizer_config_read(bdpo_tokenizer_config *out,
                                                       bdpo_arena *arena, const char *directory);

// Adds the tokens of vocab.json. BDPO_NOT_FOUND where there is no such file.
BDPO_MUST_CHECK bdpo_status bdpo_vocab_json_read(bdpo_clip_vocab *vocab, const char *path);
// Adds tokens and merges of tokenizer.json.
BDPO_MUST_CHECK bdpo_status bdpo_tokenizer_json_read(bdpo_clip_vocab *vocab, const char *path);

#endif
