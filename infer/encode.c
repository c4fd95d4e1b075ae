#include "infer/encode.h"

#include "core/io.h"
#include "infer/latents.h"
#include "infer/transfer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 16, COMMIT_EVERY = 64 }; /* latent frames through the codec at once; clips */

typedef struct encoding {
    lt_model *model;
    lt_dataset *set;
    const lt_encode_options *options;
    lt_codec_stream *codec;
    lt_device *host; /* that runs a codec without parameters */
    uint8_t *rgb;    /* of a chunk */
    float *latents;
    int64_t row;         /* values of a latent frame */
    lt_session *session; /* that runs the text encoder */
    lt_text_embedding text;
    float *embedding, *mask; /* of one caption */
    int64_t pending;         /* clips since the last commit */
} encoding;

/* ---- features of the file ---------------------------------------------------------------------------------------- */

/* Creates /latents or /text, or goes on with what is there. */
static lt_status prepare_feature(encoding *e, lt_feature feature, const lt_feature_spec *wanted) {
    const lt_feature_spec *found = lt_dataset_feature_spec(e->set, feature);
    const char *name = feature == LT_LATENTS ? "latents" : "text";
    bool same = found && strcmp(found->producer, wanted->producer) == 0 &&
                memcmp(found->shape, wanted->shape, sizeof wanted->shape) == 0;
    if (same) return LT_OK;
    LT_CHECK(!found || e->options->force, LT_INPUT,
             "%s: its /%s are of \"%s\", this model's are of \"%s\"; --force replaces them",
             lt_dataset_path(e->set), name, found->producer, wanted->producer);
    return lt_dataset_feature_create(e->set, feature, wanted);
}

static lt_status missing(encoding *e, lt_feature feature, int64_t clip, bool wanted, bool *out) {
    int64_t rows = 0;
    *out = false;
    if (!wanted) return LT_OK;
    LT_TRY(lt_dataset_feature_rows(e->set, feature, clip, &rows));
    int64_t whole = lt_codec_latents(e->model->codec, lt_dataset_clip(e->set, clip)->frames);
    *out = feature == LT_LATENTS ? rows != whole : rows == 0;
    return LT_OK;
}

/* ---- latents ----------------------------------------------------------------------------------------------------- */

static lt_status open_codec(encoding *e) {
    const lt_model *m = e->model;
    int64_t n[4];
    lt_model_block_shape(m, n);
    LT_TRY(lt_codec_check_streams(m->codec));
    lt_codec_spec spec = {.codec = m->codec,
                          .params = &m->params,
                          .device = m->device,
                          .direction = LT_CODEC_ENCODE,
                          .height = m->frame_height,
                          .width = m->frame_width,
                          .most = CHUNK};
    if (!m->codec->on_device) {
        LT_TRY(lt_device_open("cpu", &e->host));
        spec.device = e->host;
    }
    LT_TRY(lt_codec_stream_open(&spec, &e->codec));
    int64_t frames = CHUNK * m->codec->stride_t;
    if (frames < m->codec->first_frames) frames = m->codec->first_frames;
    e->row = n[1] * n[2] * n[3];
    e->rgb = malloc((size_t)(frames * m->frame_height * m->frame_width * 3));
    e->latents = malloc((size_t)(CHUNK * e->row) * sizeof *e->latents);
    LT_CHECK(e->rgb && e->latents, LT_FAILED, "encode: out of memory for %d latent frames", CHUNK);
    return LT_OK;
}

static lt_status fill_rows(encoding *e, int64_t clip, int64_t rows, uint16_t *halves) {
    const lt_codec *codec = e->model->codec;
    LT_TRY(lt_codec_stream_reset(e->codec));
    for (int64_t at = 0; at < rows; at += CHUNK) {
        int64_t count = rows - at < CHUNK ? rows - at : CHUNK;
        LT_TRY(lt_dataset_read_frames(e->set, clip, lt_codec_frames(codec, at),
                                      lt_codec_stream_frames(e->codec, count), e->rgb));
        LT_TRY(lt_codec_stream_encode(e->codec, count, e->rgb, e->latents));
        lt_latents_to_rows(e->model, count, e->latents, halves + at * e->row);
    }
    return LT_OK;
}

