#include "core/io.h"
#include "tests/harness.h"
#include "train/tensorboard.h"

#include <unistd.h>

static char folder[TEST_FOLDER];

/* The only event file of the folder. */
static char *read_events(size_t *size) {
    char **names, path[LT_PATH_MAX], *data = NULL;
    int count;
    CHECK_OK(lt_list_dir(folder, &names, &count));
    CHECK(count == 1 && strncmp(names[0], "events.out.tfevents.", 20) == 0);
    CHECK_OK(lt_path_join(path, folder, names[0]));
    CHECK_OK(lt_read_file(path, &data, size));
    lt_list_free(names, count);
    return data;
}

static uint32_t unmask(uint32_t masked) {
    uint32_t rotated = masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

/* The next record at *at, its length in *length; NULL at the end or where a sum disagrees. */
static const uint8_t *next_record(const char *data, size_t size, size_t *at, uint64_t *length) {
    uint32_t sum;
    if (*at + 12 > size) return NULL;
    memcpy(length, data + *at, 8);
    memcpy(&sum, data + *at + 8, 4);
    CHECK(unmask(sum) == lt_crc32c(data + *at, 8));
    const char *record = data + *at + 12;
    memcpy(&sum, record + *length, 4);
    CHECK(unmask(sum) == lt_crc32c(record, *length));
    *at += 16 + *length;
    return (const uint8_t *)record;
}

static uint64_t varint(const uint8_t **at) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return value;
    }
}

/* Finds a field of a message: its bytes, or its number in *number. */
static const uint8_t *field(const uint8_t *at, const uint8_t *end, int wanted, uint64_t *number) {
    while (at < end) {
        uint64_t tag = varint(&at), size = 0;
        int wire = (int)(tag & 7);
        if (wire == 0) {
            const uint8_t *start = at;
            *number = varint(&at);
            if ((int)(tag >> 3) == wanted) return start;
            continue;
        }
        size = wire == 1 ? 8 : wire == 5 ? 4 : varint(&at);
        *number = size;
        if ((int)(tag >> 3) == wanted) return at;
        at += size;
    }
    return NULL;
}

static void crc32c_has_its_published_value(void) {
    CHECK(lt_crc32c("123456789", 9) == 0xe3069283u);
    uint8_t zeros[32] = {0};
    CHECK(lt_crc32c(zeros, 32) == 0x8a9136aau); /* RFC 3720, B.4 */
}

static void scalars_come_back(void) {
    lt_tensorboard *board;
    size_t size = 0, at = 0;
    uint64_t length, number = 0;
    CHECK_OK(lt_remove_tree(folder));
    CHECK_OK(lt_make_dirs(folder));
    CHECK_OK(lt_tensorboard_open(folder, 0, &board));
    for (int i = 1; i <= 300; i++) CHECK_OK(lt_tensorboard_scalar(board, "train/loss", i, 1.5 * i));
    lt_tensorboard_close(board);
    char *data = read_events(&size);
    const uint8_t *record = next_record(data, size, &at, &length);
    const uint8_t *version = record ? field(record, record + length, 3, &number) : NULL;
    CHECK(version && number == 13 && memcmp(version, "brain.Event:2", 13) == 0);
    int count = 0;
    while ((record = next_record(data, size, &at, &length))) {
        count++;
        CHECK(field(record, record + length, 2, &number) && number == (uint64_t)count);
        const uint8_t *summary = field(record, record + length, 5, &number);
        const uint8_t *value = summary ? field(summary, summary + number, 1, &number) : NULL;
        if (!value) break;
        const uint8_t *end = value + number, *tag = field(value, end, 1, &number);
        CHECK(tag && number == 10 && memcmp(tag, "train/loss", 10) == 0);
        float x = 0;
        const uint8_t *bytes = field(value, end, 2, &number);
        if (bytes) memcpy(&x, bytes, 4);
        CHECK(x == 1.5f * (float)count);
    }
    CHECK(count == 300 && at == size);
    free(data);
}

/* What TensorBoard shows of a folder: how often it has each step, files in the order of their names, where a record
 * with session_log drops what came before and has its step or a later one (event_accumulator.py,
 * _CheckForRestartAndMaybePurge). */
static void shown_steps(int *times, int most) {
    char **names, path[LT_PATH_MAX], *data;
    int count;
    memset(times, 0, (size_t)(most + 1) * sizeof *times);
    CHECK_OK(lt_list_dir(folder, &names, &count));
    for (int i = 0; i < count; i++) {
        size_t size = 0, at = 0;
        uint64_t length, step, other;
        const uint8_t *record;
        CHECK_OK(lt_path_join(path, folder, names[i]));
        CHECK_OK(lt_read_file(path, &data, &size));
        while ((record = next_record(data, size, &at, &length))) {
            if (!field(record, record + length, 2, &step) || step > (uint64_t)most) continue;
            if (field(record, record + length, 7, &other))
                for (int s = (int)step; s <= most; s++) times[s] = 0;
            if (field(record, record + length, 5, &other)) times[step]++;
        }
        CHECK(at == size);
        free(data);
    }
    lt_list_free(names, count);
}

static void write_steps(int done, int last) {
    lt_tensorboard *board;
    CHECK_OK(lt_tensorboard_open(folder, done, &board));
    for (int i = done + 1; i <= last; i++) CHECK_OK(lt_tensorboard_scalar(board, "train/loss", i, i));
    lt_tensorboard_close(board);
}

/* Killed after step 6 and gone on with from the checkpoint of step 4; then a run that had none and begins again. */
static void every_step_is_shown_once_after_a_resume(void) {
    enum { MOST = 9 };
    int times[MOST + 1];
    CHECK_OK(lt_remove_tree(folder));
    CHECK_OK(lt_make_dirs(folder));
    write_steps(0, 6);
    write_steps(4, MOST);
    shown_steps(times, MOST);
    for (int s = 1; s <= MOST; s++) CHECK(times[s] == 1);
    write_steps(0, 3);
    shown_steps(times, MOST);
    for (int s = 1; s <= MOST; s++) CHECK(times[s] == (s <= 3));
}

int main(int argc, char **argv) {
    test_make_folder("lt_tensorboard", folder);
    RUN(crc32c_has_its_published_value);
    RUN(scalars_come_back);
    RUN(every_step_is_shown_once_after_a_resume);
    (void)lt_remove_tree(folder);
    return test_end();
}
