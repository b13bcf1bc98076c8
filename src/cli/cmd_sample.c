// bdpo sample: prompts in, pictures out.
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/latents_file.h"
#include "cli/sample_options.h"
#include "cli/sample_output.h"
#include "formats/image_grid.h"
#include "formats/image_resize.h"

enum { MAX_PREVIEW = 64, PREVIEW_MARGIN = 4 };

typedef struct session {
    bdpo_invocation *invocation;
    bdpo_sample_options *options;
    bdpo_generation job; // of the batch at hand
    bdpo_engine *engine;
    bdpo_checkpoint *checkpoint;
    bdpo_pipeline *pipeline;
    bdpo_model_identity identity;
    bdpo_sample_output output;
    bdpo_image start; // of --image
    bdpo_latents_file *latents;
    bdpo_image *preview; // [n_preview]: the first pictures, kept
    int n_preview, kept;
    int n_pictures, done; // in all; finished
    bdpo_progress progress;
    bool progress_begun;
    double begun_s, loaded_s, write_s;
    json_t *pictures; // of the result
} session;

// ---- opening -----------------------------------------------------------------------------------

static bdpo_status open_model(session *s)
{
    const bdpo_sample_options *o = s->options;
    TRY(bdpo_engine_new(&s->engine, &(bdpo_engine_options){.n_threads = o->n_threads}));
    TRY(bdpo_checkpoint_open(&s->checkpoint, s->invocation->arguments[0], &o->open));
    bdpo_pipeline_model_options model = o->model;
    bdpo_lora_source loras[BDPO_MAX_LORAS];
    if (!model.tokenizers) model.tokenizers = o->open.configs; // likely to have them
    bdpo_status status = bdpo_lora_arguments_open(loras, &model.n_loras, &o->loras);
    model.loras = loras;
    if (status == BDPO_OK)
        status = bdpo_pipeline_open(&s->pipeline, s->engine, s->checkpoint, &model);
    bdpo_lora_sources_close(loras, model.n_loras);
    return status;
}

// The picture as diffusers' image processor takes it: turned as its EXIF says, RGB, resized.
static bdpo_status read_start(session *s)
{
    bdpo_generation *job = &s->job;
    int factor = (int)bdpo_vae_factor(&bdpo_pipeline_get_model(s->pipeline)->vae);
    bdpo_image resized;
    TRY(bdpo_image_read(&s->start, s->options->image));
    TRY(bdpo_image_apply_orientation(&s->start));
    TRY(bdpo_image_to_rgb(&s->start));
    if (!job->width) job->width = s->start.width / factor * factor;
    if (!job->height) job->height = s->start.height / factor * factor;
    if (job->width == 0 || job->height == 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: is %d x %d, expected %d or more on each side",
                         s->options->image, s->start.width, s->start.height, factor);
    if (job->width != s->start.width || job->height != s->start.height) {
        TRY(bdpo_image_resize(&resized, &s->start, job->width, job->height, BDPO_FILTER_LANCZOS));
        bdpo_image_release(&s->start);
        s->start = resized;
    }
    job->start = &s->start;
    if (job->strength == 0) job->strength = 0.8; // diffusers'
    return BDPO_OK;
}

// What was not asked for comes from the model.
static bdpo_status fill_job(session *s)
{
    int width, height;
    bdpo_generation *job = &s->job;
    bool is_sdxl = bdpo_checkpoint_get_info(s->checkpoint).type == BDPO_SDXL;
    if (is_sdxl && !s->options->has_guidance) job->guidance = 5;
    if (s->options->image) TRY(read_start(s));
    bdpo_pipeline_native_size(s->pipeline, &width, &height);
    if (!job->width) job->width = width;
    if (!job->height) job->height = height;
    if (job->width && job->height) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: does not say its size; expected --width and --height",
                     s->invocation->arguments[0]);
}

static bdpo_status prepare(session *s)
{
    const bdpo_sample_options *o = s->options;
    if (o->prompt_file) TRY(bdpo_prompt_set_read(o->prompts, o->prompt_file, NULL));
    int64_t count = (int64_t)bdpo_prompt_set_count(o->prompts) * o->count;
    if (count > INT32_MAX) return bdpo_fail(BDPO_BAD_ARGUMENT, "more than 2^31 pictures");
    s->n_pictures = (int)count;
    if (o->latents && s->n_pictures > o->batch)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "--latents is for one batch, found %d pictures and --batch %d",
                         s->n_pictures, o->batch);
    TRY(open_model(s));
    TRY(fill_job(s));
    TRY(bdpo_model_identify(&s->identity, s->checkpoint, o->hash));
    s->output = (bdpo_sample_output){.options = o,
                                     .job = &s->job,
                                     .pipeline = s->pipeline,
                                     .model = &s->identity,
                                     .type = bdpo_checkpoint_get_info(s->checkpoint).type};
    TRY(bdpo_sample_output_begin(&s->output, s->n_pictures));
    if (o->latents) TRY(bdpo_latents_file_new(&s->latents));
    if (o->preview) {
        s->n_preview = s->n_pictures < MAX_PREVIEW ? s->n_pictures : MAX_PREVIEW;
        s->preview = bdpo_alloc((size_t)s->n_preview, sizeof *s->preview);
        if (!s->preview) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the preview");
    }
    s->pictures = json_array();
    s->loaded_s = bdpo_clock_seconds();
    return s->pictures ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "no memory for the result");
}

