/* The block-causal forward: streaming against all blocks at once, positions, gradients through the cache, memory. */
#include "core/rng.h"
#include "kernels/check.h"
#include "kernels/testing_device.h"
#include "model/dit/dit.h"
#include "tests/harness.h"

enum { BATCH = 2, BLOCKS = 4, STREAMS = 2, FRAMES = 2, SIDE = 6, CHANNELS = 3, LENGTH = 5, CAPTION = 8 };
enum { GROUPS = BATCH * BLOCKS * STREAMS, BLOCK_SIZE = FRAMES * SIDE * SIDE * CHANNELS };

typedef struct world {
    lt_device *device;
    lt_dtype dtype;
    lt_arena weights, grads, step, scratch, run;
    lt_params params;
    lt_dit dit;
    lt_scorer scorer;
    lt_ctx ctx;
    lt_tape tape;
    lt_cache cache;
} world;

static const lt_dit_config small = {.in_channels = CHANNELS,
                                    .layers = 2,
                                    .heads = 2,
                                    .head_dim = 16,
                                    .cross_heads = 2,
                                    .cross_head_dim = 8,
                                    .caption_channels = CAPTION,
                                    .ffn_ratio = 1.5,
                                    .patch = {1, 2, 2},
                                    .block_frames = FRAMES,
                                    .rope_theta = 10000,
                                    .norm_eps = 1e-6,
                                    .qk_eps = 1e-5,
                                    .time_scale = 1000};

static double normal(uint64_t stream, int64_t i) {
    const lt_rng_key key = {.purpose = LT_RNG_TEST, .clip = stream};
    return lt_rng_normal(&key, i);
}

/* No parameter is zero, so that every branch counts. */
static void randomise(lt_params *params) {
    for (int i = 0; i < params->published_count; i++) {
        const lt_published *p = &params->published[i];
        if (strncmp(p->name, "scorer", 6) == 0) continue;
        double *values = malloc(p->count * sizeof *values);
        double mean = p->init == LT_INIT_ONE,
               deviation = p->ndim > 1 ? 1.2 / sqrt((double)p->count / p->shape[0]) : 0.3;
        for (int64_t k = 0; k < p->count; k++) values[k] = (float)(mean + deviation * normal(i + 100, k));
        CHECK_OK(lt_params_set(params, LT_COPY_VALUE, p, values));
        free(values);
    }
}

static void open_world(world *w, const char *device, lt_backend backend) {
    memset(w, 0, sizeof *w);
    CHECK_OK(test_device_open(device, &backend, &w->device));
    w->dtype = backend == LT_BACKEND_NAIVE ? LT_F64 : LT_F32;
    lt_arena *arenas[] = {&w->weights, &w->grads, &w->step, &w->scratch, &w->run};
    for (int i = 0; i < 5; i++) CHECK_OK(lt_arena_init(arenas[i], w->device, 32 << 20, "test"));
    w->step.poison = w->scratch.poison = w->run.poison = !lt_device_is_null(w->device);
    lt_params_init(&w->params, w->device, w->dtype);
    CHECK_OK(lt_dit_declare(&w->dit, &small, &w->params));
    CHECK_OK(lt_scorer_declare(&w->scorer, small.layers, small.heads, &w->params));
    CHECK_OK(lt_params_allocate(&w->params, &w->weights, &w->grads, NULL, NULL));
    CHECK_OK(lt_params_initialise(&w->params, 1));
    if (!lt_device_is_null(w->device)) randomise(&w->params);
    w->ctx = (lt_ctx){.device = w->device, .backend = backend, .scratch = &w->scratch};
    lt_tape_init(&w->tape, &w->ctx, &w->step);
}

static void close_world(world *w) {
    lt_tape_free(&w->tape);
    lt_params_free(&w->params);
    lt_arena *arenas[] = {&w->weights, &w->grads, &w->step, &w->scratch, &w->run};
    for (int i = 0; i < 5; i++) lt_arena_free(arenas[i]);
    lt_device_close(w->device);
}

