#include "train/plan.h"

#include "train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct planner {
    lt_plan *plan;
    lt_model *model;
    const lt_meter *meter;
    double seen; /* FLOPs that belong to rows already */
} planner;

/* ---- one row per layer ------------------------------------------------------------------------------------------- */

static int64_t parameters_of(const lt_params *params, const char *prefix) {
    int64_t count = 0;
    for (int i = 0; i < params->published_count; i++)
        if (strncmp(params->published[i].name, prefix, strlen(prefix)) == 0)
            count += params->published[i].count;
    return count;
}

/* Published names of the parts that are no layers. */
static const char *const prefixes[][3] = {{"time", "time_embed.", NULL},
                                          {"text", "caption_", NULL},
                                          {"patch", "patch_embedding.", NULL},
                                          {"output", "proj_out.", "scale_shift_table"}};

static int64_t row_parameters(const lt_params *params, const char *name) {
    char prefix[64];
    snprintf(prefix, sizeof prefix, "transformer_blocks.%s.", name);
    int64_t count = parameters_of(params, prefix);
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        for (int j = 1; j < 3 && strcmp(name, prefixes[i][0]) == 0; j++)
            if (prefixes[i][j]) count += parameters_of(params, prefixes[i][j]);
    return count;
}

/* The sub-layers "3.attn", "3.cross", "3.ffn" make one row "3"; what leads to "final" belongs to "output". */
static void on_value(const char *name, const lt_tensor *value, void *user) {
    planner *p = user;
    lt_plan *plan = p->plan;
    if (strcmp(name, "final") == 0) return;
    char part[LT_PLAN_NAME];
    snprintf(part, sizeof part, "%.*s", (int)strcspn(name, "."), name);
    lt_plan_row *row = plan->row_count ? &plan->rows[plan->row_count - 1] : NULL;
    if (!row || strcmp(row->name, part) != 0) {
        row = &plan->rows[plan->row_count++];
        snprintf(row->name, sizeof row->name, "%s", part);
        row->parameters = row_parameters(&p->model->params, part);
    }
    row->flops += p->meter->flops - p->seen;
    p->seen = p->meter->flops;
    lt_tensor_text(value, row->shape, sizeof row->shape);
}

static lt_status forward(lt_session *session, void *user) {
    planner *p = user;
    lt_tape *tape = &session->tape;
    int64_t n[4], first = 0;
    double t = 0.5;
    const char *prompt = NULL;
    lt_tensor latent;
    lt_var *velocity;
    lt_dit_input in = {.batch = 1,
                       .streams = 1,
                       .blocks = 1,
                       .t = &t,
                       .first_frame = &first,
                       .commit_stream = -1,
                       .probe = on_value,
                       .probe_user = p};
    lt_model_block_shape(session->model, n);
    LT_TRY(LT_NEW(&session->step, lt_ctx_sum_dtype(&session->ctx), &latent, 1, n[0], n[1], n[2], n[3]));
    LT_TRY(lt_tape_var(tape, latent, false, &in.latent));
    LT_TRY(lt_text_encode(&session->model->text, tape, 1, &prompt, &in.text, &in.mask));
    p->meter = &session->meter;
    p->seen = session->meter.flops;
    return lt_dit_forward(&session->model->dit, tape, &in, &velocity);
}

static lt_status plan_rows(planner *p, const char *target) {
    lt_session_plan measured;
    lt_work work = {.work = forward, .user = p};
    lt_plan *plan = p->plan;
    plan->rows = calloc((size_t)p->model->config.layers + 8, sizeof *plan->rows);
    LT_CHECK(plan->rows, LT_FAILED, "out of memory for the plan");
    LT_TRY(lt_session_measure(p->model, target, &work, &measured));
    plan->parameters = lt_params_numel(&p->model->params);
    int64_t rest = plan->parameters;
    for (int i = 0; i < plan->row_count; i++) rest -= plan->rows[i].parameters;
    plan->forward_flops = measured.meter.flops;
    lt_plan_row *row = &plan->rows[plan->row_count++]; /* bytes of prompts, scorer, latent statistics */
    *row = (lt_plan_row){.name = "other", .parameters = rest, .flops = measured.meter.flops};
    for (int i = 0; i < plan->row_count - 1; i++) row->flops -= plan->rows[i].flops;
    return LT_OK;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

/* A cache that is full, and one block more. */
static lt_status plan_inference(planner *p, const char *policy, const char *budget) {
    const lt_dit_config *c = &p->model->config;
    lt_stream_options options = {.steps = 1, .shift = 1, .guidance = 1};
    int entries;
    LT_TRY(lt_budget_parse(budget, lt_entry_bytes(c->layers, c->heads, c->head_dim), 16, &entries));
    LT_TRY(lt_cache_spec_parse(policy, entries, &options.spec));
    size_t wide = p->model->dit.wide_bytes;
    lt_status status = lt_memory_fit_streaming(p->model, &options, p->plan->limit, &p->plan->inference);
    p->model->dit.wide_bytes = wide; /* training does not make itself narrower */
    lt_memory_forget_training(&p->plan->inference);
    return status;
}

static lt_status plan_training(planner *p, lt_train_config *config) {
    lt_session_plan measured;
    lt_trainer_spec spec = {.config = config, .model = p->model};
    lt_plan *plan = p->plan;
    LT_TRY(lt_trainer_choose(&spec, config, plan->limit, &plan->recompute));
    LT_TRY(lt_trainer_memory(&spec, &measured, &plan->training));
    plan->train_flops = measured.meter.flops / config->mix_count; /* a step per row was measured */
    plan->train_tokens = lt_train_tokens(config, p->model);
    return LT_OK;
}

static lt_status plan_all(planner *p, const lt_config *config, const char *target, const char *policy,
                          const char *budget) {
    lt_train_config train;
    LT_TRY(plan_rows(p, target));
    LT_TRY(plan_inference(p, policy, budget));
    LT_TRY(lt_train_config_read(config, p->model, &train));
    lt_status status = lt_train_set_trainable(&train, p->model);
    if (status == LT_OK) status = plan_training(p, &train);
    lt_train_config_free(&train);
    return status;
}

lt_status lt_plan_make(const lt_config *config, const char *target, const char *policy, const char *budget,
                       int64_t limit, lt_plan *out) {
    lt_device *device;
    planner p = {.plan = out};
    *out = (lt_plan){0};
    LT_TRY(lt_device_open(target, &device));
    lt_status status = LT_OK;
    if (!lt_device_is_null(device))
        status = lt_fail(LT_USAGE, "--target %s is no null device; expected null or null:NAME", target);
    lt_backend backend = device->target.matrix_dtype_bytes == 2 ? LT_BACKEND_CUDA : LT_BACKEND_NULL;
    if (status == LT_OK) status = lt_model_open(config, device, backend, LT_MODEL_TRAINING, &p.model);
    if (status == LT_OK) {
        snprintf(out->target, sizeof out->target, "%s", device->target.name);
        out->layers = p.model->config.layers;
        out->limit = limit;
        if (limit == 0) status = lt_memory_room(device, 1, &out->limit);
        if (status == LT_OK) status = plan_all(&p, config, target, policy, budget);
        lt_model_close(p.model);
    }
    lt_device_close(device);
    if (status != LT_OK) lt_plan_free(out);
    return status;
}

void lt_plan_free(lt_plan *plan) {
    free(plan->rows);
    *plan = (lt_plan){0};
}
