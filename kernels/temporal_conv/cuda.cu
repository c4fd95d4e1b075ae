#include "kernels/cuda.cuh"
#include "kernels/cuda_e4m3.h"
#include "kernels/temporal_conv/partials.h"
#include "kernels/temporal_conv/temporal_conv.h"

namespace {

/* Three accumulating GEMMs, one per tap, over all frames that have the tap: a view of frames strided over blocks. */
struct conv {
    lt_ctx *ctx;
    void *scratch;                            /* of GEMMs */
    int64_t blocks, frames, pixels, channels; /* G, F, P, C */
};

conv conv_of(lt_ctx *ctx, const lt_tensor &x, void *scratch) {
    return {ctx, scratch, x.shape[0], x.shape[1], x.shape[2], x.shape[3]};
}

/* Rows [P, C] of a tensor from frame `first` of each block on. */
lt_blas_matrix frames_of(const conv &s, const lt_tensor &t, int64_t first) {
    int64_t frame = s.pixels * s.channels;
    char *data = (char *)t.data + first * frame * (int64_t)lt_dtype_size(t.dtype);
    return {data, t.dtype, false, s.channels, s.frames * frame};
}

lt_blas_matrix tails_of(const conv &s, const lt_tensor &t) {
    return {t.data, t.dtype, false, s.channels, s.pixels * s.channels};
}

/* Matrix `tap` of w or dw: output, input. */
lt_blas_matrix tap_of(const conv &s, const lt_tensor &w, int tap) {
    int64_t offset = tap * s.channels * s.channels * (int64_t)lt_dtype_size(w.dtype);
    return {(char *)w.data + offset, w.dtype, false, s.channels, 0};
}

lt_blas_matrix transposed(lt_blas_matrix x) {
    x.transposed = !x.transposed;
    return x;
}

/* d = a w + c over `rows` rows of every block, where w is one matrix for all. */
lt_status through(const conv &s, int64_t rows, const lt_blas_matrix &a, const lt_blas_matrix &w,
                  const lt_blas_matrix &c, const lt_blas_matrix &d) {
    lt_blas_product p = {rows, s.channels, s.channels, s.blocks, a, w, c, d, NULL};
    return lt_blas_run(s.ctx, &p, s.scratch);
}

/* The middle tap does not see blocks: d = a w + c over all frames at once. */
lt_status through_all(const conv &s, const lt_blas_matrix &a, const lt_blas_matrix &w,
                      const lt_blas_matrix &c, const lt_blas_matrix &d) {
    int64_t rows = s.blocks * s.frames * s.pixels;
    lt_blas_product p = {rows, s.channels, s.channels, 1, a, w, c, d, NULL};
    return lt_blas_run(s.ctx, &p, s.scratch);
}

/* ---- gradient of x ----------------------------------------------------------------------------------------------- */

template <typename T, int N>
__global__ void add_into(T *__restrict__ to, const T *__restrict__ from, int64_t count) {
    int64_t step = (int64_t)gridDim.x * blockDim.x * N;
    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; i < count; i += step) {
        float sum[N], value[N];
        lt_load_n<N>(to + i, sum);
        lt_load_n<N>(from + i, value);
#pragma unroll
        for (int j = 0; j < N; j++) sum[j] += value[j];
        lt_store_n<N>(to + i, sum);
    }
}

template <typename T> lt_status add_all(lt_ctx *ctx, const lt_tensor &to, const lt_tensor &from) {
    enum { THREADS = 256 };
    constexpr int WIDE = 16 / sizeof(T);
    T *sum = (T *)to.data;
    const T *added = (const T *)from.data;
    int64_t count = lt_numel(&to);
    bool wide = ((uintptr_t)sum | (uintptr_t)added) % 16 == 0 && count % WIDE == 0;
    if (count == 0) return LT_OK;
    cudaStream_t stream = lt_cuda_stream(ctx);
    if (wide) add_into<T, WIDE><<<lt_grid(count, THREADS * WIDE), THREADS, 0, stream>>>(sum, added, count);
    else add_into<T, 1><<<lt_grid(count, THREADS), THREADS, 0, stream>>>(sum, added, count);
    return lt_cuda_launched();
}

