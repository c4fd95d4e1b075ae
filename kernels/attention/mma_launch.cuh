/* Inside kernels/attention: what the launches of the tensor-core path share. */
#ifndef LT_KERNELS_ATTENTION_MMA_LAUNCH_CUH
#define LT_KERNELS_ATTENTION_MMA_LAUNCH_CUH

#include "kernels/attention/mma_tile.cuh"
#include <type_traits>

/* Runs `launch` with the head size as a compile-time constant. */
template <typename F> static inline lt_status lt_mma_by_dim(int64_t dim, F &&launch) {
    switch (dim) {
    case 32: return launch(std::integral_constant<int, 32>());
    case 64: return launch(std::integral_constant<int, 64>());
    case 96: return launch(std::integral_constant<int, 96>());
    case 112: return launch(std::integral_constant<int, 112>());
    case 128: return launch(std::integral_constant<int, 128>());
    default: return lt_fail(LT_FAILED, "heads of %lld channels on tensor cores", (long long)dim);
    }
}

/* From sm_90 on, the kernels of an op overlap: one may start while those ahead of it still run. This is safe, as
 *
 *   - the op's first kernel, which fills the table of angles, is launched plainly: when it starts, all earlier work of
 *     the stream has ended, so any kernel of the op may at any time read the op's operands and write to its workspace,
 *     wherever no other kernel of the op writes or reads;
 *   - the next op's first kernel, or whatever else follows in the stream, is launched plainly as well;
 *   - every thread awaits before it ends: to await the kernel ahead is to await all kernels ahead of it;
 *   - what other kernels of the op write is touched only after lt_mma_await, and the op's results are written only
 *     then.
 *
 * lt_mma_await: until the kernels ahead have ended and what they wrote is visible. lt_mma_let_next_start: once all
 * blocks of threads are there, the next kernel may take what room is left. */
static __device__ __forceinline__ void lt_mma_await() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" : : : "memory");
#endif
}
static __device__ __forceinline__ void lt_mma_let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" : : : "memory");
#endif
}

/* Whether what runs on this device was compiled for it: code for earlier ones would not await. */
static inline bool lt_mma_overlaps(const lt_ctx *ctx) {
#ifdef __CUDA_ARCH_LIST__
    static const int compiled[] = {__CUDA_ARCH_LIST__};
    int capability = lt_cuda_capability(ctx->device);
    for (int arch : compiled)
        if (capability >= 90 && arch == 10 * capability) return true;
#endif
    return false;
}

/* Launches a kernel that awaits the one ahead of it in the stream. Never an op's first. */
template <typename... P, typename... A>
static inline lt_status lt_mma_launch(lt_ctx *ctx, void (*kernel)(P...), dim3 blocks, unsigned threads,
                                      size_t shared, A... arguments) {
    cudaLaunchAttribute overlap = {};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = blocks;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared;
    config.stream = lt_cuda_stream(ctx);
    config.attrs = &overlap;
    config.numAttrs = lt_mma_overlaps(ctx) ? 1 : 0;
    LT_TRY(lt_cuda_check(cudaLaunchKernelEx(&config, kernel, P(arguments)...)));
    return lt_cuda_launched();
}

/* The largest piece of shared memory that one block of threads may have. */
static inline size_t lt_mma_shared_most(const lt_ctx *ctx) {
    int capability = lt_cuda_capability(ctx->device);
    return (capability >= 120                      ? 99
            : capability >= 90                     ? 227
            : capability == 80 || capability == 87 ? 163
                                                   : 99)
           << 10;
}

/* Takes the next `bytes` of a workspace. */
static inline void *lt_mma_take(char **workspace, size_t bytes) {
    void *here = *workspace;
    *workspace += lt_attn_round(bytes);
    return here;
}

/* A contiguous tensor whose 16-byte pieces a kernel may take, and rows of which it may. */
static inline bool lt_mma_aligned(const lt_tensor *x) { return ((uintptr_t)x->data & 15) == 0; }
static inline bool lt_mma_rows_aligned(const lt_tensor *x) {
    return lt_mma_aligned(x) && x->dtype == LT_BF16 && (x->shape[0] == 1 || x->stride[0] % 8 == 0) &&
           x->stride[1] % 8 == 0 && x->stride[1] >= 0 && x->stride[1] < 1 << 25; /* 32 tokens in 32 bits */
}
static inline bool lt_mma_runs_on(const lt_ctx *ctx) {
    return ctx->backend == LT_BACKEND_CUDA && ctx->dtype == LT_BF16 && !ctx->device->generic &&
           lt_cuda_capability(ctx->device) >= 80;
}

/* Fills the angles at the start of the workspace, steps over them, and describes the call's tokens. */
lt_status lt_mma_begin(lt_ctx *ctx, const lt_rope *rope, lt_segment_box box, const lt_attn_shape *shape,
                       int resident, char **workspace, lt_mma_grid *grid);

/* plain[item] = S[item] and transposed[item] = S[item]^T (either may be NULL) in bf16, in the order in which MMAs take
 * it: piece (step, two, lane) holds what lane needs of step `step` for result pairs 2 * two and 2 * two + 1; for wgmma
 * see kernels/wgmma.cuh. */
lt_status lt_mma_order_matrices(lt_ctx *ctx, const float *S, int64_t items, int64_t dim, uint4 *plain,
                                uint4 *transposed);

/* one[item] (+)= the first `one_floats` of each of the item's `count` partial sums, added in order; two[item] the
 * `two_floats` behind them. Both are multiples of 4. */
struct lt_mma_fold_job {
    const float *partial;
    float *one, *two;
    int64_t items;
    int count, one_floats, two_floats;
    bool add;
};
lt_status lt_mma_fold(lt_ctx *ctx, const lt_mma_fold_job *job);

#endif
