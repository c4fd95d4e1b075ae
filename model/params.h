/* Parameters: what is trained, how it is named in published files, and where it lies.
 *
 * A parameter is one tensor in memory with its gradient, optimizer moments and EMA. It may serve several published
 * tensors: to_q, to_k and to_v are three row ranges of one matrix, so one GEMM serves them. A published
 * tensor has a published name, shape and axis permutation; only import, export and checkpoints see these.
 *
 * Declare everything first, then allocate once: weights, gradients and optimizer state are one slab each.
 */
#ifndef LT_MODEL_PARAMS_H
#define LT_MODEL_PARAMS_H

#include "autograd/tape.h"
#include "core/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a parameter starts; random numbers are Philox(seed; LT_RNG_INIT, hash of the published name). */
typedef enum lt_init {
    LT_INIT_ZERO,
    LT_INIT_ONE,
    LT_INIT_NORMAL, /* standard deviation `scale` */
    LT_INIT_FAN_IN /* uniform in +-scale / sqrt(fan in): fan in = product of all published dimensions but the first */
} lt_init;

#define LT_PARAM_NAME 96

/* Names of the inputs that the last dimension of a published tensor multiplies, as a trained head's first matrix. They
 * are written to the file's metadata ("a,b,c" behind `key`), and a file's columns are mapped by name: an input that the
 * file does not know gets columns of zeros, so nothing of it enters; one that the program does not have is LT_INPUT and
 * is named. */
typedef struct lt_inputs {
    const char *key;
    int count; /* the last dimension; at most LT_INPUTS */
    const char *const *names;
    const char *unnamed; /* what the columns of a file without the key are */
} lt_inputs;

typedef struct lt_published {
    char name[LT_PARAM_NAME];
    int ndim;
    int64_t shape[5]; /* as published */
    int axes[5];      /* storage dimension i is published dimension axes[i] */
    int64_t offset;   /* first element within the parameter's storage; the elements are contiguous there */
    int64_t count;
    lt_init init;
    double scale;
    int param;               /* index of the parameter it belongs to */
    const lt_inputs *inputs; /* or NULL; outlives the parameters */
} lt_published;

typedef struct lt_param {
    lt_var var; /* value, gradient; needs_grad while trainable; first, so that a var leads to its parameter */
    lt_tensor master; /* the float32 values behind a bf16 working copy, or empty: var.value is all there is */
    lt_tensor m, v;   /* AdamW moments, or empty */
    lt_tensor ema;    /* or empty */
    int ndim;
    int64_t shape[5]; /* as stored */
    bool decay;       /* weight decay applies: matrices and kernels, not biases, norms and tables */
    bool matrix;      /* multiplied with activations: has their dtype */
    bool narrow;      /* such a matrix that may be e4m3 instead */
    bool trainable;
    bool fixed; /* never trainable: lt_params_fix */
} lt_param;

typedef struct lt_params {
    lt_device *device;
    lt_dtype dtype;        /* of gradients, moments, EMA, and of values but for matrices */
    lt_dtype matrix_dtype; /* of matrices' values: dtype, or bf16 */
    bool e4m3;        /* narrow matrices are e4m3, with a scale for each row in var.scale: for inference */
    lt_param **items; /* stable addresses: the model keeps pointers */
    int count;
    lt_published *published;
    int published_count;
    /* Tensors whose names begin with this need not be in a file, or may be there in a form that this program cannot
     * read: then none of them is loaded, and `missing` says why. NULL: all are required. */
    const char *optional;
    char missing[512]; /* "" where everything was loaded */
    lt_pool pool;
} lt_params;

/* Matrices have this dtype too, until matrix_dtype and e4m3 are set, before allocation. */
void lt_params_init(lt_params *params, lt_device *device, lt_dtype dtype);
void lt_params_free(lt_params *params);

/* A new parameter of this stored shape; NULL with lt_error() set when out of memory. */
lt_param *lt_params_add(lt_params *params, bool decay, int ndim, const int64_t *shape);
#define LT_PARAM(params, decay, ...) lt_params_add((params), (decay), LT_DIMS(__VA_ARGS__))

/* Statistics that are stored with the parameters but belong to the data: `param` is never trained, whatever patterns
 * say. */
void lt_params_fix(lt_param *param);

/* Names the next `count(shape)` elements of the parameter added last. `axes` NULL: stored as published. */
lt_status lt_params_publish(lt_params *params, lt_init init, double scale, const int *axes, int ndim,
                            const int64_t *shape, const char *name_format, ...) LT_PRINTF(7, 8);

/* The tensor published last has these inputs. */
void lt_params_name_inputs(lt_params *params, const lt_inputs *inputs);

/* Bytes of one copy of all parameters (what a gradients or EMA arena must hold); of their values; and of the
 * masters. */
