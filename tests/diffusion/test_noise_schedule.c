// diffusion/noise_schedule: diffusers' tables to the bit, and what the conversions must satisfy.
#include "diffusion/noise_schedule.h"

#include <jansson.h>

#include "base/memory.h"
#include "harness.h"

static bdpo_beta_schedule formula(const char *name)
{
    if (strcmp(name, "linear") == 0) return BDPO_BETAS_LINEAR;
    if (strcmp(name, "scaled_linear") == 0) return BDPO_BETAS_SCALED_LINEAR;
    CHECK_STR(name, "squaredcos_cap_v2");
    return BDPO_BETAS_COSINE;
}

// A sum over the bits of all values, each by its place.
static uint32_t checksum(const float *values, int n)
{
    uint32_t sum = 0;
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        sum ^= bits * (uint32_t)(2 * i + 1);
    }
    return sum;
}

BDPO_TEST(alphas_cumprod_are_diffusers_to_the_bit)
{
    json_t *list = json_load_file(test_path("fixtures/diffusion/schedules.json"), 0, NULL), *line;
    size_t i;
    CHECK_U64(json_array_size(list), 36);
    json_array_foreach(list, i, line)
    {
        bdpo_noise_schedule s;
        bdpo_noise_schedule_options options = {
            .n_steps = (int)json_integer_value(json_object_get(line, "n")),
            .betas = formula(json_string_value(json_object_get(line, "betas"))),
            .beta_start = json_number_value(json_object_get(line, "start")),
            .beta_end = json_number_value(json_object_get(line, "end")),
            .zero_terminal_snr = json_is_true(json_object_get(line, "zero"))};
        CHECK_OK(bdpo_noise_schedule_init(&s, &options));
        const float *a = s.alphas_cumprod;
        double last = json_number_value(json_object_get(line, "last"));
        double middle = json_number_value(json_object_get(line, "middle"));
        CHECK_NEAR((double)a[s.n_steps - 1], last, 0);
        if (options.zero_terminal_snr) {
            // PyTorch's square root of a tensor (MKL's) errs by a unit in the last place, in two
            // places here; the alphas between, rounded again, multiply to a handful of units.
            CHECK_NEAR((double)a[s.n_steps / 2], middle, 1e-6);
            CHECK_NEAR((double)a[s.n_steps - 1], 0, 0);
        } else {
            CHECK_NEAR((double)a[s.n_steps / 2], middle, 0);
            CHECK_U64(checksum(a, s.n_steps), json_integer_value(json_object_get(line, "sum")));
        }
        bdpo_noise_schedule_release(&s);
    }
    json_decref(list);
}

enum { COUNT = 5 };
static const float original[COUNT] = {1, -0.5f, 0.25f, 2, 0}, noise[COUNT] = {0.5f, 1, -2, 0, -1};

// Each prediction of a noised sample gives back what it was made from.
BDPO_TEST(predictions_convert_into_each_other)
{
    static const float alphas[] = {0.9983f, 0.5f, 0.0047f};
    for (size_t k = 0; k < BDPO_COUNTOF(alphas); k++) {
        float a = alphas[k], sample[COUNT], v[COUNT], got[COUNT];
        // Roundings of 2^-24, enlarged by the divisor.
        double tolerance = 4e-7 / sqrt((double)fminf(a, 1 - a));
        bdpo_noise_add(sample, original, noise, a, COUNT);
        bdpo_noise_velocity(v, original, noise, a, COUNT);
        const float *predictions[] = {
            [BDPO_PREDICT_EPSILON] = noise, [BDPO_PREDICT_V] = v, [BDPO_PREDICT_SAMPLE] = original};
        for (int type = 0; type < 3; type++) {
            bdpo_predicted_original(got, (bdpo_prediction_type)type, predictions[type], sample, a,
                                    COUNT);
            for (int i = 0; i < COUNT; i++)
                CHECK_NEAR((double)got[i], (double)original[i], tolerance);
            bdpo_predicted_noise(got, (bdpo_prediction_type)type, predictions[type], sample, a,
                                 COUNT);
            for (int i = 0; i < COUNT; i++) CHECK_NEAR((double)got[i], (double)noise[i], tolerance);
        }
    }
}

BDPO_TEST(v_needs_no_signal)
{
    float sample[COUNT], v[COUNT], got[COUNT];
    bdpo_noise_add(sample, original, noise, 0, COUNT);
    CHECK_BYTES(sample, noise, sizeof sample);
    bdpo_noise_velocity(v, original, noise, 0, COUNT);
    bdpo_predicted_original(got, BDPO_PREDICT_V, v, sample, 0, COUNT);
    for (int i = 0; i < COUNT; i++) CHECK_NEAR((double)got[i], (double)original[i], 0);
}

BDPO_TEST(snr_is_signal_over_noise)
{
    CHECK_NEAR((double)bdpo_noise_snr(0.5f), 1, 0);
    CHECK_NEAR((double)bdpo_noise_snr(0.8f), 4, 2e-6); // three roundings
    CHECK_NEAR((double)bdpo_noise_snr(0), 0, 0);
}

BDPO_TEST(linspace_has_its_ends)
{
    float out[7];
    bdpo_torch_linspace(out, -3, 3, 7);
    for (int i = 0; i < 7; i++) CHECK_NEAR((double)out[i], i - 3, 0);
    bdpo_torch_linspace(out, 0.25f, 9, 1);
    CHECK_NEAR((double)out[0], 0.25, 0);
}

BDPO_TEST(bad_schedules_are_refused)
{
    static const float bad[] = {0.1f, 0};
    static const struct {
        bdpo_noise_schedule_options options;
        const char *message;
    } cases[] = {
        {{.n_steps = 0, .beta_start = 0.1, .beta_end = 0.2}, "0 training timesteps; expected 1 to"},
        {{.n_steps = 9, .beta_start = 0, .beta_end = 0.2}, "betas from 0 to 0.2; expected both"},
        {{.n_steps = 9, .beta_start = 0.1, .beta_end = (double)NAN}, "expected both"},
        {{.n_steps = 1, .beta_start = 0.1, .beta_end = 0.2, .zero_terminal_snr = true}, "zero"},
        {{.n_steps = 2, .trained_betas = bad}, "trained beta 1 is 0; expected above 0"},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        bdpo_noise_schedule s;
        CHECK_STATUS(bdpo_noise_schedule_init(&s, &cases[i].options), BDPO_BAD_ARGUMENT);
        CHECK_CONTAINS(bdpo_message(), cases[i].message);
        CHECK(s.betas == NULL);
    }
}

BDPO_TEST(no_memory_is_reported)
{
    bdpo_noise_schedule_options options = {.n_steps = 9, .beta_start = 0.1, .beta_end = 0.2};
    for (uint64_t n = 1; n <= 2; n++) {
        bdpo_noise_schedule s;
        bdpo_alloc_fail_at(bdpo_alloc_count() + n);
        CHECK_STATUS(bdpo_noise_schedule_init(&s, &options), BDPO_NO_MEMORY);
    }
}
