// Every operator of ops.def through the driver, the completeness of the list, and the proof that
// the driver rejects operators that are broken on purpose.
#include "harness.h"

#include <stdlib.h>

#include "base/memory.h"
#include "ops/op_driver.h"

// ---- one test per operator ---------------------------------------------------------------------

static void check_op(const void *argument)
{
    const bdpo_op *op = argument;
    char why[640] = "";
    if (op->n_cases > 0 && !op_driver_check(op, why, sizeof why)) FAIL("%s", why);
    if (op->n_cases == 0 && op->tested_by && !op_driver_reaches(op->tested_by, op))
        FAIL("no case of %s reaches %s", op->tested_by->name, op->name);
}

__attribute__((constructor)) static void register_ops(void)
{
    for (int i = 0; i < bdpo_n_ops; i++)
        test_register(__FILE__, bdpo_op_list[i].op->name, TEST_QUICK, check_op, bdpo_op_list[i].op);
}

// ---- completeness ------------------------------------------------------------------------------

static bool has_file(const char *name, const char *suffix)
{
    char path[512];
    snprintf(path, sizeof path, "%s/../src/ops/%s%s", BDPO_TESTS_DIR, name, suffix);
    FILE *file = fopen(path, "r");
    if (file) fclose(file);
    return file != NULL;
}

BDPO_TEST(list_is_not_empty)
{
    CHECK(bdpo_n_ops > 0);
}

BDPO_TEST(each_op_has_cases)
{
    for (int i = 0; i < bdpo_n_ops; i++) {
        const bdpo_op *op = bdpo_op_list[i].op;
        if (op->n_cases == 0 && !op->tested_by)
            FAIL("%s has no cases and names no operator that tests it", op->name);
        if (op->n_cases > 0 && !op->reference) FAIL("%s has cases and no reference", op->name);
        if (op->tested_by && op->tested_by->n_cases == 0)
            FAIL("%s is tested by %s, which has no cases", op->name, op->tested_by->name);
    }
}

BDPO_TEST(each_op_says_what_its_gradient_is)
{
    for (int i = 0; i < bdpo_n_ops; i++)
        if (!bdpo_op_list[i].op->grad)
            FAIL("%s has neither a gradient rule nor bdpo_no_grad", bdpo_op_list[i].op->name);
}

BDPO_TEST(each_op_has_a_kernel)
{
    for (int i = 0; i < bdpo_n_ops; i++) {
        const bdpo_op *op = bdpo_op_list[i].op;
        if (!op->cpu && !op->is_view) FAIL("%s has no CPU kernel and is no view", op->name);
        if (!op->shape) FAIL("%s has no shape rule", op->name);
    }
}

// OP promises a .cu file of its own name, OP_CPU that there is none.
BDPO_TEST(cuda_twins_are_where_the_list_says)
{
    if (!has_file("ops", ".def")) SKIP("the source tree is not at hand");
    for (int i = 0; i < bdpo_n_ops; i++) {
        const char *name = bdpo_op_list[i].op->name;
        bool twin = has_file(name, ".cu");
        if (!bdpo_op_list[i].cpu_only && !twin) FAIL("src/ops/%s.cu is missing", name);
        if (bdpo_op_list[i].cpu_only && twin) FAIL("%s is OP_CPU, yet has a .cu file", name);
    }
}

BDPO_TEST(names_are_unique)
{
    for (int i = 0; i < bdpo_n_ops; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(bdpo_op_list[i].op->name, bdpo_op_list[j].op->name) == 0)
                FAIL("two operators are called %s", bdpo_op_list[i].op->name);
}

// ---- operators broken on purpose ---------------------------------------------------------------
//
// y = x^2, right or wrong in one way. Each descriptor shares the rules below and differs in its
// kernel, its gradient kernel or its shape rule.

static bdpo_status square_shape(bdpo_node *node)
{
    return bdpo_same_shape(node, 1);
}

static bdpo_status careless_shape(bdpo_node *node)
{
    bdpo_set_output(node, BDPO_F32, bdpo_in(node, 0)->shape);
    return BDPO_OK;
}

