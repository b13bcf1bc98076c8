// Counting, and the coefficients made of the counts.
#include "vote/agreement.h"

#include <math.h>

#include "base/memory.h"
#include "vote/exact_sum.h"
#include "vote/kendall.h"

// ---- two judges --------------------------------------------------------------------------------

static int category(int choice)
{
    return choice == BDPO_CHOSE_0 ? 0 : choice == BDPO_CHOSE_1 ? 1 : 2;
}

static double share(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : NAN;
}

static double cohens_kappa(const bdpo_agreement *a)
{
    double expected = 0, n = (double)a->n_pairs;
    for (int k = 0; k < 3; k++) {
        int64_t first = 0, second = 0;
        for (int i = 0; i < 3; i++) {
            first += a->table[k][i];
            second += a->table[i][k];
        }
        if (first == a->n_pairs && second == a->n_pairs) return NAN;
        expected += (double)first / n * ((double)second / n);
    }
    return (a->rate - expected) / (1 - expected);
}

// Tau-b of the choices, from the table: of every two pairs, those in which both judges move the
// same way less those in which they move opposite ways.
static double tau_of_table(const bdpo_agreement *a)
{
    static const int order[3] = {1, 2, 0}; // picture 1, tie, picture 0
    int64_t alike = 0, in_first = 0, in_second = 0, n = a->n_pairs;
    for (int i = 0; i < 3; i++) {
        int64_t first = 0, second = 0;
        for (int j = 0; j < 3; j++) {
            int64_t here = a->table[order[i]][order[j]];
            first += here;
            second += a->table[order[j]][order[i]];
            for (int k = i + 1; k < 3; k++)
                for (int l = 0; l < 3; l++)
                    alike += here * a->table[order[k]][order[l]] * ((l > j) - (l < j));
        }
        in_first += first * (first - 1) / 2;
        in_second += second * (second - 1) / 2;
    }
    int64_t all = n * (n - 1) / 2;
    if (in_first == all || in_second == all) return NAN;
    double tau = (double)alike / sqrt((double)(all - in_first)) / sqrt((double)(all - in_second));
    return fmax(-1, fmin(1, tau));
}

static bdpo_status tau_of_differences(double *out, const bdpo_judge *first,
                                      const bdpo_judge *second, int64_t n_pairs, int64_t n_both)
{
    double *x = bdpo_alloc((size_t)n_both, sizeof *x), *y = bdpo_alloc((size_t)n_both, sizeof *y);
    bdpo_status status = BDPO_OK;
    if (!x || !y) status = bdpo_fail(BDPO_NO_MEMORY, "no memory to compare two judges");
    for (int64_t i = 0, k = 0; status == BDPO_OK && i < n_pairs; i++) {
        if (first->choices[i] == BDPO_NO_VOTE || second->choices[i] == BDPO_NO_VOTE) continue;
        x[k] = first->differences[i];
        y[k++] = second->differences[i];
    }
    if (status == BDPO_OK) status = bdpo_kendall_tau_b(out, x, y, n_both);
    bdpo_free(y);
    bdpo_free(x);
    return status;
}

bdpo_status bdpo_agreement_of(bdpo_agreement *out, const bdpo_judge *first,
                              const bdpo_judge *second, int64_t n_pairs)
{
    *out = (bdpo_agreement){
        .rate = NAN, .rate_decided = NAN, .kappa = NAN, .tau = NAN, .tau_choices = NAN};
    for (int64_t i = 0; i < n_pairs; i++) {
        if (first->choices[i] == BDPO_NO_VOTE || second->choices[i] == BDPO_NO_VOTE) continue;
        out->table[category(first->choices[i])][category(second->choices[i])]++;
        out->n_pairs++;
    }
    if (out->n_pairs == 0) return BDPO_OK;
    int64_t alike = out->table[0][0] + out->table[1][1];
    out->rate = share(alike + out->table[2][2], out->n_pairs);
    out->rate_decided = share(alike, alike + out->table[0][1] + out->table[1][0]);
    out->kappa = cohens_kappa(out);
    out->tau_choices = tau_of_table(out);
    return tau_of_differences(&out->tau, first, second, n_pairs, out->n_pairs);
}

// ---- the voters on one pair --------------------------------------------------------------------

static int sign(double x)
{
    return (x > 0) - (x < 0);
}

