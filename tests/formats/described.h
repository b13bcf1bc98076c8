// Comparing a tensor file with the description beside it (tools/parity/formats.py).
#ifndef BDPO_TEST_DESCRIBED_H
#define BDPO_TEST_DESCRIBED_H

#include "formats/tensor_file.h"

uint64_t fnv1a(const void *bytes, size_t size);

// Opens tests/fixtures/formats/NAME and checks each line of NAME.txt, and that there is no more.
void check_described(const char *name);

#endif
