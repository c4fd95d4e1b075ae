/* Choices of algorithms: as a file, anywhere; what measuring does to GEMMs, with LT_TEST_DEVICE=cuda. */
#include "core/io.h"
#include "core/log.h"
#include "core/rng.h"
#include "kernels/check.h"
#include "kernels/choices.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/linear/linear.h"
#include "kernels/testing_device.h"
#include "tests/harness.h"

#include <unistd.h>

/* Devices that only have a name: on none of them is a library, so its version is 0. */
static const lt_device_ops named = {.name = "cpu", .backend = LT_BACKEND_CPU};
static lt_device here = {.ops = &named, .target = {.name = "GPU \"one\""}};
static char path[LT_PATH_MAX];

static void put(lt_device *device, int64_t rows, uint64_t word) {
    lt_choice choice = {
        .key = {rows, 2240, 6720}, .algorithm = {word, 0, ~0ull}, .first = 20.25, .taken = 19};
    choice.key[13] = 90ll << 32 | 132;
    choice.key[8] = -3;
    lt_choices_put(device, &choice);
}

static void choices_survive_a_file(void) {
    char *text, *again;
    size_t size;
    lt_choices_clear(&here);
    put(&here, 32760, 0x0123456789ABCDEFull), put(&here, 15600, 5);
    put(&here, 15600, 6); /* replaces */
    CHECK_OK(lt_choices_text(&here, &text, &size));
    int epoch = lt_choices_epoch(&here);
    lt_choices_clear(&here);
    CHECK(lt_choices_count(&here) == 0 && lt_choices_epoch(&here) != epoch);
    CHECK_OK(lt_choices_parse(&here, text, size, "file"));
    CHECK(lt_choices_count(&here) == 2 && lt_choices_at(&here, 2) == NULL);
    const lt_choice *first = lt_choices_at(&here, 0), *second = lt_choices_at(&here, 1);
    CHECK(first->algorithm[0] == 0x0123456789ABCDEFull && first->algorithm[2] == ~0ull);
    CHECK(first->key[13] == (90ll << 32 | 132) && first->key[8] == -3 && first->taken == 19);
    CHECK(second->algorithm[0] == 6 && lt_choices_find(&here, second->key) == second);
    int64_t other[LT_CHOICE_KEY] = {1};
    CHECK(lt_choices_find(&here, other) == NULL);
    CHECK_OK(lt_choices_text(&here, &again, &size));
    CHECK(strcmp(text, again) == 0);
    free(text), free(again);
}

