/* Parameters in published layout: host access, safetensors files, hashes. */
#include "model/params.h"

#include "core/log.h"
#include "core/rng.h"
#include "kernels/e4m3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lt_tensor *copy_of(const lt_param *param, lt_param_copy copy) {
    switch (copy) {
    case LT_COPY_EMA: return &param->ema;
    case LT_COPY_M: return &param->m;
    case LT_COPY_V: return &param->v;
    default: return lt_is_empty(&param->master) ? &param->var.value : &param->master;
    }
}

/* The published tensor's own elements inside the parameter's storage, as a flat tensor. */
static lt_status storage_of(const lt_tensor *whole, const lt_published *p, lt_tensor *out) {
    LT_CHECK(!lt_is_empty(whole), LT_FAILED, "%s: this copy was not allocated", p->name);
    *out = lt_slice(LT_RESHAPE(*whole, lt_numel(whole)), 0, p->offset, p->count);
    return LT_OK;
}

enum { PARALLEL_FROM = 1 << 16 }; /* elements */

static bool stored_as_published(const lt_published *p) {
    for (int d = 0; d < p->ndim; d++)
        if (p->axes[d] != d) return false;
    return true;
}

/* to[stored order] = from[published order], or the reverse. */
static void permute(const lt_published *p, const double *from, double *to, bool to_storage) {
    int64_t stride[5] = {0}, index[5] = {0};
    int64_t n = 1;
    if (stored_as_published(p)) {
#pragma omp parallel for schedule(static) if (p->count >= PARALLEL_FROM)
        for (int64_t i = 0; i < p->count; i++) to[i] = from[i];
        return;
    }
    for (int d = p->ndim - 1; d >= 0; d--) stride[d] = n, n *= p->shape[d];
    for (int64_t i = 0; i < p->count; i++) {
        int64_t at = 0;
        for (int d = 0; d < p->ndim; d++) at += index[d] * stride[p->axes[d]];
        if (to_storage) to[i] = from[at];
        else to[at] = from[i];
        for (int d = p->ndim - 1; d >= 0 && ++index[d] == p->shape[p->axes[d]]; d--) index[d] = 0;
    }
}

static lt_status read_bf16(lt_device *device, const lt_tensor *flat, double *out) {
    int64_t n = lt_numel(flat);
    uint16_t *narrow = malloc(n * sizeof *narrow);
    LT_CHECK(narrow, LT_FAILED, "out of memory for %lld values", (long long)n);
    lt_status status = lt_tensor_to_host(device, NULL, flat, narrow);
#pragma omp parallel for schedule(static) if (n >= PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) out[i] = status == LT_OK ? lt_bf16_to_f32(narrow[i]) : 0;
    free(narrow);
    return status;
}

static lt_status write_bf16(lt_device *device, lt_tensor *flat, const double *in) {
    int64_t n = lt_numel(flat);
    uint16_t *narrow = malloc(n * sizeof *narrow);
    LT_CHECK(narrow, LT_FAILED, "out of memory for %lld values", (long long)n);
#pragma omp parallel for schedule(static) if (n >= PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) narrow[i] = lt_f32_to_bf16((float)in[i]);
    lt_status status = lt_tensor_from_host(device, NULL, flat, narrow);
    free(narrow);
    return status;
}

/* Host doubles <-> a flat device tensor of a floating dtype. */
static lt_status read_flat(lt_device *device, const lt_tensor *flat, double *out) {
    int64_t n = lt_numel(flat);
    if (flat->dtype == LT_F64) return lt_tensor_to_host(device, NULL, flat, out);
    if (flat->dtype == LT_BF16) return read_bf16(device, flat, out);
    char *half =
        (char *)out + n * sizeof(float); /* the upper half of `out` holds the floats while they widen */
    LT_TRY(lt_tensor_to_host(device, NULL, flat, half));
    for (int64_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, half + i * sizeof value, sizeof value);
        out[i] = value;
    }
    return LT_OK;
}

static lt_status write_flat(lt_device *device, lt_tensor *flat, const double *in) {
    int64_t n = lt_numel(flat);
    if (flat->dtype == LT_F64) return lt_tensor_from_host(device, NULL, flat, in);
    if (flat->dtype == LT_BF16) return write_bf16(device, flat, in);
    float *narrow = malloc(n * sizeof *narrow);
    LT_CHECK(narrow, LT_FAILED, "out of memory for %lld values", (long long)n);
#pragma omp parallel for schedule(static) if (n >= PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) narrow[i] = (float)in[i];
    lt_status status = lt_tensor_from_host(device, NULL, flat, narrow);
    free(narrow);
    return status;
}

