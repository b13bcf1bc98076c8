// The functions of parity_inputs.h.
#include "parity/parity_inputs.h"

uint64_t parity_key(const char *name)
{
    uint64_t key = 14695981039346656037u;
    for (; *name; name++) key = (key ^ (unsigned char)*name) * 1099511628211u;
    return key;
}

uint64_t parity_bits(uint64_t key, uint64_t index)
{
    uint64_t z = key + (index + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void parity_fill(float *out, size_t count, const char *name, double scale, double shift)
{
    uint64_t key = parity_key(name);
    for (size_t i = 0; i < count; i++) {
        uint64_t b = parity_bits(key, i);
        int64_t sum = (int64_t)((b & 0xffff) + (b >> 16 & 0xffff) + (b >> 32 & 0xffff) + (b >> 48));
        out[i] = (float)(shift + scale * ((double)(sum - 131070) * 2.6429e-5));
    }
}

void parity_fill_index(int32_t *out, size_t count, const char *name, int32_t limit)
{
    uint64_t key = parity_key(name);
    for (size_t i = 0; i < count; i++) out[i] = (int32_t)(parity_bits(key, i) % (uint64_t)limit);
}

void parity_project(double out[PARITY_PROJECTIONS], const float *x, size_t count)
{
    uint64_t key = parity_key("projection");
    enum { CHUNK = 4096 }; // partial sums, for accuracy
    for (int k = 0; k < PARITY_PROJECTIONS; k++) out[k] = 0;
    for (size_t begin = 0; begin < count; begin += CHUNK) {
        size_t end = begin + CHUNK < count ? begin + CHUNK : count;
        double sums[PARITY_PROJECTIONS] = {0};
        for (size_t i = begin; i < end; i++) {
            uint64_t b = parity_bits(key, i);
            double v = (double)x[i];
            for (int k = 0; k < PARITY_PROJECTIONS; k++)
                sums[k] += v * ((double)(int64_t)(b >> k & 1) * 2 - 1);
        }
        for (int k = 0; k < PARITY_PROJECTIONS; k++) out[k] += sums[k];
    }
}
