// The guided prediction, and the rescaling of its deviation.
#include "diffusion/guidance.h"

#include <math.h>

// PyTorch accumulates the deviation of f32 values in double; rounded to f32, ours is the same
// whatever the order of the sum.
static float deviation(const float *values, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) sum += (double)values[i];
    double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++) {
        double distance = (double)values[i] - mean;
        squares += distance * distance;
    }
    return (float)sqrt(squares / (double)(count - 1));
}

static void rescale_sample(float *guided, const float *cond, size_t count, double rescale)
{
    float ratio = deviation(cond, count) / deviation(guided, count);
    float part = (float)rescale, rest = (float)(1 - rescale);
    for (size_t i = 0; i < count; i++) {
        float rescaled = guided[i] * ratio;
        guided[i] = part * rescaled + rest * guided[i];
    }
}

void bdpo_guidance_combine(float *out, const float *pair, int n_samples, size_t sample_size,
                           double scale, double rescale)
{
    const float factor = (float)scale;
    for (int n = 0; n < n_samples; n++) {
        const float *uncond = pair + (size_t)n * sample_size;
        const float *cond = pair + (size_t)(n_samples + n) * sample_size;
        float *guided = out + (size_t)n * sample_size;
        for (size_t i = 0; i < sample_size; i++)
            guided[i] = uncond[i] + factor * (cond[i] - uncond[i]);
        if (rescale > 0) rescale_sample(guided, cond, sample_size, rescale);
    }
}
