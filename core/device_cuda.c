/* NVIDIA GPUs through the CUDA runtime. */
#include "core/device_cuda.h"

#include "core/cli.h"
#include "core/device_table.h"
#include "core/log.h"
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies to the device up to STAGE_MOST bytes go through a pinned ring, so that the caller need not wait and may
 * reuse its memory at once. */
enum { STAGE_BYTES = 4 << 20, STAGE_MOST = 256 << 10, STAGE_ALIGN = 64, CONTEXT_MOST = 1 << 30 };

typedef struct cuda_state {
    int multiprocessors, capability;
    cublasLtHandle_t blas;
    char *stage;
    size_t staged;
    lt_stream *stager; /* which stream's copies the ring holds; NULL: several */
    bool shared;
} cuda_state;

static lt_status check_cuda(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return LT_OK;
    return lt_fail(LT_FAILED, "CUDA: %s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

static cudaStream_t stream_of(lt_stream *stream) { return (cudaStream_t)stream; }

/* ---- opening and closing ------------------------------------------------------------------------------- */

static lt_status pick(const char *variant, int *index) {
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    LT_CHECK(error == cudaSuccess && count > 0, LT_UNAVAILABLE,
             "device \"cuda\": no usable GPU on this machine (%s); --device cpu works everywhere",
             error == cudaSuccess ? "the driver lists none" : cudaGetErrorString(error));
    char *end;
    long wanted = variant ? strtol(variant, &end, 10) : 0;
    LT_CHECK(!variant || (*variant && *end == '\0' && wanted >= 0 && wanted < count), LT_USAGE,
             "device \"cuda:%s\": expected cuda or cuda:0 to cuda:%d", variant, count - 1);
    *index = (int)wanted;
    return LT_OK;
}

static int attribute(enum cudaDeviceAttr which, int index) {
    int value = 0;
    return cudaDeviceGetAttribute(&value, which, index) == cudaSuccess ? value : 0;
}

/* What this process takes. The driver tells only what all processes hold together: where that is more than a context
 * takes, others are there, or this device is open already, and what one was measured to take stands in. */
static int64_t context_of(const char *name, int64_t held) {
    char all[32], one[32];
    int64_t usual = lt_target_at(0)->context_bytes;
    if (held <= CONTEXT_MOST) return held;
    lt_debug("%s: %s are held when it is opened, not all by this; its context is taken to be %s", name,
             lt_format_bytes(held, all), lt_format_bytes(usual, one));
    return usual;
}

static lt_status describe_gpu(lt_device *device, int index) {
    struct cudaDeviceProp properties;
    size_t free_bytes, total;
    LT_TRY(check_cuda(cudaGetDeviceProperties(&properties, index), "reading the device's properties"));
    LT_TRY(check_cuda(cudaMemGetInfo(&free_bytes, &total), "reading the device's memory"));
    LT_TRY(
        check_cuda(cudaDeviceGetPCIBusId(device->place, sizeof device->place, index), "reading its address"));
    lt_target *target = &device->target;
    snprintf(target->name, sizeof target->name, "%.63s", properties.name);
    target->memory_bytes = (int64_t)total;
    target->context_bytes = context_of(target->name, (int64_t)(total - free_bytes));
    target->bandwidth = 2e3 * attribute(cudaDevAttrMemoryClockRate, index) *
                        attribute(cudaDevAttrGlobalMemoryBusWidth, index) / 8;
    target->matrix_dtype_bytes = 2;
    cuda_state *state = device->state;
    state->multiprocessors = properties.multiProcessorCount;
    state->capability = 10 * properties.major + properties.minor;
    target->fp8 = state->capability >= 89;
    return LT_OK;
}

static void cuda_close(lt_device *device) {
    cuda_state *state = device->state;
    if (!state) return;
    if (state->blas) cublasLtDestroy(state->blas);
    if (state->stage) cudaFreeHost(state->stage);
    free(state);
    device->state = NULL;
}

static lt_status cuda_open(lt_device *device, const char *variant) {
    int index = 0;
    bool shared = variant && strcmp(variant, "shared") == 0;
    LT_TRY(pick(shared ? NULL : variant, &index));
    LT_TRY(check_cuda(cudaSetDevice(index), "choosing the device"));
    cuda_state *state = device->state = calloc(1, sizeof *state);
    LT_CHECK(state, LT_FAILED, "out of memory while opening device \"cuda\"");
    state->shared = shared;
    lt_status status = check_cuda(cudaHostAlloc((void **)&state->stage, STAGE_BYTES, cudaHostAllocDefault),
                                  "allocating pinned memory");
    cublasStatus_t blas = status == LT_OK ? cublasLtCreate(&state->blas) : CUBLAS_STATUS_SUCCESS;
    if (blas != CUBLAS_STATUS_SUCCESS)
        status = lt_fail(LT_UNAVAILABLE, "device \"cuda\": cuBLASLt did not start: %s",
                         cublasLtGetStatusString(blas));
    if (status == LT_OK) status = describe_gpu(device, index);
    if (status != LT_OK) cuda_close(device);
    return status;
}

int lt_cuda_multiprocessors(const lt_device *device) {
    return ((const cuda_state *)device->state)->multiprocessors;
}
int lt_cuda_capability(const lt_device *device) { return ((const cuda_state *)device->state)->capability; }
void *lt_cuda_blas(const lt_device *device) { return ((const cuda_state *)device->state)->blas; }

/* ---- memory -------------------------------------------------------------------------------------------- */

static lt_status cuda_allocate(lt_device *device, size_t bytes, void **out) {
    const cuda_state *state = device->state;
    size_t some = bytes ? bytes : 1; /* a tensor with a zero in its shape still has an address */
    cudaError_t error =
        state->shared ? cudaHostAlloc(out, some, cudaHostAllocDefault) : cudaMalloc(out, some);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); /* an allocation that failed leaves the device as it was */
        return lt_fail(LT_FAILED, "the GPU has no more memory; use a smaller batch, model or budget");
    }
    return check_cuda(error, "allocating memory");
}

