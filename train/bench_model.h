/* `longtake bench --model`: a forward, a training step and a streamed block, in milliseconds. */
#ifndef LT_TRAIN_BENCH_MODEL_H
#define LT_TRAIN_BENCH_MODEL_H

#include "train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which pieces of work to time; they are timed one after the other. */
enum {
    LT_BENCH_FORWARD = 1, /* one block, without cache, nothing recorded */
    LT_BENCH_STEP = 2, /* a training step on that block alone: forward, squared error, backward, optimizer */
    LT_BENCH_STREAM = 4, /* one block of a stream with a full cache: sampler steps and the commit */
    LT_BENCH_TRAIN = 8,  /* one optimizer step of the configuration, from latents in memory */
    LT_BENCH_ALL = 15
};

typedef struct lt_model_bench_options {
    int what;              /* LT_BENCH_...; with LT_BENCH_FORWARD alone the model has weights only */
    int batch;             /* sequences of the forward and of the step alone */
    int stream_steps;      /* sampler steps of a streamed block */
    bool no_graphs;        /* of a streamed block: as lt_stream_options has it */
    const char *recompute; /* of the steps: as lt_recompute_parse takes it; NULL: the configuration's */
    /* bytes that nothing may exceed, and that recompute auto uses; 0: the device's memory, for auto alone */
    int64_t memory_limit;
    /* or NULL: after timing, one more call of the last piece of work fills profile[0], which counts the host's seconds,
     * and one that waits for every op fills profile[1] */
    lt_meter *profile;
} lt_model_bench_options;

/* Milliseconds, and the highest bytes held on the device during each piece of work; 0 where it was not asked for. */
typedef struct lt_model_bench {
    int64_t tokens; /* per block */
    double forward_ms, step_ms, stream_ms, train_ms;
    int64_t forward_bytes, step_bytes, stream_bytes, train_bytes;
    double train_tokens; /* of the training step, all streams */
    int layers;
    /* Planned before anything was allocated, context and all: */
    int64_t forward_planned, stream_planned;
    lt_recompute_choice step_choice, train_choice; /* of the steps, with what they keep */
    /* What the device holds beside the bytes above: taken before the first allocation, and by kernels and libraries
     * since; what other processes take meanwhile counts with the latter. */
    int64_t context_bytes, library_bytes;
} lt_model_bench;

/* Medians of at least three calls and half a second each; values are initial ones, latents are normals. */
lt_status lt_bench_model(const lt_config *config, lt_device *device, const lt_model_bench_options *options,
                         lt_model_bench *out);

#ifdef __cplusplus
}
#endif
#endif
