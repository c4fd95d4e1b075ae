#include "kernels/check.h"
#include "kernels/cross_attention/cross_attention.h"
#include "kernels/e4m3.h"
#include "kernels/norm/norm.h"
#include "tests/harness.h"

typedef struct size {
    int64_t B, T, H, D, L;
    int64_t repeats; /* groups of queries per text; 0 counts as 1 */
} size;

static int64_t groups(size s) { return s.B * (s.repeats ? s.repeats : 1); }

typedef enum mask_kind { NO_MASK, SOME_MASKED, ALL_MASKED } mask_kind;

/* Each text sees a prefix, the first one everything; with ALL_MASKED the last text sees nothing. */
static lt_tensor make_mask(lt_check *c, size s, mask_kind kind) {
    if (kind == NO_MASK) return (lt_tensor){0};
    lt_tensor mask = LT_IN_SUM(c, s.B, s.L);
    for (int64_t i = 0; i < s.B * s.L; i++) {
        int64_t b = i / s.L, seen = s.L - b * (s.L / 3);
        if (kind == ALL_MASKED && b == s.B - 1) seen = 0;
        lt_check_set(&mask, i, i % s.L < seen);
    }
    return mask;
}

/* k and v as parts of [B, L, 2, H, D], q and o as halves of wider rows. */
static lt_cross_attention_args forward_args(lt_check *c, size s, mask_kind kind) {
    c->bf16_bound = LT_TOL_BF16_ATTENTION;
    lt_tensor kv = LT_IN(c, s.B, s.L, 2, s.H, s.D);
    return (lt_cross_attention_args){.q = lt_select(LT_IN(c, groups(s), s.T, 2, s.H, s.D), 2, 1),
                                     .k = lt_select(kv, 2, 0),
                                     .v = lt_select(kv, 2, 1),
                                     .mask = make_mask(c, s, kind),
                                     .scale = 1 / sqrt((double)s.D),
                                     .o = lt_select(LT_OUT_PARTLY(c, groups(s), s.T, 2, s.H, s.D), 2, 0),
                                     .lse = LT_OUT_SUM(c, groups(s), s.H, s.T)};
}

enum { DQ = 1, DKV = 2, ACCUMULATE = 4 };

static lt_cross_attention_backward_args backward_args(lt_check *c, const lt_cross_attention_args *f, size s,
                                                      int parts) {
    lt_check_role role = parts & ACCUMULATE ? LT_CHECK_BOTH : LT_CHECK_OUTPUT;
    lt_cross_attention_backward_args b = {
        .q = f->q, .k = f->k, .v = f->v, .mask = f->mask, .scale = f->scale};
    b.o = f->o, b.lse = f->lse;
    c->bf16_bound = LT_TOL_BF16_GRADIENT;
    b.dout = lt_select(LT_IN(c, groups(s), s.T, 2, s.H, s.D), 2, 1);
    if (parts & DQ) b.dq = lt_check_operand_new(c, role, false, LT_DIMS(groups(s), s.T, s.H, s.D));
    if (parts & DKV) {
        lt_tensor grads = lt_check_operand_new(c, role, false, LT_DIMS(s.B, s.L, 2, s.H, s.D));
        b.dk = lt_select(grads, 2, 0);
        b.dv = lt_select(grads, 2, 1);
    }
    b.accumulate_dq = b.accumulate_dkv = parts & ACCUMULATE;
    return b;
}

static lt_status agrees(size s, mask_kind kind, int parts) {
    lt_check c;
    lt_check_begin(&c, 41);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        lt_cross_attention_args f = forward_args(&c, s, kind);
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
        lt_cross_attention_backward_args b = backward_args(&c, &f, s, parts);
        LT_CHECK_RUN(&c, lt_cross_attention_backward(&c.ctx, &b));
    }
    return lt_check_end(&c);
}

