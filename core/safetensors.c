#include "core/safetensors.h"
#include "core/json.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors files are mapped as they are");

enum { MAX_HEADER = 100000000 };

struct lt_st_file {
    const unsigned char *map;
    size_t size;
    cJSON *header; /* owns the names and the metadata */
    const cJSON *metadata;
    int count;
    lt_st_entry *entries; /* by offset */
    int *by_name;         /* positions in `entries`, sorted by name */
    lt_pool copies;       /* tensors that the file misaligns */
};

/* The header's row of one tensor, checked by itself. */
typedef struct row {
    const char *name;
    lt_dtype dtype;
    int ndim;
    int64_t shape[LT_MAX_DIMS], begin, end;
    int order; /* in the header */
} row;

static bool size_of(const cJSON *value, int64_t *out) {
    if (!cJSON_IsNumber(value) || !(value->valuedouble >= 0 && value->valuedouble <= (double)LT_JSON_MAX_INT))
        return false;
    *out = (int64_t)value->valuedouble;
    return (double)*out == value->valuedouble;
}

/* Not e4m3: a file has no place for its scales. */
static bool parse_dtype(const cJSON *value, lt_dtype *out) {
    static const char *const names[LT_DTYPE_COUNT] = {"F32", "F64", "BF16", "F16", "I64", "I32", "U8"};
    if (!cJSON_IsString(value)) return false;
    for (int i = 0; i < LT_DTYPE_COUNT; i++)
        if (names[i] && !strcmp(names[i], value->valuestring)) return *out = (lt_dtype)i, true;
    return false;
}

static lt_status read_shape(const char *path, const cJSON *shape, row *out) {
    const cJSON *dim;
    LT_CHECK(cJSON_IsArray(shape), LT_INPUT, "%s: tensor \"%s\" has no shape", path, out->name);
    cJSON_ArrayForEach(dim, shape) {
        LT_CHECK(out->ndim < LT_MAX_DIMS, LT_INPUT, "%s: tensor \"%s\" has more than %d dimensions", path,
                 out->name, LT_MAX_DIMS);
        LT_CHECK(size_of(dim, &out->shape[out->ndim++]), LT_INPUT,
                 "%s: tensor \"%s\": a dimension is not an integer of at least 0", path, out->name);
    }
    return LT_OK;
}

static lt_status read_row(const char *path, const cJSON *value, int64_t data_bytes, row *out) {
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(value, "dtype");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(value, "data_offsets");
    int64_t bytes;
    out->name = value->string;
    LT_CHECK(cJSON_IsObject(value) && cJSON_GetArraySize(value) == 3, LT_INPUT,
             "%s: tensor \"%s\": expected an object of dtype, shape and data_offsets", path, out->name);
    LT_CHECK(parse_dtype(dtype, &out->dtype), LT_INPUT,
             "%s: tensor \"%s\": dtype %s; expected F32, F64, BF16, F16, I64, I32 or U8", path, out->name,
             cJSON_IsString(dtype) ? dtype->valuestring : "is missing");
    LT_TRY(read_shape(path, cJSON_GetObjectItemCaseSensitive(value, "shape"), out));
    LT_CHECK(cJSON_IsArray(offsets) && cJSON_GetArraySize(offsets) == 2 &&
                 size_of(offsets->child, &out->begin) && size_of(offsets->child->next, &out->end),
             LT_INPUT, "%s: tensor \"%s\": data_offsets must be two integers of at least 0", path, out->name);
    LT_CHECK(out->begin <= out->end && out->end <= data_bytes, LT_INPUT,
             "%s: tensor \"%s\" spans bytes %lld to %lld of %lld; the file is cut short or damaged", path,
             out->name, (long long)out->begin, (long long)out->end, (long long)data_bytes);
    bytes = (int64_t)lt_dtype_size(out->dtype);
    for (int i = 0; i < out->ndim; i++)
        LT_CHECK(!__builtin_mul_overflow(bytes, out->shape[i], &bytes), LT_INPUT,
                 "%s: tensor \"%s\": the product of its shape overflows 64 bits", path, out->name);
    LT_CHECK(bytes == out->end - out->begin, LT_INPUT,
             "%s: tensor \"%s\" takes %lld bytes by shape, %lld by offsets", path, out->name,
             (long long)bytes, (long long)(out->end - out->begin));
    return LT_OK;
}

static int by_offset(const void *a, const void *b) {
    const row *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1; /* empty tensors share an offset with what follows */
    return x->order - y->order;
}

static lt_status check_tiling(const char *path, const row *rows, int count, int64_t data_bytes) {
    int64_t at = 0;
    for (int i = 0; i < count; i++) {
        LT_CHECK(rows[i].begin >= at, LT_INPUT, "%s: tensors \"%s\" and \"%s\" overlap", path,
                 rows[i - 1].name, rows[i].name);
        LT_CHECK(rows[i].begin == at, LT_INPUT,
                 "%s: bytes %lld to %lld before tensor \"%s\" belong to no tensor", path, (long long)at,
                 (long long)rows[i].begin, rows[i].name);
        at = rows[i].end;
    }
    LT_CHECK(at == data_bytes, LT_INPUT, "%s: the last %lld bytes belong to no tensor", path,
             (long long)(data_bytes - at));
    return LT_OK;
}

/* A mapped tensor whose address does not suit its type is copied, since reading it in place is undefined. */
static lt_status place(lt_st_file *file, const row *from, const unsigned char *data, lt_st_entry *out) {
    const size_t align = lt_dtype_size(from->dtype), bytes = (size_t)(from->end - from->begin);
    void *at = (void *)(uintptr_t)(data + from->begin);
    if ((uintptr_t)at % align) {
        void *copy = lt_pool_alloc(&file->copies, bytes ? bytes : 1);
        if (!copy) return LT_FAILED;
        memcpy(copy, at, bytes);
        at = copy;
    }
    out->name = from->name;
    out->tensor = lt_tensor_of(at, from->dtype, from->ndim, from->shape);
    LT_CHECK(out->tensor.data, LT_INPUT, "tensor \"%s\": its shape is beyond what this machine can address",
             from->name);
    return LT_OK;
}

