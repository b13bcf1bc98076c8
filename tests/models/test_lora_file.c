// Adapter files: what is written in either style is read back as the same product, several files
// stack, and what does not fit is refused by name.
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "models/lora_writer.h"

enum { OUT = 6, IN = 4, RANK = 2, SIDE = 3 };
static const double ALPHA = 3;

typedef struct world {
    bdpo_engine *engine;
    bdpo_param_list *layers;
    bdpo_lora_component component;
    char directory[64];
} world;

static void world_new(world *w)
{
    *w = (world){.directory = "/tmp/bdpo-lora-XXXXXX"};
    CHECK(mkdtemp(w->directory) != NULL);
    CHECK_OK(bdpo_engine_new(&w->engine, &(bdpo_engine_options){.n_threads = 1}));
    CHECK_OK(bdpo_param_list_new(&w->layers));
    bdpo_param_list_add(w->layers, BDPO_SHAPE(OUT, IN), "mid_block.attentions.0.proj_in.weight");
    bdpo_param_list_add(w->layers, BDPO_SHAPE(OUT), "mid_block.attentions.0.proj_in.bias");
    bdpo_param_list_add(w->layers, BDPO_SHAPE(OUT, IN, SIDE, SIDE), "conv_in.weight");
    CHECK_OK(bdpo_param_list_check(w->layers));
    w->component = (bdpo_lora_component){.name = "unet", .params = w->layers};
}

static void world_free(world *w)
{
    bdpo_param_list_free(w->layers);
    bdpo_engine_free(w->engine);
    CHECK(rmdir(w->directory) == 0);
}

static const char *path_in(const world *w, const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", w->directory, name);
    return path;
}

// A sealed store with the matrices of `lora`, all zero.
static bdpo_store *store_of(const world *w, const bdpo_lora *lora)
{
    bdpo_store *store;
    bdpo_param_list *list;
    CHECK_OK(bdpo_store_new(&store, w->engine));
    CHECK_OK(bdpo_param_list_new(&list));
    bdpo_lora_params(list, lora);
    for (int i = 0; i < bdpo_param_list_count(list); i++) {
        const bdpo_param_spec *spec = bdpo_param_list_at(list, i);
        CHECK_OK(
            bdpo_store_declare(store, spec->name, BDPO_F32, bdpo_param_store_shape(spec), true));
    }
    bdpo_param_list_free(list);
    CHECK_OK(bdpo_store_seal(store));
    return store;
}

static void fill(bdpo_store *store, const char *name, size_t count, int seed)
{
    float values[OUT * IN * SIDE * SIDE];
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((int)(i * 7 + (size_t)seed) % 11 - 5) / 4;
    CHECK_OK(bdpo_store_write(store, BDPO_PARAM, name, values, count * sizeof *values));
}

// Writes adapters of both layers in a style; the path is good until the next call.
static const char *write_file(const world *w, const char *name, bdpo_lora_style style, int seed)
{
    bdpo_lora *lora;
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK_OK(
        bdpo_lora_add(lora, "mid_block.attentions.0.proj_in", BDPO_SHAPE(OUT, IN), RANK, ALPHA));
    CHECK_OK(bdpo_lora_add(lora, "conv_in", BDPO_SHAPE(OUT, IN, SIDE, SIDE), RANK, ALPHA));
    bdpo_store *store = store_of(w, lora);
    fill(store, "mid_block.attentions.0.proj_in.lora_A.weight", RANK * IN, seed);
    fill(store, "mid_block.attentions.0.proj_in.lora_B.weight", OUT * RANK, seed + 1);
    fill(store, "conv_in.lora_A.weight", RANK * IN * SIDE * SIDE, seed + 2);
    fill(store, "conv_in.lora_B.weight", OUT * RANK, seed + 3);
    bdpo_lora_part part = {w->component, lora, store, BDPO_PARAM};
    bdpo_lora_to_write file = {.parts = &part, .n_parts = 1, .style = style};
    const char *path = path_in(w, name);
    CHECK_OK(bdpo_lora_write(path, &file));
    bdpo_store_free(store);
    bdpo_lora_free(lora);
    return path;
}

// product[OUT][n_in] += strength alpha / rank B A of one layer, as a graph would compute it.
static void add_product(double *product, const world *w, const bdpo_lora_source *sources, int n,
                        const char *path, int n_in)
{
    bdpo_lora *lora;
    float a[64 * IN], b[64 * OUT];
    char name[96];
    CHECK_OK(bdpo_lora_new(&lora));
    CHECK_OK(bdpo_lora_files_target(lora, sources, n, &w->component));
    CHECK_INT(bdpo_lora_count(lora), 2);
    bdpo_store *store = store_of(w, lora);
    CHECK_OK(bdpo_lora_files_fill(store, lora, sources, n, &w->component));
    const bdpo_lora_module *m = bdpo_lora_find(lora, path);
    CHECK(m != NULL);
    snprintf(name, sizeof name, "%s.lora_A.weight", path);
    CHECK_OK(bdpo_store_read(store, BDPO_PARAM, name, a, (size_t)(m->rank * n_in) * sizeof *a));
    snprintf(name, sizeof name, "%s.lora_B.weight", path);
    CHECK_OK(bdpo_store_read(store, BDPO_PARAM, name, b, (size_t)(OUT * m->rank) * sizeof *b));
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < n_in; i++)
            for (int r = 0; r < m->rank; r++)
                product[o * n_in + i] += bdpo_lora_factor(lora, m) * (double)b[o * m->rank + r] *
                                         (double)a[r * n_in + i];
    bdpo_store_free(store);
    bdpo_lora_free(lora);
}

