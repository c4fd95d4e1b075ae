#include "kernels/check.h"

#include "core/parallel.h"
#include "core/rng_math.h"
#include "kernels/e4m3.h"
#include "kernels/testing_device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_BYTES = 256, SCRATCH_BYTES = 256 << 20, SMALL = 1000000 };
static const unsigned char guard_byte = 0xA5;
static const unsigned char poison_byte =
    0xFF; /* a NaN that no arithmetic makes: real ones keep payload bits zero */

double lt_tolerance_bound(lt_tolerance tolerance) {
    static const double bounds[LT_TOL_COUNT] = {[LT_TOL_CPU] = 1e-5,
                                                [LT_TOL_DIFFERENCES] = 1e-6,
                                                [LT_TOL_CUDA_F32] = 1e-5,
                                                [LT_TOL_BF16_FORWARD] = 5e-3,
                                                [LT_TOL_BF16_ATTENTION] = 3e-3,
                                                [LT_TOL_BF16_GRADIENT] = 1e-2,
                                                [LT_TOL_PARITY_FORWARD] = 1e-4,
                                                [LT_TOL_PARITY_GRADIENT] = 1e-3,
                                                [LT_TOL_E4M3] = 1e-2,
                                                [LT_TOL_FP8_MODEL] = 5e-2};
    return bounds[tolerance];
}

static void *element(const lt_tensor *t, int64_t index) {
    int64_t offset = 0;
    for (int i = t->ndim - 1; i >= 0; i--) {
        offset += index % t->shape[i] * t->stride[i];
        index /= t->shape[i];
    }
    return (char *)t->data + offset * (int64_t)lt_dtype_size(t->dtype);
}

double lt_check_get(const lt_tensor *t, int64_t index) {
    const void *at = element(t, index);
    if (t->dtype == LT_I32) return *(const int32_t *)at;
    if (t->dtype == LT_BF16) return (double)lt_bf16_to_f32(*(const uint16_t *)at);
    if (t->dtype == LT_E4M3) return (double)lt_e4m3_to_f32(*(const uint8_t *)at);
    return t->dtype == LT_F64 ? *(const double *)at : (double)*(const float *)at;
}

static void put_value_at(lt_tensor *t, int64_t index, double value) {
    void *at = element(t, index);
    if (t->dtype == LT_I32) *(int32_t *)at = (int32_t)value;
    else if (t->dtype == LT_F64) *(double *)at = value;
    else if (t->dtype == LT_BF16) *(uint16_t *)at = lt_f32_to_bf16((float)value);
    else if (t->dtype == LT_E4M3) *(uint8_t *)at = lt_f32_to_e4m3((float)value);
    else *(float *)at = (float)value;
}

/* Whether the check in progress has bf16 passes: its values must then be the same in all passes. */
static bool rounds_to_bf16;

static double rounded_as_stored(double value) {
    float single = (float)value;
    return (double)(rounds_to_bf16 ? lt_bf16_to_f32(lt_f32_to_bf16(single)) : single);
}

void lt_check_set(lt_tensor *t, int64_t index, double value) {
    put_value_at(t, index, rounded_as_stored(value));
}

void lt_check_affine(lt_tensor *t, double scale, double offset) {
    for (int64_t i = 0; i < lt_numel(t); i++) lt_check_set(t, i, scale * lt_check_get(t, i) + offset);
}

lt_status lt_compare(const char *what, const lt_tensor *found, const lt_tensor *wanted,
                     lt_tolerance tolerance) {
    char text[160];
    LT_CHECK(lt_same_shape(found, wanted), LT_FAILED, "%s: %s is compared with another shape", what,
             lt_tensor_text(found, text, sizeof text));
    int64_t columns = wanted->ndim > 0 ? wanted->shape[wanted->ndim - 1] : 1, worst_row = 0;
    double diff = 0, size = 0, row = 0, worst = 0, bound = lt_tolerance_bound(tolerance);
    int64_t count = lt_numel(wanted), numbers = 0;
    for (int64_t i = 0; i < count; i++) {
        double f = lt_check_get(found, i), w = lt_check_get(wanted, i);
        if (i % columns == 0) row = 0;
        LT_CHECK(isnan(f) == isnan(w) && (isinf(f) || isinf(w) ? f == w || isnan(w) : 1), LT_FAILED,
                 "%s %s: element %lld is %g, expected %g", what, lt_tensor_text(found, text, sizeof text),
                 (long long)i, f, w);
        if (!isfinite(w)) continue;
        numbers++;
        row += (f - w) * (f - w);
        diff += (f - w) * (f - w);
        size += w * w;
        if (row > worst) worst = row, worst_row = i / columns;
    }
    if (numbers == 0) return LT_OK;
    double error = size > 0 ? sqrt(diff / size) : diff > 0 ? INFINITY : 0;
    worst = size > 0 ? sqrt(worst / (double)columns / (size / (double)numbers)) : 0;
    LT_CHECK(error <= bound && worst <= 10 * bound, LT_FAILED,
             "%s %s: error %.3g (bound %g), worst row %lld at %.3g (bound %g)", what,
             lt_tensor_text(found, text, sizeof text), error, bound, (long long)worst_row, worst, 10 * bound);
    return LT_OK;
}

