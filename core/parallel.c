#include "core/parallel.h"

#include "core/io.h"

#include <cblas.h>
#include <omp.h>
#include <stdlib.h>
#include <unistd.h>

static int threads; /* 0: not set yet */

void lt_set_threads(int count) {
    threads = count > 0 ? count : omp_get_num_procs(); /* procs honours the affinity mask */
    omp_set_num_threads(threads);
    openblas_set_num_threads(threads);
}

void lt_set_own_threads(int count) { omp_set_num_threads(count); }

int lt_threads(void) { return threads ? threads : omp_get_max_threads(); }

void lt_wait_briefly(char **argv) {
    char program[LT_PATH_MAX];
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return;
    program[length] = '\0';
    if (setenv("GOMP_SPINCOUNT", "2000", 1) == 0) execv(program, argv);
}
