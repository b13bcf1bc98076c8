// The comparison of reward_compare.h.
#include "scorers/reward_compare.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "harness.h"

// What the product promises, of the score. A score near 0 is the difference of larger numbers, the
// model's and its shift: it counts as large as scores differ.
static const double promised = 1e-4;

static double deviation_of(const float *scores, size_t n)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += (double)scores[i];
    for (size_t i = 0; i < n; i++) squares += pow((double)scores[i] - sum / (double)n, 2);
    return sqrt(squares / (double)n);
}

// Pairs whose order differs.
static int count_turned(const bdpo_score *actual, const float *expected, size_t n)
{
    int turned = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            double apart = (double)expected[i] - (double)expected[j];
            double ours = actual[i].value - actual[j].value;
            // A pair that the package itself, in f32, tells apart by less is a tie to it.
            if (fabs(apart) > 1e-6) turned += !(ours * apart > 0);
        }
    return turned;
}

void reward_compare(const fixture *f, const bdpo_score *scores, size_t n_prompts)
{
    size_t n = fixture_count(f) * n_prompts;
    float *expected = bdpo_alloc(n, sizeof *expected);
    CHECK(expected != NULL);
    for (size_t i = 0; i < n; i += n_prompts)
        memcpy(expected + i, fixture_get(f, fixture_key(f, i / n_prompts), n_prompts),
               n_prompts * sizeof *expected);
    double worst = 0, least = deviation_of(expected, n);
    for (size_t i = 0; i < n; i++) {
        const char *name = fixture_key(f, i / n_prompts);
        double wanted = (double)expected[i];
        double error = fabs(scores[i].value - wanted) / fmax(fabs(wanted), least);
        if (scores[i].reason) FAIL("%s: no score: %s", name, scores[i].reason);
        if (!(error <= promised))
            FAIL("%s, prompt %zu: %.7f, expected %.7f", name, i % n_prompts, scores[i].value,
                 wanted);
        worst = fmax(worst, error);
    }
    printf("        %zu scores, largest relative difference %.1e\n", n, worst);
    CHECK_INT(count_turned(scores, expected, n), 0);
    bdpo_free(expected);
}
