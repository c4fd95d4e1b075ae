#include "kernels/attention/testing.h"

typedef struct output_case {
    int64_t blocks, heads, dim;
    lt_rope rope;
} output_case;

static const int64_t starts[] = {0, 40, 1000000};

static lt_attn_output_args forward_args(lt_check *c, output_case s) {
    lt_tensor packed = LT_IN(c, s.blocks, tokens_of(s.rope), 3, s.heads, s.dim);
    lt_attn_output_args f = {.q = lt_select(packed, 2, 0),
                             .S = LT_IN_SUM(c, s.blocks, s.heads, s.dim, s.dim),
                             .z = LT_IN_SUM(c, s.blocks, s.heads, s.dim),
                             .rope = s.rope};
    make_positive(f.z);
    return f;
}

/* o goes into one half of wider rows. */
enum { WITH_R = 1, WITH_GAIN = 2 };

static lt_status forward_agrees(output_case s, int parts) {
    lt_check c;
    lt_check_begin(&c, 21);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_ATTENTION;
    while (lt_check_next(&c)) {
        lt_attn_output_args f = forward_args(&c, s);
        f.o = lt_select(LT_OUT_PARTLY(&c, s.blocks, tokens_of(s.rope), 2, s.heads, s.dim), 2, 1);
        if (parts & WITH_R) f.r = LT_OUT_SUM(&c, s.blocks, s.heads, s.dim);
        if (parts & WITH_GAIN) f.q_gain = LT_IN_SUM(&c, s.heads, s.dim);
        LT_CHECK_RUN(&c, lt_attn_output_forward(&c.ctx, &f));
    }
    return lt_check_end(&c);
}

enum { DQ = 1, DS = 2, ACCUMULATE = 4 };

static lt_attn_output_backward_args backward_args(lt_check *c, output_case s, int parts) {
    lt_attn_output_args f = forward_args(c, s);
    lt_check_role role = parts & ACCUMULATE ? LT_CHECK_BOTH : LT_CHECK_OUTPUT;
    lt_check_role partly = parts & ACCUMULATE ? LT_CHECK_BOTH : LT_CHECK_PARTLY;
    lt_attn_output_backward_args b = {.q = f.q, .S = f.S, .z = f.z, .rope = s.rope};
    b.dout = lt_select(LT_IN(c, s.blocks, tokens_of(s.rope), 2, s.heads, s.dim), 2, 1);
    int64_t packed[] = {s.blocks, tokens_of(s.rope), 3, s.heads, s.dim};
    if (parts & DQ) b.dq = lt_select(lt_check_operand_new(c, partly, false, 5, packed), 2, 0);
    if (parts & DS) b.dS = lt_check_operand_new(c, role, true, LT_DIMS(s.blocks, s.heads, s.dim, s.dim));
    if (parts & DS) b.dz = lt_check_operand_new(c, role, true, LT_DIMS(s.blocks, s.heads, s.dim));
    b.accumulate_dq = b.accumulate_dS = parts & ACCUMULATE;
    return b;
}

static lt_status backward_agrees(output_case s, int parts) {
    lt_check c;
    lt_check_begin(&c, 22);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_GRADIENT;
    while (lt_check_next(&c)) {
        lt_attn_output_backward_args b = backward_args(&c, s, parts);
        LT_CHECK_RUN(&c, lt_attn_output_backward(&c.ctx, &b));
    }
    return lt_check_end(&c);
}

static void agree(output_case s) {
    CHECK_OK(forward_agrees(s, WITH_R));
    CHECK_OK(forward_agrees(s, WITH_R | WITH_GAIN));
    CHECK_OK(backward_agrees(s, DQ | DS));
    CHECK_OK(backward_agrees(s, DQ | DS | ACCUMULATE));
}

