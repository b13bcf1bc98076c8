// Edit distance in one row.
#include "base/nearest.h"

#include <limits.h>
#include <string.h>

enum { LONGEST = 63 };

int bdpo_word_distance(const char *word, const char *typed)
{
    int row[LONGEST + 1];
    size_t n_word = strlen(word), n_typed = strlen(typed);
    if (n_word > LONGEST || n_typed > LONGEST) return INT_MAX;
    if (n_typed > 0 && strncmp(word, typed, n_typed) == 0) return 0;
    int n = (int)n_word;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 0; i < (int)n_typed; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int j = 0; j < n; j++) {
            int best = diagonal + (typed[i] != word[j]);
            diagonal = row[j + 1];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (diagonal + 1 < best) best = diagonal + 1;
            row[j + 1] = best;
        }
    }
    return row[n];
}

int bdpo_nearest_word(const char *const *words, int n, const char *typed)
{
    int nearest = n > 0 ? 0 : -1, least = INT_MAX;
    for (int i = 0; i < n; i++) {
        int d = bdpo_word_distance(words[i], typed);
        if (d >= least) continue;
        least = d;
        nearest = i;
    }
    return nearest;
}
