/* The heads of learned importance. */
#include "model/cache/testing.h"

static void w_is_1_exactly_when_untrained(void) {
    lt_backend backends[] = {LT_BACKEND_CPU, LT_BACKEND_NAIVE};
    for (int k = 0; k < 4; k++) {
        world w;
        enum { ROWS = 37 };
        double x[ROWS * LT_READ_INPUTS], out[ROWS];
        int32_t ids[ROWS];
        lt_tensor inputs, numbers;
        lt_var *weights;
        lt_rng_key key = {.seed = 2, .purpose = LT_RNG_TEST};
        world_open(&w, backends[k % 2], "cpu");
        world_scorer(&w, 3, false);
        for (int i = 0; i < ROWS * LT_READ_INPUTS; i++) x[i] = 5 * lt_rng_normal(&key, (uint64_t)i);
        for (int i = 0; i < ROWS; i++) ids[i] = i % (3 * WORLD_H);
        CHECK_OK(LT_NEW(&w.step, lt_ctx_dtype(&w.ctx), &inputs, ROWS, LT_READ_INPUTS));
        CHECK_OK(LT_NEW(&w.step, LT_I32, &numbers, ROWS));
        CHECK_OK(lt_host_write(&w.ctx, &inputs, x));
        CHECK_OK(lt_tensor_from_host(w.device, NULL, &numbers, ids));
        CHECK_OK(lt_scorer_read(&w.scorer, &w.tape, k < 2 ? LT_READ_AGE : LT_READ_CONTENT, inputs, numbers,
                                &weights));
        CHECK_OK(lt_host_read(&w.ctx, &weights->value, out));
        for (int i = 0; i < ROWS; i++) CHECK(out[i] == 1);
        CHECK_FAILS(lt_scorer_read(&w.scorer, &w.tape, LT_READ_ONE, inputs, numbers, &weights), LT_FAILED,
                    "no head");
        world_close(&w);
    }
}

static void make_features(int entries, float (*features)[LT_FEATURE_COUNT]) {
    lt_rng_key key = {.seed = 4, .purpose = LT_RNG_TEST};
    for (int i = 0; i < entries; i++)
        for (int f = 0; f < LT_FEATURE_COUNT; f++)
            features[i][f] = fabsf(lt_rng_normal(&key, (uint64_t)(i * LT_FEATURE_COUNT + f)));
}

static void decisions_on_the_host_equal_the_head_on_the_tape(void) {
    enum { N = 9, LAYERS = 3 };
    world w;
    float features[N][LT_FEATURE_COUNT], inputs[N][LT_KEEP_INPUTS], host[N];
    double x[N * LT_KEEP_INPUTS], tape[N], spread = 0;
    int32_t ids[N];
    lt_tensor device, numbers;
    lt_var *out;
    world_open(&w, LT_BACKEND_NAIVE, "cpu");
    world_scorer(&w, LAYERS, true);
    CHECK_OK(lt_scorer_refresh(&w.scorer, &w.ctx));
    make_features(N, features);
    const float(*rows)[LT_FEATURE_COUNT] = (const float(*)[LT_FEATURE_COUNT])features;
    lt_keep_inputs(N, rows, inputs);
    for (int i = 0; i < N * LT_KEEP_INPUTS; i++) x[i] = inputs[i / LT_KEEP_INPUTS][i % LT_KEEP_INPUTS];
    for (int layer = 0; layer < LAYERS; layer++) {
        CHECK_OK(lt_scorer_keep_host(&w.scorer, layer, N, rows, host));
        for (int i = 0; i < N; i++) ids[i] = layer;
        CHECK_OK(LT_NEW(&w.step, LT_F64, &device, N, LT_KEEP_INPUTS));
        CHECK_OK(LT_NEW(&w.step, LT_I32, &numbers, N));
        CHECK_OK(lt_host_write(&w.ctx, &device, x));
        CHECK_OK(lt_tensor_from_host(w.device, NULL, &numbers, ids));
        CHECK_OK(lt_scorer_keep(&w.scorer, &w.tape, device, numbers, &out));
        CHECK_OK(lt_host_read(&w.ctx, &out->value, tape));
        for (int i = 0; i < N; i++) {
            CHECK_NEAR(host[i], tape[i], 1e-5 * (1 + fabs(tape[i])));
            spread = fmax(spread, fabs(tape[i] - tape[0]));
        }
    }
    CHECK(spread > 0.1);
    CHECK_FAILS(lt_scorer_keep_host(&w.scorer, LAYERS, N, rows, host), LT_FAILED, "layer 3 of 3");
    world_close(&w);
}

static void features_are_standardised_within_the_set(void) {
    enum { N = 7 };
    float features[N][LT_FEATURE_COUNT], inputs[N][LT_KEEP_INPUTS];
    make_features(N, features);
    for (int i = 0; i < N; i++) features[i][LT_FEATURE_MOTION] = 0.1f;
    lt_keep_inputs(N, (const float(*)[LT_FEATURE_COUNT])features, inputs);
    for (int f = 0; f < LT_FEATURE_COUNT; f++) {
        double mean = 0, square = 0;
        for (int i = 0; i < N; i++) mean += inputs[i][f] / N, square += inputs[i][f] * inputs[i][f] / N;
        CHECK_NEAR(mean, 0, 1e-6);
        CHECK_NEAR(square, f == LT_FEATURE_MOTION ? 0 : 1, 1e-5);
    }
    for (int i = 0; i < N; i++) {
        CHECK_NEAR(inputs[i][LT_FEATURE_COUNT], log(N), 1e-6);
        CHECK(inputs[i][LT_FEATURE_COUNT + 1] == features[i][LT_FEATURE_NOVELTY]);
    }
    lt_keep_inputs(1, (const float(*)[LT_FEATURE_COUNT])features, inputs);
    for (int f = 0; f <= LT_FEATURE_COUNT; f++) CHECK(inputs[0][f] == 0);
}

/* What the read head is told decides what it may use: `age` must not see the content of z. */
static void age_weights_do_not_see_content(void) {
    for (int content = 0; content < 2; content++) {
        double seen[2][3 * WORLD_H];
        for (int video = 0; video < 2; video++) {
            world w;
            lt_var *S[4], *z[4];
            world_open(&w, LT_BACKEND_NAIVE, "cpu");
            world_cache(&w, content ? "window:read=content" : "window:read=age", 3, 1, 1, false);
            world_scorer(&w, 1, true);
            w.shift = video;
            CHECK_OK(world_whole(&w, 4, false, S, z));
            lt_reader reader = {.block = 4, .t = 0.3, .own_count = 1, .own_S = S, .own_z = z};
            lt_var *weights;
            CHECK_OK(lt_cache_read_weights(&w.cache, &w.tape, 1, &reader, &weights));
            CHECK_OK(lt_host_read(&w.ctx, &weights->value, seen[video]));
            world_close(&w);
        }
        double difference = 0, spread = 0;
        for (int i = 0; i < 3 * WORLD_H; i++) {
            CHECK(seen[0][i] > 0 && seen[0][i] < 2);
            difference = fmax(difference, fabs(seen[0][i] - seen[1][i]));
            spread = fmax(spread, fabs(seen[0][i] - 1));
        }
        CHECK(content ? difference > 1e-3 : difference == 0);
        CHECK(spread > 1e-2);
    }
}

int main(int argc, char **argv) {
    RUN(w_is_1_exactly_when_untrained);
    RUN(decisions_on_the_host_equal_the_head_on_the_tape);
    RUN(features_are_standardised_within_the_set);
    RUN(age_weights_do_not_see_content);
    return test_end();
}
