/* Device memory by role, measured on a null device before any is taken, and whether it fits. */
#ifndef LT_INFER_MEMORY_H
#define LT_INFER_MEMORY_H

#include "infer/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_memory_role {
    LT_MEMORY_WEIGHTS,
    LT_MEMORY_GRADIENTS,
    LT_MEMORY_OPTIMIZER, /* moments, and float32 masters of bf16 matrices */
    LT_MEMORY_EMA,
    LT_MEMORY_SLOTS, /* of the cache */
    LT_MEMORY_TAILS,
    LT_MEMORY_INPUTS,      /* and whatever else lives as long as a run */
    LT_MEMORY_ACTIVATIONS, /* and their gradients */
    LT_MEMORY_WORKSPACE,
    LT_MEMORY_CONTEXT, /* of the driver, with its code */
    LT_MEMORY_ROLES
} lt_memory_role;
extern const char *const lt_memory_names[LT_MEMORY_ROLES];

typedef struct lt_memory {
    int64_t bytes[LT_MEMORY_ROLES];
} lt_memory;

int64_t lt_memory_peak(const lt_memory *memory); /* the sum: all roles are held at once */

/* The most that work on `device` may plan for: what is free now, with the context, less a reserve for kernels that are
 * loaded when first used. Each of `processes` that share it and plan at the same time gets an equal part. */
lt_status lt_memory_room(lt_device *device, int processes, int64_t *bytes);

/* A model on a null device that stands for `device`: same backend, dtypes, context and rates. `flags` as in
 * lt_model_open. The caller closes it. */
typedef struct lt_shadow {
    lt_device *device;
    lt_model *model;
} lt_shadow;
lt_status lt_shadow_open(const lt_config *config, const lt_device *device, int flags, lt_shadow *out);
void lt_shadow_close(lt_shadow *shadow);

/* Of the model alone, without or with a session that took `plan` (may be NULL). */
lt_memory lt_memory_of(const lt_model *model, const lt_session_plan *plan);
/* Without gradients, moments and EMA: a model that was opened to train is measured to stream. */
void lt_memory_forget_training(lt_memory *memory);
/* Whether what `a` and `b` lead to in as many steps again is c, but for rounding. */
bool lt_on_line(int64_t a, int64_t b, int64_t c);
/* Of a stream of videos whose cache is full. `model` lies on a null device. */
lt_status lt_memory_streaming(lt_model *model, const lt_stream_options *options, lt_memory *out);
/* The same; where it exceeds `limit` (0: none), with fewer frames at once in the Mix-FFN (lt_dit.wide_bytes), as few as
 * it takes or as help. A model that runs within the limit needs the wide_bytes that this leaves in `model`. */
lt_status lt_memory_fit_streaming(lt_model *model, const lt_stream_options *options, int64_t limit,
                                  lt_memory *out);

/* The same of a run's checkpoint (lt_run_open), opened for inference. */
lt_status lt_shadow_open_run(const char *run, const char *which, const lt_device *device, lt_shadow *out);

/* LT_USAGE where `memory` exceeds `limit` bytes: names `what` needs it, the largest role, and `advice`, what would fit.
 * A limit of 0 is none. */
lt_status lt_memory_check(const lt_memory *memory, int64_t limit, const char *what, const char *advice);

#ifdef __cplusplus
}
#endif
#endif
