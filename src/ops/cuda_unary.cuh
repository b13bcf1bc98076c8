// y = f(x) on the GPU, element by element: the launch that all such operators share.
#ifndef BDPO_CUDA_UNARY_CUH
#define BDPO_CUDA_UNARY_CUH

#include "ops/cuda_launch.cuh"

template <typename T, float (*f)(float)>
__global__ static void bdpo_cuda_map(T *y, int64_t stride, const T *x, bdpo_cuda_rows in)
{
    int64_t count = in.rows * in.cols, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        int64_t row = i / in.cols, col = i % in.cols;
        bdpo_narrow(&y[row * stride + col], f(bdpo_widen(x[row * in.stride + col])));
    }
}

template <typename T, float (*f)(float)>
static bdpo_status bdpo_cuda_launch_map(const bdpo_op_call *call)
{
    bdpo_cuda_rows in = bdpo_cuda_rows_of(&call->in[0]);
    bdpo_cuda_map<T, f><<<bdpo_cuda_blocks(in.rows * in.cols), BDPO_CUDA_THREADS, 0,
                          bdpo_cuda_stream_of(call)->stream>>>(
        (T *)call->out[0].data, call->out[0].row_stride, (const T *)call->in[0].data, in);
    return bdpo_cuda_launched(call);
}

template <float (*f)(float)> static bdpo_status bdpo_cuda_unary(const bdpo_op_call *call)
{
    return call->in[0].dtype == BDPO_F32 ? bdpo_cuda_launch_map<float, f>(call)
                                         : bdpo_cuda_launch_map<__nv_bfloat16, f>(call);
}

#endif
