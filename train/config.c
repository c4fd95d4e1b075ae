#include "train/config.h"

#include "train/mix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MIX                                                                                          \
    "[{\"policy\":\"none\",\"weight\":0.15},{\"policy\":\"keep-all\",\"weight\":0.2},"                       \
    "{\"policy\":\"window\",\"budget\":[1,2,3],\"weight\":0.25},"                                            \
    "{\"policy\":\"sink\",\"budget\":[2,3],\"weight\":0.15},"                                                \
    "{\"policy\":\"random\",\"budget\":[1,2,3],\"weight\":0.25}]"

static const lt_key keys[] = {
    {"train.steps", LT_KEY_INT, "1000", 1, 1e12, .help = "optimizer steps"},
    {"train.batch", LT_KEY_INT, "4", 1, 65536, .help = "clips per pass, over all processes"},
    {"train.accumulate", LT_KEY_INT, "1", 1, 4096, .help = "passes whose gradients make one step"},
    {"train.lr", LT_KEY_FLOAT, "1e-3", 0, 10, .help = "learning rate after the warm-up"},
    {"train.warmup", LT_KEY_INT, "50", 0, 1e9, .help = "steps of linear warm-up"},
    {"train.schedule", LT_KEY_STRING, "\"cosine\"", .choices = "constant|cosine",
     .help = "learning rate after the warm-up"},
    {"train.min_lr", LT_KEY_FLOAT, "1e-5", 0, 10, .help = "learning rate at the end of the cosine"},
    {"train.beta1", LT_KEY_FLOAT, "0.9", 0, 0.999999, .help = "decay of AdamW's first moment"},
    {"train.beta2", LT_KEY_FLOAT, "0.99", 0, 0.999999, .help = "decay of AdamW's second moment"},
    {"train.eps", LT_KEY_FLOAT, "1e-8", 1e-16, 1, .help = "AdamW's epsilon"},
    {"train.weight_decay", LT_KEY_FLOAT, "0.01", 0, 10, .help = "decoupled decay of matrices and kernels"},
    {"train.clip_norm", LT_KEY_FLOAT, "1", 0, 1e9, .help = "largest norm of the gradient; 0: never clipped"},
    {"train.ema_decay", LT_KEY_FLOAT, "0.995", 0, 0.9999999,
     .help = "decay per step of the average of the weights, at most (1 + step) / (10 + step)"},
    {"train.seed", LT_KEY_INT, "0", 0, 9007199254740991, .help = "of weights, clips, noise, times, policies"},
    {"train.stage", LT_KEY_STRING, "\"denoiser\"", .choices = "denoiser|scorer|joint", .help = "who learns"},
    {"train.freeze", LT_KEY_STRING, "\"\"",
     .help = "published names that are not trained: patterns with * and ?, separated by commas"},
    {"train.recompute", LT_KEY_JSON, "false",
     .help = "what the backward pass computes again, for less memory and more time: none (or false), all (or "
             "true), auto: as "
             "much as the device's memory or --memory-limit makes necessary, or an object of how many layers "
             "keep what, such "
             "as {\"expand\": 12}"},
    {"train.blocks", LT_KEY_INT, "6", 1, 4096, .help = "blocks per clip"},
    {"train.draws", LT_KEY_INT, "1", 1, 64,
     .help = "noisy versions of each clip, which share its clean pass"},
    {"train.noise", LT_KEY_STRING, "\"independent\"", .choices = "same|independent|monotone",
     .help = "how the times of a clip's blocks relate"},
    {"train.time_mean", LT_KEY_FLOAT, "0", -10, 10, .help = "mean of the logit-normal times"},
    {"train.time_deviation", LT_KEY_FLOAT, "1", 1e-3, 10, .help = "deviation of the logit-normal times"},
    {"train.time_shift", LT_KEY_FLOAT, "1", 1e-3, 100, .help = "shift of the times; above 1: more noise"},
    {"train.bptt_blocks", LT_KEY_INT, "-1", -1, 4096,
     .help = "gradients reach entries at most this many blocks old; -1: all"},
    {"train.context", LT_KEY_STRING, "\"teacher\"", .choices = "teacher|self",
     .help = "what commits: the clip's own blocks, or the model's rollout after the first of them"},
    {"train.policy_mix", LT_KEY_JSON, DEFAULT_MIX,
     .help = "array of {policy, budget, weight}: how the cache is drawn for each clip"},
    {"train.min_empty", LT_KEY_FLOAT, "0.1", 0, 1,
     .help = "smallest share of clips without a cache that stages denoiser and joint accept"},
    {"train.caption_drop", LT_KEY_FLOAT, "0.1", 0, 1,
     .help = "share of captions replaced by the empty prompt"},
    {"train.checkpoint_every", LT_KEY_INT, "500", 0, 1e12, .help = "steps; 0: only at the end"},
    {"train.keep", LT_KEY_INT, "2", 1, 1e6, .help = "newest checkpoints that stay, besides the best"},
    {"train.validate_every", LT_KEY_INT, "500", 0, 1e12, .help = "steps; 0: never"},
    {"train.validate_clips", LT_KEY_INT, "16", 1, 1e6, .help = "clips of role val, five times each"},
    {"train.sample_every", LT_KEY_INT, "0", 0, 1e12, .help = "steps between sample videos; 0: none"},
    {"train.sample_blocks", LT_KEY_INT, "6", 1, 1e6, .help = "blocks of a sample video"},
    {"train.sample_steps", LT_KEY_INT, "20", 1, 1000, .help = "sampler steps per block of a sample video"},
    {"train.rollout_steps", LT_KEY_INT, "4", 1, 1000,
     .help = "sampler steps per block of the rollouts of context self"},
    {"train.max_bad_steps", LT_KEY_INT, "10", 1, 1e6,
     .help = "the run stops after this many steps in a row whose gradient was not finite"},
    {NULL}};

