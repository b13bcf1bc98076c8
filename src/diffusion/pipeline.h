// Text to pictures: tokens, text encoders, noise, the denoising loop, the autoencoder. Numbers
// follow diffusers' StableDiffusion(XL)(Img2Img)Pipeline in f32; docs/sampling.md tells where not.
//
//     bdpo_pipeline_open(&pipeline, engine, checkpoint, &(bdpo_pipeline_model_options){0});
//     bdpo_pipeline_generate(pipeline, pictures, &job, NULL);
//
// Plans are built at the first job of a shape and stay with the engine. One thread at a time.
#ifndef BDPO_PIPELINE_H
#define BDPO_PIPELINE_H

#include "base/log.h"
#include "diffusion/pipeline_model.h"
#include "diffusion/sampler.h"
#include "formats/image.h"

typedef struct bdpo_pipeline bdpo_pipeline;

// *out is the caller's, released by bdpo_pipeline_free() before engine and checkpoint, which it
// borrows. Fails as bdpo_pipeline_model_load() and bdpo_scheduler_config_parse().
BDPO_MUST_CHECK bdpo_status bdpo_pipeline_open(bdpo_pipeline **out, bdpo_engine *engine,
                                               const bdpo_checkpoint *checkpoint,
                                               const bdpo_pipeline_model_options *options);
void bdpo_pipeline_free(bdpo_pipeline *pipeline); // NULL is fine
const bdpo_pipeline_model *bdpo_pipeline_get_model(const bdpo_pipeline *pipeline);
// The checkpoint's own scheduler.
const bdpo_scheduler_config *bdpo_pipeline_scheduler(const bdpo_pipeline *pipeline);

// Width and height that the UNet was trained on, in pixels; 0 where the file does not say.
void bdpo_pipeline_native_size(const bdpo_pipeline *pipeline, int *width, int *height);

// ---- a job -------------------------------------------------------------------------------------

// SDXL's conditions on sizes, in pixels. 0: the picture's own.
typedef struct bdpo_size_conditions {
    int original_width, original_height;
    int crop_left, crop_top;
    int target_width, target_height;
} bdpo_size_conditions;

typedef enum bdpo_tiling {
    BDPO_TILE_LARGE, // pictures of more than BDPO_TILE_PIXELS are decoded by tiles
    BDPO_TILE_ALWAYS,
    BDPO_TILE_NEVER
} bdpo_tiling;
enum { BDPO_TILE_PIXELS = 1536 * 1024 };

// One batch. Everything is borrowed for the call.
typedef struct bdpo_generation {
    int n_images;
    const char *const *prompts; // [n_images]
    const char *negative;       // for all; NULL: none
    int width, height;          // multiples of the autoencoder's factor
    const uint64_t *seeds; // [n_seeds]; one for each image, or one for the batch, in which case
    int n_seeds;           // see initial_noise.h
    bdpo_noise_rng rng;
    const char *sampler; // of bdpo_sampler_name(); NULL: the checkpoint's own scheduler
    int n_steps;
    double guidance;         // at most 1: the negative prompt is not computed
    double guidance_rescale; // 0 to 1
    double eta;              // of DDIM
    int clip_skip;           // of the prompt; the negative prompt keeps the usual layer (diffusers)
    bdpo_size_conditions sizes;
    const bdpo_image *start; // image to image: RGB, of width and height; NULL: from noise
    double strength;         // of image to image, (0, 1]
    bdpo_tiling tiling;
} bdpo_generation;

// What a caller may watch. Latents are [n, h, w, c], borrowed for the call.
typedef struct bdpo_generation_watch {
    void *user;
    bool (*interrupted)(void); // asked before each call of the network; may be NULL
    // After the start (call 0 of n_calls) and after each call; may be NULL.
    void (*on_latents)(void *user, int call, int n_calls, const float *latents,
                       const bdpo_shape *shape);
    bdpo_log *log; // is told of prompts that are too long; NULL: silence
} bdpo_generation_watch;

// Fills images[n_images] with RGB pictures, the caller's to release; on failure all are empty.
// `watch` may be NULL. BAD_ARGUMENT for numbers out of range, INTERRUPTED between two steps.
BDPO_MUST_CHECK bdpo_status bdpo_pipeline_generate(bdpo_pipeline *pipeline, bdpo_image *images,
                                                   const bdpo_generation *job,
                                                   const bdpo_generation_watch *watch);

// The same up to the final latents [n_images, height / factor, width / factor, channels], the
// caller's memory; and from there on.
BDPO_MUST_CHECK bdpo_status bdpo_pipeline_denoise(bdpo_pipeline *pipeline, float *latents,
                                                  const bdpo_generation *job,
                                                  const bdpo_generation_watch *watch);
BDPO_MUST_CHECK bdpo_status bdpo_pipeline_decode(bdpo_pipeline *pipeline, bdpo_image *images,
                                                 const float *latents, const bdpo_generation *job);

// The shape of a job's latents.
bdpo_shape bdpo_pipeline_latents_shape(const bdpo_pipeline *pipeline, const bdpo_generation *job);

// ---- figures -----------------------------------------------------------------------------------

// Seconds of all jobs so far, and when (bdpo_clock_seconds()) the first network was about to run.
typedef struct bdpo_pipeline_figures {
    double first_run_at, text_s, denoise_s, encode_s, decode_s;
    int64_t n_calls;    // of the UNet
    size_t arena_bytes; // of intermediate values, shared by all plans
    size_t weight_bytes, mapped_bytes;
} bdpo_pipeline_figures;
bdpo_pipeline_figures bdpo_pipeline_get_figures(const bdpo_pipeline *pipeline);

#endif
