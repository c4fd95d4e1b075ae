/* Weight files of a model, and finding the checkpoint of a run folder. */
#include "model/model.h"

#include "core/io.h"
#include "core/safetensors.h"
#include "core/share.h"
#include "core/source.h"
#include "kernels/choices.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char weights_name[] = "model.safetensors", ema_name[] = "ema.safetensors",
                  config_name[] = "config.json", done_name[] = "DONE";

static bool holds(const char *folder, const char *name) {
    char path[LT_PATH_MAX];
    return lt_path_join(path, folder, name) == LT_OK && lt_path_exists(path);
}

/* ---- weights ------------------------------------------------------------------------------------------- */

/* `__metadata__` of weight files: "format" as PyTorch's own writers have it, since names and shapes are the published
 * ones. */
enum { METADATA = 4 };
typedef struct metadata {
    char commit[LT_COMMIT_MAX], model[160];
    const char *rows[METADATA][2];
} metadata;

static const char *const (*describe(const lt_model *m, metadata *d))[2] {
    const lt_dit_config *c = &m->config;
    snprintf(d->model, sizeof d->model, "SANA-Video, %d layers of %d x %d, patch %dx%dx%d, frames %dx%d, %s",
             c->layers, c->heads, c->head_dim, c->patch[0], c->patch[1], c->patch[2], m->frame_width,
             m->frame_height, m->codec->name);
    if (!lt_source_commit(d->commit)) snprintf(d->commit, sizeof d->commit, "unknown");
    const char *const rows[METADATA][2] = {{"format", "pt"},
                                           {"longtake_version", lt_version()},
                                           {"longtake_commit", d->commit},
                                           {"model", d->model}};
    memcpy(d->rows, rows, sizeof rows);
    return (const char *const(*)[2])d->rows;
}

lt_status lt_model_save(const lt_model *m, const char *folder) {
    char path[LT_PATH_MAX];
    LT_CHECK(!lt_device_is_null(m->device), LT_FAILED, "%s: a model on the null device has no values to save",
             folder);
    LT_TRY(lt_path_join(path, folder, weights_name));
    metadata d;
    const char *const(*rows)[2] = describe(m, &d);
    LT_TRY(lt_params_save(&m->params, LT_COPY_VALUE, path, rows, METADATA));
    if (!m->ema.base) return LT_OK;
    LT_TRY(lt_path_join(path, folder, ema_name));
    return lt_params_save(&m->params, LT_COPY_EMA, path, rows, METADATA);
}

/* A file may hold anything; video must not be divided by it. */
static lt_status check_loaded(lt_model *m, const char *path) {
    const lt_published *p = lt_params_find(&m->params, "latent.std");
    double *deviation = malloc(p->count * sizeof *deviation);
    LT_CHECK(deviation, LT_FAILED, "%s: out of memory", path);
    lt_status status = lt_params_get(&m->params, LT_COPY_VALUE, p, deviation);
    for (int64_t c = 0; status == LT_OK && c < p->count; c++)
        if (!isfinite(deviation[c]) || deviation[c] <= 0)
            status = lt_fail(LT_INPUT, "%s: latent.std of channel %lld is %g, expected a positive number",
                             path, (long long)c, deviation[c]);
    free(deviation);
    return status;
}

lt_status lt_model_load(lt_model *m, const char *folder, bool ema) {
    char path[LT_PATH_MAX];
    LT_TRY(lt_path_join(path, folder, ema ? ema_name : weights_name));
    LT_TRY(lt_params_load(&m->params, LT_COPY_VALUE, path, false));
    if (!lt_device_is_null(m->device)) LT_TRY(check_loaded(m, path));
    if (!m->ema.base) return LT_OK;
    if (ema || !holds(folder, ema_name)) return lt_params_reset_ema(&m->params);
    LT_TRY(lt_path_join(path, folder, ema_name));
    return lt_params_load(&m->params, LT_COPY_EMA, path, false);
}

lt_status lt_weights_hash(const char *checkpoint, uint64_t *out) {
    char path[LT_PATH_MAX];
    lt_st_file *file;
    const bool ema = holds(checkpoint, ema_name);
    LT_CHECK(ema || holds(checkpoint, weights_name), LT_INPUT, "%s: neither %s nor %s", checkpoint, ema_name,
             weights_name);
    LT_TRY(lt_path_join(path, checkpoint, ema ? ema_name : weights_name));
    LT_TRY(lt_st_open(path, &file));
    lt_status status = lt_st_hash(lt_st_at(file, 0), lt_st_count(file), out);
    lt_st_close(file);
    return status;
}

/* ---- checkpoints --------------------------------------------------------------------------------------- */

/* The number of "step-N", or -1. */
static int64_t step_of(const char *name) {
    char *end;
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9') return -1;
    int64_t step = strtoll(name + 5, &end, 10);
    return *end ? -1 : step;
}

/* `folder`/`name`, with a link replaced by what it names, so that a run that goes on moving its links does not matter.
 * False when it is not a complete checkpoint. */
static bool complete(const char *folder, const char *name, char *out) {
    char link[LT_PATH_MAX];
    if (lt_path_join(out, folder, name) != LT_OK) return false;
    ssize_t length = readlink(out, link, sizeof link - 1);
    if (length > 0) {
        link[length] = '\0';
        if (link[0] == '/') snprintf(out, LT_PATH_MAX, "%s", link);
        else if (lt_path_join(out, folder, link) != LT_OK) return false;
    }
    return holds(out, done_name);
}

