/* A device without memory: graphs run on it to count shapes, FLOPs and bytes. */
#include "core/device_table.h"

#include <stdio.h>
#include <string.h>

/* Addresses start where no user space reaches (bit 50 of a 48-bit space), so reading one faults at once, and
 * lie 16 TiB apart, so an arena that only counts does not grow into its neighbour. */
#define FIRST_ADDRESS ((uintptr_t)1 << 50)
#define SPACING       ((uintptr_t)1 << 44)

static lt_status null_open(lt_device *device, const char *variant) {
    device->state = (void *)FIRST_ADDRESS; /* the next address to hand out */
    if (!variant) {
        snprintf(device->target.name, sizeof device->target.name, "null");
        device->target.matrix_dtype_bytes = 4;
        return LT_OK;
    }
    char known[512] = "";
    const lt_target *target;
    for (int i = 0; (target = lt_target_at(i)); i++) {
        if (strcmp(target->name, variant) == 0) {
            device->target = *target;
            return LT_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", target->name);
    }
    return lt_fail(LT_USAGE, "device \"null:%s\": no such machine is described; known: %s", variant, known);
}

static lt_status null_allocate(lt_device *device, size_t bytes, void **out) {
    uintptr_t address = (uintptr_t)device->state;
    uintptr_t spans = bytes / SPACING + 1;
    LT_CHECK(spans < (UINTPTR_MAX - address) / SPACING, LT_FAILED, "the null device has no more addresses");
    device->state = (void *)(address + spans * SPACING);
    *out = (void *)address;
    return LT_OK;
}

static void null_release(lt_device *device, void *memory) { (void)device, (void)memory; }

static lt_status null_copy(lt_device *device, lt_stream *stream, void *to, const void *from, size_t bytes,
                           lt_copy_kind kind) {
    (void)device, (void)stream, (void)from;
    if (kind == LT_COPY_TO_HOST || kind == LT_COPY_TO_PINNED) memset(to, 0, bytes);
    return LT_OK;
}

static lt_status null_fill(lt_device *device, lt_stream *stream, void *to, int byte, size_t bytes) {
    (void)device, (void)stream, (void)to, (void)byte, (void)bytes;
    return LT_OK;
}

const lt_device_ops lt_device_null = {
    .name = "null",
    .backend = LT_BACKEND_NULL,
    .open = null_open,
    .allocate = null_allocate,
    .release = null_release,
    .copy = null_copy,
    .fill = null_fill,
};
