/* Every differentiable operation against central differences (DESIGN section 10: 1e-6, float64, naive backend). */
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "core/rng.h"
#include "kernels/check.h"
#include "tests/harness.h"

#define BOUND lt_tolerance_bound(LT_TOL_DIFFERENCES)

static lt_device *device;
static lt_arena inputs_arena, step, scratch;
static lt_ctx ctx;
static lt_tape tape;

static void open_all(void) {
    CHECK_OK(lt_device_open("cpu", &device));
    CHECK_OK(lt_arena_init(&inputs_arena, device, 8 << 20, "inputs"));
    CHECK_OK(lt_arena_init(&step, device, 64 << 20, "step"));
    CHECK_OK(lt_arena_init(&scratch, device, 64 << 20, "scratch"));
    step.poison = scratch.poison = true;
    ctx = (lt_ctx){.device = device, .backend = LT_BACKEND_NAIVE, .scratch = &scratch};
    lt_tape_init(&tape, &ctx, &step);
}

static void close_all(void) {
    lt_tape_free(&tape);
    lt_arena_free(&scratch);
    lt_arena_free(&step);
    lt_arena_free(&inputs_arena);
    lt_device_close(device);
}

/* Normals kept away from zero, where ReLU has its kink. */
static lt_tensor random_tensor(int ndim, const int64_t *shape) {
    static uint64_t clip;
    clip++;
    lt_rng_key key = {.purpose = LT_RNG_TEST, .clip = clip};
    lt_tensor t = {0};
    CHECK_OK(lt_tensor_new(&inputs_arena, LT_F64, &t, ndim, shape));
    for (int64_t i = 0; i < lt_numel(&t); i++) {
        double x = lt_rng_normal(&key, i);
        ((double *)t.data)[i] = x + (x < 0 ? -0.05 : 0.05);
    }
    return t;
}
#define RANDOM(...) random_tensor(LT_DIMS(__VA_ARGS__))

static void check_function(lt_gradcheck_fn function, int count, lt_tensor *inputs) {
    double worst = INFINITY;
    lt_gradcheck check = {.function = function, .tape = &tape, .count = count, .inputs = inputs};
    CHECK_OK(lt_gradcheck_run(&check, &worst));
    CHECK_NEAR(worst, 0, BOUND);
    lt_arena_release(&inputs_arena, 0);
}

static lt_status linear_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    (void)user;
    return lt_ag_linear(t, in[0], in[1], in[2], out);
}
static void linear(void) {
    lt_tensor in[] = {RANDOM(2, 3, 5), RANDOM(4, 5), RANDOM(4)};
    check_function(linear_fn, 3, in);
}

/* One weight used twice, one value read by two operations: gradients add up. */
static lt_status shared_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    lt_var *a, *b, *sum = NULL;
    (void)user;
    LT_TRY(lt_ag_linear(t, in[0], in[1], NULL, &a));
    LT_TRY(lt_ag_unary(t, LT_SILU, a, &b));
    LT_TRY(lt_ag_linear(t, b, in[1], NULL, &b));
    LT_TRY(lt_ag_gated_residual(t, a, b, in[2], &sum));
    *out = NULL;
    return lt_ag_gated_residual(t, sum, a, NULL, out);
}
static void gradients_of_shared_values_add_up(void) {
    lt_tensor in[] = {RANDOM(2, 3, 4), RANDOM(4, 4), RANDOM(2, 4)};
    check_function(shared_fn, 3, in);
}

static lt_status norms_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    lt_var *a, *mod, *parts[2];
    (void)user;
    LT_TRY(lt_ag_add_broadcast(t, in[1], in[2], &mod));
    LT_TRY(lt_tape_unstack(t, mod, 1, parts));
    LT_TRY(lt_ag_norm_modulate(t, in[0], parts[0], parts[1], 1e-6, &a));
    return lt_ag_rms_norm(t, a, in[3], 1e-5, out);
}
static void norms_with_modulation(void) {
    lt_tensor in[] = {RANDOM(2, 3, 6), RANDOM(2, 6), RANDOM(2, 1, 6), RANDOM(6)};
    check_function(norms_fn, 4, in);
}

/* One kernel under no-grad, as for the differences; two where gradients are. */
static lt_status add_and_norm_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    lt_var *h, *sum = NULL, *normed = NULL;
    (void)user;
    LT_TRY(lt_ag_unary(t, LT_SILU, in[0], &h));
    LT_TRY(lt_ag_gated_residual_norm(t, in[0], h, in[1], in[2], in[3], 1e-6, &sum, &normed));
    *out = NULL;
    return lt_ag_gated_residual(t, sum, normed, in[1], out);
}
static void add_and_norm(void) {
    lt_tensor in[] = {RANDOM(2, 3, 6), RANDOM(2, 6), RANDOM(2, 6), RANDOM(2, 6)};
    check_function(add_and_norm_fn, 4, in);
}

