// The losses by what is known of them: their values at the start, their minima and symmetries,
// their own double, and central differences.
#include <float.h>
#include <math.h>

#include "harness.h"

#include "base/status.h"
#include "preference/loss_run.h"

// The smallest shapes at which all that is checked can go wrong: odd counts, several pairs.
enum { N = 6, H = 8, W = 6, C = 4, ELEMENTS = H * W * C, VALUES = 2 * N * ELEMENTS };

static const float labels[N] = {1, 0, 1, 2.0f / 3, 0.25f, 0.5f};
static const float scales[N] = {1, 0.75f, 0.0625f, 1, 0.5f, 0.9f};
static const float weights[N] = {0.25f, 0.125f, 0.5f, 0, 0.25f, 1};
static const float ln_2 = 0.693147180559945309417f;

// Predictions of some error, policy and reference a little apart, so that logits are of order 1.
typedef struct scene {
    float policy[VALUES], reference[VALUES], target[VALUES], gradient[VALUES];
} scene;

static scene *scene_of(const char *name)
{
    static scene s;
    char key[64];
    loss_fill(s.target, VALUES, "target", 1);
    snprintf(key, sizeof key, "%s/error", name);
    loss_fill(s.policy, VALUES, key, 0.3);
    loss_add(s.policy, s.policy, s.target, VALUES);
    snprintf(key, sizeof key, "%s/apart", name);
    loss_fill(s.reference, VALUES, key, 0.02);
    loss_add(s.reference, s.reference, s.policy, VALUES);
    return &s;
}

static loss_run run_of(scene *s, bdpo_preference_options options)
{
    return (loss_run){.n = N,
                      .h = H,
                      .w = W,
                      .c = C,
                      .options = options,
                      .policy = s->policy,
                      .reference = s->reference,
                      .target = s->target,
                      .labels = labels,
                      .scales = scales,
                      .gradient = s->gradient};
}

// ---- the start ---------------------------------------------------------------------------------

// Policy and reference are the same bits: every logit is 0 and every pair's loss is log 2, to the
// bit, whatever the labels, at any resolution and in a plan that computes in bf16.
static void check_start(int h, int w, bdpo_preference_options options, float expected,
                        bdpo_dtype dtype)
{
    static float values[LOSS_MAX_VALUES], target[LOSS_MAX_VALUES];
    int64_t count = (int64_t)2 * N * h * w * C;
    loss_fill(values, count, "start", 1);
    loss_fill(target, count, "target", 1);
    loss_run run = {.n = N,
                    .h = h,
                    .w = w,
                    .c = C,
                    .options = options,
                    .policy = values,
                    .reference = values,
                    .target = target,
                    .labels = labels,
                    .scales = scales,
                    .compute_dtype = dtype};
    loss_run_now(&run);
    for (int i = 0; i < N; i++) {
        CHECK_NEAR((double)run.logit[i], 0, 0);
        CHECK(!signbit(run.logit[i]));
        CHECK_NEAR((double)run.pair_loss[i], (double)expected, 0);
    }
    CHECK_BYTES(run.policy_error, run.reference_error, sizeof run.policy_error);
}

BDPO_TEST(start_is_log_2_to_the_bit)
{
    bdpo_preference_options o = bdpo_preference_defaults(BDPO_PREFERENCE_DPO);
    check_start(H, W, o, ln_2, BDPO_F32);
    check_start(64, 64, o, ln_2, BDPO_F32);
    check_start(1, 1, o, ln_2, BDPO_F32);
    check_start(H, W, o, ln_2, BDPO_BF16);
    o.label_smoothing = 0.1;
    check_start(H, W, o, ln_2, BDPO_F32);
    o.beta_per_element = true;
    check_start(H, W, o, ln_2, BDPO_F32);
}

BDPO_TEST(start_of_the_others)
{
    scene *s = scene_of("start");
    loss_run run = run_of(s, bdpo_preference_defaults(BDPO_PREFERENCE_IPO));
    run.reference = run.policy;
    loss_run_now(&run);
    for (int i = 0; i < N; i++) CHECK_NEAR((double)run.pair_loss[i], 0.25, 1e-7);
    run.options = bdpo_preference_defaults(BDPO_PREFERENCE_POLY_DPO);
    loss_run_now(&run);
    // log 2 + alpha / 2, a float of its own rounding
    for (int i = 0; i < N; i++) CHECK_NEAR((double)run.pair_loss[i], log(2) + 4, 5e-7);
}

