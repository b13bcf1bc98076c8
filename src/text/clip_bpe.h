// The tokenizer of CLIP text encoders: byte-level BPE with a mark at the end of each word, and the
// ways of cleaning text that go before it. Ids equal those of the libraries named below, on any
// text; docs/text.md lists what is known to differ.
//
// Text is UTF-8 of a given length and may hold zero bytes. Each maximal part that is not UTF-8
// counts as U+FFFD, as in Python's bytes.decode("utf-8", "replace").
#ifndef BDPO_CLIP_BPE_H
#define BDPO_CLIP_BPE_H

#include "base/status.h"

// Which library's text becomes which ids. They agree on plain English and differ on about one
// prompt in a hundred.
typedef enum bdpo_clip_pipeline {
    BDPO_CLIP_FAST,      // transformers 5, and the fast tokenizers of 4: what diffusers gets today
    BDPO_CLIP_SLOW_FTFY, // CLIPTokenizer of transformers 4 where ftfy is installed
    BDPO_CLIP_SLOW,      // the same (4.31 and later) without ftfy
    BDPO_CLIP_OPENAI,    // the CLIP package
    BDPO_CLIP_OPEN_CLIP, // open_clip and hpsv2: as OPENAI, but with other names of the two marks
    BDPO_CLIP_N_PIPELINES
} bdpo_clip_pipeline;

// "fast", "slow-ftfy", "slow", "openai", "open-clip".
const char *bdpo_clip_pipeline_name(bdpo_clip_pipeline pipeline);
// BDPO_BAD_ARGUMENT for another name; the sentence lists them.
BDPO_MUST_CHECK bdpo_status bdpo_clip_pipeline_parse(bdpo_clip_pipeline *out, const char *name);

// A vocabulary with its rules. Nothing changes after loading: any number of threads may use one.
typedef struct bdpo_clip_bpe bdpo_clip_bpe;

typedef struct bdpo_clip_bpe_options {
    bdpo_clip_pipeline pipeline; // zero is what diffusers does today
    // Leaves the pad token in a text alone where the library would make it one id of its own: SD2
    // and SDXL's second tokenizer pad by "!", and then each "!" of a prompt is id 0.
    bool plain_pad;
} bdpo_clip_bpe_options;

// Reads a model directory's tokenizer folder: vocab.json and merges.txt (or tokenizer.json where
// those are absent), and where present tokenizer_config.json, special_tokens_map.json and
// added_tokens.json, each with the weight that transformers gives it. `options` may be NULL. *out
// is the caller's, released by bdpo_clip_bpe_free(). BDPO_NOT_FOUND where a file is missing,
// BDPO_BAD_FILE names file, entry, what was found and expected. OPENAI and OPEN_CLIP take only the
// vocabulary from there: their marks and their padding by 0 are fixed.
BDPO_MUST_CHECK bdpo_status bdpo_clip_bpe_open(bdpo_clip_bpe **out, const char *directory,
                                               const bdpo_clip_bpe_options *options);
// The same from the packed file of the CLIP package, bpe_simple_vocab_16e6.txt.gz. FAST and SLOW
// pipelines then pad by end-of-text, as SD1's.
BDPO_MUST_CHECK bdpo_status bdpo_clip_bpe_open_packed(bdpo_clip_bpe **out, const char *path,
                                                      const bdpo_clip_bpe_options *options);
void bdpo_clip_bpe_free(bdpo_clip_bpe *bpe); // NULL is fine

typedef struct bdpo_clip_bpe_info {
    int n_ids; // all ids are below: rows of the embedding table
    int32_t begin, end, pad;
    int max_length; // ids that the model takes, begin and end included: 77 where no file says
} bdpo_clip_bpe_info;
bdpo_clip_bpe_info bdpo_clip_bpe_get_info(const bdpo_clip_bpe *bpe);

// What bdpo_clip_bpe_encode() left out.
typedef struct bdpo_clip_cut {
    size_t n_tokens; // 0 where all fitted
    char *text;      // the tokens cut, as text (lower case); NULL where there are none
} bdpo_clip_cut;
void bdpo_clip_cut_release(bdpo_clip_cut *cut);

// ids[n_ids] = begin, the text's first n_ids - 2 tokens, end, pads. n_ids >= 2; 77 for all known
// models. `cut` may be NULL; else it is the caller's, released by bdpo_clip_cut_release(), and a
// caller that shows nothing of it loses words silently. Fails only for want of memory.
BDPO_MUST_CHECK bdpo_status bdpo_clip_bpe_encode(const bdpo_clip_bpe *bpe, int32_t *ids, int n_ids,
                                                 bdpo_clip_cut *cut, const char *text, size_t size);

// All tokens of a text, without begin, end and padding. *ids is the caller's, released by
// bdpo_free(); NULL where there are none.
BDPO_MUST_CHECK bdpo_status bdpo_clip_bpe_tokens(const bdpo_clip_bpe *bpe, int32_t **ids,
                                                 size_t *n_ids, const char *text, size_t size);

// The text of ids: words parted by a space, bytes that are no UTF-8 as U+FFFD, ids outside the
// vocabulary left out. *out is the caller's, released by bdpo_free(), and ends in a zero byte.
BDPO_MUST_CHECK bdpo_status bdpo_clip_bpe_text(const bdpo_clip_bpe *bpe, char **out,
                                               const int32_t *ids, size_t n_ids);

#endif
