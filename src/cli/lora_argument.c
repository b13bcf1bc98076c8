// Cuts the number off behind the last colon.
#include "cli/lora_argument.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bdpo_status parse(bdpo_lora_argument *out, bdpo_arena *arena, const char *text)
{
    char *path = bdpo_arena_strdup(arena, text), *end = NULL;
    if (!path) return bdpo_fail(BDPO_NO_MEMORY, "no memory for an option");
    char *colon = strrchr(path, ':');
    *out = (bdpo_lora_argument){.path = path, .strength = 1};
    double strength = colon && colon[1] ? strtod(colon + 1, &end) : 1;
    if (end && *end == '\0') {
        *colon = '\0';
        out->strength = strength;
    }
    if (!*path || !isfinite(out->strength))
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "--lora takes FILE or FILE:STRENGTH, the strength a finite number, not %s",
                         text);
    return BDPO_OK;
}

bool bdpo_take_lora(bdpo_lora_arguments *arguments, bdpo_invocation *invocation)
{
    const char *text = bdpo_option_text(invocation);
    if (arguments->count == BDPO_MAX_LORAS) {
        bdpo_usage_error(invocation, "more than %d --lora; merge some first", BDPO_MAX_LORAS);
        return false;
    }
    if (text && parse(&arguments->at[arguments->count], invocation->arena, text) == BDPO_OK)
        return ++arguments->count > 0;
    bdpo_usage_error(invocation, "%s", bdpo_message());
    return false;
}

bdpo_status bdpo_lora_arguments_open(bdpo_lora_source sources[BDPO_MAX_LORAS], int *n,
                                     const bdpo_lora_arguments *arguments)
{
    for (*n = 0; *n < arguments->count; ++*n) {
        sources[*n].strength = arguments->at[*n].strength;
        TRY(bdpo_lora_file_open(&sources[*n].file, arguments->at[*n].path));
    }
    return BDPO_OK;
}

void bdpo_lora_sources_close(bdpo_lora_source *sources, int n)
{
    for (int i = 0; i < n; i++) bdpo_lora_file_close(sources[i].file);
}