// ---- value and gradient ------------------------------------------------------------------------

// The pair after element `at` of picture k has moved by `by`.
static bdpo_preference_pair moved(const loss_run *run, int i, int k, int64_t at, double by)
{
    bdpo_preference_pair pair = loss_run_pair(run, i);
    int64_t index = (2 * i + k) * loss_run_elements(run) + at;
    double away = (double)run->policy[index] - (double)run->target[index];
    double change = by * (2 * away + by) / (double)loss_run_elements(run);
    pair.policy[k] += change;
    pair.margin[k] += change;
    return pair;
}

static void check_gradient(const loss_run *run, double tolerance)
{
    static const double step = 1e-4; // the error of central differences is near 1e-7 of the slope
    int64_t count = loss_run_elements(run);
    for (int picture = 0; picture < 2 * run->n; picture++) {
        int i = picture / 2, k = picture % 2;
        double weight = run->weights ? (double)run->weights[i] : 1, square = 0, off = 0;
        for (int64_t at = 0; at < count; at += 5) {
            bdpo_preference_pair up = moved(run, i, k, at, step);
            bdpo_preference_pair down = moved(run, i, k, at, -step);
            double slope = weight *
                           (bdpo_preference_pair_loss(&run->options, &up) -
                            bdpo_preference_pair_loss(&run->options, &down)) /
                           (2 * step);
            double got = (double)run->gradient[picture * count + at];
            off += (got - slope) * (got - slope);
            square += slope * slope;
        }
        CHECK_LE(sqrt(off), tolerance * sqrt(square) + 1e-12);
    }
}

// A logit's error: that of the margins, 2^-24 of their size times beta / 2, thrice.
static double logit_tolerance(const loss_run *run, int i)
{
    bdpo_preference_pair pair = loss_run_pair(run, i);
    double size = fabs(pair.margin[0]) + fabs(pair.margin[1]);
    double slope = run->options.kind == BDPO_PREFERENCE_MAPO
                       ? 0
                       : bdpo_preference_beta(&run->options, ELEMENTS).half;
    double mapo = run->options.kind == BDPO_PREFERENCE_MAPO ? run->options.n_train_steps : 0;
    return 0x1p-22 * (slope * size + mapo * (pair.policy[0] + pair.policy[1]) + 1);
}

static void check_against_double(bdpo_preference_options options, const float *weight)
{
    scene *s = scene_of("double");
    loss_run run = run_of(s, options);
    run.weights = weight;
    loss_run_now(&run);
    double sum = 0;
    for (int i = 0; i < N; i++) {
        bdpo_preference_pair pair = loss_run_pair(&run, i);
        double z = bdpo_preference_logit(&options, &pair);
        double loss = bdpo_preference_pair_loss(&options, &pair), near = logit_tolerance(&run, i);
        if (run.has_logit) CHECK_NEAR((double)run.logit[i], z, near);
        // |dloss/dz| is at most 1 + alpha / 4, or 2 |z - y + 1/2|, and the loss is rounded itself.
        double slope = 3 + 2 * fabs(z);
        CHECK_NEAR((double)run.pair_loss[i], loss, slope * near + 3e-7 * fabs(loss));
        sum += (weight ? (double)weight[i] : 1) * (double)run.pair_loss[i];
        for (int k = 0; k < 2; k++) {
            CHECK_NEAR((double)run.policy_error[2 * i + k], pair.policy[k], 1e-6 * pair.policy[k]);
            CHECK_NEAR((double)run.reference_error[2 * i + k], pair.reference[k],
                       1e-6 * pair.reference[k]);
        }
    }
    CHECK_NEAR((double)run.loss, sum, 1e-6 * fabs(sum));
    check_gradient(&run, 2e-5);
}

static void check_kind(bdpo_preference_kind kind)
{
    bdpo_preference_options o = bdpo_preference_defaults(kind);
    check_against_double(o, NULL);
    check_against_double(o, weights);
    o.beta = kind == BDPO_PREFERENCE_MAPO ? 0 : 800;
    o.label_smoothing = 0.15;
    o.poly_alpha = 3;
    check_against_double(o, weights);
    o.beta = 0.7;
    o.beta_per_element = kind != BDPO_PREFERENCE_MAPO;
    check_against_double(o, NULL);
}

BDPO_TEST(dpo_is_its_double_and_its_slope)
{
    check_kind(BDPO_PREFERENCE_DPO);
}

