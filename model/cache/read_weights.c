/* How the kept are weighed: the read head and constants, for all readers of a block together. */
#include "kernels/embedding/embedding.h"
#include "model/cache/cache_impl.h"
#include "model/cache/host_values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGE, CONTENT, HEADS };

/* All readers' weights are rows of one matrix, which is gathered from a table: what the heads give, the weight of
 * ghosts, then one row for each reader of constant weight. */
typedef struct weighing {
    int count; /* readers */
    lt_read_rows *readers;
    int64_t H, entries, scored[HEADS], constants;
    lt_tensor inputs;       /* [scored * H, LT_READ_INPUTS] */
    lt_tensor table;        /* [scored + 1 + constants, H] */
    lt_tensor embedding;    /* [scored * H]: which row of the embedding serves (entry, head) */
    lt_tensor rows, places; /* [entries]: row of the table; [scored]: row of the matrix */
    lt_var *weights[HEADS]; /* [scored, H] */
} weighing;

static int64_t scored_of(const weighing *w) { return w->scored[AGE] + w->scored[CONTENT]; }

/* Where a reader's rows start in the table. */
static int64_t table_row(const weighing *w, const lt_read_rows *r) {
    return r->scored + (r->mode == LT_READ_CONTENT ? w->scored[AGE] : 0);
}

/* ---- what is to be weighed ----------------------------------------------------------------------------------- */

static lt_status check_scorer(const lt_cache *cache, lt_read_weight mode, int layer) {
    int64_t H = cache->shape.heads;
    const lt_scorer *scorer = cache->scorer;
    char what[32];
    snprintf(what, sizeof what, "read=%s", lt_read_names[mode]);
    LT_TRY(lt_scorer_check(scorer, what));
    LT_CHECK(scorer->heads == H && layer < scorer->layers, LT_FAILED,
             "read=%s: a scorer of %d heads and %d layers for layer %d with %lld heads", lt_read_names[mode],
             scorer->heads, scorer->layers, layer, (long long)H);
    return LT_OK;
}

static lt_status add_reader(weighing *w, lt_cache *cache, bool observed, const lt_reader *reader) {
    lt_read_rows *r = &w->readers[w->count++];
    *r = (lt_read_rows){.reader = reader,
                        .list = lt_cache_entries(cache, reader->layer, reader->sequence),
                        .mode = cache->spec[reader->sequence].read,
                        .scale =
                            cache->read_scale && reader->stream > 0 ? cache->read_scale[reader->sequence] : 1,
                        .first = w->entries};
    for (int i = 0; i < r->list->count; i++) r->present += !r->list->items[i].ghost;
    bool all = r->present < r->list->count || observed;
    r->weighted = r->list->count > 0 && (r->mode != LT_READ_ONE || all || r->scale != 1);
    if (!r->weighted) return LT_OK;
    w->entries += r->list->count;
    if (r->mode == LT_READ_ONE) {
        r->scored = w->constants++;
        return LT_OK;
    }
    if (r->present > 0) LT_TRY(check_scorer(cache, r->mode, reader->layer));
    r->scored = w->scored[r->mode - LT_READ_AGE];
    w->scored[r->mode - LT_READ_AGE] += r->present;
    return LT_OK;
}

static lt_status gather_readers(weighing *w, lt_cache *cache, lt_tape *tape, int count,
                                const lt_reader *readers) {
    *w = (weighing){.H = cache->shape.heads,
                    .readers = lt_tape_saved(tape, (size_t)count * sizeof *w->readers)};
    if (!w->readers) return LT_FAILED;
    for (int i = 0; i < count; i++)
        LT_TRY(add_reader(w, cache, !lt_tape_is_no_grad(tape) && cache->observer.on_gradient, &readers[i]));
    return LT_OK;
}

/* ---- to the device ------------------------------------------------------------------------------------------- */

/* The heads' inputs, and the table, whose last rows are constants: one copy. */
static lt_status put_values(weighing *w, lt_tape *tape, const lt_dots *dots) {
    int64_t R = scored_of(w), H = w->H, inputs = R * H * LT_READ_INPUTS, table = (R + 1 + w->constants) * H;
    lt_tensor all;
    LT_TRY(LT_NEW(tape->step, lt_ctx_sum_dtype(tape->ctx), &all, inputs + table));
    w->inputs = LT_RESHAPE(lt_slice(all, 0, 0, inputs), R * H, LT_READ_INPUTS);
    w->table = LT_RESHAPE(lt_slice(all, 0, inputs, table), table / H, H);
    double *x = calloc((size_t)(inputs + table), sizeof *x);
    LT_CHECK(x, LT_FAILED, "cache: out of host memory");
    for (int i = 0; i < w->count; i++) {
        const lt_read_rows *r = &w->readers[i];
        if (!r->weighted) continue;
        if (r->mode != LT_READ_ONE) lt_read_inputs(r, dots, H, x + table_row(w, r) * H * LT_READ_INPUTS);
        for (int64_t h = 0; h < H && r->mode == LT_READ_ONE; h++)
            x[inputs + (R + 1 + r->scored) * H + h] = r->scale;
    }
    lt_status status = lt_host_write(tape->ctx, &all, x);
    free(x);
    return status;
}

