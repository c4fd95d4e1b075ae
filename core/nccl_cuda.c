/* NCCL, loaded when a job of several GPUs asks for it: no other command should map it. The functions of its header
 * are defined here and pass on to the library's own. */
#ifdef LT_WITH_NCCL
#    include "core/comm_impl.h"
#    include <dlfcn.h>
#    include <nccl.h>
#    include <pthread.h>

static void *library;

static void load_nccl(void) {
    library = dlopen("libnccl.so.2", RTLD_LAZY | RTLD_LOCAL);
    if (!library && *LT_NCCL_LIBRARY)
        library = dlopen(LT_NCCL_LIBRARY, RTLD_LAZY | RTLD_LOCAL); /* where the build found it */
}

static void *find_nccl(const char *name) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_nccl);
    return library ? dlsym(library, name) : NULL;
}

lt_status lt_nccl_load(void) {
    LT_CHECK(
        find_nccl("ncclAllReduce"), LT_UNAVAILABLE,
        "the library libnccl.so.2 was not found; install libnccl2, name its folder in LD_LIBRARY_PATH, or "
        "use --collectives mpi");
    return LT_OK;
}

/* A function of the library under its own name, with its own type. */
#    define PASS_ON(name, parameters, arguments)                                                             \
        ncclResult_t name parameters {                                                                       \
            static __typeof__(&name) function;                                                               \
            if (!function) function = (__typeof__(&name))find_nccl(#name);                                   \
            return function ? function arguments : ncclInvalidUsage;                                         \
        }

PASS_ON(ncclGetUniqueId, (ncclUniqueId * id), (id))
PASS_ON(ncclCommInitRank, (ncclComm_t * comm, int ranks, ncclUniqueId id, int rank), (comm, ranks, id, rank))
PASS_ON(ncclCommDestroy, (ncclComm_t comm), (comm))
PASS_ON(ncclCommAbort, (ncclComm_t comm), (comm))
PASS_ON(ncclCommGetAsyncError, (ncclComm_t comm, ncclResult_t *error), (comm, error))
PASS_ON(ncclAllReduce,
        (const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
         cudaStream_t stream),
        (from, to, count, type, op, comm, stream))

const char *ncclGetErrorString(ncclResult_t result) {
    const char *(*function)(ncclResult_t) = (const char *(*)(ncclResult_t))find_nccl("ncclGetErrorString");
    return function ? function(result) : "the library libnccl was not found";
}
#endif
