// Configurations from words, and what wrong ones are told.
#include "vote/vote_config.h"

#include "base/nearest.h"
#include "harness.h"

static const char *const known_names[] = {"aesthetic", "clip-h", "hpsv2", "hpsv2.1", "pickscore"};
static const bdpo_vote_names known = {known_names, 5, "of the store"};

static void check_texts(const bdpo_vote_config *config, const char *rule, const char *tie)
{
    char text[BDPO_RULE_TEXT_BYTES];
    bdpo_vote_rule_text(text, config);
    CHECK_STR(text, rule);
    bdpo_vote_tie_text(text, config);
    CHECK_STR(text, tie);
}

BDPO_TEST(words_make_a_configuration)
{
    bdpo_vote_config c;
    bdpo_vote_config_init(&c);
    check_texts(&c, "majority", "skip");
    CHECK_OK(bdpo_vote_config_voters(&c, BDPO_VOTE_DEFAULT_VOTERS, &known));
    CHECK_OK(bdpo_vote_config_voters(&c, " human , hpsv2.1@3fa8", &known));
    CHECK_INT(c.n_voters, 5);
    CHECK_STR(c.voters[4].name, "hpsv2.1@3fa8");
    CHECK(c.voters[3].is_human && !c.voters[2].is_human);
    CHECK_OK(bdpo_vote_config_rule(&c, "single:pickscore", &known));
    CHECK_OK(bdpo_vote_config_tie(&c, "scorer:clip-h", &known));
    CHECK_INT(c.n_voters, 6);
    CHECK(!c.voters[5].votes && c.voters[0].votes);
    check_texts(&c, "single:pickscore", "scorer:clip-h");
    CHECK_OK(bdpo_vote_config_margin(&c, "hpsv2.1=0.25"));
    CHECK_OK(bdpo_vote_config_weight(&c, "human=2e1"));
    CHECK_NEAR(c.voters[4].margin, 0.25, 0);
    CHECK_NEAR(c.voters[3].weight, 20, 0);
    CHECK_OK(bdpo_vote_config_check(&c));
    CHECK_OK(bdpo_vote_config_voters(&c, "pickscore", &known)); // asked before, votes now
    CHECK(c.voters[5].votes);
}

BDPO_TEST(every_rule_and_policy_reads_what_it_writes)
{
    static const char *const rules[] = {"human",         "single:pickscore",
                                        "single:hpsv2",  "random-scorer",
                                        "coin",          "sum",
                                        "majority",      "normalized-sum:zscore",
                                        "unanimous",     "normalized-sum:minmax",
                                        "soft-majority", "weighted-majority"};
    static const char *const ties[] = {"skip", "human", "keep", "margin", "random", "scorer:hpsv2"};
    bdpo_vote_config c;
    bdpo_vote_config_init(&c);
    for (size_t i = 0; i < BDPO_COUNTOF(rules); i++) {
        CHECK_OK(bdpo_vote_config_rule(&c, rules[i], &known));
        CHECK_OK(bdpo_vote_config_tie(&c, ties[i % BDPO_COUNTOF(ties)], &known));
        check_texts(&c, rules[i], ties[i % BDPO_COUNTOF(ties)]);
    }
    CHECK_OK(bdpo_vote_config_rule(&c, "single:human", &known));
    CHECK_OK(bdpo_vote_config_tie(&c, "scorer:human", &known));
    check_texts(&c, "human", "human");
    CHECK_OK(bdpo_vote_config_tie(&c, "scorer:hpsv2", &known));
    CHECK_OK(bdpo_vote_config_rule(&c, "normalized-sum", &known));
    check_texts(&c, "normalized-sum:zscore", "scorer:hpsv2");
    CHECK_OK(bdpo_vote_config_rule(&c, "normalized-sum:min-max", &known));
    check_texts(&c, "normalized-sum:minmax", "scorer:hpsv2");
}

typedef bdpo_status (*setter)(bdpo_vote_config *config, const char *text,
                              const bdpo_vote_names *names);

static void check_refused(setter set, const char *text, const char *message)
{
    bdpo_vote_config c;
    bdpo_vote_config_init(&c);
    CHECK_OK(bdpo_vote_config_voters(&c, "clip-h,hpsv2", &known));
    CHECK_STATUS(set(&c, text, &known), BDPO_BAD_ARGUMENT);
    CHECK_STR(bdpo_message(), message);
}

