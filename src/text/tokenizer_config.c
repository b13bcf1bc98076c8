// vocab.json, tokenizer.json, tokenizer_config.json, special_tokens_map.json, added_tokens.json.
#include "text/tokenizer_config.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { MAX_JSON_BYTES = 64 << 20, MAX_PATH = 4096, DEFAULT_LENGTH = 77 };

// ---- objects -------------------------------------------------------------------------------

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {"an object", "an array", "a string", "an integer",
                                        "a number",  "true",     "false",    "null"};
    return value ? names[json_typeof(value)] : "nothing";
}

static bdpo_status wrong_type(const char *path, const char *key, const json_t *found,
                              const char *expected)
{
    return bdpo_fail(BDPO_BAD_FILE, "%s: %s is %s, expected %s", path, key, type_name(found),
                     expected);
}

// *out is the caller's: json_decref().
static bdpo_status read_object(json_t **out, const char *path)
{
    char *text;
    size_t size;
    json_error_t error;
    TRY(bdpo_file_read(&text, &size, path, MAX_JSON_BYTES));
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    bdpo_free(text);
    if (!root)
        return bdpo_fail(BDPO_BAD_FILE, "%s: line %d: not JSON: %s", path, error.line, error.text);
    if (!json_is_object(root)) {
        bdpo_status status = wrong_type(path, "the file", root, "an object");
        json_decref(root);
        return status;
    }
    *out = root;
    return BDPO_OK;
}

// The same for a file that need not be there: *out is NULL then.
static bdpo_status read_optional(json_t **out, char path[MAX_PATH], const char *directory,
                                 const char *name)
{
    *out = NULL;
    if (snprintf(path, MAX_PATH, "%s/%s", directory, name) >= MAX_PATH)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: the path is too long", directory);
    bdpo_status status = read_object(out, path);
    return status == BDPO_NOT_FOUND ? BDPO_OK : status;
}

// ---- vocabularies --------------------------------------------------------------------------

