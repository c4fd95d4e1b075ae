/* Inside kernels/attention: workspaces of the fast functions, for the descriptions. */
#ifndef LT_KERNELS_ATTENTION_CPU_BYTES_H
#define LT_KERNELS_ATTENTION_CPU_BYTES_H

#include "kernels/attention/grid.h"

/* By op and direction, for calls of this shape. */
size_t lt_attn_state_cpu_bytes(const lt_attn_shape *shape, const lt_rope *rope, lt_segment_box box);
size_t lt_attn_state_backward_cpu_bytes(const lt_attn_shape *shape, const lt_rope *rope);
size_t lt_attn_output_cpu_bytes(const lt_attn_shape *shape, const lt_rope *rope);
size_t lt_attn_output_backward_cpu_bytes(const lt_attn_shape *shape, const lt_rope *rope);

#endif
