// The scalar core of base/random_core.h in loops of fixed length over arrays, which the compiler
// turns into vectors: one source, so that no instruction set can have bits of its own. With FMA
// instructions fmaf() is one of them; the portable build calls libm, slower and equally exact.
#include "kernels/random_fill_isa.h"
#include "kernels/isa.h"

enum { BATCH = 32 }; // blocks at once: two vectors of words at the widest

typedef struct batch {
    uint32_t word[4][BATCH];
} batch;

// The words of BATCH blocks from `block` on.
static inline void draw(batch *b, bdpo_random_key key, uint32_t block)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        bdpo_random_block words = bdpo_random_words(key, block + i);
        for (int k = 0; k < 4; k++) b->word[k][i] = words.word[k];
    }
}

static void uniform_batch(float out[4 * BATCH], bdpo_random_key key, uint32_t block)
{
    batch b;
    draw(&b, key, block);
    for (int i = 0; i < BATCH; i++)
        for (int k = 0; k < 4; k++) out[4 * i + k] = bdpo_random_unit(b.word[k][i]);
}

static void normal_batch(float out[4 * BATCH], bdpo_random_key key, uint32_t block)
{
    batch b;
    float lane[4][BATCH];
    draw(&b, key, block);
    for (int i = 0; i < BATCH; i++)
        bdpo_random_normal_pair(&lane[0][i], &lane[1][i], b.word[0][i], b.word[1][i]);
    for (int i = 0; i < BATCH; i++)
        bdpo_random_normal_pair(&lane[2][i], &lane[3][i], b.word[2][i], b.word[3][i]);
    for (int i = 0; i < BATCH; i++)
        for (int k = 0; k < 4; k++) out[4 * i + k] = lane[k][i];
}

static inline void fill(float *out, int64_t n_blocks, bdpo_random_key key, uint32_t block,
                        void (*draw_batch)(float *out, bdpo_random_key key, uint32_t block))
{
    for (; n_blocks >= BATCH; n_blocks -= BATCH, block += BATCH, out += 4 * BATCH)
        draw_batch(out, key, block);
    if (n_blocks == 0) return;
    float rest[4 * BATCH];
    draw_batch(rest, key, block);
    memcpy(out, rest, (size_t)n_blocks * 4 * sizeof *out);
}

static void uniform(float *out, int64_t n_blocks, bdpo_random_key key, uint32_t block)
{
    fill(out, n_blocks, key, block, uniform_batch);
}

static void normal(float *out, int64_t n_blocks, bdpo_random_key key, uint32_t block)
{
    fill(out, n_blocks, key, block, normal_batch);
}

extern const bdpo_random_fill_table BDPO_ISA_SYMBOL(bdpo_random_fill_table);
const bdpo_random_fill_table BDPO_ISA_SYMBOL(bdpo_random_fill_table) = {uniform, normal};
