/* The studentised bootstrap of a mean over groups: how the t statistic of such a mean is really distributed when groups
 * differ in size and their values are skewed. */
#ifndef LT_INFER_BOOTSTRAP_H
#define LT_INFER_BOOTSTRAP_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Up to EXACT groups every resample is counted once with its probability; above, so many are drawn. */
enum { LT_BOOTSTRAP_EXACT = 9, LT_BOOTSTRAP_RESAMPLES = 20000 };

typedef struct lt_bootstrap_group {
    double residual; /* sum over the group's samples of (sample - mean) */
    double size;     /* its samples */
} lt_bootstrap_group;

/* Quantiles at `tail` and 1 - `tail` of t = (mean of the resample - mean) / (its standard error by groups, without a
 * correction for few of them). The residuals add up to 0 and are not all 0. Resamples without an error of their own lie
 * at -INFINITY or INFINITY. Same groups, same result, whatever their order; sorts them. */
lt_status lt_bootstrap_t(lt_bootstrap_group *groups, int count, double tail, uint64_t seed, double *low,
                         double *high);

#ifdef __cplusplus
}
#endif
#endif
