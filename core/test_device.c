#include "core/cli.h"
#include "core/device.h"
#include "core/parallel.h"
#include "tests/harness.h"

/* AddressSanitizer stops at impossible sizes unless told that refusing them is what is tested. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

static void cpu_memory_is_aligned_and_counted(void) {
    lt_device *device;
    CHECK_OK(lt_device_open("cpu", &device));
    CHECK(lt_device_is_host(device) && !lt_device_is_null(device));
    CHECK(device->target.memory_bytes > 0 && device->target.matrix_dtype_bytes == 4);
    void *a, *b, *none;
    CHECK_OK(lt_device_allocate(device, 1000, &a));
    CHECK_OK(lt_device_allocate(device, 1, &b));
    CHECK_OK(lt_device_allocate(device, 0, &none));
    CHECK((uintptr_t)a % 256 == 0 && (uintptr_t)b % 256 == 0 && none != NULL);
    CHECK(device->allocated_bytes == 1001 && device->peak_bytes == 1001);
    lt_device_release(device, a, 1000);
    CHECK(device->allocated_bytes == 1 && device->peak_bytes == 1001);
    lt_device_release(device, b, 1);
    lt_device_release(device, none, 0);
    lt_device_release(device, NULL, 0);
    CHECK(device->allocated_bytes == 0);
    lt_device_close(device);
    lt_device_close(NULL);
}

static void cpu_copies_and_fills(void) {
    lt_device *device;
    CHECK_OK(lt_device_open("cpu", &device));
    const char text[] = "0123456789";
    char back[11] = "";
    void *memory;
    CHECK_OK(lt_device_allocate(device, 11, &memory));
    CHECK_OK(lt_device_fill(device, NULL, memory, 'x', 11));
    CHECK_OK(lt_device_copy(device, NULL, memory, text, 4, LT_COPY_TO_DEVICE));
    CHECK_OK(lt_device_copy(device, NULL, back, memory, 10, LT_COPY_TO_HOST));
    CHECK_OK(lt_device_synchronize(device, NULL));
    CHECK(strcmp(back, "0123xxxxxx") == 0);
    CHECK_OK(lt_device_copy(device, NULL, NULL, NULL, 0, LT_COPY_ON_DEVICE));
    CHECK_FAILS(lt_device_copy(device, NULL, NULL, text, 4, LT_COPY_TO_DEVICE), LT_FAILED, "without memory");
    CHECK_FAILS(lt_device_copy(device, NULL, memory, NULL, 4, LT_COPY_TO_DEVICE), LT_FAILED, "from a tensor");
    CHECK_FAILS(lt_device_fill(device, NULL, NULL, 0, 4), LT_FAILED, "without memory");
    lt_device_release(device, memory, 11);
    lt_device_close(device);
}

static void impossible_sizes_fail_and_count_nothing(void) {
    lt_device *device;
    CHECK_OK(lt_device_open("cpu", &device));
    void *memory = device;
    CHECK_FAILS(lt_device_allocate(device, SIZE_MAX - 10, &memory), LT_FAILED, "address space");
    CHECK(memory == NULL && device->allocated_bytes == 0);
    CHECK_FAILS(lt_device_allocate(device, (size_t)1 << 60, &memory), LT_FAILED, "1.0 EiB");
    CHECK(strstr(lt_error(), "0 B already held"));
    lt_device_close(device);
}

static void null_addresses_are_distinct_aligned_and_never_touched(void) {
    lt_device *device;
    CHECK_OK(lt_device_open("null", &device));
    CHECK(lt_device_is_null(device) && !lt_device_is_host(device));
    const size_t big = (size_t)1 << 45; /* 32 TiB */
    void *a, *b, *c;
    CHECK_OK(lt_device_allocate(device, 100, &a));
    CHECK_OK(lt_device_allocate(device, big, &b));
    CHECK_OK(lt_device_allocate(device, 0, &c));
    CHECK(a && (uintptr_t)a % 256 == 0 && (uintptr_t)b % 256 == 0 && (uintptr_t)c % 256 == 0);
    CHECK((uintptr_t)b >= (uintptr_t)a + 100 && (uintptr_t)c >= (uintptr_t)b + big);
    CHECK(device->allocated_bytes == (int64_t)big + 100);
    char host[8] = "1234567";
    CHECK_OK(lt_device_copy(device, NULL, a, host, 8, LT_COPY_TO_DEVICE));
    CHECK_OK(lt_device_copy(device, NULL, b, a, 100, LT_COPY_ON_DEVICE));
    CHECK_OK(lt_device_fill(device, NULL, b, 1, big));
    CHECK(strcmp(host, "1234567") == 0);
    CHECK_OK(lt_device_copy(device, NULL, host, a, 8, LT_COPY_TO_HOST));
    CHECK(memcmp(host, "\0\0\0\0\0\0\0\0", 8) == 0);
    lt_device_release(device, b, big);
    lt_device_release(device, a, 100);
    CHECK(device->allocated_bytes == 0);
    CHECK_FAILS(lt_device_allocate(device, SIZE_MAX, &a), LT_FAILED, "addresses");
    lt_device_close(device);
}

