// Loading: for each network its configuration, the parameters that this asks for, its store.
#include "diffusion/pipeline_model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "graph/store.h"
#include "tensor/tensor.h"

// ---- one network -------------------------------------------------------------------------------

static void count_bytes(bdpo_pipeline_model *m, const bdpo_store *store)
{
    for (int i = 0; i < bdpo_store_count(store); i++) {
        const bdpo_param_info *p = bdpo_store_at(store, i);
        size_t bytes = (size_t)bdpo_shape_count(&p->shape) * bdpo_dtype_size(p->dtype);
        m->weight_bytes += bytes;
        if (p->mapped) m->mapped_bytes += bytes;
    }
}

// One network on its way into its store.
typedef struct loading {
    const bdpo_component *component;
    bdpo_param_list *params; // what its configuration asks for
    bdpo_store **store;
    bdpo_lora **lora; // NULL: adapters are not looked for
} loading;

static bdpo_lora_component adapted(const loading *l)
{
    return (bdpo_lora_component){.name = bdpo_component_get_source(l->component)->spec->name,
                                 .params = l->params,
                                 .naming = bdpo_component_naming(l->component)};
}

// Finds the adapters of the network and makes room for them in its store.
static bdpo_status declare_lora(const loading *l, const bdpo_pipeline_model_options *o)
{
    bdpo_param_list *list;
    bdpo_lora_component component = adapted(l);
    TRY(bdpo_lora_new(l->lora));
    TRY(bdpo_lora_files_target(*l->lora, o->loras, o->n_loras, &component));
    TRY(bdpo_param_list_new(&list));
    bdpo_lora_params(list, *l->lora);
    bdpo_status status = bdpo_param_list_check(list);
    for (int i = 0; status == BDPO_OK && i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        status = bdpo_store_declare(*l->store, spec->name, BDPO_F32, bdpo_param_store_shape(spec),
                                    false);
    }
    bdpo_param_list_free(list);
    return status;
}

static bdpo_status fill_store(bdpo_pipeline_model *m, const loading *l,
                              const bdpo_pipeline_model_options *o)
{
    bool adapts = l->lora && o->n_loras > 0;
    bdpo_lora_component component = adapted(l);
    TRY(bdpo_param_list_check(l->params));
    TRY(bdpo_store_new(l->store, m->engine));
    TRY(bdpo_component_declare(l->component, l->params, *l->store, &(bdpo_load_options){0}));
    if (adapts) TRY(declare_lora(l, o));
    TRY(bdpo_store_seal(*l->store));
    TRY(bdpo_component_fill(l->component, l->params, *l->store));
    if (adapts) TRY(bdpo_lora_files_fill(*l->store, *l->lora, o->loras, o->n_loras, &component));
    count_bytes(m, *l->store);
    return BDPO_OK;
}

// Consumes the list.
static bdpo_status load_store(bdpo_pipeline_model *m, const loading *l,
                              const bdpo_pipeline_model_options *o)
{
    bdpo_status status = fill_store(m, l, o);
    bdpo_param_list_free(l->params);
    return status;
}

static bdpo_status load_unet(bdpo_pipeline_model *m, const bdpo_checkpoint *c,
                             const bdpo_pipeline_model_options *o)
{
    const bdpo_component *component;
    bdpo_param_list *list;
    TRY(bdpo_checkpoint_find(&component, c, "unet"));
    const bdpo_component_source *s = bdpo_component_get_source(component);
    TRY(bdpo_unet_config_parse(&m->unet, s->config, s->config_file));
    TRY(bdpo_param_list_new(&list));
    bdpo_unet_params(list, &m->unet);
    return load_store(m, &(loading){component, list, &m->unet_store, &m->unet_lora}, o);
}

static bdpo_status load_vae(bdpo_pipeline_model *m, const bdpo_checkpoint *c,
                            const bdpo_pipeline_model_options *o)
{
    const bdpo_component *component;
    bdpo_param_list *list;
    TRY(bdpo_checkpoint_find(&component, c, "vae"));
    const bdpo_component_source *s = bdpo_component_get_source(component);
    TRY(bdpo_vae_config_parse(&m->vae, s->config, s->config_file));
    TRY(bdpo_param_list_new(&list));
    bdpo_vae_params(list, &m->vae);
    return load_store(m, &(loading){component, list, &m->vae_store, NULL}, o);
}

