/* Training the keep head on eviction damage.
 *
 * During a clip pass with ghosts (model/cache/cache.h) this observes every commit, where it notes the entries present
 * with their features, and every gradient dL/dw_e of a read. With R the reads of blocks later than the commit,
 *
 *     damage(e) = - sum over R and heads of dL/dw_e
 *
 * is to first order what losing e at that commit costs (evicted entries are still read, with weight 0, so theirs is
 * known too). The gradient where an entry is read in full is a poor estimate: a denoiser that was trained to read at
 * weight 1 has it near 0 however much it needs the entry. So the noisy streams of read=one read at weight u, uniform in
 * [0, 1) and one per clip (lt_cache.read_scale, scorer.path): over the draws the gradients average to their integral
 * from u = 0 to 1, which summed over all entries is exactly the loss without what was read minus the loss with it (the
 * path of Aumann and Shapley; integrated gradients, Sundararajan et al., arXiv 1703.01365). Within the entries that the
 * commit could evict, damage is standardised and the head's scores s learn
 *
 *     rank         sum over pairs |d_i - d_j| log(1 + exp(-(s_i - s_j) / T)), d_i > d_j, over the sum of |d_i - d_j|
 *     regression   mean of (s_i - mean(s) - d_i)^2
 *     soft         - sum d_i sigmoid((s_i - threshold) / T): straight-through soft top-M; the threshold lies halfway
 *                  between the scores of the last kept and the first evicted entry and gets no gradient
 *
 * in a small pass of its own on the same tape. */
#ifndef LT_TRAIN_OBJECTIVE_KEEP_LOSS_H
#define LT_TRAIN_OBJECTIVE_KEEP_LOSS_H

#include "train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_keep_loss lt_keep_loss;

/* For passes of at most `clips` clips of `blocks` blocks with `segments` entries each, budgets up to `budget`. Host
 * memory only. */
lt_status lt_keep_loss_open(int layers, int heads, int clips, int blocks, int segments, int budget,
                            lt_keep_loss **out);
void lt_keep_loss_close(lt_keep_loss *keep);

/* What the cache of the pass must call. */
lt_cache_observer lt_keep_loss_observer(lt_keep_loss *keep);

/* Before a pass: forgets the previous one. The specs [clips] must live until lt_keep_loss_run. */
void lt_keep_loss_begin(lt_keep_loss *keep, const lt_cache_spec *specs, int clips);

typedef struct lt_keep_options {
    lt_keep_target target;
    double temperature;
    double scale; /* of the loss, and so of the gradients, summed over sets */
} lt_keep_options;

/* What came out, summed over sets, so that results of several passes and ranks can be added. */
typedef struct lt_keep_result {
    double loss;             /* scaled */
    double sets;             /* with a loss */
    double spread;           /* standard deviation of the scores of a set */
    double pairs, ordered;   /* pairs of a set, and those whose scores have the order of their damage */
    double victims, churned; /* evictions of the learned policy, and those that window would not have made */
} lt_keep_result;

/* Sets that a pass of this size has at most: 1 / this makes a scale that does not depend on what happened. */
int64_t lt_keep_loss_sets(int layers, int clips, int blocks);

/* After the pass's backward: scores, loss, backward into the keep head's gradients (added to what they hold). Resets
 * the session's tape. Adds to *result. */
lt_status lt_keep_loss_run(lt_keep_loss *keep, lt_session *session, const lt_keep_options *options,
                           lt_keep_result *result);

#ifdef __cplusplus
}
#endif
#endif
