/* Faults that a generated video may have, applied to a good one: what the metrics are calibrated with. */
#ifndef LT_INFER_FAULTS_H
#define LT_INFER_FAULTS_H

#include "infer/metrics.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_fault {
    LT_FAULT_FREEZE,
    LT_FAULT_SLOW,
    LT_FAULT_FAST,
    LT_FAULT_LOOP,
    LT_FAULT_JUMP,
    LT_FAULT_SHUFFLE,
    LT_FAULT_NOISE,
    LT_FAULT_BLUR,
    LT_FAULT_COLOUR,
    LT_FAULT_FADE,
    LT_FAULT_COUNT
} lt_fault;

typedef struct lt_fault_row {
    const char *name, *help;
    lt_metric metric; /* the one that is meant to answer it */
    lt_metric also;   /* another one that answers it by rights; LT_METRIC_COUNT: none */
} lt_fault_row;

/* NULL past the end. */
const lt_fault_row *lt_fault_at(int index);

/* Writes the first half of `clip` with the fault: out [frames / 2, height, width, 3]; `fast` needs the second half. The
 * same clip, fault and seed give the same bytes. */
lt_status lt_fault_apply(lt_fault fault, const lt_video_view *clip, uint64_t seed, uint8_t *out);

#ifdef __cplusplus
}
#endif
#endif
