// The matrix product against a double reference: every transposition, odd sizes, strides, bias,
// activation, accumulation, instruction set and backend; guard words around C and the workspace,
// and NaN between the rows of A and B, which a product that reads there cannot hide.
#include "harness.h"

#include "base/memory.h"
#include "kernels/gemm.h"
#include "kernels/isa.h"

enum { GUARD = 64 }; // floats before and behind C, bytes behind the workspace
static const float guard_value = -12345.25F;

static uint32_t random_state;

static uint32_t next_random(void)
{
    random_state = random_state * 1664525U + 1013904223U;
    return random_state >> 8;
}

static float next_value(void)
{
    return (float)next_random() * 0x1p-23F - 1.0F; // [-1, 1)
}

static int64_t pick(int64_t count)
{
    return (int64_t)(next_random() % (uint32_t)count);
}

// ---- a product with its operands -----------------------------------------------------------

typedef struct product {
    bdpo_gemm_args args;
    float *a, *b, *c, *before, *bias;
    size_t c_count;
} product;

// rows x cols values with row stride ld and NaN in the gaps.
static float *new_matrix(int64_t rows, int64_t cols, int64_t ld)
{
    float *x = bdpo_alloc_aligned((size_t)(rows * ld + 1) * sizeof *x);
    CHECK(x != NULL);
    for (int64_t i = 0; i < rows * ld; i++) x[i] = i % ld < cols ? next_value() : NAN;
    return x;
}

static product product_new(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b, int gap)
{
    product p = {.c_count = (size_t)(m * (n + gap) + (int64_t)2 * GUARD)};
    bdpo_gemm_args *g = &p.args;
    *g = (bdpo_gemm_args){.m = m,
                          .n = n,
                          .k = k,
                          .trans_a = trans_a,
                          .trans_b = trans_b,
                          .lda = (trans_a ? m : k) + gap,
                          .ldb = (trans_b ? k : n) + gap,
                          .ldc = n + gap,
                          .alpha = 1};
    g->a = p.a = new_matrix(trans_a ? k : m, trans_a ? m : k, g->lda);
    g->b = p.b = new_matrix(trans_b ? n : k, trans_b ? k : n, g->ldb);
    p.bias = new_matrix(1, n, n);
    p.c = bdpo_alloc_aligned(p.c_count * sizeof *p.c);
    p.before = bdpo_alloc_aligned(p.c_count * sizeof *p.c);
    CHECK(p.c && p.before);
    g->c = p.c + GUARD;
    return p;
}

static void product_free(product *p)
{
    bdpo_free_aligned(p->a);
    bdpo_free_aligned(p->b);
    bdpo_free_aligned(p->c);
    bdpo_free_aligned(p->before);
    bdpo_free_aligned(p->bias);
}

// C holds numbers inside and guard words around; a C that is not added to holds NaN inside.
static void fill_c(product *p)
{
    const bdpo_gemm_args *g = &p->args;
    for (size_t i = 0; i < p->c_count; i++) p->c[i] = guard_value;
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++)
            g->c[i * g->ldc + j] = g->accumulate ? next_value() : NAN;
    memcpy(p->before, p->c, p->c_count * sizeof *p->c);
}

static unsigned char *new_workspace(size_t size)
{
    unsigned char *w = bdpo_alloc_aligned(size + GUARD);
    CHECK(w != NULL);
    memset(w, 0xff, size + GUARD); // NaN: contents must not matter
    return w;
}

static void check_workspace(const unsigned char *w, size_t size)
{
    for (size_t i = size; i < size + GUARD; i++) CHECK_INT(w[i], 0xff);
}

static void run(const product *p, int n_threads)
{
    const bdpo_gemm_args *g = &p->args;
    size_t size = bdpo_gemm_workspace(g->m, g->n, g->k, g->trans_a, g->trans_b, n_threads);
    CHECK_LE((double)size, 4.0 * 1024 * 1024 * n_threads);
    unsigned char *w = new_workspace(size);
    bdpo_gemm(g, w, n_threads);
    check_workspace(w, size);
    bdpo_free_aligned(w);
}

static double activated(double x, bdpo_gemm_activation f)
{
    switch (f) {
    case BDPO_GEMM_LINEAR:
        return x;
    case BDPO_GEMM_SILU:
        return x / (1 + exp(-x));
    case BDPO_GEMM_GELU:
        return x * 0.5 * erfc(-x * sqrt(0.5));
    case BDPO_GEMM_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    }
    return NAN;
}

