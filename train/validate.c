/* The validation loss: the same clips, noise and times every time. */
#include "train/trainer_impl.h"

#include "core/log.h"

#include <stdlib.h>
#include <string.h>

/* Keeps validation noise apart from training noise of the same seed. */
static const uint64_t validation = 0x76616c6964617465ull;

static int64_t frames_of(const lt_trainer *t) { return lt_model_frames(t->spec.model, t->config->blocks); }

lt_status lt_trainer_choose_validation(lt_trainer *t) {
    const lt_train_config *c = t->config;
    lt_clip_filter filter = {.role = "val",
                             .domains = c->val_domains,
                             .domain_count = c->val_domain_count,
                             .min_frames = frames_of(t)};
    int64_t *all, count;
    if (t->val_clips) return LT_OK;
    t->val_clips = calloc((size_t)c->validate_clips, sizeof *t->val_clips);
    LT_CHECK(t->val_clips, LT_FAILED, "out of memory for validation clips");
    lt_status status = lt_select_clips(t->spec.set, &filter, &all, &count);
    if (status == LT_INPUT) {
        if (t->rank == 0)
            lt_warn("there will be no validation loss and no best checkpoint: %s; train.validate_every=0 "
                    "says that "
                    "none is wanted",
                    lt_error());
        return LT_OK;
    }
    LT_TRY(status);
    t->val_count = count < c->validate_clips ? count : c->validate_clips;
    for (int64_t i = 0; i < t->val_count; i++) t->val_clips[i] = all[i * count / t->val_count];
    free(all);
    return LT_OK;
}

static lt_status load_clip(lt_trainer *t, int64_t clip, int at, uint8_t *rgb) {
    const lt_clip *row = lt_dataset_clip(t->spec.set, clip);
    lt_train_config fixed = *t->config;
    fixed.seed = validation;
    t->ids[at] = (uint64_t)clip, t->clips[at] = clip;
    t->prompts[at] = *row->caption ? row->caption : NULL;
    t->specs[at] = t->config->mix[lt_mix_draw(&fixed, (uint64_t)clip)].spec;
    return lt_latents_read_normalised(t->spec.model, t->spec.set, t->stored, clip, frames_of(t), rgb,
                                      t->latents + at * t->clip_floats);
}

/* Adds the losses of the clips in memory, at the middle of one fifth of the times. */
static lt_status add_bin(lt_trainer *t, int clips, int bin, double *sum) {
    int count = t->config->blocks * clips;
    lt_var *loss;
    for (int i = 0; i < count; i++) t->t[i] = (bin + 0.5) / LT_TIME_BINS;
    lt_clip_batch batch = {.clips = clips,
                           .blocks = t->config->blocks,
                           .draws = 1,
                           .latents = t->latents,
                           .encoded = true,
                           .ids = t->ids,
                           .t = t->t,
                           .seed = validation,
                           .purpose = LT_RNG_NOISE,
                           .step = (uint32_t)bin,
                           .specs = t->specs};
    LT_TRY(lt_trainer_forward(t, &batch, false, &loss));
    LT_TRY(lt_trainer_losses(t, loss));
    for (int i = 0; i < count; i++) sum[bin] += t->losses[i];
    return LT_OK;
}

/* Groups of `local` clips go to the ranks in turn. */
static lt_status local_sums(lt_trainer *t, uint8_t *rgb, double *sum) {
    for (int64_t first = (int64_t)t->rank * t->local; first < t->val_count;
         first += (int64_t)t->ranks * t->local) {
        int64_t left = t->val_count - first;
        int clips = left < t->local ? (int)left : t->local;
        for (int i = 0; i < clips; i++) LT_TRY(load_clip(t, t->val_clips[first + i], i, rgb));
        LT_TRY(t->text ? lt_stored_text_put(t->text, &t->pass, clips, t->clips, t->prompts)
                       : lt_clip_pass_prompts(&t->pass, clips, t->prompts));
        for (int bin = 0; bin < LT_TIME_BINS; bin++) LT_TRY(add_bin(t, clips, bin, sum));
    }
    return LT_OK;
}

lt_status lt_trainer_validate(lt_trainer *t, lt_validation *out) {
    const lt_model *m = t->spec.model;
    double sum[LT_TIME_BINS] = {0};
    *out = (lt_validation){0};
    LT_TRY(lt_trainer_agree(t, lt_trainer_choose_validation(t)));
    int64_t found = t->val_count;
    if (t->ranks > 1) LT_TRY(lt_comm_min_i64(t->spec.comm, &found));
    if (found == 0) return LT_OK; /* on all ranks, so that none waits for sums */
    uint8_t *rgb = malloc((size_t)(frames_of(t) * m->frame_height * m->frame_width * 3));
    lt_status status = rgb ? local_sums(t, rgb, sum) : lt_fail(LT_FAILED, "out of memory for frames");
    free(rgb);
    if (t->ranks > 1) {
        LT_TRY(lt_comm_agree(t->spec.comm, status));
        status = lt_comm_sum_f64(t->spec.comm, sum, LT_TIME_BINS);
    }
    LT_TRY(status);
    out->found = true;
    out->clips = t->val_count;
    for (int bin = 0; bin < LT_TIME_BINS; bin++) {
        out->by_time[bin] = sum[bin] / ((double)t->val_count * t->config->blocks);
        out->loss += out->by_time[bin] / LT_TIME_BINS;
    }
    return LT_OK;
}
