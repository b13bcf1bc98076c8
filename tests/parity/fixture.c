// The reader of fixture.h.
#include "parity/fixture.h"

#include "base/memory.h"
#include "harness.h"

typedef struct entry {
    char key[120];
    size_t count, first;
} entry;

struct fixture {
    entry *entries;
    size_t n_entries, capacity, total;
    float *values;
};

static FILE *open_part(const char *name, const char *suffix)
{
    char relative[512];
    snprintf(relative, sizeof relative, "%s%s%s", name[0] == '/' ? "" : "fixtures/", name, suffix);
    const char *path = name[0] == '/' ? relative : test_path(relative);
    FILE *file = fopen(path, "rb");
    if (!file) FAIL("%s: cannot be opened; tools/parity makes it", path);
    return file;
}

static void add_entry(fixture *f, const char *name, const char *line)
{
    if (f->n_entries == f->capacity) {
        f->capacity = f->capacity ? 2 * f->capacity : 64;
        f->entries = bdpo_realloc(f->entries, f->capacity, sizeof *f->entries);
        CHECK(f->entries != NULL);
    }
    entry *e = &f->entries[f->n_entries++];
    if (sscanf(line, "%119s %zu", e->key, &e->count) != 2 || e->count == 0 ||
        e->count > (size_t)1 << 32)
        FAIL("%s.txt: not a line of a fixture: %s", name, line);
    e->first = f->total;
    f->total += e->count;
}

static void read_index(fixture *f, const char *name)
{
    FILE *file = open_part(name, ".txt");
    char line[256];
    if (!fgets(line, sizeof line, file) || strcmp(line, "bdpo fixture 1\n") != 0)
        FAIL("%s.txt: does not begin with \"bdpo fixture 1\"", name);
    while (fgets(line, sizeof line, file))
        if (line[0] != '#') add_entry(f, name, line);
    fclose(file);
}

fixture *fixture_open(const char *name)
{
    fixture *f = bdpo_alloc(1, sizeof *f);
    CHECK(f != NULL);
    read_index(f, name);
    f->values = bdpo_alloc(f->total ? f->total : 1, sizeof *f->values);
    CHECK(f->values != NULL);
    FILE *file = open_part(name, ".f32");
    size_t got = fread(f->values, sizeof *f->values, f->total, file);
    if (got != f->total || fgetc(file) != EOF)
        FAIL("%s.f32: does not hold the %zu values of its index", name, f->total);
    fclose(file);
    return f;
}

void fixture_close(fixture *f)
{
    bdpo_free(f->entries);
    bdpo_free(f->values);
    bdpo_free(f);
}

const float *fixture_get(const fixture *f, const char *key, size_t count)
{
    for (size_t i = 0; i < f->n_entries; i++) {
        const entry *e = &f->entries[i];
        if (strcmp(e->key, key) != 0) continue;
        if (e->count != count)
            FAIL("the fixture has %zu values of %s, expected %zu", e->count, key, count);
        return f->values + e->first;
    }
    FAIL("the fixture has no %s", key);
}

size_t fixture_count(const fixture *f)
{
    return f->n_entries;
}

const char *fixture_key(const fixture *f, size_t index)
{
    return f->entries[index].key;
}
