// One text at a time: its numbers do not depend on what else is asked for, and one plan serves all.
#include "diffusion/text_conditioning.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

// ---- one encoder -------------------------------------------------------------------------------

typedef struct encoding {
    const bdpo_text_encoder *encoder;
    bdpo_clip_text_options layer;
    bool pooled;
} encoding;

static void build(bdpo_graph *graph, const bdpo_plan_key *key, const void *model)
{
    const encoding *e = model;
    bdpo_builder b = {.graph = graph, .lora = e->encoder->lora};
    bdpo_node *ids = bdpo_input(graph, "ids", BDPO_I32, key->shape);
    bdpo_node *end = e->pooled ? bdpo_input(graph, "end", BDPO_I32, BDPO_SHAPE(1)) : NULL;
    bdpo_clip_text_outputs out = bdpo_clip_text(&b, &e->encoder->config, ids, end, &e->layer);
    bdpo_output(graph, "hidden", out.hidden);
    if (e->pooled) bdpo_output(graph, "pooled", out.pooled);
}

static bdpo_status find_plan(bdpo_plan **plan, const encoding *e, bdpo_engine *engine)
{
    char name[32];
    snprintf(name, sizeof name, "text, skip %d%s", e->layer.skip, e->pooled ? ", pooled" : "");
    bdpo_plan_key key = {.graph = name, .shape = BDPO_SHAPE(1, e->encoder->n_ids)};
    return bdpo_engine_plan(plan, engine, e->encoder->store, &key, build, e);
}

static bdpo_status tokenise(int32_t *ids, const bdpo_text_encoder *encoder, const char *text,
                            bdpo_log *log)
{
    bdpo_clip_cut cut = {0};
    TRY(bdpo_clip_bpe_encode(encoder->tokenizer, ids, encoder->n_ids, &cut, text, strlen(text)));
    if (cut.n_tokens > 0)
        bdpo_log_write(log, BDPO_LOG_WARNING,
                       "a prompt has %zu tokens more than the %d that fit; left out: \"%s\"",
                       cut.n_tokens, encoder->n_ids - 2, cut.text);
    bdpo_clip_cut_release(&cut);
    return BDPO_OK;
}

// hidden [n_ids, width] of the encoder, and where it is asked for pooled [projection_dim].
static bdpo_status encode(float *hidden, float *pooled, int32_t *ids, const encoding *e,
                          bdpo_engine *engine)
{
    const bdpo_clip_text_config *config = &e->encoder->config;
    size_t n_ids = (size_t)e->encoder->n_ids;
    bdpo_plan *plan;
    int32_t end;
    TRY(find_plan(&plan, e, engine));
    TRY(bdpo_plan_write(plan, "ids", ids, n_ids * sizeof *ids));
    if (e->pooled) {
        TRY(bdpo_clip_eos_index(&end, ids, 1, (int)n_ids, config->eos_token_id));
        TRY(bdpo_plan_write(plan, "end", &end, sizeof end));
    }
    TRY(bdpo_plan_run(plan));
    TRY(bdpo_plan_read(plan, "hidden", hidden,
                       n_ids * (size_t)config->tower.width * sizeof *hidden));
    if (!e->pooled) return BDPO_OK;
    return bdpo_plan_read(plan, "pooled", pooled, (size_t)config->projection_dim * sizeof *pooled);
}

// ---- all encoders ------------------------------------------------------------------------------

// The layer, and whether the whole text is asked for: of the last encoder of SDXL.
static bdpo_status choose(encoding *out, const bdpo_pipeline_model *m, int index, int clip_skip)
{
    const bdpo_text_encoder *encoder = &m->text[index];
    bool is_sdxl = m->unet.text_time;
    int layers = encoder->config.tower.layers, usual = is_sdxl ? 1 : 0;
    if (clip_skip < 0 || clip_skip + usual >= layers)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "clip skip is %d, expected 0 to %d for a text encoder of %d layers",
                         clip_skip, layers - usual - 1, layers);
    *out = (encoding){.encoder = encoder,
                      .layer = {.skip = usual + clip_skip, .final_norm = !is_sdxl},
                      .pooled = is_sdxl && index == m->n_text - 1};
    return BDPO_OK;
}

bdpo_status bdpo_text_prepare(const bdpo_pipeline_model *m, const bdpo_text_options *options)
{
    for (int i = 0; i < m->n_text; i++) {
        bdpo_plan *plan;
        encoding e;
        TRY(choose(&e, m, i, options->clip_skip));
        TRY(find_plan(&plan, &e, m->engine));
    }
    return BDPO_OK;
}

// Rows of `width` into columns from `begin` of rows of `whole`.
static void put_beside(float *out, int64_t whole, int64_t begin, const float *in, int64_t width,
                       int64_t rows)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(out + i * whole + begin, in + i * width, (size_t)width * sizeof *out);
}

static bdpo_status encode_all(float *context, float *pooled, float *hidden, int32_t *ids,
                              const bdpo_pipeline_model *m, const char *text,
                              const bdpo_text_options *options)
{
    int64_t begin = 0, whole = bdpo_pipeline_context_width(m);
    for (int i = 0; i < m->n_text; i++) {
        const bdpo_text_encoder *encoder = &m->text[i];
        int64_t width = encoder->config.tower.width;
        encoding e;
        TRY(choose(&e, m, i, options->clip_skip));
        // The tokenizers of a model cut alike: one warning is enough.
        TRY(tokenise(ids, encoder, text, i == 0 ? options->log : NULL));
        TRY(encode(hidden, pooled, ids, &e, m->engine));
        put_beside(context, whole, begin, hidden, width, encoder->n_ids);
        begin += width;
    }
    return BDPO_OK;
}

bdpo_status bdpo_text_conditioning(float *context, float *pooled, const bdpo_pipeline_model *model,
                                   const char *text, const bdpo_text_options *options)
{
    size_t count, n_ids = (size_t)model->text[0].n_ids;
    float *hidden = NULL;
    int32_t *ids = bdpo_alloc(n_ids, sizeof *ids);
    if (bdpo_size_mul(&count, n_ids, (size_t)bdpo_pipeline_context_width(model)))
        hidden = bdpo_alloc(count, sizeof *hidden);
    bdpo_status status = hidden && ids
                             ? encode_all(context, pooled, hidden, ids, model, text, options)
                             : bdpo_fail(BDPO_NO_MEMORY, "no memory to encode a text");
    bdpo_free(ids);
    bdpo_free(hidden);
    return status;
}
