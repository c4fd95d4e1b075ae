/* A test program is a file with CHECKs in functions and a table of them:
 *
 *     static void rope_is_an_isometry(void) { CHECK_NEAR(a, b, 1e-6); }
 *     int main(int argc, char **argv) { RUN(rope_is_an_isometry); return test_end(); }
 *
 * It prints one line per failed check and "N passed, N failed" at the end, and exits 1 if any failed. Tests are named
 * after the property they hold. An argument runs only the tests whose name contains it.
 */
#ifndef LT_TESTS_HARNESS_H
#define LT_TESTS_HARNESS_H

#include "core/status.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_passed, test_failed, test_bad, test_inside;
static const char *test_filter;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition), test_bad++;         \
    } while (0)

#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        lt_status check_status = (call);                                                                     \
        if (check_status != LT_OK)                                                                           \
            printf("%s:%d: %s: status %d: %s\n", __FILE__, __LINE__, #call, check_status, lt_error()),       \
                test_bad++;                                                                                  \
    } while (0)

/* Fails with this status and a message that contains `text`. */
#define CHECK_FAILS(call, status, text)                                                                      \
    do {                                                                                                     \
        lt_status check_status = (call);                                                                     \
        if (check_status != (status) || !strstr(lt_error(), (text)))                                         \
            printf("%s:%d: %s: got status %d \"%s\", wanted %d \"...%s...\"\n", __FILE__, __LINE__, #call,   \
                   check_status, check_status ? lt_error() : "", (status), (text)),                          \
                test_bad++;                                                                                  \
    } while (0)

#define CHECK_NEAR(a, b, bound)                                                                              \
    do {                                                                                                     \
        double check_a = (a), check_b = (b);                                                                 \
        if (!(fabs(check_a - check_b) <= (bound)))                                                           \
            printf("%s:%d: %s = %.9g, %s = %.9g, bound %g\n", __FILE__, __LINE__, #a, check_a, #b, check_b,  \
                   (double)(bound)),                                                                         \
                test_bad++;                                                                                  \
    } while (0)

#define RUN(test)                                                                                            \
    do {                                                                                                     \
        setvbuf(stdout, NULL, _IOLBF, 0); /* what was found survives a crash */                              \
        if (!test_filter && argc > 1) test_filter = argv[1];                                                 \
        if (test_filter && !strstr(#test, test_filter)) break;                                               \
        test_bad = 0, test_inside = 1;                                                                       \
        test();                                                                                              \
        test_inside = 0;                                                                                     \
        if (test_bad) test_failed++, printf("FAILED %s\n", #test);                                           \
        else test_passed++;                                                                                  \
    } while (0)

/* A new folder in $TMPDIR, else in `base`, whose name begins with `name`; the test removes it. */
enum { TEST_FOLDER = 512 };
static inline void test_make_folder_in(const char *base, const char *name, char folder[TEST_FOLDER]) {
    const char *wanted = getenv("TMPDIR");
    snprintf(folder, TEST_FOLDER, "%s/%s_XXXXXX", wanted && *wanted ? wanted : base, name);
    if (!mkdtemp(folder)) perror(folder), exit(1);
}
static inline void test_make_folder(const char *name, char folder[TEST_FOLDER]) {
    test_make_folder_in("/tmp", name, folder);
}

/* Called within a test, before exit, it counts that test as failed. */
static inline int test_end(void) {
    test_failed += test_inside;
    printf("%d passed, %d failed\n", test_passed, test_failed);
    return test_failed != 0 || test_passed == 0;
}

#endif
