#include "infer/latents.h"

#include "core/log.h"
#include "core/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const mode_names[] = {
    [LT_LATENTS_AUTO] = "auto", [LT_LATENTS_FRAMES] = "frames", [LT_LATENTS_STORED] = "latents"};

lt_latents_mode lt_latents_mode_of(const char *name) {
    if (strcmp(name, "frames") == 0) return LT_LATENTS_FRAMES;
    return strcmp(name, "latents") == 0 ? LT_LATENTS_STORED : LT_LATENTS_AUTO;
}

const char *lt_latents_mode_name(lt_latents_mode mode) { return mode_names[mode]; }

/* ---- who made them ----------------------------------------------------------------------------------------------- */

/* Names and values of the published tensors whose names begin with `prefix`; their number. */
static lt_status hash_parameters(const lt_model *m, const char *prefix, int *count, uint64_t *hash) {
    *count = 0, *hash = LT_HASH_SEED;
    for (int i = 0; i < m->params.published_count; i++) {
        const lt_published *p = &m->params.published[i];
        if (strncmp(p->name, prefix, strlen(prefix)) != 0) continue;
        double *values = malloc((size_t)p->count * sizeof *values);
        LT_CHECK(values, LT_FAILED, "out of memory for %s", p->name);
        lt_status status = lt_params_get(&m->params, LT_COPY_VALUE, p, values);
        *hash = lt_hash(p->name, strlen(p->name), *hash);
        if (status == LT_OK) *hash = lt_hash(values, (size_t)p->count * sizeof *values, *hash);
        free(values);
        LT_TRY(status);
        ++*count;
    }
    return LT_OK;
}

static lt_status name_producer(const lt_model *m, const char *what, const char *prefix, char *text) {
    char hex[LT_HASH_TEXT] = "none";
    uint64_t hash;
    int count;
    LT_TRY(hash_parameters(m, prefix, &count, &hash));
    if (count > 0) lt_hash_text(hash, hex);
    snprintf(text, LT_PRODUCER, "%s; parameters %s", what, hex);
    return LT_OK;
}

lt_status lt_latents_producer(const lt_model *m, char text[LT_PRODUCER]) {
    char what[LT_PRODUCER - 64];
    snprintf(what, sizeof what, "codec %s", m->codec->name);
    return name_producer(m, what, "codec.", text);
}

lt_status lt_text_producer(const lt_model *m, char text[LT_PRODUCER]) {
    char what[LT_PRODUCER - 64];
    lt_text_description d = lt_text_describe(&m->text);
    snprintf(what, sizeof what, "text encoder %s; %d tokens of %d", d.name, d.length, d.width);
    return name_producer(m, what, "text_encoder.", text);
}

lt_status lt_latents_feature(const lt_model *m, lt_feature_spec *out) {
    int64_t n[4];
    lt_model_block_shape(m, n);
    *out = (lt_feature_spec){.ndim = 3, .shape = {n[3], n[1], n[2]}};
    return lt_latents_producer(m, out->producer);
}

lt_status lt_text_feature(const lt_model *m, lt_feature_spec *out) {
    *out = (lt_feature_spec){.ndim = 1, .shape = {m->text.width}};
    return lt_text_producer(m, out->producer);
}

/* ---- whether they are taken -------------------------------------------------------------------------------------- */

/* Clips of whose whole latent frames a row is missing. */
static lt_status count_missing(const lt_model *m, lt_dataset *set, int64_t *missing) {
    *missing = 0;
    for (int64_t i = 0; i < lt_dataset_clip_count(set); i++) {
        int64_t rows;
        LT_TRY(lt_dataset_feature_rows(set, LT_LATENTS, i, &rows));
        *missing += rows != lt_codec_latents(m->codec, lt_dataset_clip(set, i)->frames);
    }
    return LT_OK;
}

