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

static const char key[] = "weights_hash";

lt_status lt_st_write_hashed(const char *path, const lt_st_entry *entries, int count,
                             const char *const (*metadata)[2], int metadata_count) {
    enum { MOST = 16 };
    const char *all[MOST][2];
    char text[LT_HASH_TEXT];
    uint64_t hash;
    LT_CHECK(metadata_count < MOST, LT_FAILED, "%s: %d rows of metadata, expected fewer than %d", path,
             metadata_count, MOST);
    for (int i = 0; i < metadata_count; i++) all[i][0] = metadata[i][0], all[i][1] = metadata[i][1];
    LT_TRY(lt_st_hash(entries, count, &hash));
    all[metadata_count][0] = key;
    all[metadata_count][1] = lt_hash_text(hash, text);
    return lt_st_write(path, entries, count, (const char *const(*)[2])all, metadata_count + 1);
}

lt_status lt_st_verify(const lt_st_file *file) {
    const char *written = lt_st_metadata(file, key);
    char found[LT_HASH_TEXT];
    uint64_t hash;
    if (!written) return LT_OK;
    LT_TRY(lt_st_hash(lt_st_at(file, 0), lt_st_count(file), &hash));
    LT_CHECK(strcmp(lt_hash_text(hash, found), written) == 0, LT_INPUT,
             "its values are not those that were written (their hash is %s, and its metadata says %.40s): "
             "the file is "
             "damaged, or was changed; if that was meant, take weights_hash out of its metadata",
             found, written);
    return LT_OK;
}
