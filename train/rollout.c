#include "train/rollout.h"

#include <stdlib.h>
#include <string.h>

struct lt_rollout {
    int blocks, count;
    int64_t block_floats;
    lt_video_stream *streams[]; /* [rows of the mix] */
};

lt_status lt_rollout_open(const lt_train_config *config, lt_model *model, lt_rollout **out) {
    int64_t n[4];
    *out = NULL;
    lt_rollout *r = calloc(1, sizeof *r + (size_t)config->mix_count * sizeof *r->streams);
    LT_CHECK(r, LT_FAILED, "out of memory for rollouts");
    lt_model_block_shape(model, n);
    r->blocks = config->blocks;
    r->count = config->mix_count;
    r->block_floats = n[0] * n[1] * n[2] * n[3];
    lt_status status = LT_OK;
    for (int i = 0; i < r->count && status == LT_OK; i++) {
        lt_stream_options options = {.steps = config->rollout_steps,
                                     .shift = config->time_shift,
                                     .guidance = 1,
                                     .seed = config->seed,
                                     .spec = config->mix[i].spec};
        status = lt_video_stream_open(model, &options, &r->streams[i]);
    }
    if (status == LT_OK) *out = r;
    else lt_rollout_close(r);
    return status;
}

void lt_rollout_close(lt_rollout *rollout) {
    if (!rollout) return;
    for (int i = 0; i < rollout->count; i++) lt_video_stream_close(rollout->streams[i]);
    free(rollout);
}

lt_status lt_rollout_run(lt_rollout *r, int row, uint64_t sequence, const char *prompt, const float *latents,
                         float *context) {
    lt_video_stream *stream = r->streams[row];
    LT_TRY(lt_video_stream_restart(stream, sequence));
    LT_TRY(lt_video_stream_prompt(stream, prompt));
    LT_TRY(lt_video_stream_push(stream, latents));
    memcpy(context, latents, (size_t)r->block_floats * sizeof *context);
    for (int block = 1; block < r->blocks; block++)
        LT_TRY(lt_video_stream_next(stream, context + block * r->block_floats));
    return LT_OK;
}
