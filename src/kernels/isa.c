// Which instruction set runs: asked of the processor once, lowered by BDPO_ISA, forced by tests.
#include "kernels/isa.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define X(name) #name,
    BDPO_ISA_LIST(X)
#undef X
};

static bool processor_has(bdpo_isa isa)
{
    switch (isa) {
    case BDPO_ISA_avx512:
#ifdef __x86_64__
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
#else
        return false;
#endif
    case BDPO_ISA_avx2:
#ifdef __x86_64__
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
        return false;
#endif
    case BDPO_ISA_portable:
        return true;
    }
    return false;
}

static bdpo_isa best(void)
{
    bdpo_isa limit = BDPO_ISA_avx512;
    const char *wanted = getenv("BDPO_ISA");
    for (size_t i = 0; wanted && i < BDPO_COUNTOF(names); i++)
        if (strcmp(wanted, names[i]) == 0) limit = (bdpo_isa)i;
    while (!processor_has(limit)) limit = (bdpo_isa)(limit - 1);
    return limit;
}

static _Atomic int active = -1; // the answer never changes, so a race only asks twice

bdpo_isa bdpo_isa_active(void)
{
    int isa = atomic_load_explicit(&active, memory_order_relaxed);
    if (isa < 0) {
        isa = (int)best();
        atomic_store_explicit(&active, isa, memory_order_relaxed);
    }
    return (bdpo_isa)isa;
}

const char *bdpo_isa_name(bdpo_isa isa)
{
    return names[isa];
}

bdpo_status bdpo_isa_force(bdpo_isa isa)
{
    if (!processor_has(isa))
        return bdpo_fail(BDPO_UNSUPPORTED, "this processor cannot run %s kernels", names[isa]);
    atomic_store(&active, (int)isa);
    return BDPO_OK;
}
