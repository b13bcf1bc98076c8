// One level of the UNet, on its way down or up, and the middle. What a level leaves for the way up
// goes onto a stack of skip connections.
#ifndef BDPO_UNET_BLOCKS_H
#define BDPO_UNET_BLOCKS_H

#include "models/layers.h"
#include "models/unet_config.h"

// Nodes wait here on the way down, last in, first out; in the parameter list, their channels.
enum { BDPO_UNET_MAX_SKIPS = 256 };
typedef struct bdpo_unet_skips {
    bdpo_node *node[BDPO_UNET_MAX_SKIPS];
    int count;
} bdpo_unet_skips;

// What every block reads.
typedef struct bdpo_unet_stream {
    const bdpo_builder *b;
    const bdpo_unet_config *config;
    bdpo_node *time;    // [n, time_width], activated
    bdpo_node *context; // [n, t, context_width]
    bdpo_unet_skips skips;
} bdpo_unet_stream;

// Each takes x [n, h, w, c] and returns what the next one takes. Level 0 is the largest.
bdpo_node *bdpo_unet_down(bdpo_unet_stream *s, int level, bdpo_node *x);
bdpo_node *bdpo_unet_middle(bdpo_unet_stream *s, bdpo_node *x);
bdpo_node *bdpo_unet_up(bdpo_unet_stream *s, int level, bdpo_node *x);
void bdpo_unet_push(bdpo_unet_skips *skips, bdpo_node *x);

void bdpo_unet_down_params(bdpo_param_list *list, const bdpo_unet_config *config, int level);
void bdpo_unet_middle_params(bdpo_param_list *list, const bdpo_unet_config *config);
void bdpo_unet_up_params(bdpo_param_list *list, const bdpo_unet_config *config, int level);

#endif
