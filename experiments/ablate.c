#include "experiments/ablate.h"

#include "core/cli.h"
#include "core/folder.h"
#include "core/log.h"
#include "core/parallel.h"
#include "experiments/ablate_impl.h"
#include "experiments/report.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the folder ------------------------------------------------------------------------------------------ */

static const char kind[] = "results";

static bool has_file(const char *folder, const char *name) {
    char path[LT_PATH_MAX];
    return lt_path_join(path, folder, name) == LT_OK && lt_path_exists(path);
}

static lt_status check_folder(const lt_ablate_options *o) {
    bool exists = lt_path_exists(o->out), results = exists && has_file(o->out, "cells"),
         empty = !exists || lt_folder_is_empty(o->out);
    LT_CHECK(!o->resume || !o->force, LT_USAGE, "--resume and --force exclude each other");
    bool begun = exists && empty; /* and stopped before its first cell */
    if (o->resume)
        LT_CHECK(results || begun, LT_INPUT, "--resume: %s holds no results (it has no folder cells)",
                 o->out);
    else if (o->force)
        LT_CHECK(
            empty || lt_folder_is(o->out, kind), LT_USAGE,
            "--force: %s has no file " LT_FOLDER_MARK
            " that marks it as results that longtake made, so it is not replaced; %schoose another --out",
            o->out, results ? "--resume marks those of an earlier version; or remove the folder, or " : "");
    else
        LT_CHECK(empty, LT_USAGE,
                 "%s exists; go on with --resume, replace it with --force, or choose another --out", o->out);
    return LT_OK;
}

/* Before any work. A folder that is not there yet is made when everything else stands. */
static lt_status claim_folder(const lt_ablate_options *o, lt_folder_lock **lock) {
    LT_TRY(check_folder(o));
    if (!o->resume && !has_file(o->out, LT_FOLDER_MARK)) return LT_OK;
    LT_TRY(lt_folder_lock_take(o->out, kind, lock));
    return check_folder(o); /* the one that held it may have changed it */
}

/* What follows the name of a file that was being written, or nothing. */
static bool is_remains(const char *ending) {
    static const char *const endings[] = {"", ".part", ".part.new", ".part.journal"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcmp(ending, endings[i]) == 0) return true;
    return strncmp(ending, ".tmp", 4) == 0 && ending[4] && !ending[4 + strspn(ending + 4, "0123456789")];
}

/* What an ablation makes, and what kills have left of it; nothing else in the folder is touched. */
static bool is_own(const char *name) {
    static const char *const files[] = {"results.json",     "results.csv", "results.h5",
                                        "samples.csv",      "report.html", "config.json",
                                        "environment.json", "traces.new",  "videos.new"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t length = strlen(files[i]);
        if (strncmp(name, files[i], length) == 0 && is_remains(name + length)) return true;
    }
    return false;
}

static bool is_cell(const char *name) {
    return strspn(name, "0123456789abcdef") == 16 && strncmp(name + 16, ".h5", 3) == 0;
}

/* Of traces and videos: "SET-WHAT.ENDING", and the index. */
static bool is_shown(const char *name) {
    size_t digits = strspn(name, "0123456789");
    return (digits > 0 && name[digits] == '-') || strncmp(name, "index.json", 10) == 0;
}

static lt_status remove_old(const lt_ablate_options *o) {
    LT_TRY(lt_folder_remove_own(o->out, "", is_own)); /* first what makes the rest look whole */
    LT_TRY(lt_folder_remove_own(o->out, "traces", is_shown));
    LT_TRY(lt_folder_remove_own(o->out, "videos", is_shown));
    return lt_folder_remove_own(o->out, "cells", is_cell);
}

/* Once the run and the data are known to be readable: until then old results stay, and nothing new is made. */
static lt_status make_folder(const lt_ablate_options *o, lt_folder_lock **lock) {
    char path[LT_PATH_MAX];
    if (!*lock) {
        LT_TRY(lt_folder_lock_take(o->out, kind, lock));
        LT_TRY(check_folder(o));
    }
    if (!o->resume) LT_TRY(remove_old(o));
    LT_TRY(lt_path_join(path, o->out, "cells"));
    return lt_make_dirs(path);
}

lt_status lt_ablation_cell_path(const lt_ablation *a, int set, int variant, char path[LT_PATH_MAX]) {
    char name[64];
    const lt_eval_set *s = &a->grid.sets[set];
    snprintf(name, sizeof name, "cells/%016" PRIx64 ".h5",
             lt_cell_hash(a->weights, a->data[s->data], s, &a->grid.variants[variant]));
    return lt_path_join(path, a->options.out, name);
}

