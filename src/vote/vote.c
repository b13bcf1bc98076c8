// Ballots, then the rule, then the tie policy.
#include "vote/vote.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "vote/exact_sum.h"

// Weights and normalised differences are rounded numbers: a sum this small against its terms is
// rounding. It allows a few hundred units in the last place.
static const double rounding_frac = 1e-12;

_Static_assert((int)BDPO_MAX_VOTERS <= (int)BDPO_MAX_TERMS, "a sum has one term for each voter");

// Blocks of a pair's sequence (base/random.h): what its draws are for.
enum { BLOCK_COIN, BLOCK_TIE, BLOCK_SCORER };

// All that a rule looks at.
typedef struct ballots {
    const bdpo_vote_config *config;
    const bdpo_vote_pair *pair;
    bdpo_ballot of[BDPO_MAX_VOTERS]; // voters[i]; those not asked too
    int n0, n1, nt, n_no_vote;       // of those whom the rule asks
} ballots;

typedef struct verdict {
    bdpo_choice choice;
    double label, margin; // label: where a picture was chosen
    bool dissent;
    int drawn;
} verdict;

// ---- ballots -----------------------------------------------------------------------------------

bool bdpo_vote_is_score(double score)
{
    return fabs(score) <= (double)FLT_MAX; // false for a NaN
}

bdpo_ballot bdpo_vote_ballot(const bdpo_vote_config *config, int voter, const bdpo_vote_pair *pair)
{
    const bdpo_ballot none = {BDPO_NO_VOTE, NAN};
    const bdpo_voter *v = &config->voters[voter];
    double a, b;
    if (v->is_human) {
        if (!(pair->human >= 0 && pair->human <= 1)) return none;
        a = pair->human;
        b = 1 - pair->human;
    } else {
        a = pair->scores[0][voter];
        b = pair->scores[1][voter];
        if (!bdpo_vote_is_score(a) || !bdpo_vote_is_score(b)) return none;
    }
    double d = a - b;
    bdpo_choice choice = fabs(d) <= v->margin ? BDPO_CHOSE_TIE
                         : d > 0              ? BDPO_CHOSE_0
                                              : BDPO_CHOSE_1;
    return (bdpo_ballot){choice, d};
}

// Whom the rule asks: all voters, one, or nobody. The tie policy may ask others.
static bool is_asked(const bdpo_vote_config *config, int voter)
{
    if (config->rule == BDPO_RULE_HUMAN || config->rule == BDPO_RULE_SINGLE)
        return voter == config->rule_scorer;
    return config->rule != BDPO_RULE_COIN && config->voters[voter].votes;
}

static void gather(ballots *out, const bdpo_vote_config *config, const bdpo_vote_pair *pair)
{
    *out = (ballots){.config = config, .pair = pair};
    for (int i = 0; i < config->n_voters; i++) {
        out->of[i] = bdpo_vote_ballot(config, i, pair);
        if (!is_asked(config, i)) continue;
        bdpo_choice c = out->of[i].choice;
        out->n0 += c == BDPO_CHOSE_0;
        out->n1 += c == BDPO_CHOSE_1;
        out->nt += c == BDPO_CHOSE_TIE;
        out->n_no_vote += c == BDPO_NO_VOTE;
    }
}

static bool has_vote(const ballots *b, int voter)
{
    return b->config->voters[voter].votes && b->of[voter].choice != BDPO_NO_VOTE;
}

// d, or 0 from one who abstains.
static double counted_difference(bdpo_ballot ballot)
{
    return ballot.choice == BDPO_CHOSE_TIE ? 0 : ballot.difference;
}

// ---- sums --------------------------------------------------------------------------------------

static bdpo_choice choice_of(double sum)
{
    return sum > 0 ? BDPO_CHOSE_0 : sum < 0 ? BDPO_CHOSE_1 : BDPO_CHOSE_TIE;
}

// The choice where sum and terms carry rounding.
static bdpo_choice rounded_choice(double sum, double magnitude)
{
    return fabs(sum) <= rounding_frac * magnitude ? BDPO_CHOSE_TIE : choice_of(sum);
}

