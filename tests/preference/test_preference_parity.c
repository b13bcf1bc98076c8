// Every loss against PyTorch in float64: values, logits, errors and gradients, for models of
// epsilon and of v, with and without min-SNR and zero terminal SNR. Cases and inputs are those of
// tools/parity/preference.py, which names the expressions.
#include <math.h>

#include "harness.h"

#include "base/status.h"
#include "parity/fixture.h"
#include "parity/parity_inputs.h"
#include "preference/loss_run.h"
#include "preference/timestep_use.h"

enum { N = 3, H = 2, W = 3, C = 4, ELEMENTS = H * W * C, VALUES = 2 * N * ELEMENTS };

static const int timesteps[N] = {7, 420, 880};
static const float weights[N] = {0.5f, 0.2f, 0.3f};

typedef struct parity_case {
    const char *kind, *model, *schedule, *label, *snr;
} parity_case;

// The whole batch in f32, and what PyTorch made of it.
typedef struct batch {
    float policy[VALUES], reference[VALUES], target[VALUES], gradient[VALUES];
    float labels[N], scales[N];
} batch;

static bdpo_noise_schedule schedule_of(const char *name)
{
    bdpo_noise_schedule s;
    CHECK_OK(bdpo_noise_schedule_init(
        &s, &(bdpo_noise_schedule_options){.n_steps = 1000,
                                           .betas = BDPO_BETAS_SCALED_LINEAR,
                                           .beta_start = 0.00085,
                                           .beta_end = 0.012,
                                           .zero_terminal_snr = strcmp(name, "zero") == 0}));
    return s;
}

static bdpo_preference_options options_of(const parity_case *c)
{
    bool conservative = strcmp(c->kind, "cdpo") == 0;
    bdpo_preference_kind kind;
    CHECK_OK(bdpo_preference_find(&kind, conservative ? "dpo" : c->kind));
    bdpo_preference_options o = bdpo_preference_defaults(kind);
    if (conservative) o.label_smoothing = 0.1;
    o.n_train_steps = 4; // of mapo
    if (strcmp(c->snr, "min-snr") == 0) o.min_snr_gamma = 5;
    return o;
}

static void fill_target(batch *b, bool v, const bdpo_noise_schedule *s)
{
    static float original[VALUES], noise[VALUES / 2];
    parity_fill(original, VALUES, "preference/original", 1, 0);
    parity_fill(noise, VALUES / 2, "preference/noise", 1, 0);
    for (int picture = 0; picture < 2 * N; picture++) {
        const float *pair_noise = noise + picture / 2 * ELEMENTS;
        float *target = b->target + picture * ELEMENTS;
        float a = s->alphas_cumprod[timesteps[picture / 2]];
        if (v)
            bdpo_noise_velocity(target, original + picture * ELEMENTS, pair_noise, a, ELEMENTS);
        else
            memcpy(target, pair_noise, ELEMENTS * sizeof(float));
    }
}

static void fill_batch(batch *b, const parity_case *c, const bdpo_preference_options *o)
{
    static const float hard[N] = {1, 0, 1}, soft[N] = {0.7f, 0.25f, 0.5f};
    bool v = strcmp(c->model, "v") == 0;
    bdpo_noise_schedule s = schedule_of(c->schedule);
    parity_fill(b->policy, VALUES, "preference/policy", 1, 0);
    parity_fill(b->reference, VALUES, "preference/apart", 0.002, 0);
    loss_add(b->reference, b->policy, b->reference, VALUES);
    fill_target(b, v, &s);
    memcpy(b->labels, strcmp(c->label, "hard") == 0 ? hard : soft, sizeof hard);
    bdpo_timesteps_scale(b->scales, o, v ? BDPO_PREDICT_V : BDPO_PREDICT_EPSILON, &s, timesteps, N);
    bdpo_noise_schedule_release(&s);
}

static const float *get(const fixture *f, const char *name, const char *what, size_t count)
{
    char key[128];
    snprintf(key, sizeof key, "%s/%s", name, what);
    return fixture_get(f, key, count);
}

// Targets and margins are rounded once each, so a logit is off by 2^-24 of the differences that it
// is made of, 1e-3 of the errors here; a difference of rounded errors would be 100 times off.
// MaPO's scores, below 1, are rounded twice and multiplied by T.
static double logit_tolerance(const bdpo_preference_options *o, const float *m, const float *r)
{
    if (o->kind == BDPO_PREFERENCE_MAPO) return 0x1p-22 * o->n_train_steps;
    double slope = bdpo_preference_beta(o, ELEMENTS).half;
    return 2e-10 * slope * (double)(m[0] + m[1] + r[0] + r[1]) + 1e-6;
}

