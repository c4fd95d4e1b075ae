/* Whether a tensor may be read and written 16 bytes at a time. */
#ifndef LT_KERNELS_ELEMENTWISE_ACCESS_CUH
#define LT_KERNELS_ELEMENTWISE_ACCESS_CUH

#include "kernels/cuda.cuh"

/* Elements of T in 16 bytes. */
template <typename T> constexpr int lt_pack_of = 16 / (int)sizeof(T);

/* Rows of `columns` elements, `ld` apart, begin and end at multiples of 16 bytes. True of an absent tensor. */
template <typename T> static inline bool lt_packs(const T *data, int64_t columns, int64_t ld) {
    return (uintptr_t)data % 16 == 0 && columns % lt_pack_of<T> == 0 && ld % lt_pack_of<T> == 0;
}

/* Blocks for `count` items, `each` of them a block; no grid-stride loop. */
static inline unsigned lt_blocks(int64_t count, int each) { return (unsigned)lt_ceil_div(count, each); }

#ifdef __CUDACC__

/* 16 bytes as they lie in memory: what a thread holds of rows that it loads ahead of their use. Four registers, where a
 * pack of eight bf16 would be taken apart into eight. */
template <typename T> __device__ __forceinline__ uint4 lt_load_raw(const void *data, int64_t offset) {
    return *reinterpret_cast<const uint4 *>((const T *)data + offset);
}

template <typename T>
__device__ __forceinline__ void lt_unpack(const uint4 &raw, float (&out)[lt_pack_of<T>]) {
    unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#    pragma unroll
    for (int i = 0; i < 4; i++) {
        if constexpr (sizeof(T) == 2) { /* a bf16 is the upper half of a float */
            out[2 * i] = __uint_as_float(words[i] << 16);
            out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
        } else {
            out[i] = __uint_as_float(words[i]);
        }
    }
}

/* Rounded as lt_store does. */
template <typename T> __device__ __forceinline__ uint4 lt_repack(const float (&in)[lt_pack_of<T>]) {
    unsigned words[4];
#    pragma unroll
    for (int i = 0; i < 4; i++) {
        if constexpr (sizeof(T) == 2)
            asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(words[i]) : "f"(in[2 * i + 1]), "f"(in[2 * i]));
        else words[i] = __float_as_uint(in[i]);
    }
    return make_uint4(words[0], words[1], words[2], words[3]);
}
template <typename T> __device__ __forceinline__ void lt_store_raw(void *data, int64_t offset, uint4 raw) {
    *reinterpret_cast<uint4 *>((T *)data + offset) = raw;
}

#endif
#endif
