/* Checkpoints that are written beside the steps, on the CPU and on one that plays a device: there, copies to pinned
 * memory happen as late as they may, when a stream or the host waits for them. Files must be those of
 * lt_checkpoint_write. */
#include "core/log.h"
#include "core/parallel.h"
#include "train/checkpoint_writer.h"
#include "train/testing.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- the device -------------------------------------------------------------------------------------------------- */

struct lt_stream {
    bool ordered; /* it has waited for another since its last copy was made */
};
struct lt_event {
    lt_stream *stream;
};

enum { MOST_COPIES = 4096, MOST_SLABS = 8 };

static struct {
    struct {
        lt_stream *stream;
        void *to;
        const void *from;
        size_t bytes;
    } asked[MOST_COPIES];
    int count;
    struct {
        char *base;
        size_t bytes;
    } slabs[MOST_SLABS];
    int pinned;
    int copies, updates; /* so far; updates: that waited for copies */
    lt_stream *steps;    /* of the trainer: the first that was made */
    int waits;           /* of the host for it */
    bool pin_fails;
    int fails_at, stops_at; /* update; 0: never */
} late;

static lt_device_ops ops;
static const lt_device_ops *cpu;

/* The copies of a stream, or with NULL of all. */
static void make_copies(lt_stream *stream) {
    int left = 0;
    for (int i = 0; i < late.count; i++) {
        if (stream && late.asked[i].stream != stream) late.asked[left++] = late.asked[i];
        else memcpy(late.asked[i].to, late.asked[i].from, late.asked[i].bytes);
    }
    late.count = left;
    if (stream) stream->ordered = false;
}

static bool is_pinned(const char *to, size_t bytes) {
    for (int i = 0; i < late.pinned; i++)
        if (to >= late.slabs[i].base && to + bytes <= late.slabs[i].base + late.slabs[i].bytes) return true;
    return false;
}

static lt_status late_copy(lt_device *device, lt_stream *stream, void *to, const void *from, size_t bytes,
                           lt_copy_kind kind) {
    if (kind != LT_COPY_TO_PINNED) return cpu->copy(device, stream, to, from, bytes, kind);
    CHECK(stream && stream->ordered && is_pinned(to, bytes) && late.count < MOST_COPIES);
    late.asked[late.count].stream = stream;
    late.asked[late.count].to = to, late.asked[late.count].from = from;
    late.asked[late.count++].bytes = bytes;
    late.copies++;
    return LT_OK;
}

static lt_status late_stream(lt_device *device, lt_stream **out) {
    (void)device;
    *out = calloc(1, sizeof **out);
    if (!late.steps) late.steps = *out;
    return *out ? LT_OK : LT_FAILED;
}
static void late_stream_end(lt_device *device, lt_stream *stream) {
    (void)device;
    for (int i = 0; i < late.count; i++) CHECK(late.asked[i].stream != stream);
    free(stream);
}
static lt_status late_synchronize(lt_device *device, lt_stream *stream) {
    (void)device;
    make_copies(stream);
    late.waits += stream == late.steps;
    return LT_OK;
}
static lt_status late_event(lt_device *device, lt_event **out) {
    (void)device;
    *out = calloc(1, sizeof **out);
    return *out ? LT_OK : LT_FAILED;
}
static void late_event_end(lt_device *device, lt_event *event) { (void)device, free(event); }
static lt_status late_record(lt_device *device, lt_event *event, lt_stream *stream) {
    (void)device;
    event->stream = stream;
    return LT_OK;
}

/* Waiting for a stream with copies is what an update does. */
static lt_status late_wait(lt_device *device, lt_event *event, lt_stream *stream) {
    (void)device;
    bool updates = late.count > 0;
    make_copies(event->stream);
    stream->ordered = true;
    if (!updates) return LT_OK;
    late.updates++;
    if (late.updates == late.stops_at) raise(SIGTERM);
    LT_CHECK(late.updates != late.fails_at, LT_FAILED, "the device is gone");
    return LT_OK;
}

static lt_status late_pin(lt_device *device, void *memory, size_t bytes) {
    (void)device;
    CHECK((uintptr_t)memory % 4096 == 0 && late.pinned < MOST_SLABS);
    LT_CHECK(!late.pin_fails || late.pinned == 0, LT_FAILED, "no more pages");
    late.slabs[late.pinned].base = memory;
    late.slabs[late.pinned++].bytes = bytes;
    return LT_OK;
}
static void late_unpin(lt_device *device, void *memory) {
    (void)device;
    CHECK(late.pinned > 0 && late.slabs[late.pinned - 1].base == memory);
    late.pinned--;
}

