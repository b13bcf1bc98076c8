// diffusion/sampler against diffusers: every class on an analytic denoiser with guidance, step by
// step. tools/parity/schedulers.py makes the cases and says what the files hold.
#include <jansson.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"
#include "harness.h"
#include "parity/parity_inputs.h"

// What the project promises for each step. Differences are last bits of f32 that guidance
// amplifies; measured values are printed and lie far below.
#define STEP_TOLERANCE 1e-5

enum { N = 2, C = 4, PIXELS = 4, COUNT = N * C * PIXELS, SAMPLE = C * PIXELS };
static const bdpo_shape latents = {.n_dims = 4, .dim = {N, 2, 2, C}};

typedef struct sampler_case {
    const char *name;
    const json_t *json;
    bdpo_scheduler_config config;
    bdpo_noise_schedule schedule;
    bdpo_sampler *sampler;
    bdpo_noise_source *noise;
    const float *expected; // the next value of samplers.f32
    double worst;          // relative L2 of its steps
} sampler_case;

static double number(const sampler_case *c, const char *field)
{
    const json_t *value = json_object_get(c->json, field);
    if (!json_is_number(value)) FAIL("%s: no number %s", c->name, field);
    return json_number_value(value);
}

static void near(const sampler_case *c, const char *what, int i, float actual, double tolerance)
{
    double expected = (double)*c->expected, error = fabs((double)actual - expected);
    if (!(error <= tolerance))
        FAIL("%s: %s %d is %.9g, expected %.9g within %.2g", c->name, what, i, (double)actual,
             expected, tolerance);
}

// ---- the denoiser, as in schedulers.py -----------------------------------------------------

static double alpha_cumprod(const sampler_case *c, double t)
{
    int n = c->schedule.n_steps;
    t = fmin(fmax(t, 0.0), n - 1.0);
    int low = (int)t < n - 2 ? (int)t : n - 2;
    double a = (double)c->schedule.alphas_cumprod[low];
    double b = (double)c->schedule.alphas_cumprod[low + 1];
    return (b - a) * (t - low) + a;
}

static void denoise(float *out, const float *in, double a, double mean, double variance,
                    int prediction)
{
    double alpha = sqrt(a), sigma = sqrt(1.0 - a);
    for (int i = 0; i < COUNT; i++) {
        double away = (double)in[i] - alpha * mean, total = a * variance + (1.0 - a);
        double bend = 0.05 * away / (1.0 + away * away);
        double original = mean + variance * alpha * away / total - sigma * bend;
        double noise = sigma * away / total + alpha * bend;
        double v = alpha * noise - sigma * original;
        out[i] = (float)(prediction == BDPO_PREDICT_EPSILON ? noise
                         : prediction == BDPO_PREDICT_V     ? v
                                                            : original);
    }
}

// The ancestral step down from 4096 is sqrt(to^2 - up^2), where up is a root that rounds to nearly
// `to`: PyTorch's root, a unit in the last place off, moves it by a part in 200. Measured 4.3e-5.
static double step_tolerance(const sampler_case *c)
{
    bool steep = c->config.scheduler == BDPO_SCHEDULER_EULER_ANCESTRAL &&
                 c->config.zero_terminal_snr && c->config.spacing != BDPO_SPACING_LEADING;
    return steep ? 1e-4 : STEP_TOLERANCE;
}

// ---- a case --------------------------------------------------------------------------------

static void open_case(sampler_case *c)
{
    const json_t *seed_list = json_object_get(c->json, "seeds");
    const char *class_name = json_string_value(json_object_get(c->json, "class"));
    char *text = json_dumps(json_object_get(c->json, "config"), 0);
    uint64_t seeds[N];
    int n_seeds = (int)json_array_size(seed_list), scheduler = 0;
    CHECK_OK(bdpo_scheduler_config_parse(&c->config, text, strlen(text), c->name));
    free(text);
    while (strcmp(bdpo_scheduler_class_name((bdpo_scheduler_class)scheduler), class_name) != 0)
        CHECK_LE(++scheduler, BDPO_SCHEDULER_DPM_MULTISTEP);
    CHECK_OK(bdpo_scheduler_config_change(&c->config, (bdpo_scheduler_class)scheduler));
    CHECK_OK(bdpo_scheduler_config_schedule(&c->schedule, &c->config));
    bdpo_sampler_options options = {.n_steps = (int)number(c, "n_steps"),
                                    .strength = number(c, "strength"),
                                    .eta = number(c, "eta")};
    CHECK_OK(bdpo_sampler_new(&c->sampler, &c->config, &options, latents));
    for (int i = 0; i < n_seeds; i++)
        seeds[i] = (uint64_t)json_integer_value(json_array_get(seed_list, (size_t)i));
    CHECK_OK(bdpo_noise_source_new(&c->noise, BDPO_NOISE_TORCH, seeds, n_seeds, 0));
}

static void close_case(sampler_case *c)
{
    bdpo_noise_source_free(c->noise);
    bdpo_sampler_free(c->sampler);
    bdpo_noise_schedule_release(&c->schedule);
    bdpo_scheduler_config_release(&c->config);
}

