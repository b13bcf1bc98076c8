// Mutations: bits, bytes, numbers, cut, copied and inserted pieces, and pieces of other seeds.
#include "fuzz/fuzz_bytes.h"

#include <dirent.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/tensor_file.h"
#include "harness.h"

enum { MAX_SEEDS = 512, MAX_BYTES = 32 * 1024, MAX_READ_BYTES = 1 << 20 };

typedef struct seed {
    unsigned char *bytes;
    size_t size;
} seed;

typedef struct corpus {
    const fuzz_target *target;
    seed seeds[MAX_SEEDS];
    int n_seeds;
    uint64_t random;
    char path[64]; // of the mutant
    unsigned char mutant[2 * MAX_BYTES];
    size_t size;
} corpus;

// xorshift64*: any stream of bytes does here.
static uint64_t next_random(corpus *c)
{
    c->random ^= c->random >> 12;
    c->random ^= c->random << 25;
    c->random ^= c->random >> 27;
    return c->random * 0x2545f4914f6cdd1dULL;
}

static size_t below(corpus *c, size_t n)
{
    return n > 0 ? (size_t)(next_random(c) >> 16) % n : 0;
}

// ---- seeds ---------------------------------------------------------------------------------

static void add_folder(corpus *c, const char *folder, const char *prefix)
{
    char path[1400], where[1024];
    snprintf(where, sizeof where, "%s", test_path(folder));
    DIR *dir = opendir(where);
    CHECK(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char *bytes;
        size_t size;
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", where, entry->d_name);
        if (bdpo_file_read(&bytes, &size, path, MAX_BYTES) != BDPO_OK) continue; // a folder
        CHECK(c->n_seeds < MAX_SEEDS);
        c->seeds[c->n_seeds++] = (seed){(unsigned char *)bytes, size};
    }
    closedir(dir);
}

static corpus *corpus_new(const fuzz_target *target, uint64_t random)
{
    char folder[256];
    corpus *c = bdpo_alloc(1, sizeof *c);
    CHECK(c != NULL);
    c->target = target;
    c->random = random;
    snprintf(folder, sizeof folder, "fuzz/%s", target->folder);
    add_folder(c, folder, "");
    if (target->more) add_folder(c, target->more, target->prefix);
    CHECK(c->n_seeds > 0);
    snprintf(c->path, sizeof c->path, "/tmp/bdpo-fuzz-%ld-%s", (long)getpid(), target->file_name);
    return c;
}

static void corpus_free(corpus *c)
{
    unlink(c->path);
    for (int i = 0; i < c->n_seeds; i++) bdpo_free(c->seeds[i].bytes);
    bdpo_free(c);
}

// ---- one run -------------------------------------------------------------------------------

static void keep(const corpus *c) // for a report
{
    char path[128];
    snprintf(path, sizeof path, "%s.failed", c->path);
    bdpo_status status = bdpo_file_write(path, c->mutant, c->size);
    FAIL("%s; %s", bdpo_message(), status == BDPO_OK ? path : "and the bytes could not be kept");
}

// Plain stdio: the file's durability is of no interest, and syncing would take the time.
static bool run(corpus *c)
{
    FILE *file = fopen(c->path, "wb");
    CHECK(file != NULL);
    size_t written = fwrite(c->mutant, 1, c->size, file);
    int closed = fclose(file);
    CHECK(written == c->size && closed == 0);
    bdpo_status status = c->target->read(c->path);
    if (status == BDPO_OK) return true;
    const char *message = bdpo_message();
    if (status != BDPO_BAD_FILE && status != BDPO_UNSUPPORTED) keep(c);
    if (!strstr(message, c->path)) keep(c);
    for (const char *at = message; *at; at++)
        if ((unsigned char)*at < 0x20) keep(c);
    return false;
}

static void start_from(corpus *c, const seed *from)
{
    memcpy(c->mutant, from->bytes, from->size);
    c->size = from->size;
}

void fuzz_replay(const fuzz_target *target)
{
    corpus *c = corpus_new(target, 1);
    int n_good = 0;
    for (int i = 0; i < c->n_seeds; i++) {
        start_from(c, &c->seeds[i]);
        n_good += run(c);
    }
    CHECK(n_good >= 2);
    CHECK(c->n_seeds - n_good >= 2);
    corpus_free(c);
}

// ---- mutations -----------------------------------------------------------------------------

// What begins at `from` begins at `to`; nothing happens where it would not fit.
static void move_tail(corpus *c, size_t from, size_t to)
{
    if (from > c->size) return;
    size_t tail = c->size - from;
    if (to > MAX_BYTES || tail > MAX_BYTES - to) return;
    memmove(c->mutant + to, c->mutant + from, tail);
    c->size = to + tail;
}