static lt_status unary_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    (void)user;
    *out = in[0];
    for (int kind = 0; kind < LT_UNARY_COUNT; kind++) LT_TRY(lt_ag_unary(t, kind, *out, out));
    return LT_OK;
}
static void unary(void) {
    lt_tensor in[] = {RANDOM(3, 7)};
    check_function(unary_fn, 1, in);
}

/* Three readers on a 2 x 2 x 3 grid, block 1 in two streams: block 0 reads its own segments; block 1 reads those too,
 * weighted in one stream, before its own. All sums are made in one call, so gradients of segments meet there. */
static lt_status attention_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    static const int64_t frames[] = {0, 2, 2};
    lt_rope rope = {2, 2, 3, 10000, frames};
    lt_segment_box box = {1, 2, 3};
    enum { READERS = 3, SEGMENTS = 2 };
    lt_var *S[READERS * SEGMENTS], *z[READERS * SEGMENTS], *sum_S[READERS], *sum_z[READERS];
    lt_tensor all_S, all_z, r;
    (void)user;
    LT_TRY(LT_NEW(t->step, LT_F64, &all_S, READERS, 2, 8, 8));
    LT_TRY(LT_NEW(t->step, LT_F64, &all_z, READERS, 2, 8));
    LT_TRY(lt_ag_attn_state(t, in[1], in[2], NULL, &rope, box, S, z));
    lt_var *last_S[] = {S[0], S[1], S[4], S[5]}, *last_z[] = {z[0], z[1], z[4], z[5]};
    lt_ag_sum sums[READERS] = {{.count = 2, .S = S, .z = z},
                               {.count = 4, .weighted = 2, .S = S, .z = z},
                               {.count = 4, .weighted = 2, .S = last_S, .z = last_z}};
    LT_TRY(lt_ag_unary(t, LT_SIGMOID2, in[3], &sums[1].weights));
    for (int i = 0; i < READERS; i++)
        sums[i].out_S = lt_select(all_S, 0, i), sums[i].out_z = lt_select(all_z, 0, i);
    LT_TRY(lt_ag_attn_combine(t, READERS, sums));
    for (int i = 0; i < READERS; i++) sum_S[i] = sums[i].sum_S, sum_z[i] = sums[i].sum_z;
    *out = NULL;
    return lt_ag_attn_output(t, in[0], (lt_tensor){0}, sum_S, sum_z, all_S, all_z, &rope, out, &r);
}
static void attention_with_weighted_entries(void) {
    lt_tensor in[] = {RANDOM(3, 12, 2, 8), RANDOM(3, 12, 2, 8), RANDOM(3, 12, 2, 8), RANDOM(2, 2)};
    check_function(attention_fn, 4, in);
}

static lt_status cross_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    static double visible[] = {1, 1, 1, 1, 0, 1};
    (void)user;
    return lt_ag_cross_attention(t, in[0], (lt_tensor){0}, in[1], in[2], LT_VIEW(visible, LT_F64, 2, 3), out);
}
static void cross_attention(void) {
    lt_tensor in[] = {RANDOM(4, 3, 2, 4), RANDOM(2, 3, 2, 4), RANDOM(2, 3, 2, 4)};
    check_function(cross_fn, 3, in);
}

/* Norms that attention applies on the way are refused where a gradient is wanted, and only there. */
static void norms_on_the_way_pass_no_gradient(void) {
    static const int64_t frames[] = {0};
    lt_rope rope = {1, 1, 3, 10000, frames};
    lt_segment_box box = {1, 1, 3};
    lt_tensor x = RANDOM(1, 3, 2, 8), r, all_S = RANDOM(1, 2, 8, 8), all_z = RANDOM(1, 2, 8);
    lt_ag_norm norm = {RANDOM(2, 8), RANDOM(1, 3)};
    for (int wanted = 0; wanted < 2; wanted++) {
        lt_var *q, *S[1], *z[1], *read_S, *read_z, *o = NULL, *attended;
        tape.recording = true;
        CHECK_OK(lt_tape_var(&tape, x, wanted, &q));
        CHECK_OK(lt_tape_var(&tape, lt_select(all_S, 0, 0), false, &read_S));
        CHECK_OK(lt_tape_var(&tape, lt_select(all_z, 0, 0), false, &read_z));
        lt_status status[] = {
            lt_ag_attn_state(&tape, q, q, &norm, &rope, box, S, z),
            lt_ag_attn_output(&tape, q, norm.gain, &read_S, &read_z, all_S, all_z, &rope, &o, &r),
            lt_ag_cross_attention(&tape, q, norm.scale, q, q, (lt_tensor){0}, &attended)};
        for (int i = 0; i < 3; i++) CHECK(status[i] == (wanted ? LT_FAILED : LT_OK));
        if (wanted) CHECK(strstr(lt_error(), "no gradient flows through a norm") != NULL);
        tape.recording = false;
        lt_tape_reset(&tape);
    }
    lt_arena_release(&inputs_arena, 0);
}

