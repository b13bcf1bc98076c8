// Reading scheduler_config.json by one table of fields, and changing the class over it.
#include "diffusion/scheduler_config.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

// ---- classes and fields --------------------------------------------------------------------

static const char *const class_names[] = {
    [BDPO_SCHEDULER_DDPM] = "DDPMScheduler",
    [BDPO_SCHEDULER_DDIM] = "DDIMScheduler",
    [BDPO_SCHEDULER_PNDM] = "PNDMScheduler",
    [BDPO_SCHEDULER_EULER] = "EulerDiscreteScheduler",
    [BDPO_SCHEDULER_EULER_ANCESTRAL] = "EulerAncestralDiscreteScheduler",
    [BDPO_SCHEDULER_HEUN] = "HeunDiscreteScheduler",
    [BDPO_SCHEDULER_DPM_MULTISTEP] = "DPMSolverMultistepScheduler",
};

// Classes as bits, to say who reads a field.
enum {
    DDPM = 1 << BDPO_SCHEDULER_DDPM,
    DDIM = 1 << BDPO_SCHEDULER_DDIM,
    PNDM = 1 << BDPO_SCHEDULER_PNDM,
    EULER = 1 << BDPO_SCHEDULER_EULER,
    ANCESTRAL = 1 << BDPO_SCHEDULER_EULER_ANCESTRAL,
    HEUN = 1 << BDPO_SCHEDULER_HEUN,
    DPM = 1 << BDPO_SCHEDULER_DPM_MULTISTEP,
    ALL = DDPM | DDIM | PNDM | EULER | ANCESTRAL | HEUN | DPM,
    SIGMAS = EULER | HEUN | DPM,
};

typedef enum field_type {
    INTEGER,
    NUMBER,
    FLAG,        // null counts as false
    REFUSED,     // a flag that must be false for the classes that read it
    WORD,        // an int: the index in `words`
    WORD_FLAG,   // a bool: the index in `words`, of two
    NUMBER_LIST, // trained_betas
} field_type;

typedef struct field {
    const char *name;
    unsigned readers; // classes whose constructor takes the field
    field_type type;
    size_t offset;
    const char *const *words; // ends with NULL
    double min, max;          // of numbers
} field;

static const char *const beta_words[] = {"linear", "scaled_linear", "squaredcos_cap_v2", NULL};
static const char *const prediction_words[] = {"epsilon", "v_prediction", "sample", NULL};
static const char *const spacing_words[] = {"leading", "trailing", "linspace", NULL};
static const char *const variance_words[] = {"fixed_small", "fixed_small_log", "fixed_large", NULL};
static const char *const interpolation_words[] = {"linear", "log_linear", NULL};
static const char *const final_words[] = {"zero", "sigma_min", NULL};
static const char *const solver_words[] = {"midpoint", "heun", NULL};
static const char *const algorithm_words[] = {"dpmsolver++", NULL};
static const char *const timestep_words[] = {"discrete", NULL};

