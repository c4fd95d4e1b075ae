#include "kernels/attention/testing.h"

typedef struct state_case {
    int64_t blocks, heads, dim;
    lt_rope rope;
    lt_segment_box box;
} state_case;

static const lt_segment_box whole = {1000, 1000, 1000}, one_frame = {1, 1000, 1000}, tile = {3, 2, 4};
static const int64_t starts[] = {0, 40, 1000000};

/* k and v as the second and third part of packed [G, T, 3, H, D]. */
static lt_attn_state_args forward_args(lt_check *c, state_case s, lt_tensor *packed) {
    int64_t E = lt_segment_count(&s.rope, s.box);
    *packed = LT_IN(c, s.blocks, tokens_of(s.rope), 3, s.heads, s.dim);
    return (lt_attn_state_args){.k = lt_select(*packed, 2, 1),
                                .v = lt_select(*packed, 2, 2),
                                .rope = s.rope,
                                .box = s.box,
                                .S = LT_OUT_SUM(c, s.blocks, E, s.heads, s.dim, s.dim),
                                .z = LT_OUT_SUM(c, s.blocks, E, s.heads, s.dim)};
}

/* Factors are positive. */
static void add_norm(lt_check *c, lt_attn_state_args *f) {
    f->k_gain = LT_IN_SUM(c, f->k.shape[2], f->k.shape[3]);
    f->k_scale = LT_IN_SUM(c, f->k.shape[0], f->k.shape[1]);
    make_positive(f->k_scale);
}

static lt_status forward_agrees(state_case s, bool with_norm) {
    lt_check c;
    lt_check_begin(&c, 11);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_ATTENTION;
    while (lt_check_next(&c)) {
        lt_tensor packed;
        lt_attn_state_args f = forward_args(&c, s, &packed);
        if (with_norm) add_norm(&c, &f);
        LT_CHECK_RUN(&c, lt_attn_state_forward(&c.ctx, &f));
    }
    return lt_check_end(&c);
}

static lt_status backward_agrees(state_case s, bool accumulate) {
    lt_check c;
    lt_check_begin(&c, 12);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_GRADIENT;
    while (lt_check_next(&c)) {
        lt_tensor packed = LT_IN(&c, s.blocks, tokens_of(s.rope), 3, s.heads, s.dim);
        lt_check_role role = accumulate ? LT_CHECK_BOTH : LT_CHECK_PARTLY;
        lt_tensor grads =
            lt_check_operand_new(&c, role, false, LT_DIMS(s.blocks, tokens_of(s.rope), 3, s.heads, s.dim));
        int64_t E = lt_segment_count(&s.rope, s.box);
        lt_attn_state_backward_args b = {.k = lt_select(packed, 2, 1),
                                         .v = lt_select(packed, 2, 2),
                                         .dS = LT_IN_SUM(&c, s.blocks, E, s.heads, s.dim, s.dim),
                                         .dz = LT_IN_SUM(&c, s.blocks, E, s.heads, s.dim),
                                         .rope = s.rope,
                                         .box = s.box,
                                         .dk = lt_select(grads, 2, 1),
                                         .dv = lt_select(grads, 2, 2),
                                         .accumulate_dk = accumulate,
                                         .accumulate_dv = accumulate};
        LT_CHECK_RUN(&c, lt_attn_state_backward(&c.ctx, &b));
    }
    return lt_check_end(&c);
}

static void agree(state_case s) {
    CHECK_OK(forward_agrees(s, false));
    CHECK_OK(forward_agrees(s, true));
    CHECK_OK(backward_agrees(s, false));
    CHECK_OK(backward_agrees(s, true));
}

static void all_sizes_agree_with_the_reference(void) {
    for (int d = 0; d < TEST_DIMS; d++)
        for (int g = 0; g < TEST_GRIDS; g++) agree((state_case){1, 2, test_dims[d], test_grids[g], whole});
    agree((state_case){1, 1, 2, test_grids[1], whole});
    agree((state_case){1, 3, 30, test_grids[2], whole});
    agree((state_case){1, 1, 130, test_grids[2], whole});
    agree((state_case){2, 2, 256, test_grids[1], one_frame});
    agree((state_case){1, 5, 112, {2, 15, 52, 10000, NULL}, whole});
}

