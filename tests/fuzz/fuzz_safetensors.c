// Forged safetensors: refused in one line, or all that is in them can be read.
#include "fuzz/fuzz_bytes.h"
#include "harness.h"

// The header's length again what leaves the data of most seeds in place: the text up to its last }.
static void repair(unsigned char *bytes, size_t size)
{
    size_t end = 0;
    for (size_t i = 8; i < size && i < 8 + 4096; i++)
        if (bytes[i] == '}') end = i + 1 - 8;
    for (int i = 0; i < 8 && size >= 8; i++) bytes[i] = (unsigned char)(end >> 8 * i);
}

static const fuzz_target target = {
    .folder = "safetensors",
    .more = "golden-bad",
    .prefix = "st_",
    .file_name = "x.safetensors",
    .read = fuzz_read_tensors,
    .repair = repair,
};

BDPO_TEST(corpus)
{
    fuzz_replay(&target);
}

BDPO_TEST(mutants)
{
    fuzz_mutants(&target, 2000);
}

BDPO_TEST_LONG(mutants_for_long)
{
    fuzz_long(&target);
}
