// Which timesteps a run visits, and the noise levels there: numpy's rounding rules, which decide
// whether a timestep is 499 or 500.
#ifndef BDPO_SIGMA_TABLE_H
#define BDPO_SIGMA_TABLE_H

#include "diffusion/scheduler_config.h"

typedef struct bdpo_spacing_options {
    bdpo_timestep_spacing spacing;
    int n_train_steps;
    int last;     // timesteps lie below this: n_train_steps, or less where noise is clipped
    int n_steps;  // at least 1
    int offset;   // added in leading spacing
    bool whole;   // round those of linspace, half to even
    bool shorten; // DPM: leading and linspace make one more and leave the lowest out
} bdpo_spacing_options;

// Descending timesteps; returns how many: n_steps, or fewer in trailing spacing below
// n_train_steps. For 62 of the counts up to 1000 numpy's arange has one more, which would be
// timestep -1: left out.
int bdpo_space_timesteps(float *out, const bdpo_spacing_options *options);

// Levels sqrt((1 - a) / a) of a schedule, f32; out has schedule->n_steps values.
void bdpo_sigma_levels(float *out, const bdpo_noise_schedule *schedule);

// The level at a timestep, between two of the table `levels` of n by linear interpolation.
double bdpo_sigma_at(const float *levels, int n, double timestep);

// The timestep of a level: linear in the logarithm. `logs` are those of the levels, ascending.
double bdpo_sigma_timestep(const float *logs, int n, double sigma);

// n levels from high to low, spaced as Karras et al. 2022 do (rho = 7), or evenly in the logarithm.
void bdpo_sigma_karras(double *out, int n, double high, double low);
void bdpo_sigma_exponential(double *out, int n, double high, double low);

#endif
