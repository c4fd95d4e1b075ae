/* `longtake bench --model`: a forward, a training step and a streamed block, in milliseconds. */
#ifndef LT_TRAIN_BENCH_MODEL_H
#define LT_TRAIN_BENCH_MODEL_H

#include "train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_model_bench {
    int64_t tokens;    /* per block */
    double forward_ms; /* one block, one sequence, without cache, nothing recorded */
    double
        block_step_ms; /* a training step on that block alone: forward, squared error, backward, optimizer */
    double train_ms;   /* one optimizer step of the configuration, from latents in memory */
    double train_tokens; /* of it, all streams */
    double stream_ms;    /* one block: `stream_steps` sampler steps and the commit, with a full cache */
    int stream_steps;
    int64_t peak_bytes; /* of the training step, on the device */
} lt_model_bench;

/* Medians of at least three calls and half a second each, one piece of work after the other; values are initial ones, latents are normals. */
lt_status lt_bench_model(const lt_config *config, lt_device *device, int stream_steps, lt_model_bench *out);

#ifdef __cplusplus
}
#endif
#endif
