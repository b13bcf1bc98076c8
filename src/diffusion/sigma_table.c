// Timestep spacings (numpy's linspace and arange in double) and the spacings of noise levels.
#include "diffusion/sigma_table.h"

#include <math.h>

// ---- timesteps -----------------------------------------------------------------------------

static int space_linspace(float *out, const bdpo_spacing_options *o)
{
    int n = o->n_steps + o->shorten;
    double step = n > 1 ? (double)(o->last - 1) / (n - 1) : 0;
    for (int i = 0; i < o->n_steps; i++) {
        int k = n - 1 - i; // ascending index
        double t = k > 0 && k == n - 1 ? o->last - 1 : k * step;
        out[i] = (float)(o->whole ? rint(t) : t);
    }
    return o->n_steps;
}

static int space_leading(float *out, const bdpo_spacing_options *o)
{
    int n = o->n_steps + o->shorten, ratio = o->last / n;
    for (int i = 0; i < o->n_steps; i++)
        out[i] = (float)(n - 1 - i) * (float)ratio + (float)o->offset;
    return o->n_steps;
}

// np.arange(last, 0, -step): its difference is that of its first two values.
static int space_trailing(float *out, const bdpo_spacing_options *o)
{
    double last = o->last, step = (double)o->n_train_steps / o->n_steps;
    double difference = last - step - last;
    int n = 0;
    for (; n < o->n_steps; n++) {
        double t = rint(last + n * difference);
        if (t < 1) break;
        out[n] = (float)t - 1;
    }
    return n;
}

int bdpo_space_timesteps(float *out, const bdpo_spacing_options *options)
{
    switch (options->spacing) {
    case BDPO_SPACING_LEADING:
        return space_leading(out, options);
    case BDPO_SPACING_TRAILING:
        return space_trailing(out, options);
    case BDPO_SPACING_LINSPACE:
        return space_linspace(out, options);
    }
    BDPO_BUG("no such spacing: %d", (int)options->spacing);
}

// ---- noise levels --------------------------------------------------------------------------

void bdpo_sigma_levels(float *out, const bdpo_noise_schedule *schedule)
{
    for (int i = 0; i < schedule->n_steps; i++) {
        float a = schedule->alphas_cumprod[i];
        // At 2^-24, which stands for zero SNR, the root lies 1e-11 below the middle of two floats.
        // PyTorch takes the upper one; the sample starts at this scale, so the bit counts.
        out[i] = a == 0x1p-24f ? 4096 : sqrtf((1 - a) / a);
    }
}

double bdpo_sigma_at(const float *levels, int n, double timestep)
{
    if (timestep <= 0) return (double)levels[0];
    if (timestep >= n - 1) return (double)levels[n - 1];
    int low = (int)timestep;
    double a = (double)levels[low], b = (double)levels[low + 1];
    return (b - a) * (timestep - low) + a;
}

double bdpo_sigma_timestep(const float *logs, int n, double sigma)
{
    double log_sigma = log(fmax(sigma, 1e-10));
    int low = 0;
    for (int i = 0; i < n; i++)
        if (log_sigma - (double)logs[i] >= 0) low = i;
    if (low > n - 2) low = n - 2;
    double w = ((double)logs[low] - log_sigma) / (double)(logs[low] - logs[low + 1]);
    w = fmin(fmax(w, 0), 1);
    return (1 - w) * low + w * (low + 1);
}

void bdpo_sigma_karras(double *out, int n, double high, double low)
{
    const double rho = 7;
    double from = pow(high, 1 / rho), to = pow(low, 1 / rho), step = n > 1 ? 1.0 / (n - 1) : 0;
    for (int i = 0; i < n; i++) {
        double ramp = i > 0 && i == n - 1 ? 1 : i * step;
        out[i] = pow(from + ramp * (to - from), rho);
    }
}

void bdpo_sigma_exponential(double *out, int n, double high, double low)
{
    double from = log(high), to = log(low), step = n > 1 ? (to - from) / (n - 1) : 0;
    for (int i = 0; i < n; i++) out[i] = exp(i > 0 && i == n - 1 ? to : i * step + from);
}
