/* A cache in a world without a model: states of blocks are random numbers that depend on (layer, sequence, block)
 * alone. For tests only. */
#ifndef LT_MODEL_CACHE_TESTING_H
#define LT_MODEL_CACHE_TESTING_H

#include "kernels/testing_device.h"
#include "model/cache/cache_impl.h"
#include "model/cache/host_values.h"
#include "tests/harness.h"

enum { WORLD_H = 2, WORLD_D = 4, WORLD_STATE = WORLD_H * WORLD_D * (WORLD_D + 1), WORLD_BLOCKS = 64 };

typedef struct world {
    lt_device *device;
    lt_arena run, step, scratch, weights, grads;
    lt_ctx ctx;
    lt_tape tape;
    lt_cache cache;
    lt_params params;
    lt_scorer scorer;
    int frames; /* of a block; an entry is `box` of them */
    lt_segment_box box;
    int64_t shift;             /* of the random numbers: another video */
    bool tied;                 /* z is a linear function of S: the sums of its rows */
    int64_t nudged_block;      /* of layer 0 and sequence 0: its first state ... */
    int nudged;                /* ... has an element ... */
    double nudge;              /* ... that is off by this much */
    lt_var *first_S, *first_z; /* that state */
    int64_t block;             /* the next one */
    bool twins;                /* the second segment of a block is the first again */
    bool together;             /* one call for all sequences, of which there are at most 8 */
    double *reads;             /* [WORLD_BLOCKS, layers, batch, WORLD_STATE]: what each block read */
} world;

static inline void world_open(world *w, lt_backend backend, const char *device) {
    memset(w, 0, sizeof *w);
    CHECK_OK(test_device_open(device, &backend, &w->device));
    lt_arena *arenas[] = {&w->run, &w->step, &w->scratch, &w->weights, &w->grads};
    for (int i = 0; i < 5; i++) CHECK_OK(lt_arena_init(arenas[i], w->device, 8 << 20, "test"));
    w->ctx = (lt_ctx){.device = w->device, .backend = backend, .scratch = &w->scratch};
    w->step.poison = w->scratch.poison = w->run.poison = backend != LT_BACKEND_NULL;
    lt_tape_init(&w->tape, &w->ctx, &w->step);
    w->frames = 1;
    w->box = (lt_segment_box){1, 2, 3};
}

/* A cache in the world: streaming with just the slots the spec needs, or without slots. */
static inline void world_cache(world *w, const char *spec_text, int budget, int layers, int batch,
                               bool slots) {
    lt_cache_spec spec;
    CHECK_OK(lt_cache_spec_parse(spec_text, budget, &spec));
    int segments = w->frames / w->box.frames;
    lt_cache_shape shape = {.layers = layers, .batch = batch, .heads = WORLD_H, .head_dim = WORLD_D};
    shape.dtype = lt_ctx_dtype(&w->ctx);
    shape.capacity = WORLD_BLOCKS * segments;
    if (slots) {
        shape.slots = lt_cache_slots_for(&spec, segments);
        shape.capacity = spec.budget + segments;
        shape.tail_rows = 3, shape.tail_width = 5;
    }
    lt_cache_free(&w->cache);
    free(w->reads);
    CHECK_OK(lt_cache_init(&w->cache, &shape, &spec, &w->run));
    w->cache.seed = 7;
    w->reads = calloc((size_t)WORLD_BLOCKS * layers * batch * WORLD_STATE, sizeof *w->reads);
    w->block = 0;
}

/* Untrained heads; `spread` gives them other values. */
static inline void world_scorer(world *w, int layers, bool spread) {
    lt_params_init(&w->params, w->device, lt_ctx_dtype(&w->ctx));
    CHECK_OK(lt_scorer_declare(&w->scorer, layers, WORLD_H, &w->params));
    CHECK_OK(lt_params_allocate(&w->params, &w->weights, &w->grads, NULL, NULL));
    CHECK_OK(lt_params_initialise(&w->params, 3));
    for (int i = 0; i < w->params.published_count && spread; i++) {
        double values[4096];
        const lt_published *p = &w->params.published[i];
        lt_rng_key key = {.seed = 11, .purpose = LT_RNG_TEST, .clip = (uint64_t)i};
        for (int64_t k = 0; k < p->count; k++) values[k] = 0.3 * lt_rng_normal(&key, (uint64_t)k);
        CHECK_OK(lt_params_set(&w->params, LT_COPY_VALUE, p, values));
    }
    w->cache.scorer = &w->scorer;
}

