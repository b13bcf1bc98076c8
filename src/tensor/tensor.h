// A tensor is a view of memory: dtype, shape, and a stride between the rows of its last axis.
#ifndef BDPO_TENSOR_H
#define BDPO_TENSOR_H

#include "base/status.h"

typedef struct bdpo_tensor {
    bdpo_dtype dtype;
    bdpo_shape shape;
    int64_t row_stride; // elements from one row of the last axis to the next; dense: last dim
    void *data;         // borrowed
} bdpo_tensor;

// Number of elements; of rows, that is the product of all axes but the last; of the last axis.
int64_t bdpo_shape_count(const bdpo_shape *shape);
int64_t bdpo_shape_rows(const bdpo_shape *shape);
int64_t bdpo_shape_cols(const bdpo_shape *shape);
bool bdpo_shape_equal(const bdpo_shape *a, const bdpo_shape *b);

// Refuses empty or negative dimensions and a count whose bytes overflow; `what` names the tensor.
BDPO_MUST_CHECK bdpo_status bdpo_shape_check(const bdpo_shape *shape, const char *what);

// "[2, 64, 64, 320]", for messages. A value, so that one call may print several.
typedef struct bdpo_shape_text {
    char text[96];
} bdpo_shape_text;
bdpo_shape_text bdpo_shape_print(const bdpo_shape *shape);

static inline bool bdpo_tensor_dense(const bdpo_tensor *t)
{
    return t->row_stride == t->shape.dim[t->shape.n_dims - 1];
}

// Conversions between f32 and the half-width types: round to nearest even; NaN stays NaN.
uint16_t bdpo_bf16_from_f32(float value);
float bdpo_bf16_to_f32(uint16_t bits);
uint16_t bdpo_f16_from_f32(float value);
float bdpo_f16_to_f32(uint16_t bits);

#endif
