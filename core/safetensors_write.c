#include "core/json.h"
#include "core/output.h"
#include "core/safetensors.h"
#include <stdlib.h>
#include <string.h>

static const char *const dtype_names[LT_DTYPE_COUNT] = {"F32", "F64", "BF16", "F16", "I64", "I32", "U8"};

static lt_status check_name(const char *path, const char *name) {
    LT_CHECK(name && lt_utf8_valid(name, strlen(name)), LT_FAILED, "%s: a name to write is not UTF-8 text",
             path);
    return LT_OK;
}

static lt_status check_entry(const char *path, const lt_st_entry *entry) {
    char shape[128];
    const lt_tensor *t = &entry->tensor;
    LT_TRY(check_name(path, entry->name));
    LT_CHECK(strcmp(entry->name, "__metadata__"), LT_FAILED, "%s: __metadata__ cannot name a tensor", path);
    LT_CHECK(lt_is_contiguous(t) && (t->data || lt_numel(t) == 0), LT_FAILED,
             "%s: tensor \"%s\" %s has no data or is not contiguous", path, entry->name,
             lt_tensor_text(t, shape, sizeof shape));
    LT_CHECK(dtype_names[t->dtype], LT_FAILED, "%s: tensor \"%s\" is %s, which files do not hold", path,
             entry->name, lt_dtype_name(t->dtype));
    return LT_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names are distinct. `names` is sorted in place. */
static lt_status check_distinct(const char *path, const char **names, int count) {
    qsort(names, (size_t)count, sizeof *names, by_text);
    for (int i = 1; i < count; i++)
        LT_CHECK(strcmp(names[i - 1], names[i]), LT_FAILED, "%s: \"%s\" would be written twice", path,
                 names[i]);
    return LT_OK;
}

static lt_status check_all(const char *path, const lt_st_entry *entries, int count,
                           const char *const (*metadata)[2], int metadata_count) {
    for (int i = 0; i < count; i++) LT_TRY(check_entry(path, &entries[i]));
    for (int i = 0; i < metadata_count; i++) {
        LT_TRY(check_name(path, metadata[i][0]));
        LT_TRY(check_name(path, metadata[i][1]));
    }
    const int most = count > metadata_count ? count : metadata_count;
    const char **names = malloc(((size_t)most + 1) * sizeof *names);
    LT_CHECK(names, LT_FAILED, "%s: out of memory", path);
    for (int i = 0; i < count; i++) names[i] = entries[i].name;
    lt_status status = check_distinct(path, names, count);
    for (int i = 0; i < metadata_count; i++) names[i] = metadata[i][0];
    if (status == LT_OK) status = check_distinct(path, names, metadata_count);
    free(names);
    return status;
}

static void write_row(FILE *to, const lt_st_entry *entry, int64_t begin) {
    const lt_tensor *t = &entry->tensor;
    lt_json_write_string(to, entry->name);
    fprintf(to, ":{\"dtype\":\"%s\",\"shape\":[", dtype_names[t->dtype]);
    for (int i = 0; i < t->ndim; i++) fprintf(to, "%s%lld", i ? "," : "", (long long)t->shape[i]);
    fprintf(to, "],\"data_offsets\":[%lld,%lld]}", (long long)begin,
            (long long)(begin + (int64_t)lt_nbytes(t)));
}

/* Length and header in one block of memory, padded so that the data starts at a multiple of 8. */
static char *make_header(const lt_st_entry *entries, int count, const char *const (*metadata)[2],
                         int metadata_count, size_t *size, int64_t *data_bytes) {
    char *block = NULL;
    FILE *to = open_memstream(&block, size);
    if (!to) return NULL;
    *data_bytes = 0;
    fwrite("\0\0\0\0\0\0\0\0{", 1, 9, to);
    if (metadata_count) fputs("\"__metadata__\":{", to);
    for (int i = 0; i < metadata_count; i++) {
        if (i) fputc(',', to);
        lt_json_write_string(to, metadata[i][0]), fputc(':', to), lt_json_write_string(to, metadata[i][1]);
    }
    if (metadata_count) fputs(count ? "}," : "}", to);
    for (int i = 0; i < count; i++) {
        if (i) fputc(',', to);
        write_row(to, &entries[i], *data_bytes);
        *data_bytes += (int64_t)lt_nbytes(&entries[i].tensor);
    }
    fputc('}', to);
    while (ftell(to) % 8) fputc(' ', to);
    if (fclose(to) != 0) return free(block), NULL;
    uint64_t header_bytes = *size - 8;
    memcpy(block, &header_bytes, 8);
    return block;
}

static lt_status write_out(const char *path, const char *header, size_t header_size, int64_t data_bytes,
                           const lt_st_entry *entries, int count) {
    lt_output *output;
    LT_TRY(lt_require_space(path, (int64_t)header_size + data_bytes));
    LT_TRY(lt_output_open(path, &output));
    FILE *to = lt_output_file(output);
    fwrite(header, 1, header_size, to);
    for (int i = 0; i < count; i++) fwrite(entries[i].tensor.data, 1, lt_nbytes(&entries[i].tensor), to);
    return lt_output_close(output, true);
}

lt_status lt_st_write(const char *path, const lt_st_entry *entries, int count,
                      const char *const (*metadata)[2], int metadata_count) {
    size_t size;
    int64_t data_bytes;
    LT_TRY(check_all(path, entries, count, metadata, metadata_count));
    char *header = make_header(entries, count, metadata, metadata_count, &size, &data_bytes);
    LT_CHECK(header, LT_FAILED, "%s: out of memory for the header", path);
    lt_status status = write_out(path, header, size, data_bytes, entries, count);
    free(header);
    return status;
}