/* Matrices in e4m3: a published tensor is whole rows of one, each with its scale. */
typedef struct narrow_rows {
    lt_tensor codes, scales; /* flat */
    int64_t rows, columns;
    uint8_t *code; /* on the host */
    float *scale;
} narrow_rows;

static lt_status open_rows(const lt_var *var, const lt_published *p, narrow_rows *r) {
    LT_TRY(storage_of(&var->value, p, &r->codes));
    r->columns = var->value.shape[var->value.ndim - 1], r->rows = p->count / r->columns;
    r->scales = lt_slice(var->scale, 0, p->offset / r->columns, r->rows);
    r->scale = malloc((size_t)r->rows * sizeof *r->scale + (size_t)p->count);
    LT_CHECK(r->scale, LT_FAILED, "%s: out of memory", p->name);
    r->code = (uint8_t *)(r->scale + r->rows);
    return LT_OK;
}

static lt_status read_rows(lt_device *device, const lt_var *var, const lt_published *p, double *out) {
    narrow_rows r;
    LT_TRY(open_rows(var, p, &r));
    lt_status status = lt_tensor_to_host(device, NULL, &r.codes, r.code);
    if (status == LT_OK) status = lt_tensor_to_host(device, NULL, &r.scales, r.scale);
    for (int64_t i = 0; status == LT_OK && i < p->count; i++)
        out[i] = (double)lt_e4m3_to_f32(r.code[i]) * (double)r.scale[i / r.columns];
    free(r.scale);
    return status;
}

static lt_status write_rows(lt_device *device, const lt_var *var, const lt_published *p, const double *in) {
    narrow_rows r;
    LT_TRY(open_rows(var, p, &r));
    float *single = malloc((size_t)p->count * sizeof *single);
#pragma omp parallel for schedule(static) if (p->count >= PARALLEL_FROM)
    for (int64_t row = 0; row < r.rows; row++) {
        int64_t at = row * r.columns;
        if (!single) continue;
        for (int64_t i = at; i < at + r.columns; i++) single[i] = (float)in[i];
        r.scale[row] = lt_e4m3_row(single + at, r.columns, r.code + at);
    }
    lt_status status = single ? lt_tensor_from_host(device, NULL, &r.codes, r.code)
                              : lt_fail(LT_FAILED, "%s: out of memory", p->name);
    if (status == LT_OK) status = lt_tensor_from_host(device, NULL, &r.scales, r.scale);
    free(single);
    free(r.scale);
    return status;
}

static lt_status get_from(const lt_params *params, const lt_tensor *whole, const lt_published *p,
                          double *out) {
    const lt_var *var = &params->items[p->param]->var;
    lt_tensor flat;
    LT_TRY(storage_of(whole, p, &flat));
    double *stored = malloc(p->count * sizeof *stored);
    LT_CHECK(stored, LT_FAILED, "%s: out of memory", p->name);
    lt_status status = whole->dtype == LT_E4M3 ? read_rows(params->device, var, p, stored)
                                               : read_flat(params->device, &flat, stored);
    if (status == LT_OK) permute(p, stored, out, false);
    free(stored);
    return status;
}

lt_status lt_params_get(const lt_params *params, lt_param_copy copy, const lt_published *p, double *out) {
    return get_from(params, copy_of(params->items[p->param], copy), p, out);
}

lt_status lt_params_get_grad(const lt_params *params, const lt_published *p, double *out) {
    return get_from(params, &params->items[p->param]->var.grad, p, out);
}

static lt_status write_into(const lt_params *params, const lt_tensor *whole, const lt_published *p,
                            const double *stored) {
    lt_tensor flat;
    if (whole->dtype == LT_E4M3) return write_rows(params->device, &params->items[p->param]->var, p, stored);
    LT_TRY(storage_of(whole, p, &flat));
    return write_flat(params->device, &flat, stored);
}

