#include "core/io.h"
#include "core/rng.h"
#include "core/safetensors.h"
#include "tests/harness.h"
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

static char folder[TEST_FOLDER], path[LT_PATH_MAX];

/* Written over the old bytes: some file systems flush a file to disk that was first cut to nothing. */
static void write_raw(const void *bytes, size_t size) {
    int file = open(path, O_WRONLY | O_CREAT, 0666);
    CHECK(file >= 0 && pwrite(file, bytes, size, 0) == (ssize_t)size && ftruncate(file, (off_t)size) == 0);
    close(file);
}

/* Opens a file of this header and `data_bytes` bytes of data. */
static lt_status open_header(const char *header, size_t data_bytes) {
    unsigned char bytes[4096] = {0};
    const uint64_t length = strlen(header);
    lt_st_file *file;
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    write_raw(bytes, 8 + length + data_bytes);
    lt_status status = lt_st_open(path, &file);
    CHECK((file == NULL) == (status != LT_OK));
    lt_st_close(file);
    return status;
}

/* Three tensors of odd sizes, a scalar, an empty one, metadata. */
static lt_status write_small(void) {
    static float matrix[2][3] = {{1, 2, 3}, {4, 5, 6}};
    static uint8_t bytes[3] = {7, 8, 9};
    static double scalar = 0.1;
    static int64_t numbers[2] = {INT64_MIN, INT64_MAX};
    lt_st_entry entries[] = {
        {"block.0.to_q \"weight\"", LT_VIEW(matrix, LT_F32, 2, 3)},
        {"bytes", LT_VIEW(bytes, LT_U8, 3)},
        {"scalar", lt_tensor_of(&scalar, LT_F64, 0, NULL)},
        {"empty", LT_VIEW(&scalar, LT_BF16, 4, 0, 2)},
        {"\xc3\xa9", LT_VIEW(numbers, LT_I64, 1, 1, 2, 1, 1, 1)},
    };
    static const char *const metadata[][2] = {{"format", "longtake"}, {"note", "two\nlines"}};
    return lt_st_write(path, entries, 5, metadata, 2);
}

static uint64_t hash_of_two(lt_st_entry a, lt_st_entry b) {
    const lt_st_entry entries[] = {a, b};
    uint64_t hash = 0;
    CHECK_OK(lt_st_hash(entries, 2, &hash));
    return hash;
}

/* Equal for equal values, whatever their order and dtype; a name, a shape or one bit makes another. */
static void the_hash_is_of_names_shapes_and_values(void) {
    enum { MANY = 150001 }; /* several chunks, and a rest */
    static float values[MANY];
    static double wide[MANY];
    static uint16_t half[MANY], brain[MANY];
    static int64_t numbers[2] = {1, 2};
    for (int i = 0; i < MANY; i++) {
        values[i] = (float)(i % 255) - 100;
        wide[i] = values[i], half[i] = lt_f32_to_f16(values[i]), brain[i] = lt_f32_to_bf16(values[i]);
    }
    lt_st_entry rest = {"b", LT_VIEW(numbers, LT_I64, 2)}, a = {"a", LT_VIEW(values, LT_F32, MANY)};
    const uint64_t hash = hash_of_two(a, rest);
    CHECK(hash == hash_of_two(rest, a));
    a.tensor = LT_VIEW(wide, LT_F64, MANY);
    CHECK(hash == hash_of_two(a, rest));
    a.tensor = LT_VIEW(half, LT_F16, MANY);
    CHECK(hash == hash_of_two(a, rest));
    a.tensor = LT_VIEW(brain, LT_BF16, MANY);
    CHECK(hash == hash_of_two(a, rest));
    a.tensor = LT_VIEW(values, LT_F32, MANY, 1);
    CHECK(hash != hash_of_two(a, rest));
    a.tensor = LT_VIEW(values, LT_F32, MANY);
    a.name = "c";
    CHECK(hash != hash_of_two(a, rest));
    a.name = "a";
    values[MANY - 1] = nextafterf(values[MANY - 1], 1e9f);
    CHECK(hash != hash_of_two(a, rest));
    values[MANY - 1] = (float)wide[MANY - 1], values[0] = -values[0];
    CHECK(hash != hash_of_two(a, rest));
}

