// The words that every part of the API shares: status, dtype, shape, tensor.
#ifndef BDPO_TYPES_H
#define BDPO_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BDPO_MUST_CHECK __attribute__((warn_unused_result))

// The world's faults. Each function that can fail returns one of these and leaves a sentence in
// bdpo_message(): what was wrong, where, and what would be right.
#define BDPO_STATUS_LIST(X)                                                                        \
    X(OK, "done")                                                                                  \
    X(NO_MEMORY, "out of memory")                                                                  \
    X(BAD_ARGUMENT, "bad argument")                                                                \
    X(BAD_SHAPE, "shapes do not fit")                                                              \
    X(BAD_FILE, "malformed file")                                                                  \
    X(IO, "input or output failed")                                                                \
    X(NOT_FOUND, "not found")                                                                      \
    X(UNSUPPORTED, "not supported by this build or machine")                                       \
    X(INTERRUPTED, "interrupted")

typedef enum bdpo_status {
#define X(name, text) BDPO_##name,
    BDPO_STATUS_LIST(X)
#undef X
} bdpo_status;

// The fixed text of a status.
const char *bdpo_status_text(bdpo_status status);

// The sentence of this thread's last failure. Borrowed; valid until the thread's next failure.
const char *bdpo_message(void);

#define BDPO_DTYPE_LIST(X)                                                                         \
    X(F32, f32, 4) X(BF16, bf16, 2) X(F16, f16, 2) X(I32, i32, 4) X(U8, u8, 1)

typedef enum bdpo_dtype {
#define X(name, text, size) BDPO_##name,
    BDPO_DTYPE_LIST(X)
#undef X
} bdpo_dtype;

const char *bdpo_dtype_name(bdpo_dtype dtype);
size_t bdpo_dtype_size(bdpo_dtype dtype);

enum { BDPO_MAX_DIMS = 4 };

// Slowest axis first. Feature maps are [n, h, w, c], token sequences [n, t, c].
typedef struct bdpo_shape {
    int n_dims; // 1 to 4; a scalar is [1]
    int64_t dim[BDPO_MAX_DIMS];
} bdpo_shape;

// A shape from its dimensions: BDPO_SHAPE(2, 64, 64, 320).
#define BDPO_SHAPE(...)                                                                            \
    ((bdpo_shape){.n_dims = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),             \
                  .dim = {__VA_ARGS__}})

#ifdef __cplusplus
}
#endif
#endif
