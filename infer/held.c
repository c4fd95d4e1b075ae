#include "infer/held.h"

#include "core/io.h"
#include "core/rng.h"
#include "data/shots.h"
#include "infer/cache_shape.h"
#include "infer/paired.h"
#include "infer/stream.h"

#include <stdlib.h>
#include <string.h>

/* Clips one after the other through one stream. */
typedef struct walk {
    lt_model *model;
    lt_dataset *set;
    lt_video_stream *stream;
    int blocks;
    int64_t frames; /* of video, per clip */
    bool stored;    /* latents are the dataset's */
    int64_t block_size;
    uint8_t *rgb;
    float *latents;
    double *shares;  /* of the layers that hold, return by return: at most `blocks` a clip */
    uint64_t *group; /* of the clip */
} walk;

/* Whether the video frames first .. last touch a shot of `scene` before the shot number `before`. */
static bool shows(const lt_clip *row, int scene, int before, int64_t first, int64_t last) {
    for (int i = 0; i < before; i++) {
        lt_shot shot = lt_clip_shot(row, i);
        if (shot.scene == scene && first < shot.end && last >= shot.first) return true;
    }
    return false;
}

static int layers_that_hold(const walk *w, const lt_clip *row, const lt_shot *shot) {
    lt_cache *cache = lt_video_stream_cache(w->stream);
    const lt_codec *codec = w->model->codec;
    int holding = 0;
    for (int l = 0; l < cache->shape.layers; l++) {
        const lt_entries *list = lt_cache_entries(cache, l, 0);
        bool held = false;
        for (int i = 0; i < list->count && !held; i++) {
            const lt_entry *e = &list->items[i];
            held = shows(row, shot->scene, shot->index, lt_codec_frames(codec, e->first_frame),
                         lt_codec_frames(codec, e->last_frame + 1) - 1);
        }
        holding += held;
    }
    return holding;
}

static lt_status walk_clip(walk *w, int64_t clip, lt_held *out) {
    const lt_clip *row = lt_dataset_clip(w->set, clip);
    const int layers = w->model->config.layers;
    int64_t before = out->returns;
    LT_TRY(lt_latents_read_normalised(w->model, w->set, w->stored, clip, w->frames, w->rgb, w->latents));
    LT_TRY(lt_video_stream_restart(w->stream, (uint64_t)clip));
    for (int b = 0; b < w->blocks; b++) {
        if (lt_eval_place_of(row, w->model, b).after_return == 1) {
            lt_shot shot = lt_clip_shot_at(row, lt_model_frames(w->model, b));
            int holding = layers_that_hold(w, row, &shot);
            w->shares[out->returns] = (double)holding / layers;
            w->group[out->returns++] = lt_hash(row->group, strlen(row->group), LT_HASH_SEED);
            out->all += holding == layers;
        }
        LT_TRY(lt_video_stream_push(w->stream, w->latents + b * w->block_size));
    }
    out->clips += out->returns > before;
    return LT_OK;
}

static lt_status finish(const walk *w, lt_held *out) {
    lt_paired p;
    LT_CHECK(
        out->returns > 0, LT_INPUT,
        "%s: no clip returns to an earlier scene within its first %d blocks of %d frames; make some with "
        "longtake scenes",
        lt_dataset_path(w->set), w->blocks, lt_model_frames_per_block(w->model));
    LT_TRY(lt_paired_of(w->shares, w->group, NULL, out->returns, 0, &p));
    out->layers = p.mean, out->error = p.standard_error, out->all /= (double)out->returns;
    return LT_OK;
}

static lt_status walk_clips(walk *w, const lt_eval_options *o, const int64_t *clips, int64_t count,
                            lt_held *out) {
    size_t frames = (size_t)w->frames;
    w->rgb = malloc(frames * (size_t)w->model->frame_height * (size_t)w->model->frame_width * 3);
    w->latents = malloc((size_t)w->blocks * (size_t)w->block_size * sizeof *w->latents);
    w->shares = malloc((size_t)count * (size_t)w->blocks * sizeof *w->shares);
    w->group = malloc((size_t)count * (size_t)w->blocks * sizeof *w->group);
    LT_CHECK(w->rgb && w->latents && w->shares && w->group, LT_FAILED,
             "held: out of memory for clips of %zu frames", frames);
    for (int64_t i = 0; i < count; i++) {
        LT_TRY(walk_clip(w, clips[i], out));
        if (o->progress) o->progress(i + 1, count, o->progress_user);
        LT_CHECK(!lt_interrupted(), LT_INTERRUPTED, "the measurement was interrupted");
    }
    return finish(w, out);
}

lt_status lt_held_measure(lt_model *model, lt_dataset *set, const lt_eval_options *options,
                          const lt_cache_spec *spec, lt_held *out) {
    lt_stream_options stream = {.steps = 1,
                                .shift = 1,
                                .guidance = 1,
                                .seed = options->seed,
                                .spec = lt_spec_for_blocks(model, spec, options->blocks)};
    walk w = {.model = model, .set = set, .blocks = options->blocks};
    int64_t *clips, count, n[4];
    *out = (lt_held){0};
    LT_TRY(lt_eval_clips(model, set, options, &clips, &count));
    lt_model_block_shape(model, n);
    lt_status chosen = lt_latents_choose(model, set, options->latents, true, &w.stored);
    w.block_size = n[0] * n[1] * n[2] * n[3], w.frames = lt_model_frames(model, w.blocks);
    lt_status status = chosen == LT_OK ? lt_video_stream_open(model, &stream, &w.stream) : chosen;
    if (status == LT_OK) status = walk_clips(&w, options, clips, count, out);
    lt_video_stream_close(w.stream);
    free(w.rgb), free(w.latents), free(w.shares), free(w.group), free(clips);
    return status;
}
