#include "core/libraries.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#ifdef LT_WITH_MPI
#    include <mpi.h>
#endif
#ifdef LT_WITH_CUDA
#    include <cuda_runtime_api.h>
#endif
#ifdef LT_WITH_NCCL
#    include <nccl.h>
#endif

extern char *openblas_get_config(void);

/* "Open MPI v4.1.4" of a longer text; can be asked before MPI is started. */
static void mpi_version(char version[128]) {
    *version = '\0';
#ifdef LT_WITH_MPI
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    if (MPI_Get_library_version(text, &length) == MPI_SUCCESS)
        snprintf(version, 128, "%.*s", (int)strcspn(text, ",\n"), text);
#endif
}

static void cuda_version(char version[128]) {
    *version = '\0';
#ifdef LT_WITH_CUDA
    snprintf(version, 128, "%d.%d", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
#endif
}

static void nccl_version(char version[128]) {
    *version = '\0';
#ifdef LT_WITH_NCCL
    snprintf(version, 128, "%d.%d.%d", NCCL_MAJOR, NCCL_MINOR, NCCL_PATCH);
#endif
}

int lt_core_libraries(lt_library out[]) {
    out[0].name = "cJSON", out[1].name = "OpenBLAS", out[2].name = "CUDA", out[3].name = "MPI",
    out[4].name = "NCCL";
    snprintf(out[0].version, sizeof out[0].version, "%s", cJSON_Version());
    snprintf(out[1].version, sizeof out[1].version, "%s", openblas_get_config());
    out[1].version[strcspn(out[1].version, "\n")] = '\0';
    cuda_version(out[2].version);
    mpi_version(out[3].version);
    nccl_version(out[4].version);
    return 5;
}
