#include "core/folder.h"
#include "core/parallel.h"
#include "kernels/choices.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/testing.h"

#include <signal.h>
#include <sys/wait.h>

static char out[2][LT_PATH_MAX];

static lt_status train_on(lt_device *device, lt_run_options options, const char *const *overrides) {
    lt_config *config = test_config(overrides);
    options.config = config, options.data = test_data, options.device = device;
    lt_status status = lt_run_train(&options);
    lt_config_free(config);
    return status;
}

static lt_status train_with(lt_run_options options, const char *const *overrides) {
    lt_device *device;
    LT_TRY(lt_device_open("cpu", &device));
    lt_status status = train_on(device, options, overrides);
    lt_device_close(device);
    return status;
}

static lt_status train_into(const char *folder, const char *const *overrides, bool resume) {
    return train_with((lt_run_options){.out = folder, .resume = resume}, overrides);
}

static lt_status force_into(const char *folder, const char *const *overrides) {
    return train_with((lt_run_options){.out = folder, .force = true}, overrides);
}

static void fresh(void) {
    for (int i = 0; i < 2; i++) {
        snprintf(out[i], sizeof out[i], "%s/run%d", test_folder, i);
        CHECK_OK(lt_remove_tree(out[i]));
    }
}

/* Bytes of a file of the newest checkpoint. */
static char *bytes_of(const char *run, const char *name, size_t *size) {
    char folder[LT_PATH_MAX], path[LT_PATH_MAX], *data = NULL;
    *size = 0;
    CHECK_OK(lt_run_checkpoint(run, "latest", folder));
    CHECK_OK(lt_path_join(path, folder, name));
    CHECK_OK(lt_read_file(path, &data, size));
    return data;
}

static bool same_file(const char *name) {
    size_t a_size, b_size;
    char *a = bytes_of(out[0], name, &a_size), *b = bytes_of(out[1], name, &b_size);
    bool same = a && b && a_size == b_size && memcmp(a, b, a_size) == 0;
    free(a), free(b);
    return same;
}

/* The rows without what the clock says. */
static char *timeless_metrics(const char *run) {
    static const char *const timed[] = {", \"tokens_per_s\"", ", \"peak_bytes\"", ", \"seconds\""};
    char path[LT_PATH_MAX], *text = NULL;
    size_t size;
    CHECK_OK(lt_path_join(path, run, "metrics.jsonl"));
    CHECK_OK(lt_read_file(path, &text, &size));
    for (size_t i = 0; text && i < sizeof timed / sizeof *timed; i++)
        for (char *at; (at = strstr(text, timed[i]));) {
            char *end = at + 2 + strcspn(at + 2, ",}");
            memmove(at, end, strlen(end) + 1);
        }
    return text;
}

static bool same_run(void) {
    char *a = timeless_metrics(out[0]), *b = timeless_metrics(out[1]);
    bool same = a && b && strcmp(a, b) == 0;
    if (!same) printf("%s\n---\n%s\n", a, b);
    free(a), free(b);
    return same && same_file("model.safetensors") && same_file("ema.safetensors") &&
           same_file("optimizer.safetensors");
}

static void resuming_gives_the_bits_of_an_unbroken_run(void) {
    static const char *const all[] = {"train.steps=6", "train.validate_every=3", NULL};
    static const char *const half[] = {"train.steps=3", "train.validate_every=3", NULL};
    fresh();
    CHECK_OK(train_into(out[0], all, false));
    CHECK_OK(train_into(out[1], half, false));
    CHECK_OK(train_into(out[1], all, true));
    CHECK(same_run());
}

static void resuming_a_joint_run_gives_the_same_bits(void) {
    static const char *const all[] = {"train.steps=4", "train.stage=joint", "train.accumulate=2", NULL};
    static const char *const half[] = {"train.steps=2", "train.stage=joint", "train.accumulate=2", NULL};
    fresh();
    CHECK_OK(train_into(out[0], all, false));
    CHECK_OK(train_into(out[1], half, false));
    CHECK_OK(train_into(out[1], all, true));
    CHECK(same_run());
}

