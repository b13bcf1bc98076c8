// Opening models: a directory that diffusers wrote (tests/fixtures/checkpoints/sd2, made by
// tools/parity/checkpoints.py), single files, and what is refused.
#include "harness.h"

#include <sys/stat.h>

#include "base/memory.h"
#include "formats/safetensors.h"
#include "models/checkpoint.h"
#include "models/checkpoint_files.h"
#include "models/model_writer.h"
#include "models/scratch.h"

static const char *golden(void)
{
    return test_path("fixtures/checkpoints/sd2");
}

// A safetensors file of zeros: names with their shapes, ended by a NULL name.
typedef struct fake {
    const char *name;
    int n_dims;
    int64_t dim[4];
} fake;

static const char *write_fakes(const char *file, const fake *fakes,
                               const bdpo_safetensors_options *options)
{
    static const float zeros[512 * 1024]; // of the largest fake
    bdpo_tensor_to_write tensors[16];
    size_t n = 0;
    for (; fakes[n].name; n++) {
        int64_t count = 1;
        for (int i = 0; i < fakes[n].n_dims; i++) count *= fakes[n].dim[i];
        CHECK(n < BDPO_COUNTOF(tensors) && count <= (int64_t)BDPO_COUNTOF(zeros));
        tensors[n] = (bdpo_tensor_to_write){.name = fakes[n].name,
                                            .dtype = BDPO_STORED_F32,
                                            .n_dims = fakes[n].n_dims,
                                            .dim = fakes[n].dim,
                                            .data = zeros};
    }
    const char *path = scratch_path(file);
    CHECK_OK(bdpo_safetensors_write(path, tensors, n, options));
    return path;
}

static void check_refused(const char *path, bdpo_status status, const char *part)
{
    bdpo_checkpoint *c;
    CHECK_STATUS(bdpo_checkpoint_open(&c, path, NULL), status);
    CHECK_CONTAINS(bdpo_message(), part);
    CHECK(c == NULL);
}

// ---- directories -------------------------------------------------------------------------------

BDPO_TEST(directory_of_diffusers_opens)
{
    bdpo_checkpoint *c;
    const bdpo_component *part;
    CHECK_OK(bdpo_checkpoint_open(&c, golden(), NULL));
    bdpo_checkpoint_info info = bdpo_checkpoint_get_info(c);
    CHECK_STR(bdpo_layout_name(info.layout), "directory");
    CHECK(info.known_type);
    CHECK_STR(bdpo_model_type_name(info.type), "sd2");
    CHECK_STR(bdpo_prediction_name(info.prediction), "v_prediction");
    CHECK_INT(info.in_channels, 4);
    CHECK_OK(bdpo_checkpoint_check_usable(c));
    CHECK_INT(bdpo_checkpoint_count(c), 3);
    CHECK_INT(bdpo_component_count(bdpo_checkpoint_at(c, 0)), 206);
    CHECK_INT(bdpo_component_count(bdpo_checkpoint_at(c, 1)), 120);
    CHECK_OK(bdpo_checkpoint_find(&part, c, "text_encoder"));
    CHECK_INT(bdpo_component_count(part), 36);
    CHECK_STATUS(bdpo_checkpoint_find(&part, c, "text_encoder_2"), BDPO_NOT_FOUND);
    CHECK(bdpo_checkpoint_tokenizers(c) == NULL); // it has none
    bdpo_checkpoint_close(c);
}

BDPO_TEST(component_opens_alone)
{
    static const char *const paths[] = {
        "fixtures/checkpoints/sd2/vae",
        "fixtures/checkpoints/sd2/vae/diffusion_pytorch_model.safetensors"};
    for (size_t i = 0; i < BDPO_COUNTOF(paths); i++) {
        bdpo_checkpoint *c;
        CHECK_OK(bdpo_checkpoint_open(&c, test_path(paths[i]), NULL));
        CHECK_STR(bdpo_layout_name(bdpo_checkpoint_get_info(c).layout), "component");
        CHECK_INT(bdpo_checkpoint_count(c), 1);
        const bdpo_component *vae = bdpo_checkpoint_at(c, 0);
        CHECK_STR(bdpo_component_get_source(vae)->spec->name, "vae");
        CHECK_INT(bdpo_component_count(vae), 120);
        CHECK_STATUS(bdpo_checkpoint_check_usable(c), BDPO_UNSUPPORTED);
        CHECK_CONTAINS(bdpo_message(), "holds one component");
        bdpo_checkpoint_close(c);
    }
}