double bdpo_vote_scale(const bdpo_voter *voter, bdpo_normalization normalization)
{
    if (voter->is_human) return normalization == BDPO_ZSCORE ? 0.5 : 1;
    const bdpo_vote_statistics *s = &voter->statistics;
    return normalization == BDPO_ZSCORE ? s->deviation : s->max - s->min;
}

// sum d_v, or sum d_v / scale_v.
static verdict sum(const ballots *b, bool normalized)
{
    double terms[BDPO_MAX_VOTERS] = {0}, magnitude = 0;
    int n = 0;
    for (int i = 0; i < b->config->n_voters; i++) {
        if (!has_vote(b, i)) continue;
        double d = counted_difference(b->of[i]);
        if (normalized) d /= bdpo_vote_scale(&b->config->voters[i], b->config->normalization);
        magnitude += fabs(d);
        terms[n++] = d;
    }
    double total = bdpo_exact_sum(terms, n);
    return (verdict){.choice = normalized ? rounded_choice(total, magnitude) : choice_of(total),
                     .margin = total};
}

// ---- chance ------------------------------------------------------------------------------------

// Sebastiano Vigna's splitmix64: every bit of the result depends on every bit of x.
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

// Two words for the pair, the same whichever picture stands first. `step` sets sequences apart.
static uint64_t draw(const ballots *b, uint32_t step, uint32_t block)
{
    const bdpo_vote_pair *p = b->pair;
    uint64_t low = p->image[0] < p->image[1] ? p->image[0] : p->image[1];
    uint64_t high = p->image[0] < p->image[1] ? p->image[1] : p->image[0];
    bdpo_random_key key = {.seed = b->config->seed,
                           .sample = mix(mix(mix(low) ^ high) ^ p->prompt) >> 8,
                           .step = step,
                           .purpose = BDPO_RANDOM_LABEL};
    bdpo_random_block words = bdpo_random_words(key, block);
    return (uint64_t)words.word[0] << 32 | words.word[1];
}

// Heads: the picture of the smaller identity. A picture against itself is a tie.
static bdpo_choice toss(const ballots *b, uint32_t block)
{
    const uint64_t *image = b->pair->image;
    if (image[0] == image[1]) return BDPO_CHOSE_TIE;
    bool heads = draw(b, 0, block) >> 63, first_is_smaller = image[0] < image[1];
    return heads == first_is_smaller ? BDPO_CHOSE_0 : BDPO_CHOSE_1;
}

