#include "core/arena.h"
#include "tests/harness.h"

/* AddressSanitizer stops at impossible sizes unless told that refusing them is what is tested. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

static lt_device *open_device(const char *spec) {
    lt_device *device = NULL;
    CHECK_OK(lt_device_open(spec, &device));
    return device;
}

static void blocks_are_aligned_and_disjoint(void) {
    lt_device *device = open_device("cpu");
    lt_arena arena;
    CHECK_OK(lt_arena_init(&arena, device, 1 << 20, "test"));
    char *previous_end = NULL;
    for (size_t bytes = 0; bytes < 1000; bytes += 37) {
        void *block;
        CHECK_OK(lt_arena_alloc(&arena, bytes, &block));
        CHECK((uintptr_t)block % LT_ARENA_ALIGN == 0 && (char *)block >= previous_end);
        memset(block, 1, bytes);
        previous_end = (char *)block + bytes;
    }
    CHECK(device->allocated_bytes == 1 << 20);
    lt_arena_free(&arena);
    CHECK(device->allocated_bytes == 0);
    lt_arena_free(&arena); /* freeing twice is harmless */
    lt_device_close(device);
}

static void release_returns_to_the_mark_and_the_peak_stays(void) {
    lt_device *device = open_device("cpu");
    lt_arena arena;
    CHECK_OK(lt_arena_init(&arena, device, 4096, "test"));
    void *kept, *first, *second;
    CHECK_OK(lt_arena_alloc(&arena, 10, &kept));
    size_t mark = lt_arena_mark(&arena);
    CHECK(mark == 256);
    CHECK_OK(lt_arena_alloc(&arena, 300, &first));
    CHECK(arena.used == 768 && arena.peak == 768);
    lt_arena_release(&arena, mark);
    CHECK(arena.used == 256 && arena.peak == 768);
    CHECK_OK(lt_arena_alloc(&arena, 300, &second));
    CHECK(first == second);
    lt_arena_release(&arena, mark);
    lt_arena_reset_peak(&arena);
    CHECK(arena.peak == 256);
    lt_arena_free(&arena);
    lt_device_close(device);
}

static void the_far_end_grows_towards_the_near_one(void) {
    lt_device *device = open_device("cpu");
    lt_arena arena;
    CHECK_OK(lt_arena_init(&arena, device, 4096 + 100, "test"));
    void *near, *far, *farther, *again;
    CHECK_OK(lt_arena_alloc(&arena, 256, &near));
    CHECK_OK(lt_arena_alloc_far(&arena, 10, &far));
    CHECK_OK(lt_arena_alloc_far(&arena, 300, &farther));
    CHECK((char *)far == (char *)near + 4096 - 256 && (char *)farther == (char *)far - 512);
    CHECK(arena.used == 256 && arena.far == 768 && arena.peak == 1024);
    CHECK_FAILS(lt_arena_alloc_far(&arena, 4096 - 1024 + 1, &again), LT_FAILED, "left of");
    CHECK_FAILS(lt_arena_alloc(&arena, 4096 + 100 - 1024 + 1, &again), LT_FAILED, "left of");
    CHECK_OK(lt_arena_set_far(&arena, 0));
    CHECK_OK(lt_arena_alloc(&arena, 3200, &again));
    CHECK_FAILS(lt_arena_set_far(&arena, 768), LT_FAILED, "left of");
    lt_arena_release(&arena, 256);
    CHECK_OK(lt_arena_set_far(&arena, 256));
    CHECK_OK(lt_arena_alloc_far(&arena, 300, &again));
    CHECK(again == farther && arena.peak == 256 + 3328);
    lt_arena_free(&arena);
    lt_device_close(device);
}

static void full_arena_names_role_and_sizes(void) {
    lt_device *device = open_device("cpu");
    lt_arena arena;
    CHECK_OK(lt_arena_init(&arena, device, 1000, "weights"));
    void *block;
    CHECK_OK(lt_arena_alloc(&arena, 512, &block));
    CHECK_FAILS(lt_arena_alloc(&arena, 489, &block), LT_FAILED, "weights");
    CHECK(block == NULL && strstr(lt_error(), "489 bytes") && strstr(lt_error(), "488 B left"));
    CHECK(arena.used == 512);
    CHECK_OK(lt_arena_alloc(&arena, 488, &block)); /* the ragged end is usable */
    CHECK(arena.used == 1000);
    CHECK_OK(lt_arena_alloc(&arena, 0, &block));
    CHECK(block != NULL);
    CHECK_FAILS(lt_arena_alloc(&arena, 1, &block), LT_FAILED, "0 B left");
    CHECK_FAILS(lt_arena_alloc(&arena, SIZE_MAX, &block), LT_FAILED, "not a size");
    CHECK_FAILS(lt_arena_alloc(&arena, SIZE_MAX / 2, &block), LT_FAILED, "not a size");
    lt_arena_free(&arena);
    CHECK_FAILS(lt_arena_alloc(&arena, 1, &block), LT_FAILED, "not initialised");
    CHECK_FAILS(lt_arena_init(&arena, device, SIZE_MAX, "states"), LT_FAILED, "memory for states: cpu:");
    CHECK_FAILS(lt_arena_alloc(&arena, 1, &block), LT_FAILED, "not initialised");
    lt_device_close(device);
}

