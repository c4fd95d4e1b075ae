#include "kernels/cuda_blas.h"

#include "core/log.h"
#include "kernels/cuda.cuh"

#include <cublasLt.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

/* ---- the plain kernel --------------------------------------------------------------------------------------------- */

namespace {

/* Element (i, j) of matrix g lies at g * stride + i * row + j * column. */
struct view {
    void *data;
    int64_t row, column, stride;
};

struct plain_product {
    int64_t m, n, k, batch;
    view a, b, c, d;
    const float *bias;
};

enum { TILE = 32, THREAD_ROWS = 8, PER_THREAD = TILE / THREAD_ROWS };

/* tile[i][j] = element (first_row + i, first_column + j), zero outside the matrix. Neighbouring threads read neighbours. */
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
    float bias = p.bias ? p.bias[column] : 0.0f;
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) {
        int64_t row = first_row + threadIdx.y + i * THREAD_ROWS;
        if (row >= p.m) return;
        const Out *c = (const Out *)p.c.data;
        float added = c ? lt_load(c + g * p.c.stride + row * p.c.row + column) : 0.0f;
        lt_store((Out *)p.d.data + g * p.d.stride + row * p.d.row + column, sum[i] + bias + added);
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
    plain_product p = {q->m,          q->n,          q->k,          q->batch, view_of(q->a),
                       view_of(q->b), view_of(q->c), view_of(q->d), q->bias};
    int64_t tiles = lt_ceil_div(p.m, TILE) * lt_ceil_div(p.n, TILE) * p.batch;
    dim3 block(TILE, THREAD_ROWS);
    cudaStream_t stream = lt_cuda_stream(ctx);
    if (q->a.dtype == LT_F32) plain_kernel<float, float><<<lt_grid(tiles, 1), block, 0, stream>>>(p);
    else if (q->d.dtype == LT_F32) plain_kernel<lt_bf16, float><<<lt_grid(tiles, 1), block, 0, stream>>>(p);
    else plain_kernel<lt_bf16, lt_bf16><<<lt_grid(tiles, 1), block, 0, stream>>>(p);
    return lt_cuda_launched();
}

/* ---- plans: how cuBLASLt runs a product --------------------------------------------------------------------------- */

/* Everything that the choice depends on. The same key on the same GPU gets the same algorithm, so results repeat. */
struct plan_key {
    int64_t value[14];
};

enum plan_kind { PLAN_NONE, PLAN_PLAIN, PLAN_DIRECT, PLAN_STAGED_BIAS };

/* cuBLASLt counts by columns, so it sees every stored matrix transposed and computes d^T = b^T a^T: our b comes first. */
struct plan {
    plan_key key;
    plan_kind kind;
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t a, b, c, d;
    cublasLtMatmulAlgo_t algorithm;
};

enum { PLANS = 1024, PLANS_MOST = PLANS * 3 / 4 };
struct plan_table {
    pthread_mutex_t lock;
    int used;
    plan plans[PLANS]; /* open addressing */
    plan spare;        /* when the table is full: made anew each time */
} table = {PTHREAD_MUTEX_INITIALIZER};

/* The largest power of two up to 16 bytes, the widest access, that divides all addresses of a matrix. */
int64_t alignment_of(const lt_blas_matrix &x, int64_t batch) {
    uint64_t stride = batch > 1 ? (uint64_t)x.stride * lt_dtype_size(x.dtype) : 0;
    uint64_t bits = (uint64_t)(uintptr_t)x.data | stride | 16;
    return (int64_t)(bits & -bits);
}

bool bias_is_aligned(const lt_blas_product &p) { return (uintptr_t)p.bias % 16 == 0; }

