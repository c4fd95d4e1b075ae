/* The last step of column sums on CUDA, and all of it where there are few rows to sum. */
#ifndef LT_KERNELS_ELEMENTWISE_COLUMN_FOLD_CUH
#define LT_KERNELS_ELEMENTWISE_COLUMN_FOLD_CUH

#include "kernels/cuda.cuh"

/* out[k][g, c] (+)= sum over p < pieces of partial[g, p, k, c]; row g of out[k] lies at g * ld[k]. */
typedef struct lt_column_fold {
    const float *partial; /* [groups, pieces, outputs, columns] */
    int64_t groups, pieces, columns;
    int outputs; /* 1 or 2 */
    float *out[2];
    int64_t ld[2];
    bool add;
} lt_column_fold;

/* A column belongs to blockDim.y threads, each of which sums every blockDim.y-th piece. */
static __global__ void __launch_bounds__(1024) fold_columns(lt_column_fold f) {
    __shared__ float sums[1024];
    int64_t width = f.outputs * f.columns, tiles = (width + blockDim.x - 1) / blockDim.x;
    int64_t g = blockIdx.x / tiles, c = blockIdx.x % tiles * blockDim.x + threadIdx.x;
    const float *partial = f.partial + g * f.pieces * width + c;
    float sum = 0;
    if (c < width) {
#pragma unroll 8
        for (int64_t p = threadIdx.y; p < f.pieces; p += blockDim.y) sum += partial[p * width];
    }
    sums[threadIdx.y * blockDim.x + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || c >= width) return;
    for (int y = 1; y < blockDim.y; y++) sum += sums[y * blockDim.x + threadIdx.x];
    bool second = c >= f.columns;
    float *out = second ? f.out[1] + g * f.ld[1] + (c - f.columns) : f.out[0] + g * f.ld[0] + c;
    lt_store_or_add(out, sum, f.add);
}

static inline lt_status lt_fold_columns(lt_ctx *ctx, const lt_column_fold *fold) {
    int64_t width = fold->outputs * fold->columns, y = lt_ceil_div(fold->pieces, 4);
    y = y < 1 ? 1 : y > 32 ? 32 : y;
    dim3 block(y < 8 ? 32 * (8 / (unsigned)y) : 32, (unsigned)y);
    int64_t blocks = fold->groups * lt_ceil_div(width, block.x);
    if (blocks == 0) return LT_OK;
    fold_columns<<<(unsigned)blocks, block, 0, lt_cuda_stream(ctx)>>>(*fold);
    return lt_cuda_launched();
}

#endif
