/* A run that is killed, interrupted or spread over processes ends as an unbroken one does: every row of metrics.jsonl
 * (what the clock says apart) and every byte of the final weights. */
#define TEST_ON_DEVICE
#include "core/rng.h"
#include "core/safetensors.h"
#include "tests/testing.h"

#include <dirent.h>

enum { ATTEMPTS = 60 };

/* How much is tried: on a GPU, where every process first takes seconds to open it, less. */
typedef struct extent {
    int steps, kills, signals;
    const char *steps_key;
} extent;
static const extent all = {72, 4, 2, "train.steps=72"}, less = {24, 2, 1, "train.steps=24"};
static const extent *tried = &all;

static double unbroken_seconds;

static const char *validate_every = "train.validate_every=12";

#define TRAIN_OPTIONS                                                                                        \
    "--data", in_folder("d.h5"), "--set", tried->steps_key, "--set", "train.checkpoint_every=4", "--set",    \
        validate_every, "--set", "train.validate_clips=1", "-q"

static process start_training(const char *run, bool resume) {
    if (resume)
        return longtake_start(ARGUMENTS("train", "--out", in_folder(run), "--resume", TRAIN_OPTIONS), 0);
    return longtake_start(
        ARGUMENTS("train", "--out", in_folder(run), "--config", in_folder("tiny.json"), TRAIN_OPTIONS), 0);
}

static int wait_training(process *p) {
    process_free(&got);
    got = process_wait(p);
    return got.code;
}

static void train_unbroken(const char *run) {
    process p = start_training(run, false);
    CHECK(wait_training(&p) == 0 && ended(0, ""));
    unbroken_seconds = got.seconds;
}

/* ---- what must be equal ---------------------------------------------------------------------------------------- */

/* A row without what the clock says. */
static void strip_times(cJSON *row) {
    cJSON_DeleteItemFromObjectCaseSensitive(row, "seconds");
    cJSON_DeleteItemFromObjectCaseSensitive(row, "tokens_per_s");
}

static char *next_line(char **rest) {
    char *line = strsep(rest, "\n");
    return line && *line ? line : NULL;
}

static cJSON *next_row(char **rest) {
    cJSON *row = NULL;
    char *line = next_line(rest);
    if (!line) return NULL;
    CHECK_OK(lt_json_parse(line, strlen(line), "metrics.jsonl", LT_INPUT, &row));
    if (row) strip_times(row);
    return row;
}

static int same_metrics(const char *a, const char *b) {
    char path[LT_PATH_MAX], *texts[2] = {NULL}, *rest[2];
    const char *const runs[2] = {a, b};
    int rows = 0;
    bool same = true;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/metrics.jsonl", in_folder(runs[i]));
        CHECK_OK(lt_read_file(path, &texts[i], NULL));
        rest[i] = texts[i];
    }
    for (cJSON *x, *y; same && texts[0] && texts[1]; cJSON_Delete(x), cJSON_Delete(y)) {
        x = next_row(&rest[0]), y = next_row(&rest[1]);
        if (!x && !y) break;
        same = x && y && cJSON_Compare(x, y, true);
        rows++;
        if (!same)
            printf("row %d of %s and %s: %s\n%s\n", rows, a, b, cJSON_PrintUnformatted(x),
                   cJSON_PrintUnformatted(y));
    }
    free(texts[0]), free(texts[1]);
    return same ? rows : 0;
}

static bool same_weights(const char *a, const char *b) {
    static const char *const names[] = {"model.safetensors", "ema.safetensors", "optimizer.safetensors"};
    bool same = true;
    for (int i = 0; i < 3 && same; i++) {
        char path[2][LT_PATH_MAX], *data[2] = {NULL};
        size_t size[2] = {0};
        const char *const runs[2] = {a, b};
        for (int k = 0; k < 2; k++) {
            snprintf(path[k], LT_PATH_MAX, "%s/checkpoints/latest/%s", in_folder(runs[k]), names[i]);
            CHECK_OK(lt_read_file(path[k], &data[k], &size[k]));
        }
        same = data[0] && data[1] && size[0] == size[1] && memcmp(data[0], data[1], size[0]) == 0;
        if (!same) printf("%s differs from %s\n", path[0], path[1]);
        free(data[0]), free(data[1]);
    }
    return same;
}