static void what_is_written_is_read_back(void) {
    lt_st_file *file;
    CHECK_OK(write_small());
    CHECK_OK(lt_st_open(path, &file));
    CHECK(lt_st_count(file) == 5 && !strcmp(lt_st_at(file, 0)->name, "block.0.to_q \"weight\""));
    CHECK(!lt_st_at(file, 5) && !lt_st_at(file, -1) && !lt_st_find(file, "absent") && !lt_st_find(file, ""));
    const lt_st_entry *matrix = lt_st_find(file, "block.0.to_q \"weight\"");
    CHECK(matrix->tensor.ndim == 2 && matrix->tensor.shape[1] == 3 && matrix->tensor.dtype == LT_F32);
    CHECK(((float *)matrix->tensor.data)[5] == 6);
    CHECK(((uint8_t *)lt_st_find(file, "bytes")->tensor.data)[2] == 9);
    CHECK(*(double *)lt_st_find(file, "scalar")->tensor.data == 0.1 &&
          lt_st_find(file, "scalar")->tensor.ndim == 0);
    CHECK(lt_numel(&lt_st_find(file, "empty")->tensor) == 0 &&
          lt_st_find(file, "empty")->tensor.shape[0] == 4);
    CHECK(((int64_t *)lt_st_find(file, "\xc3\xa9")->tensor.data)[0] == INT64_MIN);
    CHECK(lt_st_find(file, "\xc3\xa9")->tensor.ndim == 6);
    CHECK(!strcmp(lt_st_metadata(file, "format"), "longtake") &&
          !strcmp(lt_st_metadata(file, "note"), "two\nlines"));
    CHECK(!lt_st_metadata(file, "absent"));
    lt_st_close(file);
}

/* u8[3] before f64: the file misaligns what follows, the reader does not hand out misaligned pointers. */
static void tensors_are_aligned_whatever_the_file_does(void) {
    lt_st_file *file;
    CHECK_OK(write_small());
    CHECK_OK(lt_st_open(path, &file));
    for (int i = 0; i < lt_st_count(file); i++) {
        const lt_tensor *t = &lt_st_at(file, i)->tensor;
        CHECK((uintptr_t)t->data % lt_dtype_size(t->dtype) == 0);
    }
    lt_st_close(file);
}

static void files_without_tensors_are_files(void) {
    lt_st_file *file;
    static const char *const metadata[][2] = {{"a", "b"}};
    CHECK_OK(lt_st_write(path, NULL, 0, NULL, 0));
    CHECK_OK(lt_st_open(path, &file));
    CHECK(lt_st_count(file) == 0 && !lt_st_metadata(file, "a"));
    lt_st_close(file);
    CHECK_OK(lt_st_write(path, NULL, 0, metadata, 1));
    CHECK_OK(lt_st_open(path, &file));
    CHECK(lt_st_count(file) == 0 && !strcmp(lt_st_metadata(file, "a"), "b"));
    lt_st_close(file);
    CHECK_OK(open_header("{}      ", 0));
}

