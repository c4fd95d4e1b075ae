#include "data/png.h"

#include "core/io.h"

#include <stdlib.h>
#include <string.h>

enum { STORED_MAX = 65535 }; /* bytes of one stored deflate block */

static uint32_t crc_of(const uint8_t *data, size_t size) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static uint32_t adler_of(const uint8_t *data, size_t size) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < size; i++) a = (a + data[i]) % 65521, b = (b + a) % 65521;
    return b << 16 | a;
}

static uint8_t *put32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
    return at + 4;
}

/* Length, type and place of the data; the checksum follows with end_chunk. */
static uint8_t *begin_chunk(uint8_t *at, const char *type, size_t length) {
    at = put32(at, (uint32_t)length);
    memcpy(at, type, 4);
    return at + 4;
}

static uint8_t *end_chunk(uint8_t *data, size_t length) {
    return put32(data + length, crc_of(data - 4, length + 4));
}

/* zlib stream (RFC 1950) of stored blocks. Returns its end. */
static uint8_t *store_block(uint8_t *at, const uint8_t *raw, size_t size) {
    *at++ = 0x78, *at++ = 0x01;
    for (size_t done = 0; done < size;) {
        size_t n = size - done < STORED_MAX ? size - done : STORED_MAX;
        *at++ = done + n == size;
        *at++ = (uint8_t)n, *at++ = (uint8_t)(n >> 8), *at++ = (uint8_t)~n, *at++ = (uint8_t)(~n >> 8);
        memcpy(at, raw + done, n);
        at += n, done += n;
    }
    return put32(at, adler_of(raw, size));
}

lt_status lt_png_encode(const uint8_t *rgb, int width, int height, uint8_t **out, size_t *size) {
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    LT_CHECK(width >= 1 && height >= 1 && width <= 16384 && height <= 16384, LT_USAGE,
             "png: %d x %d; both sides must be 1 to 16384 pixels", width, height);
    size_t row = 3 * (size_t)width, raw_size = (row + 1) * (size_t)height;
    size_t stream = 2 + raw_size + 5 * ((raw_size + STORED_MAX - 1) / STORED_MAX) + 4;
    uint8_t *raw = malloc(raw_size), *file = malloc(8 + 25 + 12 + stream + 12);
    if (!raw || !file) {
        free(raw), free(file);
        return lt_fail(LT_FAILED, "png: out of memory for %d x %d", width, height);
    }
    for (int y = 0; y < height; y++) { /* a filter byte of 0 (none) before each row */
        raw[(row + 1) * (size_t)y] = 0;
        memcpy(raw + (row + 1) * (size_t)y + 1, rgb + row * (size_t)y, row);
    }
    memcpy(file, signature, 8);
    uint8_t *data = begin_chunk(file + 8, "IHDR", 13);
    put32(put32(data, (uint32_t)width), (uint32_t)height);
    memcpy(data + 8, (const uint8_t[]){8, 2, 0, 0, 0}, 5); /* 8 bits, RGB, no interlace */
    data = begin_chunk(end_chunk(data, 13), "IDAT", stream);
    store_block(data, raw, raw_size);
    data = begin_chunk(end_chunk(data, stream), "IEND", 0);
    *size = (size_t)(end_chunk(data, 0) - file), *out = file;
    free(raw);
    return LT_OK;
}

lt_status lt_png_write(const char *path, const uint8_t *rgb, int width, int height) {
    uint8_t *file = NULL;
    size_t size = 0;
    LT_TRY(lt_png_encode(rgb, width, height, &file, &size));
    lt_status status = lt_write_file(path, file, size);
    free(file);
    return status;
}

char *lt_base64(const void *data, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = data;
    char *text = malloc((size + 2) / 3 * 4 + 1), *at = text;
    if (!text) {
        lt_fail(LT_FAILED, "base64: out of memory for %zu bytes", size);
        return NULL;
    }
    for (size_t i = 0; i < size; i += 3, at += 4) {
        size_t left = size - i;
        uint32_t bits =
            (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        for (int k = 0; k < 4; k++) at[k] = digits[bits >> (18 - 6 * k) & 63];
        if (left < 3) at[3] = '=';
        if (left < 2) at[2] = '=';
    }
    *at = '\0';
    return text;
}
