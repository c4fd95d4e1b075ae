/* Trained scorers and programs that do not have the same features. Two programs come of this file
 * (cmake/rooms.cmake): one whose table of features has a row more (LT_TEST_FEATURE), and one as it is. Both load
 * the shipped model and must find the same scores. */
#include "core/io.h"
#include "core/safetensors.h"
#include "model/cache/feature.h"
#include "model/cache/host_values.h"
#include "model/model.h"
#include "tests/harness.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <unistd.h>

#define SHIPPED "experiments/tiny"
enum { ENTRIES = 7, KNOWN = 12, HIDDEN = LT_SCORER_HIDDEN };

#ifdef LT_TEST_FEATURE
enum { ONE_MORE = 1 };
float lt_feature_test(const lt_feature_view *view, int entry) { return 3 + (float)(view->entries * entry); }
#else
enum { ONE_MORE = 0 };
#endif

static char folder[256];
static lt_device *device;

static const char *in_folder(const char *name) {
    static char paths[4][LT_PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    CHECK_OK(lt_path_join(path, folder, name));
    return path;
}

static void fill_features(float (*features)[LT_FEATURE_COUNT]) {
    lt_rng_key key = {.seed = 12, .purpose = LT_RNG_TEST};
    for (int i = 0; i < ENTRIES; i++)
        for (int f = 0; f < LT_FEATURE_COUNT; f++)
            features[i][f] = fabsf(lt_rng_normal(&key, (uint64_t)(i * 100 + f)));
}

static const float *values_of(const lt_st_file *file, const char *name) {
    const lt_st_entry *entry = lt_st_find(file, name);
    CHECK(entry && entry->tensor.dtype == LT_F32);
    return entry->tensor.data;
}

/* The shipped file's keep head on the twelve inputs it was trained on, in the order of the file. */
static float score_by_hand(const lt_st_file *file, int layer, const float x[KNOWN]) {
    const float *w1 = values_of(file, "scorer.keep.w1"), *b1 = values_of(file, "scorer.keep.b1"),
                *w2 = values_of(file, "scorer.keep.w2"),
                *embed = values_of(file, "scorer.keep.embed") + layer * HIDDEN;
    float score = values_of(file, "scorer.keep.b2")[0];
    for (int h = 0; h < HIDDEN; h++) {
        float sum = b1[h] + embed[h];
        for (int i = 0; i < KNOWN; i++) sum += w1[h * KNOWN + i] * x[i];
        score += w2[h] * sum / (1 + expf(-sum));
    }
    return score;
}

static void check_scores(const lt_model *model) {
    float features[ENTRIES][LT_FEATURE_COUNT], inputs[ENTRIES][LT_KEEP_INPUTS], score[ENTRIES], spread = 0;
    lt_st_file *file;
    CHECK_OK(lt_st_open(SHIPPED "/ema.safetensors", &file));
    fill_features(features);
    const float(*rows)[LT_FEATURE_COUNT] = (const float(*)[LT_FEATURE_COUNT])features;
    lt_keep_inputs(ENTRIES, rows, inputs);
    for (int layer = 0; layer < model->config.layers; layer++) {
        CHECK_OK(lt_scorer_keep_host(&model->scorer, layer, ENTRIES, rows, score));
        for (int i = 0; i < ENTRIES; i++) {
            float x[KNOWN];
            memcpy(x, inputs[i], 10 * sizeof *x);
            x[10] = inputs[i][LT_KEEP_ENTRIES], x[11] = inputs[i][LT_KEEP_PLAIN_NOVELTY];
            CHECK(score[i] == score_by_hand(file, layer, x));
            spread += fabsf(score[i] - score[0]);
        }
    }
    CHECK(spread > 0.01f); /* it was trained */
    lt_st_close(file);
}

/* What its configuration says of the model: the other keys belong to rooms that are not here. */
static void write_config(void) {
    char *text;
    size_t size;
    CHECK_OK(lt_read_file(SHIPPED "/config.json", &text, &size));
    cJSON *all = cJSON_ParseWithLength(text, size), *model = cJSON_CreateObject();
    cJSON_AddItemToObject(model, "model", cJSON_DetachItemFromObjectCaseSensitive(all, "model"));
    char *written = cJSON_Print(model);
    CHECK_OK(lt_write_file(in_folder("config.json"), written, strlen(written)));
    cJSON_Delete(all);
    cJSON_Delete(model);
    free(written);
    free(text);
}

/* The shipped model's own file, beside that configuration. */
static void link_shipped(void) {
    char path[LT_PATH_MAX];
    CHECK(realpath(SHIPPED "/ema.safetensors", path));
    (void)unlink(in_folder("ema.safetensors"));
    CHECK(symlink(path, in_folder("ema.safetensors")) == 0);
}

static lt_model *open_model(const char *run) {
    lt_model *model = NULL;
    CHECK_OK(lt_run_open(run, NULL, device, &model, NULL, NULL));
    lt_ctx ctx = {.device = device, .backend = LT_BACKEND_CPU};
    CHECK_OK(lt_scorer_refresh(&model->scorer, &ctx));
    return model;
}

static void the_shipped_model_has_the_scores_of_its_own_inputs(void) {
    bool more = false;
    for (int f = 0; f < LT_FEATURE_COUNT; f++) more = more || strcmp(lt_feature_rows[f].name, "test") == 0;
    CHECK(more == ONE_MORE && (int)LT_KEEP_INPUTS >= KNOWN + ONE_MORE);
    link_shipped();
    lt_model *model = open_model(folder);
    CHECK_OK(lt_scorer_check(&model->scorer, "learned"));
    check_scores(model);
    lt_model_close(model);
}

/* ---- files that were changed --------------------------------------------------------------------------------- */

/* A column of the keep head's first matrix moves to another place, and its name with it. */
static void swap_columns(lt_st_entry *entry, float *memory, int a, int b) {
    memcpy(memory, entry->tensor.data, lt_nbytes(&entry->tensor));
    for (int h = 0; h < HIDDEN; h++) {
        float kept = memory[h * KNOWN + a];
        memory[h * KNOWN + a] = memory[h * KNOWN + b];
        memory[h * KNOWN + b] = kept;
    }
    entry->tensor.data = memory;
}

/* The shipped model with other metadata: `names` of the keep head's inputs, without the tensors that begin with
 * `without`, and with columns 0 and 9 swapped. */
static void write_changed(const char *names, const char *without, bool swapped) {
    lt_st_file *file;
    lt_st_entry entries[512];
    float memory[HIDDEN * KNOWN];
    int count = 0;
    (void)unlink(in_folder("ema.safetensors"));
    CHECK_OK(lt_st_open(SHIPPED "/ema.safetensors", &file));
    for (int i = 0; i < lt_st_count(file); i++) {
        entries[count] = *lt_st_at(file, i);
        if (without && strncmp(entries[count].name, without, strlen(without)) == 0) continue;
        if (swapped && strcmp(entries[count].name, "scorer.keep.w1") == 0)
            swap_columns(&entries[count], memory, 0, 9);
        count++;
    }
    const char *const metadata[][2] = {{"scorer.keep.inputs", names}};
    CHECK_OK(lt_st_write(in_folder("ema.safetensors"), entries, count, metadata, names ? 1 : 0));
    lt_st_close(file);
}

static void columns_are_found_by_name(void) {
    write_changed(
        "motion,order,merges,tokens,z_norm,s_norm,read_mass,novelty,recency,age,entries,plain_novelty", NULL,
        true);
    lt_model *model = open_model(folder);
    check_scores(model);
    lt_model_close(model);
}

static void saved_files_name_all_inputs_and_load_again(void) {
    link_shipped();
    lt_model *model = open_model(folder);
    lt_st_file *file;
    CHECK_OK(lt_model_save(model, folder));
    lt_model_close(model);
    CHECK(unlink(in_folder("ema.safetensors")) == 0);
    CHECK_OK(lt_st_open(in_folder("model.safetensors"), &file));
    const char *keep = lt_st_metadata(file, "scorer.keep.inputs");
    CHECK(keep &&
          strncmp(keep, "age,order,merges,tokens,z_norm,s_norm,read_mass,novelty,recency,motion,", 71) == 0);
    CHECK(strstr(keep, "entries,plain_novelty") && (strstr(keep, ",test,") != NULL) == ONE_MORE);
    CHECK(strcmp(lt_st_metadata(file, "scorer.read_content.inputs"),
                 "cosine,entry_norm,reader_norm,age,merges,time,entries,share") == 0);
    lt_st_close(file);
    model = open_model(folder);
    check_scores(model);
    lt_model_close(model);
    CHECK(unlink(in_folder("model.safetensors")) == 0);
}

/* What needs no scorer goes on without; what needs it is told what is wrong. */
static void check_refused(const char *message) {
    lt_model *model = open_model(folder);
    CHECK_FAILS(lt_scorer_check(&model->scorer, "policy learned"), LT_INPUT, message);
    const lt_published *p = lt_params_find(&model->params, "scorer.keep.w2");
    double w2[HIDDEN];
    CHECK_OK(lt_params_get(&model->params, LT_COPY_VALUE, p, w2));
    for (int h = 0; h < HIDDEN; h++) CHECK(w2[h] == 0); /* untrained: it was not left as the memory was */
    lt_model_close(model);
}

static void an_input_that_the_program_lacks_is_named(void) {
    write_changed(
        "age,order,merges,tokens,z_norm,s_norm,read_mass,novelty,colour,motion,entries,plain_novelty", NULL,
        false);
    check_refused("trained on the input \"colour\", which this program does not have");
    write_changed(
        "age,age,merges,tokens,z_norm,s_norm,read_mass,novelty,recency,motion,entries,plain_novelty", NULL,
        false);
    check_refused("\"age\" is named twice");
    write_changed("age,order", NULL, false);
    check_refused("scorer.keep.w1 is f32[32,12], expected f32[32,2]");
}

static void a_model_without_a_scorer_loads(void) {
    write_changed(NULL, "scorer.", false);
    check_refused("it has no tensors scorer.*");
    write_changed(NULL, "scorer.keep.b1", false);
    check_refused("the tensor scorer.keep.b1 is missing");
    write_changed(NULL, "patch_embedding", false); /* but nothing else may be missing */
    lt_model *model;
    CHECK_FAILS(lt_run_open(folder, NULL, device, &model, NULL, NULL), LT_INPUT, "patch_embedding");
}

int main(int argc, char **argv) {
    lt_model_register_keys();
    snprintf(folder, sizeof folder, "%s/longtake-feature-%d", P_tmpdir, (int)getpid());
    if (lt_make_dirs(folder) != LT_OK || lt_device_open("cpu", &device) != LT_OK) return 1;
    write_config();
    RUN(the_shipped_model_has_the_scores_of_its_own_inputs);
    RUN(columns_are_found_by_name);
    RUN(saved_files_name_all_inputs_and_load_again);
    RUN(an_input_that_the_program_lacks_is_named);
    RUN(a_model_without_a_scorer_loads);
    lt_device_close(device);
    (void)lt_remove_tree(folder);
    return test_end();
}
