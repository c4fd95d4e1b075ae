/* Where memory lives and in what order work happens there: a table of functions per device.
 *
 *     cpu           host memory; work happens at once, streams and events are formalities
 *     null          no memory at all: pointers are addresses that nothing may read, kernels are not run. Whole
 *                   training and inference graphs run on it to measure shapes, FLOPs and bytes (`longtake plan`).
 *                   "null:h100" gives it the memory and rates of a named GPU.
 *     cuda          one NVIDIA GPU, where the build has CUDA; "cuda:1" is the second one (core/device_cuda.h)
 *
 * Adding a device is one file and one row of the table in core/device.c.
 */
#ifndef LT_CORE_DEVICE_H
#define LT_CORE_DEVICE_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which column of the kernel table serves a context (kernels/op.h). A device has one default backend; `naive`
 * is the float64 reference and runs in host memory. */
typedef enum lt_backend {
    LT_BACKEND_NAIVE,
    LT_BACKEND_CPU,
    LT_BACKEND_NULL,
    LT_BACKEND_CUDA,
    LT_BACKEND_COUNT
} lt_backend;

/* What the planner and the cost model need to know about a machine. */
typedef struct lt_target {
    char name[64];
    int64_t memory_bytes;  /* device memory; 0 = unknown */
    int64_t context_bytes; /* taken by the driver for one process before its first allocation */
    /* measured or published GEMM peak, FLOP/s; 0 = unknown */
    double matrix_flops;
    /* bytes/s, read + write; 0 = unknown */
    double bandwidth;
    /* bytes per element of a GEMM's operands: 4 on the CPU, 2 for bf16, 1 for e4m3 */
    int matrix_dtype_bytes;
    /* GEMMs can read e4m3 */
    bool fp8;
} lt_target;

typedef struct lt_device lt_device;
typedef struct lt_stream
    lt_stream; /* opaque; NULL is the device's one stream on cpu and null, never used on cuda */
typedef struct lt_event lt_event;
typedef struct lt_graph lt_graph; /* work that was noted once and can be asked for again in one call */

typedef enum lt_copy_kind {
    LT_COPY_TO_DEVICE,
    LT_COPY_TO_HOST,
    LT_COPY_ON_DEVICE,
    /* to host memory that was pinned: there when the stream has come to it; the host does not wait */
    LT_COPY_TO_PINNED
} lt_copy_kind;

typedef struct lt_device_ops {
    const char *name;
    lt_backend backend;
    lt_status (*open)(lt_device *device, const char *variant); /* variant: what follows "name:", or NULL */
    void (*close)(lt_device *device);
    lt_status (*allocate)(lt_device *device, size_t bytes, void **out); /* at least 256-byte aligned */
    void (*release)(lt_device *device, void *memory);
    /* The host memory of a copy may be used again when this returns, but for LT_COPY_TO_PINNED. Without a stream, on
     * cuda: after all work asked for before, and complete on return. */
    lt_status (*copy)(lt_device *device, lt_stream *stream, void *to, const void *from, size_t bytes,
                      lt_copy_kind kind);
    lt_status (*fill)(lt_device *device, lt_stream *stream, void *to, int byte, size_t bytes);
    /* The rest is optional: NULL means that work is complete when the call that asked for it returns. */
    lt_status (*stream_create)(lt_device *device, lt_stream **out);
    void (*stream_destroy)(lt_device *device, lt_stream *stream);
    lt_status (*synchronize)(lt_device *device, lt_stream *stream);
    lt_status (*event_create)(lt_device *device, lt_event **out);
    void (*event_destroy)(lt_device *device, lt_event *event);
    lt_status (*event_record)(lt_device *device, lt_event *event, lt_stream *stream);
    lt_status (*event_wait)(lt_device *device, lt_event *event, lt_stream *stream);
    /* Whole pages of host memory become reachable for copies beside the host's work (LT_COPY_TO_PINNED), until they
     * are unpinned. */
    lt_status (*pin)(lt_device *device, void *memory, size_t bytes);
    void (*unpin)(lt_device *device, void *memory);
    /* Graphs (cuda). From begin to end the stream captures kernels, fills and copies on the device, with their
     * arguments, and does not run them; asking for a copy to or from the host, or to wait, fails. `graph` points to
     * NULL or to an earlier graph that is not wanted any more and becomes the new one; as NULL itself it gives up
     * what was captured. */
    lt_status (*graph_begin)(lt_device *device, lt_stream *stream);
    lt_status (*graph_end)(lt_device *device, lt_stream *stream, lt_graph **graph);
    lt_status (*graph_launch)(lt_device *device, lt_graph *graph, lt_stream *stream);
    void (*graph_destroy)(lt_device *device, lt_graph *graph);
    /* What is free now, of memory_bytes. NULL: what the target has beside its context and what was allocated. */
    lt_status (*free_memory)(lt_device *device, int64_t *bytes);
} lt_device_ops;

