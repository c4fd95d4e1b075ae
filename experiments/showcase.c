/* One clip per domain, shown rather than averaged: what each variant keeps and how it weighs it while the clip streams
 * by, and what it generates from the clip's beginning.
 *
 *     traces/SET-VARIANT.json      infer/block_stats.h
 *     videos/SET-VARIANT.mp4 .png  history, then generated blocks; the strip has one frame per block. Above each frame
 *                                  is a bar (experiments/time_bar.h)
 *     videos/SET-source.mp4 .png   the clip itself through the codec
 *     videos/index.json            which file shows what
 */
#include "core/cli.h"
#include "core/log.h"
#include "core/output.h"
#include "data/png.h"
#include "data/video_writer.h"
#include "experiments/ablate_impl.h"
#include "experiments/json_file.h"
#include "experiments/time_bar.h"
#include "infer/block_stats.h"
#include "infer/cache_shape.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where they are made; they take their places when all are there. */
#define TRACES "traces.new"
#define VIDEOS "videos.new"

typedef struct showcase {
    lt_ablation *a;
    int set;
    int64_t clip;
    int blocks, history, made; /* blocks of the clip; of it before the generated ones; those */
    int64_t block_floats, frame_bytes;
    float *latents;   /* [blocks, ...] of the clip */
    float *generated; /* [history + made, ...] */
    uint8_t *rgb;
    cJSON *index;
    int64_t *done, total; /* blocks streamed and generated of all sets, for the progress line */
} showcase;

static void advance(showcase *s, int blocks) {
    *s->done += blocks;
    lt_progress("traces and videos", *s->done, s->total, "blocks");
}

static const lt_eval_set *set_of(const showcase *s) { return &s->a->grid.sets[s->set]; }

/* The first clip that returns to an earlier scene within the blocks that are read, or else the first. */
static lt_status choose_clip(showcase *s) {
    const lt_dataset *data = s->a->data[set_of(s)->data];
    int64_t *clips, count;
    LT_TRY(lt_eval_clips(s->a->model, data, &set_of(s)->options, &clips, &count));
    s->clip = clips[0];
    bool found = false;
    for (int64_t i = 0; i < count && !found; i++)
        for (int block = 2; block < s->blocks && !found; block++) {
            lt_eval_place place = lt_eval_place_of(lt_dataset_clip(data, clips[i]), s->a->model, block);
            found = place.after_return == 1;
            if (found) s->clip = clips[i];
        }
    free(clips);
    return LT_OK;
}

static lt_status open_showcase(showcase *s) {
    const lt_config *config = s->a->options.config;
    const lt_model *model = s->a->model;
    int64_t n[4];
    lt_model_block_shape(model, n);
    s->block_floats = n[0] * n[1] * n[2] * n[3];
    s->frame_bytes = (int64_t)model->frame_height * model->frame_width * 3;
    s->blocks = set_of(s)->options.blocks;
    s->made = (int)lt_config_int(config, "experiment.video_blocks");
    s->history = (int)lt_config_int(config, "experiment.video_history");
    if (s->history > s->blocks) s->history = s->blocks;
    int most = s->blocks > s->history + s->made ? s->blocks : s->history + s->made;
    s->latents = malloc((size_t)(s->blocks * s->block_floats) * sizeof(float));
    s->generated = malloc((size_t)(most * s->block_floats) * sizeof(float));
    s->rgb = malloc((size_t)(lt_model_frames(model, most) * s->frame_bytes));
    LT_CHECK(s->latents && s->generated && s->rgb, LT_FAILED, "out of memory for a clip of %d blocks", most);
    LT_TRY(choose_clip(s));
    int64_t frames = lt_model_frames(model, s->blocks);
    return lt_latents_read_normalised(model, s->a->data[set_of(s)->data],
                                      set_of(s)->options.latents == LT_LATENTS_STORED, s->clip, frames,
                                      s->rgb, s->latents);
}

static void close_showcase(showcase *s) {
    free(s->latents);
    free(s->generated);
    free(s->rgb);
}

