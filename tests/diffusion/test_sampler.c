// diffusion/sampler: closed forms, clones, refusals; guidance and noise beside it.
#include "diffusion/sampler.h"

#include "base/memory.h"
#include "base/random.h"
#include "base/torch_random.h"
#include "diffusion/guidance.h"
#include "harness.h"

enum { N = 2, H = 2, W = 3, C = 4, SAMPLE = H * W * C, COUNT = N * SAMPLE };
static const bdpo_shape latents = {.n_dims = 4, .dim = {N, H, W, C}};
static const bdpo_sampler_options twenty = {.n_steps = 20, .strength = 1};

static bdpo_scheduler_config config_of(int name)
{
    bdpo_scheduler_config c;
    bdpo_scheduler_config_defaults(&c, BDPO_SCHEDULER_EULER);
    c.beta_start = 0.00085;
    c.beta_end = 0.012;
    c.beta_schedule = BDPO_BETAS_SCALED_LINEAR;
    c.given = 0xf; // the betas survive a change of class
    CHECK_OK(bdpo_scheduler_config_select(&c, bdpo_sampler_name(name)));
    c.clip_sample = false;
    c.skip_prk_steps = true;
    return c;
}

static bdpo_noise_source *philox(void)
{
    bdpo_noise_source *noise;
    uint64_t seed = 5;
    CHECK_OK(bdpo_noise_source_new(&noise, BDPO_NOISE_PHILOX, &seed, 1, 0));
    return noise;
}

static void begin(const bdpo_sampler *s, float *sample, bdpo_noise_source *noise)
{
    CHECK_OK(bdpo_noise_source_draw(noise, sample, &latents, 0));
    for (int i = 0; i < COUNT; i++) sample[i] *= bdpo_sampler_init_noise_sigma(s);
}

// ---- closed forms --------------------------------------------------------------------------

// The network that knows that all data is one point: its prediction is exact.
static void know_the_point(float *out, const bdpo_scheduler_config *c, const float *in, double a,
                           const float *point)
{
    double alpha = sqrt(a), sigma = sqrt(1 - a);
    for (int i = 0; i < COUNT; i++) {
        double noise = ((double)in[i] - alpha * (double)point[i]) / sigma;
        double v = alpha * noise - sigma * (double)point[i];
        out[i] = (float)(c->prediction == BDPO_PREDICT_EPSILON ? noise : v);
    }
}

static void recover_point(int name, bdpo_prediction_type prediction)
{
    bdpo_scheduler_config c = config_of(name);
    bdpo_noise_schedule schedule;
    bdpo_sampler *s;
    bdpo_noise_source *noise = philox();
    float sample[COUNT], input[COUNT], output[COUNT], point[COUNT];
    c.prediction = (int)prediction;
    c.set_alpha_to_one = true; // the run ends without noise
    for (int i = 0; i < COUNT; i++) point[i] = (float)(i % 7) - 3;
    CHECK_OK(bdpo_scheduler_config_schedule(&schedule, &c));
    CHECK_OK(bdpo_sampler_new(&s, &c, &twenty, latents));
    begin(s, sample, noise);
    for (int i = 0; i < bdpo_sampler_n_calls(s); i++) {
        // Levels between timesteps: Euler's timesteps are fractions, and its network sees those.
        int n_sigmas, t = (int)bdpo_sampler_timesteps(s)[i];
        const float *sigmas = bdpo_sampler_sigmas(s, &n_sigmas);
        double a = (double)schedule.alphas_cumprod[t];
        if (sigmas) a = 1 / (1 + (double)sigmas[i] * (double)sigmas[i]);
        bdpo_sampler_scale_model_input(s, input, sample);
        know_the_point(output, &c, input, a, point);
        CHECK_OK(bdpo_sampler_step(s, sample, output, noise));
    }
    // Exact up to f32 (measured 2e-7). The noise is constant on the way, but v is not, and PNDM's
    // last prediction is a mixture with older ones: measured 6e-3.
    bool mixed = c.scheduler == BDPO_SCHEDULER_PNDM && prediction == BDPO_PREDICT_V;
    double limit = mixed ? 1e-2 : 1e-6;
    CHECK_LE(test_relative_l2(sample, point, COUNT), limit);
    bdpo_noise_source_free(noise);
    bdpo_sampler_free(s);
    bdpo_noise_schedule_release(&schedule);
}

