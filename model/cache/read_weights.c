/* How the kept are weighed: the inputs of the read head, and the weights of ghosts. */
#include "model/cache/cache_impl.h"
#include "model/cache/host_values.h"

#include <math.h>
#include <stdlib.h>

/* Entries that are no ghosts: only they are scored, so that ghosts change no bit. */
typedef struct present {
    int count;
    const lt_entry **items; /* [count] */
    int block_tokens;
} present;

enum { COSINE, ENTRY_NORM, READER_NORM, AGE, MERGES, TIME, COUNT, SHARE };

/* Inner products per head of all pairs among the entries' z and the reader's own: host doubles [all, all, H]. */
static lt_status products_of(lt_tape *tape, const lt_reader *reader, const present *list, lt_tensor *z,
                             double *out) {
    int n = list->count, all = n + reader->own_count;
    for (int i = 0; i < all; i++) z[i] = i < n ? list->items[i]->z : reader->own_z[i - n]->value;
    size_t mark = lt_arena_mark(tape->step);
    lt_attn_dots_args dots = {.n = all, .m = all, .A = z, .B = z};
    LT_TRY(LT_NEW(tape->step, z[0].dtype, &dots.out, all, all, z[0].shape[0]));
    LT_TRY(lt_attn_dots(tape->ctx, &dots));
    LT_TRY(lt_host_read(tape->ctx, &dots.out, out));
    lt_arena_release(tape->step, mark);
    return LT_OK;
}

/* The log of a norm per token; a floor for z = 0. */
static double log_norm(double square, double tokens) {
    return log(fmax(sqrt(square), 1e-6) / fmax(tokens, 1));
}

/* The reader's z is the sum of its segments', so products with it are sums of products. */
static void content_inputs(const present *list, int own, int64_t H, const double *products, double *x) {
    int n = list->count, all = n + own;
    for (int e = 0; e < n; e++)
        for (int64_t h = 0; h < H; h++) {
            double *row = x + (e * H + h) * LT_READ_INPUTS, cross = 0, square = 0;
            double entry = products[((int64_t)e * all + e) * H + h];
            for (int j = n; j < all; j++) {
                cross += products[((int64_t)e * all + j) * H + h];
                for (int k = n; k < all; k++) square += products[((int64_t)j * all + k) * H + h];
            }
            row[COSINE] = entry > 0 && square > 0 ? cross / sqrt(entry * square) : 0;
            row[ENTRY_NORM] = log_norm(entry, list->items[e]->tokens);
            row[READER_NORM] = log_norm(square, list->block_tokens);
        }
}

static void age_inputs(const present *list, const lt_reader *reader, int64_t H, double *x) {
    double tokens = 0;
    for (int e = 0; e < list->count; e++) tokens += list->items[e]->tokens;
    for (int64_t i = 0; i < list->count * H; i++) {
        const lt_entry *e = list->items[i / H];
        double *row = x + i * LT_READ_INPUTS, age = (double)(reader->block - e->block);
        row[AGE] = log1p(fmax(age, 0));
        row[MERGES] = log1p(e->merges);
        row[TIME] = reader->t;
        row[COUNT] = log(list->count);
        row[SHARE] = e->tokens / fmax(tokens, 1);
    }
}

/* Inputs [count * H, LT_READ_INPUTS] on the device. */
static lt_status read_inputs(lt_tape *tape, const lt_reader *reader, const present *list, lt_read_weight mode,
                             int64_t H, lt_tensor *inputs) {
    size_t rows = (size_t)(list->count * H), all = (size_t)(list->count + reader->own_count);
    double *x = calloc(rows * LT_READ_INPUTS, sizeof *x),
           *products = malloc(all * all * (size_t)H * sizeof *products);
    lt_tensor *z = malloc(all * sizeof *z);
    lt_status status = x && products && z ? LT_OK : lt_fail(LT_FAILED, "cache: out of host memory");
    if (status == LT_OK && mode == LT_READ_CONTENT) status = products_of(tape, reader, list, z, products);
    if (status == LT_OK && mode == LT_READ_CONTENT) content_inputs(list, reader->own_count, H, products, x);
    if (status == LT_OK) {
        age_inputs(list, reader, H, x);
        status = LT_NEW(tape->step, lt_ctx_sum_dtype(tape->ctx), inputs, (int64_t)rows, LT_READ_INPUTS);
    }
    if (status == LT_OK) status = lt_host_write(tape->ctx, inputs, x);
    free(x);
    free(products);
    free(z);
    return status;
}

/* Which row of the embedding serves (entry, head). */
static lt_status embedding_ids(lt_tape *tape, int layer, int count, int64_t H, lt_tensor *ids) {
    int32_t *rows = lt_tape_saved(tape, (size_t)(count * H) * sizeof *rows);
    if (!rows) return LT_FAILED;
    for (int64_t i = 0; i < count * H; i++) rows[i] = (int32_t)(layer * H + i % H);
    LT_TRY(LT_NEW(tape->step, LT_I32, ids, count * H));
    return lt_tensor_from_host(tape->ctx->device, tape->ctx->stream, ids, rows);
}

