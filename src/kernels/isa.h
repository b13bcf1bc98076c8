// The instruction sets for which the CPU kernels are compiled, and which one runs.
//
// A source named *_isa.c is compiled once per set with that set's flags and BDPO_ISA defined to
// its name; it exports one table, BDPO_ISA_SYMBOL(table_name). The API file beside it
// (gemm.c beside gemm_isa.c) picks the table of bdpo_isa_active().
#ifndef BDPO_ISA_H
#define BDPO_ISA_H

#include "base/status.h"

#define BDPO_ISA_LIST(X) X(portable) X(avx2) X(avx512)

typedef enum bdpo_isa {
#define X(name) BDPO_ISA_##name,
    BDPO_ISA_LIST(X)
#undef X
} bdpo_isa;

// The widest set that this processor and this build have, or the lower one that the environment
// variable BDPO_ISA names. Constant for the life of the process, unless forced.
bdpo_isa bdpo_isa_active(void);
const char *bdpo_isa_name(bdpo_isa isa);

// For tests: runs the kernels of `isa` from now on; UNSUPPORTED where the processor lacks it.
BDPO_MUST_CHECK bdpo_status bdpo_isa_force(bdpo_isa isa);

#define BDPO_ISA_JOIN_(name, isa) name##_##isa
#define BDPO_ISA_JOIN(name, isa)  BDPO_ISA_JOIN_(name, isa)
#define BDPO_ISA_SYMBOL(name)     BDPO_ISA_JOIN(name, BDPO_ISA)

// In an API file: defines `static const type *table(void)`, the active table called `name`.
#define BDPO_ISA_TABLE(type, name)                                                                 \
    extern const type name##_portable, name##_avx2, name##_avx512;                                 \
    static const type *table(void)                                                                 \
    {                                                                                              \
        static const type *const tables[] = {&name##_portable, &name##_avx2, &name##_avx512};      \
        return tables[bdpo_isa_active()];                                                          \
    }

#endif
