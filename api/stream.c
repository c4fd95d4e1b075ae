/* Streams of video (infer/stream.h), from and to bytes. */
#include "api/api_impl.h"

#include "core/io.h"
#include "infer/cache_shape.h"

#include <stdlib.h>
#include <string.h>

static lt_status find_sampler(const char *name, lt_sampler *out) {
    for (int i = 0; name && i < LT_SAMPLER_COUNT; i++)
        if (strcmp(name, lt_sampler_names[i]) == 0) {
            *out = (lt_sampler)i;
            return LT_OK;
        }
    LT_CHECK(!name, LT_USAGE, "sampler \"%s\": expected euler or heun", name);
    *out = LT_SAMPLER_EULER;
    return LT_OK;
}

lt_status lt_api_stream_options(const longtake *context, const lt_model *model,
                                const longtake_stream_options *given, lt_stream_options *out) {
    longtake_stream_options o = {0};
    if (given) LT_TRY(lt_api_read("options", given, &o, sizeof o));
    LT_CHECK(o.blocks >= 0, LT_USAGE, "options.blocks is %lld; expected 0 or more", (long long)o.blocks);
    *out = (lt_stream_options){.steps = o.steps ? o.steps : 20,
                               .shift = o.shift != 0 ? o.shift : 1,
                               .guidance = o.guidance != 0 ? o.guidance : 1,
                               .seed = o.seed ? o.seed : context->seed,
                               .sequence = o.sequence};
    LT_TRY(find_sampler(o.sampler, &out->sampler));
    LT_TRY(
        lt_spec_read(model, o.policy ? o.policy : "sink", o.budget ? o.budget : "3", o.blocks, &out->spec));
    if (o.blocks > 0) out->spec = lt_spec_for_blocks(model, &out->spec, o.blocks);
    return LT_OK;
}

static lt_status open_stream(longtake_stream *s, const longtake_stream_options *given) {
    lt_model *model = s->run->model;
    lt_stream_options options;
    int64_t n[4];
    LT_TRY(lt_api_stream_options(s->run->context, model, given, &options));
    lt_model_block_shape(model, n);
    s->latents = malloc((size_t)(n[0] * n[1] * n[2] * n[3]) * sizeof *s->latents);
    LT_CHECK(s->latents, LT_FAILED, "longtake_stream_open: out of memory for a block");
    LT_TRY(lt_video_stream_open(model, &options, &s->stream));
    return given && given->prompt ? lt_video_stream_prompt(s->stream, given->prompt) : LT_OK;
}

longtake_status longtake_stream_open(longtake_run *run, const longtake_stream_options *options,
                                     longtake_stream **out) {
    *out = NULL;
    longtake_stream *s = calloc(1, sizeof *s);
    if (!s) return (longtake_status)lt_fail(LT_FAILED, "longtake_stream_open: out of memory");
    s->run = run;
    lt_api_enter(run->context);
    lt_status status = open_stream(s, options);
    if (status == LT_OK) *out = s;
    else longtake_stream_close(s);
    return lt_api_leave(status);
}

void longtake_stream_close(longtake_stream *s) {
    if (!s) return;
    lt_video_stream_close(s->stream);
    free(s->latents);
    free(s);
}

longtake_status longtake_stream_prompt(longtake_stream *s, const char *prompt) {
    return (longtake_status)lt_video_stream_prompt(s->stream, prompt);
}

/* ---- blocks -------------------------------------------------------------------------------------------- */

static lt_status tell(const longtake_stream *s, longtake_block *block) {
    lt_cache *cache = lt_video_stream_cache(s->stream);
    longtake_block ours = {.position = lt_video_stream_position(s->stream),
                           .entries = lt_cache_entries(cache, 0, 0)->count,
                           .slot_bytes = lt_cache_slot_bytes(cache),
                           .tail_bytes = lt_cache_tail_bytes(cache),
                           .seconds = s->seconds};
    for (int layer = 0; layer < cache->shape.layers; layer++)
        ours.victims += lt_cache_entries(cache, layer, 0)->victims;
    return lt_api_write("block", &ours, sizeof ours, block);
}

