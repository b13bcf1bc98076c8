// bdpo inspect: a report on a checkpoint, gathered as JSON, printed as that or as text.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/checkpoint_hashes.h"
#include "cli/commands.h"
#include "models/checkpoint.h"

enum { TENSORS = 1, HASH, TYPE, VARIANT, CONFIG };

typedef struct options {
    bool tensors, hash;
    bdpo_checkpoint_options open;
} options;

// ---- gathering ---------------------------------------------------------------------------------

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static void count_tensor(json_t *into, const bdpo_stored_tensor *t)
{
    static const char *const sums[] = {"tensors", "parameters", "bytes"};
    const json_int_t more[] = {1, (json_int_t)t->count, (json_int_t)t->size_bytes};
    for (int i = 0; i < 3; i++) {
        json_int_t old = json_integer_value(json_object_get(into, sums[i]));
        json_object_set_new(into, sums[i], json_integer(old + more[i]));
    }
    json_t *dtypes = json_object_get(into, "dtypes");
    const char *dtype = bdpo_stored_dtype_name(t->dtype);
    json_int_t old = json_integer_value(json_object_get(dtypes, dtype));
    json_object_set_new(dtypes, dtype, json_integer(old + 1));
}

static json_t *sums_new(void)
{
    return json_pack("{s:i, s:i, s:i, s:{}}", "tensors", 0, "parameters", 0, "bytes", 0, "dtypes");
}

static json_t *gather_component(const bdpo_component *c)
{
    const bdpo_component_source *s = bdpo_component_get_source(c);
    json_t *out = sums_new();
    json_object_set_new(out, "name", json_string(s->spec->name));
    json_object_set_new(out, "file", json_string(bdpo_tensor_file_path(s->file)));
    json_object_set_new(out, "left_over", json_integer((json_int_t)bdpo_component_n_strays(c)));
    for (size_t i = 0; i < bdpo_component_count(c); i++)
        count_tensor(out, &bdpo_component_at(c, i)->tensor);
    return out;
}

static json_t *gather_tensor(const bdpo_stored_tensor *t)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->n_dims; i++) json_array_append_new(shape, json_integer(t->dim[i]));
    return json_pack("{s:s, s:s, s:o}", "name", t->name, "dtype", bdpo_stored_dtype_name(t->dtype),
                     "shape", shape);
}

static json_t *gather_metadata(const bdpo_tensor_file *file)
{
    json_t *out = json_object();
    for (size_t i = 0; i < bdpo_tensor_file_n_values(file); i++) {
        const bdpo_file_value *v = bdpo_tensor_file_value_at(file, i);
        json_t *value = NULL;
        switch (v->kind) {
        case BDPO_FILE_TEXT:
            value = json_stringn(v->text, v->length);
            break;
        case BDPO_FILE_INT:
            value = json_integer(v->integer);
            break;
        case BDPO_FILE_FLOAT:
            value = json_real(v->number);
            break;
        case BDPO_FILE_BOOL:
            value = json_boolean(v->integer != 0);
            break;
        case BDPO_FILE_BYTES:
            break; // of a pickle: nothing to read
        }
        if (value) json_object_set_new(out, v->name, value);
    }
    return out;
}

static json_t *gather_file(const bdpo_tensor_file *file, bool tensors)
{
    json_t *out = sums_new();
    json_object_set_new(out, "path", json_string(bdpo_tensor_file_path(file)));
    json_object_set_new(out, "format", json_string(bdpo_tensor_file_format(file)));
    json_object_set_new(out, "metadata", gather_metadata(file));
    json_t *list = json_array();
    for (size_t i = 0; i < bdpo_tensor_file_count(file); i++) {
        const bdpo_stored_tensor *t = bdpo_tensor_file_at(file, i);
        count_tensor(out, t);
        if (tensors) json_array_append_new(list, gather_tensor(t));
    }
    if (tensors)
        json_object_set_new(out, "tensor_list", list);
    else
        json_decref(list);
    return out;
}

// What else holds tensors: the names tell a LoRA and who wrote it.
static const char *content_of(const bdpo_checkpoint *c)
{
    static const char *const marks[][2] = {{".lora_down.weight", "LoRA, kohya's names"},
                                           {".lora_A.weight", "LoRA, PEFT's names"},
                                           {".lora.down.weight", "LoRA, diffusers' old names"}};
    const bdpo_tensor_file *file = bdpo_checkpoint_file(c, 0);
    for (size_t i = 0; i < bdpo_tensor_file_count(file); i++)
        for (size_t k = 0; k < BDPO_COUNTOF(marks); k++)
            if (strstr(bdpo_tensor_file_at(file, i)->name, marks[k][0])) return marks[k][1];
    return NULL;
}

