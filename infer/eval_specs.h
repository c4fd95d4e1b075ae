/* Which policies are compared, and with what. */
#ifndef LT_INFER_EVAL_SPECS_H
#define LT_INFER_EVAL_SPECS_H

#include "infer/eval_table.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_eval_specs {
    int count;
    lt_cache_spec *items;
    const char **labels; /* the policy as it was written; borrowed */
    int64_t *bytes;      /* lt_policy_cache_bytes of each */
    int *reference;      /* [count]: lt_eval_specs_choose; -1 before, or when there is none */
} lt_eval_specs;

/* Every policy at every budget ("3", "60MiB", "25%" of the entries of `blocks` blocks), those that come out the same
 * once: keep-all and none have one budget whatever is asked. LT_USAGE names what cannot be read. */
lt_status lt_eval_specs_parse(const lt_model *model, const char *const *policies, int policy_count,
                              const char *const *budgets, int budget_count, int blocks, lt_eval_specs *out);
void lt_eval_specs_free(lt_eval_specs *specs);

/* Runs the hand-made policies on clips of role val and domain calm, with the other options as given, as far as there is
 * a choice to make: losses for lt_eval_specs_choose. *out is NULL without such clips, and a warning says so. */
lt_status lt_eval_specs_validate(const lt_eval_specs *specs, lt_model *model, lt_dataset *set,
                                 const lt_eval_options *options, lt_eval_table **out);
/* Chooses each policy's reference: the best hand-made one of equal bytes by these losses (one table per training seed;
 * those that are NULL are passed over); without any, the first in the order given. */
lt_status lt_eval_specs_choose(lt_eval_specs *specs, lt_eval_table *const *validation, int tables);

#ifdef __cplusplus
}
#endif
#endif