/* dx_f (+)= dy_f + dy_f w_1 + dy_{f+1} w_0 + dy_{f-1} w_2. The library adds one matrix to a GEMM: dy, or what dx held
 * and dy, which are summed first. */
lt_status conv_input_gradient(const conv &s, const lt_temporal_conv_backward_args &a) {
    lt_blas_matrix dy = frames_of(s, a.dy, 0), dx = frames_of(s, a.dx, 0);
    int64_t outer = (s.frames - 1) * s.pixels;
    if (a.accumulate_dx) LT_CUDA_BY_DTYPE(a.dx.dtype, T, LT_TRY(add_all<T>(s.ctx, a.dx, a.dy)));
    LT_TRY(through_all(s, dy, tap_of(s, a.w, 1), a.accumulate_dx ? dx : dy, dx));
    if (outer == 0) return LT_OK;
    LT_TRY(through(s, outer, frames_of(s, a.dy, 1), tap_of(s, a.w, 0), dx, dx));
    lt_blas_matrix later = frames_of(s, a.dx, 1);
    return through(s, outer, dy, tap_of(s, a.w, 2), later, later);
}

/* ---- gradient of w ----------------------------------------------------------------------------------------------- */

/* d = dy^T x, or d += dy^T x, over `rows` rows of `batch` blocks, each with its own d. */
lt_status correlate(const conv &s, int64_t rows, int64_t batch, const lt_blas_matrix &dy,
                    const lt_blas_matrix &x, const lt_blas_matrix &d, bool add) {
    const lt_blas_matrix none = {};
    lt_blas_product p = {s.channels, s.channels, rows, batch, transposed(dy), x, add ? d : none, d, NULL};
    return lt_blas_run(s.ctx, &p, s.scratch);
}

lt_blas_matrix block_of(lt_blas_matrix x, int64_t block) {
    x.data = (char *)x.data + block * x.stride * (int64_t)lt_dtype_size(x.dtype);
    return x;
}

/* What meets at the left tap: the frames before, and at first frames the tail. At the right tap: the frames behind. */
struct meeting {
    int64_t rows;
    lt_blas_matrix dy, x;
};

int meetings_of(const conv &s, const lt_temporal_conv_backward_args &a, int tap, meeting out[2]) {
    int count = 0, left = tap == 0;
    if (s.frames > 1)
        out[count++] = {(s.frames - 1) * s.pixels, frames_of(s, a.dy, left), frames_of(s, a.x, 1 - left)};
    if (left && !lt_is_empty(&a.tail)) out[count++] = {s.pixels, frames_of(s, a.dy, 0), tails_of(s, a.tail)};
    return count;
}

/* dw of an outer tap, block by block. */
lt_status outer_tap(const conv &s, const lt_temporal_conv_backward_args &a, int tap) {
    meeting meets[2];
    lt_blas_matrix dw = tap_of(s, a.dw, tap);
    int count = meetings_of(s, a, tap, meets);
    bool add = a.accumulate_dw;
    for (int64_t block = 0; block < s.blocks; block++)
        for (int i = 0; i < count; i++, add = true)
            LT_TRY(correlate(s, meets[i].rows, 1, block_of(meets[i].dy, block), block_of(meets[i].x, block),
                             dw, add));
    size_t bytes = (size_t)(s.channels * s.channels) * sizeof(float);
    return add ? LT_OK : lt_device_fill(s.ctx->device, s.ctx->stream, dw.data, 0, bytes);
}

