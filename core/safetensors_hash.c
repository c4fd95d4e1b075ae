/* One number for the values of a file, whatever its dtypes, order and metadata. */
#include "core/rng.h"
#include "core/safetensors.h"
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 16 }; /* elements hashed by one thread at once */

static void to_floats(const lt_tensor *t, int64_t first, int64_t count, float *out) {
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = first + i;
        if (t->dtype == LT_F64) out[i] = (float)((const double *)t->data)[at];
        else if (t->dtype == LT_BF16) out[i] = lt_bf16_to_f32(((const uint16_t *)t->data)[at]);
        else out[i] = lt_f16_to_f32(((const uint16_t *)t->data)[at]);
    }
}

static bool is_wide_or_short(lt_dtype dtype) {
    return dtype == LT_F64 || dtype == LT_BF16 || dtype == LT_F16;
}

/* Eight bytes at once: several GB/s, where lt_hash has under one. */
static uint64_t hash_bytes(const void *data, size_t bytes, uint64_t hash) {
    const char *at = data;
    for (uint64_t word; bytes > 0; at += sizeof word) {
        const size_t part = bytes < sizeof word ? bytes : sizeof word;
        word = 0;
        memcpy(&word, at, part);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 32;
        bytes -= part;
    }
    return hash;
}

static uint64_t hash_chunk(const lt_tensor *t, int64_t first, int64_t count) {
    const size_t element = lt_dtype_size(t->dtype);
    float values[4096];
    uint64_t hash = LT_HASH_SEED;
    if (!is_wide_or_short(t->dtype))
        return hash_bytes((const char *)t->data + (size_t)first * element, (size_t)count * element, hash);
    for (int64_t done = 0, part; done < count; done += part) {
        part = count - done < 4096 ? count - done : 4096;
        to_floats(t, first + done, part, values);
        hash = hash_bytes(values, (size_t)part * sizeof *values, hash);
    }
    return hash;
}

/* Name, shape and values. */
static uint64_t hash_entry(const lt_st_entry *entry, uint64_t hash) {
    const lt_tensor *t = &entry->tensor;
    const int64_t numel = lt_numel(t), chunks = (numel + CHUNK - 1) / CHUNK;
    hash = lt_hash(entry->name, strlen(entry->name) + 1, hash);
    hash = lt_hash(t->shape, (size_t)t->ndim * sizeof *t->shape, hash);
    uint64_t *parts = malloc(((size_t)chunks + 1) * sizeof *parts);
    if (!parts) return 0;
#pragma omp parallel for schedule(static) if (chunks > 1)
    for (int64_t i = 0; i < chunks; i++) {
        const int64_t first = i * CHUNK;
        parts[i] = hash_chunk(t, first, numel - first < CHUNK ? numel - first : CHUNK);
    }
    hash = lt_hash(parts, (size_t)chunks * sizeof *parts, hash);
    free(parts);
    return hash;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const lt_st_entry *const *)a)->name, (*(const lt_st_entry *const *)b)->name);
}

lt_status lt_st_hash(const lt_st_entry *entries, int count, uint64_t *out) {
    const lt_st_entry **sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    LT_CHECK(sorted, LT_FAILED, "out of memory for the hash of %d tensors", count);
    for (int i = 0; i < count; i++) sorted[i] = &entries[i];
    qsort(sorted, (size_t)count, sizeof *sorted, by_name);
    uint64_t hash = LT_HASH_SEED;
    for (int i = 0; i < count && hash; i++) hash = hash_entry(sorted[i], hash);
    free(sorted);
    LT_CHECK(hash, LT_FAILED, "out of memory for the hash of %d tensors", count);
    *out = hash;
    return LT_OK;
}
