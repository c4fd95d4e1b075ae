#include "core/parallel.h"
#include "kernels/attention/cpu_bytes.h"
#include "kernels/attention/cpu_rope.h"

#include <omp.h>

/* One call: sizes, and where things lie in the workspace. */
typedef struct plan {
    lt_attn_shape shape;
    int64_t padded, segments, items; /* items: blocks x segments x heads */
    int64_t sum_floats;              /* an item's S [d, padded] and z [padded] */
    int64_t thread_floats;
    lt_spans spans;
} plan;

static plan make_plan(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box) {
    plan p = {.shape = *shape, .padded = lt_pad16(shape->dim), .segments = lt_segment_count(rope, box)};
    p.items = shape->blocks * p.segments * shape->heads;
    p.sum_floats = (shape->dim + 1) * p.padded;
    p.thread_floats = (2 * LT_ATTN_CHUNK + 1) * p.padded + lt_walk_floats(p.padded);
    p.spans = lt_attn_spans(p.items, lt_segment_tokens(rope, box, 0)); /* the first is the largest */
    return p;
}

/* Sums are kept a call where they have to be added up, else one a thread. */
static int64_t sums(const plan *p) { return p->spans.count > 1 ? p->items * p->spans.count : lt_threads(); }

size_t lt_attn_state_cpu_bytes(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box) {
    plan p = make_plan(shape, rope, box);
    int64_t floats = lt_threads() * p.thread_floats + sums(&p) * p.sum_floats;
    return (size_t)floats * sizeof(float) + lt_angles_bytes(rope, shape);
}

/* The norm that k still lacks: of a head's channels and of a run's tokens. gain NULL: none. */
typedef struct norm {
    const float *gain, *scale;
} norm;

/* Packs R phi(k) and v of a run and adds phi(k) to z, one vector of channels after the other. */
static void pack_run(const plan *p, const lt_walk *walk, int run, const float *k, int64_t k_step, norm n,
                     const float *v, int64_t v_step, float *keys, float *values, float *z) {
    int64_t d = p->shape.dim, padded = p->padded;
    for (int64_t c = 0; c < padded; c += LT_LANES) {
        lt_run_angles angles = lt_walk_angles(walk, c);
        lt_v sum = lt_v_load(z + c), gain = {0};
        if (n.gain) gain = lt_v_load_part(n.gain + c, d - c);
        for (int64_t i = 0; i < run; i++) {
            lt_v b = lt_v_load_part(k + i * k_step + c, d - c);
            if (n.gain) b = b * n.scale[i] * gain;
            b = lt_v_relu(b);
            sum += b;
            lt_v_store(keys + i * padded + c, lt_rotate(b, &angles, i));
            lt_v_store(values + i * padded + c, lt_v_load_part(v + i * v_step + c, d - c));
        }
        lt_v_store(z + c, sum);
    }
}

static void pack(const plan *p, const lt_attn_state_args *a, lt_walk *walk, int64_t head, int tokens,
                 float *keys, float *values, float *z) {
    for (int n = 0, run; n < tokens; n += run, lt_walk_on(walk, run)) {
        run = lt_walk_run(walk, tokens - n);
        int64_t token = lt_walk_token(walk), d = p->shape.dim;
        const float *k =
            (const float *)a->k.data + walk->block * a->k.stride[0] + token * a->k.stride[1] + head * d;
        const float *v =
            (const float *)a->v.data + walk->block * a->v.stride[0] + token * a->v.stride[1] + head * d;
        norm lacks = {0};
        if (!lt_is_empty(&a->k_gain))
            lacks = (norm){(const float *)a->k_gain.data + head * d,
                           (const float *)a->k_scale.data + walk->block * p->shape.tokens + token};
        pack_run(p, walk, run, k, a->k.stride[1], lacks, v, a->v.stride[1], keys + n * p->padded,
                 values + n * p->padded, z);
    }
}

/* S and z of tokens [first, last) of a segment into `sum`. */
static void sum_span(const plan *p, const lt_attn_state_args *a, lt_walk *walk, int64_t head, int first,
                     int last, float *keys, float *sum) {
    int64_t d = p->shape.dim, padded = p->padded;
    float *values = keys + LT_ATTN_CHUNK * padded, *chunk_z = values + LT_ATTN_CHUNK * padded,
          *z = sum + d * padded;
    memset(z, 0, (size_t)padded * sizeof *z);
    if (first >= last) memset(sum, 0, (size_t)(d * padded) * sizeof *sum);
    else lt_walk_to(walk, first);
    for (int n = first; n < last; n += LT_ATTN_CHUNK) {
        int tokens = last - n < LT_ATTN_CHUNK ? last - n : LT_ATTN_CHUNK;
        memset(chunk_z, 0, (size_t)padded * sizeof *chunk_z);
        pack(p, a, walk, head, tokens, keys, values, chunk_z);
        lt_tile_product(d, padded, tokens, keys, 1, padded, values, padded, sum, padded, n > first);
        for (int64_t c = 0; c < padded; c++) z[c] += chunk_z[c];
    }
}

static void put(const plan *p, const lt_attn_state_args *a, int64_t item, const float *sum) {
    int64_t d = p->shape.dim;
    lt_tile_unpad(d, d, sum, (float *)a->S.data + item * d * d, d, false);
    memcpy((float *)a->z.data + item * d, sum + d * p->padded, (size_t)d * sizeof(float));
}

static void run_item(const plan *p, const lt_attn_state_args *a, const lt_angles *angles, int64_t index,
                     float *mine, float *sum) {
    int64_t item = index / p->spans.count, segment = item / p->shape.heads;
    lt_segment_bounds bounds = lt_segment_at(&a->rope, a->box, (int)(segment % p->segments));
    lt_walk walk = lt_walk_begin(angles, bounds, segment / p->segments, mine);
    int64_t size = lt_segment_size(bounds), first = index % p->spans.count * p->spans.tokens;
    int64_t last = first + p->spans.tokens < size ? first + p->spans.tokens : size;
    sum_span(p, a, &walk, item % p->shape.heads, (int)first, (int)last, mine + lt_walk_floats(p->padded),
             sum);
    if (p->spans.count == 1) put(p, a, item, sum);
}

lt_status lt_attn_state_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_attn_state_args *a = untyped;
    lt_attn_shape shape = {a->k.shape[0], a->k.shape[1], a->k.shape[2], a->k.shape[3]};
    plan p = make_plan(&shape, &a->rope, a->box);
    lt_angles angles = lt_angles_build(&a->rope, &shape, workspace);
    float *scratch = (float *)((char *)workspace + lt_angles_bytes(&a->rope, &shape));
    float *sum = scratch + lt_threads() * p.thread_floats;
    int threads = lt_attn_threads((double)shape.blocks * shape.tokens * shape.heads * shape.dim * shape.dim);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        int thread = omp_get_thread_num();
#pragma omp for schedule(dynamic)
        for (int64_t index = 0; index < p.items * p.spans.count; index++)
            run_item(&p, a, &angles, index, scratch + thread * p.thread_floats,
                     sum + (p.spans.count > 1 ? index : thread) * p.sum_floats);
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < (p.spans.count > 1 ? p.items : 0); item++) {
            float *first = sum + item * p.spans.count * p.sum_floats;
            lt_attn_add_spans(p.spans.count, p.sum_floats, first);
            put(&p, a, item, first);
        }
    }
    return LT_OK;
}
