// What must hold of the vote, on many random pairs, and its corners one by one.
#include "vote/vote.h"

#include <stdlib.h>

#include "base/memory.h"
#include "harness.h"
#include "vote/exact_sum.h"
#include "vote/vote_cases.h"

enum { N_CASES = 4000 };

static const char *const policies[] = {"skip",     "human",  "keep", "margin",
                                       "scorer:b", "random", NULL};

static void choose(bdpo_vote_config *config, const char *rule, const char *tie)
{
    CHECK_OK(bdpo_vote_config_rule(config, rule, NULL));
    CHECK_OK(bdpo_vote_config_tie(config, tie, NULL));
    CHECK_OK(bdpo_vote_config_check(config));
}

static bdpo_vote cast(const bdpo_vote_config *config, const vote_case *c)
{
    bdpo_vote vote;
    bdpo_vote_cast(&vote, config, &c->pair);
    CHECK(bdpo_vote_is_labelled(&vote) == !isnan(vote.label));
    return vote;
}

// Labels as one number that compares: -1 where skipped.
static double label(const bdpo_vote_config *config, const vote_case *c)
{
    bdpo_vote vote = cast(config, c);
    return isnan(vote.label) ? -1 : vote.label;
}

// ---- properties --------------------------------------------------------------------------------

BDPO_TEST(swapping_the_pictures_swaps_the_label)
{
    int n_labelled = 0;
    for (int r = 0; vote_rules[r]; r++)
        for (int p = 0; policies[p]; p++) {
            if (strcmp(policies[p], "keep") == 0) continue; // the documented exception
            bdpo_vote_config config;
            vote_config_make(&config, 4, true);
            config.voters[1].margin = 0.5;
            choose(&config, vote_rules[r], policies[p]);
            for (int i = 0; i < N_CASES / 4; i++) {
                vote_case c, swapped;
                vote_case_make(&c, i, 4);
                vote_case_swap(&swapped, &c);
                bdpo_vote one = cast(&config, &c), other = cast(&config, &swapped);
                CHECK_INT(other.outcome, one.outcome);
                CHECK_INT(other.drawn, one.drawn);
                if (!bdpo_vote_is_labelled(&one)) continue;
                CHECK_NEAR(other.label, 1 - one.label, 0x1p-53); // a third has no exact complement
                if (!isnan(one.margin)) CHECK(other.margin == -one.margin);
                n_labelled++;
            }
        }
    CHECK(n_labelled > 10000);
}

// A tie of the rule gives the first picture nothing that it would not give the second.
BDPO_TEST(a_tie_is_no_silent_win_of_the_first_picture)
{
    for (int r = 0; vote_rules[r]; r++)
        for (int p = 0; policies[p]; p++) {
            bdpo_vote_config config;
            vote_config_make(&config, 4, false);
            choose(&config, vote_rules[r], policies[p]);
            bool chance = strcmp(vote_rules[r], "coin") == 0;
            for (int i = 0; i < 200; i++) {
                vote_case c;
                vote_case_make(&c, i, 4);
                for (int v = 0; v < 4; v++) c.scores[0][v] = c.scores[1][v] = v;
                c.pair.human = 0.5;
                bdpo_vote vote = cast(&config, &c);
                bool random = chance || strcmp(policies[p], "random") == 0;
                if (strcmp(policies[p], "keep") == 0 && !chance) {
                    CHECK_INT(vote.outcome, BDPO_VOTE_BY_POLICY);
                    CHECK(vote.label == 1);
                } else if (!random) {
                    CHECK_INT(vote.outcome, BDPO_VOTE_SKIPPED_TIE);
                }
            }
        }
}

static double transform(int which, double x)
{
    switch (which) {
    case 0:
        return exp(x);
    case 1:
        return -1 / (1 + x);
    case 2:
        return x * x * x - 1000;
    default:
        return atan(x) * 1e-3;
    }
}

BDPO_TEST(majority_is_unchanged_by_increasing_transforms)
{
    static const char *const rules[] = {"majority",  "weighted-majority", "soft-majority",
                                        "unanimous", "single:c",          "random-scorer"};
    int n_sum_changed = 0;
    for (size_t r = 0; r < BDPO_COUNTOF(rules); r++) {
        bdpo_vote_config config, sum;
        vote_config_make(&config, 4, true);
        sum = config;
        choose(&config, rules[r], "human");
        choose(&sum, "sum", "skip");
        for (int i = 0; i < N_CASES; i++) {
            vote_case c, changed;
            vote_case_make(&c, i, 4);
            vote_case_copy(&changed, &c);
            for (int v = 0; v < 4; v++)
                for (int side = 0; side < 2; side++)
                    if (isfinite(c.scores[side][v]))
                        changed.scores[side][v] = transform((i + v) % 4, c.scores[side][v]);
            CHECK(label(&config, &changed) == label(&config, &c));
            n_sum_changed += label(&sum, &changed) != label(&sum, &c);
        }
    }
    CHECK(n_sum_changed > N_CASES); // of six times as many: the reason for voting
}