static uint32_t hash_name(const char *name)
{
    uint32_t hash = 2166136261u; // FNV-1a
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

// Everybody draws a number by his name, and the largest wins: each of those who have a vote is as
// likely, and the order of the list does not matter. Only called where somebody has a vote.
static int draw_voter(const ballots *b)
{
    int best = -1;
    uint64_t best_draw = 0;
    for (int i = 0; i < b->config->n_voters; i++) {
        if (!has_vote(b, i)) continue;
        const char *name = b->config->voters[i].name;
        uint64_t drawn = draw(b, hash_name(name), BLOCK_SCORER);
        bool larger = best < 0 || drawn > best_draw ||
                      (drawn == best_draw && strcmp(name, b->config->voters[best].name) < 0);
        if (!larger) continue;
        best = i;
        best_draw = drawn;
    }
    return best;
}

// ---- rules -------------------------------------------------------------------------------------

static verdict count(const ballots *b)
{
    int difference = b->n0 - b->n1;
    return (verdict){.choice = choice_of(difference),
                     .margin = difference / (double)(b->n0 + b->n1 + b->nt)};
}

static verdict count_weights(const ballots *b)
{
    double terms[BDPO_MAX_VOTERS] = {0}, all[BDPO_MAX_VOTERS] = {0};
    int n = 0;
    for (int i = 0; i < b->config->n_voters; i++) {
        if (!has_vote(b, i)) continue;
        all[n] = b->config->voters[i].weight;
        terms[n] = (int)b->of[i].choice * all[n]; // 1, 0 or -1 of it
        n++;
    }
    double difference = bdpo_exact_sum(terms, n), total = bdpo_exact_sum(all, n);
    return (verdict){.choice = rounded_choice(difference, total), .margin = difference / total};
}

static verdict unanimous(const ballots *b)
{
    verdict v = count(b);
    int n = b->n0 + b->n1 + b->nt;
    bool agreed = b->n0 == n || b->n1 == n, all_tied = b->nt == n;
    v.dissent = !agreed && !all_tied;
    return v;
}

static verdict ask(const ballots *b, int voter)
{
    return (verdict){.choice = b->of[voter].choice, .margin = b->of[voter].difference};
}

static verdict random_scorer(const ballots *b)
{
    int voter = draw_voter(b);
    verdict v = ask(b, voter);
    v.drawn = voter;
    return v;
}

bool bdpo_vote_rule_asks_voters(bdpo_vote_rule rule)
{
    return rule != BDPO_RULE_HUMAN && rule != BDPO_RULE_SINGLE && rule != BDPO_RULE_COIN;
}

static verdict decide_by_rule(const ballots *b)
{
    const bdpo_vote_config *c = b->config;
    if (bdpo_vote_rule_asks_voters(c->rule) && b->n0 + b->n1 + b->nt == 0)
        return (verdict){.choice = BDPO_NO_VOTE, .margin = NAN};
    switch (c->rule) {
    case BDPO_RULE_HUMAN:
    case BDPO_RULE_SINGLE:
        return ask(b, c->rule_scorer);
    case BDPO_RULE_RANDOM_SCORER:
        return random_scorer(b);
    case BDPO_RULE_COIN:
        return (verdict){.choice = toss(b, BLOCK_COIN)};
    case BDPO_RULE_SUM:
        return sum(b, false);
    case BDPO_RULE_NORMALIZED_SUM:
        return sum(b, true);
    case BDPO_RULE_MAJORITY:
    case BDPO_RULE_SOFT_MAJORITY:
        return count(b);
    case BDPO_RULE_WEIGHTED_MAJORITY:
        return count_weights(b);
    case BDPO_RULE_UNANIMOUS:
        return unanimous(b);
    case BDPO_N_RULES:
        break;
    }
    BDPO_BUG("no rule %d", (int)c->rule);
}

static bdpo_choice break_tie(const ballots *b)
{
    const bdpo_vote_config *c = b->config;
    switch (c->tie) {
    case BDPO_TIE_SKIP:
        return BDPO_CHOSE_TIE;
    case BDPO_TIE_HUMAN:
    case BDPO_TIE_SCORER:
        return b->of[c->tie_scorer].choice;
    case BDPO_TIE_KEEP:
        return BDPO_CHOSE_0;
    case BDPO_TIE_MARGIN:
        return sum(b, true).choice;
    case BDPO_TIE_RANDOM:
        return toss(b, BLOCK_TIE);
    case BDPO_N_TIES:
        break;
    }
    BDPO_BUG("no tie policy %d", (int)c->tie);
}

static double label_of(const ballots *b, bdpo_choice choice, bdpo_vote_outcome outcome)
{
    if (b->config->rule == BDPO_RULE_SOFT_MAJORITY && outcome == BDPO_VOTE_BY_RULE)
        return (b->n0 + 0.5 * b->nt) / (b->n0 + b->n1 + b->nt);
    return choice == BDPO_CHOSE_0 ? 1 : 0;
}

void bdpo_vote_cast(bdpo_vote *out, const bdpo_vote_config *config, const bdpo_vote_pair *pair)
{
    ballots b;
    gather(&b, config, pair);
    verdict v = decide_by_rule(&b);
    bdpo_choice choice = v.choice;
    bdpo_vote_outcome outcome = BDPO_VOTE_BY_RULE;
    if (v.dissent) {
        outcome = BDPO_VOTE_SKIPPED_DISSENT;
    } else if (choice == BDPO_NO_VOTE) {
        outcome = BDPO_VOTE_SKIPPED_NO_VOTE;
    } else if (choice == BDPO_CHOSE_TIE) {
        choice = break_tie(&b);
        bool broken = choice == BDPO_CHOSE_0 || choice == BDPO_CHOSE_1;
        outcome = broken ? BDPO_VOTE_BY_POLICY : BDPO_VOTE_SKIPPED_TIE;
    }
    *out = (bdpo_vote){
        .outcome = outcome,
        .label = NAN,
        .margin = v.margin,
        .n_choices = {b.n0, b.n1, b.nt},
        .n_no_vote = b.n_no_vote,
        .drawn = config->rule == BDPO_RULE_RANDOM_SCORER && b.n0 + b.n1 + b.nt > 0 ? v.drawn : -1};
    if (bdpo_vote_is_labelled(out)) out->label = label_of(&b, choice, outcome);
}

// ---- identities and checks ---------------------------------------------------------------------

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

uint64_t bdpo_vote_identity(const char *sha256_hex)
{
    uint64_t identity = 0;
    for (int i = 0; i < 16; i++) {
        int digit = hex_digit(sha256_hex[i]);
        if (digit < 0) BDPO_BUG("\"%.64s\" is no SHA-256 in lower case", sha256_hex);
        identity = identity << 4 | (uint64_t)digit;
    }
    return identity;
}

bool bdpo_vote_needs_statistics(const bdpo_vote_config *config)
{
    return config->rule == BDPO_RULE_NORMALIZED_SUM || config->tie == BDPO_TIE_MARGIN;
}

static bdpo_status check_voter(const bdpo_vote_config *config, int index)
{
    const bdpo_voter *v = &config->voters[index];
    for (int i = 0; i < index; i++)
        if (strcmp(config->voters[i].name, v->name) == 0)
            return bdpo_fail(BDPO_BAD_ARGUMENT, "voters: %s is there twice", v->name);
    if (!(v->weight > 0 && v->weight <= FLT_MAX))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "weight of %s is %g, expected a number above 0",
                         v->name, v->weight);
    if (!(v->margin >= 0 && v->margin <= FLT_MAX))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "margin of %s is %g, expected a number from 0 on",
                         v->name, v->margin);
    return BDPO_OK;
}

