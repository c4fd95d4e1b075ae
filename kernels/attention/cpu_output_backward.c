#include "core/parallel.h"
#include "kernels/attention/cpu_bytes.h"
#include "kernels/attention/cpu_rope.h"

#include <omp.h>

typedef struct plan {
    lt_attn_shape shape;
    int64_t padded, items;
    int64_t sum_floats; /* dS [d, padded] and dz [padded] of one span */
    int64_t thread_floats;
    lt_spans spans;
} plan;

static plan make_plan(const lt_attn_shape *shape) {
    plan p = {.shape = *shape, .padded = lt_pad16(shape->dim), .items = shape->blocks * shape->heads};
    p.spans = lt_attn_spans(p.items, shape->tokens);
    p.sum_floats = (shape->dim + 1) * p.padded;
    p.thread_floats = lt_walk_floats(p.padded) + (shape->dim + 2 + 3 * LT_ATTN_CHUNK) * p.padded;
    return p;
}

static int64_t sums(const plan *p) { return p->spans.count > 1 ? p->items * p->spans.count : lt_threads(); }

size_t lt_attn_output_backward_cpu_bytes(const lt_attn_shape *shape, const lt_rope *rope) {
    plan p = make_plan(shape);
    int64_t floats = lt_threads() * p.thread_floats + sums(&p) * p.sum_floats;
    return (size_t)floats * sizeof(float) + lt_angles_bytes(rope, shape);
}

/* A thread's part of the workspace; `sum` is the item's or the thread's. */
typedef struct parts {
    float *base, *S_transposed, *z, *chunk_dz, *queries, *n, *product, *sum;
} parts;

static parts split(float *memory, const plan *p, float *sum) {
    parts x = {.base = memory, .sum = sum};
    x.S_transposed = x.base + lt_walk_floats(p->padded);
    x.z = x.S_transposed + p->shape.dim * p->padded;
    x.chunk_dz = x.z + p->padded;
    x.queries = x.chunk_dz + p->padded;
    x.n = x.queries + LT_ATTN_CHUNK * p->padded;
    x.product = x.n + LT_ATTN_CHUNK * p->padded;
    return x;
}

/* Packs R a and n = g / (z.a); a token with z.a = 0 passes nothing on, whatever g is. */
static void pack(const plan *p, lt_walk walk, int tokens, const float *q, int64_t q_step, const float *g,
                 int64_t g_step, const parts *x, float *inverse) {
    int64_t d = p->shape.dim, padded = p->padded;
    for (int i = 0; i < tokens; i++, lt_walk_step(&walk)) {
        const float *from_q = q + i * q_step, *from_g = g + i * g_step;
        lt_v mass = {0};
        for (int64_t c = 0; c < padded; c += LT_LANES) {
            lt_v cosine, sine, a = lt_v_relu(lt_v_load_part(from_q + c, d - c));
            lt_walk_angles(&walk, c, &cosine, &sine);
            mass += a * lt_v_load(x->z + c);
            lt_v_store(x->queries + i * padded + c, lt_rotate(a, cosine, sine));
        }
        float total = lt_v_sum(mass);
        inverse[i] = total != 0 ? 1 / total : 0;
        if (total == 0) memset(x->n + i * padded, 0, (size_t)padded * sizeof(float));
        else
            for (int64_t c = 0; c < padded; c += LT_LANES)
                lt_v_store(x->n + i * padded + c, lt_v_load_part(from_g + c, d - c) * inverse[i]);
    }
}

/* From y = S n: m = -(R a . y) / (z.a), as g.o = (R a . S g) / (z.a); adds a m to dz; writes dq unless it is NULL. */
static void finish_token(const plan *p, const lt_walk *walk, int64_t i, const float *q, float inverse,
                         float *dq, bool accumulate, const parts *x) {
    int64_t d = p->shape.dim, padded = p->padded;
    const float *y = x->product + i * padded;
    lt_v dot = {0};
    for (int64_t c = 0; inverse != 0 && c < padded; c += LT_LANES)
        dot += lt_v_load(x->queries + i * padded + c) * lt_v_load(y + c);
    float m = inverse != 0 ? -lt_v_sum(dot) * inverse : 0;
    for (int64_t c = 0; c < padded; c += LT_LANES) {
        lt_v from = lt_v_load_part(q + c, d - c), cosine, sine;
        if (inverse != 0) lt_v_store(x->chunk_dz + c, lt_v_load(x->chunk_dz + c) + lt_v_relu(from) * m);
        if (!dq) continue;
        lt_walk_angles(walk, c, &cosine, &sine);
        lt_v da = lt_rotate_back(lt_v_load(y + c), cosine, sine) + lt_v_load(x->z + c) * m;
        da = inverse != 0 ? lt_v_where(from > 0, da) : (lt_v){0};
        if (accumulate) da += lt_v_load_part(dq + c, d - c);
        lt_v_store_part(dq + c, da, d - c);
    }
}

