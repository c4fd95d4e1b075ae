/* One writer at a time, what --force takes, what a resume says, and going back: the folder of a run. */
#include "core/folder.h"
#include "core/log.h"
#include "core/parallel.h"
#include "data/video_writer.h"
#include "train/testing.h"

#include <signal.h>
#include <sys/wait.h>

static char out[LT_PATH_MAX];
static char said[1 << 16]; /* warnings */

static void listen(lt_log_level level, const char *line, void *user) {
    (void)user;
    size_t used = strlen(said);
    if (level <= LT_LOG_WARN && used + strlen(line) + 2 < sizeof said) sprintf(said + used, "%s\n", line);
}

static lt_status train_on(lt_run_options o, const char *data, const char *const *overrides) {
    lt_device *device;
    lt_config *config = test_config(overrides);
    LT_TRY(lt_device_open("cpu", &device));
    o.config = config, o.data = data, o.device = device, o.out = out;
    lt_status status = lt_run_train(&o);
    lt_device_close(device);
    lt_config_free(config);
    return status;
}
#define TRAIN(options, ...)                                                                                  \
    train_on((lt_run_options){options}, test_data, (const char *const[]){__VA_ARGS__, NULL})
#define NEW    .resume = false
#define RESUME .resume = true
#define FORCE  .force = true

static void fresh(void) {
    CHECK_OK(lt_path_join(out, test_folder, "run"));
    CHECK_OK(lt_remove_tree(out));
    said[0] = '\0';
}

static const char *in(const char *name) {
    static char path[LT_PATH_MAX];
    CHECK_OK(lt_path_join(path, out, name));
    return path;
}

static void put(const char *name) { CHECK_OK(lt_write_file(in(name), "x", 1)); }

static char *contents(const char *name) {
    char *text = NULL;
    CHECK_OK(lt_read_file(in(name), &text, NULL));
    return text ? text : strdup("");
}

static int count_rows(const char *name) {
    int rows = 0;
    char *text = contents(name);
    for (const char *at = text; (at = strstr(at, "\"loss\"")); at++) rows++;
    free(text);
    return rows;
}

/* A child holds the folder; nobody else gets in until it is gone, however it goes. */
static void a_run_that_another_process_holds_is_refused(void) {
    char first = 0;
    int gate[2];
    fresh();
    CHECK_OK(TRAIN(NEW, "train.steps=2"));
    CHECK(pipe(gate) == 0);
    pid_t child = fork();
    if (child == 0) {
        lt_folder_lock *lock;
        first = lt_folder_lock_take(out, "run", &lock) == LT_OK ? 'y' : 'n';
        if (write(gate[1], &first, 1) == 1) pause();
        _exit(1);
    }
    CHECK(read(gate[0], &first, 1) == 1 && first == 'y');
    char holder[32];
    snprintf(holder, sizeof holder, "process %d on ", (int)child);
    CHECK_FAILS(TRAIN(RESUME, "train.steps=3"), LT_INPUT, "in use by another process");
    CHECK(strstr(lt_error(), holder) && strstr(lt_error(), out));
    CHECK_FAILS(TRAIN(FORCE, "train.steps=1"), LT_INPUT, holder);
    CHECK(count_rows("metrics.jsonl") == 2 && lt_path_exists(in("checkpoints/step-2/DONE")));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK_OK(TRAIN(RESUME, "train.steps=3"));
    CHECK_OK(TRAIN(RESUME, "train.steps=4")); /* which lets go of it too */
    CHECK(count_rows("metrics.jsonl") == 4);
    close(gate[0]), close(gate[1]);
}

