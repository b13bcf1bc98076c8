// The layers from which models are built. Each stands at a path, the name that diffusers or
// transformers gives it, and takes its parameters "<path>.weight", "<path>.bias" .. from the
// graph's store; beside it stands its twin, which lists those parameters. Where the builder's lora
// has a module of that path, the layer adds it.
//
// Feature maps are [n, h, w, c], tokens [n, t, c]. Nodes are borrowed from the graph; the first
// failure sticks in it (engine.h).
#ifndef BDPO_LAYERS_H
#define BDPO_LAYERS_H

#include <bdpo/ops.h>

#include "models/lora.h"
#include "models/param_list.h"

// What gradient checkpointing computes again, where it is on.
typedef enum bdpo_segments {
    // Each norm or GEGLU with the products that read it, so that only element-wise work is done
    // twice, and of a transformer what most relieves the peak (layers.c). Nearly free.
    BDPO_SEGMENTS_LEAN,
    // The halves of a residual block, the parts of a transformer layer: least memory, and about a
    // third more time.
    BDPO_SEGMENTS_COARSE
} bdpo_segments;

// Where a model's builder stands.
typedef struct bdpo_builder {
    bdpo_graph *graph;
    const bdpo_lora *lora; // NULL: none
    bdpo_segments segments;
} bdpo_builder;

// A segment that exists under one of the two ways only.
void bdpo_segments_begin(const bdpo_builder *b, bdpo_segments way);
void bdpo_segments_end(const bdpo_builder *b, bdpo_segments way);

// ---- paths -------------------------------------------------------------------------------------

// A value, so that one line may make several.
typedef struct bdpo_path {
    char text[256];
} bdpo_path;

// "parent.name", the name printed from `format`; the name alone where the parent is "".
bdpo_path bdpo_path_join(const char *parent, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// ---- single layers -----------------------------------------------------------------------------

// x [.., in] -> [.., out].
bdpo_node *bdpo_linear_at(const bdpo_builder *b, const char *path, bdpo_node *x, bool bias,
                          bdpo_activation activation);
void bdpo_linear_params(bdpo_param_list *list, const char *path, int64_t in, int64_t out,
                        bool bias);

// x [n, h, w, ci] -> [n, h', w', co]; options NULL: stride 1, no padding.
bdpo_node *bdpo_conv2d_at(const bdpo_builder *b, const char *path, bdpo_node *x, bool bias,
                          const bdpo_conv2d_options *options);
void bdpo_conv2d_params(bdpo_param_list *list, const char *path, int64_t in, int64_t out,
                        int64_t kernel, bool bias);

// Options of a convolution that keeps the size: half the (odd) kernel around the image.
bdpo_conv2d_options bdpo_same_padding(int kernel);

// Both norms have a gain "weight" and a "bias" for each channel.
bdpo_node *bdpo_group_norm_at(const bdpo_builder *b, const char *path, bdpo_node *x,
                              const bdpo_group_norm_options *options);
bdpo_node *bdpo_layer_norm_at(const bdpo_builder *b, const char *path, bdpo_node *x, float eps);
void bdpo_norm_params(bdpo_param_list *list, const char *path, int64_t channels);

// ids i32 [..] -> [.., width].
bdpo_node *bdpo_embedding_at(const bdpo_builder *b, const char *path, bdpo_node *ids);
void bdpo_embedding_params(bdpo_param_list *list, const char *path, int64_t count, int64_t width);

// linear_2(silu(linear_1(x))): diffusers' TimestepEmbedding. x [n, in] -> [n, out].
bdpo_node *bdpo_embedding_mlp_at(const bdpo_builder *b, const char *path, bdpo_node *x);
void bdpo_embedding_mlp_params(bdpo_param_list *list, const char *path, int64_t in, int64_t out);

// ---- the blocks of UNet and VAE ----------------------------------------------------------------

typedef struct bdpo_residual_options {
    int64_t out; // channels
    int groups;
    float eps;
    float output_scale; // the sum is divided by it; 0 = 1
} bdpo_residual_options;

// (shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))) + time_emb_proj(time))))) / output_scale;
// the shortcut is a 1x1 convolution where the channels change, else x. x [n, h, w, ci], time
// [n, t], already activated (silu), or NULL -> [n, h, w, out].
bdpo_node *bdpo_residual_at(const bdpo_builder *b, const char *path, bdpo_node *x, bdpo_node *time,
                            const bdpo_residual_options *options);
// time_width 0: without time.
void bdpo_residual_params(bdpo_param_list *list, const char *path, int64_t in, int64_t out,
                          int64_t time_width);

typedef struct bdpo_transformer_options {
    int groups, heads, layers;
    bool linear_projection; // proj_in and proj_out are linear layers, not 1x1 convolutions
    bool upcast;            // attention in f32 whatever the compute dtype
} bdpo_transformer_options;

// x + proj_out(layers(proj_in(norm(x)))); a layer is h + attn1(norm1(h)), + attn2(norm2(h),
// context), + ff(norm3(h)), ff being a GEGLU feed-forward of 4 c. x [n, h, w, c], context
// [n, t, d] -> [n, h, w, c]. diffusers' Transformer2DModel.
bdpo_node *bdpo_transformer_at(const bdpo_builder *b, const char *path, bdpo_node *x,
                               bdpo_node *context, const bdpo_transformer_options *options);
void bdpo_transformer_params(bdpo_param_list *list, const char *path, int64_t channels,
                             int64_t context_width, const bdpo_transformer_options *options);

// "conv" 3x3 of stride 2. padding 1: one pixel all round (UNet); 0: one right and below (VAE).
// x [n, h, w, c] -> [n, ceil(h / 2), ceil(w / 2), c] with padding 1, rounded down with 0.
bdpo_node *bdpo_downsample_at(const bdpo_builder *b, const char *path, bdpo_node *x, int padding);
// Each pixel four times, cut to height x width (2 h or 2 h - 1, likewise the width; 0: 2 h, 2 w),
// then "conv" 3x3. x [n, h, w, c] -> [n, height, width, c].
bdpo_node *bdpo_upsample_at(const bdpo_builder *b, const char *path, bdpo_node *x, int64_t height,
                            int64_t width);
// The same parameters for both.
void bdpo_resample_params(bdpo_param_list *list, const char *path, int64_t channels);

#endif
