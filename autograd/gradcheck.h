/* Gradients against central differences, in float64 on the naive backend. */
#ifndef LT_AUTOGRAD_GRADCHECK_H
#define LT_AUTOGRAD_GRADCHECK_H

#include "autograd/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Computes *out from inputs on the tape; called many times, must be a pure function of the inputs' values. */
typedef lt_status (*lt_gradcheck_fn)(lt_tape *tape, lt_var **inputs, void *user, lt_var **out);

typedef struct lt_gradcheck {
    lt_gradcheck_fn function;
    void *user;
    lt_tape *tape; /* on a host device with the naive backend */
    int count;
    lt_tensor *inputs; /* float64, contiguous host memory; disturbed and restored */
    double step;       /* of the difference; 0: 1e-5 */
    int samples;       /* elements of each input that are disturbed, spread evenly; 0: all */
} lt_gradcheck;

/* L = sum of out * fixed random numbers. *worst: the largest RMS(analytic - numeric) / RMS(numeric) over the inputs;
 * an input that L does not depend on must have a zero gradient. */
lt_status lt_gradcheck_run(const lt_gradcheck *check, double *worst);

#ifdef __cplusplus
}
#endif
#endif