static bdpo_status add_tokens(bdpo_clip_vocab *vocab, const char *path, json_t *tokens)
{
    const char *token;
    json_t *id;
    json_object_foreach(tokens, token, id)
    {
        if (!json_is_integer(id)) return wrong_type(path, token, id, "a token's id, an integer");
        TRY(bdpo_clip_vocab_add(vocab, path, token, strlen(token), json_integer_value(id)));
    }
    if (json_object_size(tokens) == 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: the vocabulary is empty", path);
    return BDPO_OK;
}

bdpo_status bdpo_vocab_json_read(bdpo_clip_vocab *vocab, const char *path)
{
    json_t *root;
    TRY(read_object(&root, path));
    bdpo_status status = add_tokens(vocab, path, root);
    json_decref(root);
    return status;
}

// A merge is ["left", "right"], or "left right" in older files.
static bdpo_status add_merge(bdpo_clip_vocab *vocab, const char *path, const json_t *merge)
{
    const char *left = json_string_value(json_array_get(merge, 0));
    const char *right = json_string_value(json_array_get(merge, 1));
    if (left && right && json_array_size(merge) == 2)
        return bdpo_clip_vocab_add_merge(vocab, path, left, strlen(left), right, strlen(right));
    const char *both = json_string_value(merge);
    const char *space = both ? strchr(both, ' ') : NULL;
    if (!space || strchr(space + 1, ' '))
        return wrong_type(path, "an entry of model.merges", merge, "two tokens");
    return bdpo_clip_vocab_add_merge(vocab, path, both, (size_t)(space - both), space + 1,
                                     strlen(space + 1));
}

static bdpo_status add_model(bdpo_clip_vocab *vocab, const char *path, const json_t *root)
{
    const json_t *model = json_object_get(root, "model");
    json_t *tokens = json_object_get(model, "vocab"), *merge;
    const json_t *merges = json_object_get(model, "merges");
    size_t i;
    if (!json_is_object(tokens)) return wrong_type(path, "model.vocab", tokens, "an object");
    if (!json_is_array(merges)) return wrong_type(path, "model.merges", merges, "an array");
    TRY(add_tokens(vocab, path, tokens));
    json_array_foreach(merges, i, merge)
    {
        TRY(add_merge(vocab, path, merge));
    }
    return BDPO_OK;
}

bdpo_status bdpo_tokenizer_json_read(bdpo_clip_vocab *vocab, const char *path)
{
    json_t *root;
    TRY(read_object(&root, path));
    bdpo_status status = add_model(vocab, path, root);
    json_decref(root);
    return status;
}

// ---- special tokens ------------------------------------------------------------------------

static const char *const named_keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token"};
enum { BEGIN, END, UNKNOWN, PAD = 4, N_NAMED = 7 };

// What the files say so far.
typedef struct reader {
    bdpo_arena *arena;
    bdpo_added_token named[N_NAMED]; // content NULL where there is none
    bdpo_added_token *listed;        // with an id, in the order of the files
    size_t n_listed;
    bdpo_added_token *extra; // by name only
    size_t n_extra;
    int max_length;
    bool has_decoder;
} reader;

static bdpo_status copy_text(const char **out, const reader *r, const char *path, const char *text)
{
    *out = bdpo_arena_strdup(r->arena, text);
    return *out ? BDPO_OK : bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its tokens", path);
}

// A token is its text, or an object of text and flags.
static bdpo_status read_token(bdpo_added_token *out, const reader *r, const char *path,
                              const char *key, const json_t *value)
{
    const json_t *content = json_is_object(value) ? json_object_get(value, "content") : value;
    const json_t *normalized = json_object_get(value, "normalized");
    if (!json_is_string(content)) return wrong_type(path, key, value, "a token");
    if (normalized && !json_is_boolean(normalized))
        return wrong_type(path, "normalized", normalized, "true or false");
    if (json_is_true(json_object_get(value, "single_word")))
        return bdpo_fail(BDPO_UNSUPPORTED, "%s: %s has single_word true, supported is false", path,
                         key);
    if (json_string_length(content) == 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: %s is empty, expected a token", path, key);
    *out = (bdpo_added_token){.id = BDPO_CLIP_NO_ID};
    out->normalized =
        json_is_object(value) &&
        (normalized ? json_is_true(normalized) : !json_is_true(json_object_get(value, "special")));
    return copy_text(&out->content, r, path, json_string_value(content));
}

static bdpo_status check_room(const reader *r, const char *path)
{
    if (r->n_listed < BDPO_MAX_ADDED_TOKENS && r->n_extra < BDPO_MAX_ADDED_TOKENS) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: more than the %d added tokens that are allowed", path,
                     BDPO_MAX_ADDED_TOKENS);
}

static bdpo_status read_extra(reader *r, const char *path, const json_t *list, const char *key)
{
    size_t i;
    json_t *value;
    if (json_is_object(list) && json_object_size(list) == 0) return BDPO_OK;
    if (!json_is_array(list)) return wrong_type(path, key, list, "an array of tokens");
    json_array_foreach(list, i, value)
    {
        TRY(check_room(r, path));
        TRY(read_token(&r->extra[r->n_extra++], r, path, key, value));
    }
    return BDPO_OK;
}

// The keys that tokenizer_config.json and special_tokens_map.json share.
static bdpo_status read_named(reader *r, const char *path, const json_t *root)
{
    for (size_t i = 0; i < N_NAMED; i++) {
        const json_t *value = json_object_get(root, named_keys[i]);
        if (value && !json_is_null(value))
            TRY(read_token(&r->named[i], r, path, named_keys[i], value));
    }
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    for (size_t i = 0; i < BDPO_COUNTOF(lists); i++) {
        const json_t *list = json_object_get(root, lists[i]);
        if (list && !json_is_null(list)) TRY(read_extra(r, path, list, lists[i]));
    }
    return BDPO_OK;
}

static bdpo_status read_decoder(reader *r, const char *path, json_t *decoder)
{
    const char *key;
    json_t *value;
    if (!json_is_object(decoder))
        return wrong_type(path, "added_tokens_decoder", decoder, "an object");
    r->has_decoder = true;
    json_object_foreach(decoder, key, value)
    {
        char *end;
        TRY(check_room(r, path));
        bdpo_added_token *token = &r->listed[r->n_listed++];
        TRY(read_token(token, r, path, key, value));
        token->id = strtol(key, &end, 10);
        if (end == key || *end != '\0' || token->id < 0)
            return bdpo_fail(BDPO_BAD_FILE,
                             "%s: added_tokens_decoder has the key \"%s\", expected "
                             "an id",
                             path, key);
    }
    return BDPO_OK;
}

static bdpo_status read_length(reader *r, const char *path, const json_t *root)
{
    const json_t *value = json_object_get(root, "model_max_length");
    if (!value || json_is_null(value)) return BDPO_OK;
    double length = json_number_value(value); // 1e30 is how transformers says "no limit"
    if (!json_is_number(value)) return wrong_type(path, "model_max_length", value, "a number");
    if (!(length >= 2))
        return bdpo_fail(BDPO_BAD_FILE, "%s: model_max_length is %g, expected 2 or more", path,
                         length);
    if (length < INT_MAX) r->max_length = (int)length;
    return BDPO_OK;
}

static bdpo_status read_sides(const char *path, const json_t *root)
{
    static const char *const keys[] = {"padding_side", "truncation_side"};
    for (size_t i = 0; i < BDPO_COUNTOF(keys); i++) {
        const char *side = json_string_value(json_object_get(root, keys[i]));
        if (side && strcmp(side, "right") != 0)
            return bdpo_fail(BDPO_UNSUPPORTED, "%s: %s is \"%s\", supported is \"right\"", path,
                             keys[i], side);
    }
    return BDPO_OK;
}

static bdpo_status read_config(reader *r, const char *path, const json_t *root)
{
    json_t *decoder = json_object_get(root, "added_tokens_decoder");
    TRY(read_named(r, path, root));
    TRY(read_length(r, path, root));
    TRY(read_sides(path, root));
    return decoder ? read_decoder(r, path, decoder) : BDPO_OK;
}

static bool is_special(const reader *r, const char *content)
{
    for (size_t i = 0; i < N_NAMED; i++)
        if (r->named[i].content && strcmp(r->named[i].content, content) == 0) return true;
    for (size_t i = 0; i < r->n_extra; i++)
        if (strcmp(r->extra[i].content, content) == 0) return true;
    return false;
}

// added_tokens.json: {"token": id}, of textual inversion with older versions.
static bdpo_status read_added(reader *r, const char *path, const json_t *root)
{
    const char *content;
    json_t *id;
    json_object_foreach((json_t *)root, content, id)
    {
        TRY(check_room(r, path));
        bdpo_added_token *token = &r->listed[r->n_listed++];
        if (!json_is_integer(id)) return wrong_type(path, content, id, "a token's id, an integer");
        *token =
            (bdpo_added_token){.id = json_integer_value(id), .normalized = !is_special(r, content)};
        TRY(copy_text(&token->content, r, path, content));
    }
    return BDPO_OK;
}

// The added tokens of tokenizer.json: [{"id": 0, "content": "!", "normalized": false, ...}].
static bdpo_status read_serialized(reader *r, const char *path, const json_t *root)
{
    const json_t *list = json_object_get(root, "added_tokens");
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value)
    {
        const json_t *id = json_object_get(value, "id");
        TRY(check_room(r, path));
        if (!json_is_integer(id)) return wrong_type(path, "added_tokens[].id", id, "an integer");
        bdpo_added_token *token = &r->listed[r->n_listed++];
        TRY(read_token(token, r, path, "added_tokens", value));
        token->id = json_integer_value(id);
    }
    return BDPO_OK;
}