BDPO_TEST(one_voter_is_single_and_the_human_label_is_human)
{
    for (int human = 0; human < 2; human++)
        for (int r = 3; vote_rules[r]; r++) // rules over voters
            for (int p = 0; policies[p]; p++) {
                bdpo_vote_config config, alone;
                vote_config_make(&config, human ? 0 : 1, human);
                if (strcmp(policies[p], "scorer:b") == 0) continue;
                alone = config;
                choose(&config, vote_rules[r], policies[p]);
                choose(&alone, human ? "human" : "single:a", policies[p]);
                for (int i = 0; i < N_CASES / 4; i++) {
                    vote_case c;
                    vote_case_make(&c, i, 1);
                    bdpo_vote vote = cast(&config, &c), expected = cast(&alone, &c);
                    CHECK_INT(vote.outcome, expected.outcome);
                    CHECK(label(&config, &c) == label(&alone, &c));
                }
            }
}

BDPO_TEST(sum_changes_under_rescaling)
{
    bdpo_vote_config config;
    vote_config_make(&config, 3, false);
    vote_case c;
    vote_case_make(&c, 0, 3);
    const double first[] = {0.30, 0.28, 6.0}, second[] = {0.27, 0.26, 6.1};
    memcpy(c.scores[0], first, sizeof first);
    memcpy(c.scores[1], second, sizeof second);
    choose(&config, "majority", "skip");
    CHECK(label(&config, &c) == 1); // two of three
    choose(&config, "sum", "skip");
    CHECK(label(&config, &c) == 0); // the third alone
    c.scores[0][2] /= 10;
    c.scores[1][2] /= 10;
    CHECK(label(&config, &c) == 1); // on another scale it loses
    choose(&config, "majority", "skip");
    CHECK(label(&config, &c) == 1);
}

BDPO_TEST(normalized_sum_is_unchanged_by_affine_rescaling)
{
    static const double scale[] = {1e-3, 7, 0.1, 250}, shift[] = {0, -3, 20, 0.7};
    for (int normalization = 0; normalization < 2; normalization++) {
        bdpo_vote_config config, changed;
        vote_config_make(&config, 4, true);
        choose(&config, normalization ? "normalized-sum:minmax" : "normalized-sum:zscore", "skip");
        changed = config;
        for (int v = 0; v < 4; v++) {
            bdpo_vote_statistics *s = &changed.voters[v].statistics;
            s->mean = s->mean * scale[v] + shift[v];
            s->deviation *= scale[v];
            s->min = s->min * scale[v] + shift[v];
            s->max = s->max * scale[v] + shift[v];
        }
        for (int i = 0; i < N_CASES; i++) {
            vote_case c, rescaled;
            vote_case_make(&c, i, 4);
            vote_case_copy(&rescaled, &c);
            for (int v = 0; v < 4; v++)
                for (int side = 0; side < 2; side++)
                    rescaled.scores[side][v] = c.scores[side][v] * scale[v] + shift[v];
            CHECK(label(&changed, &rescaled) == label(&config, &c));
        }
    }
}

BDPO_TEST(unanimous_implies_majority_and_soft_sides_with_it)
{
    bdpo_vote_config unanimous, majority, soft;
    vote_config_make(&unanimous, 4, true);
    majority = soft = unanimous;
    int n_unanimous = 0, n_soft = 0;
    for (int p = 0; policies[p]; p++) {
        choose(&unanimous, "unanimous", policies[p]);
        choose(&majority, "majority", policies[p]);
        choose(&soft, "soft-majority", policies[p]);
        for (int i = 0; i < N_CASES; i++) {
            vote_case c;
            vote_case_make(&c, i, 4);
            double u = label(&unanimous, &c), m = label(&majority, &c), s = label(&soft, &c);
            if (u >= 0) CHECK(u == m);
            CHECK((m >= 0) == (s >= 0));
            CHECK((s > 0.5) == (m == 1));
            CHECK((s >= 0 && s < 0.5) == (m == 0));
            n_unanimous += u >= 0;
            n_soft += s > 0 && s < 1;
        }
    }
    CHECK(n_unanimous > 100);
    CHECK(n_soft > N_CASES);
}