/* The first failure wins: later ones follow from it. */
static void record(lt_check *check, lt_status status, const char *message) {
    static const char *const passes[2][LT_CHECK_PASSES] = {
        {"naive", "cpu, 1 thread", "cpu, 2 threads"},
        {"naive", "cuda", "cuda again", "cuda, bf16", "cuda, bf16 again"}};
    if (status == LT_OK || check->status != LT_OK) return;
    check->status = status;
    const char *pass = check->pass >= 0 && check->pass < LT_CHECK_PASSES
                           ? passes[check->cuda != NULL][check->pass]
                           : "set-up";
    snprintf(check->message, sizeof check->message, "%s: %s", pass, message);
}

/* What the environment asks for: see kernels/testing_device.h. */
static bool poisons(void) {
    const char *value = getenv("LT_TEST_POISON");
    return !value || strcmp(value, "off") != 0;
}
static bool only_small(void) {
    const char *value = getenv("LT_TEST_SMALL");
    return value && strcmp(value, "1") == 0;
}
static size_t guard_after(void) { return poisons() ? GUARD_BYTES : 0; }

/* The GPU that the environment asks for, and its memory that the host reaches too; opened once. NULL when it asks for
 * none. */
static lt_device *gpu, *shared;

static lt_status open_devices(void) {
    if (strcmp(test_device(), "cpu") == 0 || gpu) return LT_OK;
    LT_TRY(lt_device_open(test_device(), &shared));
    return lt_device_open_as("cuda", NULL, test_kernels(), &gpu);
}

static lt_status open_gpu(lt_check *check) {
    LT_TRY(open_devices());
    check->cuda = gpu;
    if (!gpu) return LT_OK;
    LT_TRY(lt_arena_init(&check->cuda_scratch, check->cuda, SCRATCH_BYTES, "scratch"));
    check->cuda_scratch.poison = poisons();
    return check->cuda->ops->stream_create(check->cuda, &check->ctx.stream);
}

void lt_check_begin(lt_check *check, uint64_t seed) {
    *check = (lt_check){
        .seed = seed, .pass = -1, .bf16_bound = LT_TOL_BF16_FORWARD, .threads_before = lt_threads()};
    rounds_to_bf16 = false;
    lt_status status = lt_device_open("cpu", &check->cpu);
    if (status == LT_OK) status = lt_arena_init(&check->scratch, check->cpu, SCRATCH_BYTES, "scratch");
    check->scratch.poison = poisons();
    if (status == LT_OK) status = open_gpu(check);
    check->ctx.device = check->cpu;
    check->ctx.scratch = &check->scratch;
    record(check, status, lt_error());
}

static bool untouched(const lt_tensor *t, int64_t index) {
    const unsigned char *bytes = element(t, index);
    for (size_t i = 0; i < lt_dtype_size(t->dtype); i++)
        if (bytes[i] != poison_byte) return false;
    return true;
}

