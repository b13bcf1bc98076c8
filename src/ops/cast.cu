// y = x in another float dtype, rounded to nearest even.
#include "ops/cuda_launch.cuh"

template <typename Out, typename In>
__global__ static void cast(Out *y, int64_t stride, const In *x, bdpo_cuda_rows in)
{
    int64_t count = in.rows * in.cols, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        int64_t row = i / in.cols, col = i % in.cols;
        bdpo_narrow(&y[row * stride + col], bdpo_widen(x[row * in.stride + col]));
    }
}

template <typename Out, typename In> static bdpo_status launch(const bdpo_op_call *call)
{
    bdpo_cuda_rows in = bdpo_cuda_rows_of(&call->in[0]);
    cast<Out, In><<<bdpo_cuda_blocks(in.rows * in.cols), BDPO_CUDA_THREADS, 0,
                    bdpo_cuda_stream_of(call)->stream>>>(
        (Out *)call->out[0].data, call->out[0].row_stride, (const In *)call->in[0].data, in);
    return bdpo_cuda_launched(call);
}

template <typename Out> static bdpo_status launch_from(const bdpo_op_call *call)
{
    switch (call->in[0].dtype) {
    case BDPO_F32:
        return launch<Out, float>(call);
    case BDPO_BF16:
        return launch<Out, __nv_bfloat16>(call);
    case BDPO_F16:
        return launch<Out, __half>(call);
    default:
        return bdpo_fail(BDPO_UNSUPPORTED, "cast: no CUDA kernel from %s",
                         bdpo_dtype_name(call->in[0].dtype));
    }
}

extern "C" bdpo_status bdpo_cuda_cast(const bdpo_op_call *call)
{
    switch (call->out[0].dtype) {
    case BDPO_F32:
        return launch_from<float>(call);
    case BDPO_BF16:
        return launch_from<__nv_bfloat16>(call);
    case BDPO_F16:
        return launch_from<__half>(call);
    default:
        return bdpo_fail(BDPO_UNSUPPORTED, "cast: no CUDA kernel to %s",
                         bdpo_dtype_name(call->out[0].dtype));
    }
}
