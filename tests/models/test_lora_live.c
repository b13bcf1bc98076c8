// Writes adapters for a whole model in both styles, for tools/parity/lora.py to load elsewhere:
// BDPO_LIVE_DIR names a folder with "model", a diffusers directory.
#include "harness.h"

#include <stdlib.h>

#include "base/memory.h"
#include "models/checkpoint.h"
#include "models/lora_writer.h"

enum { MAX_PARTS = 3, RANK = 3 };

typedef struct adapted {
    bdpo_param_list *params, *matrices;
    bdpo_lora *lora;
    bdpo_store *store;
} adapted;

// A by the usual start, B by another seed's: a B of zeros would adapt nothing.
static void fill(const adapted *a, uint64_t seed)
{
    CHECK_OK(bdpo_lora_init(a->lora, a->store, BDPO_LORA_KAIMING, seed));
    for (int i = 0; i < bdpo_param_list_count(a->matrices); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(a->matrices, i);
        size_t count = 1, length = strlen(spec->name);
        for (int d = 0; d < spec->shape.n_dims; d++) count *= (size_t)spec->shape.dim[d];
        if (strcmp(spec->name + length - 8, "B.weight") != 0) continue;
        float *values = bdpo_alloc(count, sizeof *values);
        CHECK(values != NULL);
        for (size_t k = 0; k < count; k++)
            values[k] = (float)((k * 7 + (size_t)i) % 13) / 24.0F - 0.25F;
        CHECK_OK(
            bdpo_store_write(a->store, BDPO_PARAM, spec->name, values, count * sizeof *values));
        bdpo_free(values);
    }
}

static void adapt(adapted *a, bdpo_engine *engine, const bdpo_component *component, bool text)
{
    static const char *const targets[] = {"attention", "feed-forward", "projections",
                                          "convolutions"};
    CHECK_OK(bdpo_param_list_new(&a->params));
    CHECK_OK(bdpo_param_list_new(&a->matrices));
    CHECK_OK(bdpo_lora_new(&a->lora));
    CHECK_OK(bdpo_store_new(&a->store, engine));
    CHECK_OK(bdpo_component_params(a->params, bdpo_component_get_source(component)));
    CHECK_OK(bdpo_param_list_check(a->params));
    CHECK_OK(bdpo_lora_target(a->lora, a->params, targets, text ? 2 : 4, RANK, 2));
    bdpo_lora_params(a->matrices, a->lora);
    for (int i = 0; i < bdpo_param_list_count(a->matrices); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(a->matrices, i);
        CHECK_OK(
            bdpo_store_declare(a->store, spec->name, BDPO_F32, bdpo_param_store_shape(spec), true));
    }
    CHECK_OK(bdpo_store_seal(a->store));
    fill(a, text ? 5 : 6);
}

static void adapted_free(adapted *a)
{
    bdpo_store_free(a->store);
    bdpo_lora_free(a->lora);
    bdpo_param_list_free(a->matrices);
    bdpo_param_list_free(a->params);
}

static void write_both(const char *folder, const bdpo_checkpoint *checkpoint, bdpo_engine *engine)
{
    adapted all[MAX_PARTS];
    bdpo_lora_part parts[MAX_PARTS];
    int n = 0;
    for (int i = 0; i < bdpo_checkpoint_count(checkpoint); i++) {
        const bdpo_component *c = bdpo_checkpoint_at(checkpoint, i);
        const char *name = bdpo_component_get_source(c)->spec->name;
        if (strcmp(name, "vae") == 0) continue;
        adapt(&all[n], engine, c, strcmp(name, "unet") != 0);
        parts[n] = (bdpo_lora_part){.component = {name, all[n].params, bdpo_component_naming(c)},
                                    .lora = all[n].lora,
                                    .store = all[n].store};
        n++;
    }
    bdpo_checkpoint_info info = bdpo_checkpoint_get_info(checkpoint);
    static const char *const names[] = {"diffusers", "kohya"};
    for (int style = BDPO_LORA_DIFFUSERS; style <= BDPO_LORA_KOHYA; style++) {
        char path[1024];
        bdpo_lora_to_write file = {.parts = parts,
                                   .n_parts = n,
                                   .style = (bdpo_lora_style)style,
                                   .type = info.type,
                                   .prediction = info.prediction};
        snprintf(path, sizeof path, "%s/%s.safetensors", folder, names[style]);
        CHECK_OK(bdpo_lora_write(path, &file));
    }
    for (int i = 0; i < n; i++) adapted_free(&all[i]);
}

BDPO_TEST_LONG(adapters_for_other_readers)
{
    const char *folder = getenv("BDPO_LIVE_DIR");
    char path[1024];
    bdpo_engine *engine;
    bdpo_checkpoint *checkpoint;
    if (!folder) SKIP("BDPO_LIVE_DIR is not set (tools/parity/lora.py sets it)");
    snprintf(path, sizeof path, "%s/model", folder);
    CHECK_OK(bdpo_engine_new(&engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_checkpoint_open(&checkpoint, path, NULL));
    write_both(folder, checkpoint, engine);
    bdpo_checkpoint_close(checkpoint);
    bdpo_engine_free(engine);
}