BDPO_TEST(every_sampler_recovers_a_point)
{
    for (int name = 0; bdpo_sampler_name(name); name++) {
        recover_point(name, BDPO_PREDICT_EPSILON);
        recover_point(name, BDPO_PREDICT_V);
    }
}

BDPO_TEST(timesteps_of_the_published_configs)
{
    static const float leading[] = {801, 601, 401, 201, 1},
                       repeated[] = {801, 601, 601, 401, 201, 1};
    static const float trailing[] = {999, 799, 599, 399, 199};
    static const float linspace[] = {999, 749, 500, 250, 0}; // 749.25, 499.5, 249.75 half to even
    static const struct {
        int name, spacing, n;
        const float *timesteps;
    } cases[] = {{1, BDPO_SPACING_LEADING, 5, leading},   {2, BDPO_SPACING_LEADING, 6, repeated},
                 {1, BDPO_SPACING_TRAILING, 5, trailing}, {0, BDPO_SPACING_LINSPACE, 5, linspace},
                 {3, BDPO_SPACING_LEADING, 5, leading},   {3, BDPO_SPACING_TRAILING, 5, trailing}};
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        bdpo_scheduler_config c = config_of(cases[i].name);
        bdpo_sampler *s;
        c.steps_offset = 1;
        c.spacing = cases[i].spacing;
        CHECK_OK(bdpo_sampler_new(&s, &c, &(bdpo_sampler_options){.n_steps = 5, .strength = 1},
                                  latents));
        CHECK_INT(bdpo_sampler_n_calls(s), cases[i].n);
        for (int k = 0; k < cases[i].n; k++)
            CHECK_NEAR((double)bdpo_sampler_timesteps(s)[k], (double)cases[i].timesteps[k], 0);
        bdpo_sampler_free(s);
    }
}

// For 61 steps numpy's arange gives a 62nd value, near 0: it would be timestep -1.
BDPO_TEST(trailing_spacing_has_no_timestep_below_zero)
{
    bdpo_scheduler_config c = config_of(1);
    c.spacing = BDPO_SPACING_TRAILING;
    for (int n = 1; n <= 1000; n++) {
        bdpo_sampler *s;
        CHECK_OK(bdpo_sampler_new(&s, &c, &(bdpo_sampler_options){.n_steps = n, .strength = 1},
                                  latents));
        CHECK_INT(bdpo_sampler_n_calls(s), n);
        CHECK_LE(0, (double)bdpo_sampler_timesteps(s)[n - 1]);
        bdpo_sampler_free(s);
    }
}

// ---- state ---------------------------------------------------------------------------------

// A stand-in for a network that depends on its input.
static void predict(float *out, const float *in)
{
    for (int i = 0; i < COUNT; i++) out[i] = 0.5f * in[i] + 0.1f;
}

static void run(bdpo_sampler *s, float *sample, bdpo_noise_source *noise, int n_calls)
{
    float input[COUNT], output[COUNT];
    for (int i = 0; i < n_calls; i++) {
        bdpo_sampler_scale_model_input(s, input, sample);
        predict(output, input);
        CHECK_OK(bdpo_sampler_step(s, sample, output, noise));
    }
}

