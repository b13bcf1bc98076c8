// Pairs by number, drawn from base/random.
#include "vote/vote_cases.h"

#include "base/random.h"
#include "harness.h"

const char *const vote_rules[] = {"human",
                                  "single:a",
                                  "coin",
                                  "random-scorer",
                                  "sum",
                                  "normalized-sum:zscore",
                                  "normalized-sum:minmax",
                                  "majority",
                                  "weighted-majority",
                                  "soft-majority",
                                  "unanimous",
                                  NULL};

static void point(vote_case *c)
{
    c->pair.scores[0] = c->scores[0];
    c->pair.scores[1] = c->scores[1];
}

void vote_case_make(vote_case *out, int number, int n)
{
    static const double labels[] = {0, 1, 0.5, NAN, 0.75, 2};
    bdpo_random_key key = {.seed = 11, .sample = (uint64_t)number, .purpose = BDPO_RANDOM_TEST};
    int64_t at = 0;
    for (int side = 0; side < 2; side++)
        for (int v = 0; v < n; v++) {
            uint32_t grid = bdpo_random_below(key, at++, 5),
                     kind = bdpo_random_below(key, at++, 24);
            out->scores[side][v] = kind == 0 ? NAN : kind == 1 ? INFINITY : 0.25 * grid * (v + 1);
        }
    out->pair.human = labels[bdpo_random_below(key, at++, 6)];
    for (int side = 0; side < 2; side++)
        out->pair.image[side] = (uint64_t)bdpo_random_below(key, at++, 1u << 31) << 20;
    out->pair.prompt = bdpo_random_below(key, at++, 1u << 31);
    point(out);
}

void vote_case_copy(vote_case *out, const vote_case *of)
{
    *out = *of;
    point(out);
}

void vote_case_swap(vote_case *out, const vote_case *of)
{
    memcpy(out->scores[0], of->scores[1], sizeof out->scores[0]);
    memcpy(out->scores[1], of->scores[0], sizeof out->scores[1]);
    out->pair = (bdpo_vote_pair){.human = 1 - of->pair.human,
                                 .image = {of->pair.image[1], of->pair.image[0]},
                                 .prompt = of->pair.prompt};
    point(out);
}

void vote_config_make(bdpo_vote_config *out, int n_scorers, bool human)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    CHECK(n_scorers <= 4);
    bdpo_vote_config_init(out);
    for (int i = 0; i < n_scorers; i++) CHECK_OK(bdpo_vote_config_voters(out, names[i], NULL));
    if (human) CHECK_OK(bdpo_vote_config_voters(out, "human", NULL));
    for (int i = 0; i < out->n_voters; i++) {
        out->voters[i].weight = 1 + 0.5 * i;
        out->voters[i].statistics = (bdpo_vote_statistics){
            .count = 100, .mean = i, .deviation = 0.3 * (i + 1), .min = 0, .max = 1.25 * (i + 1)};
    }
}
