// Forged PyTorch files, zip and legacy: refused in one line, or all that is in them can be read.
#include "fuzz/fuzz_bytes.h"
#include "harness.h"

static const fuzz_target target = {
    .folder = "torch",
    .more = "fixtures/formats",
    .prefix = "",
    .file_name = "x.pt",
    .read = fuzz_read_tensors,
};
static const fuzz_target malformed = {
    .folder = "torch",
    .more = "golden-bad",
    .prefix = "torch_",
    .file_name = "x.pt",
    .read = fuzz_read_tensors,
};

BDPO_TEST(corpus)
{
    fuzz_replay(&malformed);
}

BDPO_TEST(mutants)
{
    fuzz_mutants(&target, 1000);
    fuzz_mutants(&malformed, 1000);
}

BDPO_TEST_LONG(mutants_for_long)
{
    fuzz_long(&target);
}

BDPO_TEST_LONG(mutants_of_malformed_for_long)
{
    fuzz_long(&malformed);
}