static void all_sizes_agree_with_the_reference(void) {
    static const int64_t dims[] = {32, 60, 64, 112, 128}, queries[] = {1, 63, 500, 1000},
                         texts[] = {16, 77, 64, 300};
    for (int d = 0; d < 5; d++)
        for (int t = 0; t < 4; t++) {
            int64_t L = texts[(d + t) % 4];
            CHECK_OK(agrees((size){1, queries[t], 2, dims[d], L}, NO_MASK, DQ | DKV));
        }
    CHECK_OK(agrees((size){1, 1, 1, 1, 1}, NO_MASK, DQ | DKV));
    CHECK_OK(agrees((size){2, 5, 1, 7, 3}, SOME_MASKED, DQ | DKV));
    CHECK_OK(agrees((size){1, 40, 1, 200, 50}, NO_MASK, DQ | DKV));   /* more channels than usual, */
    CHECK_OK(agrees((size){2, 33, 3, 24, 130}, NO_MASK, DQ | DKV));   /* a multiple of 8, but not of 16, */
    CHECK_OK(agrees((size){1, 40, 1, 112, 1000}, NO_MASK, DQ | DKV)); /* text beyond any shared memory, */
    CHECK_OK(agrees((size){1, 5000, 1, 32, 20}, NO_MASK, DQ | DKV));  /* and queries summed in chunks */
}

static void masks_agree_with_the_reference(void) {
    CHECK_OK(agrees((size){3, 63, 2, 32, 64}, SOME_MASKED, DQ | DKV));
    CHECK_OK(agrees((size){3, 63, 2, 60, 77}, SOME_MASKED, DQ | DKV | ACCUMULATE));
    CHECK_OK(agrees((size){3, 63, 2, 112, 300}, ALL_MASKED, DQ | DKV));
}

static void groups_that_share_a_text_agree_with_the_reference(void) {
    CHECK_OK(agrees((size){2, 63, 2, 32, 20, .repeats = 3}, SOME_MASKED, DQ | DKV));
    CHECK_OK(agrees((size){3, 300, 2, 60, 17, .repeats = 2}, SOME_MASKED, DQ | DKV | ACCUMULATE));
    CHECK_OK(agrees((size){1, 7, 1, 8, 5, .repeats = 9}, NO_MASK, DKV));
    CHECK_OK(agrees((size){2, 1500, 1, 40, 17, .repeats = 4}, SOME_MASKED, DQ | DKV | ACCUMULATE));
}

/* [n, tokens, H, D] behind the first of H D + 3 channels: rows at odd distances, whose loads cannot be wide. */
static lt_tensor ragged(lt_check *c, lt_check_role role, int64_t n, int64_t tokens, int64_t H, int64_t D) {
    lt_tensor wider = lt_check_operand_new(c, role, false, LT_DIMS(n, tokens, H * D + 3));
    return lt_split(lt_slice(wider, 2, 1, H * D), 2, H, D);
}

static void rows_may_lie_at_any_distance(void) {
    lt_check c;
    lt_check_begin(&c, 47);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        int64_t B = 2, T = 70, H = 2, D = 64, L = 33;
        c.bf16_bound = LT_TOL_BF16_ATTENTION;
        lt_cross_attention_args f = {.q = ragged(&c, LT_CHECK_INPUT, B, T, H, D),
                                     .k = ragged(&c, LT_CHECK_INPUT, B, L, H, D),
                                     .v = ragged(&c, LT_CHECK_INPUT, B, L, H, D),
                                     .scale = 0.125,
                                     .o = ragged(&c, LT_CHECK_PARTLY, B, T, H, D),
                                     .lse = LT_OUT_SUM(&c, B, H, T)};
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_cross_attention_backward_args b = {.q = f.q, .k = f.k, .v = f.v, .o = f.o, .lse = f.lse};
        b.scale = f.scale, b.dout = ragged(&c, LT_CHECK_INPUT, B, T, H, D);
        b.dq = ragged(&c, LT_CHECK_PARTLY, B, T, H, D);
        b.dk = ragged(&c, LT_CHECK_PARTLY, B, L, H, D), b.dv = ragged(&c, LT_CHECK_PARTLY, B, L, H, D);
        LT_CHECK_RUN(&c, lt_cross_attention_backward(&c.ctx, &b));
    }
    CHECK_OK(lt_check_end(&c));
}