/* The complete step-N of the highest N. */
static bool newest(const char *checkpoints, char *out) {
    char **names, path[LT_PATH_MAX];
    int count;
    int64_t best = -1;
    if (!lt_path_is_dir(checkpoints) || lt_list_dir(checkpoints, &names, &count) != LT_OK) return false;
    for (int i = 0; i < count; i++) {
        int64_t step = step_of(names[i]);
        if (step <= best || !complete(checkpoints, names[i], path)) continue;
        best = step;
        snprintf(out, LT_PATH_MAX, "%s", path);
    }
    lt_list_free(names, count);
    return best >= 0;
}

static bool find_named(const char *checkpoints, const char *which, char *out) {
    if (strcmp(which, "latest") == 0 && newest(checkpoints, out)) return true;
    return complete(checkpoints, which, out);
}

/* A folder that is itself what was asked for: published weights, or one checkpoint of a run, which must be complete. */
static bool is_weights(const char *folder) {
    bool step = step_of(lt_path_base(folder)) >= 0;
    return (holds(folder, ema_name) || holds(folder, weights_name)) && (!step || holds(folder, done_name));
}

static lt_status nothing_found(const char *run, const char *which, const char *checkpoints) {
    LT_CHECK(lt_path_exists(run), LT_INPUT, "%s: there is no such run", run);
    char **names, list[512] = "";
    int count;
    size_t used = 0;
    if (!lt_path_is_dir(checkpoints) || lt_list_dir(checkpoints, &names, &count) != LT_OK)
        return lt_fail(LT_INPUT,
                       "%s: neither a run (it has no folder checkpoints) nor a folder with weights (%s)", run,
                       ema_name);
    for (int i = 0; i < count && used < sizeof list; i++) {
        char path[LT_PATH_MAX];
        if (!complete(checkpoints, names[i], path)) continue;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", names[i]);
    }
    lt_list_free(names, count);
    return lt_fail(LT_INPUT, "%s: no complete checkpoint%s%s; complete ones: %s", run, which ? " " : "",
                   which ? which : "", *list ? list : "none");
}

lt_status lt_run_checkpoint(const char *name, const char *which, char *checkpoint) {
    char checkpoints[LT_PATH_MAX], folder[LT_PATH_MAX], shared[LT_PATH_MAX];
    const char *run = lt_share_find(name, shared);
    LT_TRY(lt_path_join(checkpoints, run, "checkpoints"));
    bool found =
        which ? find_named(checkpoints, which, checkpoint)
              : find_named(checkpoints, "best", checkpoint) || find_named(checkpoints, "latest", checkpoint);
    if (found) return LT_OK;
    if (which) return nothing_found(run, which, checkpoints);
    snprintf(folder, sizeof folder, "%s", run);
    for (size_t end = strlen(folder); end > 1 && folder[end - 1] == '/'; end--) folder[end - 1] = '\0';
    if (!is_weights(folder)) return nothing_found(run, which, checkpoints);
    snprintf(checkpoint, LT_PATH_MAX, "%s", folder);
    return LT_OK;
}

/* The file of that name nearest to the weights: beside them, in the run given, or in the run around the checkpoint. */
static lt_status find_near(const char *run, const char *checkpoint, const char *name, char *path) {
    char around[LT_PATH_MAX];
    LT_TRY(lt_path_join(around, checkpoint, "../.."));
    const char *folders[] = {checkpoint, run, around};
    for (int i = 0; i < 3; i++) {
        LT_TRY(lt_path_join(path, folders[i], name));
        if (lt_path_exists(path)) return LT_OK;
    }
    return lt_fail(LT_INPUT, "%s: there is no %s", run, name);
}

static lt_status load_config(const char *run, const char *checkpoint, lt_config **out) {
    char path[LT_PATH_MAX];
    LT_TRY(find_near(run, checkpoint, config_name, path));
    return lt_config_load(path, NULL, 0, out);
}

lt_status lt_run_read_config(const char *run, const char *which, lt_config **out) {
    char folder[LT_PATH_MAX];
    LT_TRY(lt_run_checkpoint(run, which, folder));
    return load_config(run, folder, out);
}

lt_status lt_run_open(const char *run, const char *which, lt_device *device, lt_model **model,
                      lt_config **config, char *checkpoint) {
    char folder[LT_PATH_MAX];
    lt_config *read;
    *model = NULL;
    LT_TRY(lt_run_checkpoint(run, which, folder));
    LT_TRY(load_config(run, folder, &read));
    char choices[LT_PATH_MAX];
    if (find_near(run, folder, LT_CHOICES_NAME, choices) == LT_OK) lt_choices_load(device, choices);
    lt_status status = lt_model_open(read, device, device->ops->backend, 0, model);
    if (status == LT_OK) status = lt_model_load(*model, folder, holds(folder, ema_name));
    if (status == LT_OK) status = lt_params_initialise_missing(&(*model)->params, 0);
    if (status != LT_OK) {
        lt_model_close(*model);
        *model = NULL;
        lt_config_free(read);
        return status;
    }
    if (config) *config = read;
    else lt_config_free(read);
    if (checkpoint) snprintf(checkpoint, LT_PATH_MAX, "%s", folder);
    return LT_OK;
}