/* Rows that no access of several elements reaches: an odd distance, from an odd start. */
static void rows_may_lie_at_odd_distances(void) {
    for (int d = 0; d < TEST_DIMS; d++) {
        lt_check c;
        lt_check_begin(&c, 18);
        c.bf16 = true;
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        while (lt_check_next(&c)) {
            int64_t H = 2, D = test_dims[d];
            lt_attn_state_args f = {.k = odd_rows(LT_IN(&c, 1, 63, 2 * H * D + 3), H, D),
                                    .v = odd_rows(LT_IN(&c, 1, 63, 2 * H * D + 3), H, D),
                                    .S = LT_OUT_SUM(&c, 1, 1, H, D, D),
                                    .z = LT_OUT_SUM(&c, 1, 1, H, D),
                                    .rope = test_grids[1],
                                    .box = whole};
            lt_attn_state_backward_args b = {.k = f.k,
                                             .v = f.v,
                                             .dS = LT_IN_SUM(&c, 1, 1, H, D, D),
                                             .dz = LT_IN_SUM(&c, 1, 1, H, D),
                                             .rope = test_grids[1],
                                             .box = whole,
                                             .dk = odd_rows(LT_OUT_PARTLY(&c, 1, 63, 2 * H * D + 3), H, D),
                                             .dv = odd_rows(LT_OUT_PARTLY(&c, 1, 63, 2 * H * D + 3), H, D)};
            LT_CHECK_RUN(&c, lt_attn_state_backward(&c.ctx, &b));
            if (d % 2) add_norm(&c, &f);
            LT_CHECK_RUN(&c, lt_attn_state_forward(&c.ctx, &f));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

/* Blocks at positions of their own, more than one launch has room for. */
static void many_blocks_agree_with_the_reference(void) {
    int64_t first[300];
    for (int g = 0; g < 300; g++) first[g] = g * g - 1000;
    agree((state_case){300, 1, 8, {2, 1, 3, 10000, first}, one_frame});
}

static void blocks_and_segments_agree_with_the_reference(void) {
    lt_rope rope = {4, 5, 9, 10000, starts};
    for (int d = 0; d < TEST_DIMS; d += 2) {
        agree((state_case){3, 2, test_dims[d], rope, whole});
        agree((state_case){3, 2, test_dims[d], rope, one_frame});
        agree((state_case){3, 2, test_dims[d], rope, tile});
    }
    agree(
        (state_case){1, 1, 32, {8, 16, 8, 10000, NULL}, {7, 16, 8}}); /* a large and a small segment, spans */
}

static void boxes_cover_the_block_once(void) {
    lt_rope rope = {4, 5, 9, 10000, NULL};
    CHECK(lt_segment_count(&rope, whole) == 1 && lt_segment_tokens(&rope, whole, 0) == 180);
    CHECK(lt_segment_count(&rope, one_frame) == 4 && lt_segment_first_frame(&rope, one_frame, 3) == 3);
    CHECK(lt_segment_count(&rope, tile) == 2 * 3 * 3);
    int tokens = 0;
    for (int e = 0; e < 18; e++) tokens += lt_segment_tokens(&rope, tile, e);
    CHECK(tokens == 180);
    CHECK(lt_segment_frames(&rope, tile, 0) == 3 && lt_segment_frames(&rope, tile, 17) == 1);
    CHECK(lt_segment_first_frame(&rope, tile, 9) == 3);
    CHECK(lt_segment_tokens(&rope, tile, 0) == 24 && lt_segment_tokens(&rope, tile, 17) == 1);
}

/* Largest difference between the whole block's S and the sum of its segments, relative to the largest element. */
static double split_error(lt_check *c, const lt_tensor *whole_S, const lt_tensor *parts) {
    int64_t E = parts->shape[1], size = lt_numel(whole_S);
    double worst = 0, largest = 0;
    (void)c;
    for (int64_t i = 0; i < size; i++) {
        double sum = 0;
        for (int64_t e = 0; e < E; e++) sum += lt_check_get(parts, e * size + i);
        worst = fmax(worst, fabs(sum - lt_check_get(whole_S, i)));
        largest = fmax(largest, fabs(sum));
    }
    return worst / largest;
}

static void segments_sum_to_the_whole_block(void) {
    lt_check c;
    state_case s = {1, 2, 32, {4, 5, 9, 10000, starts + 2}, whole};
    lt_check_begin(&c, 13);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_ATTENTION;
    while (lt_check_next(&c)) {
        lt_tensor packed;
        lt_attn_state_args one = forward_args(&c, s, &packed), many = one;
        many.box = tile;
        many.S = LT_OUT_SUM(&c, 1, 18, 2, 32, 32);
        many.z = LT_OUT_SUM(&c, 1, 18, 2, 32);
        /* In bf16 whole blocks and tiles take different paths; the one on tensor cores rounds what it multiplies. */
        double bound = c.pass > 2 ? lt_tolerance_bound(LT_TOL_BF16_ATTENTION) : c.pass ? 1e-6 : 1e-14;
        LT_CHECK_RUN(&c, lt_attn_state_forward(&c.ctx, &one));
        LT_CHECK_RUN(&c, lt_attn_state_forward(&c.ctx, &many));
        CHECK_NEAR(split_error(&c, &one.S, &many.S), 0, bound);
        CHECK_NEAR(split_error(&c, &one.z, &many.z), 0, c.pass ? 1e-6 : 1e-14);
    }
    CHECK_OK(lt_check_end(&c));
}

static void gradients_equal_differences(void) {
    lt_check c;
    state_case s = {2, 2, 10, {2, 3, 3, 100, starts}, {1, 2, 3}};
    lt_check_begin(&c, 14);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_GRADIENT;
    while (lt_check_next(&c)) {
        lt_tensor packed;
        lt_attn_state_args f = forward_args(&c, s, &packed);
        leave_kinks(packed);
        lt_attn_state_backward_args b = {.k = f.k,
                                         .v = f.v,
                                         .dS = LT_IN_SUM(&c, 2, 4, 2, 10, 10),
                                         .dz = LT_IN_SUM(&c, 2, 4, 2, 10),
                                         .rope = s.rope,
                                         .box = s.box,
                                         .dk = LT_OUT(&c, 2, 18, 2, 10),
                                         .dv = LT_OUT(&c, 2, 18, 2, 10)};
        LT_CHECK_RUN(&c, lt_attn_state_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_attn_state_backward(&c.ctx, &b));
        lt_tensor y[] = {f.S, f.z}, dy[] = {b.dS, b.dz};
        lt_check_gradient(&c, "dk", LT_OP_ATTN_STATE, &f, 2, y, dy, f.k, &b.dk);
        lt_check_gradient(&c, "dv", LT_OP_ATTN_STATE, &f, 2, y, dy, f.v, &b.dv);
    }
    CHECK_OK(lt_check_end(&c));
}

static void backward_computes_only_what_is_asked(void) {
    for (int part = 0; part < 3; part++) {
        lt_check c;
        lt_check_begin(&c, 15);
        c.bf16 = true;
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        while (lt_check_next(&c)) {
            lt_attn_state_backward_args b = {.k = LT_IN(&c, 1, 63, 2, 32),
                                             .v = LT_IN(&c, 1, 63, 2, 32),
                                             .dS = LT_IN_SUM(&c, 1, 1, 2, 32, 32),
                                             .dz = LT_IN_SUM(&c, 1, 1, 2, 32),
                                             .rope = test_grids[1],
                                             .box = whole};
            if (part == 1) b.dk = LT_OUT(&c, 1, 63, 2, 32);
            if (part == 2) b.dv = LT_OUT(&c, 1, 63, 2, 32);
            LT_CHECK_RUN(&c, lt_attn_state_backward(&c.ctx, &b));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void nan_in_a_key_is_not_hidden(void) {
    lt_check c;
    lt_check_begin(&c, 16);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_ATTENTION;
    while (lt_check_next(&c)) {
        lt_tensor packed;
        lt_attn_state_args f = forward_args(&c, (state_case){1, 2, 60, test_grids[1], whole}, &packed);
        lt_check_set(&f.k, 700, NAN);
        lt_check_set(&f.v, 900, INFINITY);
        LT_CHECK_RUN(&c, lt_attn_state_forward(&c.ctx, &f));
        CHECK(isnan(lt_check_get(&f.z, 700 % 120)));
    }
    CHECK_OK(lt_check_end(&c));
}

/* The norm of a token with a NaN or an infinity: its factor is NaN, or 0; either way the channel is lost for all, and a
 * NaN for all heads. */
static void what_is_no_number_stays_so_under_a_norm(void) {
    lt_check c;
    lt_check_begin(&c, 19);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_ATTENTION;
    while (lt_check_next(&c)) {
        lt_tensor packed;
        lt_attn_state_args f = forward_args(&c, (state_case){1, 2, 112, test_grids[2], one_frame}, &packed);
        f.k_gain = LT_IN_SUM(&c, 2, 112);
        lt_check_set(&f.k, (3 * 2 + 1) * 112 + 7, NAN);                       /* of frame 0 */
        lt_check_set(&f.k, (130 * 2 + 0) * 112 + 9, -INFINITY);               /* of frame 1 */
        for (int i = 0; i < 224; i++) lt_check_set(&f.k, 260 * 224 + i, 0.0); /* of frame 2 */
        f.k_scale = scale_of(&c, f.k);
        LT_CHECK_RUN(&c, lt_attn_state_forward(&c.ctx, &f));
        CHECK(isnan(lt_check_get(&f.z, 0)) && isnan(lt_check_get(&f.z, 112)));
        CHECK(isnan(lt_check_get(&f.z, 224 + 9)) && isfinite(lt_check_get(&f.z, 224 + 8)));
        CHECK(isfinite(lt_check_get(&f.z, 2 * 224)) && isfinite(lt_check_get(&f.S, 2 * 2 * 112 * 112)));
    }
    CHECK_OK(lt_check_end(&c));
}

/* Bit for bit on a CPU; in bf16 the normalised k is rounded, and each of the two results may be wrong by the bound. */
static void a_norm_equals_normalising_first(void) {
    for (int d = 0; d < TEST_DIMS; d++) {
        lt_check c;
        lt_check_begin(&c, 20);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            lt_tensor packed;
            lt_rope rope = {4, 5, 9, 10000, starts};
            c.bf16_bound = LT_TOL_BF16_ATTENTION;
            lt_attn_state_args f = forward_args(&c, (state_case){2, 3, test_dims[d], rope, one_frame},
                                                &packed),
                               first = f;
            f.k_gain = LT_IN_SUM(&c, 3, test_dims[d]), f.k_scale = scale_of(&c, f.k);
            c.bf16_bound = LT_TOL_BF16_FORWARD;
            first.k = normalised(&c, f.k, f.k_gain);
            first.S = LT_OUT_SUM(&c, 2, 4, 3, test_dims[d], test_dims[d]);
            first.z = LT_OUT_SUM(&c, 2, 4, 3, test_dims[d]);
            LT_CHECK_RUN(&c, lt_attn_state_forward(&c.ctx, &f));
            LT_CHECK_RUN(&c, lt_attn_state_forward(&c.ctx, &first));
            double bound = c.pass > 2 ? 2 * lt_tolerance_bound(LT_TOL_BF16_ATTENTION) : c.cuda ? 1e-6 : 0;
            if (c.skipped) continue;
            CHECK_NEAR(rms_difference(&f.S, &first.S), 0, bound);
            CHECK_NEAR(rms_difference(&f.z, &first.z), 0, bound);
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void wrong_operands_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 17);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        lt_tensor packed;
        int64_t far[] = {(int64_t)1 << 60};
        lt_attn_state_args f = forward_args(&c, (state_case){1, 2, 32, test_grids[1], whole}, &packed),
                           bad = f;
        bad.rope.width = 8;
        CHECK_FAILS(lt_attn_state_forward(&c.ctx, &bad), LT_FAILED,
                    "63 tokens, but a grid of 1 x 7 x 8 = 56");
        bad = f, bad.box.height = 0;
        CHECK_FAILS(lt_attn_state_forward(&c.ctx, &bad), LT_FAILED, "a segment of 1000 x 0 x 1000 tokens");
        bad = f, bad.S = bad.z;
        CHECK_FAILS(lt_attn_state_forward(&c.ctx, &bad), LT_FAILED, "operand S");
        bad = f, bad.v = lt_select(packed, 3, 0);
        CHECK_FAILS(lt_attn_state_forward(&c.ctx, &bad), LT_FAILED, "operand v");
        bad = f, add_norm(&c, &bad), bad.k_scale = (lt_tensor){0};
        CHECK_FAILS(lt_attn_state_forward(&c.ctx, &bad), LT_FAILED, "k_gain and k_scale go together");
        bad = f, add_norm(&c, &bad), bad.k_scale = lt_slice(bad.k_scale, 1, 0, 62);
        CHECK_FAILS(lt_attn_state_forward(&c.ctx, &bad), LT_FAILED, "operand k_scale");
        bad = f, bad.rope.first_frame = far;
        CHECK_FAILS(lt_attn_state_forward(&c.ctx, &bad), LT_FAILED, "less than 2^52");
        bad = f, bad.rope.theta = 0;
        CHECK_FAILS(lt_attn_state_forward(&c.ctx, &bad), LT_FAILED, "theta");
        bad = f, bad.k = bad.v = lt_slice(f.k, 3, 0, 31);
        CHECK_FAILS(lt_attn_state_forward(&c.ctx, &bad), LT_FAILED, "expected 31, 1; copy it first");
        LT_CHECK_RUN(&c, lt_attn_state_forward(&c.ctx, &f));
    }
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(all_sizes_agree_with_the_reference);
    RUN(blocks_and_segments_agree_with_the_reference);
    RUN(rows_may_lie_at_odd_distances);
    RUN(many_blocks_agree_with_the_reference);
    RUN(boxes_cover_the_block_once);
    RUN(segments_sum_to_the_whole_block);
    RUN(gradients_equal_differences);
    RUN(backward_computes_only_what_is_asked);
    RUN(nan_in_a_key_is_not_hidden);
    RUN(what_is_no_number_stays_so_under_a_norm);
    RUN(a_norm_equals_normalising_first);
    RUN(wrong_operands_are_named);
    return test_end();
}
