// diffusion/scheduler_config: defaults of each class, refusals, and one class put over another.
#include "diffusion/scheduler_config.h"

#include "base/memory.h"
#include "harness.h"

static bdpo_scheduler_config parse(const char *text)
{
    bdpo_scheduler_config config;
    CHECK_OK(bdpo_scheduler_config_parse(&config, text, strlen(text), "test.json"));
    return config;
}

// SDXL's file as it is published: fields of other classes stand in it.
static const char sdxl[] =
    "{\"_class_name\": \"EulerDiscreteScheduler\", \"_diffusers_version\": \"0.19.0.dev0\","
    " \"beta_end\": 0.012, \"beta_schedule\": \"scaled_linear\", \"beta_start\": 0.00085,"
    " \"clip_sample\": false, \"interpolation_type\": \"linear\", \"num_train_timesteps\": 1000,"
    " \"prediction_type\": \"epsilon\", \"sample_max_value\": 1.0, \"set_alpha_to_one\": false,"
    " \"skip_prk_steps\": true, \"steps_offset\": 1, \"timestep_spacing\": \"leading\","
    " \"trained_betas\": null, \"use_karras_sigmas\": false}";

BDPO_TEST(published_file_is_read)
{
    bdpo_scheduler_config c = parse(sdxl);
    CHECK_INT(c.scheduler, BDPO_SCHEDULER_EULER);
    CHECK_INT(c.n_train_steps, 1000);
    CHECK_INT(c.beta_schedule, BDPO_BETAS_SCALED_LINEAR);
    CHECK_NEAR(c.beta_start, 0.00085, 0);
    CHECK_NEAR(c.beta_end, 0.012, 0);
    CHECK_INT(c.spacing, BDPO_SPACING_LEADING);
    CHECK_INT(c.steps_offset, 1);
    CHECK(!c.karras_sigmas && !c.log_linear_sigmas && c.trained_betas == NULL);
}

BDPO_TEST(absent_fields_have_the_defaults_of_the_class)
{
    bdpo_scheduler_config c = parse("{\"_class_name\": \"DDIMScheduler\"}");
    CHECK(c.clip_sample && c.set_alpha_to_one && c.spacing == BDPO_SPACING_LEADING);
    c = parse("{\"_class_name\": \"PNDMScheduler\"}");
    CHECK(!c.clip_sample && !c.set_alpha_to_one && !c.skip_prk_steps);
    c = parse("{\"_class_name\": \"DPMSolverMultistepScheduler\"}");
    CHECK(c.solver_order == 2 && c.lower_order_final && c.spacing == BDPO_SPACING_LINSPACE);
    CHECK_NEAR(c.beta_end, 0.02, 0);
    c = parse("{\"_class_name\": \"HeunDiscreteScheduler\"}");
    CHECK_NEAR(c.beta_end, 0.012, 0);
}

BDPO_TEST(another_class_takes_what_was_given_and_its_own_defaults)
{
    bdpo_scheduler_config c = parse(sdxl);
    CHECK_OK(bdpo_scheduler_config_select(&c, "ddim"));
    CHECK_INT(c.scheduler, BDPO_SCHEDULER_DDIM);
    CHECK(!c.clip_sample && !c.set_alpha_to_one); // given, though Euler does not read them
    CHECK_INT(c.spacing, BDPO_SPACING_LEADING);
    c = parse("{\"_class_name\": \"DDIMScheduler\", \"steps_offset\": 1}");
    CHECK_OK(bdpo_scheduler_config_select(&c, "dpmpp-2m-karras"));
    CHECK_INT(c.spacing, BDPO_SPACING_LINSPACE); // absent: the new class's own
    CHECK(c.steps_offset == 1 && c.karras_sigmas);
    CHECK_OK(bdpo_scheduler_config_select(&c, "dpmpp-2m"));
    CHECK(!c.karras_sigmas);
}

