// What all samplers share: making, cloning, timesteps, starts.
#include "diffusion/sampler.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "diffusion/sampler_family.h"

// Room for the calls and levels of n steps in any family: Heun has two a step, PNDM's Runge-Kutta
// start nine more than steps.
static size_t table_size(int n_steps)
{
    return 2 * (size_t)n_steps + 16;
}

// ---- making --------------------------------------------------------------------------------

static const bdpo_sampler_family *family_of(bdpo_scheduler_class scheduler)
{
    static const bdpo_sampler_family *const families[] = {
        [BDPO_SCHEDULER_DDPM] = &bdpo_sampler_ddpm,
        [BDPO_SCHEDULER_DDIM] = &bdpo_sampler_ddim,
        [BDPO_SCHEDULER_PNDM] = &bdpo_sampler_pndm,
        [BDPO_SCHEDULER_EULER] = &bdpo_sampler_euler,
        [BDPO_SCHEDULER_EULER_ANCESTRAL] = &bdpo_sampler_euler_ancestral,
        [BDPO_SCHEDULER_HEUN] = &bdpo_sampler_heun,
        [BDPO_SCHEDULER_DPM_MULTISTEP] = &bdpo_sampler_dpm,
    };
    return families[scheduler];
}

static bdpo_status check_options(const bdpo_scheduler_config *config, const bdpo_sampler_options *o)
{
    if (o->n_steps < 1 || o->n_steps > config->n_train_steps)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "sampler: %d steps; expected 1 to %d", o->n_steps,
                         config->n_train_steps);
    if (!(o->strength > 0 && o->strength <= 1))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "sampler: strength %g; expected above 0, at most 1",
                         o->strength);
    if ((int)(o->n_steps * o->strength) < 1)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "sampler: strength %g of %d steps leaves no step; expected one or more",
                         o->strength, o->n_steps);
    if (!(o->eta >= 0 && o->eta <= 1))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "sampler: eta %g; expected 0 to 1", o->eta);
    return BDPO_OK;
}

// count and count * n_arrays of [n, h, w, c], checked.
static bdpo_status size_latents(size_t *count, size_t *total, const bdpo_shape *latents,
                                int n_arrays)
{
    size_t size = 1;
    bool fits = latents->n_dims == 4;
    for (int i = 0; fits && i < 4; i++)
        fits = latents->dim[i] > 0 && bdpo_size_mul(&size, size, (size_t)latents->dim[i]);
    if (!fits || !bdpo_size_mul(total, size, (size_t)n_arrays))
        return bdpo_fail(BDPO_BAD_SHAPE, "sampler: latents of a shape that is not [n, h, w, c]");
    *count = size;
    return BDPO_OK;
}

static bdpo_status no_memory(void)
{
    return bdpo_fail(BDPO_NO_MEMORY, "sampler: no memory");
}

// An epsilon at a = 0 says nothing of the original: the first step would divide by zero.
static bdpo_status check_zero_snr(const bdpo_sampler *s)
{
    if (s->sigmas && s->n_sigmas > 0) return BDPO_OK; // levels are finite
    if (s->config.prediction != BDPO_PREDICT_EPSILON) return BDPO_OK;
    for (int i = s->first; i < s->n_calls; i++)
        if (s->schedule.alphas_cumprod[(int)s->timesteps[i]] == 0)
            return bdpo_fail(
                BDPO_BAD_ARGUMENT,
                "sampler: timestep %g has zero SNR, where prediction_type epsilon says "
                "nothing; expected v_prediction or timestep_spacing leading",
                (double)s->timesteps[i]);
    return BDPO_OK;
}

static bdpo_status plan(bdpo_sampler *s, double strength)
{
    int done = s->n_steps - (int)(s->n_steps * strength);
    s->final_alpha_cumprod = s->config.set_alpha_to_one ? 1 : s->schedule.alphas_cumprod[0];
    s->first = done * s->family->calls_each;
    TRY(s->family->plan(s));
    if (s->first >= s->n_calls)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "sampler: strength %g of %d timesteps leaves none; expected one or more",
                         strength, s->n_calls);
    return check_zero_snr(s);
}