lt_status lt_params_set(lt_params *params, lt_param_copy copy, const lt_published *p, const double *in) {
    const lt_param *param = params->items[p->param];
    bool works = copy == LT_COPY_VALUE && !lt_is_empty(&param->master); /* the working copy follows */
    double *stored = malloc(p->count * sizeof *stored);
    LT_CHECK(stored, LT_FAILED, "%s: out of memory", p->name);
    permute(p, in, stored, true);
    lt_status status = write_into(params, copy_of(param, copy), p, stored);
    if (status == LT_OK && works) status = write_into(params, &param->var.value, p, stored);
    free(stored);
    return status;
}

const lt_published *lt_params_find(const lt_params *params, const char *name) {
    for (int i = 0; i < params->published_count; i++)
        if (strcmp(params->published[i].name, name) == 0) return &params->published[i];
    return NULL;
}

/* One published tensor as float32 host memory at `to`. */
static lt_status fill_entry(const lt_params *params, lt_param_copy copy, const lt_published *p,
                            lt_st_entry *entry, float *to) {
    double *values = malloc(p->count * sizeof *values);
    LT_CHECK(values, LT_FAILED, "%s: out of memory", p->name);
    lt_status status = lt_params_get(params, copy, p, values);
    for (int64_t i = 0; i < p->count; i++) to[i] = (float)values[i];
    free(values);
    *entry = (lt_st_entry){p->name, lt_tensor_of(to, LT_F32, p->ndim, p->shape)};
    return status;
}

lt_status lt_params_save(const lt_params *params, lt_param_copy copy, const char *path,
                         const char *const (*metadata)[2], int metadata_count) {
    enum { MOST = 15 }; /* lt_st_write_hashed */
    const char *rows[MOST][2];
    lt_input_rows inputs;
    int input_count = lt_params_input_rows(params, &inputs);
    LT_CHECK(metadata_count + input_count <= MOST, LT_FAILED, "%s: %d rows of metadata", path,
             metadata_count + input_count);
    if (metadata_count) memcpy(rows, metadata, (size_t)metadata_count * sizeof *rows);
    memcpy(rows + metadata_count, inputs.row, (size_t)input_count * sizeof *rows);
    lt_st_entry *entries = calloc(params->published_count, sizeof *entries);
    float *data = malloc(lt_params_numel(params) * sizeof *data), *at = data;
    lt_status status = entries && data ? LT_OK : lt_fail(LT_FAILED, "%s: out of memory", path);
    for (int i = 0; status == LT_OK && i < params->published_count; i++) {
        status = fill_entry(params, copy, &params->published[i], &entries[i], at);
        at += params->published[i].count;
    }
    if (status == LT_OK)
        status = lt_st_write_hashed(path, entries, params->published_count, (const char *const(*)[2])rows,
                                    metadata_count + input_count);
    free(entries);
    free(data);
    return status;
}

static double element(const lt_tensor *t, int64_t i) {
    switch (t->dtype) {
    case LT_F64: return ((const double *)t->data)[i];
    case LT_BF16: return lt_bf16_to_f32(((const uint16_t *)t->data)[i]);
    case LT_F16: return lt_f16_to_f32(((const uint16_t *)t->data)[i]);
    default: return ((const float *)t->data)[i];
    }
}

/* The published shape, or what it is in a file with other inputs. */
static lt_status shape_in_file(const lt_st_file *file, const lt_published *p, lt_tensor *expected) {
    lt_input_map map;
    *expected = lt_tensor_of((void *)p, LT_F32, p->ndim, p->shape); /* only its shape is used */
    if (!p->inputs) return LT_OK;
    LT_TRY(lt_inputs_map(p->inputs, file, &map));
    expected->shape[p->ndim - 1] = map.width;
    return LT_OK;
}

static lt_status check_one(const lt_st_file *file, const lt_published *p) {
    char want[128], found[128];
    const lt_st_entry *entry = lt_st_find(file, p->name);
    LT_CHECK(entry, LT_INPUT, "the tensor %s is missing", p->name);
    const lt_tensor *t = &entry->tensor;
    lt_tensor expected;
    LT_TRY(shape_in_file(file, p, &expected));
    LT_CHECK(lt_same_shape(t, &expected), LT_INPUT, "%s is %s, expected %s", p->name,
             lt_tensor_text(t, found, sizeof found), lt_tensor_text(&expected, want, sizeof want));
    LT_CHECK(t->dtype == LT_F32 || t->dtype == LT_F64 || t->dtype == LT_BF16 || t->dtype == LT_F16, LT_INPUT,
             "%s has dtype %s, expected a floating one", p->name, lt_dtype_name(t->dtype));
    return LT_OK;
}

