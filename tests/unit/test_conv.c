// Convolutions: every algorithm, forced, in every instruction set, against the sums in double; on
// strided views, in odd sizes, with guard words, in a workspace full of NaNs.
#include "harness.h"

#include "base/memory.h"
#include "kernels/conv.h"
#include "kernels/isa.h"

typedef struct conv_case {
    bdpo_conv_shape s;
    int pad_bottom, pad_right;
} conv_case;

// h, w, ci, co; kernel, stride; padding above, left, below, right.
#define CONV(n_, h_, w_, ci_, co_, k_, stride_, top, left, below, right)                           \
    {                                                                                              \
        .s = {.n = n_,                                                                             \
              .h = h_,                                                                             \
              .w = w_,                                                                             \
              .ci = ci_,                                                                           \
              .co = co_,                                                                           \
              .kh = k_,                                                                            \
              .kw = k_,                                                                            \
              .stride = stride_,                                                                   \
              .pad_top = top,                                                                      \
              .pad_left = left},                                                                   \
        .pad_bottom = below, .pad_right = right                                                    \
    }

static const conv_case cases[] = {
    CONV(1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1),    CONV(1, 1, 1, 5, 3, 3, 2, 1, 1, 1, 1),
    CONV(2, 5, 7, 3, 4, 3, 1, 1, 1, 1, 1),    CONV(2, 5, 7, 4, 17, 3, 2, 1, 1, 1, 1),
    CONV(1, 8, 8, 33, 5, 3, 1, 1, 1, 1, 1),   CONV(1, 8, 8, 5, 33, 3, 2, 0, 0, 1, 1),
    CONV(1, 6, 9, 17, 33, 3, 1, 0, 1, 1, 0),  CONV(1, 9, 6, 8, 16, 3, 1, 2, 2, 2, 2),
    CONV(1, 7, 5, 16, 8, 3, 1, 0, 0, 0, 0),   CONV(3, 4, 4, 48, 40, 3, 1, 1, 1, 1, 1),
    CONV(1, 13, 3, 64, 65, 3, 1, 1, 1, 1, 1), CONV(2, 4, 4, 140, 130, 3, 1, 1, 1, 1, 1),
    CONV(1, 5, 7, 3, 33, 1, 1, 0, 0, 0, 0),   CONV(2, 3, 4, 65, 17, 1, 1, 0, 0, 0, 0),
    CONV(1, 6, 5, 7, 9, 1, 2, 0, 0, 0, 0),    CONV(1, 9, 7, 3, 6, 5, 2, 2, 1, 2, 3),
    CONV(1, 9, 9, 2, 7, 4, 4, 0, 0, 0, 0),    CONV(1, 10, 7, 3, 5, 2, 3, 1, 0, 0, 1),
    CONV(17, 9, 11, 4, 6, 3, 1, 1, 1, 1, 1),  CONV(9, 16, 16, 6, 4, 3, 1, 1, 1, 1, 1),
};

// Wider than a block of the sum or of the cotangent, and more tiles than a chunk.
static const conv_case big_cases[] = {
    CONV(1, 6, 6, 320, 320, 3, 1, 1, 1, 1, 1),   CONV(2, 40, 36, 20, 36, 3, 1, 1, 1, 1, 1),
    CONV(1, 8, 8, 320, 96, 3, 2, 1, 1, 1, 1),    CONV(5, 33, 31, 33, 7, 3, 1, 1, 1, 1, 1),
    CONV(2, 63, 64, 9, 12, 3, 2, 1, 0, 1, 1),    CONV(1, 16, 16, 320, 50, 1, 1, 0, 0, 0, 0),
    CONV(1, 28, 28, 3, 100, 14, 14, 0, 0, 0, 0),
};

enum { N_PASSES = 3, GAP = 5, GUARD = 16 };

// One pass of one case: its operands as views with a gap after each row of channels.
typedef struct buffers {
    bdpo_conv_shape s;
    float *x, *w, *y, *bias; // operands; y holds the cotangent where it is one
    double *want[N_PASSES];  // y, dx, dw
    float *out, *first;
    int64_t ldx, ldy;
} buffers;

static float *random_floats(int64_t count, uint32_t seed)
{
    float *p = bdpo_alloc((size_t)count, sizeof *p);
    CHECK(p != NULL);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)((int32_t)(seed >> 8) - (1 << 23)) * 0x1p-23f;
    }
    return p;
}

