/* Inside kernels/glu_depthwise: how rows come from memory to a warp of the backward kernel, and go back.
 *
 * A warp has the rows that it needs next copied to shared memory of its own, so that they wait there and not in
 * registers. Lines of 32 channels are copied in pieces of 16 bytes: a piece each, the lanes of a warp carry several
 * lines at once. Widths that do not divide into such pieces go element by element, through registers. */
#ifndef LT_KERNELS_GLU_DEPTHWISE_CUDA_ROWS_CUH
#define LT_KERNELS_GLU_DEPTHWISE_CUDA_ROWS_CUH

#include "kernels/glu_depthwise/cuda_walk.cuh"

/* What arrives with a step, zero outside the frame: of u and g, with two positions beside the C of the warp on either
 * side, and dL/dy of the row before, with one. */
template <typename T, int C> struct alignas(16) lt_glu_arrived { T x[C + 4][2][32], dy[C + 2][32]; };

/* The lanes of a warp over lines of 32 elements. A lane's lines lie LINES apart. */
template <typename T, bool whole> struct lt_glu_lanes {
    enum { PIECE = whole ? 16 / (int)sizeof(T) : 1, LINES = PIECE };
    int line, at; /* of its first piece: the line, the element in it */

    __device__ __forceinline__ lt_glu_lanes(int lane)
        : line(lane / (32 / PIECE)), at(lane % (32 / PIECE) * PIECE) {}
    static __host__ __device__ constexpr int turns(int lines) { return (lines + LINES - 1) / LINES; }
    __device__ __forceinline__ int offset() const { return line * 32 + at; } /* in shared memory */
};

/* Zeros where the source is not `there`. */
template <typename T, bool whole>
__device__ __forceinline__ void lt_glu_copy(T *to, const T *from, unsigned there) {
    if (whole) {
        asm volatile(
            "{ .reg .pred p; setp.eq.u32 p, %2, 0; cp.async.cg.shared.global [%0], [%1], 16, p; }" ::"r"(
                (unsigned)__cvta_generic_to_shared(to)),
            "l"(from), "r"(there)
            : "memory");
    } else {
        *to = T(0.0f);
        if (there) *to = *from;
    }
}
__device__ __forceinline__ void lt_glu_copies_end_group() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* Until at most N groups of this warp's copies are under way, and their bytes can be seen. */
template <int N> __device__ __forceinline__ void lt_glu_copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
    __syncwarp();
}

/* Bytes between neighbours: constants of the kernel, so that an address takes no more than an addition. */
struct lt_glu_strides {
    int64_t near, far; /* in x and dx, from a lane's line to its next: from even and from odd turns */
    int64_t beside;    /* likewise in dy */
    int64_t walk;      /* of dy; of x, twice that */
    int64_t walk_x;

    template <typename T, bool whole> static lt_glu_strides of(const lt_glu_cut &cut, int64_t half) {
        constexpr int64_t lines = lt_glu_lanes<T, whole>::LINES, size = sizeof(T);
        lt_glu_strides s;
        s.near = size * (lines > 1 ? lines * cut.span_step : half); /* two lines are one position of x */
        s.far = size * (lines > 1 ? lines * cut.span_step : 2 * cut.span_step - half);
        s.beside = size * lines * cut.span_step;
        s.walk = size * cut.walk_step, s.walk_x = 2 * s.walk;
        return s;
    }
};
template <typename T> __device__ __forceinline__ T *lt_glu_after(T *p, int64_t bytes) {
    return (T *)((char *)p + bytes);
}