static lt_status check_operand(const lt_check *check, int pass, int index) {
    const lt_check_operand *operand = &check->operands[pass][index];
    const lt_tensor *t = &operand->tensor;
    char what[64];
    snprintf(what, sizeof what, "operand %d", index);
    if (operand->role == LT_CHECK_INPUT) return LT_OK;
    for (int64_t i = 0; operand->role == LT_CHECK_OUTPUT && i < lt_numel(t); i++)
        LT_CHECK(!untouched(t, i), LT_FAILED, "%s: element %lld was never written", what, (long long)i);
    if (pass == 0) return LT_OK;
    bool repeats = pass % 2 == 0 && (check->cuda || !check->threads_may_differ);
    if (repeats)
        LT_CHECK(memcmp(t->data, check->operands[pass - 1][index].tensor.data, lt_nbytes(t)) == 0, LT_FAILED,
                 "%s: bits differ between %s", what, check->cuda ? "two runs" : "1 and 2 threads");
    if (t->dtype == LT_E4M3) return LT_OK;
    lt_tolerance bound = check->cuda && check->tolerance == LT_TOL_CPU ? LT_TOL_CUDA_F32 : check->tolerance;
    return lt_compare(what, t, &check->operands[0][index].tensor, pass > 2 ? operand->bf16_bound : bound);
}

/* A sanitizer takes memory that was written once for initialised, so without poison a pass gets memory of its own. */
static lt_status renew_scratch(lt_check *check) {
    if (poisons()) return LT_OK;
    lt_arena_free(&check->cuda_scratch);
    return lt_arena_init(&check->cuda_scratch, check->cuda, SCRATCH_BYTES, "scratch");
}

/* Points the context at the pass's backend. */
static void enter(lt_check *check, int pass) {
    lt_ctx *ctx = &check->ctx;
    bool cuda = pass > 0 && check->cuda;
    if (cuda) record(check, renew_scratch(check), lt_error());
    ctx->device = cuda ? check->cuda : check->cpu;
    ctx->scratch = cuda ? &check->cuda_scratch : &check->scratch;
    ctx->backend = pass == 0 ? LT_BACKEND_NAIVE : cuda ? LT_BACKEND_CUDA : LT_BACKEND_CPU;
    ctx->dtype = pass > 2 ? LT_BF16 : LT_F32;
    ctx->sync = cuda;
    rounds_to_bf16 = check->cuda && check->bf16;
    lt_set_threads(!cuda && pass == 2 ? 2 : 1);
}

bool lt_check_next(lt_check *check) {
    int pass = check->pass;
    if (check->skipped) return false;
    if (pass > 0 && check->count[pass] != check->count[0])
        record(check, LT_FAILED, "this pass made another number of operands than the first");
    for (int i = 0; pass >= 0 && check->status == LT_OK && i < check->count[pass]; i++)
        record(check, check_operand(check, pass, i), lt_error());
    if (check->status != LT_OK || pass + 1 == (check->cuda && check->bf16 ? LT_CHECK_PASSES : 3))
        return false;
    check->pass++;
    enter(check, check->pass);
    return check->status == LT_OK;
}

static char *slab_new(lt_check_operand *operand, size_t bytes) {
    void *memory = NULL;
    if (!operand->on_device) return aligned_alloc(GUARD_BYTES, bytes);
    operand->slab_bytes = bytes;
    return lt_device_allocate(shared, bytes, &memory) == LT_OK ? memory : NULL;
}

static void slab_free(lt_check_operand *operand) {
    if (operand->on_device) lt_device_release(shared, operand->slab, operand->slab_bytes);
    else free(operand->slab);
}

lt_status lt_check_end(lt_check *check) {
    for (int pass = 0; pass < LT_CHECK_PASSES; pass++)
        for (int i = 0; i < check->count[pass]; i++) slab_free(&check->operands[pass][i]);
    if (check->ctx.stream) check->cuda->ops->stream_destroy(check->cuda, check->ctx.stream);
    lt_arena_free(&check->cuda_scratch);
    lt_arena_free(&check->scratch);
    lt_device_close(check->cpu);
    lt_set_threads(check->threads_before);
    return check->status == LT_OK ? LT_OK : lt_fail(check->status, "%s", check->message);
}

static lt_check_operand *operand_new(lt_check *check, lt_check_role role, lt_dtype dtype, int ndim,
                                     const int64_t *shape) {
    static lt_check_operand none;
    none = (lt_check_operand){0};
    if (check->count[check->pass] == LT_CHECK_OPERANDS) {
        record(check, LT_FAILED, "too many operands: raise LT_CHECK_OPERANDS");
        return &none;
    }
    lt_check_operand *operand = &check->operands[check->pass][check->count[check->pass]++];
    size_t bytes = lt_dtype_size(dtype);
    for (int i = 0; i < ndim; i++) bytes *= (size_t)shape[i];
    *operand = (lt_check_operand){
        .role = role, .on_device = check->ctx.device != check->cpu, .bf16_bound = check->bf16_bound};
    if (only_small() && bytes / lt_dtype_size(dtype) > SMALL) check->skipped = true;
    size_t slab = GUARD_BYTES + bytes + guard_after();
    operand->slab = slab_new(operand, operand->on_device ? slab : (slab + 255) & -256ul);
    if (!operand->slab) {
        check->count[check->pass]--;
        record(check, LT_FAILED, "out of memory");
        return &none;
    }
    operand->tensor = lt_tensor_of(operand->slab + GUARD_BYTES, dtype, ndim, shape);
    memset(operand->slab, guard_byte, GUARD_BYTES);
    memset(operand->slab + GUARD_BYTES, poison_byte, bytes);
    memset(operand->slab + GUARD_BYTES + bytes, guard_byte, guard_after());
    return operand;
}