// A text encoder reads what its tokenizer writes: checked here, since an id past the table would
// read as zeros.
static bdpo_status open_tokenizer(bdpo_text_encoder *t, const char *directory,
                                  const bdpo_clip_bpe_options *options, const char *config_file)
{
    TRY(bdpo_clip_bpe_open(&t->tokenizer, directory, options));
    bdpo_clip_bpe_info info = bdpo_clip_bpe_get_info(t->tokenizer);
    t->n_ids = info.max_length < t->config.positions ? info.max_length : t->config.positions;
    if (info.n_ids > t->config.vocabulary)
        return bdpo_fail(BDPO_BAD_FILE, "%s: has %d tokens, expected at most vocab_size %d of %s",
                         directory, info.n_ids, t->config.vocabulary, config_file);
    if (t->n_ids < 2)
        return bdpo_fail(BDPO_BAD_FILE, "%s: model_max_length is %d, expected 2 or more", directory,
                         info.max_length);
    return BDPO_OK;
}

static bdpo_status load_text(bdpo_pipeline_model *m, const bdpo_checkpoint *c, int index,
                             const char *tokenizers, const bdpo_pipeline_model_options *o)
{
    static const char *const names[] = {"text_encoder", "text_encoder_2"};
    static const char *const folders[] = {"tokenizer", "tokenizer_2"};
    const bdpo_component *component;
    bdpo_param_list *list;
    char directory[BDPO_PATH_BYTES];
    bdpo_text_encoder *t = &m->text[index];
    TRY(bdpo_checkpoint_find(&component, c, names[index]));
    const bdpo_component_source *s = bdpo_component_get_source(component);
    TRY(bdpo_clip_text_config_parse(&t->config, s->config, s->config_file));
    TRY(bdpo_file_join(directory, tokenizers, folders[index]));
    TRY(open_tokenizer(t, directory, &o->tokenizer, s->config_file));
    TRY(bdpo_param_list_new(&list));
    bdpo_clip_text_params(list, &t->config);
    return load_store(m, &(loading){component, list, &t->store, &t->lora}, o);
}

// ---- the whole ---------------------------------------------------------------------------------

static bdpo_status load_texts(bdpo_pipeline_model *m, const bdpo_checkpoint *c,
                              const bdpo_pipeline_model_options *o)
{
    bdpo_checkpoint_info info = bdpo_checkpoint_get_info(c);
    const char *tokenizers = o->tokenizers ? o->tokenizers : bdpo_checkpoint_tokenizers(c);
    int count = info.type == BDPO_SDXL ? 2 : 1;
    if (!tokenizers)
        return bdpo_fail(
            BDPO_NOT_FOUND,
            "%s: a single file has no tokenizer; expected --tokenizer DIR, a diffusers "
            "directory of the same family",
            info.path);
    for (; m->n_text < count; m->n_text++) TRY(load_text(m, c, m->n_text, tokenizers, o));
    return BDPO_OK;
}

