/* Every loss of an evaluation, and the figures made of them: means with standard errors, paired differences with
 * intervals, for any slice of blocks and times. One table holds one model on one set of clips.
 *
 *     LT_TRY(lt_eval_table_open(specs, count, &options, &table));
 *     LT_TRY(lt_evaluate(model, set, &options, specs, count, lt_eval_table_add, table));
 *     lt_eval_slice slice = lt_slice_primary("calm");
 *     LT_TRY(lt_eval_table_figures(table, &slice, policy, reference, &figures));
 *
 * A clip's figure is the mean over its qualifying losses, and all clips count the same. A comparison uses the blocks
 * that qualify under both policies, for both, so that nothing but the policy differs.
 */
#ifndef LT_INFER_EVAL_TABLE_H
#define LT_INFER_EVAL_TABLE_H

#include "infer/evaluate.h"
#include "infer/paired.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_eval_table lt_eval_table;

/* For the losses of one lt_evaluate call with these specs and options. */
lt_status lt_eval_table_open(const lt_cache_spec *specs, int count, const lt_eval_options *options,
                             lt_eval_table **out);
void lt_eval_table_close(lt_eval_table *table); /* NULL is fine */
/* An lt_eval_sink; `user` is the table. */
lt_status lt_eval_table_add(const lt_eval_sample *sample, void *table);

int lt_eval_table_specs(const lt_eval_table *table);
const lt_cache_spec *lt_eval_table_spec(const lt_eval_table *table, int index);
int64_t lt_eval_table_clips(const lt_eval_table *table);
/* Domains in order of first appearance; NULL past the end. */
const char *lt_eval_table_domain(const lt_eval_table *table, int index);

/* The first block that is read with an eviction in force under every policy that evicts at all; the number of blocks
 * when none does. Figures from here on (lt_eval_slice.first_block) can be compared across budgets. */
int lt_eval_table_first_block(const lt_eval_table *table);

/* Which losses count. */
typedef struct lt_eval_slice {
    const char *domain;  /* NULL: all */
    double t_min, t_max; /* inclusive */
    bool evicting;       /* only blocks read with an eviction in force */
    int first_block;     /* only blocks from this one on */
    int since_cut;       /* only this many blocks after a cut (0: the first); -1: any block */
    int after_return;    /* 1, 2: first or second block after a return; 3: either; 0: any block */
} lt_eval_slice;

/* t in [0.5, 0.95], evicting. */
lt_eval_slice lt_slice_primary(const char *domain);
/* The primary slice, `blocks` blocks after a cut. */
lt_eval_slice lt_slice_since_cut(const char *domain, int blocks);
/* First and second block after a return, t >= 0.6, whether or not anything was evicted. */
lt_eval_slice lt_slice_returns(const char *domain);
/* Everything: t in [0, 1]. */
lt_eval_slice lt_slice_all(const char *domain);

typedef struct lt_eval_figures {
    int64_t clips; /* with at least one qualifying loss */
    int64_t reads; /* (clip, block) pairs: in the primary slice the `evicting_reads` */
    int groups;
    lt_paired loss;       /* of the policy */
    lt_paired difference; /* policy - reference, clip by clip; all 0 without a reference */
    double gaussian;      /* mean loss of the per-channel Gaussian denoiser on the same blocks and times */
} lt_eval_figures;

/* `reference` is a spec's index, or -1. Without a qualifying loss clips is 0 and the rest too. */
lt_status lt_eval_table_figures(const lt_eval_table *table, const lt_eval_slice *slice, int spec,
                                int reference, lt_eval_figures *out);

/* The same of several tables with the same specs, each of another training seed: seeds are crossed with groups, and
 * clips and reads count once per seed. */
lt_status lt_eval_tables_figures(const lt_eval_table *const *tables, int count, const lt_eval_slice *slice,
                                 int spec, int reference, lt_eval_figures *out);

/* For each of `count` specs, the index of the hand-made policy it is compared with: of those with equal bytes the one
 * with the lowest primary loss in `validation` (calm validation clips, same specs, one table per training seed), or the
 * first in the order given when there are no tables or they say nothing about it; -1 when there is none. bytes [count]:
 * lt_policy_cache_bytes. */
lt_status lt_eval_references(const lt_eval_table *const *validation, int tables, const lt_cache_spec *specs,
                             const int64_t *bytes, int count, int *reference);

#ifdef __cplusplus
}
#endif
#endif
