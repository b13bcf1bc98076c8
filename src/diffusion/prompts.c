// Prompts from arguments and from files of lines.
#include "diffusion/prompts.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/json_write.h"

enum { LARGEST_FILE = 256 << 20 };

struct bdpo_prompts {
    bdpo_arena *arena; // of the texts
    const char **at;
    int count, capacity;
};

bdpo_status bdpo_prompts_new(bdpo_prompts **out)
{
    bdpo_prompts *p = bdpo_alloc(1, sizeof *p);
    if (!p || bdpo_arena_new(&p->arena) != BDPO_OK) {
        bdpo_free(p);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for prompts");
    }
    *out = p;
    return BDPO_OK;
}

void bdpo_prompts_free(bdpo_prompts *p)
{
    if (!p) return;
    bdpo_arena_free(p->arena);
    bdpo_free(p->at);
    bdpo_free(p);
}

int bdpo_prompts_count(const bdpo_prompts *p)
{
    return p->count;
}

const char *bdpo_prompts_at(const bdpo_prompts *p, int index)
{
    return p->at[index];
}

static bdpo_status make_room(bdpo_prompts *p)
{
    if (p->count < p->capacity) return BDPO_OK;
    int capacity = p->capacity < 16 ? 16 : p->capacity < INT_MAX / 2 ? 2 * p->capacity : INT_MAX;
    const char **grown = bdpo_realloc(p->at, (size_t)capacity, sizeof *grown);
    if (!grown || capacity == p->count)
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for %d prompts", capacity);
    p->at = grown;
    p->capacity = capacity;
    return BDPO_OK;
}

bdpo_status bdpo_prompts_add(bdpo_prompts *p, const char *text, const char *source)
{
    if (!bdpo_json_is_utf8(text))
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: found bytes that are not UTF-8", source);
    TRY(make_room(p));
    const char *copy = bdpo_arena_strdup(p->arena, text);
    if (!copy) return bdpo_fail(BDPO_NO_MEMORY, "no memory for a prompt");
    p->at[p->count++] = copy;
    return BDPO_OK;
}

// A line, ended by a zero byte in place of its LF.
static bdpo_status add_line(bdpo_prompts *p, char *line, size_t length, const char *path,
                            int number)
{
    char source[300];
    snprintf(source, sizeof source, "%.250s, line %d", path, number);
    if (strlen(line) < length)
        return bdpo_fail(BDPO_BAD_FILE, "%s: found a zero byte, expected text", source);
    if (length > 0 && line[length - 1] == '\r') line[length - 1] = '\0';
    if (line[strspn(line, " \t")] == '\0') return BDPO_OK;
    bdpo_status status = bdpo_prompts_add(p, line, source);
    return status == BDPO_BAD_ARGUMENT ? BDPO_BAD_FILE : status;
}

static bdpo_status add_lines(bdpo_prompts *p, char *text, size_t size, const char *path)
{
    char *at = text, *end = text + size;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) at += 3;
    for (int number = 1; at < end; number++) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        char *stop = newline ? newline : end; // a zero byte follows the content
        *stop = '\0';
        TRY(add_line(p, at, (size_t)(stop - at), path, number));
        at = stop + 1;
    }
    return BDPO_OK;
}

bdpo_status bdpo_prompts_read(bdpo_prompts *p, const char *path)
{
    char *text;
    size_t size;
    int before = p->count;
    TRY(bdpo_file_read(&text, &size, path, LARGEST_FILE));
    bdpo_status status = add_lines(p, text, size, path);
    bdpo_free(text);
    if (status != BDPO_OK || p->count > before) return status;
    return bdpo_fail(BDPO_BAD_FILE, "%s: has no prompt, expected one on each line", path);
}
