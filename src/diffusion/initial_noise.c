// Draws for a batch of latents, by PyTorch's generator or by ours.
#include "diffusion/initial_noise.h"

#include <inttypes.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/torch_random.h"

struct bdpo_noise_source {
    bdpo_noise_rng rng;
    int n_seeds;
    int64_t first_image;
    uint64_t *seeds;               // [n_seeds]
    bdpo_torch_random *generators; // [n_seeds], NULL for Philox
};

void bdpo_noise_source_free(bdpo_noise_source *source)
{
    if (!source) return;
    bdpo_free(source->seeds);
    bdpo_free(source->generators);
    bdpo_free(source);
}

bdpo_status bdpo_noise_source_new(bdpo_noise_source **out, bdpo_noise_rng rng,
                                  const uint64_t *seeds, int n_seeds, int64_t first_image)
{
    BDPO_ASSERT(n_seeds >= 1 && first_image >= 0);
    bool torch = rng == BDPO_NOISE_TORCH;
    bdpo_noise_source *s = bdpo_alloc(1, sizeof *s);
    if (s) {
        *s = (bdpo_noise_source){.rng = rng, .n_seeds = n_seeds, .first_image = first_image};
        s->seeds = bdpo_alloc((size_t)n_seeds, sizeof *s->seeds);
        if (torch) s->generators = bdpo_alloc((size_t)n_seeds, sizeof *s->generators);
    }
    if (!s || !s->seeds || (torch && !s->generators)) {
        bdpo_noise_source_free(s);
        return bdpo_fail(BDPO_NO_MEMORY, "noise: no memory for %d seeds", n_seeds);
    }
    for (int i = 0; i < n_seeds; i++) {
        s->seeds[i] = seeds[i];
        if (torch) bdpo_torch_random_init(&s->generators[i], seeds[i]);
    }
    *out = s;
    return BDPO_OK;
}

bdpo_status bdpo_noise_source_clone(bdpo_noise_source **out, const bdpo_noise_source *source)
{
    TRY(bdpo_noise_source_new(out, source->rng, source->seeds, source->n_seeds,
                              source->first_image));
    bdpo_torch_random *copies = (*out)->generators;
    for (int i = 0; copies && i < source->n_seeds; i++) copies[i] = source->generators[i];
    return BDPO_OK;
}

// [n, c, h*w] to [n, h*w, c]
static void channels_last(float *out, const float *in, int64_t n, int64_t pixels, int64_t channels)
{
    for (int64_t image = 0; image < n; image++)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < channels; c++)
                out[(image * pixels + p) * channels + c] = in[(image * channels + c) * pixels + p];
}

static bdpo_status draw_torch(bdpo_noise_source *s, float *out, int64_t n, int64_t pixels,
                              int64_t channels)
{
    int64_t images = s->n_seeds == 1 ? n : 1, count = images * pixels * channels;
    float *drawn = bdpo_alloc((size_t)count, sizeof *drawn);
    if (!drawn) return bdpo_fail(BDPO_NO_MEMORY, "noise: no memory for %" PRId64 " values", count);
    for (int i = 0; i < s->n_seeds; i++) {
        bdpo_torch_random_normal(&s->generators[i], drawn, count);
        channels_last(out + i * count, drawn, images, pixels, channels);
    }
    bdpo_free(drawn);
    return BDPO_OK;
}

static void draw_philox(const bdpo_noise_source *s, float *out, int64_t n, int64_t count,
                        uint32_t step)
{
    for (int64_t i = 0; i < n; i++) {
        bdpo_random_key key = {.seed = s->seeds[s->n_seeds == 1 ? 0 : i],
                               .purpose = BDPO_RANDOM_SAMPLER,
                               .sample = (uint64_t)(s->first_image + (s->n_seeds == 1 ? i : 0)),
                               .step = step};
        bdpo_random_normal(out + i * count, count, key, 0);
    }
}

bdpo_status bdpo_noise_source_draw(bdpo_noise_source *source, float *out, const bdpo_shape *latents,
                                   uint32_t step)
{
    BDPO_ASSERT(latents->n_dims == 4);
    int64_t n = latents->dim[0], pixels = latents->dim[1] * latents->dim[2];
    int64_t channels = latents->dim[3];
    if (source->n_seeds != 1 && source->n_seeds != n)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "noise: %d seeds for a batch of %" PRId64 "; expected 1 or one for each",
                         source->n_seeds, n);
    if (source->rng == BDPO_NOISE_TORCH) return draw_torch(source, out, n, pixels, channels);
    draw_philox(source, out, n, pixels * channels, step);
    return BDPO_OK;
}
