// The autoencoder against diffusers: moments, sampled latents, pictures and the gradient of every
// parameter, of small models; tiled decoding; the real decoder at full size.
#include "harness.h"

#include "base/memory.h"
#include "models/vae_tiled.h"
#include "parity/model_parity.h"
#include "parity/parity_inputs.h"
#include "tensor/tensor.h"

// Keys' biases shift all scores of a query alike: softmax does not see them.
static bool is_zero(const char *name)
{
    return strstr(name, "to_k.bias") != NULL;
}

static const bdpo_vae_config vae_sd = {.n_levels = 3,
                                       .channels = {32, 64, 64},
                                       .residuals = 2,
                                       .in_channels = 3,
                                       .out_channels = 3,
                                       .latent_channels = 4,
                                       .groups = 8,
                                       .sample_size = 32,
                                       .scaling = 0.18215F,
                                       .upcast = true,
                                       .quant_conv = true,
                                       .post_quant_conv = true,
                                       .mid_attention = true};
static const bdpo_vae_config vae_16 = {.n_levels = 2,
                                       .channels = {32, 48},
                                       .residuals = 1,
                                       .in_channels = 3,
                                       .out_channels = 3,
                                       .latent_channels = 16,
                                       .groups = 4,
                                       .sample_size = 32,
                                       .scaling = 1.5305F,
                                       .shift = 0.0609F,
                                       .upcast = true};
static const bdpo_vae_config vae_full = {.n_levels = 4,
                                         .channels = {128, 256, 512, 512},
                                         .residuals = 2,
                                         .in_channels = 3,
                                         .out_channels = 3,
                                         .latent_channels = 4,
                                         .groups = 32,
                                         .sample_size = 512,
                                         .scaling = 0.18215F,
                                         .upcast = true,
                                         .quant_conv = true,
                                         .post_quant_conv = true,
                                         .mid_attention = true};

// Encode, sample, take the sample back to what the decoder reads, decode: one graph.
static void check_chain(const char *name, const char *weights, const bdpo_vae_config *config,
                        int64_t n, int64_t height, int64_t width)
{
    model_run run;
    fixture *f = fixture_open("vae/vae");
    int64_t factor = bdpo_vae_factor(config);
    bdpo_shape picture = BDPO_SHAPE(n, height, width, 3);
    bdpo_shape latent = BDPO_SHAPE(n, height / factor, width / factor, config->latent_channels);
    model_run_init(&run, name, weights);
    bdpo_vae_params(run.params, config);
    model_run_store(&run);
    const bdpo_builder *b = &run.builder;
    bdpo_node *pixels = model_run_input(&run, "pixels", picture);
    bdpo_node *noise = model_run_input(&run, "noise", latent);
    bdpo_vae_moments moments = bdpo_vae_encode(b, config, pixels);
    bdpo_node *latents = bdpo_vae_sample(b, config, &moments, noise);
    bdpo_node *image = bdpo_vae_decode(b, config, bdpo_vae_unscale(b, config, latents));
    model_run_output(&run, "mean", moments.mean);
    model_run_output(&run, "logvar", moments.logvar);
    model_run_output(&run, "latents", latents);
    model_run_output(&run, "image", image);
    model_run_plan(&run);
    model_run_write(&run, "pixels", picture);
    model_run_write(&run, "noise", latent);
    model_run_go(&run);
    CHECK_INT(model_run_compare(&run, f, false, false, is_zero), bdpo_param_list_count(run.params));
    model_run_release(&run);
    fixture_close(f);
}

BDPO_TEST(vae_square)
{
    check_chain("vae_sd_square", "vae_sd", &vae_sd, 2, 32, 32);
}

BDPO_TEST(vae_wide)
{
    check_chain("vae_sd_wide", "vae_sd", &vae_sd, 1, 24, 40);
}

BDPO_TEST(vae_16_channels_without_attention_and_quant_convolutions)
{
    check_chain("vae_16_tall", "vae_16", &vae_16, 2, 20, 12);
}

// ---- tiles -------------------------------------------------------------------------------------

// Twice the same picture: diffusers' is one.
static void check_tiled(const char *name, int sample_size, int64_t height, int64_t width)
{
    model_run run;
    fixture *f = fixture_open("vae/vae");
    bdpo_vae_config config = vae_sd;
    config.sample_size = sample_size;
    model_run_init(&run, name, "vae_sd");
    bdpo_vae_params(run.params, &config);
    model_run_store(&run);
    bdpo_shape shape = BDPO_SHAPE(2, height, width, 4);
    size_t in = (size_t)(height * width * 4), out = (size_t)(height * width * 16 * 3);
    float *z = model_floats(2 * in), *image = model_floats(2 * out);
    char key[64];
    snprintf(key, sizeof key, "%s/z", name);
    parity_fill(z, in, key, 1, 0);
    memcpy(z + in, z, in * sizeof *z);
    CHECK_OK(bdpo_vae_decode_tiled(image, z, &shape, run.engine, run.store, &config));
    model_run_compare_tensor(&run, f, "image", image, out);
    CHECK_BYTES(image + out, image, out * sizeof *image);
    bdpo_free(z);
    bdpo_free(image);
    model_run_release(&run);
    fixture_close(f);
}

BDPO_TEST(vae_tiles_in_both_directions)
{
    check_tiled("tiled_wide", 64, 30, 45);
}

BDPO_TEST(vae_tiles_in_one_direction)
{
    check_tiled("tiled_tall", 48, 37, 12);
}

// ---- full size ---------------------------------------------------------------------------------

BDPO_TEST_LONG(vae_decoder_at_full_size)
{
    enum { DECODER_TENSORS = 140 };
    model_run run;
    fixture *f = fixture_open("vae/vae_full");
    bdpo_shape shape = BDPO_SHAPE(1, 16, 16, 4);
    model_run_init(&run, "vae_full", "vae_full");
    bdpo_vae_params(run.params, &vae_full);
    model_run_store(&run);
    bdpo_node *z = model_run_input(&run, "z", shape);
    model_run_output(&run, "image", bdpo_vae_decode(&run.builder, &vae_full, z));
    model_run_plan(&run);
    model_run_write(&run, "z", shape);
    model_run_go(&run);
    CHECK_INT(model_run_compare(&run, f, true, true, is_zero), DECODER_TENSORS);
    model_run_release(&run);
    fixture_close(f);
}
