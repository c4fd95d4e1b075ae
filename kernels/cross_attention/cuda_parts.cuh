/* Inside kernels/cross_attention: what the CUDA kernels share. */
#ifndef LT_KERNELS_CROSS_ATTENTION_CUDA_PARTS_CUH
#define LT_KERNELS_CROSS_ATTENTION_CUDA_PARTS_CUH

#include "kernels/cross_attention/cuda_split.h"
#include "kernels/cuda.cuh"
#include "kernels/e4m3.cuh"

/* [groups, tokens, heads, channels] with heads and channels contiguous. */
template <typename T> struct lt_cross_view {
    T *data; /* or NULL */
    int64_t group, token;

    static lt_cross_view of(const lt_tensor &t) { return {(T *)t.data, t.stride[0], t.stride[1]}; }
    __device__ __forceinline__ T *at(int64_t g, int64_t t, int64_t offset) const {
        return data + g * group + t * token + offset;
    }
    /* Whether pieces of `count` channels may move in one access. */
    bool aligned(int count) const {
        uintptr_t bits = (uintptr_t)data | (uintptr_t)(group | token) * sizeof(T);
        return bits % (count * sizeof(T)) == 0;
    }
};

struct lt_cross_dims {
    int64_t G, T, H, B, L;
    int D;
    float scale;
    const float *mask; /* [B, L] or NULL */
};

static inline lt_cross_dims lt_cross_dims_of(const lt_tensor &q, const lt_tensor &k, const lt_tensor &mask,
                                             double scale) {
    return {q.shape[0], q.shape[1],      q.shape[2],   k.shape[0],
            k.shape[1], (int)q.shape[3], (float)scale, (const float *)mask.data};
}

template <typename T> struct lt_cross_forward {
    lt_cross_dims n;
    lt_cross_view<const T> q, k, v;
    lt_cross_view<T> o;
    float *lse;                   /* [G, H, T] or NULL */
    bool wide;                    /* four channels move in one access */
    const float *q_scale;         /* [G, T] or NULL */
    lt_cross_view<uint8_t> codes; /* o in e4m3, or NULL; then also: */
    float *o_scale;               /* [G, T] */
    const unsigned *largest;      /* [B, LT_CROSS_CUDA_PIECES]: bits of magnitudes in v */
};

template <typename T> struct lt_cross_backward {
    lt_cross_dims n;
    lt_cross_split split;
    lt_cross_view<const T> q, k, v, o, dout;
    lt_cross_view<T> dq, dk, dv;
    const float *lse;
    float *delta, *chunks; /* in the workspace; chunks is NULL where there is only one */
    bool accumulate_dq, accumulate_dkv, wide;
};

/* The tensor core versions take some shapes, which these tell, and launch on `stream`. */
bool lt_cross_forward_mma_fits(const lt_cross_forward<lt_bf16> &a);
lt_status lt_cross_forward_mma(const lt_cross_forward<lt_bf16> &a, int multiprocessors, cudaStream_t stream);
/* Hopper's own, of what that fits. */
bool lt_cross_forward_wgmma_fits(const lt_cross_forward<lt_bf16> &a);
lt_status lt_cross_forward_wgmma(const lt_cross_forward<lt_bf16> &a, int multiprocessors,
                                 cudaStream_t stream);
bool lt_cross_backward_mma_fits(const lt_cross_backward<lt_bf16> &a);
/* dq and delta; dk and dv, or their chunks, which need delta. */
lt_status lt_cross_backward_mma_queries(const lt_cross_backward<lt_bf16> &a, int multiprocessors,
                                        cudaStream_t stream);
lt_status lt_cross_backward_mma_text(const lt_cross_backward<lt_bf16> &a, cudaStream_t stream);

#ifdef __CUDACC__

/* The largest of a text's mask, by all lanes of a warp together. */
__device__ __forceinline__ float lt_cross_visible(const lt_cross_dims &n, int64_t text) {
    float visible = -INFINITY;
    if (!n.mask) return visible;
    for (int64_t j = threadIdx.x & 31; j < n.L; j += 32) visible = fmaxf(visible, n.mask[text * n.L + j]);
#    pragma unroll
    for (int lane = 16; lane > 0; lane >>= 1) visible = fmaxf(visible, __shfl_xor_sync(~0u, visible, lane));
    return visible;
}

/* The largest magnitude in a text's values, by all lanes of a warp together. */
template <typename T>
__device__ __forceinline__ float lt_cross_largest(const lt_cross_forward<T> &a, int64_t text) {
    unsigned mine = a.largest[text * LT_CROSS_CUDA_PIECES + (threadIdx.x & 31)];
    return __uint_as_float(__reduce_max_sync(~0u, mine));
}

/* What is added to the scores of key j: less than nothing where it is masked, -infinity behind the last. */
__device__ __forceinline__ float lt_cross_term(const lt_cross_dims &n, int64_t text, int64_t j,
                                               float visible) {
    if (j >= n.L) return -INFINITY;
    return n.mask ? -10000 * (visible - n.mask[text * n.L + j]) : 0;
}

#endif
#endif
