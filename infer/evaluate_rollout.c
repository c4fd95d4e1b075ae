#include "infer/evaluate_rollout.h"

#include "core/io.h"
#include "infer/cache_shape.h"

#include <stdlib.h>
#include <string.h>

const char *const lt_baseline_names[LT_BASELINE_COUNT] = {"freeze-last-frame", "copy-oldest"};

lt_rollout_options lt_rollout_default(void) {
    return (lt_rollout_options){.clips = lt_eval_default(),
                                .context = 2,
                                .blocks = 8,
                                .stream = {.steps = 20, .shift = 1, .guidance = 1}};
}

typedef struct rollout {
    lt_model *model;
    lt_dataset *set;
    const lt_rollout_options *options;
    const lt_cache_spec *specs;
    int count;
    lt_rollout_sink sink;
    void *user;

    int64_t *clips, clip_count;
    bool stored;                 /* latents are the dataset's */
    lt_video_stats **real_stats; /* [clips]: what the sources are like, measured once */
    int per_block;               /* video frames per block of the continuation */
    int64_t block_size, frame_bytes;
    int64_t source_frames, frames; /* context and continuation; continuation and the frame before it */
    uint8_t *source, *made;        /* [source_frames], [frames] */
    float *latents, *block;        /* of the clip; of one block */
    lt_frame_stream *decoder;
    void *after_context; /* the decoder's state there */
    lt_pool pool;
    int64_t done;
} rollout;

/* The last frame of the context, then the continuation. */
static const uint8_t *real_video(const rollout *r) {
    return r->source + (lt_model_frames(r->model, r->options->context) - 1) * r->frame_bytes;
}

static lt_status allocate(rollout *r) {
    const lt_model *m = r->model;
    int64_t n[4], blocks = r->options->context + r->options->blocks;
    lt_model_block_shape(m, n);
    r->per_block = lt_model_frames_per_block(m);
    r->block_size = n[0] * n[1] * n[2] * n[3];
    r->frame_bytes = (int64_t)m->frame_height * m->frame_width * 3;
    r->source_frames = lt_model_frames(m, blocks);
    r->frames = (int64_t)r->options->blocks * r->per_block + 1;
    r->real_stats = lt_pool_alloc(&r->pool, (size_t)r->clip_count * sizeof(lt_video_stats *));
    r->source = lt_pool_alloc(&r->pool, (size_t)(r->source_frames * r->frame_bytes));
    r->made = lt_pool_alloc(&r->pool, (size_t)(r->frames * r->frame_bytes));
    r->latents = lt_pool_alloc(&r->pool, (size_t)(blocks * r->block_size) * sizeof(float));
    r->block = lt_pool_alloc(&r->pool, (size_t)r->block_size * sizeof(float));
    LT_TRY(lt_frame_stream_open(m, LT_CODEC_DECODE, blocks * n[0], &r->decoder));
    r->after_context = lt_pool_alloc(&r->pool, lt_codec_stream_saved(lt_frame_stream_codec(r->decoder)));
    bool all = r->real_stats && r->source && r->made && r->latents && r->block && r->after_context;
    return all ? LT_OK : LT_FAILED;
}

static lt_status measure(const rollout *r, const uint8_t *rgb, double fps, lt_video_stats **out) {
    lt_video_view view = {.rgb = rgb,
                          .frames = r->frames,
                          .height = r->model->frame_height,
                          .width = r->model->frame_width,
                          .fps = fps,
                          .block_frames = r->per_block,
                          .first_block = 1};
    return lt_video_stats_of(&view, out);
}

/* The source as the codec gives it back, and how the codec stands where the continuation begins. */
static lt_status decode_source(rollout *r) {
    int64_t n[4], context = lt_model_frames(r->model, r->options->context) * r->frame_bytes;
    lt_codec_stream *codec = lt_frame_stream_codec(r->decoder);
    lt_model_block_shape(r->model, n);
    LT_TRY(lt_codec_stream_reset(codec));
    LT_TRY(lt_frame_stream_decode(r->decoder, r->options->context * n[0], r->latents, r->source));
    LT_TRY(lt_codec_stream_save(codec, r->after_context));
    return lt_frame_stream_decode(r->decoder, r->options->blocks * n[0],
                                  r->latents + r->options->context * r->block_size, r->source + context);
}

/* The clip's latents, and its frames as the codec gives them back. */
static lt_status load_clip(rollout *r, int64_t order) {
    const int64_t clip = r->clips[order];
    LT_TRY(lt_latents_read_normalised(r->model, r->set, r->stored, clip, r->source_frames, r->source,
                                      r->latents));
    LT_TRY(decode_source(r));
    memcpy(r->made, real_video(r), (size_t)r->frame_bytes);
    if (r->real_stats[order]) return LT_OK;
    return measure(r, real_video(r), lt_dataset_clip(r->set, clip)->fps, &r->real_stats[order]);
}

