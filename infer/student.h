/* Student's t distribution with any number of degrees of freedom above 0, whole or not. */
#ifndef LT_INFER_STUDENT_H
#define LT_INFER_STUDENT_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* P(|T| > t), to 1e-12 of its value; t >= 0, INFINITY gives 0. */
double lt_student_tails(double t, double freedom);

/* The other way round: the t with P(|T| > t) = p, for p in (0, 1]. */
double lt_student_quantile(double p, double freedom);

#ifdef __cplusplus
}
#endif
#endif