static void all_sizes_agree_with_the_reference(void) {
    for (int d = 0; d < TEST_DIMS; d++)
        for (int g = 0; g < TEST_GRIDS; g++) agree((output_case){1, 2, test_dims[d], test_grids[g]});
    agree((output_case){1, 1, 4, test_grids[1]});
    agree((output_case){1, 3, 30, test_grids[2]});
    agree((output_case){1, 1, 130, test_grids[2]});
    agree((output_case){2, 2, 256, test_grids[1]});
    agree((output_case){1, 5, 112, {2, 15, 52, 10000, NULL}});
}

/* Rows that no access of several elements reaches: an odd distance, from an odd start. */
static void rows_may_lie_at_odd_distances(void) {
    for (int d = 0; d < TEST_DIMS; d++) {
        lt_check c;
        lt_check_begin(&c, 28);
        c.bf16 = true;
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        while (lt_check_next(&c)) {
            int64_t H = 2, D = test_dims[d], wide = 2 * H * D + 3;
            lt_attn_output_args f = forward_args(&c, (output_case){1, H, D, test_grids[1]});
            f.q = odd_rows(LT_IN(&c, 1, 63, wide), H, D);
            f.o = odd_rows(LT_OUT_PARTLY(&c, 1, 63, wide), H, D);
            f.q_gain = LT_IN_SUM(&c, H, D);
            lt_attn_output_backward_args b = {.q = f.q, .S = f.S, .z = f.z, .rope = f.rope};
            b.dout = odd_rows(LT_IN(&c, 1, 63, wide), H, D);
            b.dq = odd_rows(LT_OUT_PARTLY(&c, 1, 63, wide), H, D);
            b.dS = LT_OUT_SUM(&c, 1, H, D, D);
            b.dz = LT_OUT_SUM(&c, 1, H, D);
            LT_CHECK_RUN(&c, lt_attn_output_forward(&c.ctx, &f));
            LT_CHECK_RUN(&c, lt_attn_output_backward(&c.ctx, &b));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void several_blocks_agree_with_the_reference(void) {
    for (int d = 0; d < TEST_DIMS; d++) agree((output_case){3, 2, test_dims[d], {4, 5, 9, 10000, starts}});
}

static void only_what_is_asked_is_computed(void) {
    output_case s = {1, 2, 32, {8, 10, 10, 10000, NULL}};
    CHECK_OK(forward_agrees(s, 0));
    CHECK_OK(forward_agrees(s, WITH_GAIN));
    CHECK_OK(backward_agrees(s, 0));
    CHECK_OK(backward_agrees(s, DQ));
    CHECK_OK(backward_agrees(s, DS));
}

static void gradients_equal_differences(void) {
    lt_check c;
    output_case s = {2, 2, 10, {2, 3, 3, 100, starts}};
    lt_check_begin(&c, 23);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_GRADIENT;
    while (lt_check_next(&c)) {
        lt_attn_output_args f = forward_args(&c, s);
        leave_kinks(f.q);
        lt_attn_output_backward_args b = {.q = f.q, .S = f.S, .z = f.z, .rope = s.rope};
        f.o = LT_OUT(&c, 2, 18, 2, 10);
        b.dout = LT_IN(&c, 2, 18, 2, 10);
        b.dq = LT_OUT(&c, 2, 18, 2, 10);
        b.dS = LT_OUT_SUM(&c, 2, 2, 10, 10);
        b.dz = LT_OUT_SUM(&c, 2, 2, 10);
        LT_CHECK_RUN(&c, lt_attn_output_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_attn_output_backward(&c.ctx, &b));
        lt_check_gradient(&c, "dq", LT_OP_ATTN_OUTPUT, &f, 1, &f.o, &b.dout, f.q, &b.dq);
        lt_check_gradient(&c, "dS", LT_OP_ATTN_OUTPUT, &f, 1, &f.o, &b.dout, f.S, &b.dS);
        lt_check_gradient(&c, "dz", LT_OP_ATTN_OUTPUT, &f, 1, &f.o, &b.dout, f.z, &b.dz);
    }
    CHECK_OK(lt_check_end(&c));
}

/* Tokens 5 and 70 have no positive channel: outputs and gradients are 0 there, even where S or g are not numbers. */
static void a_token_without_features_reads_nothing(void) {
    lt_check c;
    lt_check_begin(&c, 24);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_GRADIENT;
    while (lt_check_next(&c)) {
        output_case s = {1, 1, 60, {4, 5, 5, 10000, NULL}};
        lt_attn_output_args f = forward_args(&c, s);
        f.o = LT_OUT(&c, 1, 100, 1, 60);
        f.r = LT_OUT_SUM(&c, 1, 1, 60);
        lt_attn_output_backward_args b = {.q = f.q, .S = f.S, .z = f.z, .rope = s.rope};
        b.dout = LT_IN(&c, 1, 100, 1, 60);
        b.dq = LT_OUT(&c, 1, 100, 1, 60);
        b.dS = LT_OUT_SUM(&c, 1, 1, 60, 60);
        b.dz = LT_OUT_SUM(&c, 1, 1, 60);
        for (int i = 0; i < 60; i++)
            for (int t = 5; t <= 70; t += 65) {
                lt_check_set(&f.q, t * 60 + i, -1);
                lt_check_set(&b.dout, t * 60 + i, NAN);
            }
        LT_CHECK_RUN(&c, lt_attn_output_backward(&c.ctx, &b));
        lt_check_set(&f.S, 130, INFINITY);
        LT_CHECK_RUN(&c, lt_attn_output_forward(&c.ctx, &f));
        for (int i = 0; i < 60; i++) {
            CHECK(lt_check_get(&f.o, 5 * 60 + i) == 0 && lt_check_get(&f.o, 70 * 60 + i) == 0);
            CHECK(lt_check_get(&b.dq, 5 * 60 + i) == 0 && lt_check_get(&b.dq, 70 * 60 + i) == 0);
        }
    }
    CHECK_OK(lt_check_end(&c));
}

/* With a gain, which may be of either sign: no positive dot product in token 5 of head 1; q there is no number in token
 * 6 of head 0, which leaves other heads alone, and the smallest and largest of tokens read as others do. */
static void a_gain_keeps_zeros_and_what_is_no_number(void) {
    lt_check c;
    lt_check_begin(&c, 31);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_ATTENTION;
    while (lt_check_next(&c)) {
        enum { D = 112, H = 2, T = 100 };
        lt_attn_output_args f = forward_args(&c, (output_case){1, H, D, {4, 5, 5, 10000, NULL}});
        f.o = LT_OUT(&c, 1, T, H, D);
        f.q_gain = LT_IN_SUM(&c, H, D);
        for (int i = 0; i < D; i++) {
            double sign = lt_check_get(&f.q_gain, D + i) < 0 ? -1 : 1;
            lt_check_set(&f.q, (5 * H + 1) * D + i, -sign);
            lt_check_set(&f.q, (8 * H + 0) * D + i, 1e-6 * lt_check_get(&f.q, (8 * H + 0) * D + i));
        }
        lt_check_set(&f.q, (6 * H + 0) * D + 3, NAN);
        LT_CHECK_RUN(&c, lt_attn_output_forward(&c.ctx, &f));
        for (int i = 0; i < D; i++) {
            CHECK(lt_check_get(&f.o, (5 * H + 1) * D + i) == 0);
            CHECK(isnan(lt_check_get(&f.o, (6 * H + 0) * D + i)));
            CHECK(isfinite(lt_check_get(&f.o, (6 * H + 1) * D + i)));
        }
    }
    CHECK_OK(lt_check_end(&c));
}

/* The factors of tokens cancel: with the norm's weights alone o and r are those of the normalised q. */
static void a_gain_equals_normalising_first(void) {
    for (int d = 0; d < TEST_DIMS; d++) {
        lt_check c;
        lt_check_begin(&c, 32);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            int64_t H = 3, D = test_dims[d];
            c.bf16_bound = LT_TOL_BF16_FORWARD;
            lt_attn_output_args f = forward_args(&c, (output_case){2, H, D, {4, 5, 9, 10000, starts}}), first;
            f.q_gain = LT_IN_SUM(&c, H, D);
            lt_tensor q = normalised(&c, f.q, f.q_gain);
            f.o = LT_OUT(&c, 2, 180, H, D), f.r = LT_OUT_SUM(&c, 2, H, D);
            first = f, first.q = q, first.q_gain = (lt_tensor){0};
            first.o = LT_OUT(&c, 2, 180, H, D), first.r = LT_OUT_SUM(&c, 2, H, D);
            double bound = c.pass > 2 ? 2 * lt_tolerance_bound(LT_TOL_BF16_ATTENTION) : c.pass ? 1e-6 : 1e-14;
            LT_CHECK_RUN(&c, lt_attn_output_forward(&c.ctx, &f));
            LT_CHECK_RUN(&c, lt_attn_output_forward(&c.ctx, &first));
            if (c.skipped) continue;
            CHECK_NEAR(rms_difference(&f.o, &first.o), 0, bound);
            CHECK_NEAR(rms_difference(&f.r, &first.r), 0, bound);
        }
        CHECK_OK(lt_check_end(&c));
    }
}

enum { SOURCES = 4, HEADS = 2, DIM = 32 };

/* The read masses of all sources of one head, w_e z_e . r, added up. */
static double total_mass(lt_check *c, const lt_tensor *z, lt_tensor weights, lt_tensor r, int h) {
    lt_tensor out = LT_OUT_SUM(c, SOURCES, HEADS), all_r[SOURCES];
    for (int e = 0; e < SOURCES; e++) all_r[e] = r;
    lt_attn_dots_args d = {.count = SOURCES, .A = z, .B = all_r, .out = out};
    LT_CHECK_RUN(c, lt_attn_dots(&c->ctx, &d));
    double sum = 0;
    for (int e = 0; e < SOURCES; e++)
        sum += lt_check_get(&weights, e * HEADS + h) * lt_check_get(&out, e * HEADS + h);
    return sum;
}

static void read_masses_sum_to_the_number_of_reading_tokens(void) {
    lt_check c;
    lt_check_begin(&c, 25);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_ATTENTION;
    while (lt_check_next(&c)) {
        lt_attn_output_args f = forward_args(&c, (output_case){1, HEADS, DIM, {4, 5, 25, 10000, NULL}});
        for (int i = 0; i < HEADS * DIM; i++) lt_check_set(&f.q, 7 * HEADS * DIM + i, -1);
        lt_tensor S[SOURCES], z[SOURCES], weights = LT_IN_SUM(&c, SOURCES, HEADS);
        make_positive(weights);
        for (int e = 0; e < SOURCES; e++) {
            S[e] = LT_IN_SUM(&c, HEADS, DIM, DIM);
            z[e] = LT_IN_SUM(&c, HEADS, DIM);
            make_positive(z[e]);
        }
        lt_attn_sum sum = {.count = SOURCES, .weighted = SOURCES, .weights = weights};
        sum.S = LT_OUT_SUM(&c, HEADS, DIM, DIM);
        sum.z = LT_OUT_SUM(&c, HEADS, DIM);
        lt_attn_combine_args combine = {.count = 1, .sums = &sum, .S = S, .z = z};
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &combine));
        f.S = LT_RESHAPE(sum.S, 1, HEADS, DIM, DIM);
        f.z = LT_RESHAPE(sum.z, 1, HEADS, DIM);
        f.o = LT_OUT(&c, 1, 500, HEADS, DIM);
        f.r = LT_OUT_SUM(&c, 1, HEADS, DIM);
        LT_CHECK_RUN(&c, lt_attn_output_forward(&c.ctx, &f));
        for (int h = 0; h < HEADS; h++)
            CHECK_NEAR(total_mass(&c, z, weights, lt_select(f.r, 0, 0), h) / 499, 1, c.pass ? 1e-6 : 1e-13);
    }
    CHECK_OK(lt_check_end(&c));
}

