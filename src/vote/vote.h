// The vote: scores of the two pictures of a pair in, a label out. Pure functions: no I/O, no
// allocation, no state, so a label is the same ahead of training and inside its loop.
//
// ---- Ballots ------------------------------------------------------------------------------------
// Voter v has the scores a (picture 0) and b (picture 1), d = a - b, and a tie margin m >= 0:
//     no vote   a or b is no score: NaN, infinite or beyond an f32. The pair is treated as if
//               v were not on the list; the number of such voters is counted.
//     tie       |d| <= m. The voter abstains: d counts as 0 below, and half its vote goes to
//               each picture.
//     0 or 1    the picture of the larger score.
// The human label h (1: picture 0, 0: picture 1, 0.5: tie, NaN or outside 0..1: none) is a voter
// like any other where it is listed, with a = h and b = 1 - h, so 0.5 abstains and none is no vote.
// Below n0, n1, nt are the numbers of voters for 0, for 1, and of ties; n = n0 + n1 + nt.
//
// ---- Rules --------------------------------------------------------------------------------------
//     rule               picture 0 where                        label (probability of 0)  margin
//     human              h > 1/2                                1, 0                      2h - 1
//     single:S           S's ballot is 0                        1, 0                      d of S
//     random-scorer      one voter, drawn among those with a    1, 0                      its d
//                        vote on this pair, chose 0
//     coin               a fair coin says so                    1, 0                      0
//     sum                sum d_v > 0                            1, 0                      sum d_v
//     normalized-sum     sum d_v / scale_v > 0                  1, 0                      that sum
//     majority           n0 > n1                                1, 0                      (n0-n1)/n
//     weighted-majority  W0 > W1, sums of the voters' weights   1, 0                      (W0-W1)/W
//     soft-majority      n0 > n1                                (n0 + nt/2) / n           (n0-n1)/n
//     unanimous          n0 = n                                 1, 0                      (n0-n1)/n
// Picture 1 wins where the same holds the other way round. Equality is a tie, and the tie policy is
// asked. Nobody has a vote (all NaN; no human label under `human`): skipped, whatever the policy.
// Not unanimous although somebody chose a picture: skipped (dissent), whatever the policy.
//
// scale_v is, by the normalisation, the standard deviation (zscore; the population's) or the range
// (minmax) of v's scores in a finished scoring pass; the means cancel in a difference. The human
// label is on the scale 0..1 by itself: deviation 1/2 (as many for 0 as for 1), range 1.
// `sum` is rounded once, from the exact sum, so the order of voters does not matter. Weighted and
// normalised sums below 1e-12 of their terms' magnitudes are rounding, and count as ties.
//
// Sources. Majority over scorers: BalancedDPO (arXiv 2503.12575), where "Random Score", "Vanilla
// Aggregation" and "Normalized Aggregation" are names of baselines whose formulas, like its voters
// and its tie rule, are not public: random-scorer, sum and normalized-sum above are our reading.
// human: Diffusion-DPO (arXiv 2311.12908) on the data set's label; single: its AI-feedback runs.
// unanimous: the clean subset of Semi-DPO (arXiv 2604.24952), without its pseudo-labels.
// coin, weighted-majority, soft-majority, all ties and all defaults: ours.
//
// ---- Tie policies -------------------------------------------------------------------------------
//     skip      no label.
//     human     the human ballot; a tie or none there: skipped.
//     keep      picture 0, as the data set has it. The only way in which a tie becomes a win of
//               the first picture, and the one exception to the swap property below.
//     margin    sum d_v / scale_v over the voters, as normalized-sum; zero again: skipped.
//     scorer:S  S's ballot; a tie or no vote there: skipped.
//     random    a fair coin, of its own.
// A policy's label is 1 or 0 under every rule.
//
// ---- Chance -------------------------------------------------------------------------------------
// Draws come from Philox (base/random.h) by the seed and by what the pair is: its two pictures and
// its prompt, in no order. The coin names a picture, not a position; random-scorer draws by the
// voters' names, in no order. So neither the row, nor which picture stands first, nor what else is
// labelled, changes a label. A pair of one picture with itself is a tie for a coin.
//
// ---- Properties (tests/vote) --------------------------------------------------------------------
// - Swapping the two pictures turns every label p into 1 - p (not under `keep`).
// - majority, weighted-majority, soft-majority, unanimous, single: unchanged by any strictly
//   increasing transform of any scorer, where margins are 0. sum is not; normalized-sum is
//   unchanged by a x + b, a > 0, with the statistics of the changed scores.
// - One voter: every rule over voters equals single (or human, where it is the human label).
// - unanimous implies majority; soft-majority's label is above 1/2 exactly where majority's is.
// - A voter without a vote and a voter that is not listed are the same.
#ifndef BDPO_VOTE_H
#define BDPO_VOTE_H

#include "base/status.h"

// Word of the configuration, and whether it takes a scorer behind a colon.
#define BDPO_VOTE_RULE_LIST(X)                                                                     \
    X(HUMAN, "human")                                                                              \
    X(SINGLE, "single")                                                                            \
    X(RANDOM_SCORER, "random-scorer")                                                              \
    X(COIN, "coin")                                                                                \
    X(SUM, "sum")                                                                                  \
    X(NORMALIZED_SUM, "normalized-sum")                                                            \
    X(MAJORITY, "majority")                                                                        \
    X(WEIGHTED_MAJORITY, "weighted-majority")                                                      \
    X(SOFT_MAJORITY, "soft-majority")                                                              \
    X(UNANIMOUS, "unanimous")

typedef enum bdpo_vote_rule {
#define X(name, text) BDPO_RULE_##name,
    BDPO_VOTE_RULE_LIST(X)
#undef X
        BDPO_N_RULES
} bdpo_vote_rule;

