/* A cell file: one that another program made, with arrays and attributes of other types, sizes and values than ours,
 * or, where the input begins as HDF5 files do, any bytes. What is taken has the rows that it promises. */
#include "data/h5.h"
#include "experiments/cell.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_ROWS = 64, RECORD = sizeof(lt_cell_sample) };
const int fuzz_runs = 100;

/* HDF5 1.10 loses a few hundred bytes for each object that it cannot make sense of. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5\n"; }

/* What an input says, byte by byte; zeros follow it. */
typedef struct recipe {
    const uint8_t *at;
    size_t left;
} recipe;

static int take(recipe *r, int below) {
    if (r->left == 0) return 0;
    r->left--;
    return *r->at++ % below;
}

static int64_t take_integer(recipe *r) {
    int64_t value = 0;
    size_t bytes = r->left < 8 ? r->left : 8;
    if (bytes) memcpy(&value, r->at, bytes);
    r->at += bytes, r->left -= bytes;
    return value;
}

/* One that is missing, or of another kind, or another value than `right`. */
static void add_attribute(lt_h5 *h5, recipe *r, const char *name, int64_t right) {
    switch (take(r, 8)) {
    case 0: break;
    case 1: FUZZ_OK(lt_h5_set_text(h5, "/", name, "12")); break;
    case 2: FUZZ_OK(lt_h5_set_float(h5, "/", name, (double)right)); break;
    case 3: FUZZ_OK(lt_h5_set_int(h5, "/", name, take_integer(r))); break;
    default:
        if (strcmp(name, "seconds") == 0) FUZZ_OK(lt_h5_set_float(h5, "/", name, 1.5));
        else FUZZ_OK(lt_h5_set_int(h5, "/", name, right));
    }
}

/* Fields of a record: ours, or of other types, orders and lengths, or some of them. */
static void choose_fields(recipe *r, lt_h5_field fields[12]) {
    static const char *const names[] = {"clip", "order", "block",    "bin",     "draw",
                                        "t",    "loss",  "gaussian", "evicting"};
    static const lt_h5_type types[] = {LT_H5_I64, LT_H5_I32, LT_H5_I32, LT_H5_I32, LT_H5_I32,
                                       LT_H5_F32, LT_H5_F32, LT_H5_F32, LT_H5_I32};
    int count = 0, skipped = take(r, 24), changed = take(r, 24);
    size_t at = 0;
    for (int i = 0; i < 9; i++) {
        if (i == skipped - 1) continue;
        lt_h5_type type = i == changed - 1 ? (lt_h5_type)take(r, LT_H5_RECORD) : types[i];
        fields[count++] = (lt_h5_field){names[i], type, at, i == changed - 1 ? 1 + take(r, 4) : 1};
        at += 32;
    }
    fields[count] = (lt_h5_field){NULL};
}

static lt_status fill(lt_h5 *h5, recipe *r) {
    static uint8_t rows[MOST_ROWS * 12 * 32];
    lt_h5_field fields[12];
    choose_fields(r, fields);
    int64_t count = take(r, MOST_ROWS);
    lt_h5_layout layout = {LT_H5_RECORD, fields, 9 * 32, 1, {count}, 1 + take(r, MOST_ROWS)};
    if (take(r, 8) == 1) layout.type = (lt_h5_type)take(r, LT_H5_TEXT), layout.ndim = 1 + take(r, 3);
    for (int i = 1; i < layout.ndim; i++) layout.dims[i] = 1 + take(r, 3);
    add_attribute(h5, r, "seconds", 1);
    add_attribute(h5, r, "samples", count);
    int id;
    if (take(r, 16) != 1) {
        LT_TRY(lt_h5_add(h5, "/samples", &layout, &id));
        if (count) LT_TRY(lt_h5_write(h5, id, 0, count, rows));
    }
    return lt_h5_commit(h5);
}

static lt_status make(const uint8_t *data, size_t size) {
    recipe r = {data, size};
    lt_h5 *h5;
    unlink(fuzz_path("cell.h5"));
    FUZZ_OK(lt_h5_create(fuzz_path("cell.h5"), &h5));
    lt_status status = fill(h5, &r);
    lt_h5_close(h5);
    return status;
}

static void add_file(const uint8_t *bytes_of, size_t size) {
    FUZZ_OK(make(bytes_of, size));
    uint8_t *bytes = fuzz_read(fuzz_path("cell.h5"), &size);
    fuzz_seed(bytes, size);
    free(bytes);
}

void fuzz_seeds(void) {
    static const uint8_t ours[] = {0, 0, 20, 5, 0, 4, 4, 0},
                         short_of[] = {0, 0, 20, 5, 0, 4, 3, 9, 0, 0, 0, 0, 0, 0, 0, 0},
                         odd[] = {3, 4, 6, 2, 20, 5, 1, 2, 1, 4, 4, 0}, missing[] = {0, 0, 1, 1, 0, 0, 1, 1};
    fuzz_seed(ours, sizeof ours);
    fuzz_seed(short_of, sizeof short_of);
    fuzz_seed(odd, sizeof odd);
    fuzz_seed(missing, sizeof missing);
    add_file(ours, sizeof ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t signature[] = {0x89, 'H', 'D', 'F'};
    bool any = size >= sizeof signature && memcmp(data, signature, sizeof signature) == 0;
    lt_cell cell;
    if (any) fuzz_write("cell.h5", data, size);
    else if (make(data, size) != LT_OK) return 0;
    lt_status status = lt_cell_load(fuzz_path("cell.h5"), &cell);
    FUZZ_HOLDS(status == LT_INPUT || (status == LT_OK && cell.count > 0));
    uint64_t sum = 0;
    for (int64_t i = 0; i < cell.count; i++) sum += (uint64_t)cell.samples[i].clip;
    FUZZ_HOLDS(any || (sum == 0 && cell.count < MOST_ROWS)); /* zeros were written */
    lt_cell_free(&cell);
    return 0;
}
