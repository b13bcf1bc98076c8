// Cuts NAME[=CHECKPOINT][,tokenizer=PATH][,backbone=PATH] at its commas.
#include "cli/scorer_argument.h"

#include <string.h>

#include "fetch/fetch.h"

// ---- parsing -----------------------------------------------------------------------------------

static bool take_part(bdpo_scorer_request *r, const char *part)
{
    const char *equals = strchr(part, '=');
    size_t n = equals ? (size_t)(equals - part) : strlen(part);
    const char **place = n == 9 && memcmp(part, "tokenizer", n) == 0  ? &r->tokenizer
                         : n == 8 && memcmp(part, "backbone", n) == 0 ? &r->backbone
                                                                      : NULL;
    if (!place || *place || !equals || !equals[1]) return false;
    *place = equals + 1;
    return true;
}

// `text` is cut in place.
static bool parse(bdpo_scorer_request *r, char *text)
{
    char *rest = NULL, *first = strtok_r(text, ",", &rest);
    if (!first) return false;
    char *equals = strchr(first, '=');
    *r = (bdpo_scorer_request){.name = first};
    if (equals) {
        *equals = '\0';
        r->checkpoint = equals + 1;
        if (!equals[1]) return false;
    }
    for (char *part; (part = strtok_r(NULL, ",", &rest));)
        if (!take_part(r, part)) return false;
    return *r->name != '\0';
}

bool bdpo_take_scorer(bdpo_scorer_arguments *arguments, bdpo_invocation *invocation)
{
    const char *text = bdpo_option_text(invocation);
    char *copy = text ? bdpo_arena_strdup(invocation->arena, text) : NULL, *rest = NULL;
    if (!copy) return false;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (arguments->count == BDPO_SESSION_MAX_SCORERS) {
            bdpo_usage_error(invocation, "more than %d scorers", BDPO_SESSION_MAX_SCORERS);
            return false;
        }
        if (!parse(&arguments->at[arguments->count++], word)) {
            bdpo_usage_error(
                invocation,
                "--scorer takes NAME[=CHECKPOINT][,tokenizer=PATH][,backbone=PATH], not %s", text);
            return false;
        }
    }
    return true;
}

// ---- what was fetched --------------------------------------------------------------------------

// The folder of a file that was fetched with `name`; NULL where it has none, which is no failure.
static const char *folder_of(const char *name, const char *file, bdpo_arena *arena)
{
    char path[BDPO_PATH_BYTES];
    if (bdpo_fetch_find(path, name, file) != BDPO_OK) return NULL;
    char *slash = strrchr(path, '/');
    if (slash) *slash = '\0';
    return bdpo_arena_strdup(arena, path);
}

static bdpo_status find_files(bdpo_scorer_request *r, bdpo_arena *arena)
{
    char path[BDPO_PATH_BYTES];
    TRY(bdpo_fetch_find(path, r->name, NULL));
    r->checkpoint = bdpo_arena_strdup(arena, path);
    if (!r->checkpoint) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a path");
    if (!r->tokenizer) r->tokenizer = folder_of(r->name, "merges.txt", arena);
    if (!r->tokenizer) r->tokenizer = folder_of(r->name, "vocab.txt", arena);
    if (!r->backbone && strcmp(r->name, "aesthetic") == 0)
        r->backbone = folder_of(r->name, "config.json", arena);
    return BDPO_OK;
}

bdpo_status bdpo_scorer_arguments_find(bdpo_scorer_arguments *arguments, bdpo_arena *arena)
{
    for (int i = 0; i < arguments->count; i++) {
        bdpo_scorer_request *r = &arguments->at[i];
        if (!r->checkpoint && bdpo_scorer_preset_find(r->name)) TRY(find_files(r, arena));
    }
    return BDPO_OK;
}