static inline void world_close(world *w) {
    lt_cache_free(&w->cache);
    lt_params_free(&w->params);
    lt_tape_free(&w->tape);
    free(w->reads);
    lt_arena *arenas[] = {&w->run, &w->step, &w->scratch, &w->weights, &w->grads};
    for (int i = 0; i < 5; i++) lt_arena_free(arenas[i]);
    lt_device_close(w->device);
}

/* The state of a segment, as the host knows it: S [H, D, D] signed, z [H, D] positive. */
static inline void world_state(const world *w, int layer, int sequence, int64_t block, int segment,
                               double out[WORLD_STATE]) {
    lt_rng_key key = {.seed = 1,
                      .purpose = LT_RNG_TEST,
                      .clip = (uint64_t)(sequence * 16 + layer),
                      .block = (uint32_t)(block + 1000 * w->shift),
                      .step = (uint32_t)(w->twins && segment == 1 ? 0 : segment)};
    for (int i = 0; i < WORLD_STATE; i++) {
        out[i] = lt_rng_normal(&key, (uint64_t)i);
        if (i >= WORLD_STATE - WORLD_H * WORLD_D) out[i] = fabs(out[i]) + 0.1;
    }
    for (int row = 0; row < WORLD_H * WORLD_D && w->tied; row++) {
        out[WORLD_STATE - WORLD_H * WORLD_D + row] = 0;
        for (int i = 0; i < WORLD_D; i++)
            out[WORLD_STATE - WORLD_H * WORLD_D + row] += out[row * WORLD_D + i];
    }
}

/* Cosine of the z of two states, mean over heads. */
static inline double world_cosine(const double *a, const double *b) {
    double sum = 0;
    for (int h = 0; h < WORLD_H; h++) {
        double ab = 0, aa = 0, bb = 0;
        for (int i = 0; i < WORLD_D; i++) {
            int at = WORLD_H * WORLD_D * WORLD_D + h * WORLD_D + i;
            ab += a[at] * b[at], aa += a[at] * a[at], bb += b[at] * b[at];
        }
        sum += ab / sqrt(aa * bb);
    }
    return sum / WORLD_H;
}

static inline void world_upload(world *w, const double *values, bool needs_grad, lt_var **S, lt_var **z) {
    CHECK_OK(lt_tape_new(&w->tape, lt_ctx_dtype(&w->ctx), needs_grad, S, LT_DIMS(WORLD_H, WORLD_D, WORLD_D)));
    CHECK_OK(lt_tape_new(&w->tape, lt_ctx_dtype(&w->ctx), needs_grad, z, LT_DIMS(WORLD_H, WORLD_D)));
    CHECK_OK(lt_host_write(&w->ctx, &(*S)->value, values));
    CHECK_OK(lt_host_write(&w->ctx, &(*z)->value, values + WORLD_H * WORLD_D * WORLD_D));
}

static inline double *world_read(const world *w, int64_t block, int layer, int sequence) {
    return w->reads +
           ((block * w->cache.shape.layers + layer) * w->cache.shape.batch + sequence) * WORLD_STATE;
}

static inline lt_tensor world_new(world *w, int ndim, const int64_t *shape) {
    lt_tensor t = {0};
    CHECK_OK(lt_tensor_new(&w->step, lt_ctx_dtype(&w->ctx), &t, ndim, shape));
    return t;
}

/* A reader with random states of its own. */
static inline lt_reader world_reader(world *w, int layer, int sequence, int64_t block, bool needs_grad) {
    int segments = w->frames / w->box.frames;
    lt_reader reader = {
        .layer = layer, .sequence = sequence, .block = block, .t = 0.5, .own_count = segments};
    double values[WORLD_STATE];
    reader.first_frame = block * w->frames;
    reader.own_S = lt_tape_saved(&w->tape, (size_t)segments * sizeof *reader.own_S);
    reader.own_z = lt_tape_saved(&w->tape, (size_t)segments * sizeof *reader.own_z);
    for (int i = 0; i < segments; i++) {
        bool first = layer == 0 && sequence == 0 && block == w->nudged_block && i == 0;
        world_state(w, layer, sequence, block, i, values);
        if (first) values[w->nudged] += w->nudge;
        world_upload(w, values, needs_grad, &reader.own_S[i], &reader.own_z[i]);
        if (first) w->first_S = reader.own_S[i], w->first_z = reader.own_z[i];
    }
    return reader;
}

