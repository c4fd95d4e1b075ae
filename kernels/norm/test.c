#include "kernels/check.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/norm/norm.h"
#include "tests/harness.h"

typedef struct {
    int groups, rows, channels;
    bool accumulate, modulated;
} norm_case;

/* Modulation comes as rows 1 and 2 of six, as in AdaLN-single: strided. */
static void norm_both_ways(norm_case n) {
    lt_check c;
    for (lt_check_begin(&c, (uint64_t)(n.rows + n.channels)), c.bf16 = true; lt_check_next(&c);) {
        int G = n.groups, T = n.rows, C = n.channels;
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_tensor x = LT_IN(&c, G, T, C), table = LT_IN_SUM(&c, G, 6, C), dy = LT_IN(&c, G, T, C);
        lt_tensor dtable = n.accumulate ? LT_INOUT_SUM(&c, G, 6, C) : LT_OUT_PARTLY_SUM(&c, G, 6, C);
        lt_tensor dx = n.accumulate ? LT_INOUT(&c, G, T, C) : LT_OUT(&c, G, T, C);
        lt_check_affine(&x, 0.5, 3); /* a mean that is not small beside the deviation */
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        lt_norm_modulate_args f = {.x = x, .y = LT_OUT(&c, G, T, C), .eps = 1e-6};
        lt_norm_modulate_backward_args g = {
            .dy = dy, .x = x, .dx = dx, .eps = 1e-6, .accumulate_dx = n.accumulate};
        g.accumulate_dmod = n.accumulate;
        if (n.modulated) {
            f.shift = lt_select(table, 1, 1), f.scale = g.scale = lt_select(table, 1, 2);
            g.dshift = lt_select(dtable, 1, 1), g.dscale = lt_select(dtable, 1, 2);
        }
        LT_CHECK_RUN(&c, lt_norm_modulate_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_norm_modulate_backward(&c.ctx, &g));
    }
    CHECK_OK(lt_check_end(&c));
}

static void norm_modulate_equals_naive_at_ragged_sizes(void) {
    norm_both_ways((norm_case){1, 1, 128, false, true});
    norm_both_ways((norm_case){3, 63, 60, true, true});
    norm_both_ways((norm_case){2, 500, 112, false, true});
    norm_both_ways((norm_case){2, 1000, 8, true, true});
    norm_both_ways((norm_case){4, 130, 500, false, false});
    norm_both_ways((norm_case){1, 1000, 63, true, false});
    norm_both_ways((norm_case){2, 0, 16, false, true});
}

/* From a few numbers a thread to several packs of each thread of a block, and on to rows that no block holds. */
static void norm_modulate_equals_naive_at_all_widths(void) {
    norm_both_ways((norm_case){2, 70, 128, true, true});
    norm_both_ways((norm_case){1, 70, 256, false, true});
    norm_both_ways((norm_case){1, 19, 760, false, true});
    norm_both_ways((norm_case){2, 37, 2240, true, true});
    norm_both_ways((norm_case){1, 9, 2312, false, true});
    norm_both_ways((norm_case){1, 9, 4100, true, true});
    norm_both_ways((norm_case){1, 9, 6152, false, false});
    norm_both_ways((norm_case){1, 9, 18440, true, true});
}

static void norm_modulate_gradients_are_the_derivatives(void) {
    lt_check c;
    for (lt_check_begin(&c, 5), c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        lt_norm_modulate_args f = {
            .x = LT_IN(&c, 2, 3, 7), .shift = LT_IN_SUM(&c, 2, 7), .scale = LT_IN_SUM(&c, 2, 7)};
        f.y = LT_OUT(&c, 2, 3, 7), f.eps = 1e-3;
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_norm_modulate_backward_args g = {
            .dy = LT_IN(&c, 2, 3, 7), .x = f.x, .scale = f.scale, .eps = 1e-3};
        g.dx = LT_OUT(&c, 2, 3, 7), g.dshift = LT_OUT_SUM(&c, 2, 7), g.dscale = LT_OUT_SUM(&c, 2, 7);
        LT_CHECK_RUN(&c, lt_norm_modulate_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_norm_modulate_backward(&c.ctx, &g));
        lt_check_gradient(&c, "dx", LT_OP_NORM_MODULATE, &f, 1, &f.y, &g.dy, f.x, &g.dx);
        lt_check_gradient(&c, "dshift", LT_OP_NORM_MODULATE, &f, 1, &f.y, &g.dy, f.shift, &g.dshift);
        lt_check_gradient(&c, "dscale", LT_OP_NORM_MODULATE, &f, 1, &f.y, &g.dy, f.scale, &g.dscale);
    }
    CHECK_OK(lt_check_end(&c));
}

