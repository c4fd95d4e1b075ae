#include "data/ingest.h"
#include "core/io.h"
#include "core/log.h"
#include "core/rng.h"
#include "data/motion.h"
#include "data/role_plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNEVEN         0.4  /* standard deviation of the steps in time, in means */
#define REPEATED_SHARE 0.05 /* of a clip's source frames: from here on the clip is flagged */

/* One source on its way into the dataset, and the clip that is being filled. */
typedef struct intake {
    lt_dataset *set;
    const lt_source *source;
    const lt_ingest_options *options;
    const lt_role_plan *roles;
    lt_ingest_result *result;
    lt_video *video;
    lt_motion_meter *meter;
    lt_clip base;    /* what all clips of the source share */
    uint8_t *frames; /* LT_DATASET_CHUNK of them, on their way to the file */
    size_t frame_bytes;
    int64_t buffered;
    int64_t count; /* frames of this clip */
    lt_video_place first, last;
    double luma_diff, step_squares; /* sums over its frame steps */
    double flow_px, flow_s;         /* the same over those whose flow was computed */
    bool after_cut;
} intake;

lt_ingest_options lt_ingest_defaults(void) {
    return (lt_ingest_options){.clip_seconds = 60,
                               .min_frames = 8,
                               .split_cuts = true,
                               .threads = 1,
                               .shares = lt_role_shares_default()};
}

static uint64_t recipe_of(const lt_ingest_options *options) {
    char text[160];
    int length = snprintf(text, sizeof text, "ingest 1 frames %lld seconds %.17g least %lld cuts %d",
                          (long long)options->clip_frames, options->clip_seconds,
                          (long long)options->min_frames, options->split_cuts);
    return lt_hash(text, (size_t)length, LT_HASH_SEED);
}

static lt_status flush_frames(intake *in) {
    if (in->buffered > 0) LT_TRY(lt_dataset_append_frames(in->set, in->frames, NULL, in->buffered));
    in->buffered = 0;
    return LT_OK;
}

/* What the clip's frames say about its time. */
static void set_times(const intake *in, int64_t count, lt_clip *clip) {
    double span = in->last.moment.time_s - in->first.moment.time_s, mean = span / (double)(count - 1);
    clip->start_s = in->first.moment.time_s;
    clip->fps = lt_video_rate(in->video, &in->first, &in->last, count);
    clip->flow_px_per_s = in->flow_s > 0 ? in->flow_px / in->flow_s : 0;
    if (clip->fps < 0.998 * lt_dataset_get_spec(in->set)->fps) clip->flags |= LT_CLIP_SOURCE_FPS;
    double variance = count > 1 ? in->step_squares / (double)(count - 1) - mean * mean : 0;
    if (variance > UNEVEN * UNEVEN * mean * mean) clip->flags |= LT_CLIP_UNEVEN;
}

/* Ends the clip that is being filled; `cut`: because a shot ends here. */
static lt_status end_clip(intake *in, bool cut) {
    lt_ingest_result *result = in->result;
    int64_t count = in->count;
    in->count = 0;
    if (count < in->options->min_frames) {
        in->buffered = 0;
        result->dropped += count;
        return lt_dataset_pending_frames(in->set) > 0 ? lt_dataset_drop_frames(in->set) : LT_OK;
    }
    LT_TRY(flush_frames(in));
    lt_clip clip = in->base;
    int64_t steps = count > 1 ? count - 1 : 1, span = in->last.index - in->first.index + 1;
    int64_t repeated = lt_video_repeats(in->video, in->first.index, in->last.index);
    set_times(in, count, &clip);
    clip.luma_diff = in->luma_diff / (double)steps;
    clip.repeated = (int32_t)repeated;
    clip.part = (int32_t)result->clips;
    if ((double)repeated >= REPEATED_SHARE * (double)span && repeated >= 2) clip.flags |= LT_CLIP_REPEATED;
    if (in->after_cut) clip.flags |= LT_CLIP_AFTER_CUT;
    if (cut) clip.flags |= LT_CLIP_BEFORE_CUT;
    LT_TRY(lt_dataset_add_clip(in->set, &clip));
    result->clips++;
    result->frames += count;
    result->repeated += repeated;
    return LT_OK;
}

/* The clip has as many frames, or goes on for as long, as a clip may. */
static bool is_full(const intake *in, const lt_video_place *place) {
    const lt_ingest_options *options = in->options;
    double seconds = place->moment.time_s - in->first.moment.time_s;
    bool long_enough = options->clip_seconds > 0 && in->count > 0 &&
                       seconds > options->clip_seconds - 0.5 / lt_video_get_info(in->video)->fps;
    return long_enough || (options->clip_frames > 0 && in->count == options->clip_frames);
}

/* One step in four tells the mean motion, at a quarter of the cost; at irregular distances (multiples of the golden
 * ratio), because sources with repeated frames have a period. The first is one of them. */