// Checks C[i][j]. A sum of k products rounded at each step is off by at most k 2^-24 of the sum of
// their magnitudes, if k is small against 2^24; alpha, C and bias add a rounding each. The
// activations' slopes stay below 1.2, and their own error below 8 roundings of their argument.
static void check_element(const product *p, int64_t i, int64_t j)
{
    const bdpo_gemm_args *g = &p->args;
    double sum = 0, size = 0;
    for (int64_t q = 0; q < g->k; q++) {
        double x = g->a[g->trans_a ? q * g->lda + i : i * g->lda + q];
        double y = g->b[g->trans_b ? j * g->ldb + q : q * g->ldb + j];
        sum += x * y;
        size += fabs(x * y);
    }
    sum *= g->alpha;
    size *= fabs((double)g->alpha);
    if (g->accumulate) {
        double old = p->before[GUARD + i * g->ldc + j];
        sum += old;
        size += fabs(old);
    }
    if (g->bias) {
        sum += g->bias[j];
        size += fabs((double)g->bias[j]);
    }
    double tolerance = (double)(g->k + 4) * 0x1p-24 * size;
    if (g->activation != BDPO_GEMM_LINEAR) tolerance = 1.2 * tolerance + 8 * 0x1p-24 * fabs(sum);
    double expected = activated(sum, g->activation), actual = g->c[i * g->ldc + j];
    if (!(fabs(actual - expected) <= tolerance))
        FAIL("%ldx%ldx%ld %c%c, element %ld %ld: %.9g, expected %.9g +- %.2g", (long)g->m,
             (long)g->n, (long)g->k, g->trans_a ? 'T' : 'N', g->trans_b ? 'T' : 'N', (long)i,
             (long)j, actual, expected, tolerance);
}

// Everything outside C's elements is as before.
static void check_guards(const product *p)
{
    const bdpo_gemm_args *g = &p->args;
    for (size_t i = 0; i < p->c_count; i++) {
        int64_t at = (int64_t)i - GUARD;
        bool inside = at >= 0 && at < g->m * g->ldc && at % g->ldc < g->n;
        if (!inside && p->c[i] != guard_value)
            FAIL("%ldx%ldx%ld: wrote outside of C at %ld", (long)g->m, (long)g->n, (long)g->k,
                 (long)at);
    }
}

static void check_product(product *p, int n_threads)
{
    fill_c(p);
    run(p, n_threads);
    for (int64_t i = 0; i < p->args.m; i++)
        for (int64_t j = 0; j < p->args.n; j++) check_element(p, i, j);
    check_guards(p);
}

// Random options for a product of this shape.
static void check_shape(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b)
{
    product p = product_new(m, n, k, trans_a, trans_b, (int)pick(3) * 3);
    p.args.accumulate = pick(2) == 0;
    p.args.alpha = pick(2) == 0 ? 1 : -0.75F;
    p.args.bias = pick(2) == 0 ? p.bias : NULL;
    p.args.activation = (bdpo_gemm_activation)pick(4);
    check_product(&p, 1 + (int)pick(3));
    product_free(&p);
}

// ---- every code against the reference ------------------------------------------------------

static const int64_t sizes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  12, 15, 16, 17,
                                23, 31, 32, 33, 40, 47, 48, 49, 63, 64, 65, 70};

static void check_many_shapes(uint32_t seed, int rounds)
{
    random_state = seed;
    for (int i = 0; i < rounds; i++) {
        int64_t m = sizes[pick((int64_t)BDPO_COUNTOF(sizes))];
        int64_t n = sizes[pick((int64_t)BDPO_COUNTOF(sizes))];
        int64_t k = sizes[pick((int64_t)BDPO_COUNTOF(sizes))];
        check_shape(m, n, k, i & 1, i & 2);
    }
    for (int64_t m = 1; m <= 9; m++) // each height of a tile, and the paths for few rows
        for (int t = 0; t < 4; t++) check_shape(m, 77, 130, t & 1, t & 2);
}

static void use(bdpo_isa isa, bdpo_gemm_backend backend)
{
    if (bdpo_isa_force(isa) != BDPO_OK) SKIP("%s", bdpo_message());
    if (bdpo_gemm_force(backend) != BDPO_OK) SKIP("%s", bdpo_message());
}

BDPO_TEST(own_avx512)
{
    use(BDPO_ISA_avx512, BDPO_GEMM_OWN);
    check_many_shapes(1, 600);
}

BDPO_TEST(own_avx2)
{
    use(BDPO_ISA_avx2, BDPO_GEMM_OWN);
    check_many_shapes(2, 600);
}

BDPO_TEST(own_portable)
{
    use(BDPO_ISA_portable, BDPO_GEMM_OWN);
    check_many_shapes(3, 600);
}

BDPO_TEST(dnnl)
{
    use(bdpo_isa_active(), BDPO_GEMM_DNNL);
    check_many_shapes(4, 300);
}

BDPO_TEST(openblas)
{
    use(bdpo_isa_active(), BDPO_GEMM_OPENBLAS);
    check_many_shapes(5, 300);
}

BDPO_TEST(by_rule)
{
    check_many_shapes(6, 300);
}

// Larger than every block of the kernel: several parts of k, chunks and slabs of B, packed rows.
static void check_blocks(bdpo_isa isa)
{
    use(isa, BDPO_GEMM_OWN);
    random_state = 7;
    for (int t = 0; t < 4; t++) {
        check_shape(20, 430, 1100, t & 1, t & 2);
        check_shape(150, 1700, 260, t & 1, t & 2);
        check_shape(270, 110, 800, t & 1, t & 2);
    }
    check_shape(2, 300, 1280, false, true);
    check_shape(2, 1300, 300, false, false);
}