BDPO_TEST(ipo_is_its_double_and_its_slope)
{
    check_kind(BDPO_PREFERENCE_IPO);
}

BDPO_TEST(poly_dpo_is_its_double_and_its_slope)
{
    check_kind(BDPO_PREFERENCE_POLY_DPO);
}

BDPO_TEST(sft_is_its_double_and_its_slope)
{
    check_kind(BDPO_PREFERENCE_SFT);
}

BDPO_TEST(mapo_is_its_double_and_its_slope)
{
    check_kind(BDPO_PREFERENCE_MAPO);
}

// Diffusion-DPO as it is written, errors first, in double: the factor 1/2, means, winner first.
BDPO_TEST(dpo_is_the_published_expression)
{
    scene *s = scene_of("published");
    loss_run run = run_of(s, bdpo_preference_defaults(BDPO_PREFERENCE_DPO));
    run.scales = NULL;
    static const float hard[N] = {1, 0, 0, 1, 1, 0};
    run.labels = hard;
    loss_run_now(&run);
    for (int i = 0; i < N; i++) {
        bdpo_preference_pair p = loss_run_pair(&run, i);
        int w = hard[i] == 1 ? 0 : 1, l = 1 - w;
        double model_diff = p.policy[w] - p.policy[l], ref_diff = p.reference[w] - p.reference[l];
        double inside = -0.5 * 5000 * (model_diff - ref_diff);
        CHECK_NEAR((double)run.pair_loss[i], log1p(exp(-inside)), 2e-6);
        CHECK_NEAR((double)run.logit[i], w == 0 ? inside : -inside, 2e-6 * fabs(inside) + 2e-6);
    }
}

// ---- what is known of each ---------------------------------------------------------------------

// A pair of this logit, to be read by dpo, ipo and poly-dpo at beta 2.
static bdpo_preference_pair pair_at(double z, double label)
{
    return (bdpo_preference_pair){
        .margin = {0, z}, .error_scale = 1, .label = label, .n_elements = ELEMENTS};
}

static double loss_at(bdpo_preference_options options, double z, double label)
{
    bdpo_preference_pair pair = pair_at(z, label);
    options.beta = 2;
    CHECK_NEAR(bdpo_preference_logit(&options, &pair), z, 0);
    return bdpo_preference_pair_loss(&options, &pair);
}

BDPO_TEST(ipo_is_least_at_half)
{
    bdpo_preference_options o = bdpo_preference_defaults(BDPO_PREFERENCE_IPO);
    CHECK_NEAR(loss_at(o, 0.5, 1), 0, 0);
    CHECK_NEAR(loss_at(o, -0.5, 0), 0, 0);
    CHECK_NEAR(loss_at(o, 0.25, 0.75), 0.1875, 1e-15); // the least of a soft label is y (1 - y)
    static const double ys[] = {0, 0.3, 0.5, 1};
    for (size_t i = 0; i < BDPO_COUNTOF(ys); i++)
        for (double away = -3; away <= 3; away += 0.5) {
            double z = ys[i] - 0.5 + away, y = ys[i];
            double mean = y * (z - 0.5) * (z - 0.5) + (1 - y) * (z + 0.5) * (z + 0.5);
            CHECK_NEAR(loss_at(o, z, y), mean, 1e-14);
            CHECK_NEAR(loss_at(o, z, y) - loss_at(o, y - 0.5, y), away * away, 1e-14);
        }
}

BDPO_TEST(soft_labels_are_least_where_the_model_agrees)
{
    bdpo_preference_options o = bdpo_preference_defaults(BDPO_PREFERENCE_DPO);
    for (double y = 0.1; y < 0.95; y += 0.1) {
        double z = log(y / (1 - y)); // sigma(z) = y
        double least = -y * log(y) - (1 - y) * log(1 - y);
        CHECK_NEAR(loss_at(o, z, y), least, 1e-14);
        CHECK(loss_at(o, z + 0.1, y) > least && loss_at(o, z - 0.1, y) > least);
    }
}

BDPO_TEST(conservative_dpo_is_a_mean_and_symmetric)
{
    bdpo_preference_options o = bdpo_preference_defaults(BDPO_PREFERENCE_DPO);
    bdpo_preference_options c = o;
    c.label_smoothing = 0.2;
    for (double z = -6; z <= 6; z += 0.75) {
        double mean = 0.8 * loss_at(o, z, 1) + 0.2 * loss_at(o, z, 0);
        CHECK_NEAR(loss_at(c, z, 1), mean, 1e-14);
        CHECK_NEAR(loss_at(c, z, 0), loss_at(c, -z, 1), 1e-14);
    }
}

