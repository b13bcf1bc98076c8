// Folders by readdir, patterns by glob(3); ranges in braces are ours.
#define _GNU_SOURCE // GLOB_BRACE
#include "data/record_files.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_RANGE = 100000 };

static bdpo_status no_memory(const char *path)
{
    return bdpo_fail(BDPO_NO_MEMORY, "%s: no memory for its list of files", path);
}

// The array grows in the arena: at most as much again is lost to its earlier, smaller ones.
static bdpo_status add(bdpo_file_list *list, bdpo_arena *arena, const char *path)
{
    if (list->n == list->capacity) {
        size_t capacity = list->capacity < 32 ? 32 : 2 * list->capacity;
        const char **grown = bdpo_arena_alloc(arena, capacity, sizeof *grown);
        if (!grown) return no_memory(path);
        if (list->n > 0) memcpy(grown, list->paths, list->n * sizeof *grown);
        list->paths = grown;
        list->capacity = capacity;
    }
    const char *copy = bdpo_arena_strdup(arena, path);
    if (!copy) return no_memory(path);
    list->paths[list->n++] = copy;
    return BDPO_OK;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort(bdpo_file_list *list)
{
    if (list->n > 1) qsort(list->paths, list->n, sizeof *list->paths, compare);
}

// ---- patterns ------------------------------------------------------------------------------

static bdpo_status add_glob(bdpo_file_list *list, bdpo_arena *arena, const char *pattern)
{
    glob_t found;
    int result = glob(pattern, GLOB_BRACE, NULL, &found);
    if (result == GLOB_NOSPACE) return no_memory(pattern);
    if (result != 0) return bdpo_fail(BDPO_NOT_FOUND, "%s: no such file", pattern);
    bdpo_status status = BDPO_OK;
    for (size_t i = 0; i < found.gl_pathc && status == BDPO_OK; i++)
        status = add(list, arena, found.gl_pathv[i]);
    globfree(&found);
    return status;
}

typedef struct brace_range {
    const char *begin, *end; // of "{0000..0012}"
    long first, last;
    int width;
} brace_range;

static bool find_range(brace_range *range, const char *pattern)
{
    for (const char *at = strchr(pattern, '{'); at; at = strchr(at + 1, '{')) {
        char *stop;
        size_t width = strspn(at + 1, "0123456789");
        if (width == 0 || width > 9 || strncmp(at + 1 + width, "..", 2) != 0) continue;
        range->first = strtol(at + 1, NULL, 10);
        const char *second = at + 1 + width + 2;
        size_t width_2 = strspn(second, "0123456789");
        if (width_2 == 0 || width_2 > 9) continue;
        range->last = strtol(second, &stop, 10);
        if (*stop != '}') continue;
        range->begin = at;
        range->end = stop + 1;
        range->width = at[1] == '0' ? (int)width : 1;
        return true;
    }
    return false;
}

static bdpo_status add_pattern(bdpo_file_list *list, bdpo_arena *arena, const char *pattern)
{
    brace_range range;
    char path[BDPO_PATH_BYTES];
    if (!find_range(&range, pattern)) return add_glob(list, arena, pattern);
    if (range.last < range.first || range.last - range.first >= MAX_RANGE)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%s: a range of %ld to %ld, expected at most %d files",
                         pattern, range.first, range.last, MAX_RANGE);
    for (long i = range.first; i <= range.last; i++) {
        int n = snprintf(path, sizeof path, "%.*s%0*ld%s", (int)(range.begin - pattern), pattern,
                         range.width, i, range.end);
        if (n >= (int)sizeof path)
            return bdpo_fail(BDPO_BAD_ARGUMENT, "%.100s...: the path is too long", pattern);
        TRY(add_pattern(list, arena, path));
    }
    return BDPO_OK;
}

bdpo_status bdpo_file_list_expand(bdpo_file_list *out, bdpo_arena *arena, const char *pattern)
{
    *out = (bdpo_file_list){0};
    if (bdpo_file_exists(pattern)) return add(out, arena, pattern);
    if (!strpbrk(pattern, "*?[{"))
        return bdpo_fail(BDPO_NOT_FOUND, "%s: no such file or folder", pattern);
    TRY(add_pattern(out, arena, pattern));
    sort(out);
    size_t kept = 0; // a file that the pattern names twice is one file
    for (size_t i = 0; i < out->n; i++)
        if (kept == 0 || strcmp(out->paths[i], out->paths[kept - 1]) != 0)
            out->paths[kept++] = out->paths[i];
    out->n = kept;
    return BDPO_OK;
}

// ---- folders -------------------------------------------------------------------------------

