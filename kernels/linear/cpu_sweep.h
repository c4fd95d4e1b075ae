/* The backward pass of a linear layer in one sweep over its rows, while blocks of dy and x lie in the nearer caches,
 * for matrices small enough to lie there too. Spans of rows have their own sums, which are added in order; they depend
 * on the problem alone. */
#ifndef LT_KERNELS_LINEAR_CPU_SWEEP_H
#define LT_KERNELS_LINEAR_CPU_SWEEP_H

#include "kernels/linear/linear.h"

/* Whether the sweep serves, and its workspace. */
bool lt_linear_sweeps(const lt_linear_backward_args *a);
size_t lt_linear_sweep_bytes(const lt_linear_backward_args *a);
void lt_linear_sweep(const lt_linear_backward_args *a, float *workspace);

#endif