static void insert(corpus *c, const unsigned char *bytes, size_t n)
{
    unsigned char piece[64];
    if (n > sizeof piece) n = sizeof piece;
    memcpy(piece, bytes, n); // bytes may be those that move
    size_t at = below(c, c->size + 1), before = c->size;
    move_tail(c, at, at + n);
    if (c->size != before) memcpy(c->mutant + at, piece, n);
}

static void overwrite_number(corpus *c)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       0x7f,
                                       0xff,
                                       0x7fff,
                                       0xffff,
                                       0x7fffffff,
                                       0xffffffff,
                                       INT64_MAX,
                                       UINT64_MAX,
                                       (uint64_t)1 << 62,
                                       100,
                                       64};
    uint64_t number = numbers[below(c, BDPO_COUNTOF(numbers))];
    size_t n = (size_t)1 << below(c, 4), at = below(c, c->size);
    if (at + n <= c->size) memcpy(c->mutant + at, &number, n);
}

static void mutate(corpus *c)
{
    size_t at = below(c, c->size), n = 1 + below(c, 16);
    const seed *other = &c->seeds[below(c, (size_t)c->n_seeds)];
    size_t from = below(c, other->size);
    switch (below(c, 8)) {
    case 0:
        if (c->size > 0) c->mutant[at] ^= (unsigned char)(1u << below(c, 8));
        break;
    case 1:
        if (c->size > 0) c->mutant[at] = (unsigned char)next_random(c);
        break;
    case 2:
        overwrite_number(c);
        break;
    case 3: // a piece is lost
        move_tail(c, at + n < c->size ? at + n : c->size, at);
        break;
    case 4: // a piece comes twice
        insert(c, c->mutant + at, at + n < c->size ? n : c->size - at);
        break;
    case 5: // a piece of another seed
        insert(c, other->bytes + from, 4 * n < other->size - from ? 4 * n : other->size - from);
        break;
    case 6:
        if (below(c, 8) == 0) c->size = at; // cut
        break;
    default: // a digit of a text
        if (c->size > 0 && c->mutant[at] >= '0' && c->mutant[at] <= '9')
            c->mutant[at] = (unsigned char)('0' + below(c, 10));
    }
}

static void run_mutant(corpus *c)
{
    start_from(c, &c->seeds[below(c, (size_t)c->n_seeds)]);
    for (size_t i = 1 + below(c, 6); i-- > 0;) mutate(c);
    if (c->target->repair && below(c, 4) != 0) c->target->repair(c->mutant, c->size);
    run(c);
}

void fuzz_mutants(const fuzz_target *target, int n)
{
    corpus *c = corpus_new(target, 0x9e3779b97f4a7c15ULL);
    for (int i = 0; i < n; i++) run_mutant(c);
    corpus_free(c);
}

void fuzz_long(const fuzz_target *target)
{
    const char *text = getenv("BDPO_FUZZ_SECONDS");
    double limit = text ? atof(text) : 10, start = bdpo_clock_seconds();
    uint64_t first = (uint64_t)time(NULL) * 0x9e3779b97f4a7c15ULL | 1;
    printf("        random seed %llu\n", (unsigned long long)first);
    corpus *c = corpus_new(target, first);
    unsigned long long n = 0;
    for (; bdpo_clock_seconds() - start < limit; n++) run_mutant(c);
    corpus_free(c);
    printf("        %llu mutants\n", n);
}

// ---- what readers of tensors do ------------------------------------------------------------

static void touch(const bdpo_stored_tensor *t)
{
    if (t->size_bytes > MAX_READ_BYTES || t->count > MAX_READ_BYTES / sizeof(float)) return;
    void *block = bdpo_alloc(MAX_READ_BYTES, 1);
    CHECK(block != NULL);
    bdpo_status expected = bdpo_stored_dtype_usable(t->dtype) ? BDPO_OK : BDPO_UNSUPPORTED;
    CHECK_STATUS(bdpo_stored_tensor_read(t, block, t->size_bytes), expected);
    CHECK_STATUS(bdpo_stored_tensor_read_f32(t, block, t->count), expected);
    bdpo_free(block);
}

bdpo_status fuzz_read_tensors(const char *path)
{
    bdpo_tensor_file *file;
    TRY(bdpo_tensor_file_open(&file, path));
    for (size_t i = 0; i < bdpo_tensor_file_count(file) && i < 100; i++) {
        const bdpo_stored_tensor *t = bdpo_tensor_file_at(file, i);
        CHECK(bdpo_tensor_file_find(file, t->name) == t);
        touch(t);
    }
    size_t length = 0;
    for (size_t i = 0; i < bdpo_tensor_file_n_values(file); i++) {
        const bdpo_file_value *v = bdpo_tensor_file_value_at(file, i);
        if (v->text) CHECK_INT(v->text[v->length], 0);
        length += strlen(v->name);
    }
    CHECK_LE((double)length, 1e9);
    bdpo_tensor_file_close(file);
    return BDPO_OK;
}
