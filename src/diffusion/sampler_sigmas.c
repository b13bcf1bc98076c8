// What the samplers that count in noise levels share: the levels of a run, and the original that a
// prediction implies in their coordinates, x = original + sigma * noise.
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "diffusion/sampler_family.h"

bool bdpo_sampler_respaces(const bdpo_sampler *s)
{
    return s->config.karras_sigmas || s->config.exponential_sigmas;
}

bdpo_status bdpo_sampler_respace(bdpo_sampler *s, double high, double low, const float *levels,
                                 double (*rounding)(double))
{
    int n = s->n_steps, n_train = s->schedule.n_steps;
    double *spaced = bdpo_alloc((size_t)n, sizeof *spaced);
    float *logs = bdpo_alloc((size_t)n_train, sizeof *logs);
    bdpo_status status = BDPO_OK;
    if (spaced && logs) {
        if (s->config.sigma_max > 0) high = s->config.sigma_max;
        if (s->config.sigma_min > 0) low = s->config.sigma_min;
        for (int i = 0; i < n_train; i++) logs[i] = logf(levels[i]);
        if (s->config.karras_sigmas)
            bdpo_sigma_karras(spaced, n, high, low);
        else
            bdpo_sigma_exponential(spaced, n, high, low);
        for (int i = 0; i < n; i++) {
            s->sigmas[i] = (float)spaced[i];
            double t = bdpo_sigma_timestep(logs, n_train, spaced[i]);
            s->timesteps[i] = (float)(rounding ? rounding(t) : t);
        }
        s->n_calls = s->n_sigmas = n;
    } else {
        status = bdpo_fail(BDPO_NO_MEMORY, "sampler: no memory for %d noise levels", n);
    }
    bdpo_free(spaced);
    bdpo_free(logs);
    return status;
}

// interpolation_type log_linear: from the highest level to the lowest in n_steps + 1 points, which
// take no notice of the timesteps.
static void log_linear_levels(bdpo_sampler *s, float high, float low)
{
    s->n_sigmas = s->n_steps + 1;
    bdpo_torch_linspace(s->sigmas, logf(high), logf(low), s->n_sigmas);
    for (int i = 0; i < s->n_sigmas; i++) s->sigmas[i] = expf(s->sigmas[i]);
}

static bdpo_status fill_levels(bdpo_sampler *s, const float *levels, bool respaced)
{
    int n_train = s->schedule.n_steps;
    double high = bdpo_sigma_at(levels, n_train, (double)s->timesteps[0]);
    double low = bdpo_sigma_at(levels, n_train, (double)s->timesteps[s->n_calls - 1]);
    if (s->config.scheduler == BDPO_SCHEDULER_EULER && s->config.log_linear_sigmas) {
        log_linear_levels(s, levels[n_train - 1], levels[0]);
        high = (double)s->sigmas[0];
        low = (double)s->sigmas[s->n_sigmas - 1];
    } else {
        s->n_sigmas = s->n_calls;
        for (int i = 0; i < s->n_calls; i++)
            s->sigmas[i] = (float)bdpo_sigma_at(levels, n_train, (double)s->timesteps[i]);
    }
    if (respaced) TRY(bdpo_sampler_respace(s, high, low, levels, NULL));
    bool lowest = s->config.scheduler == BDPO_SCHEDULER_EULER && s->config.final_sigma_min;
    s->sigmas[s->n_sigmas++] = lowest ? levels[0] : 0;
    return BDPO_OK;
}

bdpo_status bdpo_sampler_plan_sigmas(bdpo_sampler *s, bool respaced)
{
    TRY(bdpo_sampler_space(s, false, false, s->config.n_train_steps));
    float *levels = bdpo_alloc((size_t)s->schedule.n_steps, sizeof *levels);
    if (!levels) return bdpo_fail(BDPO_NO_MEMORY, "sampler: no memory for its noise levels");
    bdpo_sigma_levels(levels, &s->schedule);
    bdpo_status status = fill_levels(s, levels, respaced && bdpo_sampler_respaces(s));
    bdpo_free(levels);
    return status;
}

void bdpo_sampler_original_at(const bdpo_sampler *s, float *out, const float *prediction,
                              const float *sample, float sigma)
{
    float square = sigma * sigma + 1, of_v = -sigma / sqrtf(square);
    if (s->config.prediction == BDPO_PREDICT_EPSILON)
        for (size_t i = 0; i < s->count; i++) out[i] = sample[i] - sigma * prediction[i];
    else if (s->config.prediction == BDPO_PREDICT_V)
        for (size_t i = 0; i < s->count; i++) out[i] = prediction[i] * of_v + sample[i] / square;
    else
        memcpy(out, prediction, s->count * sizeof *out);
}