// As in from_config, a field that only the old class reads does not come back later.
BDPO_TEST(fields_of_the_old_class_alone_are_dropped)
{
    bdpo_scheduler_config c = parse("{\"_class_name\": \"EulerDiscreteScheduler\", \"sigma_min\": "
                                    "0.1, \"skip_prk_steps\": true}");
    CHECK_OK(bdpo_scheduler_config_change(&c, BDPO_SCHEDULER_HEUN));
    CHECK_NEAR(c.sigma_min, 0, 0);
    CHECK_OK(bdpo_scheduler_config_change(&c, BDPO_SCHEDULER_PNDM));
    CHECK(c.skip_prk_steps);
}

BDPO_TEST(trained_betas_survive_a_change)
{
    bdpo_scheduler_config c =
        parse("{\"_class_name\": \"DDPMScheduler\", \"num_train_timesteps\": 3,"
              " \"trained_betas\": [0.1, 0.2, 0.3]}");
    bdpo_noise_schedule s;
    CHECK_OK(bdpo_scheduler_config_change(&c, BDPO_SCHEDULER_EULER));
    CHECK_OK(bdpo_scheduler_config_schedule(&s, &c));
    CHECK_NEAR((double)s.alphas_cumprod[2], 0.9 * 0.8 * 0.7, 1e-7); // roundings of f32 betas
    bdpo_noise_schedule_release(&s);
    bdpo_scheduler_config_release(&c);
}

BDPO_TEST(every_sampler_name_selects)
{
    int n = 0;
    for (; bdpo_sampler_name(n); n++) {
        bdpo_scheduler_config c = parse(sdxl);
        CHECK_OK(bdpo_scheduler_config_select(&c, bdpo_sampler_name(n)));
    }
    CHECK_INT(n, 8);
    bdpo_scheduler_config c = parse(sdxl);
    CHECK_STATUS(bdpo_scheduler_config_select(&c, "lms"), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(),
                   "sampler \"lms\" is not known; expected one of ddpm, ddim, pndm,");
    CHECK_CONTAINS(bdpo_message(), "dpmpp-2m-karras");
}

// Python writes minus infinity so; inside a string it is left alone.
BDPO_TEST(minus_infinity_is_read)
{
    bdpo_scheduler_config c =
        parse("{\"note\": \"\\\"-Infinity\", \"_class_name\": \"DPMSolverMultistepScheduler\","
              " \"lambda_min_clipped\": -Infinity, \"variance_type\": null}");
    CHECK_LE(c.lambda_min_clipped, -1e300);
}

#define CLASS(name, rest) "{\"_class_name\": \"" name "Scheduler\"" rest "}"

