/* The GPU as a device: copies, fills, streams, errors. Without LT_TEST_DEVICE=cuda, only what a machine without a GPU
 * must say. */
#include "core/device_cuda.h"
#include "core/io.h"
#include "core/tensor.h"
#include "tests/harness.h"

static bool gpu_wanted(void) {
    const char *name = getenv("LT_TEST_DEVICE");
    return name && strcmp(name, "cuda") == 0;
}

static void a_machine_without_a_gpu_says_so(void) {
    lt_device *device;
    lt_status status = lt_device_open("cuda", &device);
    if (status == LT_OK) lt_device_close(device);
    else CHECK(status == LT_UNAVAILABLE && strstr(lt_error(), "--device cpu"));
    CHECK(status == LT_OK || device == NULL);
}

static void variants_are_checked(void) {
    lt_device *device;
    CHECK_FAILS(lt_device_open("cuda:99", &device), LT_USAGE, "cuda:99");
    CHECK_FAILS(lt_device_open("cuda:x", &device), LT_USAGE, "cuda:x");
    CHECK_FAILS(lt_device_open_as("cuda", "fp4", NULL, &device), LT_UNAVAILABLE, "fp4");
    CHECK_OK(lt_device_open_as("cuda", NULL, "generic", &device));
    CHECK(device && device->generic);
    lt_device_close(device);
}

/* Many copies of every size up to above the ring's, from memory that changes as soon as the call is back. */
static void host_memory_may_be_used_again_after_a_copy(void) {
    enum { MOST = 1 << 20, ROUNDS = 40 };
    lt_device *device;
    lt_stream *stream;
    void *memory;
    unsigned char *from = malloc(MOST), *back = malloc(MOST);
    CHECK_OK(lt_device_open("cuda", &device));
    CHECK_OK(device->ops->stream_create(device, &stream));
    CHECK_OK(lt_device_allocate(device, (size_t)ROUNDS * MOST, &memory));
    for (int i = 0; i < ROUNDS; i++) {
        memset(from, i + 1, MOST);
        size_t bytes = (size_t)MOST >> i % 12;
        CHECK_OK(lt_device_copy(device, stream, (char *)memory + (size_t)i * MOST, from, bytes,
                                LT_COPY_TO_DEVICE));
    }
    for (int i = 0; i < ROUNDS; i++) {
        size_t bytes = (size_t)MOST >> i % 12, same = 0;
        CHECK_OK(
            lt_device_copy(device, stream, back, (char *)memory + (size_t)i * MOST, bytes, LT_COPY_TO_HOST));
        for (size_t k = 0; k < bytes; k++) same += back[k] == i + 1;
        CHECK(same == bytes);
    }
    lt_device_release(device, memory, (size_t)ROUNDS * MOST);
    device->ops->stream_destroy(device, stream);
    lt_device_close(device);
    free(from);
    free(back);
}

static void a_second_stream_waits_for_an_event(void) {
    lt_device *device;
    lt_stream *streams[2];
    lt_event *event;
    void *memory;
    const size_t bytes = 256 << 20;
    unsigned char last = 0;
    CHECK_OK(lt_device_open("cuda", &device));
    for (int i = 0; i < 2; i++) CHECK_OK(device->ops->stream_create(device, &streams[i]));
    CHECK_OK(device->ops->event_create(device, &event));
    CHECK_OK(lt_device_allocate(device, bytes, &memory));
    for (int i = 1; i <= 50; i++) CHECK_OK(lt_device_fill(device, streams[0], memory, i, bytes));
    CHECK_OK(device->ops->event_record(device, event, streams[0]));
    CHECK_OK(device->ops->event_wait(device, event, streams[1]));
    CHECK_OK(lt_device_copy(device, streams[1], &last, (char *)memory + bytes - 1, 1, LT_COPY_TO_HOST));
    CHECK(last == 50);
    device->ops->event_destroy(device, event);
    for (int i = 0; i < 2; i++) device->ops->stream_destroy(device, streams[i]);
    lt_device_release(device, memory, bytes);
    lt_device_close(device);
}

