// How far judges agree: two of them over all pairs, the voters of a configuration on each pair,
// and what a rule made of the pairs.
#ifndef BDPO_AGREEMENT_H
#define BDPO_AGREEMENT_H

#include "vote/vote.h"

// ---- two judges --------------------------------------------------------------------------------

// A judge's ballots over pairs: a voter's, or the consensus, whose ballot is its label's picture,
// a tie where it skipped for a tie, else no vote, and whose difference is its choice as a number.
typedef struct bdpo_judge {
    const int8_t *choices;     // bdpo_choice of each pair
    const double *differences; // d of each pair; read where there is a vote
} bdpo_judge;

// Over the N pairs on which both have a vote, with the categories 0, 1 and tie:
//     rate      share of pairs in one category; decided: of those where both chose a picture
//     kappa     Cohen's: (p - e) / (1 - e), p the rate, e = sum over categories of the product of
//               the two judges' shares. NaN where e = 1: both always say the same one thing
//     tau       Kendall's tau-b of the differences (margins play no part)
//     tau_choices  the same of the choices as numbers 1 (picture 0), 0 (tie), -1
// NaN where it is not defined: N or what is divided by is 0.
// The tau of differences depends on which picture of a pair stands first, the others do not but for
// tau_choices, since a difference counts with its sign.
typedef struct bdpo_agreement {
    int64_t n_pairs;
    int64_t table[3][3]; // [first judge][second]: chose 0, chose 1, tie
    double rate, rate_decided, kappa, tau, tau_choices;
} bdpo_agreement;

// NO_MEMORY only.
BDPO_MUST_CHECK bdpo_status bdpo_agreement_of(bdpo_agreement *out, const bdpo_judge *first,
                                              const bdpo_judge *second, int64_t n_pairs);

// ---- the voters on one pair --------------------------------------------------------------------

// Counts over pairs, begun as all zero. "Compared" pairs are those on which at least two voters
// have a vote; the rates are shares of them.
typedef struct bdpo_vote_panel {
    int64_t n_pairs, n_compared;
    int64_t n_conflicts; // some voter chose picture 0 and another picture 1
    int64_t n_unanimous; // all who have a vote chose the same picture
    // The sum of differences d, ties counted as 0, S = sum d_v:
    int64_t n_alone[BDPO_MAX_VOTERS];  // |d_v| is above the sum of the others' |d|: v decides it
                                       // alone, whatever the others choose. At most one does
    int64_t n_turned[BDPO_MAX_VOTERS]; // S and S - d_v have opposite signs: without v the sum
                                       // would choose the other picture. Several may
    int64_t n_sum_not_majority;        // both choose a picture, not the same
    // Over all pairs, also of those who are asked and do not vote:
    int64_t n_choices[BDPO_MAX_VOTERS][3]; // 0, 1, tie
    int64_t n_no_vote[BDPO_MAX_VOTERS];
} bdpo_vote_panel;

void bdpo_vote_panel_add(bdpo_vote_panel *panel, const bdpo_vote_config *config,
                         const bdpo_vote_pair *pair);

// ---- what a rule made of the pairs -------------------------------------------------------------

typedef struct bdpo_vote_tally { // begun as all zero
    int64_t n_pairs;
    int64_t n_outcomes[BDPO_N_VOTE_OUTCOMES];
    int64_t n_for_0, n_for_1; // labels above and below 1/2; there is none at it
    int64_t n_no_vote;        // votes missing for want of a score
    int64_t n_pairs_no_vote;  // pairs on which at least one is
} bdpo_vote_tally;

void bdpo_vote_tally_add(bdpo_vote_tally *tally, const bdpo_vote *vote);
// Labelled; skipped; and ties of the rule, whatever the policy made of them.
int64_t bdpo_vote_tally_labelled(const bdpo_vote_tally *tally);
int64_t bdpo_vote_tally_ties(const bdpo_vote_tally *tally);

// ---- statistics of a scoring pass --------------------------------------------------------------

// Adds one score, if it is one, in any order (Welford 1962); `sum_squares` is of deviations.
typedef struct bdpo_score_moments { // begun as all zero
    int64_t count;
    double mean, sum_squares, min, max;
} bdpo_score_moments;

void bdpo_score_moments_add(bdpo_score_moments *moments, double score);
bdpo_vote_statistics bdpo_score_moments_statistics(const bdpo_score_moments *moments);

#endif
