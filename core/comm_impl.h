/* What a kind of collectives provides; not for other rooms. */
#ifndef LT_CORE_COMM_IMPL_H
#define LT_CORE_COMM_IMPL_H

#include "core/comm.h"

typedef struct lt_comm_ops {
    const char *name;
    lt_status (*sum)(lt_comm *comm, void *values, int64_t count, lt_dtype dtype); /* f32 or f64, in place */
    lt_status (*broadcast)(lt_comm *comm, void *bytes, int64_t count, int root);
    lt_status (*barrier)(lt_comm *comm);
    void (*close)(lt_comm *comm); /* frees `state` */
} lt_comm_ops;

struct lt_comm {
    const lt_comm_ops *ops;
    int rank, size;
    void *state;
};

/* Fills `comm` with the job of mpirun. */
lt_status lt_comm_open_mpi(lt_comm *comm);

#endif