static void check_tables(sampler_case *c)
{
    int n_calls = bdpo_sampler_n_calls(c->sampler), n_sigmas;
    const float *timesteps = bdpo_sampler_timesteps(c->sampler);
    const float *sigmas = bdpo_sampler_sigmas(c->sampler, &n_sigmas);
    bool fractions = c->config.scheduler != BDPO_SCHEDULER_DPM_MULTISTEP &&
                     (c->config.karras_sigmas || c->config.exponential_sigmas);
    // numpy's f32 logarithm errs by a unit in the last place: 2e-7 of log(sigma), whose steps are
    // 5e-3 apart. All other timesteps are exact.
    double tolerance = fractions ? 2e-4 : 0;
    // PyTorch's square root of a tensor errs by a unit in the last place; leading spacing takes a
    // second one.
    near(c, "init_noise_sigma", 0, bdpo_sampler_init_noise_sigma(c->sampler),
         2.4e-7 * (double)c->expected[0]);
    c->expected++;
    CHECK_INT(n_calls, number(c, "n_calls"));
    for (int i = 0; i < n_calls; i++, c->expected++)
        near(c, "timestep", i, timesteps[i], tolerance);
    CHECK_INT(n_sigmas, number(c, "n_sigmas"));
    for (int i = 0; i < n_sigmas; i++, c->expected++) {
        // Two roundings; where a was rescaled to zero SNR, PyTorch's square roots move it by 1e-7,
        // and sigma d(sigma) = -da / 2a^2.
        double sigma = (double)*c->expected, limit = 2.4e-7 * sigma;
        if (c->config.zero_terminal_snr && sigma > 0) limit += 1e-7 / fmin(sigma, 1);
        near(c, "sigma", i, sigmas[i], limit);
    }
}

static void start(sampler_case *c, float *sample)
{
    float noise[COUNT], original[COUNT], drawn[COUNT];
    CHECK_OK(bdpo_noise_source_draw(c->noise, noise, &latents, 0));
    parity_fill(drawn, COUNT, "sampler/original", 1, 0); // [n, c, h*w]
    for (int i = 0; i < COUNT; i++) {
        int n = i / SAMPLE, pixel = i / C % PIXELS, channel = i % C;
        original[i] = drawn[(n * C + channel) * PIXELS + pixel];
    }
    if (number(c, "strength") < 1) {
        bdpo_sampler_add_noise(c->sampler, sample, original, noise);
    } else {
        float scale = bdpo_sampler_init_noise_sigma(c->sampler);
        for (int i = 0; i < COUNT; i++) sample[i] = noise[i] * scale;
    }
    CHECK_LE(test_relative_l2(sample, c->expected, COUNT), 2.4e-7); // two roundings
    c->expected += COUNT;
}

static void call(sampler_case *c, float *sample, double t)
{
    float input[COUNT], pair[2 * COUNT];
    double a = alpha_cumprod(c, t);
    bdpo_sampler_scale_model_input(c->sampler, input, sample);
    denoise(pair, input, a, 0.25, 1.0, c->config.prediction);
    denoise(pair + COUNT, input, a, -0.5, 0.5625, c->config.prediction);
    bdpo_guidance_combine(pair, pair, N, SAMPLE, 7.5, number(c, "rescale"));
    CHECK_OK(bdpo_sampler_step(c->sampler, sample, pair, c->noise));
}

static void follow_case(sampler_case *c)
{
    float sample[COUNT];
    open_case(c);
    check_tables(c);
    start(c, sample);
    for (int i = 0; i < bdpo_sampler_n_calls(c->sampler); i++) {
        CHECK_INT(bdpo_sampler_position(c->sampler), i);
        call(c, sample, (double)bdpo_sampler_timesteps(c->sampler)[i]);
        double error = test_relative_l2(sample, c->expected, COUNT);
        if (!(error <= step_tolerance(c)))
            FAIL("%s: call %d: relative L2 %.3g, at most %g", c->name, i, error, step_tolerance(c));
        c->worst = fmax(c->worst, error);
        c->expected += COUNT;
    }
    close_case(c);
}

// ---- all cases of a class ------------------------------------------------------------------

static void follow(const char *class_name)
{
    json_error_t error;
    json_t *list = json_load_file(test_path("fixtures/diffusion/samplers.json"), 0, &error), *entry;
    bdpo_file_view data;
    size_t i, offset = 0;
    int n_cases = 0;
    double worst = 0;
    CHECK(list != NULL);
    CHECK_OK(bdpo_file_map(&data, test_path("fixtures/diffusion/samplers.f32")));
    json_array_foreach(list, i, entry)
    {
        sampler_case c = {.json = entry, .expected = (const float *)data.data + offset};
        c.name = json_string_value(json_object_get(entry, "name"));
        offset += 1 + (size_t)number(&c, "n_calls") + (size_t)number(&c, "n_sigmas") +
                  COUNT * (1 + (size_t)number(&c, "n_calls"));
        CHECK_LE((double)(offset * sizeof(float)), (double)data.size);
        if (strcmp(json_string_value(json_object_get(entry, "class")), class_name) != 0) continue;
        follow_case(&c);
        CHECK(c.expected == (const float *)data.data + offset);
        n_cases++;
        worst = fmax(worst, c.worst);
    }
    CHECK_U64(offset * sizeof(float), data.size);
    CHECK_LE(20, n_cases);
    printf("        %s: %d cases, relative L2 at most %.2g\n", class_name, n_cases, worst);
    bdpo_file_unmap(&data);
    json_decref(list);
}

BDPO_TEST(ddpm_follows_diffusers)
{
    follow("DDPMScheduler");
}

BDPO_TEST(ddim_follows_diffusers)
{
    follow("DDIMScheduler");
}

BDPO_TEST(pndm_follows_diffusers)
{
    follow("PNDMScheduler");
}

BDPO_TEST(euler_follows_diffusers)
{
    follow("EulerDiscreteScheduler");
}

BDPO_TEST(euler_ancestral_follows_diffusers)
{
    follow("EulerAncestralDiscreteScheduler");
}

BDPO_TEST(heun_follows_diffusers)
{
    follow("HeunDiscreteScheduler");
}

BDPO_TEST(dpm_follows_diffusers)
{
    follow("DPMSolverMultistepScheduler");
}