static void force_takes_only_what_longtake_made(void) {
    static const char *const theirs[] = {"notes.txt", "checkpoints/mine", "samples/mine.png",
                                         "config.json.bak"};
    fresh();
    CHECK_OK(TRAIN(NEW, "train.steps=2"));
    CHECK_OK(lt_make_dirs(in("samples")));
    for (int i = 0; i < 4; i++) put(theirs[i]);
    CHECK_OK(TRAIN(FORCE, "train.steps=1"));
    for (int i = 0; i < 4; i++) CHECK(lt_path_exists(in(theirs[i])));
    CHECK(!lt_path_exists(in("checkpoints/step-2")) && lt_path_exists(in("checkpoints/step-1")));
    CHECK_OK(lt_remove_tree(in(LT_FOLDER_MARK))); /* as in folders of earlier versions, or of others */
    CHECK_FAILS(TRAIN(FORCE, "train.steps=1"), LT_USAGE, LT_FOLDER_MARK);
    CHECK(lt_path_exists(in("checkpoints/step-1/DONE")));
    CHECK_OK(TRAIN(RESUME, "train.steps=2"));
    CHECK(lt_folder_is(out, "run") && !lt_folder_is(out, "results"));
    CHECK_OK(TRAIN(FORCE, "train.steps=1"));
}

static void a_resume_says_what_differs(void) {
    char other[LT_PATH_MAX];
    fresh();
    CHECK_OK(lt_path_join(other, test_folder, "other.h5"));
    CHECK_OK(test_make_data(other, TRAIN_CLIPS + 2, VAL_CLIPS));
    CHECK_OK(TRAIN(NEW, "train.steps=1"));
    CHECK_OK(TRAIN(RESUME, "train.steps=2", "train.checkpoint_every=1"));
    CHECK(said[0] == '\0'); /* nothing that decides a bit */
    CHECK_OK(TRAIN(RESUME, "train.steps=3", "train.batch=4", "train.lr=1e-3"));
    CHECK(strstr(said, "train.batch: 4, before 2") && strstr(said, "train.lr: 0.001, before 0.002"));
    CHECK(strstr(said, "no longer those of an unbroken run") && !strstr(said, "dataset"));
    said[0] = '\0';
    lt_set_threads(2);
    CHECK_OK(train_on((lt_run_options){RESUME}, other,
                      (const char *const[]){"train.steps=4", "train.batch=4", "train.lr=1e-3", NULL}));
    lt_set_threads(1);
    CHECK(strstr(said, "hash of the dataset: ") && strstr(said, "threads: 2, before 1"));
    CHECK(!strstr(said, "train.batch"));
    char *record = contents("environment.json");
    const char *earlier = strstr(record, "\"earlier\"");
    CHECK(earlier && strstr(earlier, "\"after_step\": 2")); /* what the third step was made with */
    CHECK(strstr(record, "\"program\": \""));
    free(record);
}

/* Nothing is lost: what came after the step is set aside, and the same steps give the same bits again. */
static void a_run_goes_back_to_an_older_checkpoint(void) {
    static const char weights[] = "checkpoints/step-4/model.safetensors";
    size_t a_size = 0, b_size = 0;
    char *a = NULL, *b = NULL;
    fresh();
    CHECK_OK(
        TRAIN(NEW, "train.steps=4", "train.checkpoint_every=1", "train.keep=9", "train.validate_every=4"));
    CHECK_OK(lt_read_file(in(weights), &a, &a_size));
    CHECK_FAILS(train_on((lt_run_options){RESUME, .resume_from = 7}, test_data, NULL), LT_INPUT, "step-7");
    CHECK(!lt_path_exists(in("set-aside")));
    CHECK_OK(train_on((lt_run_options){RESUME, .resume_from = 2}, test_data,
                      (const char *const[]){"train.steps=3", "train.keep=9", NULL}));
    CHECK(lt_path_exists(in("set-aside/1/step-4/DONE")) && !lt_path_exists(in("checkpoints/step-4")));
    CHECK(lt_path_exists(in("checkpoints/latest/DONE")) && lt_path_exists(in("checkpoints/step-1/DONE")));
    CHECK(!lt_path_exists(in("checkpoints/best"))); /* it was step 4 */
    CHECK(count_rows("metrics.jsonl") == 3 && count_rows("set-aside/1/metrics.jsonl") == 4);
    CHECK_OK(TRAIN(RESUME, "train.steps=4", "train.keep=9"));
    CHECK_OK(lt_read_file(in(weights), &b, &b_size));
    CHECK(a && b && a_size == b_size && memcmp(a, b, a_size) == 0);
    free(a), free(b);
}