/* Gate and modulation come as rows of six; `in_place`: the sum goes where x was and y where h was. */
static void add_and_norm(norm_case n, bool in_place) {
    lt_check c;
    for (lt_check_begin(&c, (uint64_t)(n.rows + n.channels)), c.bf16 = true; lt_check_next(&c);) {
        int G = n.groups, T = n.rows, C = n.channels;
        lt_check_role in = in_place ? LT_CHECK_BOTH : LT_CHECK_INPUT;
        lt_tensor x = lt_check_operand_new(&c, in, false, LT_DIMS(G, T, C)), table = LT_IN_SUM(&c, G, 6, C),
                  h = lt_check_operand_new(&c, in, false, LT_DIMS(G, T, C));
        lt_tensor two[2] = {LT_OUT(&c, G, T, C), LT_OUT(&c, G, T, C)};
        lt_check_affine(
            &x, 0.5, 1); /* no larger: the norm takes the mean out of a sum that bf16 has rounded with it */
        lt_gated_residual_norm_args f = {.x = x, .h = h, .sum = x, .y = h, .eps = 1e-6};
        if (!in_place) f.sum = LT_OUT(&c, G, T, C), f.y = LT_OUT(&c, G, T, C);
        lt_gated_residual_args add = {.x = x, .h = h, .y = two[0]};
        lt_norm_modulate_args norm = {.x = two[0], .y = two[1], .eps = 1e-6};
        if (n.modulated) {
            f.gate = add.gate = lt_select(table, 1, 5);
            f.shift = norm.shift = lt_select(table, 1, 3), f.scale = norm.scale = lt_select(table, 1, 4);
        }
        LT_CHECK_RUN(&c, lt_gated_residual_forward(&c.ctx, &add));
        LT_CHECK_RUN(&c, lt_norm_modulate_forward(&c.ctx, &norm));
        LT_CHECK_RUN(&c, lt_gated_residual_norm_forward(&c.ctx, &f));
        for (int64_t i = 0; i < lt_numel(&x); i++) {
            CHECK(lt_check_get(&f.sum, i) == lt_check_get(&two[0], i));
            CHECK(lt_check_get(&f.y, i) == lt_check_get(&two[1], i));
        }
    }
    CHECK_OK(lt_check_end(&c));
}

static void gated_residual_norm_has_the_bits_of_the_two_ops(void) {
    for (int in_place = 0; in_place < 2; in_place++) {
        add_and_norm((norm_case){1, 1, 128, false, true}, in_place);
        add_and_norm((norm_case){3, 63, 60, false, true}, in_place);
        add_and_norm((norm_case){2, 70, 256, false, false}, in_place);
        add_and_norm((norm_case){2, 19, 760, false, true}, in_place);
        add_and_norm((norm_case){2, 37, 2240, false, true}, in_place);
        add_and_norm((norm_case){1, 9, 4100, false, true}, in_place);
        add_and_norm((norm_case){1, 9, 6152, false, false}, in_place);
        add_and_norm((norm_case){1, 5, 18440, false, true}, in_place);
        add_and_norm((norm_case){2, 0, 16, false, true}, in_place);
    }
}

/* y in e4m3 is what rounding makes of y in the dtype of activations, of the norm alone and behind a sum. Row 1 has a
 * channel far above the others, row 2 nothing but one number. `at`: elements past 16 bytes where rows begin, which
 * takes the plain kernel. */
