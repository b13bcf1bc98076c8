// CLIP's encoders against transformers: hidden states, pooled outputs, embeddings and the gradient
// of every parameter, of small models of each family and of CLIP-L's text encoder at full size.
#include "harness.h"

#include "base/memory.h"
#include "models/clip_text.h"
#include "models/clip_vision.h"
#include "parity/model_parity.h"
#include "parity/parity_inputs.h"

enum { TOKENS = 77, VOCABULARY = 200, TEXTS = 3 };

// Keys' biases shift all scores of a query alike: softmax does not see them.
static bool is_zero(const char *name)
{
    return strstr(name, "k_proj.bias") != NULL;
}

// ---- text --------------------------------------------------------------------------------------

typedef struct text_case {
    const char *name;
    bdpo_clip_text_config config;
    int32_t pad;
    int n;
    bool compact;
} text_case;

static const bdpo_clip_text_config text_l = {.tower = {.width = 64,
                                                       .mlp_width = 256,
                                                       .layers = 3,
                                                       .heads = 4,
                                                       .activation = BDPO_QUICK_GELU,
                                                       .norm_eps = 1e-5F},
                                             .vocabulary = VOCABULARY,
                                             .positions = TOKENS,
                                             .eos_token_id = 2};
static const bdpo_clip_text_config text_h = {.tower = {.width = 80,
                                                       .mlp_width = 200,
                                                       .layers = 4,
                                                       .heads = 5,
                                                       .activation = BDPO_GELU,
                                                       .norm_eps = 1e-5F},
                                             .vocabulary = VOCABULARY,
                                             .positions = TOKENS,
                                             .eos_token_id = 2};
static const bdpo_clip_text_config text_g = {.tower = {.width = 96,
                                                       .mlp_width = 384,
                                                       .layers = 3,
                                                       .heads = 6,
                                                       .activation = BDPO_GELU,
                                                       .norm_eps = 1e-5F},
                                             .vocabulary = VOCABULARY,
                                             .positions = TOKENS,
                                             .projection_dim = 48,
                                             .eos_token_id = 199};
static const bdpo_clip_text_config clip_l = {.tower = {.width = 768,
                                                       .mlp_width = 3072,
                                                       .layers = 12,
                                                       .heads = 12,
                                                       .activation = BDPO_QUICK_GELU,
                                                       .norm_eps = 1e-5F},
                                             .vocabulary = 49408,
                                             .positions = TOKENS,
                                             .eos_token_id = 2};

// As token_ids() in tools/parity/clip.py.
static void write_ids(model_run *run, const text_case *c)
{
    int32_t ids[TEXTS * TOKENS], eos[TEXTS];
    char key[64];
    snprintf(key, sizeof key, "%s/ids", c->name);
    parity_fill_index(ids, (size_t)c->n * TOKENS, key, c->config.vocabulary - 1);
    for (int i = 0; i < c->n; i++) {
        int end = 5 + 30 * i < TOKENS ? 5 + 30 * i : TOKENS - 1;
        ids[i * TOKENS + end] = c->config.vocabulary - 1;
        for (int k = end + 1; k < TOKENS; k++) ids[i * TOKENS + k] = c->pad;
    }
    CHECK_OK(bdpo_clip_eos_index(eos, ids, c->n, TOKENS, c->config.eos_token_id));
    CHECK_INT(eos[0], 5);
    CHECK_OK(bdpo_plan_write(run->plan, "ids", ids, (size_t)c->n * TOKENS * sizeof *ids));
    CHECK_OK(bdpo_plan_write(run->plan, "eos", eos, (size_t)c->n * sizeof *eos));
}

static void build_text(model_run *run, const text_case *c)
{
    const bdpo_clip_text_config *config = &c->config;
    bdpo_node *ids = bdpo_input(run->graph, "ids", BDPO_I32, BDPO_SHAPE(c->n, TOKENS));
    bdpo_node *eos = bdpo_input(run->graph, "eos", BDPO_I32, BDPO_SHAPE(c->n));
    bdpo_clip_text_options last = {.final_norm = true}, sdxl = {.skip = 1};
    bdpo_clip_text_options skipped = {.skip = 1, .final_norm = true};
    model_run_output(run, "last", bdpo_clip_text(&run->builder, config, ids, NULL, &last).hidden);
    bdpo_clip_text_outputs out = bdpo_clip_text(&run->builder, config, ids, eos, &sdxl);
    model_run_output(run, "penultimate", out.hidden);
    model_run_output(run, "pooled", out.pooled);
    if (c->compact) return;
    out = bdpo_clip_text(&run->builder, config, ids, NULL, &skipped);
    model_run_output(run, "skipped", out.hidden);
}

