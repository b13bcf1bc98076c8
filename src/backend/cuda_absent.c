// Stands in for cuda.cu where the build has no CUDA compiler.
#include "graph/backend.h"

const bdpo_backend *bdpo_backend_cuda(void)
{
    return NULL;
}
