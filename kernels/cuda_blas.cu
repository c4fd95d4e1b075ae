#include "kernels/cuda_blas.h"

#include "core/log.h"
#include "kernels/choices.h"
#include "kernels/cuda.cuh"
#include "kernels/cuda_fastest.h"

#include <cublasLt.h>
#include <cuda_fp8.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- the plain kernel -------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ float lt_load(const __nv_fp8_e4m3 *p) { return float(*p); }

namespace {

/* Element (i, j) of matrix g lies at g * stride + i * row + j * column. */
struct view {
    void *data;
    int64_t row, column, stride;
};

struct plain_product {
    int64_t m, n, k, batch;
    view a, b, c, d;
    const float *bias, *row_scale, *column_scale; /* [n], [m], [n], or NULL */
};

enum { TILE = 32, THREAD_ROWS = 8, PER_THREAD = TILE / THREAD_ROWS };

/* tile[i][j] = element (first_row + i, first_column + j), zero outside the matrix. Neighbouring threads read
 * neighbours. */
template <typename T>
__device__ __forceinline__ void load_tile(float (&tile)[TILE][TILE + 1], const view &v, int64_t g,
                                          int64_t first_row, int64_t first_column, int64_t rows,
                                          int64_t columns) {
    const T *from = (const T *)v.data + g * v.stride;
    bool along_row = v.column == 1;
#pragma unroll
    for (int step = threadIdx.y; step < TILE; step += THREAD_ROWS) {
        int i = along_row ? step : threadIdx.x, j = along_row ? threadIdx.x : step;
        int64_t row = first_row + i, column = first_column + j;
        bool inside = row < rows && column < columns;
        tile[i][j] = inside ? lt_load(from + row * v.row + column * v.column) : 0.0f;
    }
}

template <typename Out>
__device__ __forceinline__ void store_sums(const plain_product &p, int64_t g, int64_t first_row,
                                           int64_t column, const float (&sum)[PER_THREAD]) {
    if (column >= p.n) return;
    float bias = p.bias ? p.bias[column] : 0.0f, scale = p.column_scale ? p.column_scale[column] : 1.0f;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) {
        int64_t row = first_row + threadIdx.y + i * THREAD_ROWS;
        if (row >= p.m) return;
        const Out *c = (const Out *)p.c.data;
        float added = c ? lt_load(c + g * p.c.stride + row * p.c.row + column) : 0.0f;
        float value = p.row_scale ? sum[i] * (p.row_scale[row] * scale) : sum[i];
        lt_store((Out *)p.d.data + g * p.d.stride + row * p.d.row + column, value + bias + added);
    }
}

/* A block computes tiles of 32 x 32 outputs; k is walked in order, so sums have one order. */
template <typename In, typename Out>
__global__ void __launch_bounds__(TILE *THREAD_ROWS) plain_kernel(plain_product p) {
    __shared__ float a[TILE][TILE + 1], b[TILE][TILE + 1];
    int64_t across = (p.n + TILE - 1) / TILE, tiles = across * ((p.m + TILE - 1) / TILE);
    for (int64_t at = blockIdx.x; at < tiles * p.batch; at += gridDim.x) {
        int64_t g = at / tiles, first_row = at % tiles / across * TILE;
        int64_t first_column = at % tiles % across * TILE;
        float sum[PER_THREAD] = {};
        for (int64_t k = 0; k < p.k; k += TILE) {
            load_tile<In>(a, p.a, g, first_row, k, p.m, p.k);
            load_tile<In>(b, p.b, g, k, first_column, p.k, p.n);
            __syncthreads();
#pragma unroll
            for (int j = 0; j < TILE; j++)
#pragma unroll
                for (int i = 0; i < PER_THREAD; i++)
                    sum[i] += a[threadIdx.y + i * THREAD_ROWS][j] * b[j][threadIdx.x];
            __syncthreads(); /* the next tiles overwrite these */
        }
        store_sums<Out>(p, g, first_row, first_column + threadIdx.x, sum);
    }
}

view view_of(const lt_blas_matrix &x) {
    return x.transposed ? view{x.data, 1, x.ld, x.stride} : view{x.data, x.ld, 1, x.stride};
}