// Counts every ballot. d of the voters who have a vote, 0 from those who abstain; who[k] is the
// voter of d[k].
static int collect(double *d, int *who, const bdpo_vote_config *config, const bdpo_vote_pair *pair,
                   bdpo_vote_panel *panel)
{
    int n = 0;
    for (int v = 0; v < config->n_voters; v++) {
        bdpo_ballot ballot = bdpo_vote_ballot(config, v, pair);
        bool votes = ballot.choice != BDPO_NO_VOTE;
        panel->n_no_vote[v] += !votes;
        if (votes) panel->n_choices[v][category(ballot.choice)]++;
        if (!votes || !config->voters[v].votes) continue;
        d[n] = ballot.choice == BDPO_CHOSE_TIE ? 0 : ballot.difference;
        who[n++] = v;
    }
    return n;
}

static void add_sum(bdpo_vote_panel *panel, const double *d, const int *who, int n)
{
    double total = bdpo_exact_sum(d, n), others[BDPO_MAX_VOTERS];
    int choices = 0;
    for (int k = 0; k < n; k++) choices += sign(d[k]);
    panel->n_sum_not_majority += sign(total) * sign(choices) < 0;
    for (int k = 0; k < n; k++) {
        double magnitudes = 0;
        int n_others = 0;
        for (int i = 0; i < n; i++) {
            if (i == k) continue;
            magnitudes += fabs(d[i]);
            others[n_others++] = d[i];
        }
        panel->n_alone[who[k]] += fabs(d[k]) > magnitudes;
        panel->n_turned[who[k]] += sign(total) * sign(bdpo_exact_sum(others, n_others)) < 0;
    }
}

void bdpo_vote_panel_add(bdpo_vote_panel *panel, const bdpo_vote_config *config,
                         const bdpo_vote_pair *pair)
{
    double d[BDPO_MAX_VOTERS];
    int who[BDPO_MAX_VOTERS], n_for[2] = {0, 0};
    int n = collect(d, who, config, pair, panel);
    panel->n_pairs++;
    if (n < 2) return;
    panel->n_compared++;
    for (int k = 0; k < n; k++)
        if (d[k] != 0) n_for[d[k] < 0]++;
    panel->n_conflicts += n_for[0] > 0 && n_for[1] > 0;
    panel->n_unanimous += n_for[0] == n || n_for[1] == n;
    add_sum(panel, d, who, n);
}

// ---- what a rule made of the pairs -------------------------------------------------------------

void bdpo_vote_tally_add(bdpo_vote_tally *tally, const bdpo_vote *vote)
{
    tally->n_pairs++;
    tally->n_outcomes[vote->outcome]++;
    tally->n_for_0 += vote->label > 0.5; // not where it is NaN
    tally->n_for_1 += vote->label < 0.5;
    tally->n_no_vote += vote->n_no_vote;
    tally->n_pairs_no_vote += vote->n_no_vote > 0;
}

int64_t bdpo_vote_tally_labelled(const bdpo_vote_tally *tally)
{
    return tally->n_outcomes[BDPO_VOTE_BY_RULE] + tally->n_outcomes[BDPO_VOTE_BY_POLICY];
}

int64_t bdpo_vote_tally_ties(const bdpo_vote_tally *tally)
{
    return tally->n_outcomes[BDPO_VOTE_BY_POLICY] + tally->n_outcomes[BDPO_VOTE_SKIPPED_TIE];
}

// ---- statistics of a scoring pass --------------------------------------------------------------

void bdpo_score_moments_add(bdpo_score_moments *moments, double score)
{
    if (!bdpo_vote_is_score(score)) return;
    bool first = moments->count++ == 0;
    double delta = score - moments->mean;
    moments->mean += delta / (double)moments->count;
    moments->sum_squares += delta * (score - moments->mean);
    moments->min = first ? score : fmin(moments->min, score);
    moments->max = first ? score : fmax(moments->max, score);
}

bdpo_vote_statistics bdpo_score_moments_statistics(const bdpo_score_moments *moments)
{
    bdpo_vote_statistics s = {.count = moments->count};
    if (s.count == 0) return s;
    s.mean = moments->mean;
    s.deviation = sqrt(moments->sum_squares / (double)s.count);
    s.min = moments->min;
    s.max = moments->max;
    return s;
}
