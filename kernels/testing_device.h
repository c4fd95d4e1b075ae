/* Where the tests of float32 run: on the CPU, or with LT_TEST_DEVICE=cuda on a GPU, in memory that the host reaches too, so that
 * tests look at values as they do on the CPU. Kernels must then be complete when their launch returns:
 * CUDA_LAUNCH_BLOCKING=1 (scripts/test.sh --gpu sets both). */
#ifndef LT_KERNELS_TESTING_DEVICE_H
#define LT_KERNELS_TESTING_DEVICE_H

#include "core/device.h"
#include <stdlib.h>
#include <string.h>

static inline const char *test_device(void) {
    const char *name = getenv("LT_TEST_DEVICE");
    return name && strcmp(name, "cuda") == 0 ? "cuda:shared" : "cpu";
}

/* The backend of float32 there. */
static inline lt_backend test_backend(void) {
    return strcmp(test_device(), "cpu") == 0 ? LT_BACKEND_CPU : LT_BACKEND_CUDA;
}

/* Opens `device` for `backend`; the test's device in place of the CPU for float32: other devices and the float64 reference stay.
 * float32 there too: no bf16. */
static inline lt_status test_device_open(const char *device, lt_backend *backend, lt_device **out) {
    bool replaced = strcmp(device, "cpu") == 0 && *backend == LT_BACKEND_CPU;
    if (!replaced) return lt_device_open(device, out);
    *backend = test_backend();
    return lt_device_open_as(test_device(), "f32", out);
}

#endif
