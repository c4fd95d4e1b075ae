#include "kernels/attention/testing.h"

enum { MOST = 6 };

typedef struct sources {
    lt_tensor S[MOST], z[MOST];
} sources;

static sources make_sources(lt_check *c, lt_check_role role, int count, int64_t H, int64_t D) {
    sources x = {0};
    for (int e = 0; e < count; e++) {
        x.S[e] = lt_check_operand_new(c, role, true, LT_DIMS(H, D, D));
        x.z[e] = lt_check_operand_new(c, role, true, LT_DIMS(H, D));
    }
    return x;
}

static lt_attn_combine_args forward_args(lt_check *c, const sources *x, int count, int weighted, int64_t H,
                                         int64_t D) {
    lt_attn_combine_args f = {.count = count, .weighted = weighted, .S = x->S, .z = x->z};
    if (weighted) f.weights = LT_IN_SUM(c, weighted, H);
    f.out_S = LT_OUT_SUM(c, H, D, D);
    f.out_z = LT_OUT_SUM(c, H, D);
    return f;
}

static lt_status forward_agrees(int count, int weighted, int64_t H, int64_t D) {
    lt_check c;
    lt_check_begin(&c, 31);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, count, H, D);
        lt_attn_combine_args f = forward_args(&c, &x, count, weighted, H, D);
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &f));
    }
    return lt_check_end(&c);
}

enum { DSOURCES = 1, DWEIGHTS = 2, ACCUMULATE = 4 };

static lt_status backward_agrees(int count, int weighted, int64_t H, int64_t D, int parts) {
    static const bool accumulates[MOST] = {true, true, true, true, true, true};
    lt_check_role role = parts & ACCUMULATE ? LT_CHECK_BOTH : LT_CHECK_OUTPUT;
    lt_check c;
    lt_check_begin(&c, 32);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, count, H, D), dx = {0};
        for (int e = 0; parts & DSOURCES && e < count; e++) {
            if (count > 2 && e == 1) continue; /* one that needs no gradient */
            dx.S[e] = lt_check_operand_new(&c, role, true, LT_DIMS(H, D, D));
            dx.z[e] = lt_check_operand_new(&c, role, true, LT_DIMS(H, D));
        }
        lt_attn_combine_backward_args b = {.count = count, .weighted = weighted, .S = x.S, .z = x.z};
        b.dS_e = dx.S, b.dz_e = dx.z;
        if (parts & ACCUMULATE) b.accumulate = accumulates;
        if (weighted) b.weights = LT_IN_SUM(&c, weighted, H);
        b.dS = LT_IN_SUM(&c, H, D, D);
        b.dz = LT_IN_SUM(&c, H, D);
        if (parts & DWEIGHTS) b.dweights = lt_check_operand_new(&c, role, true, LT_DIMS(weighted, H));
        b.accumulate_dweights = parts & ACCUMULATE;
        LT_CHECK_RUN(&c, lt_attn_combine_backward(&c.ctx, &b));
    }
    return lt_check_end(&c);
}

static void all_sizes_agree_with_the_reference(void) {
    for (int d = 0; d < TEST_DIMS; d++)
        for (int weighted = 0; weighted <= MOST; weighted += 3) {
            CHECK_OK(forward_agrees(MOST, weighted, 3, test_dims[d]));
            CHECK_OK(backward_agrees(MOST, weighted, 3, test_dims[d], DSOURCES | (weighted ? DWEIGHTS : 0)));
        }
    CHECK_OK(forward_agrees(1, 1, 1, 2));
    CHECK_OK(forward_agrees(1, 0, 1, 30));
    CHECK_OK(forward_agrees(MOST, 3, 20, 7)); /* heads that no access of several elements fits */
    CHECK_OK(backward_agrees(MOST, 3, 20, 7, DSOURCES | DWEIGHTS));
    CHECK_OK(backward_agrees(1, 1, 1, 2, DSOURCES | DWEIGHTS));
}

static void backward_adds_and_leaves_out(void) {
    CHECK_OK(backward_agrees(4, 2, 3, 60, DSOURCES | DWEIGHTS | ACCUMULATE));
    CHECK_OK(backward_agrees(4, 2, 3, 60, DWEIGHTS));
    CHECK_OK(backward_agrees(4, 4, 3, 60, DSOURCES));
}

/* Bits of a running sum, updated in place entry by entry, against one fold of the list, without weights and with
 * weights that are 1. */