// The order is that of the bits of `given`.
static const field fields[] = {
#define AT(member) offsetof(bdpo_scheduler_config, member)
    {"num_train_timesteps", ALL, INTEGER, AT(n_train_steps), NULL, 1, BDPO_MAX_TRAIN_STEPS},
    {"beta_start", ALL, NUMBER, AT(beta_start), NULL, 0, 1},
    {"beta_end", ALL, NUMBER, AT(beta_end), NULL, 0, 1},
    {"beta_schedule", ALL, WORD, AT(beta_schedule), beta_words, 0, 0},
    {"trained_betas", ALL, NUMBER_LIST, AT(trained_betas), NULL, 0, 1},
    {"prediction_type", ALL, WORD, AT(prediction), prediction_words, 0, 0},
    {"timestep_spacing", ALL, WORD, AT(spacing), spacing_words, 0, 0},
    {"steps_offset", ALL, INTEGER, AT(steps_offset), NULL, 0, BDPO_MAX_TRAIN_STEPS},
    {"rescale_betas_zero_snr", ALL & ~(PNDM | HEUN), FLAG, AT(zero_terminal_snr), NULL, 0, 0},
    {"clip_sample", DDPM | DDIM | HEUN, FLAG, AT(clip_sample), NULL, 0, 0},
    {"clip_sample_range", DDPM | DDIM | HEUN, NUMBER, AT(clip_sample_range), NULL, 0, 1e6},
    {"set_alpha_to_one", DDIM | PNDM, FLAG, AT(set_alpha_to_one), NULL, 0, 0},
    {"skip_prk_steps", PNDM, FLAG, AT(skip_prk_steps), NULL, 0, 0},
    {"variance_type", DDPM, WORD, AT(variance), variance_words, 0, 0},
    {"use_karras_sigmas", SIGMAS, FLAG, AT(karras_sigmas), NULL, 0, 0},
    {"use_exponential_sigmas", SIGMAS, FLAG, AT(exponential_sigmas), NULL, 0, 0},
    {"sigma_min", EULER, NUMBER, AT(sigma_min), NULL, 0, 1e6},
    {"sigma_max", EULER, NUMBER, AT(sigma_max), NULL, 0, 1e6},
    {"interpolation_type", EULER, WORD_FLAG, AT(log_linear_sigmas), interpolation_words, 0, 0},
    {"final_sigmas_type", EULER | DPM, WORD_FLAG, AT(final_sigma_min), final_words, 0, 0},
    {"solver_order", DPM, INTEGER, AT(solver_order), NULL, 1, 2},
    {"solver_type", DPM, WORD_FLAG, AT(solver_heun), solver_words, 0, 0},
    {"lower_order_final", DPM, FLAG, AT(lower_order_final), NULL, 0, 0},
    {"euler_at_final", DPM, FLAG, AT(euler_at_final), NULL, 0, 0},
    {"lambda_min_clipped", DPM, NUMBER, AT(lambda_min_clipped), NULL, -INFINITY, 1e6},
    {"thresholding", DDPM | DDIM | DPM, REFUSED, AT(thresholding), NULL, 0, 0},
    {"use_beta_sigmas", SIGMAS, REFUSED, AT(beta_sigmas), NULL, 0, 0},
    {"use_lu_lambdas", DPM, REFUSED, AT(lu_lambdas), NULL, 0, 0},
    {"use_flow_sigmas", DPM, REFUSED, AT(flow_sigmas), NULL, 0, 0},
    {"use_dynamic_shifting", DPM, REFUSED, AT(dynamic_shifting), NULL, 0, 0},
    {"algorithm_type", DPM, WORD, AT(algorithm), algorithm_words, 0, 0},
    {"timestep_type", EULER, WORD, AT(timestep_type), timestep_words, 0, 0},
#undef AT
};
enum { N_FIELDS = BDPO_COUNTOF(fields) };
_Static_assert(N_FIELDS <= 64, "`given` has a bit for each field");

static const size_t type_sizes[] = {
    [INTEGER] = sizeof(int),        [NUMBER] = sizeof(double), [FLAG] = sizeof(bool),
    [REFUSED] = sizeof(bool),       [WORD] = sizeof(int),      [WORD_FLAG] = sizeof(bool),
    [NUMBER_LIST] = sizeof(float *)};

static void *member(bdpo_scheduler_config *config, const field *f)
{
    return (char *)config + f->offset;
}

static bool reads(bdpo_scheduler_class scheduler, const field *f)
{
    return f->readers >> scheduler & 1u;
}

const char *bdpo_scheduler_class_name(bdpo_scheduler_class scheduler)
{
    return class_names[scheduler];
}

void bdpo_scheduler_config_defaults(bdpo_scheduler_config *out, bdpo_scheduler_class scheduler)
{
    unsigned bit = 1u << scheduler;
    *out = (bdpo_scheduler_config){
        .scheduler = scheduler,
        .n_train_steps = 1000,
        .beta_schedule = BDPO_BETAS_LINEAR,
        .beta_start = bit & HEUN ? 0.00085 : 0.0001,
        .beta_end = bit & HEUN ? 0.012 : 0.02,
        .prediction = BDPO_PREDICT_EPSILON,
        .spacing = bit & (DDPM | DDIM | PNDM) ? BDPO_SPACING_LEADING : BDPO_SPACING_LINSPACE,
        .clip_sample = bit & (DDPM | DDIM),
        .clip_sample_range = 1,
        .set_alpha_to_one = bit & DDIM,
        .solver_order = 2,
        .lower_order_final = true,
        .lambda_min_clipped = -INFINITY,
    };
}