#define BDPO_VOTE_TIE_LIST(X)                                                                      \
    X(SKIP, "skip")                                                                                \
    X(HUMAN, "human")                                                                              \
    X(KEEP, "keep")                                                                                \
    X(MARGIN, "margin")                                                                            \
    X(SCORER, "scorer")                                                                            \
    X(RANDOM, "random")

typedef enum bdpo_vote_tie {
#define X(name, text) BDPO_TIE_##name,
    BDPO_VOTE_TIE_LIST(X)
#undef X
        BDPO_N_TIES
} bdpo_vote_tie;

typedef enum bdpo_normalization {
    BDPO_ZSCORE,
    BDPO_MINMAX,
    BDPO_N_NORMALIZATIONS
} bdpo_normalization;

// A scorer's scores over a finished scoring pass.
typedef struct bdpo_vote_statistics {
    int64_t count;                    // of scores that are some; 0: not known
    double mean, deviation, min, max; // the population's standard deviation
} bdpo_vote_statistics;

enum { BDPO_MAX_VOTERS = 32, BDPO_VOTER_NAME_BYTES = 160 };

// Who is asked: a scorer, "clip-h" or "clip-h@1a2b" by its checkpoint's hash, or "human".
typedef struct bdpo_voter {
    char name[BDPO_VOTER_NAME_BYTES];
    bool is_human;
    bool votes; // false: only named by single: or scorer:
    double weight, margin;
    bdpo_vote_statistics statistics; // not of the human label
} bdpo_voter;

// What is done with a pair. Made by vote/vote_config.h, or by hand and checked by
// bdpo_vote_config_check().
typedef struct bdpo_vote_config {
    bdpo_voter voters[BDPO_MAX_VOTERS];
    int n_voters;
    bdpo_vote_rule rule;
    bdpo_normalization normalization; // of normalized-sum and of the policy `margin`
    int rule_scorer;                  // of single and human: an index of voters
    bdpo_vote_tie tie;
    int tie_scorer; // of scorer and human
    uint64_t seed;
} bdpo_vote_config;

// A pair. Identities are the first 64 bits of the SHA-256 of the picture's file and of the prompt's
// bytes (bdpo_vote_identity), so that every process has the same.
typedef struct bdpo_vote_pair {
    const double *scores[2]; // [n_voters] of picture 0 and of picture 1; the human's is not read
    double human;            // h above
    uint64_t image[2], prompt;
} bdpo_vote_pair;

// From the hexadecimal text of a SHA-256; aborts where it is none.
uint64_t bdpo_vote_identity(const char *sha256_hex);

typedef enum bdpo_choice {
    BDPO_CHOSE_1 = -1,
    BDPO_CHOSE_TIE = 0,
    BDPO_CHOSE_0 = 1,
    BDPO_NO_VOTE = 2
} bdpo_choice;

typedef struct bdpo_ballot {
    bdpo_choice choice;
    double difference; // d, also where it is within the margin; NaN: no vote
} bdpo_ballot;

typedef enum bdpo_vote_outcome {
    BDPO_VOTE_BY_RULE,         // labelled
    BDPO_VOTE_BY_POLICY,       // a tie, labelled by the tie policy
    BDPO_VOTE_SKIPPED_TIE,     // a tie, and the policy had no answer
    BDPO_VOTE_SKIPPED_DISSENT, // not unanimous
    BDPO_VOTE_SKIPPED_NO_VOTE, // nobody who was asked has a vote
    BDPO_N_VOTE_OUTCOMES
} bdpo_vote_outcome;

typedef struct bdpo_vote {
    bdpo_vote_outcome outcome;
    double label;     // probability that picture 0 is the preferred one; NaN where skipped
    double margin;    // the rule's, positive for picture 0; NaN where nobody has a vote
    int n_choices[3]; // of those whom the rule asks: for 0, for 1, ties
    int n_no_vote;    // and without a vote
    int drawn;        // random-scorer: the voter; else -1
} bdpo_vote;

// What counts as a score: a number that an f32 may hold.
bool bdpo_vote_is_score(double score);

// One voter's ballot on the pair.
bdpo_ballot bdpo_vote_ballot(const bdpo_vote_config *config, int voter, const bdpo_vote_pair *pair);

// The label. Aborts on a configuration that bdpo_vote_config_check() would refuse.
void bdpo_vote_cast(bdpo_vote *out, const bdpo_vote_config *config, const bdpo_vote_pair *pair);

static inline bool bdpo_vote_is_labelled(const bdpo_vote *vote)
{
    return vote->outcome <= BDPO_VOTE_BY_POLICY;
}

// The rule was at a tie, whatever the policy made of it.
static inline bool bdpo_vote_is_tie(const bdpo_vote *vote)
{
    return vote->outcome == BDPO_VOTE_BY_POLICY || vote->outcome == BDPO_VOTE_SKIPPED_TIE;
}

// Whether a rule asks all voters: not human, single and coin.
bool bdpo_vote_rule_asks_voters(bdpo_vote_rule rule);
// scale_v above.
double bdpo_vote_scale(const bdpo_voter *voter, bdpo_normalization normalization);
// Whether the rule or the tie policy divides by the voters' statistics.
bool bdpo_vote_needs_statistics(const bdpo_vote_config *config);

// BAD_ARGUMENT, naming the field: nobody to ask, weights or margins out of range, a voter twice,
// statistics that are needed and not known (no finished pass) or of scores that are all the same.
BDPO_MUST_CHECK bdpo_status bdpo_vote_config_check(const bdpo_vote_config *config);

#endif
