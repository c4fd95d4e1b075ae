/* Learned importance: two small heads, shared across layers with learned embeddings, last layer zero.
 *
 *   read   w_e in (0, 2) per layer and head, from how the reading block relates to the entry (cosine and norms of their
 *          z, age, merges, t): trained end to end through dL/dw_e. `age` sees age, merges and t only.
 *   keep   the score of an entry among those present: the features of model/cache/policy.h, standardised within the set.
 *
 * Untrained heads give w = 1 exactly, and equal scores, which evict the oldest: an untrained scorer is `window`.
 */
#ifndef LT_MODEL_SCORER_H
#define LT_MODEL_SCORER_H

#include "autograd/ops.h"
#include "model/cache/spec.h"
#include "model/params.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LT_SCORER_HIDDEN = 32,
    LT_SCORER_EMBED = 8,
    LT_READ_INPUTS = 8,
    LT_KEEP_INPUTS = LT_FEATURE_COUNT + 2
};

typedef struct lt_scorer_head {
    lt_var *embed; /* [layers * heads or layers, LT_SCORER_EMBED] */
    lt_var *w1, *b1, *w2, *b2;
} lt_scorer_head;

typedef struct lt_scorer {
    int layers, heads;
    lt_scorer_head read[2]; /* by lt_read_weight: age, content */
    lt_scorer_head keep;
} lt_scorer;

/* Declares all heads ("scorer.read_age.w1", ..., "scorer.keep.w2"). */
lt_status lt_scorer_declare(lt_scorer *scorer, int layers, int heads, lt_params *params);

/* Rows of the read head's input: one per (entry, head).
 * inputs [rows, LT_READ_INPUTS] and ids [rows] (row of the embedding) on the device; out [rows, 1] in (0, 2). */
lt_status lt_scorer_read(lt_scorer *scorer, lt_tape *tape, lt_read_weight mode, lt_tensor inputs,
                         lt_tensor ids, lt_var **out);

/* Standardises the features of `entries` entries within the set: out [entries][LT_KEEP_INPUTS]. Ages and counts enter as
 * log(1 + x); the set's size is added. Equal features give zeros. */
void lt_keep_inputs(int entries, const float (*features)[LT_FEATURE_COUNT], float (*out)[LT_KEEP_INPUTS]);

/* Keep scores of rows [rows, LT_KEEP_INPUTS] with layer numbers ids [rows]: [rows, 1]. */
lt_status lt_scorer_keep(lt_scorer *scorer, lt_tape *tape, lt_tensor inputs, lt_tensor ids, lt_var **out);

/* The same on the host, for decisions: plain C, from parameters that the host can read. */
lt_status lt_scorer_keep_host(const lt_scorer *scorer, int layer, int entries,
                              const float (*inputs)[LT_KEEP_INPUTS], float *score);

#ifdef __cplusplus
}
#endif
#endif
