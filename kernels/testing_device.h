/* Where the tests of float32 run: on the CPU, or with LT_TEST_DEVICE=cuda on a GPU, in memory that the host reaches
 * too, so that tests look at values as they do on the CPU. Kernels must then be complete when their launch returns:
 * CUDA_LAUNCH_BLOCKING=1 (scripts/test.sh --gpu sets both). Besides,
 *
 *     LT_TEST_KERNELS=generic   only kernels without tensor cores run on the GPU
 *     LT_TEST_SMALL=1           checks of ops with an operand of more than a million elements are left out
 *     LT_TEST_POISON=off        workspaces are not filled before each op, and no guard words lie behind operands: a
 *                               sanitizer then sees what is read before it was written, and the first byte past an
 *                               operand
 */
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

/* How often a test repeats what takes a path that it took before: thousands of launches that are each waited for are
 * slow. */
static inline int test_times(int on_cpu, int on_gpu) {
    return test_backend() == LT_BACKEND_CPU ? on_cpu : on_gpu;
}

/* With LT_TEST_KERNELS=generic too, only kernels without tensor cores run there. */
static inline const char *test_kernels(void) {
    return strcmp(test_device(), "cpu") == 0 ? NULL : getenv("LT_TEST_KERNELS");
}

/* Opens `device` for `backend`; the test's device in place of the CPU for float32: other devices and the float64
 * reference stay. float32 there too: no bf16. */
static inline lt_status test_device_open(const char *device, lt_backend *backend, lt_device **out) {
    bool replaced = strcmp(device, "cpu") == 0 && *backend == LT_BACKEND_CPU;
    if (!replaced) return lt_device_open(device, out);
    *backend = test_backend();
    return lt_device_open_as(test_device(), "f32", test_kernels(), out);
}

#endif