bool bdpo_word_is_in(const char *word, const char *list)
{
    size_t length = strlen(word);
    while (*list) {
        size_t n = strcspn(list, " ");
        if (n == length && strncasecmp(list, word, n) == 0) return true;
        list += n + (list[n] == ' ');
    }
    return false;
}

bool bdpo_name_has_ending(const char *name, const char *endings)
{
    const char *dot = strrchr(name, '.');
    return dot && dot > name && bdpo_word_is_in(dot + 1, endings);
}

bool bdpo_is_plain_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool bdpo_find_metadata(char path[BDPO_PATH_BYTES], const char *folder)
{
    static const char *const names[] = {"metadata.jsonl", "metadata.csv"};
    for (size_t i = 0; i < BDPO_COUNTOF(names); i++)
        if (bdpo_file_join(path, folder, names[i]) == BDPO_OK && bdpo_is_plain_file(path))
            return true;
    return false;
}

static bdpo_status add_entry(bdpo_file_list *list, bdpo_arena *arena, const char *folder,
                             const char *name, const char *endings)
{
    char path[BDPO_PATH_BYTES];
    if (name[0] == '.' || (endings && !bdpo_name_has_ending(name, endings))) return BDPO_OK;
    TRY(bdpo_file_join(path, folder, name));
    bool wanted = endings ? bdpo_is_plain_file(path) : bdpo_file_is_directory(path);
    return wanted ? add(list, arena, name) : BDPO_OK;
}

bdpo_status bdpo_file_list_folder(bdpo_file_list *out, bdpo_arena *arena, const char *folder,
                                  const char *endings)
{
    *out = (bdpo_file_list){0};
    DIR *dir = opendir(folder);
    if (!dir)
        return bdpo_fail(errno == ENOENT ? BDPO_NOT_FOUND : BDPO_IO,
                         "%s: cannot list the folder: %s", folder, strerror(errno));
    bdpo_status status = BDPO_OK;
    errno = 0;
    for (const struct dirent *entry; status == BDPO_OK && (entry = readdir(dir)); errno = 0)
        status = add_entry(out, arena, folder, entry->d_name, endings);
    if (status == BDPO_OK && errno != 0)
        status = bdpo_fail(BDPO_IO, "%s: cannot list the folder: %s", folder, strerror(errno));
    closedir(dir);
    sort(out);
    return status;
}

bdpo_status bdpo_file_list_paths(bdpo_file_list *out, bdpo_arena *arena, const char *folder,
                                 const char *endings)
{
    char path[BDPO_PATH_BYTES];
    TRY(bdpo_file_list_folder(out, arena, folder, endings));
    for (size_t i = 0; i < out->n; i++) {
        TRY(bdpo_file_join(path, folder, out->paths[i]));
        if (!(out->paths[i] = bdpo_arena_strdup(arena, path))) return no_memory(folder);
    }
    return BDPO_OK;
}

// ---- names ---------------------------------------------------------------------------------

bool bdpo_name_is_inside(const char *name)
{
    if (name[0] == '/' || name[0] == '\0') return false;
    for (const char *at = name; *at;) {
        size_t n = strcspn(at, "/");
        if (n == 2 && at[0] == '.' && at[1] == '.') return false;
        at += n + (at[n] == '/');
    }
    return true;
}

const char *bdpo_path_last(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    while (end > 0 && path[end - 1] != '/') end--;
    return path + end;
}

static const char *cut(bdpo_arena *arena, const char *text, size_t length)
{
    char *copy = bdpo_arena_alloc(arena, length + 1, 1);
    if (copy) memcpy(copy, text, length);
    return copy;
}

const char *bdpo_path_folder(bdpo_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return ".";
    return cut(arena, path, slash == path ? 1 : (size_t)(slash - path));
}

const char *bdpo_name_stem(bdpo_arena *arena, const char *name)
{
    const char *dot = strrchr(name, '.');
    return cut(arena, name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

const char *bdpo_path_split(bdpo_arena *arena, const char *path)
{
    const char *last = bdpo_path_last(path);
    return cut(arena, last, strcspn(last, "-."));
}

bdpo_status bdpo_file_list_splits(const char ***out, bdpo_arena *arena, const bdpo_file_list *list)
{
    const char **splits = bdpo_arena_alloc(arena, list->n + 1, sizeof *splits);
    if (!splits) return no_memory("splits");
    for (size_t i = 0; i < list->n; i++)
        if (!(splits[i] = bdpo_path_split(arena, list->paths[i]))) return no_memory(list->paths[i]);
    *out = splits;
    return BDPO_OK;
}
