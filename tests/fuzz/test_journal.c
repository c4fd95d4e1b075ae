/* A file with a journal beside it. Reading sees, without changing a byte, what opening for appending makes of the file;
 * and what is then committed stays. The input's first part is the file, the second its journal. */
#include "core/io.h"
#include "core/rng.h"
#include "data/journal.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BYTES = 3 * 4096 + 100, HEADER_1 = 48, HEADER = 56 }; /* version 1 has no hash of the file's end */
const int fuzz_runs = 2000;

static lt_jfile *opened(lt_jfile_mode mode) {
    lt_jfile *file;
    FUZZ_OK(lt_jfile_open(fuzz_path("f"), mode, &file));
    return file;
}

/* A second name keeps the journal of a commit that is complete. */
static void seed_of(int64_t at, size_t bytes, int64_t end) {
    static uint8_t before[BYTES], after[BYTES];
    size_t size;
    memset(before, 'a', BYTES);
    memset(after, 'b', BYTES);
    unlink(fuzz_path("f"));
    lt_jfile *file = opened(LT_JFILE_CREATE);
    FUZZ_OK(lt_jfile_write(file, 0, BYTES, before));
    FUZZ_OK(lt_jfile_commit(file, BYTES));
    lt_jfile_close(file);
    file = opened(LT_JFILE_APPEND);
    FUZZ_OK(lt_jfile_write(file, at, bytes, after));
    const char *journal = fuzz_write("f.journal", "", 0);
    unlink(fuzz_path("kept"));
    FUZZ_HOLDS(link(journal, fuzz_path("kept")) == 0);
    FUZZ_OK(lt_jfile_commit(file, end));
    lt_jfile_close(file);
    uint8_t *kept = fuzz_read(fuzz_path("kept"), &size);
    fuzz_seed_of_two((fuzz_bytes){before, BYTES}, (fuzz_bytes){kept, size});
    FUZZ_HOLDS(size > HEADER && kept[7] == '2');
    memmove(kept + HEADER_1, kept + HEADER, size - HEADER);
    kept[7] = '1';
    fuzz_seed_of_two((fuzz_bytes){before, BYTES}, (fuzz_bytes){kept, size - HEADER + HEADER_1});
    free(kept);
}

void fuzz_seeds(void) {
    seed_of(10, 20, BYTES);
    seed_of(4000, 5000, BYTES + 10);
    seed_of(BYTES - 50, 50, BYTES - 20);
    fuzz_seed("file", 4);
}

/* A checksum that is right, else no input would come past it; one in 256 keeps its own. */
static void write_journal(fuzz_bytes input) {
    uint8_t *bytes = malloc(input.size + 1);
    FUZZ_HOLDS(bytes);
    if (input.size) memcpy(bytes, input.data, input.size);
    size_t header = input.size > 7 && bytes[7] == '1' ? HEADER_1 : HEADER;
    uint8_t *at = bytes + header - 8;
    if (input.size >= header && *at != 255) {
        memset(at, 0, 8);
        uint64_t sum = lt_hash(bytes + header, input.size - header, lt_hash(bytes, header, LT_HASH_SEED));
        memcpy(at, &sum, 8);
    }
    fuzz_write("f.journal", bytes, input.size);
    free(bytes);
}

/* What a reader of the file has, to the end that it had before and a page more. */
static uint8_t *content(lt_jfile *file, size_t size) {
    uint8_t *bytes = malloc(size + 1);
    FUZZ_HOLDS(bytes && lt_jfile_size(file) >= 0);
    size_t there = (size_t)lt_jfile_size(file) < size ? (size_t)lt_jfile_size(file) : size;
    FUZZ_OK(lt_jfile_read(file, 0, there, bytes));
    memset(bytes + there, 0, size - there);
    return bytes;
}

static void append(lt_jfile *file, size_t size) {
    static uint8_t more[5000];
    memset(more, 'c', sizeof more);
    int64_t end = lt_jfile_size(file), at = end > 100 ? end - 100 : 0;
    FUZZ_OK(lt_jfile_write(file, at, sizeof more, more));
    FUZZ_OK(lt_jfile_commit(file, at + (int64_t)sizeof more));
    lt_jfile_close(file);
    FUZZ_HOLDS(!lt_path_exists(fuzz_path("f.journal")));
    lt_jfile *later = opened(LT_JFILE_READ);
    uint8_t *bytes = content(later, (size_t)at + sizeof more);
    FUZZ_HOLDS(memcmp(bytes + at, more, sizeof more) == 0);
    lt_jfile_close(later);
    free(bytes);
    (void)size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_bytes rest = {data, size}, first = fuzz_split(&rest);
    lt_jfile *file;
    fuzz_write("f", first.data, first.size);
    if (rest.size) write_journal(rest);
    else unlink(fuzz_path("f.journal"));
    lt_status read = lt_jfile_open(fuzz_path("f"), LT_JFILE_READ, &file);
    FUZZ_HOLDS(read == LT_OK || read == LT_INPUT);
    uint8_t *seen = read == LT_OK ? content(file, first.size) : NULL;
    lt_jfile_close(file);
    lt_status status = lt_jfile_open(fuzz_path("f"), LT_JFILE_APPEND, &file);
    FUZZ_HOLDS(status == read);
    if (status == LT_OK) {
        uint8_t *made = content(file, first.size);
        FUZZ_HOLDS(memcmp(seen, made, first.size) == 0);
        append(file, first.size);
        free(made);
    }
    free(seen);
    return 0;
}