static void norm_in_e4m3(norm_case n, int at) {
    lt_check c;
    for (lt_check_begin(&c, (uint64_t)(n.rows + n.channels)), c.bf16 = true; lt_check_next(&c);) {
        int G = n.groups, T = n.rows, C = n.channels;
        lt_tensor x = LT_IN(&c, G, T, C), h = LT_IN(&c, G, T, C), wide = LT_IN_SUM(&c, G, 6 * C + at);
        lt_tensor table = lt_split(lt_slice(wide, 1, at, 6 * C), 1, 6, C);
        lt_tensor y = LT_OUT(&c, G, T, C), y_scale = LT_OUT_SUM(&c, G, T), both = LT_OUT(&c, G, T, C);
        lt_tensor both_scale = LT_OUT_SUM(&c, G, T), sums[2] = {LT_OUT(&c, G, T, C), LT_OUT(&c, G, T, C)};
        for (int64_t i = 0; T > 2 && i < C; i++) {
            if (i == 5) lt_check_set(&x, C + i, 1e4);
            lt_check_set(&x, 2 * C + i, 3), lt_check_set(&h, 2 * C + i, 0);
        }
        lt_norm_modulate_args f = {.x = x, .y = y, .eps = 1e-6}, g = f;
        lt_gated_residual_norm_args s = {.x = x, .h = h, .sum = sums[0], .y = both, .eps = 1e-6}, r = s;
        if (n.modulated) {
            f.shift = g.shift = s.shift = r.shift = lt_select(table, 1, 3);
            f.scale = g.scale = s.scale = r.scale = lt_select(table, 1, 4),
            s.gate = r.gate = lt_select(table, 1, 5);
        }
        g.y = LT_OUT_E4M3(&c, G, T, C), g.y_scale = y_scale;
        r.y = LT_OUT_E4M3(&c, G, T, C), r.y_scale = both_scale, r.sum = sums[1];
        LT_CHECK_RUN(&c, lt_norm_modulate_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_norm_modulate_forward(&c.ctx, &g));
        LT_CHECK_RUN(&c, lt_gated_residual_norm_forward(&c.ctx, &s));
        LT_CHECK_RUN(&c, lt_gated_residual_norm_forward(&c.ctx, &r));
        CHECK(lt_check_coded(&y, &g.y, &y_scale));
        CHECK(lt_check_coded(&both, &r.y, &both_scale));
        for (int64_t i = 0; i < lt_numel(&x); i++)
            CHECK(lt_check_get(&sums[0], i) == lt_check_get(&sums[1], i));
    }
    CHECK_OK(lt_check_end(&c));
}

static void norms_in_e4m3_have_the_bits_of_rounding_them(void) {
    norm_in_e4m3((norm_case){1, 1, 128, false, true}, 0);
    norm_in_e4m3((norm_case){3, 63, 64, false, true}, 0);
    norm_in_e4m3((norm_case){2, 70, 256, false, false}, 0);
    norm_in_e4m3((norm_case){2, 19, 752, false, true}, 0);
    norm_in_e4m3((norm_case){2, 37, 2240, false, true}, 0);
    norm_in_e4m3((norm_case){1, 9, 4112, false, true}, 0);
    norm_in_e4m3((norm_case){1, 9, 6160, false, false}, 0);
    norm_in_e4m3((norm_case){1, 5, 18448, false, true}, 0);
    norm_in_e4m3((norm_case){2, 9, 112, false, true}, 1);
    norm_in_e4m3((norm_case){2, 0, 16, false, true}, 0);
}

/* q is a third of packed q, k, v that starts `at` elements in; its gradient goes to another third of theirs. */
typedef struct {
    int rows, channels, at;
    bool accumulate, sums; /* sums: x, y and their gradients have the dtype of sums */
} rms_case;

static lt_tensor operand(lt_check *c, rms_case r, lt_check_role role, int columns) {
    return lt_check_operand_new(c, role, r.sums, LT_DIMS(r.rows, columns));
}

static void rms_both_ways(rms_case r) {
    lt_check c;
    int C = r.channels;
    lt_check_role to = r.accumulate ? LT_CHECK_BOTH : LT_CHECK_OUTPUT;
    for (lt_check_begin(&c, (uint64_t)(r.rows + C)), c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_tensor x = lt_slice(operand(&c, r, LT_CHECK_INPUT, 3 * C), 1, r.at, C), weight = LT_IN_SUM(&c, C);
        lt_tensor dx = operand(&c, r, r.accumulate ? LT_CHECK_BOTH : LT_CHECK_PARTLY, 3 * C);
        dx = lt_slice(dx, 1, C, C);
        lt_tensor dweight = lt_check_operand_new(&c, to, true, LT_DIMS(C));
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        lt_rms_norm_args f = {x, weight, operand(&c, r, LT_CHECK_OUTPUT, C), 1e-5};
        lt_rms_norm_backward_args g = {
            operand(&c, r, LT_CHECK_INPUT, C), x, weight, dx, dweight, 1e-5, r.accumulate, r.accumulate};
        LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_rms_norm_backward(&c.ctx, &g));
    }
    CHECK_OK(lt_check_end(&c));
}

