#include "core/parallel.h"
#include "kernels/attention/cpu_bytes.h"
#include "kernels/attention/cpu_rope.h"

#include <omp.h>

typedef struct plan {
    lt_attn_shape shape;
    int64_t padded, segments, items;
    int64_t thread_floats;
    lt_spans spans;
} plan;

static plan make_plan(const lt_attn_shape *shape, int64_t segments, int64_t largest) {
    plan p = {.shape = *shape, .padded = lt_pad16(shape->dim), .segments = segments};
    p.items = shape->blocks * segments * shape->heads;
    p.spans = lt_attn_spans(p.items, largest);
    p.thread_floats = lt_walk_floats(p.padded) + (2 * shape->dim + 3 * LT_ATTN_CHUNK + 1) * p.padded;
    return p;
}

size_t lt_attn_state_backward_cpu_bytes(const lt_attn_shape *shape, const lt_rope *rope) {
    plan p = make_plan(shape, 1, 1);
    return (size_t)(lt_threads() * p.thread_floats) * sizeof(float) + lt_angles_bytes(rope, shape);
}

/* A thread's part of the workspace. */
typedef struct parts {
    float *base, *dS, *dS_transposed, *dz, *keys, *values, *gemm;
} parts;

static parts split(float *memory, const plan *p) {
    parts x = {.base = memory};
    x.dS = x.base + lt_walk_floats(p->padded);
    x.dS_transposed = x.dS + p->shape.dim * p->padded;
    x.dz = x.dS_transposed + p->shape.dim * p->padded;
    x.keys = x.dz + p->padded;
    x.values = x.keys + LT_ATTN_CHUNK * p->padded;
    x.gemm = x.values + LT_ATTN_CHUNK * p->padded;
    return x;
}

static float *at(const lt_tensor *t, int64_t block, int64_t token, int64_t head) {
    return (float *)t->data + block * t->stride[0] + token * t->stride[1] + head * t->shape[3];
}

static void pack(const plan *p, lt_walk *walk, int tokens, int64_t head, const lt_attn_state_backward_args *a,
                 const parts *x) {
    int64_t d = p->shape.dim, padded = p->padded;
    for (int n = 0, run; n < tokens; n += run, lt_walk_on(walk, run)) {
        run = lt_walk_run(walk, tokens - n);
        const float *k = at(&a->k, walk->block, lt_walk_token(walk), head);
        for (int64_t c = 0; c < padded; c += LT_LANES) {
            lt_run_angles angles = lt_walk_angles(walk, c);
            for (int64_t i = 0; i < run; i++) {
                lt_v b = lt_v_relu(lt_v_load_part(k + i * a->k.stride[1] + c, d - c));
                lt_v_store(x->keys + (n + i) * padded + c, lt_rotate(b, &angles, i));
            }
        }
        lt_tile_pad(run, d, at(&a->v, walk->block, lt_walk_token(walk), head), a->v.stride[1],
                    x->values + n * padded);
    }
}

static void write_dv(const plan *p, lt_walk *walk, int tokens, int64_t head,
                     const lt_attn_state_backward_args *a, const parts *x) {
    int64_t d = p->shape.dim, padded = p->padded;
    lt_tile_product(tokens, padded, d, x->keys, padded, 1, x->dS, padded, x->gemm, padded, false);
    for (int n = 0, run; n < tokens; n += run, lt_walk_on(walk, run)) {
        run = lt_walk_run(walk, tokens - n);
        lt_tile_unpad(run, d, x->gemm + n * padded, at(&a->dv, walk->block, lt_walk_token(walk), head),
                      a->dv.stride[1], a->accumulate_dv);
    }
}

