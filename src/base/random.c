// Sequences of a key, element by element.
#include "base/random.h"

void bdpo_random_check(bdpo_random_key key, int64_t first, int64_t count)
{
    BDPO_ASSERT(key.sample < (uint64_t)1 << 56 && key.purpose < 256);
    BDPO_ASSERT(first >= 0 && count >= 0 && first <= BDPO_RANDOM_MAX_COUNT - count);
}

static void uniform_block(float lane[4], bdpo_random_key key, uint32_t block)
{
    bdpo_random_block words = bdpo_random_words(key, block);
    for (int i = 0; i < 4; i++) lane[i] = bdpo_random_unit(words.word[i]);
}

static void normal_block(float lane[4], bdpo_random_key key, uint32_t block)
{
    bdpo_random_block words = bdpo_random_words(key, block);
    bdpo_random_normal_pair(&lane[0], &lane[1], words.word[0], words.word[1]);
    bdpo_random_normal_pair(&lane[2], &lane[3], words.word[2], words.word[3]);
}

static void fill(float *out, int64_t count, bdpo_random_key key, int64_t first,
                 void (*draw)(float lane[4], bdpo_random_key key, uint32_t block))
{
    bdpo_random_check(key, first, count);
    float lane[4];
    for (int64_t i = 0; i < count; i++) {
        int64_t element = first + i;
        if (i == 0 || element % 4 == 0) draw(lane, key, (uint32_t)(element / 4));
        out[i] = lane[element % 4];
    }
}

void bdpo_random_uniform(float *out, int64_t count, bdpo_random_key key, int64_t first)
{
    fill(out, count, key, first, uniform_block);
}

void bdpo_random_normal(float *out, int64_t count, bdpo_random_key key, int64_t first)
{
    fill(out, count, key, first, normal_block);
}

uint32_t bdpo_random_below(bdpo_random_key key, int64_t index, uint32_t n)
{
    BDPO_ASSERT(n >= 1);
    bdpo_random_check(key, index, 0);
    BDPO_ASSERT(index < BDPO_RANDOM_MAX_COUNT / 2);
    bdpo_random_block words = bdpo_random_words(key, (uint32_t)(index / 2));
    const uint32_t *word = &words.word[index % 2 * 2];
    // floor(n * x / 2^64) with x = word[0]:word[1], without a 128-bit product.
    uint64_t low = (uint64_t)word[1] * n >> 32;
    return (uint32_t)(((uint64_t)word[0] * n + low) >> 32);
}
