// diffusers' scheduler_config.json: which sampler a model was published with, and its settings.
//
// Every class has its own defaults for the fields that a file leaves out; so a config remembers
// which fields were given, and another class can be put over it as diffusers' from_config does.
#ifndef BDPO_SCHEDULER_CONFIG_H
#define BDPO_SCHEDULER_CONFIG_H

#include "diffusion/noise_schedule.h"

typedef enum bdpo_scheduler_class {
    BDPO_SCHEDULER_DDPM,            // DDPMScheduler
    BDPO_SCHEDULER_DDIM,            // DDIMScheduler
    BDPO_SCHEDULER_PNDM,            // PNDMScheduler
    BDPO_SCHEDULER_EULER,           // EulerDiscreteScheduler
    BDPO_SCHEDULER_EULER_ANCESTRAL, // EulerAncestralDiscreteScheduler
    BDPO_SCHEDULER_HEUN,            // HeunDiscreteScheduler
    BDPO_SCHEDULER_DPM_MULTISTEP,   // DPMSolverMultistepScheduler
} bdpo_scheduler_class;

typedef enum bdpo_timestep_spacing {
    BDPO_SPACING_LEADING,
    BDPO_SPACING_TRAILING,
    BDPO_SPACING_LINSPACE,
} bdpo_timestep_spacing;

typedef enum bdpo_ddpm_variance {
    BDPO_VARIANCE_FIXED_SMALL,
    BDPO_VARIANCE_FIXED_SMALL_LOG,
    BDPO_VARIANCE_FIXED_LARGE,
} bdpo_ddpm_variance;

// The names are those of the file where they differ: field (name). A class reads what concerns it.
typedef struct bdpo_scheduler_config {
    bdpo_scheduler_class scheduler;     // _class_name
    uint64_t given;                     // bit i: field i of the table in scheduler_config.c
    int n_train_steps;                  // num_train_timesteps
    int beta_schedule;                  // a bdpo_beta_schedule
    double beta_start, beta_end;        //
    float *trained_betas;               // [n_train_steps], owned, or NULL
    int prediction;                     // a bdpo_prediction_type
    int spacing;                        // timestep_spacing, a bdpo_timestep_spacing
    int steps_offset;                   // added to the timesteps of leading spacing
    bool zero_terminal_snr;             // rescale_betas_zero_snr
    bool clip_sample;                   // DDPM, DDIM, Heun: the predicted original to +-range
    double clip_sample_range;           //
    bool set_alpha_to_one;              // DDIM, PNDM: past the last step a is 1, else a_0
    bool skip_prk_steps;                // PNDM: no Runge-Kutta steps at the start
    int variance;                       // DDPM: variance_type, a bdpo_ddpm_variance
    bool karras_sigmas;                 // Euler, Heun, DPM: use_karras_sigmas
    bool exponential_sigmas;            // Euler, Heun, DPM: use_exponential_sigmas
    double sigma_min, sigma_max;        // ends for karras and exponential; 0: those of the schedule
    bool log_linear_sigmas;             // Euler: interpolation_type "log_linear", else "linear"
    bool final_sigma_min;               // Euler, DPM: final_sigmas_type "sigma_min", else "zero"
    int solver_order;                   // DPM: 1 or 2
    bool solver_heun;                   // DPM: solver_type "heun", else "midpoint"
    bool lower_order_final;             // DPM
    bool euler_at_final;                // DPM
    double lambda_min_clipped;          // DPM
    bool thresholding;                  // refused when set; the others below have one known value
    bool beta_sigmas, lu_lambdas;       // use_beta_sigmas, use_lu_lambdas
    bool flow_sigmas, dynamic_shifting; // use_flow_sigmas, use_dynamic_shifting
    int algorithm, timestep_type;       // "dpmsolver++", "discrete"
} bdpo_scheduler_config;

// The defaults of a class, nothing given.
void bdpo_scheduler_config_defaults(bdpo_scheduler_config *out, bdpo_scheduler_class scheduler);

// Reads a file, or `size` bytes of one called `file` in messages. Released by
// bdpo_scheduler_config_release(). BDPO_BAD_FILE names file, field, value, and what is known: a
// value that no sampler here implements is refused, not approximated. Unknown fields are ignored,
// as are known ones that do not concern the class.
BDPO_MUST_CHECK bdpo_status bdpo_scheduler_config_read(bdpo_scheduler_config *out,
                                                       const char *path);
BDPO_MUST_CHECK bdpo_status bdpo_scheduler_config_parse(bdpo_scheduler_config *out,
                                                        const char *text, size_t size,
                                                        const char *file);
void bdpo_scheduler_config_release(bdpo_scheduler_config *config);

// Puts another class over the config: given fields that the new class reads keep their values, the
// others get its defaults. BDPO_BAD_ARGUMENT: a given value means something else to the new class
// than we implement; the config is then unchanged.
BDPO_MUST_CHECK bdpo_status bdpo_scheduler_config_change(bdpo_scheduler_config *config,
                                                         bdpo_scheduler_class scheduler);

// The same by a name of the command line: ddpm, ddim, pndm, euler, euler-ancestral, heun,
// dpmpp-2m, dpmpp-2m-karras. BDPO_BAD_ARGUMENT lists the names.
BDPO_MUST_CHECK bdpo_status bdpo_scheduler_config_select(bdpo_scheduler_config *config,
                                                         const char *name);
// Name i of those, NULL past the last.
const char *bdpo_sampler_name(int i);
const char *bdpo_scheduler_class_name(bdpo_scheduler_class scheduler);

// The noise schedule of the config. Where a sampler divides by alphas_cumprod, diffusers replaces
// the zero of a zero terminal SNR by 2^-24 in its classes of sigmas; so does this.
BDPO_MUST_CHECK bdpo_status bdpo_scheduler_config_schedule(bdpo_noise_schedule *out,
                                                           const bdpo_scheduler_config *config);

#endif