static void only_what_is_asked_is_computed(void) {
    CHECK_OK(agrees((size){1, 600, 2, 32, 20}, NO_MASK, 0));
    CHECK_OK(agrees((size){1, 600, 2, 32, 20}, NO_MASK, DQ));
    CHECK_OK(agrees((size){1, 600, 2, 32, 20}, NO_MASK, DKV));
}

/* Also odd rows, text beyond any shared memory, and rows behind the last query. */
static void each_query_may_have_its_own_scale(void) {
    static const size sizes[] = {{1, 1, 1, 1, 1},      {2, 63, 2, 32, 20, .repeats = 2},
                                 {1, 500, 2, 60, 77},  {1, 1000, 2, 64, 300},
                                 {2, 70, 3, 112, 300}, {1, 33, 2, 128, 64},
                                 {1, 40, 1, 200, 50},  {1, 40, 1, 112, 1000}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        lt_check c;
        lt_check_begin(&c, 48);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            lt_cross_attention_args f = forward_args(&c, sizes[i], i % 2 ? SOME_MASKED : NO_MASK);
            f.q_scale = LT_IN_SUM(&c, groups(sizes[i]), sizes[i].T);
            LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

/* Factors and, in the keys, weights of q's norm give what the normalised q gives. */
static void a_scale_equals_normalising_first(void) {
    static const int64_t dims[] = {32, 60, 112, 128};
    for (int d = 0; d < 4; d++) {
        lt_check c;
        lt_check_begin(&c, 49);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            int64_t G = 2, T = 90, H = 2, D = dims[d], L = 40, C = H * D;
            lt_tensor x = LT_IN(&c, G, T, C), text = LT_IN(&c, G, L, C), weight = LT_IN_SUM(&c, C),
                      other = LT_IN_SUM(&c, C), q = LT_OUT(&c, G, T, C), k = LT_OUT(&c, G, L, C),
                      gained = LT_OUT(&c, G, L, C), scale = LT_OUT_SUM(&c, G, T);
            lt_rms_norm_args of_q = {.x = x, .weight = weight, .y = q, .eps = 1e-5},
                             of_k = {.x = text, .weight = other, .y = k, .eps = 1e-5}, both = of_k;
            both.y = gained, both.gain = weight;
            lt_rms_scale_args factors = {.x = x, .scale = scale, .eps = 1e-5};
            LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &of_q));
            LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &of_k));
            LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &both));
            LT_CHECK_RUN(&c, lt_rms_scale_forward(&c.ctx, &factors));
            lt_cross_attention_args first = {.q = LT_RESHAPE(q, G, T, H, D),
                                             .k = LT_RESHAPE(k, G, L, H, D),
                                             .v = LT_IN(&c, G, L, H, D),
                                             .scale = 1 / sqrt((double)D),
                                             .o = LT_OUT(&c, G, T, H, D)},
                                    f = first;
            f.q = LT_RESHAPE(x, G, T, H, D), f.k = LT_RESHAPE(gained, G, L, H, D);
            f.q_scale = scale, f.o = LT_OUT(&c, G, T, H, D);
            LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &first));
            LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
            double bound = c.pass > 2 ? 2 * lt_tolerance_bound(LT_TOL_BF16_ATTENTION) : c.pass ? 1e-6 : 1e-14;
            double diff = 0, whole = 0;
            for (int64_t i = 0; i < lt_numel(&f.o); i++) {
                double wanted = lt_check_get(&first.o, i), found = lt_check_get(&f.o, i);
                diff += (found - wanted) * (found - wanted), whole += wanted * wanted;
            }
            if (!c.skipped) CHECK_NEAR(sqrt(diff / whole), 0, bound);
        }
        CHECK_OK(lt_check_end(&c));
    }
}

/* The largest magnitude of a text's values. */
static float largest_value(const lt_tensor *v, int64_t text) {
    float largest = LT_E4M3_LEAST;
    int64_t count = v->shape[1] * v->shape[2] * v->shape[3];
    for (int64_t i = text * count; i < (text + 1) * count; i++)
        if (!(fabs(lt_check_get(v, i)) <= (double)largest)) largest = (float)fabs(lt_check_get(v, i));
    return largest;
}