// Swapping the pictures and the label changes nothing but which picture has which gradient.
BDPO_TEST(swapped_pairs_are_the_same)
{
    static scene swapped;
    static float gradient[VALUES];
    float turned[N];
    for (int i = 0; i < N; i++) turned[i] = 1 - labels[i];
    for (int kind = 0; kind < BDPO_N_PREFERENCES; kind++) {
        scene *s = scene_of("swap");
        loss_run a = run_of(s, bdpo_preference_defaults((bdpo_preference_kind)kind)), b = a;
        for (int i = 0; i < 2 * N; i++) {
            int64_t from = (int64_t)i * ELEMENTS, to = (int64_t)(i ^ 1) * ELEMENTS;
            memcpy(swapped.policy + to, s->policy + from, ELEMENTS * sizeof(float));
            memcpy(swapped.reference + to, s->reference + from, ELEMENTS * sizeof(float));
            memcpy(swapped.target + to, s->target + from, ELEMENTS * sizeof(float));
        }
        b.policy = swapped.policy, b.reference = swapped.reference, b.target = swapped.target;
        b.labels = turned, b.gradient = swapped.gradient;
        loss_run_now(&a);
        loss_run_now(&b);
        // 1 - (1 - y) is y, but the float 2/3 as 1 - 2/3 has lost nothing either: bits agree.
        CHECK_BYTES(a.pair_loss, b.pair_loss, sizeof a.pair_loss);
        for (int i = 0; i < N && a.has_logit; i++)
            CHECK_NEAR((double)a.logit[i], -(double)b.logit[i], 0);
        for (int i = 0; i < 2 * N; i++)
            memcpy(gradient + (i ^ 1) * ELEMENTS, swapped.gradient + i * ELEMENTS,
                   ELEMENTS * sizeof(float));
        CHECK_LE(test_relative_l2(gradient, s->gradient, VALUES), 1e-6);
    }
}

BDPO_TEST(poly_dpo_without_alpha_is_dpo)
{
    static float gradient[VALUES];
    scene *s = scene_of("poly");
    loss_run a = run_of(s, bdpo_preference_defaults(BDPO_PREFERENCE_DPO));
    loss_run_now(&a);
    loss_run b = a;
    b.gradient = gradient;
    b.options.kind = BDPO_PREFERENCE_POLY_DPO;
    loss_run_now(&b);
    CHECK_BYTES(a.pair_loss, b.pair_loss, sizeof a.pair_loss);
    CHECK_BYTES(gradient, s->gradient, sizeof gradient);
}

// -(1 - p)(1 + alpha p): the published factor on DPO's gradient.
BDPO_TEST(poly_dpo_slope)
{
    bdpo_preference_options o = bdpo_preference_defaults(BDPO_PREFERENCE_POLY_DPO);
    for (double z = -5; z <= 5; z += 0.5) {
        double p = 1 / (1 + exp(-z)), h = 1e-5;
        double slope = (loss_at(o, z + h, 1) - loss_at(o, z - h, 1)) / (2 * h);
        CHECK_NEAR(slope, -(1 - p) * (1 + 8 * p), 1e-8);
    }
}

BDPO_TEST(sft_is_the_error_of_the_chosen)
{
    static float chosen[VALUES / 2], target[VALUES / 2], gradient[VALUES / 2];
    static const float hard[N] = {1, 0, 0, 1, 0, 1};
    scene *s = scene_of("sft");
    loss_run run = run_of(s, bdpo_preference_defaults(BDPO_PREFERENCE_SFT));
    run.labels = hard;
    run.scales = NULL;
    run.reference = NULL;
    loss_run_now(&run);
    CHECK(!run.has_logit);
    for (int i = 0; i < N; i++) {
        int k = 2 * i + (hard[i] == 1 ? 0 : 1);
        CHECK_NEAR((double)run.pair_loss[i], (double)run.policy_error[k], 0);
        memcpy(chosen + i * ELEMENTS, s->policy + k * ELEMENTS, ELEMENTS * sizeof(float));
        memcpy(target + i * ELEMENTS, s->target + k * ELEMENTS, ELEMENTS * sizeof(float));
        const float *rejected = s->gradient + (k ^ 1) * ELEMENTS;
        for (int at = 0; at < ELEMENTS; at++) CHECK_NEAR((double)rejected[at], 0, 0);
    }
    // The same from the chosen pictures alone.
    loss_run alone = {.n = N,
                      .h = H,
                      .w = W,
                      .c = C,
                      .options = run.options,
                      .policy = chosen,
                      .target = target,
                      .gradient = gradient};
    loss_run_now(&alone);
    CHECK_BYTES(alone.pair_loss, run.pair_loss, N * sizeof(float));
    for (int i = 0; i < N; i++) {
        int k = 2 * i + (hard[i] == 1 ? 0 : 1);
        CHECK_BYTES(gradient + i * ELEMENTS, s->gradient + k * ELEMENTS, ELEMENTS * sizeof(float));
    }
}