/* Normals into a new operand. */
static void fill_operand(const lt_check *check, int operand, lt_tensor *t) {
    lt_rng_key key = {.seed = check->seed, .purpose = LT_RNG_TEST, .clip = (uint64_t)operand};
    lt_rng_stream stream = lt_rng_open(&key, LT_RNG_NORMALS);
    float normals[4];
    for (int64_t i = 0; i < lt_numel(t); i++) {
        if (i % 4 == 0) lt_normals4(&stream, (uint64_t)i / 4, normals);
        lt_check_set(t, i, (double)normals[i % 4]);
    }
}

lt_tensor lt_check_operand_new(lt_check *check, lt_check_role role, bool sum, int ndim,
                               const int64_t *shape) {
    lt_dtype dtype = sum ? lt_ctx_sum_dtype(&check->ctx) : lt_ctx_dtype(&check->ctx);
    int number = check->count[check->pass];
    lt_tensor t = operand_new(check, role, dtype, ndim, shape)->tensor;
    if (lt_is_empty(&t) || role == LT_CHECK_OUTPUT || role == LT_CHECK_PARTLY) return t;
    fill_operand(check, number, &t);
    return t;
}

lt_tensor lt_check_e4m3(lt_check *check, int ndim, const int64_t *shape) {
    lt_dtype dtype = lt_ctx_e4m3_dtype(&check->ctx);
    int number = check->count[check->pass];
    lt_tensor t = operand_new(check, LT_CHECK_INPUT, dtype, ndim, shape)->tensor;
    float *values = lt_is_empty(&t) ? NULL : malloc((size_t)(lt_numel(&t) + 1) * sizeof *values);
    if (!values) {
        record(check, LT_FAILED, "out of memory");
        return t;
    }
    lt_tensor wide = lt_tensor_of(values, LT_F32, ndim, shape);
    fill_operand(check, number, &wide);
    for (int64_t i = 0; i < lt_numel(&t); i++)
        put_value_at(&t, i, (double)lt_e4m3_to_f32(lt_f32_to_e4m3(64 * values[i])));
    free(values);
    return t;
}

lt_tensor lt_check_e4m3_out(lt_check *check, int ndim, const int64_t *shape) {
    return operand_new(check, LT_CHECK_OUTPUT, lt_ctx_e4m3_dtype(&check->ctx), ndim, shape)->tensor;
}

bool lt_check_coded(const lt_tensor *y, const lt_tensor *codes, const lt_tensor *scale) {
    int64_t columns = y->shape[y->ndim - 1], rows = columns > 0 ? lt_numel(y) / columns : 0;
    float *row = malloc((size_t)(columns + 1) * sizeof *row);
    uint8_t *wanted = malloc((size_t)columns + 1);
    bool equal = row && wanted && lt_numel(scale) == rows;
    for (int64_t i = 0; equal && i < rows; i++) {
        for (int64_t c = 0; c < columns; c++) row[c] = (float)lt_check_get(y, i * columns + c);
        equal = (double)lt_e4m3_row(row, columns, wanted) == lt_check_get(scale, i);
        for (int64_t c = 0; equal && c < columns; c++)
            equal = (double)lt_e4m3_to_f32(wanted[c]) == lt_check_get(codes, i * columns + c);
    }
    free(row);
    free(wanted);
    return equal;
}