BDPO_TEST(asked_prediction_wins)
{
    bdpo_checkpoint *c;
    CHECK_OK(bdpo_checkpoint_open(&c, golden(),
                                  &(bdpo_checkpoint_options){.prediction = BDPO_PREDICTS_EPSILON}));
    CHECK_INT(bdpo_checkpoint_get_info(c).prediction, BDPO_PREDICTS_EPSILON);
    CHECK_STR(json_string_value(json_object_get(bdpo_checkpoint_scheduler(c), "prediction_type")),
              "epsilon");
    bdpo_checkpoint_close(c);
}

BDPO_TEST(directories_that_are_no_model_are_refused)
{
    check_refused(scratch_path("absent"), BDPO_NOT_FOUND, "absent: cannot open");
    check_refused(scratch_directory("empty"), BDPO_NOT_FOUND,
                  "empty: has neither model_index.json nor config.json: no model");
    scratch_directory("hollow");
    scratch_file("hollow/model_index.json",
                 "{\"unet\": [\"diffusers\", \"UNet2DConditionModel\"]}");
    check_refused(scratch_path("hollow"), BDPO_NOT_FOUND, "hollow/unet/config.json: cannot open");
    scratch_remove();
}

BDPO_TEST(weights_are_taken_by_preference)
{
    static const char *const order[] = {
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.safetensors.index.json",
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.safetensors.index.fp16.json",
        "diffusion_pytorch_model.bf16.safetensors",
        "diffusion_pytorch_model.bin",
        "diffusion_pytorch_model.fp16.bin",
    };
    char found[BDPO_PATH_BYTES];
    const bdpo_component_spec *unet = bdpo_model_type_find(BDPO_SD1, "unet");
    char directory[256];
    snprintf(directory, sizeof directory, "%s", scratch_directory("unet"));
    CHECK_STATUS(bdpo_weights_find(found, directory, unet, NULL), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "has neither diffusion_pytorch_model.safetensors nor "
                                   "diffusion_pytorch_model.bin, nor its fp16 or bf16 variant");
    for (int i = (int)BDPO_COUNTOF(order) - 1; i >= 0; i--) { // each is preferred to those before
        char name[128];
        snprintf(name, sizeof name, "unet/%s", order[i]);
        scratch_file(name, "x");
        CHECK_OK(bdpo_weights_find(found, directory, unet, NULL));
        CHECK_STR(strrchr(found, '/') + 1, order[i]);
    }
    CHECK_OK(bdpo_weights_find(found, directory, unet, "bf16"));
    CHECK_STR(strrchr(found, '/') + 1, "diffusion_pytorch_model.bf16.safetensors");
    CHECK_STATUS(bdpo_weights_find(found, directory, unet, "ema"), BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "has neither diffusion_pytorch_model.ema.safetensors nor "
                                   "diffusion_pytorch_model.ema.bin");
    scratch_remove();
}

// ---- single files ------------------------------------------------------------------------------

#define TO_K  "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
#define FIRST "model.diffusion_model.input_blocks.0.0.weight"

static void check_detected(const fake *fakes, bool known, bdpo_model_type type,
                           bdpo_prediction prediction, int in_channels)
{
    bdpo_tensor_file *file;
    CHECK_OK(bdpo_tensor_file_open(&file, write_fakes("a.safetensors", fakes, NULL)));
    bdpo_detected d = bdpo_model_type_detect(file);
    CHECK_INT(d.known, known);
    if (known) CHECK_INT(d.type, type);
    CHECK_INT(d.prediction, prediction);
    CHECK_INT(d.in_channels, in_channels);
    bdpo_tensor_file_close(file);
    scratch_remove();
}