static lt_status encode_latents(encoding *e, int64_t clip) {
    int64_t rows = lt_codec_latents(e->model->codec, lt_dataset_clip(e->set, clip)->frames);
    uint16_t *halves = malloc((size_t)(rows * e->row + 1) * sizeof *halves);
    LT_CHECK(halves, LT_FAILED, "encode: out of memory for %" PRId64 " latent frames", rows);
    lt_status status = fill_rows(e, clip, rows, halves);
    if (status == LT_OK) status = lt_dataset_feature_write(e->set, LT_LATENTS, clip, halves, rows);
    free(halves);
    return status;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static lt_status encode_set_up(lt_session *session, void *user) {
    encoding *e = user;
    return lt_text_embedding_new(&session->model->text, &session->ctx, &session->run, 1, &e->text);
}

static lt_status encode_rehearse(lt_session *session, void *user) {
    encoding *e = user;
    return lt_text_embed(&session->model->text, &session->tape, 1, NULL, &e->text);
}

static lt_status open_text(encoding *e) {
    const lt_text_encoder *text = &e->model->text;
    lt_work work = {.setup = encode_set_up, .work = encode_rehearse, .user = e};
    e->embedding = malloc((size_t)text->length * (size_t)text->width * sizeof *e->embedding);
    e->mask = malloc((size_t)text->length * sizeof *e->mask);
    LT_CHECK(e->embedding && e->mask, LT_FAILED, "encode: out of memory for a caption");
    return lt_session_open(e->model, &work, &e->session);
}

static lt_status encode_text(encoding *e, int64_t clip) {
    lt_session *s = e->session;
    const char *caption = lt_dataset_clip(e->set, clip)->caption;
    const int64_t width = e->model->text.width;
    int64_t rows = 0;
    lt_tape_reset(&s->tape);
    LT_TRY(lt_text_embed(&e->model->text, &s->tape, 1, &caption, &e->text));
    LT_TRY(lt_get_floats(&s->ctx, &s->step, e->text.value, e->embedding));
    LT_TRY(lt_get_floats(&s->ctx, &s->step, e->text.mask, e->mask));
    while (rows < e->model->text.length && e->mask[rows] > 0) rows++;
    uint16_t *halves = malloc((size_t)(rows * width + 1) * sizeof *halves);
    LT_CHECK(halves, LT_FAILED, "encode: out of memory for a caption");
    for (int64_t i = 0; i < rows * width; i++) halves[i] = lt_f32_to_f16(e->embedding[i]);
    lt_status status = lt_dataset_feature_write(e->set, LT_TEXT, clip, halves, rows);
    free(halves);
    return status;
}

/* ---- all clips --------------------------------------------------------------------------------------------------- */

static lt_status prepare(encoding *e) {
    lt_feature_spec spec;
    const lt_dataset_spec *data = lt_dataset_get_spec(e->set);
    if (e->options->text) {
        LT_TRY(lt_text_feature(e->model, &spec));
        LT_TRY(prepare_feature(e, LT_TEXT, &spec));
        LT_TRY(open_text(e));
    }
    if (!e->options->latents) return LT_OK;
    LT_CHECK(data->width == e->model->frame_width && data->height == e->model->frame_height, LT_INPUT,
             "%s holds frames of %dx%d, and the model's are %dx%d (width x height)", lt_dataset_path(e->set),
             data->width, data->height, e->model->frame_width, e->model->frame_height);
    LT_TRY(lt_latents_feature(e->model, &spec));
    LT_TRY(prepare_feature(e, LT_LATENTS, &spec));
    return open_codec(e);
}

static lt_status encode_clip(encoding *e, int64_t clip, lt_encode_result *out) {
    bool latents, text;
    LT_TRY(missing(e, LT_LATENTS, clip, e->options->latents, &latents));
    LT_TRY(missing(e, LT_TEXT, clip, e->options->text, &text));
    if (latents) LT_TRY(encode_latents(e, clip));
    if (text) LT_TRY(encode_text(e, clip));
    e->pending += latents || text;
    if (latents || text) out->encoded++;
    else out->skipped++;
    return LT_OK;
}

static lt_status encode_clips(encoding *e, lt_encode_result *out) {
    int64_t count = lt_dataset_clip_count(e->set);
    int every = e->options->commit_every > 0 ? e->options->commit_every : COMMIT_EVERY;
    for (int64_t i = 0; i < count; i++) {
        LT_TRY(encode_clip(e, i, out));
        bool stop = lt_interrupted();
        if (e->pending >= every || (stop && e->pending > 0)) {
            LT_TRY(lt_dataset_commit(e->set));
            e->pending = 0;
        }
        if (e->options->progress) e->options->progress(i + 1, count, e->options->progress_user);
        LT_CHECK(!stop, LT_INTERRUPTED, "interrupted; %s holds what was encoded, and the next encode goes on",
                 lt_dataset_path(e->set));
    }
    return lt_dataset_commit(e->set);
}

lt_status lt_encode_dataset(lt_model *model, lt_dataset *set, const lt_encode_options *options,
                            lt_encode_result *out) {
    encoding e = {.model = model, .set = set, .options = options};
    *out = (lt_encode_result){0};
    lt_status status = prepare(&e);
    if (status == LT_OK) status = encode_clips(&e, out);
    lt_session_close(e.session);
    lt_codec_stream_close(e.codec);
    if (e.host) lt_device_close(e.host);
    free(e.rgb), free(e.latents), free(e.embedding), free(e.mask);
    return status;
}