BDPO_TEST(mapo_without_beta_is_sft)
{
    scene *s = scene_of("mapo");
    loss_run run = run_of(s, bdpo_preference_defaults(BDPO_PREFERENCE_SFT));
    run.reference = NULL;
    loss_run_now(&run);
    float sft[N];
    memcpy(sft, run.pair_loss, sizeof sft);
    run.options = bdpo_preference_defaults(BDPO_PREFERENCE_MAPO);
    run.options.beta = 0;
    loss_run_now(&run);
    CHECK_BYTES(run.pair_loss, sft, sizeof sft);
    for (int i = 0; i < N; i++) // the smaller error has the larger score
        CHECK((run.logit[i] > 0) == (run.policy_error[2 * i] < run.policy_error[2 * i + 1]));
}

// ---- numbers -----------------------------------------------------------------------------------

// Policy and reference apart by far less than their errors: what the difference of two rounded
// errors loses, the margin keeps.
BDPO_TEST(margin_has_no_cancellation)
{
    scene *s = scene_of("apart");
    loss_fill(s->reference, VALUES, "tiny", 2e-6);
    loss_add(s->reference, s->reference, s->policy, VALUES);
    bdpo_preference_options o = bdpo_preference_defaults(BDPO_PREFERENCE_DPO);
    o.beta = 1e8;
    loss_run run = run_of(s, o);
    run.scales = NULL;
    loss_run_now(&run);
    double worst = 0, naive = 0;
    for (int i = 0; i < N; i++) {
        bdpo_preference_pair pair = loss_run_pair(&run, i);
        double z = bdpo_preference_logit(&o, &pair);
        const float *m = run.policy_error + 2 * i, *r = run.reference_error + 2 * i;
        double rounded = 5e7 * (double)((m[1] - m[0]) - (r[1] - r[0]));
        worst = fmax(worst, fabs((double)run.logit[i] - z) / fabs(z));
        naive = fmax(naive, fabs(rounded - z) / fabs(z));
    }
    CHECK_LE(worst, 1e-5);
    CHECK(naive > 1e-2); // or the test shows nothing
}

// Logits far beyond where exp() overflows: nothing infinite, nothing NaN, the right limit.
static void check_huge(bdpo_preference_kind kind, float apart)
{
    scene *s = scene_of("huge");
    for (int i = 0; i < VALUES; i++)
        s->policy[i] = s->reference[i] + (i / ELEMENTS % 2 ? apart : 0);
    static const float hard[N] = {1, 0, 1, 0, 1, 0};
    loss_run run = run_of(s, bdpo_preference_defaults(kind));
    run.labels = hard;
    run.scales = NULL;
    loss_run_now(&run);
    CHECK(isfinite(run.loss));
    for (int i = 0; i < VALUES; i++) CHECK(isfinite(s->gradient[i]));
    for (int i = 0; i < N && run.has_logit; i++) {
        double z = (double)run.logit[i], loss = (double)run.pair_loss[i];
        CHECK(isfinite(z) && z > 0); // picture 1 has the larger error
        if (kind == BDPO_PREFERENCE_DPO || kind == BDPO_PREFERENCE_POLY_DPO)
            CHECK_NEAR(loss, hard[i] == 1 ? 0 : z, 1e-6 * z + (hard[i] == 1 ? 0 : 8));
        if (kind == BDPO_PREFERENCE_MAPO) CHECK(z <= 1000);
    }
}

