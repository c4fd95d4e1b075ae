#include "kernels/attention/rope.h"

#include <math.h>

void lt_rope_axis(int64_t first, int count, int part, double theta, double *cosine, double *sine) {
    int pairs = part / 2;
    for (int i = 0; i < pairs; i++) {
        double frequency = pow(theta, -2.0 * i / part);
        for (int p = 0; p < count; p++) {
            double position = (double)(first + p);
            double angle = position * frequency;
            /* What rounding the angle dropped: at position 2^40 it would turn the result by 1e-4. */
            double rest = fma(position, frequency, -angle), shrink = 1 - 0.5 * rest * rest;
            double c = cos(angle), s = sin(angle);
            if (cosine) cosine[(int64_t)p * pairs + i] = c * shrink - s * rest;
            if (sine) sine[(int64_t)p * pairs + i] = s * shrink + c * rest;
        }
    }
}
