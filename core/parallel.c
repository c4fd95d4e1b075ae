#include "core/parallel.h"

#include <cblas.h>
#include <omp.h>

static int threads; /* 0: not set yet */

void lt_set_threads(int count) {
    threads = count > 0 ? count : omp_get_num_procs(); /* procs honours the affinity mask */
    omp_set_num_threads(threads);
    openblas_set_num_threads(threads);
}

void lt_set_own_threads(int count) { omp_set_num_threads(count); }

int lt_threads(void) { return threads ? threads : omp_get_max_threads(); }