/* Nothing of a file is taken that cannot be taken whole. */
static void damaged_files_are_refused(void) {
    char *text;
    size_t size;
    lt_choices_clear(&here);
    put(&here, 1, 1), put(&here, 2, 2);
    CHECK_OK(lt_choices_text(&here, &text, &size));
    lt_choices_clear(&here);
    for (size_t cut = 0; cut + 2 < size; cut += 7) CHECK(lt_choices_parse(&here, text, cut, "x") == LT_INPUT);
    CHECK_FAILS(lt_choices_parse(&here, text, size / 2, "runs/a/algorithms.json"), LT_INPUT,
                "runs/a/algorithms.json");
    char *hex = strstr(strstr(text, "algorithm") + 9, "algorithm") + 15;
    *hex = 'g';
    CHECK_FAILS(lt_choices_parse(&here, text, size, "x"), LT_INPUT, "product 1 is not 14 whole numbers");
    *hex = '0', *strstr(text, "-3") = '.';
    CHECK(lt_choices_parse(&here, text, size, "x") == LT_INPUT);
    static const char *const others[] = {
        "[]", "{\"gpu\": \"GPU \\\"one\\\"\", \"cublaslt\": \"0\", \"products\": []}",
        "{\"gpu\": \"GPU \\\"one\\\"\", \"cublaslt\": 0}",
        "{\"gpu\": \"GPU \\\"one\\\"\", \"cublaslt\": 0, \"products\": [7]}",
        "{\"gpu\": \"GPU \\\"one\\\"\", \"cublaslt\": 0, \"products\": [{\"product\": [1,2], "
        "\"algorithm\": "
        "\"\"}]}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CHECK(lt_choices_parse(&here, others[i], strlen(others[i]), "x") == LT_INPUT);
    CHECK(lt_choices_count(&here) == 0);
    free(text);
}

static void choices_of_other_machines_are_refused(void) {
    char *text;
    size_t size;
    lt_device two = {.ops = &named, .target = {.name = "GPU two"}};
    lt_choices_clear(&here);
    put(&here, 1, 1);
    CHECK_OK(lt_choices_text(&here, &text, &size));
    lt_choices_clear(&here);
    CHECK_FAILS(lt_choices_parse(&two, text, size, "x"), LT_INPUT, "and this is GPU two with 0");
    char *version = strstr(text, "\"cublaslt\": 0");
    CHECK(version != NULL);
    if (version) version[strlen("\"cublaslt\": ")] = '7';
    CHECK_FAILS(lt_choices_parse(&here, text, size, "x"), LT_INPUT, "with cuBLASLt 7, and this is");
    CHECK(lt_choices_count(&here) == 0 && lt_choices_count(&two) == 0);
    free(text);
}

/* Each has its own: what one program does on two devices is what two programs do. */
static void devices_choose_for_themselves(void) {
    lt_device two = {.ops = &named, .target = {.name = "GPU \"one\""}};
    lt_choices_clear(&here);
    put(&here, 1, 5);
    int64_t key[LT_CHOICE_KEY];
    memcpy(key, lt_choices_at(&here, 0)->key, sizeof key);
    CHECK(lt_choices_count(&two) == 0 && lt_choices_find(&two, key) == NULL && lt_choices_epoch(&two) != 0);
    put(&two, 1, 6);
    CHECK(lt_choices_find(&here, key)->algorithm[0] == 5 && lt_choices_find(&two, key)->algorithm[0] == 6);
    lt_choices_clear(&two);
    CHECK(lt_choices_count(&here) == 1);
    two.part[LT_SLOT_CHOICES].free(two.part[LT_SLOT_CHOICES].data);
}

static int warnings;
static void count_warnings(lt_log_level level, const char *line, void *user) {
    (void)user;
    warnings += level == LT_LOG_WARN && strstr(line, "measured anew") != NULL;
}

/* A device that only has a name. */
static void a_bad_file_is_a_warning(void) {
    lt_device_ops ops = {.name = "cuda", .backend = LT_BACKEND_CUDA};
    lt_device device = {.ops = &ops, .target = {.name = "GPU"}};
    lt_choices_clear(&device);
    lt_log_init(count_warnings, NULL, LT_LOG_WARN);
    CHECK_OK(lt_choices_save(&device, path));
    CHECK(!lt_path_exists(path)); /* nothing was chosen */
    lt_choices_load(&device, path);
    CHECK(warnings == 0);
    put(&device, 1, 1);
    CHECK_OK(lt_choices_save(&device, path));
    lt_choices_clear(&device);
    strcpy(device.target.name, "another");
    lt_choices_load(&device, path);
    CHECK(warnings == 1 && lt_choices_count(&device) == 0);
    strcpy(device.target.name, "GPU");
    lt_choices_load(&device, path);
    CHECK(warnings == 1 && lt_choices_count(&device) == 1);
    CHECK_OK(lt_write_file(path, "{\"gpu\": ", 8));
    lt_choices_load(&device, path);
    CHECK(warnings == 2 && lt_choices_count(&device) == 1);
    ops.backend = LT_BACKEND_CPU;
    lt_choices_load(&device, path);
    CHECK(warnings == 2);
    lt_log_init(NULL, NULL, LT_LOG_WARN);
    device.part[LT_SLOT_CHOICES].free(device.part[LT_SLOT_CHOICES].data);
}

/* ---- on a GPU ---------------------------------------------------------------------------------------------------- */

/* More than 1e10 FLOP. */
enum { ROWS = 2304, K = 1536, M = 1600 };

static struct {
    lt_device *device, *cpu;
    lt_arena memory, scratch;
    lt_ctx ctx;
    lt_tensor x, w, b, y, start; /* y begins as start where GEMMs are added */
    float *wanted, *sum;         /* x w^T + b, and with start */
} g;

static lt_tensor normals(lt_dtype dtype, int64_t rows, int64_t columns, uint64_t clip, float *host) {
    lt_rng_key key = {.seed = 5, .purpose = LT_RNG_TEST, .clip = clip};
    size_t count = (size_t)(rows * columns);
    uint16_t *bits = malloc(count * sizeof *bits);
    lt_tensor t = {0};
    lt_rng_fill_normal(&key, 0, count, host);
    for (size_t i = 0; i < count; i++) host[i] = lt_bf16_to_f32(bits[i] = lt_f32_to_bf16(host[i]));
    CHECK_OK(LT_NEW(&g.memory, dtype, &t, rows, columns));
    CHECK_OK(lt_tensor_from_host(g.device, g.ctx.stream, &t, dtype == LT_BF16 ? (void *)bits : host));
    free(bits);
    return t;
}

/* The same GEMM in float32 on the CPU. */
static void make_reference(const float *x, const float *w, const float *b, const float *start) {
    lt_arena arena;
    CHECK_OK(lt_arena_init(&arena, g.cpu, 256 << 20, "scratch"));
    lt_ctx ctx = {.device = g.cpu, .backend = LT_BACKEND_CPU, .scratch = &arena};
    g.wanted = malloc(sizeof(float) * ROWS * M), g.sum = malloc(sizeof(float) * ROWS * M);
    lt_linear_args f = {.x = LT_VIEW((void *)x, LT_F32, ROWS, K),
                        .w = LT_VIEW((void *)w, LT_F32, M, K),
                        .b = LT_VIEW((void *)b, LT_F32, M),
                        .y = LT_VIEW(g.wanted, LT_F32, ROWS, M)};
    CHECK_OK(lt_linear_forward(&ctx, &f));
    for (int64_t i = 0; i < (int64_t)ROWS * M; i++) g.sum[i] = g.wanted[i] + start[i];
    lt_arena_free(&arena);
}

static bool open_gpu(size_t scratch) {
    if (strcmp(test_device(), "cpu") == 0 || getenv("LT_TEST_SMALL")) {
        printf("products are not measured: LT_TEST_DEVICE=cuda does, without LT_TEST_SMALL\n");
        return false;
    }
    memset(&g, 0, sizeof g);
    CHECK_OK(lt_device_open_as("cuda", "bf16", test_kernels(), &g.device));
    if (!g.device) return false;
    CHECK_OK(lt_device_open("cpu", &g.cpu));
    CHECK_OK(g.device->ops->stream_create(g.device, &g.ctx.stream));
    CHECK_OK(lt_arena_init(&g.memory, g.device, 128 << 20, "memory"));
    CHECK_OK(lt_arena_init(&g.scratch, g.device, scratch, "scratch"));
    g.ctx.device = g.device, g.ctx.backend = LT_BACKEND_CUDA, g.ctx.dtype = LT_BF16;
    g.ctx.scratch = &g.scratch;
    float *x = malloc(sizeof(float) * ROWS * K), *w = malloc(sizeof(float) * M * K);
    float *b = malloc(sizeof(float) * M), *start = malloc(sizeof(float) * ROWS * M);
    g.x = normals(LT_BF16, ROWS, K, 1, x), g.w = normals(LT_BF16, M, K, 2, w);
    g.b = LT_RESHAPE(normals(LT_F32, 1, M, 3, b), M), g.start = normals(LT_BF16, ROWS, M, 4, start);
    CHECK_OK(LT_NEW(&g.memory, LT_BF16, &g.y, ROWS, M));
    make_reference(x, w, b, start);
    free(x), free(w), free(b), free(start);
    return true;
}

static void close_gpu(void) {
    g.device->ops->stream_destroy(g.device, g.ctx.stream);
    lt_arena_free(&g.memory), lt_arena_free(&g.scratch);
    lt_device_close(g.device), lt_device_close(g.cpu);
    free(g.wanted), free(g.sum);
}

/* x w^T + b into y, or added to start, as float32 on the host. */
static float *product(bool accumulate) {
    float *result = malloc(sizeof(float) * ROWS * M);
    uint16_t *bits = malloc(sizeof *bits * ROWS * M);
    lt_linear_args f = {.x = g.x, .w = g.w, .b = g.b, .y = g.y, .accumulate = accumulate};
    CHECK_OK(lt_copy(&g.ctx, &(lt_copy_args){.x = g.start, .y = g.y, .scale = 1}));
    CHECK_OK(lt_linear_forward(&g.ctx, &f));
    CHECK_OK(lt_tensor_to_host(g.device, g.ctx.stream, &g.y, bits));
    for (int64_t i = 0; i < (int64_t)ROWS * M; i++) result[i] = lt_bf16_to_f32(bits[i]);
    free(bits);
    return result;
}

/* The first GEMM chooses, the second uses the choice: both are right, and alike to the bit. */
static void check_two(bool accumulate) {
    float *first = product(accumulate), *second = product(accumulate);
    lt_tensor found = LT_VIEW(first, LT_F32, ROWS, M);
    lt_tensor wanted = LT_VIEW(accumulate ? g.sum : g.wanted, LT_F32, ROWS, M);
    CHECK_OK(lt_compare("y", &found, &wanted, LT_TOL_BF16_FORWARD));
    CHECK(memcmp(first, second, sizeof(float) * ROWS * M) == 0);
    free(first), free(second);
}

/* Among them GEMMs that add to what the result holds, which trials must not touch: with room beside the workspace, with
 * the choice of the GEMM that does not add, and with neither. */
static void measured_products_are_right(void) {
    const size_t wide = 64 << 20, narrow = 33 << 20;
    if (!open_gpu(wide)) return;
    check_two(true);
    CHECK(lt_choices_count(g.device) == 1 && lt_choices_at(g.device, 0)->taken > 0);
    check_two(false); /* takes over that choice */
    CHECK(lt_choices_count(g.device) == 2);
    close_gpu();
    if (!open_gpu(narrow)) return;
    check_two(true);
    CHECK(lt_choices_count(g.device) == 1 && lt_choices_at(g.device, 0)->taken == 0);
    check_two(false);
    CHECK(lt_choices_count(g.device) == 2 && lt_choices_at(g.device, 1)->taken > 0);
    CHECK(lt_choices_at(g.device, 1)->taken <= lt_choices_at(g.device, 1)->first);
    close_gpu();
}

/* What is there is not measured again: a time that nothing can take stays. */
static void kept_choices_are_taken_again(void) {
    if (!open_gpu(64 << 20)) return;
    float *before = product(false);
    CHECK_OK(lt_choices_save(g.device, path));
    lt_choices_clear(g.device);
    lt_choices_load(g.device, path);
    CHECK(lt_choices_count(g.device) == 1);
    lt_choice marked = *lt_choices_at(g.device, 0);
    marked.taken = 123456;
    lt_choices_put(g.device, &marked);
    float *after = product(false);
    CHECK(lt_choices_count(g.device) == 1 && lt_choices_at(g.device, 0)->taken == 123456);
    CHECK(memcmp(before, after, sizeof(float) * ROWS * M) == 0);
    memset(marked.algorithm, 0, sizeof marked.algorithm); /* none of the library's: measured anew */
    lt_choices_clear(g.device);
    lt_choices_put(g.device, &marked);
    float *anew = product(false);
    CHECK(lt_choices_count(g.device) == 1 && lt_choices_at(g.device, 0)->taken < 123456);
    lt_tensor found = LT_VIEW(anew, LT_F32, ROWS, M), wanted = LT_VIEW(g.wanted, LT_F32, ROWS, M);
    CHECK_OK(lt_compare("y", &found, &wanted, LT_TOL_BF16_FORWARD));
    free(before), free(after), free(anew);
    close_gpu();
}

int main(int argc, char **argv) {
    char folder[TEST_FOLDER];
    test_make_folder("lt_choices", folder);
    CHECK_OK(lt_path_join(path, folder, LT_CHOICES_NAME));
    RUN(choices_survive_a_file);
    RUN(damaged_files_are_refused);
    RUN(choices_of_other_machines_are_refused);
    RUN(devices_choose_for_themselves);
    RUN(a_bad_file_is_a_warning);
    RUN(measured_products_are_right);
    RUN(kept_choices_are_taken_again);
    lt_choices_clear(&here);
    here.part[LT_SLOT_CHOICES].free(here.part[LT_SLOT_CHOICES].data);
    CHECK_OK(lt_remove_tree(folder));
    return test_end();
}
