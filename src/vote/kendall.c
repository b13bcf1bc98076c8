// Sorting by x, then counting the exchanges that a merge sort by y makes: those are the pairs that
// are ordered oppositely.
#include "vote/kendall.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

typedef struct point {
    double x, y;
} point;

static int compare(double a, double b)
{
    return (a > b) - (a < b);
}

static int compare_points(const void *a, const void *b)
{
    const point *p = a, *q = b;
    int by_x = compare(p->x, q->x);
    return by_x ? by_x : compare(p->y, q->y);
}

static int64_t pairs_of(int64_t n)
{
    return n * (n - 1) / 2;
}

// Of the sorted points: pairs equal in x, and equal in both.
static void count_ties(int64_t *in_x, int64_t *in_both, const point *p, int64_t n)
{
    int64_t first_x = 0, first_both = 0;
    *in_x = *in_both = 0;
    for (int64_t i = 1; i <= n; i++) {
        bool new_x = i == n || p[i].x != p[first_x].x;
        bool new_both = new_x || p[i].y != p[first_both].y;
        if (new_both) *in_both += pairs_of(i - first_both);
        if (new_both) first_both = i;
        if (new_x) *in_x += pairs_of(i - first_x);
        if (new_x) first_x = i;
    }
}

static int64_t count_ties_in_sorted(const double *y, int64_t n)
{
    int64_t ties = 0, first = 0;
    for (int64_t i = 1; i <= n; i++) {
        if (i < n && y[i] == y[first]) continue;
        ties += pairs_of(i - first);
        first = i;
    }
    return ties;
}

// Merges from[begin, middle) and from[middle, end) into `to`; returns how many of the right part
// pass over how many of the left, equal ones not counted.
static int64_t merge(double *to, const double *from, int64_t begin, int64_t middle, int64_t end)
{
    int64_t i = begin, j = middle, k = begin, exchanges = 0;
    while (i < middle && j < end) {
        if (from[j] < from[i]) {
            exchanges += middle - i;
            to[k++] = from[j++];
        } else {
            to[k++] = from[i++];
        }
    }
    while (i < middle) to[k++] = from[i++];
    while (j < end) to[k++] = from[j++];
    return exchanges;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// Sorts y, from the bottom up, by way of `spare`; the sorted values end in *sorted, one of the two.
static int64_t count_exchanges(double **sorted, double *y, double *spare, int64_t n)
{
    int64_t exchanges = 0;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * width)
            exchanges +=
                merge(spare, y, begin, least(begin + width, n), least(begin + 2 * width, n));
        double *swap = y;
        y = spare;
        spare = swap;
    }
    *sorted = y;
    return exchanges;
}

static double tau_b(point *points, double *y, double *spare, int64_t n)
{
    int64_t in_x, in_both;
    qsort(points, (size_t)n, sizeof *points, compare_points);
    count_ties(&in_x, &in_both, points, n);
    for (int64_t i = 0; i < n; i++) y[i] = points[i].y;
    int64_t opposite = count_exchanges(&y, y, spare, n);
    int64_t in_y = count_ties_in_sorted(y, n), all = pairs_of(n);
    if (in_x == all || in_y == all) return NAN;
    double alike_less_opposite = (double)(all - in_x - in_y + in_both - 2 * opposite);
    double tau = alike_less_opposite / sqrt((double)(all - in_x)) / sqrt((double)(all - in_y));
    return fmax(-1, fmin(1, tau)); // the roots are rounded
}

bdpo_status bdpo_kendall_tau_b(double *out, const double *x, const double *y, int64_t n)
{
    *out = NAN;
    if (n < 2) return BDPO_OK;
    BDPO_ASSERT(n <= INT32_MAX);
    point *points = bdpo_alloc((size_t)n, sizeof *points);
    double *sorted = bdpo_alloc((size_t)n, sizeof *sorted);
    double *spare = bdpo_alloc((size_t)n, sizeof *spare);
    bool enough = points && sorted && spare;
    for (int64_t i = 0; enough && i < n; i++) points[i] = (point){x[i], y[i]};
    if (enough) *out = tau_b(points, sorted, spare, n);
    bdpo_free(spare);
    bdpo_free(sorted);
    bdpo_free(points);
    return enough ? BDPO_OK
                  : bdpo_fail(BDPO_NO_MEMORY, "no memory to rank %lld pairs", (long long)n);
}
