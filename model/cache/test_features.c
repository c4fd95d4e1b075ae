/* What policies and the read head are told, against plain sums on the host. */
#include "model/cache/testing.h"

enum { BLOCKS = 6, Z = WORLD_H * WORLD_D * WORLD_D };

static double dot(const double *a, const double *b, int from, int count) {
    double sum = 0;
    for (int i = from; i < from + count; i++) sum += a[i] * b[i];
    return sum;
}

/* Mean over heads of the cosine of z. */
static double cosine(const double *a, const double *b) {
    double sum = 0;
    for (int h = 0; h < WORLD_H; h++) {
        int from = Z + h * WORLD_D;
        sum += dot(a, b, from, WORLD_D) / sqrt(dot(a, a, from, WORLD_D) * dot(b, b, from, WORLD_D)) / WORLD_H;
    }
    return sum;
}

typedef struct watcher {
    world *w;
    int checked;
} watcher;

static void check_commit(const lt_commit_event *event, void *user) {
    watcher *watch = user;
    double state[BLOCKS][WORLD_STATE];
    for (int i = 0; i < event->count; i++)
        world_state(watch->w, event->layer, event->sequence, event->present[i].id, 0, state[i]);
    for (int i = 0; i < event->count; i++) {
        const lt_entry *e = &event->present[i];
        const float *f = e->features;
        double nearest = -1, tokens = 6;
        for (int j = 0; j < event->count; j++)
            if (j != i) nearest = fmax(nearest, cosine(state[i], state[j]));
        CHECK_NEAR(f[LT_FEATURE_NOVELTY], event->count > 1 ? 1 - nearest : 1, 1e-6);
        CHECK_NEAR(f[LT_FEATURE_RECENCY], cosine(state[i], state[event->count - 1]), 1e-6);
        CHECK_NEAR(f[LT_FEATURE_Z_NORM], sqrt(dot(state[i], state[i], Z, WORLD_H * WORLD_D)) / tokens, 1e-6);
        CHECK_NEAR(f[LT_FEATURE_S_NORM], sqrt(dot(state[i], state[i], 0, Z)) / tokens, 1e-6);
        CHECK(f[LT_FEATURE_AGE] == (float)(event->commit - e->id) && f[LT_FEATURE_ORDER] == (float)e->id);
        CHECK(f[LT_FEATURE_MERGES] == 0 && f[LT_FEATURE_TOKENS] == 1);
        CHECK(f[LT_FEATURE_MOTION] == (float)(e->block % 5));
        CHECK(f[LT_FEATURE_READ_MASS] == (e->reads ? (float)(e->read_mass / e->reads) : 0));
        CHECK((f[LT_FEATURE_READ_MASS] > 0) == (e->id < event->commit));
        watch->checked++;
    }
}

static void features_are_what_their_names_say(void) {
    world w;
    watcher watch = {&w, 0};
    world_open(&w, LT_BACKEND_NAIVE, "cpu");
    world_cache(&w, "random", 4, 2, 2, true);
    w.cache.observer = (lt_cache_observer){.on_commit = check_commit, .user = &watch};
    CHECK_OK(world_stream(&w, BLOCKS));
    CHECK(watch.checked == 4 * (1 + 2 + 3 + 4 + 5 + 5));
    world_close(&w);
}

/* The read head in plain C. */
static double head(const world *w, int mode, int row, const double *x) {
    static const char *const names[] = {"read_age", "read_content"};
    static const char *const parts[] = {"w1", "b1", "w2", "b2", "embed"};
    double value[5][LT_SCORER_HIDDEN * LT_READ_INPUTS];
    for (int i = 0; i < 5; i++) {
        char name[LT_PARAM_NAME];
        snprintf(name, sizeof name, "scorer.%s.%s", names[mode], parts[i]);
        CHECK_OK(lt_params_get(&w->params, LT_COPY_VALUE, lt_params_find(&w->params, name), value[i]));
    }
    double out = value[3][0];
    for (int h = 0; h < LT_SCORER_HIDDEN; h++) {
        double sum = value[1][h] + value[4][row * LT_SCORER_HIDDEN + h];
        for (int i = 0; i < LT_READ_INPUTS; i++) sum += value[0][h * LT_READ_INPUTS + i] * x[i];
        out += value[2][h] * sum / (1 + exp(-sum));
    }
    return 2 / (1 + exp(-out));
}

