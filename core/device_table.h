/* What a device file offers to the table in core/device.c. Not for other rooms. */
#ifndef LT_CORE_DEVICE_TABLE_H
#define LT_CORE_DEVICE_TABLE_H

#include "core/device.h"

extern const lt_device_ops lt_device_cpu;
extern const lt_device_ops lt_device_null;
extern const lt_device_ops lt_device_cuda; /* where the build has CUDA */

/* Its graphs: core/graph_cuda.c. */
lt_status lt_cuda_graph_begin(lt_device *device, lt_stream *stream);
lt_status lt_cuda_graph_end(lt_device *device, lt_stream *stream, lt_graph **graph);
lt_status lt_cuda_graph_launch(lt_device *device, lt_graph *graph, lt_stream *stream);
void lt_cuda_graph_destroy(lt_device *device, lt_graph *graph);

#endif