BDPO_TEST_FULL(blocks_avx512)
{
    check_blocks(BDPO_ISA_avx512);
}

BDPO_TEST_FULL(blocks_avx2)
{
    check_blocks(BDPO_ISA_avx2);
}

BDPO_TEST_FULL(blocks_portable)
{
    check_blocks(BDPO_ISA_portable);
}

BDPO_TEST(no_depth_writes_the_bias)
{
    random_state = 8;
    for (int t = 0; t < 4; t++) {
        product p = product_new(9, 35, 0, t & 1, t & 2, 1);
        p.args.bias = p.bias;
        check_product(&p, 2);
        p.args.accumulate = true;
        check_product(&p, 2);
        product_free(&p);
    }
}

BDPO_TEST(no_rows_or_columns_does_nothing)
{
    float c = guard_value;
    bdpo_gemm(&(bdpo_gemm_args){.m = 0, .n = 1, .k = 1, .c = &c, .ldc = 1, .alpha = 1}, NULL, 1);
    bdpo_gemm(&(bdpo_gemm_args){.m = 1, .n = 0, .k = 1, .c = &c, .ldc = 1, .alpha = 1}, NULL, 1);
    CHECK(c == guard_value);
}

// ---- threads -------------------------------------------------------------------------------

static void check_bits(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b)
{
    product p = product_new(m, n, k, trans_a, trans_b, 0);
    p.args.bias = p.bias;
    p.args.activation = BDPO_GEMM_GELU;
    float *first = bdpo_alloc_aligned((size_t)(m * n) * sizeof *first);
    CHECK(first != NULL);
    for (int n_threads = 1; n_threads <= 6; n_threads++) {
        fill_c(&p);
        run(&p, n_threads);
        if (n_threads == 1) memcpy(first, p.args.c, (size_t)(m * n) * sizeof *first);
        CHECK_BYTES(p.args.c, first, (size_t)(m * n) * sizeof *first);
    }
    bdpo_free_aligned(first);
    product_free(&p);
}

BDPO_TEST(own_bits_do_not_depend_on_threads)
{
    use(bdpo_isa_active(), BDPO_GEMM_OWN);
    random_state = 9;
    for (int t = 0; t < 4; t++) {
        check_bits(130, 150, 500, t & 1, t & 2);
        check_bits(2, 1030, 520, t & 1, t & 2);
        check_bits(700, 9, 400, t & 1, t & 2);
    }
}

// ---- batches -------------------------------------------------------------------------------

// Heads side by side, as attention has them: A [2, m, 3, k], B [2, n, 3, k] or shared, C alike.
static void check_batch(int64_t m, int64_t n, int64_t k, bool share_b, int n_threads)
{
    enum { OUTER = 2, INNER = 3 };
    product p = product_new(OUTER * m, INNER * n, INNER * k, false, true, 0);
    float *b = new_matrix(OUTER * n, INNER * k, INNER * k);
    bdpo_gemm_batch_args batch = {.one = p.args,
                                  .count = {OUTER, INNER},
                                  .a_stride = {m * INNER * k, k},
                                  .b_stride = {share_b ? 0 : n * INNER * k, k},
                                  .c_stride = {m * INNER * n, n}};
    batch.one.m = m, batch.one.n = n, batch.one.k = k;
    batch.one.b = b;
    fill_c(&p);
    size_t size = bdpo_gemm_batch_workspace(m, n, k, false, true, OUTER * INNER, n_threads);
    unsigned char *w = new_workspace(size);
    bdpo_gemm_batch(&batch, w, n_threads);
    check_workspace(w, size);
    check_guards(&p);
    for (int64_t i = 0; i < OUTER; i++)
        for (int64_t h = 0; h < INNER; h++) {
            product one = p;
            one.args = batch.one;
            one.args.a += i * batch.a_stride[0] + h * batch.a_stride[1];
            one.args.b += i * batch.b_stride[0] + h * batch.b_stride[1];
            one.args.c += i * batch.c_stride[0] + h * batch.c_stride[1];
            for (int64_t r = 0; r < m; r++)
                for (int64_t s = 0; s < n; s++) check_element(&one, r, s);
        }
    bdpo_free_aligned(w);
    bdpo_free_aligned(b);
    product_free(&p);
}

BDPO_TEST(batch)
{
    random_state = 10;
    for (int n_threads = 1; n_threads <= 5; n_threads++) {
        check_batch(33, 21, 17, false, n_threads);
        check_batch(33, 21, 17, true, n_threads);
        check_batch(100, 90, 40, false, n_threads); // large enough to be shared
    }
}

BDPO_TEST(force_names_what_is_missing)
{
    bdpo_status status = bdpo_gemm_force(BDPO_GEMM_OPENBLAS);
    if (status == BDPO_OK) SKIP("this build has OpenBLAS");
    CHECK_INT(status, BDPO_UNSUPPORTED);
    CHECK_CONTAINS(bdpo_message(), "OpenBLAS");
}
