// Metadata in two forms: the line that web user interfaces read, and all of it as JSON.
#include "cli/sample_output.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/generation_parameters.h"

// ---- where to ----------------------------------------------------------------------------------

static bdpo_status fail_directory(const char *path)
{
    char reason[128];
    if (strerror_r(errno, reason, sizeof reason) != 0) snprintf(reason, sizeof reason, "error");
    return bdpo_fail(BDPO_IO, "%s: cannot make or read the directory: %s", path, reason);
}

static bdpo_status make_directories(const char *path)
{
    char part[BDPO_PATH_BYTES];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "\"%s\" is no name of a directory", path);
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) return fail_directory(part);
        part[i] = path[i];
    }
    if (bdpo_file_is_directory(path)) return BDPO_OK;
    return bdpo_fail(BDPO_IO, "%s: is a file, expected a directory", path);
}

// One more than the largest number that begins a name.
static bdpo_status find_free_number(int64_t *out, const char *path)
{
    DIR *directory = opendir(path);
    if (!directory) return fail_directory(path);
    *out = 0;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        char *end;
        errno = 0;
        long long number = strtoll(entry->d_name, &end, 10);
        if (end != entry->d_name && *end == '-' && errno == 0 && number >= *out &&
            number < INT32_MAX)
            *out = number + 1;
    }
    closedir(directory);
    return BDPO_OK;
}

bdpo_status bdpo_sample_output_begin(bdpo_sample_output *output, int n_pictures)
{
    const char *path = output->options->out;
    bdpo_image_format format;
    output->one_file = bdpo_image_format_of(&format, path) == BDPO_OK;
    if (output->one_file && n_pictures > 1)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "--out %s is one file, expected a directory for %d pictures", path,
                         n_pictures);
    if (output->one_file) return BDPO_OK;
    TRY(make_directories(path));
    return find_free_number(&output->first, path);
}

// ---- the sampler's names -----------------------------------------------------------------------

static const struct {
    const char *name, *shown; // ours; web user interfaces'
} samplers[] = {
    [BDPO_SCHEDULER_DDPM] = {"ddpm", "DDPM"},
    [BDPO_SCHEDULER_DDIM] = {"ddim", "DDIM"},
    [BDPO_SCHEDULER_PNDM] = {"pndm", "PLMS"},
    [BDPO_SCHEDULER_EULER] = {"euler", "Euler"},
    [BDPO_SCHEDULER_EULER_ANCESTRAL] = {"euler-ancestral", "Euler a"},
    [BDPO_SCHEDULER_HEUN] = {"heun", "Heun"},
    [BDPO_SCHEDULER_DPM_MULTISTEP] = {"dpmpp-2m", "DPM++ 2M"},
};

static const char karras_name[] = "dpmpp-2m-karras";

const char *bdpo_sample_sampler(const bdpo_sample_output *output)
{
    const bdpo_scheduler_config *own = bdpo_pipeline_scheduler(output->pipeline);
    if (output->job->sampler) return output->job->sampler;
    if (own->scheduler == BDPO_SCHEDULER_DPM_MULTISTEP && own->karras_sigmas) return karras_name;
    return samplers[own->scheduler].name;
}

static const char *shown_sampler(const bdpo_sample_output *output)
{
    const char *name = bdpo_sample_sampler(output);
    for (size_t i = 0; i < BDPO_COUNTOF(samplers); i++)
        if (strcmp(samplers[i].name, name) == 0) return samplers[i].shown;
    return samplers[BDPO_SCHEDULER_DPM_MULTISTEP].shown; // with Karras levels
}

// ---- the line of web user interfaces -----------------------------------------------------------

enum { MAX_OTHERS = 8, FIELD_BYTES = 32 };

typedef struct others {
    bdpo_generation_field fields[MAX_OTHERS];
    char values[MAX_OTHERS][FIELD_BYTES];
    int count;
} others;

__attribute__((format(printf, 3, 4))) static void add(others *o, const char *key,
                                                      const char *format, ...)
{
    va_list arguments;
    BDPO_ASSERT(o->count < MAX_OTHERS);
    va_start(arguments, format);
    vsnprintf(o->values[o->count], FIELD_BYTES, format, arguments);
    va_end(arguments);
    o->fields[o->count] = (bdpo_generation_field){key, o->values[o->count]};
    o->count++;
}

static void gather_others(others *o, const bdpo_sample_output *output)
{
    const bdpo_generation *job = output->job;
    if (strcmp(bdpo_sample_sampler(output), karras_name) == 0) add(o, "Schedule type", "Karras");
    if (job->start) add(o, "Denoising strength", "%g", job->strength);
    if (job->clip_skip) add(o, "Clip skip", "%d", job->clip_skip + 1); // they count from 1
    if (job->guidance_rescale > 0) add(o, "Guidance rescale", "%g", job->guidance_rescale);
    if (job->eta > 0) add(o, "Eta", "%g", job->eta);
    add(o, "RNG", "%s", job->rng == BDPO_NOISE_TORCH ? "CPU" : "bdpo Philox");
    add(o, "Version", "bdpo %s", BDPO_VERSION);
}

