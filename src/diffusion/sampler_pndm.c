// PNDM (Liu et al. 2022): a linear multistep method in epsilon over the transfer of equation 9.
// PLMS starts it by repeating its second step; with skip_prk_steps false, three steps of
// Runge-Kutta, of four calls each, start it.
#include <math.h>
#include <string.h>

#include "diffusion/sampler_family.h"

// Predictions of the last four steps in a ring, the sample that a repeated step goes back to, the
// sum of a Runge-Kutta step, and the combination that is stepped along.
enum { RING = 4, KEPT_SAMPLE = RING, SUM, COMBINED, N_ARRAYS };
enum { PRK_STEPS = 3, PRK_CALLS = 12 };

// ---- timesteps -----------------------------------------------------------------------------

// The highest step once, then the second twice, then down.
static void repeat_second(bdpo_sampler *s)
{
    if (s->n_calls < 2) return;
    memmove(s->timesteps + 2, s->timesteps + 1, (size_t)(s->n_calls - 1) * sizeof(float));
    s->n_calls++;
}

// Four calls for each of the first three steps: at its start, twice in its middle, at its end.
static bdpo_status begin_with_runge_kutta(bdpo_sampler *s)
{
    int n = s->n_calls;
    if (n <= PRK_STEPS)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "sampler: %d steps of PNDM with skip_prk_steps false; expected 4 or more",
                         n);
    if (s->first > 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "sampler: PNDM from an image with skip_prk_steps false; "
                         "expected skip_prk_steps true or strength 1");
    float half = (float)(s->config.n_train_steps / s->n_steps / 2), step[PRK_STEPS + 1];
    memcpy(step, s->timesteps, sizeof step);
    memmove(s->timesteps + PRK_CALLS, s->timesteps + PRK_STEPS,
            (size_t)(n - PRK_STEPS) * sizeof(float));
    for (int i = 0; i < PRK_STEPS; i++) {
        float *call = s->timesteps + (ptrdiff_t)4 * i;
        call[0] = step[i];
        call[1] = call[2] = step[i + 1] + half;
        call[3] = step[i + 1];
    }
    s->n_calls = n - PRK_STEPS + PRK_CALLS;
    return BDPO_OK;
}

static bdpo_status plan_pndm(bdpo_sampler *s)
{
    TRY(bdpo_sampler_space(s, true, false, s->config.n_train_steps));
    if (!s->config.skip_prk_steps) return begin_with_runge_kutta(s);
    repeat_second(s);
    return BDPO_OK;
}

// ---- steps ---------------------------------------------------------------------------------

// Moves the sample from timestep t to `next` along an epsilon (or v) that is constant between.
static bdpo_status transfer(const bdpo_sampler *s, float *out, const float *sample, int t, int next,
                            const float *prediction)
{
    if (t >= s->config.n_train_steps)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "sampler: PNDM steps from timestep %d; expected below %d: choose another "
                         "number of steps",
                         t, s->config.n_train_steps);
    float a = bdpo_sampler_alpha_cumprod(s, t), a_next = bdpo_sampler_alpha_cumprod(s, next);
    float b = 1 - a, b_next = 1 - a_next;
    float of_sample = sqrtf(a_next / a), difference = a_next - a;
    float divisor = a * sqrtf(b_next) + sqrtf(a * b * a_next);
    bool v = s->config.prediction == BDPO_PREDICT_V;
    float alpha = sqrtf(a), sigma = sqrtf(b);
    for (size_t i = 0; i < s->count; i++) {
        float epsilon = v ? alpha * prediction[i] + sigma * sample[i] : prediction[i];
        out[i] = of_sample * sample[i] - difference * epsilon / divisor;
    }
    return BDPO_OK;
}

// Prediction `ago` steps ago in the ring.
static const float *kept(const bdpo_sampler *s, int ago)
{
    return bdpo_sampler_array(s, (s->n_kept - 1 - ago) % RING);
}

static void keep(bdpo_sampler *s, const float *prediction)
{
    memcpy(bdpo_sampler_array(s, s->n_kept++ % RING), prediction, s->count * sizeof(float));
}

// Adams-Bashforth of as many orders as there are predictions.
static void combine(const bdpo_sampler *s, float *out)
{
    const float *e1 = kept(s, 0), *e2 = s->n_kept > 1 ? kept(s, 1) : e1;
    const float *e3 = s->n_kept > 2 ? kept(s, 2) : e1, *e4 = s->n_kept > 3 ? kept(s, 3) : e1;
    const float part = (float)(1.0 / 24);
    size_t n = s->count;
    if (s->n_kept == 1)
        memcpy(out, e1, n * sizeof *out);
    else if (s->n_kept == 2)
        for (size_t i = 0; i < n; i++) out[i] = (3 * e1[i] - e2[i]) / 2;
    else if (s->n_kept == 3)
        for (size_t i = 0; i < n; i++) out[i] = (23 * e1[i] - 16 * e2[i] + 5 * e3[i]) / 12;
    else
        for (size_t i = 0; i < n; i++)
            out[i] = part * (55 * e1[i] - 59 * e2[i] + 37 * e3[i] - 9 * e4[i]);
}

static bdpo_status step_plms(bdpo_sampler *s, float *sample, const float *prediction)
{
    int t = (int)s->timesteps[bdpo_sampler_index(s)];
    int ratio = s->config.n_train_steps / s->n_steps;
    float *combined = bdpo_sampler_array(s, COMBINED);
    float *start = bdpo_sampler_array(s, KEPT_SAMPLE);
    if (s->position == 1) { // the first step again, with the mean of both its ends
        const float *first = kept(s, 0);
        for (size_t i = 0; i < s->count; i++) combined[i] = (prediction[i] + first[i]) / 2;
        return transfer(s, sample, start, t + ratio, t, combined);
    }
    if (s->position == 0) memcpy(start, sample, s->count * sizeof *sample);
    keep(s, prediction);
    combine(s, combined);
    return transfer(s, sample, sample, t, t - ratio, combined);
}

// Call `position` of 12; the weights are 1/6, 1/3, 1/3, 1/6.
static bdpo_status step_runge_kutta(bdpo_sampler *s, float *sample, const float *prediction)
{
    int call = s->position % 4, half = s->config.n_train_steps / s->n_steps / 2;
    int t = (int)s->timesteps[s->position], next = s->position % 2 ? t : t - half;
    float *sum = bdpo_sampler_array(s, SUM), *start = bdpo_sampler_array(s, KEPT_SAMPLE);
    const float weight = (float)(call == 0 || call == 3 ? 1.0 / 6 : 1.0 / 3);
    if (call == 0) {
        keep(s, prediction);
        memcpy(start, sample, s->count * sizeof *sample);
        memset(sum, 0, s->count * sizeof *sum);
    }
    for (size_t i = 0; i < s->count; i++) sum[i] += weight * prediction[i];
    return transfer(s, sample, start, (int)s->timesteps[s->position - call], next,
                    call == 3 ? sum : prediction);
}

static bdpo_status step_pndm(bdpo_sampler *s, float *sample, const float *prediction,
                             bdpo_noise_source *noise)
{
    (void)noise;
    if (!s->config.skip_prk_steps && s->position < PRK_CALLS)
        return step_runge_kutta(s, sample, prediction);
    return step_plms(s, sample, prediction);
}

const bdpo_sampler_family bdpo_sampler_pndm = {.calls_each = 1,
                                               .n_arrays = N_ARRAYS,
                                               .plan = plan_pndm,
                                               .step = step_pndm,
                                               .start = bdpo_sampler_start_at_timestep};
