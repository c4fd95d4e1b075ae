/* Declaring, placing and initialising parameters. Files and layouts are in params_io.c. */
#include "model/params.h"

#include "core/rng.h"
#include "kernels/elementwise/elementwise.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARAMS = 8192, MAX_PUBLISHED = 16384 };

void lt_params_init(lt_params *params, lt_device *device, lt_dtype dtype) {
    memset(params, 0, sizeof *params);
    params->device = device;
    params->dtype = params->matrix_dtype = dtype;
}

void lt_params_free(lt_params *params) {
    free(params->items);
    free(params->published);
    lt_pool_free(&params->pool);
    memset(params, 0, sizeof *params);
}

/* Room for one more element of an array that grows by doubling; false when out of memory. */
static bool grow(void **items, int count, size_t size) {
    if (count & (count - 1)) return true;
    void *more = realloc(*items, (size_t)(count ? 2 * count : 1) * size);
    if (more) *items = more;
    return more != NULL;
}

lt_param *lt_params_add(lt_params *params, bool decay, int ndim, const int64_t *shape) {
    lt_param *param = lt_pool_alloc(&params->pool, sizeof *param);
    if (!param) return NULL;
    if (ndim < 0 || ndim > LT_MAX_DIMS) {
        lt_fail(LT_FAILED, "a parameter of %d dimensions, at most %d", ndim, LT_MAX_DIMS);
        return NULL;
    }
    if (params->count >= MAX_PARAMS || !grow((void **)&params->items, params->count, sizeof param)) {
        lt_fail(LT_FAILED, "too many parameters (%d)", params->count);
        return NULL;
    }
    param->decay = decay;
    param->trainable = true;
    param->ndim = ndim;
    memcpy(param->shape, shape, ndim * sizeof *shape);
    params->items[params->count++] = param;
    return param;
}

void lt_params_fix(lt_param *param) {
    param->fixed = true;
    param->trainable = false;
    param->var.needs_grad = false;
}

static int64_t product(int ndim, const int64_t *shape) {
    int64_t count = 1;
    for (int i = 0; i < ndim; i++) count *= shape[i];
    return count;
}

lt_status lt_params_publish(lt_params *params, lt_init init, double scale, const int *axes, int ndim,
                            const int64_t *shape, const char *name_format, ...) {
    LT_CHECK(params->count > 0, LT_FAILED, "publish: no parameter was added");
    LT_CHECK(ndim >= 0 && ndim <= LT_MAX_DIMS, LT_FAILED, "%s: %d dimensions, at most %d", name_format, ndim,
             LT_MAX_DIMS);
    LT_CHECK(params->published_count < MAX_PUBLISHED &&
                 grow((void **)&params->published, params->published_count, sizeof *params->published),
             LT_FAILED, "out of memory for the names of %d parameters", params->published_count);
    int owner = params->count - 1;
    lt_published p = {
        .ndim = ndim, .init = init, .scale = scale, .param = owner, .count = product(ndim, shape)};
    for (int i = 0; i < ndim; i++) p.shape[i] = shape[i], p.axes[i] = axes ? axes[i] : i;
    if (params->published_count > 0) {
        const lt_published *last = &params->published[params->published_count - 1];
        if (last->param == owner) p.offset = last->offset + last->count;
    }
    va_list arguments;
    va_start(arguments, name_format);
    vsnprintf(p.name, sizeof p.name, name_format, arguments);
    va_end(arguments);
    const lt_param *param = params->items[owner];
    LT_CHECK(p.offset + p.count <= product(param->ndim, param->shape), LT_FAILED,
             "%s: does not fit its parameter", p.name);
    params->published[params->published_count++] = p;
    return LT_OK;
}

static bool is_e4m3(const lt_params *params, const lt_param *param) { return params->e4m3 && param->narrow; }

static lt_dtype value_dtype(const lt_params *params, const lt_param *param) {
    if (is_e4m3(params, param)) return LT_E4M3;
    return param->matrix ? params->matrix_dtype : params->dtype;
}
static bool has_master(const lt_params *params, const lt_param *param) {
    return value_dtype(params, param) != params->dtype;
}

static size_t aligned(int64_t count, lt_dtype dtype) {
    size_t bytes = (size_t)count * lt_dtype_size(dtype);
    return (bytes + LT_ARENA_ALIGN - 1) / LT_ARENA_ALIGN * LT_ARENA_ALIGN;
}

static size_t arena_bytes(const lt_param *param, lt_dtype dtype) {
    return aligned(product(param->ndim, param->shape), dtype);
}

/* Of the matrix that the last dimension makes of it. */
static int64_t rows_of(const lt_param *param) { return product(param->ndim - 1, param->shape); }

