#include "data/dataset_state.h"

#include <string.h>

/* One row per feature: its array, and the array that says which rows are whose. */
static const struct {
    const char *values, *rows, *about;
    int ndim;
    int64_t chunk_rows;
} feature_arrays[LT_FEATURE_COUNT] = {
    [LT_LATENTS] = {"/latents", "/latents_rows", "latent frames, which `producer` computed", 3, 4},
    [LT_TEXT] = {"/text", "/text_rows", "embeddings of captions, a row per token", 1, 64},
};

static lt_h5_layout values_layout(const lt_dataset *set, lt_feature feature, const lt_feature_spec *spec) {
    static const char *const labels[LT_FEATURE_COUNT][LT_H5_DIMS] = {{"row", "channel", "y", "x"},
                                                                     {"row", "channel"}};
    lt_h5_layout layout = {.type = LT_H5_F16,
                           .ndim = spec->ndim + 1,
                           .chunk_rows = feature_arrays[feature].chunk_rows,
                           .sums = set->version >= 2,
                           .about = feature_arrays[feature].about};
    memcpy(layout.labels, labels[feature], sizeof layout.labels);
    for (int d = 0; d < spec->ndim; d++) layout.dims[d + 1] = spec->shape[d];
    return layout;
}

static lt_h5_layout rows_layout(const lt_dataset *set) {
    return (lt_h5_layout){.type = LT_H5_I64,
                          .ndim = 2,
                          .dims = {0, 2},
                          .chunk_rows = 1024,
                          .sums = set->version >= 2,
                          .labels = {"clip", "first_count"},
                          .about = "which rows are whose: first row and number of rows of each clip"};
}

static lt_status check_feature_spec(const lt_dataset *set, lt_feature feature, const lt_feature_spec *spec,
                                    lt_status code) {
    const char *name = feature_arrays[feature].values, *path = lt_h5_path(set->h5);
    LT_CHECK(spec->ndim == feature_arrays[feature].ndim, code, "%s: a row of %s has %d dimensions, not %d",
             path, name, feature_arrays[feature].ndim, spec->ndim);
    for (int d = 0; d < spec->ndim; d++)
        LT_CHECK(spec->shape[d] >= 1 && spec->shape[d] <= 1 << 20, code, "%s: dimension %d of %s is %lld",
                 path, d, name, (long long)spec->shape[d]);
    return LT_OK;
}

static void set_state(lt_dataset *set, lt_feature feature, const lt_feature_spec *spec) {
    lt_feature_state *state = &set->features[feature];
    state->spec = *spec;
    state->row_values = 1;
    for (int d = 0; d < spec->ndim; d++) state->row_values *= spec->shape[d];
    state->present = true;
}

lt_status lt_dataset_feature_create(lt_dataset *set, lt_feature feature, const lt_feature_spec *spec) {
    lt_feature_state *state = &set->features[feature];
    const char *name = feature_arrays[feature].values;
    LT_TRY(check_feature_spec(set, feature, spec, LT_USAGE));
    state->present = false;
    if (lt_h5_has(set->h5, name)) LT_TRY(lt_h5_remove(set->h5, name));
    if (lt_h5_has(set->h5, feature_arrays[feature].rows))
        LT_TRY(lt_h5_remove(set->h5, feature_arrays[feature].rows));
    lt_h5_layout values = values_layout(set, feature, spec), rows = rows_layout(set);
    LT_TRY(lt_h5_add(set->h5, name, &values, &state->values));
    LT_TRY(lt_h5_add(set->h5, feature_arrays[feature].rows, &rows, &state->rows));
    LT_TRY(lt_h5_set_text(set->h5, name, "producer", spec->producer));
    set_state(set, feature, spec);
    return LT_OK;
}