static lt_status file_of(const showcase *s, const char *folder, const char *what, const char *suffix,
                         char path[LT_PATH_MAX]) {
    char name[128];
    snprintf(name, sizeof name, "%s/%d-%s%s", folder, s->set, what, suffix);
    return lt_path_join(path, s->a->options.out, name);
}

/* ---- traces ---------------------------------------------------------------------------------------------- */

static lt_status stream_clip(showcase *s, const lt_variant *v, lt_block_stats *stats,
                             lt_cache_observer observer) {
    lt_video_stream *stream;
    lt_stream_options options = {.steps = 1,
                                 .shift = 1,
                                 .guidance = 1,
                                 .seed = set_of(s)->options.seed,
                                 .sequence = (uint64_t)s->clip,
                                 .spec = lt_spec_for_blocks(s->a->model, &v->spec, s->blocks),
                                 .observer = observer};
    LT_TRY(lt_video_stream_open(s->a->model, &options, &stream));
    lt_status status = lt_block_stats_begin(stats, s->a->model, &v->spec, stream);
    for (int block = 0; block < s->blocks && status == LT_OK; block++) {
        double start = lt_seconds();
        status = lt_video_stream_push(stream, s->latents + block * s->block_floats);
        int64_t bytes = lt_cache_slot_bytes(lt_video_stream_cache(stream));
        if (status == LT_OK) status = lt_block_stats_block(stats, true, lt_seconds() - start, bytes);
        if (status == LT_OK) advance(s, 1);
    }
    lt_video_stream_close(stream);
    return status;
}

static lt_status trace(showcase *s, int variant) {
    char what[32], path[LT_PATH_MAX];
    lt_block_stats *stats;
    lt_cache_observer observer;
    snprintf(what, sizeof what, "%d", variant);
    LT_TRY(file_of(s, TRACES, what, ".json", path));
    LT_TRY(lt_block_stats_open(path, &stats, &observer));
    lt_status status = stream_clip(s, &s->a->grid.variants[variant], stats, observer);
    lt_status closed = lt_block_stats_close(stats, status == LT_OK);
    return status == LT_OK ? closed : status;
}

/* ---- videos ---------------------------------------------------------------------------------------------- */

/* What is written of a video: the pictures of s->rgb, each with its bar above. */
typedef struct film_spec {
    int width, height; /* with the bar */
    int blocks, given; /* blocks; of them footage */
    const char *path;
} film_spec;

static film_spec film_of(const showcase *s, int blocks, int given, const char *path) {
    const lt_model *m = s->a->model;
    return (film_spec){m->frame_width, m->frame_height + lt_time_bar_height(m->frame_width), blocks, given,
                       path};
}

/* Bar and picture of one frame, [height, width, 3]. */
static void mark_frame(const showcase *s, const film_spec *f, int64_t frame, uint8_t *out) {
    size_t bar = (size_t)lt_time_bar_height(f->width) * (size_t)f->width * 3;
    lt_time_bar_draw(out, f->width, frame, lt_model_frames(s->a->model, f->given),
                     lt_model_frames(s->a->model, f->blocks));
    memcpy(out + bar, s->rgb + frame * s->frame_bytes, (size_t)s->frame_bytes);
}

/* One frame from the middle of each block, side by side. */
static lt_status write_strip(const showcase *s, const film_spec *f) {
    size_t row = (size_t)f->width * 3, all = row * (size_t)f->blocks;
    uint8_t *marked = malloc(row * (size_t)f->height), *strip = malloc(all * (size_t)f->height);
    lt_status status = marked && strip ? LT_OK : lt_fail(LT_FAILED, "%s: out of memory", f->path);
    for (int block = 0; block < f->blocks && status == LT_OK; block++) {
        int64_t first = lt_model_frames(s->a->model, block), end = lt_model_frames(s->a->model, block + 1);
        mark_frame(s, f, first + (end - first) / 2, marked);
        for (int y = 0; y < f->height; y++)
            memcpy(strip + (size_t)y * all + (size_t)block * row, marked + (size_t)y * row, row);
    }
    if (status == LT_OK) status = lt_png_write(f->path, strip, f->width * f->blocks, f->height);
    free(marked);
    free(strip);
    return status;
}