static void gather_kind(json_t *report, const bdpo_checkpoint *c)
{
    bdpo_checkpoint_info info = bdpo_checkpoint_get_info(c);
    bool whole = info.layout == BDPO_LAYOUT_DIRECTORY || info.layout == BDPO_LAYOUT_SINGLE_FILE;
    json_object_set_new(report, "path", json_string(info.path));
    json_object_set_new(report, "layout", json_string(bdpo_layout_name(info.layout)));
    json_object_set_new(report, "type",
                        text_or_null(info.known_type ? bdpo_model_type_name(info.type) : NULL));
    json_object_set_new(report, "content",
                        text_or_null(info.layout == BDPO_LAYOUT_TENSORS ? content_of(c)
                                     : info.in_channels == 9            ? "inpainting model"
                                     : info.in_channels == 8            ? "editing model"
                                                                        : NULL));
    json_object_set_new(
        report, "prediction",
        text_or_null(whole && info.known_type ? bdpo_prediction_name(info.prediction) : NULL));
}

static bdpo_status gather(json_t *report, const bdpo_checkpoint *c, const options *o)
{
    json_t *components = json_array(), *files = json_array();
    gather_kind(report, c);
    json_object_set_new(report, "components", components);
    json_object_set_new(report, "files", files);
    for (int i = 0; i < bdpo_checkpoint_count(c); i++)
        json_array_append_new(components, gather_component(bdpo_checkpoint_at(c, i)));
    json_object_set_new(report, "other_tensors",
                        json_integer((json_int_t)bdpo_checkpoint_n_strangers(c)));
    for (int i = 0; i < bdpo_checkpoint_n_files(c); i++) {
        json_t *file = gather_file(bdpo_checkpoint_file(c, i), o->tensors);
        json_array_append_new(files, file);
        if (o->hash) TRY(bdpo_checkpoint_hashes(file, bdpo_checkpoint_file(c, i)));
    }
    return BDPO_OK;
}

// ---- printing ----------------------------------------------------------------------------------