/* Once for all cells: a cell that is resumed must not change where its latents come from. */
static lt_status choose_latents(lt_ablation *a) {
    for (int i = 0; i < a->grid.set_count; i++) {
        lt_eval_set *set = &a->grid.sets[i];
        bool stored;
        LT_TRY(lt_latents_choose(a->model, a->data[set->data], set->options.latents, i > 0, &stored));
        set->options.latents = stored ? LT_LATENTS_STORED : LT_LATENTS_FRAMES;
    }
    return LT_OK;
}

/* ---- opening --------------------------------------------------------------------------------------------- */

static lt_status open_all(lt_ablation *a) {
    const lt_ablate_options *o = &a->options;
    LT_CHECK(o->data_count > 0 && o->data_count <= LT_EXPERIMENT_DATA, LT_USAGE,
             "%d datasets, expected 1 to %d", o->data_count, LT_EXPERIMENT_DATA);
    LT_TRY(lt_device_open_as(o->device, o->precision, o->kernels, &a->device));
    LT_CHECK(!lt_device_is_null(a->device), LT_USAGE,
             "--device %s computes nothing; `longtake plan` measures on it", o->device);
    LT_TRY(lt_run_open(o->run, o->checkpoint, a->device, &a->model, NULL, a->checkpoint));
    LT_TRY(lt_weights_hash(a->checkpoint, &a->weights));
    for (int i = 0; i < o->data_count; i++) LT_TRY(lt_dataset_open(o->data[i], &a->data[i]));
    LT_TRY(lt_grid_build(o->config, a->model, a->data, o->data_count, &a->grid));
    return choose_latents(a);
}

static void close_all(lt_ablation *a) {
    lt_grid_free(&a->grid);
    for (int i = 0; i < a->options.data_count && i < LT_EXPERIMENT_DATA; i++) lt_dataset_close(a->data[i]);
    lt_model_close(a->model);
    if (a->device) lt_device_close(a->device);
}

/* ---- cells ----------------------------------------------------------------------------------------------- */

static bool is_finished(const char *path) {
    lt_cell cell;
    if (!lt_path_exists(path) || lt_cell_load(path, &cell) != LT_OK) return false;
    lt_cell_free(&cell);
    return true;
}

/* A cell takes long on large grids: the line goes on while it is evaluated. */
static void tick(int64_t done, int64_t total, void *user) {
    const lt_ablation *a = user;
    (void)done, (void)total;
    if (a->shows) lt_finished_show(a->finished);
}

static lt_status run_cell(lt_ablation *a, int set, int variant) {
    char path[LT_PATH_MAX];
    lt_cell cell;
    const lt_eval_set *s = &a->grid.sets[set];
    const lt_variant *v = &a->grid.variants[variant];
    lt_eval_set heard = *s;
    heard.options.progress = tick, heard.options.progress_user = a;
    if (lt_finished_has(a->finished, set, variant)) return LT_OK;
    LT_TRY(lt_ablation_cell_path(a, set, variant, path));
    lt_status status = lt_cell_evaluate(a->model, a->data[s->data], &heard, v, &cell);
    if (status != LT_OK) return lt_fail_in(status, "%s, %s, budget %d", s->label, v->text, v->spec.budget);
    lt_debug("%s, %s: %s, budget %d: %.1f s", s->label, s->options.role, v->text, v->spec.budget,
             cell.seconds);
    status = lt_cell_save(path, &cell);
    lt_cell_free(&cell);
    if (status == LT_OK) lt_finished_add(a->finished, set, variant);
    return status;
}

/* Those of an earlier session, which the processes then leave out. */
static lt_status find_finished(lt_ablation *a) {
    char path[LT_PATH_MAX];
    int cells = 0;
    for (int s = 0; s < a->grid.set_count; s++)
        for (int v = 0; v < a->grid.variant_count; v++) {
            if (!lt_grid_wants(&a->grid, s, v)) continue;
            cells++;
            LT_TRY(lt_ablation_cell_path(a, s, v, path));
            if (is_finished(path)) lt_finished_add(a->finished, s, v);
        }
    lt_finished_expect(a->finished, cells);
    a->shows = true;
    lt_finished_show(a->finished);
    return LT_OK;
}

/* The cells whose number is `first` modulo `stride`. */
static lt_status run_cells(lt_ablation *a, int first, int stride) {
    int number = 0;
    for (int s = 0; s < a->grid.set_count; s++)
        for (int v = 0; v < a->grid.variant_count; v++) {
            if (!lt_grid_wants(&a->grid, s, v)) continue;
            if (number++ % stride == first) LT_TRY(run_cell(a, s, v));
            if (a->shows) lt_finished_show(a->finished);
            LT_CHECK(!lt_interrupted(), LT_INTERRUPTED, "interrupted; --resume goes on with the cells left");
        }
    return LT_OK;
}

/* ---- processes ------------------------------------------------------------------------------------------- */

/* One of the processes that share the cells. It writes nothing but cells: the first process does the rest, and runs
 * again what another one failed at, so that its message is heard. */