/* One block of one layer and of `count` sequences, from `first` on, reads and commits. */
static inline lt_status world_visit_all(world *w, int layer, int first, int count, int64_t block,
                                        bool needs_grad, lt_ag_sum *sums) {
    lt_reader readers[8] = {{0}};
    lt_commit commits[8];
    lt_rope rope = {.frames = w->frames, .height = 2, .width = 3, .theta = 10000};
    double r[WORLD_H * WORLD_D];
    for (int i = 0; i < count; i++) readers[i] = world_reader(w, layer, first + i, block, needs_grad);
    LT_TRY(lt_cache_read(&w->cache, &w->tape, count, readers, sums));
    for (int i = 0; i < count; i++) {
        sums[i].out_S = world_new(w, LT_DIMS(WORLD_H, WORLD_D, WORLD_D));
        sums[i].out_z = world_new(w, LT_DIMS(WORLD_H, WORLD_D));
    }
    LT_TRY(lt_ag_attn_combine(&w->tape, count, sums));
    for (int i = 0; i < count; i++) {
        double *read = world_read(w, block % WORLD_BLOCKS, layer, first + i);
        LT_TRY(lt_host_read(&w->ctx, &sums[i].sum_S->value, read));
        LT_TRY(lt_host_read(&w->ctx, &sums[i].sum_z->value, read + WORLD_H * WORLD_D * WORLD_D));
        commits[i] = (lt_commit){.reader = readers[i], .rope = &rope, .box = w->box};
        commits[i].motion = (float)(block % 5);
        commits[i].r = world_new(w, LT_DIMS(WORLD_H, WORLD_D));
        for (int k = 0; k < WORLD_H * WORLD_D; k++) r[k] = 1 + k % 3;
        LT_TRY(lt_host_write(&w->ctx, &commits[i].r, r));
    }
    return lt_cache_commit(&w->cache, &w->tape, count, commits);
}

static inline lt_status world_visit(world *w, int layer, int sequence, int64_t block, bool needs_grad,
                                    lt_var **sum_S, lt_var **sum_z) {
    lt_ag_sum sum;
    LT_TRY(world_visit_all(w, layer, sequence, 1, block, needs_grad, &sum));
    *sum_S = sum.sum_S;
    *sum_z = sum.sum_z;
    return LT_OK;
}

/* All sequences of a block: together, or one after the other. */
static inline lt_status world_block(world *w, int layer, int64_t block, bool needs_grad, lt_ag_sum *sums) {
    int batch = w->cache.shape.batch;
    if (w->together) return world_visit_all(w, layer, 0, batch, block, needs_grad, sums);
    for (int b = 0; b < batch; b++) LT_TRY(world_visit_all(w, layer, b, 1, block, needs_grad, &sums[b]));
    return LT_OK;
}

/* Streams `blocks` blocks, one forward each. */
static inline lt_status world_stream(world *w, int64_t blocks) {
    for (int64_t end = w->block + blocks; w->block < end; w->block++) {
        lt_tape_reset(&w->tape);
        for (int l = 0; l < w->cache.shape.layers; l++) {
            lt_ag_sum sums[8];
            LT_TRY(lt_cache_layer_begin(&w->cache, &w->tape, l));
            LT_TRY(world_block(w, l, w->block, false, sums));
        }
        LT_TRY(lt_cache_forward_end(&w->cache, &w->tape, true));
    }
    return LT_OK;
}

/* Opens a world on the CPU in which one block of `entries` entries was committed under a policy and a budget. twins:
 * the first two are equal. */
static inline void world_commit(world *w, const char *spec, int budget, int entries, bool twins) {
    world_open(w, LT_BACKEND_CPU, "cpu");
    w->frames = entries;
    w->twins = twins;
    world_cache(w, spec, budget, 1, 1, true);
    CHECK_OK(world_stream(w, 1));
}

/* All blocks in one forward; the vars of each block's read of layer 0, sequence 0 into S and z (or NULL). */
static inline lt_status world_whole(world *w, int64_t blocks, bool needs_grad, lt_var **S, lt_var **z) {
    lt_tape_reset(&w->tape);
    for (int l = 0; l < w->cache.shape.layers; l++) {
        LT_TRY(lt_cache_layer_begin(&w->cache, &w->tape, l));
        for (int64_t i = 0; i < blocks; i++) {
            lt_ag_sum sums[8];
            LT_TRY(world_block(w, l, i, needs_grad, sums));
            if (S && l == 0) S[i] = sums[0].sum_S, z[i] = sums[0].sum_z;
        }
    }
    return lt_cache_forward_end(&w->cache, &w->tape, false);
}

static inline bool world_same_reads(const world *a, const world *b, int64_t blocks) {
    size_t bytes =
        (size_t)(blocks * a->cache.shape.layers * a->cache.shape.batch * WORLD_STATE) * sizeof *a->reads;
    return memcmp(a->reads, b->reads, bytes) == 0;
}

#endif