static bdpo_status check_statistics(const bdpo_vote_config *config, const bdpo_voter *v)
{
    const char *wanted =
        config->rule == BDPO_RULE_NORMALIZED_SUM ? "rule normalized-sum" : "tie policy margin";
    if (v->is_human || !v->votes) return BDPO_OK;
    if (v->statistics.count <= 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "%s needs the statistics of %s from a finished scoring pass, and there "
                         "are none",
                         wanted, v->name);
    double scale = bdpo_vote_scale(v, config->normalization);
    if (!(scale > 0 && isfinite(scale)))
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "%s cannot normalise %s: its scores have no spread (%lld scores from %g "
                         "to %g)",
                         wanted, v->name, (long long)v->statistics.count, v->statistics.min,
                         v->statistics.max);
    return BDPO_OK;
}

static bdpo_status check_asked(const bdpo_vote_config *config, int voter, bool human,
                               const char *what)
{
    bool ok = voter >= 0 && voter < config->n_voters && (!human || config->voters[voter].is_human);
    if (ok) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s names voter %d of %d, expected %s", what, voter,
                     config->n_voters, human ? "the human label" : "one of them");
}

bdpo_status bdpo_vote_config_check(const bdpo_vote_config *config)
{
    int n_voting = 0;
    BDPO_ASSERT(config->n_voters >= 0 && config->n_voters <= BDPO_MAX_VOTERS);
    for (int i = 0; i < config->n_voters; i++) {
        TRY(check_voter(config, i));
        n_voting += config->voters[i].votes;
    }
    if (n_voting == 0 && bdpo_vote_rule_asks_voters(config->rule))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "voters: nobody votes, expected at least one scorer or "
                                            "human");
    if (config->rule == BDPO_RULE_HUMAN || config->rule == BDPO_RULE_SINGLE)
        TRY(check_asked(config, config->rule_scorer, config->rule == BDPO_RULE_HUMAN, "rule"));
    if (config->tie == BDPO_TIE_HUMAN || config->tie == BDPO_TIE_SCORER)
        TRY(check_asked(config, config->tie_scorer, config->tie == BDPO_TIE_HUMAN, "tie"));
    if (!bdpo_vote_needs_statistics(config)) return BDPO_OK;
    for (int i = 0; i < config->n_voters; i++) TRY(check_statistics(config, &config->voters[i]));
    return BDPO_OK;
}