BDPO_TEST(types_are_told_by_tensors)
{
    const bdpo_prediction unknown = BDPO_PREDICTS_UNKNOWN;
    check_detected((fake[]){{TO_K, 2, {4, 768}}, {FIRST, 4, {320, 4, 1, 1}}, {0}}, true, BDPO_SD1,
                   unknown, 4);
    check_detected((fake[]){{TO_K, 2, {1, 1024}}, {FIRST, 4, {2, 9, 3, 3}}, {0}}, true, BDPO_SD2,
                   unknown, 9);
    check_detected((fake[]){{TO_K, 2, {1, 2048}}, {0}}, true, BDPO_SDXL, unknown, 0);
    check_detected((fake[]){{TO_K, 2, {1, 2048}}, {"v_pred", 1, {1}}, {0}}, true, BDPO_SDXL,
                   BDPO_PREDICTS_V, 0);
    check_detected((fake[]){{TO_K, 2, {1, 500}}, {0}}, false, BDPO_SD1, unknown, 0);
    check_detected((fake[]){{"cond_stage_model.model.ln_final.bias", 1, {4}}, {0}}, true, BDPO_SD2,
                   unknown, 0);
    check_detected((fake[]){{"state_dict.cond_stage_model.transformer.x", 1, {4}}, {0}}, true,
                   BDPO_SD1, unknown, 0);
    check_detected((fake[]){{"conditioner.embedders.1.model.ln_final.bias", 1, {4}},
                            {"conditioner.embedders.0.transformer.x", 1, {4}},
                            {0}},
                   true, BDPO_SDXL, unknown, 0);
}

// Puts the published configurations of a family's components into configs/.
static void copy_known_configs(bdpo_model_type type)
{
    for (int i = 0; i < bdpo_model_type_count(type); i++) {
        const char *name = bdpo_model_type_at(type, i)->name;
        char file[128];
        bdpo_json_document *document;
        CHECK_OK(bdpo_model_type_config(&document, type, name, BDPO_PREDICTS_UNKNOWN));
        snprintf(file, sizeof file, "configs/%s", name);
        mkdir(scratch_path(file), 0777); // it may be there
        snprintf(file, sizeof file, "configs/%s/config.json", name);
        CHECK_INT(json_dump_file(bdpo_json_root(document).value, scratch_path(file), 0), 0);
        bdpo_json_free(document);
    }
}

BDPO_TEST(prediction_is_asked_then_stated_then_borrowed_then_usual)
{
    const fake sdxl[] = {{TO_K, 2, {1, 2048}}, {0}}, sd2[] = {{TO_K, 2, {1, 1024}}, {0}};
    const fake marked[] = {{TO_K, 2, {1, 2048}}, {"v_pred", 1, {1}}, {0}};
    scratch_directory("configs");
    scratch_directory("configs/scheduler");
    scratch_file("configs/model_index.json", "{}");
    scratch_file("configs/scheduler/scheduler_config.json", "{\"prediction_type\": \"epsilon\"}");
    char configs[512];
    snprintf(configs, sizeof configs, "%s", scratch_path("configs"));
    const struct {
        const fake *fakes;
        bdpo_checkpoint_options options;
        bdpo_prediction expected;
    } cases[] = {{sdxl, {0}, BDPO_PREDICTS_EPSILON},
                 {sd2, {0}, BDPO_PREDICTS_UNKNOWN},
                 {marked, {0}, BDPO_PREDICTS_V},
                 {marked, {.prediction = BDPO_PREDICTS_EPSILON}, BDPO_PREDICTS_EPSILON},
                 {sd2, {.configs = configs}, BDPO_PREDICTS_EPSILON},
                 {marked, {.configs = configs}, BDPO_PREDICTS_V},
                 {sd2, {.prediction = BDPO_PREDICTS_V, .configs = configs}, BDPO_PREDICTS_V}};
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        copy_known_configs(cases[i].fakes == sd2 ? BDPO_SD2 : BDPO_SDXL);
        bdpo_checkpoint *c;
        const char *path = write_fakes("a.safetensors", cases[i].fakes, NULL);
        CHECK_OK(bdpo_checkpoint_open(&c, path, &cases[i].options));
        CHECK_INT(bdpo_checkpoint_get_info(c).prediction, cases[i].expected);
        const json_t *said = json_object_get(bdpo_checkpoint_scheduler(c), "prediction_type");
        if (cases[i].expected != BDPO_PREDICTS_UNKNOWN)
            CHECK_STR(json_string_value(said), bdpo_prediction_name(cases[i].expected));
        bdpo_checkpoint_close(c);
    }
    scratch_remove();
}

