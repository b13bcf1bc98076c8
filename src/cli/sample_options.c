// Each option is taken in the function of its kind.
#include "cli/sample_options.h"

#include <string.h>

#include "cli/option_numbers.h"
#include "formats/charset.h"

enum {
    PROMPT = 1,
    PROMPTS,
    NEGATIVE,
    OUT,
    STEPS,
    GUIDANCE,
    RESCALE,
    SAMPLER,
    ETA,
    SEED,
    RNG,
    WIDTH,
    HEIGHT,
    BATCH,
    COUNT,
    CLIP_SKIP,
    LORA,
    IMAGE,
    STRENGTH,
    ORIGINAL,
    CROP,
    TARGET,
    TILES,
    FORMAT,
    QUALITY,
    PREVIEW,
    LATENTS,
    HASH,
    TOKENIZER,
    CLEANING,
    PLAIN_PAD,
    TYPE,
    VARIANT,
    CONFIG,
    PREDICTION,
    THREADS
};

enum { MOST = 1000000 };

// Texts; true where `option` is one of them.
static bool take_text(bool *ok, bdpo_sample_options *o, int option, bdpo_invocation *invocation)
{
    const char **place = option == NEGATIVE    ? &o->job.negative
                         : option == PROMPTS   ? &o->prompt_file
                         : option == OUT       ? &o->out
                         : option == IMAGE     ? &o->image
                         : option == PREVIEW   ? &o->preview
                         : option == LATENTS   ? &o->latents
                         : option == TOKENIZER ? &o->model.tokenizers
                         : option == VARIANT   ? &o->open.variant
                         : option == CONFIG    ? &o->open.configs
                                               : NULL;
    if (!place) return false;
    *place = bdpo_option_text(invocation);
    *ok = *place != NULL;
    return true;
}

// Numbers and words of the sampler.
static bool take_sampling(bool *ok, bdpo_sample_options *o, int option, bdpo_invocation *invocation)
{
    static const char *const rngs[] = {"philox", "torch", NULL};
    int word = 0;
    bdpo_generation *job = &o->job;
    switch (option) {
    case STEPS:
        *ok = bdpo_option_int(&job->n_steps, invocation, "--steps", 1, 1000);
        return true;
    case GUIDANCE:
        *ok = o->has_guidance =
            bdpo_option_double(&job->guidance, invocation, "--guidance", 0, 100);
        return true;
    case RESCALE:
        *ok = bdpo_option_double(&job->guidance_rescale, invocation, "--guidance-rescale", 0, 1);
        return true;
    case ETA:
        *ok = bdpo_option_double(&job->eta, invocation, "--eta", 0, 1);
        return true;
    case STRENGTH:
        *ok = bdpo_option_double(&job->strength, invocation, "--strength", 0, 1);
        return true;
    case CLIP_SKIP:
        *ok = bdpo_option_int(&job->clip_skip, invocation, "--clip-skip", 0, 100);
        return true;
    case SEED:
        *ok = bdpo_option_seed(&o->seed, invocation, "--seed");
        return true;
    case RNG:
        *ok = bdpo_option_word(&word, invocation, "--rng", rngs);
        job->rng = word ? BDPO_NOISE_TORCH : BDPO_NOISE_PHILOX;
        return true;
    default:
        return false;
    }
}

// Sizes and counts.
static bool take_size(bool *ok, bdpo_sample_options *o, int option, bdpo_invocation *invocation)
{
    bdpo_size_conditions *s = &o->job.sizes;
    switch (option) {
    case WIDTH:
        *ok = bdpo_option_int(&o->job.width, invocation, "--width", 1, BDPO_IMAGE_MAX_SIDE);
        return true;
    case HEIGHT:
        *ok = bdpo_option_int(&o->job.height, invocation, "--height", 1, BDPO_IMAGE_MAX_SIDE);
        return true;
    case BATCH:
        *ok = bdpo_option_int(&o->batch, invocation, "--batch", 1, 1024);
        return true;
    case COUNT:
        *ok = bdpo_option_int(&o->count, invocation, "--count", 1, MOST);
        return true;
    case THREADS:
        *ok = bdpo_option_int(&o->n_threads, invocation, "--threads", 1, 4096);
        return true;
    case ORIGINAL:
        *ok = bdpo_option_pair(&s->original_width, &s->original_height, invocation,
                               "--original-size", 1, MOST);
        return true;
    case CROP:
        *ok = bdpo_option_pair(&s->crop_left, &s->crop_top, invocation, "--crop", 0, MOST);
        return true;
    case TARGET:
        *ok = bdpo_option_pair(&s->target_width, &s->target_height, invocation, "--target-size", 1,
                               MOST);
        return true;
    default:
        return false;
    }
}

