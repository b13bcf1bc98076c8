// A directory of the test's own under /tmp.
#ifndef BDPO_SCRATCH_H
#define BDPO_SCRATCH_H

// The path of `name` in it; the first call makes the directory. Valid for eight calls.
const char *scratch_path(const char *name);
// Makes a directory in it.
const char *scratch_directory(const char *name);
// Writes a file of text in it; returns its path.
const char *scratch_file(const char *name, const char *text);
// Removes the directory with all that is in it.
void scratch_remove(void);

#endif
