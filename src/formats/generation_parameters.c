// Writing and reading the parameters text. The reader follows the web user interface's pattern:
// a key, a colon, then a JSON string up to a comma or else all up to the next comma.
#include "formats/generation_parameters.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "formats/growing.h"

static bdpo_status no_memory(void)
{
    return bdpo_fail(BDPO_NO_MEMORY, "generation parameters: no memory");
}

// ---- the fields' grammar -------------------------------------------------------------------

static bool is_word(char c) // bytes beyond ASCII are taken for letters
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *key_end(const char *p) // p itself where no key begins there
{
    if (!is_word(*p)) return p;
    while (is_word(*p) || *p == ' ' || *p == '-' || *p == '/') p++;
    return p;
}

// The end of a JSON string of one character or more that a comma or the end follows; else NULL.
static const char *quoted_end(const char *p)
{
    if (*p++ != '"') return NULL;
    const char *first = p;
    for (; *p && *p != '"'; p++)
        if (*p == '\\' && *++p == '\0') return NULL;
    return *p == '"' && p > first && (p[1] == ',' || p[1] == '\0') ? p + 1 : NULL;
}

typedef struct span {
    const char *text;
    size_t size;
} span;

// The next field at or after *at, which moves past it. False at the end.
static bool next_field(span *key, span *value, const char **at)
{
    for (const char *p = *at; *p;) {
        const char *end = key_end(p);
        if (end - p < 2 || *end != ':') { // no key begins in all this
            p = end > p ? end : p + 1;
            continue;
        }
        *key = (span){p, (size_t)(end - p)};
        for (p = end + 1; is_space(*p);) p++;
        end = quoted_end(p);
        if (!end) end = p + strcspn(p, ",");
        *value = (span){p, (size_t)(end - p)};
        *at = *end ? end + 1 : end;
        return true;
    }
    return false;
}

// ---- writing -------------------------------------------------------------------------------

static bdpo_status add(bdpo_growing *out, const char *text)
{
    return bdpo_growing_add_text(out, text) ? BDPO_OK : no_memory();
}

static bdpo_status add_value(bdpo_growing *out, const char *value)
{
    if (!strpbrk(value, ",:\n")) return add(out, value);
    json_t *string = json_string(value);
    char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    bdpo_status status =
        quoted ? add(out, quoted)
               : bdpo_fail(BDPO_BAD_ARGUMENT, "generation parameters: a value is not UTF-8");
    free(quoted);
    json_decref(string);
    return status;
}

// `started` is where the last line began: fields after the first are preceded by a comma.
static bdpo_status add_field(bdpo_growing *out, size_t started, const char *key, const char *value)
{
    if (!value) return BDPO_OK;
    const char *end = key_end(key);
    if (*end || end - key < 2)
        return bdpo_fail(BDPO_BAD_ARGUMENT,
                         "generation parameters: the key \"%s\" does not read back: expected "
                         "letters, digits, spaces, _, - and /",
                         key);
    if (out->size > started) TRY(add(out, ", "));
    TRY(add(out, key));
    TRY(add(out, ": "));
    return add_value(out, value);
}

static bdpo_status add_fields(bdpo_growing *out, const bdpo_generation_parameters *p)
{
    char steps[32], cfg_scale[32], seed[32], size[64];
    size_t started = out->size;
    snprintf(steps, sizeof steps, "%d", p->n_steps);
    snprintf(cfg_scale, sizeof cfg_scale, "%.15g", p->cfg_scale);
    snprintf(seed, sizeof seed, "%" PRIu64, p->seed);
    snprintf(size, sizeof size, "%dx%d", p->width, p->height);
    TRY(add_field(out, started, "Steps", p->n_steps > 0 ? steps : NULL));
    TRY(add_field(out, started, "Sampler", p->sampler));
    TRY(add_field(out, started, "CFG scale", p->has_cfg_scale ? cfg_scale : NULL));
    TRY(add_field(out, started, "Seed", p->has_seed ? seed : NULL));
    TRY(add_field(out, started, "Size", p->width > 0 && p->height > 0 ? size : NULL));
    TRY(add_field(out, started, "Model hash", p->model_hash));
    TRY(add_field(out, started, "Model", p->model));
    for (int i = 0; i < p->n_others; i++)
        TRY(add_field(out, started, p->others[i].key, p->others[i].value));
    return BDPO_OK;
}

