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

/* 1 / (z.a) of each token and n = g / (z.a); a token with z.a = 0 passes nothing on, whatever g is. */
static void divide(const plan *p, int tokens, const float *q, int64_t q_step, const float *g, int64_t g_step,
                   const parts *x, float *inverse) {
    int64_t d = p->shape.dim, padded = p->padded;
    for (int64_t i = 0; i < tokens; i++) {
        lt_v mass = {0};
        for (int64_t c = 0; c < padded; c += LT_LANES)
            mass += lt_v_relu(lt_v_load_part(q + i * q_step + c, d - c)) * lt_v_load(x->z + c);
        float total = lt_v_sum(mass);
        inverse[i] = total != 0 ? 1 / total : 0;
        for (int64_t c = 0; c < padded; c += LT_LANES) {
            lt_v n = lt_v_load_part(g + i * g_step + c, d - c) * inverse[i];
            lt_v_store(x->n + i * padded + c, total != 0 ? n : (lt_v){0});
        }
    }
}

static void pack(const plan *p, lt_walk *walk, int tokens, const float *q, int64_t step, const parts *x) {
    int64_t d = p->shape.dim, padded = p->padded;
    for (int n = 0, run; n < tokens; n += run, lt_walk_on(walk, run)) {
        run = lt_walk_run(walk, tokens - n);
        for (int64_t c = 0; c < padded; c += LT_LANES) {
            lt_run_angles angles = lt_walk_angles(walk, c);
            for (int64_t i = 0; i < run; i++) {
                lt_v a = lt_v_relu(lt_v_load_part(q + (n + i) * step + c, d - c));
                lt_v_store(x->queries + (n + i) * padded + c, lt_rotate(a, &angles, i));
            }
        }
    }
}

/* From y = S n: m = -(R a . y) / (z.a), as g.o = (R a . S g) / (z.a); and dz of the chunk, the sum of a m. */
static void mass_gradients(const plan *p, int tokens, const float *q, int64_t step, const float *inverse,
                           const parts *x, float *m) {
    int64_t d = p->shape.dim, padded = p->padded;
    for (int64_t i = 0; i < tokens; i++) {
        lt_v dot = {0};
        for (int64_t c = 0; c < padded; c += LT_LANES)
            dot += lt_v_load(x->queries + i * padded + c) * lt_v_load(x->product + i * padded + c);
        m[i] = inverse[i] != 0 ? -lt_v_sum(dot) * inverse[i] : 0;
    }
    for (int64_t c = 0; c < padded; c += LT_LANES) {
        lt_v sum = {0};
        for (int64_t i = 0; i < tokens; i++) sum += lt_v_relu(lt_v_load_part(q + i * step + c, d - c)) * m[i];
        lt_v_store(x->chunk_dz + c, sum);
    }
}

/* dq of a run: R^T y + z m where q > 0 and z.a is not 0. */
static void turn_back(const plan *p, const lt_walk *walk, int run, const float *y, const float *z,
                      const float *m, const float *inverse, const float *q, int64_t q_step, float *dq,
                      int64_t dq_step, bool accumulate) {
    int64_t d = p->shape.dim, padded = p->padded;
    for (int64_t c = 0; c < padded; c += LT_LANES) {
        lt_run_angles angles = lt_walk_angles(walk, c);
        lt_v z_c = lt_v_load(z + c);
        for (int64_t i = 0; i < run; i++) {
            lt_v da = lt_rotate_back(lt_v_load(y + i * padded + c), &angles, i) + z_c * m[i];
            float *to = dq + i * dq_step + c;
            da = lt_v_where(lt_v_load_part(q + i * q_step + c, d - c) > 0, da);
            if (inverse[i] == 0) da = (lt_v){0};
            if (accumulate) da += lt_v_load_part(to, d - c);
            lt_v_store_part(to, da, d - c);
        }
    }
}

/* One chunk, from `token` on; `first` says that `sum` holds nothing yet. */
static void run_chunk(const plan *p, const lt_attn_output_backward_args *a, lt_walk *walk, int64_t head,
                      int64_t token, int tokens, bool first, const parts *x) {
    int64_t d = p->shape.dim, padded = p->padded, q_step = a->q.stride[1], g_step = a->dout.stride[1];
    const float *q = (const float *)a->q.data + walk->block * a->q.stride[0] + token * q_step + head * d;
    const float *g =
        (const float *)a->dout.data + walk->block * a->dout.stride[0] + token * g_step + head * d;
    float inverse[LT_ATTN_CHUNK], m[LT_ATTN_CHUNK], *dz = x->sum + d * padded;
    divide(p, tokens, q, q_step, g, g_step, x, inverse);
    lt_walk_to(walk, token);
    pack(p, walk, tokens, q, q_step, x);
    lt_tile_product(tokens, padded, d, x->n, padded, 1, x->S_transposed, padded, x->product, padded, false);
    mass_gradients(p, tokens, q, q_step, inverse, x, m);
    if (!lt_is_empty(&a->dS))
        lt_tile_product(d, padded, tokens, x->queries, 1, padded, x->n, padded, x->sum, padded, !first);
    for (int64_t c = 0; c < padded; c++) dz[c] = (first ? 0 : dz[c]) + x->chunk_dz[c];
    if (lt_is_empty(&a->dq)) return;
    float *dq = (float *)a->dq.data + walk->block * a->dq.stride[0] + token * a->dq.stride[1] + head * d;
    lt_walk_to(walk, token);
    for (int n = 0, run; n < tokens; n += run, lt_walk_on(walk, run)) {
        run = lt_walk_run(walk, tokens - n);
        turn_back(p, walk, run, x->product + n * padded, x->z, m + n, inverse + n, q + n * q_step, q_step,
                  dq + n * a->dq.stride[1], a->dq.stride[1], a->accumulate_dq);
    }
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
