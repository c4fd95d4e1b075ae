/* Inside kernels/glu_depthwise: what the forward and backward kernels share.
 *
 * A warp holds 16 * V channels of u in its lower lanes and the same channels of g in its upper ones, so that u and g meet by a
 * shuffle; warps divide the span, C positions each. Rows of the walk arrive one by one. SiLU is taken once per element; what
 * a warp needs of the two positions beside its own comes through shared memory.
 */
#ifndef LT_KERNELS_GLU_DEPTHWISE_CUDA_WALK_CUH
#define LT_KERNELS_GLU_DEPTHWISE_CUDA_WALK_CUH

#include "kernels/cuda.cuh"
#include "kernels/glu_depthwise/cuda_cut.h"

/* V elements as they come from memory: a row is asked for long before it is used, so nothing may touch it on arrival. */
template <typename T, int V> struct lt_glu_raw;
template <> struct lt_glu_raw<float, 1> {
    float bits;
    __device__ void unpack(float (&out)[1]) const { out[0] = bits; }
    __device__ void pack(const float (&in)[1]) { bits = in[0]; }
};
template <> struct lt_glu_raw<float, 2> {
    float2 bits;
    __device__ void unpack(float (&out)[2]) const { out[0] = bits.x, out[1] = bits.y; }
    __device__ void pack(const float (&in)[2]) { bits = make_float2(in[0], in[1]); }
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

/* Rows of C positions on their way from memory, three ahead; row r lands in asked[r % 3]. */
template <typename T, int V, int C> struct lt_glu_rows {
    const T *next;
    int64_t walk, span; /* elements between neighbours along the axes */
    int left;           /* rows not asked for */
    lt_glu_raw<T, V> asked[3][C];

    __device__ __forceinline__ void ask(const bool (&there)[C], lt_glu_raw<T, V> (&row)[C]) {
#pragma unroll
        for (int c = 0; c < C; c++) {
            row[c] = {};
            if (there[c] && left > 0) row[c] = *reinterpret_cast<const lt_glu_raw<T, V> *>(next + c * span);
        }
        next += walk;
        left--;
    }
};

/* In bf16 approximations of the hardware serve. SiLU alone takes one, tanh, good to 2^-11: SiLU(x) = (x + x tanh(x / 2)) / 2.
 * Its derivative would multiply that error by x, and takes an exponential and a reciprocal. */
template <typename T> __device__ __forceinline__ float lt_glu_silu(float x);
template <> __device__ __forceinline__ float lt_glu_silu<float>(float x) { return x * lt_sigmoid(x); }
template <> __device__ __forceinline__ float lt_glu_silu<lt_bf16>(float x) {
    float half = 0.5f * x, tanh;
    asm("tanh.approx.f32 %0, %1;" : "=f"(tanh) : "f"(half));
    return fmaf(half, tanh, half);
}

template <typename T> __device__ __forceinline__ float lt_glu_sigmoid(float x);
template <> __device__ __forceinline__ float lt_glu_sigmoid<float>(float x) { return lt_sigmoid(x); }
template <> __device__ __forceinline__ float lt_glu_sigmoid<lt_bf16>(float x) {
    float exponential, sigmoid;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(exponential) : "f"(-1.4426950408889634f * x));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(sigmoid) : "f"(1 + exponential));
    return sigmoid;
}
/* SiLU and its derivative. */
template <typename T> __device__ __forceinline__ float lt_glu_silu(float x, float &slope) {
    float sigmoid = lt_glu_sigmoid<T>(x), y = x * sigmoid;
    slope = fmaf(y, 1 - sigmoid, sigmoid);
    return y;
}

/* What a thread owns: V channels of one half at C positions of the span. */
template <int V, int C> struct lt_glu_place {
    int warp, lane;
    bool gate, active;      /* its half is g; its channels exist */
    int64_t channel;        /* within the half */
    int first;              /* position; may lie in a halo, even outside the frame */
    bool there[C], mine[C]; /* in the frame; for this block to write */

    __device__ lt_glu_place(const lt_glu_cut &cut, int64_t half, int64_t slab, int tile) {
        warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
        gate = lane >= 16;
        channel = (slab * 16 + (lane & 15)) * V;
        active = channel < half;
        first = tile * cut.tile - cut.halo + warp * C;
#pragma unroll
        for (int c = 0; c < C; c++) {
            int at = first + c, own = at - tile * cut.tile;
            there[c] = active && at >= 0 && at < cut.span;
            mine[c] = there[c] && own >= 0 && own < cut.tile;
        }
    }
};

/* The first and last position of each of W warps, for its neighbours. */
template <int V, int W> struct lt_glu_edges { lt_pack<float, V> at[W][2][32]; };

template <int C, int V, int W>
__device__ __forceinline__ void lt_glu_publish(lt_glu_edges<V, W> *edges, const lt_glu_place<V, C> &p,
                                               const float (&x)[C][V]) {
    lt_store_n<V>(edges->at[p.warp][0][p.lane].v, x[0]);
    lt_store_n<V>(edges->at[p.warp][1][p.lane].v, x[C - 1]);
}

/* x with its neighbours: out[0] and out[C + 1] come from the warps beside, and are zero at the ends. */
template <int C, int V, int W>
__device__ __forceinline__ void lt_glu_widen(const lt_glu_edges<V, W> *edges, const lt_glu_place<V, C> &p,
                                             const float (&x)[C][V], float (&out)[C + 2][V]) {
#pragma unroll
    for (int v = 0; v < V; v++) {
        out[0][v] = out[C + 1][v] = 0;
#pragma unroll
        for (int c = 0; c < C; c++) out[c + 1][v] = x[c][v];
    }
    if (p.warp > 0) lt_load_n<V>(edges->at[p.warp - 1][1][p.lane].v, out[0]);
    if (p.warp + 1 < (int)(blockDim.x >> 5)) lt_load_n<V>(edges->at[p.warp + 1][0][p.lane].v, out[C + 1]);
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

/* Row r of SiLU(x), with its neighbours, goes into h of the rows before, at and after it; the last begins here. */
template <int C, int V>
__device__ __forceinline__ void lt_glu_convolve(const lt_glu_weights<V> &w, const float (&x)[C + 2][V],
                                                float (&before)[C][V], float (&here)[C][V],
                                                float (&after)[C][V]) {
#pragma unroll
    for (int c = 0; c < C; c++)
#pragma unroll
        for (int v = 0; v < V; v++) {
            after[c][v] = w.bias[v];
#pragma unroll
            for (int k = 0; k < 3; k++) {
                before[c][v] = fmaf(w.tap[2][k][v], x[c + k][v], before[c][v]);
                here[c][v] = fmaf(w.tap[1][k][v], x[c + k][v], here[c][v]);
                after[c][v] = fmaf(w.tap[0][k][v], x[c + k][v], after[c][v]);
            }
        }
}

/* Two channels at a time need halves of even size and aligned operands. */
template <typename T> static bool lt_glu_pairs(int64_t half, const void *const *operands, int count) {
    uintptr_t bits = (uintptr_t)(half % 2) * sizeof(T);
    for (int i = 0; i < count; i++) bits |= (uintptr_t)operands[i];
    return bits % (2 * sizeof(T)) == 0;
}

#endif