BDPO_TEST(metadata_tells_what_sd2_predicts)
{
    const bdpo_metadata_pair pair = {"modelspec.prediction_type", "v"};
    const bdpo_safetensors_options options = {.metadata = &pair, .n_metadata = 1};
    bdpo_tensor_file *file;
    const fake fakes[] = {{"cond_stage_model.model.ln_final.bias", 1, {4}}, {0}};
    CHECK_OK(bdpo_tensor_file_open(&file, write_fakes("a.safetensors", fakes, &options)));
    CHECK_INT(bdpo_model_type_detect(file).prediction, BDPO_PREDICTS_V);
    bdpo_tensor_file_close(file);
    scratch_remove();
}

BDPO_TEST(refiner_and_inpainting_are_refused_by_name)
{
    const fake refiner[] = {{"conditioner.embedders.0.model.ln_final.bias", 1, {4}}, {0}};
    const fake inpainting[] = {{TO_K, 2, {4, 768}}, {FIRST, 4, {8, 9, 3, 3}}, {0}};
    bdpo_checkpoint *c;
    check_refused(write_fakes("r.safetensors", refiner, NULL), BDPO_UNSUPPORTED,
                  "is SDXL's refiner, which is not supported");
    CHECK_OK(bdpo_checkpoint_open(&c, write_fakes("i.safetensors", inpainting, NULL), NULL));
    CHECK_STATUS(bdpo_checkpoint_check_usable(c), BDPO_UNSUPPORTED);
    CHECK_CONTAINS(bdpo_message(), "is a model for inpainting (9 input channels)");
    bdpo_checkpoint_close(c);
    scratch_remove();
}

BDPO_TEST(other_tensors_open_without_components)
{
    const fake lora[] = {{"lora_unet_mid.lora_down.weight", 2, {4, 8}}, {0}};
    bdpo_checkpoint *c;
    CHECK_OK(bdpo_checkpoint_open(&c, write_fakes("l.safetensors", lora, NULL), NULL));
    CHECK_STR(bdpo_layout_name(bdpo_checkpoint_get_info(c).layout), "tensors");
    CHECK_INT(bdpo_checkpoint_count(c), 0);
    CHECK_INT(bdpo_checkpoint_n_files(c), 1);
    CHECK_STATUS(bdpo_checkpoint_check_usable(c), BDPO_UNSUPPORTED);
    bdpo_checkpoint_close(c);
    scratch_remove();
}

BDPO_TEST(strays_and_strangers_are_counted)
{
    const fake fakes[] = {
        {TO_K, 2, {4, 768}},         {"model.diffusion_model.nonsense.weight", 1, {4}},
        {"control_model.x", 1, {4}}, {"model_ema.decay", 1, {1}},
        {"betas", 1, {8}},           {0}};
    bdpo_checkpoint *c;
    CHECK_OK(bdpo_checkpoint_open(&c, write_fakes("a.safetensors", fakes, NULL), NULL));
    CHECK_INT(bdpo_checkpoint_count(c), 1); // neither VAE nor text model
    const bdpo_component *unet = bdpo_checkpoint_at(c, 0);
    CHECK_INT(bdpo_component_count(unet), 1);
    CHECK_STR(bdpo_component_at(unet, 0)->name,
              "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight");
    CHECK_INT(bdpo_component_n_strays(unet), 1);
    CHECK_STR(bdpo_component_stray(unet, 0), "model.diffusion_model.nonsense.weight");
    CHECK_INT(bdpo_checkpoint_n_strangers(c), 1);
    bdpo_checkpoint_close(c);
    scratch_remove();
}