static const lt_key scorer_keys[] = {
    {"scorer.target", LT_KEY_STRING, "\"rank\"", .choices = "none|rank|regression|soft",
     .help =
         "what the keep head learns: the order of eviction damage, its size, or a soft choice of the kept"},
    {"scorer.path", LT_KEY_BOOL, "true",
     .help =
         "stage scorer, policies with read=one: noisy blocks read at a random share of the weight, a new "
         "one for each clip, so that the gradients average to the whole damage of losing an entry, not to "
         "the slope where it is read in full"},
    {"scorer.weight", LT_KEY_FLOAT, "1", 0, 1e6, .help = "of the keep head's loss"},
    {"scorer.temperature", LT_KEY_FLOAT, "1", 1e-3, 100, .help = "of rank and soft, at the first step"},
    {"scorer.temperature_end", LT_KEY_FLOAT, "1", 1e-3, 100,
     .help = "at the last step; geometric in between"},
    {NULL}};

static const lt_key data_keys[] = {
    {"data.train_domains", LT_KEY_STRINGS, "[]", .help = "domains to train on; must be given to train"},
    {"data.val_domains", LT_KEY_STRINGS, "[]",
     .help = "domains of the validation loss; []: the trained ones"},
    {"data.latents", LT_KEY_STRING, "\"auto\"", .choices = LT_LATENTS_MODES,
     .help =
         "auto: /latents of the dataset where they are this model's; frames: never; latents: or not at all"},
    {"data.latent_stats", LT_KEY_STRING, "\"init\"", .choices = "init|data",
     .help = "with --init: normalise latents by the statistics of that run, or by those of this dataset"},
    {NULL}};

void lt_train_register_keys(void) {
    lt_config_register("train", keys);
    lt_config_register("scorer", scorer_keys);
    lt_config_register("data", data_keys);
}

static int index_of(const lt_config *config, const char *key, const char *const *names, int count) {
    const char *value = lt_config_string(config, key);
    for (int i = 0; i < count; i++)
        if (strcmp(value, names[i]) == 0) return i;
    return 0; /* the engine has checked the choices */
}

static void read_optimizer(const lt_config *c, lt_train_config *out) {
    out->steps = lt_config_int(c, "train.steps");
    out->warmup = lt_config_int(c, "train.warmup");
    out->batch = (int)lt_config_int(c, "train.batch");
    out->accumulate = (int)lt_config_int(c, "train.accumulate");
    out->lr = lt_config_float(c, "train.lr");
    out->min_lr = lt_config_float(c, "train.min_lr");
    out->beta1 = lt_config_float(c, "train.beta1");
    out->beta2 = lt_config_float(c, "train.beta2");
    out->eps = lt_config_float(c, "train.eps");
    out->weight_decay = lt_config_float(c, "train.weight_decay");
    out->clip_norm = lt_config_float(c, "train.clip_norm");
    out->ema_decay = lt_config_float(c, "train.ema_decay");
    out->cosine = strcmp(lt_config_string(c, "train.schedule"), "cosine") == 0;
    out->max_bad_steps = (int)lt_config_int(c, "train.max_bad_steps");
    out->seed = (uint64_t)lt_config_int(c, "train.seed");
}

static void read_pass(const lt_config *c, lt_train_config *out) {
    static const char *const stages[] = {"denoiser", "scorer", "joint"};
    static const char *const targets[] = {"none", "rank", "regression", "soft"};
    out->stage = index_of(c, "train.stage", stages, LT_STAGE_COUNT);
    out->freeze = lt_config_string(c, "train.freeze");
    out->blocks = (int)lt_config_int(c, "train.blocks");
    out->draws = (int)lt_config_int(c, "train.draws");
    out->noise = index_of(c, "train.noise", lt_noise_names, LT_NOISE_COUNT);
    out->time_mean = lt_config_float(c, "train.time_mean");
    out->time_deviation = lt_config_float(c, "train.time_deviation");
    out->time_shift = lt_config_float(c, "train.time_shift");
    out->caption_drop = lt_config_float(c, "train.caption_drop");
    out->bptt_blocks = (int)lt_config_int(c, "train.bptt_blocks");
    out->rollout_steps = (int)lt_config_int(c, "train.rollout_steps");
    out->self_context = strcmp(lt_config_string(c, "train.context"), "self") == 0;
    if (out->self_context) out->bptt_blocks = 0;
    bool keeps = out->stage != LT_STAGE_DENOISER;
    out->keep_target = keeps ? index_of(c, "scorer.target", targets, LT_KEEP_COUNT) : LT_KEEP_NONE;
    out->keep_path =
        out->stage == LT_STAGE_SCORER && out->keep_target != LT_KEEP_NONE && lt_config_bool(c, "scorer.path");
    out->keep_weight = lt_config_float(c, "scorer.weight");
    out->temperature = lt_config_float(c, "scorer.temperature");
    out->temperature_end = lt_config_float(c, "scorer.temperature_end");
}