static int64_t out_rows(const bdpo_conv_shape *s, bdpo_conv_pass pass)
{
    switch (pass) {
    case BDPO_CONV_FORWARD:
        return s->n * s->oh * s->ow;
    case BDPO_CONV_INPUT_GRAD:
        return s->n * s->h * s->w;
    default:
        return s->co;
    }
}

static int64_t out_columns(const bdpo_conv_shape *s, bdpo_conv_pass pass)
{
    switch (pass) {
    case BDPO_CONV_FORWARD:
        return s->co;
    case BDPO_CONV_INPUT_GRAD:
        return s->ci;
    default:
        return (int64_t)s->kh * s->kw * s->ci;
    }
}

static int64_t out_stride(const buffers *b, bdpo_conv_pass pass)
{
    switch (pass) {
    case BDPO_CONV_FORWARD:
        return b->ldy;
    case BDPO_CONV_INPUT_GRAD:
        return b->ldx;
    default:
        return out_columns(&b->s, pass);
    }
}

// One term of the definition: output pixel (at y), input pixel (at x), tap (at w).
static void reference_term(const buffers *b, const float *x, const float *y, int64_t x_pixel,
                           int64_t y_pixel, int64_t tap)
{
    int64_t ci = b->s.ci, row = (int64_t)b->s.kh * b->s.kw * ci;
    for (int64_t o = 0; o < b->s.co; o++) {
        const float *w = b->w + o * row + tap * ci;
        double *dw = b->want[BDPO_CONV_WEIGHT_GRAD] + o * row + tap * ci;
        double *dx = b->want[BDPO_CONV_INPUT_GRAD] + x_pixel * ci, sum = 0;
        for (int64_t c = 0; c < ci; c++) {
            sum += (double)w[c] * (double)x[c];
            dx[c] += (double)w[c] * (double)y[o];
            dw[c] += (double)x[c] * (double)y[o];
        }
        b->want[BDPO_CONV_FORWARD][y_pixel * b->s.co + o] += sum;
    }
}

static void reference_pixel(const buffers *b, int64_t image, int64_t i, int64_t j)
{
    const bdpo_conv_shape *s = &b->s;
    int64_t y_pixel = (image * s->oh + i) * s->ow + j;
    for (int64_t o = 0; o < s->co; o++) {
        b->want[BDPO_CONV_FORWARD][y_pixel * s->co + o] = (double)b->bias[o];
    }
    for (int ky = 0; ky < s->kh; ky++) {
        for (int kx = 0; kx < s->kw; kx++) {
            int64_t yy = i * s->stride + ky - s->pad_top, xx = j * s->stride + kx - s->pad_left;
            if (yy < 0 || yy >= s->h || xx < 0 || xx >= s->w) continue;
            int64_t x_pixel = (image * s->h + yy) * s->w + xx;
            reference_term(b, b->x + x_pixel * b->ldx, b->y + y_pixel * b->ldy, x_pixel, y_pixel,
                           ky * s->kw + kx);
        }
    }
}

static buffers make_buffers(const conv_case *c)
{
    buffers b = {.s = c->s};
    bdpo_conv_shape *s = &b.s;
    s->oh = bdpo_conv_output_size(s->h, s->kh, s->stride, s->pad_top, c->pad_bottom);
    s->ow = bdpo_conv_output_size(s->w, s->kw, s->stride, s->pad_left, c->pad_right);
    b.ldx = s->ci + GAP;
    b.ldy = s->co + GAP;
    b.x = random_floats(s->n * s->h * s->w * b.ldx, 1);
    b.y = random_floats(s->n * s->oh * s->ow * b.ldy, 2);
    b.w = random_floats(s->co * s->kh * s->kw * s->ci, 3);
    b.bias = random_floats(s->co, 4);
    size_t most = 0;
    for (int p = 0; p < N_PASSES; p++) {
        size_t rows = (size_t)out_rows(s, (bdpo_conv_pass)p);
        size_t columns = (size_t)out_columns(s, (bdpo_conv_pass)p);
        b.want[p] = bdpo_alloc(rows * columns, sizeof(double));
        CHECK(b.want[p] != NULL);
        most = rows * (columns + GAP) > most ? rows * (columns + GAP) : most;
    }
    b.out = bdpo_alloc(most + GUARD, sizeof(float));
    b.first = bdpo_alloc(most + GUARD, sizeof(float));
    CHECK(b.out != NULL && b.first != NULL);
    for (int64_t image = 0; image < s->n; image++) {
        for (int64_t i = 0; i < s->oh; i++) {
            for (int64_t j = 0; j < s->ow; j++) reference_pixel(&b, image, i, j);
        }
    }
    return b;
}