// out[0][r, c] = f(call, r, c), added to what was there where the call says so.
static void for_each(const bdpo_op_call *call, float (*f)(const bdpo_op_call *, int64_t, int64_t))
{
    const bdpo_tensor *y = &call->out[0];
    for (int64_t r = 0; r < bdpo_shape_rows(&y->shape); r++)
        for (int64_t c = 0; c < bdpo_shape_cols(&y->shape); c++) {
            float *at = (float *)y->data + r * y->row_stride + c;
            *at = f(call, r, c) + (call->accumulate ? *at : 0.0F);
        }
}

static float input(const bdpo_op_call *call, int i, int64_t r, int64_t c)
{
    return ((const float *)call->in[i].data)[r * call->in[i].row_stride + c];
}

static float square(const bdpo_op_call *call, int64_t r, int64_t c)
{
    return input(call, 0, r, c) * input(call, 0, r, c);
}

// Fills the columns between the rows of a strided output as well.
static void fills_gaps_cpu(const bdpo_op_call *call)
{
    const bdpo_tensor *y = &call->out[0];
    for_each(call, square);
    if (!bdpo_tensor_dense(y)) ((float *)y->data)[bdpo_shape_cols(&y->shape)] = 0.0F;
}

static float slightly_off(const bdpo_op_call *call, int64_t r, int64_t c)
{
    return square(call, r, c) * 1.0001F;
}

static float blind_to_stride(const bdpo_op_call *call, int64_t r, int64_t c)
{
    float x = ((const float *)call->in[0].data)[r * call->out[0].row_stride + c];
    return x * x;
}

static float slope(const bdpo_op_call *call, int64_t r, int64_t c)
{
    return 2.0F * input(call, 1, r, c) * input(call, 0, r, c);
}

static float wrong_sign(const bdpo_op_call *call, int64_t r, int64_t c)
{
    return -slope(call, r, c);
}

static float zero(const bdpo_op_call *call, int64_t r, int64_t c)
{
    (void)call, (void)r, (void)c;
    return 0.0F;
}

static float not_a_number(const bdpo_op_call *call, int64_t r, int64_t c)
{
    return slope(call, r, c) + (r + c == 0 ? NAN : 0.0F);
}

static void square_cpu(const bdpo_op_call *call)
{
    for_each(call, square);
}

static void off_cpu(const bdpo_op_call *call)
{
    for_each(call, slightly_off);
}

static void blind_cpu(const bdpo_op_call *call)
{
    for_each(call, blind_to_stride);
}

static void past_the_end_cpu(const bdpo_op_call *call)
{
    for_each(call, square);
    ((float *)call->out[0].data)[bdpo_shape_count(&call->out[0].shape)] = 0.0F;
}

static void changes_input_cpu(const bdpo_op_call *call)
{
    for_each(call, square);
    ((float *)call->in[0].data)[0] += 1.0F;
}

static void small_workspace_cpu(const bdpo_op_call *call)
{
    memset(call->workspace, 0, 64);
    for_each(call, square);
}

static void forgets_to_add_cpu(const bdpo_op_call *call)
{
    bdpo_op_call plain = *call;
    plain.accumulate = false;
    for_each(&plain, square);
}

static void unsteady_cpu(const bdpo_op_call *call)
{
    static int runs;
    for_each(call, square);
    *(float *)call->out[0].data *= 1.0F + 1e-7F * (float)(++runs % 3);
}

// Squares in two steps: wrong when the output is the input.
static void not_in_place_cpu(const bdpo_op_call *call)
{
    for_each(call, zero);
    for_each(call, square);
}

static void slope_cpu(const bdpo_op_call *call)
{
    for_each(call, slope);
}

static void wrong_sign_cpu(const bdpo_op_call *call)
{
    for_each(call, wrong_sign);
}

static void zero_cpu(const bdpo_op_call *call)
{
    for_each(call, zero);
}

static void nan_cpu(const bdpo_op_call *call)
{
    for_each(call, not_a_number);
}

static void square_reference(const bdpo_reference_call *call)
{
    for (int64_t i = 0; i < bdpo_shape_count(&call->in_shape[0]); i++)
        call->out[0][i] = call->in[0][i] * call->in[0][i];
}