static bdpo_status format(bdpo_growing *out, const bdpo_generation_parameters *p)
{
    TRY(add(out, p->prompt ? p->prompt : ""));
    if (p->negative_prompt && p->negative_prompt[0]) {
        TRY(add(out, "\nNegative prompt: "));
        TRY(add(out, p->negative_prompt));
    }
    TRY(add(out, "\n"));
    TRY(add_fields(out, p));
    return bdpo_growing_add(out, "", 1) ? BDPO_OK : no_memory();
}

bdpo_status bdpo_generation_format(char **out, const bdpo_generation_parameters *parameters)
{
    bdpo_growing text = {0};
    bdpo_status status = format(&text, parameters);
    if (status == BDPO_OK)
        *out = (char *)text.data;
    else
        bdpo_free(text.data);
    return status;
}

// ---- reading -------------------------------------------------------------------------------

static char *keep(bdpo_arena *arena, span s)
{
    char *text = bdpo_arena_alloc(arena, s.size + 1, 1);
    if (text && s.size > 0) memcpy(text, s.text, s.size);
    return text;
}

static span strip(span s)
{
    while (s.size > 0 && is_space(s.text[0])) s = (span){s.text + 1, s.size - 1};
    while (s.size > 0 && is_space(s.text[s.size - 1])) s.size--;
    return s;
}

// A JSON string is taken apart where it is one; anything else stays as it is.
static char *keep_value(bdpo_arena *arena, span s)
{
    if (s.size < 2 || s.text[0] != '"' || s.text[s.size - 1] != '"') return keep(arena, s);
    json_t *json = json_loadb(s.text, s.size, JSON_DECODE_ANY, NULL);
    char *text =
        json_is_string(json) ? bdpo_arena_strdup(arena, json_string_value(json)) : keep(arena, s);
    json_decref(json);
    return text;
}

static bool read_unsigned(uint64_t *out, const char *text, uint64_t limit)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *out = value;
    return errno == 0 && *end == '\0' && value <= limit;
}

static bool read_double(double *out, const char *text)
{
    char *end;
    if (!strchr("0123456789.-", text[0])) return false; // no "nan", no space
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= -1e9 && value <= 1e9)) return false;
    *out = value;
    return true;
}

static bool read_size(int *width, int *height, const char *text)
{
    char first[16];
    const char *x = strchr(text, 'x');
    uint64_t w, h;
    if (!x || (size_t)(x - text) >= sizeof first) return false;
    memcpy(first, text, (size_t)(x - text));
    first[x - text] = '\0';
    if (!read_unsigned(&w, first, INT32_MAX) || !read_unsigned(&h, x + 1, INT32_MAX)) return false;
    if (w == 0 || h == 0) return false;
    *width = (int)w;
    *height = (int)h;
    return true;
}

// True where `key` is one of the named fields and the value reads as such.
static bool take_known(bdpo_generation_parameters *out, const char *key, const char *value)
{
    uint64_t n;
    if (strcmp(key, "Steps") == 0 && read_unsigned(&n, value, INT32_MAX) && n > 0)
        return out->n_steps = (int)n, true;
    if (strcmp(key, "Sampler") == 0) return out->sampler = value, true;
    if (strcmp(key, "CFG scale") == 0)
        return out->has_cfg_scale = read_double(&out->cfg_scale, value);
    if (strcmp(key, "Seed") == 0)
        return out->has_seed = read_unsigned(&out->seed, value, UINT64_MAX);
    if (strcmp(key, "Size") == 0) return read_size(&out->width, &out->height, value);
    if (strcmp(key, "Model hash") == 0) return out->model_hash = value, true;
    if (strcmp(key, "Model") == 0) return out->model = value, true;
    return false;
}