/* Small blocks lie side by side in the heap, and each is pinned by itself. */
static void copies_to_pinned_memory_do_not_keep_the_host(void) {
    enum { BLOCKS = 5 };
    const size_t sizes[BLOCKS] = {5000, 100, 70000, 5000, (size_t)256 << 20}, most = sizes[BLOCKS - 1];
    lt_device *device, *host;
    lt_stream *stream;
    void *memory, *blocks[BLOCKS];
    CHECK_OK(lt_device_open("cuda", &device));
    CHECK_OK(lt_device_open("cpu", &host));
    CHECK_OK(device->ops->stream_create(device, &stream));
    CHECK_OK(lt_device_allocate(device, most, &memory));
    for (int i = 0; i < BLOCKS; i++) {
        CHECK_OK(lt_device_allocate(host, sizes[i], &blocks[i]));
        CHECK_OK(device->ops->pin(device, blocks[i], sizes[i]));
    }
    CHECK_FAILS(device->ops->pin(device, blocks[BLOCKS - 1], most), LT_FAILED, "pinning");
    for (int i = 1; i <= 50; i++) CHECK_OK(lt_device_fill(device, stream, memory, i, most));
    double start = lt_seconds();
    for (int i = 0; i < BLOCKS; i++)
        CHECK_OK(lt_device_copy(device, stream, blocks[i], memory, sizes[i], LT_COPY_TO_PINNED));
    double asked = lt_seconds() - start;
    CHECK_OK(lt_device_synchronize(device, stream));
    CHECK(asked < (lt_seconds() - start) / 2);
    for (int i = 0; i < BLOCKS; i++) {
        CHECK(((const char *)blocks[i])[0] == 50 && ((const char *)blocks[i])[sizes[i] - 1] == 50);
        device->ops->unpin(device, blocks[i]);
        lt_device_release(host, blocks[i], sizes[i]);
    }
    lt_device_release(device, memory, most);
    device->ops->stream_destroy(device, stream);
    lt_device_close(host);
    lt_device_close(device);
}

static void memory_is_accounted_and_its_end_is_an_error(void) {
    lt_device *device;
    void *memory, *more;
    CHECK_OK(lt_device_open("cuda", &device));
    CHECK(device->target.memory_bytes > (int64_t)1 << 30 && device->target.context_bytes > 0);
    CHECK(lt_cuda_capability(device) >= 80 && lt_cuda_multiprocessors(device) > 0 && lt_cuda_blas(device));
    CHECK_OK(lt_device_allocate(device, 1 << 20, &memory));
    CHECK(device->allocated_bytes == 1 << 20);
    CHECK_FAILS(lt_device_allocate(device, (size_t)device->target.memory_bytes * 2, &more), LT_FAILED,
                "no more memory");
    CHECK_OK(lt_device_fill(device, NULL, memory, 1, 1 << 20)); /* the device goes on */
    lt_device_release(device, memory, 1 << 20);
    CHECK(device->allocated_bytes == 0 && device->peak_bytes == 1 << 20);
    lt_device_close(device);
}

/* What is held besides, here by this process itself, is no part of it. */
static void a_context_is_one_process_s_alone(void) {
    lt_device *first, *second;
    void *memory;
    const int64_t most = (int64_t)1 << 30;
    CHECK_OK(lt_device_open("cuda", &first));
    CHECK(first->target.context_bytes > 0 && first->target.context_bytes <= most);
    CHECK_OK(lt_device_allocate(first, (size_t)most, &memory));
    CHECK_OK(lt_device_open("cuda", &second));
    CHECK(second->target.context_bytes == lt_target_at(0)->context_bytes);
    lt_device_close(second);
    lt_device_release(first, memory, (size_t)most);
    lt_device_close(first);
}

int main(int argc, char **argv) {
    unsetenv("CUDA_LAUNCH_BLOCKING"); /* what goes on beside other work is what is tested */
    RUN(a_machine_without_a_gpu_says_so);
    if (gpu_wanted()) {
        RUN(variants_are_checked);
        RUN(host_memory_may_be_used_again_after_a_copy);
        RUN(a_second_stream_waits_for_an_event);
        RUN(copies_to_pinned_memory_do_not_keep_the_host);
        RUN(memory_is_accounted_and_its_end_is_an_error);
        RUN(a_context_is_one_process_s_alone);
    }
    return test_end();
}