/* o of one block read through its own state, with all frames moved by `shift`. */
static lt_tensor attend(lt_check *c, lt_tensor packed, int64_t shift) {
    int64_t T = packed.shape[1], H = packed.shape[3], D = packed.shape[4];
    lt_rope rope = {4, 5, (int)(T / 20), 10000, &shift};
    lt_attn_state_args s = {.k = lt_select(packed, 2, 1), .v = lt_select(packed, 2, 2), .rope = rope};
    s.box = (lt_segment_box){4, 5, (int)(T / 20)};
    s.S = LT_OUT_SUM(c, 1, 1, H, D, D);
    s.z = LT_OUT_SUM(c, 1, 1, H, D);
    LT_CHECK_RUN(c, lt_attn_state_forward(&c->ctx, &s));
    lt_attn_output_args f = {.q = lt_select(packed, 2, 0), .rope = rope};
    f.S = LT_RESHAPE(s.S, 1, H, D, D);
    f.z = LT_RESHAPE(s.z, 1, H, D);
    f.o = LT_OUT(c, 1, T, H, D);
    LT_CHECK_RUN(c, lt_attn_output_forward(&c->ctx, &f));
    return f.o;
}

static void only_distances_between_frames_matter(void) {
    static const int64_t shifts[] = {1000000, -1000000, (int64_t)1 << 33, (int64_t)1 << 40};
    lt_check c;
    lt_check_begin(&c, 26);
    c.bf16 = true;
    c.bf16_bound = LT_TOL_BF16_ATTENTION;
    while (lt_check_next(&c)) {
        lt_tensor packed = LT_IN(&c, 1, 100, 3, 2, 60), still = attend(&c, packed, 0);
        for (int i = 0; i < 4; i++) {
            lt_tensor moved = attend(&c, packed, shifts[i]);
            CHECK_NEAR(rms_difference(&still, &moved), 0, c.pass > 2 ? 1e-3 : c.pass ? 1e-6 : 1e-11);
        }
    }
    CHECK_OK(lt_check_end(&c));
}

