#include "tests/fuzz/fuzz.h"
#include "core/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEEDS = 64, PATHS = 4 };

static char folder[256];
static fuzz_bytes seeds[SEEDS];
static int seed_count;

_Noreturn void fuzz_broken(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

const char *fuzz_path(const char *name) {
    static char paths[PATHS][512];
    static int next;
    char *path = paths[next++ % PATHS];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* Without the flushes of lt_write_file, which a fuzzer has no time for. */
const char *fuzz_write(const char *name, const void *data, size_t size) {
    const char *path = fuzz_path(name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool written = file >= 0 && write(file, data, size) == (ssize_t)size;
    FUZZ_HOLDS(written && close(file) == 0);
    return path;
}

uint8_t *fuzz_read(const char *path, size_t *size) {
    char *text;
    FUZZ_OK(lt_read_file(path, &text, size));
    return (uint8_t *)text;
}

void fuzz_seed(const void *data, size_t size) {
    uint8_t *copy = malloc(size + 1);
    FUZZ_HOLDS(copy && seed_count < SEEDS);
    if (size) memcpy(copy, data, size);
    seeds[seed_count++] = (fuzz_bytes){copy, size};
} // cppcheck-suppress memleak ; the list keeps it

int fuzz_seed_count(void) { return seed_count; }

fuzz_bytes fuzz_seed_at(int index) { return seeds[index]; }

static const char part[] = "\n--part--\n";
enum { PART = sizeof part - 1 };

fuzz_bytes fuzz_split(fuzz_bytes *rest) {
    fuzz_bytes first = *rest;
    const uint8_t *at = first.size ? memmem(first.data, first.size, part, PART) : NULL;
    if (at) first.size = (size_t)(at - first.data);
    size_t used = first.size + (at ? PART : 0);
    *rest = (fuzz_bytes){rest->data + used, rest->size - used};
    return first;
}

void fuzz_seed_of_two(fuzz_bytes first, fuzz_bytes second) {
    size_t size = first.size + PART + second.size;
    uint8_t *both = malloc(size);
    FUZZ_HOLDS(both);
    memcpy(both, first.data, first.size);
    memcpy(both + first.size, part, PART);
    memcpy(both + first.size + PART, second.data, second.size);
    fuzz_seed(both, size);
    free(both);
}

static void clean(void) {
    (void)lt_remove_tree(folder);
    for (int i = 0; i < seed_count; i++) free((void *)(uintptr_t)seeds[i].data);
    seed_count = 0;
}

static void write_seeds(const char *into) {
    char path[LT_PATH_MAX];
    FUZZ_OK(lt_make_dirs(into));
    for (int i = 0; i < seed_count; i++) {
        snprintf(path, sizeof path, "%s/seed-%02d", into, i);
        FUZZ_OK(lt_write_file(path, seeds[i].data, seeds[i].size));
    }
    exit(0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    const char *base = getenv("TMPDIR"), *into = getenv("FUZZ_SEEDS");
    if (!base) base = lt_path_is_dir("/dev/shm") ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/longtake-fuzz-XXXXXX", base);
    FUZZ_HOLDS(mkdtemp(folder));
    atexit(clean);
    fuzz_seeds();
    if (into) write_seeds(into);
    return 0;
}
