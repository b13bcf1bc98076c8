// Words to a configuration, and back.
#include "vote/vote_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "formats/charset.h"

static const char *const rule_words[] = {
#define X(name, text) text,
    BDPO_VOTE_RULE_LIST(X)
#undef X
};
static const char *const tie_words[] = {
#define X(name, text) text,
    BDPO_VOTE_TIE_LIST(X)
#undef X
};
// The second of each is only read.
static const char *const normalization_words[][2] = {{"zscore", "z-score"}, {"minmax", "min-max"}};

static const char human[] = "human";

void bdpo_vote_config_init(bdpo_vote_config *out)
{
    *out = (bdpo_vote_config){.rule = BDPO_RULE_MAJORITY, .tie = BDPO_TIE_SKIP};
}

int bdpo_vote_config_find(const bdpo_vote_config *config, const char *name)
{
    for (int i = 0; i < config->n_voters; i++)
        if (strcmp(config->voters[i].name, name) == 0) return i;
    return -1;
}

// ---- refusals ----------------------------------------------------------------------------------

enum { LIST_BYTES = 512 };

// "a, b, c"; cut where there is no room.
static void list_words(char out[LIST_BYTES], const char *const *words, int n)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < n && used < LIST_BYTES; i++) {
        int added = snprintf(out + used, LIST_BYTES - used, "%s%s", i ? ", " : "", words[i]);
        used += added > 0 ? (size_t)added : 0;
    }
}

// "rule is "majorty", expected one of ...; did you mean majority?"
static bdpo_status refuse(const char *field, const char *found, const char *expected,
                          const char *const *words, int n)
{
    char list[LIST_BYTES], typed[BDPO_VOTER_NAME_BYTES];
    snprintf(typed, sizeof typed, "%.*s", (int)strcspn(found, "@"), found);
    list_words(list, words, n);
    int nearest = bdpo_nearest_word(words, n, typed);
    if (nearest < 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s is \"%s\", expected %s, and there is none", field,
                         found, expected);
    if (bdpo_word_distance(words[nearest], typed) > BDPO_WORD_NEAR)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s is \"%s\", expected %s: %s", field, found, expected,
                         list);
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s is \"%s\", expected %s: %s; did you mean %s?", field,
                     found, expected, list, words[nearest]);
}

// ---- names -------------------------------------------------------------------------------------

// A piece of text without the spaces about it. False where it does not fit.
static bool copy_trimmed(char *out, size_t size, const char *text, size_t length)
{
    while (length > 0 && text[0] == ' ') text++, length--;
    while (length > 0 && text[length - 1] == ' ') length--;
    if (length >= size) return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

static bool is_known(const char *name, const bdpo_vote_names *known)
{
    size_t length = strcspn(name, "@");
    if (!known || name[0] == '#') return true; // a number of the store is for the store to find
    for (int i = 0; i < known->count; i++)
        if (strcmp(known->names[i], name) == 0 ||
            (strlen(known->names[i]) == length && strncmp(known->names[i], name, length) == 0))
            return true;
    return false;
}

static bdpo_status add(int *index, bdpo_vote_config *config, const char *field, const char *name,
                       const bdpo_vote_names *known)
{
    char expected[64];
    *index = bdpo_vote_config_find(config, name);
    if (*index >= 0) return BDPO_OK;
    bool is_human = strcmp(name, human) == 0;
    if (!bdpo_text_is_utf8(name))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s has a name that is not UTF-8", field);
    if (!is_human && !is_known(name, known)) {
        snprintf(expected, sizeof expected, "human or a scorer%s%.40s", known->place ? " " : "",
                 known->place ? known->place : "");
        return refuse(field, name, expected, known->names, known->count);
    }
    if (config->n_voters == BDPO_MAX_VOTERS)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: \"%s\" is one too many, expected at most %d",
                         field, name, BDPO_MAX_VOTERS);
    bdpo_voter *voter = &config->voters[ *index = config->n_voters++];
    *voter = (bdpo_voter){.is_human = is_human, .weight = 1};
    snprintf(voter->name, sizeof voter->name, "%s", name);
    return BDPO_OK;
}

