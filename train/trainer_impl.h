/* What the files of the trainer share; not for other rooms. */
#ifndef LT_TRAIN_TRAINER_IMPL_H
#define LT_TRAIN_TRAINER_IMPL_H

#include "train/buckets.h"
#include "train/rollout.h"
#include "train/stored_text.h"
#include "train/trainer.h"

struct lt_trainer {
    lt_trainer_spec spec;
    const lt_train_config *config;
    int rank, ranks, local; /* local: clips per pass of this rank */
    int64_t done;
    lt_event *update_after; /* or NULL */
    lt_loader *loader;
    lt_session *session;
    lt_clip_pass pass;
    lt_optimizer optimizer;
    lt_buckets buckets; /* of gradients, with several ranks */
    lt_objectives objectives;
    lt_clip_batch batch; /* of the pass under way */
    lt_rollout *rollout; /* context self; or NULL */
    int64_t clip_floats; /* latents of one clip */
    /* Host memory of one pass: */
    float *latents, *context, *losses;
    float *next_latents;  /* of the batch that comes next, encoded while the device works */
    const lt_batch *next; /* that batch; NULL: not read yet */
    double *statistics;   /* of latents, once read */
    bool stored;          /* latents are the dataset's */
    lt_stored_text *text; /* captions are the dataset's; NULL: they are encoded */
    int64_t *clips;       /* in the dataset, of the clips in memory */
    uint64_t *ids;
    const char **prompts;
    double *t, *times; /* times: of one clip's blocks */
    lt_cache_spec *specs;
    lt_pool pool;
    /* Clips of the validation, NULL until first asked for: */
    int64_t *val_clips, val_count;
};

/* Forward of one pass on a fresh tape, on the trainer's host memory. */
lt_status lt_trainer_forward(lt_trainer *trainer, const lt_clip_batch *batch, bool recording, lt_var **loss);

/* Picks the clips of the validation, evenly over those that qualify; none is a warning. */
lt_status lt_trainer_choose_validation(lt_trainer *trainer);

/* With several ranks (trainer_ranks.c); with one they do nothing. */

/* Plans the sums of gradients. */
lt_status lt_trainer_join_ranks(lt_trainer *trainer);
/* The forward that follows is the step's last: in its backward gradients become final, and their sums start where they
 * can go on beside it. A rank would wait for one that fails there if they could not: those start in lt_trainer_share,
 * once all have agreed. */
void lt_trainer_sum_from_here(lt_trainer *trainer);
/* The worst status of all ranks; sums that were started are dropped when it is bad. */
lt_status lt_trainer_agree(lt_trainer *trainer, lt_status mine);
/* Completes the sums of gradients, and sums the figures. A rank that fails in it or later ends the job
 * (lt_comm_end_alone). */
lt_status lt_trainer_share(lt_trainer *trainer, double *loss, double *figures);

/* The mean of the pass's losses, in float64, by draw order. */
lt_status lt_trainer_losses(lt_trainer *trainer, const lt_var *loss);

#endif