static void open_cache(world *w, const char *policy, int budget, bool slots) {
    lt_cache_spec spec;
    CHECK_OK(lt_cache_spec_parse(policy, budget, &spec));
    if (test_bad) exit(test_end());
    int tokens = SIDE / 2 * SIDE / 2;
    lt_cache_shape shape = {.layers = small.layers,
                            .batch = BATCH,
                            .heads = small.heads,
                            .head_dim = small.head_dim,
                            .slots = slots ? lt_cache_slots_for(&spec, 4) : 0,
                            .capacity = 4 * (BLOCKS + 1),
                            .tail_rows = slots ? tokens : 0,
                            .tail_width = lt_dit_width(&small)};
    CHECK_OK(lt_cache_init(&w->cache, &shape, &spec, slots ? &w->run : NULL));
    w->cache.scorer = &w->scorer;
}

static lt_tensor filled(world *w, uint64_t stream, int ndim, const int64_t *shape) {
    lt_tensor t = {0};
    CHECK_OK(lt_tensor_new(&w->step, w->dtype, &t, ndim, shape));
    for (int64_t i = 0; i < lt_numel(&t) && !lt_device_is_null(w->device); i++) {
        if (w->dtype == LT_F64) ((double *)t.data)[i] = normal(stream, i);
        else ((float *)t.data)[i] = (float)normal(stream, i);
    }
    return t;
}

/* The latents of one group (block, stream, sequence), the same however the groups are cut into calls. */
static void fill_group(world *w, lt_tensor *latent, int at, int block, int stream, int sequence) {
    for (int64_t i = 0; i < BLOCK_SIZE && !lt_device_is_null(w->device); i++) {
        double x = normal(1000 + (block * STREAMS + stream) * BATCH + sequence, i);
        if (w->dtype == LT_F64) ((double *)latent->data)[at * BLOCK_SIZE + i] = x;
        else ((float *)latent->data)[at * BLOCK_SIZE + i] = (float)x;
    }
}

static const lt_dit_keep nothing;

static double time_of(int block, int stream) { return stream == 0 ? 0 : 0.3 + 0.1 * block; }

/* Runs blocks [first, first + blocks) in streams [stream, stream + streams); commits in `commit`. */
static void forward(world *w, int first, int blocks, int stream, int streams, int commit, int64_t position,
                    lt_cache *cache, const lt_dit_keep *keep, lt_var **velocity) {
    int groups = blocks * streams * BATCH;
    double t[GROUPS];
    int64_t frames[BLOCKS];
    lt_tensor latent = {0}, mask = filled(w, 1, LT_DIMS(BATCH, LENGTH));
    lt_var *text, *x;
    CHECK_OK(LT_NEW(&w->step, w->dtype, &latent, groups, FRAMES, SIDE, SIDE, CHANNELS));
    for (int g = 0; g < groups; g++) {
        int block = first + g / (streams * BATCH), s = stream + g / BATCH % streams;
        fill_group(w, &latent, g, block, s, g % BATCH);
        t[g] = time_of(block, s);
    }
    for (int i = 0; i < blocks; i++) frames[i] = position + (int64_t)(first + i) * FRAMES;
    for (int64_t i = 0; i < BATCH * LENGTH && !lt_device_is_null(w->device); i++) {
        if (w->dtype == LT_F64) ((double *)mask.data)[i] = i != 7;
        else ((float *)mask.data)[i] = i != 7;
    }
    CHECK_OK(lt_tape_var(&w->tape, filled(w, 2, LT_DIMS(BATCH, LENGTH, CAPTION)), false, &text));
    CHECK_OK(lt_tape_var(&w->tape, latent, false, &x));
    lt_dit_input in = {.batch = BATCH,
                       .streams = streams,
                       .blocks = blocks,
                       .latent = x,
                       .t = t,
                       .text = text,
                       .mask = mask,
                       .first_frame = frames,
                       .commit_stream = commit,
                       .cache = cache,
                       .keep = keep};
    CHECK_OK(lt_dit_forward(&w->dit, &w->tape, &in, velocity));
    if (test_bad) exit(test_end()); /* nothing below can be read */
}

