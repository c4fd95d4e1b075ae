#include "train/tensorboard.h"

#include "core/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct lt_tensorboard {
    lt_rows *rows;
};

uint32_t lt_crc32c(const void *data, size_t size) {
    const uint8_t *bytes = data;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* The format rotates and offsets the sum, as sums of data that hold sums are weak. */
static uint32_t masked(const void *data, size_t size) {
    uint32_t crc = lt_crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* A protobuf message on its way. */
typedef struct message {
    uint8_t bytes[512];
    size_t size;
} message;

static void put_bytes(message *m, const void *data, size_t size) {
    if (m->size + size > sizeof m->bytes) return;
    memcpy(m->bytes + m->size, data, size);
    m->size += size;
}

static void put_varint(message *m, uint64_t value) {
    do {
        uint8_t byte = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
        put_bytes(m, &byte, 1);
        value >>= 7;
    } while (value);
}

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

static void put_tag(message *m, int field, int wire) { put_varint(m, (uint64_t)field << 3 | (unsigned)wire); }

static void put_field(message *m, int field, const void *data, size_t size) {
    put_tag(m, field, LENGTH);
    put_varint(m, size);
    put_bytes(m, data, size);
}

/* Event: 1 wall_time, 2 step. */
static message event_at(int64_t step) {
    message m = {.size = 0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    put_tag(&m, 1, FIXED64);
    put_bytes(&m, &seconds, sizeof seconds);
    put_tag(&m, 2, VARINT);
    put_varint(&m, (uint64_t)step);
    return m;
}

static lt_status write_record(lt_tensorboard *board, const message *m) {
    char record[sizeof m->bytes + 16], *at = record;
    uint64_t length = m->size;
    uint32_t length_sum = masked(&length, sizeof length), data_sum = masked(m->bytes, m->size);
    memcpy(at, &length, sizeof length), at += sizeof length;
    memcpy(at, &length_sum, sizeof length_sum), at += sizeof length_sum;
    memcpy(at, m->bytes, m->size), at += m->size;
    memcpy(at, &data_sum, sizeof data_sum), at += sizeof data_sum;
    return lt_rows_add(board->rows, record, (size_t)(at - record));
}

/* Event 3: file_version; then event 7, session_log, with status START: TensorBoard drops what earlier files say of this
 * event's step and of later ones (event_accumulator.py keeps `step < event.step`), so it is the first step that this
 * file is going to have. */
static lt_status write_head(lt_tensorboard *board, int64_t step, bool others) {
    static const char version[] = "brain.Event:2";
    message head = event_at(0), start = event_at(step + 1), log = {.size = 0};
    put_field(&head, 3, version, sizeof version - 1);
    LT_TRY(write_record(board, &head));
    if (step == 0 && !others) return LT_OK;
    put_tag(&log, 1, VARINT);
    put_varint(&log, 1);
    put_field(&start, 7, log.bytes, log.size);
    return write_record(board, &start);
}

static const char prefix[] = "events.out.tfevents.";

/* Now, or later where the folder has such a file already (*others): files are read in the order of their names. */
static lt_status choose_time(const char *folder, int64_t *when, bool *others) {
    char **names;
    int count;
    *when = (int64_t)time(NULL);
    *others = false;
    LT_TRY(lt_list_dir(folder, &names, &count));
    for (int i = 0; i < count; i++) {
        if (strncmp(names[i], prefix, sizeof prefix - 1) != 0) continue;
        int64_t other = strtoll(names[i] + sizeof prefix - 1, NULL, 10);
        *others = true;
        if (other >= *when && other < INT64_MAX) *when = other + 1;
    }
    lt_list_free(names, count);
    return LT_OK;
}

lt_status lt_tensorboard_open(const char *folder, int64_t step, lt_tensorboard **out) {
    char name[128], path[LT_PATH_MAX];
    int64_t when;
    bool others;
    *out = NULL;
    LT_TRY(choose_time(folder, &when, &others));
    snprintf(name, sizeof name, "%s%" PRId64 ".longtake", prefix, when);
    LT_TRY(lt_path_join(path, folder, name));
    lt_tensorboard *board = calloc(1, sizeof *board);
    LT_CHECK(board, LT_FAILED, "%s: out of memory", folder);
    lt_status status = lt_rows_open(path, true, &board->rows);
    if (status == LT_OK) status = write_head(board, step, others);
    if (status == LT_OK) *out = board;
    else lt_tensorboard_close(board);
    return status;
}

void lt_tensorboard_close(lt_tensorboard *board) {
    if (!board) return;
    lt_rows_close(board->rows);
    free(board);
}

lt_status lt_tensorboard_sync(lt_tensorboard *board) { return lt_rows_sync(board->rows); }

/* Event 5: summary, of one value (1) with tag (1) and simple_value (2). */
lt_status lt_tensorboard_scalar(lt_tensorboard *board, const char *tag, int64_t step, double value) {
    message event = event_at(step), summary = {.size = 0}, one = {.size = 0};
    float number = (float)value;
    LT_CHECK(strlen(tag) <= 128, LT_FAILED, "%s: a tag has at most 128 bytes", tag);
    put_field(&one, 1, tag, strlen(tag));
    put_tag(&one, 2, FIXED32);
    put_bytes(&one, &number, sizeof number);
    put_field(&summary, 1, one.bytes, one.size);
    put_field(&event, 5, summary.bytes, summary.size);
    return write_record(board, &event);
}
