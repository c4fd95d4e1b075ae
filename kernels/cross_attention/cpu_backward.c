#include "core/parallel.h"
#include "kernels/cross_attention/cpu_parts.h"

#include <omp.h>

typedef struct plan {
    lt_cross_shape s;
    int64_t head_floats; /* keys [L, padded_D], keys and values transposed [D, padded_L] */
    int64_t sum_floats;  /* dk and dv [L, padded_D] of one span */
    int64_t thread_floats;
    lt_spans spans;
} plan;

static plan make_plan(const lt_cross_shape *s) {
    plan p = {.s = *s, .head_floats = s->L * s->padded_D + 2 * s->D * s->padded_L};
    p.sum_floats = 2 * s->L * s->padded_D;
    p.thread_floats = LT_CROSS_ROWS * (2 * s->padded_L + 3 * s->padded_D);
    p.spans = lt_attn_spans(s->G * s->H, s->T);
    return p;
}

size_t lt_cross_attention_backward_cpu_bytes(const lt_cross_shape *s) {
    plan p = make_plan(s);
    int64_t heads = s->B * s->H, floats = s->B * s->padded_L + heads * p.head_floats;
    floats += s->G * s->H * p.spans.count * p.sum_floats + lt_threads() * p.thread_floats;
    return (size_t)floats * sizeof(float);
}

/* One head's packed operands and one span's sums. */
typedef struct parts {
    const float *terms, *keys, *keys_transposed, *values_transposed;
    float *dk, *dv;
    float *p, *ds, *q, *g, *dq; /* a thread's own */
} parts;

static parts split(const plan *p, const float *terms, const float *head, float *sum, float *mine) {
    const lt_cross_shape *s = &p->s;
    parts x = {.terms = terms, .keys = head, .dk = sum, .p = mine};
    x.keys_transposed = head + s->L * s->padded_D;
    x.values_transposed = x.keys_transposed + s->D * s->padded_L;
    x.dv = sum + s->L * s->padded_D;
    x.ds = x.p + LT_CROSS_ROWS * s->padded_L;
    x.q = x.ds + LT_CROSS_ROWS * s->padded_L;
    x.g = x.q + LT_CROSS_ROWS * s->padded_D;
    x.dq = x.g + LT_CROSS_ROWS * s->padded_D;
    return x;
}

/* p = exp(scale q.k + mask - lse) in place of the dot products, ds = scale p (g.v - g.o) in place of g.v. */
static void row_gradients(int64_t n, float scale, const float *terms, float lse, float go, float *p,
                          float *ds) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        p[j] = lt_vec_exp(p[j] * scale + terms[j] - lse);
        ds[j] = scale * p[j] * (ds[j] - go);
    }
}

/* Queries [first, first + rows) of one group; `fresh` says that the sums hold nothing yet. */
static void run_rows(const lt_cross_attention_backward_args *a, const plan *p, int64_t group, int64_t h,
                     int64_t first, int64_t rows, bool fresh, const parts *x) {
    const lt_cross_shape *s = &p->s;
    int64_t wide = s->padded_L, D = s->padded_D;
    lt_tile_pad(rows, s->D, lt_cross_at(&a->q, group, first, h), a->q.stride[1], x->q);
    lt_tile_pad(rows, s->D, lt_cross_at(&a->dout, group, first, h), a->dout.stride[1], x->g);
    lt_tile_product(rows, wide, s->D, x->q, D, 1, x->keys_transposed, wide, x->p, wide, false);
    lt_tile_product(rows, wide, s->D, x->g, D, 1, x->values_transposed, wide, x->ds, wide, false);
    for (int64_t i = 0; i < rows; i++) {
        float lse = ((const float *)a->lse.data)[(group * s->H + h) * s->T + first + i];
        float go = lt_vec_dot(x->g + i * D, lt_cross_at(&a->o, group, first + i, h), s->D);
        row_gradients(wide, (float)a->scale, x->terms, lse, go, x->p + i * wide, x->ds + i * wide);
    }
    if (!lt_is_empty(&a->dk)) {
        lt_tile_product(s->L, D, rows, x->ds, 1, wide, x->q, D, x->dk, D, !fresh);
        lt_tile_product(s->L, D, rows, x->p, 1, wide, x->g, D, x->dv, D, !fresh);
    }
    if (lt_is_empty(&a->dq)) return;
    lt_tile_product(rows, D, s->L, x->ds, wide, 1, x->keys, D, x->dq, D, false);
    lt_tile_unpad(rows, s->D, x->dq, lt_cross_at(&a->dq, group, first, h), a->dq.stride[1], a->accumulate_dq);
}