/* All blocks in one forward; the velocities [GROUPS, BLOCK_SIZE] are copied out. */
static void one_forward(const char *policy, int budget, int64_t position, bool recording, float *out) {
    world w;
    lt_var *velocity;
    open_world(&w, "cpu", LT_BACKEND_CPU);
    open_cache(&w, policy, budget, false);
    w.tape.recording = recording;
    forward(&w, 0, BLOCKS, 0, STREAMS, 0, position, &w.cache, NULL, &velocity);
    memcpy(out, velocity->value.data, GROUPS * BLOCK_SIZE * sizeof *out);
    lt_cache_free(&w.cache);
    close_world(&w);
}

static void all_at_once(const char *policy, int budget, int64_t position, float *out) {
    one_forward(policy, budget, position, false, out);
}

/* Block by block: the noisy stream reads, then the clean one reads and commits. */
static void streaming(const char *policy, int budget, float *out) {
    world w;
    lt_var *velocity;
    open_world(&w, "cpu", LT_BACKEND_CPU);
    open_cache(&w, policy, budget, true);
    for (int block = 0; block < BLOCKS; block++)
        for (int stream = STREAMS - 1; stream >= 0; stream--) {
            lt_tape_reset(&w.tape);
            forward(&w, block, 1, stream, 1, stream == 0 ? 0 : -1, 0, &w.cache, NULL, &velocity);
            memcpy(out + (block * STREAMS + stream) * BATCH * BLOCK_SIZE, velocity->value.data,
                   BATCH * BLOCK_SIZE * sizeof *out);
        }
    lt_cache_free(&w.cache);
    close_world(&w);
}

static double difference(const float *a, const float *b) {
    double sum = 0, reference = 0;
    for (int i = 0; i < GROUPS * BLOCK_SIZE; i++) {
        sum += (a[i] - (double)b[i]) * (a[i] - (double)b[i]);
        reference += (double)b[i] * b[i];
    }
    return sqrt(sum / reference);
}

static float first[GROUPS * BLOCK_SIZE], second[GROUPS * BLOCK_SIZE];

static void streaming_equals_all_blocks_at_once(void) {
    static const struct {
        const char *policy;
        int budget;
    } cases[] = {{"keep-all", 1},
                 {"none", 0},
                 {"window", 1},
                 {"window", 2},
                 {"sink", 2},
                 {"random", 2},
                 {"key-norm", 2},
                 {"read-mass", 2},
                 {"learned:read=content", 2},
                 {"window:consolidate=ema", 2},
                 {"window:granularity=frame", 3},
                 {"sink:granularity=tile,consolidate=nearest", 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        all_at_once(cases[i].policy, cases[i].budget, 0, first);
        streaming(cases[i].policy, cases[i].budget, second);
        double error = difference(second, first);
        if (!(error <= 1e-5)) printf("%s: error %.3g\n", cases[i].policy, error), test_bad++;
    }
}

/* Under no-grad, norms are computed with sums and within attention; the sums are the same. */
static void recording_changes_no_velocity(void) {
    static const char *const policies[] = {"none", "sink", "read-mass", "learned:read=content",
                                           "window:granularity=tile,consolidate=ema"};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        int budget = strcmp(policies[i], "none") == 0 ? 0 : 2;
        one_forward(policies[i], budget, 0, true, first);
        one_forward(policies[i], budget, 0, false, second);
        double error = difference(second, first);
        if (!(error <= 1e-5)) printf("%s: error %.3g\n", policies[i], error), test_bad++;
    }
}

static void a_budget_for_all_entries_equals_keep_all_bit_for_bit(void) {
    static const char *const policies[] = {"window",         "sink",      "random",  "random:mode=uniform",
                                           "key-norm",       "read-mass", "learned", "learned:read=content",
                                           "window:read=age"};
    all_at_once("keep-all", 1, 0, first);
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        all_at_once(policies[i], BLOCKS, 0, second);
        if (memcmp(first, second, sizeof first) != 0) printf("%s differs\n", policies[i]), test_bad++;
    }
    all_at_once("window", 1, 0, second);
    CHECK(memcmp(first, second, sizeof first) != 0);
}

static void an_untrained_scorer_equals_window(void) {
    all_at_once("window", 2, 0, first);
    all_at_once("learned:read=content", 2, 0, second);
    CHECK(memcmp(first, second, sizeof first) == 0);
}