static void cuda_release(lt_device *device, void *memory) {
    const cuda_state *state = device->state;
    (void)(state->shared ? cudaFreeHost(memory) : cudaFree(memory));
}

static lt_status cuda_free_memory(lt_device *device, int64_t *bytes) {
    size_t free_bytes, total;
    (void)device;
    LT_TRY(check_cuda(cudaMemGetInfo(&free_bytes, &total), "reading the device's memory"));
    *bytes = (int64_t)free_bytes;
    return LT_OK;
}

/* Through the ring. When it is full, everything that may still read it is waited for, and no other stream if one
 * alone used it. */
static lt_status copy_staged(cuda_state *state, lt_stream *stream, void *to, const void *from, size_t bytes) {
    size_t rounded = (bytes + STAGE_ALIGN - 1) / STAGE_ALIGN * STAGE_ALIGN;
    if (state->staged + rounded > STAGE_BYTES) {
        LT_TRY(check_cuda(state->stager ? cudaStreamSynchronize(stream_of(state->stager))
                                        : cudaDeviceSynchronize(),
                          "waiting for copies to the device"));
        state->staged = 0;
    }
    if (state->staged == 0) state->stager = stream;
    else if (state->stager != stream) state->stager = NULL;
    char *slot = state->stage + state->staged;
    state->staged += rounded;
    memcpy(slot, from, bytes);
    return check_cuda(cudaMemcpyAsync(to, slot, bytes, cudaMemcpyHostToDevice, stream_of(stream)),
                      "copy to the device");
}

/* Without a stream: after all work asked for so far, and complete on return. */
static lt_status copy_alone(const cuda_state *state, void *to, const void *from, size_t bytes) {
    LT_TRY(check_cuda(cudaDeviceSynchronize(), "waiting before a copy"));
    if (state->shared) {
        memcpy(to, from, bytes);
        return LT_OK;
    }
    LT_TRY(check_cuda(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "copy"));
    return check_cuda(cudaDeviceSynchronize(), "copy");
}

/* Whether the stream notes work for a graph in place of doing it. */
static bool notes(lt_stream *stream) {
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    return stream && cudaStreamIsCapturing(stream_of(stream), &status) == cudaSuccess &&
           status != cudaStreamCaptureStatusNone;
}

/* Copies and fills that are to be complete on return. */
static bool at_once(const cuda_state *state, lt_stream *stream) {
    return !stream || (state->shared && !notes(stream));
}

