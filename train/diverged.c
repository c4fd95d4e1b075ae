/* A run whose steps are no longer finite: which checkpoint is from before it went wrong, and what to do. */
#include "train/run_impl.h"

#include "core/io.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEFORE = 50, CHECKPOINTS = 256 };

/* Losses of the steps, from metrics.jsonl; those that are not finite are infinite. */
typedef struct history {
    int64_t count;
    int64_t *steps;
    double *losses;
} history;

static lt_status read_history(const char *run, history *h) {
    char path[LT_PATH_MAX], *text;
    size_t lines = 0;
    LT_TRY(lt_path_join(path, run, "metrics.jsonl"));
    LT_TRY(lt_read_file(path, &text, NULL));
    for (const char *at = text; (at = strchr(at, '\n')); at++) lines++;
    h->steps = malloc((lines + 1) * sizeof *h->steps);
    h->losses = malloc((lines + 1) * sizeof *h->losses);
    for (char *line = text, *end; h->steps && h->losses && (end = strchr(line, '\n')); line = end + 1) {
        int64_t step;
        double loss = INFINITY;
        *end = '\0';
        int read = sscanf(line, "{\"step\": %" SCNd64 ", \"loss\": %lf", &step, &loss);
        if (read < 1 || !strstr(line, "\"loss\": ") || strstr(line, "\"val_loss\"")) continue;
        h->steps[h->count] = step;
        h->losses[h->count++] = isfinite(loss) ? loss : INFINITY;
    }
    free(text);
    LT_CHECK(h->steps && h->losses, LT_FAILED, "%s: out of memory", path);
    return LT_OK;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Whether the step after a checkpoint, the first that its values made, is much like those before: at most ten times the
 * median loss. */
static bool is_sound(const history *h, int64_t step) {
    double before[BEFORE];
    int count = 0;
    int64_t next = 0;
    while (next < h->count && h->steps[next] <= step) next++;
    for (int64_t i = next - 1; i >= 0 && count < BEFORE; i--)
        if (isfinite(h->losses[i])) before[count++] = h->losses[i];
    if (next == h->count || count == 0) return false;
    qsort(before, (size_t)count, sizeof *before, compare);
    return h->losses[next] <= 10 * before[count / 2];
}

/* The newest sound checkpoint; 0: none. *latest is whether there is none after it. */
static int64_t find_sound(const char *run, bool *latest, int *count) {
    int64_t steps[CHECKPOINTS], found = 0;
    history h = {0};
    *count = lt_checkpoint_steps(run, steps, CHECKPOINTS);
    bool known = read_history(run, &h) == LT_OK;
    for (int i = *count - 1; known && i >= 0 && !found; i--)
        if (is_sound(&h, steps[i])) found = steps[i];
    *latest = found && found == steps[*count - 1];
    free(h.steps);
    free(h.losses);
    return found;
}

lt_status lt_run_diverged(const training *run) {
    char advice[256], lower[64];
    bool latest;
    int count;
    int64_t step = find_sound(run->options.out, &latest, &count);
    snprintf(lower, sizeof lower, "--set train.lr=%.3g", run->config.lr / 10);
    if (latest)
        snprintf(advice, sizeof advice, "go on from the checkpoint of step %" PRId64 ": --resume %s", step,
                 lower);
    else if (step)
        snprintf(advice, sizeof advice,
                 "go on from the checkpoint of step %" PRId64
                 ", the latest whose loss was as before: --resume-from %" PRId64 " %s",
                 step, step, lower);
    else if (count == 0)
        snprintf(advice, sizeof advice, "there is no checkpoint from before, so begin again: --resume %s",
                 lower);
    else
        snprintf(advice, sizeof advice,
                 "all checkpoints are of steps whose loss had grown already, so start again: --force and a "
                 "lower train.lr");
    return lt_fail(LT_FAILED,
                   "step %" PRId64
                   ": %d steps in a row were skipped, as their loss or gradient is not finite; %s",
                   run->state.step, run->state.bad_steps, advice);
}
