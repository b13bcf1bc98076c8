// The formulas, as Pillow writes them: their last bits decide about a level.
#include "formats/image_filter.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming(double x)
{
    x = fabs(x);
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x *= pi;
    return sin(x) / x * ((double)0.54F + (double)0.46F * cos(x)); // floats in Pillow, too
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0) return 1.0;
    x *= pi;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

static const struct {
    double (*at)(double x);
    double support;
} filters[] = {
    [BDPO_FILTER_BOX] = {box, 0.5},         [BDPO_FILTER_BILINEAR] = {bilinear, 1.0},
    [BDPO_FILTER_HAMMING] = {hamming, 1.0}, [BDPO_FILTER_BICUBIC] = {bicubic, 2.0},
    [BDPO_FILTER_LANCZOS] = {lanczos, 3.0},
};

double bdpo_filter_at(bdpo_image_filter filter, double x)
{
    return filters[filter].at(x);
}

double bdpo_filter_support(bdpo_image_filter filter)
{
    return filters[filter].support;
}