// A voter without a score is the same as one who is not on the list, and is counted.
BDPO_TEST(a_nan_is_no_vote_and_is_counted)
{
    for (int r = 3; vote_rules[r]; r++) {
        bdpo_vote_config with, without;
        vote_config_make(&with, 4, false);
        vote_config_make(&without, 3, false);
        choose(&with, vote_rules[r], "random");
        choose(&without, vote_rules[r], "random");
        for (int i = 0; i < N_CASES; i++) {
            vote_case c;
            vote_case_make(&c, i, 4);
            c.scores[i % 2][3] = i % 3 ? NAN : -INFINITY;
            bdpo_vote a = cast(&with, &c), b = cast(&without, &c);
            CHECK_INT(a.n_no_vote, b.n_no_vote + 1);
            CHECK_INT(a.outcome, b.outcome);
            CHECK(label(&with, &c) == label(&without, &c));
            CHECK((isnan(a.margin) && isnan(b.margin)) || a.margin == b.margin);
            int n_votes = a.n_choices[0] + a.n_choices[1] + a.n_choices[2];
            CHECK_INT(n_votes + a.n_no_vote, 4);
            CHECK((n_votes == 0) == (a.outcome == BDPO_VOTE_SKIPPED_NO_VOTE));
        }
    }
}

BDPO_TEST(the_order_of_voters_does_not_matter)
{
    static const int order[] = {3, 1, 4, 0, 2};
    for (int r = 0; vote_rules[r]; r++)
        for (int p = 0; policies[p]; p++) {
            bdpo_vote_config config, shuffled;
            vote_config_make(&config, 4, true);
            shuffled = config;
            for (int v = 0; v < 5; v++) shuffled.voters[v] = config.voters[order[v]];
            choose(&config, vote_rules[r], policies[p]);
            choose(&shuffled, vote_rules[r], policies[p]);
            for (int i = 0; i < 500; i++) {
                vote_case c, other;
                vote_case_make(&c, i, 4);
                for (int v = 0; v < 4; v++)
                    for (int side = 0; side < 2; side++)
                        if (isfinite(c.scores[side][v])) c.scores[side][v] += 0.1 / 3 * i;
                vote_case_copy(&other, &c);
                for (int v = 0; v < 5; v++)
                    for (int side = 0; side < 2; side++)
                        if (order[v] < 4) other.scores[side][v] = c.scores[side][order[v]];
                bdpo_vote a = cast(&config, &c), b = cast(&shuffled, &other);
                CHECK_INT(a.outcome, b.outcome);
                CHECK(label(&config, &c) == label(&shuffled, &other));
                CHECK((isnan(a.margin) && isnan(b.margin)) || a.margin == b.margin);
            }
        }
}

BDPO_TEST(the_vote_allocates_nothing)
{
    bdpo_vote_config config;
    vote_config_make(&config, 4, true);
    uint64_t before = bdpo_alloc_count();
    for (int r = 0; vote_rules[r]; r++) {
        choose(&config, vote_rules[r], "margin");
        for (int i = 0; i < 100; i++) {
            vote_case c;
            vote_case_make(&c, i, 4);
            cast(&config, &c);
        }
    }
    CHECK_U64(bdpo_alloc_count(), before);
}

// ---- chance ------------------------------------------------------------------------------------

BDPO_TEST(a_coin_is_fair_and_depends_on_seed_pictures_and_prompt)
{
    bdpo_vote_config coin, policy, other_seed;
    vote_config_make(&coin, 1, false);
    choose(&coin, "coin", "skip");
    other_seed = policy = coin;
    other_seed.seed = 1;
    choose(&policy, "single:a", "random");
    int n_first = 0, n_other_seed = 0, n_other_prompt = 0, n_policy = 0;
    for (int i = 0; i < 10000; i++) {
        vote_case c;
        vote_case_make(&c, i, 1);
        c.scores[0][0] = c.scores[1][0] = 1;
        double heads = label(&coin, &c);
        CHECK(heads == label(&coin, &c));
        n_first += heads == 1;
        n_other_seed += heads == label(&other_seed, &c);
        n_policy += heads == label(&policy, &c);
        c.pair.prompt++;
        n_other_prompt += heads == label(&coin, &c);
    }
    // Five deviations of 10,000 fair coins are 250. The seed of the draw is fixed.
    CHECK_NEAR(n_first, 5000, 250);
    CHECK_NEAR(n_other_seed, 5000, 250);
    CHECK_NEAR(n_policy, 5000, 250);
    CHECK_NEAR(n_other_prompt, 5000, 250);
}