plan_key key_of(const lt_ctx *ctx, const lt_blas_product &p, const lt_blas_matrix &c) {
    int64_t flags = 0;
    for (const lt_blas_matrix *x : {&p.a, &p.b, &c, &p.d}) flags = flags << 5 | alignment_of(*x, p.batch);
    const bool bits[] = {p.a.transposed,   p.b.transposed, p.a.dtype == LT_BF16, p.d.dtype == LT_BF16,
                         p.c.data != NULL, p.bias != NULL, bias_is_aligned(p)};
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

cudaDataType_t type_of(lt_dtype dtype) { return dtype == LT_BF16 ? CUDA_R_16BF : CUDA_R_32F; }

/* A matrix that is `rows` by `columns` in the product. */
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
    return cublasLtMatmulDescInit(&q->product, compute, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
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

/* Takes the library's first choice. Partial sums of a product that is cut along k must be float32 and in workspace: the other
 * schemes round them, or add them in the order in which they happen to come. */
bool choose(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_blas_matrix &c) {
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulHeuristicResult_t found;
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
                                       &q->c, &q->d, &preference, 1, &found, &count) == CUBLAS_STATUS_SUCCESS;
    if (!ok || count == 0 || found.state != CUBLAS_STATUS_SUCCESS) return false;
    q->algorithm = found.algo;
    return true;
}

/* Whether the bias may be read as it is. With a bf16 result, float32 is no documented type for it: small products, where the launch
 * that converts it would count, try nevertheless; large ones take the path that the library is made for. */
bool bias_fits(const lt_blas_product &p) {
    bool large = lt_blas_scratch(p.m, p.n, p.k, p.batch) > lt_blas_scratch(1, 1, 1, 1);
    return bias_is_aligned(p) && (p.d.dtype == LT_F32 || !large);
}

plan_kind make(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_blas_matrix &c,
               const void *workspace) {
    if (!describe(q, p, c)) return PLAN_PLAIN;
    if (!p.bias) return choose(ctx, q, p, c) ? PLAN_DIRECT : PLAN_PLAIN;
    if (bias_fits(p) && describe_bias(q, p.bias, CUDA_R_32F) && choose(ctx, q, p, c)) return PLAN_DIRECT;
    if (describe_bias(q, workspace, type_of(p.d.dtype)) && choose(ctx, q, p, c)) return PLAN_STAGED_BIAS;
    return PLAN_PLAIN;
}

plan *slot_of(const plan_key &key) {
    uint64_t hash = 0;
    for (int64_t value : key.value) hash = (hash ^ (uint64_t)value) * 0x9E3779B97F4A7C15u, hash ^= hash >> 29;
    plan *q = &table.plans[hash % PLANS];
    while (q->kind != PLAN_NONE && memcmp(&q->key, &key, sizeof key) != 0)
        q = q + 1 == table.plans + PLANS ? table.plans : q + 1;
    return q;
}

/* The plan of this product, made when it is new. The caller holds the lock. */
plan *plan_of(const lt_ctx *ctx, const lt_blas_product &p, const lt_blas_matrix &c, const void *workspace) {
    plan_key key = key_of(ctx, p, c);
    plan *q = slot_of(key);
    if (q->kind != PLAN_NONE) return q;
    if (table.used < PLANS_MOST) table.used++;
    else q = &table.spare;
    q->key = key;
    q->kind = make(ctx, q, p, c, workspace);
    if (q->kind == PLAN_PLAIN)
        lt_warn(
            "cuBLASLt has no algorithm for a product of %lld x %lld x %lld (rows %lld, %lld, %lld apart); "
            "a plain kernel runs it slowly",
            (long long)p.m, (long long)p.n, (long long)p.k, (long long)p.a.ld, (long long)p.b.ld,
            (long long)p.d.ld);
    return q;
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

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

lt_status run_plan(const lt_ctx *ctx, plan *q, const lt_blas_product &p, const lt_blas_matrix &c,
                   void *workspace) {
    const float one = 1, beta = p.c.data ? 1 : 0; /* with 0, c is not read */
    const void *bias = q->kind == PLAN_STAGED_BIAS ? workspace : p.bias;
    void *scratch = (char *)workspace + lt_blas_bias_bytes(p.n, p.bias != NULL);
    if (q->kind == PLAN_STAGED_BIAS) LT_TRY(put_bias(ctx, p, workspace));
    LT_CHECK(!bias || set(q, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias), LT_FAILED,
             "cuBLASLt does not take the address of a bias");
    cublasStatus_t status =
        cublasLtMatmul((cublasLtHandle_t)lt_cuda_blas(ctx->device), &q->product, &one, p.b.data, &q->b,
                       p.a.data, &q->a, &beta, c.data, &q->c, p.d.data, &q->d, &q->algorithm, scratch,
                       lt_blas_scratch(p.m, p.n, p.k, p.batch), lt_cuda_stream(ctx));
    LT_CHECK(status == CUBLAS_STATUS_SUCCESS, LT_FAILED, "cuBLASLt: a product of %lld x %lld x %lld: %s",
             (long long)p.m, (long long)p.n, (long long)p.k, cublasLtGetStatusString(status));
    return LT_OK;
}

/* Where the library's own start costs more than the arithmetic. */
bool is_tiny(const lt_blas_product &p) {
    return p.k <= 128 && (double)p.m * (double)p.n * (double)p.k * (double)p.batch <= 1 << 17;
}

bool dtypes_fit(const lt_blas_product &p) {
    bool known = (p.a.dtype == LT_F32 || p.a.dtype == LT_BF16) && p.b.dtype == p.a.dtype;
    return known && (p.d.dtype == LT_F32 || p.d.dtype == p.a.dtype) && (!p.c.data || p.c.dtype == p.d.dtype);
}

} // namespace

extern "C" lt_status lt_blas_run(lt_ctx *ctx, const lt_blas_product *product, void *workspace) {
    const lt_blas_product &p = *product;
    if (p.m == 0 || p.n == 0 || p.batch == 0) return LT_OK;
    LT_CHECK(dtypes_fit(p), LT_FAILED, "a product of %s and %s into %s is not there on CUDA",
             lt_dtype_name(p.a.dtype), lt_dtype_name(p.b.dtype), lt_dtype_name(p.d.dtype));
    if (is_tiny(p)) return run_plain(ctx, product);
    const lt_blas_matrix &c = p.c.data ? p.c : p.d;
    pthread_mutex_lock(&table.lock);
    plan *q = plan_of(ctx, p, c, workspace);
    lt_status status = q->kind == PLAN_PLAIN ? run_plain(ctx, product) : run_plan(ctx, q, p, c, workspace);
    pthread_mutex_unlock(&table.lock);
    return status;
}
