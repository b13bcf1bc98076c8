// What all losses share: options, errors, the logit, the weighted sum.
#include "preference/preference_loss.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/graph.h"
#include "preference/loss_kind.h"

static const bdpo_loss_kind *const kinds[BDPO_N_PREFERENCES] = {
    [BDPO_PREFERENCE_DPO] = &bdpo_loss_dpo,           [BDPO_PREFERENCE_IPO] = &bdpo_loss_ipo,
    [BDPO_PREFERENCE_POLY_DPO] = &bdpo_loss_poly_dpo, [BDPO_PREFERENCE_SFT] = &bdpo_loss_sft,
    [BDPO_PREFERENCE_MAPO] = &bdpo_loss_mapo,
};

static const char *const names[] = {
#define X(name, text) [BDPO_PREFERENCE_##name] = (text),
    BDPO_PREFERENCE_LIST(X)
#undef X
};

// ---- options -----------------------------------------------------------------------------------

bdpo_preference_options bdpo_preference_defaults(bdpo_preference_kind kind)
{
    bdpo_preference_options o = {.kind = kind};
    if (kinds[kind]->has_beta) o.beta = 5000;
    if (kind == BDPO_PREFERENCE_POLY_DPO) o.poly_alpha = 8;
    if (kind == BDPO_PREFERENCE_MAPO) {
        o.beta = 0.1;
        o.mapo_snr = 0.5;
        o.n_train_steps = 1000;
    }
    return o;
}

bdpo_status bdpo_preference_find(bdpo_preference_kind *out, const char *word)
{
    char list[160] = "";
    for (int i = 0; i < BDPO_N_PREFERENCES; i++) {
        if (strcmp(word, names[i]) == 0) {
            *out = (bdpo_preference_kind)i;
            return BDPO_OK;
        }
        size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", names[i]);
    }
    return bdpo_fail(BDPO_BAD_ARGUMENT, "there is no loss \"%.40s\"; expected one of %s", word,
                     list);
}

const char *bdpo_preference_name(bdpo_preference_kind kind)
{
    return names[kind];
}

static bdpo_status check_beta(const bdpo_preference_options *o)
{
    if (kinds[o->kind]->has_beta && !(o->beta > 0 && o->beta <= 1e12))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: beta %g; expected above 0, at most 1e12",
                         names[o->kind], o->beta);
    if (o->kind == BDPO_PREFERENCE_MAPO && !(o->beta >= 0 && o->beta <= 1e12))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "mapo: beta %g; expected 0 to 1e12", o->beta);
    return BDPO_OK;
}

bdpo_status bdpo_preference_check(const bdpo_preference_options *options)
{
    TRY(check_beta(options));
    double gamma = options->min_snr_gamma;
    if (!(gamma >= 0 && gamma <= 1e12))
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "min-SNR gamma %g; expected above 0, at most 1e12, or 0 for none", gamma);
    const bdpo_loss_kind *kind = kinds[options->kind];
    return kind->check ? kind->check(options) : BDPO_OK;
}

bool bdpo_preference_needs_reference(bdpo_preference_kind kind)
{
    return kinds[kind]->has_beta;
}

// ---- beta --------------------------------------------------------------------------------------

bdpo_preference_betas bdpo_preference_beta(const bdpo_preference_options *options,
                                           int64_t n_elements)
{
    if (!kinds[options->kind]->has_beta) return (bdpo_preference_betas){0};
    double n = (double)n_elements;
    double mean = options->beta_per_element ? options->beta * n : options->beta;
    double sum = options->beta_per_element ? options->beta : options->beta / n;
    return (bdpo_preference_betas){.mean = mean, .half = mean / 2, .sum = sum};
}

void bdpo_preference_beta_print(char *out, size_t size, const bdpo_preference_options *options,
                                int64_t n_elements)
{
    const char *name = names[options->kind];
    bdpo_preference_betas b = bdpo_preference_beta(options, n_elements);
    if (kinds[options->kind]->has_beta)
        snprintf(out, size,
                 "%s, beta %.6g on mean squared errors with the factor 1/2 (%.6g without it) = "
                 "%.6g on sums over %lld elements%s",
                 name, b.mean, b.half, b.sum, (long long)n_elements,
                 options->beta_per_element ? ", which is the one that was set" : "");
    else if (options->kind == BDPO_PREFERENCE_MAPO)
        snprintf(out, size, "%s, beta %.6g, SNR %.6g, %d timesteps", name, options->beta,
                 options->mapo_snr, options->n_train_steps);
    else
        snprintf(out, size, "%s, without a beta", name);
}

// ---- in a graph --------------------------------------------------------------------------------

bdpo_node *bdpo_loss_affine(bdpo_graph *g, bdpo_node *x, double factor, double shift)
{
    bdpo_node *scaled = factor == 1 ? x : bdpo_scale(g, x, (float)factor);
    return bdpo_add(g, scaled, bdpo_fill(g, BDPO_SHAPE(1), (float)shift));
}