BDPO_TEST(a_coin_cannot_choose_between_a_picture_and_itself)
{
    bdpo_vote_config config;
    vote_config_make(&config, 1, false);
    choose(&config, "coin", "random");
    vote_case c;
    vote_case_make(&c, 0, 1);
    c.pair.image[1] = c.pair.image[0];
    CHECK_INT(cast(&config, &c).outcome, BDPO_VOTE_SKIPPED_TIE);
}

BDPO_TEST(random_scorer_draws_every_voter_as_often)
{
    bdpo_vote_config config;
    vote_config_make(&config, 4, false);
    choose(&config, "random-scorer", "skip");
    int n_drawn[4] = {0};
    for (int i = 0; i < 12000; i++) {
        vote_case c;
        vote_case_make(&c, i, 4);
        for (int v = 0; v < 4; v++) {
            c.scores[0][v] = v;
            c.scores[1][v] = v == 2 ? (double)NAN : v % 2;
        }
        bdpo_vote vote = cast(&config, &c);
        n_drawn[vote.drawn]++;
        bdpo_ballot ballot = bdpo_vote_ballot(&config, vote.drawn, &c.pair);
        CHECK(vote.margin == ballot.difference);
    }
    CHECK_INT(n_drawn[2], 0); // it has no vote
    for (int v = 0; v < 4; v++)
        if (v != 2) CHECK_NEAR(n_drawn[v], 4000, 260); // five deviations
}

// ---- corners -----------------------------------------------------------------------------------

// One pair of two scorers and a label under a rule and a policy.
static bdpo_vote of_two(const char *rule, const char *tie, double d_a, double d_b, double human)
{
    bdpo_vote_config config;
    vote_case c;
    vote_config_make(&config, 2, false);
    choose(&config, rule, tie);
    vote_case_make(&c, 0, 2);
    for (int v = 0; v < 2; v++) c.scores[1][v] = 1;
    c.scores[0][0] = 1 + d_a;
    c.scores[0][1] = 1 + d_b;
    c.pair.human = human;
    return cast(&config, &c);
}

static void check_vote(bdpo_vote vote, bdpo_vote_outcome outcome, double expected)
{
    CHECK_INT(vote.outcome, outcome);
    if (isnan(expected))
        CHECK(isnan(vote.label));
    else
        CHECK_NEAR(vote.label, expected, 0);
}

BDPO_TEST(policies_break_ties_and_may_fail_to)
{
    // Two scorers against each other; b's deviation is twice a's.
    check_vote(of_two("majority", "skip", 1, -1, 1), BDPO_VOTE_SKIPPED_TIE, NAN);
    check_vote(of_two("majority", "human", 1, -1, 0), BDPO_VOTE_BY_POLICY, 0);
    check_vote(of_two("majority", "human", 1, -1, 0.5), BDPO_VOTE_SKIPPED_TIE, NAN);
    check_vote(of_two("majority", "human", 1, -1, NAN), BDPO_VOTE_SKIPPED_TIE, NAN);
    check_vote(of_two("majority", "keep", 1, -1, 0), BDPO_VOTE_BY_POLICY, 1);
    check_vote(of_two("majority", "margin", 1, -1, 0), BDPO_VOTE_BY_POLICY, 1);
    check_vote(of_two("majority", "margin", 1, -2, 0), BDPO_VOTE_SKIPPED_TIE, NAN);
    check_vote(of_two("majority", "margin", 1, -3, 0), BDPO_VOTE_BY_POLICY, 0);
    check_vote(of_two("majority", "scorer:b", 1, -1, 1), BDPO_VOTE_BY_POLICY, 0);
    check_vote(of_two("majority", "scorer:b", 0, 0, 1), BDPO_VOTE_SKIPPED_TIE, NAN);
    check_vote(of_two("soft-majority", "human", 1, -1, 1), BDPO_VOTE_BY_POLICY, 1);
}

