#include "train/run_impl.h"

#include "core/cli.h"
#include "core/io.h"
#include "core/log.h"
#include "train/environment.h"
#include "train/latent_stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lt_status load_init(training *run) {
    char ema[LT_PATH_MAX];
    LT_TRY(lt_path_join(ema, run->init.folder, "ema.safetensors"));
    lt_status status = lt_model_load(run->model, run->init.folder, lt_path_exists(ema));
    if (status != LT_OK) return lt_fail_in(status, "--init");
    char *missing = run->model->params.missing;
    if (*missing) lt_info("the scorer begins untrained: %s", missing);
    *missing = '\0'; /* it has the values of a new run */
    return LT_OK;
}

/* What a resumed run started from. Where it has a checkpoint that is for the record alone. */
static lt_status find_init(training *run, bool has_checkpoint) {
    const lt_run_options *o = &run->options;
    char path[LT_PATH_MAX];
    if (!o->resume) return o->init ? lt_start_find(o->init, &run->init) : LT_OK;
    LT_TRY(lt_path_join(path, o->out, "environment.json"));
    lt_status status = lt_start_read(path, &run->init);
    if (has_checkpoint) return LT_OK;
    if (status != LT_OK)
        return lt_fail_in(status,
                          "--resume: the run has no checkpoint yet, and what it started from is unknown; "
                          "start again with --force");
    return *run->init.folder ? lt_start_check(&run->init) : LT_OK;
}

/* Whether the run has a checkpoint to go on from. A folder that cannot be read is not one without checkpoints. */
static lt_status find_checkpoint(const lt_run_options *o, char folder[LT_PATH_MAX], bool *found) {
    char checkpoints[LT_PATH_MAX], **names;
    int count;
    char name[64];
    *found = false;
    if (o->resume && o->resume_from > 0) {
        snprintf(name, sizeof name, "step-%" PRId64, o->resume_from);
        *found = true;
        return lt_run_checkpoint(o->out, name, folder);
    }
    *found = o->resume && lt_run_checkpoint(o->out, "latest", folder) == LT_OK;
    if (!o->resume || *found) return LT_OK;
    LT_TRY(lt_path_join(checkpoints, o->out, "checkpoints"));
    if (!lt_path_exists(checkpoints)) return LT_OK;
    LT_TRY(lt_list_dir(checkpoints, &names, &count));
    lt_list_free(names, count);
    return LT_OK;
}

/* Values at the first step: of the latest checkpoint, of --init, or new ones with statistics of the data. */
static lt_status start_values(training *run) {
    const lt_run_options *o = &run->options;
    char folder[LT_PATH_MAX];
    bool goes_on;
    LT_TRY(find_checkpoint(o, folder, &goes_on));
    LT_TRY(find_init(run, goes_on));
    LT_TRY(lt_model_initialise(run->model, run->config.seed));
    if (goes_on) return lt_checkpoint_read(folder, run->model, &run->state);
    if (*run->init.folder) LT_TRY(load_init(run));
    if (*run->init.folder && !run->config.own_stats) return LT_OK;
    return lt_latent_stats_measure(run->set, &run->config, run->model);
}

/* A resumed run goes on with what it chose, unless it is given a limit. */
static void choose_as_before(const lt_run_options *o, int layers, lt_recompute *recompute) {
    char path[LT_PATH_MAX], *text;
    lt_recompute before;
    if (!o->resume || !recompute->automatic || o->memory_limit > 0) return;
    if (lt_path_join(path, o->out, "environment.json") != LT_OK) return;
    text = lt_environment_text(path, "recompute");
    if (text && lt_recompute_parse(text, layers, &before) == LT_OK && !before.automatic) *recompute = before;
    free(text);
}

/* Where `auto` has found latents and captions before, whatever the dataset holds by now. */
static void read_as_before(const lt_run_options *o, lt_train_config *c) {
    char path[LT_PATH_MAX], *latents, *captions;
    if (!o->resume || c->latents != LT_LATENTS_AUTO) return;
    if (lt_path_join(path, o->out, "environment.json") != LT_OK) return;
    latents = lt_environment_text(path, "latents"), captions = lt_environment_text(path, "captions");
    if (latents) c->latents = lt_latents_mode_of(latents);
    if (captions) c->captions = lt_latents_mode_of(captions);
    free(latents), free(captions);
}

static lt_status fit(training *run, const lt_shadow *shadow) {
    const lt_run_options *o = &run->options;
    lt_train_config config;
    LT_TRY(lt_train_config_read(o->config, shadow->model, &config));
    choose_as_before(o, shadow->model->config.layers, &config.recompute);
    lt_trainer_spec spec = {.config = &config, .model = shadow->model, .comm = o->comm};
    lt_status status = lt_train_set_trainable(&config, shadow->model);
    if (status == LT_OK)
        status = o->memory_limit > 0 ? lt_trainer_fit(&spec, &config, o->memory_limit, &run->recompute)
                                     : lt_trainer_choose(&spec, &config, run->room, &run->recompute);
    lt_train_config_free(&config);
    return status;
}

/* What steps keep for the backward pass, and whether the run fits: before anything is allocated. */
static lt_status plan_memory(training *run) {
    lt_shadow shadow;
    LT_TRY(lt_shadow_open(run->options.config, run->options.device, LT_MODEL_TRAINING, &shadow));
    lt_status status = fit(run, &shadow);
    lt_shadow_close(&shadow);
    return status;
}