static lt_status open_feature(lt_dataset *set, lt_feature feature) {
    lt_feature_state *state = &set->features[feature];
    lt_feature_spec spec = {.ndim = feature_arrays[feature].ndim};
    const char *name = feature_arrays[feature].values;
    state->present = false;
    if (!lt_h5_has(set->h5, name)) return LT_OK;
    lt_h5_layout values = values_layout(set, feature, &spec), rows = rows_layout(set);
    LT_TRY(lt_h5_bind(set->h5, name, &values, &state->values));
    LT_TRY(lt_h5_bind(set->h5, feature_arrays[feature].rows, &rows, &state->rows));
    LT_TRY(lt_h5_get_text(set->h5, name, "producer", spec.producer, sizeof spec.producer));
    for (int d = 0; d < spec.ndim; d++) spec.shape[d] = values.dims[d + 1];
    LT_TRY(check_feature_spec(set, feature, &spec, LT_INPUT));
    set_state(set, feature, &spec);
    return LT_OK;
}

lt_status lt_dataset_features_open(lt_dataset *set) {
    for (int f = 0; f < LT_FEATURE_COUNT; f++) LT_TRY(open_feature(set, (lt_feature)f));
    return LT_OK;
}

const lt_feature_spec *lt_dataset_feature_spec(const lt_dataset *set, lt_feature feature) {
    return set->features[feature].present ? &set->features[feature].spec : NULL;
}

/* (first row, rows) of a clip; 0, 0 when there are none. */
static lt_status rows_of(lt_dataset *set, lt_feature feature, int64_t clip, int64_t out[2]) {
    const lt_feature_state *state = &set->features[feature];
    out[0] = out[1] = 0;
    if (!state->present || clip < 0 || clip >= lt_h5_rows(set->h5, state->rows)) return LT_OK;
    LT_TRY(lt_h5_read(set->h5, state->rows, clip, 1, out));
    int64_t all = lt_h5_rows(set->h5, state->values);
    LT_CHECK(out[0] >= 0 && out[1] >= 0 && out[1] <= all && out[0] <= all - out[1], LT_INPUT,
             "%s: %s of clip %lld lie outside the array", lt_h5_path(set->h5), feature_arrays[feature].values,
             (long long)clip);
    return LT_OK;
}

lt_status lt_dataset_feature_rows(lt_dataset *set, lt_feature feature, int64_t clip, int64_t *out) {
    int64_t rows[2];
    lt_status status = rows_of(set, feature, clip, rows);
    *out = status == LT_OK ? rows[1] : 0;
    return status;
}

static lt_status require(const lt_dataset *set, lt_feature feature, int64_t clip) {
    LT_CHECK(set->features[feature].present, LT_INPUT, "%s: has no %s: fill it with `longtake encode`",
             lt_h5_path(set->h5), feature_arrays[feature].values);
    LT_CHECK(lt_dataset_clip(set, clip), LT_USAGE, "%s: clip %lld of %lld", lt_h5_path(set->h5),
             (long long)clip, (long long)set->clip_count);
    return LT_OK;
}

lt_status lt_dataset_feature_write(lt_dataset *set, lt_feature feature, int64_t clip, const uint16_t *f16,
                                   int64_t rows) {
    LT_TRY(require(set, feature, clip));
    const lt_feature_state *state = &set->features[feature];
    int64_t entry[2] = {lt_h5_rows(set->h5, state->values), rows};
    if (rows > 0) LT_TRY(lt_h5_write(set->h5, state->values, entry[0], rows, f16));
    return lt_h5_write(set->h5, state->rows, clip, 1, entry);
}

lt_status lt_dataset_feature_read(lt_dataset *set, lt_feature feature, int64_t clip, int64_t first,
                                  int64_t count, uint16_t *f16) {
    int64_t rows[2];
    LT_TRY(require(set, feature, clip));
    LT_TRY(rows_of(set, feature, clip, rows));
    LT_CHECK(first >= 0 && count >= 0 && count <= rows[1] && first <= rows[1] - count, LT_USAGE,
             "%s: rows %lld to %lld of %s of clip %lld, which has %lld", lt_h5_path(set->h5),
             (long long)first, (long long)(first + count - 1), feature_arrays[feature].values,
             (long long)clip, (long long)rows[1]);
    return lt_h5_read(set->h5, set->features[feature].values, rows[0] + first, count, f16);
}