static bdpo_status add_voter(bdpo_vote_config *config, const char *text, size_t length,
                             const bdpo_vote_names *known)
{
    char name[BDPO_VOTER_NAME_BYTES];
    int index;
    if (!copy_trimmed(name, sizeof name, text, length) || !name[0])
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "voters has \"%.*s\" in it, expected names of 1 to %d bytes",
                         (int)(length > 200 ? 200 : length), text, BDPO_VOTER_NAME_BYTES - 1);
    TRY(add(&index, config, "voters", name, known));
    if (config->voters[index].votes)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "voters: %s is there twice", name);
    config->voters[index].votes = true;
    return BDPO_OK;
}

bdpo_status bdpo_vote_config_voters(bdpo_vote_config *config, const char *text,
                                    const bdpo_vote_names *known)
{
    for (;;) {
        size_t length = strcspn(text, ",");
        TRY(add_voter(config, text, length, known));
        if (!text[length]) return BDPO_OK;
        text += length + 1;
    }
}

// ---- rule and tie policy -----------------------------------------------------------------------

// "word" or "word:rest"; *rest is NULL without a colon.
static bdpo_status split(int *word, const char **rest, const char *field, const char *text,
                         const char *const *words, int n_words)
{
    char found[BDPO_VOTER_NAME_BYTES];
    size_t length = strcspn(text, ":");
    *rest = text[length] ? text + length + 1 : NULL;
    if (!copy_trimmed(found, sizeof found, text, length))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s is \"%.100s...\", expected a shorter word", field,
                         text);
    for (*word = 0; *word < n_words; ++*word)
        if (strcmp(words[*word], found) == 0) return BDPO_OK;
    return refuse(field, found, "one of", words, n_words);
}

// What is behind the colon, as a scorer.
static bdpo_status add_asked(int *index, bdpo_vote_config *config, const char *field,
                             const char *word, const char *rest, const bdpo_vote_names *known)
{
    char name[BDPO_VOTER_NAME_BYTES];
    if (!rest || !copy_trimmed(name, sizeof name, rest, strlen(rest)) || !name[0])
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s is \"%s%s%.100s\", expected \"%s:SCORER\"", field,
                         word, rest ? ":" : "", rest ? rest : "", word);
    return add(index, config, field, name, known);
}

static bdpo_status read_normalization(bdpo_normalization *out, const char *rest)
{
    static const char *const first[] = {"zscore", "minmax"};
    for (int i = 0; i < BDPO_N_NORMALIZATIONS; i++) {
        if (strcmp(rest, normalization_words[i][0]) != 0 &&
            strcmp(rest, normalization_words[i][1]) != 0)
            continue;
        *out = (bdpo_normalization)i;
        return BDPO_OK;
    }
    return refuse("rule normalized-sum", rest, "one of", first, BDPO_N_NORMALIZATIONS);
}

static bdpo_status refuse_rest(const char *field, const char *word, const char *rest)
{
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s is \"%s:%.100s\", expected \"%s\" with nothing behind",
                     field, word, rest, word);
}

bdpo_status bdpo_vote_config_rule(bdpo_vote_config *config, const char *text,
                                  const bdpo_vote_names *known)
{
    int word, asked = 0;
    const char *rest;
    bdpo_normalization normalization = config->normalization;
    TRY(split(&word, &rest, "rule", text, rule_words, BDPO_N_RULES));
    if (word == BDPO_RULE_SINGLE)
        TRY(add_asked(&asked, config, "rule", rule_words[word], rest, known));
    else if (word == BDPO_RULE_NORMALIZED_SUM)
        TRY(read_normalization(&normalization, rest ? rest : "zscore"));
    else if (rest)
        return refuse_rest("rule", rule_words[word], rest);
    if (word == BDPO_RULE_HUMAN) TRY(add(&asked, config, "rule", human, known));
    bool is_human = word == BDPO_RULE_SINGLE && config->voters[asked].is_human;
    config->rule = is_human ? BDPO_RULE_HUMAN : (bdpo_vote_rule)word;
    config->rule_scorer = asked;
    config->normalization = normalization;
    return BDPO_OK;
}