static void shifting_every_position_by_a_million_frames_changes_nothing(void) {
    all_at_once("sink", 2, 0, first);
    all_at_once("sink", 2, 1000000, second);
    CHECK_NEAR(difference(second, first), 0, 1e-6);
}

/* Loss: the last block's noisy velocity against fixed weights. Returns it; with gradients when `backward`. */
static double last_block_loss(world *w, bool backward, const lt_dit_keep *keep) {
    lt_var *velocity, *parts[BLOCKS];
    lt_tensor views[BLOCKS];
    lt_tape_reset(&w->tape);
    lt_params_clear_grads(&w->params);
    w->tape.recording = backward;
    forward(w, 0, BLOCKS, 0, STREAMS, 0, 0, &w->cache, keep, &velocity);
    for (int i = 0; i < BLOCKS; i++)
        views[i] = lt_slice(velocity->value, 0, i * STREAMS * BATCH, STREAMS * BATCH);
    CHECK_OK(lt_tape_views(&w->tape, velocity, BLOCKS, views, parts));
    lt_tensor weights = filled(w, 3, 5, parts[BLOCKS - 1]->value.shape);
    const int64_t clean = BATCH * BLOCK_SIZE;
    memset(weights.data, 0, clean * lt_dtype_size(w->dtype));
    double loss = 0;
    for (int64_t i = clean; i < lt_numel(&weights) && w->dtype == LT_F64; i++)
        loss += ((double *)weights.data)[i] * ((double *)views[BLOCKS - 1].data)[i];
    if (backward) {
        CHECK_OK(lt_tape_seed(&w->tape, parts[BLOCKS - 1], weights));
        CHECK_OK(lt_tape_backward(&w->tape));
        CHECK_OK(lt_params_fill_grads(&w->params, &w->ctx));
    }
    return loss;
}

/* In float64 on the naive backend: weights are used in every block's commit, so a gradient that stopped at an entry or
 * a tail would be wrong by far more than the bound. */
static void gradients_through_entries_and_tails_equal_differences(void) {
    static const char *const names[] = {"patch_embedding.weight",
                                        "transformer_blocks.0.attn1.to_k.weight",
                                        "transformer_blocks.0.attn1.to_v.weight",
                                        "transformer_blocks.1.attn1.norm_k.weight",
                                        "transformer_blocks.0.ff.conv_temp.weight",
                                        "transformer_blocks.1.ff.conv_point.weight",
                                        "time_embed.linear.bias"};
    world w;
    open_world(&w, "cpu", LT_BACKEND_NAIVE);
    open_cache(&w, "sink", 2, false);
    last_block_loss(&w, true, NULL);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        const lt_published *p = lt_params_find(&w.params, names[n]);
        double *grad = malloc(p->count * sizeof *grad), *value = malloc(p->count * sizeof *value), sum = 0,
               reference = 0;
        CHECK_OK(lt_params_get_grad(&w.params, p, grad));
        CHECK_OK(lt_params_get(&w.params, LT_COPY_VALUE, p, value));
        for (int64_t k = 0; k < p->count; k += p->count / 5 + 1) {
            double kept = value[k], h = 1e-5, side[2];
            for (int s = 0; s < 2; s++) {
                value[k] = kept + (s ? -h : h);
                CHECK_OK(lt_params_set(&w.params, LT_COPY_VALUE, p, value));
                side[s] = last_block_loss(&w, false, NULL);
            }
            value[k] = kept;
            double numeric = (side[0] - side[1]) / (2 * h);
            sum += (numeric - grad[k]) * (numeric - grad[k]);
            reference += numeric * numeric;
        }
        CHECK_OK(lt_params_set(&w.params, LT_COPY_VALUE, p, value));
        if (!(sqrt(sum / reference) <= lt_tolerance_bound(LT_TOL_DIFFERENCES)))
            printf("%s: error %.3g\n", names[n], sqrt(sum / reference)), test_bad++;
        free(grad);
        free(value);
    }
    lt_cache_free(&w.cache);
    close_world(&w);
}

