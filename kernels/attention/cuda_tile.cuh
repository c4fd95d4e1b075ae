/* Inside kernels/attention: the generic CUDA kernels' tiles and operands. They serve float32 and bf16, any even number
 * of channels up to 256, any strides; GEMMs run on the ordinary float32 units.
 *
 * 256 threads stand as 16 x 16, (ty, tx), over a tile; each owns M consecutive channels of 16 * M along tx. M is 2, 4
 * or 8 for heads of up to 32, 64 or 128 channels; wider heads take two such parts.
 */
#ifndef LT_KERNELS_ATTENTION_CUDA_TILE_CUH
#define LT_KERNELS_ATTENTION_CUDA_TILE_CUH

#include "kernels/attention/cuda_rope.cuh"

enum { LT_ATTN_THREADS = 256 };

/* A kernel argument: [G, T, H, D] with [H, D] contiguous. `wide`: four channels may be moved at once. */
template <typename T> struct lt_attn_tokens {
    T *data;
    int64_t block, token; /* strides in elements */
    bool wide;
};

static inline bool lt_attn_wide(const void *data, int64_t dim, size_t element) {
    return dim % 4 == 0 && (uintptr_t)data % (4 * element) == 0;
}

template <typename T> static lt_attn_tokens<T> lt_attn_tokens_of(const lt_tensor *t) {
    bool strides = (t->shape[0] == 1 || t->stride[0] % 4 == 0) && (t->shape[1] == 1 || t->stride[1] % 4 == 0);
    lt_attn_tokens<T> tokens = {(T *)t->data, t->stride[0], t->stride[1],
                                strides && lt_attn_wide(t->data, t->shape[3], sizeof(T))};
    return tokens;
}

/* STATEMENT with M and PARTS as constants for heads of `dim` channels. */
#define LT_ATTN_BY_DIM(dim, M, PARTS, ...)                                                                   \
    do {                                                                                                     \
        if ((dim) <= 32) {                                                                                   \
            constexpr int M = 2, PARTS = 1;                                                                  \
            __VA_ARGS__;                                                                                     \
        } else if ((dim) <= 64) {                                                                            \
            constexpr int M = 4, PARTS = 1;                                                                  \
            __VA_ARGS__;                                                                                     \
        } else if ((dim) <= LT_ATTN_CUDA_PART) {                                                             \
            constexpr int M = 8, PARTS = 1;                                                                  \
            __VA_ARGS__;                                                                                     \
        } else {                                                                                             \
            constexpr int M = 8, PARTS = 2;                                                                  \
            __VA_ARGS__;                                                                                     \
        }                                                                                                    \
    } while (0)

#ifdef __CUDACC__

/* N consecutive values of `left` remaining ones, zeros behind them; as they are stored. */
template <int N, typename T>
__device__ __forceinline__ lt_pack<T, N> lt_attn_fetch(const T *p, int left, bool wide) {
    lt_pack<T, N> pack;
    if (wide && left >= N) return *reinterpret_cast<const lt_pack<T, N> *>(p);
#    pragma unroll
    for (int i = 0; i < N; i++) {
        if (i < left) pack.v[i] = p[i];
        else lt_store(&pack.v[i], 0.0f);
    }
    return pack;
}

/* Four floats to shared memory in one access, which the compiler splits where it does not see the alignment. */
__device__ __forceinline__ void lt_attn_store_quad(float *p, const float (&x)[4]) {
    unsigned at = (unsigned)__cvta_generic_to_shared(p);
    asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(at), "f"(x[0]), "f"(x[1]), "f"(x[2]),
                 "f"(x[3])
                 : "memory");
}

/* Writes or adds N consecutive values, of which `left` exist. */
template <int N, typename T>
__device__ __forceinline__ void lt_attn_put(T *p, const float *values, int left, bool wide, bool add) {
    float x[N];
#    pragma unroll
    for (int i = 0; i < N; i++) x[i] = values[i];
    if (wide && left >= N) {
        if (add) {
            float before[N];
            lt_load_n<N>(p, before);
#    pragma unroll
            for (int i = 0; i < N; i++) x[i] += before[i];
        }
        lt_store_n<N>(p, x);
        return;
    }
#    pragma unroll
    for (int i = 0; i < N; i++)
        if (i < left) lt_store_or_add(p + i, x[i], add);
}

/* Four channels at once need M >= 4. */
template <int M> constexpr int lt_attn_width = M < 4 ? M : 4;

/* A thread's M channels of a row of a tensor, `left` of which exist. */
template <int M, typename T>
__device__ __forceinline__ void lt_attn_put_all(T *p, const float (&values)[M], int left, bool wide,
                                                bool add) {
    constexpr int N = lt_attn_width<M>;
#    pragma unroll
    for (int i = 0; i < M; i += N) lt_attn_put<N>(p + i, values + i, left - i, wide, add);
}

/* Where quad q (channels 4q .. 4q + 3) lies in a row of 16 * M floats in shared memory: for M = 8 even quads come
 * first, so that the 16 threads that each read their 8 channels as two quads meet no bank twice. */
template <int M> __device__ __forceinline__ int lt_attn_quad(int q) {
    return M == 8 ? 4 * ((q & 1) * 16 + (q >> 1)) : 4 * q;
}
template <int M> __device__ __forceinline__ int lt_attn_place(int channel) {
    return lt_attn_quad<M>(channel >> 2) + (channel & 3);
}

/* The M channels of thread tx (or ty) from such a row. */
template <int M> __device__ __forceinline__ void lt_attn_take(const float *row, int t, float (&out)[M]) {
    constexpr int N = lt_attn_width<M>;
#    pragma unroll
    for (int i = 0; i < M / N; i++) {
        float part[N];
        lt_load_n<N>(row + i * 64 + t * N, part);
#    pragma unroll
        for (int j = 0; j < N; j++) out[i * N + j] = part[j];
    }
}

#endif
#endif
