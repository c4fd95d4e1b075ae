#include "core/parallel.h"
#include "train/environment.h"
#include "train/plan.h"
#include "train/testing.h"

static char out[2][LT_PATH_MAX];

/* Trains into `folder` within `limit` bytes; *peak: the most that the device held. */
static lt_status train_into(const char *folder, const char *const *overrides, int64_t limit, bool resume,
                            int64_t *peak) {
    lt_device *device;
    lt_config *config = test_config(overrides);
    LT_TRY(lt_device_open("cpu", &device));
    lt_run_options options = {.config = config,
                              .data = test_data,
                              .out = folder,
                              .resume = resume,
                              .memory_limit = limit,
                              .device = device};
    lt_status status = lt_run_train(&options);
    *peak = device->peak_bytes;
    lt_device_close(device);
    lt_config_free(config);
    return status;
}

static void fresh(void) {
    for (int i = 0; i < 2; i++) {
        snprintf(out[i], sizeof out[i], "%s/memory%d", test_folder, i);
        CHECK_OK(lt_remove_tree(out[i]));
    }
}

static lt_recompute_choice plan_within(int64_t limit) {
    static const char *const automatic[] = {"train.recompute=auto", NULL};
    lt_plan plan;
    lt_config *config = test_config(automatic);
    CHECK_OK(lt_plan_make(config, "null", "window", "3", limit, &plan));
    lt_recompute_choice choice = plan.recompute;
    CHECK(choice.peak == lt_memory_peak(&plan.training));
    lt_plan_free(&plan);
    lt_config_free(config);
    return choice;
}

static void the_choice_grows_with_the_limit_and_never_exceeds_it(void) {
    lt_recompute_choice whole = plan_within((int64_t)1 << 40), last = {.again_ms = 1e9};
    char text[LT_RECOMPUTE_TEXT];
    CHECK(whole.peak == whole.most && whole.least < whole.most && whole.again_ms == 0);
    CHECK(strcmp(lt_recompute_text(&whole.keep, 2, text), "none") == 0);
    for (int i = 0; i <= 10; i++) {
        int64_t limit = whole.least + (whole.most - whole.least) * i / 10;
        lt_recompute_choice choice = plan_within(limit);
        CHECK(choice.peak <= limit && choice.peak >= last.peak && choice.again_ms <= last.again_ms);
        last = choice;
    }
    lt_recompute_choice none = plan_within(whole.least - 1);
    CHECK(none.peak == none.least && none.least == whole.least); /* it does not fit, and says so */
    CHECK(strcmp(lt_recompute_text(&none.keep, 2, text), "all") == 0);
}

static void choices_can_be_written_and_read(void) {
    static const char *const texts[] = {"all", "none", "{\"qkv\": 1, \"expand\": 2}"};
    char text[LT_RECOMPUTE_TEXT];
    lt_recompute r;
    for (int i = 0; i < 3; i++) {
        CHECK_OK(lt_recompute_parse(texts[i], 2, &r));
        CHECK(!r.automatic && strcmp(lt_recompute_text(&r.keep, 2, text), texts[i]) == 0);
    }
    CHECK_OK(lt_recompute_parse("auto", 2, &r));
    CHECK(r.automatic);
    CHECK_FAILS(lt_recompute_parse("some", 2, &r), LT_USAGE, "expected none, all, auto");
    CHECK_FAILS(lt_recompute_parse("{\"expnd\": 1}", 2, &r), LT_USAGE, "expand");
    CHECK_FAILS(lt_recompute_parse("{\"expand\": 3}", 2, &r), LT_USAGE, "0 to 2");
}

static char *weights_of(const char *run, size_t *size) {
    char folder[LT_PATH_MAX], path[LT_PATH_MAX], *data = NULL;
    *size = 0;
    CHECK_OK(lt_run_checkpoint(run, "latest", folder));
    CHECK_OK(lt_path_join(path, folder, "model.safetensors"));
    CHECK_OK(lt_read_file(path, &data, size));
    return data;
}

static bool same_weights(void) {
    size_t sizes[2];
    char *weights[2];
    for (int i = 0; i < 2; i++) weights[i] = weights_of(out[i], &sizes[i]);
    bool same =
        weights[0] && weights[1] && sizes[0] == sizes[1] && memcmp(weights[0], weights[1], sizes[0]) == 0;
    free(weights[0]), free(weights[1]);
    return same;
}

static void a_run_within_a_limit_has_the_same_bits_and_stays_within(void) {
    static const char *const plain[] = {"train.steps=3", NULL};
    static const char *const automatic[] = {"train.steps=3", "train.recompute=auto", NULL};
    lt_recompute_choice whole = plan_within((int64_t)1 << 40);
    int64_t limit = (whole.least + whole.most) / 2, peak[2];
    fresh();
    CHECK_OK(train_into(out[0], plain, 0, false, &peak[0]));
    CHECK_OK(train_into(out[1], automatic, limit, false, &peak[1]));
    CHECK(peak[0] == whole.most && peak[1] <= limit && peak[1] == plan_within(limit).peak);
    CHECK(same_weights());
}

static char *choice_of(const char *run) {
    char path[LT_PATH_MAX];
    CHECK_OK(lt_path_join(path, run, "environment.json"));
    return lt_environment_text(path, "recompute");
}

static void a_resumed_run_keeps_its_choice(void) {
    static const char *const half[] = {"train.steps=2", "train.recompute=auto", NULL};
    static const char *const whole[] = {"train.steps=4", "train.recompute=auto", NULL};
    static const char *const plain[] = {"train.steps=4", NULL};
    lt_recompute_choice all = plan_within((int64_t)1 << 40);
    int64_t peak;
    fresh();
    CHECK_OK(train_into(out[0], half, (all.least + all.most) / 2, false, &peak));
    char *before = choice_of(out[0]);
    CHECK(before && *before == '{');
    CHECK_OK(train_into(out[0], whole, 0, true, &peak));
    char *after = choice_of(out[0]);
    CHECK(before && after && strcmp(before, after) == 0);
    CHECK_OK(train_into(out[1], plain, 0, false, &peak));
    CHECK(same_weights());
    free(before), free(after);
}

static void what_does_not_fit_is_refused_before_anything_is_taken(void) {
    static const char *const plain[] = {"train.steps=1", NULL};
    static const char *const automatic[] = {"train.steps=1", "train.recompute=auto", NULL};
    lt_recompute_choice all = plan_within((int64_t)1 << 40);
    int64_t peak;
    fresh();
    CHECK_FAILS(train_into(out[0], plain, all.most - 1, false, &peak), LT_USAGE, "activations");
    CHECK(strstr(lt_error(), "train.recompute=all needs") && strstr(lt_error(), "auto fits itself"));
    CHECK(peak == 0 && !lt_path_exists(out[0]));
    CHECK_FAILS(train_into(out[0], automatic, all.least - 1, false, &peak), LT_USAGE, "train.batch=1");
    CHECK(peak == 0 && !lt_path_exists(out[0]));
    CHECK_FAILS(train_into(out[0], automatic, 1000, false, &peak), LT_USAGE, "a smaller model");
}

int main(int argc, char **argv) {
    lt_set_threads(1);
    test_begin();
    RUN(the_choice_grows_with_the_limit_and_never_exceeds_it);
    RUN(choices_can_be_written_and_read);
    RUN(a_run_within_a_limit_has_the_same_bits_and_stays_within);
    RUN(a_resumed_run_keeps_its_choice);
    RUN(what_does_not_fit_is_refused_before_anything_is_taken);
    test_finish();
    return test_end();
}
