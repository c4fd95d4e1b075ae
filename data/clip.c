#include "data/clip.h"
#include "data/dataset_state.h"

#include <math.h>
#include <string.h>

#define FIELD(name, type, count, about)                                                                      \
    { #name, type, offsetof(lt_clip, name), count, false, about }
#define TEXT(name, about)                                                                                    \
    { #name, LT_H5_TEXT, offsetof(lt_clip, name), sizeof(((lt_clip *)0)->name), false, about }

static const lt_h5_field clip_fields[] = {
    FIELD(first_frame, LT_H5_I64, 1, "index of the first frame in /frames"),
    FIELD(frames, LT_H5_I64, 1, "number of frames"),
    FIELD(fps, LT_H5_F64, 1, "rate of the stored frames [1/s]"),
    FIELD(start_s, LT_H5_F64, 1, "where the clip begins in its source [s]"),
    FIELD(luma_diff, LT_H5_F64, 1, "mean absolute difference of luma to the next frame [8-bit codes]"),
    FIELD(flow_px_per_s, LT_H5_F64, 1, "mean length of the motion [pixels/s]"),
    FIELD(content_hash, LT_H5_U64, 1, "hash of the source file, or of a scene's recipe"),
    FIELD(recipe_hash, LT_H5_U64, 1, "hash of the options that shaped the clip"),
    FIELD(flags, LT_H5_U32, 1,
          "bits: 1 frames repeat, 2 after a cut, 4 before a cut, 8 source slower than the file, 16 has flow, "
          "32 synthetic"),
    FIELD(repeated, LT_H5_I32, 1, "source frames that repeat their predecessor"),
    FIELD(part, LT_H5_I32, 1, "which clip of its source this is, from 0"),
    FIELD(cut_count, LT_H5_I32, 1, "known cuts inside the clip"),
    FIELD(cut_frame, LT_H5_I32, LT_CLIP_CUTS, "first frame after each cut, counted from the clip's start"),
    FIELD(cut_scene, LT_H5_I32, LT_CLIP_CUTS, "scene that each cut leads to; the clip starts in scene 0"),
    TEXT(domain, "kind of footage, such as calm"),
    TEXT(role, "train, val or test; one per group"),
    TEXT(group, "one source video, or related ones"),
    TEXT(source, "path of the source as it was given"),
    TEXT(caption, "text that describes the clip; may be empty"),
    {"frames_hash", LT_H5_U64, offsetof(lt_clip, frames_hash), 1, true,
     "XXH64 of the clip's part of /frames_sum"},
    {NULL}};

_Static_assert(sizeof(lt_clip) == 10 * 8 + (3 + 2 * LT_CLIP_CUTS) * 4 + 32 + 8 + 128 + 256 + 1024 - 4,
               "lt_clip has padding");

lt_h5_layout lt_clip_layout(int64_t version) {
    return (lt_h5_layout){.type = LT_H5_RECORD,
                          .fields = clip_fields,
                          .record_bytes = sizeof(lt_clip),
                          .ndim = 1,
                          .chunk_rows = 16,
                          .sums = version >= 2,
                          .labels = {"clip"},
                          .about = "one row per clip; what a column means: the attribute of its name"};
}

bool lt_role_valid(const char *role) {
    return strcmp(role, "train") == 0 || strcmp(role, "val") == 0 || strcmp(role, "test") == 0;
}

bool lt_copy_text(char *out, size_t size, const char *text) {
    size_t length = strlen(text), kept = length < size ? length : size - 1;
    /* A byte 10xxxxxx continues a character: step back to where that character starts. */
    while (kept < length && kept > 0 && ((unsigned char)text[kept] & 0xC0) == 0x80) kept--;
    memset(out, 0, size);
    memcpy(out, text, kept);
    return kept == length;
}

static bool ended(const char *text, size_t size) { return memchr(text, 0, size) != NULL; }

lt_status lt_clip_check(const lt_clip *clip) {
    bool texts = ended(clip->domain, sizeof clip->domain) && ended(clip->role, sizeof clip->role) &&
                 ended(clip->group, sizeof clip->group) && ended(clip->source, sizeof clip->source) &&
                 ended(clip->caption, sizeof clip->caption);
    LT_CHECK(texts, LT_USAGE, "a text field has no end");
    LT_CHECK(clip->frames >= 1, LT_USAGE, "%lld frames: a clip has at least one", (long long)clip->frames);
    LT_CHECK(isfinite(clip->fps) && clip->fps > 0, LT_USAGE, "fps is %g: expected a positive number",
             clip->fps);
    LT_CHECK(isfinite(clip->start_s) && isfinite(clip->luma_diff) && isfinite(clip->flow_px_per_s), LT_USAGE,
             "start_s, luma_diff or flow_px_per_s is not finite");
    LT_CHECK(clip->domain[0], LT_USAGE, "the domain is empty");
    LT_CHECK(clip->group[0], LT_USAGE, "the group is empty");
    LT_CHECK(lt_role_valid(clip->role), LT_USAGE, "the role is \"%s\": expected train, val or test",
             clip->role);
    LT_CHECK(clip->cut_count >= 0 && clip->cut_count <= LT_CLIP_CUTS, LT_USAGE,
             "cut_count is %d: expected 0 to %d", clip->cut_count, LT_CLIP_CUTS);
    for (int i = 0; i < clip->cut_count; i++)
        LT_CHECK(clip->cut_frame[i] > (i ? clip->cut_frame[i - 1] : 0) && clip->cut_frame[i] < clip->frames,
                 LT_USAGE, "cut %d at frame %d is out of order or outside the clip", i, clip->cut_frame[i]);
    return LT_OK;
}
