#include "core/parallel.h"
#include "kernels/loss/mse_chunks.h"
#include "kernels/rows.h"

static double chunk_sum(const float *prediction, const float *target, int64_t count) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; i++) {
        double d = (double)prediction[i] - (double)target[i];
        sum += d * d;
    }
    return sum;
}

static int64_t chunk_length(int64_t count, int64_t chunk) {
    int64_t left = count - chunk * LT_MSE_CHUNK;
    return left < LT_MSE_CHUNK ? left : LT_MSE_CHUNK;
}

lt_status lt_mse_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_mse_args *a = args;
    double *sums = workspace;
    int64_t groups = a->prediction.shape[0], count = a->prediction.shape[1], chunks = lt_mse_chunks(count);
#pragma omp parallel for schedule(static) num_threads(lt_threads()) if (groups * count >= LT_PARALLEL_FROM)
    for (int64_t i = 0; i < groups * chunks; i++) {
        int64_t g = i / chunks, at = i % chunks * LT_MSE_CHUNK;
        sums[i] = chunk_sum((const float *)a->prediction.data + g * a->prediction.stride[0] + at,
                            (const float *)a->target.data + g * a->target.stride[0] + at,
                            chunk_length(count, i % chunks));
    }
    for (int64_t g = 0; g < groups; g++) {
        double sum = 0;
        for (int64_t i = 0; i < chunks; i++) sum += sums[g * chunks + i];
        ((float *)a->loss.data)[g] = (float)(sum / (double)count);
    }
    return LT_OK;
}

static void backward_chunk(const float *prediction, const float *target, float scale, int64_t count, bool add,
                           float *out) {
    if (add)
        for (int64_t i = 0; i < count; i++) out[i] += scale * (prediction[i] - target[i]);
    else
        for (int64_t i = 0; i < count; i++) out[i] = scale * (prediction[i] - target[i]);
}

lt_status lt_mse_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_mse_backward_args *a = args;
    int64_t groups = a->prediction.shape[0], count = a->prediction.shape[1], chunks = lt_mse_chunks(count);
#pragma omp parallel for schedule(static) num_threads(lt_threads()) if (groups * count >= LT_PARALLEL_FROM)
    for (int64_t i = 0; i < groups * chunks; i++) {
        int64_t g = i / chunks, at = i % chunks * LT_MSE_CHUNK;
        float scale = (float)(2.0 * (double)((const float *)a->dloss.data)[g] / (double)count);
        backward_chunk((const float *)a->prediction.data + g * a->prediction.stride[0] + at,
                       (const float *)a->target.data + g * a->target.stride[0] + at, scale,
                       chunk_length(count, i % chunks), a->accumulate_dprediction,
                       (float *)a->dprediction.data + g * a->dprediction.stride[0] + at);
    }
    return LT_OK;
}
