/* Sums between GPUs over NCCL, on a stream of their own beside the one that computes. MPI starts the ranks, tells
 * them NCCL's address and keeps everything in host memory. */
#ifdef LT_WITH_NCCL
#    include "core/comm_impl.h"
#    include <cuda_runtime_api.h>
#    include <nccl.h>
#    include <sched.h>
#    include <stdlib.h>
#    include <string.h>

typedef struct nccl_state {
    ncclComm_t comm;         /* NULL once abandoned */
    cudaStream_t stream;     /* where sums run */
    cudaEvent_t ready, done; /* values are ready to be summed; all sums are done */
    bool pending;            /* sums that no lt_comm_reduce_end has waited for */
} nccl_state;

static lt_status check_nccl(ncclResult_t result, const char *what) {
    if (result == ncclSuccess) return LT_OK;
    return lt_fail(LT_FAILED, "NCCL: %s: %s; NCCL_DEBUG=WARN in the environment tells more", what,
                   ncclGetErrorString(result));
}

static lt_status check_cuda(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return LT_OK;
    return lt_fail(LT_FAILED, "CUDA: %s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

/* ---- sums ---------------------------------------------------------------------------------------------- */

static lt_status nccl_reduce(lt_comm *comm, lt_stream *stream, void *values, int64_t count, lt_dtype dtype) {
    nccl_state *state = comm->gpu;
    LT_CHECK(state->comm, LT_FAILED, "NCCL: a sum after another was abandoned");
    LT_TRY(check_cuda(cudaEventRecord(state->ready, (cudaStream_t)stream), "marking values to sum"));
    LT_TRY(check_cuda(cudaStreamWaitEvent(state->stream, state->ready, 0), "waiting for values to sum"));
    state->pending = true;
    return check_nccl(ncclAllReduce(values, values, (size_t)count, dtype == LT_F64 ? ncclDouble : ncclFloat,
                                    ncclSum, state->comm, state->stream),
                      "sum over ranks");
}

static lt_status nccl_reduce_end(lt_comm *comm, lt_stream *stream) {
    nccl_state *state = comm->gpu;
    if (!state->pending) return LT_OK;
    state->pending = false;
    LT_TRY(check_cuda(cudaEventRecord(state->done, state->stream), "marking the end of sums"));
    return check_cuda(cudaStreamWaitEvent((cudaStream_t)stream, state->done, 0), "waiting for sums");
}

/* A kernel of NCCL waits for the other ranks until its communicator is aborted, and errors that come later than the
 * call are told only to who asks. */
static lt_status nccl_reduce_check(lt_comm *comm) {
    nccl_state *state = comm->gpu;
    ncclResult_t failed = ncclSuccess;
    cudaError_t error;
    if (!state->comm) return LT_OK;
    while ((error = cudaEventQuery(state->done)) == cudaErrorNotReady) {
        LT_TRY(check_nccl(ncclCommGetAsyncError(state->comm, &failed), "asking for errors"));
        if (failed != ncclSuccess && failed != ncclInProgress) return check_nccl(failed, "sums over ranks");
        sched_yield();
    }
    return check_cuda(error, "waiting for sums");
}

static void nccl_reduce_abandon(lt_comm *comm) {
    nccl_state *state = comm->gpu;
    if (state->comm) ncclCommAbort(state->comm);
    state->comm = NULL;
    state->pending = false;
}

/* ---- joining and leaving ------------------------------------------------------------------------------- */

static void free_state(nccl_state *state) {
    if (!state) return;
    if (state->comm) ncclCommDestroy(state->comm);
    if (state->ready) cudaEventDestroy(state->ready);
    if (state->done) cudaEventDestroy(state->done);
    if (state->stream) cudaStreamDestroy(state->stream);
    free(state);
}

static void nccl_close(lt_comm *comm) {
    free_state(comm->gpu);
    lt_comm_mpi_close(comm);
}

static const lt_comm_ops nccl_ops = {.name = "nccl",
                                     .sum = lt_comm_mpi_sum,
                                     .broadcast = lt_comm_mpi_broadcast,
                                     .barrier = lt_comm_mpi_barrier,
                                     .close = nccl_close,
                                     .abort = lt_comm_mpi_abort,
                                     .reduce = nccl_reduce,
                                     .reduce_end = nccl_reduce_end,
                                     .reduce_check = nccl_reduce_check,
                                     .reduce_abandon = nccl_reduce_abandon};

/* NCCL needs a GPU for each rank. */
static lt_status check_own_gpus(lt_comm *comm, const cudaUUID_t *mine) {
    int first = -1;
    for (int rank = 0; rank < comm->size; rank++) {
        cudaUUID_t theirs = *mine;
        LT_TRY(lt_comm_broadcast(comm, &theirs, sizeof theirs, rank));
        if (first < 0 && rank != comm->rank && memcmp(&theirs, mine, sizeof theirs) == 0) first = rank;
    }
    return lt_comm_agree(comm, first < 0 ? LT_OK
                                         : lt_fail(LT_UNAVAILABLE,
                                                   "ranks %d and %d share a GPU, and NCCL needs one for each",
                                                   first < comm->rank ? first : comm->rank,
                                                   first < comm->rank ? comm->rank : first));
}

/* Before the other streams' blocks of threads where both wait for a multiprocessor: all ranks wait for the slowest
 * sum. */
static lt_status make_stream(nccl_state *state) {
    int least, greatest;
    LT_TRY(check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest), "reading priorities"));
    LT_TRY(check_cuda(cudaStreamCreateWithPriority(&state->stream, cudaStreamNonBlocking, greatest),
                      "creating a stream"));
    LT_TRY(check_cuda(cudaEventCreateWithFlags(&state->ready, cudaEventDisableTiming), "creating an event"));
    return check_cuda(cudaEventCreateWithFlags(&state->done, cudaEventDisableTiming), "creating an event");
}

