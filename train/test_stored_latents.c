/* Training on /latents of a dataset instead of its frames. */
#include "infer/encode.h"
#include "model/text/testing.h"
#include "train/environment.h"
#include "train/testing.h"

enum { STEPS = 4 };

/* Of the dataset at `path`. */
static void encode_data(const char *path) {
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
    CHECK_OK(lt_dataset_open_append(path, &set));
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
    encode_data(test_data);
    outcome forced = train("frames"), stored = train("latents"), chosen = train("auto");
    for (int i = 0; i < STEPS; i++) {
        CHECK(forced.loss[i] == frames.loss[i] && chosen.loss[i] == stored.loss[i]);
        CHECK(stored.loss[i] != frames.loss[i] && fabs(stored.loss[i] / frames.loss[i] - 1) < 2e-3);
    }
    CHECK(forced.validation == frames.validation && chosen.validation == stored.validation);
    CHECK(stored.validation != frames.validation && fabs(stored.validation / frames.validation - 1) < 2e-3);
}

static void run_into(const char *folder, const char *data, const char *from, int steps, bool resume) {
    char key[64], until[32];
    const char *overrides[] = {key, until, "train.seed=3", "train.freeze=text_encoder.*", NULL};
    lt_device *device = NULL;
    snprintf(key, sizeof key, "data.latents=%s", from);
    snprintf(until, sizeof until, "train.steps=%d", steps);
    lt_config *config = test_config(overrides);
    CHECK_OK(lt_device_open("cpu", &device));
    lt_run_options o = {.config = config, .data = data, .out = folder, .resume = resume, .device = device};
    CHECK_OK(lt_run_train(&o));
    if (device) lt_device_close(device);
    lt_config_free(config);
}

static uint64_t weights_after(const char *folder) {
    char checkpoint[LT_PATH_MAX], path[LT_PATH_MAX];
    uint64_t hash = 0;
    CHECK_OK(lt_run_checkpoint(folder, "latest", checkpoint));
    CHECK_OK(lt_path_join(path, checkpoint, "model.safetensors"));
    CHECK_OK(lt_hash_file(path, &hash));
    return hash;
}

/* `encode` between the halves of a run changes nothing; a run that began on what it wrote goes on with that. */
static void a_resumed_run_reads_what_it_read_before(void) {
    char data[LT_PATH_MAX], run[3][LT_PATH_MAX];
    CHECK_OK(lt_path_join(data, test_folder, "resumed.h5"));
    CHECK_OK(test_make_data(data, TRAIN_CLIPS, VAL_CLIPS));
    for (int i = 0; i < 3; i++) snprintf(run[i], sizeof run[i], "%s/run%d", test_folder, i);
    run_into(run[0], data, "auto", 2, false);
    encode_data(data);
    run_into(run[0], data, "auto", 4, true);
    run_into(run[1], data, "frames", 4, false);
    run_into(run[2], data, "auto", 4, false);
    CHECK(weights_after(run[0]) == weights_after(run[1]));
    CHECK(weights_after(run[2]) != weights_after(run[1]));
    char path[LT_PATH_MAX];
    CHECK_OK(lt_path_join(path, run[2], "environment.json"));
    char *latents = lt_environment_text(path, "latents"), *captions = lt_environment_text(path, "captions");
    CHECK(latents && captions && strcmp(latents, "latents") == 0 && strcmp(captions, "latents") == 0);
    free(latents), free(captions);
}

/* With the text encoder frozen, captions come from /text too; the encoder itself is then asked for the empty prompt
 * alone. */
static double frozen_loss(const char *from, int *count) {
    char key[64];
    const char *overrides[] = {key, "train.freeze=text_encoder.*", "train.caption_drop=0.3", NULL};
    test_bench b;
    double loss = 0;
    snprintf(key, sizeof key, "data.latents=%s", from);
    CHECK_OK(test_open(&b, overrides));
    lt_text_kind counting;
    (void)test_count_encodings(&b.model->text, &counting);
    for (int i = 0; i < STEPS; i++) {
        lt_step_result r;
        CHECK_OK(lt_trainer_step(b.trainer, &r));
        loss += r.loss;
    }
    *count = test_encodings;
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
    RUN(a_resumed_run_reads_what_it_read_before);
    RUN(what_is_not_there_is_said);
    test_finish();
    return test_end();
}
