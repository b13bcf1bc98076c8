// y = activation(x w' + b) by cuBLASLt, which fuses the bias; f32 sums at either dtype.
//
// cuBLAS counts columns first: our row-major y [m, n] is its y' [n, m] = w x', w stored [n, k]
// being its transposed left operand.
#include "ops/cuda_launch.cuh"

extern "C" {
#include "ops/ops.h"
}

template <typename T>
__global__ static void activate(T *y, bdpo_cuda_rows out, bdpo_activation activation)
{
    int64_t count = out.rows * out.cols, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        T *at = &y[i / out.cols * out.stride + i % out.cols];
        float z = bdpo_widen(*at), value = z;
        if (activation == BDPO_SILU) value = z / (1.0f + expf(-z));
        if (activation == BDPO_GELU) value = 0.5f * z * (1.0f + erff(z * 0.70710678f));
        if (activation == BDPO_QUICK_GELU) value = z / (1.0f + expf(-1.702f * z));
        bdpo_narrow(at, value);
    }
}

typedef struct product {
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulPreference_t preference;
} product;

static void product_release(product *p)
{
    if (p->preference) cublasLtMatmulPreferenceDestroy(p->preference);
    if (p->y) cublasLtMatrixLayoutDestroy(p->y);
    if (p->x) cublasLtMatrixLayoutDestroy(p->x);
    if (p->w) cublasLtMatrixLayoutDestroy(p->w);
    if (p->operation) cublasLtMatmulDescDestroy(p->operation);
}

static cublasStatus_t describe(product *p, const bdpo_op_call *call, cudaDataType_t type)
{
    const bdpo_tensor *x = &call->in[0], *w = &call->in[1];
    uint64_t m = (uint64_t)bdpo_shape_rows(&x->shape), n = (uint64_t)w->shape.dim[0],
             k = (uint64_t)w->shape.dim[1];
    cublasOperation_t transpose = CUBLAS_OP_T;
    size_t workspace = bdpo_cuda_stream_of(call)->workspace_bytes;
    cublasStatus_t s = cublasLtMatmulDescCreate(&p->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (!s)
        s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                           sizeof transpose);
    if (!s) s = cublasLtMatrixLayoutCreate(&p->w, type, k, n, w->row_stride);
    if (!s) s = cublasLtMatrixLayoutCreate(&p->x, type, k, m, x->row_stride);
    if (!s) s = cublasLtMatrixLayoutCreate(&p->y, type, n, m, call->out[0].row_stride);
    if (!s) s = cublasLtMatmulPreferenceCreate(&p->preference);
    if (!s)
        s = cublasLtMatmulPreferenceSetAttribute(
            p->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (s || call->n_in < 3 || !call->in[2].data) return s;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                       sizeof epilogue);
    if (!s)
        s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                           &call->in[2].data, sizeof(void *));
    return s;
}

static cublasStatus_t multiply(const product *p, const bdpo_op_call *call)
{
    const bdpo_cuda_stream *stream = bdpo_cuda_stream_of(call);
    const float one = 1.0f, zero = 0.0f;
    cublasLtMatmulHeuristicResult_t best;
    int n_found = 0;
    cublasStatus_t s = cublasLtMatmulAlgoGetHeuristic(stream->blas, p->operation, p->w, p->x, p->y,
                                                      p->y, p->preference, 1, &best, &n_found);
    if (s || n_found == 0) return s ? s : CUBLAS_STATUS_NOT_SUPPORTED;
    return cublasLtMatmul(stream->blas, p->operation, &one, call->in[1].data, p->w,
                          call->in[0].data, p->x, &zero, call->out[0].data, p->y, call->out[0].data,
                          p->y, &best.algo, stream->workspace, stream->workspace_bytes,
                          stream->stream);
}

extern "C" bdpo_status bdpo_cuda_linear(const bdpo_op_call *call)
{
    bool f32 = call->in[0].dtype == BDPO_F32;
    product p = {};
    cublasStatus_t s = describe(&p, call, f32 ? CUDA_R_32F : CUDA_R_16BF);
    if (!s) s = multiply(&p, call);
    product_release(&p);
    if (s) return bdpo_fail(BDPO_UNSUPPORTED, "linear: cuBLASLt: %s", cublasLtGetStatusString(s));
    const bdpo_activation activation = *(const bdpo_activation *)call->attrs;
    bdpo_cuda_rows out = bdpo_cuda_rows_of(&call->out[0]);
    int64_t count = out.rows * out.cols;
    cudaStream_t stream = bdpo_cuda_stream_of(call)->stream;
    if (activation != BDPO_NO_ACTIVATION && f32)
        activate<float><<<bdpo_cuda_blocks(count), BDPO_CUDA_THREADS, 0, stream>>>(
            (float *)call->out[0].data, out, activation);
    else if (activation != BDPO_NO_ACTIVATION)
        activate<__nv_bfloat16><<<bdpo_cuda_blocks(count), BDPO_CUDA_THREADS, 0, stream>>>(
            (__nv_bfloat16 *)call->out[0].data, out, activation);
    return bdpo_cuda_launched(call);
}