static void rms_norm_equals_naive_on_rows_of_a_packed_tensor(void) {
    rms_both_ways((rms_case){1, 128, 0, false, false});
    rms_both_ways((rms_case){63, 60, 0, true, false});
    rms_both_ways((rms_case){500, 112, 0, false, false});
    rms_both_ways((rms_case){1000, 1, 0, true, false});
    rms_both_ways((rms_case){1000, 500, 0, false, false});
    rms_both_ways((rms_case){0, 64, 0, false, false});
}

static void rms_norm_equals_naive_at_all_widths_and_alignments(void) {
    rms_both_ways(
        (rms_case){70, 64, 3, false, false}); /* whole packs that start at no multiple of 16 bytes */
    rms_both_ways((rms_case){70, 128, 4, true, true});
    rms_both_ways((rms_case){70, 256, 8, false, false});
    rms_both_ways((rms_case){37, 2240, 2240, true, false});
    rms_both_ways((rms_case){37, 2240, 0, false, true});
    rms_both_ways((rms_case){9, 3592, 8, true, false});
    rms_both_ways((rms_case){9, 7176, 8, false, false});
    rms_both_ways((rms_case){9, 18440, 0, true, false});
}

static void rms_norm_works_in_place(void) {
    lt_check c;
    for (lt_check_begin(&c, 9), c.bf16 = true; lt_check_next(&c);) {
        lt_tensor wide = LT_INOUT(&c, 20, 2240), odd = LT_INOUT(&c, 20, 501);
        lt_rms_norm_args f = {wide, LT_IN_SUM(&c, 2240), wide, 1e-5},
                         g = {odd, LT_IN_SUM(&c, 501), odd, 1e-5};
        LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &g));
    }
    CHECK_OK(lt_check_end(&c));
}

/* x is a third of rows; the factors times x have the bits of the norm on a CPU, and nearly so on a GPU. */
static void scale_of(rms_case r) {
    lt_check c;
    int C = r.channels;
    for (lt_check_begin(&c, (uint64_t)(r.rows + C + 1)), c.bf16 = true; lt_check_next(&c);) {
        lt_tensor x = lt_slice(operand(&c, r, LT_CHECK_INPUT, 3 * C), 1, r.at, C), weight = LT_IN_SUM(&c, C);
        lt_rms_scale_args s = {.x = x, .scale = LT_OUT_SUM(&c, r.rows), .eps = 1e-5};
        lt_rms_norm_args f = {.x = x, .weight = weight, .y = operand(&c, r, LT_CHECK_OUTPUT, C), .eps = 1e-5};
        for (int i = 0; i < C; i++) lt_check_set(&weight, i, 1);
        LT_CHECK_RUN(&c, lt_rms_scale_forward(&c.ctx, &s));
        LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &f));
        for (int64_t i = 0; !c.skipped && f.y.dtype == LT_F32 && i < lt_numel(&f.y); i++) {
            float product = (float)lt_check_get(&x, i) * (float)lt_check_get(&s.scale, i / C);
            CHECK_NEAR(lt_check_get(&f.y, i), product, c.cuda ? 1e-6 * fabs(product) : 0);
        }
    }
    CHECK_OK(lt_check_end(&c));
}

static void rms_scale_is_the_factor_within_rms_norm(void) {
    scale_of((rms_case){1, 128, 0, false, false});
    scale_of((rms_case){63, 60, 0, false, false});
    scale_of((rms_case){1000, 1, 0, false, false});
    scale_of((rms_case){70, 64, 3, false, false}); /* no multiple of 16 bytes */
    scale_of((rms_case){70, 256, 8, false, false});
    scale_of((rms_case){37, 760, 0, false, true});
    scale_of((rms_case){37, 2240, 2240, false, false});
    scale_of((rms_case){9, 3592, 8, false, false});
    scale_of((rms_case){9, 7176, 8, false, false});
    scale_of((rms_case){5, 18440, 0, false, false});
    scale_of((rms_case){0, 64, 0, false, false});
}