/* One chunk; the walk is at its first token, and `first` says that `sum` holds nothing yet. */
static void run_chunk(const plan *p, const lt_attn_output_backward_args *a, lt_walk *walk, int64_t head,
                      int64_t token, int tokens, bool first, const parts *x) {
    int64_t d = p->shape.dim, padded = p->padded, q_step = a->q.stride[1], dq_step = a->dq.stride[1];
    const float *q = (const float *)a->q.data + walk->block * a->q.stride[0] + token * q_step + head * d;
    const float *g =
        (const float *)a->dout.data + walk->block * a->dout.stride[0] + token * a->dout.stride[1] + head * d;
    float *dq = a->dq.data, inverse[LT_ATTN_CHUNK];
    if (dq) dq += walk->block * a->dq.stride[0] + token * dq_step + head * d;
    pack(p, *walk, tokens, q, q_step, g, a->dout.stride[1], x, inverse);
    lt_walk_to(walk, (int)token); /* the copy shares the angles of the row that it left */
    lt_tile_product(tokens, padded, d, x->n, padded, 1, x->S_transposed, padded, x->product, padded, false);
    if (!lt_is_empty(&a->dS))
        lt_tile_product(d, padded, tokens, x->queries, 1, padded, x->n, padded, x->sum, padded, !first);
    memset(x->chunk_dz, 0, (size_t)padded * sizeof(float));
    for (int64_t i = 0; i < tokens; i++, lt_walk_step(walk))
        finish_token(p, walk, i, q + i * q_step, inverse[i], dq ? dq + i * dq_step : NULL, a->accumulate_dq,
                     x);
    float *dz = x->sum + d * padded;
    for (int64_t c = 0; c < padded; c++) dz[c] = (first ? 0 : dz[c]) + x->chunk_dz[c];
}

static void put(const plan *p, const lt_attn_output_backward_args *a, int64_t item, const float *sum) {
    int64_t d = p->shape.dim;
    if (lt_is_empty(&a->dS)) return;
    lt_tile_unpad(d, d, sum, (float *)a->dS.data + item * d * d, d, a->accumulate_dS);
    lt_tile_unpad(1, d, sum + d * p->padded, (float *)a->dz.data + item * d, d, a->accumulate_dS);
}

static void run_item(const plan *p, const lt_attn_output_backward_args *a, const lt_angles *angles,
                     int64_t index, const parts *x) {
    int64_t item = index / p->spans.count, d = p->shape.dim, T = p->shape.tokens;
    int64_t first = index % p->spans.count * p->spans.tokens;
    int64_t last = first + p->spans.tokens < T ? first + p->spans.tokens : T;
    lt_tile_transpose(d, d, (const float *)a->S.data + item * d * d, d, x->S_transposed);
    lt_tile_pad(1, d, (const float *)a->z.data + item * d, d, x->z);
    lt_segment_bounds all = {0, a->rope.frames, 0, a->rope.height, 0, a->rope.width};
    lt_walk walk = lt_walk_begin(angles, all, item / p->shape.heads, x->base);
    lt_walk_to(&walk, (int)first);
    for (int64_t n = first; n < last; n += LT_ATTN_CHUNK)
        run_chunk(p, a, &walk, item % p->shape.heads, n,
                  last - n < LT_ATTN_CHUNK ? (int)(last - n) : LT_ATTN_CHUNK, n == first, x);
    if (p->spans.count == 1) put(p, a, item, x->sum);
}

lt_status lt_attn_output_backward_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_attn_output_backward_args *a = untyped;
    lt_attn_shape shape = {a->q.shape[0], a->q.shape[1], a->q.shape[2], a->q.shape[3]};
    plan p = make_plan(&shape);
    lt_angles angles = lt_angles_build(&a->rope, &shape, workspace);
    float *scratch = (float *)((char *)workspace + lt_angles_bytes(&a->rope, &shape));
    float *sum = scratch + lt_threads() * p.thread_floats;
    int threads = lt_attn_threads((double)shape.blocks * shape.tokens * shape.heads * shape.dim * shape.dim);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        int thread = omp_get_thread_num();
#pragma omp for schedule(dynamic)
        for (int64_t index = 0; index < p.items * p.spans.count; index++) {
            parts x = split(scratch + thread * p.thread_floats, &p,
                            sum + (p.spans.count > 1 ? index : thread) * p.sum_floats);
            run_item(&p, a, &angles, index, &x);
        }
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < (p.spans.count > 1 && !lt_is_empty(&a->dS) ? p.items : 0); item++) {
            float *first = sum + item * p.spans.count * p.sum_floats;
            lt_attn_add_spans(p.spans.count, p.sum_floats, first);
            put(&p, a, item, first);
        }
    }
    return LT_OK;
}