/* LT_INPUT says what is wrong with them. */
static lt_status check_stored(const lt_model *m, lt_dataset *set) {
    lt_feature_spec wanted;
    int64_t missing;
    const char *path = lt_dataset_path(set);
    const lt_feature_spec *found = lt_dataset_feature_spec(set, LT_LATENTS);
    LT_CHECK(found, LT_INPUT, "%s: has no /latents: fill it with `longtake encode`", path);
    LT_TRY(lt_latents_feature(m, &wanted));
    LT_CHECK(strcmp(found->producer, wanted.producer) == 0, LT_INPUT,
             "%s: its /latents are of \"%s\", the model's are of \"%s\"; encode it again with --force", path,
             found->producer, wanted.producer);
    LT_CHECK(memcmp(found->shape, wanted.shape, sizeof wanted.shape) == 0, LT_INPUT,
             "%s: its /latents have rows of another shape than the model's", path);
    LT_TRY(count_missing(m, set, &missing));
    LT_CHECK(missing == 0, LT_INPUT,
             "%s: %" PRId64 " of %" PRId64 " clips have no /latents yet; `longtake encode` goes on", path,
             missing, lt_dataset_clip_count(set));
    return LT_OK;
}

lt_status lt_latents_choose(const lt_model *m, lt_dataset *set, lt_latents_mode mode, bool quiet,
                            bool *stored) {
    *stored = false;
    if (mode == LT_LATENTS_FRAMES) return LT_OK;
    if (mode == LT_LATENTS_AUTO && !lt_dataset_feature_spec(set, LT_LATENTS)) return LT_OK;
    lt_status status = check_stored(m, set);
    if (status == LT_OK) {
        *stored = true;
        if (!quiet)
            lt_info("%s: latents are read from /latents (float16), not encoded", lt_dataset_path(set));
        return LT_OK;
    }
    if (mode == LT_LATENTS_STORED || status != LT_INPUT) return status;
    if (!quiet) lt_warn("frames are encoded, /latents are not used: %s", lt_error());
    return LT_OK;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

void lt_latents_from_rows(const lt_model *m, int64_t rows, const uint16_t *halves, float *latents) {
    int64_t n[4];
    lt_model_block_shape(m, n);
    const int64_t place = n[1] * n[2], channels = n[3];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < place; i++)
                latents[(r * place + i) * channels + c] =
                    lt_f16_to_f32(halves[(r * channels + c) * place + i]);
}

void lt_latents_to_rows(const lt_model *m, int64_t rows, const float *latents, uint16_t *halves) {
    int64_t n[4];
    lt_model_block_shape(m, n);
    const int64_t place = n[1] * n[2], channels = n[3];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < place; i++)
                halves[(r * channels + c) * place + i] =
                    lt_f32_to_f16(latents[(r * place + i) * channels + c]);
}

static lt_status read_stored(const lt_model *m, lt_dataset *set, const double *statistics, int64_t clip,
                             int64_t rows, float *latents) {
    int64_t n[4];
    lt_model_block_shape(m, n);
    int64_t row = n[1] * n[2] * n[3];
    uint16_t *halves = malloc((size_t)(rows * row) * sizeof *halves);
    LT_CHECK(halves, LT_FAILED, "out of memory for %" PRId64 " latent frames", rows);
    lt_status status = lt_dataset_feature_read(set, LT_LATENTS, clip, 0, rows, halves);
    if (status == LT_OK) lt_latents_from_rows(m, rows, halves, latents);
    if (status == LT_OK && statistics) lt_model_normalise(m, statistics, rows * n[1] * n[2], latents);
    free(halves);
    return status;
}

lt_status lt_latents_read(const lt_model *m, lt_dataset *set, bool stored, const double *statistics,
                          int64_t clip, int64_t frames, uint8_t *rgb, float *latents) {
    if (stored) return read_stored(m, set, statistics, clip, lt_codec_latents(m->codec, frames), latents);
    LT_TRY(lt_dataset_read_frames(set, clip, 0, frames, rgb));
    return lt_model_encode_clips(m, statistics, 1, frames, rgb, latents);
}

lt_status lt_latents_read_normalised(const lt_model *m, lt_dataset *set, bool stored, int64_t clip,
                                     int64_t frames, uint8_t *rgb, float *latents) {
    double *statistics;
    LT_TRY(lt_model_statistics(m, &statistics));
    lt_status status = lt_latents_read(m, set, stored, statistics, clip, frames, rgb, latents);
    free(statistics);
    return status;
}