static lt_status open_model(training *run) {
    const lt_run_options *o = &run->options;
    LT_TRY(plan_memory(run));
    LT_TRY(lt_model_open(o->config, o->device, o->device->ops->backend, LT_MODEL_TRAINING, &run->model));
    LT_TRY(lt_train_config_read(o->config, run->model, &run->config));
    run->config.recompute = (lt_recompute){.keep = run->recompute.keep};
    read_as_before(o, &run->config);
    LT_CHECK(
        run->config.train_domain_count > 0, LT_USAGE,
        "data.train_domains is empty; name the domains to train on, as in --set data.train_domains=calm");
    return lt_train_set_trainable(&run->config, run->model);
}

/* All that can fail because of configuration or data, before anything is written. */
static lt_status prepare(training *run) {
    const lt_run_options *o = &run->options;
    if (o->resume) lt_run_read_choices(o);
    LT_TRY(open_model(run));
    LT_TRY(lt_dataset_open(o->data, &run->set));
    LT_TRY(start_values(run));
    lt_trainer_spec spec = {.config = &run->config, .model = run->model, .set = run->set, .comm = o->comm};
    return lt_trainer_open(&spec, run->state.step, &run->trainer);
}

static int64_t trained(const lt_params *params) {
    int64_t count = 0;
    for (int i = 0; i < params->count; i++)
        if (params->items[i]->var.needs_grad) count += lt_numel(&params->items[i]->var.value);
    return count;
}

static void summarise(const training *run) {
    const lt_model *m = run->model;
    const lt_session *s = lt_trainer_session(run->trainer);
    char weights[32], grads[32], moments[32], step[32], rest[32];
    lt_info("model: %" PRId64 " parameters, %" PRId64 " trained; %.0f tokens per step over %" PRId64 " clips",
            lt_params_numel(&m->params), trained(&m->params), lt_trainer_tokens(run->trainer),
            lt_trainer_clips(run->trainer));
    lt_info("memory: weights and EMA %s, gradients %s, optimizer %s, activations %s, inputs and workspace %s",
            lt_format_bytes((int64_t)(m->weights.used + m->ema.used), weights),
            lt_format_bytes((int64_t)m->grads.used, grads),
            lt_format_bytes((int64_t)m->moments.used, moments),
            lt_format_bytes((int64_t)s->step.capacity, step),
            lt_format_bytes((int64_t)(s->run.capacity + s->scratch.capacity), rest));
    const lt_comm *comm = run->options.comm;
    if (comm && lt_comm_size(comm) > 1)
        lt_info("%d processes, which sum gradients through %s", lt_comm_size(comm), lt_comm_name(comm));
    char keep[LT_RECOMPUTE_TEXT], peak[32];
    lt_info("planned peak %s; recompute %s", lt_format_bytes(run->recompute.peak, peak),
            lt_recompute_text(&run->recompute.keep, m->config.layers, keep));
    if (run->state.step) lt_info("resumed at step %" PRId64, run->state.step);
}

/* What this rank may take, before any has taken something: its part where ranks share a device. All keep the same, so
 * what the one with the least room can. */
static lt_status find_room(training *run) {
    lt_comm *comm = run->options.comm;
    lt_device *device = run->options.device;
    int processes = 1;
    if (comm) LT_TRY(lt_comm_sharers(comm, device, &processes));
    lt_status status = lt_memory_room(device, processes, &run->room);
    if (!comm) return status;
    LT_TRY(lt_comm_agree(comm, status));
    return lt_comm_min_i64(comm, &run->room);
}

/* One checkpoint, at the end, is not worth the memory of a writer beside the steps. */
static lt_status open_writer(training *run) {
    const lt_train_config *c = &run->config;
    bool several = c->checkpoint_every > 0 || c->validate_every > 0;
    bool apart = !lt_device_is_host(run->model->device) || run->options.writes_beside;
    return lt_checkpoint_writer_open(run->model, several && apart, &run->writer);
}

static lt_status open_and_train(training *run) {
    lt_status claimed = run->lead ? lt_run_folder_claim(run) : LT_OK;
    LT_TRY(run->options.comm ? lt_comm_agree(run->options.comm, claimed) : claimed);
    if (run->options.memory_limit == 0) LT_TRY(find_room(run));
    lt_status status = prepare(run);
    if (run->options.comm) status = lt_comm_agree(run->options.comm, status);
    if (status == LT_OK && run->lead) status = lt_run_folder_open(run);
    if (status == LT_OK && run->lead) status = open_writer(run);
    if (run->options.comm) status = lt_comm_agree(run->options.comm, status);
    LT_TRY(status);
    if (run->lead) summarise(run);
    return lt_run_loop(run);
}

/* A run that failed still completes the checkpoint that it had begun; the failure stays as it was. */
static lt_status complete_checkpoint(training *run, lt_status status) {
    char message[1024];
    snprintf(message, sizeof message, "%s", lt_error());
    lt_status written = lt_checkpoint_writer_finish(run->writer);
    if (status == LT_OK) return written;
    if (written != LT_OK) lt_warn("the latest checkpoint: %s", lt_error());
    return lt_fail(status, "%s", message);
}

lt_status lt_run_train(const lt_run_options *options) {
    training *run = calloc(1, sizeof *run);
    LT_CHECK(run, LT_FAILED, "out of memory for a run");
    run->options = *options;
    run->lead = !options->comm || lt_comm_rank(options->comm) == 0;
    lt_status status = complete_checkpoint(run, open_and_train(run));
    const lt_train_state *s = &run->state;
    if (options->end) *options->end = (lt_run_end){s->step, s->seconds, s->best_step, s->best_loss};
    lt_run_folder_close(run, status);
    lt_comm_end_alone(options->comm, status);
    lt_checkpoint_writer_close(run->writer);
    lt_folder_lock_release(run->lock);
    lt_trainer_close(run->trainer);
    lt_dataset_close(run->set);
    lt_train_config_free(&run->config);
    lt_model_close(run->model);
    free(run);
    return status;
}
