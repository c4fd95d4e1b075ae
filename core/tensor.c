#include "core/tensor.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[LT_DTYPE_COUNT] = {
    [LT_F32] = {"f32", 4}, [LT_F64] = {"f64", 8}, [LT_BF16] = {"bf16", 2}, [LT_F16] = {"f16", 2},
    [LT_I64] = {"i64", 8}, [LT_I32] = {"i32", 4}, [LT_U8] = {"u8", 1},     [LT_E4M3] = {"e4m3", 1},
};

static bool known_dtype(lt_dtype dtype) { return (unsigned)dtype < LT_DTYPE_COUNT; }
size_t lt_dtype_size(lt_dtype dtype) { return known_dtype(dtype) ? dtypes[dtype].size : 0; }
const char *lt_dtype_name(lt_dtype dtype) { return known_dtype(dtype) ? dtypes[dtype].name : "unknown"; }

bool lt_dtype_parse(const char *name, lt_dtype *out) {
    for (int i = 0; i < LT_DTYPE_COUNT; i++) {
        if (strcmp(name, dtypes[i].name) != 0) continue;
        *out = (lt_dtype)i;
        return true;
    }
    return false;
}

/* Whether the shape is one, and its bytes: a size that overflows would pass every later bound check. */
static bool shape_bytes(lt_dtype dtype, int ndim, const int64_t *shape, int64_t *bytes) {
    if (!known_dtype(dtype) || ndim < 0 || ndim > LT_MAX_DIMS) return false;
    int64_t count = 1;
    bool empty = false;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0) return false;
        if (shape[i] == 0) empty = true;
        else if (__builtin_mul_overflow(count, shape[i], &count)) return false;
    }
    if (__builtin_mul_overflow(count, (int64_t)lt_dtype_size(dtype), bytes)) return false;
    if (empty) *bytes = 0;
    return true;
}

static void set_contiguous(lt_tensor *t, int ndim, const int64_t *shape) {
    t->ndim = ndim;
    int64_t stride = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        t->shape[i] = shape[i];
        t->stride[i] = stride;
        stride *= shape[i];
    }
}

typedef lt_status (*alloc_fn)(lt_arena *arena, size_t bytes, void **out);

static lt_status new_by(alloc_fn alloc, lt_arena *arena, lt_dtype dtype, lt_tensor *out, int ndim,
                        const int64_t *shape) {
    *out = (lt_tensor){.dtype = dtype};
    int64_t bytes;
    if (!shape_bytes(dtype, ndim, shape, &bytes)) {
        lt_tensor asked = {.dtype = dtype, .ndim = ndim < 0 || ndim > LT_MAX_DIMS ? 0 : ndim};
        if (asked.ndim) memcpy(asked.shape, shape, (size_t)ndim * sizeof *shape);
        char text[160];
        return lt_fail(LT_FAILED,
                       "memory for %s: %s with %d dimensions is not a tensor: 0 to %d dimensions, none "
                       "negative, fewer than 2^63 bytes",
                       arena->role, lt_tensor_text(&asked, text, sizeof text), ndim, LT_MAX_DIMS);
    }
    void *data;
    LT_TRY(alloc(arena, (size_t)bytes, &data));
    out->data = data;
    set_contiguous(out, ndim, shape);
    return LT_OK;
}

lt_status lt_tensor_new(lt_arena *arena, lt_dtype dtype, lt_tensor *out, int ndim, const int64_t *shape) {
    return new_by(lt_arena_alloc, arena, dtype, out, ndim, shape);
}

lt_status lt_tensor_new_far(lt_arena *arena, lt_dtype dtype, lt_tensor *out, int ndim, const int64_t *shape) {
    return new_by(lt_arena_alloc_far, arena, dtype, out, ndim, shape);
}

lt_tensor lt_tensor_of(void *data, lt_dtype dtype, int ndim, const int64_t *shape) {
    lt_tensor t = {.dtype = dtype};
    int64_t bytes;
    if (!data || !shape_bytes(dtype, ndim, shape, &bytes)) return t;
    t.data = data;
    set_contiguous(&t, ndim, shape);
    return t;
}

lt_tensor lt_reshape(lt_tensor t, int ndim, const int64_t *shape) {
    lt_tensor reshaped = lt_tensor_of(t.data, t.dtype, ndim, shape);
    bool same = reshaped.data && lt_is_contiguous(&t) && lt_numel(&t) == lt_numel(&reshaped);
    return same ? reshaped : (lt_tensor){.dtype = t.dtype};
}

static lt_tensor offset_by(lt_tensor t, int64_t elements) {
    t.data = (char *)t.data + elements * (int64_t)lt_dtype_size(t.dtype);
    return t;
}

lt_tensor lt_slice(lt_tensor t, int dim, int64_t start, int64_t length) {
    bool inside = t.data && dim >= 0 && dim < t.ndim && start >= 0 && length >= 0 && start <= t.shape[dim] &&
                  length <= t.shape[dim] - start;
    if (!inside) return (lt_tensor){.dtype = t.dtype};
    t.shape[dim] = length;
    return length ? offset_by(t, start * t.stride[dim]) : t;
}