size_t lt_params_bytes(const lt_params *params) {
    size_t bytes = 0;
    for (int i = 0; i < params->count; i++) bytes += arena_bytes(params->items[i], params->dtype);
    return bytes;
}

size_t lt_params_value_bytes(const lt_params *params) {
    size_t bytes = 0;
    for (int i = 0; i < params->count; i++) {
        const lt_param *param = params->items[i];
        bytes += arena_bytes(param, value_dtype(params, param));
        if (is_e4m3(params, param)) bytes += aligned(rows_of(param), params->dtype);
    }
    return bytes;
}

size_t lt_params_master_bytes(const lt_params *params) {
    size_t bytes = 0;
    for (int i = 0; i < params->count; i++)
        if (has_master(params, params->items[i])) bytes += arena_bytes(params->items[i], params->dtype);
    return bytes;
}

int64_t lt_params_numel(const lt_params *params) {
    int64_t count = 0;
    for (int i = 0; i < params->count; i++) count += product(params->items[i]->ndim, params->items[i]->shape);
    return count;
}

lt_status lt_params_allocate(lt_params *params, lt_arena *weights, lt_arena *grads, lt_arena *moments,
                             lt_arena *ema) {
    for (int i = 0; i < params->count; i++) {
        lt_param *p = params->items[i];
        LT_TRY(lt_tensor_new(weights, value_dtype(params, p), &p->var.value, p->ndim, p->shape));
        if (is_e4m3(params, p)) LT_TRY(LT_NEW(weights, params->dtype, &p->var.scale, rows_of(p)));
        if (grads) LT_TRY(lt_tensor_new(grads, params->dtype, &p->var.grad, p->ndim, p->shape));
        p->var.needs_grad = grads && p->trainable;
        if (ema) LT_TRY(lt_tensor_new(ema, params->dtype, &p->ema, p->ndim, p->shape));
        if (!moments) continue;
        if (has_master(params, p))
            LT_TRY(lt_tensor_new(moments, params->dtype, &p->master, p->ndim, p->shape));
        LT_TRY(lt_tensor_new(moments, params->dtype, &p->m, p->ndim, p->shape));
        LT_TRY(lt_tensor_new(moments, params->dtype, &p->v, p->ndim, p->shape));
    }
    return LT_OK;
}

static void initial_values(const lt_published *p, uint64_t seed, double *out) {
    lt_rng_key key = {
        .seed = seed, .purpose = LT_RNG_INIT, .clip = lt_hash(p->name, strlen(p->name), LT_HASH_SEED)};
    double bound = p->scale / sqrt((double)(p->count / p->shape[0]));
#pragma omp parallel for schedule(static) if (p->count > 1 << 16)
    for (int64_t i = 0; i < p->count; i++) {
        switch (p->init) {
        case LT_INIT_ZERO: out[i] = 0; break;
        case LT_INIT_ONE: out[i] = 1; break;
        case LT_INIT_NORMAL: out[i] = (float)(p->scale * lt_rng_normal(&key, i)); break;
        case LT_INIT_FAN_IN: out[i] = (float)(bound * (2 * lt_rng_uniform(&key, i) - 1)); break;
        }
    }
}

lt_status lt_params_reset_ema(lt_params *params) {
    for (int i = 0; i < params->count; i++) {
        lt_param *p = params->items[i];
        if (lt_is_empty(&p->ema)) continue;
        const lt_tensor *from = lt_is_empty(&p->master) ? &p->var.value : &p->master;
        LT_CHECK(from->dtype == p->ema.dtype, LT_FAILED, "EMA of bf16 weights without masters");
        LT_TRY(lt_device_copy(params->device, NULL, p->ema.data, from->data, lt_nbytes(&p->ema),
                              LT_COPY_ON_DEVICE));
    }
    return LT_OK;
}

/* One parameter at a time: what else the device copies to the host meanwhile waits for one of them at most. */
lt_status lt_params_copy_to_pinned(const lt_params *from, lt_params *to, lt_stream *stream) {
    for (int i = 0; i < from->count; i++) {
        const lt_param *p = from->items[i], *q = to->items[i];
        const lt_tensor *value = lt_is_empty(&p->master) ? &p->var.value : &p->master;
        const lt_tensor *pairs[][2] = {
            {value, &q->var.value}, {&p->ema, &q->ema}, {&p->m, &q->m}, {&p->v, &q->v}};
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
            const lt_tensor *a = pairs[k][0], *b = pairs[k][1];
            LT_CHECK(a->dtype == b->dtype && lt_nbytes(a) == lt_nbytes(b), LT_FAILED,
                     "parameter %d of a twin is %s of %lld bytes, expected %s of %lld", i,
                     lt_dtype_name(b->dtype), (long long)lt_nbytes(b), lt_dtype_name(a->dtype),
                     (long long)lt_nbytes(a));
            LT_TRY(lt_device_copy(from->device, stream, b->data, a->data, lt_nbytes(a), LT_COPY_TO_PINNED));
        }
    }
    return LT_OK;
}

