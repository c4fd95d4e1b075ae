#include "core/comm.h"
#include "core/comm_impl.h"
#include "core/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lt_status none_sum(lt_comm *comm, void *values, int64_t count, lt_dtype dtype) {
    (void)comm, (void)values, (void)count, (void)dtype;
    return LT_OK;
}

static lt_status none_broadcast(lt_comm *comm, void *bytes, int64_t count, int root) {
    (void)comm, (void)bytes, (void)count, (void)root;
    return LT_OK;
}

static lt_status none_barrier(lt_comm *comm) { return (void)comm, LT_OK; }
static void none_close(lt_comm *comm) { (void)comm; }

static const lt_comm_ops none_ops = {.name = "none",
                                     .sum = none_sum,
                                     .broadcast = none_broadcast,
                                     .barrier = none_barrier,
                                     .close = none_close};

/* Processes of the job that a launcher says this process belongs to; 0 when there was no launcher. */
static long launched_processes(void) {
    static const char *const variables[] = {"OMPI_COMM_WORLD_SIZE",
                                            "PMI_SIZE"}; /* Open MPI; MPICH and its kin */
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = getenv(variables[i]);
        if (value && *value) return strtol(value, NULL, 10);
    }
    return 0;
}

static lt_status join(lt_comm *comm) {
    const long processes = launched_processes();
    *comm = (lt_comm){.ops = &none_ops, .size = 1};
#ifdef LT_WITH_MPI
    if (processes > 0) return lt_comm_open_mpi(comm);
#endif
    LT_CHECK(processes <= 1, LT_UNAVAILABLE,
             "started as one of %ld processes, but this build has no MPI; install libopenmpi-dev and "
             "configure again, "
             "or start one process",
             processes);
    return LT_OK;
}

lt_status lt_comm_open(lt_comm **out) {
    *out = NULL;
    lt_comm *comm = malloc(sizeof *comm);
    LT_CHECK(comm, LT_FAILED, "out of memory");
    lt_status status = join(comm);
    if (status == LT_OK) *out = comm;
    else free(comm);
    return status;
}

void lt_comm_close(lt_comm *comm) {
    if (!comm) return;
    comm->ops->close(comm);
    free(comm);
}

const char *lt_comm_name(const lt_comm *comm) { return comm->ops->name; }
int lt_comm_rank(const lt_comm *comm) { return comm->rank; }
int lt_comm_size(const lt_comm *comm) { return comm->size; }

lt_status lt_comm_sum_f64(lt_comm *comm, double *values, int64_t count) {
    return comm->ops->sum(comm, values, count, LT_F64);
}

lt_status lt_comm_broadcast(lt_comm *comm, void *bytes, int64_t count, int root) {
    LT_CHECK(root >= 0 && root < comm->size, LT_FAILED, "broadcast from rank %d of %d", root, comm->size);
    return comm->ops->broadcast(comm, bytes, count, root);
}

lt_status lt_comm_min_i64(lt_comm *comm, int64_t *value) {
    const int64_t mine = *value;
    for (int rank = 0; rank < comm->size; rank++) {
        int64_t theirs = mine;
        LT_TRY(lt_comm_broadcast(comm, &theirs, sizeof theirs, rank));
        if (theirs < *value) *value = theirs;
    }
    return LT_OK;
}

lt_status lt_comm_barrier(lt_comm *comm) { return comm->ops->barrier(comm); }

/* Being interrupted is the mildest way to stop (the run can be resumed), failing the worst. */
static int severity(lt_status status) {
    static const lt_status order[] = {LT_OK, LT_INTERRUPTED, LT_UNAVAILABLE, LT_USAGE, LT_INPUT, LT_FAILED};
    const int count = (int)(sizeof order / sizeof *order);
    for (int i = 0; i < count; i++)
        if (order[i] == status) return i;
    return count;
}

/* Leaves the message of `rank` as this thread's error on all other ranks. */
static lt_status share_message(lt_comm *comm, lt_status worst, int rank) {
    char message[2048] = "";
    if (comm->rank == rank) strncpy(message, lt_error(), sizeof message - 1);
    LT_TRY(lt_comm_broadcast(comm, message, sizeof message, rank));
    comm->agreed = worst;
    return comm->rank == rank ? worst : lt_fail(worst, "rank %d: %s", rank, message);
}

lt_status lt_comm_agree(lt_comm *comm, lt_status mine) {
    if (comm->size == 1) return mine;
    /* Every rank fills its own place; the sum is everybody's status. */
    double *all = calloc((size_t)comm->size, sizeof *all);
    LT_CHECK(all, LT_FAILED, "out of memory");
    all[comm->rank] = (double)mine;
    lt_status status = lt_comm_sum_f64(comm, all, comm->size), worst = LT_OK;
    int rank = 0;
    for (int i = comm->size - 1; i >= 0; i--)
        if (severity((lt_status)all[i]) >= severity(worst)) worst = (lt_status)all[i], rank = i;
    free(all);
    LT_TRY(status);
    comm->agreed = LT_OK;
    return worst == LT_OK ? LT_OK : share_message(comm, worst, rank);
}