static bdpo_status read_settings(bdpo_pipeline_model *m, const bdpo_checkpoint *c)
{
    static const char key[] = "force_zeros_for_empty_prompt"; // without the field: true, for SDXL
    const json_t *value = json_object_get(bdpo_checkpoint_index(c), key);
    const json_t *scheduler = bdpo_checkpoint_scheduler(c);
    m->zero_negative = bdpo_checkpoint_get_info(c).type == BDPO_SDXL && !json_is_false(value);
    char *text = scheduler ? json_dumps(scheduler, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    size_t size = text ? strlen(text) + 1 : 1;
    m->scheduler = bdpo_alloc(size, 1);
    if (text && m->scheduler) memcpy(m->scheduler, text, size);
    free(text); // jansson's
    if (!m->scheduler) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a scheduler's settings");
    if (m->scheduler[0]) return BDPO_OK;
    return bdpo_fail(BDPO_NOT_FOUND, "%s: has no scheduler_config.json",
                     bdpo_checkpoint_get_info(c).path);
}

int64_t bdpo_pipeline_context_width(const bdpo_pipeline_model *m)
{
    int64_t width = 0;
    for (int i = 0; i < m->n_text; i++) width += m->text[i].config.tower.width;
    return width;
}

int64_t bdpo_pipeline_pooled_width(const bdpo_pipeline_model *m)
{
    return m->unet.text_time ? m->text[m->n_text - 1].config.projection_dim : 0;
}

static bdpo_status check_fit(const bdpo_pipeline_model *m, const char *path)
{
    int64_t context = bdpo_pipeline_context_width(m), pooled = bdpo_pipeline_pooled_width(m);
    if (m->unet.in_channels != m->vae.latent_channels)
        return bdpo_fail(BDPO_UNSUPPORTED,
                         "%s: the UNet has %" PRId64 " input channels, expected the VAE's %d; "
                         "inpainting and editing models are not supported",
                         path, m->unet.in_channels, m->vae.latent_channels);
    if (m->unet.out_channels != m->unet.in_channels || m->vae.out_channels != 3 ||
        m->vae.in_channels != 3)
        return bdpo_fail(BDPO_UNSUPPORTED,
                         "%s: expected a UNet with as many outputs as inputs and a VAE of "
                         "pictures of 3 channels",
                         path);
    if (m->unet.context_width != context)
        return bdpo_fail(BDPO_UNSUPPORTED,
                         "%s: the UNet's cross_attention_dim is %" PRId64 ", the text encoders "
                         "give %" PRId64,
                         path, m->unet.context_width, context);
    if (m->unet.text_time && bdpo_unet_pooled_width(&m->unet) != pooled)
        return bdpo_fail(BDPO_UNSUPPORTED,
                         "%s: the UNet takes a pooled text of %" PRId64 ", the text encoder gives "
                         "%" PRId64,
                         path, bdpo_unet_pooled_width(&m->unet), pooled);
    for (int i = 1; i < m->n_text; i++)
        if (m->text[i].n_ids != m->text[0].n_ids)
            return bdpo_fail(BDPO_UNSUPPORTED, "%s: tokenizers of %d and %d ids, expected equal",
                             path, m->text[0].n_ids, m->text[i].n_ids);
    return BDPO_OK;
}

static bdpo_status load(bdpo_pipeline_model *m, const bdpo_checkpoint *c,
                        const bdpo_pipeline_model_options *o)
{
    TRY(bdpo_checkpoint_check_usable(c));
    TRY(read_settings(m, c));
    TRY(load_texts(m, c, o));
    TRY(load_unet(m, c, o));
    TRY(load_vae(m, c, o));
    for (int i = 0; i < o->n_loras; i++) TRY(bdpo_lora_file_check_used(o->loras[i].file));
    return check_fit(m, bdpo_checkpoint_get_info(c).path);
}

bdpo_status bdpo_pipeline_model_load(bdpo_pipeline_model **out, bdpo_engine *engine,
                                     const bdpo_checkpoint *checkpoint,
                                     const bdpo_pipeline_model_options *options)
{
    *out = NULL;
    bdpo_pipeline_model *m = bdpo_alloc(1, sizeof *m);
    if (!m) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a model");
    m->engine = engine;
    bdpo_status status = load(m, checkpoint, options);
    if (status == BDPO_OK)
        *out = m;
    else
        bdpo_pipeline_model_free(m);
    return status;
}

void bdpo_pipeline_model_free(bdpo_pipeline_model *m)
{
    if (!m) return;
    bdpo_store_free(m->vae_store);
    bdpo_store_free(m->unet_store);
    bdpo_lora_free(m->unet_lora);
    for (int i = 0; i < BDPO_MAX_TEXT_ENCODERS; i++) {
        bdpo_store_free(m->text[i].store);
        bdpo_lora_free(m->text[i].lora);
        bdpo_clip_bpe_free(m->text[i].tokenizer);
    }
    bdpo_free(m->scheduler);
    bdpo_free(m);
}
