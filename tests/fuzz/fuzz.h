/* A fuzz target is a file tests/fuzz/test_NAME.c: a function of the library over any bytes. It is built twice: by clang
 * with libFuzzer (the preset `fuzz`, scripts/fuzz.sh), and everywhere as a test program that runs it over its seeds and
 * over fixed mutations of them (tests/fuzz/mutate.c).
 */
#ifndef LT_TESTS_FUZZ_FUZZ_H
#define LT_TESTS_FUZZ_FUZZ_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

/* ---- what a target defines ----------------------------------------------------------------------------------- */

/* Returns 0. A sanitizer, or FUZZ_HOLDS, ends the process when the library does wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Calls fuzz_seed with well-formed inputs, made by the library's own writers where it has them. */
void fuzz_seeds(void);
/* Mutations that the test program tries. */
extern const int fuzz_runs;

/* ---- what targets use ---------------------------------------------------------------------------------------- */

void fuzz_seed(const void *data, size_t size);

/* Under this process's folder, which lies in memory where there is /dev/shm; valid until the fourth call after. */
const char *fuzz_path(const char *name);
/* Replaces a file there; returns its path. */
const char *fuzz_write(const char *name, const void *data, size_t size);
/* Reads a whole file, which must be there; the caller frees it. */
uint8_t *fuzz_read(const char *path, size_t *size);

/* The input up to a line that says `part`, and what follows it; all of it and nothing where there is no such line. */
typedef struct fuzz_bytes {
    const uint8_t *data;
    size_t size;
} fuzz_bytes;
fuzz_bytes fuzz_split(fuzz_bytes *rest);
/* The same, put together: both parts as one input. */
void fuzz_seed_of_two(fuzz_bytes first, fuzz_bytes second);

_Noreturn void fuzz_broken(const char *file, int line, const char *what);
#define FUZZ_HOLDS(condition) ((condition) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #condition))
#define FUZZ_OK(call)                                                                                        \
    do {                                                                                                     \
        if ((call) != LT_OK) fuzz_broken(__FILE__, __LINE__, lt_error());                                    \
    } while (0)

/* ---- what tests/fuzz/mutate.c uses --------------------------------------------------------------------------- */

int fuzz_seed_count(void);
fuzz_bytes fuzz_seed_at(int index);
/* Makes the folder and the seeds. libFuzzer calls it first. With FUZZ_SEEDS=DIR it writes the seeds there and exits. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

#endif