BDPO_TEST(no_overflow_at_huge_logits)
{
    for (int kind = 0; kind < BDPO_N_PREFERENCES; kind++) {
        check_huge((bdpo_preference_kind)kind, 30);
        check_huge((bdpo_preference_kind)kind, 1e4f);
        check_huge((bdpo_preference_kind)kind, 1e7f); // ipo squares a logit of 1e17
    }
    check_huge(BDPO_PREFERENCE_DPO, 1e15f);
    check_huge(BDPO_PREFERENCE_POLY_DPO, 1e15f);
    check_huge(BDPO_PREFERENCE_MAPO, 1e15f);
}

// A pair of weight 0 neither counts nor pulls.
BDPO_TEST(pairs_of_no_weight_are_skipped)
{
    scene *s = scene_of("skip");
    loss_run run = run_of(s, bdpo_preference_defaults(BDPO_PREFERENCE_DPO));
    run.weights = weights; // the fourth is 0
    loss_run_now(&run);
    for (int i = 6 * ELEMENTS; i < 8 * ELEMENTS; i++) CHECK_NEAR((double)s->gradient[i], 0, 0);
    float before = run.loss;
    float other[N];
    memcpy(other, labels, sizeof other);
    other[3] = 0;
    run.labels = other;
    loss_run_now(&run);
    CHECK_NEAR((double)run.loss, (double)before, 0);
}

// Half a batch and the other half, with the weights of the whole, sum to the whole.
BDPO_TEST(parts_of_a_batch_sum_to_it)
{
    scene *s = scene_of("parts");
    static float whole[VALUES];
    loss_run run = run_of(s, bdpo_preference_defaults(BDPO_PREFERENCE_DPO));
    static const float sixth[N] = {1 / 6.0f, 1 / 6.0f, 1 / 6.0f, 1 / 6.0f, 1 / 6.0f, 1 / 6.0f};
    run.weights = sixth;
    loss_run_now(&run);
    memcpy(whole, s->gradient, sizeof whole);
    double loss = 0;
    for (int from = 0; from < N; from += 2) {
        loss_run part = run;
        part.n = 2;
        part.policy += 2 * from * ELEMENTS, part.reference += 2 * from * ELEMENTS;
        part.target += 2 * from * ELEMENTS, part.gradient += 2 * from * ELEMENTS;
        part.labels += from, part.scales += from;
        loss_run_now(&part);
        loss += (double)part.loss;
    }
    CHECK_NEAR(loss, (double)run.loss, 1e-6);
    CHECK_BYTES(whole, s->gradient, sizeof whole);
}

// In a bf16 plan the loss still computes in f32.
BDPO_TEST(loss_is_an_f32_island)
{
    static float gradient[VALUES];
    for (int kind = 0; kind < BDPO_N_PREFERENCES; kind++) {
        scene *s = scene_of("island");
        loss_run a = run_of(s, bdpo_preference_defaults((bdpo_preference_kind)kind));
        loss_run_now(&a);
        memcpy(gradient, s->gradient, sizeof gradient);
        loss_run b = a;
        b.compute_dtype = BDPO_BF16;
        loss_run_now(&b);
        CHECK_BYTES(a.pair_loss, b.pair_loss, sizeof a.pair_loss);
        CHECK_NEAR((double)a.loss, (double)b.loss, 0);
    }
}

// ---- beta --------------------------------------------------------------------------------------

BDPO_TEST(beta_in_all_conventions)
{
    bdpo_preference_options o = bdpo_preference_defaults(BDPO_PREFERENCE_DPO);
    bdpo_preference_betas b = bdpo_preference_beta(&o, 64 * 64 * 4);
    CHECK_NEAR(b.mean, 5000, 0);
    CHECK_NEAR(b.half, 2500, 0);
    CHECK_NEAR(b.sum, 0.30517578125, 0);
    o.beta = 0.30517578125;
    o.beta_per_element = true;
    b = bdpo_preference_beta(&o, 64 * 64 * 4);
    CHECK_NEAR(b.mean, 5000, 0);
    b = bdpo_preference_beta(&o, 128 * 128 * 4);
    CHECK_NEAR(b.mean, 20000, 0); // the same strength for each element
    char line[256];
    bdpo_preference_beta_print(line, sizeof line, &o, 64 * 64 * 4);
    CHECK_STR(line, "dpo, beta 5000 on mean squared errors with the factor 1/2 (2500 without it) = "
                    "0.305176 on sums over 16384 elements, which is the one that was set");
    o = bdpo_preference_defaults(BDPO_PREFERENCE_MAPO);
    bdpo_preference_beta_print(line, sizeof line, &o, 64 * 64 * 4);
    CHECK_STR(line, "mapo, beta 0.1, SNR 0.5, 1000 timesteps");
    o = bdpo_preference_defaults(BDPO_PREFERENCE_SFT);
    bdpo_preference_beta_print(line, sizeof line, &o, 64 * 64 * 4);
    CHECK_STR(line, "sft, without a beta");
}

