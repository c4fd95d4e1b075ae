#include "data/shots.h"

int lt_clip_shot_count(const lt_clip *clip) {
    int cuts = clip->cut_count < 0 ? 0 : clip->cut_count > LT_CLIP_CUTS ? LT_CLIP_CUTS : clip->cut_count;
    return cuts + 1;
}

static int scene_of(const lt_clip *clip, int shot) { return shot == 0 ? 0 : clip->cut_scene[shot - 1]; }

static int64_t first_of(const lt_clip *clip, int shot) {
    if (shot == 0) return 0;
    return shot < lt_clip_shot_count(clip) ? clip->cut_frame[shot - 1] : clip->frames;
}

lt_shot lt_clip_shot(const lt_clip *clip, int index) {
    int count = lt_clip_shot_count(clip);
    index = index < 0 ? 0 : index >= count ? count - 1 : index;
    lt_shot shot = {.index = index,
                    .first = first_of(clip, index),
                    .end = first_of(clip, index + 1),
                    .scene = scene_of(clip, index),
                    .last_shown = -1};
    for (int i = 0; i < index; i++)
        if (scene_of(clip, i) == shot.scene) shot.returns = true, shot.last_shown = first_of(clip, i + 1);
    return shot;
}

lt_shot lt_clip_shot_at(const lt_clip *clip, int64_t frame) {
    int index = 0;
    while (index + 1 < lt_clip_shot_count(clip) && first_of(clip, index + 1) <= frame) index++;
    return lt_clip_shot(clip, index);
}
