/* Datasets: what each domain and role holds. */
#include "core/rng.h"
#include "experiments/info.h"

#include "core/io.h"
#include "data/dataset.h"
#include "data/shots.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Puts the clips of a domain, role and group together. */
static int by_set_and_group(const void *a, const void *b) {
    const lt_clip *x = *(const lt_clip *const *)a, *y = *(const lt_clip *const *)b;
    int order = strcmp(x->domain, y->domain);
    if (!order) order = strcmp(x->role, y->role);
    return order ? order : strcmp(x->group, y->group);
}

static bool same_set(const lt_clip *a, const lt_clip *b) {
    return strcmp(a->domain, b->domain) == 0 && strcmp(a->role, b->role) == 0;
}

static int64_t count_returns(const lt_clip *clip) {
    int64_t returns = 0;
    for (int i = 0; i < lt_clip_shot_count(clip); i++) returns += lt_clip_shot(clip, i).returns;
    return returns;
}

static cJSON *summarise(const lt_clip *const *clips, int64_t count) {
    int64_t groups = 0, frames = 0, cuts = 0, returns = 0, repeated = 0;
    double seconds = 0, luma = 0, flow = 0;
    for (int64_t i = 0; i < count; i++) {
        const lt_clip *clip = clips[i];
        groups += i == 0 || strcmp(clip->group, clips[i - 1]->group) != 0;
        frames += clip->frames, repeated += clip->repeated;
        cuts += clip->cut_count, returns += count_returns(clip);
        seconds += (double)clip->frames / clip->fps;
        luma += clip->luma_diff * (double)clip->frames, flow += clip->flow_px_per_s * (double)clip->frames;
    }
    cJSON *set = cJSON_CreateObject();
    cJSON_AddStringToObject(set, "domain", clips[0]->domain);
    cJSON_AddStringToObject(set, "role", clips[0]->role);
    cJSON_AddNumberToObject(set, "groups", (double)groups);
    cJSON_AddNumberToObject(set, "clips", (double)count);
    cJSON_AddNumberToObject(set, "frames", (double)frames);
    cJSON_AddNumberToObject(set, "repeated_frames", (double)repeated);
    cJSON_AddNumberToObject(set, "seconds", seconds);
    cJSON_AddNumberToObject(set, "luma_diff", luma / (double)frames);
    cJSON_AddNumberToObject(set, "flow_px_per_s", flow / (double)frames);
    cJSON_AddNumberToObject(set, "cuts", (double)cuts);
    cJSON_AddNumberToObject(set, "returns", (double)returns);
    return set;
}

static lt_status add_sets(const lt_dataset *data, cJSON *out) {
    int64_t count = lt_dataset_clip_count(data);
    const lt_clip **clips = malloc((size_t)(count + 1) * sizeof *clips);
    LT_CHECK(clips, LT_FAILED, "out of memory for %" PRId64 " clips", count);
    for (int64_t i = 0; i < count; i++) clips[i] = lt_dataset_clip(data, i);
    qsort(clips, (size_t)count, sizeof *clips, by_set_and_group);
    cJSON *sets = cJSON_AddArrayToObject(out, "sets");
    for (int64_t first = 0, next; first < count; first = next) {
        for (next = first; next < count && same_set(clips[first], clips[next]);) next++;
        cJSON_AddItemToArray(sets, summarise(clips + first, next - first));
    }
    free(clips);
    return LT_OK;
}

static void add_feature(const lt_dataset *data, lt_feature feature, const char *name, cJSON *out) {
    const lt_feature_spec *spec = lt_dataset_feature_spec(data, feature);
    if (spec) cJSON_AddStringToObject(out, name, spec->producer);
    else cJSON_AddNullToObject(out, name);
}

lt_status lt_info_dataset(const char *path, cJSON **out) {
    char hash[LT_HASH_TEXT];
    lt_dataset *data;
    *out = NULL;
    LT_TRY(lt_dataset_open(path, &data));
    const lt_dataset_spec *spec = lt_dataset_get_spec(data);
    cJSON *info = cJSON_CreateObject();
    cJSON_AddStringToObject(info, "path", path);
    cJSON_AddStringToObject(info, "kind", "dataset");
    cJSON_AddNumberToObject(info, "width", spec->width);
    cJSON_AddNumberToObject(info, "height", spec->height);
    cJSON_AddNumberToObject(info, "fps", spec->fps);
    cJSON_AddNumberToObject(info, "clips", (double)lt_dataset_clip_count(data));
    cJSON_AddNumberToObject(info, "frames", (double)lt_dataset_frame_count(data));
    cJSON_AddBoolToObject(info, "flow", spec->flow);
    add_feature(data, LT_LATENTS, "latents", info);
    add_feature(data, LT_TEXT, "text", info);
    cJSON_AddStringToObject(info, "hash", lt_hash_text(lt_dataset_hash(data), hash));
    lt_status status = add_sets(data, info);
    lt_dataset_close(data);
    if (status == LT_OK) *out = info;
    else cJSON_Delete(info);
    return status;
}