bdpo_node *bdpo_loss_choose(bdpo_graph *g, bdpo_node *label, bdpo_node *a, bdpo_node *b)
{
    bdpo_node *other = bdpo_loss_affine(g, label, -1, 1);
    return bdpo_add(g, bdpo_mul(g, label, a), bdpo_mul(g, other, b));
}

static bdpo_status refuse(const char *what, const bdpo_node *node, const bdpo_shape *expected)
{
    bdpo_shape found = bdpo_node_shape(node);
    return bdpo_fail(BDPO_BAD_SHAPE, "preference loss: %s is %s; expected %s", what,
                     bdpo_shape_print(&found).text, bdpo_shape_print(expected).text);
}

static bdpo_status check_shape(const char *what, const bdpo_node *node, const bdpo_shape *expected)
{
    if (!node) return bdpo_fail(BDPO_BAD_ARGUMENT, "preference loss: %s is missing", what);
    bdpo_shape found = bdpo_node_shape(node);
    return bdpo_shape_equal(&found, expected) ? BDPO_OK : refuse(what, node, expected);
}

// Also tells apart policy and reference: one node as both would have no gradient at all.
static bdpo_status check_constant(const char *what, const bdpo_node *node,
                                  const bdpo_shape *expected)
{
    TRY(check_shape(what, node, expected));
    if (node->needs_grad)
        return bdpo_fail(
            BDPO_BAD_ARGUMENT,
            "preference loss: %s depends on trainable values; expected constants, or a "
            "graph of BDPO_REFERENCE",
            what);
    return BDPO_OK;
}

static bdpo_status check_inputs(const bdpo_preference_inputs *in,
                                const bdpo_preference_options *options)
{
    TRY(bdpo_preference_check(options));
    bool pairs = in->labels || options->kind != BDPO_PREFERENCE_SFT;
    bdpo_shape pictures = bdpo_node_shape(in->policy);
    int64_t n = pairs ? pictures.dim[0] / 2 : pictures.dim[0];
    if (pictures.n_dims < 2)
        return refuse("policy", in->policy, &BDPO_SHAPE(2 * n, 8, 8, 4)); // for example
    if (pairs && pictures.dim[0] % 2)
        return bdpo_fail(BDPO_BAD_SHAPE, "preference loss: %lld pictures; expected pairs",
                         (long long)pictures.dim[0]);
    TRY(check_constant("target", in->target, &pictures));
    if (in->reference || kinds[options->kind]->has_beta)
        TRY(check_constant("reference", in->reference, &pictures));
    if (pairs) TRY(check_constant("labels", in->labels, &BDPO_SHAPE(n)));
    TRY(check_constant("weights", in->weights, &BDPO_SHAPE(n)));
    return check_constant("error_scale", in->error_scale, &BDPO_SHAPE(n));
}

// [2 n] numbers of pictures as two of [n, 1].
static void by_picture(bdpo_graph *g, bdpo_node *pictures, int64_t n, bdpo_node **parts)
{
    bdpo_node *pairs = bdpo_reshape(g, pictures, BDPO_SHAPE(n, 2));
    bdpo_split_channels(g, pairs, 2, (const int64_t[]){1, 1}, parts);
}

// z, [n, 1]: d_1 - d_0, so that no minus sign stands before a zero.
static bdpo_node *build_logit(bdpo_graph *g, const bdpo_preference_inputs *in, bdpo_node *scale,
                              int64_t n, double beta)
{
    bdpo_node *d[2];
    by_picture(g, bdpo_error_margins(g, in->policy, in->reference, in->target), n, d);
    return bdpo_scale(g, bdpo_mul(g, bdpo_sub(g, d[1], d[0]), scale), (float)(beta / 2));
}

static void build(bdpo_preference_outputs *out, bdpo_graph *g, const bdpo_preference_inputs *in,
                  const bdpo_preference_options *options)
{
    bdpo_shape pictures = bdpo_node_shape(in->policy);
    int64_t n = bdpo_node_shape(in->weights).dim[0];
    bool needs_errors = !kinds[options->kind]->has_beta;
    bdpo_node *scale = bdpo_reshape(g, in->error_scale, BDPO_SHAPE(n, 1));
    bdpo_loss_parts parts = {.g = g, .options = options};
    if (in->labels) parts.label = bdpo_reshape(g, in->labels, BDPO_SHAPE(n, 1));

    out->policy_error = bdpo_squared_errors(g, in->policy, in->target, true);
    if (in->reference)
        out->reference_error = bdpo_squared_errors(g, in->reference, in->target, true);
    if (needs_errors && in->labels) {
        by_picture(g, out->policy_error, n, parts.error);
        for (int k = 0; k < 2; k++) parts.error[k] = bdpo_mul(g, parts.error[k], scale);
    } else if (needs_errors) {
        bdpo_node *error = bdpo_reshape(g, out->policy_error, BDPO_SHAPE(n, 1));
        parts.error[0] = bdpo_mul(g, error, scale);
    } else {
        int64_t n_elements = bdpo_shape_count(&pictures) / pictures.dim[0];
        double beta = bdpo_preference_beta(options, n_elements).mean;
        parts.logit = build_logit(g, in, scale, n, beta);
    }
    bdpo_node *loss = kinds[options->kind]->build(&parts);
    out->pair_loss = bdpo_reshape(g, loss, BDPO_SHAPE(n));
    if (parts.logit) out->logit = bdpo_reshape(g, parts.logit, BDPO_SHAPE(n));
    out->loss = bdpo_reduce_sum(g, bdpo_mul(g, out->pair_loss, in->weights), BDPO_KEEP_NONE);
}