lt_status run_plain(const lt_ctx *ctx, const lt_blas_product *q) {
    plain_product p = {q->m,          q->n,          q->k,    q->batch,   view_of(q->a), view_of(q->b),
                       view_of(q->c), view_of(q->d), q->bias, q->a.scale, q->b.scale};
    int64_t tiles = lt_ceil_div(p.m, TILE) * lt_ceil_div(p.n, TILE) * p.batch;
    dim3 block(TILE, THREAD_ROWS);
    cudaStream_t stream = lt_cuda_stream(ctx);
    bool narrow = q->a.dtype == LT_E4M3, single = q->d.dtype == LT_F32;
    if (narrow && single) plain_kernel<__nv_fp8_e4m3, float><<<lt_grid(tiles, 1), block, 0, stream>>>(p);
    else if (narrow) plain_kernel<__nv_fp8_e4m3, lt_bf16><<<lt_grid(tiles, 1), block, 0, stream>>>(p);
    else if (q->a.dtype == LT_F32) plain_kernel<float, float><<<lt_grid(tiles, 1), block, 0, stream>>>(p);
    else if (q->d.dtype == LT_F32) plain_kernel<lt_bf16, float><<<lt_grid(tiles, 1), block, 0, stream>>>(p);
    else plain_kernel<lt_bf16, lt_bf16><<<lt_grid(tiles, 1), block, 0, stream>>>(p);
    return lt_cuda_launched();
}

/* ---- plans: how cuBLASLt runs a GEMM --------------------------------------------------------------------------- */

/* Everything that the choice depends on. The same key on the same GPU gets the same algorithm, so results repeat. */
struct plan_key {
    int64_t value[LT_CHOICE_KEY];
};
enum { KEY_ROWS = 0, KEY_FLAGS = 12, FLAG_ADDS = 1 };

enum plan_kind {
    PLAN_PLAIN,
    PLAN_DIRECT,
    PLAN_STAGED_BIAS,
    PLAN_UNSCALED /* e4m3 whose rows the library does not scale: run_unscaled */
};

/* cuBLASLt counts by columns, so it sees every stored matrix transposed and computes d^T = b^T a^T: our b comes
 * first. */
struct plan {
    plan_key key;
    plan_kind kind;
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t a, b, c, d;
    cublasLtMatmulAlgo_t algorithm;
    int epoch; /* lt_choices_epoch when the algorithm was settled */
};
static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof lt_choice().algorithm, "choices hold algorithms");

/* A device's plans, in open addressing; at least a quarter of the places is empty. */
struct plan_table {
    int used, room; /* room: a power of two, or 0 */
    plan **plans;
    plan spare; /* when there is no memory for another: made anew each time */
};

void free_plans(void *data) {
    plan_table *table = (plan_table *)data;
    for (int i = 0; i < table->room; i++) free(table->plans[i]);
    free(table->plans);
    free(table);
}

/* The largest power of two up to 16 bytes, the widest access, that divides all addresses of a matrix. */
int64_t alignment_of(const lt_blas_matrix &x, int64_t batch) {
    uint64_t stride = batch > 1 ? (uint64_t)x.stride * lt_dtype_size(x.dtype) : 0;
    uint64_t bits = (uint64_t)(uintptr_t)x.data | stride | 16;
    return (int64_t)(bits & -bits);
}

/* Scales that the library multiplies with: on Hopper alone. */
bool library_scales(const lt_ctx *ctx, const lt_blas_product &p) {
    bool aligned = ((uintptr_t)p.a.scale | (uintptr_t)p.b.scale) % 16 == 0;
    return aligned && lt_cuda_capability(ctx->device) == 90 && !ctx->device->generic;
}

bool bias_is_aligned(const lt_blas_product &p) { return (uintptr_t)p.bias % 16 == 0; }