BDPO_TEST(clone_goes_on_as_its_original)
{
    for (int name = 0; bdpo_sampler_name(name); name++) {
        bdpo_scheduler_config c = config_of(name);
        bdpo_sampler *s, *copy;
        bdpo_noise_source *noise, *noise_copy;
        uint64_t seed = 3;
        float sample[COUNT], other[COUNT];
        CHECK_OK(bdpo_noise_source_new(&noise, BDPO_NOISE_TORCH, &seed, 1, 0));
        CHECK_OK(bdpo_sampler_new(&s, &c, &twenty, latents));
        begin(s, sample, noise);
        run(s, sample, noise, 7);
        CHECK_OK(bdpo_sampler_clone(&copy, s));
        CHECK_OK(bdpo_noise_source_clone(&noise_copy, noise));
        memcpy(other, sample, sizeof other);
        run(s, sample, noise, bdpo_sampler_n_calls(s) - 7);
        bdpo_sampler_free(s);
        run(copy, other, noise_copy, bdpo_sampler_n_calls(copy) - 7);
        CHECK_BYTES(sample, other, sizeof sample);
        CHECK_ABORTS(run(copy, other, noise_copy, 1)); // the run is over
        bdpo_sampler_free(copy);
        bdpo_noise_source_free(noise);
        bdpo_noise_source_free(noise_copy);
    }
}

BDPO_TEST(bad_options_are_refused)
{
    static const struct {
        bdpo_sampler_options options;
        const char *message;
    } cases[] = {
        {{.n_steps = 0, .strength = 1}, "0 steps; expected 1 to 1000"},
        {{.n_steps = 1001, .strength = 1}, "1001 steps; expected 1 to 1000"},
        {{.n_steps = 20, .strength = 0}, "strength 0; expected above 0"},
        {{.n_steps = 20, .strength = (double)NAN}, "expected above 0, at most 1"},
        {{.n_steps = 20, .strength = 0.01}, "leaves no step"},
        {{.n_steps = 20, .strength = 1, .eta = 2}, "eta 2; expected 0 to 1"},
        {{.n_steps = 1000, .strength = 1}, "begin at timestep 1000; expected below"},
    };
    bdpo_scheduler_config c = config_of(1);
    bdpo_sampler *s;
    c.steps_offset = 1;
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        CHECK_STATUS(bdpo_sampler_new(&s, &c, &cases[i].options, latents), BDPO_BAD_ARGUMENT);
        CHECK_CONTAINS(bdpo_message(), cases[i].message);
    }
    CHECK_STATUS(bdpo_sampler_new(&s, &c, &twenty, BDPO_SHAPE(2, 4)), BDPO_BAD_SHAPE);
    c.zero_terminal_snr = true;
    c.spacing = BDPO_SPACING_TRAILING;
    CHECK_STATUS(bdpo_sampler_new(&s, &c, &twenty, latents), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "timestep 999 has zero SNR");
    c = config_of(2);
    c.skip_prk_steps = false;
    CHECK_STATUS(
        bdpo_sampler_new(&s, &c, &(bdpo_sampler_options){.n_steps = 3, .strength = 1}, latents),
        BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "skip_prk_steps false; expected 4 or more");
}

BDPO_TEST(sampler_without_memory_is_reported)
{
    for (int name = 0; bdpo_sampler_name(name); name++) {
        bdpo_scheduler_config c = config_of(name);
        bdpo_sampler *s, *copy;
        uint64_t before = bdpo_alloc_count();
        CHECK_OK(bdpo_sampler_new(&s, &c, &twenty, latents));
        uint64_t n_allocations = bdpo_alloc_count() - before;
        for (uint64_t n = 1; n <= n_allocations; n++) {
            bdpo_alloc_fail_at(bdpo_alloc_count() + n);
            CHECK_STATUS(bdpo_sampler_new(&copy, &c, &twenty, latents), BDPO_NO_MEMORY);
        }
        for (uint64_t n = 1; n <= 6; n++) {
            bdpo_alloc_fail_at(bdpo_alloc_count() + n);
            CHECK_STATUS(bdpo_sampler_clone(&copy, s), BDPO_NO_MEMORY);
        }
        bdpo_sampler_free(s);
    }
}

// ---- noise and guidance --------------------------------------------------------------------