static void entries_come_in_the_order_of_their_bytes(void) {
    lt_st_file *file;
    static const char text[] = "12345678{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]},"
                               "\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]},"
                               "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}xyz";
    char bytes[sizeof text];
    const uint64_t length = strlen(text) - 8 - 3;
    memcpy(bytes, text, sizeof text);
    memcpy(bytes, &length, 8);
    write_raw(bytes, strlen(text));
    CHECK_OK(lt_st_open(path, &file));
    CHECK(lt_st_count(file) == 3 && *lt_st_at(file, 0)->name == 'a' && *lt_st_at(file, 1)->name == 'e');
    CHECK(!memcmp(lt_st_find(file, "b")->tensor.data, "yz", 2));
    lt_st_close(file);
}

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void wrong_layouts_are_refused(void) {
    CHECK_OK(open_header("{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("U8", "[1]", "[8,9]") "}", 9));
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("U8", "[2]", "[7,9]") "}", 9),
                LT_INPUT, "\"a\" and \"b\" overlap");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[2]", "[0,8]") "}", 8),
                LT_INPUT, "overlap");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("U8", "[1]", "[5,6]") "}", 6),
                LT_INPUT, "bytes 4 to 5 before tensor \"b\"");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1]", "[4,8]") "}", 8), LT_INPUT, "bytes 0 to 4");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1]", "[0,4]") "}", 5), LT_INPUT, "the last 1 bytes");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1]", "[0,4]") "}", 3), LT_INPUT, "spans bytes 0 to 4 of 3");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1]", "[4,0]") "}", 4), LT_INPUT, "spans bytes 4 to 0");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[3]", "[0,8]") "}", 8), LT_INPUT,
                "12 bytes by shape, 8 by offsets");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[4294967296,4294967296]", "[0,0]") "}", 0), LT_INPUT,
                "overflows");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1e300]", "[0,0]") "}", 0), LT_INPUT, "a dimension is not");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[-1]", "[0,4]") "}", 4), LT_INPUT, "a dimension is not");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1.5]", "[0,6]") "}", 6), LT_INPUT, "a dimension is not");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1,1,1,1,1,1,1]", "[0,4]") "}", 4), LT_INPUT, "more than 6");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "1", "[0,4]") "}", 4), LT_INPUT, "no shape");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1]", "[0,4,8]") "}", 4), LT_INPUT, "data_offsets");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1]", "[0,18446744073709551620]") "}", 4), LT_INPUT,
                "data_offsets");
    CHECK_FAILS(open_header("{\"a\":" T("F32", "[1]", "[0,\"4\"]") "}", 4), LT_INPUT, "data_offsets");
    CHECK_FAILS(open_header("{\"a\":" T("F8_E4M3", "[1]", "[0,1]") "}", 1), LT_INPUT, "dtype F8_E4M3");
    CHECK_FAILS(open_header("{\"a\":" T("f32", "[1]", "[0,4]") "}", 4), LT_INPUT, "dtype f32");
    CHECK_FAILS(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4), LT_INPUT,
                "expected an object of");
    CHECK_FAILS(open_header("{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4), LT_INPUT,
                "dtype is missing");
    CHECK_FAILS(open_header("{\"a\":5}", 4), LT_INPUT, "expected an object");
}

static void wrong_headers_are_refused(void) {
    CHECK_FAILS(open_header("{\"a\":" T("U8", "[1]", "[0,1]") ",\"a\":" T("U8", "[1]", "[1,2]") "}", 2),
                LT_INPUT, "\"a\" appears twice");
    CHECK_FAILS(open_header("{\"a\\u0000b\":" T("U8", "[1]", "[0,1]") "}", 1), LT_INPUT, "\\u0000");
    CHECK_FAILS(open_header("{\"a\xff\":" T("U8", "[1]", "[0,1]") "}", 1), LT_INPUT, "UTF-8");
    CHECK_FAILS(open_header("{\"\\ud800\":" T("U8", "[1]", "[0,1]") "}", 1), LT_INPUT, "syntax error");
    CHECK_FAILS(open_header("{\"__metadata__\":{\"a\":1}}", 0), LT_INPUT, "\"a\" is not a string");
    CHECK_FAILS(open_header("{\"__metadata__\":[\"a\"]}", 0), LT_INPUT, "not an object");
    CHECK_FAILS(open_header("[]", 0), LT_INPUT, "not a JSON object");
    CHECK_FAILS(open_header(" {}", 0), LT_INPUT, "not a JSON object");
    CHECK_FAILS(open_header("{} {}", 0), LT_INPUT, "syntax error");
    CHECK_FAILS(open_header("{", 0), LT_INPUT, "not a JSON object");
    char deep[3000];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    deep[2999] = 0;
    CHECK_FAILS(open_header(deep, 0), LT_INPUT, "levels of");
}

static void wrong_lengths_are_refused(void) {
    static const uint64_t lengths[] = {3, 9, 1ull << 32, 100000001, 1ull << 63, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        lt_st_file *file;
        unsigned char bytes[10] = {0};
        memcpy(bytes, &lengths[i], 8);
        memcpy(bytes + 8, "{}", 2);
        write_raw(bytes, sizeof bytes);
        CHECK_FAILS(lt_st_open(path, &file), LT_INPUT, "header of");
    }
}

static void things_that_are_not_files_are_refused(void) {
    lt_st_file *file;
    CHECK_FAILS(lt_st_open(folder, &file), LT_INPUT, "not a regular file");
    CHECK_FAILS(lt_st_open("/no/such/file", &file), LT_INPUT, "No such file");
    CHECK_FAILS(lt_st_open("/dev/null", &file), LT_INPUT, "not a regular file");
    write_raw("", 0);
    CHECK_FAILS(lt_st_open(path, &file), LT_INPUT, "empty");
}