static lt_status load_one(lt_params *params, lt_param_copy copy, const lt_st_file *file,
                          const lt_published *p) {
    const lt_tensor *t = &lt_st_find(file, p->name)->tensor;
    lt_input_map map;
    if (p->inputs) LT_TRY(lt_inputs_map(p->inputs, file, &map));
    double *values = malloc(p->count * sizeof *values);
    LT_CHECK(values, LT_FAILED, "%s: out of memory", p->name);
    for (int64_t i = 0; i < p->count; i++) {
        int64_t at = p->inputs ? lt_inputs_at(p, &map, i) : i;
        values[i] = at < 0 ? 0 : element(t, at);
    }
    lt_status status = lt_params_set(params, copy, p, values);
    free(values);
    return status;
}

static bool is_optional(const lt_params *params, const char *name) {
    return params->optional && strncmp(name, params->optional, strlen(params->optional)) == 0;
}

static lt_status check_required(const lt_params *params, const lt_st_file *file) {
    for (int i = 0; i < params->published_count; i++)
        if (!is_optional(params, params->published[i].name)) LT_TRY(check_one(file, &params->published[i]));
    return LT_OK;
}

static lt_status check_optional(const lt_params *params, const lt_st_file *file) {
    for (int i = 0; i < params->published_count; i++)
        if (is_optional(params, params->published[i].name)) LT_TRY(check_one(file, &params->published[i]));
    for (int i = 0; i < lt_st_count(file); i++) {
        const char *name = lt_st_at(file, i)->name;
        LT_CHECK(!is_optional(params, name) || lt_params_find(params, name), LT_INPUT,
                 "the model has no tensor named %s", name);
    }
    return LT_OK;
}

/* Notes why what is optional is left out. A file that has nothing of it is no reason to say so. */
static void note_missing(lt_params *params, const lt_st_file *file, const char *path) {
    bool some = false;
    for (int i = 0; i < lt_st_count(file); i++) some = some || is_optional(params, lt_st_at(file, i)->name);
    if (some) snprintf(params->missing, sizeof params->missing, "%s: %s", path, lt_error());
    else
        snprintf(params->missing, sizeof params->missing, "%s: it has no tensors %s*", path,
                 params->optional);
    if (some) lt_warn("%s; without %s*, what needs it is refused", params->missing, params->optional);
}

static lt_status refuse_extra(const lt_params *params, const lt_st_file *file) {
    for (int i = 0; i < lt_st_count(file); i++)
        LT_CHECK(lt_params_find(params, lt_st_at(file, i)->name) ||
                     is_optional(params, lt_st_at(file, i)->name),
                 LT_INPUT, "the model has no tensor named %s", lt_st_at(file, i)->name);
    return LT_OK;
}

lt_status lt_params_load(lt_params *params, lt_param_copy copy, const char *path, bool allow_extra) {
    lt_st_file *file;
    if (copy == LT_COPY_VALUE) *params->missing = '\0';
    LT_TRY(lt_st_open(path, &file));
    lt_status status = allow_extra ? LT_OK : refuse_extra(params, file);
    if (status == LT_OK) status = lt_st_verify(file);
    if (status == LT_OK) status = check_required(params, file);
    bool all = status == LT_OK && check_optional(params, file) == LT_OK;
    if (status == LT_OK && !all) note_missing(params, file, path);
    for (int i = 0; status == LT_OK && i < params->published_count; i++)
        if (all || !is_optional(params, params->published[i].name))
            status = load_one(params, copy, file, &params->published[i]);
    lt_st_close(file);
    return status == LT_OK ? LT_OK : lt_fail_in(status, "%s", path);
}

lt_status lt_params_hash(const lt_params *params, uint64_t *out) {
    uint64_t hash = LT_HASH_SEED;
    for (int i = 0; i < params->published_count; i++) {
        const lt_published *p = &params->published[i];
        double *values = malloc(p->count * sizeof *values);
        LT_CHECK(values, LT_FAILED, "%s: out of memory", p->name);
        lt_status status = lt_params_get(params, LT_COPY_VALUE, p, values);
        hash = lt_hash(values, p->count * sizeof *values, hash);
        free(values);
        LT_TRY(status);
    }
    *out = hash;
    return LT_OK;
}
