// The 8-bit codes of AdamW's moments against the definition, at every bound between two levels and
// one float to either side of it, on each instruction set.
#include <math.h>

#include "harness.h"
#include "kernels/isa.h"
#include "kernels/optimizer.h"

enum { N_BLOCKS = 8, COUNT = N_BLOCKS * BDPO_QUANT_BLOCK };

// The number of bounds below x.
static int defined_code(const bdpo_dynamic_map *map, float x)
{
    int code = 0;
    while (map->bound[code] < x) code++;
    return code;
}

// Blocks that begin with 1, so that their maximum is 1, then bounds and their neighbours.
static void fill(float *x, const bdpo_dynamic_map *map)
{
    for (int i = 0; i < COUNT; i++) {
        float bound = map->bound[i % 255];
        float next = i / 255 % 3 == 0 ? bound : nextafterf(bound, i / 255 % 3 == 1 ? 2.0F : -2.0F);
        x[i] = i % BDPO_QUANT_BLOCK == 0 ? 1.0F : next;
    }
}

// One step with beta1 = beta2 = 0: m becomes the gradient and v its square.
static void take_step(const float *grad, uint8_t *m, uint8_t *v)
{
    static float param[COUNT], absmax[2][N_BLOCKS];
    bdpo_adamw_step step = bdpo_adamw_step_of(0, 1, 1, 0, 0, 1, 0);
    bdpo_moments_8bit moments = {.m = m, .v = v, .m_absmax = absmax[0], .v_absmax = absmax[1]};
    bdpo_block_order order = {.count = COUNT, .positions = 1, .channels = 1};
    bdpo_adamw_update_8bit(param, grad, &moments, NULL, &order, &step, false, 2);
    for (int k = 0; k < N_BLOCKS; k++) {
        CHECK(absmax[0][k] == 1.0F);
        CHECK(absmax[1][k] == 1.0F);
    }
}

static void check_isa(bdpo_isa isa)
{
    static float x[COUNT];
    static uint8_t m[COUNT], v[COUNT];
    bdpo_dynamic_map first, second;
    if (bdpo_isa_force(isa) != BDPO_OK) return;
    bdpo_dynamic_map_fill(&first, true);
    bdpo_dynamic_map_fill(&second, false);
    fill(x, &first);
    take_step(x, m, v);
    for (int i = 0; i < COUNT; i++) CHECK_INT(m[i], defined_code(&first, x[i]));
    for (int i = 0; i < COUNT; i++)
        x[i] = sqrtf(second.bound[i % 255] * (1.0F + 0x1p-20F * (float)(i % 7 - 3)));
    for (int i = 0; i < COUNT; i += BDPO_QUANT_BLOCK) x[i] = 1.0F;
    take_step(x, m, v);
    for (int i = 0; i < COUNT; i++) CHECK_INT(v[i], defined_code(&second, x[i] * x[i]));
}

BDPO_TEST(codes_are_those_of_the_nearest_level)
{
    bdpo_isa active = bdpo_isa_active();
    for (int isa = 0; isa <= (int)BDPO_ISA_avx512; isa++) check_isa((bdpo_isa)isa);
    CHECK_OK(bdpo_isa_force(active));
}

BDPO_TEST(levels_rise_and_end_at_one)
{
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        bdpo_dynamic_map map;
        bdpo_dynamic_map_fill(&map, is_signed);
        for (int i = 1; i < 256; i++) CHECK(map.level[i] > map.level[i - 1]);
        CHECK(map.level[255] == 1.0F);
        CHECK(map.level[is_signed ? 127 : 0] == 0.0F);
    }
}