static lt_status initialise_one(lt_params *params, lt_param_copy copy, const lt_published *p, uint64_t seed) {
    double *values = malloc(p->count * sizeof *values);
    LT_CHECK(values, LT_FAILED, "%s: out of memory", p->name);
    initial_values(p, seed, values);
    lt_status status = lt_params_set(params, copy, p, values);
    free(values);
    return status;
}

lt_status lt_params_initialise_missing(lt_params *params, uint64_t seed) {
    if (lt_device_is_null(params->device) || !*params->missing) return LT_OK;
    for (int i = 0; i < params->published_count; i++) {
        const lt_published *p = &params->published[i];
        if (strncmp(p->name, params->optional, strlen(params->optional)) != 0) continue;
        LT_TRY(initialise_one(params, LT_COPY_VALUE, p, seed));
        if (!lt_is_empty(&params->items[p->param]->ema)) LT_TRY(initialise_one(params, LT_COPY_EMA, p, seed));
    }
    return LT_OK;
}

lt_status lt_params_initialise(lt_params *params, uint64_t seed) {
    if (lt_device_is_null(params->device)) return LT_OK;
    for (int i = 0; i < params->published_count; i++)
        LT_TRY(initialise_one(params, LT_COPY_VALUE, &params->published[i], seed));
    for (int i = 0; i < params->count; i++) {
        lt_param *p = params->items[i];
        if (!lt_is_empty(&p->m)) LT_TRY(lt_tensor_zero(params->device, NULL, &p->m));
        if (!lt_is_empty(&p->v)) LT_TRY(lt_tensor_zero(params->device, NULL, &p->v));
    }
    return lt_params_reset_ema(params);
}

/* Does `name` match one of the comma-separated patterns? */
static bool matches(const char *patterns, const char *name) {
    if (!patterns) return true;
    char one[256];
    for (const char *at = patterns; *at;) {
        size_t length = strcspn(at, ",");
        snprintf(one, sizeof one, "%.*s", (int)length, at);
        if (fnmatch(one, name, 0) == 0) return true;
        at += length + (at[length] == ',');
    }
    return false;
}

int lt_params_set_trainable(lt_params *params, const char *pattern, bool trainable) {
    int changed = 0;
    for (int i = 0; i < params->published_count; i++) {
        lt_param *p = params->items[params->published[i].param];
        if (p->fixed || !matches(pattern, params->published[i].name)) continue;
        p->trainable = trainable;
        p->var.needs_grad = trainable && !lt_is_empty(&p->var.grad);
        changed++;
    }
    return changed;
}

void lt_params_clear_grads(lt_params *params) {
    for (int i = 0; i < params->count; i++) params->items[i]->var.has_grad = false;
}

lt_status lt_param_fill_grad(lt_param *param, lt_ctx *ctx) {
    lt_var *var = &param->var;
    if (!var->needs_grad || var->has_grad) return LT_OK;
    var->has_grad = true;
    return lt_tensor_zero(ctx->device, ctx->stream, &var->grad);
}

lt_status lt_params_fill_grads(lt_params *params, lt_ctx *ctx) {
    for (int i = 0; i < params->count; i++) LT_TRY(lt_param_fill_grad(params->items[i], ctx));
    return LT_OK;
}

lt_status lt_params_refresh(lt_params *params, lt_ctx *ctx) {
    for (int i = 0; i < params->count; i++) {
        lt_param *p = params->items[i];
        if (lt_is_empty(&p->master)) continue;
        lt_copy_args cast = {.x = p->master, .y = p->var.value, .scale = 1};
        LT_TRY(lt_copy(ctx, &cast));
    }
    return LT_OK;
}

lt_status lt_params_swap_ema(lt_params *params, lt_ctx *ctx) {
    LT_CHECK(params->count == 0 || !lt_is_empty(&params->items[0]->ema), LT_FAILED,
             "these parameters have no EMA");
    for (int i = 0; i < params->count; i++) {
        lt_param *p = params->items[i];
        lt_tensor *with = lt_is_empty(&p->master) ? &p->var.value : &p->master;
        lt_tensor value = *with;
        *with = p->ema;
        p->ema = value;
    }
    return lt_params_refresh(params, ctx);
}
