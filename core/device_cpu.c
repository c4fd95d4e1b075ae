#include "core/device_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALIGNMENT = 4096 }; /* whole pages, which another device can pin */

static lt_status cpu_open(lt_device *device, const char *variant) {
    LT_CHECK(!variant, LT_USAGE, "device \"cpu:%s\": cpu has no variants; use \"cpu\"", variant);
    lt_target *target = &device->target;
    snprintf(target->name, sizeof target->name, "cpu");
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page_bytes > 0) target->memory_bytes = (int64_t)pages * page_bytes;
    target->matrix_dtype_bytes = 4;
    return LT_OK;
}

/* Never zero bytes: a tensor with a zero in its shape still has an address. */
static lt_status cpu_allocate(lt_device *device, size_t bytes, void **out) {
    (void)device;
    LT_CHECK(bytes <= PTRDIFF_MAX - ALIGNMENT, LT_FAILED, "more than the address space holds");
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *out = aligned_alloc(ALIGNMENT, rounded ? rounded : ALIGNMENT);
    LT_CHECK(*out, LT_FAILED, "the system has no more memory; use a smaller batch, model or budget");
    return LT_OK;
}

static void cpu_release(lt_device *device, void *memory) {
    (void)device;
    free(memory);
}

static lt_status cpu_copy(lt_device *device, lt_stream *stream, void *to, const void *from, size_t bytes,
                          lt_copy_kind kind) {
    (void)device, (void)stream, (void)kind;
    memcpy(to, from, bytes);
    return LT_OK;
}

static lt_status cpu_fill(lt_device *device, lt_stream *stream, void *to, int byte, size_t bytes) {
    (void)device, (void)stream;
    memset(to, byte, bytes);
    return LT_OK;
}

/* Linux's estimate, which counts caches that it would give up. */
static lt_status cpu_free_memory(lt_device *device, int64_t *bytes) {
    char line[128];
    long long kib = -1;
    FILE *info = fopen("/proc/meminfo", "re");
    while (info && kib < 0 && fgets(line, sizeof line, info))
        if (sscanf(line, "MemAvailable: %lld kB", &kib) != 1) kib = -1;
    if (info) fclose(info);
    *bytes = kib >= 0 ? 1024 * (int64_t)kib : device->target.memory_bytes;
    return LT_OK;
}

const lt_device_ops lt_device_cpu = {
    .name = "cpu",
    .backend = LT_BACKEND_CPU,
    .open = cpu_open,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .copy = cpu_copy,
    .fill = cpu_fill,
    .free_memory = cpu_free_memory,
};
