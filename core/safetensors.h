/* safetensors files (https://github.com/huggingface/safetensors, format section): 8-byte little-endian header
 * length, a JSON header {"name": {"dtype", "shape", "data_offsets"}, "__metadata__": {...}}, then the bytes.
 *
 * Reading maps the file and trusts nothing: header length against file size, JSON, dtypes, shapes and their
 * overflow, offsets in range, without overlaps or holes. Anything wrong is LT_INPUT, naming the file and the
 * tensor. Types are those of lt_dtype; tensors have at most 6 dimensions, and a header at most 100 MB, as in
 * the published reader.
 */
#ifndef LT_CORE_SAFETENSORS_H
#define LT_CORE_SAFETENSORS_H

#include "core/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_st_entry {
    const char *name;
    /* view of the mapped file (of a copy where the file misaligns it): read-only host memory */
    lt_tensor tensor;
} lt_st_entry;

typedef struct lt_st_file lt_st_file;

/* Entries are in the order of their bytes in the file. */
lt_status lt_st_open(const char *path, lt_st_file **out);
void lt_st_close(lt_st_file *file); /* tensors of the file are gone with it */
/* How many entries there are, and the index-th. */
int lt_st_count(const lt_st_file *file);
const lt_st_entry *lt_st_at(const lt_st_file *file, int index);
const lt_st_entry *lt_st_find(const lt_st_file *file, const char *name); /* NULL when absent */
const char *lt_st_metadata(const lt_st_file *file, const char *key);     /* NULL when absent */

/* 64-bit hash of names, shapes and values, which count as float32: the same for the same values in any order, of any
 * floating dtype, with any metadata. */
lt_status lt_st_hash(const lt_st_entry *entries, int count, uint64_t *out);
/* LT_INPUT when the file's metadata holds a "weights_hash" that its values do not have: they were damaged, or changed
 * by others. */
lt_status lt_st_verify(const lt_st_file *file);
/* As lt_st_write, with "weights_hash" behind the metadata (at most 15 rows). */
lt_status lt_st_write_hashed(const char *path, const lt_st_entry *entries, int count,
                             const char *const (*metadata)[2], int metadata_count);

/* Writes `entries` (contiguous host tensors; rank 0 to 6) in the order given. The file is written beside
 * `path`, flushed to disk and renamed, so a reader sees the old file or the whole new one. `metadata` holds
 * `metadata_count` key, value pairs. */
lt_status lt_st_write(const char *path, const lt_st_entry *entries, int count,
                      const char *const (*metadata)[2], int metadata_count);

#ifdef __cplusplus
}
#endif
#endif