/* Rows of the table and of the matrix that belong together. */
static void fill_rows(const weighing *w, int32_t *rows, int32_t *places) {
    int64_t ghost = scored_of(w), at = 0;
    for (int i = 0; i < w->count; i++) {
        const lt_read_rows *r = &w->readers[i];
        int64_t row = table_row(w, r);
        for (int e = 0; r->weighted && e < r->list->count; e++, at++) {
            bool one = r->mode == LT_READ_ONE;
            if (r->list->items[e].ghost) rows[at] = (int32_t)ghost;
            else rows[at] = (int32_t)(one ? ghost + 1 + r->scored : row);
            if (!one && !r->list->items[e].ghost) places[row++] = (int32_t)at;
        }
    }
}

static lt_status put_rows(weighing *w, lt_tape *tape, int layer) {
    int64_t R = scored_of(w), H = w->H, T = w->entries, count = R * H + T + R;
    lt_tensor all;
    LT_TRY(LT_NEW(tape->step, LT_I32, &all, count));
    w->embedding = lt_slice(all, 0, 0, R * H);
    w->rows = lt_slice(all, 0, R * H, T);
    w->places = lt_slice(all, 0, R * H + T, R);
    int32_t *ids = malloc((size_t)count * sizeof *ids);
    LT_CHECK(ids, LT_FAILED, "cache: out of host memory");
    for (int64_t i = 0; i < R * H; i++) ids[i] = (int32_t)(layer * H + i % H);
    fill_rows(w, ids + R * H, ids + R * H + T);
    lt_status status = lt_tensor_from_host(tape->ctx->device, tape->ctx->stream, &all, ids);
    free(ids);
    return status;
}

static lt_status put_weights(weighing *w, lt_tape *tape, int layer) {
    lt_dots dots = {0};
    for (int i = 0; i < w->count; i++)
        if (w->readers[i].weighted && w->readers[i].mode == LT_READ_CONTENT)
            lt_read_inputs_ask(&w->readers[i], &dots);
    lt_status status = lt_dots_run(&dots, tape);
    if (status == LT_OK) status = put_values(w, tape, &dots);
    lt_dots_free(&dots);
    return status == LT_OK ? put_rows(w, tape, layer) : status;
}

/* ---- weights ------------------------------------------------------------------------------------------------- */

/* Memory is planned with one spec for all sequences at a time. Where they differ both heads may have rows, as many
 * together as one had; then each tensor of a head and each gradient, rounded up on its own, may take as much more. */
static lt_status reserve_rounding(const weighing *w, lt_tape *tape) {
    enum { TENSORS = 12 };
    lt_tensor unused;
    if ((w->scored[AGE] > 0) == (w->scored[CONTENT] > 0)) return LT_OK;
    return LT_NEW(tape->step, LT_U8, &unused, (int64_t)TENSORS * LT_ARENA_ALIGN);
}

static lt_status run_heads(weighing *w, lt_cache *cache, lt_tape *tape) {
    LT_TRY(reserve_rounding(w, tape));
    for (int64_t m = 0, first = 0; m < HEADS; first += w->scored[m++]) {
        int64_t count = w->scored[m], H = w->H;
        if (count == 0) continue;
        lt_var *rows;
        LT_TRY(lt_scorer_read(cache->scorer, tape, LT_READ_AGE + (lt_read_weight)m,
                              lt_slice(w->inputs, 0, first * H, count * H),
                              lt_slice(w->embedding, 0, first * H, count * H), &rows));
        LT_TRY(LT_AG_RESHAPE(tape, rows, &w->weights[m], count, H));
        lt_copy_args copy = {.x = w->weights[m]->value, .y = lt_slice(w->table, 0, first, count), .scale = 1};
        LT_TRY(lt_copy(tape->ctx, &copy));
    }
    return LT_OK;
}

/* The matrix of all weights. Where gradients are observed it wants one whatever is trained. */
static lt_status all_weights(weighing *w, lt_cache *cache, lt_tape *tape, lt_var **all) {
    LT_TRY(run_heads(w, cache, tape));
    bool wants = lt_tape_wants(tape, HEADS, w->weights) || cache->observer.on_gradient;
    LT_TRY(lt_tape_new(tape, w->table.dtype, wants, all, LT_DIMS(w->entries, w->H)));
    lt_embedding_args gather = {.ids = w->rows, .table = w->table, .y = (*all)->value};
    return lt_embedding_forward(tape->ctx, &gather);
}