static lt_status work(const lt_ablate_options *options, lt_finished *finished, int first, int stride) {
    lt_ablation a = {.options = *options, .finished = finished};
    lt_status status = open_all(&a);
    if (status == LT_OK) status = run_cells(&a, first, stride);
    close_all(&a);
    return status;
}

enum { MOST_JOBS = 64 };

typedef struct workers {
    pid_t pids[MOST_JOBS];
    int count;
    int gate[2]; /* a pipe: workers begin when its writing end is closed */
    lt_finished *finished;
} workers;

static pid_t start_worker(const lt_ablate_options *o, const workers *w, int first, int stride,
                          lt_folder_lock *lock) {
    char nothing;
    pid_t parent = getpid(), pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* cells are written aside: nothing is left half */
    lt_folder_lock_forget(lock);
    if (getppid() != parent) _exit(LT_INTERRUPTED); /* it died before prctl */
    lt_log_init(NULL, NULL, LT_LOG_ERROR);
    close(w->gate[1]);
    while (read(w->gate[0], &nothing, 1) < 0 && errno == EINTR)
        if (lt_interrupted()) _exit(LT_INTERRUPTED);
    _exit(lt_interrupted() ? LT_INTERRUPTED : work(o, w->finished, first, stride));
}

static lt_status start_workers(workers *w, const lt_ablate_options *o, int jobs, lt_folder_lock *lock) {
    w->gate[0] = w->gate[1] = -1;
    if (jobs == 1) return LT_OK;
    LT_CHECK(pipe(w->gate) == 0, LT_FAILED, "--jobs %d: no pipe: %s", jobs, strerror(errno));
    for (; w->count < jobs - 1; w->count++) w->pids[w->count] = start_worker(o, w, w->count + 1, jobs, lock);
    return LT_OK;
}

static void open_gate(workers *w) {
    if (w->gate[1] >= 0) close(w->gate[1]);
    w->gate[1] = -1;
}

/* Until one has ended: the line goes on, and an interruption is passed on. */
static void await_worker(const lt_ablation *a, pid_t pid) {
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    for (;;) {
        pid_t ended = waitpid(pid, NULL, WNOHANG);
        if (ended == pid || (ended < 0 && errno != EINTR)) return;
        if (lt_interrupted()) kill(pid, SIGTERM);
        if (a->shows) lt_finished_show(a->finished);
        nanosleep(&pause, NULL);
    }
}

static void end_workers(const lt_ablation *a, workers *w, bool stop) {
    for (int i = 0; i < w->count && stop; i++)
        if (w->pids[i] > 0) kill(w->pids[i], SIGTERM);
    open_gate(w); /* for those who wait there, to see that they were stopped */
    for (int i = 0; i < w->count; i++)
        if (w->pids[i] > 0) await_worker(a, w->pids[i]);
    if (w->gate[0] >= 0) close(w->gate[0]);
}

static lt_status finish_ablation(lt_ablation *a) {
    LT_TRY(lt_ablation_showcase(a));
    return lt_ablation_summarise(a);
}

static lt_status run_first(lt_ablation *a, workers *w, int jobs, lt_folder_lock **lock) {
    lt_status status = open_all(a);
    if (status == LT_OK) status = make_folder(&a->options, lock);
    if (status == LT_OK) status = find_finished(a);
    if (status == LT_OK) open_gate(w);
    if (status == LT_OK) status = lt_ablation_write_records(a);
    if (status == LT_OK) status = run_cells(a, 0, jobs);
    end_workers(a, w, status != LT_OK);
    LT_TRY(status);
    if (jobs > 1) LT_TRY(run_cells(a, 0, 1));
    return finish_ablation(a);
}

static lt_status ablate(const lt_ablate_options *options, lt_folder_lock **lock) {
    workers w = {0};
    lt_ablation a = {.options = *options};
    int jobs = options->jobs < 1 || strcmp(options->device, "cpu") != 0 ? 1 : options->jobs;
    LT_CHECK(jobs <= MOST_JOBS, LT_USAGE, "--jobs %d: at most %d", jobs, MOST_JOBS);
    LT_TRY(claim_folder(options, lock));
    double start = lt_seconds();
    if (jobs > 1) lt_set_threads(lt_threads() / jobs > 0 ? lt_threads() / jobs : 1);
    LT_TRY(lt_finished_open(&a.finished));
    w.finished = a.finished;
    lt_status status = start_workers(&w, options, jobs, *lock);
    if (status == LT_OK) status = run_first(&a, &w, jobs, lock);
    close_all(&a);
    lt_finished_close(a.finished);
    if (status == LT_OK) lt_info("%s: done in %.1f s", options->out, lt_seconds() - start);
    return status;
}

lt_status lt_ablate(const lt_ablate_options *options) {
    lt_folder_lock *lock = NULL;
    lt_status status = ablate(options, &lock);
    if (status == LT_OK && options->report) status = lt_report_write(options->out);
    lt_folder_lock_release(lock);
    return status;
}