/* Entries of 1 and more frames (merged), read by a block of `frames` segments. */
static void check_weights(int mode, int frames) {
    world w;
    lt_var *S[8], *z[8], *weights;
    double own[WORLD_STATE] = {0}, one[WORLD_STATE], found[BLOCKS * WORLD_H];
    world_open(&w, LT_BACKEND_NAIVE, "cpu");
    w.frames = frames;
    world_cache(&w, mode ? "sink:read=content,consolidate=sum" : "sink:read=age,consolidate=sum", 3, 1, 1,
                false);
    world_scorer(&w, 1, true);
    CHECK_OK(world_whole(&w, BLOCKS, false, NULL, NULL));
    for (int i = 0; i < frames; i++) {
        world_state(&w, 0, 0, 9, i, one);
        for (int k = 0; k < WORLD_STATE; k++) own[k] += one[k];
        world_upload(&w, one, false, &S[i], &z[i]);
    }
    lt_reader reader = {.block = 9, .t = 0.25, .own_count = frames, .own_S = S, .own_z = z};
    CHECK_OK(lt_cache_read_weights(&w.cache, &w.tape, 1, &reader, &weights));
    CHECK_OK(lt_host_read(&w.ctx, &weights->value, found));
    const lt_entries *list = lt_cache_entries(&w.cache, 0, 0);
    CHECK(list->count == 3 && list->items[0].merges > 0);
    for (int e = 0; e < 3; e++) {
        const lt_entry *entry = &list->items[e];
        CHECK_OK(lt_host_read(&w.ctx, &entry->z, one + Z));
        for (int h = 0; h < WORLD_H; h++) {
            int from = Z + h * WORLD_D;
            double ab = dot(one, own, from, WORLD_D), aa = dot(one, one, from, WORLD_D),
                   bb = dot(own, own, from, WORLD_D);
            double x[LT_READ_INPUTS] = {ab / sqrt(aa * bb),
                                        log(sqrt(aa) / entry->tokens),
                                        log(sqrt(bb) / (6 * frames)),
                                        log(1 + 9 - entry->block),
                                        log(1 + entry->merges),
                                        0.25,
                                        log(3),
                                        entry->tokens / (BLOCKS * 6.0 * frames)};
            if (mode == 0) x[0] = x[1] = x[2] = 0;
            CHECK_NEAR(found[e * WORLD_H + h], head(&w, mode, h, x), 1e-12);
        }
    }
    world_close(&w);
}

static void weights_are_the_head_of_what_the_header_lists(void) {
    for (int mode = 0; mode < 2; mode++)
        for (int frames = 1; frames < 4; frames++) check_weights(mode, frames);
}

static void products_and_rows_come_back_where_they_were_asked_for(void) {
    world w;
    lt_dots p = {0};
    double values[3][5 * WORLD_H];
    lt_tensor t[3];
    world_open(&w, LT_BACKEND_NAIVE, "cpu");
    CHECK_OK(lt_dots_run(&p, &w.tape)); /* nothing was asked for */
    for (int i = 0; i < 3; i++) {
        t[i] = world_new(&w, LT_DIMS(2 + i, WORLD_H));
        for (int k = 0; k < 5 * WORLD_H; k++) values[i][k] = 10 * i + k;
        CHECK_OK(lt_host_write(&w.ctx, &t[i], values[i]));
    }
    lt_tensor a = LT_RESHAPE(t[2], WORLD_H, 4), b = LT_RESHAPE(t[0], WORLD_H, 2);
    CHECK(lt_dots_rows(&p, t[0]) == 0 && lt_dots_pair(&p, a, a) == 0);
    CHECK(lt_dots_rows(&p, t[1]) == 2 && lt_dots_pair(&p, b, b) == 1);
    CHECK(lt_dots_rows(&p, t[1]) == 2 && lt_dots_rows(&p, t[0]) == 0 && p.row_count == 5);
    CHECK_OK(lt_dots_run(&p, &w.tape));
    for (int h = 0; h < WORLD_H; h++) {
        CHECK(lt_dots_of(&p, 0)[h] == dot(values[2], values[2], 4 * h, 4));
        CHECK(lt_dots_of(&p, 1)[h] == dot(values[0], values[0], 2 * h, 2));
    }
    CHECK(memcmp(lt_dots_rows_of(&p, 0), values[0], 2 * WORLD_H * sizeof(double)) == 0);
    CHECK(memcmp(lt_dots_rows_of(&p, 2), values[1], 3 * WORLD_H * sizeof(double)) == 0);
    lt_dots_free(&p);
    world_close(&w);
}

int main(int argc, char **argv) {
    RUN(features_are_what_their_names_say);
    RUN(products_and_rows_come_back_where_they_were_asked_for);
    RUN(weights_are_the_head_of_what_the_header_lists);
    return test_end();
}
