#include "core/parallel.h"
#include "kernels/attention/cpu_bytes.h"
#include "kernels/attention/cpu_rope.h"

#include <omp.h>

typedef struct plan {
    lt_attn_shape shape;
    int64_t padded, items; /* items: blocks x heads */
    int64_t thread_floats;
    lt_spans spans;
} plan;

static plan make_plan(const lt_attn_shape *shape) {
    plan p = {.shape = *shape, .padded = lt_pad16(shape->dim), .items = shape->blocks * shape->heads};
    p.spans = lt_attn_spans(p.items, shape->tokens);
    p.thread_floats = lt_walk_floats(p.padded) + (shape->dim + 1 + 2 * LT_ATTN_CHUNK) * p.padded;
    return p;
}

size_t lt_attn_output_cpu_bytes(const lt_attn_shape *shape, const lt_rope *rope) {
    plan p = make_plan(shape);
    int64_t floats = lt_threads() * p.thread_floats + p.items * p.spans.count * p.padded;
    return (size_t)floats * sizeof(float) + lt_angles_bytes(rope, shape);
}

/* A thread's part of the workspace; r is the item's. */
typedef struct parts {
    float *base, *S, *z, *queries, *product, *r;
    const float *gain; /* of the head's channels, or NULL */
} parts;

/* phi(q), channels [c, c + LT_LANES). */
LT_INLINE lt_v features(const float *q, const float *gain, int64_t c, int64_t d) {
    lt_v x = lt_v_load_part(q + c, d - c);
    if (gain) x = x * lt_v_load_part(gain + c, d - c);
    return lt_v_relu(x);
}

static parts split(float *memory, const plan *p, float *r) {
    parts x = {.base = memory, .r = r};
    x.S = x.base + lt_walk_floats(p->padded);
    x.z = x.S + p->shape.dim * p->padded;
    x.queries = x.z + p->padded;
    x.product = x.queries + LT_ATTN_CHUNK * p->padded;
    return x;
}

/* 1 / (z.a) of each token, 0 where z.a = 0; whether there is such a token. */
static bool masses(const plan *p, int tokens, const float *q, int64_t step, const parts *x, float *inverse) {
    int64_t d = p->shape.dim, padded = p->padded;
    bool any = false;
    for (int64_t n = 0; n < tokens; n++) {
        lt_v mass = {0};
        for (int64_t c = 0; c < padded; c += LT_LANES)
            mass += features(q + n * step, x->gain, c, d) * lt_v_load(x->z + c);
        float total = lt_v_sum(mass);
        any |= total == 0;
        inverse[n] = total != 0 ? 1 / total : 0;
    }
    return any;
}

/* Packs R a / (z.a) and adds a / (z.a) to r. */
static void pack(const plan *p, lt_walk *walk, int tokens, const float *q, int64_t step, const float *inverse,
                 const parts *x) {
    int64_t d = p->shape.dim, padded = p->padded;
    for (int n = 0, run; n < tokens; n += run, lt_walk_on(walk, run)) {
        run = lt_walk_run(walk, tokens - n);
        for (int64_t c = 0; c < padded; c += LT_LANES) {
            lt_run_angles angles = lt_walk_angles(walk, c);
            lt_v sum = lt_v_load(x->r + c);
            for (int64_t i = 0; i < run; i++) {
                lt_v a = features(q + (n + i) * step, x->gain, c, d) * inverse[n + i];
                sum += a;
                lt_v_store(x->queries + (n + i) * padded + c, lt_rotate(a, &angles, i));
            }
            lt_v_store(x->r + c, sum);
        }
    }
}

static void run_chunk(const plan *p, lt_walk *walk, int tokens, const float *S, const float *q,
                      int64_t q_step, float *o, int64_t o_step, const parts *x) {
    int64_t d = p->shape.dim, padded = p->padded;
    float inverse[LT_ATTN_CHUNK];
    bool any = masses(p, tokens, q, q_step, x, inverse), direct = padded == d;
    pack(p, walk, tokens, q, q_step, inverse, x);
    float *to = direct ? o : x->product;
    lt_tile_product(tokens, padded, d, x->queries, padded, 1, S, padded, to, direct ? o_step : padded, false);
    if (!direct) lt_tile_unpad(tokens, d, to, o, o_step, false);
    for (int n = 0; any && n < tokens; n++)
        if (inverse[n] == 0) memset(o + n * o_step, 0, (size_t)d * sizeof *o);
}

static void run_item(const plan *p, const lt_attn_output_args *a, const lt_angles *angles, int64_t index,
                     parts *x) {
    int64_t item = index / p->spans.count, block = item / p->shape.heads, head = item % p->shape.heads;
    int64_t d = p->shape.dim, T = p->shape.tokens, first = index % p->spans.count * p->spans.tokens;
    int64_t last = first + p->spans.tokens < T ? first + p->spans.tokens : T;
    const float *S = (const float *)a->S.data + item * d * d;
    const float *q = (const float *)a->q.data + block * a->q.stride[0] + head * d;
    float *o = (float *)a->o.data + block * a->o.stride[0] + head * d;
    x->gain = lt_is_empty(&a->q_gain) ? NULL : (const float *)a->q_gain.data + head * d;
    if (p->padded != d) lt_tile_pad(d, d, S, d, x->S), S = x->S;
    lt_tile_pad(1, d, (const float *)a->z.data + item * d, d, x->z);
    memset(x->r, 0, (size_t)p->padded * sizeof *x->r);
    lt_segment_bounds all = {0, a->rope.frames, 0, a->rope.height, 0, a->rope.width};
    lt_walk walk = lt_walk_begin(angles, all, block, x->base);
    lt_walk_to(&walk, first);
    for (int64_t n = first; n < last; n += LT_ATTN_CHUNK) {
        int tokens = last - n < LT_ATTN_CHUNK ? (int)(last - n) : LT_ATTN_CHUNK;
        run_chunk(p, &walk, tokens, S, q + n * a->q.stride[1], a->q.stride[1], o + n * a->o.stride[1],
                  a->o.stride[1], x);
    }
}

lt_status lt_attn_output_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_attn_output_args *a = untyped;
    lt_attn_shape shape = {a->q.shape[0], a->q.shape[1], a->q.shape[2], a->q.shape[3]};
    plan p = make_plan(&shape);
    lt_angles angles = lt_angles_build(&a->rope, &shape, workspace);
    float *scratch = (float *)((char *)workspace + lt_angles_bytes(&a->rope, &shape));
    float *r = scratch + lt_threads() * p.thread_floats;
    int threads = lt_attn_threads((double)shape.blocks * shape.tokens * shape.heads * shape.dim * shape.dim);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t index = 0; index < p.items * p.spans.count; index++) {
        parts x = split(scratch + omp_get_thread_num() * p.thread_floats, &p, r + index * p.padded);
        run_item(&p, a, &angles, index, &x);
    }
    for (int64_t item = 0; !lt_is_empty(&a->r) && item < p.items; item++) {
        float *first = r + item * p.spans.count * p.padded;
        lt_attn_add_spans(p.spans.count, p.padded, first);
        memcpy((float *)a->r.data + item * shape.dim, first, (size_t)shape.dim * sizeof(float));
    }
    return LT_OK;
}
