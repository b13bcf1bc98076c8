// Cuts the number off behind the last colon.
#include "cli/lora_argument.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bdpo_status bdpo_lora_argument_parse(bdpo_lora_argument *out, bdpo_arena *arena, const char *text)
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