static bdpo_status allocate(bdpo_sampler *s, size_t total)
{
    s->timesteps = bdpo_alloc(table_size(s->n_steps), sizeof *s->timesteps);
    s->sigmas = bdpo_alloc(table_size(s->n_steps), sizeof *s->sigmas);
    s->arrays = bdpo_alloc(total, sizeof *s->arrays);
    return s->timesteps && s->sigmas && s->arrays ? BDPO_OK : no_memory();
}

bdpo_status bdpo_sampler_new(bdpo_sampler **out, const bdpo_scheduler_config *config,
                             const bdpo_sampler_options *options, bdpo_shape latents)
{
    const bdpo_sampler_family *family = family_of(config->scheduler);
    size_t count = 0, total = 0;
    TRY(check_options(config, options));
    TRY(size_latents(&count, &total, &latents, family->n_arrays));
    bdpo_sampler *s = bdpo_alloc(1, sizeof *s);
    if (!s) return no_memory();
    *s = (bdpo_sampler){.family = family,
                        .config = *config,
                        .latents = latents,
                        .count = count,
                        .n_steps = options->n_steps,
                        .eta = options->eta};
    s->config.trained_betas = NULL;
    bdpo_status status = allocate(s, total);
    if (status == BDPO_OK) status = bdpo_scheduler_config_schedule(&s->schedule, config);
    if (status == BDPO_OK) status = plan(s, options->strength);
    if (status == BDPO_OK)
        *out = s;
    else
        bdpo_sampler_free(s);
    return status;
}

static float *duplicate(const float *from, size_t count)
{
    float *copy = bdpo_alloc(count, sizeof *copy);
    if (copy) memcpy(copy, from, count * sizeof *copy);
    return copy;
}

bdpo_status bdpo_sampler_clone(bdpo_sampler **out, const bdpo_sampler *sampler)
{
    bdpo_sampler *s = bdpo_alloc(1, sizeof *s);
    if (!s) return no_memory();
    size_t n_train = (size_t)sampler->schedule.n_steps, n_table = table_size(sampler->n_steps);
    *s = *sampler;
    s->schedule.betas = duplicate(sampler->schedule.betas, n_train);
    s->schedule.alphas_cumprod = duplicate(sampler->schedule.alphas_cumprod, n_train);
    s->timesteps = duplicate(sampler->timesteps, n_table);
    s->sigmas = duplicate(sampler->sigmas, n_table);
    s->arrays = duplicate(sampler->arrays, s->count * (size_t)s->family->n_arrays);
    if (s->schedule.betas && s->schedule.alphas_cumprod && s->timesteps && s->sigmas && s->arrays) {
        *out = s;
        return BDPO_OK;
    }
    bdpo_sampler_free(s);
    return no_memory();
}

void bdpo_sampler_free(bdpo_sampler *sampler)
{
    if (!sampler) return;
    bdpo_noise_schedule_release(&sampler->schedule);
    bdpo_free(sampler->timesteps);
    bdpo_free(sampler->sigmas);
    bdpo_free(sampler->arrays);
    bdpo_free(sampler);
}

// ---- what a run is -------------------------------------------------------------------------

int bdpo_sampler_n_calls(const bdpo_sampler *s)
{
    return s->n_calls - s->first;
}

int bdpo_sampler_position(const bdpo_sampler *s)
{
    return s->position;
}

const float *bdpo_sampler_timesteps(const bdpo_sampler *s)
{
    return s->timesteps + s->first;
}

const float *bdpo_sampler_sigmas(const bdpo_sampler *s, int *count)
{
    *count = s->n_sigmas;
    return s->n_sigmas > 0 ? s->sigmas : NULL;
}

bool bdpo_sampler_is_stochastic(const bdpo_sampler *s)
{
    bdpo_scheduler_class scheduler = s->config.scheduler;
    return scheduler == BDPO_SCHEDULER_DDPM || scheduler == BDPO_SCHEDULER_EULER_ANCESTRAL ||
           (scheduler == BDPO_SCHEDULER_DDIM && s->eta > 0);
}

// Euler's family keeps samples as original + sigma * noise; the others as the network sees them.
static bool scales_input(const bdpo_sampler *s)
{
    return s->n_sigmas > 0 && s->config.scheduler != BDPO_SCHEDULER_DPM_MULTISTEP;
}