BDPO_TEST(no_vote_at_all_is_skipped_whatever_the_policy)
{
    for (int p = 0; policies[p]; p++) {
        check_vote(of_two("majority", policies[p], NAN, NAN, 1), BDPO_VOTE_SKIPPED_NO_VOTE, NAN);
        check_vote(of_two("human", policies[p], 1, 1, NAN), BDPO_VOTE_SKIPPED_NO_VOTE, NAN);
        check_vote(of_two("single:a", policies[p], NAN, 1, 1), BDPO_VOTE_SKIPPED_NO_VOTE, NAN);
    }
    CHECK(isnan(of_two("sum", "skip", NAN, NAN, 1).margin));
}

BDPO_TEST(dissent_is_skipped_whatever_the_policy)
{
    for (int p = 0; policies[p]; p++) {
        check_vote(of_two("unanimous", policies[p], 1, -1, 1), BDPO_VOTE_SKIPPED_DISSENT, NAN);
        check_vote(of_two("unanimous", policies[p], 1, 0, 1), BDPO_VOTE_SKIPPED_DISSENT, NAN);
        check_vote(of_two("unanimous", policies[p], 1, NAN, 1), BDPO_VOTE_BY_RULE, 1);
        check_vote(of_two("unanimous", policies[p], -1, -1, 1), BDPO_VOTE_BY_RULE, 0);
    }
    check_vote(of_two("unanimous", "human", 0, 0, 1), BDPO_VOTE_BY_POLICY, 1);
}

BDPO_TEST(a_voter_within_its_margin_abstains)
{
    bdpo_vote_config config;
    vote_case c;
    vote_config_make(&config, 3, false);
    vote_case_make(&c, 0, 3);
    for (int v = 0; v < 3; v++) c.scores[1][v] = 1;
    c.scores[0][0] = 1.5; // at the margin: a tie
    c.scores[0][1] = 1.75;
    c.scores[0][2] = 0.75;
    config.voters[0].margin = 0.5;
    CHECK_INT(bdpo_vote_ballot(&config, 0, &c.pair).choice, BDPO_CHOSE_TIE);
    choose(&config, "majority", "skip");
    check_vote(cast(&config, &c), BDPO_VOTE_SKIPPED_TIE, NAN);
    choose(&config, "sum", "skip");
    CHECK_NEAR(cast(&config, &c).margin, 0.5, 0); // without a
    config.voters[0].margin = 0.4999;
    CHECK_NEAR(cast(&config, &c).margin, 1, 0);
    choose(&config, "soft-majority", "skip");
    CHECK_NEAR(cast(&config, &c).label, 2.0 / 3, 1e-15);
    config.voters[2].margin = 0.25;
    CHECK_NEAR(cast(&config, &c).label, 2.5 / 3, 1e-15); // half a vote from one who abstains
}

// The human label is on the scale 0 to 1: deviation 1/2, range 1.
BDPO_TEST(a_human_label_is_normalised_by_its_own_scale)
{
    bdpo_vote_config config;
    vote_case c;
    vote_config_make(&config, 1, true);
    vote_case_make(&c, 0, 1);
    c.scores[0][0] = 1;
    c.scores[1][0] = 2;
    c.pair.human = 1;
    config.voters[0].statistics =
        (bdpo_vote_statistics){.count = 2, .deviation = 0.25, .min = -1, .max = 3};
    choose(&config, "normalized-sum:zscore", "skip");
    CHECK_NEAR(cast(&config, &c).margin, -1 / 0.25 + 1 / 0.5, 0);
    choose(&config, "normalized-sum:minmax", "skip");
    CHECK_NEAR(cast(&config, &c).margin, -1.0 / 4 + 1, 0);
}

BDPO_TEST(a_rule_counts_those_whom_it_asks)
{
    bdpo_vote_config config;
    vote_case c;
    vote_config_make(&config, 3, false);
    vote_case_make(&c, 0, 3);
    c.scores[0][0] = c.scores[1][0] = 1;
    c.scores[0][1] = NAN;
    c.scores[0][2] = NAN;
    choose(&config, "majority", "skip");
    CHECK_INT(cast(&config, &c).n_no_vote, 2);
    choose(&config, "single:a", "skip");
    CHECK_INT(cast(&config, &c).n_no_vote, 0);
    CHECK_INT(cast(&config, &c).n_choices[2], 1);
    choose(&config, "single:b", "skip");
    CHECK_INT(cast(&config, &c).n_no_vote, 1);
    choose(&config, "coin", "skip");
    CHECK_INT(cast(&config, &c).n_no_vote, 0);
}

