/* A thread per cell, which stays in registers. Bounded by the bytes that are moved. */
#include "kernels/cuda.cuh"
#include "kernels/haar3d/cell.cuh"

namespace {

enum { THREADS = 64 };

/* Cells [frames, height, width] of a video of `height` x `width` cells per frame. */
struct grid {
    int64_t cells, height, width;
    __device__ int64_t row() const { return LT_HAAR3D_H * width * LT_HAAR3D_W * 3; } /* bytes of 4 rows */
    __device__ int64_t frame() const { return row() * height; }                      /* bytes of a frame */
    __device__ int64_t first_byte(int64_t cell) const {
        int64_t column = cell % width, line = cell / width % height, time = cell / width / height;
        return time * LT_HAAR3D_T * frame() + line * row() + column * LT_HAAR3D_W * 3;
    }
};

template <bool FULL>
__global__ void __launch_bounds__(THREADS)
    haar3d_encode(const uint8_t *__restrict__ rgb, float *__restrict__ latents, grid g) {
    const int channels = FULL ? LT_HAAR3D_CELL : LT_HAAR3D_KEPT;
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < g.cells; i += step) {
        float cell[LT_HAAR3D_CELL];
        lt_cell_load(rgb + g.first_byte(i), g.frame(), g.width * LT_HAAR3D_W * 3, cell);
        lt_cell_forward(cell);
        lt_cell_select(cell, FULL, latents + i * channels);
    }
}

template <bool FULL>
__global__ void __launch_bounds__(THREADS)
    haar3d_decode(const float *__restrict__ latents, uint8_t *__restrict__ rgb, grid g) {
    const int channels = FULL ? LT_HAAR3D_CELL : LT_HAAR3D_KEPT;
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < g.cells; i += step) {
        float cell[LT_HAAR3D_CELL];
        lt_cell_spread(latents + i * channels, FULL, cell);
        lt_cell_inverse(cell);
        lt_cell_store(cell, g.frame(), g.width * LT_HAAR3D_W * 3, rgb + g.first_byte(i));
    }
}

template <bool FULL> void launch(const lt_haar3d_args *a, grid g, cudaStream_t stream) {
    float *latents = (float *)a->latents.data;
    uint8_t *rgb = (uint8_t *)a->rgb.data;
    unsigned blocks = lt_grid(g.cells, THREADS);
    if (a->inverse) haar3d_decode<FULL><<<blocks, THREADS, 0, stream>>>(latents, rgb, g);
    else haar3d_encode<FULL><<<blocks, THREADS, 0, stream>>>(rgb, latents, g);
}

} // namespace

extern "C" lt_status lt_haar3d_cuda(lt_ctx *ctx, const void *args, void *workspace) {
    (void)workspace;
    const lt_haar3d_args *a = (const lt_haar3d_args *)args;
    const int64_t *s = a->latents.shape;
    grid g = {s[0] * s[1] * s[2], s[1], s[2]};
    if (g.cells == 0) return LT_OK;
    if (s[3] == LT_HAAR3D_CELL) launch<true>(a, g, lt_cuda_stream(ctx));
    else launch<false>(a, g, lt_cuda_stream(ctx));
    return lt_cuda_launched();
}