static void wrong_operands_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 27);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        output_case s = {1, 2, 32, test_grids[1]};
        lt_attn_output_args f = forward_args(&c, s), bad;
        f.o = LT_OUT_PARTLY(&c, 1, 63, 2, 32);
        bad = f, bad.o = lt_slice(f.o, 1, 0, 62);
        CHECK_FAILS(lt_attn_output_forward(&c.ctx, &bad), LT_FAILED, "operand o");
        bad = f, bad.q_gain = LT_IN_SUM(&c, 2, 31);
        CHECK_FAILS(lt_attn_output_forward(&c.ctx, &bad), LT_FAILED, "operand q_gain");
        bad = f, bad.z = (lt_tensor){0};
        CHECK_FAILS(lt_attn_output_forward(&c.ctx, &bad), LT_FAILED, "operand z is an empty tensor");
        bad = f, bad.q = lt_slice(f.q, 3, 0, 31);
        CHECK_FAILS(lt_attn_output_forward(&c.ctx, &bad), LT_FAILED, "copy it first");
        lt_attn_output_backward_args b = {.q = f.q, .S = f.S, .z = f.z, .rope = s.rope, .dout = f.o};
        b.dS = LT_OUT_PARTLY_SUM(&c, 1, 2, 32, 32);
        CHECK_FAILS(lt_attn_output_backward(&c.ctx, &b), LT_FAILED, "dS and dz go together");
    }
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(all_sizes_agree_with_the_reference);
    RUN(rows_may_lie_at_odd_distances);
    RUN(several_blocks_agree_with_the_reference);
    RUN(only_what_is_asked_is_computed);
    RUN(gradients_equal_differences);
    RUN(a_token_without_features_reads_nothing);
    RUN(a_gain_keeps_zeros_and_what_is_no_number);
    RUN(a_gain_equals_normalising_first);
    RUN(read_masses_sum_to_the_number_of_reading_tokens);
    RUN(only_distances_between_frames_matter);
    RUN(wrong_operands_are_named);
    return test_end();
}
