/* Paired evaluation in teacher context: every policy sees the same clips, the same noise and the same times, and the
 * only thing that differs is what the cache holds when a block is read.
 *
 * Of every clip the window of `blocks` blocks from its first frame is taken. Times are stratified: LT_EVAL_BINS bins of
 * [0, 1], each divided among `draws` draws, jittered within by Philox (seed; time, clip, block, draw). Prompts are null
 * and each block's motion is its own. The weights are those the model holds: lt_run_open loads the EMA.
 *
 *     struct lt_eval_table *table;                                       (infer/eval_table.h)
 *     LT_TRY(lt_evaluate(model, set, &options, specs, count, lt_eval_table_add, table));
 */
#ifndef LT_INFER_EVALUATE_H
#define LT_INFER_EVALUATE_H

#include "data/dataset.h"
#include "infer/latents.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_EVAL_BINS = 5, LT_EVAL_MIN_DRAWS = 4 };

typedef struct lt_eval_options {
    const char *role;           /* "test", "val" or "train" */
    const char *const *domains; /* [domain_count]; 0: all the file has */
    int domain_count;
    int64_t clips; /* per domain at most, evenly over those that qualify; 0: all */
    int blocks;    /* per clip, at least 2; shorter clips do not qualify */
    int draws;     /* noise draws per bin, at least LT_EVAL_MIN_DRAWS */
    int batch;     /* clips per forward; 0: 1. Does not change the result beyond rounding. */
    uint64_t seed;
    lt_latents_mode latents; /* where clips' latents come from */
    bool allow_train;        /* without it role train is refused: LT_USAGE */
    /* Hears how many of the passes are done; may be NULL. */
    void (*progress)(int64_t done, int64_t total, void *user);
    void *progress_user;
} lt_eval_options;

/* 8 blocks, 4 draws, role test, seed 0. */
lt_eval_options lt_eval_default(void);

/* Where a block stands relative to the cuts of its clip (data/shots.h). */
typedef struct lt_eval_place {
    int since_cut; /* blocks between the cut and this block: 0 for the first after a cut; -1 before any cut */
    int frames_since_cut; /* video frames from the cut to the block's first; -1 before any cut */
    int after_return; /* 1 or 2: the first or second block of a shot that shows an earlier scene; else 0 */
    int gap;          /* video frames for which that scene was not shown; 0 unless after_return */
    bool has_cut;     /* a cut falls inside the block: it belongs to no stratum */
} lt_eval_place;

/* One loss. */
typedef struct lt_eval_sample {
    int spec;           /* index into specs */
    int64_t clip;       /* index in the dataset */
    int64_t order;      /* of the clip among those evaluated, from 0 */
    const lt_clip *row; /* domain, group, role; valid while the dataset is open */
    int block, bin, draw;
    double t;
    double loss;     /* mean squared velocity error of the block */
    double gaussian; /* what the per-channel Gaussian denoiser of this clip's domain would have */
    bool evicting;   /* more entries were committed before this block than the budget keeps */
    lt_eval_place place;
} lt_eval_sample;

typedef lt_status (*lt_eval_sink)(const lt_eval_sample *sample, void *user);

/* Evaluates `count` specs, and hands every loss to `sink`, clip after clip in the dataset's order. LT_USAGE: options
 * out of range, training clips, or a policy that a pass over whole clips cannot run (scope=model with a policy that
 * looks at values); LT_INPUT: no clip qualifies, or frames of another size; LT_INTERRUPTED after a signal
 * (core/io.h). */
lt_status lt_evaluate(lt_model *model, lt_dataset *set, const lt_eval_options *options,
                      const lt_cache_spec *specs, int count, lt_eval_sink sink, void *user);

/* What the session of lt_evaluate takes; `model` lies on any device. */
lt_status lt_evaluate_measure(lt_model *model, const lt_eval_options *options, const lt_cache_spec *specs,
                              int count, lt_session_plan *plan);

/* The clips that lt_evaluate would take, ascending; the caller frees them. */
lt_status lt_eval_clips(const lt_model *model, const lt_dataset *set, const lt_eval_options *options,
                        int64_t **clips, int64_t *count);

/* Whether evictions have happened under `spec` before block `block` (from 0) is read. */
bool lt_eval_evicting(const lt_model *model, const lt_cache_spec *spec, int block);

/* Where block `block` (from 0) of a clip stands in its shots. */
lt_eval_place lt_eval_place_of(const lt_clip *row, const lt_model *model, int block);

/* Loss of the best denoiser for independent values x ~ N(m, variance), noise n ~ N(0, 1), target n - x given (1 - t) x
 * + t n: with u = n - x it is Var(u) - Cov(u, x_t)^2 / Var(x_t) = v / ((1 - t)^2 v + t^2). What a model that has
 * learned each channel's mean and variance, and nothing else, would reach. `variances`: one per channel; the mean. */
double lt_gaussian_denoiser_loss(double t, const double *variances, int channels);

/* Bytes of a policy on this model, one sequence. */
typedef struct lt_policy_bytes {
    int64_t slots;    /* entries, summary slots included */
    int64_t metadata; /* statistics of entries and state of the policy, on the host */
    int64_t tail;     /* of the temporal convolution: the same for every policy */
    int64_t scorer;   /* heads that the policy uses; 0 for a hand-made one */
} lt_policy_bytes;
lt_status lt_eval_bytes(const lt_model *model, const lt_cache_spec *spec, lt_policy_bytes *out);
/* slots + metadata: what `cache_bytes` means in tables. */
int64_t lt_policy_cache_bytes(const lt_policy_bytes *bytes);
/* Within 1 % of each other. */
bool lt_equal_bytes(int64_t a, int64_t b);
/* No trained part decides or weighs. */
bool lt_spec_is_hand_made(const lt_cache_spec *spec);

#ifdef __cplusplus
}
#endif
#endif