static void check_same_product(const char *path, int n_in)
{
    world w;
    double kohya[OUT * IN * SIDE * SIDE] = {0}, diffusers[OUT * IN * SIDE * SIDE] = {0};
    bdpo_lora_source source = {.strength = 0.5};
    world_new(&w);
    CHECK_OK(
        bdpo_lora_file_open(&source.file, write_file(&w, "a.safetensors", BDPO_LORA_KOHYA, 1)));
    add_product(kohya, &w, &source, 1, path, n_in);
    CHECK_OK(bdpo_lora_file_check_used(source.file));
    bdpo_lora_file_close(source.file);
    CHECK(unlink(path_in(&w, "a.safetensors")) == 0);
    CHECK_OK(
        bdpo_lora_file_open(&source.file, write_file(&w, "b.safetensors", BDPO_LORA_DIFFUSERS, 1)));
    add_product(diffusers, &w, &source, 1, path, n_in);
    CHECK_OK(bdpo_lora_file_check_used(source.file));
    bdpo_lora_file_close(source.file);
    CHECK(unlink(path_in(&w, "b.safetensors")) == 0);
    double largest = 0;
    for (int i = 0; i < OUT * n_in; i++) {
        CHECK_NEAR(diffusers[i], kohya[i], 0); // quarters and halves: nothing is rounded
        largest = fmax(largest, fabs(kohya[i]));
    }
    CHECK_LE(0.5, largest);
    world_free(&w);
}

BDPO_TEST(both_styles_are_the_same_adapter)
{
    check_same_product("mid_block.attentions.0.proj_in", IN);
    check_same_product("conv_in", IN * SIDE * SIDE);
}

BDPO_TEST(several_files_stack)
{
    world w;
    bdpo_lora_source both[2] = {{.strength = 0.5}, {.strength = -2}};
    double stacked[OUT * IN] = {0}, added[OUT * IN] = {0};
    world_new(&w);
    for (int i = 0; i < 2; i++)
        CHECK_OK(
            bdpo_lora_file_open(&both[i].file, write_file(&w, i ? "b.safetensors" : "a.safetensors",
                                                          BDPO_LORA_KOHYA, i)));
    add_product(stacked, &w, both, 2, "mid_block.attentions.0.proj_in", IN);
    for (int i = 0; i < 2; i++)
        add_product(added, &w, &both[i], 1, "mid_block.attentions.0.proj_in", IN);
    for (int i = 0; i < OUT * IN; i++) CHECK_NEAR(stacked[i], added[i], 0); // exact, as above
    for (int i = 0; i < 2; i++) {
        bdpo_lora_file_close(both[i].file);
        CHECK(unlink(path_in(&w, i ? "b.safetensors" : "a.safetensors")) == 0);
    }
    world_free(&w);
}

// One adapter whose A or B does not fit the layer, or that has no layer, or no partner.
static void check_refused(const char *key, int64_t rows, int64_t cols, const char *partner,
                          const char *sentence)
{
    world w;
    bdpo_lora *lora;
    bdpo_lora_source source = {.strength = 1};
    static const float zeros[64];
    const int64_t dim[] = {rows, cols}, other[] = {OUT, RANK};
    bdpo_tensor_to_write tensors[2] = {{key, BDPO_STORED_F32, 2, dim, zeros},
                                       {partner, BDPO_STORED_F32, 2, other, zeros}};
    world_new(&w);
    const char *path = path_in(&w, "bad.safetensors");
    CHECK_OK(bdpo_safetensors_write(path, tensors, partner ? 2 : 1, NULL));
    CHECK_OK(bdpo_lora_file_open(&source.file, path));
    CHECK_OK(bdpo_lora_new(&lora));
    bdpo_status status = bdpo_lora_files_target(lora, &source, 1, &w.component);
    if (status == BDPO_OK) status = bdpo_lora_file_check_used(source.file);
    CHECK_STATUS(status, BDPO_BAD_FILE);
    CHECK_CONTAINS(bdpo_message(), sentence);
    CHECK_CONTAINS(bdpo_message(), "bad.safetensors");
    bdpo_lora_free(lora);
    bdpo_lora_file_close(source.file);
    CHECK(unlink(path_in(&w, "bad.safetensors")) == 0);
    world_free(&w);
}

BDPO_TEST(what_does_not_fit_is_named)
{
    check_refused("unet.conv_in.lora_A.weight", RANK, IN, "unet.conv_in.lora_B.weight",
                  "\"unet.conv_in.lora_A.weight\" is [2, 4] where [2, 4, 3, 3] is expected");
    check_refused("unet.mid_block.attentions.0.proj_in.lora_A.weight", RANK, IN, NULL,
                  "\"unet.mid_block.attentions.0.proj_in.lora_B.weight\" is missing beside");
    check_refused("unet.no_such_layer.lora_A.weight", RANK, IN, NULL,
                  "1 of 1 tensors are no adapter of a layer of this model: "
                  "\"unet.no_such_layer.lora_A.weight\"");
    check_refused("lora_unet_conv_in.hada_w1_a", RANK, IN, NULL, "hada_w1_a");
}