static void null_impersonates_every_described_machine(void) {
    int count = 0;
    const lt_target *target;
    for (; (target = lt_target_at(count)); count++) {
        char spec[80];
        snprintf(spec, sizeof spec, "null:%s", target->name);
        lt_device *device;
        CHECK_OK(lt_device_open(spec, &device));
        CHECK(strcmp(device->target.name, target->name) == 0);
        CHECK(device->target.memory_bytes == target->memory_bytes &&
              target->memory_bytes > target->context_bytes);
        CHECK(target->bandwidth > 1e11 && target->matrix_flops > 1e13 && target->matrix_dtype_bytes == 2);
        lt_device_close(device);
    }
    CHECK(count == 7);
    CHECK(lt_target_at(-1) == NULL);
    lt_device *h100;
    CHECK_OK(lt_device_open("null:h100", &h100));
    CHECK(h100->target.matrix_flops == 756e12 && h100->target.bandwidth == 2.97e12);
    lt_device_close(h100);
}

static void unknown_devices_say_what_there_is(void) {
    lt_device *device;
    CHECK_FAILS(lt_device_open("gpu", &device), LT_USAGE, "cpu, null");
    CHECK(device == NULL);
    CHECK_FAILS(lt_device_open("cpux", &device), LT_USAGE, "cpux");
    CHECK_FAILS(lt_device_open("", &device), LT_USAGE, "no device");
    CHECK_FAILS(lt_device_open(NULL, &device), LT_USAGE, "no device");
    CHECK_FAILS(lt_device_open("cpu:fast", &device), LT_USAGE, "no variants");
    CHECK_FAILS(lt_device_open("null:h900", &device), LT_USAGE, "h100, h200");
}

static void kernels_are_chosen_where_there_is_a_choice(void) {
    lt_device *device;
    CHECK_OK(lt_device_open_as("null:h100", "bf16", "generic", &device));
    CHECK(device->generic);
    lt_device_close(device);
    CHECK_OK(lt_device_open_as("null:h100", NULL, "auto", &device));
    CHECK(!device->generic);
    lt_device_close(device);
    CHECK_OK(lt_device_open_as("cpu", "auto", NULL, &device));
    lt_device_close(device);
    CHECK_FAILS(lt_device_open_as("cpu", NULL, "generic", &device), LT_UNAVAILABLE, "--kernels generic");
    CHECK(device == NULL);
    CHECK_FAILS(lt_device_open_as("null", NULL, "fast", &device), LT_USAGE, "auto or generic");
}

static void absent_cuda_is_unavailable_with_a_way_to_get_it(void) {
    for (int i = 0; lt_device_at(i); i++)
        if (strcmp(lt_device_at(i)->name, "cuda") == 0) return; /* this build has it */
    lt_device *device;
    CHECK_FAILS(lt_device_open("cuda", &device), LT_UNAVAILABLE, "CUDA Toolkit");
    CHECK_FAILS(lt_device_open("cuda:1", &device), LT_UNAVAILABLE, "cmake --preset cuda");
}

static void table_of_devices_ends(void) {
    CHECK(strcmp(lt_device_at(0)->name, "cpu") == 0 && strcmp(lt_device_at(1)->name, "null") == 0);
    CHECK(lt_device_at(-1) == NULL && lt_device_at(100) == NULL);
}

