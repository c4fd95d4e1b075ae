/* What a training step minimises, as rows of a table (objectives.def): flow matching, the keep head, and what is to
 * come. The trainer walks the rows that the configuration asks for and knows none of them. A new one is a file and a
 * row.
 *
 * One row is primary: its forward gives the losses whose mean the step's backward starts from. The others learn from
 * what that leaves behind, in passes of their own (`after`): an observer of the pass's cache, extra models.
 */
#ifndef LT_TRAIN_OBJECTIVE_OBJECTIVE_H
#define LT_TRAIN_OBJECTIVE_OBJECTIVE_H

#include "infer/clip_pass.h"
#include "train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_OBJECTIVE_FIGURES = 8 };

/* What the trainer lends for one pass over a batch. */
typedef struct lt_objective_pass {
    lt_session *session;
    lt_clip_pass *pass;
    const lt_clip_batch *batch;
    double progress; /* of the run, in [0, 1] */
} lt_objective_pass;

typedef void (*lt_figure_fn)(void *user, const char *name, double value);

typedef struct lt_objective {
    const char *name, *what;
    bool (*wanted)(const lt_train_config *config);
    /* Host memory, extra models; `clips`: most of a pass. The state is NULL where there is none. */
    lt_status (*prepare)(const lt_train_config *config, const lt_model *model, int clips, void **state);
    void (*close)(void *state);
    /* The pass's memory stands: observers of its cache. */
    void (*attach)(void *state, lt_clip_pass *pass);
    /* A training batch before its forward: what this objective wants of it. */
    void (*edit)(void *state, lt_clip_batch *batch);
    /* Any forward begins, of training or validation. */
    void (*begin)(void *state, const lt_clip_batch *batch);
    /* Of the primary: *loss is a var of losses, [blocks * draws * clips]. */
    lt_status (*forward)(void *state, const lt_objective_pass *pass, const lt_train_config *config,
                         lt_var **loss);
    /* Of the primary: what to do when nothing that is trained leads to its loss. */
    const char *no_gradient;
    /* After the primary's backward: adds to the gradients, and to its figures, which are sums over passes and ranks. It
     * may reset the session's tape. */
    lt_status (*after)(void *state, const lt_objective_pass *pass, const lt_train_config *config,
                       double *figures);
    int figures;
    /* The step's figures under their names in metrics.jsonl. */
    void (*report)(const double *figures, lt_figure_fn write, void *user);
} lt_objective;

/* The table. */
extern const lt_objective *const lt_objective_rows[];
extern const int lt_objective_row_count;

/* Those of a run, in the order of the table, with their state. */
typedef struct lt_objectives {
    int count, figures; /* figures of all of them, row after row */
    bool has_passes;    /* one has passes of its own */
    const lt_train_config *config;
    struct {
        const lt_objective *row;
        void *state;
    } items[LT_OBJECTIVE_FIGURES];
} lt_objectives;

/* `rows`: the table to choose from, NULL for the program's. LT_FAILED unless just one of those chosen is primary. The
 * config must outlive the objectives. Closing what failed to open is fine. */
lt_status lt_objectives_open(const lt_objective *const *rows, int row_count, const lt_train_config *config,
                             const lt_model *model, int clips, lt_objectives *out);
void lt_objectives_close(lt_objectives *set);
void lt_objectives_attach(const lt_objectives *set, lt_clip_pass *pass);
void lt_objectives_edit(const lt_objectives *set, lt_clip_batch *batch);
/* The primary's forward on the session's fresh tape; all begin. */
lt_status lt_objectives_forward(const lt_objectives *set, const lt_objective_pass *pass, lt_var **loss);
/* The primary's words for a loss without gradient. */
const char *lt_objectives_no_gradient(const lt_objectives *set);
lt_status lt_objectives_after(const lt_objectives *set, const lt_objective_pass *pass, double *figures);
void lt_objectives_report(const lt_objectives *set, const double *figures, lt_figure_fn write, void *user);

#ifdef __cplusplus
}
#endif
#endif
