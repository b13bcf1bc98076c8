// One step of AdamW in the store; the formula stands in adamw.c. Rate, step number and clip are
// read on the device, so a captured program serves every step.
#include "ops/cuda_launch.cuh"

extern "C" {
#include "ops/ops.h"
}

typedef struct tensors {
    float *param, *m, *v;
    const float *grad, *lr, *step, *clip; // clip NULL: 1
    __nv_bfloat16 *shadow;                // or NULL
    int64_t count;
} tensors;

typedef struct factors {
    float clip, beta1, rest1, beta2, rest2, keep, size, root, eps;
    bool skip;
} factors;

// In double and by one thread of each block: powers of beta near 1 lose their digits in f32.
__device__ static void find_factors(factors *f, const tensors *t, const bdpo_adamw_options *o)
{
    double lr = (double)*t->lr, step = (double)*t->step;
    f->clip = t->clip ? *t->clip : 1.0f;
    f->skip = !(f->clip >= 0.0f);
    f->beta1 = (float)o->beta1;
    f->rest1 = (float)(1 - o->beta1);
    f->beta2 = (float)o->beta2;
    f->rest2 = (float)(1 - o->beta2);
    f->keep = (float)(1 - lr * o->weight_decay);
    f->size = (float)(lr / (1 - pow(o->beta1, step)));
    f->root = (float)sqrt(1 - pow(o->beta2, step));
    f->eps = (float)o->eps;
}

__global__ static void adamw(tensors t, bdpo_adamw_options options)
{
    __shared__ factors f;
    if (threadIdx.x == 0) find_factors(&f, &t, &options);
    __syncthreads();
    if (f.skip) return;
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < t.count; i += stride) {
        float g = f.clip * t.grad[i];
        float m = f.beta1 * t.m[i] + f.rest1 * g, v = f.beta2 * t.v[i] + f.rest2 * g * g;
        float p = t.param[i] * f.keep - f.size * m / (sqrtf(v) / f.root + f.eps);
        t.m[i] = m;
        t.v[i] = v;
        t.param[i] = p;
        if (t.shadow) t.shadow[i] = __float2bfloat16_rn(p);
    }
}

extern "C" bdpo_status bdpo_cuda_adamw(const bdpo_op_call *call)
{
    enum { PARAM, GRAD, M, V, LR, STEP, CLIP, SHADOW };
    const bdpo_tensor *in = call->in;
    tensors t = {(float *)in[PARAM].data,
                 (float *)in[M].data,
                 (float *)in[V].data,
                 (const float *)in[GRAD].data,
                 (const float *)in[LR].data,
                 (const float *)in[STEP].data,
                 call->n_in > CLIP ? (const float *)in[CLIP].data : NULL,
                 call->n_in > SHADOW ? (__nv_bfloat16 *)in[SHADOW].data : NULL,
                 bdpo_shape_count(&in[PARAM].shape)};
    adamw<<<bdpo_cuda_blocks(t.count), BDPO_CUDA_THREADS, 0, bdpo_cuda_stream_of(call)->stream>>>(
        t, *(const bdpo_adamw_options *)call->attrs);
    return bdpo_cuda_launched(call);
}
