#include "kernels/check.h"
#include "kernels/random/random.h"
#include "tests/harness.h"

static void keys_of(lt_rng_key *keys, int count) {
    for (int i = 0; i < count; i++)
        keys[i] = (lt_rng_key){.seed = 0x9e3779b97f4a7c15u,
                               .purpose = LT_RNG_TEST,
                               .clip = (uint64_t)i << 40 | 7,
                               .block = (uint32_t)i,
                               .step = 3};
}

static void every_backend_has_the_same_bits(void) {
    enum { ROWS = 300, MOST = 1003 };
    static lt_rng_key keys[ROWS];
    static float wanted[MOST];
    const int rows[] = {1, 3, ROWS}, columns[] = {1, 500, MOST};
    keys_of(keys, ROWS);
    for (int s = 0; s < 3; s++) {
        lt_check c;
        lt_check_begin(&c, 5);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            lt_normals_args args = {.keys = keys, .y = LT_OUT_SUM(&c, rows[s], columns[s])};
            LT_CHECK_RUN(&c, lt_normals_fill(&c.ctx, &args));
            for (int g = 0; g < rows[s]; g++) {
                int same = 0;
                lt_rng_fill_normal(&keys[g], 0, columns[s], wanted);
                for (int i = 0; i < columns[s]; i++)
                    same += lt_check_get(&args.y, (int64_t)g * columns[s] + i) == (double)wanted[i];
                CHECK(same == columns[s]);
            }
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void nothing_wanted_is_nothing_done(void) {
    lt_check c;
    lt_check_begin(&c, 6);
    while (lt_check_next(&c)) {
        lt_normals_args args = {.keys = NULL, .y = LT_OUT_SUM(&c, 0, 12)};
        LT_CHECK_RUN(&c, lt_normals_fill(&c.ctx, &args));
    }
    CHECK_OK(lt_check_end(&c));
}

static void rows_without_keys_are_an_error(void) {
    lt_check c;
    lt_check_begin(&c, 7);
    CHECK(lt_check_next(&c));
    lt_normals_args args = {.keys = NULL, .y = LT_OUT_PARTLY_SUM(&c, 2, 12)};
    CHECK_FAILS(lt_normals_fill(&c.ctx, &args), LT_FAILED, "no keys for 2 rows");
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(every_backend_has_the_same_bits);
    RUN(nothing_wanted_is_nothing_done);
    RUN(rows_without_keys_are_an_error);
    return test_end();
}