static lt_status prepare_nccl(nccl_state **out, cudaUUID_t *gpu) {
    int index;
    struct cudaDeviceProp properties;
    nccl_state *state = *out = calloc(1, sizeof *state);
    LT_CHECK(state, LT_FAILED, "out of memory for NCCL");
    LT_TRY(check_cuda(cudaGetDevice(&index), "asking for the device"));
    LT_TRY(check_cuda(cudaGetDeviceProperties(&properties, index), "reading the device's properties"));
    *gpu = properties.uuid;
    return make_stream(state);
}

/* What must be done by all ranks together, once each of them can. */
static lt_status meet(lt_comm *comm, nccl_state *state) {
    ncclUniqueId id = {0};
    lt_status status = comm->rank == 0 ? check_nccl(ncclGetUniqueId(&id), "making an address") : LT_OK;
    LT_TRY(lt_comm_agree(comm, status));
    LT_TRY(lt_comm_broadcast(comm, &id, sizeof id, 0));
    status = check_nccl(ncclCommInitRank(&state->comm, comm->size, id, comm->rank), "joining ranks");
    lt_comm_end_alone(comm, status); /* others may wait for this rank inside of it */
    return status;
}

lt_status lt_comm_attach_nccl(lt_comm *comm) {
    nccl_state *state = NULL;
    cudaUUID_t gpu = {0};
    /* Sums inside the switch promise no order; a user's own setting stays. */
    setenv("NCCL_NVLS_ENABLE", "0", 0);
    lt_status status = lt_comm_agree(comm, prepare_nccl(&state, &gpu));
    if (status == LT_OK) status = check_own_gpus(comm, &gpu);
    if (status == LT_OK) status = meet(comm, state);
    if (status == LT_OK) {
        comm->gpu = state;
        comm->ops = &nccl_ops;
    } else free_state(state);
    return status;
}
#endif