lt_tensor lt_check_ids(lt_check *check, int bound, int ndim, const int64_t *shape) {
    lt_rng_key key = {
        .seed = check->seed, .purpose = LT_RNG_TEST, .clip = (uint64_t)check->count[check->pass]};
    lt_tensor t = operand_new(check, LT_CHECK_INPUT, LT_I32, ndim, shape)->tensor;
    lt_rng_stream stream = lt_rng_open(&key, LT_RNG_WORDS);
    for (int64_t i = 0; !lt_is_empty(&t) && i < lt_numel(&t); i++)
        put_value_at(&t, i, (double)(lt_rng_words(&stream, (uint64_t)i).w[0] % (uint32_t)bound));
    return t;
}

/* FNV-1a over the bytes. */
static uint64_t sum_of(const lt_tensor *t) {
    uint64_t sum = 0xcbf29ce484222325u;
    const unsigned char *bytes = t->data;
    for (size_t i = 0; i < lt_nbytes(t); i++) sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

static bool guards_stand(const lt_check_operand *operand) {
    const char *after = operand->slab + GUARD_BYTES + lt_nbytes(&operand->tensor);
    for (size_t i = 0; i < GUARD_BYTES; i++)
        if ((unsigned char)operand->slab[i] != guard_byte) return false;
    for (size_t i = 0; i < guard_after(); i++)
        if ((unsigned char)after[i] != guard_byte) return false;
    return true;
}

void lt_check_before(lt_check *check) {
    lt_check_operand *operands = check->operands[check->pass];
    for (int i = 0; i < check->count[check->pass]; i++)
        if (operands[i].role == LT_CHECK_INPUT) operands[i].sum = sum_of(&operands[i].tensor);
}

void lt_check_after(lt_check *check, lt_status status) {
    record(check, status, lt_error());
    lt_check_operand *operands = check->operands[check->pass];
    char text[96];
    for (int i = 0; i < check->count[check->pass]; i++) {
        snprintf(text, sizeof text, "operand %d: memory before or after it was overwritten", i);
        if (!guards_stand(&operands[i])) record(check, LT_FAILED, text);
        snprintf(text, sizeof text, "operand %d is an input, but the op changed it", i);
        if (operands[i].role == LT_CHECK_INPUT && operands[i].sum != sum_of(&operands[i].tensor))
            record(check, LT_FAILED, text);
    }
}

/* <dy, y> of one forward call. */
static lt_status loss_of(lt_check *check, lt_op_id forward, const void *args, int outputs, const lt_tensor *y,
                         const lt_tensor *dy, double *loss) {
    LT_TRY(lt_op_run(&check->ctx, forward, args));
    *loss = 0;
    for (int o = 0; o < outputs; o++)
        for (int64_t i = 0; i < lt_numel(&y[o]); i++)
            *loss += lt_check_get(&y[o], i) * lt_check_get(&dy[o], i);
    return LT_OK;
}

static lt_status differences(lt_check *check, const char *what, lt_op_id forward, const void *args,
                             int outputs, const lt_tensor *y, const lt_tensor *dy, lt_tensor x,
                             const lt_tensor *dx) {
    lt_tensor expected = *dx;
    size_t bytes = (size_t)lt_numel(dx) * sizeof(double);
    double *values = malloc(bytes);
    LT_CHECK(values, LT_FAILED, "%s: out of memory", what);
    expected = lt_tensor_of(values, LT_F64, dx->ndim, dx->shape);
    lt_status status = LT_OK;
    for (int64_t i = 0; status == LT_OK && i < lt_numel(&x); i++) {
        double at = lt_check_get(&x, i), step = 1e-5 * fmax(1, fabs(at)), above = 0, below = 0;
        put_value_at(&x, i, at + step);
        status = loss_of(check, forward, args, outputs, y, dy, &above);
        put_value_at(&x, i, at - step);
        if (status == LT_OK) status = loss_of(check, forward, args, outputs, y, dy, &below);
        put_value_at(&x, i, at);
        values[i] = (above - below) / (2 * step);
    }
    if (status == LT_OK) status = lt_compare(what, dx, &expected, LT_TOL_DIFFERENCES);
    free(values);
    return status;
}

void lt_check_gradient(lt_check *check, const char *what, lt_op_id forward, const void *args, int outputs,
                       const lt_tensor *y, const lt_tensor *dy, lt_tensor x, const lt_tensor *dx) {
    if (check->pass != 0 || check->status != LT_OK || check->skipped) return;
    if (lt_numel(&x) != lt_numel(dx)) record(check, LT_FAILED, "gradient of another size than its tensor");
    else record(check, differences(check, what, forward, args, outputs, y, dy, x, dx), lt_error());
}
