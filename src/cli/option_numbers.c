// strtol and its kin, without their leniency.
#include "cli/option_numbers.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// A whole number from the text's beginning; *end points behind it. No spaces, no plus.
static bool read_int(int64_t *out, const char *text, char **end)
{
    if (!isdigit((unsigned char)text[*text == '-'])) return false;
    errno = 0;
    *out = strtoll(text, end, 10);
    return errno == 0;
}

bool bdpo_option_int(int *out, bdpo_invocation *invocation, const char *name, int least, int most)
{
    const char *text = bdpo_option_text(invocation);
    char *end;
    int64_t value;
    if (text && read_int(&value, text, &end) && !*end && value >= least && value <= most) {
        *out = (int)value;
        return true;
    }
    bdpo_usage_error(invocation, "%s is \"%s\", expected a whole number from %d to %d", name,
                     text ? text : "", least, most);
    return false;
}

bool bdpo_option_seed(uint64_t *out, bdpo_invocation *invocation, const char *name)
{
    const char *text = bdpo_option_text(invocation);
    char *end;
    int64_t value;
    if (text && read_int(&value, text, &end) && !*end && value >= 0) {
        *out = (uint64_t)value;
        return true;
    }
    bdpo_usage_error(invocation, "%s is \"%s\", expected a whole number from 0 to %" PRId64, name,
                     text ? text : "", INT64_MAX);
    return false;
}

bool bdpo_option_double(double *out, bdpo_invocation *invocation, const char *name, double least,
                        double most)
{
    const char *text = bdpo_option_text(invocation);
    char *end;
    if (text && *text && !isspace((unsigned char)*text)) {
        double value = strtod(text, &end);
        if (!*end && value >= least && value <= most) { // refuses a NaN
            *out = value;
            return true;
        }
    }
    bdpo_usage_error(invocation, "%s is \"%s\", expected a number from %g to %g", name,
                     text ? text : "", least, most);
    return false;
}

bool bdpo_option_pair(int *first, int *second, bdpo_invocation *invocation, const char *name,
                      int least, int most)
{
    const char *text = bdpo_option_text(invocation);
    char *middle, *end;
    int64_t a, b;
    if (text && read_int(&a, text, &middle) && *middle == 'x' && read_int(&b, middle + 1, &end) &&
        !*end && a >= least && a <= most && b >= least && b <= most) {
        *first = (int)a;
        *second = (int)b;
        return true;
    }
    bdpo_usage_error(invocation, "%s is \"%s\", expected two numbers from %d to %d, as 512x768",
                     name, text ? text : "", least, most);
    return false;
}

bool bdpo_option_word(int *out, bdpo_invocation *invocation, const char *name,
                      const char *const *words)
{
    const char *text = bdpo_option_text(invocation);
    char list[256] = "";
    for (int i = 0; words[i]; i++) {
        if (text && strcmp(words[i], text) == 0) {
            *out = i;
            return true;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
    }
    bdpo_usage_error(invocation, "%s is \"%s\", expected one of %s", name, text ? text : "", list);
    return false;
}
