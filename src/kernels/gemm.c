// Chooses who computes a product, cuts it for the threads, and finishes it with its activation.
#include "kernels/gemm.h"

#include <omp.h>
#include <stdatomic.h>

#include "base/memory.h"
#include "build_config.h"
#include "kernels/elementwise.h"
#include "kernels/gemm_isa.h"
#include "kernels/isa.h"

#if BDPO_HAVE_DNNL
#    include <dnnl.h>
#elif BDPO_HAVE_OPENBLAS
#    include <cblas.h>
#endif

BDPO_ISA_TABLE(gemm_kernels, gemm_kernels)

// ---- who computes --------------------------------------------------------------------------

// Version 1 of the rule, from bench_gemm: with AVX2 and AVX-512 our kernel is the library's equal
// or better, in portable code it is not.
static _Atomic int forced = BDPO_GEMM_BY_RULE;

static bool available(bdpo_gemm_backend backend)
{
    if (backend == BDPO_GEMM_DNNL) return BDPO_HAVE_DNNL;
    if (backend == BDPO_GEMM_OPENBLAS) return BDPO_HAVE_OPENBLAS;
    return true;
}

bdpo_status bdpo_gemm_force(bdpo_gemm_backend backend)
{
    if (!available(backend))
        return bdpo_fail(BDPO_UNSUPPORTED, "this build has no %s",
                         backend == BDPO_GEMM_DNNL ? "oneDNN" : "OpenBLAS");
    atomic_store(&forced, (int)backend);
    return BDPO_OK;
}

static bdpo_gemm_backend backend_to_use(void)
{
    bdpo_gemm_backend wanted = (bdpo_gemm_backend)atomic_load(&forced);
    if (wanted != BDPO_GEMM_BY_RULE) return wanted;
    if (bdpo_isa_active() != BDPO_ISA_portable) return BDPO_GEMM_OWN;
    if (available(BDPO_GEMM_DNNL)) return BDPO_GEMM_DNNL;
    return available(BDPO_GEMM_OPENBLAS) ? BDPO_GEMM_OPENBLAS : BDPO_GEMM_OWN;
}

// ---- a library -----------------------------------------------------------------------------

// C = alpha op(A) op(B), or += it, by the library that this build has, on as many threads as
// OpenMP would start.
static void library_call(const bdpo_gemm_args *g)
{
    float beta = g->accumulate ? 1.0F : 0.0F;
#if BDPO_HAVE_DNNL
    dnnl_status_t status =
        dnnl_sgemm(g->trans_a ? 'T' : 'N', g->trans_b ? 'T' : 'N', g->m, g->n, g->k, g->alpha, g->a,
                   g->lda, g->b, g->ldb, beta, g->c, g->ldc);
    if (status != dnnl_success) BDPO_BUG("dnnl_sgemm refused a product: status %d", (int)status);
#elif BDPO_HAVE_OPENBLAS
    cblas_sgemm(CblasRowMajor, g->trans_a ? CblasTrans : CblasNoTrans,
                g->trans_b ? CblasTrans : CblasNoTrans, (blasint)g->m, (blasint)g->n, (blasint)g->k,
                g->alpha, g->a, (blasint)g->lda, g->b, (blasint)g->ldb, beta, g->c,
                (blasint)g->ldc);
#else
    (void)beta;
    BDPO_BUG("this build has no matrix product library");
#endif
}

static bdpo_unary unary_of(bdpo_gemm_activation activation)
{
    return activation == BDPO_GEMM_SILU   ? BDPO_UNARY_SILU
           : activation == BDPO_GEMM_GELU ? BDPO_UNARY_GELU
                                          : BDPO_UNARY_QUICK_GELU;
}

static void activate(const bdpo_gemm_args *g, int n_threads)
{
    if (g->activation == BDPO_GEMM_LINEAR) return;
    bdpo_unary_forward(g->c, g->ldc, g->c, g->ldc, g->m, g->n, unary_of(g->activation), 0, 0,
                       n_threads);
}

static void library_product(const bdpo_gemm_args *g, int n_threads)
{
    int before = omp_get_max_threads(); // of this thread alone
    if (before != n_threads) omp_set_num_threads(n_threads);
    library_call(g);
    if (before != n_threads) omp_set_num_threads(before);
    if (g->bias)
        bdpo_binary_forward(g->c, g->ldc, g->c, g->ldc, g->bias, 0, g->m, g->n, 1, BDPO_BINARY_ADD,
                            BDPO_SPREAD_ROW, n_threads);
    activate(g, n_threads);
}

// ---- our own -------------------------------------------------------------------------------

static gemm_path path_for(const bdpo_gemm_args *g)
{
    if (g->trans_a || g->m > GEMM_DOT_ROWS) return GEMM_TILES;
    return g->trans_b ? GEMM_DOTS : GEMM_SWEEP;
}

static double flops_of(const bdpo_gemm_args *g)
{
    return 2.0 * (double)g->m * (double)g->n * (double)g->k;
}

// A team is woken for at least about a microsecond's work a thread.
static int threads_worth(double flops, int n_threads)
{
    double most = flops / 2e5;
    if (n_threads <= 1 || most < 2) return 1;
    return most < n_threads ? (int)most : n_threads;
}

static int64_t share_of(int64_t total, int parts, int64_t unit)
{
    int64_t share = (total + parts - 1) / parts;
    return (share + unit - 1) / unit * unit;
}

