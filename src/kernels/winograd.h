// Between the two halves of the Winograd convolution, in one instruction set.
#ifndef BDPO_WINOGRAD_H
#define BDPO_WINOGRAD_H

#include "kernels/conv_method.h"
#include "kernels/isa.h"

void BDPO_ISA_SYMBOL(bdpo_winograd_weight_grad)(const bdpo_conv_call *call);
size_t BDPO_ISA_SYMBOL(bdpo_winograd_weight_grad_workspace)(const bdpo_conv_shape *shape,
                                                            int n_threads);

#endif