size_t lt_params_bytes(const lt_params *params);
size_t lt_params_value_bytes(const lt_params *params);
size_t lt_params_master_bytes(const lt_params *params);
int64_t lt_params_numel(const lt_params *params);

/* Gives every parameter memory: values from `weights`; gradients from `grads`, moments, and masters of bf16 matrices,
 * from `moments`, EMA from `ema` (each may be NULL: absent). */
lt_status lt_params_allocate(lt_params *params, lt_arena *weights, lt_arena *grads, lt_arena *moments,
                             lt_arena *ema);
/* Rounds masters into the working copies again: after they were swapped. */
lt_status lt_params_refresh(lt_params *params, lt_ctx *ctx);
/* Initial values, moments zero, EMA = values. */
lt_status lt_params_initialise(lt_params *params, uint64_t seed);
/* The same for the optional tensors alone, when loading has left them out: they start untrained. */
lt_status lt_params_initialise_missing(lt_params *params, uint64_t seed);

/* Makes the parameters trainable, or frozen, whose published names match `pattern` (glob with *, ?; several separated
 * by commas; NULL: all; fixed ones never). Returns how many published tensors matched. */
int lt_params_set_trainable(lt_params *params, const char *pattern, bool trainable);
/* Before a step: no parameter has a gradient. */
void lt_params_clear_grads(lt_params *params);
/* After backward: parameters that nothing reached get zero gradients. */
lt_status lt_params_fill_grads(lt_params *params, lt_ctx *ctx);
/* The same of one parameter. */
lt_status lt_param_fill_grad(lt_param *param, lt_ctx *ctx);

/* Which copy is read or written. */
typedef enum lt_param_copy { LT_COPY_VALUE, LT_COPY_EMA, LT_COPY_M, LT_COPY_V } lt_param_copy;

/* Writes all published tensors (float32, published shapes) to a safetensors file, with "weights_hash" (lt_st_hash)
 * behind the metadata given, and reads them back, where that must hold. Reading demands every name with its shape (any
 * float dtype) and names the first that is missing or differs, before any value changes; tensors of the file that the
 * model does not have are an error unless `allow_extra`. What is optional (lt_params.optional) may be missing or not
 * fit: params->missing. */
lt_status lt_params_save(const lt_params *params, lt_param_copy copy, const char *path,
                         const char *const (*metadata)[2], int metadata_count);
lt_status lt_params_load(lt_params *params, lt_param_copy copy, const char *path, bool allow_extra);
/* Named inputs in a file: where each of the program's columns lies in it. */
enum { LT_INPUTS = 64, LT_INPUT_ROWS = 8, LT_INPUTS_TEXT = 1024 };
typedef struct lt_input_map {
    int width;           /* columns in the file */
    int from[LT_INPUTS]; /* [count]; -1: the file does not know it */
} lt_input_map;
lt_status lt_inputs_map(const lt_inputs *inputs, const lt_st_file *file, lt_input_map *map);
/* Which element of the file's tensor is element `index` of the published one; -1: none, a zero. */
int64_t lt_inputs_at(const lt_published *published, const lt_input_map *map, int64_t index);
/* Metadata that names them, for files of the same tensors. Returns how many rows. */
typedef struct lt_input_rows {
    const char *row[LT_INPUT_ROWS][2];
    char text[LT_INPUT_ROWS][LT_INPUTS_TEXT];
} lt_input_rows;
int lt_params_input_rows(const lt_params *params, lt_input_rows *rows);
/* One published tensor to and from host memory in its published layout: tests and tools. */
lt_status lt_params_get(const lt_params *params, lt_param_copy copy, const lt_published *published,
                        double *out);
lt_status lt_params_set(lt_params *params, lt_param_copy copy, const lt_published *published,
                        const double *in);
/* By published name; NULL where there is none. */
const lt_published *lt_params_find(const lt_params *params, const char *name);
/* The gradient of a published tensor, in its published layout. */
lt_status lt_params_get_grad(const lt_params *params, const lt_published *published, double *out);
/* EMA = values. */
lt_status lt_params_reset_ema(lt_params *params);
/* Values (masters, where there are some), EMA and moments of `from` into `to`, a twin in host memory that was pinned:
 * complete when `stream` of from->device has come to it. */
lt_status lt_params_copy_to_pinned(const lt_params *from, lt_params *to, lt_stream *stream);
/* EMA <-> values (or their masters, whose working copies follow): evaluation runs on the EMA weights; call twice to
 * swap back. */
lt_status lt_params_swap_ema(lt_params *params, lt_ctx *ctx);
/* 64-bit hash of all values, in declaration order. */
lt_status lt_params_hash(const lt_params *params, uint64_t *out);

#ifdef __cplusplus
}
#endif
#endif
