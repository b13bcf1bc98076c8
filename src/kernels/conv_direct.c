// Direct convolution in the active instruction set.
#include "kernels/conv_method.h"
#include "kernels/isa.h"

BDPO_ISA_TABLE(bdpo_conv_method, bdpo_conv_direct_method)

const bdpo_conv_method *bdpo_conv_direct(void)
{
    return table();
}
