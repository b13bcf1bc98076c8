// Agreement against SciPy, scikit-learn and statsmodels (tests/fixtures/vote/agreement.json, made
// by tools/parity/agreement.py), and the counts on panels written by hand.
#include "vote/agreement.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/random.h"
#include "formats/json.h"
#include "harness.h"
#include "vote/kendall.h"
#include "vote/vote_cases.h"

// Both sides round a few divisions and two roots of numbers of the order of 1.
static const double tolerance = 1e-12;

enum { MOST = 256 };

static double number_or_nan(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

// A judge's scores, and his ballots with a margin.
typedef struct judged {
    double scores[2][MOST], differences[MOST];
    int8_t choices[MOST];
    int n;
} judged;

static void read_judge(judged *out, const json_t *sides, double margin)
{
    bdpo_vote_config config;
    vote_config_make(&config, 1, false);
    config.voters[0].margin = margin;
    out->n = (int)json_array_size(json_array_get(sides, 0));
    CHECK(out->n <= MOST);
    for (int i = 0; i < out->n; i++) {
        bdpo_vote_pair pair = {.human = NAN};
        for (int side = 0; side < 2; side++) {
            out->scores[side][i] =
                number_or_nan(json_array_get(json_array_get(sides, (size_t)side), (size_t)i));
            pair.scores[side] = &out->scores[side][i];
        }
        bdpo_ballot ballot = bdpo_vote_ballot(&config, 0, &pair);
        out->choices[i] = (int8_t)ballot.choice;
        out->differences[i] = ballot.difference;
    }
}

static void check_value(const char *name, double actual, const json_t *expected)
{
    double value = number_or_nan(json_object_get(expected, name));
    if (isnan(value) ? !isnan(actual) : !(fabs(actual - value) <= tolerance))
        FAIL("%s is %.17g, expected %.17g", name, actual, value);
}

static void check_case(const json_t *c)
{
    judged first, second;
    const json_t *margins = json_object_get(c, "margins"), *e = json_object_get(c, "expected");
    read_judge(&first, json_object_get(c, "first"), number_or_nan(json_array_get(margins, 0)));
    read_judge(&second, json_object_get(c, "second"), number_or_nan(json_array_get(margins, 1)));
    bdpo_agreement a;
    CHECK_OK(bdpo_agreement_of(&a, &(bdpo_judge){first.choices, first.differences},
                               &(bdpo_judge){second.choices, second.differences}, first.n));
    CHECK_INT(a.n_pairs, json_integer_value(json_object_get(e, "n_pairs")));
    for (size_t k = 0; k < 9; k++) {
        const json_t *row = json_array_get(json_object_get(e, "table"), k / 3);
        CHECK_INT(a.table[k / 3][k % 3], json_integer_value(json_array_get(row, k % 3)));
    }
    check_value("rate", a.rate, e);
    check_value("rate_decided", a.rate_decided, e);
    check_value("kappa", a.kappa, e);
    check_value("tau", a.tau, e);
    check_value("tau_choices", a.tau_choices, e);
}

static bdpo_json_document *open_fixture(void)
{
    bdpo_json_document *document;
    CHECK_OK(bdpo_json_open(&document, test_path("fixtures/vote/agreement.json")));
    return document;
}

BDPO_TEST(agreement_is_that_of_the_libraries)
{
    bdpo_json_document *document = open_fixture();
    json_t *cases = json_object_get(bdpo_json_root(document).value, "cases"), *c;
    size_t i;
    CHECK(json_array_size(cases) > 20);
    json_array_foreach(cases, i, c)
    {
        check_case(c);
    }
    bdpo_json_free(document);
}

// Statistics of a pass, and the margins of sum and normalized-sum by them.
BDPO_TEST(normalized_sums_are_those_of_the_libraries)
{
    static const char *const rules[] = {"normalized-sum:zscore", "normalized-sum:minmax", "sum"};
    static const char *const fields[] = {"zscore", "minmax", "sum"};
    bdpo_json_document *document = open_fixture();
    const json_t *sums = json_object_get(bdpo_json_root(document).value, "sums");
    bdpo_vote_config config;
    judged each[3];
    vote_config_make(&config, 3, false);
    for (size_t v = 0; v < 3; v++) {
        bdpo_score_moments moments = {0};
        read_judge(&each[v], json_array_get(json_object_get(sums, "scores"), v), 0);
        for (int i = 0; i < 2 * each[v].n; i++)
            bdpo_score_moments_add(&moments, each[v].scores[i % 2][i / 2]);
        bdpo_score_moments_add(&moments, NAN); // no score
        bdpo_vote_statistics s = bdpo_score_moments_statistics(&moments);
        CHECK_INT(s.count, 2 * each[v].n);
        double mean = number_or_nan(json_array_get(json_object_get(sums, "mean"), v));
        double deviation = number_or_nan(json_array_get(json_object_get(sums, "deviation"), v));
        CHECK_NEAR(s.mean, mean, tolerance * fabs(mean));
        CHECK_NEAR(s.deviation, deviation, tolerance * deviation);
        config.voters[v].statistics = s;
    }
    for (size_t r = 0; r < 3; r++) {
        CHECK_OK(bdpo_vote_config_rule(&config, rules[r], NULL));
        for (int i = 0; i < each[0].n; i++) {
            vote_case c;
            bdpo_vote vote;
            vote_case_make(&c, i, 3);
            for (int v = 0; v < 3; v++)
                for (int side = 0; side < 2; side++) c.scores[side][v] = each[v].scores[side][i];
            bdpo_vote_cast(&vote, &config, &c.pair);
            json_t *expected = json_array_get(json_object_get(sums, fields[r]), (size_t)i);
            // zscore takes the rounded mean off first: units of 20 / 1.5 in the last place.
            CHECK_NEAR(vote.margin, number_or_nan(expected), tolerance);
        }
    }
    bdpo_json_free(document);
}

// ---- Kendall's tau -----------------------------------------------------------------------------

// By its definition, in n^2.
static double tau_by_definition(const double *x, const double *y, int n)
{
    double same = 0, in_x = 0, in_y = 0, all = n * (n - 1) / 2.0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            double dx = (x[i] > x[j]) - (x[i] < x[j]), dy = (y[i] > y[j]) - (y[i] < y[j]);
            same += dx * dy;
            in_x += dx == 0;
            in_y += dy == 0;
        }
    if (in_x == all || in_y == all) return NAN;
    return same / sqrt((all - in_x) * (all - in_y));
}