static bool flow_is_sampled(int64_t count) { return count == 1 || (uint32_t)count * 2654435769u >> 30 == 0; }

static lt_status take_frame(intake *in, const lt_video_place *place) {
    uint8_t *rgb = in->frames + (size_t)in->buffered * in->frame_bytes;
    bool sampled = flow_is_sampled(in->count);
    lt_motion_step step = lt_motion_next(in->meter, rgb, sampled);
    bool cut = step.cut && in->options->split_cuts;
    bool apart = in->count > 0 && place->moment.piece != in->last.moment.piece;
    in->result->cuts += cut;
    if (cut || apart || is_full(in, place)) {
        /* The frame itself is the first of the next clip: it waits at the start of the buffer. */
        LT_TRY(end_clip(in, cut));
        memmove(in->frames, rgb, in->frame_bytes);
        in->after_cut = cut;
    }
    if (in->count == 0) {
        in->first = *place;
        in->luma_diff = in->step_squares = in->flow_px = in->flow_s = 0;
    } else {
        double seconds = place->moment.time_s - in->last.moment.time_s;
        in->luma_diff += step.luma_diff;
        in->step_squares += seconds * seconds;
        in->flow_px += sampled ? step.px : 0;
        in->flow_s += sampled ? seconds : 0;
    }
    in->last = *place;
    in->count++;
    if (++in->buffered == LT_DATASET_CHUNK) return flush_frames(in);
    return LT_OK;
}

static lt_status take_all(intake *in) {
    for (;;) {
        lt_video_place place;
        bool got;
        LT_CHECK(!lt_interrupted(), LT_INTERRUPTED, "interrupted in %s; finished sources are kept",
                 in->source->path);
        LT_TRY(lt_video_next(in->video, in->frames + (size_t)in->buffered * in->frame_bytes, &place, &got));
        if (!got) return end_clip(in, false);
        LT_TRY(take_frame(in, &place));
    }
}

static lt_status describe_intake(intake *in) {
    const lt_source *source = in->source;
    lt_clip *base = &in->base;
    bool whole;
    LT_TRY(lt_source_caption(source, base->caption, sizeof base->caption, &whole));
    if (!whole) lt_warn("%s: the caption was cut after %zu bytes", source->path, strlen(base->caption));
    lt_copy_text(base->domain, sizeof base->domain, source->domain);
    lt_copy_text(base->group, sizeof base->group, source->group);
    lt_copy_text(base->role, sizeof base->role, lt_role_plan_role(in->roles, source->domain, source->group));
    size_t length = strlen(source->path), most = sizeof base->source - 1;
    const char *path = source->path + (length > most ? length - most : 0);
    while (((unsigned char)*path & 0xC0) == 0x80) path++;
    lt_copy_text(base->source, sizeof base->source, path);
    if (lt_role_share(&in->options->shares, lt_role_number(base->role)) == 0)
        lt_warn("%s: its group %s has role %s in the dataset already, and keeps it", source->path,
                base->group, base->role);
    return LT_OK;
}

static lt_status open_intake(intake *in) {
    const lt_dataset_spec *spec = lt_dataset_get_spec(in->set);
    lt_video_request request = {spec->width, spec->height, spec->fps, in->options->threads};
    LT_TRY(lt_video_open(in->source->path, &request, &in->video));
    LT_TRY(lt_motion_open(spec->width, spec->height, &in->meter));
    in->frame_bytes = (size_t)spec->width * (size_t)spec->height * 3;
    /* One more than a chunk, for the frame that is being decided on. */
    in->frames = malloc((LT_DATASET_CHUNK + 1) * in->frame_bytes);
    LT_CHECK(in->frames, LT_FAILED, "no memory for %d frames", LT_DATASET_CHUNK + 1);
    return describe_intake(in);
}

/* The frames of a failed source are given up; clips that it had finished go with them. */
static lt_status undo(lt_dataset *set, int64_t clips, lt_status status) {
    if (lt_dataset_pending_frames(set) == 0 && lt_dataset_clip_count(set) == clips) return status;
    char message[2048];
    snprintf(message, sizeof message, "%s", lt_error());
    LT_TRY(lt_dataset_rollback(set));
    return lt_fail(status, "%s", message);
}