float bdpo_sampler_init_noise_sigma(const bdpo_sampler *s)
{
    if (!scales_input(s)) return 1;
    float highest = 0;
    for (int i = 0; i < s->n_sigmas; i++)
        if (s->sigmas[i] > highest) highest = s->sigmas[i];
    if (s->config.spacing != BDPO_SPACING_LEADING) return highest;
    return sqrtf(highest * highest + 1);
}

void bdpo_sampler_add_noise(const bdpo_sampler *s, float *out, const float *original,
                            const float *noise)
{
    float signal, level;
    s->family->start(s, &signal, &level);
    for (size_t i = 0; i < s->count; i++) out[i] = signal * original[i] + level * noise[i];
}

void bdpo_sampler_scale_model_input(const bdpo_sampler *s, float *out, const float *sample)
{
    float divisor = 1;
    BDPO_ASSERT(bdpo_sampler_index(s) < s->n_calls);
    if (scales_input(s)) {
        float sigma = s->sigmas[bdpo_sampler_index(s)];
        divisor = sqrtf(sigma * sigma + 1);
    }
    for (size_t i = 0; i < s->count; i++) out[i] = sample[i] / divisor;
}

bdpo_status bdpo_sampler_step(bdpo_sampler *s, float *sample, const float *prediction,
                              bdpo_noise_source *noise)
{
    BDPO_ASSERT(bdpo_sampler_index(s) < s->n_calls);
    BDPO_ASSERT(noise || !bdpo_sampler_is_stochastic(s));
    TRY(s->family->step(s, sample, prediction, noise));
    s->position++;
    return BDPO_OK;
}

// ---- for the families ----------------------------------------------------------------------

float bdpo_sampler_alpha_cumprod(const bdpo_sampler *s, int timestep)
{
    return timestep >= 0 ? s->schedule.alphas_cumprod[timestep] : s->final_alpha_cumprod;
}

bdpo_status bdpo_sampler_space(bdpo_sampler *s, bool whole, bool shorten, int last)
{
    bdpo_spacing_options options = {.spacing = (bdpo_timestep_spacing)s->config.spacing,
                                    .n_train_steps = s->config.n_train_steps,
                                    .last = last,
                                    .n_steps = s->n_steps,
                                    .offset = s->config.steps_offset,
                                    .whole = whole,
                                    .shorten = shorten};
    s->n_calls = bdpo_space_timesteps(s->timesteps, &options);
    if (s->n_calls < 1)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "sampler: lambda_min_clipped leaves no timestep");
    if (s->timesteps[0] >= (float)s->config.n_train_steps)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "sampler: %d steps with steps_offset %d begin at timestep %g; expected "
                         "below num_train_timesteps, %d",
                         s->n_steps, s->config.steps_offset, (double)s->timesteps[0],
                         s->config.n_train_steps);
    return BDPO_OK;
}

void bdpo_sampler_clip(const bdpo_sampler *s, float *values)
{
    float range = (float)s->config.clip_sample_range;
    for (size_t i = 0; i < s->count; i++) {
        float v = values[i];
        v = v < -range ? -range : v;
        values[i] = v > range ? range : v;
    }
}

bdpo_status bdpo_sampler_stir(bdpo_sampler *s, float *sample, float scale, bdpo_noise_source *noise,
                              int scratch)
{
    float *drawn = bdpo_sampler_array(s, scratch);
    TRY(bdpo_noise_source_draw(noise, drawn, &s->latents, (uint32_t)s->position + 1));
    for (size_t i = 0; i < s->count; i++) sample[i] += scale * drawn[i];
    return BDPO_OK;
}

void bdpo_sampler_start_at_timestep(const bdpo_sampler *s, float *signal, float *level)
{
    float a = s->schedule.alphas_cumprod[(int)s->timesteps[s->first]];
    *signal = sqrtf(a);
    *level = sqrtf(1 - a);
}

void bdpo_sampler_start_at_sigma(const bdpo_sampler *s, float *signal, float *level)
{
    *signal = 1;
    *level = s->sigmas[s->first];
}
