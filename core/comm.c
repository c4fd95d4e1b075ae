#include "core/comm.h"
#include "core/comm_impl.h"
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

static const lt_comm_ops none_ops = {"none", none_sum, none_broadcast, none_barrier, none_close};

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
    *comm = (lt_comm){&none_ops, 0, 1, NULL};
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

lt_status lt_comm_sum_f32(lt_comm *comm, float *values, int64_t count) {
    return comm->ops->sum(comm, values, count, LT_F32);
}

lt_status lt_comm_sum_f64(lt_comm *comm, double *values, int64_t count) {
    return comm->ops->sum(comm, values, count, LT_F64);
}

lt_status lt_comm_broadcast(lt_comm *comm, void *bytes, int64_t count, int root) {
    LT_CHECK(root >= 0 && root < comm->size, LT_FAILED, "broadcast from rank %d of %d", root, comm->size);
    return comm->ops->broadcast(comm, bytes, count, root);
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
    return worst == LT_OK ? LT_OK : share_message(comm, worst, rank);
}