void lt_comm_end_alone(lt_comm *comm, lt_status status) {
    if (!comm || !comm->ops->abort || comm->size == 1 || status == LT_OK || status == comm->agreed) return;
    lt_log(LT_LOG_ERROR, "rank %d failed alone, and ends all %d: %s", comm->rank, comm->size, lt_error());
    comm->ops->abort(comm, status);
}

/* ---- sums of device memory ----------------------------------------------------------------------------- */

void lt_comm_device(const lt_comm *comm, const char *spec, char out[LT_COMM_DEVICE]) {
    bool own = comm->size > 1 && strcmp(spec, "cuda") == 0;
    if (own) snprintf(out, LT_COMM_DEVICE, "cuda:%d", comm->local_rank);
    else snprintf(out, LT_COMM_DEVICE, "%s", spec);
}

lt_status lt_comm_sharers(lt_comm *comm, const lt_device *device, int *out) {
    struct {
        int machine;
        char place[sizeof device->place];
    } mine = {comm->machine, ""}, theirs;
    snprintf(mine.place, sizeof mine.place, "%s", device->place);
    *out = 0;
    for (int rank = 0; rank < comm->size; rank++) {
        theirs = mine;
        LT_TRY(lt_comm_broadcast(comm, &theirs, sizeof theirs, rank));
        *out += theirs.machine == mine.machine && strcmp(theirs.place, mine.place) == 0;
    }
    return LT_OK;
}

/* What NCCL needs of this rank. */
static lt_status check_nccl(const lt_device *device) {
    LT_CHECK(device->ops->backend == LT_BACKEND_CUDA, LT_UNAVAILABLE,
             "NCCL sums between GPUs, and the device is \"%s\"; use --device cuda or --collectives mpi",
             device->ops->name);
#ifdef LT_WITH_NCCL
    return lt_nccl_load();
#else
    return lt_fail(LT_UNAVAILABLE, "this build has no NCCL; install libnccl-dev and configure again, or use "
                                   "--collectives mpi");
#endif
}

static lt_status attach_nccl(lt_comm *comm, const lt_device *device) {
    LT_TRY(lt_comm_agree(comm, check_nccl(device)));
#ifdef LT_WITH_NCCL
    if (comm->size > 1) return lt_comm_attach_nccl(comm);
#endif
    return LT_OK;
}

lt_status lt_comm_attach(lt_comm *comm, lt_device *device, const char *collectives) {
    const char *wanted = collectives ? collectives : "auto";
    bool choice = strcmp(wanted, "auto") == 0, must = strcmp(wanted, "nccl") == 0;
    LT_CHECK(choice || must || strcmp(wanted, "mpi") == 0, LT_USAGE,
             "collectives \"%s\": expected auto, nccl or mpi", wanted);
    bool gpu = device->ops->backend == LT_BACKEND_CUDA;
    if (!must && (!choice || !gpu || comm->size == 1)) return LT_OK;
    lt_status status = attach_nccl(comm, device);
    if (must || status != LT_UNAVAILABLE) return status;
    comm->agreed = LT_OK;
    if (comm->rank == 0) lt_warn("gradients are summed through the host: %s", lt_error());
    return LT_OK;
}

static lt_status sum_through_host(lt_comm *comm, lt_device *device, lt_stream *stream, void *values,
                                  int64_t count, lt_dtype dtype) {
    size_t bytes = (size_t)count * lt_dtype_size(dtype);
    void *host = malloc(bytes ? bytes : 1);
    LT_CHECK(host, LT_FAILED, "out of memory for a sum of %lld values over ranks", (long long)count);
    lt_status status = lt_device_copy(device, stream, host, values, bytes, LT_COPY_TO_HOST);
    if (status == LT_OK) status = comm->ops->sum(comm, host, count, dtype);
    if (status == LT_OK) status = lt_device_copy(device, stream, values, host, bytes, LT_COPY_TO_DEVICE);
    free(host);
    return status;
}

lt_status lt_comm_reduce(lt_comm *comm, lt_device *device, lt_stream *stream, void *values, int64_t count,
                         lt_dtype dtype) {
    LT_CHECK(dtype == LT_F32 || dtype == LT_F64, LT_FAILED, "reduce: sums are of float32 or float64");
    if (comm->size == 1 || count == 0) return LT_OK;
    if (comm->ops->reduce) return comm->ops->reduce(comm, stream, values, count, dtype);
    if (lt_device_is_host(device)) return comm->ops->sum(comm, values, count, dtype);
    return sum_through_host(comm, device, stream, values, count, dtype);
}

lt_status lt_comm_reduce_end(lt_comm *comm, lt_stream *stream) {
    return comm->ops->reduce_end ? comm->ops->reduce_end(comm, stream) : LT_OK;
}

bool lt_comm_overlaps(const lt_comm *comm) { return comm->ops->reduce != NULL; }

lt_status lt_comm_reduce_check(lt_comm *comm) {
    return comm->ops->reduce_check ? comm->ops->reduce_check(comm) : LT_OK;
}

void lt_comm_reduce_abandon(lt_comm *comm) {
    if (comm->ops->reduce_abandon) comm->ops->reduce_abandon(comm);
}
