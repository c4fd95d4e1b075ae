#include "train/buckets.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- planning ---------------------------------------------------------------------------------------------------- */

/* The layer of each parameter, by its published name, or one of these. */
enum { NO_LAYER = -1, NOT_TRAINED = -2 };

static lt_status find_layers(const lt_params *params, int **out, int *most) {
    int *layers = *out = malloc((size_t)(params->count + 1) * sizeof *layers);
    LT_CHECK(layers, LT_FAILED, "out of memory for buckets of gradients");
    *most = NO_LAYER;
    for (int i = 0; i < params->count; i++)
        layers[i] = params->items[i]->var.needs_grad ? NO_LAYER : NOT_TRAINED;
    for (int i = 0; i < params->published_count; i++) {
        const lt_published *p = &params->published[i];
        int layer;
        if (layers[p->param] == NOT_TRAINED || sscanf(p->name, "transformer_blocks.%d.", &layer) != 1)
            continue;
        layers[p->param] = layer;
        if (layer > *most) *most = layer;
    }
    return LT_OK;
}

static int64_t grad_bytes(const lt_params *params, int i) {
    return (int64_t)lt_nbytes(&params->items[i]->var.grad);
}

int64_t lt_buckets_size(const lt_params *params) {
    const int64_t most = 16 << 20, parts = 8;
    int64_t bytes = 0;
    for (int i = 0; i < params->count; i++)
        if (params->items[i]->var.needs_grad) bytes += grad_bytes(params, i);
    return bytes / parts < most ? bytes / parts : most;
}

static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

/* Does `next` follow on the end of the span, up to alignment? */
static bool follows(const lt_span *span, const lt_tensor *next) {
    const char *end = span->values + span->count * (int64_t)lt_dtype_size(next->dtype);
    const char *start = next->data;
    return start >= end && start - end < LT_ARENA_ALIGN;
}

static void make_spans(const lt_params *params, lt_buckets *b, lt_bucket *bucket) {
    bucket->first_span = b->span_count;
    for (int i = 0; i < bucket->param_count; i++) {
        const lt_tensor *grad = &params->items[b->params[bucket->first_param + i]]->var.grad;
        lt_span *last = b->span_count > bucket->first_span ? &b->spans[b->span_count - 1] : NULL;
        if (!last || !follows(last, grad)) {
            last = &b->spans[b->span_count++];
            last->values = grad->data;
        }
        last->count =
            ((char *)grad->data - last->values) / (int64_t)lt_dtype_size(grad->dtype) + lt_numel(grad);
    }
    bucket->span_count = b->span_count - bucket->first_span;
}

/* The parameters since the last bucket make one. */
static void close_bucket(const lt_params *params, lt_buckets *b, int layer) {
    const lt_bucket *before = b->count ? &b->items[b->count - 1] : NULL;
    int first = before ? before->first_param + before->param_count : 0;
    if (first == b->param_count) return;
    lt_bucket *bucket = &b->items[b->count++];
    *bucket = (lt_bucket){.layer = layer, .first_param = first, .param_count = b->param_count - first};
    qsort(b->params + first, (size_t)bucket->param_count, sizeof *b->params, by_number);
    make_spans(params, b, bucket);
}

static int64_t add_layer(const lt_params *params, const int *layers, int layer, lt_buckets *b) {
    int64_t bytes = 0;
    for (int i = 0; i < params->count; i++) {
        if (layers[i] != layer) continue;
        b->params[b->param_count++] = i;
        bytes += grad_bytes(params, i);
    }
    return bytes;
}

static lt_status reserve(lt_buckets *b, int params, int layers) {
    b->items = calloc((size_t)layers + 1, sizeof *b->items);
    b->params = calloc((size_t)params + 1, sizeof *b->params);
    b->spans = calloc((size_t)params + 1, sizeof *b->spans);
    LT_CHECK(b->items && b->params && b->spans, LT_FAILED, "out of memory for buckets of gradients");
    return LT_OK;
}

lt_status lt_buckets_plan(const lt_params *params, int64_t bytes, lt_buckets *out) {
    int *layers = NULL, most = NO_LAYER;
    int64_t open = 0;
    *out = (lt_buckets){0};
    lt_status status = find_layers(params, &layers, &most);
    if (status == LT_OK) status = reserve(out, params->count, most + 1);
    for (int layer = most; layer >= 0 && status == LT_OK; layer--) {
        open += add_layer(params, layers, layer, out);
        if (open < bytes && layer > 0) continue;
        close_bucket(params, out, layer);
        open = 0;
    }
    if (status == LT_OK) {
        add_layer(params, layers, NO_LAYER, out);
        close_bucket(params, out, NO_LAYER);
    }
    free(layers);
    return status;
}

void lt_buckets_free(lt_buckets *b) {
    free(b->items);
    free(b->params);
    free(b->spans);
    *b = (lt_buckets){0};
}

/* ---- summing ----------------------------------------------------------------------------------------------------- */

lt_status lt_buckets_clear(const lt_buckets *b, lt_dtype dtype, lt_device *device) {
    for (int i = 0; i < b->span_count; i++)
        LT_TRY(lt_device_fill(device, NULL, b->spans[i].values, 0,
                              (size_t)b->spans[i].count * lt_dtype_size(dtype)));
    return LT_OK;
}

void lt_buckets_begin(lt_buckets *b) { b->next = 0; }

static lt_status reduce(const lt_buckets *b, const lt_bucket *bucket, lt_params *params, lt_ctx *ctx,
                        lt_comm *comm) {
    for (int i = 0; i < bucket->param_count; i++)
        LT_TRY(lt_param_fill_grad(params->items[b->params[bucket->first_param + i]], ctx));
    for (int i = 0; i < bucket->span_count; i++) {
        const lt_span *span = &b->spans[bucket->first_span + i];
        LT_TRY(lt_comm_reduce(comm, ctx->device, ctx->stream, span->values, span->count, params->dtype));
    }
    return LT_OK;
}

lt_status lt_buckets_reduce(lt_buckets *b, lt_params *params, lt_ctx *ctx, lt_comm *comm, int layer) {
    while (b->next < b->count && b->items[b->next].layer >= layer)
        LT_TRY(reduce(b, &b->items[b->next++], params, ctx, comm));
    return LT_OK;
}

lt_status lt_buckets_finish(lt_buckets *b, lt_params *params, lt_ctx *ctx, lt_comm *comm) {
    LT_TRY(lt_buckets_reduce(b, params, ctx, comm, NO_LAYER));
    return lt_comm_reduce_end(comm, ctx->stream);
}
