// cuBLASLt, loaded when a function of it is first called. Linked in the usual way it takes 75 ms
// and 100 MB of every command, also of those that never meet a GPU.
//
// Each function that we call is defined here under its own name and passes the call on. Where the
// library cannot be loaded the calls fail as those of one that is not initialised.
#include <cublasLt.h>
#include <dlfcn.h>

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

#define LIBRARY "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR)

// Where the loader looks, and where NVIDIA's packages install it.
static void *open_library(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    return library ? library : dlopen("/usr/local/cuda/lib64/" LIBRARY, RTLD_NOW | RTLD_LOCAL);
}

static void *find(const char *name)
{
    static void *library = open_library();
    return library ? dlsym(library, name) : NULL;
}

// The function of this name in the library, looked up once.
#define REAL(name)                                                                                 \
    static const decltype(&name) real = (decltype(&name))find(#name);                              \
    if (!real) return CUBLAS_STATUS_NOT_INITIALIZED

cublasStatus_t CUBLASWINAPI cublasLtCreate(cublasLtHandle_t *handle)
{
    REAL(cublasLtCreate);
    return real(handle);
}

cublasStatus_t CUBLASWINAPI cublasLtDestroy(cublasLtHandle_t handle)
{
    REAL(cublasLtDestroy);
    return real(handle);
}

const char *CUBLASWINAPI cublasLtGetStatusString(cublasStatus_t status)
{
    static const decltype(&cublasLtGetStatusString) real =
        (decltype(&cublasLtGetStatusString))find("cublasLtGetStatusString");
    return real ? real(status) : "cuBLASLt cannot be loaded";
}

cublasStatus_t CUBLASWINAPI cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                           const void *alpha, const void *a,
                                           cublasLtMatrixLayout_t a_layout, const void *b,
                                           cublasLtMatrixLayout_t b_layout, const void *beta,
                                           const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                                           cublasLtMatrixLayout_t d_layout,
                                           const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                                           size_t workspace_bytes, cudaStream_t stream)
{
    REAL(cublasLtMatmul);
    return real(handle, product, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout,
                algorithm, workspace, workspace_bytes, stream);
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int n_wanted, cublasLtMatmulHeuristicResult_t results[],
    int *n_found)
{
    REAL(cublasLtMatmulAlgoGetHeuristic);
    return real(handle, product, a, b, c, d, preference, n_wanted, results, n_found);
}

// ---- descriptions ------------------------------------------------------------------------------

cublasStatus_t CUBLASWINAPI cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *product,
                                                     cublasComputeType_t compute,
                                                     cudaDataType_t scale)
{
    REAL(cublasLtMatmulDescCreate);
    return real(product, compute, scale);
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product)
{
    REAL(cublasLtMatmulDescDestroy);
    return real(product);
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                                                           cublasLtMatmulDescAttributes_t which,
                                                           const void *value, size_t bytes)
{
    REAL(cublasLtMatmulDescSetAttribute);
    return real(product, which, value, bytes);
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    REAL(cublasLtMatmulPreferenceCreate);
    return real(preference);
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    REAL(cublasLtMatmulPreferenceDestroy);
    return real(preference);
}

cublasStatus_t CUBLASWINAPI cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t which,
    const void *value, size_t bytes)
{
    REAL(cublasLtMatmulPreferenceSetAttribute);
    return real(preference, which, value, bytes);
}

cublasStatus_t CUBLASWINAPI cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout,
                                                       cudaDataType type, uint64_t rows,
                                                       uint64_t columns, int64_t stride)
{
    REAL(cublasLtMatrixLayoutCreate);
    return real(layout, type, rows, columns, stride);
}

cublasStatus_t CUBLASWINAPI cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    REAL(cublasLtMatrixLayoutDestroy);
    return real(layout);
}