static bool same_run(const char *a, const char *b, int validations) {
    return same_metrics(a, b) == tried->steps + validations && same_weights(a, b);
}

/* ---- kill -9 --------------------------------------------------------------------------------------------------- */

/* A checkpoint is being written: step-N.tmp is there. */
static bool writes_checkpoint(const char *run) {
    char path[LT_PATH_MAX];
    bool found = false;
    snprintf(path, sizeof path, "%s/checkpoints", in_folder(run));
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder));) found = found || strstr(e->d_name, ".tmp");
    if (folder) closedir(folder);
    return found;
}

/* Waits for a random moment, of the whole run or of the writing of a checkpoint; false when the run has ended. */
static bool wait_for_moment(const process *p, const char *run, bool writing, double part) {
    siginfo_t info = {0};
    double until = p->started + part * unbroken_seconds;
    for (bool due = false; !due;) {
        if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) return false;
        due = lt_seconds() >= until && (!writing || writes_checkpoint(run));
        if (!due) usleep(writing ? 50 : 500);
    }
    if (writing) usleep((unsigned)(part * 3000));
    return true;
}

static bool has_begun(const char *run) {
    char path[LT_PATH_MAX];
    snprintf(path, sizeof path, "%s/config.json", in_folder(run));
    return lt_path_exists(path);
}

static void killed_runs_end_with_the_bits_of_an_unbroken_one(void) {
    train_unbroken("whole");
    lt_rng_key key = {.seed = (uint64_t)getpid(), .purpose = LT_RNG_TEST};
    int kills = 0, in_writing = 0, code = -1;
    for (int attempt = 0; attempt < ATTEMPTS && (kills < tried->kills || code != 0); attempt++) {
        bool writing = attempt % 2;
        process p = start_training("killed", has_begun("killed"));
        double part = 0.1 + 0.3 * lt_rng_uniform(&key, (uint64_t)attempt);
        bool hit =
            kills < tried->kills && wait_for_moment(&p, "killed", writing, part) && kill(p.pid, SIGKILL) == 0;
        code = wait_training(&p);
        kills += code == -SIGKILL, in_writing += hit && writing && code == -SIGKILL;
        if (code != -SIGKILL && !ended(0, "")) break;
        if (code == 0 &&
            kills < tried->kills) { /* over too soon: it must be right all the same, and another one begins */
            CHECK(same_run("whole", "killed", tried->steps / 12));
            CHECK_OK(lt_remove_tree(in_folder("killed")));
        }
    }
    printf("%d kills, %d of them while a checkpoint was written\n", kills, in_writing);
    CHECK(code == 0 && kills > 0); /* how many land is the machine's timing */
    CHECK(same_run("whole", "killed", tried->steps / 12));
}

/* ---- SIGTERM --------------------------------------------------------------------------------------------------- */

/* Sends `signal` while a run is under way, if possible while it writes a checkpoint; one that is over too soon is begun
 * anew. */
static bool interrupt(const char *run, int signal, double part) {
    for (int attempt = 0; attempt < 8; attempt++) {
        process p = start_training(run, false);
        bool sent = wait_for_moment(&p, run, attempt % 2 == 0, part) && kill(p.pid, signal) == 0;
        if (wait_training(&p) != 0) return sent;
        CHECK_OK(lt_remove_tree(in_folder(run)));
    }
    return false;
}

