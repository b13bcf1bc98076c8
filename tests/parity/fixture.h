// Fixtures: results of a reference library, stored as two files.
//
//   NAME.txt  line 1: "bdpo fixture 1"; lines that begin with '#': where it comes from; then one
//             line for each tensor: its key and its number of elements, a space between
//   NAME.f32  the tensors in that order, one behind the other, f32, little endian
//
// A file that breaks these rules fails the test that opens it.
#ifndef FIXTURE_H
#define FIXTURE_H

#include <stddef.h>

typedef struct fixture fixture;

// Opens tests/fixtures/<name>.txt and .f32, or <name>.txt and .f32 where the name begins with '/'.
fixture *fixture_open(const char *name);
void fixture_close(fixture *f);

// The values of `key`, borrowed; fails the test where there is none or `count` differs.
const float *fixture_get(const fixture *f, const char *key, size_t count);

size_t fixture_count(const fixture *f);
const char *fixture_key(const fixture *f, size_t index);

#endif
