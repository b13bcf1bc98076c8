// BERT's encoder, each layer of which may attend to rows of something else (BLIP: to a picture's)
// between self-attention and feed-forward. Post-norm, exact gelu, no token types, no pooler.
#ifndef BDPO_BERT_H
#define BDPO_BERT_H

#include "models/layers.h"

typedef struct bdpo_bert_config {
    int width, mlp_width, layers, heads;
    int vocabulary, positions;
    int encoder_width; // of the rows attended to
    float norm_eps;    // 1e-12
} bdpo_bert_config;

// "<path>.embeddings.word_embeddings.weight", "<path>.encoder.layer.0.attention.self.query.weight",
// ".. .crossattention..", ".. .intermediate.dense..", ".. .output.dense..".
void bdpo_bert_params(bdpo_param_list *list, const char *path, const bdpo_bert_config *config);

// ids i32 [n * k, t]; lengths i32 [n * k]: a token attends to its text's first so many; rows
// [n, r, encoder_width], those of texts i k .. i k + k - 1 being row block i. -> [n * k, t, width].
// With `first_only` the last layer computes only each text's first token: [n * k, 1, width].
bdpo_node *bdpo_bert(const bdpo_builder *b, const char *path, const bdpo_bert_config *config,
                     bdpo_node *ids, bdpo_node *lengths, bdpo_node *rows, bool first_only);

#endif
