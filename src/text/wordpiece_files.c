// vocab.txt, tokenizer.json and tokenizer_config.json of BERT.
#include "text/wordpiece_files.h"

#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/charset.h"
#include "formats/json.h"
#include "formats/printable.h"

// BERT's file has 0.23 MB.
enum { MAX_FILE = 64 << 20 };

// ---- vocab.txt ---------------------------------------------------------------------------------

static bdpo_status add_line(bdpo_clip_vocab *vocab, const char *path, int64_t id, const char *line,
                            size_t size)
{
    if (size == 0)
        return bdpo_fail(BDPO_BAD_FILE, "%s: line %lld is empty, expected a token", path,
                         (long long)id + 1);
    if (!bdpo_utf8_is_valid(line, size))
        return bdpo_fail(BDPO_BAD_FILE, "%s: line %lld is %s, expected a token in UTF-8", path,
                         (long long)id + 1, bdpo_printable_bytes(line, size).text);
    return bdpo_clip_vocab_add(vocab, path, line, size, id);
}

// A line's number is its token's id. Lines end as on any system.
static bdpo_status add_lines(bdpo_clip_vocab *vocab, const char *path, char *text, size_t n)
{
    int64_t id = 0;
    for (size_t at = 0; at < n; id++) {
        char *line = text + at, *end = memchr(line, '\n', n - at);
        size_t size = end ? (size_t)(end - line) : n - at;
        at += size + 1;
        if (size > 0 && line[size - 1] == '\r') size--;
        line[size] = '\0'; // the vocabulary quotes tokens in its messages
        TRY(add_line(vocab, path, id, line, size));
    }
    if (id > 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: the file is empty, expected a token on each line", path);
}

static bdpo_status read_lines(bdpo_clip_vocab *vocab, const char *path)
{
    char *text;
    size_t n;
    TRY(bdpo_file_read(&text, &n, path, MAX_FILE));
    bdpo_status status = add_lines(vocab, path, text, n);
    bdpo_free(text);
    return status;
}

// ---- JSON --------------------------------------------------------------------------------------

static bdpo_status unsupported(const bdpo_json *object, const char *field, const char *found,
                               const char *supported)
{
    return bdpo_fail(BDPO_UNSUPPORTED, "%s: %s%s%s is %s, supported is %s", object->file,
                     object->place, *object->place ? "." : "", field, found, supported);
}

static bdpo_status need_bool(const bdpo_json *object, const char *field, bool wanted)
{
    bool found;
    TRY(bdpo_json_bool_or(&found, object, field, wanted));
    if (found == wanted) return BDPO_OK;
    return unsupported(object, field, found ? "true" : "false", wanted ? "true" : "false");
}

static bdpo_status need_text(const bdpo_json *object, const char *field, const char *wanted)
{
    const char *found;
    TRY(bdpo_json_string_or(&found, object, field, wanted));
    if (strcmp(found, wanted) == 0) return BDPO_OK;
    return unsupported(object, field, bdpo_printable(found).text, bdpo_printable(wanted).text);
}

static bdpo_status add_tokens(bdpo_clip_vocab *vocab, const bdpo_json *tokens)
{
    const char *token = NULL;
    while ((token = bdpo_json_next_key(tokens, token))) {
        int id;
        TRY(bdpo_json_int(&id, tokens, token, 0, BDPO_CLIP_MAX_IDS - 1));
        TRY(bdpo_clip_vocab_add(vocab, tokens->file, token, strlen(token), id));
    }
    if (bdpo_json_count(tokens) > 0) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_FILE, "%s: the vocabulary is empty", tokens->file);
}

// What happens to a text before the vocabulary is asked.
static bdpo_status check_steps(const bdpo_json *root)
{
    bdpo_json part;
    TRY(bdpo_json_object(&part, root, "normalizer"));
    TRY(need_text(&part, "type", "BertNormalizer"));
    TRY(need_bool(&part, "clean_text", true));
    TRY(need_bool(&part, "handle_chinese_chars", true));
    TRY(need_bool(&part, "lowercase", true));
    TRY(need_bool(&part, "strip_accents", true));
    TRY(bdpo_json_object(&part, root, "pre_tokenizer"));
    return need_text(&part, "type", "BertPreTokenizer");
}

static bdpo_status add_model(bdpo_clip_vocab *vocab, const bdpo_json *root)
{
    bdpo_json model, tokens;
    int longest;
    TRY(check_steps(root));
    TRY(bdpo_json_object(&model, root, "model"));
    TRY(need_text(&model, "type", "WordPiece"));
    TRY(need_text(&model, "unk_token", "[UNK]"));
    TRY(need_text(&model, "continuing_subword_prefix", "##"));
    TRY(bdpo_json_int_or(&longest, &model, "max_input_chars_per_word", 100, 1, INT_MAX));
    if (longest != 100)
        return bdpo_fail(BDPO_UNSUPPORTED,
                         "%s: model.max_input_chars_per_word is %d, supported is 100", root->file,
                         longest);
    TRY(bdpo_json_object(&tokens, &model, "vocab"));
    return add_tokens(vocab, &tokens);
}

static bdpo_status read_json(bdpo_clip_vocab *vocab, const char *path)
{
    bdpo_json_document *document;
    TRY(bdpo_json_open(&document, path));
    bdpo_json root = bdpo_json_root(document);
    bdpo_status status = add_model(vocab, &root);
    bdpo_json_free(document);
    return status;
}

// ---- folders -----------------------------------------------------------------------------------

static bdpo_status check_config(const char *directory)
{
    char path[BDPO_PATH_BYTES];
    bdpo_json_document *document;
    TRY(bdpo_file_join(path, directory, "tokenizer_config.json"));
    if (!bdpo_file_exists(path)) return BDPO_OK;
    TRY(bdpo_json_open(&document, path));
    bdpo_json root = bdpo_json_root(document);
    bdpo_status status = need_bool(&root, "do_lower_case", true);
    if (status == BDPO_OK) status = need_bool(&root, "do_basic_tokenize", true);
    if (status == BDPO_OK) status = need_bool(&root, "tokenize_chinese_chars", true);
    if (status == BDPO_OK) status = need_bool(&root, "strip_accents", true);
    bdpo_json_free(document);
    return status;
}

static bdpo_status read_folder(bdpo_clip_vocab *vocab, const char *directory)
{
    char path[BDPO_PATH_BYTES];
    TRY(check_config(directory));
    TRY(bdpo_file_join(path, directory, "vocab.txt"));
    if (bdpo_file_exists(path)) return read_lines(vocab, path);
    TRY(bdpo_file_join(path, directory, "tokenizer.json"));
    if (bdpo_file_exists(path)) return read_json(vocab, path);
    return bdpo_fail(BDPO_NOT_FOUND, "%s: neither vocab.txt nor tokenizer.json is there",
                     directory);
}

static bool is_json(const char *path)
{
    const char *end = strrchr(path, '.');
    return end && strcmp(end, ".json") == 0;
}

bdpo_status bdpo_wordpiece_read(bdpo_clip_vocab *vocab, const char *path)
{
    if (bdpo_file_is_directory(path)) return read_folder(vocab, path);
    return is_json(path) ? read_json(vocab, path) : read_lines(vocab, path);
}
