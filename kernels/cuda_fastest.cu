#include "kernels/cuda_fastest.h"

#include "kernels/cuda.cuh"

#include <math.h>

namespace {

/* The first round warms up: code is loaded then. After the next, ways much slower than the best are left out. */
enum { ROUNDS = 4 };
const double much = 1.05;

struct contest {
    cudaStream_t stream;
    int ways;
    lt_fastest_run run;
    void *user;
    cudaEvent_t at[LT_FASTEST_MOST + 1]; /* way i runs between at[i] and at[i + 1] */
    bool left[LT_FASTEST_MOST];
    double best[LT_FASTEST_MOST];
};

/* One run of each way that is left. Ways take turns, so that all meet the same clocks, and one run goes ahead of those
 * that are timed, so that the device is never found waiting for the host. */
lt_status ask_for_round(contest &g) {
    int ahead = 0;
    while (ahead < g.ways && !(g.left[ahead] && g.run(g.user, ahead))) g.left[ahead++] = false;
    LT_TRY(lt_cuda_check(cudaEventRecord(g.at[0], g.stream)));
    for (int i = 0; i < g.ways; i++) {
        g.left[i] = g.left[i] && g.run(g.user, i);
        LT_TRY(lt_cuda_check(cudaEventRecord(g.at[i + 1], g.stream)));
    }
    return lt_cuda_check(cudaEventSynchronize(g.at[g.ways]));
}

lt_status hold_round(contest &g, int round) {
    LT_TRY(ask_for_round(g));
    double least = INFINITY;
    for (int i = 0; i < g.ways && round > 0; i++) {
        float milliseconds = 0;
        if (!g.left[i]) continue;
        LT_TRY(lt_cuda_check(cudaEventElapsedTime(&milliseconds, g.at[i], g.at[i + 1])));
        g.best[i] = fmin(g.best[i], 1e3 * milliseconds);
        least = fmin(least, g.best[i]);
    }
    for (int i = 0; i < g.ways && round == 1; i++) g.left[i] = g.left[i] && g.best[i] <= much * least;
    return LT_OK;
}

} // namespace

extern "C" lt_status lt_cuda_fastest(const lt_ctx *ctx, int ways, lt_fastest_run run, void *user,
                                     double *microseconds) {
    LT_CHECK(ways <= LT_FASTEST_MOST, LT_FAILED, "%d ways are compared, at most %d", ways, LT_FASTEST_MOST);
    contest g = {lt_cuda_stream(ctx), ways, run, user};
    lt_status status = LT_OK;
    int events = 0;
    while (events <= ways && status == LT_OK)
        if ((status = lt_cuda_check(cudaEventCreate(&g.at[events]))) == LT_OK) events++;
    for (int i = 0; i < ways; i++) g.left[i] = true, g.best[i] = INFINITY;
    for (int round = 0; round < ROUNDS && status == LT_OK; round++) status = hold_round(g, round);
    while (events > 0) cudaEventDestroy(g.at[--events]);
    for (int i = 0; i < ways; i++) microseconds[i] = g.best[i];
    return status;
}