/* dk of a run, from dS v in `gemm`. */
static void turn_back(const plan *p, const lt_walk *walk, int run, const float *gemm, const float *dz,
                      const float *k, int64_t k_step, float *dk, int64_t dk_step, bool accumulate) {
    int64_t d = p->shape.dim, padded = p->padded;
    for (int64_t c = 0; c < padded; c += LT_LANES) {
        lt_run_angles angles = lt_walk_angles(walk, c);
        lt_v dz_c = lt_v_load(dz + c);
        for (int64_t i = 0; i < run; i++) {
            lt_v db = lt_rotate_back(lt_v_load(gemm + i * padded + c), &angles, i) + dz_c;
            float *to = dk + i * dk_step + c;
            db = lt_v_where(lt_v_load_part(k + i * k_step + c, d - c) > 0, db);
            if (accumulate) db += lt_v_load_part(to, d - c);
            lt_v_store_part(to, db, d - c);
        }
    }
}

static void write_dk(const plan *p, lt_walk *walk, int tokens, int64_t head,
                     const lt_attn_state_backward_args *a, const parts *x) {
    int64_t d = p->shape.dim, padded = p->padded;
    lt_tile_product(tokens, padded, d, x->values, padded, 1, x->dS_transposed, padded, x->gemm, padded,
                    false);
    for (int n = 0, run; n < tokens; n += run, lt_walk_on(walk, run)) {
        run = lt_walk_run(walk, tokens - n);
        int64_t token = lt_walk_token(walk);
        turn_back(p, walk, run, x->gemm + n * padded, x->dz, at(&a->k, walk->block, token, head),
                  a->k.stride[1], at(&a->dk, walk->block, token, head), a->dk.stride[1], a->accumulate_dk);
    }
}

static void run_item(const plan *p, const lt_attn_state_backward_args *a, const lt_angles *angles,
                     int64_t index, const parts *x) {
    int64_t item = index / p->spans.count, segment = item / p->shape.heads, head = item % p->shape.heads;
    int64_t d = p->shape.dim;
    lt_segment_bounds bounds = lt_segment_at(&a->rope, a->box, (int)(segment % p->segments));
    int64_t size = lt_segment_size(bounds), first = index % p->spans.count * p->spans.tokens;
    int64_t last = first + p->spans.tokens < size ? first + p->spans.tokens : size;
    if (first >= last) return;
    lt_tile_pad(d, d, (const float *)a->dS.data + item * d * d, d, x->dS);
    lt_tile_transpose(d, d, (const float *)a->dS.data + item * d * d, d, x->dS_transposed);
    lt_tile_pad(1, d, (const float *)a->dz.data + item * d, d, x->dz);
    lt_walk walk = lt_walk_begin(angles, bounds, segment / p->segments, x->base);
    for (int64_t n = first; n < last; n += LT_ATTN_CHUNK) {
        int tokens = last - n < LT_ATTN_CHUNK ? (int)(last - n) : LT_ATTN_CHUNK;
        lt_walk_to(&walk, n);
        pack(p, &walk, tokens, head, a, x);
        lt_walk_to(&walk, n);
        if (!lt_is_empty(&a->dv)) write_dv(p, &walk, tokens, head, a, x);
        lt_walk_to(&walk, n);
        if (!lt_is_empty(&a->dk)) write_dk(p, &walk, tokens, head, a, x);
    }
}

lt_status lt_attn_state_backward_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_attn_state_backward_args *a = untyped;
    lt_attn_shape shape = {a->k.shape[0], a->k.shape[1], a->k.shape[2], a->k.shape[3]};
    plan p = make_plan(&shape, lt_segment_count(&a->rope, a->box), lt_segment_tokens(&a->rope, a->box, 0));
    lt_angles angles = lt_angles_build(&a->rope, &shape, workspace);
    float *scratch = (float *)((char *)workspace + lt_angles_bytes(&a->rope, &shape));
    int threads = lt_attn_threads((double)shape.blocks * shape.tokens * shape.heads * shape.dim * shape.dim);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t index = 0; index < p.items * p.spans.count; index++) {
        parts x = split(scratch + omp_get_thread_num() * p.thread_floats, &p);
        run_item(&p, a, &angles, index, &x);
    }
    return LT_OK;
}