// ---- batches -----------------------------------------------------------------------------------

static void on_latents(void *user, int call, int n_calls, const float *latents,
                       const bdpo_shape *shape)
{
    session *s = user;
    int batch = s->options->batch, n_batches = (s->n_pictures + batch - 1) / batch;
    if (s->latents) bdpo_latents_file_add(s->latents, call, n_calls, latents, shape);
    if (!s->progress_begun)
        bdpo_progress_begin(&s->progress, s->invocation->log, "sampling", "steps",
                            (int64_t)n_batches * n_calls, 0);
    s->progress_begun = true;
    bdpo_progress_update(&s->progress, (int64_t)(s->done / batch) * n_calls + call, NULL);
}

// Picture k of a prompt has seed + k, whatever else is asked for.
static uint64_t seed_of(const session *s, int picture)
{
    return s->options->seed + (uint64_t)(picture % s->options->count);
}

static const char *prompt_of(const session *s, int picture)
{
    return bdpo_prompt_set_at(s->options->prompts, picture / s->options->count)->text;
}

// Consumes the picture.
static bdpo_status finish(session *s, bdpo_image *image, int picture)
{
    char path[BDPO_PATH_BYTES];
    uint64_t seed = seed_of(s, picture);
    const char *prompt = prompt_of(s, picture);
    TRY(bdpo_sample_output_write(path, sizeof path, &s->output, picture, image, prompt, seed));
    if (!s->invocation->json) {
        printf("%s\n", path);
        fflush(stdout); // whoever reads along has it now
    }
    json_array_append_new(s->pictures, json_pack("{s:s, s:s, s:I}", "file", path, "prompt", prompt,
                                                 "seed", (json_int_t)seed));
    if (s->kept < s->n_preview) {
        s->preview[s->kept++] = *image;
        *image = (bdpo_image){0};
    }
    return BDPO_OK;
}

static bdpo_status run_batch(session *s, bdpo_image *images, const char **prompts, uint64_t *seeds)
{
    bdpo_generation *job = &s->job;
    bdpo_generation_watch watch = {.user = s,
                                   .interrupted = bdpo_interrupt_noted,
                                   .on_latents = on_latents,
                                   .log = s->invocation->log};
    for (int i = 0; i < job->n_images; i++) {
        prompts[i] = prompt_of(s, s->done + i);
        seeds[i] = seed_of(s, s->done + i);
    }
    TRY(bdpo_pipeline_generate(s->pipeline, images, job, &watch));
    double begin_s = bdpo_clock_seconds();
    bdpo_status status = BDPO_OK;
    for (int i = 0; i < job->n_images; i++) {
        if (status == BDPO_OK) status = finish(s, &images[i], s->done + i);
        bdpo_image_release(&images[i]);
    }
    s->write_s += bdpo_clock_seconds() - begin_s;
    return status;
}

static bdpo_status run_batches(session *s)
{
    int batch = s->options->batch < s->n_pictures ? s->options->batch : s->n_pictures;
    bdpo_arena *arena = s->invocation->arena;
    bdpo_image *images = bdpo_arena_alloc(arena, (size_t)batch, sizeof *images);
    const char **prompts = bdpo_arena_alloc(arena, (size_t)batch, sizeof *prompts);
    uint64_t *seeds = bdpo_arena_alloc(arena, (size_t)batch, sizeof *seeds);
    if (!images || !prompts || !seeds) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a batch");
    s->job.prompts = prompts;
    s->job.seeds = seeds;
    for (; s->done < s->n_pictures; s->done += s->job.n_images) {
        int left = s->n_pictures - s->done;
        s->job.n_images = s->job.n_seeds = left < batch ? left : batch;
        TRY(run_batch(s, images, prompts, seeds));
    }
    if (s->progress_begun) bdpo_progress_end(&s->progress);
    s->progress_begun = false;
    return BDPO_OK;
}

// ---- what stays --------------------------------------------------------------------------------

static bdpo_status write_preview(const session *s)
{
    int columns = 1;
    bdpo_image sheet;
    while (columns * columns < s->kept) columns++;
    TRY(bdpo_image_grid(&sheet, s->preview, s->kept, columns, PREVIEW_MARGIN));
    bdpo_status status = bdpo_image_write(s->options->preview, &sheet, NULL);
    bdpo_image_release(&sheet);
    return status;
}

