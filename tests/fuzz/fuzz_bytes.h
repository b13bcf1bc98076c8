// Fuzzing of readers of files: a corpus replayed, then mutated. Each target gives a function that
// reads a file at a path; whatever the bytes are, it must end in BDPO_OK or in one line.
#ifndef BDPO_FUZZ_BYTES_H
#define BDPO_FUZZ_BYTES_H

#include "base/status.h"

typedef struct fuzz_target {
    const char *folder;        // of the corpus: tests/fuzz/FOLDER
    const char *more, *prefix; // a folder whose files of that prefix are seeds too, or NULL
    const char *file_name;     // under which mutants are read: its ending may matter
    bdpo_status (*read)(const char *path);
    void (*repair)(unsigned char *bytes, size_t size); // makes mutants get further; may be NULL
} fuzz_target;

// Each seed as it is. Both verdicts must occur.
void fuzz_replay(const fuzz_target *target);
// `n` mutants of each seed, from a fixed random seed.
void fuzz_mutants(const fuzz_target *target, int n);
// Mutants for BDPO_FUZZ_SECONDS (10), from a printed random seed.
void fuzz_long(const fuzz_target *target);

// Opens a file of tensors and reads all there is in it.
bdpo_status fuzz_read_tensors(const char *path);

#endif