void bdpo_preference_build(bdpo_preference_outputs *out, bdpo_graph *g,
                           const bdpo_preference_inputs *in, const bdpo_preference_options *options)
{
    *out = (bdpo_preference_outputs){0};
    if (bdpo_graph_check(g) != BDPO_OK) return;
    bdpo_status status = in->policy ? check_inputs(in, options)
                                    : bdpo_fail(BDPO_BAD_ARGUMENT, "preference loss: policy is "
                                                                   "missing");
    if (status != BDPO_OK) {
        bdpo_graph_fail(g, status);
        return;
    }
    bdpo_f32_begin(g);
    build(out, g, in, options);
    bdpo_f32_end(g);
}

// ---- in plain double ---------------------------------------------------------------------------

double bdpo_loss_cross_entropy(double z, double y)
{
    return (z > 0 ? (1 - y) * z : -y * z) + log1p(exp(-fabs(z)));
}

double bdpo_loss_sigmoid(double z)
{
    return z < 0 ? exp(z) / (1 + exp(z)) : 1 / (1 + exp(-z));
}

double bdpo_loss_logit(const bdpo_preference_options *options, const bdpo_preference_pair *pair)
{
    double slope = bdpo_preference_beta(options, pair->n_elements).half;
    return slope * pair->error_scale * (pair->margin[1] - pair->margin[0]);
}

void bdpo_preference_measure(bdpo_preference_pair *pair, int k, const float *policy,
                             const float *reference, const float *target, int64_t n_elements)
{
    double m = 0, r = 0, d = 0;
    for (int64_t i = 0; i < n_elements; i++) {
        double p = (double)policy[i], t = (double)target[i];
        double q = reference ? (double)reference[i] : NAN;
        m += (p - t) * (p - t);
        r += (q - t) * (q - t);
        d += (p - q) * ((p - t) + (q - t));
    }
    double n = (double)n_elements;
    pair->policy[k] = m / n;
    pair->reference[k] = r / n;
    pair->margin[k] = d / n;
    pair->n_elements = n_elements;
}

double bdpo_preference_logit(const bdpo_preference_options *options,
                             const bdpo_preference_pair *pair)
{
    return kinds[options->kind]->logit(options, pair);
}

double bdpo_preference_pair_loss(const bdpo_preference_options *options,
                                 const bdpo_preference_pair *pair)
{
    const bdpo_loss_kind *kind = kinds[options->kind];
    return kind->loss(options, pair, kind->logit(options, pair));
}

// ---- what a trainer logs -----------------------------------------------------------------------

static void tally_logit(bdpo_preference_tally *tally, double z, double y)
{
    tally->logit += (2 * y - 1) * z;
    tally->gradient_factor += fabs(bdpo_loss_sigmoid(z) - y);
    if (y == 0.5 || isnan(y)) return;
    tally->n_decided++;
    tally->right += z == 0 ? 0.5 : (z > 0) == (y > 0.5);
}

// The errors of pair i by policy (0) or reference (1).
static void tally_errors(bdpo_preference_tally *tally, int whose, const float *errors,
                         const float *labels, int64_t i)
{
    if (!labels) {
        tally->error[0][whose] += (double)errors[i];
        return;
    }
    double y = (double)labels[i], of_0 = (double)errors[2 * i], of_1 = (double)errors[2 * i + 1];
    tally->error[0][whose] += y * of_0 + (1 - y) * of_1;
    tally->error[1][whose] += (1 - y) * of_0 + y * of_1;
}

void bdpo_preference_tally_add(bdpo_preference_tally *tally, const bdpo_preference_results *results,
                               int64_t n_pairs)
{
    const bdpo_preference_results *r = results;
    for (int64_t i = 0; i < n_pairs; i++) {
        if (r->weights[i] == 0) continue;
        tally->n_pairs++;
        tally->loss += (double)r->pair_loss[i];
        if (r->logit) tally_logit(tally, (double)r->logit[i], (double)r->labels[i]);
        tally_errors(tally, 0, r->policy_error, r->labels, i);
        if (r->reference_error) tally_errors(tally, 1, r->reference_error, r->labels, i);
    }
}

double bdpo_preference_accuracy(const bdpo_preference_tally *tally)
{
    return tally->n_decided ? tally->right / (double)tally->n_decided : (double)NAN;
}