/* Rows after the checkpoint, and half a row, are cut off. */
static void rows_after_the_checkpoint_are_dropped(void) {
    static const char *const all[] = {"train.steps=4", NULL}, *const half[] = {"train.steps=2", NULL};
    char path[LT_PATH_MAX];
    fresh();
    CHECK_OK(train_into(out[0], all, false));
    CHECK_OK(train_into(out[1], half, false));
    CHECK_OK(lt_path_join(path, out[1], "metrics.jsonl"));
    FILE *file = fopen(path, "a");
    fputs("{\"step\": 3, \"loss\": 99}\n{\"step\": 4, \"lo", file);
    fclose(file);
    CHECK_OK(train_into(out[1], all, true));
    CHECK(same_run());
}

/* Every state that a kill may leave between the first byte and the last link. */
static void an_interrupted_checkpoint_leaves_the_one_before(void) {
    static const char *const half[] = {"train.steps=2", NULL}, *const all[] = {"train.steps=4", NULL};
    static const char *const remains[] = {"step-4.tmp", "step-4"};
    char checkpoints[LT_PATH_MAX], folder[LT_PATH_MAX], path[LT_PATH_MAX], found[LT_PATH_MAX];
    for (int stage = 0; stage < 2; stage++) {
        fresh();
        CHECK_OK(train_into(out[0], all, false));
        CHECK_OK(train_into(out[1], half, false));
        CHECK_OK(lt_path_join(checkpoints, out[1], "checkpoints"));
        CHECK_OK(lt_path_join(folder, checkpoints, remains[stage]));
        CHECK_OK(lt_make_dirs(folder));
        CHECK_OK(lt_path_join(path, folder, "model.safetensors"));
        CHECK_OK(lt_write_file(path, "half", 4));
        CHECK_OK(lt_run_checkpoint(out[1], "latest", found));
        CHECK(strcmp(lt_path_base(found), "step-2") == 0);
        CHECK_OK(train_into(out[1], all, true));
        CHECK(same_run());
        CHECK_OK(lt_path_join(path, checkpoints, "step-4.tmp"));
        CHECK(!lt_path_exists(path));
    }
}

static void the_newest_and_the_best_stay(void) {
    static const char *const overrides[] = {"train.steps=8", "train.checkpoint_every=1", "train.keep=2",
                                            "train.lr=0", NULL};
    char checkpoints[LT_PATH_MAX], **names;
    int count, steps = 0;
    fresh();
    CHECK_OK(train_into(out[0], overrides, false));
    CHECK_OK(lt_path_join(checkpoints, out[0], "checkpoints"));
    CHECK_OK(lt_list_dir(checkpoints, &names, &count));
    for (int i = 0; i < count; i++) steps += strncmp(names[i], "step-", 5) == 0;
    CHECK(steps == 2);
    lt_list_free(names, count);
    /* With a rate of 0 only the first validation is a best one, and it stays. */
    static const char *const validated[] = {"train.steps=6", "train.checkpoint_every=1", "train.keep=1",
                                            "train.lr=0",    "train.validate_every=2",   NULL};
    fresh();
    CHECK_OK(train_into(out[0], validated, false));
    char best[LT_PATH_MAX], latest[LT_PATH_MAX];
    CHECK_OK(lt_run_checkpoint(out[0], "best", best));
    CHECK_OK(lt_run_checkpoint(out[0], "latest", latest));
    CHECK(strcmp(lt_path_base(best), "step-2") == 0 && strcmp(lt_path_base(latest), "step-6") == 0);
}

/* A kill between the links leaves `best` at the checkpoint before, and the run goes on. */
static void the_best_is_found_again(void) {
    static const char *const three[] = {"train.steps=3", "train.lr=0", "train.validate_every=3", NULL};
    static const char *const four[] = {"train.steps=4", "train.lr=0", NULL};
    char link[LT_PATH_MAX], best[LT_PATH_MAX];
    for (int stage = 0; stage < 2; stage++) {
        fresh();
        CHECK_OK(train_into(out[0], three, false));
        CHECK_OK(lt_path_join(link, out[0], "checkpoints/best"));
        CHECK(unlink(link) == 0 && (stage == 0 || symlink("step-1", link) == 0));
        CHECK_OK(train_into(out[0], four, true));
        CHECK_OK(lt_run_checkpoint(out[0], "best", best));
        CHECK(strcmp(lt_path_base(best), "step-3") == 0);
    }
}