// 859520964 as "859,520,964".
static const char *grouped(char out[32], json_int_t number)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, number), k = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = '\0';
    return out;
}

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *word(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

// "F16", or "F16 680, F32 6" where they are mixed.
static void print_dtypes(json_t *sums)
{
    json_t *dtypes = json_object_get(sums, "dtypes"), *count;
    const char *name, *separator = "";
    json_object_foreach(dtypes, name, count)
    {
        printf("%s%s", separator, name);
        if (json_object_size(dtypes) > 1)
            printf(" %" JSON_INTEGER_FORMAT, json_integer_value(count));
        separator = ", ";
    }
}

static void print_row(const char *label, json_t *sums)
{
    char tensors[32], parameters[32], bytes[32];
    printf("%-16s %8s %16s %16s  ", label, grouped(tensors, number(sums, "tensors")),
           grouped(parameters, number(sums, "parameters")), grouped(bytes, number(sums, "bytes")));
    print_dtypes(sums);
    if (number(sums, "left_over") > 0)
        printf("; %" JSON_INTEGER_FORMAT " left over", number(sums, "left_over"));
    printf("\n");
}

static void print_tensor(json_t *tensor)
{
    json_t *shape = json_object_get(tensor, "shape"), *dim;
    size_t i;
    printf("  %-5s [", word(tensor, "dtype"));
    json_array_foreach(shape, i, dim)
    {
        printf("%s%" JSON_INTEGER_FORMAT, i ? ", " : "", json_integer_value(dim));
    }
    printf("]  %s\n", word(tensor, "name"));
}

// What all safetensors files of PyTorch say, {"format": "pt"}, is no news.
static bool has_news(json_t *metadata)
{
    return json_object_size(metadata) > (json_object_get(metadata, "format") ? 1u : 0u);
}

static void print_file(json_t *file, bool with_path)
{
    json_t *value, *metadata = json_object_get(file, "metadata");
    if (!has_news(metadata)) metadata = NULL;
    json_t *hashes = json_object_get(file, "hashes"), *list = json_object_get(file, "tensor_list");
    const char *key;
    size_t i;
    if (with_path && (json_object_size(metadata) || hashes || list))
        printf("\n%s\n", word(file, "path"));
    if (json_object_size(metadata)) printf("\nmetadata\n");
    json_object_foreach(metadata, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        printf("  %s: %s\n", key, json_is_string(value) ? json_string_value(value) : text);
        free(text);
    }
    if (hashes) printf("\nhashes\n");
    json_object_foreach(hashes, key, value)
    {
        printf("  %-18s %s\n", key, json_string_value(value));
    }
    if (list) printf("\ntensors\n");
    json_array_foreach(list, i, value)
    {
        print_tensor(value);
    }
}

static void print_text(json_t *report)
{
    json_t *files = json_object_get(report, "files"), *value;
    json_t *components = json_object_get(report, "components");
    size_t i;
    printf("%s\n", word(report, "path"));
    printf("layout      %s (%s)\n", word(report, "layout"),
           word(json_array_get(files, 0), "format"));
    if (word(report, "type")) printf("type        %s\n", word(report, "type"));
    if (word(report, "content")) printf("content     %s\n", word(report, "content"));
    if (word(report, "prediction")) printf("prediction  %s\n", word(report, "prediction"));
    printf("\n%-16s %8s %16s %16s  %s\n", "", "tensors", "parameters", "bytes", "dtype");
    json_array_foreach(components, i, value)
    {
        print_row(word(value, "name"), value);
    }
    json_array_foreach(files, i, value)
    {
        if (json_array_size(files) == 1) print_row("file", value);
    }
    if (number(report, "other_tensors") > 0)
        printf("%-16s %8" JSON_INTEGER_FORMAT "\n", "of no component",
               number(report, "other_tensors"));
    json_array_foreach(files, i, value)
    {
        print_file(value, json_array_size(files) > 1);
    }
}

static void print_json(json_t *report)
{
    char *text = json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (text) printf("%s\n", text);
    free(text);
}

// ---- the command -------------------------------------------------------------------------------

static bdpo_status inspect(const bdpo_invocation *invocation, const options *o)
{
    bdpo_checkpoint *checkpoint;
    TRY(bdpo_checkpoint_open(&checkpoint, invocation->arguments[0], &o->open));
    json_t *report = json_object();
    bdpo_status status = report ? gather(report, checkpoint, o)
                                : bdpo_fail(BDPO_NO_MEMORY, "no memory for the report");
    if (status == BDPO_OK && invocation->json) print_json(report);
    if (status == BDPO_OK && !invocation->json) print_text(report);
    json_decref(report);
    bdpo_checkpoint_close(checkpoint);
    return status;
}

static int run(bdpo_invocation *invocation)
{
    options o = {0};
    for (int option; (option = bdpo_next_option(invocation)) != 0;) {
        switch (option) {
        case TENSORS:
            o.tensors = true;
            break;
        case HASH:
            o.hash = true;
            break;
        case TYPE:
            o.open.type = bdpo_option_text(invocation);
            break;
        case CONFIG:
            o.open.configs = bdpo_option_text(invocation);
            break;
        case VARIANT:
            o.open.variant = bdpo_option_text(invocation);
            break;
        default:
            return BDPO_EXIT_USAGE;
        }
    }
    bdpo_model_type type;
    if (o.open.type && bdpo_model_type_parse(&type, o.open.type) != BDPO_OK)
        return bdpo_usage_error(invocation, "%s", bdpo_message());
    return bdpo_exit_code(inspect(invocation, &o));
}

static const struct poptOption table[] = {
    {"tensors", 't', POPT_ARG_NONE, NULL, TENSORS, "list every tensor: dtype, shape, name", NULL},
    {"hash", '\0', POPT_ARG_NONE, NULL, HASH, "hashes of each file, as other programs show them",
     NULL},
    {"type", '\0', POPT_ARG_STRING, NULL, TYPE,
     "take the model for this, whatever its tensors tell", "sd1|sd2|sdxl"},
    {"variant", '\0', POPT_ARG_STRING, NULL, VARIANT, "which files of a directory, e.g. fp16",
     "NAME"},
    {"config", '\0', POPT_ARG_STRING, NULL, CONFIG,
     "diffusers directory whose configurations a single file shall have", "DIR"},
    POPT_TABLEEND};

static const bdpo_example examples[] = {
    {"bdpo inspect sd15/", "a diffusers directory: components, parameters, dtypes"},
    {"bdpo inspect --hash model.safetensors", "a single file, with the hashes of webui and kohya"},
    {"bdpo inspect --tensors lora.safetensors", "every tensor of any file"},
    {"bdpo inspect --json model.ckpt", "the same for machines"},
    {NULL, NULL}};

const bdpo_command bdpo_cmd_inspect = {
    .name = "inspect",
    .arguments = "FILE|DIR",
    .summary = "what is in a checkpoint",
    .text = "Reads a diffusers directory, a single file (.safetensors, .ckpt, .pt), one component\n"
            "or any file of tensors, and tells type, components, sizes and metadata. Weights are\n"
            "not read, except for --hash.",
    .options = table,
    .examples = examples,
    .n_arguments = 1,
    .run = run,
};