/* Whether the codes of one group are o as e4m3 rounds it below `largest`, and no further from it than three bits of
 * fraction allow. */
static bool group_rounds(const lt_tensor *o, const lt_tensor *codes, float largest) {
    double unit = (double)lt_e4m3_scale(largest);
    for (int64_t i = 0; i < lt_numel(o); i++) {
        float value = (float)lt_check_get(o, i);
        double code = lt_check_get(codes, i), most = fmax(fabs((double)value) / 16, unit * 0x1p-10);
        if (code != (double)lt_e4m3_to_f32(lt_f32_to_e4m3(value * lt_e4m3_factor(largest)))) return false;
        if (fabs(code * unit - (double)value) > most * (1 + 1e-5)) return false;
    }
    return true;
}

/* Every group by the largest of its text. */
static bool rounds(const lt_tensor *o, const lt_tensor *v, const lt_tensor *codes, const lt_tensor *scale) {
    int64_t T = o->shape[1];
    for (int64_t g = 0; g < o->shape[0]; g++) {
        lt_tensor from = lt_slice(*o, 0, g, 1), to = lt_slice(*codes, 0, g, 1);
        float largest = largest_value(v, g % v->shape[0]);
        if (!group_rounds(&from, &to, largest)) return false;
        for (int64_t row = g * T; row < (g + 1) * T; row++)
            if (lt_check_get(scale, row) != (double)lt_e4m3_scale(largest)) return false;
    }
    return true;
}

/* o in activations and in e4m3, from one text after another whose values are ten times as large. `far`: rows of q and v
 * at odd distances, whose loads cannot be wide. */
static void coded(size s, mask_kind kind, bool scaled, bool far) {
    lt_check c;
    lt_check_begin(&c, 50);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        lt_cross_attention_args f = forward_args(&c, s, kind), g;
        if (far) f.q = ragged(&c, LT_CHECK_INPUT, groups(s), s.T, s.H, s.D);
        if (far) f.v = ragged(&c, LT_CHECK_INPUT, s.B, s.L, s.H, s.D);
        for (int64_t b = 1; b < s.B; b++) {
            lt_tensor text = lt_slice(f.v, 0, b, 1);
            lt_check_affine(&text, pow(10, (double)b), 0);
        }
        if (scaled) f.q_scale = LT_IN_SUM(&c, groups(s), s.T);
        g = f, g.o = LT_OUT_E4M3(&c, groups(s), s.T, s.H, s.D), g.o_scale = LT_OUT_SUM(&c, groups(s), s.T);
        g.lse = LT_OUT_SUM(&c, groups(s), s.H, s.T);
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &g));
        if (!c.skipped) CHECK(rounds(&f.o, &f.v, &g.o, &g.o_scale));
    }
    CHECK_OK(lt_check_end(&c));
}

/* All head sizes of tensor cores and of the plain kernels, odd rows, groups that share a text, text beyond any shared
 * memory. */
static void o_in_e4m3_is_o_rounded_in_the_scale_of_v(void) {
    static const size sizes[] = {{1, 1, 1, 16, 1},     {3, 63, 2, 32, 20, .repeats = 2},
                                 {1, 500, 4, 60, 77},  {1, 1000, 2, 64, 300},
                                 {2, 70, 3, 112, 300}, {2, 33, 2, 128, 64},
                                 {1, 40, 2, 200, 50},  {1, 40, 1, 112, 1000},
                                 {2, 33, 2, 24, 130},  {2, 19, 16, 7, 33},
                                 {2, 50, 2, 8, 5},     {2, 17, 1, 48, 40}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        coded(sizes[i], NO_MASK, i % 2, false);
        coded(sizes[i], SOME_MASKED, i % 2 == 0, false);
    }
    coded((size){3, 63, 2, 112, 300}, ALL_MASKED, true, false);
    coded((size){2, 70, 2, 64, 33}, SOME_MASKED, true, true);
}

/* Where texts and tiles of queries just fit, end early or leave one over, as Hopper's kernel cuts them: 304 tokens, 64
 * and 128 queries. The last two sizes give its blocks several heads each, and several tiles of one. */
