#include "train/stored_text.h"

#include "core/log.h"
#include "infer/transfer.h"

#include <stdlib.h>
#include <string.h>

struct lt_stored_text {
    lt_dataset *set;
    int length, width;
    bool has_null;
    float *values, *mask;           /* [clips, length, width], [clips, length] */
    float *null_values, *null_mask; /* of the empty prompt */
    uint16_t *halves;               /* of one caption */
};

static bool is_trained(const lt_text_encoder *text) {
    for (int i = 0; i < LT_TEXT_PARAMETERS && text->parameter[i]; i++)
        if (((const lt_param *)text->parameter[i])->trainable) return true;
    return false;
}

/* False where a clip has none. */
static lt_status all_clips(lt_dataset *set, bool *all) {
    *all = true;
    for (int64_t i = 0; i < lt_dataset_clip_count(set) && *all; i++) {
        int64_t rows;
        LT_TRY(lt_dataset_feature_rows(set, LT_TEXT, i, &rows));
        *all = rows > 0;
    }
    return LT_OK;
}

static lt_status matches(const lt_model *model, lt_dataset *set, bool *out) {
    lt_feature_spec wanted;
    const lt_feature_spec *found = lt_dataset_feature_spec(set, LT_TEXT);
    *out = false;
    if (!found) return LT_OK;
    LT_TRY(lt_text_feature(model, &wanted));
    if (strcmp(found->producer, wanted.producer) == 0) return all_clips(set, out);
    lt_warn("%s: its /text is of \"%s\", the model's of \"%s\"", lt_dataset_path(set), found->producer,
            wanted.producer);
    return LT_OK;
}

static lt_stored_text *reserve(const lt_model *model, lt_dataset *set, int clips) {
    lt_stored_text *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    *t = (lt_stored_text){.set = set, .length = model->text.length, .width = model->text.width};
    size_t tokens = (size_t)t->length, values = tokens * (size_t)t->width;
    t->values = malloc((size_t)clips * values * sizeof *t->values);
    t->mask = malloc((size_t)clips * tokens * sizeof *t->mask);
    t->null_values = malloc(values * sizeof *t->null_values);
    t->null_mask = malloc(tokens * sizeof *t->null_mask);
    t->halves = malloc(values * sizeof *t->halves);
    if (t->values && t->mask && t->null_values && t->null_mask && t->halves) return t;
    lt_stored_text_close(t);
    return NULL;
}

lt_status lt_stored_text_open(const lt_model *model, lt_dataset *set, lt_latents_mode mode, int clips,
                              bool quiet, lt_stored_text **out) {
    bool usable;
    *out = NULL;
    if (mode == LT_LATENTS_FRAMES || is_trained(&model->text)) return LT_OK;
    LT_TRY(matches(model, set, &usable));
    LT_CHECK(usable || mode != LT_LATENTS_STORED, LT_INPUT,
             "%s: it no longer has the /text of every clip that this run reads; `longtake encode` writes it",
             lt_dataset_path(set));
    if (!usable) return LT_OK;
    *out = reserve(model, set, clips);
    LT_CHECK(*out, LT_FAILED, "out of memory for embeddings of captions");
    if (!quiet) lt_info("%s: captions are read from /text (float16), not encoded", lt_dataset_path(set));
    return LT_OK;
}

void lt_stored_text_close(lt_stored_text *t) {
    if (!t) return;
    free(t->values), free(t->mask), free(t->null_values), free(t->null_mask), free(t->halves);
    free(t);
}

/* What the encoder gives for the empty prompt; it is frozen. */
static lt_status encode_null(lt_stored_text *t, lt_clip_pass *pass) {
    lt_session *s = pass->session;
    if (t->has_null) return LT_OK;
    LT_TRY(lt_clip_pass_prompts(pass, 1, NULL));
    LT_TRY(lt_get_floats(&s->ctx, &s->step, lt_slice(pass->text.value, 0, 0, 1), t->null_values));
    LT_TRY(lt_get_floats(&s->ctx, &s->step, lt_slice(pass->text.mask, 0, 0, 1), t->null_mask));
    t->has_null = true;
    return LT_OK;
}

/* Masked tokens are zeros. */
static lt_status read_caption(lt_stored_text *t, int64_t clip, float *values, float *mask) {
    int64_t rows;
    LT_TRY(lt_dataset_feature_rows(t->set, LT_TEXT, clip, &rows));
    LT_CHECK(rows > 0 && rows <= t->length, LT_INPUT,
             "%s: clip %lld has %lld rows of /text, expected 1 to %d", lt_dataset_path(t->set),
             (long long)clip, (long long)rows, t->length);
    LT_TRY(lt_dataset_feature_read(t->set, LT_TEXT, clip, 0, rows, t->halves));
    for (int64_t i = 0; i < (int64_t)t->length * t->width; i++)
        values[i] = i < rows * t->width ? lt_f16_to_f32(t->halves[i]) : 0;
    for (int64_t i = 0; i < t->length; i++) mask[i] = i < rows;
    return LT_OK;
}

lt_status lt_stored_text_put(lt_stored_text *t, lt_clip_pass *pass, int count, const int64_t *clips,
                             const char *const *prompts) {
    lt_session *s = pass->session;
    size_t tokens = (size_t)t->length, values = tokens * (size_t)t->width;
    if (lt_device_is_null(s->ctx.device)) return lt_clip_pass_prompts(pass, 1, NULL); /* measures */
    LT_TRY(encode_null(t, pass));
    for (int i = 0; i < count; i++) {
        float *to = t->values + (size_t)i * values, *mask = t->mask + (size_t)i * tokens;
        if (prompts[i]) LT_TRY(read_caption(t, clips[i], to, mask));
        else
            memcpy(to, t->null_values, values * sizeof *to),
                memcpy(mask, t->null_mask, tokens * sizeof *mask);
    }
    lt_tape_reset(&s->tape);
    LT_TRY(lt_put_floats(&s->ctx, &s->step, t->values, lt_slice(pass->text.value, 0, 0, count)));
    return lt_put_floats(&s->ctx, &s->step, t->mask, lt_slice(pass->text.mask, 0, 0, count));
}