/* Whatever survives the damage must be readable in full. */
static int read_all(void) {
    lt_st_file *file;
    if (lt_st_open(path, &file) != LT_OK) return 0;
    uint64_t hash = LT_HASH_SEED;
    for (int i = 0; i < lt_st_count(file); i++) {
        const lt_tensor *t = &lt_st_at(file, i)->tensor;
        hash = lt_hash(t->data, lt_nbytes(t), hash);
    }
    lt_st_close(file);
    return hash != 0;
}

static void damaged_files_never_crash(void) {
    char *bytes;
    size_t size;
    uint64_t header;
    int accepted = 0;
    CHECK_OK(write_small());
    CHECK_OK(lt_read_file(path, &bytes, &size));
    memcpy(&header, bytes, 8);
    for (size_t cut = 0; cut < size; cut++) {
        write_raw(bytes, cut);
        accepted += read_all();
    }
    CHECK(accepted == 0);
    for (size_t at = 0; at < 8 + header; at++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] = (char)(bytes[at] ^ (1 << bit));
            write_raw(bytes, size);
            accepted += read_all();
            bytes[at] = (char)(bytes[at] ^ (1 << bit));
        }
    CHECK(accepted > 0 && accepted < (int)(8 + header) * 4); /* letters of names may change */
    lt_rng_key key = {.seed = 1, .purpose = LT_RNG_TEST};
    for (uint64_t i = 0; i < 3000; i++) { /* three bytes from what JSON is made of */
        char damaged[1024];
        memcpy(damaged, bytes, size);
        for (uint64_t j = 0; j < 3; j++)
            damaged[8 + lt_rng_below(&key, 6 * i + 2 * j, (int64_t)header)] =
                "0123456789{}[]\",:-.eE\\u \xff"[lt_rng_below(&key, 6 * i + 2 * j + 1, 25)];
        write_raw(damaged, size);
        (void)read_all();
    }
    free(bytes);
}

static void writing_wrong_things_leaves_the_old_file(void) {
    float data[8] = {0};
    lt_tensor t = LT_VIEW(data, LT_F32, 2, 4);
    lt_st_entry twice[] = {{"a", t}, {"a", t}}, strided[] = {{"a", lt_slice(t, 1, 0, 2)}},
                reserved[] = {{"__metadata__", t}};
    lt_st_entry none[] = {{"a", {.dtype = LT_F32}}}, wrong_name[] = {{"\xff", t}};
    static const char *const metadata[][2] = {{"k", "1"}, {"k", "2"}};
    CHECK_OK(write_small());
    CHECK_FAILS(lt_st_write(path, twice, 2, NULL, 0), LT_FAILED, "\"a\" would be written twice");
    CHECK_FAILS(lt_st_write(path, strided, 1, NULL, 0), LT_FAILED, "not contiguous");
    CHECK_FAILS(lt_st_write(path, reserved, 1, NULL, 0), LT_FAILED, "cannot name a tensor");
    CHECK_FAILS(lt_st_write(path, none, 1, NULL, 0), LT_FAILED, "has no data");
    CHECK_FAILS(lt_st_write(path, wrong_name, 1, NULL, 0), LT_FAILED, "UTF-8");
    CHECK_FAILS(lt_st_write(path, twice, 1, metadata, 2), LT_FAILED, "\"k\" would be written twice");
    CHECK_FAILS(lt_st_write("/no/such/folder/x", twice, 1, NULL, 0), LT_FAILED, "/no/such/folder/x");
    what_is_written_is_read_back();
    char **names;
    int count;
    CHECK_OK(lt_list_dir(folder, &names, &count));
    CHECK(count == 1); /* nothing left beside it */
    lt_list_free(names, count);
}

int main(int argc, char **argv) {
    test_make_folder("lt_test_safetensors", folder);
    if (lt_path_join(path, folder, "x.safetensors") != LT_OK) return 1;
    RUN(the_hash_is_of_names_shapes_and_values);
    RUN(what_is_written_is_read_back);
    RUN(tensors_are_aligned_whatever_the_file_does);
    RUN(files_without_tensors_are_files);
    RUN(entries_come_in_the_order_of_their_bytes);
    RUN(wrong_layouts_are_refused);
    RUN(wrong_headers_are_refused);
    RUN(wrong_lengths_are_refused);
    RUN(things_that_are_not_files_are_refused);
    RUN(damaged_files_never_crash);
    RUN(writing_wrong_things_leaves_the_old_file);
    if (lt_remove_tree(folder) != LT_OK) return 1;
    return test_end();
}
