/* Paired statistics of figures that were measured on the same clips. Clips of one source are not independent, so the
 * unit is the group: errors are those of the groups' sums. Where several training seeds are compared, seeds are a
 * second unit, crossed with groups. docs/verdicts.md says how the method was chosen, and what it was measured to do.
 *
 *     lt_paired p, *table[] = {&p};
 *     LT_TRY(lt_paired_of(difference, group, NULL, count, 0, &p));       difference[i] = policy - reference
 *     LT_TRY(lt_paired_correct(table, 1));                                all comparisons of one table together
 *     printf("%+.4f [%+.4f, %+.4f]: %s\n", p.mean, p.table_low, p.table_high, lt_paired_verdict(&p, true));
 */
#ifndef LT_INFER_PAIRED_H
#define LT_INFER_PAIRED_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Below this many groups there is no error, no interval and no verdict: those fields are NAN. */
enum { LT_PAIRED_MIN_GROUPS = 8 };

typedef struct lt_paired {
    int64_t samples;
    int groups, seeds;     /* seeds: 1 where none were named */
    double mean;           /* of the samples, each counted once */
    double standard_error; /* cluster-robust (CR2), by groups and by seeds */
    double low, high;      /* 95 % interval of this comparison on its own */

    /* Of this comparison as one of its table's (lt_paired_correct; until then as the only one): the interval that the
     * verdict follows from, Holm's p (at most 0.05 where the interval leaves 0 out), and how large a true difference
     * must be for a verdict with probability 0.8. */
    double table_low, table_high, p, detectable;

    /* What intervals of any level are made of. */
    double group_error, seed_error;
    double freedom; /* of group_error */
    double skew_low,
        skew_high; /* at least 1: how much further than Student's t an end lies for the groups' skew */
} lt_paired;

/* group [count]: any numbers that tell groups apart (a hash of the name). seeds [count]: which training seed a sample
 * belongs to, or NULL. `bootstrap_seed`: Philox seed of the resampling above LT_BOOTSTRAP_EXACT groups. The order of
 * samples and the names of groups change nothing. LT_USAGE when count is 0 or a value is not finite. */
lt_status lt_paired_of(const double *difference, const uint64_t *group, const uint64_t *seeds, int64_t count,
                       uint64_t bootstrap_seed, lt_paired *out);

/* Holm's correction: of all comparisons of a table at once, so that at most 5 % of the tables without a difference hold
 * a verdict. Those with too few groups are not counted. Entries may be NULL. */
lt_status lt_paired_correct(lt_paired *const *table, int count);

/* "insufficient data" below LT_PAIRED_MIN_GROUPS groups; "not distinguishable" when the table's interval holds 0; else
 * "better" or "worse". */
const char *lt_paired_verdict(const lt_paired *paired, bool lower_is_better);

#ifdef __cplusplus
}
#endif
#endif
