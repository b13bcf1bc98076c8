// bdpo merge: adapters (LoRA) added into the weights of a model.
#include "base/threads.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/lora_argument.h"
#include "cli/write_options.h"

enum { LORA = 1, TO, DTYPE };
enum { MAX_PARTS = 8 };

typedef struct options {
    bdpo_lora_arguments loras;
    bdpo_write_options write;
} options;

// What is merged, and the stores from which the result is written.
typedef struct merge {
    bdpo_engine *engine;
    bdpo_checkpoint *checkpoint;
    bdpo_lora_source sources[BDPO_MAX_LORAS];
    int n_sources, n_threads;
    bdpo_part_to_write parts[MAX_PARTS];
    bdpo_param_list *params[MAX_PARTS]; // of parts[]; NULL where nothing was merged
    bdpo_store *stores[MAX_PARTS];
} merge;

// ---- options -----------------------------------------------------------------------------------

static bool take(options *o, int option, bdpo_invocation *invocation)
{
    switch (option) {
    case LORA:
        return bdpo_take_lora(&o->loras, invocation);
    case TO:
        return bdpo_take_layout(&o->write, invocation);
    case DTYPE:
        return bdpo_take_dtype(&o->write, invocation);
    default:
        return false;
    }
}

// ---- merging -----------------------------------------------------------------------------------

static bdpo_status load(merge *m, int part)
{
    const bdpo_component *component = m->parts[part].component;
    bdpo_load_options f32 = {.trainable = true};
    TRY(bdpo_store_new(&m->stores[part], m->engine));
    TRY(bdpo_component_declare(component, m->params[part], m->stores[part], &f32));
    TRY(bdpo_store_seal(m->stores[part]));
    return bdpo_component_fill(component, m->params[part], m->stores[part]);
}

// Only what an adapter touches is read into memory.
static bdpo_status count_adapters(int *out, const merge *m, const bdpo_lora_component *component)
{
    bdpo_lora *lora;
    TRY(bdpo_lora_new(&lora));
    bdpo_status status = bdpo_lora_files_target(lora, m->sources, m->n_sources, component);
    *out = bdpo_lora_count(lora);
    bdpo_lora_free(lora);
    return status;
}

static bdpo_status merge_part(merge *m, int part, bdpo_log *log)
{
    const bdpo_component *c = m->parts[part].component;
    const char *name = bdpo_component_get_source(c)->spec->name;
    int n_adapters;
    TRY(bdpo_param_list_new(&m->params[part]));
    TRY(bdpo_component_params(m->params[part], bdpo_component_get_source(c)));
    TRY(bdpo_param_list_check(m->params[part]));
    bdpo_lora_component component = {name, m->params[part], bdpo_component_naming(c)};
    TRY(count_adapters(&n_adapters, m, &component));
    if (n_adapters == 0) return BDPO_OK;
    TRY(load(m, part));
    for (int i = 0; i < m->n_sources; i++) {
        int n_merged;
        TRY(bdpo_lora_file_merge(&n_merged, m->stores[part], &m->sources[i], &component,
                                 m->n_threads));
        bdpo_log_write(log, BDPO_LOG_INFO, "%s: %d layers of %s changed", name, n_merged,
                       bdpo_lora_file_path(m->sources[i].file));
        if (bdpo_interrupt_noted()) return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
    }
    m->parts[part].params = m->params[part];
    m->parts[part].store = m->stores[part];
    return BDPO_OK;
}

static bdpo_status write(const merge *m, const char *path, const options *o)
{
    bdpo_model_to_write model = {
        .checkpoint = m->checkpoint,
        .parts = m->parts,
        .n_parts = bdpo_checkpoint_count(m->checkpoint),
        .dtype = o->write.dtype,
        .tokenizers = bdpo_checkpoint_tokenizers(m->checkpoint),
        .interrupted = bdpo_interrupt_noted,
    };
    return o->write.single ? bdpo_model_write_single(path, &model)
                           : bdpo_model_write_directory(path, &model);
}

static bdpo_status merge_all(merge *m, const bdpo_invocation *invocation, const options *o)
{
    m->n_threads = bdpo_threads_choose();
    TRY(bdpo_engine_new(&m->engine, &(bdpo_engine_options){.n_threads = m->n_threads}));
    TRY(bdpo_checkpoint_open(&m->checkpoint, invocation->arguments[0], NULL));
    TRY(bdpo_checkpoint_check_usable(m->checkpoint));
    TRY(bdpo_lora_arguments_open(m->sources, &m->n_sources, &o->loras));
    BDPO_ASSERT(bdpo_checkpoint_count(m->checkpoint) <= MAX_PARTS);
    bdpo_parts_of_checkpoint(m->parts, m->checkpoint);
    for (int i = 0; i < bdpo_checkpoint_count(m->checkpoint); i++)
        TRY(merge_part(m, i, invocation->log));
    for (int i = 0; i < m->n_sources; i++) TRY(bdpo_lora_file_check_used(m->sources[i].file));
    TRY(write(m, invocation->arguments[1], o));
    bdpo_tell_written(invocation, m->checkpoint, invocation->arguments[1], &o->write);
    return BDPO_OK;
}

static void release(merge *m)
{
    for (int i = 0; i < MAX_PARTS; i++) {
        bdpo_store_free(m->stores[i]);
        bdpo_param_list_free(m->params[i]);
    }
    bdpo_lora_sources_close(m->sources, m->n_sources);
    bdpo_checkpoint_close(m->checkpoint);
    bdpo_engine_free(m->engine);
}

static int run(bdpo_invocation *invocation)
{
    options o = {0};
    merge m = {0};
    for (int option; (option = bdpo_next_option(invocation)) != 0;)
        if (option < 0 || !take(&o, option, invocation)) return BDPO_EXIT_USAGE;
    if (o.loras.count == 0) return bdpo_usage_error(invocation, "give --lora FILE[:STRENGTH]");
    bdpo_settle_layout(&o.write, invocation->arguments[1]);
    bdpo_interrupt_catch();
    bdpo_status status = merge_all(&m, invocation, &o);
    release(&m);
    return bdpo_exit_code(status);
}

static const struct poptOption table[] = {
    {"lora", '\0', POPT_ARG_STRING, NULL, LORA,
     "adapters to add, at this strength (1); may be given several times", "FILE[:STRENGTH]"},
    BDPO_WRITE_OPTION_ROWS(TO, DTYPE),
    POPT_TABLEEND};

static const bdpo_example examples[] = {
    {"bdpo merge sd15/ sd15-style/ --lora style.safetensors:0.8",
     "a model with one LoRA at strength 0.8"},
    {"bdpo merge sdxl/ out.safetensors --lora a.safetensors --lora b/ --dtype f16",
     "two LoRAs, as a single file in half precision"},
    {NULL, NULL}};

const bdpo_command bdpo_cmd_merge = {
    .name = "merge",
    .arguments = "IN OUT",
    .summary = "a model with adapters (LoRA) added into its weights",
    .text = "Adds strength alpha / rank B A to the weight of each layer that a LoRA file adapts,\n"
            "in f32, and writes the model. Files of diffusers, PEFT and kohya's tools are read;\n"
            "one that has a tensor without a place in the model is refused.",
    .options = table,
    .examples = examples,
    .n_arguments = 2,
    .computes = true,
    .run = run,
};