typedef bdpo_status (*read_part)(reader *r, const char *path, const json_t *root);

static bdpo_status read_file(reader *r, const char *directory, const char *name, read_part part)
{
    char path[MAX_PATH];
    json_t *root;
    TRY(read_optional(&root, path, directory, name));
    if (!root) return BDPO_OK;
    bdpo_status status = part(r, path, root);
    json_decref(root);
    return status;
}

// ---- the list ------------------------------------------------------------------------------

static int by_id(const void *a, const void *b)
{
    const bdpo_added_token *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static void put(bdpo_tokenizer_config *out, size_t n_first, const bdpo_added_token *token)
{
    for (size_t i = 0; i < out->n_added; i++) {
        if (strcmp(out->added[i].content, token->content) != 0) continue;
        if (i >= n_first) out->added[i].normalized = token->normalized;
        return;
    }
    out->added[out->n_added++] = *token;
}

// Those with an id, by id, whose flags stand; then the named ones; then those by name.
static bdpo_status finish(bdpo_tokenizer_config *out, reader *r, const char *directory)
{
    out->added = bdpo_arena_alloc(r->arena, r->n_listed + N_NAMED + r->n_extra, sizeof *out->added);
    if (!out->added) return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its tokens", directory);
    if (r->n_listed > 0) qsort(r->listed, r->n_listed, sizeof *r->listed, by_id);
    for (size_t i = 0; i < r->n_listed; i++) put(out, 0, &r->listed[i]);
    size_t n_first = out->n_added;
    for (size_t i = 0; i < N_NAMED; i++)
        if (r->named[i].content) put(out, n_first, &r->named[i]);
    for (size_t i = 0; i < r->n_extra; i++) put(out, n_first, &r->extra[i]);
    out->begin = r->named[BEGIN].content;
    out->end = r->named[END].content;
    out->unknown = r->named[UNKNOWN].content;
    out->pad = r->named[PAD].content;
    out->max_length = r->max_length;
    return BDPO_OK;
}

bdpo_status bdpo_tokenizer_config_read(bdpo_tokenizer_config *out, bdpo_arena *arena,
                                       const char *directory)
{
    reader r = {.arena = arena, .max_length = DEFAULT_LENGTH};
    *out = (bdpo_tokenizer_config){0};
    r.listed = bdpo_arena_alloc(arena, BDPO_MAX_ADDED_TOKENS, sizeof *r.listed);
    r.extra = bdpo_arena_alloc(arena, BDPO_MAX_ADDED_TOKENS, sizeof *r.extra);
    if (!r.listed || !r.extra)
        return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its tokens", directory);
    r.named[BEGIN].content = "<|startoftext|>"; // what CLIPTokenizer takes where no file says
    r.named[END].content = r.named[UNKNOWN].content = r.named[PAD].content = "<|endoftext|>";
    for (size_t i = 0; i < N_NAMED; i++) r.named[i].id = BDPO_CLIP_NO_ID;
    TRY(read_file(&r, directory, "tokenizer_config.json", read_config));
    if (!r.has_decoder) {
        TRY(read_file(&r, directory, "special_tokens_map.json", read_named));
        TRY(read_file(&r, directory, "added_tokens.json", read_added));
        TRY(read_file(&r, directory, "tokenizer.json", read_serialized));
    }
    return finish(out, &r, directory);
}