static lt_status check_room(const longtake_stream *s, const uint8_t *rgb, size_t bytes) {
    const lt_model *m = s->run->model;
    const size_t frame = (size_t)m->frame_height * (size_t)m->frame_width * 3;
    const size_t needed = (size_t)lt_model_frames_per_block(m) * frame;
    LT_CHECK(rgb && bytes >= needed, LT_USAGE,
             "a block is %zu bytes (longtake_run_info.block_bytes), and %zu are given", needed,
             rgb ? bytes : 0);
    return LT_OK;
}

static lt_status next_block(longtake_stream *s, uint8_t *rgb, size_t bytes, longtake_block *block) {
    const lt_model *m = s->run->model;
    LT_TRY(check_room(s, rgb, bytes));
    double start = lt_seconds();
    LT_TRY(lt_video_stream_next(s->stream, s->latents));
    s->seconds = lt_seconds() - start;
    LT_TRY(lt_model_decode(m, m->config.block_frames, s->latents, rgb));
    return block ? tell(s, block) : LT_OK;
}

static lt_status push_block(longtake_stream *s, const uint8_t *rgb, size_t bytes, longtake_block *block) {
    const lt_model *m = s->run->model;
    LT_TRY(check_room(s, rgb, bytes));
    double start = lt_seconds();
    LT_TRY(lt_model_encode(m, lt_model_frames_per_block(m), rgb, s->latents));
    LT_TRY(lt_video_stream_push(s->stream, s->latents));
    s->seconds = lt_seconds() - start;
    return block ? tell(s, block) : LT_OK;
}

longtake_status longtake_next(longtake_stream *s, uint8_t *rgb, size_t bytes, longtake_block *block) {
    lt_api_enter(s->run->context);
    return lt_api_leave(next_block(s, rgb, bytes, block));
}

longtake_status longtake_push(longtake_stream *s, const uint8_t *rgb, size_t bytes, longtake_block *block) {
    lt_api_enter(s->run->context);
    return lt_api_leave(push_block(s, rgb, bytes, block));
}

longtake_status longtake_restart(longtake_stream *s, uint64_t sequence) {
    return (longtake_status)lt_video_stream_restart(s->stream, sequence);
}

static lt_status entry_at(const longtake_stream *s, int layer, int index, longtake_entry *entry) {
    lt_cache *cache = lt_video_stream_cache(s->stream);
    LT_CHECK(layer >= 0 && layer < cache->shape.layers, LT_USAGE, "layer %d: there are %d", layer,
             cache->shape.layers);
    const lt_entries *list = lt_cache_entries(cache, layer, 0);
    LT_CHECK(index >= 0 && index < list->count, LT_USAGE, "entry %d of layer %d: there are %d", index, layer,
             list->count);
    const lt_entry *e = &list->items[index];
    const longtake_entry ours = {.id = e->id,
                                 .first_frame = e->first_frame,
                                 .last_frame = e->last_frame,
                                 .merges = e->merges,
                                 .score = e->score};
    return lt_api_write("entry", &ours, sizeof ours, entry);
}

longtake_status longtake_entry_at(const longtake_stream *s, int layer, int index, longtake_entry *entry) {
    return (longtake_status)entry_at(s, layer, index, entry);
}

longtake_status longtake_stream_save(longtake_stream *s, const char *folder) {
    lt_api_enter(s->run->context);
    return lt_api_leave(lt_video_stream_save(s->stream, folder));
}

longtake_status longtake_stream_load(longtake_stream *s, const char *folder) {
    lt_api_enter(s->run->context);
    return lt_api_leave(lt_video_stream_load(s->stream, folder));
}
