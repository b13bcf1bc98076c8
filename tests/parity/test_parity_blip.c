// BLIP's graph against the image-reward package: the picture's rows, the text's hidden states, the
// rewards, and the gradient of every parameter, with two texts to each picture.
#include "harness.h"

#include "models/blip.h"
#include "parity/model_parity.h"
#include "parity/parity_inputs.h"
#include "tensor/tensor.h"

enum { PICTURES = 2, TEXTS = 4, TOKENS = 12, VOCABULARY = 100 };

// As SIZES in tools/parity/blip.py.
static const bdpo_blip_config config = {
    .vision = {.width = 64,
               .mlp_width = 256,
               .layers = 3,
               .heads = 4,
               .channels = 3,
               .image_size = 32,
               .patch_size = 8,
               .norm_eps = 1e-6F},
    .text = {.width = 48,
             .mlp_width = 160,
             .layers = 3,
             .heads = 4,
             .vocabulary = VOCABULARY,
             .positions = 20,
             .encoder_width = 64,
             .norm_eps = 1e-12F},
    .n_head = 5,
    .head_width = {1024, 128, 64, 16, 1},
    .head_index = {0, 2, 4, 6, 7},
};

// Keys' biases shift all scores of a query alike: softmax does not see them.
static bool is_zero(const char *name)
{
    return strstr(name, "self.key.bias") != NULL;
}

static void build(model_run *run, bdpo_shape pixels)
{
    bdpo_node *ids = bdpo_input(run->graph, "ids", BDPO_I32, BDPO_SHAPE(TEXTS, TOKENS));
    bdpo_node *lengths = bdpo_input(run->graph, "lengths", BDPO_I32, BDPO_SHAPE(TEXTS));
    bdpo_node *rows =
        bdpo_blip_vision(&run->builder, &config, model_run_input(run, "pixels", pixels));
    model_run_output(run, "rows", rows);
    model_run_output(
        run, "last",
        bdpo_bert(&run->builder, "blip.text_encoder", &config.text, ids, lengths, rows, false));
    model_run_output(run, "reward", bdpo_blip_reward(&run->builder, &config, rows, ids, lengths));
}

static void write_inputs(model_run *run, bdpo_shape pixels)
{
    static const int32_t lengths[TEXTS] = {12, 2, 7, 11};
    int32_t ids[TEXTS * TOKENS];
    parity_fill_index(ids, BDPO_COUNTOF(ids), "blip/ids", VOCABULARY - 1);
    for (size_t i = 0; i < BDPO_COUNTOF(ids); i++) ids[i]++;
    CHECK_OK(bdpo_plan_write(run->plan, "ids", ids, sizeof ids));
    CHECK_OK(bdpo_plan_write(run->plan, "lengths", lengths, sizeof lengths));
    model_run_write(run, "pixels", pixels);
}

static void check(bdpo_segments segments, bool checkpointing)
{
    model_run run;
    fixture *f = fixture_open("blip/blip");
    bdpo_shape pixels = BDPO_SHAPE(PICTURES, 32, 32, 3);
    model_run_init(&run, "blip", "blip");
    bdpo_blip_params(run.params, &config);
    model_run_store(&run);
    run.builder.segments = segments;
    bdpo_graph_set_checkpointing(run.graph, checkpointing);
    build(&run, pixels);
    model_run_plan(&run);
    write_inputs(&run, pixels);
    model_run_go(&run);
    CHECK_INT(model_run_compare(&run, f, false, false, is_zero), bdpo_param_list_count(run.params));
    model_run_release(&run);
    fixture_close(f);
}

BDPO_TEST(blip_outputs_and_gradients)
{
    check(BDPO_SEGMENTS_LEAN, false);
}

BDPO_TEST(blip_gradients_with_checkpointing)
{
    check(BDPO_SEGMENTS_LEAN, true);
    check(BDPO_SEGMENTS_COARSE, true);
}