plan_key key_of(const lt_ctx *ctx, const lt_blas_product &p, const lt_blas_matrix &c) {
    int64_t flags = 0;
    for (const lt_blas_matrix *x : {&p.a, &p.b, &c, &p.d}) flags = flags << 5 | alignment_of(*x, p.batch);
    const bool bits[] = {p.a.transposed,       p.b.transposed,     p.a.dtype == LT_BF16,
                         p.d.dtype == LT_BF16, p.bias != NULL,     p.a.dtype == LT_E4M3,
                         p.a.scale != NULL,    bias_is_aligned(p), library_scales(ctx, p),
                         p.c.data != NULL /* FLAG_ADDS: the last */};
    for (bool bit : bits) flags = flags << 1 | (bit ? 1 : 0);
    int64_t gpu = (int64_t)lt_cuda_capability(ctx->device) << 32 | lt_cuda_multiprocessors(ctx->device);
    plan_key key = {{p.m, p.n, p.k, p.batch, p.a.ld, p.b.ld, c.ld, p.d.ld, 0, 0, 0, 0, flags, gpu}};
    if (p.batch > 1)
        key.value[8] = p.a.stride, key.value[9] = p.b.stride, key.value[10] = c.stride,
        key.value[11] = p.d.stride;
    return key;
}