static void pack_head(const lt_cross_attention_backward_args *a, const lt_cross_shape *s, int64_t b,
                      int64_t h, float *head) {
    float *transposed = head + s->L * s->padded_D;
    lt_tile_pad(s->L, s->D, lt_cross_at(&a->k, b, 0, h), a->k.stride[1], head);
    lt_tile_transpose(s->L, s->D, lt_cross_at(&a->k, b, 0, h), a->k.stride[1], transposed);
    lt_tile_transpose(s->L, s->D, lt_cross_at(&a->v, b, 0, h), a->v.stride[1],
                      transposed + s->D * s->padded_L);
}

/* All spans of all groups of one text, in their order. */
static void add_spans(const lt_cross_attention_backward_args *a, const plan *p, int64_t b, int64_t h,
                      float *sum) {
    const lt_cross_shape *s = &p->s;
    lt_attn_add_spans((int)(s->repeats * p->spans.count), p->sum_floats, sum);
    lt_tile_unpad(s->L, s->D, sum, lt_cross_at(&a->dk, b, 0, h), a->dk.stride[1], a->accumulate_dkv);
    lt_tile_unpad(s->L, s->D, sum + s->L * s->padded_D, lt_cross_at(&a->dv, b, 0, h), a->dv.stride[1],
                  a->accumulate_dkv);
}

static void run_span(const lt_cross_attention_backward_args *a, const plan *p, int64_t group, int64_t h,
                     int64_t span, const parts *x) {
    int64_t first = span * p->spans.tokens, last = first + p->spans.tokens;
    if (last > p->s.T) last = p->s.T;
    for (int64_t t = first; t < last; t += LT_CROSS_ROWS)
        run_rows(a, p, group, h, t, last - t < LT_CROSS_ROWS ? last - t : LT_CROSS_ROWS, t == first, x);
}

lt_status lt_cross_attention_backward_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_cross_attention_backward_args *a = untyped;
    lt_cross_shape s = lt_cross_shape_of(&a->q, &a->k);
    plan p = make_plan(&s);
    int64_t n = s.B * s.H, each = s.repeats * p.spans.count; /* spans of a text's head */
    float *terms = workspace, *heads = terms + s.B * s.padded_L, *sums = heads + n * p.head_floats;
    float *scratch = sums + n * each * p.sum_floats;
    int threads = lt_attn_threads(5.0 * s.G * s.H * s.T * s.L * s.D);
    lt_cross_mask_terms(&s, &a->mask, terms);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for
        for (int64_t i = 0; i < n; i++) pack_head(a, &s, i / s.H, i % s.H, heads + i * p.head_floats);
        float *mine = scratch + omp_get_thread_num() * p.thread_floats;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < n * each; i++) {
            int64_t head = i / each, repeat = i % each / p.spans.count;
            parts x = split(&p, terms + head / s.H * s.padded_L, heads + head * p.head_floats,
                            sums + i * p.sum_floats, mine);
            run_span(a, &p, repeat * s.B + head / s.H, head % s.H, i % p.spans.count, &x);
        }
#pragma omp for
        for (int64_t i = 0; i < (lt_is_empty(&a->dk) ? 0 : n); i++)
            add_spans(a, &p, i / s.H, i % s.H, sums + i * each * p.sum_floats);
    }
    return LT_OK;
}
