// The options of write_options.h.
#include "cli/write_options.h"

#include <string.h>

// The position of a word in a list that NULL ends; -1 where it is not there.
static int position(const char *const *words, const char *word)
{
    for (int i = 0; words[i]; i++)
        if (word && strcmp(words[i], word) == 0) return i;
    return -1;
}

bool bdpo_take_layout(bdpo_write_options *o, bdpo_invocation *invocation)
{
    static const char *const layouts[] = {"diffusers", "single", NULL};
    const char *text = bdpo_option_text(invocation);
    int at = position(layouts, text);
    o->chosen = true;
    o->single = at == 1;
    if (at < 0) bdpo_usage_error(invocation, "--to takes diffusers or single, not %s", text);
    return at >= 0;
}

bool bdpo_take_dtype(bdpo_write_options *o, bdpo_invocation *invocation)
{
    static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};
    const char *text = bdpo_option_text(invocation);
    int at = position(dtypes, text);
    o->dtype = (bdpo_write_dtype)(at + 1);
    if (at < 0) bdpo_usage_error(invocation, "--dtype takes f32, f16 or bf16, not %s", text);
    return at >= 0;
}

void bdpo_settle_layout(bdpo_write_options *o, const char *out)
{
    static const char suffix[] = ".safetensors";
    size_t n = strlen(out), k = sizeof suffix - 1;
    if (!o->chosen) o->single = n >= k && strcmp(out + n - k, suffix) == 0;
}

void bdpo_tell_written(const bdpo_invocation *invocation, const bdpo_checkpoint *checkpoint,
                       const char *out, const bdpo_write_options *o)
{
    bdpo_checkpoint_info info = bdpo_checkpoint_get_info(checkpoint);
    const char *type = bdpo_model_type_name(info.type),
               *layout = o->single ? "single" : "diffusers";
    const char *prediction = bdpo_prediction_name(info.prediction);
    if (!invocation->json) {
        printf("%s: %s, %s, %s\n", out, type, prediction, layout);
        return;
    }
    json_t *result = json_pack("{s:s, s:s, s:s, s:s}", "path", out, "type", type, "prediction",
                               prediction, "layout", layout);
    if (result) json_dumpf(result, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(result);
}