BDPO_TEST(beta_per_element_scales_the_logit)
{
    scene *s = scene_of("beta");
    loss_run run = run_of(s, bdpo_preference_defaults(BDPO_PREFERENCE_DPO));
    loss_run_now(&run);
    float mean[N];
    memcpy(mean, run.logit, sizeof mean);
    run.options.beta = 5000.0 / ELEMENTS;
    run.options.beta_per_element = true;
    loss_run_now(&run);
    for (int i = 0; i < N; i++)
        CHECK_NEAR((double)run.logit[i], (double)mean[i], 2e-7 * fabs((double)mean[i]));
}

// ---- what a trainer logs -----------------------------------------------------------------------

BDPO_TEST(tally_counts_ties_half)
{
    static const float y[] = {1, 0, 1, 0, 1, 0.5f, 0.75f, 1}, w[] = {1, 1, 1, 1, 2, 1, 1, 0};
    static const float z[] = {2, -1, -3, 0, 0, 4, 1, -9}, loss[] = {1, 2, 3, 4, 5, 6, 7, 100};
    static const float m[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 90, 90};
    static const float r[] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 90, 90};
    bdpo_preference_results results = {y, w, loss, z, m, r};
    bdpo_preference_tally t = {0};
    CHECK(isnan(bdpo_preference_accuracy(&t)));
    bdpo_preference_tally_add(&t, &results, 8);
    CHECK_INT(t.n_pairs, 7);
    CHECK_INT(t.n_decided, 6);
    CHECK_NEAR(t.right, 1 + 1 + 0 + 0.5 + 0.5 + 1, 0);
    CHECK_NEAR(bdpo_preference_accuracy(&t), 4.0 / 6, 1e-15);
    CHECK_NEAR(t.loss, 28, 0);
    CHECK_NEAR(t.logit, 2 + 1 - 3 + 0 + 0 + 0 + 0.5, 0);
    CHECK_NEAR(t.error[0][0], 1 + 4 + 5 + 8 + 9 + 11.5 + 13.25, 1e-12);
    CHECK_NEAR(t.error[1][0], 2 + 3 + 6 + 7 + 10 + 11.5 + 13.75, 1e-12);
    CHECK_NEAR(t.error[0][1], 14, 1e-12);
    // |sigma(z) - y| of each
    double factor = 2 / (1 + exp(1)) - 1 / (1 + exp(1)) + 1 / (1 + exp(2)) + 1 / (1 + exp(-3)) + 1;
    factor += 1 / (1 + exp(-4)) - 0.5 + 0.75 - 1 / (1 + exp(-1));
    CHECK_NEAR(t.gradient_factor, factor, 1e-12);
    // Chosen pictures only: one error each, no logits.
    bdpo_preference_results chosen = {.weights = w, .pair_loss = loss, .policy_error = m};
    t = (bdpo_preference_tally){0};
    bdpo_preference_tally_add(&t, &chosen, 8);
    CHECK_INT(t.n_pairs, 7);
    CHECK_INT(t.n_decided, 0);
    CHECK_NEAR(t.error[0][0], 28, 0);
}

// ---- refusals ----------------------------------------------------------------------------------

BDPO_TEST(words)
{
    bdpo_preference_kind kind;
    for (int i = 0; i < BDPO_N_PREFERENCES; i++) {
        CHECK_OK(bdpo_preference_find(&kind, bdpo_preference_name((bdpo_preference_kind)i)));
        CHECK_INT(kind, i);
    }
    CHECK_STATUS(bdpo_preference_find(&kind, "dpo2"), BDPO_BAD_ARGUMENT);
    CHECK_STR(bdpo_message(),
              "there is no loss \"dpo2\"; expected one of dpo, ipo, poly-dpo, sft, mapo");
}

static void check_refused(bdpo_preference_options options, const char *part)
{
    CHECK_STATUS(bdpo_preference_check(&options), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), part);
}

