/* What evaluation knows about blocks, policies and denoisers without running a model. */
#include "data/shots.h"
#include "infer/cache_shape.h"
#include "infer/evaluate.h"

#include <string.h>

lt_eval_options lt_eval_default(void) {
    return (lt_eval_options){.role = "test", .blocks = 8, .draws = LT_EVAL_MIN_DRAWS};
}

bool lt_eval_evicting(const lt_model *model, const lt_cache_spec *spec, int block) {
    return (int64_t)block * lt_block_segments(model, spec->granularity) > spec->budget;
}

lt_eval_place lt_eval_place_of(const lt_clip *row, const lt_model *model, int block) {
    int64_t first = lt_model_frames(model, block), frames = lt_model_frames(model, block + 1) - first;
    lt_shot shot = lt_clip_shot_at(row, first);
    lt_eval_place place = {.since_cut = -1, .frames_since_cut = -1};
    place.has_cut = lt_clip_shot_at(row, first + frames - 1).index != shot.index;
    if (shot.index == 0) return place;
    place.frames_since_cut = (int)(first - shot.first);
    place.since_cut = place.frames_since_cut / (int)frames;
    if (shot.returns && place.since_cut < 2) {
        place.after_return = place.since_cut + 1;
        place.gap = (int)(shot.first - shot.last_shown);
    }
    return place;
}

double lt_gaussian_denoiser_loss(double t, const double *variances, int channels) {
    double sum = 0;
    for (int c = 0; c < channels; c++) {
        double v = variances[c], seen = (1 - t) * (1 - t) * v + t * t;
        sum += seen > 0 ? v / seen : 1; /* v = t = 0: x is known, the noise is not */
    }
    return sum / channels;
}

bool lt_spec_is_hand_made(const lt_cache_spec *spec) {
    return !(spec->policy->needs & LT_NEED_SCORER) && spec->read == LT_READ_ONE;
}

static int64_t head_bytes(const lt_scorer_head *head) {
    const lt_var *parts[] = {head->embed, head->w1, head->b1, head->w2, head->b2};
    int64_t bytes = 0;
    for (int i = 0; i < 5; i++) bytes += (int64_t)lt_nbytes(&parts[i]->value);
    return bytes;
}

/* The cache of one streamed sequence, on a device that only counts. */
static lt_status count_cache(const lt_model *model, const lt_cache_spec *spec, lt_device *device,
                             lt_policy_bytes *out) {
    lt_ctx ctx = {.device = device, .backend = model->backend};
    lt_cache_shape shape = lt_cache_shape_streaming(model, &ctx, spec, 1);
    lt_arena run;
    lt_cache cache;
    LT_TRY(lt_arena_init(&run, device, SIZE_MAX, "run"));
    lt_status status = lt_cache_init(&cache, &shape, spec, &run);
    if (status == LT_OK) {
        out->slots = lt_cache_slot_bytes(&cache);
        out->tail = lt_cache_tail_bytes(&cache);
        out->metadata = lt_cache_metadata_bytes(&cache);
        lt_cache_free(&cache);
    }
    lt_arena_free(&run);
    return status;
}

lt_status lt_eval_bytes(const lt_model *model, const lt_cache_spec *spec, lt_policy_bytes *out) {
    lt_device *device;
    *out = (lt_policy_bytes){0};
    LT_TRY(lt_device_open("null", &device));
    lt_status status = count_cache(model, spec, device, out);
    lt_device_close(device);
    if (spec->policy->needs & LT_NEED_SCORER) out->scorer += head_bytes(&model->scorer.keep);
    if (spec->read != LT_READ_ONE) out->scorer += head_bytes(&model->scorer.read[spec->read - LT_READ_AGE]);
    return status;
}

int64_t lt_policy_cache_bytes(const lt_policy_bytes *bytes) { return bytes->slots + bytes->metadata; }

bool lt_equal_bytes(int64_t a, int64_t b) {
    int64_t difference = a > b ? a - b : b - a, larger = a > b ? a : b;
    return difference * 100 <= larger;
}