static lt_status cuda_copy(lt_device *device, lt_stream *stream, void *to, const void *from, size_t bytes,
                           lt_copy_kind kind) {
    cuda_state *state = device->state;
    if (at_once(state, stream)) return copy_alone(state, to, from, bytes);
    /* A graph would read this memory again, whatever it holds then. */
    LT_CHECK(kind != LT_COPY_TO_DEVICE || !notes(stream), LT_FAILED,
             "a graph cannot hold a copy from the host");
    cudaStream_t s = stream_of(stream);
    if (kind == LT_COPY_ON_DEVICE)
        return check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, s),
                          "copy on the device");
    if (kind == LT_COPY_TO_DEVICE && bytes <= STAGE_MOST) return copy_staged(state, stream, to, from, bytes);
    if (kind == LT_COPY_TO_DEVICE)
        return check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, s), "copy to the device");
    LT_TRY(check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, s), "copy to the host"));
    return kind == LT_COPY_TO_PINNED ? LT_OK : check_cuda(cudaStreamSynchronize(s), "copy to the host");
}

static lt_status cuda_pin(lt_device *device, void *memory, size_t bytes) {
    (void)device;
    cudaError_t error = cudaHostRegister(memory, bytes, cudaHostRegisterDefault);
    if (error != cudaSuccess) (void)cudaGetLastError(); /* the device is as it was */
    return check_cuda(error, "pinning host memory");
}

static void cuda_unpin(lt_device *device, void *memory) {
    (void)device;
    (void)cudaHostUnregister(memory);
}

static lt_status cuda_fill(lt_device *device, lt_stream *stream, void *to, int byte, size_t bytes) {
    const cuda_state *state = device->state;
    if (!at_once(state, stream))
        return check_cuda(cudaMemsetAsync(to, byte, bytes, stream_of(stream)), "fill");
    LT_TRY(check_cuda(cudaDeviceSynchronize(), "waiting before a fill"));
    if (state->shared) {
        memset(to, byte, bytes);
        return LT_OK;
    }
    LT_TRY(check_cuda(cudaMemset(to, byte, bytes), "fill"));
    return check_cuda(cudaDeviceSynchronize(), "fill");
}

/* ---- streams and events -------------------------------------------------------------------------------- */

static lt_status cuda_stream_create(lt_device *device, lt_stream **out) {
    (void)device;
    return check_cuda(cudaStreamCreateWithFlags((cudaStream_t *)out, cudaStreamNonBlocking),
                      "creating a stream");
}

static void cuda_stream_destroy(lt_device *device, lt_stream *stream) {
    cuda_state *state = device->state;
    if (state->stager == stream) state->stager = NULL;
    (void)cudaStreamDestroy(stream_of(stream));
}

static lt_status cuda_synchronize(lt_device *device, lt_stream *stream) {
    (void)device;
    return check_cuda(stream ? cudaStreamSynchronize(stream_of(stream)) : cudaDeviceSynchronize(),
                      "waiting for the device");
}

static lt_status cuda_event_create(lt_device *device, lt_event **out) {
    (void)device;
    return check_cuda(cudaEventCreateWithFlags((cudaEvent_t *)out, cudaEventDisableTiming),
                      "creating an event");
}

static void cuda_event_destroy(lt_device *device, lt_event *event) {
    (void)device;
    (void)cudaEventDestroy((cudaEvent_t)event);
}

static lt_status cuda_event_record(lt_device *device, lt_event *event, lt_stream *stream) {
    (void)device;
    return check_cuda(cudaEventRecord((cudaEvent_t)event, stream_of(stream)), "recording an event");
}

static lt_status cuda_event_wait(lt_device *device, lt_event *event, lt_stream *stream) {
    (void)device;
    return check_cuda(cudaStreamWaitEvent(stream_of(stream), (cudaEvent_t)event, 0), "waiting for an event");
}

const lt_device_ops lt_device_cuda = {
    .name = "cuda",
    .backend = LT_BACKEND_CUDA,
    .open = cuda_open,
    .close = cuda_close,
    .allocate = cuda_allocate,
    .release = cuda_release,
    .copy = cuda_copy,
    .fill = cuda_fill,
    .stream_create = cuda_stream_create,
    .stream_destroy = cuda_stream_destroy,
    .synchronize = cuda_synchronize,
    .event_create = cuda_event_create,
    .event_destroy = cuda_event_destroy,
    .event_record = cuda_event_record,
    .event_wait = cuda_event_wait,
    .pin = cuda_pin,
    .unpin = cuda_unpin,
    .graph_begin = lt_cuda_graph_begin,
    .graph_end = lt_cuda_graph_end,
    .graph_launch = lt_cuda_graph_launch,
    .graph_destroy = lt_cuda_graph_destroy,
    .free_memory = cuda_free_memory,
};