static bdpo_status format_line(char **out, const bdpo_sample_output *output, const char *prompt,
                               uint64_t seed)
{
    enum { SHORT_HASH = 10 };
    const bdpo_generation *job = output->job;
    char hash[SHORT_HASH + 1];
    others o = {0};
    gather_others(&o, output);
    snprintf(hash, sizeof hash, "%.*s", SHORT_HASH, output->model->hash.hex);
    bdpo_generation_parameters parameters = {
        .prompt = prompt,
        .negative_prompt = job->negative && *job->negative ? job->negative : NULL,
        .n_steps = job->n_steps,
        .sampler = shown_sampler(output),
        .has_cfg_scale = true,
        .cfg_scale = job->guidance,
        .has_seed = true,
        .seed = seed,
        .width = job->width,
        .height = job->height,
        .model_hash = hash,
        .model = output->model->name,
        .others = o.fields,
        .n_others = o.count,
    };
    return bdpo_generation_format(out, &parameters);
}

// ---- JSON --------------------------------------------------------------------------------------

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value); // a value that is NULL for want of memory fails too
}

static void set_sizes(json_t *object, const bdpo_sample_output *output)
{
    const bdpo_generation *job = output->job;
    const bdpo_size_conditions *s = &job->sizes;
    if (output->type != BDPO_SDXL) return;
    set(object, "original_size",
        json_pack("[i, i]", s->original_width ? s->original_width : job->width,
                  s->original_height ? s->original_height : job->height));
    set(object, "crop", json_pack("[i, i]", s->crop_left, s->crop_top));
    set(object, "target_size",
        json_pack("[i, i]", s->target_width ? s->target_width : job->width,
                  s->target_height ? s->target_height : job->height));
}

static void set_loras(json_t *object, const bdpo_lora_arguments *loras)
{
    json_t *list = json_array();
    for (int i = 0; i < loras->count; i++)
        json_array_append_new(list, json_pack("{s:s, s:f}", "file", loras->at[i].path, "strength",
                                              loras->at[i].strength));
    set(object, "loras", list);
}

bdpo_status bdpo_sample_settings(json_t **out, const bdpo_sample_output *output)
{
    const bdpo_generation *job = output->job;
    const bdpo_pipeline_model *model = bdpo_pipeline_get_model(output->pipeline);
    json_t *o = *out = json_object();
    if (!o) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the settings");
    set(o, "version", json_string("bdpo " BDPO_VERSION));
    set(o, "model",
        json_pack("{s:s, s:s, s:s}", "name", output->model->name, "type",
                  bdpo_model_type_name(output->type), output->model->kind,
                  output->model->hash.hex));
    set_loras(o, &output->options->loras);
    set(o, "negative", job->negative ? json_string(job->negative) : json_null());
    set(o, "sampler", json_string(bdpo_sample_sampler(output)));
    set(o, "scheduler", json_loads(model->scheduler, 0, NULL)); // the model's own configuration
    set(o, "steps", json_integer(job->n_steps));
    set(o, "guidance", json_real(job->guidance));
    set(o, "guidance_rescale", json_real(job->guidance_rescale));
    set(o, "eta", json_real(job->eta));
    set(o, "rng", json_string(job->rng == BDPO_NOISE_TORCH ? "torch" : "philox"));
    set(o, "clip_skip", json_integer(job->clip_skip));
    set(o, "width", json_integer(job->width));
    set(o, "height", json_integer(job->height));
    set_sizes(o, output);
    if (job->start) set(o, "strength", json_real(job->strength));
    if (job->start) set(o, "image", json_string(output->options->image));
    return BDPO_OK;
}

static bdpo_status format_json(char **out, const bdpo_sample_output *output, const char *prompt,
                               uint64_t seed)
{
    json_t *settings;
    TRY(bdpo_sample_settings(&settings, output));
    set(settings, "prompt", json_string(prompt));
    set(settings, "seed", json_integer((json_int_t)seed));
    *out = json_dumps(settings, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(settings);
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for a picture's metadata");
}

// ---- a picture ---------------------------------------------------------------------------------

static bdpo_status name_file(char *path, size_t capacity, const bdpo_sample_output *output,
                             int index, uint64_t seed)
{
    static const char *const suffixes[] = {
        [BDPO_IMAGE_PNG] = "png", [BDPO_IMAGE_JPEG] = "jpg", [BDPO_IMAGE_WEBP] = "webp"};
    const char *out = output->options->out;
    int length = output->one_file
                     ? snprintf(path, capacity, "%s", out)
                     : snprintf(path, capacity, "%s%s%05" PRId64 "-%" PRIu64 ".%s", out,
                                out[strlen(out) - 1] == '/' ? "" : "/", output->first + index, seed,
                                suffixes[output->options->format]);
    if (length >= 0 && (size_t)length < capacity) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: the path is too long", out);
}

bdpo_status bdpo_sample_output_write(char *path, size_t capacity, const bdpo_sample_output *output,
                                     int index, const bdpo_image *image, const char *prompt,
                                     uint64_t seed)
{
    char *line = NULL, *json = NULL;
    bdpo_image_format format;
    TRY(name_file(path, capacity, output, index, seed));
    TRY(bdpo_image_format_of(&format, path));
    bdpo_status status = format_line(&line, output, prompt, seed);
    if (status == BDPO_OK && format == BDPO_IMAGE_PNG) // the others have no place for it
        status = format_json(&json, output, prompt, seed);
    bdpo_image_options options = {
        .quality = output->options->quality, .parameters = line, .json = json};
    if (status == BDPO_OK) status = bdpo_image_write(path, image, &options);
    bdpo_free(line);
    free(json); // jansson's
    return status;
}
