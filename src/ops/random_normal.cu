// y[n, ..] = standard normals of sample n's key: the bits of the CPU, from the same core.
#include "ops/cuda_launch.cuh"

extern "C" {
#include "ops/random_key.h"
}

// One thread a block of four numbers.
__global__ static void random_normal(float *y, const uint32_t *keys, int64_t n, int64_t count,
                                     uint32_t purpose)
{
    int64_t per_sample = (count + 3) / 4, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n * per_sample;
         i += step) {
        int64_t sample = i / per_sample, block = i % per_sample;
        bdpo_random_key key = bdpo_random_key_pack(keys + sample * BDPO_KEY_WORDS, purpose);
        bdpo_random_block words = bdpo_random_words(key, (uint32_t)block);
        float lane[4];
        bdpo_random_normal_pair(&lane[0], &lane[1], words.word[0], words.word[1]);
        bdpo_random_normal_pair(&lane[2], &lane[3], words.word[2], words.word[3]);
        for (int k = 0; k < 4 && 4 * block + k < count; k++)
            y[sample * count + 4 * block + k] = lane[k];
    }
}

extern "C" bdpo_status bdpo_cuda_random_normal(const bdpo_op_call *call)
{
    const bdpo_random_options *at = (const bdpo_random_options *)call->attrs;
    int64_t n = call->in[0].shape.dim[0], count = bdpo_shape_count(&at->sample);
    random_normal<<<bdpo_cuda_blocks(n * ((count + 3) / 4)), BDPO_CUDA_THREADS, 0,
                    bdpo_cuda_stream_of(call)->stream>>>(
        (float *)call->out[0].data, (const uint32_t *)call->in[0].data, n, count, at->purpose);
    return bdpo_cuda_launched(call);
}