typedef struct weights_saved {
    lt_var *all, **parts; /* [count]: each reader's */
    int count;
    lt_var *scored[HEADS]; /* or NULL: where the gradients go */
    lt_tensor places[HEADS];
    lt_cache_observer observer;
    lt_read_event *events; /* [count], or NULL: nobody is told */
} weights_saved;

/* One copy for all readers. */
static lt_status tell_gradients(lt_tape *tape, const weights_saved *s) {
    lt_tensor grad = lt_tape_grad_of(s->all);
    int64_t heads = grad.shape[1], row = grad.shape[0];
    double *values = malloc((size_t)lt_numel(&grad) * sizeof *values);
    LT_CHECK(values, LT_FAILED, "cache: out of host memory");
    lt_status status = lt_host_read(tape->ctx, &grad, values);
    for (int i = s->count - 1; status == LT_OK && i >= 0; i--) {
        lt_read_event *event = &s->events[i];
        row -= event->count;
        event->gradient = values + row * heads;
        if (s->parts[i]->has_grad) s->observer.on_gradient(event, s->observer.user);
    }
    free(values);
    return status;
}

static lt_status weights_backward(lt_tape *tape, void *memory) {
    weights_saved *s = memory;
    bool any, accumulate;
    LT_TRY(lt_tape_join(tape, s->all, s->count, s->parts, &any));
    if (!any) return LT_OK;
    if (s->events) LT_TRY(tell_gradients(tape, s));
    for (int m = 0; m < HEADS; m++) {
        lt_embedding_args gather = {.ids = s->places[m], .table = lt_tape_grad_of(s->all)};
        if (!s->scored[m] || !s->scored[m]->needs_grad) continue;
        LT_TRY(lt_tape_grad_slot(tape, s->scored[m], &gather.y, &accumulate)); /* nobody else reads it */
        LT_TRY(lt_embedding_forward(tape->ctx, &gather));
    }
    return LT_OK;
}

/* Keeps the entries as they are now: the list will have changed when the gradient arrives. */
static lt_status keep_events(lt_tape *tape, const weighing *w, weights_saved *s) {
    s->events = lt_tape_saved(tape, (size_t)s->count * sizeof *s->events);
    lt_entry *entries = lt_tape_saved(tape, (size_t)w->entries * sizeof *entries);
    if (!s->events || !entries) return LT_FAILED;
    for (int i = 0, k = 0; i < w->count; i++) {
        const lt_read_rows *r = &w->readers[i];
        if (!r->weighted) continue;
        s->events[k] = lt_cache_read_event(r->reader, r->list, s->parts[k]);
        s->events[k++].present =
            memcpy(entries + r->first, r->list->items, (size_t)r->list->count * sizeof *entries);
    }
    return LT_OK;
}

static lt_status record_weights(const lt_cache *cache, lt_tape *tape, const weighing *w, weights_saved *s) {
    bool observed = cache->observer.on_gradient != NULL;
    if (!lt_tape_wants(tape, 1, &s->all)) return LT_OK;
    for (int64_t m = 0, first = 0; m < HEADS; first += w->scored[m++]) {
        s->scored[m] = w->weights[m];
        s->places[m] = lt_slice(w->places, 0, first, w->scored[m]);
    }
    s->observer = cache->observer;
    if (observed) LT_TRY(keep_events(tape, w, s));
    return lt_tape_push(tape, weights_backward, s);
}

/* Each reader's rows, noted for the commit. */
static lt_status part(lt_tape *tape, lt_entries *list, const lt_read_rows *r, lt_var *all, lt_var **out) {
    lt_read_note *note = lt_tape_saved(tape, sizeof *note);
    if (!note) return LT_FAILED;
    *note = (lt_read_note){r->reader->stream, all->value, r->first, list->reads};
    list->reads = note;
    return lt_tape_part(tape, all, lt_slice(all->value, 0, r->first, r->list->count), out);
}

lt_status lt_cache_read_weights(lt_cache *cache, lt_tape *tape, int count, const lt_reader *readers,
                                lt_var **weights) {
    weighing w;
    LT_TRY(gather_readers(&w, cache, tape, count, readers));
    for (int i = 0; i < count; i++) weights[i] = NULL;
    if (w.entries == 0) return LT_OK;
    weights_saved *s = lt_tape_saved(tape, sizeof *s + (size_t)count * sizeof *s->parts);
    if (!s) return LT_FAILED;
    s->parts = (lt_var **)(s + 1);
    LT_TRY(put_weights(&w, tape, readers[0].layer));
    LT_TRY(all_weights(&w, cache, tape, &s->all));
    for (int i = 0; i < count; i++) {
        lt_entries *list = lt_cache_entries(cache, readers[i].layer, readers[i].sequence);
        if (!w.readers[i].weighted) continue;
        LT_TRY(part(tape, list, &w.readers[i], s->all, &weights[i]));
        s->parts[s->count++] = weights[i];
    }
    return record_weights(cache, tape, &w, s);
}
