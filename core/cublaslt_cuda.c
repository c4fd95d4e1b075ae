/* cuBLASLt, loaded when a GPU is opened: half a gigabyte that no command without a GPU should map. The functions of
 * its header are defined here and pass on to the library's own. */
#include <cublasLt.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static void *library;

static void load_cublaslt(void) {
    char soname[64];
    snprintf(soname, sizeof soname, "libcublasLt.so.%d", CUBLAS_VER_MAJOR);
    library = dlopen(soname, RTLD_LAZY | RTLD_LOCAL);
    if (!library) library = dlopen(LT_CUBLASLT, RTLD_LAZY | RTLD_LOCAL); /* where the build found it */
}

static void *find_cublaslt(const char *name) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_cublaslt);
    return library ? dlsym(library, name) : NULL;
}

/* A function of the library under its own name, with its own type. */
#define PASS_ON(name, parameters, arguments)                                                                 \
    cublasStatus_t name parameters {                                                                         \
        static __typeof__(&name) function;                                                                   \
        if (!function) function = (__typeof__(&name))find_cublaslt(#name);                                   \
        return function ? function arguments : CUBLAS_STATUS_NOT_INITIALIZED;                                \
    }

PASS_ON(cublasLtCreate, (cublasLtHandle_t * handle), (handle))
PASS_ON(cublasLtDestroy, (cublasLtHandle_t handle), (handle))
PASS_ON(cublasLtMatmulDescInit_internal,
        (cublasLtMatmulDesc_t desc, size_t size, cublasComputeType_t compute, cudaDataType_t scale),
        (desc, size, compute, scale))
PASS_ON(cublasLtMatmulDescSetAttribute,
        (cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t which, const void *value, size_t size),
        (desc, which, value, size))
PASS_ON(cublasLtMatrixLayoutInit_internal,
        (cublasLtMatrixLayout_t layout, size_t size, cudaDataType type, uint64_t rows, uint64_t columns,
         int64_t ld),
        (layout, size, type, rows, columns, ld))
PASS_ON(cublasLtMatrixLayoutSetAttribute,
        (cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t which, const void *value,
         size_t size),
        (layout, which, value, size))
PASS_ON(cublasLtMatmulPreferenceInit_internal, (cublasLtMatmulPreference_t preference, size_t size),
        (preference, size))
PASS_ON(cublasLtMatmulPreferenceSetAttribute,
        (cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t which, const void *value,
         size_t size),
        (preference, which, value, size))
PASS_ON(cublasLtMatmulAlgoGetHeuristic,
        (cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
         cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
         cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t results[],
         int *found),
        (handle, operation, a, b, c, d, preference, wanted, results, found))
PASS_ON(cublasLtMatmulAlgoCheck,
        (cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
         cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
         const cublasLtMatmulAlgo_t *algorithm, cublasLtMatmulHeuristicResult_t *result),
        (handle, operation, a, b, c, d, algorithm, result))
PASS_ON(cublasLtMatmul,
        (cublasLtHandle_t handle, cublasLtMatmulDesc_t compute, const void *alpha, const void *A,
         cublasLtMatrixLayout_t a, const void *B, cublasLtMatrixLayout_t b, const void *beta, const void *C,
         cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algorithm,
         void *workspace, size_t workspace_bytes, cudaStream_t stream),
        (handle, compute, alpha, A, a, B, b, beta, C, c, D, d, algorithm, workspace, workspace_bytes, stream))

size_t cublasLtGetVersion(void) {
    size_t (*function)(void) = (size_t(*)(void))find_cublaslt("cublasLtGetVersion");
    return function ? function() : 0;
}

const char *cublasLtGetStatusString(cublasStatus_t status) {
    const char *(*function)(cublasStatus_t) =
        (const char *(*)(cublasStatus_t))find_cublaslt("cublasLtGetStatusString");
    return function ? function(status) : "the library libcublasLt was not found";
}