static void poison_makes_every_float_a_nan(void) {
    lt_device *device = open_device("cpu");
    lt_arena arena;
    CHECK_OK(lt_arena_init(&arena, device, 4096, "test"));
    arena.poison = true;
    for (int round = 0; round < 2; round++) {
        void *block;
        CHECK_OK(lt_arena_alloc(&arena, 64, &block));
        float *f32 = block;
        double *f64 = block;
        for (int i = 0; i < 16; i++) CHECK(isnan(f32[i]));
        for (int i = 0; i < 8; i++) CHECK(isnan(f64[i]));
        memset(block, 0, 64);
        lt_arena_release(&arena, 0); /* memory that is used again is poisoned again */
    }
    lt_arena_free(&arena);
    lt_device_close(device);
}

static void null_arena_only_counts(void) {
    lt_device *device = open_device("null:h100");
    lt_arena a, b;
    CHECK_OK(lt_arena_init(&a, device, 16, "weights"));
    CHECK_OK(lt_arena_init(&b, device, 16, "step"));
    a.poison = true;
    void *first, *second;
    const size_t terabyte = (size_t)1 << 40;
    CHECK_OK(lt_arena_alloc(&a, terabyte, &first));
    CHECK_OK(lt_arena_alloc(&a, 1, &second));
    CHECK((char *)second - (char *)first == (ptrdiff_t)terabyte);
    CHECK(a.used == terabyte + 256 && a.peak == a.used && a.capacity == SIZE_MAX);
    CHECK(device->allocated_bytes == 0);
    CHECK_OK(lt_arena_alloc(&b, 1, &first));
    CHECK(first > second);
    lt_arena_free(&a);
    lt_arena_free(&b);
    CHECK(device->allocated_bytes == 0);
    lt_device_close(device);
}

static void pool_memory_is_zeroed_aligned_and_disjoint(void) {
    lt_pool pool = {0};
    enum { COUNT = 2000 };
    unsigned char *blocks[COUNT];
    for (int round = 0; round < 2; round++) {
        size_t held = pool.bytes;
        for (int i = 0; i < COUNT; i++) {
            size_t bytes = (size_t)(i * 7 % 97);
            blocks[i] = lt_pool_alloc(&pool, bytes);
            CHECK(blocks[i] && (uintptr_t)blocks[i] % 16 == 0);
            for (size_t j = 0; j < bytes; j++) CHECK(blocks[i][j] == 0);
            memset(blocks[i], i % 255 + 1, bytes);
        }
        for (int i = 0; i < COUNT; i++)
            for (size_t j = 0; j < (size_t)(i * 7 % 97); j++) CHECK(blocks[i][j] == i % 255 + 1);
        if (round) CHECK(pool.bytes == held); /* the chunks of the first round were enough */
        lt_pool_reset(&pool);
    }
    lt_pool_free(&pool);
    CHECK(pool.bytes == 0 && pool.chunks == NULL);
}

static void pool_serves_blocks_larger_than_a_chunk(void) {
    lt_pool pool = {0};
    char *small = lt_pool_strdup(&pool, "name");
    char *large = lt_pool_alloc(&pool, 1 << 20);
    char *after = lt_pool_strdup(&pool, "");
    CHECK(strcmp(small, "name") == 0 && after[0] == '\0');
    CHECK(large[0] == 0 && large[(1 << 20) - 1] == 0);
    CHECK(pool.bytes >= 1 << 20);
    lt_pool_free(&pool);
}

static void pool_out_of_memory_is_null_with_a_message(void) {
    lt_pool pool = {0};
    lt_fail(LT_OK, "nothing");
    CHECK(lt_pool_alloc(&pool, SIZE_MAX) == NULL && strstr(lt_error(), "out of host memory"));
    lt_fail(LT_OK, "nothing");
    CHECK(lt_pool_alloc(&pool, (size_t)1 << 60) == NULL && strstr(lt_error(), "out of host memory"));
    CHECK(lt_pool_strdup(&pool, "still works") != NULL);
    lt_pool_free(&pool);
}

int main(int argc, char **argv) {
    RUN(blocks_are_aligned_and_disjoint);
    RUN(release_returns_to_the_mark_and_the_peak_stays);
    RUN(the_far_end_grows_towards_the_near_one);
    RUN(full_arena_names_role_and_sizes);
    RUN(poison_makes_every_float_a_nan);
    RUN(null_arena_only_counts);
    RUN(pool_memory_is_zeroed_aligned_and_disjoint);
    RUN(pool_serves_blocks_larger_than_a_chunk);
    RUN(pool_out_of_memory_is_null_with_a_message);
    return test_end();
}
