/* Gradients in buckets: what several processes sum at a time, while the backward pass is still at work on the rest.
 *
 * A layer's gradients are final when the backward pass has come through it (lt_tape_mark), the last layer first. So a
 * bucket is one or more layers, from the last to the first, and the last bucket is everything else: embeddings, heads,
 * scorer. Gradients that are neighbours in memory are summed as one piece.
 *
 *     LT_TRY(lt_buckets_plan(&model->params, bytes, &buckets));
 *     each step: lt_buckets_begin(&buckets);
 *                LT_TRY(lt_buckets_reduce(&buckets, params, ctx, comm, layer));     after each layer
 *                LT_TRY(lt_buckets_finish(&buckets, params, ctx, comm));            after the whole pass
 */
#ifndef LT_TRAIN_BUCKETS_H
#define LT_TRAIN_BUCKETS_H

#include "core/comm.h"
#include "model/params.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A piece of memory that holds gradients, and the gaps between them. */
typedef struct lt_span {
    char *values;
    int64_t count;
} lt_span;

typedef struct lt_bucket {
    int layer;                    /* whose backward completes it; -1: the whole pass */
    int first_param, param_count; /* in lt_buckets.params */
    int first_span, span_count;   /* in lt_buckets.spans */
} lt_bucket;

typedef struct lt_buckets {
    lt_bucket *items; /* in the order in which they are completed */
    int count;
    int *params; /* indices in lt_params, of trained ones */
    int param_count;
    lt_span *spans;
    int span_count;
    int next; /* the first that is not summed yet */
} lt_buckets;

/* Of layers, each bucket but the last takes at least `bytes` of gradients. The same on all ranks, whose parameters are
 * trained alike. Free it in any case. */
lt_status lt_buckets_plan(const lt_params *params, int64_t bytes, lt_buckets *out);
void lt_buckets_free(lt_buckets *buckets);
/* A size that leaves something to do beside each sum and makes the best of the wire. */
int64_t lt_buckets_size(const lt_params *params);

/* Gaps between gradients become zeros, once: they are summed too. */
lt_status lt_buckets_clear(const lt_buckets *buckets, lt_dtype dtype, lt_device *device);

/* At the start of a step: nothing is summed yet. */
void lt_buckets_begin(lt_buckets *buckets);
/* Starts the sums of the buckets that are complete now that `layer` has gone backward. */
lt_status lt_buckets_reduce(lt_buckets *buckets, lt_params *params, lt_ctx *ctx, lt_comm *comm, int layer);
/* The sums of all others; what ctx's stream is asked for from now on sees all sums. */
lt_status lt_buckets_finish(lt_buckets *buckets, lt_params *params, lt_ctx *ctx, lt_comm *comm);

#ifdef __cplusplus
}
#endif
#endif
