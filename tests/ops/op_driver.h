// The one driver that tests every operator from the cases in its own file. For each case:
//
//   refused      the shape rule refuses it, with a status and a sentence that names the operator
//   value        the f32 kernel against the double reference
//   gradient     the emitted gradient graph in f32, contracted with a random cotangent, against
//                central differences of the double reference: signed, finite, relative L2; element
//                by element for small inputs, along random directions for large ones
//   variants     both again with each instruction set, with 1, 2 and 3 threads, with strided
//                inputs and outputs, in place, accumulating into non-zero, with the parts of a
//                concat in their place; see op_eval.h for the guards
//   determinism  the same bits from two runs, and from in-place runs
//   one by one   the gradient toward each input alone
//   engine       the same graph planned and run by the CPU backend, in three orders of execution,
//                with dead memory poisoned
//
// Random values come from BDPO_TEST_SEED, or a fixed seed; a failure prints it.
#ifndef OP_DRIVER_H
#define OP_DRIVER_H

#include "graph/op.h"

// False: some case failed, `why` tells which and how.
bool op_driver_check(const bdpo_op *op, char *why, size_t size);

// True when the value or gradient graph of one of `from`'s cases holds a node of `kernel`.
bool op_driver_reaches(const bdpo_op *from, const bdpo_op *kernel);

#endif