static bool take_sampler(bdpo_sample_options *o, bdpo_invocation *invocation)
{
    char list[256] = "";
    const char *text = bdpo_option_text(invocation);
    for (int i = 0; bdpo_sampler_name(i); i++) {
        if (text && strcmp(text, bdpo_sampler_name(i)) == 0) {
            o->job.sampler = bdpo_sampler_name(i);
            return true;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", bdpo_sampler_name(i));
    }
    bdpo_usage_error(invocation, "--sampler is \"%s\", expected one of %s", text ? text : "", list);
    return false;
}

// A word that a library function reads; its sentence is the usage error.
static bool say_bad(bdpo_invocation *invocation, bdpo_status status)
{
    if (status != BDPO_OK) bdpo_usage_error(invocation, "%s", bdpo_message());
    return status == BDPO_OK;
}

static bool take_other(bdpo_sample_options *o, int option, bdpo_invocation *invocation)
{
    static const char *const formats[] = {"png", "jpeg", "webp", NULL};
    static const char *const tilings[] = {"auto", "on", "off", NULL};
    const char *text;
    bdpo_model_type type;
    int word = 0;
    switch (option) {
    case PROMPT:
        text = bdpo_option_text(invocation);
        return text && say_bad(invocation, bdpo_prompt_set_add(o->prompts, text, "--prompt"));
    case LORA:
        return bdpo_take_lora(&o->loras, invocation);
    case SAMPLER:
        return take_sampler(o, invocation);
    case FORMAT:
        if (!bdpo_option_word(&word, invocation, "--format", formats)) return false;
        o->format = word == 1 ? BDPO_IMAGE_JPEG : word == 2 ? BDPO_IMAGE_WEBP : BDPO_IMAGE_PNG;
        return true;
    case TILES:
        if (!bdpo_option_word(&word, invocation, "--tiles", tilings)) return false;
        o->job.tiling = word == 1   ? BDPO_TILE_ALWAYS
                        : word == 2 ? BDPO_TILE_NEVER
                                    : BDPO_TILE_LARGE;
        return true;
    case QUALITY:
        return bdpo_option_int(&o->quality, invocation, "--quality", 1, 100);
    case HASH:
        return o->hash = true;
    case PLAIN_PAD:
        return o->model.tokenizer.plain_pad = true;
    case CLEANING:
        text = bdpo_option_text(invocation);
        return text &&
               say_bad(invocation, bdpo_clip_pipeline_parse(&o->model.tokenizer.pipeline, text));
    case TYPE:
        o->open.type = bdpo_option_text(invocation);
        return o->open.type && say_bad(invocation, bdpo_model_type_parse(&type, o->open.type));
    case PREDICTION:
        text = bdpo_option_text(invocation);
        return text && say_bad(invocation, bdpo_prediction_parse(&o->open.prediction, text));
    default:
        return false;
    }
}

static bool take(bdpo_sample_options *o, int option, bdpo_invocation *invocation)
{
    bool ok = false;
    if (take_text(&ok, o, option, invocation) || take_sampling(&ok, o, option, invocation) ||
        take_size(&ok, o, option, invocation))
        return ok;
    return take_other(o, option, invocation);
}

// ---- what fits together ------------------------------------------------------------------------

static bool complain(bdpo_invocation *invocation, const char *why)
{
    bdpo_usage_error(invocation, "%s", why);
    return false;
}

static bool check(const bdpo_sample_options *o, bdpo_invocation *invocation)
{
    if (bdpo_prompt_set_count(o->prompts) == 0 && !o->prompt_file)
        return complain(invocation, "needs a prompt: --prompt TEXT or --prompts FILE");
    if (o->job.strength > 0 && !o->image)
        return complain(invocation, "--strength is for --image FILE");
    if (o->job.negative && !bdpo_text_is_utf8(o->job.negative))
        return complain(invocation, "--negative: found bytes that are not UTF-8");
    if (o->seed > (uint64_t)INT64_MAX - (uint64_t)o->count)
        return complain(invocation, "--seed leaves no room for --count seeds below 2^63");
    return true;
}

bool bdpo_sample_options_parse(bdpo_sample_options *out, bdpo_invocation *invocation)
{
    *out = (bdpo_sample_options){
        .job = {.n_steps = 50, .guidance = 7.5}, .batch = 1, .count = 1, .out = "samples"};
    if (bdpo_prompt_set_new(&out->prompts) != BDPO_OK) return complain(invocation, bdpo_message());
    for (int option; (option = bdpo_next_option(invocation)) != 0;)
        if (option < 0 || !take(out, option, invocation)) return false;
    return check(out, invocation);
}

void bdpo_sample_options_release(bdpo_sample_options *o)
{
    bdpo_prompt_set_free(o->prompts);
    o->prompts = NULL;
}

// ---- the table ---------------------------------------------------------------------------------

#define TEXT(name, letter, value, describes, argument)                                             \
    {                                                                                              \
        name, letter, POPT_ARG_STRING, NULL, value, describes, argument                            \
    }
#define FLAG(name, value, describes)                                                               \
    {                                                                                              \
        name, '\0', POPT_ARG_NONE, NULL, value, describes, NULL                                    \
    }

const struct poptOption bdpo_sample_option_table[] = {
    TEXT("prompt", 'p', PROMPT, "what to paint; may be given several times", "TEXT"),
    TEXT("prompts", '\0', PROMPTS, "a file of prompts: lines, a table, JSON, Parquet", "FILE"),
    TEXT("negative", 'n', NEGATIVE, "what guidance leads away from", "TEXT"),
    TEXT("out", 'o', OUT, "directory for NNNNN-seed.png, or one file; without it samples",
         "DIR|FILE"),
    TEXT("steps", 's', STEPS, "without it 50", "N"),
    TEXT("guidance", 'g', GUIDANCE, "without it 7.5 (sdxl: 5); up to 1 none, and half the work",
         "X"),
    TEXT("guidance-rescale", '\0', RESCALE, "0 to 1: against overexposure by guidance", "X"),
    TEXT("sampler", '\0', SAMPLER,
         "ddpm, ddim, pndm, euler, euler-ancestral, heun, dpmpp-2m, "
         "dpmpp-2m-karras; without it the model's own",
         "NAME"),
    TEXT("eta", '\0', ETA, "of ddim: 0 no noise in the steps, 1 as ddpm", "X"),
    TEXT("seed", '\0', SEED, "of a prompt's first picture, the next has N + 1; without it 0", "N"),
    TEXT("rng", '\0', RNG, "torch: the noise of diffusers on a CPU; without it philox",
         "philox|torch"),
    TEXT("width", '\0', WIDTH, "in pixels; without it what the model was trained on", "W"),
    TEXT("height", '\0', HEIGHT, "likewise", "H"),
    TEXT("batch", 'b', BATCH, "pictures that are computed together; without it 1", "N"),
    TEXT("count", 'c', COUNT, "pictures of each prompt; without it 1", "N"),
    TEXT("clip-skip", '\0', CLIP_SKIP,
         "layers of the text encoder to leave out, as diffusers "
         "counts; without it 0",
         "K"),
    TEXT("lora", 'l', LORA, "adapters to add, at this strength (1); may be given several times",
         "FILE[:STRENGTH]"),
    TEXT("image", 'i', IMAGE, "start from this picture", "FILE"),
    TEXT("strength", '\0', STRENGTH, "how far from --image: the part of the steps; without it 0.8",
         "X"),
    TEXT("original-size", '\0', ORIGINAL, "sdxl: the size that it shall paint as if", "WxH"),
    TEXT("crop", '\0', CROP, "sdxl: the corner that it shall paint as if cropped at", "XxY"),
    TEXT("target-size", '\0', TARGET, "sdxl: without it the picture's own", "WxH"),
    TEXT("tiles", '\0', TILES, "decode by tiles; auto: above 1.5 megapixels", "auto|on|off"),
    TEXT("format", 'f', FORMAT, "of the files in DIR; without it png", "png|jpeg|webp"),
    TEXT("quality", '\0', QUALITY, "of jpeg and webp, 1 to 100; without it 75 and 80", "N"),
    TEXT("preview", '\0', PREVIEW, "all pictures (the first 64) on one sheet", "FILE"),
    TEXT("latents", '\0', LATENTS,
         "the latents of every step, as safetensors, to compare with other "
         "programs; for one batch",
         "FILE"),
    FLAG("hash", HASH, "name the model by the SHA-256 of its file; without it by a cheap identity"),
    TEXT("tokenizer", '\0', TOKENIZER, "diffusers directory with the tokenizers of a single file",
         "DIR"),
    TEXT("cleaning", '\0', CLEANING, "fast (as diffusers), slow-ftfy, slow, openai, open-clip",
         "NAME"),
    FLAG("plain-pad", PLAIN_PAD, "sd2, sdxl: a \"!\" in a prompt is text, not padding"),
    TEXT("type", '\0', TYPE, "take the model for this, whatever its tensors tell", "sd1|sd2|sdxl"),
    TEXT("variant", '\0', VARIANT, "which files of a directory, e.g. fp16", "NAME"),
    TEXT("config", '\0', CONFIG, "diffusers directory with the configurations of a single file",
         "DIR"),
    TEXT("prediction", '\0', PREDICTION, "what the model predicts, where it does not tell",
         "epsilon|v_prediction"),
    TEXT("threads", '\0', THREADS, "without it all cores that this process may use", "N"),
    POPT_TABLEEND};