static lt_status diverge(bool resume) {
    return train_on((lt_run_options){.resume = resume}, test_data,
                    (const char *const[]){"train.steps=60", "train.checkpoint_every=1", "train.keep=9",
                                          "train.lr=10", "train.clip_norm=0", "train.max_bad_steps=4", NULL});
}

/* The rate is far too high: what the message says to do then works. */
static void a_diverged_run_can_follow_its_advice(void) {
    fresh();
    CHECK_OK(TRAIN(NEW, "train.steps=3", "train.checkpoint_every=1", "train.keep=9"));
    CHECK_FAILS(diverge(true), LT_FAILED, "4 steps in a row were skipped");
    int64_t back = 0, step = 0;
    const char *advice = strstr(lt_error(), "--resume-from ");
    CHECK(advice && sscanf(advice, "--resume-from %" SCNd64 " --set train.lr=1", &back) == 1);
    CHECK(sscanf(lt_error(), "step %" SCNd64, &step) == 1 && back == 3 && step > 7);
    for (int i = 0; i < 4; i++) { /* the steps that were skipped */
        char name[64];
        snprintf(name, sizeof name, "checkpoints/step-%d", (int)step - i);
        CHECK(!lt_path_exists(in(name)));
    }
    CHECK_OK(train_on((lt_run_options){RESUME, .resume_from = back}, test_data,
                      (const char *const[]){"train.steps=6", "train.lr=1e-5", "train.clip_norm=1", NULL}));
}

/* Where nothing was saved before it went wrong, --resume begins again. */
static void a_run_that_diverges_at_once_begins_again(void) {
    fresh();
    CHECK_FAILS(TRAIN(NEW, "train.steps=60", "train.checkpoint_every=50", "train.lr=10", "train.clip_norm=0",
                      "train.max_bad_steps=4"),
                LT_FAILED, "so begin again: --resume --set train.lr=1");
    CHECK_OK(TRAIN(RESUME, "train.steps=2", "train.lr=1e-5", "train.clip_norm=1"));
    CHECK(count_rows("metrics.jsonl") == 2);
}

static bool has_video(void) {
    lt_video_writer_spec spec = {.width = 16, .height = 16, .fps = 1};
    lt_video_writer *video = NULL;
    char path[LT_PATH_MAX];
    CHECK_OK(lt_path_join(path, test_folder, "probe.mp4"));
    bool there = lt_video_writer_open(path, &spec, &video) == LT_OK;
    (void)lt_video_writer_leave(video);
    return there;
}

/* As after a stop at a step where one was due. */
static void a_sample_that_was_due_is_made_on_resume(void) {
    if (!has_video()) return;
    fresh();
    CHECK_OK(
        TRAIN(NEW, "train.steps=2", "train.sample_every=2", "train.sample_blocks=1", "train.sample_steps=1"));
    CHECK(lt_path_exists(in("samples/step-2.mp4")) && !lt_path_exists(in("samples/step-2.part.mp4")));
    CHECK_OK(lt_remove_tree(in("samples/step-2.mp4")));
    CHECK_OK(TRAIN(RESUME, "train.steps=3", "train.sample_every=2", "train.sample_blocks=1",
                   "train.sample_steps=1"));
    CHECK(lt_path_exists(in("samples/step-2.mp4")));
}

int main(int argc, char **argv) {
    lt_set_threads(1);
    test_begin();
    lt_log_init(listen, NULL, LT_LOG_WARN);
    RUN(a_run_that_another_process_holds_is_refused);
    RUN(force_takes_only_what_longtake_made);
    RUN(a_resume_says_what_differs);
    RUN(a_run_goes_back_to_an_older_checkpoint);
    RUN(a_diverged_run_can_follow_its_advice);
    RUN(a_run_that_diverges_at_once_begins_again);
    RUN(a_sample_that_was_due_is_made_on_resume);
    test_finish();
    return test_end();
}