static lt_status write_mp4(const showcase *s, const film_spec *f) {
    lt_video_writer *video;
    lt_video_writer_spec spec = {
        .width = f->width, .height = f->height, .fps = lt_dataset_get_spec(s->a->data[set_of(s)->data])->fps};
    uint8_t *marked = malloc((size_t)f->width * (size_t)f->height * 3);
    LT_CHECK(marked, LT_FAILED, "%s: out of memory", f->path);
    lt_status status = lt_video_writer_open(f->path, &spec, &video);
    if (status == LT_OK) {
        for (int64_t frame = 0; frame < lt_model_frames(s->a->model, f->blocks) && status == LT_OK; frame++) {
            mark_frame(s, f, frame, marked);
            status = lt_video_writer_append(video, marked, 1);
        }
        lt_status closed = lt_video_writer_close(video);
        if (status == LT_OK) status = closed;
    }
    free(marked);
    return status;
}

/* The latents as video and strip, with a line in the index. */
static lt_status publish(showcase *s, const float *latents, int blocks, const char *what,
                         const lt_variant *variant) {
    char path[LT_PATH_MAX];
    int64_t n[4];
    lt_model_block_shape(s->a->model, n);
    LT_TRY(lt_model_decode(s->a->model, blocks * n[0], latents, s->rgb));
    LT_TRY(file_of(s, VIDEOS, what, ".png", path));
    film_spec film = film_of(s, blocks, variant ? s->history : blocks, path);
    LT_TRY(write_strip(s, &film));
    LT_TRY(file_of(s, VIDEOS, what, ".mp4", path));
    lt_status status = write_mp4(s, &film);
    if (status == LT_UNAVAILABLE || status == LT_USAGE) lt_debug("no video, only a strip: %s", lt_error());
    else LT_TRY(status);
    char name[64];
    snprintf(name, sizeof name, "%d-%s", s->set, what);
    cJSON *item = cJSON_CreateObject();
    cJSON_AddItemToArray(s->index, item);
    cJSON_AddStringToObject(item, "file", name);
    cJSON_AddStringToObject(item, "set", set_of(s)->label);
    cJSON_AddNumberToObject(item, "clip", (double)s->clip);
    cJSON_AddNumberToObject(item, "history", variant ? s->history : blocks);
    cJSON_AddNumberToObject(item, "blocks", blocks);
    cJSON_AddStringToObject(item, "keep", variant ? variant->name : "source");
    cJSON_AddStringToObject(item, "read", variant ? lt_read_names[variant->spec.read] : "");
    cJSON_AddNumberToObject(item, "budget", variant ? variant->spec.budget : 0);
    return LT_OK;
}

static lt_status generate(showcase *s, const lt_variant *v) {
    lt_video_stream *stream;
    lt_stream_options options = {.steps = (int)lt_config_int(s->a->options.config, "experiment.video_steps"),
                                 .shift = 1,
                                 .guidance = 1,
                                 .seed = set_of(s)->options.seed,
                                 .sequence = (uint64_t)s->clip,
                                 .spec = lt_spec_for_blocks(s->a->model, &v->spec, s->history + s->made)};
    LT_TRY(lt_video_stream_open(s->a->model, &options, &stream));
    memcpy(s->generated, s->latents, (size_t)(s->history * s->block_floats) * sizeof(float));
    lt_status status = LT_OK;
    for (int block = 0; block < s->history + s->made && status == LT_OK; block++) {
        float *latents = s->generated + block * s->block_floats;
        status = block < s->history ? lt_video_stream_push(stream, latents)
                                    : lt_video_stream_next(stream, latents);
        if (lt_interrupted()) status = lt_fail(LT_INTERRUPTED, "interrupted; --resume goes on");
        advance(s, 1);
    }
    lt_video_stream_close(stream);
    return status;
}