static bdpo_status slope_shape(bdpo_node *node)
{
    return bdpo_same_shape(node, 2);
}

static size_t workspace_48(const bdpo_node *node, int n_threads)
{
    (void)node, (void)n_threads;
    return 48;
}

#define SLOPE_OP(name_, cpu_)                                                                      \
    static const bdpo_op name_ = {                                                                 \
        .name = #name_,                                                                            \
        .n_inputs = 2,                                                                             \
        .shape = slope_shape,                                                                      \
        .grad = bdpo_no_grad,                                                                      \
        .cpu = cpu_,                                                                               \
        .strided_inputs = 3,                                                                       \
    };                                                                                             \
    static void name_##_grad(bdpo_graph *g, bdpo_node *node, bdpo_node *const *dy, bdpo_node **dx) \
    {                                                                                              \
        dx[0] = bdpo_node_new(g, &name_, NULL, (bdpo_node *[]){dy[0], node->in[0]}, 2);            \
    }

SLOPE_OP(right_slope, slope_cpu)
SLOPE_OP(wrong_sign_slope, wrong_sign_cpu)
SLOPE_OP(zero_slope, zero_cpu)
SLOPE_OP(nan_slope, nan_cpu)

static const bdpo_op_case square_cases[] = {
    {.name = "small", .in = {BDPO_IN(3, 7)}},
    {.name = "large", .in = {BDPO_IN(5, 61)}},
    {.name = "integers", .in = {BDPO_IN_FILL(BDPO_FILL_INDEX, 9, 4)}, .refused = true},
};

static const bdpo_op right_op = {
    .name = "square",
    .n_inputs = 1,
    .shape = square_shape,
    .grad = right_slope_grad,
    .cpu = square_cpu,
    .reference = square_reference,
    .cases = square_cases,
    .n_cases = BDPO_COUNTOF(square_cases),
    .workspace = workspace_48,
    .strided_inputs = 1,
    .strided_outputs = 1,
    .inplace_inputs = 1,
    .can_accumulate = true,
};

// The driver must refuse the operator, in a sentence that holds `part`.
static void check_rejected(bdpo_op op, const char *part)
{
    char why[640] = "";
    if (op_driver_check(&op, why, sizeof why)) FAIL("the driver accepts it: %s", part);
    CHECK_CONTAINS(why, part);
}

BDPO_TEST(driver_accepts_a_right_operator)
{
    char why[640] = "";
    if (!op_driver_check(&right_op, why, sizeof why)) FAIL("%s", why);
}

#define BROKEN(test_name, part, field, ...)                                                        \
    BDPO_TEST(driver_rejects_##test_name)                                                          \
    {                                                                                              \
        bdpo_op op = right_op;                                                                     \
        op.field = __VA_ARGS__;                                                                    \
        check_rejected(op, part);                                                                  \
    }

BROKEN(a_wrong_sign, "gradient of input 0 is off", grad, wrong_sign_slope_grad)
BROKEN(a_zero_gradient, "gradient of input 0 is off", grad, zero_slope_grad)
BROKEN(a_nan_gradient, "gradient of input 0 is not finite", grad, nan_slope_grad)
BROKEN(a_wrong_value, "value of output 0 is off", cpu, off_cpu)
BROKEN(a_kernel_blind_to_strides, "strided input 0: value", cpu, blind_cpu)
BROKEN(a_write_past_the_end, "outside the memory of output 0", cpu, past_the_end_cpu)
BROKEN(a_write_between_rows, "outside the memory of output 0", cpu, fills_gaps_cpu)
BROKEN(a_changed_input, "changed input 0", cpu, changes_input_cpu)
BROKEN(a_small_workspace, "outside its workspace", cpu, small_workspace_cpu)
BROKEN(a_kernel_that_does_not_add, "accumulating: value", cpu, forgets_to_add_cpu)
BROKEN(an_unsteady_kernel, "other bits", cpu, unsteady_cpu)
BROKEN(a_false_promise_of_in_place, "in place of input 0", cpu, not_in_place_cpu)
BROKEN(a_careless_shape_rule, "accepts what it has to refuse", shape, careless_shape)
BROKEN(a_lack_of_refusals, "no case is refused", n_cases, 2)
