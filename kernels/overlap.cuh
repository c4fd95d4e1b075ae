/* Kernels of one op that overlap: programmatic dependent launch. */
#ifndef LT_KERNELS_OVERLAP_CUH
#define LT_KERNELS_OVERLAP_CUH

#include "kernels/cuda.cuh"

/* From sm_90 on, the kernels of an op overlap: one may start while those ahead of it still run. This is safe, as
 *
 *   - the op's first kernel is launched plainly: when it starts, all earlier work of the stream has ended, so any kernel of the op
 *     may at any time read the op's operands and write to its workspace, wherever no other kernel of the op writes or reads;
 *   - the next op's first kernel, or whatever else follows in the stream, is launched plainly as well;
 *   - every thread awaits before it ends: to await the kernel ahead is to await all kernels ahead of it;
 *   - what other kernels of the op write is touched only after lt_overlap_await, and the op's results are written only then.
 *
 * lt_overlap_await: until the kernels ahead have ended and what they wrote is visible. lt_overlap_let_next_start: once all blocks of
 * threads are there, the next kernel may take what room is left. */
static __device__ __forceinline__ void lt_overlap_await() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" : : : "memory");
#endif
}
static __device__ __forceinline__ void lt_overlap_let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" : : : "memory");
#endif
}

/* Whether what runs on this device was compiled for it: code for earlier ones would not await. */
static inline bool lt_overlaps(const lt_ctx *ctx) {
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
static inline lt_status lt_overlap_launch(lt_ctx *ctx, void (*kernel)(P...), dim3 blocks, unsigned threads,
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
    config.numAttrs = lt_overlaps(ctx) ? 1 : 0;
    LT_TRY(lt_cuda_check(cudaLaunchKernelEx(&config, kernel, P(arguments)...)));
    return lt_cuda_launched();
}

#endif