static void sizes_in_bytes_parse_and_print(void) {
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {{"0", 0},
                 {"1024B", 1024},
                 {"60MiB", 62914560},
                 {"16GiB", 17179869184},
                 {"1.5KiB", 1536},
                 {"2 kB", 2000},
                 {"1.5GB", 1500000000},
                 {"3b", 3},
                 {"16gib", 17179869184},
                 {"0.5TiB", 549755813888}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t bytes = -1;
        CHECK_OK(lt_parse_bytes(cases[i].text, &bytes));
        CHECK(bytes == cases[i].bytes);
    }
    static const char *const wrong[] = {"", "MiB", "-1", "12XB", "nan", "inf", "1e30", "16 GiB x", "25%"};
    int64_t bytes;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_FAILS(lt_parse_bytes(wrong[i], &bytes), LT_USAGE, wrong[i]);
    CHECK_OK(lt_parse_memory_limit(NULL, &bytes));
    CHECK(bytes == 0);
    CHECK_OK(lt_parse_memory_limit("1KiB", &bytes));
    CHECK(bytes == 1024);
    CHECK_FAILS(lt_parse_memory_limit("many", &bytes), LT_USAGE, "--memory-limit: \"many\" is not");
    CHECK_FAILS(lt_parse_memory_limit("0", &bytes), LT_USAGE, "--memory-limit 0: nothing fits");
    CHECK_FAILS(lt_parse_memory_limit("0.4B", &bytes), LT_USAGE, "--memory-limit 0.4B: nothing fits");
    CHECK_FAILS(lt_parse_memory_limit("15", &bytes), LT_USAGE,
                "--memory-limit: \"15\" has no unit; write 15GiB, or 15B");
    CHECK_FAILS(lt_parse_bytes("1.5", &bytes), LT_USAGE, "1.5GiB");
    char text[32];
    CHECK(strcmp(lt_format_bytes(0, text), "0 B") == 0);
    CHECK(strcmp(lt_format_bytes(1023, text), "1023 B") == 0);
    CHECK(strcmp(lt_format_bytes(1024, text), "1.0 KiB") == 0);
    CHECK(strcmp(lt_format_bytes(1048575, text), "1.0 MiB") == 0);
    CHECK(strcmp(lt_format_bytes(26092000000, text), "24.3 GiB") == 0);
    CHECK(strcmp(lt_format_bytes(INT64_MAX, text), "8.0 EiB") == 0);
    CHECK(strcmp(lt_format_bytes(-2048, text), "-2.0 KiB") == 0);
}

static void threads_are_set_and_told(void) {
    lt_set_threads(3);
    CHECK(lt_threads() == 3);
    lt_set_threads(0);
    CHECK(lt_threads() >= 1);
}

static void free_memory_shrinks_by_what_is_allocated(void) {
    lt_device *device = NULL;
    int64_t before = 0, after = 0;
    void *memory;
    CHECK_OK(lt_device_open("null:h100", &device));
    CHECK_OK(lt_device_free_memory(device, &before));
    CHECK(before > 0 && before == device->target.memory_bytes - device->target.context_bytes);
    CHECK_OK(lt_device_allocate(device, 1 << 20, &memory));
    CHECK_OK(lt_device_free_memory(device, &after));
    CHECK(after == before - (1 << 20));
    lt_device_release(device, memory, 1 << 20);
    lt_device_close(device);
    CHECK_OK(lt_device_open("cpu", &device));
    CHECK_OK(lt_device_free_memory(device, &after));
    CHECK(after > 0 && after <= device->target.memory_bytes);
    lt_device_close(device);
}

int main(int argc, char **argv) {
    RUN(free_memory_shrinks_by_what_is_allocated);
    RUN(cpu_memory_is_aligned_and_counted);
    RUN(cpu_copies_and_fills);
    RUN(impossible_sizes_fail_and_count_nothing);
    RUN(null_addresses_are_distinct_aligned_and_never_touched);
    RUN(null_impersonates_every_described_machine);
    RUN(unknown_devices_say_what_there_is);
    RUN(kernels_are_chosen_where_there_is_a_choice);
    RUN(absent_cuda_is_unavailable_with_a_way_to_get_it);
    RUN(table_of_devices_ends);
    RUN(sizes_in_bytes_parse_and_print);
    RUN(threads_are_set_and_told);
    return test_end();
}
