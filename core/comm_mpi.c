/* Collectives over MPI. MPI_Allreduce may add in any order; here every rank adds one part of the values in rank order
 * and hands it to the others (a reduce-scatter and an all-gather by hand), so a sum is the same bits in every run and
 * on every rank, for twice the values' bytes over the wire whatever the number of ranks. */
#ifdef LT_WITH_MPI
#    include "core/comm_impl.h"
#    include <mpi.h>
#    include <stdlib.h>
#    include <string.h>

enum { CHUNK = 1 << 20 }; /* values summed at a time, all ranks together */

typedef struct mpi_state {
    void *inbox;       /* this rank's part of the chunk, from every rank: [size][part] */
    int *counts;       /* values of each rank's part */
    int *starts;       /* where they start in the chunk */
    int *inbox_counts; /* values that come from each rank: this rank's part */
    int *inbox_starts;
} mpi_state;

static lt_status check_mpi(int code, const char *what) {
    char text[MPI_MAX_ERROR_STRING];
    int length;
    if (code == MPI_SUCCESS) return LT_OK;
    MPI_Error_string(code, text, &length);
    return lt_fail(LT_FAILED, "MPI: %s: %s", what, text);
}

/* Divides a chunk among the ranks; the first ones take what is left over. */
static int divide(const lt_comm *comm, mpi_state *state, int count) {
    const int part = count / comm->size, more = count % comm->size;
    for (int i = 0, start = 0; i < comm->size; start += state->counts[i++]) {
        state->counts[i] = part + (i < more);
        state->starts[i] = start;
    }
    const int mine = state->counts[comm->rank];
    for (int i = 0; i < comm->size; i++) {
        state->inbox_counts[i] = mine;
        state->inbox_starts[i] = i * mine;
    }
    return mine;
}

/* A float is summed in float64 and rounded once. */
static void add_parts(const lt_comm *comm, const void *inbox, int mine, lt_dtype dtype, void *out) {
    const float *f32 = inbox;
    const double *f64 = inbox;
    for (int64_t i = 0; i < mine; i++) {
        double sum = 0;
        for (int64_t rank = 0; rank < comm->size; rank++)
            sum += dtype == LT_F32 ? (double)f32[rank * mine + i] : f64[rank * mine + i];
        if (dtype == LT_F32) ((float *)out)[i] = (float)sum;
        else ((double *)out)[i] = sum;
    }
}

static lt_status sum_chunk(lt_comm *comm, char *values, int count, lt_dtype dtype) {
    mpi_state *state = comm->state;
    MPI_Datatype type = dtype == LT_F32 ? MPI_FLOAT : MPI_DOUBLE;
    const int mine = divide(comm, state, count);
    LT_TRY(check_mpi(MPI_Alltoallv(values, state->counts, state->starts, type, state->inbox,
                                   state->inbox_counts, state->inbox_starts, type, MPI_COMM_WORLD),
                     "sending parts of a sum"));
    add_parts(comm, state->inbox, mine, dtype,
              values + (size_t)state->starts[comm->rank] * lt_dtype_size(dtype));
    return check_mpi(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, state->counts, state->starts,
                                    type, MPI_COMM_WORLD),
                     "gathering a sum");
}

lt_status lt_comm_mpi_sum(lt_comm *comm, void *values, int64_t count, lt_dtype dtype) {
    for (int64_t at = 0; at < count; at += CHUNK) {
        int chunk = (int)(count - at < CHUNK ? count - at : CHUNK);
        LT_TRY(sum_chunk(comm, (char *)values + (size_t)at * lt_dtype_size(dtype), chunk, dtype));
    }
    return LT_OK;
}

lt_status lt_comm_mpi_broadcast(lt_comm *comm, void *bytes, int64_t count, int root) {
    (void)comm;
    for (int64_t at = 0; at < count; at += 1 << 30) {
        int chunk = (int)(count - at < 1 << 30 ? count - at : 1 << 30);
        LT_TRY(check_mpi(MPI_Bcast((char *)bytes + at, chunk, MPI_BYTE, root, MPI_COMM_WORLD), "broadcast"));
    }
    return LT_OK;
}

lt_status lt_comm_mpi_barrier(lt_comm *comm) {
    (void)comm;
    return check_mpi(MPI_Barrier(MPI_COMM_WORLD), "barrier");
}

void lt_comm_mpi_close(lt_comm *comm) {
    mpi_state *state = comm->state;
    if (state) {
        free(state->inbox);
        free(state->counts);
    }
    free(state);
    MPI_Finalize();
}

void lt_comm_mpi_abort(lt_comm *comm, int code) {
    (void)comm;
    MPI_Abort(MPI_COMM_WORLD, code);
    _Exit(code); /* where the launcher took its time */
}

static const lt_comm_ops mpi_ops = {.name = "mpi",
                                    .sum = lt_comm_mpi_sum,
                                    .broadcast = lt_comm_mpi_broadcast,
                                    .barrier = lt_comm_mpi_barrier,
                                    .close = lt_comm_mpi_close,
                                    .abort = lt_comm_mpi_abort};

static lt_status make_state(lt_comm *comm) {
    const size_t size = (size_t)comm->size;
    mpi_state *state = comm->state = calloc(1, sizeof *state);
    LT_CHECK(state, LT_FAILED, "out of memory");
    state->inbox = malloc((CHUNK + size * size) * sizeof(double));
    state->counts = malloc(4 * size * sizeof(int));
    LT_CHECK(state->inbox && state->counts, LT_FAILED, "out of memory for sums over %d ranks", comm->size);
    state->starts = state->counts + size;
    state->inbox_counts = state->starts + size;
    state->inbox_starts = state->inbox_counts + size;
    return LT_OK;
}

static lt_status find_local_rank(lt_comm *comm) {
    MPI_Comm machine;
    LT_TRY(check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine),
                     "finding the ranks of this machine"));
    lt_status status = check_mpi(MPI_Comm_rank(machine, &comm->local_rank), "rank on this machine");
    comm->machine = comm->rank;
    if (status == LT_OK)
        status = check_mpi(MPI_Bcast(&comm->machine, 1, MPI_INT, 0, machine), "first rank of this machine");
    MPI_Comm_free(&machine);
    return status;
}

lt_status lt_comm_open_mpi(lt_comm *comm) {
    int provided, used;
    LT_TRY(check_mpi(MPI_Initialized(&used), "asking whether it is initialised"));
    LT_CHECK(!used, LT_FAILED, "lt_comm_open was called before in this process");
    LT_TRY(check_mpi(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), "initialising"));
    lt_status status =
        check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "setting the error handler");
    if (status == LT_OK) status = check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &comm->rank), "rank");
    if (status == LT_OK) status = check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &comm->size), "size");
    if (status == LT_OK) status = find_local_rank(comm);
    if (status == LT_OK) status = make_state(comm);
    comm->ops = &mpi_ops;
    if (status == LT_OK) return LT_OK;
    lt_comm_end_alone(comm, status); /* the others would wait where this one leaves */
    lt_comm_mpi_close(comm);
    return status;
}
#endif
