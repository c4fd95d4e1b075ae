#include "core/parallel.h"

#include "core/io.h"

#include <cblas.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic int process_threads; /* of the process; 0: not set yet */
static _Thread_local int own,
    before; /* of the calling thread; 0: the process's. OpenMP's setting before it had its own */
static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;

int lt_cores(void) { return omp_get_num_procs(); } /* it honours the affinity mask */

void lt_set_threads(int count) {
    const int wanted = count > 0 ? count : lt_cores();
    process_threads = wanted;
    own = 0;
    omp_set_num_threads(wanted);
    openblas_set_num_threads(wanted);
}

void lt_set_threads_once(int count) {
    pthread_mutex_lock(&threads_lock);
    if (!process_threads) {
        const int mine = omp_get_max_threads();
        process_threads = count > 0 ? count : lt_cores();
        openblas_set_num_threads(process_threads);
        omp_set_num_threads(mine); /* BLAS may have changed it */
    }
    pthread_mutex_unlock(&threads_lock);
}

void lt_set_own_threads(int count) {
    if (!own) before = omp_get_max_threads();
    own = count;
    omp_set_num_threads(count ? count : before);
}

int lt_threads(void) {
    if (own) return own;
    return process_threads ? process_threads : omp_get_max_threads();
}

void lt_wait_briefly(char **argv) {
    char program[LT_PATH_MAX];
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return;
    program[length] = '\0';
    if (setenv("GOMP_SPINCOUNT", "2000", 1) == 0) execv(program, argv);
}