static void a_running_sum_is_the_fold_of_the_list_bit_for_bit(void) {
    enum { H = 2, D = 60 };
    lt_check c;
    lt_check_begin(&c, 33);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, MOST, H, D);
        lt_attn_combine_args list = forward_args(&c, &x, MOST, MOST, H, D), plain = list;
        for (int i = 0; i < MOST * H; i++) lt_check_set(&list.weights, i, 1);
        plain.weights = (lt_tensor){0};
        plain.out_S = LT_OUT_SUM(&c, H, D, D);
        plain.out_z = LT_OUT_SUM(&c, H, D);
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &list));
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &plain));
        lt_tensor S[2] = {LT_OUT_SUM(&c, H, D, D)}, z[2] = {LT_OUT_SUM(&c, H, D)};
        memcpy(S[0].data, x.S[0].data, lt_nbytes(&S[0]));
        memcpy(z[0].data, x.z[0].data, lt_nbytes(&z[0]));
        for (int e = 1; e < MOST; e++) {
            S[1] = x.S[e], z[1] = x.z[e];
            lt_attn_combine_args step = {.count = 2, .S = S, .z = z, .out_S = S[0], .out_z = z[0]};
            LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &step));
        }
        CHECK(memcmp(list.out_S.data, S[0].data, lt_nbytes(&S[0])) == 0);
        CHECK(memcmp(list.out_z.data, z[0].data, lt_nbytes(&z[0])) == 0);
        CHECK(memcmp(plain.out_S.data, S[0].data, lt_nbytes(&S[0])) == 0);
        CHECK(memcmp(plain.out_z.data, z[0].data, lt_nbytes(&z[0])) == 0);
    }
    CHECK_OK(lt_check_end(&c));
}

static void a_weight_of_zero_removes_an_entry(void) {
    lt_check c;
    lt_check_begin(&c, 34);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, 3, 2, 32), two = {{x.S[0], x.S[2]}, {x.z[0], x.z[2]}};
        lt_attn_combine_args all = forward_args(&c, &x, 3, 3, 2, 32),
                             without = forward_args(&c, &two, 2, 0, 2, 32);
        for (int i = 0; i < 6; i++) lt_check_set(&all.weights, i, i / 2 != 1);
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &all));
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &without));
        CHECK(memcmp(all.out_S.data, without.out_S.data, lt_nbytes(&all.out_S)) == 0);
        CHECK(memcmp(all.out_z.data, without.out_z.data, lt_nbytes(&all.out_z)) == 0);
    }
    CHECK_OK(lt_check_end(&c));
}

/* More sources than one launch has room for, of which several share a tensor and its gradient. */
static void long_lists_agree_with_the_reference(void) {
    enum { COUNT = 500, WEIGHTED = 490, ROWS = 250, COLUMNS = 242, H = 2, D = 6 };
    static lt_tensor S[COUNT], z[COUNT], dS[COUNT], dz[COUNT];
    static bool accumulate[COUNT];
    lt_check c;
    lt_check_begin(&c, 38);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, MOST, H, D),
                dx = make_sources(&c, LT_CHECK_OUTPUT, MOST, H, D);
        lt_attn_combine_args f = {.count = COUNT, .weighted = WEIGHTED, .S = S, .z = z};
        lt_attn_combine_backward_args b = {
            .count = COUNT, .weighted = WEIGHTED, .S = S, .z = z, .dS_e = dS, .dz_e = dz};
        for (int e = 0; e < COUNT; e++) {
            S[e] = x.S[e % MOST], z[e] = x.z[e % MOST];
            bool own = e < MOST - 1, shared = e == COUNT - 2 || e == COUNT - 1;
            dS[e] = own ? dx.S[e] : shared ? dx.S[MOST - 1] : (lt_tensor){0};
            dz[e] = own ? dx.z[e] : shared ? dx.z[MOST - 1] : (lt_tensor){0};
            accumulate[e] = e == COUNT - 1;
        }
        f.weights = b.weights = LT_IN_SUM(&c, WEIGHTED, H);
        f.out_S = LT_OUT_SUM(&c, H, D, D);
        f.out_z = LT_OUT_SUM(&c, H, D);
        b.dS = LT_IN_SUM(&c, H, D, D);
        b.dz = LT_IN_SUM(&c, H, D);
        b.accumulate = accumulate;
        b.dweights = LT_OUT_SUM(&c, WEIGHTED, H);
        lt_attn_dots_args d = {
            .n = ROWS, .m = COLUMNS, .A = z, .B = z, .out = LT_OUT_SUM(&c, ROWS, COLUMNS, H)};
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_attn_combine_backward(&c.ctx, &b));
        LT_CHECK_RUN(&c, lt_attn_dots(&c.ctx, &d));
    }
    CHECK_OK(lt_check_end(&c));
}

