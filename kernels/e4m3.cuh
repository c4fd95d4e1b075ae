/* Rounding rows to e4m3 on CUDA: what kernels share that hold a row in packs of 16 bytes, as memory holds it. The
 * arithmetic is that of kernels/e4m3.h. */
#ifndef LT_KERNELS_E4M3_CUH
#define LT_KERNELS_E4M3_CUH

#include "kernels/e4m3.h"
#include "kernels/elementwise/access.cuh"
#include <cuda_fp8.h>

#ifdef __CUDACC__

/* Codes of a pack: eight of bf16, four of float32. */
template <typename T> struct lt_e4m3_codes;
template <> struct lt_e4m3_codes<float> { typedef unsigned type; };
template <> struct lt_e4m3_codes<lt_bf16> { typedef uint2 type; };

/* Magnitudes order like their bits, with NaN above all. */
__device__ __forceinline__ unsigned lt_e4m3_larger(unsigned largest, float value) {
    return max(largest, __float_as_uint(fabsf(value)));
}
template <typename T> __device__ __forceinline__ unsigned lt_e4m3_larger(unsigned largest, const uint4 &raw) {
    float value[lt_pack_of<T>];
    lt_unpack<T>(raw, value);
#    pragma unroll
    for (int i = 0; i < lt_pack_of<T>; i++) largest = lt_e4m3_larger(largest, value[i]);
    return largest;
}

__device__ __forceinline__ uint8_t lt_e4m3_code(float value, float factor) {
    return __nv_cvt_float_to_fp8(value * factor, __NV_SATFINITE, __NV_E4M3);
}
__device__ __forceinline__ unsigned lt_e4m3_two(float first, float second, float factor) {
    return __nv_cvt_float2_to_fp8x2({first * factor, second * factor}, __NV_SATFINITE, __NV_E4M3);
}
template <typename T>
__device__ __forceinline__ typename lt_e4m3_codes<T>::type lt_e4m3_code_pack(const uint4 &raw, float factor) {
    float v[lt_pack_of<T>];
    lt_unpack<T>(raw, v);
    unsigned low = lt_e4m3_two(v[0], v[1], factor) | lt_e4m3_two(v[2], v[3], factor) << 16;
    if constexpr (lt_pack_of<T> == 4) return low;
    else return make_uint2(low, lt_e4m3_two(v[4], v[5], factor) | lt_e4m3_two(v[6], v[7], factor) << 16);
}
template <typename T>
__device__ __forceinline__ void lt_e4m3_store(uint8_t *codes, const uint4 &raw, float factor) {
    *reinterpret_cast<typename lt_e4m3_codes<T>::type *>(codes) = lt_e4m3_code_pack<T>(raw, factor);
}

/* Over a warp, or over the block of at most 32 warps, all there, whose `shared` holds a number of each. In every
 * thread; one barrier, so the next use takes other memory or waits before. */
template <bool WARP>
__device__ __forceinline__ float lt_e4m3_team_largest(unsigned largest, unsigned *shared) {
    largest = __reduce_max_sync(~0u, largest);
    if (WARP) return __uint_as_float(largest);
    unsigned lane = threadIdx.x & 31, warps = blockDim.x >> 5;
    if (lane == 0) shared[threadIdx.x >> 5] = largest;
    __syncthreads();
    return __uint_as_float(__reduce_max_sync(~0u, lane < warps ? shared[lane] : 0u));
}

#endif
#endif