BDPO_TEST(tau_is_that_of_its_definition)
{
    double x[MOST], y[MOST];
    for (int round = 0; round < 300; round++) {
        bdpo_random_key key = {.seed = 5, .sample = (uint64_t)round, .purpose = BDPO_RANDOM_TEST};
        int n = 1 + (int)bdpo_random_below(key, 0, 60);
        uint32_t values = 1 + bdpo_random_below(key, 1, 40); // few values: many ties
        for (int i = 0; i < n; i++) {
            x[i] = bdpo_random_below(key, 2 + 2 * i, values);
            y[i] = bdpo_random_below(key, 3 + 2 * i, values);
            if (round % 2) y[i] = x[i] - y[i] / 2;
        }
        double tau, expected = tau_by_definition(x, y, n);
        CHECK_OK(bdpo_kendall_tau_b(&tau, x, y, n));
        if (isnan(expected))
            CHECK(isnan(tau));
        else
            CHECK_NEAR(tau, expected, tolerance);
    }
}

BDPO_TEST(tau_of_signed_zeros_and_nothing)
{
    double tau, x[] = {0.0, -0.0, 1}, y[] = {1, 2, 3};
    CHECK_OK(bdpo_kendall_tau_b(&tau, x, y, 3));
    CHECK_NEAR(tau, 2 / sqrt(6), tolerance); // the zeros are equal
    CHECK_OK(bdpo_kendall_tau_b(&tau, NULL, NULL, 0));
    CHECK(isnan(tau));
}

BDPO_TEST_FULL(tau_of_a_million_pairs)
{
    enum { N = 1000000 };
    double *x = bdpo_alloc(N, sizeof *x), *y = bdpo_alloc(N, sizeof *y), tau;
    CHECK(x && y);
    for (int i = 0; i < N; i++) {
        x[i] = (double)(i * 7919LL % N);
        y[i] = i % 2 ? x[i] : -x[i];
    }
    CHECK_OK(bdpo_kendall_tau_b(&tau, x, y, N));
    CHECK_NEAR(tau, 0, 1e-2);
    CHECK_OK(bdpo_kendall_tau_b(&tau, x, x, N));
    CHECK_NEAR(tau, 1, tolerance);
    bdpo_free(x);
    bdpo_free(y);
}

