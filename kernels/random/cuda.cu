#include "core/rng_math.h"
#include "kernels/cuda.cuh"
#include "kernels/random/random.h"

/* A thread makes the four normals of one call of Philox. */
static __global__ void normals(const lt_rng_stream *streams, float *y, int64_t rows, int64_t n) {
    int64_t groups = (n + 3) / 4, all = rows * groups;
    for (int64_t at = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; at < all;
         at += (int64_t)gridDim.x * blockDim.x) {
        int64_t row = at / groups, group = at % groups;
        float four[4];
        lt_rng_stream stream = streams[row];
        lt_normals4(&stream, (uint64_t)group, four);
        float *to = y + row * n + 4 * group;
        for (int i = 0; i < 4; i++)
            if (4 * group + i < n) to[i] = four[i];
    }
}

static lt_status put_streams(lt_ctx *ctx, const lt_normals_args *a, lt_rng_stream *to) {
    enum { AT_ONCE = 256 };
    lt_rng_stream streams[AT_ONCE];
    for (int64_t first = 0; first < a->y.shape[0]; first += AT_ONCE) {
        int64_t count = a->y.shape[0] - first < AT_ONCE ? a->y.shape[0] - first : AT_ONCE;
        for (int64_t i = 0; i < count; i++) streams[i] = lt_rng_open(&a->keys[first + i], LT_RNG_NORMALS);
        LT_TRY(lt_device_copy(ctx->device, ctx->stream, to + first, streams, (size_t)count * sizeof *streams,
                              LT_COPY_TO_DEVICE));
    }
    return LT_OK;
}

extern "C" lt_status lt_normals_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_normals_args *a = (const lt_normals_args *)args;
    lt_rng_stream *streams = (lt_rng_stream *)workspace;
    int64_t rows = a->y.shape[0], n = a->y.shape[1];
    if (rows * n == 0) return LT_OK;
    LT_TRY(put_streams(ctx, a, streams));
    normals<<<lt_grid(rows * ((n + 3) / 4), 256), 256, 0, lt_cuda_stream(ctx)>>>(streams, (float *)a->y.data,
                                                                                 rows, n);
    return lt_cuda_launched();
}
