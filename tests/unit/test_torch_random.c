// base/torch_random: the bits of PyTorch's own generator, from tests/fixtures/torch_random.txt
// (tools/parity/torch_random.py).
#include "base/torch_random.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "harness.h"

enum { MOST = 20000 };

static uint64_t fnv1a(const uint32_t *word, int64_t count)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (int64_t i = 0; i < count; i++)
        for (int byte = 0; byte < 4; byte++)
            hash = (hash ^ (word[i] >> 8 * byte & 0xff)) * 0x100000001b3;
    return hash;
}

// Makes the call that a line describes; the words of what it gave.
static void make_call(uint32_t *word, bdpo_torch_random *random, const char *op, int64_t count)
{
    static float value[MOST];
    static int64_t integer[MOST];
    int64_t low, high;
    CHECK(count > 0 && count <= MOST);
    if (strcmp(op, "rand") == 0) {
        bdpo_torch_random_uniform(random, value, count);
    } else if (strcmp(op, "randn") == 0) {
        bdpo_torch_random_normal(random, value, count);
    } else {
        CHECK_INT(sscanf(op, "randint:%" SCNd64 ":%" SCNd64, &low, &high), 2);
        bdpo_torch_random_integers(random, integer, count, low, high);
        for (int64_t i = 0; i < count; i++) word[i] = (uint32_t)integer[i];
        return;
    }
    memcpy(word, value, (size_t)count * sizeof *word);
}

static void check_call(bdpo_torch_random *random, const char *line, int number)
{
    static uint32_t word[MOST];
    char op[64];
    int64_t count;
    uint64_t hash;
    int used;
    if (sscanf(line, "%63s %" SCNd64 " %" SCNx64 "%n", op, &count, &hash, &used) != 3)
        FAIL("line %d is not a call: %s", number, line);
    make_call(word, random, op, count);
    for (int64_t i = 0; i < count && line[used] == ' '; i++) {
        char *end;
        unsigned long expected = strtoul(line + used, &end, 16);
        if (word[i] != expected)
            FAIL("line %d, %s of %" PRId64 ", value %" PRId64 " is %08x, PyTorch has %08lx", number,
                 op, count, i, word[i], expected);
        used = (int)(end - line);
    }
    if (fnv1a(word, count) != hash)
        FAIL("line %d, %s of %" PRId64 " differs from PyTorch", number, op, count);
}

BDPO_TEST(torch_random_is_pytorch_bit_for_bit)
{
    bdpo_torch_random random = {0};
    char *text;
    size_t size;
    int number = 0, n_calls = 0;
    CHECK_OK(bdpo_file_read(&text, &size, test_path("fixtures/torch_random.txt"), 1 << 20));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        uint64_t seed;
        number++;
        if (line[0] == '#') continue;
        if (sscanf(line, "seed %" SCNu64, &seed) == 1) {
            bdpo_torch_random_init(&random, seed);
            continue;
        }
        check_call(&random, line, number);
        n_calls++;
    }
    CHECK_INT(n_calls, 6 * (12 + 1 + 15));
    bdpo_free(text);
}

BDPO_TEST(copied_generator_goes_on_alike)
{
    float a[40], b[40];
    bdpo_torch_random random, copy;
    bdpo_torch_random_init(&random, 5);
    bdpo_torch_random_normal(&random, a, 3); // leaves a spare
    copy = random;
    bdpo_torch_random_normal(&random, a, 5);
    bdpo_torch_random_normal(&copy, b, 5);
    CHECK_BYTES(b, a, 5 * sizeof *a);
    bdpo_torch_random_normal(&random, a, 40);
    bdpo_torch_random_normal(&copy, b, 40);
    CHECK_BYTES(b, a, sizeof a);
}

BDPO_TEST(empty_integer_range_aborts)
{
    int64_t out;
    bdpo_torch_random random;
    bdpo_torch_random_init(&random, 5);
    CHECK_ABORTS(bdpo_torch_random_integers(&random, &out, 1, 3, 3));
}

// Against the C library in double: normals, not only PyTorch's bits.
BDPO_TEST(group_transform_is_accurate)
{
    bdpo_torch_random random;
    float uniform[16], normal[16];
    double worst = 0;
    bdpo_torch_random_init(&random, 99);
    for (int round = 0; round < 2000; round++) {
        bdpo_torch_random copy = random;
        bdpo_torch_random_uniform(&copy, uniform, 16);
        bdpo_torch_random_normal(&random, normal, 16);
        for (int i = 0; i < 8; i++) {
            double radius = sqrt(-2 * log(1 - (double)uniform[i])),
                   angle = 6.283185307179586 * (double)uniform[i + 8];
            CHECK(isfinite(normal[i]) && isfinite(normal[i + 8]));
            worst = fmax(worst, fabs((double)normal[i] - radius * cos(angle)) / radius);
            worst = fmax(worst, fabs((double)normal[i + 8] - radius * sin(angle)) / radius);
        }
    }
    CHECK_LE(worst, 6e-7); // of the angle: its rounding 2.4e-7, that of 2 pi 1.7e-7; a few ulp
}