/* A lane's pieces of the rows of one frame, copied one row after the other. */
template <typename T, int C, bool whole> struct lt_glu_feed {
    typedef lt_glu_lanes<T, whole> lanes_of;
    enum { LINES = lanes_of::LINES, X = lanes_of::turns(2 * (C + 4)), DY = lanes_of::turns(C + 2) };
    const lt_glu_strides &by;
    const T *x, *dy; /* of the next row and the one before */
    int line, offset;
    unsigned there; /* bits: pieces of x, then of dy, in the frame */

    /* `at`: of the warp's first position in dy and its first channel. */
    __device__ __forceinline__ lt_glu_feed(const lt_glu_cut &cut, const lt_glu_strides &strides, int64_t half,
                                           const T *all_x, const T *all_dy, int64_t at, int first,
                                           int64_t channel, int lane)
        : by(strides) {
        lanes_of lanes(lane);
        line = lanes.line, offset = lanes.offset();
        x = all_x + 2 * at + (line / 2 - 2) * 2 * cut.span_step + line % 2 * half + channel + lanes.at;
        dy = all_dy + at + (line - 1) * cut.span_step - cut.walk_step + channel + lanes.at;
        there = 0;
        if (channel + lanes.at >= half) return;
#pragma unroll
        for (int i = 0; i < X + DY; i++) {
            int position = first + (i < X ? (line + i * LINES) / 2 - 2 : line + (i - X) * LINES - 1);
            there |= (unsigned)(position >= 0 && position < cut.span) << i;
        }
    }

    /* Row r of x, out of `rows`. */
    __device__ __forceinline__ void row(lt_glu_arrived<T, C> &to, int r, int rows) {
        unsigned wanted = (r < rows ? (1u << X) - 1 : 0) | (r > 0 && r <= rows ? ~0u << X : 0);
        wanted &= there;
        const T *from = x;
#pragma unroll
        for (int i = 0; i < X; i++) {
            constexpr int lines = 2 * (C + 4);
            if ((i + 1) * LINES <= lines || line + i * LINES < lines)
                lt_glu_copy<T, whole>(&to.x[0][0][0] + i * LINES * 32 + offset, from, wanted & 1u << i);
            from = lt_glu_after(from, i % 2 ? by.far : by.near);
        }
        from = dy;
#pragma unroll
        for (int i = 0; i < DY; i++) {
            if ((i + 1) * LINES <= C + 2 || line + i * LINES < C + 2)
                lt_glu_copy<T, whole>(&to.dy[0][0] + i * LINES * 32 + offset, from, wanted & 1u << (X + i));
            from = lt_glu_after(from, by.beside);
        }
        lt_glu_copies_end_group();
        x = lt_glu_after(x, by.walk_x), dy = lt_glu_after(dy, by.walk);
    }
};

template <typename T, int N>
__device__ __forceinline__ void lt_glu_add(lt_pack<T, N> *to, lt_pack<T, N> more) {
    lt_pack<T, N> sum = *to;
#pragma unroll
    for (int k = 0; k < N; k++) lt_store(sum.v + k, lt_load(sum.v + k) + lt_load(more.v + k));
    *to = sum;
}

/* A lane's pieces of dx, likewise. */
template <typename T, int C, bool whole> struct lt_glu_drain {
    typedef lt_glu_lanes<T, whole> lanes_of;
    enum { PIECE = lanes_of::PIECE, LINES = lanes_of::LINES, TURNS = lanes_of::turns(2 * C) };
    typedef lt_pack<T, PIECE> piece;
    const lt_glu_strides &by;
    T *dx; /* of the row to write next, or NULL */
    int offset;
    unsigned there;

    __device__ __forceinline__ lt_glu_drain(const lt_glu_cut &cut, const lt_glu_strides &strides,
                                            int64_t half, T *all, int64_t at, int first, int64_t channel,
                                            int lane)
        : by(strides) {
        lanes_of lanes(lane);
        offset = lanes.offset();
        dx = all + 2 * at + lanes.line / 2 * 2 * cut.span_step + lanes.line % 2 * half + channel + lanes.at;
        there = 0;
        if (!all || channel + lanes.at >= half) return;
#pragma unroll
        for (int i = 0; i < TURNS; i++) {
            int line = lanes.line + i * LINES;
            there |= (unsigned)(line < 2 * C && first + line / 2 < cut.span) << i;
        }
    }

    __device__ __forceinline__ void row(const T (&from)[C][2][32], bool add) {
        T *at = dx;
#pragma unroll
        for (int i = 0; i < TURNS; i++) {
            if (there >> i & 1) {
                piece *to = reinterpret_cast<piece *>(at);
                const piece *out = reinterpret_cast<const piece *>(&from[0][0][0] + i * LINES * 32 + offset);
                if (add) lt_glu_add(to, *out);
                else *to = *out;
            }
            at = lt_glu_after(at, i % 2 ? by.far : by.near);
        }
        dx = lt_glu_after(dx, by.walk_x);
    }
};

#endif
