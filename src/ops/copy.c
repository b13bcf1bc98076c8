// dst = src, in the store.
//
//   dst [..] changed, src [..] of the same shape: the same dtype, or both of a float dtype,
//   rounded to nearest even
#include <string.h>

#include "kernels/elementwise.h"
#include "ops/axis.h"
#include "ops/state.h"

extern const bdpo_op bdpo_op_copy;

static bdpo_status shape(bdpo_node *node)
{
    for (int i = 0; i < 2; i++)
        if (!bdpo_has_input(node, i)) return bdpo_refuse(node, "input %d is missing", i);
    const bdpo_value *dst = bdpo_in(node, 0), *src = bdpo_in(node, 1);
    if (!bdpo_shape_equal(&dst->shape, &src->shape))
        return bdpo_refuse(node, "%s does not fill %s", bdpo_shape_print(&src->shape).text,
                           bdpo_shape_print(&dst->shape).text);
    if (dst->dtype != src->dtype && !(bdpo_is_float(dst->dtype) && bdpo_is_float(src->dtype)))
        return bdpo_refuse(node, "%s does not become %s", bdpo_dtype_name(src->dtype),
                           bdpo_dtype_name(dst->dtype));
    return BDPO_OK;
}

static void cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *dst = &call->in[0], *src = &call->in[1];
    int64_t count = bdpo_shape_count(&dst->shape);
    if (bdpo_is_float(dst->dtype))
        bdpo_convert(dst->data, dst->dtype, src->data, src->dtype, count, call->n_threads);
    else
        memcpy(dst->data, src->data, (size_t)count * bdpo_dtype_size(dst->dtype));
}

static void reference(const bdpo_reference_call *call)
{
    memcpy(call->out[0], call->in[1],
           (size_t)bdpo_shape_count(&call->in_shape[1]) * sizeof(double));
}

static const bdpo_op_case cases[] = {
    {.name = "weights", .in = {BDPO_IN(7, 3, 3, 13), BDPO_IN(7, 3, 3, 13)}},
    {.name = "one element", .in = {BDPO_IN(1), BDPO_IN(1)}},
    {.name = "codes",
     .in = {BDPO_IN_FILL(BDPO_FILL_CODE, 0, 333), BDPO_IN_FILL(BDPO_FILL_CODE, 0, 333)}},
    {.name = "shapes differ", .in = {BDPO_IN(3, 4), BDPO_IN(4, 3)}, .refused = true},
    {.name = "dtypes differ",
     .in = {BDPO_IN(4), BDPO_IN_FILL(BDPO_FILL_CODE, 0, 4)},
     .refused = true},
    {.name = "no source", .in = {BDPO_IN(4)}, .refused = true},
};

const bdpo_op bdpo_op_copy = {
    .name = "copy",
    .n_inputs = 2,
    .shape = shape,
    .grad = bdpo_no_grad,
    .cpu = cpu,
    .reference = reference,
    .cases = cases,
    .n_cases = BDPO_COUNTOF(cases),
    .precision = BDPO_OWN,
    .mutates = 1,
};

bdpo_node *bdpo_copy(bdpo_graph *g, bdpo_node *dst, bdpo_node *src)
{
    return bdpo_node_new(g, &bdpo_op_copy, NULL, (bdpo_node *[]){dst, src}, 2);
}