static void gradients_equal_differences(void) {
    enum { COUNT = 3, WEIGHTED = 2, H = 2, D = 4 };
    lt_check c;
    lt_check_begin(&c, 35);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, COUNT, H, D),
                dx = make_sources(&c, LT_CHECK_OUTPUT, COUNT, H, D);
        lt_attn_combine_args f = forward_args(&c, &x, COUNT, WEIGHTED, H, D);
        lt_attn_combine_backward_args b = {.count = COUNT, .weighted = WEIGHTED, .S = x.S, .z = x.z};
        b.weights = f.weights, b.dS_e = dx.S, b.dz_e = dx.z;
        b.dS = LT_IN_SUM(&c, H, D, D);
        b.dz = LT_IN_SUM(&c, H, D);
        b.dweights = LT_OUT_SUM(&c, WEIGHTED, H);
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_attn_combine_backward(&c.ctx, &b));
        lt_tensor y[] = {f.out_S, f.out_z}, dy[] = {b.dS, b.dz};
        lt_check_gradient(&c, "dweights", LT_OP_ATTN_COMBINE, &f, 2, y, dy, f.weights, &b.dweights);
        for (int e = 0; e < COUNT; e++) {
            lt_check_gradient(&c, "dS_e", LT_OP_ATTN_COMBINE, &f, 2, y, dy, x.S[e], &dx.S[e]);
            lt_check_gradient(&c, "dz_e", LT_OP_ATTN_COMBINE, &f, 2, y, dy, x.z[e], &dx.z[e]);
        }
    }
    CHECK_OK(lt_check_end(&c));
}

static void dots_agree_with_the_reference(void) {
    static const int64_t lengths[] = {1, 32, 63, 1000, 112 * 112};
    for (int k = 0; k < 5; k++) {
        lt_check c;
        lt_check_begin(&c, 36);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            lt_tensor A[5], B[3];
            for (int i = 0; i < 5; i++) A[i] = LT_IN_SUM(&c, 3, lengths[k]);
            for (int j = 0; j < 3; j++) B[j] = LT_IN_SUM(&c, 3, lengths[k]);
            lt_attn_dots_args d = {.n = 5, .m = 3, .A = A, .B = B, .out = LT_OUT_SUM(&c, 5, 3, 3)};
            LT_CHECK_RUN(&c, lt_attn_dots(&c.ctx, &d));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void wrong_operands_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 37);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, 3, 2, 32);
        lt_attn_combine_args f = forward_args(&c, &x, 3, 2, 2, 32), bad;
        bad = f, bad.count = 0;
        CHECK_FAILS(lt_attn_combine_forward(&c.ctx, &bad), LT_FAILED, "0 sources");
        bad = f, bad.weighted = 4;
        CHECK_FAILS(lt_attn_combine_forward(&c.ctx, &bad), LT_FAILED, "4 of 3 sources have weights");
        bad = f, bad.weighted = 3;
        CHECK_FAILS(lt_attn_combine_forward(&c.ctx, &bad), LT_FAILED, "operand weights");
        sources odd = x;
        odd.z[2] = lt_slice(x.z[2], 1, 0, 31), bad = f, bad.z = odd.z;
        CHECK_FAILS(lt_attn_combine_forward(&c.ctx, &bad), LT_FAILED, "source 2");
        CHECK(strstr(lt_error(), "operand z") != NULL);
        lt_attn_dots_args d = {.n = 2, .m = 0, .A = x.z, .B = x.z, .out = f.out_z};
        CHECK_FAILS(lt_attn_dots(&c.ctx, &d), LT_FAILED, "2 by 0 vectors");
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &f));
    }
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(all_sizes_agree_with_the_reference);
    RUN(backward_adds_and_leaves_out);
    RUN(a_running_sum_is_the_fold_of_the_list_bit_for_bit);
    RUN(a_weight_of_zero_removes_an_entry);
    RUN(long_lists_agree_with_the_reference);
    RUN(gradients_equal_differences);
    RUN(dots_agree_with_the_reference);
    RUN(wrong_operands_are_named);
    return test_end();
}
