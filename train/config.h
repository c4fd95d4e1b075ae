/* What the keys "train.*", "scorer.*" and "data.*" say, checked against a model. */
#ifndef LT_TRAIN_CONFIG_H
#define LT_TRAIN_CONFIG_H

#include "infer/latents.h"
#include "infer/schedule.h"
#include "train/recompute.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Registers the keys (train/config.c documents each). */
void lt_train_register_keys(void);

/* Who learns: the transformer and text encoder; the scorer alone, on a frozen denoiser; all. */
typedef enum lt_stage { LT_STAGE_DENOISER, LT_STAGE_SCORER, LT_STAGE_JOINT, LT_STAGE_COUNT } lt_stage;

/* What the keep head is trained on (train/objective/keep_loss.h). */
typedef enum lt_keep_target {
    LT_KEEP_NONE,
    LT_KEEP_RANK,
    LT_KEEP_REGRESSION,
    LT_KEEP_SOFT,
    LT_KEEP_COUNT
} lt_keep_target;

/* One policy at one budget, drawn for a clip with probability `weight` (they sum to 1). */
typedef struct lt_mix_row {
    lt_cache_spec spec;
    double weight;
} lt_mix_row;

typedef struct lt_train_config {
    int64_t steps, warmup;
    int batch, accumulate; /* clips per pass over all ranks; passes per step */
    double lr, min_lr, beta1, beta2, eps, weight_decay, clip_norm, ema_decay;
    bool cosine;
    uint64_t seed;
    lt_stage stage;
    const char *freeze; /* published names that are not trained, or ""; the configuration's */
    lt_recompute recompute;
    bool self_context;
    int blocks, draws;
    lt_noise_mode noise;
    double time_mean, time_deviation, time_shift, caption_drop;
    int bptt_blocks;
    lt_mix_row *mix;
    int mix_count, max_budget;
    int64_t checkpoint_every, keep, validate_every, sample_every;
    int validate_clips, sample_blocks, sample_steps, rollout_steps, max_bad_steps;
    lt_keep_target keep_target;
    bool keep_path; /* read at a random share of the weight: lt_cache.read_scale */
    double keep_weight, temperature, temperature_end;
    const char **train_domains, **val_domains; /* strings of the configuration, which must outlive this */
    lt_latents_mode latents, captions; /* where clips' latents, and embeddings of their captions, come from */
    bool own_stats;                    /* with --init: measure latent statistics again */
    int train_domain_count, val_domain_count;
} lt_train_config;

/* Reads and checks; LT_USAGE names the key. The caller frees with lt_train_config_free. */
lt_status lt_train_config_read(const lt_config *config, const lt_model *model, lt_train_config *out);
void lt_train_config_free(lt_train_config *config);

/* Learning rate of a step (from 1): linear warm-up, then constant or a half cosine down to min_lr. */
double lt_learning_rate(const lt_train_config *config, int64_t step);

/* Tokens of one optimizer step, all streams and ranks. */
double lt_train_tokens(const lt_train_config *config, const lt_model *model);

/* The row of the mix that a clip gets: a pure function of the seed and the clip's number. */
int lt_mix_draw(const lt_train_config *config, uint64_t clip);

/* Marks what the stage trains, less train.freeze. LT_USAGE when that matches nothing, or nothing is left to train. */
lt_status lt_train_set_trainable(const lt_train_config *config, lt_model *model);

#ifdef __cplusplus
}
#endif
#endif