static void texts_and_tiles_may_end_anywhere(void) {
    static const size sizes[] = {{1, 1, 1, 112, 300},
                                 {1, 63, 1, 112, 304},
                                 {2, 64, 2, 112, 303},
                                 {1, 65, 2, 112, 129},
                                 {2, 129, 1, 112, 300, .repeats = 2},
                                 {1, 128, 1, 112, 305},
                                 {1, 65, 1, 112, 128},
                                 {1, 65, 1, 112, 1},
                                 {2, 129, 2, 64, 152},
                                 {2, 65, 2, 128, 153},
                                 {2, 5, 24, 64, 130, .repeats = 3},
                                 {2, 260, 48, 64, 129}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        coded(sizes[i], (mask_kind)(i % 3), i % 2, false);
        CHECK_OK(agrees(sizes[i], (mask_kind)((i + 1) % 3), 0));
    }
}

/* One value that is no number, in the second of three texts, masked or not; what attends to the others does not
 * notice. */
static void a_value_that_is_no_number_spoils_its_text(void) {
    static const double values[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 6; i++) {
        lt_check c;
        lt_check_begin(&c, 51);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            size s = {3, 40, 4, i % 2 ? 112 : 60, i % 2 ? 140 : 20, .repeats = 2};
            lt_cross_attention_args f = forward_args(&c, s, SOME_MASKED);
            int64_t text = s.L * s.H * s.D;
            lt_check_set(&f.v, text + (i % 2 ? 3 : text - 1), values[i / 2]);
            f.o = LT_OUT_E4M3(&c, groups(s), s.T, s.H, s.D), f.o_scale = LT_OUT_SUM(&c, groups(s), s.T);
            LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
            for (int64_t k = 0; k < lt_numel(&f.o); k++) {
                int64_t row = k / (s.H * s.D);
                double value = lt_check_get(&f.o, k) * lt_check_get(&f.o_scale, row);
                CHECK(isfinite(value) == (row / s.T % s.B != 1));
            }
        }
        CHECK_OK(lt_check_end(&c));
    }
}

/* Texts of zeros give zeros. */
static void values_of_zero_have_a_scale(void) {
    lt_check c;
    lt_check_begin(&c, 52);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        size s = {2, 40, 2, 32, 20};
        lt_cross_attention_args f = forward_args(&c, s, SOME_MASKED);
        lt_check_affine(&f.v, 0, 0);
        f.o = LT_OUT_E4M3(&c, s.B, s.T, s.H, s.D), f.o_scale = LT_OUT_SUM(&c, s.B, s.T);
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
        for (int64_t i = 0; i < lt_numel(&f.o); i++) CHECK(lt_check_get(&f.o, i) == 0);
        for (int64_t i = 0; i < lt_numel(&f.o_scale); i++)
            CHECK(lt_check_get(&f.o_scale, i) == (double)lt_e4m3_scale(LT_E4M3_LEAST));
    }
    CHECK_OK(lt_check_end(&c));
}

static void codes_take_a_byte(void) {
    float nothing;
    lt_ctx ctx = {.backend = LT_BACKEND_CUDA, .dtype = LT_BF16};
    lt_tensor video = LT_VIEW(&nothing, LT_BF16, 2, 1560, 20, 112),
              text = LT_VIEW(&nothing, LT_BF16, 2, 300, 20, 112);
    lt_cross_attention_args f = {.q = video, .k = text, .v = text, .scale = 0.1, .o = video};
    lt_cost wide = {0}, codes = {0};
    lt_describe_fn describe = lt_op_at(LT_OP_CROSS_ATTENTION)->describe;
    CHECK_OK(describe(&ctx, &f, &wide));
    f.o.dtype = LT_E4M3, f.o_scale = LT_VIEW(&nothing, LT_F32, 2, 1560);
    CHECK_OK(describe(&ctx, &f, &codes));
    CHECK(codes.flops == wide.flops && codes.bytes == wide.bytes - 2.0 * 1560 * (2240 - 4));
    CHECK(wide.workspace == 0 && codes.workspace == 2 * 32 * sizeof(float));
    f.o_scale.shape[1] = 1559;
    CHECK_FAILS(describe(&ctx, &f, &codes), LT_FAILED, "operand o_scale");
    f.o_scale.shape[1] = 1560, f.o.dtype = LT_BF16;
    CHECK_FAILS(describe(&ctx, &f, &codes), LT_FAILED, "operand o is bf16");
    f.q = LT_VIEW(&nothing, LT_BF16, 2, 1560, 1, 24), f.k = f.v = LT_VIEW(&nothing, LT_BF16, 2, 300, 1, 24);
    f.o = LT_VIEW(&nothing, LT_E4M3, 2, 1560, 1, 24);
    CHECK_FAILS(describe(&ctx, &f, &codes), LT_FAILED, "rows of 24, expected a multiple of 16");
}

