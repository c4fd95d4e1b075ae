#include "data/clip.h"
#include "data/dataset_state.h"

#include <math.h>
#include <string.h>

#define FIELD(name, type, count)                                                                             \
    { #name, type, offsetof(lt_clip, name), count }
#define TEXT(name)                                                                                           \
    { #name, LT_H5_TEXT, offsetof(lt_clip, name), sizeof(((lt_clip *)0)->name) }

static const lt_h5_field clip_fields[] = {FIELD(first_frame, LT_H5_I64, 1),
                                          FIELD(frames, LT_H5_I64, 1),
                                          FIELD(fps, LT_H5_F64, 1),
                                          FIELD(start_s, LT_H5_F64, 1),
                                          FIELD(luma_diff, LT_H5_F64, 1),
                                          FIELD(flow_px_per_s, LT_H5_F64, 1),
                                          FIELD(content_hash, LT_H5_U64, 1),
                                          FIELD(recipe_hash, LT_H5_U64, 1),
                                          FIELD(flags, LT_H5_U32, 1),
                                          FIELD(repeated, LT_H5_I32, 1),
                                          FIELD(part, LT_H5_I32, 1),
                                          FIELD(cut_count, LT_H5_I32, 1),
                                          FIELD(cut_frame, LT_H5_I32, LT_CLIP_CUTS),
                                          FIELD(cut_scene, LT_H5_I32, LT_CLIP_CUTS),
                                          TEXT(domain),
                                          TEXT(role),
                                          TEXT(group),
                                          TEXT(source),
                                          TEXT(caption),
                                          {NULL}};

_Static_assert(sizeof(lt_clip) == 9 * 8 + (3 + 2 * LT_CLIP_CUTS) * 4 + 32 + 8 + 128 + 256 + 1024 - 4,
               "lt_clip has padding");

lt_h5_layout lt_clip_layout(void) {
    return (lt_h5_layout){.type = LT_H5_RECORD,
                          .fields = clip_fields,
                          .record_bytes = sizeof(lt_clip),
                          .ndim = 1,
                          .chunk_rows = 16};
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