/* [G, T] factors of q in packed [G, T, 3 C]; rows of zeros, and rows that are no numbers, which stay so. */
static void rms_scale_has_a_factor_for_each_token(void) {
    lt_check c;
    for (lt_check_begin(&c, 10), c.bf16 = true; lt_check_next(&c);) {
        lt_tensor packed = LT_IN(&c, 2, 21, 3 * 64), x = lt_slice(packed, 2, 64, 64);
        for (int i = 0; i < 64; i++) lt_check_set(&x, 64 + i, 0);
        lt_check_set(&x, 2 * 64 + 5, NAN);
        lt_check_set(&x, 3 * 64 + 5, INFINITY);
        lt_rms_scale_args s = {.x = x, .scale = LT_OUT_SUM(&c, 2, 21), .eps = 1e-4};
        LT_CHECK_RUN(&c, lt_rms_scale_forward(&c.ctx, &s));
        CHECK_NEAR(lt_check_get(&s.scale, 1), 100, 1e-4);
        CHECK(isnan(lt_check_get(&s.scale, 2)) && lt_check_get(&s.scale, 3) == 0);
        lt_rms_scale_args bad = s;
        bad.scale = lt_slice(s.scale, 1, 0, 20);
        CHECK_FAILS(lt_rms_scale_forward(&c.ctx, &bad), LT_FAILED, "op rms_scale: operand scale is");
    }
    CHECK_OK(lt_check_end(&c));
}

static void a_gain_multiplies_the_weight(void) {
    static const int widths[] = {60, 64, 2240, 7176};
    for (int i = 0; i < 4; i++) {
        lt_check c;
        int C = widths[i];
        for (lt_check_begin(&c, 11), c.bf16 = true; lt_check_next(&c);) {
            lt_tensor x = LT_INOUT(&c, 20, C);
            lt_rms_norm_args f = {
                .x = x, .weight = LT_IN_SUM(&c, C), .y = x, .eps = 1e-5, .gain = LT_IN_SUM(&c, C)};
            LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &f));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void rms_norm_gradients_are_the_derivatives(void) {
    lt_check c;
    for (lt_check_begin(&c, 6), c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_BF16_FORWARD;
        lt_rms_norm_args f = {
            .x = LT_IN(&c, 2, 3, 7), .weight = LT_IN_SUM(&c, 7), .y = LT_OUT(&c, 2, 3, 7), .eps = 1e-3};
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_rms_norm_backward_args g = {LT_IN(&c, 2, 3, 7), .x = f.x, .weight = f.weight, .eps = 1e-3};
        g.dx = LT_OUT(&c, 2, 3, 7), g.dweight = LT_OUT_SUM(&c, 7);
        LT_CHECK_RUN(&c, lt_rms_norm_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_rms_norm_backward(&c.ctx, &g));
        lt_check_gradient(&c, "dx", LT_OP_RMS_NORM, &f, 1, &f.y, &g.dy, f.x, &g.dx);
        lt_check_gradient(&c, "dweight", LT_OP_RMS_NORM, &f, 1, &f.y, &g.dy, f.weight, &g.dweight);
    }
    CHECK_OK(lt_check_end(&c));
}

static void without_some_gradients(int C) {
    lt_check c;
    for (lt_check_begin(&c, 7), c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_BF16_GRADIENT;
        lt_tensor x = LT_IN(&c, 2, 63, C), dy = LT_IN(&c, 2, 63, C), scale = LT_IN_SUM(&c, 2, C),
                  w = LT_IN_SUM(&c, C);
        lt_norm_modulate_backward_args mod = {.dy = dy, .x = x, .scale = scale, .eps = 1e-6};
        mod.dshift = LT_OUT_SUM(&c, 2, C), mod.dscale = LT_OUT_SUM(&c, 2, C);
        LT_CHECK_RUN(&c, lt_norm_modulate_backward(&c.ctx, &mod));
        lt_norm_modulate_backward_args dx = {
            .dy = dy, .x = x, .scale = scale, .dx = LT_OUT(&c, 2, 63, C), .eps = 1e-6};
        LT_CHECK_RUN(&c, lt_norm_modulate_backward(&c.ctx, &dx));
        lt_rms_norm_backward_args rms = {
            .dy = dy, .x = x, .weight = w, .dweight = LT_OUT_SUM(&c, C), .eps = 1e-6};
        LT_CHECK_RUN(&c, lt_rms_norm_backward(&c.ctx, &rms));
        rms.dx = LT_OUT(&c, 2, 63, C), rms.dweight = (lt_tensor){0};
        LT_CHECK_RUN(&c, lt_rms_norm_backward(&c.ctx, &rms));
    }
    CHECK_OK(lt_check_end(&c));
}

/* Element by element in bf16; a warp a row; a block a row. */
static void absent_gradients_are_not_computed(void) {
    without_some_gradients(20);
    without_some_gradients(64);
    without_some_gradients(2240);
}

static void wrong_shapes_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 8);
    CHECK(lt_check_next(&c));
    lt_tensor x = LT_IN(&c, 2, 3, 8), mod = LT_IN(&c, 2, 8), y = LT_OUT_PARTLY(&c, 2, 3, 8),
              small = LT_IN(&c, 2, 7);
    lt_norm_modulate_args f = {.x = x, .shift = mod, .scale = small, .y = y, .eps = 1e-6};
    CHECK_FAILS(lt_norm_modulate_forward(&c.ctx, &f), LT_FAILED,
                "op norm_modulate: operand scale is f64[2,7], expected f64[2,8]");
    f.scale = (lt_tensor){0};
    CHECK_FAILS(lt_norm_modulate_forward(&c.ctx, &f), LT_FAILED, "shift and scale");
    f.scale = mod, f.y = lt_slice(y, 2, 0, 7);
    CHECK_FAILS(lt_norm_modulate_forward(&c.ctx, &f), LT_FAILED, "operand y");
    lt_gated_residual_norm_args s = {
        .x = x, .h = y, .gate = small, .sum = x, .shift = mod, .scale = mod, .y = y};
    CHECK_FAILS(lt_gated_residual_norm_forward(&c.ctx, &s), LT_FAILED, "operand gate is f64[2,7]");
    s.gate = mod, s.y_scale = LT_IN(&c, 2, 3);
    CHECK_FAILS(lt_gated_residual_norm_forward(&c.ctx, &s), LT_FAILED,
                "rows of 8, expected a multiple of 16");
    s.y_scale = (lt_tensor){0}, s.shift = (lt_tensor){0};
    CHECK_FAILS(lt_gated_residual_norm_forward(&c.ctx, &s), LT_FAILED, "shift and scale");
    lt_rms_norm_args r = {.x = x, .weight = lt_select(small, 0, 0), .y = y, .eps = 1e-6};
    CHECK_FAILS(lt_rms_norm_forward(&c.ctx, &r), LT_FAILED, "op rms_norm: operand x");
    CHECK_OK(lt_check_end(&c));
}

