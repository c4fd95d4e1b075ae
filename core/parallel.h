/* Loops shared by threads, with chunks that depend on the problem only: a reduction gives the same bits
 * whatever the number of threads. OpenMP underneath; the fast CPU kernels may also use its pragmas
 * directly. */
#ifndef LT_CORE_PARALLEL_H
#define LT_CORE_PARALLEL_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Threads that parallel loops and BLAS use; 0 = all cores this process may run on. */
void lt_set_threads(int count);
/* Those of the calling thread: its own, or else the process's. Workspaces are sized by it. */
int lt_threads(void);
/* For parallel loops that the calling thread meets, and no other: for one that works beside the main
 * thread, and for contexts of the library. 0: the process's again, and OpenMP's setting of this thread as
 * it was. BLAS keeps to the process's. */
void lt_set_own_threads(int count);
/* The process's number, also BLAS's, unless it was set before: for the first of several contexts. */
void lt_set_threads_once(int count);
/* Cores that this process may run on. */
int lt_cores(void);

/* Has threads that wait for others spin for microseconds and then sleep. libgomp's own choice, to spin for
 * milliseconds, gains nothing measurable on a quiet machine and takes 40 times as long where others use
 * the processors. It is read when libgomp is loaded, so this starts the program again, with GOMP_SPINCOUNT
 * set; call it before anything is done. It does nothing where the environment has GOMP_SPINCOUNT or
 * OMP_WAIT_POLICY already, and returns then or when the program cannot be started. */
void lt_wait_briefly(char **argv);

#ifdef __cplusplus
}
#endif
#endif
