/* What a kind of collectives provides; not for other rooms. */
#ifndef LT_CORE_COMM_IMPL_H
#define LT_CORE_COMM_IMPL_H

#include "core/comm.h"

typedef struct lt_comm_ops {
    const char *name;
    lt_status (*sum)(lt_comm *comm, void *values, int64_t count, lt_dtype dtype); /* f32 or f64, in place */
    lt_status (*broadcast)(lt_comm *comm, void *bytes, int64_t count, int root);
    lt_status (*barrier)(lt_comm *comm);
    void (*close)(lt_comm *comm);           /* frees `state` */
    void (*abort)(lt_comm *comm, int code); /* ends all ranks; does not return. NULL with one rank */
    /* NULL: through the host, complete on return. */
    lt_status (*reduce)(lt_comm *comm, lt_stream *stream, void *values, int64_t count, lt_dtype dtype);
    lt_status (*reduce_end)(lt_comm *comm, lt_stream *stream);
    lt_status (*reduce_check)(lt_comm *comm); /* waits for the sums, or for what is wrong with them */
    void (*reduce_abandon)(lt_comm *comm);
} lt_comm_ops;

struct lt_comm {
    const lt_comm_ops *ops;
    int rank, size;
    int machine;      /* the first rank of this machine */
    int local_rank;   /* among the ranks of this machine */
    lt_status agreed; /* the last status that all ranks were given together */
    void *state;
    void *gpu; /* of nccl */
};

/* Fills `comm` with the job of mpirun. */
lt_status lt_comm_open_mpi(lt_comm *comm);
/* MPI's row, which nccl shares for host memory. */
lt_status lt_comm_mpi_sum(lt_comm *comm, void *values, int64_t count, lt_dtype dtype);
lt_status lt_comm_mpi_broadcast(lt_comm *comm, void *bytes, int64_t count, int root);
lt_status lt_comm_mpi_barrier(lt_comm *comm);
void lt_comm_mpi_close(lt_comm *comm);
void lt_comm_mpi_abort(lt_comm *comm, int code);

/* Turns a job of mpirun into one of nccl, on the GPU that this thread has opened. The same status on all ranks;
 * LT_UNAVAILABLE leaves it as it was. */
lt_status lt_comm_attach_nccl(lt_comm *comm);
/* Loads the library, once: LT_UNAVAILABLE when it is not there. */
lt_status lt_nccl_load(void);

#endif