lt_tensor lt_select(lt_tensor t, int dim, int64_t index) {
    t = lt_slice(t, dim, index, 1);
    if (!t.data) return t;
    t.ndim--;
    for (int i = dim; i < t.ndim; i++) t.shape[i] = t.shape[i + 1], t.stride[i] = t.stride[i + 1];
    t.shape[t.ndim] = t.stride[t.ndim] = 0;
    return t;
}

lt_tensor lt_split(lt_tensor t, int dim, int64_t outer, int64_t inner) {
    int64_t product;
    bool fits = t.data && t.ndim < LT_MAX_DIMS && dim >= 0 && dim < t.ndim && outer >= 0 && inner >= 0 &&
                !__builtin_mul_overflow(outer, inner, &product) && product == t.shape[dim];
    if (!fits) return (lt_tensor){.dtype = t.dtype};
    for (int i = t.ndim; i > dim; i--) t.shape[i] = t.shape[i - 1], t.stride[i] = t.stride[i - 1];
    t.ndim++;
    t.shape[dim] = outer;
    t.shape[dim + 1] = inner;
    t.stride[dim] = t.stride[dim + 1] * inner;
    return t;
}

int64_t lt_numel(const lt_tensor *t) {
    int64_t count = 1;
    for (int i = 0; i < t->ndim; i++) count *= t->shape[i];
    return count;
}

size_t lt_nbytes(const lt_tensor *t) { return (size_t)lt_numel(t) * lt_dtype_size(t->dtype); }

/* Dimensions of size 1 take no steps, so their stride does not matter. */
static bool dense_from(const lt_tensor *t, int first) {
    int64_t expected = 1;
    for (int i = t->ndim - 1; i >= first; i--) {
        if (t->shape[i] != 1 && t->stride[i] != expected) return false;
        expected *= t->shape[i];
    }
    return true;
}

bool lt_is_contiguous(const lt_tensor *t) { return lt_numel(t) == 0 || dense_from(t, 0); }

bool lt_same_shape(const lt_tensor *a, const lt_tensor *b) {
    return a->ndim == b->ndim && memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0;
}

bool lt_as_rows(const lt_tensor *t, int inner, int64_t *rows, int64_t *columns, int64_t *ld) {
    if (!t->data || inner < 0 || inner > t->ndim) return false;
    int leading = t->ndim - inner;
    *rows = *columns = 1;
    for (int i = 0; i < leading; i++) *rows *= t->shape[i];
    for (int i = leading; i < t->ndim; i++) *columns *= t->shape[i];
    *ld = *columns > 0 ? *columns : 1;
    if (*rows == 0 || *columns == 0) return true;
    if (!dense_from(t, leading)) return false;
    if (*rows == 1) return true;
    int64_t expected = 0; /* the stride that continues the rows collapsed so far; 0: none yet */
    for (int i = leading - 1; i >= 0; i--) {
        if (t->shape[i] == 1) continue;
        if (expected == 0) *ld = t->stride[i];
        else if (t->stride[i] != expected) return false;
        expected = t->stride[i] * t->shape[i];
        if (*ld < *columns) return false; /* rows that overlap are no matrix */
    }
    return true;
}

char *lt_tensor_text(const lt_tensor *t, char *text, size_t size) {
    int used = snprintf(text, size, "%s[", lt_dtype_name(t->dtype));
    for (int i = 0; i < t->ndim && used >= 0 && (size_t)used < size; i++)
        used += snprintf(text + used, size - (size_t)used, "%s%lld", i ? "," : "", (long long)t->shape[i]);
    if (used >= 0 && (size_t)used < size) snprintf(text + used, size - (size_t)used, "]");
    return text;
}

static lt_status check_plain(const lt_tensor *t, const char *what) {
    char text[160];
    LT_CHECK(t->data, LT_FAILED, "%s: the tensor %s has no memory", what,
             lt_tensor_text(t, text, sizeof text));
    LT_CHECK(lt_is_contiguous(t), LT_FAILED, "%s: the tensor %s is not contiguous", what,
             lt_tensor_text(t, text, sizeof text));
    return LT_OK;
}

lt_status lt_tensor_to_host(lt_device *device, lt_stream *stream, const lt_tensor *t, void *host) {
    LT_TRY(check_plain(t, "copy to the host"));
    LT_TRY(lt_device_copy(device, stream, host, t->data, lt_nbytes(t), LT_COPY_TO_HOST));
    return lt_device_synchronize(device, stream);
}

lt_status lt_tensor_from_host(lt_device *device, lt_stream *stream, lt_tensor *t, const void *host) {
    LT_TRY(check_plain(t, "copy from the host"));
    return lt_device_copy(device, stream, t->data, host, lt_nbytes(t), LT_COPY_TO_DEVICE);
}

lt_status lt_tensor_zero(lt_device *device, lt_stream *stream, lt_tensor *t) {
    LT_TRY(check_plain(t, "zero"));
    return lt_device_fill(device, stream, t->data, 0, lt_nbytes(t));
}
