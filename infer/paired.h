/* Paired statistics of figures that were measured on the same clips. Clips of one source are not independent, so standard
 * errors are those of the groups' sums and intervals resample whole groups; where several training seeds are compared,
 * seeds are resampled too, crossed with groups.
 *
 *     lt_paired p;
 *     LT_TRY(lt_paired_of(difference, group, NULL, count, seed, &p));       difference[i] = policy - reference
 *     printf("%+.4f [%+.4f, %+.4f]: %s\n", p.mean, p.low, p.high, lt_paired_verdict(&p, true));
 */
#ifndef LT_INFER_PAIRED_H
#define LT_INFER_PAIRED_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Below this many groups no verdict is given. */
enum { LT_PAIRED_MIN_GROUPS = 8, LT_PAIRED_RESAMPLES = 2000 };

typedef struct lt_paired {
    int64_t samples;
    int groups, seeds; /* seeds: 1 where none were named */
    double mean;       /* of the samples, each counted once */
    double
        standard_error; /* cluster-robust, by groups (and by seeds: both variances added); 0 below 2 groups */
    /* 95 % bootstrap interval; the mean itself below 2 groups. Percentiles are widened as a t interval is against a
     * normal one (Hesterberg, "What teachers should know about the bootstrap", arXiv 1411.5279, section 5.3), since with
     * few groups plain percentiles are too narrow. */
    double low, high;
    /* Smallest difference that a test at 5 % would find with probability 0.8: (t + 0.84) standard errors. INFINITY below
     * 2 groups. */
    double detectable;
} lt_paired;

/* group [count]: any numbers that tell groups apart (a hash of the name). seeds [count]: which training seed a sample
 * belongs to, or NULL. `bootstrap_seed`: Philox seed of the resampling. LT_USAGE when count is 0 or a value is not
 * finite. */
lt_status lt_paired_of(const double *difference, const uint64_t *group, const uint64_t *seeds, int64_t count,
                       uint64_t bootstrap_seed, lt_paired *out);

/* "insufficient data" below LT_PAIRED_MIN_GROUPS groups; "not distinguishable" when the difference is below the smallest
 * detectable one or the interval holds 0; else "better" or "worse". */
const char *lt_paired_verdict(const lt_paired *paired, bool lower_is_better);

/* Quantile of Student's t with `freedom` >= 1 degrees of freedom, two-sided: P(|T| > result) = p. */
double lt_student_t(double p, int freedom);

#ifdef __cplusplus
}
#endif
#endif