/* Two blocks in two streams of one sequence: tails flow from stream 0 of block 0 into both streams of block 1. */
static lt_status ffn_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    static double first[4 * 2] = {0.3, -0.2, 0.5, 0.1, -0.4, 0.6, 0.2, -0.7};
    lt_var *h, *y, *tail;
    (void)user;
    LT_TRY(lt_ag_glu_depthwise(t, in[0], in[1], in[2], &h));
    LT_TRY(LT_AG_RESHAPE(t, h, &y, 4, 2, 4, 2));
    LT_TRY(lt_ag_tail(t, y, 2, 2, 0, LT_VIEW(first, LT_F64, 1, 4, 2), &tail));
    return lt_ag_temporal_conv(t, y, tail, in[3], out);
}
static void mix_ffn_with_tails(void) {
    lt_tensor in[] = {RANDOM(8, 2, 2, 4), RANDOM(3, 3, 4), RANDOM(4), RANDOM(3, 2, 2)};
    check_function(ffn_fn, 4, in);
}

static lt_status patches_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    static const int patch[] = {1, 2, 2};
    static const int64_t grid[] = {2, 4, 6};
    lt_var *tokens;
    (void)user;
    LT_TRY(lt_ag_patchify(t, in[0], patch, &tokens));
    LT_TRY(lt_ag_linear(t, tokens, in[1], NULL, &tokens));
    return lt_ag_unpatchify(t, tokens, patch, grid, out);
}
static void patches(void) {
    lt_tensor in[] = {RANDOM(2, 2, 4, 6, 3), RANDOM(12, 12)};
    check_function(patches_fn, 2, in);
}

static lt_status loss_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    static int32_t ids[] = {2, 0, 2, 1};
    static double target[4 * 3];
    (void)user;
    lt_var *rows;
    LT_TRY(lt_ag_embedding(t, LT_VIEW(ids, LT_I32, 4), in[0], &rows));
    return lt_ag_mse(t, rows, LT_VIEW(target, LT_F64, 4, 3), out);
}
static void embedding_and_loss(void) {
    lt_tensor in[] = {RANDOM(5, 3)};
    check_function(loss_fn, 1, in);
}

/* A chain of segments around a residual stream: bit i of `kept` says whether value i of each stays for the backward
 * pass. Each value fills the next one's input, so that those recomputed depend on kept ones and the other way round. */
