#include "kernels/check.h"
#include "kernels/patchify/patchify.h"
#include "tests/harness.h"

typedef struct size {
    int64_t n, frames, height, width, channels;
    int patch[3];
} size;

static const size sizes[] = {{1, 1, 1, 1, 1, {1, 1, 1}},    {2, 3, 4, 6, 16, {1, 2, 2}},
                             {1, 4, 6, 9, 5, {2, 3, 3}},    {3, 6, 2, 1, 7, {3, 1, 1}},
                             {2, 2, 3, 8, 1, {1, 1, 4}},    {2, 4, 16, 32, 17, {2, 2, 2}},
                             {0, 4, 16, 32, 17, {2, 2, 2}}, {2, 3, 30, 52, 16, {1, 2, 2}}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static lt_tensor latent(lt_check *c, lt_check_role role, size s) {
    return lt_check_operand_new(c, role, true, LT_DIMS(s.n, s.frames, s.height, s.width, s.channels));
}

static lt_tensor tokens(lt_check *c, lt_check_role role, size s) {
    int64_t count = s.frames / s.patch[0] * (s.height / s.patch[1]) * (s.width / s.patch[2]);
    int64_t width = s.patch[0] * s.patch[1] * s.patch[2] * s.channels;
    return lt_check_operand_new(c, role, false, LT_DIMS(s.n, count, width));
}

static lt_status agrees(size s, bool inverse, bool accumulate) {
    lt_check c;
    for (lt_check_begin(&c, 1), c.bf16 = true; lt_check_next(&c);) {
        lt_check_role to = accumulate ? LT_CHECK_BOTH : LT_CHECK_OUTPUT;
        lt_patchify_args f = {.inverse = inverse, .accumulate = accumulate};
        memcpy(f.patch, s.patch, sizeof f.patch);
        f.latent = latent(&c, inverse ? to : LT_CHECK_INPUT, s);
        f.tokens = tokens(&c, inverse ? LT_CHECK_INPUT : to, s);
        LT_CHECK_RUN(&c, lt_patchify(&c.ctx, &f));
    }
    return lt_check_end(&c);
}

static void both_directions_agree_and_accumulate(void) {
    for (int i = 0; i < SIZES; i++)
        for (int mode = 0; mode < 4; mode++) CHECK_OK(agrees(sizes[i], mode & 1, mode & 2));
}

static void inverse_brings_the_latent_back(void) {
    lt_check c;
    for (lt_check_begin(&c, 2); lt_check_next(&c);)
        for (int i = 0; i < SIZES; i++) {
            lt_patchify_args f = {.latent = latent(&c, LT_CHECK_INPUT, sizes[i])};
            lt_tensor original = f.latent;
            memcpy(f.patch, sizes[i].patch, sizeof f.patch);
            f.tokens = tokens(&c, LT_CHECK_OUTPUT, sizes[i]);
            LT_CHECK_RUN(&c, lt_patchify(&c.ctx, &f));
            f.inverse = true, f.latent = latent(&c, LT_CHECK_OUTPUT, sizes[i]);
            LT_CHECK_RUN(&c, lt_patchify(&c.ctx, &f));
            for (int64_t e = 0; e < lt_numel(&original); e++)
                CHECK(lt_check_get(&f.latent, e) == lt_check_get(&original, e));
        }
    CHECK_OK(lt_check_end(&c));
}

/* Written out from the header: token (t, i, j) element [a, b, d, c] is latent (t pt + a, i ph + b, j pw + d, c). */
static void tokens_have_the_published_layout(void) {
    size s = {2, 4, 4, 6, 3, {2, 2, 3}};
    lt_check c;
    for (lt_check_begin(&c, 3); lt_check_next(&c);) {
        lt_patchify_args f = {.latent = latent(&c, LT_CHECK_INPUT, s), .patch = {2, 2, 3}};
        f.tokens = tokens(&c, LT_CHECK_OUTPUT, s);
        LT_CHECK_RUN(&c, lt_patchify(&c.ctx, &f));
        int64_t at = 0;
        for (int n = 0; n < 2; n++)
            for (int t = 0; t < 2; t++)
                for (int i = 0; i < 2; i++)
                    for (int j = 0; j < 2; j++)
                        for (int a = 0; a < 2; a++)
                            for (int b = 0; b < 2; b++)
                                for (int d = 0; d < 3; d++)
                                    for (int e = 0; e < 3; e++) {
                                        int64_t from = ((n * 4 + t * 2 + a) * 4 + i * 2 + b) * 6 + j * 3 + d;
                                        CHECK(lt_check_get(&f.tokens, at++) ==
                                              lt_check_get(&f.latent, from * 3 + e));
                                    }
    }
    CHECK_OK(lt_check_end(&c));
}

static void misfits_are_named(void) {
    lt_check c;
    for (lt_check_begin(&c, 1); lt_check_next(&c);) {
        lt_patchify_args f = {.latent = LT_IN(&c, 1, 2, 4, 6, 3), .patch = {1, 2, 2}};
        f.tokens = LT_INOUT(&c, 1, 12, 12);
        lt_patchify_args bad = f;
        bad.patch[1] = 3;
        CHECK_FAILS(lt_patchify(&c.ctx, &bad), LT_FAILED, "4 rows do not divide into patches of 3");
        bad = f, bad.patch[0] = 0;
        CHECK_FAILS(lt_patchify(&c.ctx, &bad), LT_FAILED, "patches of 0");
        bad = f, bad.tokens = LT_INOUT(&c, 1, 12, 24);
        CHECK_FAILS(lt_patchify(&c.ctx, &bad), LT_FAILED, "operand tokens");
        bad = f, bad.latent = lt_slice(LT_IN(&c, 1, 2, 4, 7, 3), 3, 0, 6);
        CHECK_FAILS(lt_patchify(&c.ctx, &bad), LT_FAILED, "operand latent");
    }
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(both_directions_agree_and_accumulate);
    RUN(inverse_brings_the_latent_back);
    RUN(tokens_have_the_published_layout);
    RUN(misfits_are_named);
    return test_end();
}