BDPO_TEST(numbers_out_of_range)
{
    for (int i = 0; i < BDPO_N_PREFERENCES; i++) {
        bdpo_preference_options o = bdpo_preference_defaults((bdpo_preference_kind)i);
        CHECK_OK(bdpo_preference_check(&o));
        o.min_snr_gamma = -1;
        check_refused(o, "min-SNR gamma -1");
        o.min_snr_gamma = NAN;
        check_refused(o, "min-SNR gamma");
    }
    bdpo_preference_options o = bdpo_preference_defaults(BDPO_PREFERENCE_DPO);
    o.beta = 0;
    check_refused(o, "dpo: beta 0; expected above 0");
    o.beta = NAN;
    check_refused(o, "dpo: beta nan");
    o = bdpo_preference_defaults(BDPO_PREFERENCE_DPO);
    o.label_smoothing = 0.5;
    check_refused(o, "label smoothing 0.5");
    o = bdpo_preference_defaults(BDPO_PREFERENCE_POLY_DPO);
    o.poly_alpha = -1;
    check_refused(o, "alpha -1");
    o = bdpo_preference_defaults(BDPO_PREFERENCE_MAPO);
    o.mapo_snr = 0;
    check_refused(o, "SNR 0");
    o = bdpo_preference_defaults(BDPO_PREFERENCE_MAPO);
    o.n_train_steps = 0;
    check_refused(o, "0 training timesteps");
    o = bdpo_preference_defaults(BDPO_PREFERENCE_MAPO);
    o.beta = -0.1;
    check_refused(o, "mapo: beta -0.1");
}

// The inputs of a good loss of two pairs, of which a test spoils one.
typedef struct nodes {
    bdpo_graph *g;
    bdpo_preference_inputs in;
} nodes;

static nodes good(void)
{
    nodes n;
    CHECK_OK(bdpo_graph_new(&n.g, NULL));
    bdpo_shape pictures = BDPO_SHAPE(4, 2, 2, 4), pairs = BDPO_SHAPE(2);
    n.in = (bdpo_preference_inputs){.policy = bdpo_input(n.g, "policy", BDPO_F32, pictures),
                                    .reference = bdpo_input(n.g, "reference", BDPO_F32, pictures),
                                    .target = bdpo_input(n.g, "target", BDPO_F32, pictures),
                                    .labels = bdpo_input(n.g, "labels", BDPO_F32, pairs),
                                    .weights = bdpo_input(n.g, "weights", BDPO_F32, pairs),
                                    .error_scale = bdpo_input(n.g, "error_scale", BDPO_F32, pairs)};
    bdpo_require_grad(n.in.policy);
    return n;
}

static void check_build(nodes n, const char *message)
{
    bdpo_preference_options o = bdpo_preference_defaults(BDPO_PREFERENCE_DPO);
    bdpo_preference_outputs out;
    bdpo_preference_build(&out, n.g, &n.in, &o);
    if (message) {
        CHECK(bdpo_graph_check(n.g) != BDPO_OK);
        CHECK_CONTAINS(bdpo_message(), message);
        CHECK(out.loss == NULL);
    } else {
        CHECK_OK(bdpo_graph_check(n.g));
    }
    bdpo_graph_free(n.g);
}

BDPO_TEST(inputs_that_do_not_fit)
{
    nodes n = good();
    check_build(n, NULL);
    n = good();
    n.in.reference = NULL;
    check_build(n, "reference is missing");
    n = good();
    n.in.reference = n.in.policy;
    check_build(n, "reference depends on trainable values");
    n = good();
    n.in.policy = NULL;
    check_build(n, "policy is missing");
    n = good();
    n.in.labels = NULL;
    check_build(n, "labels is missing");
    n = good();
    n.in.labels = bdpo_input(n.g, "more", BDPO_F32, BDPO_SHAPE(4));
    check_build(n, "labels is [4]; expected [2]");
    n = good();
    n.in.target = bdpo_input(n.g, "small", BDPO_F32, BDPO_SHAPE(4, 2, 1, 4));
    check_build(n, "target is [4, 2, 1, 4]; expected [4, 2, 2, 4]");
    n = good();
    n.in.policy = bdpo_input(n.g, "odd", BDPO_F32, BDPO_SHAPE(3, 2, 2, 4));
    check_build(n, "3 pictures; expected pairs");
    n = good();
    n.in.policy = bdpo_input(n.g, "flat", BDPO_F32, BDPO_SHAPE(4));
    check_build(n, "policy is [4]");
}
