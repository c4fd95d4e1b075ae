/* Inside kernels/glu_depthwise: SiLU and weights for the forward and backward kernels, and elements as forward loads
 * them. */
#ifndef LT_KERNELS_GLU_DEPTHWISE_CUDA_WALK_CUH
#define LT_KERNELS_GLU_DEPTHWISE_CUDA_WALK_CUH

#include "kernels/cuda.cuh"
#include "kernels/glu_depthwise/cuda_cut.h"

/* V elements as they come from memory: a row is asked for long before it is used, so nothing may touch it on
 * arrival. */
template <typename T, int V> struct lt_glu_raw;
template <> struct lt_glu_raw<float, 1> {
    float bits;
    __device__ void unpack(float (&out)[1]) const { out[0] = bits; }
    __device__ void pack(const float (&in)[1]) { bits = in[0]; }
};
template <> struct lt_glu_raw<lt_bf16, 1> {
    unsigned short bits;
    __device__ void unpack(float (&out)[1]) const { out[0] = __uint_as_float((unsigned)bits << 16); }
    __device__ void pack(const float (&in)[1]) { bits = __bfloat16_as_ushort(__float2bfloat16_rn(in[0])); }
};
template <> struct lt_glu_raw<lt_bf16, 2> {
    unsigned bits;
    __device__ void unpack(float (&out)[2]) const {
        out[0] = __uint_as_float(bits << 16), out[1] = __uint_as_float(bits & 0xffff0000u);
    }
    __device__ void pack(const float (&in)[2]) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(in[1]), "f"(in[0]));
    }
};

template <typename T, int V> __device__ __forceinline__ lt_glu_raw<T, V> *lt_glu_at(T *p) {
    return reinterpret_cast<lt_glu_raw<T, V> *>(p);
}

/* In bf16 one approximation of the hardware serves: SiLU(x) = (x + x tanh(x / 2)) / 2 with a tanh good to 2^-11. */
template <typename T> __device__ __forceinline__ float lt_glu_silu(float x);
template <> __device__ __forceinline__ float lt_glu_silu<float>(float x) { return x * lt_sigmoid(x); }
__device__ __forceinline__ float lt_glu_tanh(float x) {
    float tanh;
    asm("tanh.approx.f32 %0, %1;" : "=f"(tanh) : "f"(x));
    return tanh;
}
template <> __device__ __forceinline__ float lt_glu_silu<lt_bf16>(float x) {
    float half = 0.5f * x;
    return fmaf(half, lt_glu_tanh(half), half);
}

/* SiLU of what lies in memory. */
template <typename T, int V>
__device__ __forceinline__ void lt_glu_silu_of(const lt_glu_raw<T, V> &raw, float (&out)[V]) {
    raw.unpack(out);
#pragma unroll
    for (int v = 0; v < V; v++) out[v] = lt_glu_silu<T>(out[v]);
}
/* Two bf16 are halved at once. */
template <>
__device__ __forceinline__ void lt_glu_silu_of<lt_bf16, 2>(const lt_glu_raw<lt_bf16, 2> &raw,
                                                           float (&out)[2]) {
    lt_glu_raw<lt_bf16, 2> half;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" /* mul wants sm_90 */
        : "=r"(half.bits)
        : "r"(raw.bits), "r"(0x3f003f00u), "r"(0x80008000u)); /* 0.5, -0 */
    half.unpack(out);
#pragma unroll
    for (int v = 0; v < 2; v++) out[v] = fmaf(out[v], lt_glu_tanh(out[v]), out[v]);
}

/* SiLU and its derivative. In bf16 the error of tanh comes into the derivative x / 4 fold, below its rounding to bf16
 * up to |x| = 8; where tanh is 1 it vanishes. */
template <typename T> __device__ __forceinline__ float lt_glu_silu(float x, float &slope);
template <> __device__ __forceinline__ float lt_glu_silu<float>(float x, float &slope) {
    float sigmoid = lt_sigmoid(x), y = x * sigmoid;
    slope = fmaf(y, 1 - sigmoid, sigmoid);
    return y;
}
template <> __device__ __forceinline__ float lt_glu_silu<lt_bf16>(float x, float &slope) {
    float half = 0.5f * x, tanh = lt_glu_tanh(half), y = fmaf(half, tanh, half);
    slope = fmaf(y, fmaf(-0.5f, tanh, 0.5f), fmaf(0.5f, tanh, 0.5f));
    return y;
}

/* Taps by [walk][span], and the bias. */
template <int V> struct lt_glu_weights {
    float tap[3][3][V], bias[V];

    __device__ lt_glu_weights(const lt_glu_cut &cut, const float *w, const float *b, int64_t channels,
                              int64_t channel, bool active) {
#pragma unroll
        for (int v = 0; v < V; v++) {
            bias[v] = active ? b[channel + v] : 0;
#pragma unroll
            for (int k = 0; k < 9; k++) {
                int at = k / 3 * cut.walk_taps + k % 3 * cut.span_taps;
                tap[k / 3][k % 3][v] = active ? w[at * channels + channel + v] : 0;
            }
        }
    }
};

/* Of u and of g. */
template <int V> struct lt_glu_weights_pair {
    lt_glu_weights<V> of[2];

    __device__ lt_glu_weights_pair(const lt_glu_cut &cut, const float *w, const float *b, int64_t half,
                                   int64_t channel)
        : of{{cut, w, b, 2 * half, channel, channel < half},
             {cut, w, b, 2 * half, channel + half, channel < half}} {}
};

/* Two channels at a time need halves of even size and aligned operands. */
template <typename T> static bool lt_glu_pairs(int64_t half, const void *const *operands, int count) {
    uintptr_t bits = (uintptr_t)(half % 2) * sizeof(T);
    for (int i = 0; i < count; i++) bits |= (uintptr_t)operands[i];
    return bits % (2 * sizeof(T)) == 0;
}

#endif
