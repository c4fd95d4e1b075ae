/* Training on /latents of a dataset instead of its frames. */
#include "infer/encode.h"
#include "train/testing.h"

enum { STEPS = 4 };

static void encode_data(void) {
    static const char *const overrides[] = {NULL};
    lt_config *config = test_config(overrides);
    lt_device *device;
    lt_model *model;
    lt_dataset *set;
    lt_encode_result r;
    lt_encode_options o = {.latents = true, .text = true};
    CHECK_OK(lt_device_open("cpu", &device));
    CHECK_OK(lt_model_open(config, device, LT_BACKEND_CPU, 0, &model));
    CHECK_OK(lt_model_initialise(model, 3)); /* the seed of test_open: the same text encoder */
    CHECK_OK(lt_dataset_open_append(test_data, &set));
    CHECK_OK(lt_encode_dataset(model, set, &o, &r));
    CHECK(r.encoded == TRAIN_CLIPS + VAL_CLIPS);
    lt_dataset_close(set);
    lt_model_close(model);
    lt_device_close(device);
    lt_config_free(config);
}

typedef struct outcome {
    double loss[STEPS], validation;
} outcome;

static outcome train(const char *from) {
    char key[64];
    const char *overrides[] = {key, "train.validate_every=2", NULL};
    outcome out = {0};
    test_bench b;
    lt_validation v;
    snprintf(key, sizeof key, "data.latents=%s", from);
    CHECK_OK(test_open(&b, overrides));
    for (int i = 0; i < STEPS; i++) {
        lt_step_result r;
        CHECK_OK(lt_trainer_step(b.trainer, &r));
        out.loss[i] = r.loss;
    }
    CHECK_OK(lt_trainer_validate(b.trainer, &v));
    out.validation = v.loss;
    test_close(&b);
    return out;
}

static void training_on_stored_latents_is_close_to_training_on_frames(void) {
    outcome frames = train("auto"); /* there are none yet */
    encode_data();
    outcome forced = train("frames"), stored = train("latents"), chosen = train("auto");
    for (int i = 0; i < STEPS; i++) {
        CHECK(forced.loss[i] == frames.loss[i] && chosen.loss[i] == stored.loss[i]);
        CHECK(stored.loss[i] != frames.loss[i] && fabs(stored.loss[i] / frames.loss[i] - 1) < 2e-3);
    }
    CHECK(forced.validation == frames.validation && chosen.validation == stored.validation);
    CHECK(stored.validation != frames.validation && fabs(stored.validation / frames.validation - 1) < 2e-3);
}

/* With the text encoder frozen, captions come from /text too; the encoder itself is then asked for the empty prompt alone. */
static int encodings;
static lt_status count_and_encode(const lt_text_encoder *text, lt_tape *tape, int count, lt_tensor ids,
                                  lt_var **out) {
    encodings++;
    return lt_text_find("bytes")->encode(text, tape, count, ids, out);
}

static double frozen_loss(const char *from, int *count) {
    char key[64];
    const char *overrides[] = {key, "train.freeze=text_encoder.*", "train.caption_drop=0.3", NULL};
    test_bench b;
    double loss = 0;
    snprintf(key, sizeof key, "data.latents=%s", from);
    CHECK_OK(test_open(&b, overrides));
    lt_text_kind counting = *b.model->text.kind;
    counting.encode = count_and_encode, encodings = 0;
    b.model->text.kind = &counting;
    for (int i = 0; i < STEPS; i++) {
        lt_step_result r;
        CHECK_OK(lt_trainer_step(b.trainer, &r));
        loss += r.loss;
    }
    *count = encodings;
    test_close(&b);
    return loss;
}

static void captions_of_a_frozen_encoder_are_read(void) {
    int encoded, read;
    double frames = frozen_loss("frames", &encoded), stored = frozen_loss("auto", &read);
    CHECK(encoded == STEPS && read == 1);
    CHECK(stored != frames && fabs(stored / frames - 1) < 2e-3);
}

static void what_is_not_there_is_said(void) {
    static const char *const overrides[] = {"data.latents=latents", "model.codec=haar3d-full", NULL};
    test_bench b;
    CHECK_FAILS(test_open(&b, overrides), LT_INPUT, "\"codec haar3d; parameters none\"");
    test_close(&b);
}

int main(int argc, char **argv) {
    test_begin();
    RUN(training_on_stored_latents_is_close_to_training_on_frames);
    RUN(captions_of_a_frozen_encoder_are_read);
    RUN(what_is_not_there_is_said);
    test_finish();
    return test_end();
}
