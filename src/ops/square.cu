// y = x x.
#include "ops/cuda_launch.cuh"

template <typename T>
__global__ static void square(T *y, int64_t stride, const T *x, bdpo_cuda_rows in)
{
    int64_t count = in.rows * in.cols, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        int64_t row = i / in.cols, col = i % in.cols;
        float value = bdpo_widen(x[row * in.stride + col]);
        bdpo_narrow(&y[row * stride + col], value * value);
    }
}

template <typename T> static bdpo_status launch(const bdpo_op_call *call)
{
    bdpo_cuda_rows in = bdpo_cuda_rows_of(&call->in[0]);
    square<T><<<bdpo_cuda_blocks(in.rows * in.cols), BDPO_CUDA_THREADS, 0,
                bdpo_cuda_stream_of(call)->stream>>>(
        (T *)call->out[0].data, call->out[0].row_stride, (const T *)call->in[0].data, in);
    return bdpo_cuda_launched(call);
}

extern "C" bdpo_status bdpo_cuda_square(const bdpo_op_call *call)
{
    return call->in[0].dtype == BDPO_F32 ? launch<float>(call) : launch<__nv_bfloat16>(call);
}