static void lse_may_be_left_out(void) {
    lt_check c;
    lt_check_begin(&c, 42);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        size s = {1, 63, 2, 32, 20};
        lt_tensor kv = LT_IN(&c, s.B, s.L, 2, s.H, s.D);
        lt_cross_attention_args f = {.q = LT_IN(&c, s.B, s.T, s.H, s.D),
                                     .k = lt_select(kv, 2, 0),
                                     .v = lt_select(kv, 2, 1),
                                     .scale = 0.2,
                                     .o = LT_OUT(&c, s.B, s.T, s.H, s.D)};
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
    }
    CHECK_OK(lt_check_end(&c));
}

static void gradients_equal_differences(void) {
    for (int kind = NO_MASK; kind <= ALL_MASKED; kind++) {
        size s = {2, 5, 2, 6, 7, .repeats = 2};
        lt_check c;
        lt_check_begin(&c, 43);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            lt_cross_attention_args f = forward_args(&c, s, (mask_kind)kind);
            LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
            lt_cross_attention_backward_args b = backward_args(&c, &f, s, DQ | DKV);
            LT_CHECK_RUN(&c, lt_cross_attention_backward(&c.ctx, &b));
            lt_check_gradient(&c, "dq", LT_OP_CROSS_ATTENTION, &f, 1, &f.o, &b.dout, f.q, &b.dq);
            lt_check_gradient(&c, "dk", LT_OP_CROSS_ATTENTION, &f, 1, &f.o, &b.dout, f.k, &b.dk);
            lt_check_gradient(&c, "dv", LT_OP_CROSS_ATTENTION, &f, 1, &f.o, &b.dout, f.v, &b.dv);
        }
        CHECK_OK(lt_check_end(&c));
    }
}

/* Bits of o with the masked tokens there, filled with anything, and gone; with all of them masked, o is that of no
 * mask. */
static void masked_tokens_do_not_exist(void) {
    size s = {1, 63, 2, 32, 40}, shorter = {1, 63, 2, 32, 30};
    lt_check c;
    lt_check_begin(&c, 44);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        lt_cross_attention_args f = forward_args(&c, s, SOME_MASKED),
                                less = forward_args(&c, shorter, NO_MASK);
        for (int64_t i = 0; i < s.L; i++) lt_check_set(&f.mask, i, i < 30);
        less.q = f.q, less.k = lt_slice(f.k, 1, 0, 30), less.v = lt_slice(f.v, 1, 0, 30);
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &less));
        for (int64_t i = 0; i < lt_numel(&f.o); i++)
            CHECK_NEAR(lt_check_get(&f.o, i), lt_check_get(&less.o, i), 1e-6);
        lt_cross_attention_args bare = f;
        bare.mask = (lt_tensor){0};
        for (int64_t i = 0; i < s.L; i++) lt_check_set(&f.mask, i, 0);
        bare.o = LT_OUT(&c, s.B, s.T, s.H, s.D);
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &bare));
        for (int64_t i = 0; i < lt_numel(&f.o); i++) CHECK(lt_check_get(&f.o, i) == lt_check_get(&bare.o, i));
    }
    CHECK_OK(lt_check_end(&c));
}

