/* Policies compared on one or more runs of a model: from texts to rows of results, what `longtake
 * evaluate` and the library's longtake_evaluate both do.
 *
 *     LT_TRY(lt_comparison_open(&spec, &comparison));
 *     for each run, whose models differ in their training seed alone:
 *         LT_TRY(lt_comparison_run(comparison, model, set, name));
 *     LT_TRY(lt_comparison_rows(comparison, model, &rows, &count));
 *
 * The rows have their references chosen and are corrected for the table.
 */
#ifndef LT_INFER_COMPARISON_H
#define LT_INFER_COMPARISON_H

#include "infer/eval_rows.h"
#include "infer/memory.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Arrays and texts stay the caller's, and last as long as the comparison. */
typedef struct lt_comparison_spec {
    const char *const *policies, *const *budgets;
    int policy_count, budget_count;
    lt_eval_options options; /* of the clips, but for progress */
    /* Hears what is done ("evaluate", "choosing references", "rollouts") and how many of its passes; may
     * be NULL. */
    void (*progress)(const char *what, int64_t done, int64_t total, void *user);
    void *user;
    int rollout,
        steps; /* blocks generated after the first two of each clip (0: none), and sampler steps of each */
    int runs;
} lt_comparison_spec;

typedef struct lt_comparison lt_comparison;

lt_status lt_comparison_open(const lt_comparison_spec *spec, lt_comparison **out);
void lt_comparison_close(lt_comparison *comparison); /* NULL is fine */
/* Evaluates the next run. What is wrong with the options is said before anything runs. `name` is for
 * messages. LT_USAGE where the policies come out as other sizes than on the first run. */
lt_status lt_comparison_run(lt_comparison *comparison, lt_model *model, lt_dataset *set, const char *name);
/* The rows, policy by policy within a domain, baselines of rollouts last; they are the comparison's.
 * `model`: of any of the runs. */
lt_status lt_comparison_rows(lt_comparison *comparison, const lt_model *model, const lt_eval_row **rows,
                             int *count);

/* The most that a run takes: the passes over clips, or, with rollouts, the stream of the policy that takes
 * most. `shadow` lies on a null device. */
lt_status lt_comparison_memory(const lt_comparison_spec *spec, lt_model *shadow, lt_memory *out);

#ifdef __cplusplus
}
#endif
#endif