/* With a validation after every step, so that the last one before the signal has one too. */
static void an_interrupted_run_exits_with_6_and_goes_on(void) {
    validate_every = "train.validate_every=1";
    train_unbroken("validated");
    for (int i = 0; i < tried->signals; i++) {
        char run[24];
        snprintf(run, sizeof run, "stopped%d", i);
        CHECK(interrupt(run, i ? SIGINT : SIGTERM, 0.3 + 0.2 * i));
        CHECK(got.code == LT_INTERRUPTED && ended(LT_INTERRUPTED, "--resume"));
        process p = start_training(run, true);
        CHECK(wait_training(&p) == 0);
        CHECK(same_run("validated", run, tried->steps));
    }
}

/* ---- several processes ----------------------------------------------------------------------------------------- */

static double relative_difference(const char *a, const char *b) {
    lt_st_file *x = NULL, *y = NULL;
    double sum = 0, square = 0;
    CHECK_OK(lt_st_open(a, &x));
    CHECK_OK(lt_st_open(b, &y));
    for (int i = 0; x && y && i < lt_st_count(x); i++) {
        const lt_st_entry *p = lt_st_at(x, i), *q = lt_st_find(y, p->name);
        CHECK(q && p->tensor.dtype == LT_F32 && lt_numel(&q->tensor) == lt_numel(&p->tensor));
        for (int64_t k = 0; q && k < lt_numel(&p->tensor); k++) {
            double u = ((const float *)p->tensor.data)[k], v = ((const float *)q->tensor.data)[k];
            sum += (u - v) * (u - v), square += u * u;
        }
    }
    lt_st_close(x), lt_st_close(y);
    return square > 0 ? sqrt(sum / square) : INFINITY;
}

static bool has_mpirun(void) {
    process p = process_start(&(process_spec){.argv = ARGUMENTS("mpirun", "--version")});
    process_result r = process_wait(&p);
    bool there = r.code == 0;
    process_free(&r);
    return there;
}

static void two_processes_equal_one_at_the_same_global_batch(void) {
    char one[LT_PATH_MAX], two[LT_PATH_MAX];
    if (!has_mpirun()) {
        printf("skipped: no mpirun\n");
        return;
    }
    CHECK_RUN("train", "--out", in_folder("one"), "--config", in_folder("tiny.json"), "--data",
              in_folder("d.h5"), "--device", "cpu", "-q");
    process p = process_start(&(process_spec){
        .argv = ARGUMENTS("mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", test_program,
                          "train", "--out", in_folder("two"), "--config", in_folder("tiny.json"), "--data",
                          in_folder("d.h5"), "-q", "--threads=1")});
    CHECK(wait_training(&p) == 0 && ended(0, ""));
    snprintf(one, sizeof one, "%s/checkpoints/latest/model.safetensors", in_folder("one"));
    snprintf(two, sizeof two, "%s/checkpoints/latest/model.safetensors", in_folder("two"));
    CHECK_NEAR(relative_difference(one, two), 0, 5e-6);
}

/* A refused configuration is one message and one exit code, not one per process and a hang. */
static void a_mistake_ends_all_processes(void) {
    if (!has_mpirun()) return;
    process p = process_start(&(process_spec){
        .argv = ARGUMENTS("mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", test_program,
                          "train", "--out", in_folder("none"), "--config", in_folder("tiny.json"), "--data",
                          in_folder("missing.h5"), "-q", "--threads=1"),
        .timeout = 60});
    CHECK(wait_training(&p) == LT_INPUT && !got.timed_out && ended(LT_INPUT, "missing.h5"));
    CHECK(!lt_path_exists(in_folder("none")));
}

int main(int argc, char **argv) {
    if (on_gpu()) tried = &less;
    test_begin("16");
    RUN(killed_runs_end_with_the_bits_of_an_unbroken_one);
    RUN(an_interrupted_run_exits_with_6_and_goes_on);
#ifdef LT_WITH_MPI
    RUN(two_processes_equal_one_at_the_same_global_batch);
    RUN(a_mistake_ends_all_processes);
#else
    printf("skipped: this build has no MPI\n");
#endif
    return test_finish();
}
