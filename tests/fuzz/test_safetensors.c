/* safetensors files: what is taken can be read to its last byte, found by name, and written as a file of the same
 * content. */
#include "core/safetensors.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

const int fuzz_runs = 3000;

static void seed_of(const lt_st_entry *entries, int count, const char *const (*metadata)[2], int pairs) {
    size_t size;
    const char *path = fuzz_path("made");
    FUZZ_OK(lt_st_write(path, entries, count, metadata, pairs));
    uint8_t *bytes = fuzz_read(path, &size);
    fuzz_seed(bytes, size);
    free(bytes);
}

void fuzz_seeds(void) {
    static float values[24];
    static uint8_t odd[3] = {1, 2, 3};
    const char *const metadata[][2] = {{"format", "longtake"}, {"specs", "window budget=3\n"}};
    const lt_st_entry entries[] = {{"blocks.0.weight", lt_tensor_of(values, LT_F32, LT_DIMS(4, 3, 2))},
                                   {"odd", lt_tensor_of(odd, LT_U8, LT_DIMS(3))},
                                   {"wide", lt_tensor_of(values, LT_F64, LT_DIMS(2, 1))},
                                   {"none", lt_tensor_of(values, LT_I64, LT_DIMS(0, 5))}};
    seed_of(entries, 4, metadata, 2);
    seed_of(entries, 1, NULL, 0);
    seed_of(entries, 0, NULL, 0);
}

/* A header's length that is out of any range is tried once in 256 times; else inputs would hardly come further. */
static const char *write_input(const uint8_t *data, size_t size) {
    uint8_t *bytes = malloc(size + !size);
    uint64_t header;
    FUZZ_HOLDS(bytes);
    if (size) memcpy(bytes, data, size);
    if (size >= 8 && bytes[7] != 255) {
        memcpy(&header, bytes, 8);
        header %= size - 7;
        memcpy(bytes, &header, 8);
    }
    const char *path = fuzz_write("read", bytes, size);
    free(bytes);
    return path;
}

static uint64_t sum_of(const lt_tensor *tensor) {
    uint64_t sum = 0;
    const uint8_t *bytes = tensor->data;
    for (size_t i = 0; i < lt_nbytes(tensor); i++) sum = sum * 31 + bytes[i];
    return sum;
}

static void write_again(const lt_st_file *file) {
    lt_st_file *again;
    lt_st_entry *entries = calloc((size_t)lt_st_count(file) + 1, sizeof *entries);
    FUZZ_HOLDS(entries);
    for (int i = 0; i < lt_st_count(file); i++) entries[i] = *lt_st_at(file, i);
    FUZZ_OK(lt_st_write(fuzz_path("again"), entries, lt_st_count(file), NULL, 0));
    FUZZ_OK(lt_st_open(fuzz_path("again"), &again));
    FUZZ_HOLDS(lt_st_count(again) == lt_st_count(file));
    for (int i = 0; i < lt_st_count(file); i++) {
        const lt_st_entry *found = lt_st_find(again, entries[i].name);
        FUZZ_HOLDS(found && lt_same_shape(&found->tensor, &entries[i].tensor) &&
                   sum_of(&found->tensor) == sum_of(&entries[i].tensor));
    }
    lt_st_close(again);
    free(entries);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lt_st_file *file;
    lt_status status = lt_st_open(write_input(data, size), &file);
    FUZZ_HOLDS(status == LT_OK || (status == LT_INPUT && !file));
    if (status != LT_OK) return 0;
    for (int i = 0; i < lt_st_count(file); i++)
        FUZZ_HOLDS(lt_st_find(file, lt_st_at(file, i)->name) == lt_st_at(file, i));
    (void)lt_st_metadata(file, "format");
    write_again(file);
    lt_st_close(file);
    return 0;
}