static bdpo_status read_fields(bdpo_generation_parameters *out, const char *line, int n_fields)
{
    span key, value;
    bdpo_generation_field *others = bdpo_arena_alloc(out->arena, (size_t)n_fields, sizeof *others);
    if (!others) return no_memory();
    out->others = others;
    while (next_field(&key, &value, &line)) {
        bdpo_generation_field f = {keep(out->arena, key), keep_value(out->arena, value)};
        if (!f.key || !f.value) return no_memory();
        if (!take_known(out, f.key, f.value)) others[out->n_others++] = f;
    }
    return BDPO_OK;
}

static int count_fields(const char *line)
{
    int n = 0;
    span key, value;
    while (next_field(&key, &value, &line)) n++;
    return n;
}

// Adds a line to a prompt of several.
static bool add_line(bdpo_growing *prompt, span line)
{
    if (prompt->size > 0 && !bdpo_growing_add(prompt, "\n", 1)) return false;
    return bdpo_growing_add(prompt, line.text, line.size);
}

static bool split_prompts(bdpo_growing prompts[2], span text)
{
    static const char mark[] = "Negative prompt:";
    int which = 0;
    while (text.size > 0) {
        const char *end = memchr(text.text, '\n', text.size);
        size_t length = end ? (size_t)(end - text.text) : text.size;
        span line = strip((span){text.text, length});
        if (line.size >= sizeof mark - 1 && memcmp(line.text, mark, sizeof mark - 1) == 0) {
            which = 1;
            line = strip((span){line.text + sizeof mark - 1, line.size - (sizeof mark - 1)});
        }
        if (!add_line(&prompts[which], line)) return false;
        length += end != NULL;
        text = (span){text.text + length, text.size - length};
    }
    return true;
}

static bdpo_status read_prompts(bdpo_generation_parameters *out, span text)
{
    bdpo_growing prompts[2] = {0};
    bool ok = split_prompts(prompts, text);
    if (ok) {
        out->prompt = keep(out->arena, (span){(char *)prompts[0].data, prompts[0].size});
        ok = out->prompt != NULL;
    }
    if (ok && prompts[1].size > 0) {
        out->negative_prompt = keep(out->arena, (span){(char *)prompts[1].data, prompts[1].size});
        ok = out->negative_prompt != NULL;
    }
    bdpo_free(prompts[0].data);
    bdpo_free(prompts[1].data);
    return ok ? BDPO_OK : no_memory();
}

static bdpo_status parse(bdpo_generation_parameters *out, const char *text)
{
    enum { FEWEST_FIELDS = 3 };
    span all = strip((span){text, strlen(text)});
    size_t before_last = all.size;
    while (before_last > 0 && all.text[before_last - 1] != '\n') before_last--;
    char *last = keep(out->arena, (span){all.text + before_last, all.size - before_last});
    if (!last) return no_memory();
    int n_fields = count_fields(last);
    if (n_fields < FEWEST_FIELDS) return read_prompts(out, all);
    if (before_last > 0) before_last--; // without its line end
    TRY(read_prompts(out, (span){all.text, before_last}));
    return read_fields(out, last, n_fields);
}

bdpo_status bdpo_generation_parse(bdpo_generation_parameters *out, const char *text)
{
    *out = (bdpo_generation_parameters){0};
    TRY(bdpo_arena_new(&out->arena));
    bdpo_status status = parse(out, text);
    if (status != BDPO_OK) bdpo_generation_release(out);
    return status;
}

void bdpo_generation_release(bdpo_generation_parameters *parameters)
{
    bdpo_arena_free(parameters->arena);
    *parameters = (bdpo_generation_parameters){0};
}