/* It does not begin anew, which would cut its metrics off. */
static void a_run_whose_checkpoints_cannot_be_read_is_left_alone(void) {
    static const char *const two[] = {"train.steps=2", NULL}, *const three[] = {"train.steps=3", NULL};
    char path[LT_PATH_MAX];
    fresh();
    CHECK_OK(train_into(out[0], two, false));
    char *rows = timeless_metrics(out[0]);
    CHECK_OK(lt_path_join(path, out[0], "checkpoints"));
    CHECK_OK(lt_remove_tree(path));
    CHECK_OK(lt_write_file(path, "", 0)); /* no folder: nobody, not even root, can read it as one */
    CHECK_FAILS(train_into(out[0], three, true), LT_INPUT, "checkpoints: cannot read this folder");
    char *rows_after = timeless_metrics(out[0]);
    CHECK(rows && rows_after && strcmp(rows, rows_after) == 0);
    free(rows), free(rows_after);
}

static void an_existing_run_is_not_overwritten(void) {
    static const char *const two[] = {"train.steps=1", NULL};
    fresh();
    CHECK_FAILS(train_into(out[0], two, true), LT_INPUT, "is no run");
    CHECK_OK(train_into(out[0], two, false));
    CHECK_FAILS(train_into(out[0], two, false), LT_USAGE, "--resume");
}

static void put(const char *name) {
    char path[LT_PATH_MAX];
    CHECK_OK(lt_make_dirs(out[0]));
    CHECK_OK(lt_path_join(path, out[0], name));
    CHECK_OK(lt_write_file(path, "{}", 2));
}

static bool there(const char *name) {
    char path[LT_PATH_MAX];
    return lt_path_join(path, out[0], name) == LT_OK && lt_path_exists(path);
}

/* What a kill leaves before there is a config.json holds nothing: the next start takes it, and --resume cannot go on
 * with it. */
static void a_start_that_was_cut_short_begins_again(void) {
    static const char *const remains[] = {"environment.json", "environment.json.tmp123"};
    lt_folder_lock *lock = NULL;
    static const char *const one[] = {"train.steps=1", NULL};
    for (int i = 0; i < 2; i++) {
        fresh();
        CHECK_OK(lt_folder_lock_take(out[0], "run", &lock));
        lt_folder_lock_release(lock);
        put(remains[i]);
        CHECK_FAILS(train_into(out[0], one, true), LT_INPUT,
                    "stopped before it began; start it again without --resume");
        put("config.json.tmp77");
        put("environment.json"); /* which is there when config.json is written */
        put("notes.tmp77");
        CHECK_OK(train_into(out[0], one, false));
        CHECK(!there(remains[1]) && !there("config.json.tmp77") && there("config.json") &&
              there("notes.tmp77"));
    }
}

/* --force removes config.json first: what a kill leaves then may be much, and is removed only by --force. */
static void a_replacement_that_was_cut_short_needs_force_again(void) {
    static const char *const one[] = {"train.steps=1", NULL};
    char path[LT_PATH_MAX];
    fresh();
    CHECK_OK(train_into(out[0], one, false));
    CHECK_OK(lt_path_join(path, out[0], "config.json"));
    CHECK_OK(lt_remove_tree(path));
    CHECK_FAILS(train_into(out[0], one, false), LT_USAGE, "while it was replaced; go on with --force");
    CHECK_FAILS(train_into(out[0], one, true), LT_INPUT, "start it again with --force");
    CHECK_OK(force_into(out[0], one));
    CHECK(there("config.json"));
}

static void a_folder_that_is_no_run_is_not_replaced(void) {
    static const char *const others[] = {"environment.json.txt", "environment.json.tmp",
                                         "environment.json.tmp1a"};
    static const char *const one[] = {"train.steps=1", NULL};
    for (int i = 0; i < 3; i++) {
        fresh();
        put("environment.json.tmp5");
        put(others[i]);
        CHECK_FAILS(train_into(out[0], one, false), LT_USAGE, "neither empty nor a run; choose another");
        CHECK_FAILS(train_into(out[0], one, true), LT_INPUT, "is no run");
        CHECK_FAILS(force_into(out[0], one), LT_USAGE, "so it is not replaced");
        CHECK(there(others[i]) && there("environment.json.tmp5"));
    }
}