void bdpo_scheduler_config_release(bdpo_scheduler_config *config)
{
    bdpo_free(config->trained_betas);
    config->trained_betas = NULL;
}

// ---- reading a value -----------------------------------------------------------------------

// "a, b, c" of a list that ends with NULL.
static const char *join(char *out, size_t size, const char *const *words)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; words[i] && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", words[i]);
    return out;
}

// The refusal of a value, which is shown as JSON, cut where it is long.
static bdpo_status refuse(const char *file, const char *name, const json_t *value,
                          const char *expected)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    bdpo_status status = bdpo_fail(BDPO_BAD_FILE, "%s: %s is %.80s; expected %s", file, name,
                                   text ? text : "?", expected);
    free(text);
    return status;
}

static bdpo_status refuse_word(const char *file, const field *f, const json_t *value)
{
    char known[128], expected[160];
    snprintf(expected, sizeof expected, "one of %s", join(known, sizeof known, f->words));
    return refuse(file, f->name, value, expected);
}

static bdpo_status read_number(void *out, const field *f, const json_t *value, const char *file)
{
    double number = json_number_value(value);
    bool whole = f->type == INTEGER;
    if (!(whole ? json_is_integer(value) : json_is_number(value)) ||
        !(number >= f->min && number <= f->max)) {
        char expected[96];
        snprintf(expected, sizeof expected, "a %snumber from %g to %g", whole ? "whole " : "",
                 f->min, f->max);
        return refuse(file, f->name, value, expected);
    }
    if (whole)
        *(int *)out = (int)number;
    else
        *(double *)out = number;
    return BDPO_OK;
}

static bdpo_status read_list(float **out, const field *f, const json_t *value, const char *file)
{
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n < 1 || n > BDPO_MAX_TRAIN_STEPS)
        return refuse(file, f->name, value, "null or a list of numbers");
    float *list = bdpo_alloc(n, sizeof *list);
    if (!list) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for %s", file, f->name);
    for (size_t i = 0; i < n; i++) {
        double number = json_number_value(json_array_get(value, i));
        list[i] = (float)number;
        if (!(number > f->min && number <= f->max)) {
            bdpo_free(list);
            return bdpo_fail(BDPO_BAD_FILE,
                             "%s: %s[%zu] is %g or no number; expected above %g, at most %g", file,
                             f->name, i, number, f->min, f->max);
        }
    }
    *out = list;
    return BDPO_OK;
}

static bdpo_status read_flag(bool *out, const field *f, const json_t *value, const char *file)
{
    if (!json_is_boolean(value)) return refuse(file, f->name, value, "true or false");
    *out = json_is_true(value);
    return BDPO_OK;
}

static bdpo_status read_word(void *out, const field *f, const json_t *value, const char *file)
{
    const char *text = json_string_value(value);
    for (int i = 0; text && f->words[i]; i++) {
        if (strcmp(text, f->words[i]) != 0) continue;
        if (f->type == WORD)
            *(int *)out = i;
        else
            *(bool *)out = i != 0;
        return BDPO_OK;
    }
    return refuse_word(file, f, value);
}

static bdpo_status read_field(bdpo_scheduler_config *config, const field *f, const json_t *value,
                              const char *file)
{
    void *out = member(config, f);
    switch (f->type) {
    case INTEGER:
    case NUMBER:
        return read_number(out, f, value, file);
    case FLAG:
    case REFUSED:
        return read_flag(out, f, value, file);
    case WORD:
    case WORD_FLAG:
        return read_word(out, f, value, file);
    case NUMBER_LIST:
        return read_list(out, f, value, file);
    }
    BDPO_BUG("field %s has no type", f->name);
}

// ---- what a class does not know ------------------------------------------------------------