template <typename V> bool set(plan *q, cublasLtMatmulDescAttributes_t which, V value) {
    return cublasLtMatmulDescSetAttribute(&q->product, which, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
}
template <typename V>
bool set(cublasLtMatrixLayoutOpaque_t *layout, cublasLtMatrixLayoutAttribute_t which, V value) {
    return cublasLtMatrixLayoutSetAttribute(layout, which, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
}
template <typename V>
bool set(cublasLtMatmulPreferenceOpaque_t *preference, cublasLtMatmulPreferenceAttributes_t which, V value) {
    return cublasLtMatmulPreferenceSetAttribute(preference, which, &value, sizeof value) ==
           CUBLAS_STATUS_SUCCESS;
}

cudaDataType_t type_of(lt_dtype dtype) {
    return dtype == LT_E4M3 ? CUDA_R_8F_E4M3 : dtype == LT_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* A matrix that is `rows` by `columns` in the GEMM. */
bool lay_out(cublasLtMatrixLayoutOpaque_t *layout, const lt_blas_matrix &x, int64_t rows, int64_t columns,
             int64_t batch) {
    uint64_t stored_columns = (uint64_t)(x.transposed ? rows : columns);
    uint64_t stored_rows = (uint64_t)(x.transposed ? columns : rows);
    bool ok = cublasLtMatrixLayoutInit(layout, type_of(x.dtype), stored_columns, stored_rows, x.ld) ==
              CUBLAS_STATUS_SUCCESS;
    if (batch == 1) return ok;
    return ok && batch <= INT_MAX && set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, (int32_t)batch) &&
           set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, x.stride);
}

bool describe(plan *q, const lt_blas_product &p, const lt_blas_matrix &c) {
    cublasComputeType_t compute = p.a.dtype == LT_F32 ? CUBLAS_COMPUTE_32F_PEDANTIC : CUBLAS_COMPUTE_32F;
    bool fast = p.a.dtype == LT_E4M3;
    return cublasLtMatmulDescInit(&q->product, compute, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
           (!fast || set(q, CUBLASLT_MATMUL_DESC_FAST_ACCUM, (int8_t)1)) &&
           set(q, CUBLASLT_MATMUL_DESC_TRANSA, p.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N) &&
           set(q, CUBLASLT_MATMUL_DESC_TRANSB, p.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N) &&
           lay_out(&q->a, p.a, p.m, p.k, p.batch) && lay_out(&q->b, p.b, p.k, p.n, p.batch) &&
           lay_out(&q->c, c, p.m, p.n, p.batch) && lay_out(&q->d, p.d, p.m, p.n, p.batch);
}

bool describe_bias(plan *q, const void *bias, cudaDataType_t type) {
    return set(q, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS) &&
           set(q, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, (int32_t)type) &&
           set(q, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
}

bool describe_scales(plan *q, const lt_blas_product &p) {
    const int32_t rows = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    return set(q, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, rows) &&
           set(q, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, rows) &&
           set(q, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, p.b.scale) &&
           set(q, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, p.a.scale);
}

/* Up to `most` algorithms, in the library's order. Partial sums of a GEMM that is cut along k must be float32 and in
 * workspace: the other schemes round them, or add them in the order in which they happen to come. */
int propose(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_blas_matrix &c, int most,
            cublasLtMatmulHeuristicResult_t *found) {
    cublasLtMatmulPreferenceOpaque_t preference;
    int count = 0;
    bool ok =
        cublasLtMatmulPreferenceInit(&preference) == CUBLAS_STATUS_SUCCESS &&
        set(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, lt_blas_scratch(p.m, p.n, p.k, p.batch)) &&
        set(&preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
            (uint32_t)CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) &&
        set(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, (uint32_t)alignment_of(p.b, p.batch)) &&
        set(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, (uint32_t)alignment_of(p.a, p.batch)) &&
        set(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, (uint32_t)alignment_of(c, p.batch)) &&
        set(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, (uint32_t)alignment_of(p.d, p.batch)) &&
        cublasLtMatmulAlgoGetHeuristic((cublasLtHandle_t)lt_cuda_blas(ctx->device), &q->product, &q->b, &q->a,
                                       &q->c, &q->d, &preference, most, found,
                                       &count) == CUBLAS_STATUS_SUCCESS;
    int good = 0;
    while (ok && good < count && found[good].state == CUBLAS_STATUS_SUCCESS) good++;
    return good;
}

/* The library's first choice; large GEMMs are settled when they run. */
bool choose(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_blas_matrix &c) {
    cublasLtMatmulHeuristicResult_t found;
    if (propose(ctx, q, p, c, 1, &found) == 0) return false;
    q->algorithm = found.algo;
    return true;
}

/* Whether the bias may be read as it is. With a bf16 result, float32 is no documented type for it: small GEMMs, where
 * the launch that converts it would count, try nevertheless; large ones take the path that the library is made for. */
bool bias_fits(const lt_blas_product &p) {
    bool large = lt_blas_scratch(p.m, p.n, p.k, p.batch) > lt_blas_scratch(1, 1, 1, 1);
    return bias_is_aligned(p) && (p.d.dtype == LT_F32 || !large) && p.a.dtype != LT_E4M3;
}

/* What remains where the library has no algorithm. */
plan_kind otherwise(const lt_blas_product &p) { return p.a.scale ? PLAN_UNSCALED : PLAN_PLAIN; }

plan_kind make(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_blas_matrix &c,
               const void *workspace) {
    if (!describe(q, p, c)) return otherwise(p);
    if (p.a.scale && !(library_scales(ctx, p) && describe_scales(q, p))) return PLAN_UNSCALED;
    if (!p.bias) return choose(ctx, q, p, c) ? PLAN_DIRECT : otherwise(p);
    if (bias_fits(p) && describe_bias(q, p.bias, CUDA_R_32F) && choose(ctx, q, p, c)) return PLAN_DIRECT;
    if (describe_bias(q, workspace, type_of(p.d.dtype)) && choose(ctx, q, p, c)) return PLAN_STAGED_BIAS;
    return otherwise(p);
}

plan **slot_of(plan **plans, int room, const plan_key &key) {
    uint64_t hash = 0;
    for (int64_t value : key.value) hash = (hash ^ (uint64_t)value) * 0x9E3779B97F4A7C15u, hash ^= hash >> 29;
    plan **at = plans + hash % (uint64_t)room;
    while (*at && memcmp(&(*at)->key, &key, sizeof key) != 0) at = at + 1 == plans + room ? plans : at + 1;
    return at;
}

bool grow_plans(plan_table *table) {
    if (4 * (table->used + 1) <= 3 * table->room) return true;
    int room = table->room ? 2 * table->room : 256;
    plan **plans = (plan **)calloc((size_t)room, sizeof *plans);
    if (!plans) return false;
    for (int i = 0; i < table->room; i++)
        if (table->plans[i]) *slot_of(plans, room, table->plans[i]->key) = table->plans[i];
    free(table->plans);
    table->plans = plans, table->room = room;
    return true;
}

/* An empty plan in the table, or the spare one. */
plan *add_plan(plan_table *table, const plan_key &key) {
    plan *q = grow_plans(table) ? (plan *)calloc(1, sizeof *q) : NULL;
    if (q) *slot_of(table->plans, table->room, key) = q, table->used++;
    else q = &table->spare, *q = plan();
    q->key = key;
    return q;
}

lt_status plans_of(const lt_ctx *ctx, plan_table **out) {
    lt_device_part *part = &ctx->device->part[LT_SLOT_GEMM_PLANS];
    if (!part->data) part->data = calloc(1, sizeof(plan_table)), part->free = free_plans;
    *out = (plan_table *)part->data;
    return *out ? LT_OK : lt_fail(LT_FAILED, "out of memory for the plans of GEMMs");
}

void warn_unscaled(const lt_blas_product &p) {
    lt_warn("cuBLASLt scales no rows of an e4m3 GEMM of %lld x %lld x %lld%s; a kernel does it afterwards",
            (long long)p.m, (long long)p.n, (long long)p.k, p.c.data ? " that adds" : "");
}

/* The plan of this GEMM, made when it is new. */
plan *plan_of(const lt_ctx *ctx, plan_table *table, const lt_blas_product &p, const lt_blas_matrix &c,
              const void *workspace) {
    plan_key key = key_of(ctx, p, c);
    plan *there = table->room ? *slot_of(table->plans, table->room, key) : NULL;
    if (there) return there;
    plan *q = add_plan(table, key);
    q->kind = make(ctx, q, p, c, workspace);
    if (q->kind == PLAN_PLAIN)
        lt_warn("cuBLASLt has no algorithm for a GEMM of %lld x %lld x %lld (rows %lld, %lld, %lld apart); "
                "a plain kernel runs it slowly",
                (long long)p.m, (long long)p.n, (long long)p.k, (long long)p.a.ld, (long long)p.b.ld,
                (long long)p.d.ld);
    if (q->kind == PLAN_UNSCALED && library_scales(ctx, p)) warn_unscaled(p);
    return q;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

lt_status run_planned(const lt_ctx *ctx, const lt_blas_product &p, void *workspace);

template <typename T>
__global__ void stage_bias(const float *__restrict__ bias, T *__restrict__ to, int64_t n) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) lt_store(to + i, bias[i]);
}

lt_status put_bias(const lt_ctx *ctx, const lt_blas_product &p, void *to) {
    enum { THREADS = 256 };
    unsigned blocks = (unsigned)lt_ceil_div(p.n, THREADS);
    LT_CUDA_BY_DTYPE(p.d.dtype, T,
                     stage_bias<T><<<blocks, THREADS, 0, lt_cuda_stream(ctx)>>>(p.bias, (T *)to, p.n));
    return lt_cuda_launched();
}

/* ---- e4m3 that the library does not scale ------------------------------------------------------------------------ */

struct scaling {
    const float *sums; /* [rows, columns] */
    int64_t rows, columns;
    const float *row_scale, *column_scale, *bias;
    const void *c; /* or NULL */
    void *d;
    int64_t c_ld, d_ld;
};

/* d = c + sums * scales + bias, N columns a thread. */
template <typename T, int N> __global__ void scale_sums(scaling a) {
    int64_t packs = a.columns / N, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.rows * packs; i += step) {
        int64_t row = i / packs, column = i % packs * N;
        float value[N], added[N] = {};
        if (a.c) lt_load_n<N>((const T *)a.c + row * a.c_ld + column, added);
#pragma unroll
        for (int j = 0; j < N; j++) {
            float scale = a.row_scale[row] * a.column_scale[column + j];
            value[j] = a.sums[row * a.columns + column + j] * scale + added[j];
            if (a.bias) value[j] += a.bias[column + j];
        }
        lt_store_n<N>((T *)a.d + row * a.d_ld + column, value);
    }
}

lt_status scale_rows(const lt_ctx *ctx, const scaling &a) {
    enum { THREADS = 256, WIDE = 8 };
    bool wide = ((uintptr_t)a.c | (uintptr_t)a.d) % 16 == 0 && (a.c_ld | a.d_ld | a.columns) % WIDE == 0;
    int64_t packs = a.rows * (a.columns / (wide ? WIDE : 1));
    cudaStream_t stream = lt_cuda_stream(ctx);
    if (wide) scale_sums<lt_bf16, WIDE><<<lt_grid(packs, THREADS), THREADS, 0, stream>>>(a);
    else scale_sums<lt_bf16, 1><<<lt_grid(packs, THREADS), THREADS, 0, stream>>>(a);
    return lt_cuda_launched();
}

void *rows_from(const lt_blas_matrix &x, int64_t row) {
    return (char *)x.data + row * x.ld * (int64_t)lt_dtype_size(x.dtype);
}

/* Some rows at a time: the bare GEMM in float32, then its scales, bias and what is added. */
lt_status run_unscaled(const lt_ctx *ctx, const lt_blas_product &p, void *workspace) {
    size_t taken = lt_blas_workspace(p.m, p.n, p.k, 1, p.bias != NULL);
    float *sums = (float *)((char *)workspace + taken);
    int64_t most = lt_blas_unscaled_rows(p.m, p.n);
    for (int64_t row = 0; row < p.m; row += most) {
        int64_t rows = p.m - row < most ? p.m - row : most;
        lt_blas_product some = {rows, p.n, p.k, 1, p.a, p.b};
        some.a.data = rows_from(p.a, row);
        some.a.scale = some.b.scale = NULL;
        some.d = {sums, LT_F32, false, p.n, 0};
        LT_TRY(run_planned(ctx, some, workspace));
        scaling s = {sums, rows, p.n, p.a.scale + row, p.b.scale, p.bias};
        s.c = p.c.data ? rows_from(p.c, row) : NULL, s.c_ld = p.c.ld;
        s.d = rows_from(p.d, row), s.d_ld = p.d.ld;
        LT_TRY(scale_rows(ctx, s));
    }
    return LT_OK;
}

cublasStatus_t call(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_blas_matrix &c,
                    void *scratch) {
    const float one = 1, beta = p.c.data ? 1 : 0; /* with 0, c is not read */
    return cublasLtMatmul((cublasLtHandle_t)lt_cuda_blas(ctx->device), &q->product, &one, p.b.data, &q->b,
                          p.a.data, &q->a, &beta, c.data, &q->c, p.d.data, &q->d, &q->algorithm, scratch,
                          lt_blas_scratch(p.m, p.n, p.k, p.batch), lt_cuda_stream(ctx));
}

/* ---- large GEMMs: the fastest algorithm ------------------------------------------------------------------------- */

bool is_large(const lt_blas_product &p) {
    return 2.0 * (double)p.m * (double)p.n * (double)p.k * (double)p.batch >= 1e10;
}

/* Whether the library runs the GEMM so, within the scratch that there is. */
bool is_allowed(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const cublasLtMatmulAlgo_t &algorithm) {
    cublasLtMatmulHeuristicResult_t result;
    return cublasLtMatmulAlgoCheck((cublasLtHandle_t)lt_cuda_blas(ctx->device), &q->product, &q->b, &q->a,
                                   &q->c, &q->d, &algorithm, &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= lt_blas_scratch(p.m, p.n, p.k, p.batch);
}

/* An algorithm chosen earlier, if the library has it for this GEMM. */
bool take(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_choice *before) {
    cublasLtMatmulAlgo_t algorithm;
    if (!before) return false;
    memcpy(&algorithm, before->algorithm, sizeof algorithm);
    if (!is_allowed(ctx, q, p, algorithm)) return false;
    q->algorithm = algorithm;
    return true;
}

/* Where each row has a scale the library proposes a single algorithm, yet runs some of those that it proposes for one
 * scale a matrix: they join the `ways` in `found`. */
int propose_more(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_blas_matrix &c, int ways,
                 cublasLtMatmulHeuristicResult_t (&found)[LT_FASTEST_MOST]) {
    const int32_t one_scale = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
    plan other = *q;
    if (!set(&other, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, one_scale) ||
        !set(&other, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, one_scale))
        return ways;
    int first = ways, more = propose(ctx, &other, p, c, LT_FASTEST_MOST - ways, found + first);
    for (int i = first; i < first + more; i++)
        if (is_allowed(ctx, q, p, found[i].algo)) found[ways++] = found[i];
    return ways;
}

/* The choice of a GEMM that was measured and differs only in whether it adds, or also in the number of rows. */
const lt_choice *relative(const lt_ctx *ctx, const plan_key &key, bool other_rows) {
    int64_t rows = key.value[KEY_ROWS];
    for (int i = 0; i < lt_choices_count(ctx->device); i++) {
        const lt_choice *choice = lt_choices_at(ctx->device, i);
        plan_key other;
        memcpy(&other, choice->key, sizeof other);
        other.value[KEY_FLAGS] ^= (other.value[KEY_FLAGS] ^ key.value[KEY_FLAGS]) & FLAG_ADDS;
        bool near = other.value[KEY_ROWS] <= 2 * rows && rows <= 2 * other.value[KEY_ROWS];
        if (other_rows && near) other.value[KEY_ROWS] = rows;
        if (choice->taken > 0 && memcmp(&other, &key, sizeof key) == 0) return choice;
    }
    return NULL;
}

/* From the first to the last element. */
size_t extent(const lt_blas_matrix &x, const lt_blas_product &p) {
    return (size_t)((p.batch - 1) * x.stride + (p.m - 1) * x.ld + p.n) * lt_dtype_size(x.dtype);
}

/* Where trials may write: to d, which the GEMM itself overwrites afterwards; if it adds to what d holds, to what the
 * operation's workspace leaves of the scratch arena. NULL: nowhere. */
void *trial_output(const lt_ctx *ctx, const lt_blas_product &p) {
    const char *c = (const char *)p.c.data, *d = (const char *)p.d.data;
    if (!c || c + extent(p.c, p) <= d || d + extent(p.d, p) <= c) return p.d.data;
    const lt_arena *scratch = ctx->scratch;
    size_t taken = scratch ? scratch->used + scratch->far : 0;
    bool fits =
        scratch && scratch->base && taken <= scratch->capacity && extent(p.d, p) <= scratch->capacity - taken;
    return fits ? scratch->base + scratch->used : NULL;
}

struct trial {
    const lt_ctx *ctx;
    plan *q;
    lt_blas_product p;
    lt_blas_matrix c;
    void *scratch;
    cublasLtMatmulHeuristicResult_t found[LT_FASTEST_MOST];
};

bool run_trial(void *user, int way) {
    trial *t = (trial *)user;
    t->q->algorithm = t->found[way].algo;
    return call(t->ctx, t->q, t->p, t->c, t->scratch) == CUBLAS_STATUS_SUCCESS;
}

/* Measuring is one at a time in a process: trials that run beside each other say little. */
pthread_mutex_t measuring = PTHREAD_MUTEX_INITIALIZER;

lt_status time_ways(trial *t, int ways, double *took) {
    pthread_mutex_lock(&measuring);
    lt_status status = lt_cuda_fastest(t->ctx, ways, run_trial, t, took);
    pthread_mutex_unlock(&measuring);
    return status;
}

/* The library's first choice stays unless another is faster by more than the noise. */
lt_status measure(trial *t, lt_choice *choice) {
    enum { MOST = LT_FASTEST_MOST };
    double took[MOST];
    int best = 0, ways = propose(t->ctx, t->q, t->p, t->c, MOST, t->found);
    if (ways == 0) return LT_OK;
    if (t->p.a.scale && ways < MOST) ways = propose_more(t->ctx, t->q, t->p, t->c, ways, t->found);
    if (ways > 1) LT_TRY(time_ways(t, ways, took));
    for (int i = 1; i < ways; i++)
        if (took[i] < took[best]) best = i;
    if (best > 0 && took[best] > 0.99 * took[0]) best = 0;
    t->q->algorithm = t->found[best].algo;
    if (ways > 1 && took[best] < HUGE_VAL)
        choice->first = took[0] < HUGE_VAL ? took[0] : 0, choice->taken = took[best];
    lt_debug("GEMM of %lld x %lld x %lld: algorithm %d of %d takes %.1f us, the first %.1f",
             (long long)t->p.m, (long long)t->p.n, (long long)t->p.k, best + 1, ways, choice->taken,
             choice->first);
    return LT_OK;
}

bool is_captured(const lt_ctx *ctx) {
    cudaStreamCaptureStatus status;
    return cudaStreamIsCapturing(lt_cuda_stream(ctx), &status) != cudaSuccess ||
           status != cudaStreamCaptureStatusNone;
}

/* Before the first run of a large GEMM, and the only place where an op waits for the device: its algorithm is that of
 * the run (kernels/choices.h), else the fastest, where that can be found out without touching what the GEMM reads. */
lt_status settle(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_blas_matrix &c,
                 void *scratch) {
    q->epoch = lt_choices_epoch(ctx->device);
    if (take(ctx, q, p, lt_choices_find(ctx->device, q->key.value))) return LT_OK;
    lt_choice choice = {};
    if (!take(ctx, q, p, relative(ctx, q->key, false))) {
        void *output = is_captured(ctx) ? NULL : trial_output(ctx, p);
        trial t = {ctx, q, p, c, scratch};
        t.p.d.data = output;
        if (!p.c.data) t.c.data = output;
        if (output) LT_TRY(measure(&t, &choice));
        else take(ctx, q, p, relative(ctx, q->key, true));
    }
    memcpy(choice.key, q->key.value, sizeof choice.key);
    memcpy(choice.algorithm, &q->algorithm, sizeof choice.algorithm);
    lt_choices_put(ctx->device, &choice);
    return LT_OK;
}

lt_status run_plan(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_blas_matrix &c,
                   void *workspace) {
    const void *bias = q->kind == PLAN_STAGED_BIAS ? workspace : p.bias;
    void *scratch = (char *)workspace + lt_blas_bias_bytes(p.n, p.bias != NULL);
    if (q->kind == PLAN_STAGED_BIAS) LT_TRY(put_bias(ctx, p, workspace));
    LT_CHECK(!bias || set(q, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias), LT_FAILED,
             "cuBLASLt does not take the address of a bias");
    LT_CHECK(!p.a.scale || describe_scales(q, p), LT_FAILED,
             "cuBLASLt does not take the addresses of scales");
    if (is_large(p) && q->epoch != lt_choices_epoch(ctx->device)) LT_TRY(settle(ctx, q, p, c, scratch));
    cublasStatus_t status = call(ctx, q, p, c, scratch);
    if (p.a.scale && (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE)) {
        q->kind = PLAN_UNSCALED; /* some of what it cannot scale it refuses here only */
        warn_unscaled(p);
        return run_unscaled(ctx, p, workspace);
    }
    LT_CHECK(status == CUBLAS_STATUS_SUCCESS, LT_FAILED, "cuBLASLt: a GEMM of %lld x %lld x %lld: %s",
             (long long)p.m, (long long)p.n, (long long)p.k, cublasLtGetStatusString(status));
    return LT_OK;
}

lt_status run_planned(const lt_ctx *ctx, const lt_blas_product &p, void *workspace) {
    const lt_blas_matrix &c = p.c.data ? p.c : p.d;
    plan_table *table;
    LT_TRY(plans_of(ctx, &table));
    plan *q = plan_of(ctx, table, p, c, workspace);
    if (q->kind == PLAN_PLAIN) return run_plain(ctx, &p);
    return q->kind == PLAN_UNSCALED ? run_unscaled(ctx, p, workspace) : run_plan(ctx, q, p, c, workspace);
}

/* Where the library's own start costs more than the arithmetic. */
bool is_tiny(const lt_blas_product &p) {
    return p.k <= 128 && (double)p.m * (double)p.n * (double)p.k * (double)p.batch <= 1 << 17;
}

/* Rows that were rounded from float32 and give float32: not with the few bits that tensor cores add with. */
bool is_exact(const lt_blas_product &p) { return p.a.scale && p.d.dtype == LT_F32; }

bool e4m3_fits(const lt_blas_product &p) {
    bool shaped = !p.a.transposed && p.b.transposed && p.batch == 1 && !p.a.scale == !p.b.scale;
    return shaped && p.b.dtype == LT_E4M3 && (p.d.dtype == LT_F32 || p.d.dtype == LT_BF16) &&
           (!p.c.data || p.c.dtype == p.d.dtype);
}

bool dtypes_fit(const lt_blas_product &p) {
    if (p.a.dtype == LT_E4M3) return e4m3_fits(p);
    bool known = (p.a.dtype == LT_F32 || p.a.dtype == LT_BF16) && p.b.dtype == p.a.dtype;
    return known && (p.d.dtype == LT_F32 || p.d.dtype == p.a.dtype) && (!p.c.data || p.c.dtype == p.d.dtype);
}

} // namespace

extern "C" int64_t lt_blas_version(void) { return (int64_t)cublasLtGetVersion(); }

extern "C" lt_status lt_blas_run(lt_ctx *ctx, const lt_blas_product *product, void *workspace) {
    const lt_blas_product &p = *product;
    if (p.m == 0 || p.n == 0 || p.batch == 0) return LT_OK;
    LT_CHECK(dtypes_fit(p), LT_FAILED, "a GEMM of %s and %s into %s is not there on CUDA",
             lt_dtype_name(p.a.dtype), lt_dtype_name(p.b.dtype), lt_dtype_name(p.d.dtype));
    if (is_tiny(p) || is_exact(p)) return run_plain(ctx, product);
    return run_planned(ctx, p, workspace);
}