static void read_intervals(const lt_config *c, lt_train_config *out) {
    out->checkpoint_every = lt_config_int(c, "train.checkpoint_every");
    out->keep = lt_config_int(c, "train.keep");
    out->validate_every = lt_config_int(c, "train.validate_every");
    out->validate_clips = (int)lt_config_int(c, "train.validate_clips");
    out->sample_every = lt_config_int(c, "train.sample_every");
    out->sample_blocks = (int)lt_config_int(c, "train.sample_blocks");
    out->sample_steps = (int)lt_config_int(c, "train.sample_steps");
}

static lt_status read_names(const lt_config *c, const char *key, const char ***out, int *count) {
    *count = lt_config_count(c, key);
    *out = calloc((size_t)*count + 1, sizeof **out);
    LT_CHECK(*out, LT_FAILED, "out of memory");
    for (int i = 0; i < *count; i++) (*out)[i] = lt_config_string_at(c, key, i);
    return LT_OK;
}

static lt_status read_domains(const lt_config *c, lt_train_config *out) {
    LT_TRY(read_names(c, "data.train_domains", &out->train_domains, &out->train_domain_count));
    out->latents = lt_latents_mode_of(lt_config_string(c, "data.latents"));
    out->captions = out->latents == LT_LATENTS_FRAMES ? LT_LATENTS_FRAMES : LT_LATENTS_AUTO;
    out->own_stats = strcmp(lt_config_string(c, "data.latent_stats"), "data") == 0;
    const char *val = lt_config_count(c, "data.val_domains") ? "data.val_domains" : "data.train_domains";
    return read_names(c, val, &out->val_domains, &out->val_domain_count);
}

lt_status lt_train_config_read(const lt_config *config, const lt_model *model, lt_train_config *out) {
    *out = (lt_train_config){0};
    read_optimizer(config, out);
    read_pass(config, out);
    read_intervals(config, out);
    lt_status status = read_domains(config, out);
    if (status == LT_OK)
        status = lt_recompute_read(lt_config_json(config, "train.recompute"), model->config.layers,
                                   &out->recompute);
    if (status == LT_OK)
        status = lt_mix_read(lt_config_json(config, "train.policy_mix"), model, out,
                             lt_config_float(config, "train.min_empty"));
    if (status != LT_OK) lt_train_config_free(out);
    return status;
}

void lt_train_config_free(lt_train_config *config) {
    free(config->mix);
    free(config->train_domains);
    free(config->val_domains);
    *config = (lt_train_config){0};
}

double lt_learning_rate(const lt_train_config *c, int64_t step) {
    if (step <= c->warmup) return c->lr * (double)step / (double)c->warmup;
    if (!c->cosine || c->steps <= c->warmup) return c->lr;
    double done = (double)(step - c->warmup) / (double)(c->steps - c->warmup);
    double low = c->min_lr < c->lr ? c->min_lr : c->lr;
    return low + (c->lr - low) * 0.5 * (1 + cos(3.14159265358979323846 * (done < 1 ? done : 1)));
}

double lt_train_tokens(const lt_train_config *c, const lt_model *model) {
    const int *patch = model->config.patch;
    int64_t n[4];
    lt_model_block_shape(model, n);
    double block = (double)(n[0] / patch[0]) * (double)(n[1] / patch[1]) * (double)(n[2] / patch[2]);
    return block * c->blocks * (1 + c->draws) * c->batch * c->accumulate;
}

lt_status lt_train_set_trainable(const lt_train_config *config, lt_model *model) {
    lt_params *params = &model->params;
    lt_params_set_trainable(params, NULL, config->stage != LT_STAGE_SCORER);
    lt_params_set_trainable(params, "scorer.*", config->stage != LT_STAGE_DENOISER);
    /* It shifts all scores alike: its gradient is rounding alone, which AdamW would blow up. */
    lt_params_set_trainable(params, "scorer.keep.b2", false);
    if (*config->freeze)
        LT_CHECK(lt_params_set_trainable(params, config->freeze, false) > 0, LT_USAGE,
                 "train.freeze: no parameter has a name like \"%s\"", config->freeze);
    for (int i = 0; i < params->count; i++)
        if (params->items[i]->trainable && !params->items[i]->fixed) return LT_OK;
    return lt_fail(LT_USAGE, "train.freeze \"%s\" leaves nothing to train", config->freeze);
}