static void free_buffers(buffers *b)
{
    for (int p = 0; p < N_PASSES; p++) bdpo_free(b->want[p]);
    bdpo_free(b->out);
    bdpo_free(b->first);
    bdpo_free(b->x);
    bdpo_free(b->w);
    bdpo_free(b->y);
    bdpo_free(b->bias);
}

static void run_pass(const buffers *b, bdpo_conv_pass pass, bdpo_conv_algorithm algorithm,
                     bool accumulate, void *workspace, int n_threads)
{
    switch (pass) {
    case BDPO_CONV_FORWARD:
        bdpo_conv_forward(&b->s, b->out, b->ldy, b->x, b->ldx, b->w, b->bias, algorithm, workspace,
                          n_threads);
        break;
    case BDPO_CONV_INPUT_GRAD:
        bdpo_conv_input_grad(&b->s, b->out, b->ldx, b->y, b->ldy, b->w, algorithm, workspace,
                             n_threads);
        break;
    case BDPO_CONV_WEIGHT_GRAD:
        bdpo_conv_weight_grad(&b->s, b->out, b->x, b->ldx, b->y, b->ldy, accumulate, algorithm,
                              workspace, n_threads);
        break;
    }
}

// Each rounding of a running sum of K random terms is 2^-24 of the sum so far, together about
// 0.4 sqrt(K) 2^-24 of the result; a product rounds once more where there is no fused operation,
// and bias or old value add one. Winograd's maps sum numbers up to 10 times the result's size on
// each axis: 1e-6 is seen, 1e-5 allowed.
static double tolerance(const bdpo_conv_shape *s, bdpo_conv_pass pass,
                        bdpo_conv_algorithm algorithm)
{
    if (algorithm == BDPO_CONV_WINOGRAD4) return 1e-5;
    double terms = pass == BDPO_CONV_WEIGHT_GRAD ? (double)(s->n * s->oh * s->ow)
                   : pass == BDPO_CONV_FORWARD   ? (double)(s->kh * s->kw * s->ci)
                                                 : (double)(s->kh * s->kw * s->co);
    return (4 + sqrt(terms)) * 0x1p-24;
}

// The result against the reference, every float between and behind the rows untouched.
static void check_output(const buffers *b, bdpo_conv_pass pass, double old, double limit,
                         const char *name)
{
    int64_t rows = out_rows(&b->s, pass), columns = out_columns(&b->s, pass);
    int64_t stride = out_stride(b, pass);
    double error = 0, norm = 0;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            double want = b->want[pass][r * columns + c] + old;
            double diff = (double)b->out[r * stride + c] - want;
            error += diff * diff;
            norm += want * want;
        }
        int64_t gap = r + 1 < rows ? stride - columns : GUARD;
        for (int64_t c = 0; c < gap; c++) {
            if (b->out[r * stride + columns + c] != 7.0f)
                FAIL("%s: wrote past row %d", name, (int)r);
        }
    }
    if (!(sqrt(error) <= limit * sqrt(norm) + 1e-30)) {
        FAIL("%s: relative L2 %.3g, allowed %.3g", name, sqrt(error / norm), limit);
    }
}

static void check_run(const buffers *b, bdpo_conv_pass pass, bdpo_conv_algorithm algorithm,
                      int n_threads, bool accumulate, const char *name)
{
    int64_t rows = out_rows(&b->s, pass), columns = out_columns(&b->s, pass);
    int64_t floats = (rows - 1) * out_stride(b, pass) + columns + GUARD;
    size_t bytes = bdpo_conv_workspace(&b->s, pass, algorithm, n_threads);
    CHECK(bytes <= BDPO_CONV_MAX_WORKSPACE + ((size_t)n_threads << 22));
    unsigned char *workspace = bdpo_alloc_aligned(bytes + GUARD);
    CHECK(workspace != NULL);
    memset(workspace, 0xff, bytes + GUARD);
    for (int64_t i = 0; i < floats; i++) b->out[i] = 7.0f;
    run_pass(b, pass, algorithm, accumulate, workspace, n_threads);
    check_output(b, pass, accumulate ? 7.0 : 0.0, tolerance(&b->s, pass, algorithm), name);
    for (int i = 0; i < GUARD; i++) CHECK_INT(workspace[bytes + (size_t)i], 0xff);
    bdpo_free_aligned(workspace);
}

