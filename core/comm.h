/* Collectives between the processes of one job. `none` (one rank) is always there; `mpi` where the build found MPI and
 * the process was started by mpirun; NCCL joins later behind the same functions.
 */
#ifndef LT_CORE_COMM_H
#define LT_CORE_COMM_H

#include "core/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_comm lt_comm;

/* Joins the job this process belongs to: MPI when launched by mpirun (LT_UNAVAILABLE if the build has none), else one
 * rank. Call it once. */
lt_status lt_comm_open(lt_comm **out);
void lt_comm_close(lt_comm *comm);
const char *lt_comm_name(const lt_comm *comm); /* "none", "mpi" */
int lt_comm_rank(const lt_comm *comm);
int lt_comm_size(const lt_comm *comm);

/* Host buffers, in place; all ranks must call with the same count. The sum is taken in float64 in rank order and rounded
 * once, so all ranks hold the same bits in every run. */
lt_status lt_comm_sum_f32(lt_comm *comm, float *values, int64_t count);
lt_status lt_comm_sum_f64(lt_comm *comm, double *values, int64_t count);
lt_status lt_comm_broadcast(lt_comm *comm, void *bytes, int64_t count, int root);
/* The worst status of all ranks, so that one rank's failure stops all of them at the same place. Other ranks get the
 * message of the (first) rank that has it. An interruption is milder than every failure. */
lt_status lt_comm_agree(lt_comm *comm, lt_status mine);
lt_status lt_comm_barrier(lt_comm *comm);

#ifdef __cplusplus
}
#endif
#endif