BDPO_TEST(agreement_survives_want_of_memory)
{
    const double x[] = {1, 2, 3, 4};
    const int8_t choices[] = {1, -1, 1, 1};
    bdpo_judge judge = {choices, x};
    bdpo_agreement a;
    for (uint64_t k = 1; k <= 5; k++) {
        bdpo_alloc_fail_at(bdpo_alloc_count() + k);
        CHECK_STATUS(bdpo_agreement_of(&a, &judge, &judge, 4), BDPO_NO_MEMORY);
    }
    bdpo_alloc_fail_at(0);
    CHECK_OK(bdpo_agreement_of(&a, &judge, &judge, 4));
    CHECK_NEAR(a.kappa, 1, 0);
}

// ---- panels and tallies ------------------------------------------------------------------------

// Adds a pair whose scores of the three voters differ by these; NaN: no score.
static void add(bdpo_vote_panel *panel, const bdpo_vote_config *config, double a, double b,
                double c)
{
    double first[] = {a, b, c, 0}, second[4] = {0};
    bdpo_vote_pair pair = {.scores = {first, second}, .human = NAN, .image = {1, 2}};
    bdpo_vote_panel_add(panel, config, &pair);
}

BDPO_TEST(a_panel_counts_conflicts_and_who_decides_the_sum)
{
    bdpo_vote_config config;
    bdpo_vote_panel p = {0};
    vote_config_make(&config, 4, false);
    config.voters[3].votes = false;
    add(&p, &config, 1, 1, 1);       // unanimous; nobody alone
    add(&p, &config, -3, -1, -1);    // unanimous; a alone
    add(&p, &config, 3, -1, -1);     // conflict; a alone, and it turns the sum
    add(&p, &config, 2, -1.5, 1);    // conflict; nobody alone: -1.5 and 1 might turn it
    add(&p, &config, 2, -1.5, -1.5); // conflict; the sum is with b and c
    add(&p, &config, 2, 0, 0);       // b and c abstain: a alone, no conflict, not unanimous
    add(&p, &config, 0, 0, 0);
    add(&p, &config, 1, NAN, -2);  // conflict; c alone
    add(&p, &config, 1, NAN, NAN); // one vote: not compared
    CHECK_INT(p.n_pairs, 9);
    CHECK_INT(p.n_compared, 8);
    CHECK_INT(p.n_conflicts, 4);
    CHECK_INT(p.n_unanimous, 2);
    CHECK_INT(p.n_alone[0], 3);
    CHECK_INT(p.n_alone[1], 0);
    CHECK_INT(p.n_alone[2], 1);
    CHECK_INT(p.n_turned[0], 2); // the third and the fourth
    CHECK_INT(p.n_turned[1], 1); // the fifth, as c
    CHECK_INT(p.n_turned[2], 2);
    CHECK_INT(p.n_sum_not_majority, 1); // the third
    CHECK_INT(p.n_no_vote[1], 2);
    CHECK_INT(p.n_choices[1][0], 1);
    CHECK_INT(p.n_choices[1][1], 4);
    CHECK_INT(p.n_choices[1][2], 2);
    CHECK_INT(p.n_choices[3][2], 9); // d does not vote; its 0 - 0 is counted, and no conflict
}

BDPO_TEST(a_tally_adds_up)
{
    bdpo_vote_config config;
    bdpo_vote_tally t = {0};
    int64_t n_no_vote = 0, n_pairs_no_vote = 0;
    vote_config_make(&config, 4, true);
    CHECK_OK(bdpo_vote_config_tie(&config, "human", NULL));
    for (int i = 0; i < 2000; i++) {
        vote_case c;
        bdpo_vote vote;
        vote_case_make(&c, i, 4);
        bdpo_vote_cast(&vote, &config, &c.pair);
        bdpo_vote_tally_add(&t, &vote);
        n_no_vote += vote.n_no_vote;
        n_pairs_no_vote += vote.n_no_vote > 0;
    }
    CHECK_INT(t.n_pairs, 2000);
    CHECK_INT(bdpo_vote_tally_labelled(&t), t.n_for_0 + t.n_for_1);
    int64_t sum = 0;
    for (int k = 0; k < BDPO_N_VOTE_OUTCOMES; k++) sum += t.n_outcomes[k];
    CHECK_INT(sum, 2000);
    CHECK_INT(bdpo_vote_tally_ties(&t),
              t.n_outcomes[BDPO_VOTE_BY_POLICY] + t.n_outcomes[BDPO_VOTE_SKIPPED_TIE]);
    CHECK(t.n_outcomes[BDPO_VOTE_BY_POLICY] > 0 && t.n_outcomes[BDPO_VOTE_SKIPPED_TIE] > 0);
    CHECK_INT(t.n_no_vote, n_no_vote);
    CHECK_INT(t.n_pairs_no_vote, n_pairs_no_vote);
}
