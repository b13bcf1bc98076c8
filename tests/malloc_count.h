// Counts every allocation of the process, those of libraries included: the test binary's own
// malloc, calloc, realloc and aligned_alloc stand before those of the C library.
#ifndef MALLOC_COUNT_H
#define MALLOC_COUNT_H

#include <stdbool.h>
#include <stdint.h>

// False where another allocator is in place (sanitizers, valgrind): then nothing is counted.
bool malloc_is_counted(void);
uint64_t malloc_count(void);

#endif