static lt_status scored_weights(lt_cache *cache, lt_tape *tape, const lt_reader *reader, const present *list,
                                lt_read_weight mode, lt_var **out) {
    int64_t H = cache->shape.heads;
    LT_CHECK(cache->scorer, LT_USAGE, "read=%s: this model has no scorer; train one (train.stage=scorer)",
             lt_read_names[mode]);
    LT_CHECK(cache->scorer->heads == H && reader->layer < cache->scorer->layers, LT_FAILED,
             "read=%s: a scorer of %d heads and %d layers for layer %d with %lld heads", lt_read_names[mode],
             cache->scorer->heads, cache->scorer->layers, reader->layer, (long long)H);
    lt_tensor inputs, ids;
    lt_var *rows;
    LT_TRY(read_inputs(tape, reader, list, mode, H, &inputs));
    LT_TRY(embedding_ids(tape, reader->layer, list->count, H, &ids));
    LT_TRY(lt_scorer_read(cache->scorer, tape, mode, inputs, ids, &rows));
    return LT_AG_RESHAPE(tape, rows, out, list->count, H);
}

/* The same weight for all, as a leaf whose gradient is asked for, zeros for ghosts. */
static lt_status constant_weights(lt_tape *tape, const lt_entries *list, int64_t H, double weight,
                                  lt_var **out) {
    double *values = lt_tape_saved(tape, (size_t)(list->count * H) * sizeof *values);
    if (!values) return LT_FAILED;
    for (int64_t i = 0; i < list->count * H; i++) values[i] = list->items[i / H].ghost ? 0 : weight;
    LT_TRY(lt_tape_new(tape, lt_ctx_sum_dtype(tape->ctx), true, out, LT_DIMS(list->count, H)));
    return lt_host_write(tape->ctx, &(*out)->value, values);
}

typedef struct spread_saved {
    lt_var *x, *y;
    int count;
    bool *ghost;
} spread_saved;

/* Row k of `few` belongs to the k-th row of `all` that is no ghost's. */
static lt_status copy_rows(lt_ctx *ctx, const spread_saved *s, lt_tensor few, lt_tensor all, bool backward,
                           bool accumulate) {
    for (int i = 0, k = 0; i < s->count; i++) {
        lt_tensor row = lt_slice(all, 0, i, 1), source = s->ghost[i] ? row : lt_slice(few, 0, k++, 1);
        if (backward && s->ghost[i]) continue;
        lt_copy_args args = {.x = backward ? row : source,
                             .y = backward ? source : row,
                             .scale = s->ghost[i] ? 0 : 1,
                             .accumulate = accumulate};
        LT_TRY(lt_copy(ctx, &args));
    }
    return LT_OK;
}

static lt_status spread_backward(lt_tape *tape, void *memory) {
    spread_saved *s = memory;
    lt_tensor dy = lt_tape_grad_of(s->y), dx;
    bool accumulate;
    if (lt_is_empty(&dy)) return LT_OK;
    LT_TRY(lt_tape_grad_slot(tape, s->x, &dx, &accumulate));
    return copy_rows(tape->ctx, s, dx, dy, true, accumulate);
}

/* The weights x of those present among zeros for ghosts, whose gradient is asked for too. x NULL: all are ghosts. */
static lt_status spread(lt_tape *tape, const lt_entries *list, int64_t H, lt_var *x, lt_var **out) {
    spread_saved *s = lt_tape_saved(tape, sizeof *s + (size_t)list->count);
    if (!s) return LT_FAILED;
    *s = (spread_saved){.x = x, .count = list->count, .ghost = (bool *)(s + 1)};
    for (int i = 0; i < list->count; i++) s->ghost[i] = list->items[i].ghost;
    LT_TRY(lt_tape_new(tape, lt_ctx_sum_dtype(tape->ctx), true, out, LT_DIMS(list->count, H)));
    s->y = *out;
    lt_tensor none = {0};
    LT_TRY(copy_rows(tape->ctx, s, x ? x->value : none, (*out)->value, false, false));
    return lt_tape_wants(tape, 1, &x) ? lt_tape_push(tape, spread_backward, s) : LT_OK;
}

lt_status lt_cache_read_weights(lt_cache *cache, lt_tape *tape, const lt_reader *reader, lt_var **weights) {
    const lt_entries *list = lt_cache_entries(cache, reader->layer, reader->sequence);
    lt_read_weight mode = cache->spec[reader->sequence].read;
    int64_t H = cache->shape.heads;
    present there = {.items = lt_tape_saved(tape, (size_t)list->count * sizeof *there.items),
                     .block_tokens = list->block_tokens};
    if (!there.items) return LT_FAILED;
    for (int i = 0; i < list->count; i++)
        if (!list->items[i].ghost) there.items[there.count++] = &list->items[i];
    double scale = cache->read_scale && reader->stream > 0 ? cache->read_scale[reader->sequence] : 1;
    bool all = there.count < list->count || (tape->recording && cache->observer.on_gradient);
    *weights = NULL;
    if (mode == LT_READ_ONE)
        return all || scale != 1 ? constant_weights(tape, list, H, scale, weights) : LT_OK;
    if (there.count > 0) LT_TRY(scored_weights(cache, tape, reader, &there, mode, weights));
    return all ? spread(tape, list, H, *weights, weights) : LT_OK;
}