BDPO_TEST(wrong_words_are_told_the_nearest)
{
    static const char rules[] =
        "human, single, random-scorer, coin, sum, normalized-sum, majority, "
        "weighted-majority, soft-majority, unanimous";
    char message[512];
    snprintf(message, sizeof message,
             "rule is \"majorty\", expected one of: %s; did you mean majority?", rules);
    check_refused(bdpo_vote_config_rule, "majorty", message);
    snprintf(message, sizeof message, "rule is \"borda\", expected one of: %s", rules);
    check_refused(bdpo_vote_config_rule, "borda", message);
    snprintf(message, sizeof message, "rule is \"\", expected one of: %s", rules);
    check_refused(bdpo_vote_config_rule, "", message);
    check_refused(bdpo_vote_config_tie, "skp",
                  "tie is \"skp\", expected one of: skip, human, keep, margin, scorer, random; did "
                  "you mean skip?");
    check_refused(bdpo_vote_config_rule, "normalized-sum:rank",
                  "rule normalized-sum is \"rank\", expected one of: zscore, minmax");
    check_refused(bdpo_vote_config_voters, "pikscore",
                  "voters is \"pikscore\", expected human or a scorer of the store: aesthetic, "
                  "clip-h, hpsv2, hpsv2.1, pickscore; did you mean pickscore?");
    check_refused(bdpo_vote_config_rule, "single:hpsv3@12",
                  "rule is \"hpsv3@12\", expected human or a scorer of the store: aesthetic, "
                  "clip-h, hpsv2, hpsv2.1, pickscore; did you mean hpsv2?");
}

BDPO_TEST(wrong_forms_are_refused)
{
    check_refused(bdpo_vote_config_voters, "hpsv2.1,hpsv2", "voters: hpsv2 is there twice");
    check_refused(bdpo_vote_config_voters, "human,,pickscore",
                  "voters has \"\" in it, expected names of 1 to 159 bytes");
    check_refused(bdpo_vote_config_rule, "single",
                  "rule is \"single\", expected \"single:SCORER\"");
    check_refused(bdpo_vote_config_rule,
                  "single: ", "rule is \"single: \", expected \"single:SCORER\"");
    check_refused(bdpo_vote_config_rule, "majority:hpsv2",
                  "rule is \"majority:hpsv2\", expected \"majority\" with nothing behind");
    check_refused(bdpo_vote_config_tie, "keep:1",
                  "tie is \"keep:1\", expected \"keep\" with nothing behind");
    check_refused(bdpo_vote_config_tie, "scorer", "tie is \"scorer\", expected \"scorer:SCORER\"");
}

static bdpo_status set_margin(bdpo_vote_config *config, const char *text,
                              const bdpo_vote_names *names)
{
    (void)names;
    return bdpo_vote_config_margin(config, text);
}

static bdpo_status set_weight(bdpo_vote_config *config, const char *text,
                              const bdpo_vote_names *names)
{
    (void)names;
    return bdpo_vote_config_weight(config, text);
}

BDPO_TEST(wrong_numbers_are_refused)
{
    check_refused(set_margin, "hpsv2", "margin is \"hpsv2\", expected \"SCORER=NUMBER\"");
    check_refused(set_margin, "hpsv2=", "margin of hpsv2 is \"\", expected a number");
    check_refused(set_margin, "hpsv2=nan", "margin of hpsv2 is \"nan\", expected a number");
    check_refused(set_margin, "hpsv2=1x", "margin of hpsv2 is \"1x\", expected a number");
    check_refused(set_margin, "hpsv2=-1", "margin of hpsv2 is -1, expected a number from 0 on");
    check_refused(set_weight, "hpsv2=0", "weight of hpsv2 is 0, expected a number above 0");
    check_refused(set_weight, "hpsv2=inf", "weight of hpsv2 is \"inf\", expected a number");
    check_refused(set_weight, "hpsv=1",
                  "weight is \"hpsv\", expected one of those who are asked: clip-h, hpsv2; did you "
                  "mean hpsv2?");
}

BDPO_TEST(too_many_voters_are_refused)
{
    bdpo_vote_config c;
    char name[16];
    bdpo_vote_config_init(&c);
    for (int i = 0; i < BDPO_MAX_VOTERS; i++) {
        snprintf(name, sizeof name, "s%d", i);
        CHECK_OK(bdpo_vote_config_voters(&c, name, NULL));
    }
    CHECK_STATUS(bdpo_vote_config_voters(&c, "one-more", NULL), BDPO_BAD_ARGUMENT);
    CHECK_STR(bdpo_message(), "voters: \"one-more\" is one too many, expected at most 32");
}

BDPO_TEST(nearest_word)
{
    static const char *const words[] = {"sum", "majority", "unanimous"};
    CHECK_INT(bdpo_nearest_word(words, 3, "majorityy"), 1);
    CHECK_INT(bdpo_nearest_word(words, 3, "u"), 2);
    CHECK_INT(bdpo_nearest_word(words, 0, "u"), -1);
    CHECK_INT(bdpo_word_distance("kitten", "sitting"), 3);
    CHECK_INT(bdpo_word_distance("abc", ""), 3);
}