typedef struct chain {
    lt_var *x, *w, *out;
    lt_var *inputs[2];
    int kept;
} chain;
static lt_status chain_branch(lt_tape *t, void *user) {
    chain *c = user;
    lt_var *h;
    lt_tape_value(t, 0, c->kept & 1 ? LT_VALUE_KEPT : LT_VALUE_AGAIN);
    LT_TRY(lt_ag_linear(t, c->x, c->w, NULL, &h));
    lt_tape_value(t, 1, c->kept & 2 ? LT_VALUE_KEPT : LT_VALUE_AGAIN);
    LT_TRY(lt_ag_unary(t, LT_SILU, h, &h));
    lt_tape_value(t, 2, c->kept & 4 ? LT_VALUE_KEPT : LT_VALUE_AGAIN);
    LT_TRY(lt_ag_linear(t, h, c->w, NULL, &h));
    lt_tape_value(t, 3, LT_VALUE_KEPT);
    return lt_ag_gated_residual(t, c->x, h, NULL, &c->out);
}
/* The branch is a segment within the segment. */
static lt_status chain_step(lt_tape *t, void *user) {
    chain *c = user;
    lt_segment s = {.run = chain_branch,
                    .user = c,
                    .input_count = 2,
                    .inputs = c->inputs,
                    .output_count = 1,
                    .outputs = &c->out,
                    .carried = 0};
    return lt_tape_segment(t, &s);
}
static lt_status chain_fn(lt_tape *t, lt_var **in, void *user, lt_var **out) {
    lt_var *x = in[0];
    const int *kept = user;
    for (int i = 0; i < 4; i++) {
        chain *c = lt_tape_saved(t, sizeof *c);
        *c = (chain){.x = x, .w = in[1], .inputs = {x, in[1]}, .kept = kept[i]};
        LT_TRY(lt_tape_new(t, LT_F64, t->recording, &c->out, x->value.ndim, x->value.shape));
        lt_segment s = {.run = chain_step,
                        .user = c,
                        .input_count = 2,
                        .inputs = c->inputs,
                        .output_count = 1,
                        .outputs = &c->out,
                        .carried = 0};
        LT_TRY(lt_tape_segment(t, &s));
        x = c->out;
    }
    *out = x;
    return LT_OK;
}
static void segments(void) {
    static int kept[][4] = {{7, 7, 7, 7}, {0, 0, 0, 0}, {5, 2, 0, 7}, {0, 7, 1, 4}, {7, 6, 7, 3}};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        lt_tensor in[] = {RANDOM(2, 3, 4), RANDOM(4, 4)};
        double worst = INFINITY;
        lt_gradcheck check = {.function = chain_fn, .user = kept[i], .tape = &tape, .count = 2, .inputs = in};
        CHECK_OK(lt_gradcheck_run(&check, &worst));
        CHECK_NEAR(worst, 0, BOUND);
        lt_arena_release(&inputs_arena, 0);
    }
}

/* Calls of the linear kernel in one forward and backward pass of the chain. */
static int64_t linear_calls(int *kept) {
    lt_tensor x = RANDOM(2, 3, 4), w = RANDOM(4, 4);
    lt_var *in[2], *out = NULL;
    lt_meter meter = {0};
    lt_tape_reset(&tape);
    tape.recording = true;
    tape.ctx->meter = &meter;
    CHECK_OK(lt_tape_var(&tape, x, true, &in[0]));
    CHECK_OK(lt_tape_var(&tape, w, true, &in[1]));
    CHECK_OK(chain_fn(&tape, in, kept, &out));
    CHECK_OK(lt_tape_seed(&tape, out, x));
    CHECK_OK(lt_tape_backward(&tape));
    CHECK(tape.step->far == 0);
    tape.ctx->meter = NULL;
    lt_tape_reset(&tape);
    return meter.op[LT_OP_LINEAR].calls;
}

static void only_what_is_not_kept_runs_again_and_never_the_last_segment(void) {
    static int all[] = {7, 7, 7, 7}, none[] = {0, 0, 0, 0}, last[] = {7, 7, 7, 0}, one[] = {6, 7, 7, 7};
    CHECK(linear_calls(all) == 8);
    CHECK(linear_calls(none) == 8 + 6);
    CHECK(linear_calls(last) == 8);
    CHECK(linear_calls(one) == 8 + 1);
}

static void a_var_cannot_be_used_whole_and_in_parts(void) {
    lt_tensor x = RANDOM(4, 2);
    lt_var *var, *parts[4], *a, *b = NULL;
    lt_tape_reset(&tape);
    tape.recording = true;
    CHECK_OK(lt_tape_var(&tape, x, true, &var));
    CHECK_OK(lt_tape_unstack(&tape, var, 0, parts));
    CHECK_OK(lt_ag_unary(&tape, LT_SILU, var, &a));
    CHECK_OK(lt_ag_copy(&tape, parts[0], &b));
    CHECK_OK(lt_tape_seed(&tape, a, x));
    CHECK_OK(lt_tape_seed(&tape, b, lt_select(x, 0, 0)));
    CHECK_FAILS(lt_tape_backward(&tape), LT_FAILED, "in parts and as a whole");
    lt_tape_reset(&tape);
}

int main(int argc, char **argv) {
    open_all();
    RUN(linear);
    RUN(gradients_of_shared_values_add_up);
    RUN(norms_with_modulation);
    RUN(add_and_norm);
    RUN(unary);
    RUN(attention_with_weighted_entries);
    RUN(cross_attention);
    RUN(norms_on_the_way_pass_no_gradient);
    RUN(mix_ffn_with_tails);
    RUN(patches);
    RUN(embedding_and_loss);
    RUN(segments);
    RUN(only_what_is_not_kept_runs_again_and_never_the_last_segment);
    RUN(a_var_cannot_be_used_whole_and_in_parts);
    close_all();
    return test_end();
}
