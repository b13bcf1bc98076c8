// The options, and how they become the fields of bdpo_record_options.
#include "cli/record_options.h"

#include <stdlib.h>

#include "cli/option_numbers.h"

enum {
    FORM = 500,
    NAME,
    IMAGES,
    SECOND,
    PAIRED_PROMPTS,
    SPLIT,
    STRICT,
    EMPTY_PROMPTS,
    DROP_TIES,
    DROP_UNLABELLED,
    DROP_DUPLICATES,
    MIN_SIDE,
    BANNED_WORDS,
    ROWS,
    INDEX_LIST,
    HASH_PART
};

const struct poptOption bdpo_record_option_table[] = {
    {"form", '\0', POPT_ARG_STRING, NULL, FORM, "of the data set; without it, seen in the content",
     "pickapic|hpd|imagefolder|captions|paired|webdataset|table"},
    {"name", '\0', POPT_ARG_STRING, NULL, NAME, "of the data set (the last part of its path)",
     "TEXT"},
    {"images", '\0', POPT_ARG_STRING, NULL, IMAGES,
     "where the pictures of relative names lie (beside the list)", "DIR"},
    {"second", '\0', POPT_ARG_STRING, NULL, SECOND, "paired: the folder of the second pictures",
     "DIR"},
    {"captions", '\0', POPT_ARG_STRING, NULL, PAIRED_PROMPTS,
     "paired, captions: prompts, a line for each picture in order", "FILE"},
    {"split", '\0', POPT_ARG_STRING, NULL, SPLIT, "only this one", "NAME"},
    {"strict", '\0', POPT_ARG_NONE, NULL, STRICT,
     "end at the first row that cannot be used, instead of counting it", NULL},
    {"keep-empty-prompts", '\0', POPT_ARG_NONE, NULL, EMPTY_PROMPTS, "rows without a prompt too",
     NULL},
    {"drop-ties", '\0', POPT_ARG_NONE, NULL, DROP_TIES, "leave out pairs that people call even",
     NULL},
    {"drop-unlabelled", '\0', POPT_ARG_NONE, NULL, DROP_UNLABELLED,
     "leave out pairs without a label", NULL},
    {"drop-duplicates", '\0', POPT_ARG_NONE, NULL, DROP_DUPLICATES,
     "leave out rows with a prompt and pictures that came before", NULL},
    {"min-side", '\0', POPT_ARG_STRING, NULL, MIN_SIDE, "leave out smaller pictures", "PIXELS"},
    {"banned-words", '\0', POPT_ARG_STRING, NULL, BANNED_WORDS,
     "leave out prompts with a word or phrase of this list, one a line", "FILE"},
    {"rows", '\0', POPT_ARG_STRING, NULL, ROWS, "only those from FIRST to before END, from 0",
     "FIRST:END"},
    {"index-list", '\0', POPT_ARG_STRING, NULL, INDEX_LIST, "only these rows, a number a line",
     "FILE"},
    {"hash-part", '\0', POPT_ARG_STRING, NULL, HASH_PART,
     "only rows whose hash lies here: 0:0.1 is a fixed tenth, 0.1:1 the rest", "FROM:TO"},
    POPT_TABLEEND};

static bool take_text(bool *ok, bdpo_record_options *o, int option, bdpo_invocation *invocation)
{
    const char **place = option == FORM             ? &o->form
                         : option == NAME           ? &o->name
                         : option == IMAGES         ? &o->images
                         : option == SECOND         ? &o->second
                         : option == PAIRED_PROMPTS ? &o->prompts
                         : option == SPLIT          ? &o->split
                         : option == BANNED_WORDS   ? &o->banned_words
                         : option == INDEX_LIST     ? &o->index_list
                                                    : NULL;
    if (!place) return false;
    *place = bdpo_option_text(invocation);
    *ok = *place != NULL;
    return true;
}

static bool take_flag(bdpo_record_options *o, int option)
{
    bool *place = option == STRICT            ? &o->strict
                  : option == EMPTY_PROMPTS   ? &o->keep_empty_prompts
                  : option == DROP_TIES       ? &o->drop_ties
                  : option == DROP_UNLABELLED ? &o->drop_unlabelled
                  : option == DROP_DUPLICATES ? &o->drop_duplicates
                                              : NULL;
    if (place) *place = true;
    return place != NULL;
}

// "FIRST:END", either of which may be missing: the beginning, the end.
static bool take_rows(bdpo_record_options *o, bdpo_invocation *invocation)
{
    const char *text = bdpo_option_text(invocation);
    char *colon = NULL, *end = NULL;
    if (!text) return false;
    o->first = strtoll(text, &colon, 10);
    if (*colon == ':') o->end = strtoll(colon + 1, &end, 10);
    bool open = end == colon + 1; // nothing stands behind the colon
    if (end && *end == '\0' && o->first >= 0 && (open || o->end > o->first)) return true;
    bdpo_usage_error(invocation, "--rows takes FIRST:END with FIRST below END, not %s", text);
    return false;
}

static bool take_hash_part(bdpo_record_options *o, bdpo_invocation *invocation)
{
    const char *text = bdpo_option_text(invocation);
    char *colon = NULL, *end = NULL;
    if (!text) return false;
    o->hash_from = strtod(text, &colon);
    if (*colon == ':') o->hash_to = strtod(colon + 1, &end);
    if (end && *end == '\0' && o->hash_from >= 0 && o->hash_to > o->hash_from && o->hash_to <= 1)
        return true;
    bdpo_usage_error(invocation, "--hash-part takes FROM:TO with 0 <= FROM < TO <= 1, not %s",
                     text);
    return false;
}

bool bdpo_take_record_option(bool *ok, bdpo_record_options *o, int option,
                             bdpo_invocation *invocation)
{
    *ok = true;
    if (take_text(ok, o, option, invocation) || take_flag(o, option)) return true;
    switch (option) {
    case MIN_SIDE:
        *ok = bdpo_option_int(&o->min_side, invocation, "--min-side", 1, 65535);
        return true;
    case ROWS:
        *ok = take_rows(o, invocation);
        return true;
    case HASH_PART:
        *ok = take_hash_part(o, invocation);
        return true;
    default:
        return false;
    }
}
