// Winograd convolution in the active instruction set.
#include "kernels/conv_method.h"
#include "kernels/isa.h"

BDPO_ISA_TABLE(bdpo_conv_method, bdpo_winograd_method)

const bdpo_conv_method *bdpo_winograd(void)
{
    return table();
}