static json_t *times_of(const session *s, const bdpo_pipeline_figures *f, double now)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "load", s->loaded_s - s->begun_s,
                     "first_kernel", f->first_run_at - s->begun_s, "text", f->text_s, "encode",
                     f->encode_s, "denoise", f->denoise_s, "decode", f->decode_s, "write",
                     s->write_s, "total", now - s->begun_s);
}

static json_int_t peak_resident_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (json_int_t)usage.ru_maxrss * 1024 : 0;
}

static bdpo_status tell(const session *s)
{
    bdpo_pipeline_figures f = bdpo_pipeline_get_figures(s->pipeline);
    double now = bdpo_clock_seconds();
    json_int_t peak = peak_resident_bytes();
    bdpo_log_write(s->invocation->log, BDPO_LOG_INFO,
                   "%d picture%s in %.2f s (load %.2f, text %.2f, denoise %.2f, decode %.2f); "
                   "weights %.1f MB, values %.1f MB, peak %.1f MB",
                   s->n_pictures, s->n_pictures == 1 ? "" : "s", now - s->begun_s,
                   s->loaded_s - s->begun_s, f.text_s, f.denoise_s, f.decode_s,
                   (double)f.weight_bytes / 1e6, (double)f.arena_bytes / 1e6, (double)peak / 1e6);
    if (!s->invocation->json) return BDPO_OK;
    json_t *result;
    TRY(bdpo_sample_settings(&result, &s->output));
    json_object_set(result, "pictures", s->pictures);
    json_object_set_new(result, "unet_calls", json_integer(f.n_calls));
    json_object_set_new(result, "threads", json_integer(bdpo_engine_threads(s->engine)));
    json_object_set_new(result, "seconds", times_of(s, &f, now));
    json_object_set_new(result, "bytes",
                        json_pack("{s:I, s:I, s:I, s:I}", "weights", (json_int_t)f.weight_bytes,
                                  "mapped", (json_int_t)f.mapped_bytes, "values",
                                  (json_int_t)f.arena_bytes, "peak_resident", peak));
    json_dumpf(result, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    printf("\n");
    json_decref(result);
    return BDPO_OK;
}

static bdpo_status sample(session *s)
{
    TRY(prepare(s));
    TRY(run_batches(s));
    if (s->preview) TRY(write_preview(s));
    if (s->latents) TRY(bdpo_latents_file_write(s->latents, s->options->latents));
    return tell(s);
}

static void close_session(session *s)
{
    if (s->progress_begun) bdpo_progress_end(&s->progress); // a failure's line begins a line
    json_decref(s->pictures);
    for (int i = 0; i < s->kept; i++) bdpo_image_release(&s->preview[i]);
    bdpo_free(s->preview);
    bdpo_latents_file_free(s->latents);
    bdpo_image_release(&s->start);
    bdpo_pipeline_free(s->pipeline);
    bdpo_checkpoint_close(s->checkpoint);
    bdpo_engine_free(s->engine);
}

static int run(bdpo_invocation *invocation)
{
    bdpo_sample_options options;
    int code = BDPO_EXIT_USAGE;
    double begun_s = bdpo_clock_seconds();
    if (bdpo_sample_options_parse(&options, invocation)) {
        session s = {
            .invocation = invocation, .options = &options, .job = options.job, .begun_s = begun_s};
        bdpo_interrupt_catch();
        bdpo_status status = sample(&s);
        close_session(&s);
        code = bdpo_exit_code(status);
    }
    bdpo_sample_options_release(&options);
    return code;
}

static const bdpo_example examples[] = {
    {"bdpo sample sd15 -p \"a fox in the snow\" -o fox.png", "one picture"},
    {"bdpo sample sd15 --prompts list.txt -c 4 -b 4 -o out --preview sheet.png",
     "four pictures of each prompt, and all on one sheet"},
    {"bdpo sample sdxl -p \"a castle\" -n blurry --sampler dpmpp-2m-karras -s 25",
     "another sampler, with a negative prompt"},
    {"bdpo sample sd15 -p \"a fox\" --lora style.safetensors:0.8", "with a LoRA"},
    {"bdpo sample sd15 -p \"an oil painting\" --image photo.jpg --strength 0.6", "from a picture"},
    {"bdpo sample v1-5.safetensors --tokenizer sd15 -p \"a cat\" --rng torch --seed 42",
     "a single file; the noise of diffusers' torch.manual_seed(42)"},
    {NULL, NULL}};

const bdpo_command bdpo_cmd_sample = {
    .name = "sample",
    .arguments = "MODEL",
    .summary = "pictures from prompts",
    .text =
        "Paints pictures with a text-to-image model (a diffusers directory or a single file) and\n"
        "prints their names. Each is a PNG that keeps how it was made: the line \"parameters\"\n"
        "which web user interfaces read, and all of it as JSON under \"bdpo\". A picture depends\n"
        "on its prompt, its seed and the settings, not on the batch it was made in. Ctrl-C ends\n"
        "between two steps; pictures that are finished stay.",
    .options = bdpo_sample_option_table,
    .examples = examples,
    .n_arguments = 1,
    .computes = true,
    .run = run,
};