BDPO_TEST(torch_noise_is_channels_first)
{
    bdpo_noise_source *noise;
    bdpo_torch_random random;
    uint64_t seeds[] = {11, 12};
    float got[COUNT], drawn[COUNT];
    for (int n_seeds = 1; n_seeds <= 2; n_seeds++) {
        CHECK_OK(bdpo_noise_source_new(&noise, BDPO_NOISE_TORCH, seeds, n_seeds, 0));
        CHECK_OK(bdpo_noise_source_draw(noise, got, &latents, 0));
        for (int i = 0; i < n_seeds; i++) {
            bdpo_torch_random_init(&random, seeds[i]);
            bdpo_torch_random_normal(&random, drawn + (ptrdiff_t)i * SAMPLE, COUNT / n_seeds);
        }
        for (int i = 0; i < COUNT; i++) {
            int n = i / SAMPLE, pixel = i / C % (H * W), channel = i % C;
            CHECK_NEAR((double)got[i], (double)drawn[(n * C + channel) * H * W + pixel], 0);
        }
        bdpo_noise_source_free(noise);
    }
}

BDPO_TEST(philox_noise_is_keyed_by_image_and_step)
{
    bdpo_noise_source *batch, *second;
    const uint64_t seed = 9;
    const bdpo_shape one = {.n_dims = 4, .dim = {1, H, W, C}};
    float all[COUNT], alone[SAMPLE], direct[SAMPLE];
    CHECK_OK(bdpo_noise_source_new(&batch, BDPO_NOISE_PHILOX, &seed, 1, 40));
    CHECK_OK(bdpo_noise_source_new(&second, BDPO_NOISE_PHILOX, &seed, 1, 41));
    CHECK_OK(bdpo_noise_source_draw(batch, all, &latents, 3));
    CHECK_OK(bdpo_noise_source_draw(second, alone, &one, 3));
    CHECK_BYTES(all + SAMPLE, alone, sizeof alone);
    bdpo_random_normal(direct, SAMPLE, (bdpo_random_key){9, 41, 3, BDPO_RANDOM_SAMPLER}, 0);
    CHECK_BYTES(alone, direct, sizeof alone);
    CHECK_OK(bdpo_noise_source_draw(second, direct, &one, 4));
    CHECK(memcmp(alone, direct, sizeof alone) != 0);
    bdpo_noise_source_free(batch);
    bdpo_noise_source_free(second);
}

BDPO_TEST(seeds_must_fit_the_batch)
{
    bdpo_noise_source *noise;
    const uint64_t seeds[] = {1, 2, 3};
    float out[COUNT];
    CHECK_OK(bdpo_noise_source_new(&noise, BDPO_NOISE_TORCH, seeds, 3, 0));
    CHECK_STATUS(bdpo_noise_source_draw(noise, out, &latents, 0), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "3 seeds for a batch of 2");
    bdpo_noise_source_free(noise);
    for (uint64_t n = 1; n <= 3; n++) {
        bdpo_alloc_fail_at(bdpo_alloc_count() + n);
        CHECK_STATUS(bdpo_noise_source_new(&noise, BDPO_NOISE_TORCH, seeds, 3, 0), BDPO_NO_MEMORY);
    }
}

BDPO_TEST(guidance_moves_away_from_the_unconditional)
{
    const float pair[] = {1, 2, 3, 4, /* cond */ 2, 2, 5, 3};
    float out[4];
    bdpo_guidance_combine(out, pair, 2, 2, 3, 0);
    const float expected[] = {4, 2, 9, 1};
    CHECK_BYTES(out, expected, sizeof out);
    bdpo_guidance_combine(out, pair, 2, 2, 1, 0); // scale 1: the conditional itself
    CHECK_BYTES(out, pair + 4, sizeof out);
}

// rescale 1 gives each sample the deviation of its conditional prediction: |2 - 0| over |8 - 0|.
BDPO_TEST(guidance_rescale_restores_the_deviation)
{
    const float pair[] = {0, 0, /* cond */ 0, 2};
    float out[2];
    bdpo_guidance_combine(out, pair, 1, 2, 4, 1);
    CHECK_NEAR((double)out[1], 2, 2e-7); // one rounding of a quotient of roots
    bdpo_guidance_combine(out, pair, 1, 2, 4, 0.5);
    CHECK_NEAR((double)out[1], 5, 5e-7);
}
