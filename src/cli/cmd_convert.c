// bdpo convert: the same model in another layout or dtype.
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/write_options.h"

enum { TO = 1, DTYPE, PREDICTION, TYPE, VARIANT, CONFIG, TOKENIZER };
enum { MAX_PARTS = 8 };

typedef struct options {
    bdpo_checkpoint_options open;
    bdpo_write_options write;
    const char *tokenizers;
} options;

// ---- options -----------------------------------------------------------------------------------

static bool take(options *o, int option, bdpo_invocation *invocation)
{
    if (option == TO) return bdpo_take_layout(&o->write, invocation);
    if (option == DTYPE) return bdpo_take_dtype(&o->write, invocation);
    const char *text = bdpo_option_text(invocation);
    bdpo_model_type type;
    switch (option) {
    case PREDICTION:
        if (text && bdpo_prediction_parse(&o->open.prediction, text) == BDPO_OK) return true;
        bdpo_usage_error(invocation, "%s", bdpo_message());
        return false;
    case TYPE:
        o->open.type = text;
        if (text && bdpo_model_type_parse(&type, text) == BDPO_OK) return true;
        bdpo_usage_error(invocation, "%s", bdpo_message());
        return false;
    case VARIANT:
        o->open.variant = text;
        return true;
    case CONFIG:
        o->open.configs = text;
        return true;
    case TOKENIZER:
        o->tokenizers = text;
        return true;
    default:
        return false;
    }
}

// ---- converting --------------------------------------------------------------------------------

// What comes out of the model that did not stand in the file, or does not come along, is told.
static void warn(bdpo_log *log, const bdpo_checkpoint *c, const bdpo_model_to_write *model,
                 bool single)
{
    bdpo_model_type type = bdpo_checkpoint_get_info(c).type;
    const bdpo_component *part;
    for (int i = 0; i < bdpo_model_type_count(type); i++)
        if (bdpo_checkpoint_find(&part, c, bdpo_model_type_at(type, i)->name) != BDPO_OK)
            bdpo_log_write(log, BDPO_LOG_WARNING, "%s", bdpo_message());
    size_t strangers = bdpo_checkpoint_n_strangers(c);
    if (strangers > 0)
        bdpo_log_write(log, BDPO_LOG_WARNING,
                       "%zu tensors belong to no component and are left out (see bdpo inspect -t)",
                       strangers);
    if (json_is_string(
            json_array_get(json_object_get(bdpo_checkpoint_index(c), "safety_checker"), 0)))
        bdpo_log_write(log, BDPO_LOG_INFO, "the safety checker is left out");
    if (!single && !model->tokenizers)
        bdpo_log_write(
            log, BDPO_LOG_WARNING,
            "no tokenizer is written, since there is none in %s: give --tokenizer DIR, a diffusers "
            "directory of the same family",
            bdpo_checkpoint_get_info(c).path);
}

// Nothing is written that would not load: every tensor must be one that the configuration asks for.
static bdpo_status check_part(const bdpo_component *part)
{
    bdpo_param_list *needed;
    TRY(bdpo_param_list_new(&needed));
    bdpo_status status = bdpo_component_params(needed, bdpo_component_get_source(part));
    if (status == BDPO_OK) status = bdpo_component_check(part, needed);
    bdpo_param_list_free(needed);
    return status;
}

static bdpo_status check_parts(const bdpo_checkpoint *c)
{
    for (int i = 0; i < bdpo_checkpoint_count(c); i++) TRY(check_part(bdpo_checkpoint_at(c, i)));
    return BDPO_OK;
}

static bdpo_status write(const bdpo_checkpoint *c, const char *path, const options *o,
                         bdpo_log *log)
{
    bdpo_part_to_write parts[MAX_PARTS];
    BDPO_ASSERT(bdpo_checkpoint_count(c) <= MAX_PARTS);
    TRY(bdpo_checkpoint_check_usable(c));
    TRY(check_parts(c));
    bdpo_parts_of_checkpoint(parts, c);
    bdpo_model_to_write model = {
        .checkpoint = c,
        .parts = parts,
        .n_parts = bdpo_checkpoint_count(c),
        .dtype = o->write.dtype,
        .tokenizers = o->tokenizers ? o->tokenizers : bdpo_checkpoint_tokenizers(c),
        .interrupted = bdpo_interrupt_noted,
    };
    warn(log, c, &model, o->write.single);
    return o->write.single ? bdpo_model_write_single(path, &model)
                           : bdpo_model_write_directory(path, &model);
}

static bdpo_status convert(const bdpo_invocation *invocation, const options *o)
{
    bdpo_checkpoint *checkpoint;
    TRY(bdpo_checkpoint_open(&checkpoint, invocation->arguments[0], &o->open));
    bdpo_status status = write(checkpoint, invocation->arguments[1], o, invocation->log);
    if (status == BDPO_OK)
        bdpo_tell_written(invocation, checkpoint, invocation->arguments[1], &o->write);
    bdpo_checkpoint_close(checkpoint);
    return status;
}

static int run(bdpo_invocation *invocation)
{
    options o = {0};
    for (int option; (option = bdpo_next_option(invocation)) != 0;)
        if (option < 0 || !take(&o, option, invocation)) return BDPO_EXIT_USAGE;
    bdpo_settle_layout(&o.write, invocation->arguments[1]);
    bdpo_interrupt_catch();
    return bdpo_exit_code(convert(invocation, &o));
}

static const struct poptOption table[] = {
    BDPO_WRITE_OPTION_ROWS(TO, DTYPE),
    {"prediction", '\0', POPT_ARG_STRING, NULL, PREDICTION,
     "what the model predicts, where IN does not tell or is wrong", "epsilon|v_prediction"},
    {"type", '\0', POPT_ARG_STRING, NULL, TYPE, "take IN for this, whatever its tensors tell",
     "sd1|sd2|sdxl"},
    {"variant", '\0', POPT_ARG_STRING, NULL, VARIANT, "which files of a directory, e.g. fp16",
     "NAME"},
    {"config", '\0', POPT_ARG_STRING, NULL, CONFIG,
     "diffusers directory whose configurations a single file shall have", "DIR"},
    {"tokenizer", '\0', POPT_ARG_STRING, NULL, TOKENIZER,
     "diffusers directory from which to copy the tokenizers", "DIR"},
    POPT_TABLEEND};

static const bdpo_example examples[] = {
    {"bdpo convert sd15/ sd15.safetensors --dtype f16",
     "a directory as one file, in half precision"},
    {"bdpo convert model.ckpt model/ --tokenizer sd15/", "a single file as a diffusers directory"},
    {"bdpo convert v2.ckpt v2/ --prediction v_prediction --tokenizer sd21/",
     "an SD 2 file, which does not say what it predicts"},
    {NULL, NULL}};

const bdpo_command bdpo_cmd_convert = {
    .name = "convert",
    .arguments = "IN OUT",
    .summary = "the same model in another layout",
    .text =
        "Reads a diffusers directory or a single file and writes the model as the other, or as\n"
        "the same in another dtype. What is written loads in diffusers: a directory by\n"
        "from_pretrained, a single file by from_single_file.",
    .options = table,
    .examples = examples,
    .n_arguments = 2,
    .run = run,
};
