/* An experiment as its JSON file describes it, and the grid that it means for one model and its data: who is kept x how
 * many x how they are weighed, on every domain.
 */
#ifndef LT_EXPERIMENTS_EXPERIMENT_H
#define LT_EXPERIMENTS_EXPERIMENT_H

#include "core/config.h"
#include "infer/evaluate.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Registers the keys "experiment.*" (experiments/experiment.c documents each). */
void lt_experiment_register_keys(void);

/* One column of the grid: a policy at a budget with a read weight. */
typedef struct lt_variant {
    lt_cache_spec spec;
    char text[LT_SPEC_TEXT]; /* resolved */
    char name[96];           /* as the experiment writes it, without its read weight: "sink:n=1" */
    lt_policy_bytes bytes;   /* of one streamed sequence */
    int64_t workspace;       /* device bytes of streaming besides slots and tails */
    bool hand_made;
} lt_variant;

/* One row: the clips of one domain and role in one dataset. */
typedef struct lt_eval_set {
    int data; /* index into the datasets */
    char domain[32];
    char label[128]; /* the domain; with the file's name where two files hold it */
    lt_eval_options options;
    const char *names[1]; /* options.domains */
    int64_t clips;
    int groups;
    double flow_px_per_s; /* mean over its clips */
    bool reference;       /* calm validation clips: only hand-made variants, to choose references on */
} lt_eval_set;

enum { LT_VARIANTS = 256, LT_EVAL_SETS = 64, LT_EXPERIMENT_DATA = 16 };

typedef struct lt_grid {
    lt_variant *variants;
    int variant_count;
    lt_eval_set *sets; /* those of the table first, then the reference set if there is one */
    int set_count;
    bool has_reference;
} lt_grid;

/* Resolves the grid. Combinations that mean the same (keep-all at two budgets) appear once. LT_USAGE: a policy or
 * budget that cannot be read, or too many; LT_INPUT: a domain that no dataset holds for the role, or nothing to
 * evaluate. Without named domains a domain whose clips are too short or of another role is left out with a warning.
 * Free with lt_grid_free. */
lt_status lt_grid_build(const lt_config *config, lt_model *model, lt_dataset *const *data, int data_count,
                        lt_grid *out);
void lt_grid_free(lt_grid *grid);

/* Whether the cell (set, variant) is evaluated at all. */
bool lt_grid_wants(const lt_grid *grid, int set, int variant);

#ifdef __cplusplus
}
#endif
#endif