/* Where there are any: on a GPU, for large GEMMs. Resuming with them: kernels/test_choices.c. */
static void choices_of_algorithms_are_kept(void) {
    static const char *const one[] = {"train.steps=1", NULL};
    const lt_choice choice = {.key = {4096, 512, 512}, .algorithm = {0xABC}};
    char path[LT_PATH_MAX], *text = NULL;
    lt_device *device;
    size_t size;
    fresh();
    CHECK_OK(train_into(out[0], one, false));
    CHECK_OK(lt_path_join(path, out[0], LT_CHOICES_NAME));
    CHECK(!lt_path_exists(path));
    CHECK_OK(lt_device_open("cpu", &device));
    lt_choices_put(device, &choice);
    CHECK_OK(train_on(device, (lt_run_options){.out = out[1]}, one));
    lt_device_close(device);
    CHECK_OK(lt_path_join(path, out[1], LT_CHOICES_NAME));
    CHECK_OK(lt_read_file(path, &text, &size));
    CHECK(text && strstr(text, "4096, 512, 512") && strstr(text, "\"0000000000000abc"));
    free(text);
}

static void bad_data_writes_nothing(void) {
    static const char *const unknown[] = {"data.train_domains=rugby", NULL};
    static const char *const none[] = {"data.train_domains=[]", NULL};
    static const char *const size[] = {"model.frame_size=[64,64]", NULL};
    fresh();
    CHECK_FAILS(train_into(out[0], unknown, false), LT_INPUT, "rugby");
    CHECK_FAILS(train_into(out[0], none, false), LT_USAGE, "data.train_domains");
    CHECK_FAILS(train_into(out[0], size, false), LT_USAGE, "32x32");
    char kept[LT_PATH_MAX];
    snprintf(kept, sizeof kept, "%s", test_data);
    snprintf(test_data, sizeof test_data, "%s/missing.h5", test_folder);
    CHECK_FAILS(train_into(out[0], NULL, false), LT_INPUT, "missing.h5");
    snprintf(test_data, sizeof test_data, "%s", kept);
    CHECK(!lt_path_exists(out[0]));
}

/* Values of a new run that make every gradient infinite, by way of --init. */
static void a_run_stops_after_steps_that_are_not_finite(void) {
    static const char *const one[] = {"train.steps=1", NULL};
    static const char *const more[] = {"train.steps=9", "train.max_bad_steps=3", NULL};
    lt_train_state state = {0};
    lt_device *device;
    lt_model *model;
    lt_config *config = test_config(more);
    char folder[LT_PATH_MAX];
    fresh();
    CHECK_OK(train_into(out[0], one, false));
    CHECK_OK(lt_device_open("cpu", &device));
    CHECK_OK(lt_model_open(config, device, LT_BACKEND_CPU, LT_MODEL_TRAINING, &model));
    CHECK_OK(lt_run_checkpoint(out[0], "latest", folder));
    CHECK_OK(lt_checkpoint_read(folder, model, &state));
    CHECK(state.step == 1);
    ((float *)model->dit.patch.b->value.data)[0] = INFINITY;
    CHECK_OK(lt_model_save(model, folder));
    lt_model_close(model);
    lt_run_options options = {
        .config = config, .data = test_data, .out = out[0], .resume = true, .device = device};
    CHECK_FAILS(lt_run_train(&options), LT_FAILED, "3 steps in a row");
    lt_device_close(device);
    lt_config_free(config);
    char *rows = timeless_metrics(out[0]);
    CHECK(strstr(rows, "{\"step\": 4, ") && !strstr(rows, "{\"step\": 5") &&
          strstr(rows, "\"skipped\": true"));
    free(rows);
}

static void init_starts_from_another_run(void) {
    static const char *const one[] = {"train.steps=1", NULL};
    static const char *const scorer[] = {"train.steps=1", "train.stage=scorer", "train.lr=0", NULL};
    lt_device *device;
    lt_config *config;
    size_t a_size, b_size;
    fresh();
    CHECK_OK(train_into(out[0], one, false));
    config = test_config(scorer);
    CHECK_OK(lt_device_open("cpu", &device));
    lt_run_options options = {
        .config = config, .data = test_data, .out = out[1], .init = out[0], .device = device};
    CHECK_OK(lt_run_train(&options));
    lt_device_close(device);
    lt_config_free(config);
    char *a = bytes_of(out[0], "ema.safetensors", &a_size),
         *b = bytes_of(out[1], "model.safetensors", &b_size);
    CHECK(a_size == b_size && memcmp(a, b, a_size) == 0);
    free(a), free(b);
}

/* A run that was killed before its first checkpoint has no more than this. */
static void forget_checkpoints(const char *run) {
    char path[LT_PATH_MAX];
    CHECK_OK(lt_path_join(path, run, "checkpoints"));
    CHECK_OK(lt_remove_tree(path));
}