/* Tap 2 y of dw (+)= the sum over blocks of part [2, blocks, count], in order; a side that nothing meets at is zero. */
__global__ void fold_blocks(const float *__restrict__ part, int64_t blocks, int64_t count, bool has_left,
                            bool has_right, float *__restrict__ dw, bool add) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, side = blockIdx.y;
    if (i >= count) return;
    float sum = 0;
    if (side == 0 ? has_left : has_right) {
        const float *from = part + side * blocks * count + i;
#pragma unroll 4
        for (int64_t block = 0; block < blocks; block++) sum += from[block * count];
    }
    float *out = dw + 2 * side * count + i;
    *out = add ? *out + sum : sum;
}

/* dw of both outer taps, of `batch` blocks from `first` on, through sums of each block in `part`. */
lt_status add_batch(const conv &s, const lt_temporal_conv_backward_args &a, float *part, int64_t first,
                    int64_t batch, bool add) {
    enum { THREADS = 256 };
    int64_t size = s.channels * s.channels;
    bool has[2];
    for (int side = 0; side < 2; side++) {
        meeting meets[2];
        int count = meetings_of(s, a, 2 * side, meets);
        lt_blas_matrix d = {part + side * batch * size, LT_F32, false, s.channels, size};
        for (int i = 0; i < count; i++)
            LT_TRY(correlate(s, meets[i].rows, batch, block_of(meets[i].dy, first),
                             block_of(meets[i].x, first), d, i > 0));
        has[side] = count > 0;
    }
    dim3 grid((unsigned)lt_ceil_div(size, THREADS), 2);
    fold_blocks<<<grid, THREADS, 0, lt_cuda_stream(s.ctx)>>>(part, batch, size, has[0], has[1],
                                                             (float *)a.dw.data, add);
    return lt_cuda_launched();
}

lt_status outer_taps_batched(const conv &s, const lt_temporal_conv_backward_args &a, float *part) {
    int64_t most = lt_temporal_conv_batch(s.blocks, s.channels);
    for (int64_t first = 0; first < s.blocks; first += most) {
        int64_t batch = s.blocks - first < most ? s.blocks - first : most;
        LT_TRY(add_batch(s, a, part, first, batch, a.accumulate_dw || first > 0));
    }
    return LT_OK;
}

lt_status conv_weight_gradient(const conv &s, const lt_temporal_conv_backward_args &a, float *part) {
    int64_t rows = s.blocks * s.frames * s.pixels;
    LT_TRY(correlate(s, rows, 1, frames_of(s, a.dy, 0), frames_of(s, a.x, 0), tap_of(s, a.dw, 1),
                     a.accumulate_dw));
    if (lt_temporal_conv_batch(s.blocks, s.channels) > 0) return outer_taps_batched(s, a, part);
    LT_TRY(outer_tap(s, a, 0));
    return outer_tap(s, a, 2);
}

} // namespace

