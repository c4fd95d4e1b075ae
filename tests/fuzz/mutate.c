/* A fuzz target as a test program: its seeds, then `fuzz_runs` inputs made from them by a fixed generator, or as many
 * as its argument says. What it runs on lies in the file `input` of its folder (tests/fuzz/fuzz.h), which a crash
 * leaves. */
#include "core/io.h"
#include "tests/fuzz/fuzz.h"
#include "tests/harness.h"

enum { MOST_BYTES = 1 << 17, LEAST_CHANGES = 1, MOST_CHANGES = 6 };
#define MOST_MEMORY ((int64_t)1 << 30)

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t any(uint64_t below) { /* xorshift64* */
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return below ? (state * 2685821657736338717u >> 11) % below : 0;
}

static uint8_t input[MOST_BYTES + 64];
static size_t size;

/* An integer that is the end of a range, at a place of any alignment. */
static void set_extreme(void) {
    static const int64_t values[] = {0,         1,          -1,        127,       128,       255,
                                     256,       4096,       INT16_MAX, INT32_MAX, INT32_MIN, INT64_MAX,
                                     INT64_MIN, UINT32_MAX, 1ll << 53, 1ll << 62};
    int64_t value = values[any(sizeof values / sizeof *values)];
    size_t width = (size_t)1 << any(4);
    if (size >= width) memcpy(input + any(size - width + 1), &value, width);
}

static void set_text(void) {
    static const char *const words[] = {
        "0",  "-1", "1e999", "9007199254740993", "nan",  "inf", "null",        "{", "}", "[", "]", ",", ":",
        "\"", "=",  "\n",    "\\u0000",          "\xff", "",    "\xef\xbb\xbf"};
    const char *word = words[any(sizeof words / sizeof *words)];
    size_t length = strlen(word), at = any(size + 1);
    if (size + length > MOST_BYTES) return;
    memmove(input + at + length, input + at, size - at);
    memcpy(input + at, word, length);
    size += length;
}

/* Takes a stretch out, or repeats it. */
static void cut(bool repeat) {
    size_t length = 1 + any(any(2) ? 8 : size / 2 + 1);
    if (size <= length || (repeat && size + length > MOST_BYTES)) return;
    size_t at = any(size - length);
    memmove(input + at + (repeat ? length : 0), input + at + (repeat ? 0 : length),
            size - at - (repeat ? 0 : length));
    size = repeat ? size + length : size - length;
}

/* The end of another seed. */
static void splice(void) {
    fuzz_bytes other = fuzz_seed_at((int)any((uint64_t)fuzz_seed_count()));
    size_t from = any(other.size + 1), at = any(size + 1), length = other.size - from;
    if (at + length > MOST_BYTES) return;
    memcpy(input + at, other.data + from, length);
    size = at + length;
}

static void change(void) {
    switch (any(8)) {
    case 0: size = any(size + 1); break;
    case 1: set_extreme(); break;
    case 2: set_text(); break;
    case 3: cut(false); break;
    case 4: cut(true); break;
    case 5: splice(); break;
    default:
        if (size) input[any(size)] ^= (uint8_t)(any(3) ? (uint64_t)1 << any(8) : any(256));
    }
}

static void run_input(void) {
    uint8_t *exact = malloc(size + !size); /* so that a sanitizer sees a read past the end */
    FUZZ_HOLDS(exact);
    memcpy(exact, input, size);
    fuzz_write("input", exact, size);
    FUZZ_HOLDS(LLVMFuzzerTestOneInput(exact, size) == 0);
    free(exact);
}

static int runs;

static void take_seed(int index) {
    fuzz_bytes seed = fuzz_seed_at(index);
    FUZZ_HOLDS(seed.size <= MOST_BYTES);
    memcpy(input, seed.data, seed.size);
    size = seed.size;
}

static void seeds_and_what_is_made_of_them_are_read_or_refused(void) {
    CHECK(fuzz_seed_count() > 0);
    for (int i = 0; i < fuzz_seed_count(); i++) take_seed(i), run_input();
    for (int i = 0; i < runs; i++) {
        take_seed((int)any((uint64_t)fuzz_seed_count()));
        for (uint64_t n = LEAST_CHANGES + any(MOST_CHANGES); n > 0; n--) change();
        run_input();
    }
    CHECK(lt_rss_peak() < MOST_MEMORY);
}

int main(int argc, char **argv) {
    runs = argc > 1 ? atoi(argv[1]) : fuzz_runs;
    argc = 1;
    LLVMFuzzerInitialize(&argc, &argv);
    RUN(seeds_and_what_is_made_of_them_are_read_or_refused);
    return test_end();
}