static lt_status film(showcase *s, int variant) {
    char what[32];
    const lt_variant *v = &s->a->grid.variants[variant];
    snprintf(what, sizeof what, "%d", variant);
    lt_status status = generate(s, v);
    if (status == LT_FAILED) { /* a model that diverges is a finding, not the end of the ablation */
        lt_warn("no video of %s: %s", v->text, lt_error());
        return LT_OK;
    }
    LT_TRY(status);
    return publish(s, s->generated, s->history + s->made, what, v);
}

/* ---- all ------------------------------------------------------------------------------------------------- */

static lt_status show_set(showcase *s) {
    const lt_config *config = s->a->options.config;
    int films = (int)lt_config_int(config, "experiment.video_policies");
    bool traces = lt_config_bool(config, "experiment.traces");
    LT_TRY(open_showcase(s));
    if (s->made > 0) {
        int shown = s->history + s->made < s->blocks ? s->history + s->made : s->blocks;
        LT_TRY(publish(s, s->latents, shown, "source", NULL));
    }
    for (int v = 0; v < s->a->grid.variant_count; v++) {
        if (traces) LT_TRY(trace(s, v));
        if (s->made > 0 && v < films) LT_TRY(film(s, v));
        LT_CHECK(!lt_interrupted(), LT_INTERRUPTED, "interrupted; --resume goes on with the showcase");
    }
    return LT_OK;
}

/* What there is to stream and to generate, in blocks of all sets. */
static int64_t count_blocks(const lt_ablation *a) {
    const lt_config *config = a->options.config;
    int64_t blocks = a->grid.sets[0].options.blocks, made = lt_config_int(config, "experiment.video_blocks"),
            history = lt_config_int(config, "experiment.video_history"),
            films = lt_config_int(config, "experiment.video_policies"), variants = a->grid.variant_count,
            sets = a->grid.set_count - (a->grid.has_reference ? 1 : 0);
    int64_t traced = lt_config_bool(config, "experiment.traces") ? variants * blocks : 0;
    int64_t filmed = (films < variants ? films : variants) * ((history < blocks ? history : blocks) + made);
    return sets * (traced + (made > 0 ? filmed : 0));
}

static lt_status make_fresh(const lt_ablation *a, const char *name) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_path_join(path, a->options.out, name));
    LT_TRY(lt_remove_tree(path));
    return lt_make_dirs(path);
}

/* In the place of those of an earlier session. */
static lt_status take_place(const lt_ablation *a, const char *aside, const char *name) {
    char from[LT_PATH_MAX], to[LT_PATH_MAX];
    LT_TRY(lt_path_join(from, a->options.out, aside));
    LT_TRY(lt_path_join(to, a->options.out, name));
    LT_TRY(lt_remove_tree(to));
    return lt_rename(from, to);
}

static lt_status show_all(lt_ablation *a, cJSON *index) {
    char path[LT_PATH_MAX];
    int64_t done = 0;
    for (int set = 0; set < a->grid.set_count; set++) {
        showcase s = {.a = a, .set = set, .index = index, .done = &done, .total = count_blocks(a)};
        if (a->grid.sets[set].reference) continue;
        lt_status status = show_set(&s);
        close_showcase(&s);
        LT_TRY(status);
    }
    LT_TRY(lt_path_join(path, a->options.out, VIDEOS "/index.json"));
    return lt_json_save(path, index);
}

/* Rewritten as a whole, which is quick, so that they are never half old. */
lt_status lt_ablation_showcase(lt_ablation *a) {
    LT_TRY(make_fresh(a, TRACES));
    LT_TRY(make_fresh(a, VIDEOS));
    cJSON *index = cJSON_CreateArray();
    LT_CHECK(index, LT_FAILED, "out of memory for the showcase");
    lt_status status = show_all(a, index);
    cJSON_Delete(index);
    LT_TRY(status);
    LT_TRY(take_place(a, TRACES, "traces"));
    return take_place(a, VIDEOS, "videos");
}