/* Strips on cuda, pieces of 64 rows on the CPU: known without a GPU. */
static void workspace_is_known_for_a_gpu_that_is_not_there(void) {
    static float memory[1];
    lt_device *device;
    CHECK_OK(lt_device_open("null", &device));
    lt_ctx ctx = {.device = device, .backend = LT_BACKEND_CUDA, .dtype = LT_BF16};
    lt_tensor x = LT_VIEW(memory, LT_BF16, 2, 16380, 2240), mod = LT_VIEW(memory, LT_F32, 2, 2240);
    lt_norm_modulate_backward_args g = {.dy = x, .x = x, .dx = x, .dshift = mod, .dscale = mod};
    lt_cost cost = {0};
    const lt_op *op = lt_op_at(LT_OP_NORM_MODULATE_BACKWARD);
    CHECK_OK(op->describe(&ctx, &g, &cost));
    CHECK(cost.workspace == (size_t)2 * 381 * 2 * 2240 * sizeof(float)); /* strips of 43 rows */
    CHECK(cost.bytes == 3.0 * 2 * 16380 * 2240 * 2);
    g.dshift.dtype = LT_BF16;
    CHECK_FAILS(op->describe(&ctx, &g, &cost), LT_FAILED, "operand dshift is bf16[2,2240], expected f32");
    lt_device_close(device);
}

int main(int argc, char **argv) {
    RUN(norm_modulate_equals_naive_at_ragged_sizes);
    RUN(norm_modulate_equals_naive_at_all_widths);
    RUN(norm_modulate_gradients_are_the_derivatives);
    RUN(gated_residual_norm_has_the_bits_of_the_two_ops);
    RUN(norms_in_e4m3_have_the_bits_of_rounding_them);
    RUN(rms_norm_equals_naive_on_rows_of_a_packed_tensor);
    RUN(rms_norm_equals_naive_at_all_widths_and_alignments);
    RUN(rms_norm_works_in_place);
    RUN(rms_scale_is_the_factor_within_rms_norm);
    RUN(rms_scale_has_a_factor_for_each_token);
    RUN(a_gain_multiplies_the_weight);
    RUN(rms_norm_gradients_are_the_derivatives);
    RUN(absent_gradients_are_not_computed);
    RUN(wrong_shapes_are_named);
    RUN(workspace_is_known_for_a_gpu_that_is_not_there);
    return test_end();
}
