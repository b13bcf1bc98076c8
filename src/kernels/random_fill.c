// Cuts a range into ragged ends and whole blocks, and deals the blocks to the threads.
#include "kernels/random_fill.h"

#include "kernels/isa.h"
#include "kernels/parts.h"
#include "kernels/random_fill_isa.h"

BDPO_ISA_TABLE(bdpo_random_fill_table, bdpo_random_fill_table)

typedef void (*scalar_fill)(float *out, int64_t count, bdpo_random_key key, int64_t first);
typedef void (*block_fill)(float *out, int64_t n_blocks, bdpo_random_key key, uint32_t block);

static void fill(float *out, int64_t count, bdpo_random_key key, int64_t first, int n_threads,
                 scalar_fill scalar, block_fill blocks)
{
    bdpo_random_check(key, first, count);
    int64_t head = (4 - first % 4) % 4;
    if (head > count) head = count;
    int64_t n_blocks = (count - head) / 4, begin = (first + head) / 4;
    scalar(out, head, key, first);
    int threads = bdpo_threads_for(count, n_threads);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
    for (int t = 0; t < threads; t++) {
        int64_t from = bdpo_part_begin(n_blocks, t, threads),
                to = bdpo_part_begin(n_blocks, t + 1, threads);
        blocks(out + head + 4 * from, to - from, key, (uint32_t)(begin + from));
    }
    int64_t done = head + 4 * n_blocks;
    scalar(out + done, count - done, key, first + done);
}

void bdpo_random_fill_uniform(float *out, int64_t count, bdpo_random_key key, int64_t first,
                              int n_threads)
{
    fill(out, count, key, first, n_threads, bdpo_random_uniform, table()->uniform);
}

void bdpo_random_fill_normal(float *out, int64_t count, bdpo_random_key key, int64_t first,
                             int n_threads)
{
    fill(out, count, key, first, n_threads, bdpo_random_normal, table()->normal);
}