static int by_entry_name(const void *a, const void *b, void *entries) {
    const lt_st_entry *all = entries;
    return strcmp(all[*(const int *)a].name, all[*(const int *)b].name);
}

static lt_status read_rows(lt_st_file *file, const char *path, const unsigned char *data, int64_t data_bytes,
                           row *rows) {
    const cJSON *value;
    int count = 0;
    cJSON_ArrayForEach(value, file->header) {
        if (value == file->metadata) continue;
        rows[count].order = count;
        LT_TRY(read_row(path, value, data_bytes, &rows[count++]));
    }
    qsort(rows, (size_t)count, sizeof *rows, by_offset);
    LT_TRY(check_tiling(path, rows, count, data_bytes));
    for (int i = 0; i < count; i++) {
        LT_TRY(place(file, &rows[i], data, &file->entries[i]));
        file->by_name[i] = i;
    }
    file->count = count;
    qsort_r(file->by_name, (size_t)count, sizeof *file->by_name, by_entry_name, file->entries);
    return LT_OK;
}

static lt_status check_metadata(const char *path, const cJSON *metadata) {
    const cJSON *value;
    LT_CHECK(!metadata || cJSON_IsObject(metadata), LT_INPUT, "%s: __metadata__ is not an object", path);
    cJSON_ArrayForEach(value, metadata) LT_CHECK(
        cJSON_IsString(value), LT_INPUT, "%s: __metadata__: \"%s\" is not a string", path, value->string);
    return LT_OK;
}

static lt_status read_header(lt_st_file *file, const char *path) {
    uint64_t header_bytes;
    char origin[512];
    LT_CHECK(file->size >= 8, LT_INPUT, "%s: %zu bytes are too few for a safetensors file", path, file->size);
    memcpy(&header_bytes, file->map, 8);
    LT_CHECK(header_bytes <= MAX_HEADER && header_bytes <= file->size - 8, LT_INPUT,
             "%s: header of %llu bytes in a file of %zu; not a safetensors file, or cut short", path,
             (unsigned long long)header_bytes, file->size);
    LT_CHECK(header_bytes >= 2 && file->map[8] == '{', LT_INPUT, "%s: the header is not a JSON object", path);
    snprintf(origin, sizeof origin, "%.400s: header", path);
    LT_TRY(lt_json_parse((const char *)file->map + 8, header_bytes, origin, LT_INPUT, &file->header));
    file->metadata = cJSON_GetObjectItemCaseSensitive(file->header, "__metadata__");
    LT_TRY(check_metadata(path, file->metadata));
    const size_t places = (size_t)cJSON_GetArraySize(file->header) + 1;
    row *rows = calloc(places, sizeof *rows);
    file->entries = calloc(places, sizeof *file->entries);
    file->by_name = calloc(places, sizeof *file->by_name);
    lt_status status = rows && file->entries && file->by_name
                           ? read_rows(file, path, file->map + 8 + header_bytes,
                                       (int64_t)(file->size - 8 - header_bytes), rows)
                           : lt_fail(LT_FAILED, "%s: out of memory for %zu tensor names", path, places);
    free(rows);
    return status;
}

static lt_status map_file(const char *path, const unsigned char **map, size_t *size) {
    struct stat info;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    LT_CHECK(descriptor >= 0, LT_INPUT, "%s: %s", path, strerror(errno));
    const bool regular = fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode);
    void *at = regular && info.st_size > 0
                   ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0)
                   : MAP_FAILED;
    const int reason = errno;
    close(descriptor);
    LT_CHECK(regular, LT_INPUT, "%s: not a regular file", path);
    LT_CHECK(info.st_size > 0, LT_INPUT, "%s: the file is empty", path);
    LT_CHECK(at != MAP_FAILED, LT_INPUT, "%s: cannot be mapped: %s", path, strerror(reason));
    *map = at;
    *size = (size_t)info.st_size;
    return LT_OK;
}

lt_status lt_st_open(const char *path, lt_st_file **out) {
    *out = NULL;
    lt_st_file *file = calloc(1, sizeof *file);
    LT_CHECK(file, LT_FAILED, "%s: out of memory", path);
    lt_status status = map_file(path, &file->map, &file->size);
    if (status == LT_OK) status = read_header(file, path);
    if (status == LT_OK) *out = file;
    else lt_st_close(file);
    return status;
}

void lt_st_close(lt_st_file *file) {
    if (!file) return;
    if (file->map) munmap((void *)(uintptr_t)file->map, file->size);
    cJSON_Delete(file->header);
    lt_pool_free(&file->copies);
    free(file->entries);
    free(file->by_name);
    free(file);
}

int lt_st_count(const lt_st_file *file) { return file->count; }

const lt_st_entry *lt_st_at(const lt_st_file *file, int index) {
    return index >= 0 && index < file->count ? &file->entries[index] : NULL;
}

const lt_st_entry *lt_st_find(const lt_st_file *file, const char *name) {
    int low = 0, high = file->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        const lt_st_entry *entry = &file->entries[file->by_name[middle]];
        int order = strcmp(name, entry->name);
        if (order == 0) return entry;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

const char *lt_st_metadata(const lt_st_file *file, const char *key) {
    const cJSON *value = file->metadata ? cJSON_GetObjectItemCaseSensitive(file->metadata, key) : NULL;
    return value ? value->valuestring : NULL;
}