static bdpo_status check_class(const bdpo_scheduler_config *c, const char *file, bdpo_status kind)
{
    const char *name = class_names[c->scheduler];
    unsigned bit = 1u << c->scheduler;
    for (size_t i = 0; i < N_FIELDS; i++)
        if (fields[i].type == REFUSED && reads(c->scheduler, &fields[i]) &&
            *(const bool *)((const char *)c + fields[i].offset))
            return bdpo_fail(kind, "%s: %s is true; expected false: the other is not implemented",
                             file, fields[i].name);
    if (c->prediction == BDPO_PREDICT_SAMPLE && bit & (PNDM | ANCESTRAL))
        return bdpo_fail(kind,
                         "%s: prediction_type is \"sample\"; expected epsilon or v_prediction, "
                         "which %s knows",
                         file, name);
    if (bit & SIGMAS && c->karras_sigmas && c->exponential_sigmas)
        return bdpo_fail(kind,
                         "%s: use_karras_sigmas and use_exponential_sigmas are both true; expected "
                         "at most one",
                         file);
    if (c->sigma_max > 0 && c->sigma_min > c->sigma_max)
        return bdpo_fail(kind, "%s: sigma_min is %g, above sigma_max, which is %g", file,
                         c->sigma_min, c->sigma_max);
    return BDPO_OK;
}

static bdpo_status read_class(bdpo_scheduler_class *out, const json_t *root, const char *file)
{
    const json_t *value = json_object_get(root, "_class_name");
    if (!value)
        return bdpo_fail(BDPO_BAD_FILE, "%s: no field _class_name; is it a scheduler_config.json?",
                         file);
    const char *name = json_string_value(value);
    for (size_t i = 0; name && i < BDPO_COUNTOF(class_names); i++)
        if (strcmp(name, class_names[i]) == 0) {
            *out = (bdpo_scheduler_class)i;
            return BDPO_OK;
        }
    return refuse(file, "_class_name", value,
                  "one of DDPMScheduler, DDIMScheduler, PNDMScheduler, EulerDiscreteScheduler, "
                  "EulerAncestralDiscreteScheduler, HeunDiscreteScheduler, "
                  "DPMSolverMultistepScheduler");
}

static bdpo_status read_fields(bdpo_scheduler_config *out, const json_t *root, const char *file)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        const json_t *value = json_object_get(root, fields[i].name);
        if (!value || json_is_null(value)) continue; // null is Python's None: nothing chosen
        bdpo_status status = read_field(out, &fields[i], value, file);
        if (status == BDPO_OK)
            out->given |= (uint64_t)1 << i;
        else if (status == BDPO_NO_MEMORY || reads(out->scheduler, &fields[i]))
            return status;
    }
    const json_t *list = json_object_get(root, "trained_betas");
    if (out->trained_betas && json_array_size(list) != (size_t)out->n_train_steps)
        return bdpo_fail(BDPO_BAD_FILE,
                         "%s: trained_betas has %zu numbers; expected num_train_timesteps, %d",
                         file, json_array_size(list), out->n_train_steps);
    return check_class(out, file, BDPO_BAD_FILE);
}

// ---- the file ------------------------------------------------------------------------------

// Python writes the default of lambda_min_clipped as -Infinity, which is not JSON. A number below
// all values takes its place in the copy, of the same length, outside strings.
static void replace_infinity(char *text, size_t size)
{
    static const char from[] = "-Infinity", to[] = "-1e308   ";
    enum { LENGTH = sizeof from - 1 };
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\\' && in_string)
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && size - i >= LENGTH && memcmp(text + i, from, LENGTH) == 0)
            memcpy(text + i, to, LENGTH);
    }
}

static bdpo_status load_json(json_t **out, const char *text, size_t size, const char *file)
{
    char *copy = bdpo_alloc(size + 1, 1);
    if (!copy) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for %zu bytes", file, size);
    if (size > 0) memcpy(copy, text, size);
    replace_infinity(copy, size);
    json_error_t error;
    *out = json_loadb(copy, size, 0, &error);
    bdpo_free(copy);
    if (!*out)
        return bdpo_fail(BDPO_BAD_FILE, "%s: line %d, column %d: %s; expected JSON", file,
                         error.line, error.column, error.text);
    if (json_is_object(*out)) return BDPO_OK;
    json_decref(*out);
    return bdpo_fail(BDPO_BAD_FILE, "%s: a list; expected an object with _class_name", file);
}

bdpo_status bdpo_scheduler_config_parse(bdpo_scheduler_config *out, const char *text, size_t size,
                                        const char *file)
{
    json_t *root = NULL;
    bdpo_scheduler_class scheduler = BDPO_SCHEDULER_DDPM;
    bdpo_scheduler_config config;
    TRY(load_json(&root, text, size, file));
    bdpo_status status = read_class(&scheduler, root, file);
    bdpo_scheduler_config_defaults(&config, scheduler);
    if (status == BDPO_OK) status = read_fields(&config, root, file);
    json_decref(root);
    if (status == BDPO_OK)
        *out = config;
    else
        bdpo_scheduler_config_release(&config);
    return status;
}

