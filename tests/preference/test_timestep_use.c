// Which timesteps are drawn from, and what each one's errors weigh.
#include <math.h>

#include "base/status.h"
#include "harness.h"
#include "preference/timestep_use.h"

static bdpo_noise_schedule stable_diffusion(bool zero_snr)
{
    bdpo_noise_schedule s;
    CHECK_OK(bdpo_noise_schedule_init(
        &s, &(bdpo_noise_schedule_options){.n_steps = 1000,
                                           .betas = BDPO_BETAS_SCALED_LINEAR,
                                           .beta_start = 0.00085,
                                           .beta_end = 0.012,
                                           .zero_terminal_snr = zero_snr}));
    return s;
}

static int usable(bdpo_preference_kind kind, bdpo_prediction_type type,
                  const bdpo_noise_schedule *s, bool *last)
{
    bool use[1000];
    int n, counted = 0;
    CHECK_OK(bdpo_timesteps_usable(&n, use, kind, type, s));
    for (int t = 0; t < s->n_steps; t++) counted += use[t];
    CHECK_INT(n, counted);
    *last = use[s->n_steps - 1];
    return n;
}

BDPO_TEST(timesteps_of_noise_alone_are_left_out)
{
    bdpo_noise_schedule plain = stable_diffusion(false), zero = stable_diffusion(true);
    bool last;
    for (int kind = 0; kind < BDPO_N_PREFERENCES; kind++)
        for (int type = BDPO_PREDICT_EPSILON; type <= BDPO_PREDICT_V; type++) {
            bool all = kind == BDPO_PREFERENCE_SFT && type == BDPO_PREDICT_V;
            bdpo_preference_kind k = (bdpo_preference_kind)kind;
            bdpo_prediction_type p = (bdpo_prediction_type)type;
            CHECK_INT(usable(k, p, &plain, &last), 1000);
            CHECK(last);
            CHECK_INT(usable(k, p, &zero, &last), all ? 1000 : 999);
            CHECK_INT(last, all);
        }
    int n;
    CHECK_STATUS(bdpo_timesteps_usable(&n, NULL, BDPO_PREFERENCE_DPO, BDPO_PREDICT_SAMPLE, &plain),
                 BDPO_UNSUPPORTED);
    CHECK_CONTAINS(bdpo_message(), "predicts the sample");
    bdpo_noise_schedule nothing = {.n_steps = 2, .alphas_cumprod = (float[]){0, 0}};
    CHECK_STATUS(
        bdpo_timesteps_usable(&n, NULL, BDPO_PREFERENCE_DPO, BDPO_PREDICT_EPSILON, &nothing),
        BDPO_BAD_ARGUMENT);
    bdpo_noise_schedule_release(&plain);
    bdpo_noise_schedule_release(&zero);
}

// The definitions, with their divisions.
static double expected(double a, bool v, bool own, double gamma)
{
    double snr = a / (1 - a), capped = fmin(snr, gamma);
    if (v && own) return gamma > 0 ? capped / (snr + 1) : 1;
    return (v ? a : 1) * (gamma > 0 ? capped / snr : 1);
}

BDPO_TEST(scales_by_their_definition)
{
    bdpo_noise_schedule s = stable_diffusion(false);
    static const int timesteps[] = {0, 1, 10, 250, 400, 500, 750, 999};
    static const double gammas[] = {0, 0.5, 1, 5, 20};
    enum { N = sizeof timesteps / sizeof *timesteps };
    for (int kind = 0; kind < BDPO_N_PREFERENCES; kind++)
        for (int type = BDPO_PREDICT_EPSILON; type <= BDPO_PREDICT_V; type++)
            for (size_t k = 0; k < BDPO_COUNTOF(gammas); k++) {
                float got[N];
                bdpo_preference_options o = bdpo_preference_defaults((bdpo_preference_kind)kind);
                o.min_snr_gamma = gammas[k];
                bdpo_timesteps_scale(got, &o, (bdpo_prediction_type)type, &s, timesteps, N);
                for (int i = 0; i < N; i++) {
                    double a = (double)s.alphas_cumprod[timesteps[i]];
                    double want =
                        expected(a, type == BDPO_PREDICT_V, kind == BDPO_PREFERENCE_SFT, gammas[k]);
                    CHECK_NEAR((double)got[i], want, 1e-7 * want);
                }
            }
    bdpo_noise_schedule_release(&s);
}

BDPO_TEST(scales_at_zero_snr)
{
    bdpo_noise_schedule s = stable_diffusion(true);
    bdpo_preference_options o = bdpo_preference_defaults(BDPO_PREFERENCE_SFT);
    float got;
    bdpo_timesteps_scale(&got, &o, BDPO_PREDICT_V, &s, &(int){999}, 1);
    CHECK_NEAR((double)got, 1, 0);
    o.min_snr_gamma = 5;
    bdpo_timesteps_scale(&got, &o, BDPO_PREDICT_V, &s, &(int){999}, 1);
    CHECK_NEAR((double)got, 0, 0);
    bdpo_timesteps_scale(&got, &o, BDPO_PREDICT_EPSILON, &s, &(int){999}, 1);
    CHECK_NEAR((double)got, 1, 0); // finite, though it is not drawn
    bdpo_noise_schedule_release(&s);
}
