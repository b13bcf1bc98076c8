// y = gamma (x - mean) rstd + beta, or its SiLU; one block per group of one sample. Two passes:
// the mean first, then the squares about it, as a single pass would lose digits.
#include "ops/cuda_launch.cuh"

extern "C" {
#include "ops/ops.h"
}

typedef struct geometry {
    int64_t positions, stride, stride_out;
    int groups, width;
    float eps;
    bool silu;
} geometry;

// The sum over a block, in every thread; a fixed tree, so the same bits in every run.
__device__ static float block_sum(float value)
{
    __shared__ float part[BDPO_CUDA_THREADS];
    part[threadIdx.x] = value;
    for (int half = BDPO_CUDA_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    __syncthreads();
    float sum = part[0];
    __syncthreads();
    return sum;
}

template <typename T>
__global__ static void group_norm(T *y, float *statistics, const T *x, const T *gamma,
                                  const T *beta, geometry s)
{
    int64_t sample = blockIdx.x / s.groups, group = blockIdx.x % s.groups;
    int64_t count = s.positions * s.width, first = group * s.width;
    const T *in = x + sample * s.positions * s.stride + first;
    float sum = 0.0f, squares = 0.0f;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
        sum += bdpo_widen(in[i / s.width * s.stride + i % s.width]);
    float mean = block_sum(sum) / (float)count;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
        float d = bdpo_widen(in[i / s.width * s.stride + i % s.width]) - mean;
        squares += d * d;
    }
    float rstd = 1.0f / sqrtf(block_sum(squares) / (float)count + s.eps);
    if (threadIdx.x == 0) {
        statistics[2 * blockIdx.x] = mean;
        statistics[2 * blockIdx.x + 1] = rstd;
    }
    T *out = y + sample * s.positions * s.stride_out + first;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
        int64_t position = i / s.width, channel = i % s.width;
        float value = (bdpo_widen(in[position * s.stride + channel]) - mean) * rstd;
        if (gamma)
            value = value * bdpo_widen(gamma[first + channel]) + bdpo_widen(beta[first + channel]);
        if (s.silu) value = value / (1.0f + expf(-value));
        bdpo_narrow(&out[position * s.stride_out + channel], value);
    }
}

template <typename T> static bdpo_status launch(const bdpo_op_call *call)
{
    const bdpo_group_norm_options *options = (const bdpo_group_norm_options *)call->attrs;
    const bdpo_tensor *x = &call->in[0];
    int64_t n = x->shape.dim[0], c = bdpo_shape_cols(&x->shape);
    geometry s = {bdpo_shape_rows(&x->shape) / n,
                  x->row_stride,
                  call->out[0].row_stride,
                  options->groups,
                  (int)(c / options->groups),
                  options->eps,
                  options->silu};
    bool affine = call->n_in > 2 && call->in[1].data != NULL;
    group_norm<T>
        <<<(unsigned)(n * s.groups), BDPO_CUDA_THREADS, 0, bdpo_cuda_stream_of(call)->stream>>>(
            (T *)call->out[0].data, (float *)call->out[1].data, (const T *)x->data,
            affine ? (const T *)call->in[1].data : NULL,
            affine ? (const T *)call->in[2].data : NULL, s);
    return bdpo_cuda_launched(call);
}

extern "C" bdpo_status bdpo_cuda_group_norm(const bdpo_op_call *call)
{
    return call->in[0].dtype == BDPO_F32 ? launch<float>(call) : launch<__nv_bfloat16>(call);
}
