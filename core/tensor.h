/* A tensor is a view: a pointer into device memory with a type, up to 6 dimensions and strides in elements.
 * It never owns memory (an lt_arena does), so copying the struct copies the view.
 *
 * Shapes are written outermost first: [batch, tokens, channels]. Offsets are 64-bit everywhere.
 */
#ifndef LT_CORE_TENSOR_H
#define LT_CORE_TENSOR_H

#include "core/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LT_MAX_DIMS 6

typedef enum lt_dtype {
    LT_F32,
    LT_F64,
    LT_BF16,
    LT_F16,
    LT_I64,
    LT_I32,
    LT_U8,
    LT_E4M3, /* 8 bits; a matrix of it has a scale for each row */
    LT_DTYPE_COUNT
} lt_dtype;

typedef struct lt_tensor {
    void *data;
    lt_dtype dtype;
    int ndim;
    int64_t shape[LT_MAX_DIMS];
    int64_t stride[LT_MAX_DIMS]; /* elements */
} lt_tensor;

/* Bytes of an element. */
size_t lt_dtype_size(lt_dtype dtype);
const char *lt_dtype_name(lt_dtype dtype); /* "f32", "bf16", ... */
/* False when no dtype has that name. */
bool lt_dtype_parse(const char *name, lt_dtype *out);

/* New contiguous tensor, uninitialised. The shape is the trailing arguments' count and values:
 *     LT_TRY(LT_NEW(arena, LT_F32, &x, batch, tokens, channels)); */
lt_status lt_tensor_new(lt_arena *arena, lt_dtype dtype, lt_tensor *out, int ndim, const int64_t *shape);
/* The same at the arena's far end. */
lt_status lt_tensor_new_far(lt_arena *arena, lt_dtype dtype, lt_tensor *out, int ndim, const int64_t *shape);
#define LT_DIMS(...)                                                                                         \
    (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) { __VA_ARGS__ }
#define LT_NEW(arena, dtype, out, ...) lt_tensor_new((arena), (dtype), (out), LT_DIMS(__VA_ARGS__))

/* A contiguous view of memory the caller owns. */
lt_tensor lt_tensor_of(void *data, lt_dtype dtype, int ndim, const int64_t *shape);
#define LT_VIEW(data, dtype, ...) lt_tensor_of((data), (dtype), LT_DIMS(__VA_ARGS__))

/* The same elements under another shape. The tensor must be contiguous and the counts must agree; both are
 * programming errors, so a tensor with data == NULL and ndim == 0 comes back and the next op names it. */
lt_tensor lt_reshape(lt_tensor t, int ndim, const int64_t *shape);
#define LT_RESHAPE(t, ...) lt_reshape((t), LT_DIMS(__VA_ARGS__))

/* Elements [start, start + length) of one dimension: same strides, no copy. */
lt_tensor lt_slice(lt_tensor t, int dim, int64_t start, int64_t length);
/* Drops dimension `dim` by taking one index of it. */
lt_tensor lt_select(lt_tensor t, int dim, int64_t index);
/* Splits dimension `dim` into [outer, inner]; any strides. */
lt_tensor lt_split(lt_tensor t, int dim, int64_t outer, int64_t inner);

/* Elements. */
int64_t lt_numel(const lt_tensor *t);
size_t lt_nbytes(const lt_tensor *t); /* of a contiguous tensor of this shape */
/* Whether the elements lie in row-major order without gaps. */
bool lt_is_contiguous(const lt_tensor *t);
static inline bool lt_is_empty(const lt_tensor *t) { return t->data == NULL; }
/* Whether both have the same dimensions, whatever their strides and dtypes. */
bool lt_same_shape(const lt_tensor *a, const lt_tensor *b);

/* The tensor as a matrix [rows, columns] with unit column stride, where leading dimensions collapse into rows that
 * lie `*ld` elements apart. False when they do not. The last `inner` dimensions make up a row (usually 1). */
bool lt_as_rows(const lt_tensor *t, int inner, int64_t *rows, int64_t *columns, int64_t *ld);

/* "f32[2,256,128]" into `text`; returns `text`. */
char *lt_tensor_text(const lt_tensor *t, char *text, size_t size);

/* Host copies. `host` holds lt_nbytes(t) contiguous bytes, and may be used again on return; the tensor must be
 * contiguous. On a null device to_host writes zeros, so that code which reads features or losses walks on. */
lt_status lt_tensor_to_host(lt_device *device, lt_stream *stream, const lt_tensor *t, void *host);
lt_status lt_tensor_from_host(lt_device *device, lt_stream *stream, lt_tensor *t, const void *host);
lt_status lt_tensor_zero(lt_device *device, lt_stream *stream, lt_tensor *t);

/* Scalar conversions, round to nearest even. */
uint16_t lt_f32_to_bf16(float value);
float lt_bf16_to_f32(uint16_t bits);
uint16_t lt_f32_to_f16(float value);
float lt_f16_to_f32(uint16_t bits);
/* Four bits of exponent, three of fraction, no infinity: what is larger than 448 becomes 448, NaN of either sign
 * 0x7F, as on GPUs. */
uint8_t lt_f32_to_e4m3(float value);
float lt_e4m3_to_f32(uint8_t bits);

#ifdef __cplusplus
}
#endif
#endif
