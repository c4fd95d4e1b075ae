/* Inside kernels/cross_attention: GEMMs of small tiles in shared memory, for any head size, in float32.
 *
 * 256 threads form a 16 x 16 grid. Tiles are rows of `ld` floats, zero behind the last row and channel. */
#ifndef LT_KERNELS_CROSS_ATTENTION_CUDA_TILE_CUH
#define LT_KERNELS_CROSS_ATTENTION_CUDA_TILE_CUH

#include "kernels/cross_attention/cuda_parts.cuh"

enum { LT_CROSS_THREADS = 256, LT_CROSS_SIDE = 16 };

/* Rows of a tile: channels in fours, an odd number of them so that eight rows meet all banks. */
static inline __host__ __device__ int lt_cross_ld(int D) { return 4 * ((D + 3) / 4 | 1); }

#ifdef __CUDACC__

__device__ __forceinline__ int lt_cross_x() { return threadIdx.x % LT_CROSS_SIDE; }
__device__ __forceinline__ int lt_cross_y() { return threadIdx.x / LT_CROSS_SIDE; }

template <typename T>
__device__ __forceinline__ void lt_cross_fill(const T *from, int64_t stride, int rows, int64_t valid, int D,
                                              bool wide, float *to) {
    int fours = (D + 3) / 4, ld = lt_cross_ld(D);
    for (int i = threadIdx.x; i < rows * fours; i += LT_CROSS_THREADS) {
        int row = i / fours, c = i % fours * 4;
        float x[4] = {};
        const T *p = from + row * stride + c;
        if (row < valid && wide) lt_load_n<4>(p, x);
        else if (row < valid)
#    pragma unroll
            for (int e = 0; e < 4; e++) x[e] = c + e < D ? lt_load(p + e) : 0;
        lt_store_n<4>(to + row * ld + c, x);
    }
}

/* out[i][j] = row y * M + i of a times row x + 16 j of b. */
template <int M, int N>
__device__ __forceinline__ void lt_cross_dots(const float *a, const float *b, int D, float (&out)[M][N]) {
    int ld = lt_cross_ld(D);
    a += lt_cross_y() * M * ld, b += lt_cross_x() * ld;
#    pragma unroll
    for (int i = 0; i < M; i++)
#    pragma unroll
        for (int j = 0; j < N; j++) out[i][j] = 0;
    for (int c = 0; c < D; c += 4) {
        float left[M][4], right[N][4];
#    pragma unroll
        for (int i = 0; i < M; i++) lt_load_n<4>(a + i * ld + c, left[i]);
#    pragma unroll
        for (int j = 0; j < N; j++) lt_load_n<4>(b + j * LT_CROSS_SIDE * ld + c, right[j]);
#    pragma unroll
        for (int i = 0; i < M; i++)
#    pragma unroll
            for (int j = 0; j < N; j++)
#    pragma unroll
                for (int e = 0; e < 4; e++) out[i][j] = fmaf(left[i][e], right[j][e], out[i][j]);
    }
}

/* Puts what a thread has of lt_cross_dots where its half warp, which alone reads it, finds it by rows. */
template <int M, int N> __device__ __forceinline__ void lt_cross_put(const float (&x)[M][N], float *to) {
    constexpr int ld = N * LT_CROSS_SIDE + 4;
#    pragma unroll
    for (int i = 0; i < M; i++)
#    pragma unroll
        for (int j = 0; j < N; j++)
            to[(lt_cross_y() * M + i) * ld + lt_cross_x() + LT_CROSS_SIDE * j] = x[i][j];
}

/* sum[i][n] += row y * M + i of p, which lt_cross_put wrote, times the rows of v: channels 64 n + 4 x and the next
 * three. */
template <int M, int N, int P>
__device__ __forceinline__ void lt_cross_add(const float *p, const float *v, int D, float (&sum)[M][P][4]) {
    constexpr int ld_p = N * LT_CROSS_SIDE + 4;
    int ld = lt_cross_ld(D);
    p += lt_cross_y() * M * ld_p;
#    pragma unroll 2
    for (int j = 0; j < N * LT_CROSS_SIDE; j += 4) {
        float left[M][4];
#    pragma unroll
        for (int i = 0; i < M; i++) lt_load_n<4>(p + i * ld_p + j, left[i]);
#    pragma unroll
        for (int e = 0; e < 4; e++)
#    pragma unroll
            for (int n = 0; n < P; n++) {
                int c = n * 64 + lt_cross_x() * 4;
                if (c >= D) continue;
                float right[4];
                lt_load_n<4>(v + (j + e) * ld + c, right);
#    pragma unroll
                for (int i = 0; i < M; i++)
#    pragma unroll
                    for (int k = 0; k < 4; k++) sum[i][n][k] = fmaf(left[i][e], right[k], sum[i][n][k]);
            }
    }
}

/* Channels of one row as lt_cross_add leaves them, times `scale`. */
template <typename T, int P>
__device__ __forceinline__ void lt_cross_write(const float (&sum)[P][4], float scale, int D, bool accumulate,
                                               T *to) {
#    pragma unroll
    for (int n = 0; n < P; n++)
#    pragma unroll
        for (int k = 0; k < 4; k++) {
            int c = n * 64 + lt_cross_x() * 4 + k;
            if (c < D) lt_store_or_add(to + c, sum[n][k] * scale, accumulate);
        }
}

/* The same in e4m3, rounded to T first. */
template <typename T, int P>
__device__ __forceinline__ void lt_cross_write_codes(const float (&sum)[P][4], float scale, float factor,
                                                     int D, uint8_t *to) {
#    pragma unroll
    for (int n = 0; n < P; n++)
#    pragma unroll
        for (int k = 0; k < 4; k++) {
            int c = n * 64 + lt_cross_x() * 4 + k;
            T value;
            lt_store(&value, sum[n][k] * scale);
            if (c < D) to[c] = lt_e4m3_code(lt_load(&value), factor);
        }
}

/* Over the 16 threads that share rows. */
__device__ __forceinline__ float lt_cross_row_sum(float v) {
#    pragma unroll
    for (int lane = LT_CROSS_SIDE / 2; lane > 0; lane >>= 1) v += __shfl_xor_sync(~0u, v, lane);
    return v;
}
__device__ __forceinline__ float lt_cross_row_max(float v) {
#    pragma unroll
    for (int lane = LT_CROSS_SIDE / 2; lane > 0; lane >>= 1) v = fmaxf(v, __shfl_xor_sync(~0u, v, lane));
    return v;
}

#endif
#endif