// The same bits run to run and, where no thread sums on its own, from one thread and from three.
static void check_pass(const buffers *b, bdpo_conv_pass pass, bdpo_conv_algorithm algorithm,
                       const char *isa)
{
    static const char *const pass_names[] = {"forward", "input grad", "weight grad"};
    char name[160];
    snprintf(name, sizeof name, "%s %s %s n%d %dx%d %d->%d k%d s%d", isa,
             bdpo_conv_algorithm_name(algorithm), pass_names[pass], (int)b->s.n, (int)b->s.h,
             (int)b->s.w, (int)b->s.ci, (int)b->s.co, b->s.kh, b->s.stride);
    int64_t rows = out_rows(&b->s, pass), columns = out_columns(&b->s, pass);
    size_t size = (size_t)((rows - 1) * out_stride(b, pass) + columns) * sizeof(float);
    check_run(b, pass, algorithm, 1, false, name);
    memcpy(b->first, b->out, size);
    check_run(b, pass, algorithm, 3, false, name);
    if (pass == BDPO_CONV_WEIGHT_GRAD || algorithm == BDPO_CONV_POINTWISE) {
        memcpy(b->first, b->out, size);
        check_run(b, pass, algorithm, 3, false, name);
    }
    CHECK_BYTES(b->out, b->first, size);
    if (pass == BDPO_CONV_WEIGHT_GRAD) check_run(b, pass, algorithm, 2, true, name);
}

static void check_cases(const conv_case *list, size_t count, bdpo_isa isa)
{
    static const bdpo_conv_algorithm algorithms[] = {BDPO_CONV_DIRECT, BDPO_CONV_POINTWISE,
                                                     BDPO_CONV_WINOGRAD4};
    if (bdpo_isa_force(isa) != BDPO_OK) SKIP("this machine lacks %s", bdpo_isa_name(isa));
    for (size_t i = 0; i < count; i++) {
        buffers b = make_buffers(&list[i]);
        for (size_t a = 0; a < BDPO_COUNTOF(algorithms); a++) {
            if (!bdpo_conv_can_run(&b.s, algorithms[a])) continue;
            for (int pass = 0; pass < N_PASSES; pass++) {
                check_pass(&b, (bdpo_conv_pass)pass, algorithms[a], bdpo_isa_name(isa));
            }
        }
        free_buffers(&b);
    }
}

BDPO_TEST(algorithms_agree_with_double_portable)
{
    check_cases(cases, BDPO_COUNTOF(cases), BDPO_ISA_portable);
}
BDPO_TEST(algorithms_agree_with_double_avx2)
{
    check_cases(cases, BDPO_COUNTOF(cases), BDPO_ISA_avx2);
}
BDPO_TEST(algorithms_agree_with_double_avx512)
{
    check_cases(cases, BDPO_COUNTOF(cases), BDPO_ISA_avx512);
}
BDPO_TEST_FULL(wide_and_large_portable)
{
    check_cases(big_cases, BDPO_COUNTOF(big_cases), BDPO_ISA_portable);
}
BDPO_TEST_FULL(wide_and_large_avx2)
{
    check_cases(big_cases, BDPO_COUNTOF(big_cases), BDPO_ISA_avx2);
}
BDPO_TEST_FULL(wide_and_large_avx512)
{
    check_cases(big_cases, BDPO_COUNTOF(big_cases), BDPO_ISA_avx512);
}

