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

static bool is_preset(const char *text, size_t n)
{
    for (int i = 0; i < bdpo_scorer_preset_count(); i++) {
        const char *preset = bdpo_scorer_preset_name(i);
        if (strlen(preset) == n && memcmp(preset, text, n) == 0) return true;
    }
    return false;
}

static bool is_name(const char *text, size_t n)
{
    return is_preset(text, n) || (n > 5 && memcmp(text + n - 5, ".json", 5) == 0);
}

// Whether the space at `end` parts the scorer at `begin` from another one. Paths may have spaces
// too: what can be no scorer's name goes on with the path before it.
static bool parts(const char *begin, const char *end)
{
    const char *word = end + strspn(end, " ");
    size_t n = strcspn(word, "=, "), length = (size_t)(end - begin);
    if (!*word || is_name(begin, length) || is_preset(word, n)) return true;
    return strcspn(begin, "=,") < length && is_name(word, n);
}

// Cuts the first scorer off *text; NULL where there is none.
static char *cut_scorer(char **text)
{
    char *begin = *text + strspn(*text, " ");
    char *end = begin + strcspn(begin, " ");
    while (*end && !parts(begin, end)) {
        end += strspn(end, " ");
        end += strcspn(end, " ");
    }
    *text = *end ? end + 1 : end;
    *end = '\0';
    return *begin ? begin : NULL;
}

bool bdpo_take_scorer(bdpo_scorer_arguments *arguments, bdpo_invocation *invocation)
{
    const char *text = bdpo_option_text(invocation);
    char *rest = text ? bdpo_arena_strdup(invocation->arena, text) : NULL;
    if (!rest) return false;
    for (char *word; (word = cut_scorer(&rest));) {
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

// The folder of the merges, where another program's cache has only what that program needs of a
// tokenizer.
static bool find_merges(char path[BDPO_PATH_BYTES], const char *name)
{
    if (bdpo_fetch_find(path, name, "merges.txt") != BDPO_OK) return false;
    char *slash = strrchr(path, '/');
    if (slash) *slash = '\0';
    return slash != NULL;
}

// A part of what was fetched under the name; NULL where it has none of its own, which is no
// failure.
static const char *part_of(const char *name, bdpo_fetch_role role, bdpo_arena *arena)
{
    char path[BDPO_PATH_BYTES];
    bool found = bdpo_fetch_find_part(path, name, role) == BDPO_OK;
    if (!found && role == BDPO_FETCH_TOKENIZER) found = find_merges(path, name);
    return found ? bdpo_arena_strdup(arena, path) : NULL;
}

static bdpo_status find_files(bdpo_scorer_request *r, bdpo_arena *arena)
{
    char path[BDPO_PATH_BYTES];
    TRY(bdpo_fetch_find_part(path, r->name, BDPO_FETCH_MODEL));
    r->checkpoint = bdpo_arena_strdup(arena, path);
    if (!r->checkpoint) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a path");
    if (!r->tokenizer) r->tokenizer = part_of(r->name, BDPO_FETCH_TOKENIZER, arena);
    return BDPO_OK;
}

bdpo_status bdpo_scorer_arguments_find(bdpo_scorer_arguments *arguments, bdpo_arena *arena)
{
    for (int i = 0; i < arguments->count; i++) {
        bdpo_scorer_request *r = &arguments->at[i];
        if (!bdpo_scorer_preset_find(r->name)) continue;
        if (!r->checkpoint) TRY(find_files(r, arena));
        // A tokenizer is looked for beside the checkpoint first; a backbone lies nowhere else.
        if (!r->backbone) r->backbone = part_of(r->name, BDPO_FETCH_TOWER, arena);
    }
    return BDPO_OK;
}
