// y = a + spread(b): b lies over a with a stride of its own per sample, position and channel.
#include "ops/cuda_launch.cuh"

extern "C" {
#include "ops/broadcast.h"
}

typedef struct spread {
    int64_t per_sample;                // rows of a sample
    int64_t sample, position, channel; // strides of b in elements, 0 where it repeats
} spread;

static spread spread_of(const bdpo_op_call *call)
{
    const bdpo_tensor *a = &call->in[0], *b = &call->in[1];
    bdpo_keep keep = BDPO_KEEP_ALL;
    bool fits = bdpo_keep_find(&keep, &a->shape, &b->shape);
    BDPO_ASSERT(fits); // the shape rule has seen to it
    int64_t per_sample = bdpo_rows_per_sample(&a->shape), stride = b->row_stride;
    spread s = {per_sample, 0, 0, 0};
    switch (keep) {
    case BDPO_KEEP_NONE:
        break;
    case BDPO_KEEP_SAMPLE:
        s.sample = stride;
        break;
    case BDPO_KEEP_SAMPLE_CHANNEL:
        s.sample = stride;
        s.channel = 1;
        break;
    case BDPO_KEEP_CHANNEL:
        s.channel = 1;
        break;
    case BDPO_KEEP_ROW:
        s.sample = per_sample * stride;
        s.position = stride;
        break;
    case BDPO_KEEP_POSITION:
        s.position = stride;
        s.channel = 1;
        break;
    case BDPO_KEEP_ALL:
        s.sample = per_sample * stride;
        s.position = stride;
        s.channel = 1;
        break;
    }
    if (b->shape.n_dims == 1 && keep == BDPO_KEEP_SAMPLE) s.sample = 1;
    return s;
}

template <typename T>
__global__ static void add(T *y, int64_t stride, const T *a, const T *b, bdpo_cuda_rows in,
                           spread s)
{
    int64_t count = in.rows * in.cols, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        int64_t row = i / in.cols, col = i % in.cols;
        int64_t at =
            row / s.per_sample * s.sample + row % s.per_sample * s.position + col * s.channel;
        bdpo_narrow(&y[row * stride + col],
                    bdpo_widen(a[row * in.stride + col]) + bdpo_widen(b[at]));
    }
}

template <typename T> static bdpo_status launch(const bdpo_op_call *call)
{
    bdpo_cuda_rows in = bdpo_cuda_rows_of(&call->in[0]);
    add<T><<<bdpo_cuda_blocks(in.rows * in.cols), BDPO_CUDA_THREADS, 0,
             bdpo_cuda_stream_of(call)->stream>>>((T *)call->out[0].data, call->out[0].row_stride,
                                                  (const T *)call->in[0].data,
                                                  (const T *)call->in[1].data, in, spread_of(call));
    return bdpo_cuda_launched(call);
}

extern "C" bdpo_status bdpo_cuda_add(const bdpo_op_call *call)
{
    return call->in[0].dtype == BDPO_F32 ? launch<float>(call) : launch<__nv_bfloat16>(call);
}