#define LAYER "cond_stage_model.model.transformer.resblocks.0."

BDPO_TEST(stacked_and_doubled_tensors_are_checked)
{
    const fake odd[] = {{LAYER "attn.in_proj_bias", 1, {8}}, {0}};
    const fake twice[] = {{"encoder.layers.0.layer_norm1.bias", 1, {8}},
                          {"text_model.encoder.layers.0.layer_norm1.bias", 1, {8}},
                          {0}};
    const fake deep[] = {{"conditioner.embedders.1.model.text_projection", 3, {2, 2, 2}}, {0}};
    check_refused(write_fakes("a.safetensors", odd, NULL), BDPO_BAD_FILE,
                  "\"" LAYER "attn.in_proj_bias\" is [8], where q, k and v stacked are expected");
    check_refused(write_fakes("a.safetensors", deep, NULL), BDPO_BAD_FILE,
                  "text_projection\" is [2, 2, 2], where a matrix is expected");
    write_fakes("model.safetensors", twice, NULL);
    scratch_file("config.json", "{\"architectures\": [\"CLIPTextModel\"]}");
    check_refused(scratch_path("model.safetensors"), BDPO_BAD_FILE, "are both \"text_model.");
    scratch_remove();
}

// ---- the published configurations --------------------------------------------------------------

static void list_known(bdpo_param_list *list, bdpo_model_type type, const char *name)
{
    bdpo_json_document *document;
    CHECK_OK(bdpo_model_type_config(&document, type, name, BDPO_PREDICTS_UNKNOWN));
    const bdpo_component_source source = {.spec = bdpo_model_type_find(type, name),
                                          .config = bdpo_json_root(document).value,
                                          .config_file = name};
    CHECK_OK(bdpo_component_params(list, &source));
    bdpo_json_free(document);
}

BDPO_TEST(known_configurations_have_the_published_sizes)
{
    static const struct {
        bdpo_model_type type;
        const char *name;
        int tensors;
        int64_t parameters;
    } published[] = {{BDPO_SD1, "unet", 686, 859520964},
                     {BDPO_SD2, "unet", 686, 865910724},
                     {BDPO_SDXL, "unet", 1680, 2567463684},
                     {BDPO_SD1, "vae", 248, 83653863},
                     {BDPO_SDXL, "vae", 248, 83653863},
                     {BDPO_SD1, "text_encoder", 196, 123060480},
                     {BDPO_SD2, "text_encoder", 372, 340387840},
                     {BDPO_SDXL, "text_encoder", 196, 123060480},
                     {BDPO_SDXL, "text_encoder_2", 517, 694659840}};
    for (size_t i = 0; i < BDPO_COUNTOF(published); i++) {
        bdpo_param_list *list;
        CHECK_OK(bdpo_param_list_new(&list));
        list_known(list, published[i].type, published[i].name);
        CHECK_INT(bdpo_param_list_count(list), published[i].tensors);
        CHECK_INT(bdpo_param_list_elements(list), published[i].parameters);
        bdpo_param_list_free(list);
    }
}

BDPO_TEST(checkpoint_survives_each_failed_allocation)
{
    char path[512];
    snprintf(path, sizeof path, "%s", golden());
    for (uint64_t at = 1;; at += at < 200 ? 1 : 97) { // each of the first, then a sample
        bdpo_checkpoint *c;
        bdpo_alloc_fail_at(bdpo_alloc_count() + at);
        bdpo_status status = bdpo_checkpoint_open(&c, path, NULL);
        bdpo_alloc_fail_at(0);
        bdpo_checkpoint_close(c);
        if (status == BDPO_OK) break;
        CHECK_STATUS(status, BDPO_NO_MEMORY);
    }
}
