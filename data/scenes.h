/* Generated clips with known motion: textured grounds, textured sprites on smooth paths, a camera that pans,
 * zooms or stands still, and cuts that return to earlier scenes, which then go on where they were left. So a
 * clip A B A asks a model whether it remembers A over B.
 *
 * Kind planted draws clips with one shot to remember instead (data/scenes_planted.h).
 *
 * A clip is a pure function of (spec, index). Speed scales scene time and nothing else: the same seed and
 * index at another speed show the same scenes, moving faster.
 */
#ifndef LT_DATA_SCENES_H
#define LT_DATA_SCENES_H

#include "data/clip.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_scenes_kind { LT_SCENES_RETURNS, LT_SCENES_PLANTED } lt_scenes_kind;

typedef struct lt_scenes_spec {
    uint64_t seed;
    int width, height; /* pixels, 16 to 4096 */
    double fps;        /* 1 to 240 */
    int64_t frames;    /* per clip, 1 to 100,000 */
    /* 0 to 100; at 1 sprites move 6 to 18 % and the ground 3 to 10 % of the shorter side a second */
    double speed;
    int64_t cut_every; /* frames per shot; 0: one shot. At most LT_CLIP_CUTS cuts per clip */
    /* Of kind returns: */
    int return_gap;     /* 1 to 15: how many other shots lie between two shots of a scene (1: A B A) */
    double return_rate; /* 0 to 1: chance that a shot which can return does; otherwise it shows a new scene */
    lt_scenes_kind kind;
} lt_scenes_spec;

/* 64 x 64, 16 fps, 96 frames, speed 1, a cut every 16 frames, gap 1, return rate 0.8. */
lt_scenes_spec lt_scenes_default(void);

/* LT_USAGE when a field is out of range; the message names the field's option. */
lt_status lt_scenes_check(const lt_scenes_spec *spec);

/* Draws clip `index`: rgb[frames,H,W,3] and, if `flow` is not NULL, flow[frames,H,W,2], the true displacement
 * in pixels from a frame to the next one, zero at the last frame of a shot. Fills the row's fps, luma_diff
 * and flow_px_per_s (true motion of all pixels; pairs across a cut are left out of both), hashes, flags,
 * cuts, source, group and caption; domain and role are the caller's. The group names seed and index only, so
 * all speeds and cuttings of the same scenes share a role. */
lt_status lt_scenes_clip(const lt_scenes_spec *spec, uint64_t index, uint8_t *rgb, float *flow,
                         lt_clip *clip);

/* Only the row's source, group and hashes: what tells whether a file holds this clip already. */
void lt_scenes_identify(const lt_scenes_spec *spec, uint64_t index, lt_clip *clip);

#ifdef __cplusplus
}
#endif
#endif