static void compare(const fixture *f, const char *name, const loss_run *run)
{
    const float *loss = get(f, name, "pair_loss", N), *logit = get(f, name, "logit", N);
    const float *m = get(f, name, "policy_error", (size_t)2 * N);
    const float *r = get(f, name, "reference_error", (size_t)2 * N);
    for (int i = 0; i < N; i++) {
        double near = logit_tolerance(&run->options, m + 2 * i, r + 2 * i);
        if (run->has_logit) CHECK_NEAR((double)run->logit[i], (double)logit[i], near);
        CHECK_NEAR((double)run->pair_loss[i], (double)loss[i], 1e-5 * fabs((double)loss[i]) + 2e-6);
    }
    for (int i = 0; i < 2 * N; i++) {
        CHECK_NEAR((double)run->policy_error[i], (double)m[i], 1e-6 * (double)m[i]);
        CHECK_NEAR((double)run->reference_error[i], (double)r[i], 1e-6 * (double)r[i]);
    }
    const float *total = get(f, name, "loss", 1), *gradient = get(f, name, "gradient", VALUES);
    CHECK_NEAR((double)run->loss, (double)*total, 1e-5 * fabs((double)*total) + 2e-6);
    CHECK_LE(test_relative_l2(run->gradient, gradient, VALUES), 1e-5);
}

static void check_case(const fixture *f, const parity_case *c)
{
    static batch b;
    char name[96];
    snprintf(name, sizeof name, "%s/%s/%s/%s/%s", c->kind, c->model, c->schedule, c->label, c->snr);
    bdpo_preference_options o = options_of(c);
    fill_batch(&b, c, &o);
    loss_run run = {.n = N,
                    .h = H,
                    .w = W,
                    .c = C,
                    .options = o,
                    .policy = b.policy,
                    .reference = b.reference,
                    .target = b.target,
                    .labels = b.labels,
                    .weights = weights,
                    .scales = b.scales,
                    .gradient = b.gradient};
    loss_run_now(&run);
    compare(f, name, &run);
}

static void check_kind(const char *kind)
{
    static const char *models[] = {"epsilon", "v"}, *schedules[] = {"plain", "zero"};
    static const char *label_kinds[] = {"hard", "soft"}, *snrs[] = {"all-one", "min-snr"};
    fixture *f = fixture_open("preference/losses");
    int n_cases = 0;
    for (int i = 0; i < 16; i++) {
        parity_case c = {kind, models[i & 1], schedules[i >> 1 & 1], label_kinds[i >> 2 & 1],
                         snrs[i >> 3 & 1]};
        if ((i & 14) == 10) continue; // zero, hard, min-snr: left out there
        check_case(f, &c);
        n_cases++;
    }
    CHECK_INT(n_cases, 14);
    fixture_close(f);
}

BDPO_TEST(dpo)
{
    check_kind("dpo");
}

BDPO_TEST(conservative_dpo)
{
    check_kind("cdpo");
}

BDPO_TEST(ipo)
{
    check_kind("ipo");
}

BDPO_TEST(poly_dpo)
{
    check_kind("poly-dpo");
}

BDPO_TEST(sft)
{
    check_kind("sft");
}

BDPO_TEST(mapo)
{
    check_kind("mapo");
}

BDPO_TEST(usable_timesteps_and_their_alphas)
{
    static const char *names[] = {"plain", "zero"};
    fixture *f = fixture_open("preference/losses");
    for (int i = 0; i < 2; i++) {
        bdpo_noise_schedule s = schedule_of(names[i]);
        const float *alphas = get(f, "alphas", names[i], N);
        int n;
        CHECK_OK(bdpo_timesteps_usable(&n, NULL, BDPO_PREFERENCE_DPO, BDPO_PREDICT_V, &s));
        CHECK_INT(n, (int)*get(f, "usable", names[i], 1));
        for (int k = 0; k < N; k++) // PyTorch's square root differs in last bits (pitfalls)
            CHECK_NEAR((double)s.alphas_cumprod[timesteps[k]], (double)alphas[k],
                       i ? 3e-6 * (double)alphas[k] : 0);
        bdpo_noise_schedule_release(&s);
    }
    fixture_close(f);
}