/* What rooms below keep with a device, which frees it when it closes. */
typedef enum lt_device_slot { LT_SLOT_CHOICES, LT_SLOT_GEMM_PLANS, LT_SLOT_COUNT } lt_device_slot;
typedef struct lt_device_part {
    void *data; /* NULL: nothing yet */
    void (*free)(void *data);
} lt_device_part;

struct lt_device {
    const lt_device_ops *ops;
    lt_target target;
    bool generic;   /* kernels without tensor cores stand in for those with; see lt_device_open_as */
    char place[32]; /* of its memory on this machine, a GPU's PCI address; "": host memory */
    void *state;    /* the device's own */
    lt_device_part part[LT_SLOT_COUNT];
    int64_t allocated_bytes; /* now */
    int64_t peak_bytes;
};

/* Opens "cpu", "null", "null:NAME" or "cuda". LT_UNAVAILABLE, with the reason, where the build or machine has none.
 * The caller closes it. */
lt_status lt_device_open(const char *spec, lt_device **out);
/* The same, with the format of GEMM operands there: "f32", "bf16", "fp8", or "auto" (or NULL), the device's own
 * choice: float32 on the cpu, bf16 on cuda; "fp8" is for inference, where the GPU has it. And with which of a GPU's
 * kernels: "auto" (or NULL), or "generic", only those without tensor cores, to compare the two. LT_UNAVAILABLE where
 * the device cannot. */
lt_status lt_device_open_as(const char *spec, const char *precision, const char *kernels, lt_device **out);
void lt_device_close(lt_device *device);
/* What was chosen: "f32", "bf16" or "fp8"; "auto" or "generic". */
const char *lt_device_precision(const lt_device *device);
const char *lt_device_kernels(const lt_device *device);

/* Rows of the device table, in order; NULL past the end. For `longtake list devices`. */
const lt_device_ops *lt_device_at(int index);
/* Names that "null:NAME" accepts, in order; NULL past the end. */
const lt_target *lt_target_at(int index);

/* Allocation with accounting. LT_FAILED names the bytes asked for and what is already held. */
lt_status lt_device_allocate(lt_device *device, size_t bytes, void **out);
/* Gives back what lt_device_allocate gave, with the same `bytes`. */
void lt_device_release(lt_device *device, void *memory, size_t bytes);
/* Bytes that nobody, in this process or another, holds now. On cuda they shrink by more than is allocated here:
 * kernels and libraries are loaded when first used. */
lt_status lt_device_free_memory(lt_device *device, int64_t *bytes);

/* `bytes` bytes, in the order of `stream`; see lt_device_ops.copy for when host memory may be used again. */
lt_status lt_device_copy(lt_device *device, lt_stream *stream, void *to, const void *from, size_t bytes,
                         lt_copy_kind kind);
/* Sets each of `bytes` bytes to `byte`. */
lt_status lt_device_fill(lt_device *device, lt_stream *stream, void *to, int byte, size_t bytes);
/* Waits for what `stream` was asked for; NULL: for all work of the device. */
lt_status lt_device_synchronize(lt_device *device, lt_stream *stream);

/* True where tensors have no storage: callers that would read values on the host must skip that. */
static inline bool lt_device_is_null(const lt_device *device) {
    return device->ops->backend == LT_BACKEND_NULL;
}
/* True where device pointers can be read by the host directly. */
static inline bool lt_device_is_host(const lt_device *device) {
    return device->ops->backend == LT_BACKEND_CPU;
}

#ifdef __cplusplus
}
#endif
#endif