// C is cut into down x across shares, one a thread.
typedef struct grid {
    int down, across;
    int64_t rows, columns;
} grid;

// Of all ways to cut C for n threads the one whose largest share is the least work: its products,
// and, at some cost a number, the packing of its own B and the reading of its A.
static grid grid_for(const bdpo_gemm_args *g, gemm_path path, int n_threads)
{
    const double of_b = g->trans_b ? 12 : 8, of_a = g->trans_a ? 12 : 4; // in products
    grid best = {1, 1, g->m, g->n};
    double least = 0;
    for (int down = 1; down <= n_threads; down++) {
        if (n_threads % down || (down > 1 && path != GEMM_TILES)) continue;
        grid c = {.down = down, .across = n_threads / down};
        c.rows = share_of(g->m, c.down, table()->rows);
        c.columns = share_of(g->n, c.across, table()->columns);
        double rows = (double)c.rows, columns = (double)c.columns;
        double cost = rows * columns + of_b * columns + of_a * rows;
        if (least == 0 || cost < least) least = cost, best = c;
    }
    return best;
}

static void own_share(const bdpo_gemm_args *g, gemm_path path, const grid *cut, int share,
                      void *workspace)
{
    int64_t i = share / cut->across * cut->rows, j = share % cut->across * cut->columns;
    if (i >= g->m || j >= g->n) return;
    bdpo_gemm_args s = *g;
    s.m = g->m - i < cut->rows ? g->m - i : cut->rows;
    s.n = g->n - j < cut->columns ? g->n - j : cut->columns;
    s.a += g->trans_a ? i : i * g->lda;
    s.b += g->trans_b ? j * g->ldb : j;
    s.c += i * g->ldc + j;
    if (s.bias) s.bias += j;
    table()->product(&s, path, workspace);
    activate(&s, 1);
}

static size_t workspace_of_a_thread(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b)
{
    return bdpo_align(table()->workspace(m, n, k, trans_a, trans_b), 64);
}

static void own_product(const bdpo_gemm_args *g, void *workspace, int n_threads)
{
    gemm_path path = path_for(g);
    n_threads = threads_worth(flops_of(g), n_threads);
    grid cut = grid_for(g, path, n_threads);
    if (n_threads == 1) {
        own_share(g, path, &cut, 0, workspace);
        return;
    }
    size_t each = workspace_of_a_thread(g->m, g->n, g->k, g->trans_a, g->trans_b);
#pragma omp parallel num_threads(n_threads)
    { // a team may turn out smaller than asked for
        for (int i = omp_get_thread_num(); i < n_threads; i += omp_get_num_threads())
            own_share(g, path, &cut, i, (char *)workspace + (size_t)i * each);
    }
}

// ---- the calls -----------------------------------------------------------------------------

// A sum of no products: the libraries' opinions of k = 0 differ.
static void empty_product(const bdpo_gemm_args *g)
{
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            float *c = g->c + i * g->ldc + j;
            *c = (g->accumulate ? *c : 0.0F) + (g->bias ? g->bias[j] : 0.0F);
        }
    activate(g, 1);
}

void bdpo_gemm(const bdpo_gemm_args *args, void *workspace, int n_threads)
{
    if (args->m == 0 || args->n == 0) return;
    if (args->k == 0)
        empty_product(args);
    else if (backend_to_use() == BDPO_GEMM_OWN)
        own_product(args, workspace, n_threads);
    else
        library_product(args, n_threads);
}

size_t bdpo_gemm_workspace(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b,
                           int n_threads)
{
    return workspace_of_a_thread(m, n, k, trans_a, trans_b) * (size_t)n_threads;
}

static bdpo_gemm_args one_of(const bdpo_gemm_batch_args *b, int64_t index)
{
    bdpo_gemm_args g = b->one;
    int64_t i = index / b->count[1], j = index % b->count[1];
    g.a += i * b->a_stride[0] + j * b->a_stride[1];
    g.b += i * b->b_stride[0] + j * b->b_stride[1];
    g.c += i * b->c_stride[0] + j * b->c_stride[1];
    return g;
}

void bdpo_gemm_batch(const bdpo_gemm_batch_args *args, void *workspace, int n_threads)
{
    const bdpo_gemm_args *one = &args->one;
    int64_t count = args->count[0] * args->count[1];
    int team = threads_worth(flops_of(one) * (double)count, n_threads);
    // Whole products as long as the threads' shares differ by a quarter at most.
    bool whole = team > 1 && (count % team == 0 || count >= 4 * team ||
                              threads_worth(flops_of(one), team) == 1);
    if (team == 1 || !whole) {
        for (int64_t i = 0; i < count; i++) {
            bdpo_gemm_args g = one_of(args, i);
            bdpo_gemm(&g, workspace, team);
        }
        return;
    }
    size_t each = workspace_of_a_thread(one->m, one->n, one->k, one->trans_a, one->trans_b);
#pragma omp parallel num_threads(team)
    {
        int64_t id = omp_get_thread_num(), size = omp_get_num_threads();
        for (int64_t i = count * id / size; i < count * (id + 1) / size; i++) {
            bdpo_gemm_args g = one_of(args, i);
            bdpo_gemm(&g, (char *)workspace + (size_t)id * each, 1);
        }
    }
}

size_t bdpo_gemm_batch_workspace(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b,
                                 int64_t n_products, int n_threads)
{
    (void)n_products;
    return bdpo_gemm_workspace(m, n, k, trans_a, trans_b, n_threads);
}
