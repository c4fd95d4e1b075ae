/* What CUDA kernels share: loads and stores of activations by dtype, sums over a warp and a block, launching.
 *
 * A kernel is a template over the dtype T of its activations (float or __nv_bfloat16) and computes in float. Sums run
 * over fixed chunks in a fixed order: no atomics, so two runs give the same bits. Work that a launch cannot hold in one
 * grid dimension loops over it (grid-stride); offsets are 64-bit.
 */
#ifndef LT_KERNELS_CUDA_CUH
#define LT_KERNELS_CUDA_CUH

#include "core/device_cuda.h"
#include "kernels/op.h"
#include <cuda_bf16.h>
#include <cuda_runtime.h>

typedef __nv_bfloat16 lt_bf16;

static inline cudaStream_t lt_cuda_stream(const lt_ctx *ctx) { return (cudaStream_t)ctx->stream; }

/* After each launch; names nothing: the launcher adds the op. */
static inline lt_status lt_cuda_check(cudaError_t error) {
    if (error == cudaSuccess) return LT_OK;
    return lt_fail(LT_FAILED, "CUDA: %s (%s)", cudaGetErrorString(error), cudaGetErrorName(error));
}
static inline lt_status lt_cuda_launched(void) { return lt_cuda_check(cudaGetLastError()); }

/* Before launching a kernel with `bytes` of dynamic shared memory: more than 48 KiB must be asked for. GPUs give a
 * block of threads 99 KiB (sm_86, sm_89, sm_120), 163 (sm_80) or 227 (sm_90). */
template <typename Kernel> static inline lt_status lt_cuda_allow(Kernel *kernel, size_t bytes) {
    if (bytes <= 48 << 10) return LT_OK;
    cudaError_t error =
        cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    if (error != cudaErrorInvalidValue) return lt_cuda_check(error);
    (void)cudaGetLastError(); /* a refusal leaves the device as it was */
    return lt_fail(
        LT_UNAVAILABLE,
        "operands of these sizes need %zu KiB of shared memory a block of threads, more than this GPU "
        "has; use smaller heads, or --device cpu",
        (bytes + 1023) >> 10);
}

/* Runs STATEMENT with T an alias of the C++ type of `dtype`, which is LT_F32 or LT_BF16. */
#define LT_CUDA_BY_DTYPE(dtype, T, ...)                                                                      \
    do {                                                                                                     \
        if ((dtype) == LT_BF16) {                                                                            \
            typedef lt_bf16 T;                                                                               \
            __VA_ARGS__;                                                                                     \
        } else {                                                                                             \
            typedef float T;                                                                                 \
            __VA_ARGS__;                                                                                     \
        }                                                                                                    \
    } while (0)

static inline int64_t lt_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Blocks for a grid-stride loop over `count` items, `each` of them a block. */
static inline unsigned lt_grid(int64_t count, int each) {
    int64_t blocks = lt_ceil_div(count, each);
    return (unsigned)(blocks < 1 ? 1 : blocks > (1 << 20) ? (1 << 20) : blocks);
}

#ifdef __CUDACC__

__device__ __forceinline__ float lt_load(const float *p) { return *p; }
__device__ __forceinline__ float lt_load(const lt_bf16 *p) { return __bfloat162float(*p); }
__device__ __forceinline__ void lt_store(float *p, float v) { *p = v; }
__device__ __forceinline__ void lt_store(lt_bf16 *p, float v) { *p = __float2bfloat16_rn(v); }
template <typename T> __device__ __forceinline__ void lt_store_or_add(T *p, float v, bool add) {
    lt_store(p, add ? lt_load(p) + v : v);
}

/* N consecutive elements in one access of N * sizeof(T) bytes (at most 16), which must be aligned to that. */
template <typename T, int N> struct alignas(N * sizeof(T)) lt_pack { T v[N]; };
template <int N, typename T> __device__ __forceinline__ void lt_load_n(const T *p, float (&out)[N]) {
    lt_pack<T, N> pack = *reinterpret_cast<const lt_pack<T, N> *>(p);
#    pragma unroll
    for (int i = 0; i < N; i++) out[i] = lt_load(&pack.v[i]);
}
template <int N, typename T> __device__ __forceinline__ void lt_store_n(T *p, const float (&in)[N]) {
    lt_pack<T, N> pack;
#    pragma unroll
    for (int i = 0; i < N; i++) lt_store(&pack.v[i], in[i]);
    *reinterpret_cast<lt_pack<T, N> *>(p) = pack;
}

__device__ __forceinline__ float lt_warp_sum(float v) {
#    pragma unroll
    for (int mask = 16; mask > 0; mask >>= 1) v += __shfl_xor_sync(~0u, v, mask);
    return v;
}
__device__ __forceinline__ double lt_warp_sum(double v) {
#    pragma unroll
    for (int mask = 16; mask > 0; mask >>= 1) v += __shfl_xor_sync(~0u, v, mask);
    return v;
}

/* The sum over all threads of a block whose size is a multiple of 32, in every thread; `shared` holds 32 values. */
template <typename V> __device__ __forceinline__ V lt_block_sum(V v, V *shared) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    v = lt_warp_sum(v);
    __syncthreads();
    if (lane == 0) shared[warp] = v;
    __syncthreads();
    v = lane < warps ? shared[lane] : V(0);
    return lt_warp_sum(v);
}

__device__ __forceinline__ float lt_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

#endif
#endif
