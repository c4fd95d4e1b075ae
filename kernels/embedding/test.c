#include "kernels/check.h"
#include "kernels/embedding/embedding.h"
#include "tests/harness.h"

typedef struct size {
    int64_t count, rows, channels;
} size;

static const size sizes[] = {{1, 1, 1}, {63, 5, 3}, {500, 256, 60}, {7, 1000, 128}, {600, 3, 130}, {0, 4, 8}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static lt_tensor ids_of(lt_check *c, size s) { return lt_check_ids(c, (int)s.rows, 1, &s.count); }

static void forward_gathers_rows(void) {
    for (int i = 0; i < SIZES; i++) {
        size s = sizes[i];
        lt_check c;
        lt_check_begin(&c, 10 + (uint64_t)i);
        for (c.bf16 = true; lt_check_next(&c);) {
            lt_embedding_args f = {.ids = ids_of(&c, s), .table = LT_IN_SUM(&c, s.rows, s.channels)};
            f.y = LT_OUT(&c, s.count, s.channels);
            LT_CHECK_RUN(&c, lt_embedding_forward(&c.ctx, &f));
            for (int64_t e = 0; e < lt_numel(&f.y); e++) {
                int64_t row = (int64_t)lt_check_get(&f.ids, e / s.channels);
                CHECK(lt_check_get(&f.y, e) == lt_check_get(&f.table, row * s.channels + e % s.channels));
            }
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void backward_sums_repeated_ids(void) {
    for (int i = 0; i < 2 * SIZES; i++) {
        size s = sizes[i / 2];
        lt_check c;
        lt_check_begin(&c, 30 + (uint64_t)i);
        for (c.bf16 = true; lt_check_next(&c);) {
            c.bf16_bound = LT_TOL_BF16_GRADIENT;
            lt_embedding_backward_args f = {.ids = ids_of(&c, s), .dy = LT_IN(&c, s.count, s.channels)};
            f.accumulate_dtable = i % 2;
            lt_check_role role = i % 2 ? LT_CHECK_BOTH : LT_CHECK_OUTPUT;
            f.dtable = lt_check_operand_new(&c, role, true, LT_DIMS(s.rows, s.channels));
            LT_CHECK_RUN(&c, lt_embedding_backward(&c.ctx, &f));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void gradient_equals_differences(void) {
    size s = {9, 4, 3};
    lt_check c;
    for (lt_check_begin(&c, 4); lt_check_next(&c);) {
        lt_embedding_args f = {.ids = ids_of(&c, s), .table = LT_IN_SUM(&c, s.rows, s.channels)};
        f.y = LT_OUT(&c, s.count, s.channels);
        lt_embedding_backward_args b = {.ids = f.ids, .dy = LT_IN(&c, s.count, s.channels)};
        b.dtable = LT_OUT_SUM(&c, s.rows, s.channels);
        LT_CHECK_RUN(&c, lt_embedding_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_embedding_backward(&c.ctx, &b));
        lt_check_gradient(&c, "dtable", LT_OP_EMBEDDING, &f, 1, &f.y, &b.dy, f.table, &b.dtable);
    }
    CHECK_OK(lt_check_end(&c));
}

/* The host names them; a GPU, which cannot tell it, touches nothing outside the table. */
static void ids_outside_the_table_are_named(void) {
    size s = {5, 4, 3};
    lt_check c;
    for (lt_check_begin(&c, 1); lt_check_next(&c);) {
        lt_embedding_args f = {.ids = ids_of(&c, s), .table = LT_INOUT(&c, 4, 3), .y = LT_INOUT(&c, 5, 3)};
        lt_embedding_backward_args b = {.ids = f.ids, .dy = f.y, .dtable = f.table};
        lt_check_set(&f.ids, 3, 4);
        bool host = c.ctx.backend != LT_BACKEND_CUDA;
        if (host) {
            CHECK_FAILS(lt_embedding_forward(&c.ctx, &f), LT_FAILED,
                        "id 4 at position 3 is outside the table of 4 rows");
            lt_check_set(&f.ids, 1, -1);
            CHECK_FAILS(lt_embedding_backward(&c.ctx, &b), LT_FAILED, "id -1 at position 1");
            continue;
        }
        lt_tensor y = f.y;
        double kept[15];
        for (int i = 0; i < 15; i++) kept[i] = lt_check_get(&y, i);
        CHECK_OK(lt_embedding_forward(&c.ctx, &f));
        for (int i = 0; i < 15; i++) CHECK(isnan(lt_check_get(&y, i)) == (i / 3 == 3));
        for (int i = 0; i < 15; i++) lt_check_set(&y, i, kept[i]);
        b.accumulate_dtable = true;
        for (int i = 0; i < 5; i++) lt_check_set(&f.ids, i, i % 2 ? -1 : 4);
        CHECK_OK(
            lt_embedding_backward(&c.ctx, &b)); /* the table is as it was: compared with the pass before */
    }
    CHECK_OK(lt_check_end(&c));
}

static void sums_may_be_gathered_too(void) {
    size s = {63, 5, 12};
    lt_check c;
    lt_check_begin(&c, 7);
    for (c.bf16 = true; lt_check_next(&c);) {
        c.bf16_bound = LT_TOL_CUDA_F32;
        lt_embedding_args f = {
            .ids = ids_of(&c, s), .table = LT_IN_SUM(&c, 5, 12), .y = LT_OUT_SUM(&c, 63, 12)};
        lt_embedding_backward_args b = {.ids = f.ids, .dy = LT_IN_SUM(&c, 63, 12)};
        b.dtable = LT_OUT_SUM(&c, 5, 12);
        LT_CHECK_RUN(&c, lt_embedding_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_embedding_backward(&c.ctx, &b));
    }
    CHECK_OK(lt_check_end(&c));
}

static void misfits_are_named(void) {
    lt_check c;
    for (lt_check_begin(&c, 1); lt_check_next(&c);) {
        lt_embedding_args f = {.ids = LT_IN(&c, 5), .table = LT_IN(&c, 4, 3), .y = LT_INOUT(&c, 5, 3)};
        CHECK_FAILS(lt_embedding_forward(&c.ctx, &f), LT_FAILED, "operand ids");
        f.ids = ids_of(&c, (size){6, 4, 3});
        CHECK_FAILS(lt_embedding_forward(&c.ctx, &f), LT_FAILED, "operand y");
        lt_embedding_backward_args b = {.ids = f.ids, .dy = f.y, .dtable = LT_INOUT(&c, 4, 3)};
        CHECK_FAILS(lt_embedding_backward(&c.ctx, &b), LT_FAILED, "operand dy");
    }
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(forward_gathers_rows);
    RUN(backward_sums_repeated_ids);
    RUN(gradient_equals_differences);
    RUN(sums_may_be_gathered_too);
    RUN(ids_outside_the_table_are_named);
    RUN(misfits_are_named);
    return test_end();
}