BDPO_TEST(bad_files_are_refused_in_one_line)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "test.json: line 1, column 0"},
        {"{\"_class_name\": ", "expected JSON"},
        {"[1]", "test.json: a list; expected an object"},
        {"{}", "test.json: no field _class_name"},
        {CLASS("LMSDiscrete", ""), "_class_name is \"LMSDiscreteScheduler\"; expected one of DDPM"},
        {"{\"_class_name\": 3}", "_class_name is 3; expected one of"},
        {CLASS("DDIM", ", \"beta_schedule\": \"sigmoid\""),
         "test.json: beta_schedule is \"sigmoid\"; expected one of linear, scaled_linear, "
         "squaredcos_cap_v2"},
        {CLASS("DDIM", ", \"prediction_type\": \"flow\""), "expected one of epsilon, v_prediction"},
        {CLASS("PNDM", ", \"prediction_type\": \"sample\""), "expected epsilon or v_prediction"},
        {CLASS("DDIM", ", \"timestep_spacing\": 1"),
         "timestep_spacing is 1; expected one of leading"},
        {CLASS("DDIM", ", \"num_train_timesteps\": 1e3"),
         "num_train_timesteps is 1000.0; expected a"},
        {CLASS("DDIM", ", \"num_train_timesteps\": 0"), "expected a whole number from 1 to 100000"},
        {CLASS("DDIM", ", \"steps_offset\": -1"), "steps_offset is -1; expected a whole number"},
        {CLASS("DDIM", ", \"beta_start\": \"x\""), "beta_start is \"x\"; expected a number from 0"},
        {CLASS("DDIM", ", \"thresholding\": true"), "thresholding is true; expected false"},
        {CLASS("DDIM", ", \"clip_sample\": 1"), "clip_sample is 1; expected true or false"},
        {CLASS("DDPM", ", \"variance_type\": \"learned\""), "expected one of fixed_small"},
        {CLASS("DDPM", ", \"trained_betas\": [0.1]"),
         "has 1 numbers; expected num_train_timesteps"},
        {CLASS("DDPM", ", \"trained_betas\": [0.1, \"x\"]"), "trained_betas[1] is 0 or no number"},
        {CLASS("DDPM", ", \"trained_betas\": []"), "expected null or a list of numbers"},
        {CLASS("EulerDiscrete", ", \"timestep_type\": \"continuous\""), "expected one of discrete"},
        {CLASS("EulerDiscrete", ", \"use_beta_sigmas\": true"),
         "use_beta_sigmas is true; expected"},
        {CLASS("HeunDiscrete", ", \"use_karras_sigmas\": true, \"use_exponential_sigmas\": true"),
         "both true; expected at most one"},
        {CLASS("DPMSolverMultistep", ", \"algorithm_type\": \"sde-dpmsolver++\""),
         "algorithm_type is \"sde-dpmsolver++\"; expected one of dpmsolver++"},
        {CLASS("DPMSolverMultistep", ", \"solver_order\": 3"),
         "expected a whole number from 1 to 2"},
        {CLASS("DPMSolverMultistep", ", \"use_lu_lambdas\": true"), "use_lu_lambdas is true"},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        bdpo_scheduler_config c;
        const char *text = cases[i].text;
        CHECK_STATUS(bdpo_scheduler_config_parse(&c, text, strlen(text), "test.json"),
                     BDPO_BAD_FILE);
        CHECK_CONTAINS(bdpo_message(), cases[i].message);
        CHECK(strchr(bdpo_message(), '\n') == NULL);
    }
}

// What does not concern the class cannot stop its file, but stops a class that it does concern.
BDPO_TEST(foreign_values_wait_for_their_class)
{
    bdpo_scheduler_config c = parse(CLASS("EulerDiscrete", ", \"thresholding\": true,"
                                                           " \"solver_type\": \"bh2\""));
    CHECK_STATUS(bdpo_scheduler_config_select(&c, "ddim"), BDPO_BAD_ARGUMENT);
    CHECK_CONTAINS(bdpo_message(), "DDIMScheduler: thresholding is true; expected false");
    CHECK_INT(c.scheduler, BDPO_SCHEDULER_EULER);
    CHECK_OK(bdpo_scheduler_config_select(&c, "heun"));
}

BDPO_TEST(missing_file_is_named)
{
    bdpo_scheduler_config c;
    CHECK_STATUS(bdpo_scheduler_config_read(&c, "/nonexistent/scheduler_config.json"),
                 BDPO_NOT_FOUND);
    CHECK_CONTAINS(bdpo_message(), "/nonexistent/scheduler_config.json");
}

BDPO_TEST(config_without_memory_is_reported)
{
    static const char text[] =
        CLASS("DDPM", ", \"num_train_timesteps\": 1, \"trained_betas\": [0.1]");
    for (uint64_t n = 1; n <= 2; n++) {
        bdpo_scheduler_config c;
        bdpo_alloc_fail_at(bdpo_alloc_count() + n);
        CHECK_STATUS(bdpo_scheduler_config_parse(&c, text, strlen(text), "x"), BDPO_NO_MEMORY);
    }
}