static void check_text(const char *fixture_name, const text_case *c)
{
    model_run run;
    fixture *f = fixture_open(fixture_name);
    model_run_init(&run, c->name, c->name);
    bdpo_clip_text_params(run.params, &c->config);
    model_run_store(&run);
    build_text(&run, c);
    model_run_plan(&run);
    write_ids(&run, c);
    model_run_go(&run);
    CHECK_INT(model_run_compare(&run, f, c->compact, false, is_zero),
              bdpo_param_list_count(run.params));
    model_run_release(&run);
    fixture_close(f);
}

BDPO_TEST(clip_text_quick_gelu)
{
    check_text("clip/clip", &(text_case){"text_l", text_l, 199, TEXTS, false});
}

BDPO_TEST(clip_text_gelu)
{
    check_text("clip/clip", &(text_case){"text_h", text_h, 0, TEXTS, false});
}

BDPO_TEST(clip_text_with_projection)
{
    check_text("clip/clip", &(text_case){"text_g", text_g, 0, TEXTS, false});
}

BDPO_TEST_LONG(clip_text_l_at_full_size)
{
    check_text("clip/clip_full", &(text_case){"text_clip_l", clip_l, 49407, 1, true});
}

// ---- vision ------------------------------------------------------------------------------------

static void check_vision(const char *name, const bdpo_clip_vision_config *config)
{
    model_run run;
    fixture *f = fixture_open("clip/clip");
    bdpo_shape shape = BDPO_SHAPE(2, config->image_size, config->image_size, 3);
    model_run_init(&run, name, name);
    bdpo_clip_vision_params(run.params, config);
    model_run_store(&run);
    bdpo_node *pixels = model_run_input(&run, "pixels", shape);
    bdpo_clip_vision_outputs out = bdpo_clip_vision(&run.builder, config, pixels);
    model_run_output(&run, "embedding", out.embedding);
    model_run_output(&run, "last", out.last);
    model_run_plan(&run);
    model_run_write(&run, "pixels", shape);
    model_run_go(&run);
    CHECK_INT(model_run_compare(&run, f, false, false, is_zero), bdpo_param_list_count(run.params));
    model_run_release(&run);
    fixture_close(f);
}

BDPO_TEST(clip_vision_quick_gelu)
{
    check_vision("vision_l", &(bdpo_clip_vision_config){.tower = {.width = 64,
                                                                  .mlp_width = 256,
                                                                  .layers = 3,
                                                                  .heads = 4,
                                                                  .activation = BDPO_QUICK_GELU,
                                                                  .norm_eps = 1e-5F},
                                                        .channels = 3,
                                                        .image_size = 32,
                                                        .patch_size = 8,
                                                        .projection_dim = 48});
}

BDPO_TEST(clip_vision_head_size_80)
{
    check_vision("vision_h", &(bdpo_clip_vision_config){.tower = {.width = 160,
                                                                  .mlp_width = 320,
                                                                  .layers = 2,
                                                                  .heads = 2,
                                                                  .activation = BDPO_GELU,
                                                                  .norm_eps = 1e-5F},
                                                        .channels = 3,
                                                        .image_size = 42,
                                                        .patch_size = 14,
                                                        .projection_dim = 64});
}

BDPO_TEST(clip_vision_head_size_104)
{
    check_vision("vision_g", &(bdpo_clip_vision_config){.tower = {.width = 208,
                                                                  .mlp_width = 416,
                                                                  .layers = 2,
                                                                  .heads = 2,
                                                                  .activation = BDPO_GELU,
                                                                  .norm_eps = 1e-6F},
                                                        .channels = 3,
                                                        .image_size = 28,
                                                        .patch_size = 14,
                                                        .projection_dim = 80});
}