static void play(lt_device *device) {
    cpu = device->ops;
    ops = *cpu;
    ops.copy = late_copy, ops.synchronize = late_synchronize;
    ops.stream_create = late_stream, ops.stream_destroy = late_stream_end;
    ops.event_create = late_event, ops.event_destroy = late_event_end;
    ops.event_record = late_record, ops.event_wait = late_wait;
    ops.pin = late_pin, ops.unpin = late_unpin;
    device->ops = &ops;
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

typedef enum way { AT_ONCE, BESIDE, LATE } way;
static char out[2][LT_PATH_MAX];
static const char *device_name = "cpu";

static lt_status train_into(const char *folder, const char *const *overrides, way how, bool resume) {
    lt_device *device;
    lt_config *config = test_config(overrides);
    LT_TRY(lt_device_open(device_name, &device));
    if (how == LATE) play(device);
    lt_run_options options = {.config = config,
                              .data = test_data,
                              .out = folder,
                              .resume = resume,
                              .writes_beside = how != AT_ONCE,
                              .device = device};
    lt_status status = lt_run_train(&options);
    CHECK(late.pinned == 0 && late.count == 0);
    lt_device_close(device);
    lt_config_free(config);
    return status;
}

static void fresh(void) {
    memset(&late, 0, sizeof late);
    for (int i = 0; i < 2; i++) {
        snprintf(out[i], sizeof out[i], "%s/run%d", test_folder, i);
        CHECK_OK(lt_remove_tree(out[i]));
    }
}

/* What the clock says is left out of state.json. */
static char *file_bytes(const char *folder, const char *name, size_t *size) {
    char path[LT_PATH_MAX], *data = NULL, *timed;
    *size = 0;
    CHECK_OK(lt_path_join(path, folder, name));
    CHECK_OK(lt_read_file(path, &data, size));
    if (data && strcmp(name, "state.json") == 0 && (timed = strstr(data, "\"seconds\"")))
        *timed = '\0', *size = strlen(data);
    return data;
}

static void check_same_folder(const char *a, const char *b, int wanted) {
    char **names, **others;
    int count = 0, other_count = 0;
    CHECK_OK(lt_list_dir(a, &names, &count));
    CHECK_OK(lt_list_dir(b, &others, &other_count));
    CHECK(count == wanted && other_count == wanted);
    for (int i = 0; i < count && i < other_count; i++) {
        size_t a_size, b_size;
        char *x = file_bytes(a, names[i], &a_size), *y = file_bytes(b, names[i], &b_size);
        CHECK(strcmp(names[i], others[i]) == 0 && x && y && a_size == b_size && memcmp(x, y, a_size) == 0);
        free(x), free(y);
    }
    lt_list_free(names, count), lt_list_free(others, other_count);
}

static void check_same_link(const char *a, const char *b) {
    char x[256] = "", y[256] = "";
    CHECK(readlink(a, x, sizeof x - 1) > 0 && readlink(b, y, sizeof y - 1) > 0 && strcmp(x, y) == 0);
}

/* All checkpoints and links of both runs; returns how many checkpoints. */
static int check_same_checkpoints(void) {
    char **names, **others, folders[2][LT_PATH_MAX], paths[2][LT_PATH_MAX];
    int count = 0, other_count = 0, checkpoints = 0;
    for (int i = 0; i < 2; i++) CHECK_OK(lt_path_join(folders[i], out[i], "checkpoints"));
    CHECK_OK(lt_list_dir(folders[0], &names, &count));
    CHECK_OK(lt_list_dir(folders[1], &others, &other_count));
    CHECK(count == other_count);
    for (int i = 0; i < count && i < other_count; i++) {
        CHECK(strcmp(names[i], others[i]) == 0);
        for (int k = 0; k < 2; k++) CHECK_OK(lt_path_join(paths[k], folders[k], names[i]));
        bool link = strncmp(names[i], "step-", 5) != 0;
        if (link) check_same_link(paths[0], paths[1]);
        else check_same_folder(paths[0], paths[1], 6), checkpoints++;
    }
    lt_list_free(names, count), lt_list_free(others, other_count);
    return checkpoints;
}

static void check_latest(const char *run, const char *step) {
    char folder[LT_PATH_MAX];
    CHECK_OK(lt_run_checkpoint(run, "latest", folder));
    CHECK(strcmp(lt_path_base(folder), step) == 0);
}

static void check_same_checkpoint(const char *step) {
    char folders[2][LT_PATH_MAX], name[64];
    snprintf(name, sizeof name, "checkpoints/%s", step);
    for (int i = 0; i < 2; i++) CHECK_OK(lt_path_join(folders[i], out[i], name));
    check_same_folder(folders[0], folders[1], 6);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void files_are_those_that_are_written_at_once(void) {
    static const char *const overrides[][6] = {
        {"train.steps=7", "train.checkpoint_every=2", "train.keep=9", "train.validate_every=3", NULL},
        {"train.steps=6", "train.checkpoint_every=3", "train.keep=9", "train.stage=joint",
         "train.accumulate=2", NULL},
        {"train.steps=5", "train.checkpoint_every=1", "train.keep=2", NULL},
        {"train.steps=3", NULL}};
    static const int checkpoints[] = {3, 2, 2, 1};
    for (int i = 0; i < 4; i++)
        for (way how = BESIDE; how <= LATE; how++) {
            fresh();
            CHECK_OK(train_into(out[0], overrides[i], AT_ONCE, false));
            CHECK_OK(train_into(out[1], overrides[i], how, false));
            CHECK(check_same_checkpoints() >= checkpoints[i]);
            CHECK((late.copies > 0) == (how == LATE && i < 3)); /* one at the end needs no copies */
            CHECK(how != LATE || i == 3 || late.updates > 0);
        }
}

/* Lines of a level with a text in them. */
static struct {
    lt_log_level level;
    const char *text;
    int count;
} lines;
static void count_lines(lt_log_level level, const char *line, void *user) {
    (void)user;
    lines.count += level == lines.level && strstr(line, lines.text);
}
static void listen_for(lt_log_level level, const char *text) {
    lines.level = level, lines.text = text, lines.count = 0;
    lt_log_init(text ? count_lines : NULL, NULL, level);
}

static void a_checkpoint_that_waits_for_the_one_before_says_so(void) {
    static const char *const overrides[] = {"train.steps=8", "train.checkpoint_every=1", NULL};
    fresh();
    listen_for(LT_LOG_DEBUG, "waits until that of step");
    CHECK_OK(train_into(out[0], overrides, LATE, false));
    CHECK(lines.count > 0 && lines.count < 8);
    listen_for(LT_LOG_WARN, NULL);
}

static void without_memory_to_pin_steps_wait(void) {
    static const char *const overrides[] = {"train.steps=4", "train.checkpoint_every=2", NULL};
    fresh();
    late.pin_fails = true;
    CHECK_OK(train_into(out[0], overrides, AT_ONCE, false));
    listen_for(LT_LOG_WARN, "steps, which wait for them: no more pages");
    CHECK_OK(train_into(out[1], overrides, LATE, false));
    CHECK(check_same_checkpoints() == 2 && late.copies == 0 && lines.count == 1);
    listen_for(LT_LOG_WARN, NULL);
}

/* Files of more than this many bytes cannot be written. */
static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    signal(SIGXFSZ, bytes == RLIM_INFINITY ? SIG_DFL : SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void a_failed_write_stops_the_run_and_leaves_what_there_was(void) {
    static const char *const begin[] = {"train.steps=4", "train.checkpoint_every=2", NULL};
    static const char *const more[] = {"train.steps=40", "train.checkpoint_every=2", NULL};
    static const char *const all[] = {"train.steps=8", "train.checkpoint_every=2", NULL};
    char path[LT_PATH_MAX], *rows = NULL;
    size_t size;
    fresh();
    CHECK_OK(train_into(out[0], begin, AT_ONCE, false));
    CHECK_OK(train_into(out[1], begin, AT_ONCE, false));
    limit_files(16 << 10);
    CHECK_FAILS(train_into(out[1], more, LATE, true), LT_FAILED, "File too large");
    limit_files(RLIM_INFINITY);
    CHECK(check_same_checkpoints() == 2);
    check_latest(out[1], "step-4");
    CHECK_OK(lt_path_join(path, out[1], "metrics.jsonl"));
    CHECK_OK(lt_read_file(path, &rows, &size));
    CHECK(rows && strstr(rows, "{\"step\": 7,") && !strstr(rows, "{\"step\": 9,"));
    free(rows);
    CHECK_OK(train_into(out[0], all, AT_ONCE, true));
    CHECK_OK(train_into(out[1], all, LATE, true));
    CHECK(check_same_checkpoints() >= 2);
}

static void a_run_that_fails_completes_what_it_had_begun(void) {
    static const char *const overrides[] = {"train.steps=9", "train.checkpoint_every=3", NULL};
    fresh();
    late.fails_at = 2;
    CHECK_OK(train_into(out[0], overrides, AT_ONCE, false));
    CHECK_FAILS(train_into(out[1], overrides, LATE, false), LT_FAILED, "the device is gone");
    check_latest(out[1], "step-6");
    check_same_checkpoint("step-6");
}

/* A child, so that this process is not interrupted. */
static int train_in_child(const char *const *overrides, bool resume) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        lt_catch_signals();
        _exit(train_into(out[1], overrides, LATE, resume));
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void an_interrupted_run_has_its_checkpoint_when_it_ends(void) {
    static const char *const overrides[] = {"train.steps=9", "train.checkpoint_every=3", "train.keep=9",
                                            NULL};
    char path[LT_PATH_MAX];
    fresh();
    CHECK_OK(train_into(out[0], overrides, AT_ONCE, false));
    late.stops_at = 1;
    CHECK(train_in_child(overrides, false) == LT_INTERRUPTED);
    check_latest(out[1], "step-4");
    late.stops_at = 0;
    CHECK_OK(train_into(out[1], overrides, LATE, true));
    CHECK_OK(lt_path_join(path, out[1], "checkpoints/step-4"));
    CHECK_OK(lt_remove_tree(path)); /* the unbroken run has none */
    CHECK(check_same_checkpoints() == 3);
}

static void killed_and_resumed_runs_end_with_the_same_bits(void) {
    static const char *const overrides[] = {"train.steps=14", "train.checkpoint_every=2", "train.keep=1",
                                            NULL};
    int finished = 0, kills = 0;
    fresh();
    CHECK_OK(train_into(out[0], overrides, AT_ONCE, false));
    for (int attempt = 0; attempt < 30 && !finished; attempt++) {
        char config[LT_PATH_MAX];
        int status = 0;
        CHECK_OK(lt_path_join(config, out[1], "config.json"));
        bool begun = lt_path_exists(config);
        if (!begun) CHECK_OK(lt_remove_tree(out[1]));
        pid_t child = fork();
        if (child == 0) _exit(train_into(out[1], overrides, LATE, begun));
        usleep(60000 + 31000u * (unsigned)(attempt % 7));
        if (attempt < 20) kill(child, SIGKILL);
        waitpid(child, &status, 0);
        kills += WIFSIGNALED(status);
        finished = WIFEXITED(status);
        CHECK(!finished || WEXITSTATUS(status) == 0);
    }
    CHECK(finished && kills > 0);
    check_latest(out[1], "step-14");
    check_same_checkpoint("step-14"); /* a kill after it was complete may leave others, and links aside */
}

/* A sample has a stream of its own. A build without video finds that out at the first one. */
static void a_sample_waits_for_the_update(void) {
    static const char *const none[] = {"train.steps=4", NULL};
    static const char *const two[] = {"train.steps=4", "train.sample_every=2", "train.sample_blocks=1",
                                      "train.sample_steps=1", NULL};
    fresh();
    CHECK_OK(train_into(out[0], none, LATE, false));
    int waits = late.waits;
    fresh();
    CHECK_OK(train_into(out[1], two, LATE, false));
    CHECK(late.waits == waits + 2 || late.waits == waits + 1);
}

/* With weights whose copies take as long as a step, in bf16 with masters. A run of three steps has no checkpoint but
 * its last, which is read from the device at once. */
static void a_gpu_writes_beside_steps_what_it_writes_at_once(void) {
    static const char *const model[] = {"model.layers=4", "model.heads=8", "model.head_dim=64"};
    const char *three[] = {"train.steps=3", model[0], model[1], model[2], NULL};
    const char *six[] = {
        "train.steps=6", "train.checkpoint_every=3", "train.keep=9", model[0], model[1], model[2], NULL};
    static const char *const names[] = {"model.safetensors", "ema.safetensors", "optimizer.safetensors"};
    char folders[2][LT_PATH_MAX];
    if (test_backend() == LT_BACKEND_CPU) {
        printf("no GPU: skipped\n");
        return;
    }
    fresh();
    device_name = "cuda";
    CHECK_OK(train_into(out[0], three, AT_ONCE, false));
    CHECK_OK(train_into(out[1], six, AT_ONCE, false)); /* beside its steps: it is no cpu */
    device_name = "cpu";
    for (int i = 0; i < 2; i++) CHECK_OK(lt_path_join(folders[i], out[i], "checkpoints/step-3"));
    for (int i = 0; i < 3; i++) {
        size_t a_size, b_size;
        char *a = file_bytes(folders[0], names[i], &a_size), *b = file_bytes(folders[1], names[i], &b_size);
        CHECK(a && b && a_size == b_size && memcmp(a, b, a_size) == 0);
        free(a), free(b);
    }
}

int main(int argc, char **argv) {
    unsetenv("CUDA_LAUNCH_BLOCKING"); /* what goes on beside the steps is what is tested */
    lt_set_threads(1);                /* also: a child may not use the threads of its parent */
    test_begin();
    RUN(files_are_those_that_are_written_at_once);
    RUN(a_checkpoint_that_waits_for_the_one_before_says_so);
    RUN(without_memory_to_pin_steps_wait);
    RUN(a_failed_write_stops_the_run_and_leaves_what_there_was);
    RUN(a_run_that_fails_completes_what_it_had_begun);
    RUN(an_interrupted_run_has_its_checkpoint_when_it_ends);
    RUN(killed_and_resumed_runs_end_with_the_same_bits);
    RUN(a_sample_waits_for_the_update);
    RUN(a_gpu_writes_beside_steps_what_it_writes_at_once);
    test_finish();
    return test_end();
}