bdpo_status bdpo_vote_config_tie(bdpo_vote_config *config, const char *text,
                                 const bdpo_vote_names *known)
{
    int word, asked = 0;
    const char *rest;
    TRY(split(&word, &rest, "tie", text, tie_words, BDPO_N_TIES));
    if (word == BDPO_TIE_SCORER)
        TRY(add_asked(&asked, config, "tie", tie_words[word], rest, known));
    else if (rest)
        return refuse_rest("tie", tie_words[word], rest);
    if (word == BDPO_TIE_HUMAN) TRY(add(&asked, config, "tie", human, known));
    bool is_human = word == BDPO_TIE_SCORER && config->voters[asked].is_human;
    config->tie = is_human ? BDPO_TIE_HUMAN : (bdpo_vote_tie)word;
    config->tie_scorer = asked;
    return BDPO_OK;
}

// ---- numbers of voters -------------------------------------------------------------------------

// By the whole name, or by the part before the hash where only one has it.
static int find_loosely(const bdpo_vote_config *config, const char *name)
{
    int exact = bdpo_vote_config_find(config, name), found = -1, n_found = 0;
    size_t length = strlen(name);
    for (int i = 0; i < config->n_voters; i++) {
        const char *other = config->voters[i].name;
        if (strncmp(other, name, length) != 0 || other[length] != '@') continue;
        found = i;
        n_found++;
    }
    return exact >= 0 || n_found != 1 ? exact : found;
}

static bdpo_status refuse_voter(const bdpo_vote_config *config, const char *field, const char *name)
{
    const char *names[BDPO_MAX_VOTERS];
    for (int i = 0; i < config->n_voters; i++) names[i] = config->voters[i].name;
    return refuse(field, name, "one of those who are asked", names, config->n_voters);
}

// "S=number"
static bdpo_status assign(int *voter, double *number, const bdpo_vote_config *config,
                          const char *field, const char *text)
{
    char name[BDPO_VOTER_NAME_BYTES], *end;
    const char *equals = strrchr(text, '=');
    if (!equals || !copy_trimmed(name, sizeof name, text, (size_t)(equals - text)) || !name[0])
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s is \"%.200s\", expected \"SCORER=NUMBER\"", field,
                         text);
    *number = strtod(equals + 1, &end);
    if (end == equals + 1 || *end || !isfinite(*number))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s of %s is \"%.100s\", expected a number", field,
                         name, equals + 1);
    *voter = find_loosely(config, name);
    return *voter < 0 ? refuse_voter(config, field, name) : BDPO_OK;
}

bdpo_status bdpo_vote_config_margin(bdpo_vote_config *config, const char *text)
{
    int voter;
    double margin;
    TRY(assign(&voter, &margin, config, "margin", text));
    if (!(margin >= 0))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "margin of %s is %g, expected a number from 0 on",
                         config->voters[voter].name, margin);
    config->voters[voter].margin = margin;
    return BDPO_OK;
}

bdpo_status bdpo_vote_config_weight(bdpo_vote_config *config, const char *text)
{
    int voter;
    double weight;
    TRY(assign(&voter, &weight, config, "weight", text));
    if (!(weight > 0))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "weight of %s is %g, expected a number above 0",
                         config->voters[voter].name, weight);
    config->voters[voter].weight = weight;
    return BDPO_OK;
}

// ---- back to words -----------------------------------------------------------------------------

void bdpo_vote_rule_text(char out[BDPO_RULE_TEXT_BYTES], const bdpo_vote_config *config)
{
    const char *word = rule_words[config->rule], *rest = "";
    if (config->rule == BDPO_RULE_SINGLE) rest = config->voters[config->rule_scorer].name;
    if (config->rule == BDPO_RULE_NORMALIZED_SUM)
        rest = normalization_words[config->normalization][0];
    snprintf(out, BDPO_RULE_TEXT_BYTES, "%s%s%s", word, *rest ? ":" : "", rest);
}

void bdpo_vote_tie_text(char out[BDPO_RULE_TEXT_BYTES], const bdpo_vote_config *config)
{
    const char *rest =
        config->tie == BDPO_TIE_SCORER ? config->voters[config->tie_scorer].name : "";
    snprintf(out, BDPO_RULE_TEXT_BYTES, "%s%s%s", tie_words[config->tie], *rest ? ":" : "", rest);
}
