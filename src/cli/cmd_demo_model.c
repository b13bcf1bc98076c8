// bdpo demo-model: a small model with random weights, to try everything on.
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/option_numbers.h"
#include "models/demo_model.h"

enum { SEED = 1, LAYOUT, SIZE };

typedef struct options {
    bdpo_demo_model model;
    int single;
} options;

static bool take(options *o, int option, bdpo_invocation *invocation)
{
    static const char *const layouts[] = {"diffusers", "single", NULL};
    static const char *const sizes[] = {"tiny", "small", NULL};
    int size = 0;
    switch (option) {
    case SEED:
        return bdpo_option_seed(&o->model.seed, invocation, "--seed");
    case LAYOUT:
        return bdpo_option_word(&o->single, invocation, "--layout", layouts);
    case SIZE:
        if (!bdpo_option_word(&size, invocation, "--size", sizes)) return false;
        o->model.size = size ? BDPO_DEMO_SMALL : BDPO_DEMO_TINY;
        return true;
    default:
        return false;
    }
}

// "model.safetensors" has its configurations in "model".
static bdpo_status configs_of(char out[BDPO_PATH_BYTES], const char *path)
{
    static const char suffix[] = ".safetensors";
    size_t length = strlen(path), end = strlen(suffix);
    if (length <= end || length >= BDPO_PATH_BYTES || strcmp(path + length - end, suffix) != 0)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: a single file is called *%s", path, suffix);
    memcpy(out, path, length - end);
    out[length - end] = '\0';
    return BDPO_OK;
}

static bdpo_status write(const bdpo_invocation *invocation, const options *o)
{
    const char *path = invocation->arguments[1];
    char configs[BDPO_PATH_BYTES] = "";
    if (o->single) {
        TRY(configs_of(configs, path));
        TRY(bdpo_demo_model_write_single(path, configs, &o->model));
    } else {
        TRY(bdpo_demo_model_write(path, &o->model));
    }
    const char *type = bdpo_model_type_name(o->model.type);
    if (!invocation->json) {
        printf("%s\n", path);
        if (o->single) printf("%s\n", configs);
        return BDPO_OK;
    }
    json_t *result = json_pack("{s:s, s:s, s:I, s:s*}", "path", path, "type", type, "seed",
                               (json_int_t)o->model.seed, "configs", o->single ? configs : NULL);
    if (!result) return bdpo_fail(BDPO_NO_MEMORY, "no memory for the result");
    json_dumpf(result, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(result);
    return BDPO_OK;
}

static int run(bdpo_invocation *invocation)
{
    options o = {.model = {.interrupted = bdpo_interrupt_noted}};
    for (int option; (option = bdpo_next_option(invocation)) != 0;)
        if (option < 0 || !take(&o, option, invocation)) return BDPO_EXIT_USAGE;
    if (bdpo_model_type_parse(&o.model.type, invocation->arguments[0]) != BDPO_OK)
        return bdpo_usage_error(invocation, "%s", bdpo_message());
    bdpo_interrupt_catch();
    return bdpo_exit_code(write(invocation, &o));
}

static const struct poptOption table[] = {
    {"seed", '\0', POPT_ARG_STRING, NULL, SEED, "of the weights; without it 0", "N"},
    {"size", '\0', POPT_ARG_STRING, NULL, SIZE,
     "tiny: pictures of 128 pixels (the usual); small: of 256, for timing", "tiny|small"},
    {"layout", '\0', POPT_ARG_STRING, NULL, LAYOUT,
     "a directory, or one file OUT.safetensors and its configurations in OUT", "diffusers|single"},
    POPT_TABLEEND};

static const bdpo_example examples[] = {
    {"bdpo demo-model sd1 demo", "a model of SD 1.5's kind in the directory demo"},
    {"bdpo sample demo --prompt \"a cat\" --steps 20", "a (meaningless) picture from it"},
    {"bdpo demo-model sdxl xl.safetensors --layout single",
     "one file; bdpo sample xl.safetensors --config xl"},
    {NULL, NULL}};

const bdpo_command bdpo_cmd_demo_model = {
    .name = "demo-model",
    .arguments = "sd1|sd2|sdxl OUT",
    .summary = "a small random model in the real layout",
    .text =
        "Writes a checkpoint of one of the families that differs from the published ones in\n"
        "size only: configurations, tokenizers, scheduler and weights. diffusers loads it, and\n"
        "so does every command here. The same seed gives the same weights on every machine.",
    .options = table,
    .examples = examples,
    .n_arguments = 2,
    .run = run,
};