static lt_status compare(rollout *r, int row, int64_t order) {
    lt_rollout_sample s = {.row = row, .clip = r->clips[order], .order = order, .frames = r->frames};
    lt_video_stats *made;
    s.clip_row = lt_dataset_clip(r->set, s.clip);
    s.made = r->made, s.real = real_video(r);
    LT_TRY(measure(r, s.made, s.clip_row->fps, &made));
    lt_metrics_compare(made, r->real_stats[order], s.values);
    lt_video_stats_free(made);
    int64_t first_two = r->options->blocks < 2 ? r->per_block : 2 * r->per_block;
    LT_TRY(lt_metrics_fidelity(s.made + r->frame_bytes, s.real + r->frame_bytes, first_two,
                               r->model->frame_height, r->model->frame_width, s.values));
    LT_TRY(r->sink(&s, r->user));
    const lt_eval_options *o = &r->options->clips;
    int64_t total = r->clip_count * (r->count + LT_BASELINE_COUNT);
    if (o->progress) o->progress(++r->done, total, o->progress_user);
    LT_CHECK(!lt_interrupted(), LT_INTERRUPTED, "evaluation was interrupted");
    return LT_OK;
}

static lt_status run_baselines(rollout *r, int64_t order) {
    int64_t size = r->frame_bytes, context = lt_model_frames(r->model, r->options->context);
    LT_TRY(load_clip(r, order));
    for (int64_t f = 1; f < r->frames; f++) memcpy(r->made + f * size, r->made, (size_t)size);
    LT_TRY(compare(r, r->count + LT_BASELINE_FREEZE, order));
    for (int64_t f = 1; f < r->frames; f++)
        memcpy(r->made + f * size, r->source + (f - 1) % context * size, (size_t)size);
    return compare(r, r->count + LT_BASELINE_COPY, order);
}

static lt_status generate(rollout *r, lt_video_stream *stream, int64_t order) {
    int64_t n[4];
    lt_model_block_shape(r->model, n);
    LT_TRY(load_clip(r, order));
    LT_TRY(lt_video_stream_restart(stream, (uint64_t)r->clips[order]));
    for (int i = 0; i < r->options->context; i++)
        LT_TRY(lt_video_stream_push(stream, r->latents + i * r->block_size));
    LT_TRY(lt_codec_stream_restore(lt_frame_stream_codec(r->decoder), r->after_context));
    for (int i = 0; i < r->options->blocks; i++) {
        LT_TRY(lt_video_stream_next(stream, r->block));
        LT_TRY(lt_frame_stream_decode(r->decoder, n[0], r->block,
                                      r->made + ((int64_t)i * r->per_block + 1) * r->frame_bytes));
    }
    return LT_OK;
}

static lt_status run_policy(rollout *r, int spec) {
    lt_stream_options options = r->options->stream;
    lt_video_stream *stream;
    options.seed = r->options->clips.seed;
    options.spec = lt_spec_for_blocks(r->model, &r->specs[spec], r->options->context + r->options->blocks);
    LT_TRY(lt_video_stream_open(r->model, &options, &stream));
    lt_status status = LT_OK;
    for (int64_t i = 0; i < r->clip_count && status == LT_OK; i++) {
        status = generate(r, stream, i);
        if (status == LT_OK) status = compare(r, spec, i);
    }
    lt_video_stream_close(stream);
    return status;
}

static lt_status run(rollout *r) {
    const lt_rollout_options *o = r->options;
    lt_eval_options clips = o->clips;
    LT_CHECK(o->context >= 1 && o->blocks >= 1, LT_USAGE,
             "rollouts of %d blocks after %d: expected at least 1 of each", o->blocks, o->context);
    clips.blocks = o->context + o->blocks, clips.draws = LT_EVAL_MIN_DRAWS;
    LT_TRY(lt_eval_clips(r->model, r->set, &clips, &r->clips, &r->clip_count));
    LT_TRY(lt_latents_choose(r->model, r->set, o->clips.latents, true, &r->stored));
    LT_TRY(allocate(r));
    for (int64_t i = 0; i < r->clip_count; i++) LT_TRY(run_baselines(r, i));
    for (int i = 0; i < r->count; i++) LT_TRY(run_policy(r, i));
    return LT_OK;
}

lt_status lt_evaluate_rollout(lt_model *model, lt_dataset *set, const lt_rollout_options *options,
                              const lt_cache_spec *specs, int count, lt_rollout_sink sink, void *user) {
    rollout r = {.model = model,
                 .set = set,
                 .options = options,
                 .specs = specs,
                 .count = count,
                 .sink = sink,
                 .user = user};
    lt_status status = run(&r);
    for (int64_t i = 0; r.real_stats && i < r.clip_count; i++) lt_video_stats_free(r.real_stats[i]);
    lt_frame_stream_close(r.decoder);
    free(r.clips);
    lt_pool_free(&r.pool);
    return status;
}
