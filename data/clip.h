/* One clip: a row of the table /clips of a dataset file (DESIGN section 6). A clip is a run of consecutive
 * frames of /frames without a shot cut of unknown place; a source file yields one or several. Text fields are
 * UTF-8 with a terminating zero.
 */
#ifndef LT_DATA_CLIP_H
#define LT_DATA_CLIP_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LT_CLIP_CUTS 16 /* known cuts inside one clip, at most */

/* Bits of lt_clip.flags. */
typedef enum lt_clip_flag {
    LT_CLIP_REPEATED = 1,   /* `repeated` is 5 % of the source's frames or more: motion is uneven */
    LT_CLIP_AFTER_CUT = 2,  /* a detected shot cut precedes the first frame */
    LT_CLIP_BEFORE_CUT = 4, /* a detected shot cut follows the last frame */
    LT_CLIP_SOURCE_FPS = 8, /* the source is slower than the dataset's rate, and was not upsampled */
    LT_CLIP_HAS_FLOW = 16,  /* /flow holds the true motion of this clip */
    LT_CLIP_SYNTHETIC = 32, /* made by `scenes`, not by a camera */
    LT_CLIP_UNEVEN =
        64 /* the frames' distances in time vary by 40 % (standard deviation) or more: motion is uneven */
} lt_clip_flag;

typedef struct lt_clip {
    int64_t first_frame;   /* index into /frames; assigned by lt_dataset_add_clip */
    int64_t frames;        /* assigned by lt_dataset_add_clip */
    double fps;            /* of the stored frames: what their times say */
    double start_s;        /* where the clip begins in its source, seconds */
    double luma_diff;      /* mean |luma(f+1) - luma(f)| at the stored size, 8-bit codes per frame step */
    double flow_px_per_s;  /* mean length of the flow, stored pixels per second (ingest: from a sample) */
    uint64_t content_hash; /* of the bytes of the source file, or of a scene's recipe */
    uint64_t recipe_hash;  /* of the options that shaped the clip; known with both hashes: skipped */
    uint32_t flags;        /* lt_clip_flag bits */
    int32_t repeated;      /* source frames between first and last that repeat their predecessor */
    int32_t part;          /* which clip of its source this is, from 0 */
    int32_t cut_count;     /* known cuts inside the clip (scenes); real footage is split, so it has 0 */
    /* Of each known cut: the first frame after it, counted from the clip's start, and which scene it leads to. The clip
     * starts in scene 0, so a number that occurred before is a return. */
    int32_t cut_frame[LT_CLIP_CUTS];
    int32_t cut_scene[LT_CLIP_CUTS];
    char domain[32];    /* "calm", "dynamic", ... */
    char role[8];       /* "train", "val" or "test": one per group */
    char group[128];    /* one source video, or related ones */
    char source[256];   /* path of the source as it was given, its end if longer */
    char caption[1024]; /* "" when there is none */
    /* of the frames' checksums; assigned by lt_dataset_add_clip; 0 in files of schema 1 */
    uint64_t frames_hash;
} lt_clip; /* without padding: its bytes are hashed */

/* "train", "val" and "test" are roles. */
bool lt_role_valid(const char *role);

/* Copies at most size - 1 bytes of `text`, never half of a UTF-8 character; false when something was left
 * out. */
bool lt_copy_text(char *out, size_t size, const char *text);

#ifdef __cplusplus
}
#endif
#endif
