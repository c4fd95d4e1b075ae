#include "core/device.h"

#include "core/cli.h"
#include "core/device_table.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lt_device_ops *const devices[] = {
    &lt_device_cpu,
    &lt_device_null,
#ifdef LT_WITH_CUDA
    &lt_device_cuda,
#endif
};
enum { DEVICE_COUNT = sizeof devices / sizeof *devices };

/* Devices of this project that a build may lack: what to say when one is asked for and has no row above. */
static const struct {
    const char *name, *how;
} elsewhere[] = {
    {"cuda", "this build has no CUDA backend; install the CUDA Toolkit, then configure with "
             "`cmake --preset cuda`; --device cpu works everywhere"},
};

const lt_device_ops *lt_device_at(int index) {
    return index >= 0 && index < (int)DEVICE_COUNT ? devices[index] : NULL;
}

static bool names_device(const char *spec, const char *name) {
    size_t length = strlen(name);
    return strncmp(spec, name, length) == 0 && (spec[length] == '\0' || spec[length] == ':');
}

static lt_status no_such_device(const char *spec) {
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (names_device(spec, elsewhere[i].name))
            return lt_fail(LT_UNAVAILABLE, "device \"%s\": %s", spec, elsewhere[i].how);
    char known[256] = "";
    for (int i = 0; i < (int)DEVICE_COUNT; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", devices[i]->name);
    }
    return lt_fail(LT_USAGE, "there is no device \"%s\"; this build has: %s", spec, known);
}

lt_status lt_device_open(const char *spec, lt_device **out) {
    *out = NULL;
    LT_CHECK(spec && *spec, LT_USAGE, "no device was named; use cpu, or see `longtake list devices`");
    for (int i = 0; i < (int)DEVICE_COUNT; i++) {
        if (!names_device(spec, devices[i]->name)) continue;
        lt_device *device = calloc(1, sizeof *device);
        LT_CHECK(device, LT_FAILED, "out of memory while opening device \"%s\"", spec);
        device->ops = devices[i];
        const char *colon = strchr(spec, ':');
        lt_status status = device->ops->open(device, colon ? colon + 1 : NULL);
        if (status != LT_OK) {
            free(device);
            return status;
        }
        *out = device;
        return LT_OK;
    }
    return no_such_device(spec);
}

static lt_status set_precision(lt_device *device, const char *precision) {
    bool f32 = strcmp(precision, "f32") == 0, bf16 = strcmp(precision, "bf16") == 0;
    bool fp8 = strcmp(precision, "fp8") == 0;
    LT_CHECK(f32 || bf16 || fp8, LT_UNAVAILABLE, "--precision %s: not in this build; use f32, bf16 or fp8",
             precision);
    LT_CHECK(f32 || !lt_device_is_host(device), LT_UNAVAILABLE,
             "--precision %s: the cpu computes in float32; leave it out%s", precision,
             fp8 ? ", or use --device cuda on a GPU that has fp8" : "");
    LT_CHECK(!fp8 || device->target.fp8, LT_UNAVAILABLE,
             "--precision fp8: %s multiplies no 8-bit numbers; it takes a GPU of compute capability 8.9 or "
             "newer (RTX 40, L40S, H100 and later); use bf16 here",
             device->target.name);
    device->target.matrix_dtype_bytes = f32 ? 4 : fp8 ? 1 : 2;
    return LT_OK;
}

static lt_status set_kernels(lt_device *device, const char *kernels) {
    device->generic = strcmp(kernels, "generic") == 0;
    LT_CHECK(device->generic, LT_USAGE, "--kernels %s: use auto or generic", kernels);
    LT_CHECK(!lt_device_is_host(device), LT_UNAVAILABLE,
             "--kernels generic: the cpu has one kind of kernels; leave it out");
    return LT_OK;
}

static bool is_auto(const char *choice) { return !choice || strcmp(choice, "auto") == 0; }

lt_status lt_device_open_as(const char *spec, const char *precision, const char *kernels, lt_device **out) {
    LT_TRY(lt_device_open(spec, out));
    lt_status status = is_auto(precision) ? LT_OK : set_precision(*out, precision);
    if (status == LT_OK && !is_auto(kernels)) status = set_kernels(*out, kernels);
    if (status == LT_OK) return LT_OK;
    lt_device_close(*out);
    *out = NULL;
    return status;
}

const char *lt_device_precision(const lt_device *device) {
    int bytes = device->target.matrix_dtype_bytes;
    return bytes == 4 ? "f32" : bytes == 2 ? "bf16" : "fp8";
}

const char *lt_device_kernels(const lt_device *device) { return device->generic ? "generic" : "auto"; }

void lt_device_close(lt_device *device) {
    if (!device) return;
    for (int i = 0; i < LT_SLOT_COUNT; i++)
        if (device->part[i].data) device->part[i].free(device->part[i].data);
    if (device->ops->close) device->ops->close(device);
    free(device);
}

lt_status lt_device_allocate(lt_device *device, size_t bytes, void **out) {
    *out = NULL;
    lt_status status = device->ops->allocate(device, bytes, out);
    if (status != LT_OK) {
        char asked[32], held[32];
        return lt_fail_in(status, "%s: could not allocate %s (%zu bytes) beside the %s already held",
                          device->target.name,
                          lt_format_bytes(bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes, asked), bytes,
                          lt_format_bytes(device->allocated_bytes, held));
    }
    device->allocated_bytes += (int64_t)bytes;
    if (device->allocated_bytes > device->peak_bytes) device->peak_bytes = device->allocated_bytes;
    return LT_OK;
}

void lt_device_release(lt_device *device, void *memory, size_t bytes) {
    if (!memory) return;
    device->ops->release(device, memory);
    device->allocated_bytes -= (int64_t)bytes;
}

lt_status lt_device_free_memory(lt_device *device, int64_t *bytes) {
    if (device->ops->free_memory) return device->ops->free_memory(device, bytes);
    const lt_target *target = &device->target;
    *bytes = target->memory_bytes - target->context_bytes - device->allocated_bytes;
    return LT_OK;
}

lt_status lt_device_copy(lt_device *device, lt_stream *stream, void *to, const void *from, size_t bytes,
                         lt_copy_kind kind) {
    if (bytes == 0) return LT_OK;
    LT_CHECK(to && from, LT_FAILED, "%s: copy of %zu bytes %s a tensor without memory", device->target.name,
             bytes, to ? "from" : "to");
    return device->ops->copy(device, stream, to, from, bytes, kind);
}

lt_status lt_device_fill(lt_device *device, lt_stream *stream, void *to, int byte, size_t bytes) {
    if (bytes == 0) return LT_OK;
    LT_CHECK(to, LT_FAILED, "%s: fill of %zu bytes of a tensor without memory", device->target.name, bytes);
    return device->ops->fill(device, stream, to, byte, bytes);
}

lt_status lt_device_synchronize(lt_device *device, lt_stream *stream) {
    return device->ops->synchronize ? device->ops->synchronize(device, stream) : LT_OK;
}