namespace {

/* ---- w in e4m3 --------------------------------------------------------------------------------------------------- */

/* Rounded rows from frame `frame` on, counted over all blocks. */
lt_blas_matrix rounded_from(const conv &s, lt_blas_matrix x, int64_t frame) {
    int64_t row = frame * s.pixels;
    x.data = (char *)x.data + row * s.channels, x.scale += row;
    return x;
}

lt_blas_matrix narrow_tap(const conv &s, const lt_temporal_conv_args &a, int tap) {
    lt_blas_matrix w = tap_of(s, a.w, tap);
    w.transposed = true, w.scale = (const float *)a.scale.data + tap * s.channels;
    return w;
}

/* y += x w^T over `frames` frames, or y = x w^T + c. */
lt_status add_tap(const conv &s, int64_t frames, const lt_blas_matrix &x, const lt_blas_matrix &w,
                  const lt_blas_matrix &c, const lt_blas_matrix &y) {
    lt_blas_product p = {frames * s.pixels, s.channels, s.channels, 1, x, w, c, y, NULL};
    return lt_blas_run(s.ctx, &p, s.scratch);
}

/* The outer taps of one block; GEMMs of e4m3 come one at a time. */
lt_status add_outer_taps(const conv &s, const lt_temporal_conv_args &a, const lt_blas_matrix &x,
                         const lt_blas_matrix &tail, int64_t block) {
    int64_t first = block * s.frames;
    lt_blas_matrix y = frames_of(s, a.y, first), later = frames_of(s, a.y, first + 1);
    lt_blas_matrix left = narrow_tap(s, a, 0), right = narrow_tap(s, a, 2);
    if (tail.data) LT_TRY(add_tap(s, 1, rounded_from(s, tail, block), left, y, y));
    if (s.frames == 1) return LT_OK;
    LT_TRY(add_tap(s, s.frames - 1, rounded_from(s, x, first), left, later, later));
    return add_tap(s, s.frames - 1, rounded_from(s, x, first + 1), right, y, y);
}

lt_status narrow_conv(conv s, const lt_temporal_conv_args &a) {
    char *memory = (char *)s.scratch;
    lt_blas_matrix x, tail = {};
    LT_TRY(lt_e4m3_rows(s.ctx, &a.x, memory, &x));
    memory += lt_e4m3_bytes(s.blocks * s.frames * s.pixels, s.channels);
    if (!lt_is_empty(&a.tail)) {
        LT_TRY(lt_e4m3_rows(s.ctx, &a.tail, memory, &tail));
        memory += lt_e4m3_bytes(s.blocks * s.pixels, s.channels);
    }
    s.scratch = memory;
    LT_TRY(
        add_tap(s, s.blocks * s.frames, x, narrow_tap(s, a, 1), frames_of(s, a.x, 0), frames_of(s, a.y, 0)));
    for (int64_t block = 0; block < s.blocks; block++) LT_TRY(add_outer_taps(s, a, x, tail, block));
    return LT_OK;
}

} // namespace

/* y = x + x w_1^T, then what the outer taps bring. */
extern "C" lt_status lt_temporal_conv_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_temporal_conv_args &a = *(const lt_temporal_conv_args *)args;
    if (!lt_is_empty(&a.scale)) return narrow_conv(conv_of(ctx, a.x, workspace), a);
    conv s = conv_of(ctx, a.x, workspace);
    lt_blas_matrix x = frames_of(s, a.x, 0), y = frames_of(s, a.y, 0), later = frames_of(s, a.y, 1);
    lt_blas_matrix left = transposed(tap_of(s, a.w, 0)), right = transposed(tap_of(s, a.w, 2));
    int64_t outer = (s.frames - 1) * s.pixels;
    LT_TRY(through_all(s, x, transposed(tap_of(s, a.w, 1)), x, y));
    if (!lt_is_empty(&a.tail)) LT_TRY(through(s, s.pixels, tails_of(s, a.tail), left, y, y));
    if (outer == 0) return LT_OK;
    LT_TRY(through(s, outer, x, left, later, later));
    return through(s, outer, frames_of(s, a.x, 1), right, y, y);
}

extern "C" lt_status lt_temporal_conv_backward_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    const lt_temporal_conv_backward_args &a = *(const lt_temporal_conv_backward_args *)args;
    conv s = conv_of(ctx, a.x, workspace);
    size_t scratch = lt_blas_workspace(s.blocks * s.frames * s.pixels, s.channels, s.channels, 1, false);
    if (!lt_is_empty(&a.dx)) LT_TRY(conv_input_gradient(s, a));
    if (!lt_is_empty(&a.dtail)) {
        const lt_blas_matrix dtail = tails_of(s, a.dtail), none = {};
        LT_TRY(through(s, s.pixels, frames_of(s, a.dy, 0), tap_of(s, a.w, 0),
                       a.accumulate_dtail ? dtail : none, dtail));
    }
    return lt_is_empty(&a.dw) ? LT_OK : conv_weight_gradient(s, a, (float *)((char *)workspace + scratch));
}
