/* The linear layer as a module: both call forms against a float64 rendition, with and without an adapter, and the
 * adapter's gradients. */
#include "autograd/ops.h"
#include "core/rng.h"
#include "model/linear.h"
#include "tests/harness.h"

enum { B = 2, T = 5, K = 12, M = 7, R = 3 };

typedef struct bench {
    lt_device *device;
    lt_arena step, scratch;
    lt_ctx ctx;
    lt_tape tape;
} bench;

static void open_bench(bench *b, bool training) {
    *b = (bench){0};
    CHECK_OK(lt_device_open("cpu", &b->device));
    CHECK_OK(lt_arena_init(&b->step, b->device, 1 << 20, "step"));
    CHECK_OK(lt_arena_init(&b->scratch, b->device, 1 << 20, "scratch"));
    b->ctx = (lt_ctx){.device = b->device, .backend = LT_BACKEND_NAIVE, .scratch = &b->scratch};
    lt_tape_init(&b->tape, &b->ctx, &b->step);
    b->tape.recording = training;
}

static void close_bench(bench *b) {
    lt_tape_free(&b->tape);
    lt_arena_free(&b->step);
    lt_arena_free(&b->scratch);
    lt_device_close(b->device);
}

/* A var of normals, float64 as the naive backend computes. */
static lt_var *values(bench *b, uint64_t which, double factor, int ndim, const int64_t *shape) {
    lt_rng_key key = {.purpose = LT_RNG_TEST, .clip = which};
    lt_var *v = NULL;
    CHECK_OK(lt_tape_new(&b->tape, LT_F64, true, &v, ndim, shape));
    for (int64_t i = 0; i < lt_numel(&v->value); i++)
        ((double *)v->value.data)[i] = factor * lt_rng_normal(&key, i);
    return v;
}

static double at(const lt_var *v, int64_t i) { return v ? ((const double *)v->value.data)[i] : 0; }

/* y[i][m] as the definition says. */
static double expected(const lt_linear_layer *l, const lt_var *x, int64_t i, int64_t m) {
    double sum = at(l->b, m);
    for (int64_t k = 0; k < K; k++) sum += at(x, i * K + k) * at(l->w, m * K + k);
    for (int64_t r = 0; l->down && r < R; r++)
        for (int64_t k = 0; k < K; k++)
            sum += at(x, i * K + k) * at(l->down, r * K + k) * at(l->up, m * R + r);
    return sum;
}

static lt_linear_layer layer_of(bench *b, bool bias, bool adapter, double up) {
    lt_linear_layer l = {.w = values(b, 1, 1, LT_DIMS(M, K))};
    if (bias) l.b = values(b, 2, 1, LT_DIMS(M));
    if (adapter) l.down = values(b, 3, 1, LT_DIMS(R, K)), l.up = values(b, 4, up, LT_DIMS(M, R));
    return l;
}

static void both_call_forms_follow_the_definition(void) {
    for (int form = 0; form < 4; form++) {
        bench b;
        open_bench(&b, false);
        lt_linear_layer l = layer_of(&b, form & 1, form & 2, 0.5);
        lt_var *x = values(&b, 9, 1, LT_DIMS(B, T, K)), *y, *wide = values(&b, 10, 1, LT_DIMS(B, T, 2 * M));
        CHECK_OK(lt_linear_apply(&b.tape, &l, x, &y));
        CHECK_OK(lt_linear_write(&b.tape, &l, x, lt_slice(wide->value, 2, M, M)));
        CHECK(y->value.ndim == 3 && y->value.shape[1] == T && y->value.shape[2] == M);
        for (int64_t i = 0; i < B * T; i++)
            for (int64_t m = 0; m < M; m++) {
                CHECK_NEAR(at(y, i * M + m), expected(&l, x, i, m), 1e-12);
                CHECK_NEAR(at(wide, i * 2 * M + M + m), expected(&l, x, i, m), 1e-12);
            }
        lt_rng_key key = {.purpose = LT_RNG_TEST, .clip = 10};
        CHECK(at(wide, 0) == lt_rng_normal(&key, 0)); /* what lies beside is not written */
        close_bench(&b);
    }
}

/* As a fresh adapter is. */
static void an_adapter_of_zeros_changes_no_bit(void) {
    bench b;
    open_bench(&b, false);
    lt_linear_layer with = layer_of(&b, true, true, 0), without = with;
    without.down = without.up = NULL;
    lt_var *x = values(&b, 9, 1, LT_DIMS(B, T, K)), *y[2];
    CHECK_OK(lt_linear_apply(&b.tape, &with, x, &y[0]));
    CHECK_OK(lt_linear_apply(&b.tape, &without, x, &y[1]));
    CHECK(memcmp(y[0]->value.data, y[1]->value.data, lt_nbytes(&y[0]->value)) == 0);
    close_bench(&b);
}

/* L = sum of y times normals: dL/d(anything) by central differences. */
static double loss_of(const lt_linear_layer *l, const lt_var *x, const lt_var *seed) {
    double sum = 0;
    for (int64_t i = 0; i < B * T; i++)
        for (int64_t m = 0; m < M; m++) sum += at(seed, i * M + m) * expected(l, x, i, m);
    return sum;
}

static void gradients_reach_the_adapter(void) {
    bench b;
    open_bench(&b, true);
    lt_linear_layer l = layer_of(&b, true, true, 0.5);
    lt_var *x = values(&b, 9, 1, LT_DIMS(B, T, K)), *seed = values(&b, 11, 1, LT_DIMS(B, T, M)), *y;
    CHECK_OK(lt_linear_apply(&b.tape, &l, x, &y));
    CHECK_OK(lt_tape_seed(&b.tape, y, seed->value));
    CHECK_OK(lt_tape_backward(&b.tape));
    lt_var *const all[] = {x, l.w, l.b, l.down, l.up};
    for (int v = 0; v < 5; v++)
        for (int64_t i = 0; i < lt_numel(&all[v]->value); i += 3) {
            double *value = (double *)all[v]->value.data + i, was = *value, side[2];
            for (int s = 0; s < 2; s++) *value = was + (s ? 1e-4 : -1e-4), side[s] = loss_of(&l, x, seed);
            *value = was;
            CHECK_NEAR(((const double *)all[v]->grad.data)[i], (side[1] - side[0]) / 2e-4, 1e-6);
        }
    close_bench(&b);
}

static void an_adapter_behind_a_quantised_operand_is_refused(void) {
    bench b;
    open_bench(&b, false);
    lt_linear_layer l = layer_of(&b, false, true, 1);
    lt_var *x = values(&b, 9, 1, LT_DIMS(B, T, K)), *y;
    x->scale = values(&b, 12, 1, LT_DIMS(B, T))->value;
    CHECK_FAILS(lt_linear_apply(&b.tape, &l, x, &y), LT_FAILED, "merge it into the weight first");
    l.up = NULL;
    CHECK_FAILS(lt_linear_apply(&b.tape, &l, x, &y), LT_FAILED, "two matrices");
    close_bench(&b);
}

int main(int argc, char **argv) {
    RUN(both_call_forms_follow_the_definition);
    RUN(an_adapter_of_zeros_changes_no_bit);
    RUN(gradients_reach_the_adapter);
    RUN(an_adapter_behind_a_quantised_operand_is_refused);
    return test_end();
}
