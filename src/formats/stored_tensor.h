// A tensor as it lies in a file: what kind of numbers, which shape, where the bytes are. The bytes
// stay in the mapped file; reading copies them, gathered and converted, into the caller's memory.
#ifndef BDPO_STORED_TENSOR_H
#define BDPO_STORED_TENSOR_H

#include "base/status.h"

// The kinds of numbers that safetensors and PyTorch files hold: our name, the word in a safetensors
// header, bits per element. The order is the reference library's, whose writer sorts by it. USABLE
// ones can be read; the others are known, so that a file that has them among wanted tensors opens,
// and a refusal can name them.
// clang-format off
#define BDPO_STORED_DTYPE_LIST(USABLE, KNOWN)                                                      \
    USABLE(BOOL, 8) KNOWN(F4, 4) KNOWN(F6_E2M3, 6) KNOWN(F6_E3M2, 6) USABLE(U8, 8) USABLE(I8, 8)   \
    KNOWN(F8_E5M2, 8) KNOWN(F8_E4M3, 8) KNOWN(F8_E8M0, 8) KNOWN(F8_E4M3FNUZ, 8)                    \
    KNOWN(F8_E5M2FNUZ, 8) USABLE(I16, 16) USABLE(U16, 16) USABLE(F16, 16) USABLE(BF16, 16)         \
    USABLE(I32, 32) USABLE(U32, 32) USABLE(F32, 32) KNOWN(C64, 64) USABLE(F64, 64)                 \
    USABLE(I64, 64) USABLE(U64, 64)
// clang-format on

typedef enum bdpo_stored_dtype {
#define X(name, bits) BDPO_STORED_##name,
    BDPO_STORED_DTYPE_LIST(X, X)
#undef X
        BDPO_N_STORED_DTYPES
} bdpo_stored_dtype;

// "F32"; bits per element; whether the two readers below take it.
const char *bdpo_stored_dtype_name(bdpo_stored_dtype dtype);
size_t bdpo_stored_dtype_bits(bdpo_stored_dtype dtype);
bool bdpo_stored_dtype_usable(bdpo_stored_dtype dtype);
// False where the word names no dtype. Case matters, as in the format.
bool bdpo_stored_dtype_find(bdpo_stored_dtype *out, const char *word);
// The stored form of a dtype that we compute in.
bdpo_stored_dtype bdpo_stored_dtype_of(bdpo_dtype dtype);

enum { BDPO_STORED_MAX_DIMS = 64 }; // as PyTorch

// Every pointer is borrowed from the file that was opened. All is checked: the elements that shape
// and stride reach lie in the mapped file, and count and size_bytes have not overflowed.
typedef struct bdpo_stored_tensor {
    const char *path; // the file that holds it (of a sharded model: the shard), for messages
    const char *name;
    bdpo_stored_dtype dtype;
    int n_dims;            // 0: a scalar
    const int64_t *dim;    // [n_dims], slowest first, in the order of the file; a zero is legal
    const int64_t *stride; // [n_dims] in elements; NULL where the elements lie dense, last fastest
    const void *data;      // the first element; no alignment is promised; NULL only if empty
    size_t count;          // elements
    size_t size_bytes;     // of the dense form
} bdpo_stored_tensor;

// Writes the dense form, in the file's own dtype, to out[size_bytes]. BDPO_BAD_ARGUMENT where
// size_bytes is not the tensor's; BDPO_UNSUPPORTED for a dtype that is only known by name.
BDPO_MUST_CHECK bdpo_status bdpo_stored_tensor_read(const bdpo_stored_tensor *tensor, void *out,
                                                    size_t size_bytes);

// The same, converted: half-widths exactly, F64 and large integers rounded to nearest even, BOOL to
// 0 or 1. `count` is that of out[].
BDPO_MUST_CHECK bdpo_status bdpo_stored_tensor_read_f32(const bdpo_stored_tensor *tensor,
                                                        float *out, size_t count);

// BDPO_BAD_FILE unless the tensor has exactly these dimensions; the sentence names file and tensor.
BDPO_MUST_CHECK bdpo_status bdpo_stored_tensor_check_shape(const bdpo_stored_tensor *tensor,
                                                           const int64_t *dim, int n_dims);

// "[320, 4, 3, 3]", for messages; cut short by "..." where it does not fit.
typedef struct bdpo_stored_shape_text {
    char text[128];
} bdpo_stored_shape_text;
bdpo_stored_shape_text bdpo_stored_shape_print(const int64_t *dim, int n_dims);

#endif