static lt_status start_from(const char *init) {
    static const char *const overrides[] = {"train.steps=1", "train.seed=5", NULL};
    return train_with((lt_run_options){.out = out[1], .init = init, .resume = !init}, overrides);
}

static void a_resumed_run_starts_from_the_same_weights_again(void) {
    static const char *const one[] = {"train.steps=1", NULL};
    char from[LT_PATH_MAX], path[LT_PATH_MAX];
    size_t a_size, b_size;
    fresh();
    CHECK_OK(train_into(out[0], one, false));
    CHECK_OK(start_from(out[0]));
    char *a = bytes_of(out[1], "model.safetensors", &a_size);
    forget_checkpoints(out[1]);
    CHECK_OK(start_from(NULL));
    char *b = bytes_of(out[1], "model.safetensors", &b_size);
    CHECK(a_size == b_size && memcmp(a, b, a_size) == 0);
    free(a), free(b);
    CHECK_OK(lt_run_checkpoint(out[0], NULL, from));
    CHECK_OK(lt_path_join(path, from, "ema.safetensors"));
    CHECK_OK(lt_read_file(path, &a, &a_size));
    a[a_size - 2] ^= 1; /* a value */
    CHECK_OK(lt_write_file(path, a, a_size));
    free(a);
    CHECK_OK(start_from(NULL)); /* it has a checkpoint: nobody needs the weights any more */
    forget_checkpoints(out[1]);
    CHECK_FAILS(start_from(NULL), LT_INPUT, "not those that it started from");
    CHECK_OK(lt_write_file(path, "other", 5));
    CHECK_FAILS(start_from(NULL), LT_INPUT, "are gone or damaged");
    CHECK_OK(lt_remove_tree(from));
    CHECK_FAILS(start_from(NULL), LT_INPUT, "are gone or damaged");
    CHECK_OK(lt_path_join(path, out[1], "environment.json"));
    CHECK_OK(lt_remove_tree(path));
    CHECK_FAILS(start_from(NULL), LT_INPUT, "is unknown");
}

/* A child trains with a checkpoint at every step and is killed; the next one goes on. */
static void killed_and_resumed_runs_end_with_the_same_bits(void) {
    static const char *const overrides[] = {"train.steps=12", "train.checkpoint_every=1", "train.keep=1",
                                            NULL};
    fresh();
    CHECK_OK(train_into(out[0], overrides, false));
    int finished = 0, kills = 0;
    for (int attempt = 0; attempt < 40 && !finished; attempt++) {
        pid_t child = fork();
        if (child == 0) {
            char config[LT_PATH_MAX];
            bool begun = lt_path_join(config, out[1], "config.json") == LT_OK && lt_path_exists(config);
            _exit(train_into(out[1], overrides, begun));
        }
        usleep(60000 + 37000u * (unsigned)(attempt % 5));
        if (attempt < 20) kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        kills += WIFSIGNALED(status);
        finished = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!finished && WIFEXITED(status) && WEXITSTATUS(status) != LT_USAGE) break;
        if (WIFEXITED(status) && WEXITSTATUS(status) == LT_USAGE)
            CHECK_OK(lt_remove_tree(out[1])); /* killed before it had a config.json */
    }
    CHECK(finished && kills > 0);
    CHECK(same_run());
}

int main(int argc, char **argv) {
    lt_set_threads(1); /* also: a child may not use the threads of its parent */
    test_begin();
    RUN(resuming_gives_the_bits_of_an_unbroken_run);
    RUN(resuming_a_joint_run_gives_the_same_bits);
    RUN(rows_after_the_checkpoint_are_dropped);
    RUN(an_interrupted_checkpoint_leaves_the_one_before);
    RUN(the_newest_and_the_best_stay);
    RUN(the_best_is_found_again);
    RUN(a_run_whose_checkpoints_cannot_be_read_is_left_alone);
    RUN(an_existing_run_is_not_overwritten);
    RUN(a_start_that_was_cut_short_begins_again);
    RUN(a_replacement_that_was_cut_short_needs_force_again);
    RUN(a_folder_that_is_no_run_is_not_replaced);
    RUN(choices_of_algorithms_are_kept);
    RUN(bad_data_writes_nothing);
    RUN(a_run_stops_after_steps_that_are_not_finite);
    RUN(init_starts_from_another_run);
    RUN(a_resumed_run_starts_from_the_same_weights_again);
    RUN(killed_and_resumed_runs_end_with_the_same_bits);
    test_finish();
    return test_end();
}
