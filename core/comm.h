/* Collectives between the processes of one job. `none` (one rank) is always there; `mpi` where the build found MPI and
 * the process was started by mpirun; `nccl` when each of its ranks has a GPU of its own (lt_comm_attach): MPI for host
 * memory still, and from GPU to GPU for lt_comm_reduce.
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
const char *lt_comm_name(const lt_comm *comm); /* "none", "mpi", "nccl" */
int lt_comm_rank(const lt_comm *comm);
int lt_comm_size(const lt_comm *comm);

/* What lt_device_open should be given on this rank for `spec`: "cuda" is the GPU whose number is the rank's among
 * those of its machine; everything else is `spec` itself. */
enum { LT_COMM_DEVICE = 64 };
void lt_comm_device(const lt_comm *comm, const char *spec, char out[LT_COMM_DEVICE]);
/* How many ranks, this one included, have the memory that `device` is on: all of a machine on the cpu, else those
 * with the same GPU. All ranks call it. */
lt_status lt_comm_sharers(lt_comm *comm, const lt_device *device, int *out);
/* How lt_comm_reduce works from now on. "nccl": from GPU to GPU; LT_UNAVAILABLE says what is missing for it. "mpi":
 * through the host, as without this call. "auto" (or NULL): nccl where it can be; where not, rank 0 warns if the
 * device is a GPU. All ranks call it, each with its open device, at most once. */
lt_status lt_comm_attach(lt_comm *comm, lt_device *device, const char *collectives);

/* Host buffers, in place; all ranks must call with the same count. The sum is taken in rank order, so all ranks hold
 * the same bits in every run. */
lt_status lt_comm_sum_f64(lt_comm *comm, double *values, int64_t count);
/* The least of all ranks' values. */
lt_status lt_comm_min_i64(lt_comm *comm, int64_t *value);
/* `count` bytes of rank `root` become those of all. */
lt_status lt_comm_broadcast(lt_comm *comm, void *bytes, int64_t count, int root);
/* The worst status of all ranks, so that one rank's failure stops all of them at the same place. Other ranks get the
 * message of the (first) rank that has it. An interruption is milder than every failure. */
lt_status lt_comm_agree(lt_comm *comm, lt_status mine);
/* Returns when all ranks have called it. */
lt_status lt_comm_barrier(lt_comm *comm);
/* The net under lt_comm_agree, for a rank that leaves its work with `status`. Where the ranks have not agreed on that
 * failure, the others may wait for this one in a collective: the message is logged and the job ends with the exit
 * code `status`; this does not return then. Call it before anything that waits for other ranks, or for the device's
 * sums. Does nothing after LT_OK, after a failure that all ranks know, and without other ranks (or a `comm`). */
void lt_comm_end_alone(lt_comm *comm, lt_status status);

/* The sum over all ranks of a piece of device memory, in place, f32 or f64, the same bits on every rank and in every
 * run. It takes what `stream` was asked for before, and other work may go on there: the sum is in place for what
 * `stream` is asked for after lt_comm_reduce_end. All ranks reduce the same pieces in the same order. A rank that
 * cannot must not leave the others waiting: agree first. */
lt_status lt_comm_reduce(lt_comm *comm, lt_device *device, lt_stream *stream, void *values, int64_t count,
                         lt_dtype dtype);
/* Has `stream` wait for the sums; the host does not. */
lt_status lt_comm_reduce_end(lt_comm *comm, lt_stream *stream);
/* Waits until the sums are there, or fails where they will never be because another rank or the network is gone. */
lt_status lt_comm_reduce_check(lt_comm *comm);
/* True where lt_comm_reduce returns at once and sums go on beside other work, so that a rank which fails before its
 * share can still agree with the others. False: it returns when all ranks have joined. */
bool lt_comm_overlaps(const lt_comm *comm);
/* After a failure: drops reductions that other ranks may never join, so that the device can be waited for. None
 * follow. */
void lt_comm_reduce_abandon(lt_comm *comm);

#ifdef __cplusplus
}
#endif
#endif