BDPO_TEST(weights_that_round_still_tie)
{
    bdpo_vote_config config;
    vote_case c;
    vote_config_make(&config, 3, false);
    vote_case_make(&c, 0, 3);
    for (int v = 0; v < 3; v++) {
        c.scores[0][v] = v == 2 ? 0 : 1;
        c.scores[1][v] = v == 2 ? 1 : 0;
        config.voters[v].weight = 0.1 * (double)(v + 1); // 0.1 + 0.2 is not 0.3
    }
    choose(&config, "weighted-majority", "skip");
    check_vote(cast(&config, &c), BDPO_VOTE_SKIPPED_TIE, NAN);
    config.voters[2].weight = 0.31;
    check_vote(cast(&config, &c), BDPO_VOTE_BY_RULE, 0);
    CHECK_NEAR(cast(&config, &c).margin, -0.01 / 0.61, 1e-15);
}

BDPO_TEST(what_is_no_score)
{
    CHECK(!bdpo_vote_is_score(NAN));
    CHECK(!bdpo_vote_is_score(INFINITY));
    CHECK(!bdpo_vote_is_score(-1e39));
    CHECK(bdpo_vote_is_score(-3e38));
    CHECK(bdpo_vote_is_score(0));
}

BDPO_TEST(identity_is_the_first_eight_bytes)
{
    CHECK_U64(
        bdpo_vote_identity("00000000000000ffe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934c"),
        0xff);
    CHECK_U64(
        bdpo_vote_identity("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        0xe3b0c44298fc1c14);
    CHECK_ABORTS((void)bdpo_vote_identity("E3B0"));
}

// ---- checks ------------------------------------------------------------------------------------

static void check_refused(bdpo_vote_config *config, const char *why)
{
    CHECK_STATUS(bdpo_vote_config_check(config), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), why);
}

BDPO_TEST(configurations_that_cannot_vote_are_refused)
{
    bdpo_vote_config config;
    bdpo_vote_config_init(&config);
    check_refused(&config, "voters: nobody votes");
    vote_config_make(&config, 2, false);
    config.voters[0].weight = 0;
    check_refused(&config, "weight of a is 0, expected a number above 0");
    config.voters[0].weight = NAN;
    check_refused(&config, "weight of a is nan");
    vote_config_make(&config, 2, false);
    config.voters[1].margin = -0.5;
    check_refused(&config, "margin of b is -0.5, expected a number from 0 on");
    config.voters[1].margin = NAN;
    check_refused(&config, "margin of b is nan");
    vote_config_make(&config, 2, false);
    snprintf(config.voters[1].name, sizeof config.voters[1].name, "a");
    check_refused(&config, "voters: a is there twice");
    vote_config_make(&config, 2, false);
    config.rule = BDPO_RULE_SINGLE;
    config.rule_scorer = 2;
    check_refused(&config, "rule names voter 2 of 2");
    config.rule = BDPO_RULE_HUMAN;
    config.rule_scorer = 0;
    check_refused(&config, "expected the human label");
}

BDPO_TEST(normalising_needs_statistics_with_spread)
{
    bdpo_vote_config config;
    vote_config_make(&config, 2, true);
    config.voters[1].statistics.count = 0;
    CHECK_OK(bdpo_vote_config_check(&config)); // majority asks for none
    config.rule = BDPO_RULE_NORMALIZED_SUM;
    check_refused(&config, "rule normalized-sum needs the statistics of b");
    config.rule = BDPO_RULE_MAJORITY;
    config.tie = BDPO_TIE_MARGIN;
    check_refused(&config, "tie policy margin needs the statistics of b");
    config.voters[1].statistics = (bdpo_vote_statistics){.count = 9, .mean = 2, .min = 2, .max = 2};
    check_refused(&config, "cannot normalise b: its scores have no spread");
}

// ---- sums --------------------------------------------------------------------------------------

BDPO_TEST(exact_sum_rounds_once)
{
    CHECK_NEAR(bdpo_exact_sum(NULL, 0), 0, 0);
    CHECK(bdpo_exact_sum((const double[]){1e100, 1, -1e100, 1}, 4) == 2);
    CHECK(bdpo_exact_sum((const double[]){0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}, 10) ==
          1);
    // Half a unit in the last place, and a little more of either sign.
    CHECK(bdpo_exact_sum((const double[]){1, 0x1p-53, 0x1p-120}, 3) == 1 + 0x1p-52);
    CHECK(bdpo_exact_sum((const double[]){1, 0x1p-53, -0x1p-120}, 3) == 1);
    CHECK(bdpo_exact_sum((const double[]){1, 0x1p-53}, 2) == 1); // to even
}
