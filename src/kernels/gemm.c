#include "kernels/gemm.h"
#include "kernels/elementwise.h"
#include <dnnl.h>
#include <math.h>
void bdpo_gemm(const bdpo_gemm_args *p, void *w, int t)
{
    (void)w;
    dnnl_sgemm(p->trans_a ? 'T' : 'N', p->trans_b ? 'T' : 'N', p->m, p->n, p->k, p->alpha, p->a,
               p->lda, p->b, p->ldb, p->accumulate ? 1.0f : 0.0f, p->c, p->ldc);
    if (p->bias)
        bdpo_binary_forward(p->c, p->ldc, p->c, p->ldc, p->bias, 0, p->m, p->n, 1, BDPO_BINARY_ADD,
                            BDPO_SPREAD_ROW, t);
    static const bdpo_unary act[] = {0, BDPO_UNARY_SILU, BDPO_UNARY_GELU, BDPO_UNARY_QUICK_GELU};
    if (p->activation)
        bdpo_unary_forward(p->c, p->ldc, p->c, p->ldc, p->m, p->n, act[p->activation], 0, 0, t);
}
size_t bdpo_gemm_workspace(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b,
                           int n_threads)
{
    (void)m, (void)n, (void)k, (void)trans_a, (void)trans_b, (void)n_threads;
    return 0;
}
size_t bdpo_gemm_batch_workspace(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b,
                                 int64_t p, int n_threads)
{
    (void)m, (void)n, (void)k, (void)trans_a, (void)trans_b, (void)p, (void)n_threads;
    return 0;
}
void bdpo_gemm_batch(const bdpo_gemm_batch_args *a, void *w, int t)
{
    for (int64_t i = 0; i < a->count[0]; i++)
        for (int64_t j = 0; j < a->count[1]; j++) {
            bdpo_gemm_args o = a->one;
            o.a += i * a->a_stride[0] + j * a->a_stride[1];
            o.b += i * a->b_stride[0] + j * a->b_stride[1];
            o.c += i * a->c_stride[0] + j * a->c_stride[1];
            bdpo_gemm(&o, w, t);
        }
}
bdpo_status bdpo_gemm_force(bdpo_gemm_backend b)
{
    (void)b;
    return BDPO_OK;
}
