#include "infer/student.h"
#include "tests/harness.h"

static void quantiles_are_those_of_the_tables(void) {
    CHECK_NEAR(lt_student_quantile(0.05, 1), 12.706204736, 1e-8);
    CHECK_NEAR(lt_student_quantile(0.05, 2), 4.3026527297, 1e-9);
    CHECK_NEAR(lt_student_quantile(0.05, 4), 2.7764451052, 1e-9);
    CHECK_NEAR(lt_student_quantile(0.05, 7), 2.3646242516, 1e-9);
    CHECK_NEAR(lt_student_quantile(0.05, 30), 2.0422724563, 1e-9);
    CHECK_NEAR(lt_student_quantile(0.05, 1e6), 1.9599664, 1e-6);
    CHECK_NEAR(lt_student_quantile(0.2, 7), 1.4149239277, 1e-9);
    CHECK_NEAR(lt_student_quantile(0.001, 3.5), 10.204828632, 1e-8);
}

static void tails_and_quantiles_are_inverse(void) {
    for (double freedom = 0.7; freedom < 3000; freedom *= 3)
        for (double p = 1e-7; p < 1; p *= 3) {
            double t = lt_student_quantile(p, freedom);
            CHECK_NEAR(lt_student_tails(t, freedom) / p, 1, 1e-9);
        }
    CHECK(lt_student_tails(0, 5) == 1 && lt_student_tails(INFINITY, 5) == 0);
}

int main(int argc, char **argv) {
    RUN(quantiles_are_those_of_the_tables);
    RUN(tails_and_quantiles_are_inverse);
    return test_end();
}