static lt_status ingest_one(lt_dataset *set, const lt_source *source, const lt_ingest_options *options,
                            lt_role_plan *roles, lt_ingest_result *result) {
    intake in = {.set = set, .source = source, .options = options, .roles = roles, .result = result};
    int64_t before = lt_dataset_clip_count(set);
    *result = (lt_ingest_result){.outcome = LT_INGEST_ADDED};
    LT_CHECK(!source->problem, LT_INPUT, "%s", source->problem);
    in.base.recipe_hash = recipe_of(options);
    LT_TRY(lt_source_hash(source, &in.base.content_hash));
    if (lt_dataset_find_source(set, in.base.content_hash, in.base.recipe_hash) >= 0) {
        result->outcome = LT_INGEST_KNOWN;
        return LT_OK;
    }
    lt_status status = open_intake(&in);
    if (status == LT_OK) status = take_all(&in);
    if (status == LT_OK && result->clips == 0)
        status = lt_fail(LT_INPUT, "%s: no piece without a cut has %lld frames: %lld frames in all",
                         source->path, (long long)options->min_frames, (long long)result->dropped);
    if (status == LT_OK) status = lt_dataset_commit(set);
    if (in.video) result->video = *lt_video_get_info(in.video);
    lt_video_close(in.video);
    lt_motion_close(in.meter);
    free(in.frames);
    if (status != LT_OK) return undo(set, before, status);
    return lt_role_plan_add(roles, source->domain, source->group, in.base.role);
}

/* A source's turn. */
typedef struct turn {
    int64_t index, place; /* in the list; of a small domain: of its first source */
    double seconds;
} turn;

static int by_turn(const void *a, const void *b) {
    const turn *x = a, *y = b;
    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    if (x->seconds != y->seconds) return x->seconds > y->seconds ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* To a tenth: lengths that a calculation tells apart by its rounding are equal. */
static double stated_seconds(const lt_source *source) {
    lt_video *video;
    if (lt_video_open(source->path, &(lt_video_request){.width = 16, .height = 16, .threads = 1}, &video) !=
        LT_OK)
        return 0;
    double seconds = round(10 * lt_video_get_info(video)->seconds) / 10;
    lt_video_close(video);
    return seconds;
}

/* The order of the list but in small domains, where the longest come first (data/roles.h). */
static lt_status take_turns(const lt_sources *sources, const lt_role_plan *roles, turn **out) {
    turn *turns = *out = malloc((size_t)(sources->count + 1) * sizeof *turns);
    LT_CHECK(turns, LT_FAILED, "no memory for the order of %lld sources", (long long)sources->count);
    for (int64_t i = 0; i < sources->count; i++) {
        const lt_source *source = &sources->items[i];
        turns[i] = (turn){.index = i, .place = i};
        if (!lt_role_plan_small(roles, source->domain)) continue;
        turns[i].seconds = stated_seconds(source);
        for (int64_t k = 0; k < i; k++)
            if (strcmp(sources->items[k].domain, source->domain) == 0) {
                turns[i].place = k;
                break;
            }
    }
    qsort(turns, (size_t)sources->count, sizeof *turns, by_turn);
    return LT_OK;
}

static lt_status open_roles(const lt_dataset *set, const lt_sources *sources, const lt_role_shares *shares,
                            lt_role_plan **roles) {
    LT_TRY(lt_role_plan_open(set, shares, roles));
    for (int64_t i = 0; i < sources->count; i++)
        LT_TRY(lt_role_plan_expect(*roles, sources->items[i].domain, sources->items[i].group));
    return LT_OK;
}

static lt_status ingest_all(lt_dataset *set, const lt_sources *sources, const lt_ingest_options *options,
                            lt_role_plan *roles, const turn *turns, lt_ingest_report report, void *user) {
    int64_t good = 0;
    char reason[2048] = "";
    for (int64_t i = 0; i < sources->count; i++) {
        const lt_source *source = &sources->items[turns[i].index];
        lt_ingest_result result;
        lt_status status = lt_interrupted()
                               ? lt_fail(LT_INTERRUPTED, "interrupted; finished sources are kept")
                               : ingest_one(set, source, options, roles, &result);
        if (status != LT_OK && status != LT_INPUT) return status;
        if (status == LT_INPUT) {
            snprintf(reason, sizeof reason, "%s", lt_error());
            result = (lt_ingest_result){.outcome = LT_INGEST_BAD, .reason = reason};
        }
        good += status == LT_OK;
        if (report) report(source, &result, i + 1, sources->count, user);
        LT_CHECK(status == LT_OK || !options->strict, LT_INPUT, "%s (--strict)", reason);
    }
    LT_CHECK(good > 0, LT_INPUT, "none of %lld sources could be used; the last one: %s",
             (long long)sources->count, reason);
    return LT_OK;
}

lt_status lt_ingest(lt_dataset *set, const lt_sources *sources, const lt_ingest_options *options,
                    lt_ingest_report report, void *user) {
    lt_role_plan *roles = NULL;
    turn *turns = NULL;
    lt_status status = open_roles(set, sources, &options->shares, &roles);
    if (status == LT_OK) status = take_turns(sources, roles, &turns);
    if (status == LT_OK) status = ingest_all(set, sources, options, roles, turns, report, user);
    if (status == LT_OK) lt_role_plan_log(roles);
    free(turns);
    lt_role_plan_close(roles);
    return status;
}