BDPO_TEST(rule_names_an_algorithm_that_can_run)
{
    for (size_t i = 0; i < BDPO_COUNTOF(cases); i++) {
        bdpo_conv_shape s = cases[i].s;
        s.oh = bdpo_conv_output_size(s.h, s.kh, s.stride, s.pad_top, cases[i].pad_bottom);
        s.ow = bdpo_conv_output_size(s.w, s.kw, s.stride, s.pad_left, cases[i].pad_right);
        for (int pass = 0; pass < N_PASSES; pass++) {
            bdpo_conv_algorithm chosen = bdpo_conv_choose(&s, (bdpo_conv_pass)pass);
            CHECK(chosen != BDPO_CONV_AUTO && bdpo_conv_can_run(&s, chosen));
            CHECK_U64(bdpo_conv_workspace(&s, (bdpo_conv_pass)pass, BDPO_CONV_AUTO, 2),
                      bdpo_conv_workspace(&s, (bdpo_conv_pass)pass, chosen, 2));
        }
    }
}

// Pins rows of the table: what it says of few tiles, of wasted ones, and of other convolutions.
BDPO_TEST(table_of_algorithms)
{
    static const struct {
        int n, size, channels, kernel, stride;
        const char *chosen[N_PASSES];
    } rows[] = {
        {2, 64, 320, 3, 1, {"winograd4", "winograd4", "winograd4"}},
        {2, 8, 1280, 3, 1, {"winograd4", "winograd4", "winograd4"}},
        {1, 4, 64, 3, 1, {"winograd4", "direct", "direct"}},
        {1, 4, 512, 3, 1, {"direct", "direct", "direct"}},
        {2, 4, 512, 3, 1, {"winograd4", "direct", "direct"}},
        {3, 4, 512, 3, 1, {"winograd4", "winograd4", "winograd4"}},
        {16, 2, 64, 3, 1, {"direct", "direct", "direct"}},
        {2, 64, 320, 3, 2, {"direct", "direct", "direct"}},
        {2, 64, 320, 1, 1, {"pointwise", "pointwise", "pointwise"}},
    };
    for (size_t i = 0; i < BDPO_COUNTOF(rows); i++) {
        int pad = rows[i].kernel / 2, size = rows[i].size;
        int64_t out = bdpo_conv_output_size(size, rows[i].kernel, rows[i].stride, pad, pad);
        bdpo_conv_shape s = {
            rows[i].n,        size,           size,           rows[i].channels, out, out,
            rows[i].channels, rows[i].kernel, rows[i].kernel, rows[i].stride,   pad, pad};
        for (int pass = 0; pass < N_PASSES; pass++)
            CHECK_STR(bdpo_conv_algorithm_name(bdpo_conv_choose(&s, (bdpo_conv_pass)pass)),
                      rows[i].chosen[pass]);
    }
}

BDPO_TEST(forcing_an_algorithm_that_cannot_run_aborts)
{
    bdpo_conv_shape s = {.n = 1,
                         .h = 8,
                         .w = 8,
                         .ci = 4,
                         .oh = 4,
                         .ow = 4,
                         .co = 4,
                         .kh = 3,
                         .kw = 3,
                         .stride = 2,
                         .pad_top = 1,
                         .pad_left = 1};
    CHECK_ABORTS(bdpo_conv_workspace(&s, BDPO_CONV_FORWARD, BDPO_CONV_WINOGRAD4, 1));
}

BDPO_TEST(workspace_is_bounded)
{
    static const int64_t channels[] = {1, 320, 2560, 5120}, sizes[] = {8, 64, 512};
    for (size_t c = 0; c < BDPO_COUNTOF(channels); c++) {
        for (size_t z = 0; z < BDPO_COUNTOF(sizes); z++) {
            bdpo_conv_shape s = {.n = 16,
                                 .h = sizes[z],
                                 .w = sizes[z],
                                 .ci = channels[c],
                                 .oh = sizes[z],
                                 .ow = sizes[z],
                                 .co = channels[c],
                                 .kh = 3,
                                 .kw = 3,
                                 .stride = 1,
                                 .pad_top = 1,
                                 .pad_left = 1};
            for (int pass = 0; pass < N_PASSES; pass++) {
                size_t limit = BDPO_CONV_MAX_WORKSPACE + ((size_t)2 << 22);
                bdpo_conv_pass p = (bdpo_conv_pass)pass;
                CHECK(bdpo_conv_workspace(&s, p, BDPO_CONV_WINOGRAD4, 2) <= limit);
                CHECK(bdpo_conv_workspace(&s, p, BDPO_CONV_DIRECT, 2) <= limit);
            }
        }
    }
}