static uint64_t gradient_hash(const char *policy, const lt_dit_keep *keep, int bptt) {
    world w;
    open_world(&w, "cpu", LT_BACKEND_CPU);
    w.step.poison = true;
    open_cache(&w, policy, 2, false);
    w.cache.bptt_blocks = bptt;
    last_block_loss(&w, true, keep);
    uint64_t hash = lt_hash(w.grads.base, w.grads.used, LT_HASH_SEED);
    lt_cache_free(&w.cache);
    close_world(&w);
    return hash;
}

/* Nothing kept, one value kept, one value not kept in both layers or one, and some of each; on a GPU only some of
 * that. */
static void whatever_is_kept_the_gradients_are_the_same_bits(void) {
    static const char *const policies[] = {"sink", "read-mass", "window:read=content,consolidate=ema"};
    for (int i = 0; i < 3; i++) {
        uint64_t whole = gradient_hash(policies[i], NULL, -1);
        CHECK(gradient_hash(policies[i], &nothing, -1) == whole);
        for (int value = 0; value < LT_DIT_VALUES; value += test_times(1, 6)) {
            lt_dit_keep one = {{0}}, but_one, odd;
            one.layers[value] = 1 + value % 2;
            for (int v = 0; v < LT_DIT_VALUES; v++) {
                but_one.layers[v] = v == value ? value % 2 : 2;
                odd.layers[v] = (7 * v + 5 * value + v * value) % 3;
            }
            CHECK(gradient_hash(policies[i], &odd, -1) == whole);
            if (test_backend() != LT_BACKEND_CPU) continue;
            CHECK(gradient_hash(policies[i], &one, -1) == whole);
            CHECK(gradient_hash(policies[i], &but_one, -1) == whole);
        }
    }
}

static void truncated_gradients_differ_from_full_ones(void) {
    CHECK(gradient_hash("sink", NULL, -1) != gradient_hash("sink", NULL, 0));
    CHECK(gradient_hash("sink", NULL, -1) == gradient_hash("sink", NULL, BLOCKS));
}

/* Forward and backward pass run on the null device and take the same memory as on the CPU. */
static void null_device_measures_the_memory_of_the_real_one(void) {
    size_t step[2], scratch[2];
    for (int null = 0; null < 2; null++) {
        world w;
        open_world(&w, null ? "null" : "cpu", null ? test_backend() : LT_BACKEND_CPU);
        open_cache(&w, "learned:read=content", 2, false);
        lt_var *velocity;
        w.tape.recording = true;
        forward(&w, 0, BLOCKS, 0, STREAMS, 0, 0, &w.cache, &nothing, &velocity);
        CHECK_OK(lt_tape_seed(&w.tape, velocity, filled(&w, 3, 5, velocity->value.shape)));
        CHECK_OK(lt_tape_backward(&w.tape));
        step[null] = w.step.peak;
        scratch[null] = w.scratch.peak;
        lt_cache_free(&w.cache);
        close_world(&w);
    }
    CHECK_NEAR((double)step[0], (double)step[1], 0);
    CHECK_NEAR((double)scratch[0], (double)scratch[1], 0);
}

static void bad_configurations_are_refused(void) {
    lt_dit dit;
    lt_params params;
    lt_dit_config odd = small, patch = small;
    odd.head_dim = 15;
    patch.block_frames = 3;
    patch.patch[0] = 2;
    lt_params_init(&params, NULL, LT_F32);
    CHECK_FAILS(lt_dit_declare(&dit, &odd, &params), LT_USAGE, "head_dim is 15");
    CHECK_FAILS(lt_dit_declare(&dit, &patch, &params), LT_USAGE, "block_frames is 3");
    lt_params_free(&params);
}

int main(int argc, char **argv) {
    RUN(streaming_equals_all_blocks_at_once);
    RUN(recording_changes_no_velocity);
    RUN(a_budget_for_all_entries_equals_keep_all_bit_for_bit);
    RUN(an_untrained_scorer_equals_window);
    RUN(shifting_every_position_by_a_million_frames_changes_nothing);
    RUN(gradients_through_entries_and_tails_equal_differences);
    RUN(whatever_is_kept_the_gradients_are_the_same_bits);
    RUN(truncated_gradients_differ_from_full_ones);
    RUN(null_device_measures_the_memory_of_the_real_one);
    RUN(bad_configurations_are_refused);
    return test_end();
}
