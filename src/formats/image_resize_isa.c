// Weighted sums of bytes, VF_LANES at a time, and transposition of 16 rows of bytes.
#include "formats/image_resize_isa.h"

#include "kernels/isa.h"
#include "kernels/simd.h"

typedef uint8_t lane_bytes __attribute__((vector_size(VF_LANES)));
typedef uint8_t bytes16 __attribute__((vector_size(16)));

enum { HALF = 1 << (BDPO_RESIZE_BITS - 1), UNROLL = 4, ROWS = BDPO_RESIZE_STRIP };

BDPO_INLINE vi load_wide(const uint8_t *p)
{
    lane_bytes bytes;
    memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(bytes, vi);
}

BDPO_INLINE void store_clamped(uint8_t *p, vi sum)
{
    vi x = sum >> BDPO_RESIZE_BITS;
    x &= x > 0; // a comparison of vectors is all ones where it holds
    vi above = x > 255;
    x = (x & ~above) | (above & 255);
    lane_bytes bytes = __builtin_convertvector(x, lane_bytes);
    memcpy(p, &bytes, sizeof bytes);
}

// n_vectors vectors at once: a constant where it is called.
BDPO_INLINE void weigh_block(uint8_t *out, const uint8_t *in, size_t stride, const int32_t *weights,
                             int n_weights, int n_vectors)
{
    vi sum[UNROLL];
    BDPO_UNROLL
    for (int v = 0; v < n_vectors; v++) sum[v] = (vi){0} + HALF;
    for (int t = 0; t < n_weights; t++, in += stride) {
        BDPO_UNROLL
        for (int v = 0; v < n_vectors; v++) sum[v] += weights[t] * load_wide(in + v * VF_LANES);
    }
    BDPO_UNROLL
    for (int v = 0; v < n_vectors; v++) store_clamped(out + v * VF_LANES, sum[v]);
}

static void weigh(uint8_t *out, const uint8_t *in, size_t stride, size_t n, const int32_t *weights,
                  int n_weights)
{
    size_t i = 0;
    for (; i + UNROLL * VF_LANES <= n; i += UNROLL * VF_LANES)
        weigh_block(out + i, in + i, stride, weights, n_weights, UNROLL);
    for (; i + VF_LANES <= n; i += VF_LANES)
        weigh_block(out + i, in + i, stride, weights, n_weights, 1);
    for (; i < n; i++) {
        int32_t sum = HALF;
        for (int t = 0; t < n_weights; t++) sum += weights[t] * in[(size_t)t * stride + i];
        sum >>= BDPO_RESIZE_BITS;
        out[i] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
    }
}

// ---- transposition -------------------------------------------------------------------------

// Four rounds, each of which interleaves the first half of the rows with the second: a perfect
// shuffle of the 256 bytes, four of which exchange row and column.
BDPO_INLINE void transpose(bytes16 rows[ROWS])
{
    bytes16 next[ROWS];
    for (int round = 0; round < 4; round++) {
        BDPO_UNROLL
        for (int i = 0; i < ROWS / 2; i++) {
            bytes16 a = rows[i], b = rows[i + ROWS / 2];
            next[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
                                                  22, 7, 23);
            next[2 * i + 1] = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28,
                                                      13, 29, 14, 30, 15, 31);
        }
        memcpy(rows, next, sizeof next);
    }
}

static void gather_strip(uint8_t *out, const uint8_t *in, size_t stride, size_t n)
{
    bytes16 block[ROWS];
    size_t i = 0;
    for (; i + ROWS <= n; i += ROWS) {
        for (size_t r = 0; r < ROWS; r++) memcpy(&block[r], in + r * stride + i, ROWS);
        transpose(block);
        memcpy(out + i * ROWS, block, sizeof block);
    }
    for (; i < n; i++)
        for (size_t r = 0; r < ROWS; r++) out[i * ROWS + r] = in[r * stride + i];
}

static void scatter_strip(uint8_t *out, size_t stride, const uint8_t *in, size_t n)
{
    bytes16 block[ROWS];
    size_t i = 0;
    for (; i + ROWS <= n; i += ROWS) {
        memcpy(block, in + i * ROWS, sizeof block);
        transpose(block);
        for (size_t r = 0; r < ROWS; r++) memcpy(out + r * stride + i, &block[r], ROWS);
    }
    for (; i < n; i++)
        for (size_t r = 0; r < ROWS; r++) out[r * stride + i] = in[i * ROWS + r];
}

extern const bdpo_resize_table BDPO_ISA_SYMBOL(bdpo_resize_table);
const bdpo_resize_table BDPO_ISA_SYMBOL(bdpo_resize_table) = {weigh, gather_strip, scatter_strip};