bdpo_status bdpo_scheduler_config_read(bdpo_scheduler_config *out, const char *path)
{
    enum { MAX_BYTES = 4 << 20 };
    char *text;
    size_t size;
    TRY(bdpo_file_read(&text, &size, path, MAX_BYTES));
    bdpo_status status = bdpo_scheduler_config_parse(out, text, size, path);
    bdpo_free(text);
    return status;
}

// ---- changing the class --------------------------------------------------------------------

bdpo_status bdpo_scheduler_config_change(bdpo_scheduler_config *config,
                                         bdpo_scheduler_class scheduler)
{
    bdpo_scheduler_config changed;
    bdpo_scheduler_config_defaults(&changed, scheduler);
    for (size_t i = 0; i < N_FIELDS; i++) {
        const field *f = &fields[i];
        uint64_t bit = (uint64_t)1 << i;
        // What the old class reads and the new one does not is dropped, as in from_config; what
        // neither reads stays for a class to come.
        if (!(config->given & bit) || (reads(config->scheduler, f) && !reads(scheduler, f)))
            continue;
        memcpy(member(&changed, f), member(config, f), type_sizes[f->type]);
        changed.given |= bit;
    }
    TRY(check_class(&changed, class_names[scheduler], BDPO_BAD_ARGUMENT));
    *config = changed; // trained_betas, which all classes read, moved along
    return BDPO_OK;
}

// karras: -1 as the config says, else what use_karras_sigmas is set to.
static const struct {
    const char *name;
    bdpo_scheduler_class scheduler;
    int karras;
} samplers[] = {
    {"ddpm", BDPO_SCHEDULER_DDPM, -1},
    {"ddim", BDPO_SCHEDULER_DDIM, -1},
    {"pndm", BDPO_SCHEDULER_PNDM, -1},
    {"euler", BDPO_SCHEDULER_EULER, -1},
    {"euler-ancestral", BDPO_SCHEDULER_EULER_ANCESTRAL, -1},
    {"heun", BDPO_SCHEDULER_HEUN, -1},
    {"dpmpp-2m", BDPO_SCHEDULER_DPM_MULTISTEP, 0},
    {"dpmpp-2m-karras", BDPO_SCHEDULER_DPM_MULTISTEP, 1},
};

const char *bdpo_sampler_name(int i)
{
    return i >= 0 && (size_t)i < BDPO_COUNTOF(samplers) ? samplers[i].name : NULL;
}

bdpo_status bdpo_scheduler_config_select(bdpo_scheduler_config *config, const char *name)
{
    const char *names[BDPO_COUNTOF(samplers) + 1] = {NULL};
    for (size_t i = 0; i < BDPO_COUNTOF(samplers); i++) {
        names[i] = samplers[i].name;
        if (strcmp(name, samplers[i].name) != 0) continue;
        TRY(bdpo_scheduler_config_change(config, samplers[i].scheduler));
        if (samplers[i].karras >= 0) {
            config->karras_sigmas = samplers[i].karras;
            if (config->karras_sigmas) config->exponential_sigmas = false;
        }
        return BDPO_OK;
    }
    char known[128];
    return bdpo_fail(BDPO_BAD_ARGUMENT, "sampler \"%.80s\" is not known; expected one of %s", name,
                     join(known, sizeof known, names));
}

bdpo_status bdpo_scheduler_config_schedule(bdpo_noise_schedule *out,
                                           const bdpo_scheduler_config *config)
{
    unsigned bit = 1u << config->scheduler;
    bdpo_noise_schedule_options options = {
        .n_steps = config->n_train_steps,
        .betas = (bdpo_beta_schedule)config->beta_schedule,
        .beta_start = config->beta_start,
        .beta_end = config->beta_end,
        .trained_betas = config->trained_betas,
        .zero_terminal_snr = config->zero_terminal_snr && !(bit & (PNDM | HEUN)),
    };
    TRY(bdpo_noise_schedule_init(out, &options));
    if (options.zero_terminal_snr && bit & (EULER | ANCESTRAL | DPM))
        out->alphas_cumprod[out->n_steps - 1] = 0x1p-24f;
    return BDPO_OK;
}