static void make_whole(lt_tensor t) {
    for (int64_t i = 0; i < lt_numel(&t); i++) lt_check_set(&t, i, round(3 * lt_check_get(&t, i)));
}

/* Whole numbers, so that scores in the hundreds, whose exponentials float32 cannot hold, are exact. */
static void large_scores_do_not_overflow(void) {
    lt_check c;
    lt_check_begin(&c, 45);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        size s = {1, 63, 1, 32, 20};
        lt_cross_attention_args f = forward_args(&c, s, NO_MASK);
        make_whole(f.q), make_whole(f.k);
        f.scale = 4;
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
        lt_cross_attention_backward_args b = backward_args(&c, &f, s, DQ | DKV);
        LT_CHECK_RUN(&c, lt_cross_attention_backward(&c.ctx, &b));
        double most = 0;
        for (int64_t i = 0; i < s.T; i++) most = fmax(most, lt_check_get(&f.lse, i));
        CHECK(most > 300);
    }
    CHECK_OK(lt_check_end(&c));
}

static void wrong_operands_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 46);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        size s = {2, 63, 2, 32, 20};
        lt_cross_attention_args f = forward_args(&c, s, SOME_MASKED), bad;
        bad = f, bad.k = lt_slice(f.k, 1, 0, 19);
        CHECK_FAILS(lt_cross_attention_forward(&c.ctx, &bad), LT_FAILED, "operand v");
        bad = f, bad.v = lt_slice(f.v, 1, 0, 19);
        CHECK_FAILS(lt_cross_attention_forward(&c.ctx, &bad), LT_FAILED, "operand v");
        bad = f, bad.mask = lt_slice(f.mask, 1, 0, 19);
        CHECK_FAILS(lt_cross_attention_forward(&c.ctx, &bad), LT_FAILED, "operand mask");
        bad = f, bad.q = lt_slice(f.q, 0, 0, 1), bad.o = lt_slice(f.o, 0, 0, 1);
        CHECK_FAILS(lt_cross_attention_forward(&c.ctx, &bad), LT_FAILED, "1 groups of queries for 2 texts");
        bad = f, bad.k = lt_slice(f.k, 1, 0, 0), bad.v = lt_slice(f.v, 1, 0, 0);
        CHECK_FAILS(lt_cross_attention_forward(&c.ctx, &bad), LT_FAILED, "0 text tokens");
        bad = f, bad.q_scale = LT_IN_SUM(&c, 2, 62);
        CHECK_FAILS(lt_cross_attention_forward(&c.ctx, &bad), LT_FAILED, "operand q_scale");
        bad = f, bad.scale = NAN;
        CHECK_FAILS(lt_cross_attention_forward(&c.ctx, &bad), LT_FAILED, "scale");
        LT_CHECK_RUN(&c, lt_cross_attention_forward(&c.ctx, &f));
        lt_cross_attention_backward_args b = backward_args(&c, &f, s, DQ);
        b.dv = f.v;
        CHECK_FAILS(lt_cross_attention_backward(&c.ctx, &b), LT_FAILED, "dk and dv go together");
        b.dv = (lt_tensor){0};
        LT_CHECK_RUN(&c, lt_cross_attention_backward(&c.ctx, &b));
    }
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(all_sizes_agree_with_the_reference);
    RUN(masks_agree_with_the_reference);
    RUN(groups_that_share_a_text_agree_with_the_reference);
    RUN(rows_may_lie_at_any_distance);
    RUN(only_what_is_asked_is_computed);
    RUN(each_query_may_have_its_own_scale);
    RUN(a_scale_equals_normalising_first);
    RUN(o_in_e4m3_is_o_rounded_in_the_scale_of_v);
    RUN(texts_and_tiles_may_end_anywhere);
    RUN(a_value_that_is_no_number_spoils_its_text);
    RUN(values_of_zero_have_a_scale);
    RUN(codes_take_a_byte);
    RUN(lse_may_be_left_out);
    RUN(gradients_equal_differences);
    RUN(masked_tokens_do_not_exist);
    RUN(large_scores_do_not_overflow);
    RUN(wrong_operands_are_named);
    return test_end();
}
