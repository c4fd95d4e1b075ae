/* Learned importance: two small heads, shared across layers with learned embeddings, last layer zero.
 *
 *   read   w_e in (0, 2) per layer and head, from how the reading block relates to the entry (cosine and norms of their
 *          z, age, merges, t, tokens, number of entries): trained end to end through dL/dw_e. `age` does not see z.
 *   keep   the score of an entry among those present: the features of model/cache/policy.h, standardised within the
 *          set.
 *
 *     head(x, i) = w2 silu(w1 x + b1 + embed[i]) + b2          w_e = 2 sigmoid(head)
 *
 * The parameters are optional in a file, and a file names its heads' inputs ("scorer.keep.inputs" in its metadata;
 * a file without it has the ten features age to motion): another feature makes no trained scorer unreadable
 * (model/params.h: lt_inputs).
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

enum { LT_SCORER_HIDDEN = 32, LT_READ_INPUTS = 8 };
/* The keep head's inputs: the features, the log of how many entries there are, and novelty as it is. */
enum { LT_KEEP_ENTRIES = LT_FEATURE_COUNT, LT_KEEP_PLAIN_NOVELTY, LT_KEEP_INPUTS };

typedef struct lt_scorer_head {
    lt_var *embed;             /* [layers * heads or layers, LT_SCORER_HIDDEN] */
    lt_var *w1, *b1, *w2, *b2; /* [HIDDEN, inputs], [HIDDEN], [1, HIDDEN], [1] */
} lt_scorer_head;

typedef struct lt_scorer {
    int layers, heads;
    lt_scorer_head read[2]; /* by lt_read_weight: age, content */
    lt_scorer_head keep;
    float *host;         /* the keep head's values for lt_scorer_keep_host; lives as long as the parameters */
    const char *missing; /* why a file's heads were not loaded, or "" (lt_params.missing) */
} lt_scorer;

/* Whether `what` can use it: LT_USAGE where there is none (NULL), LT_INPUT where the model's file has none that
 * this program can read, with the reason. */
lt_status lt_scorer_check(const lt_scorer *scorer, const char *what);

/* Declares all heads ("scorer.read_age.w1", "scorer.read_content.w1", ..., "scorer.keep.w2"). */
lt_status lt_scorer_declare(lt_scorer *scorer, int layers, int heads, lt_params *params);

/* Rows of the read head's input: one per (entry, head).
 * inputs [rows, LT_READ_INPUTS] and ids [rows] (row of the embedding) on the device; out [rows, 1] in (0, 2). */
lt_status lt_scorer_read(lt_scorer *scorer, lt_tape *tape, lt_read_weight mode, lt_tensor inputs,
                         lt_tensor ids, lt_var **out);

/* Standardises the features of `entries` entries within the set: out [entries][LT_KEEP_INPUTS]. Ages and counts
 * enter as log(1 + x); equal features give zeros. Two inputs are added as they are: the log of the set's size, and
 * novelty. */
void lt_keep_inputs(int entries, const float (*features)[LT_FEATURE_COUNT], float (*out)[LT_KEEP_INPUTS]);

/* Keep scores of rows [rows, LT_KEEP_INPUTS] with layer numbers ids [rows]: [rows, 1]. */
lt_status lt_scorer_keep(lt_scorer *scorer, lt_tape *tape, lt_tensor inputs, lt_tensor ids, lt_var **out);

/* Copies the keep head's parameters to the host: call it before lt_scorer_keep_host when they may have changed (the
 * cache does, once a forward). */
lt_status lt_scorer_refresh(lt_scorer *scorer, lt_ctx *ctx);
/* Scores of the entries present in one layer, on the host, in plain C: for decisions. */
lt_status lt_scorer_keep_host(const lt_scorer *scorer, int layer, int entries,
                              const float (*features)[LT_FEATURE_COUNT], float *score);

#ifdef __cplusplus
}
#endif
#endif
