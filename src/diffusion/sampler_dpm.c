// DPM-Solver++ (Lu et al. 2022): first order, and the multistep second order ("2M"), in the
// predicted original and in lambda = log(alpha / sigma). The coefficients are f32, as there.
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "diffusion/sampler_family.h"

// Originals of the last two steps, by parity of the step.
enum { ORIGINALS = 2, N_ARRAYS = ORIGINALS };
enum { FEW_STEPS = 15 }; // below, lower_order_final holds

// ---- timesteps -----------------------------------------------------------------------------

// Timesteps whose lambda is at least lambda_min_clipped: the others have too much noise.
static int last_timestep(const bdpo_sampler *s)
{
    int last = s->schedule.n_steps;
    for (; last > 0; last--) {
        float a = s->schedule.alphas_cumprod[last - 1];
        float lambda = logf(sqrtf(a)) - logf(sqrtf(1 - a));
        if (!(lambda < (float)s->config.lambda_min_clipped)) break;
    }
    return last;
}

static bdpo_status fill_levels(bdpo_sampler *s, const float *levels)
{
    int n_train = s->schedule.n_steps;
    if (bdpo_sampler_respaces(s)) {
        bool round = s->config.karras_sigmas && s->config.beta_schedule != BDPO_BETAS_COSINE;
        TRY(bdpo_sampler_respace(s, (double)levels[n_train - 1], (double)levels[0], levels,
                                 round ? rint : floor));
    } else {
        s->n_sigmas = s->n_calls;
        for (int i = 0; i < s->n_calls; i++)
            s->sigmas[i] = (float)bdpo_sigma_at(levels, n_train, (double)s->timesteps[i]);
    }
    s->sigmas[s->n_sigmas++] = s->config.final_sigma_min ? levels[0] : 0;
    return BDPO_OK;
}

static bdpo_status plan_dpm(bdpo_sampler *s)
{
    if (s->config.spacing == BDPO_SPACING_LEADING && s->n_steps >= s->config.n_train_steps)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "sampler: %d steps of DPM-Solver in leading spacing; expected below %d",
                         s->n_steps, s->config.n_train_steps);
    TRY(bdpo_sampler_space(s, true, true, last_timestep(s)));
    float *levels = bdpo_alloc((size_t)s->schedule.n_steps, sizeof *levels);
    if (!levels) return bdpo_fail(BDPO_NO_MEMORY, "sampler: no memory for its noise levels");
    bdpo_sigma_levels(levels, &s->schedule);
    bdpo_status status = fill_levels(s, levels);
    bdpo_free(levels);
    return status;
}

// ---- steps ---------------------------------------------------------------------------------

// A level as (alpha, sigma) of alpha^2 + sigma^2 = 1, and lambda.
typedef struct point {
    float alpha, sigma, lambda;
} point;

static point point_at(float level)
{
    float alpha = 1 / sqrtf(level * level + 1), sigma = level * alpha;
    return (point){alpha, sigma, logf(alpha) - logf(sigma)};
}

static bool first_order(const bdpo_sampler *s)
{
    bool last = bdpo_sampler_index(s) == s->n_calls - 1;
    bool lower = s->config.euler_at_final || !s->config.final_sigma_min ||
                 (s->config.lower_order_final && s->n_calls < FEW_STEPS);
    return s->config.solver_order == 1 || s->position == 0 || (last && lower);
}

static void predict_original(const bdpo_sampler *s, float *out, const float *prediction,
                             const float *sample, point at)
{
    if (s->config.prediction == BDPO_PREDICT_EPSILON)
        for (size_t i = 0; i < s->count; i++)
            out[i] = (sample[i] - at.sigma * prediction[i]) / at.alpha;
    else if (s->config.prediction == BDPO_PREDICT_V)
        for (size_t i = 0; i < s->count; i++)
            out[i] = at.alpha * sample[i] - at.sigma * prediction[i];
    else
        memcpy(out, prediction, s->count * sizeof *out);
}

static bdpo_status step_dpm(bdpo_sampler *s, float *sample, const float *prediction,
                            bdpo_noise_source *noise)
{
    int i = bdpo_sampler_index(s);
    point from = point_at(s->sigmas[i]), to = point_at(s->sigmas[i + 1]);
    float *now = bdpo_sampler_array(s, s->position % ORIGINALS);
    const float *before = bdpo_sampler_array(s, (s->position + 1) % ORIGINALS);
    float h = to.lambda - from.lambda, growth = to.alpha * (expf(-h) - 1);
    float of_sample = to.sigma / from.sigma;
    (void)noise;
    predict_original(s, now, prediction, sample, from);
    if (first_order(s)) {
        for (size_t k = 0; k < s->count; k++) sample[k] = of_sample * sample[k] - growth * now[k];
        return BDPO_OK;
    }
    float ratio = (from.lambda - point_at(s->sigmas[i - 1]).lambda) / h, inverse = 1 / ratio;
    float curve = s->config.solver_heun ? to.alpha * ((expf(-h) - 1) / h + 1) : -(0.5f * growth);
    for (size_t k = 0; k < s->count; k++)
        sample[k] =
            of_sample * sample[k] - growth * now[k] + curve * (inverse * (now[k] - before[k]));
    return BDPO_OK;
}

// original and noise are mixed as a timestep's are, from the level.
static void start_dpm(const bdpo_sampler *s, float *signal, float *level)
{
    point at = point_at(s->sigmas[s->first]);
    *signal = at.alpha;
    *level = at.sigma;
}

const bdpo_sampler_family bdpo_sampler_dpm = {
    .calls_each = 1, .n_arrays = N_ARRAYS, .plan = plan_dpm, .step = step_dpm, .start = start_dpm};
