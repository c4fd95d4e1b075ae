/* CUDA graphs: what a stream was asked for, noted once and repeated. */
#include "core/device_table.h"

#include <cuda_runtime_api.h>

static lt_status check_graph(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return LT_OK;
    (void)cudaGetLastError(); /* noting that failed leaves the device as it was */
    return lt_fail(LT_FAILED, "CUDA graph: %s: %s (%s)", what, cudaGetErrorString(error),
                   cudaGetErrorName(error));
}

/* Relaxed: a kernel may be loaded on its first use, which allocates. */
lt_status lt_cuda_graph_begin(lt_device *device, lt_stream *stream) {
    (void)device;
    return check_graph(cudaStreamBeginCapture((cudaStream_t)stream, cudaStreamCaptureModeRelaxed), "noting");
}

void lt_cuda_graph_destroy(lt_device *device, lt_graph *graph) {
    (void)device;
    if (graph) (void)cudaGraphExecDestroy((cudaGraphExec_t)graph);
}

/* The old graph takes the new one's arguments, which is cheaper than a new one, if both have the same nodes. */
static lt_status make(lt_device *device, cudaGraph_t noted, lt_graph **graph) {
    cudaGraphExecUpdateResultInfo difference;
    if (*graph && cudaGraphExecUpdate((cudaGraphExec_t)*graph, noted, &difference) == cudaSuccess)
        return LT_OK;
    (void)cudaGetLastError();
    lt_cuda_graph_destroy(device, *graph);
    *graph = NULL;
    return check_graph(cudaGraphInstantiate((cudaGraphExec_t *)graph, noted, 0), "making it");
}

lt_status lt_cuda_graph_end(lt_device *device, lt_stream *stream, lt_graph **graph) {
    cudaGraph_t noted = NULL;
    cudaError_t error = cudaStreamEndCapture((cudaStream_t)stream, &noted);
    lt_status status = LT_OK;
    if (!graph) (void)cudaGetLastError(); /* what went wrong before has its message already */
    else status = check_graph(error, "end of noting");
    if (graph && status == LT_OK) status = make(device, noted, graph);
    if (noted) (void)cudaGraphDestroy(noted);
    return status;
}

lt_status lt_cuda_graph_launch(lt_device *device, lt_graph *graph, lt_stream *stream) {
    (void)device;
    return check_graph(cudaGraphLaunch((cudaGraphExec_t)graph, (cudaStream_t)stream), "launch");
}
