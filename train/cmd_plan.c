#include "train/cmd_plan.h"

#include "core/json.h"
#include "train/plan.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *config_name, *memory_limit, *target = "null", *policy = "window", *budget = "3";
static lt_strings settings;

static const lt_option options[] = {
    {"config", LT_OPT_STRING, &config_name, "C.json", "configuration or preset, such as model/small",
     .required = true},
    {"memory-limit", LT_OPT_STRING, &memory_limit, "BYTES",
     "what must suffice: 16GiB; else the target's memory"},
    {"target", LT_OPT_STRING, &target, "null:NAME", "machine whose memory and rates count; see list devices"},
    {"policy", LT_OPT_STRING, &policy, "P", "cache policy of the streamed video"},
    {"budget", LT_OPT_STRING, &budget, "M", "its budget"},
    {"set", LT_OPT_STRINGS, &settings, "KEY=VALUE", "overrides a key of the configuration"},
    {NULL}};

/* A role of memory: what a plan says of it. */
typedef struct role {
    const char *name;
    int64_t inference, training; /* -1: none */
} role;

enum { ROLES = 11 };

static void list_roles(const lt_plan *p, role roles[ROLES]) {
    const role all[ROLES] = {
        {"weights", p->inference.weights, p->training.weights},
        {"gradients", -1, p->training.gradients},
        {"optimizer", -1, p->training.optimizer},
        {"ema", -1, p->training.ema},
        {"cache_slots", p->inference.slots, -1},
        {"tails", p->inference.tails, -1},
        {"inputs", p->inference.inputs, p->training.inputs},
        {"activations", p->inference.activations, p->training.activations},
        {"workspace", p->inference.workspace, p->training.workspace},
        {"context", p->inference.context, p->training.context},
        {"peak", p->inference.peak, p->training.peak},
    };
    for (int i = 0; i < ROLES; i++) roles[i] = all[i];
}

static void print_rows(const lt_plan *p) {
    printf("%-8s %-28s %14s %12s\n", "layer", "output", "parameters", "GFLOP");
    for (int i = 0; i < p->row_count; i++)
        printf("%-8s %-28s %14" PRId64 " %12.3f\n", p->rows[i].name, p->rows[i].shape, p->rows[i].parameters,
               p->rows[i].flops * 1e-9);
    printf("%-8s %-28s %14" PRId64 " %12.3f\n\n", "all", "", p->parameters, p->forward_flops * 1e-9);
    printf("one forward: one block without cache; one training step: %.1f GFLOP for %.0f tokens\n\n",
           p->train_flops * 1e-9, p->train_tokens);
}

static void print_bytes(const lt_plan *p, const char *spec) {
    role roles[ROLES];
    list_roles(p, roles);
    printf("%-12s %14s %14s    (%s, float32; streaming with %s)\n", "memory", "streaming", "training",
           p->target, spec);
    for (int i = 0; i < ROLES; i++) {
        char one[32] = "-", two[32] = "-";
        if (roles[i].inference >= 0) lt_format_bytes(roles[i].inference, one);
        if (roles[i].training >= 0) lt_format_bytes(roles[i].training, two);
        printf("%-12s %14s %14s\n", roles[i].name, one, two);
    }
}

static void print_fit(const lt_plan *p, int64_t limit) {
    char text[32];
    if (limit <= 0) return;
    printf("\nwithin %s: streaming %s, training %s\n", lt_format_bytes(limit, text),
           p->inference.peak <= limit ? "fits" : "does not fit",
           p->training.peak <= limit ? "fits" : "does not fit");
}

static void print_json(const lt_plan *p, int64_t limit) {
    role roles[ROLES];
    cJSON *root = cJSON_CreateObject(), *layers = cJSON_AddArrayToObject(root, "layers");
    cJSON_AddStringToObject(root, "target", p->target);
    cJSON_AddNumberToObject(root, "parameters", (double)p->parameters);
    cJSON_AddNumberToObject(root, "forward_gflop", p->forward_flops * 1e-9);
    cJSON_AddNumberToObject(root, "train_gflop", p->train_flops * 1e-9);
    cJSON_AddNumberToObject(root, "train_tokens", p->train_tokens);
    for (int i = 0; i < p->row_count; i++) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "name", p->rows[i].name);
        cJSON_AddStringToObject(row, "output", p->rows[i].shape);
        cJSON_AddNumberToObject(row, "parameters", (double)p->rows[i].parameters);
        cJSON_AddNumberToObject(row, "gflop", p->rows[i].flops * 1e-9);
        cJSON_AddItemToArray(layers, row);
    }
    list_roles(p, roles);
    cJSON *inference = cJSON_AddObjectToObject(root, "inference"),
          *train = cJSON_AddObjectToObject(root, "training");
    for (int i = 0; i < ROLES; i++) {
        if (roles[i].inference >= 0)
            cJSON_AddNumberToObject(inference, roles[i].name, (double)roles[i].inference);
        if (roles[i].training >= 0) cJSON_AddNumberToObject(train, roles[i].name, (double)roles[i].training);
    }
    if (limit > 0) {
        cJSON_AddBoolToObject(inference, "fits", p->inference.peak <= limit);
        cJSON_AddBoolToObject(train, "fits", p->training.peak <= limit);
    }
    lt_json_write(stdout, root, 0);
    printf("\n");
    cJSON_Delete(root);
}

static lt_status run(int positional_count, const char *const *positional) {
    (void)positional_count, (void)positional;
    lt_config *config;
    lt_plan plan;
    int64_t limit = 0;
    char spec[128];
    if (memory_limit) LT_TRY(lt_parse_bytes(memory_limit, &limit));
    LT_TRY(lt_config_load(config_name, settings.items, settings.count, &config));
    lt_status status = lt_plan_make(config, target, policy, budget, &plan);
    lt_config_free(config);
    LT_TRY(status);
    if (limit == 0) limit = plan.target_bytes;
    if (lt_global.json) {
        print_json(&plan, limit);
    } else {
        snprintf(spec, sizeof spec, "%s, budget %s", policy, budget);
        print_rows(&plan);
        print_bytes(&plan, spec);
        print_fit(&plan, limit);
    }
    lt_plan_free(&plan);
    return LT_OK;
}

const lt_command lt_cmd_plan = {
    .name = "plan",
    .summary = "FLOPs, and bytes per role, of a configuration; nothing is allocated",
    .usage = "--config C.json [--memory-limit 16GiB] [--target null:NAME]",
    .details = "Runs one forward, a streamed video and a training step on a device without memory, which "
               "counts what they\n"
               "would take, and prints a row per layer and the bytes of each role. Training counts the "
               "largest pass: every clip\n"
               "under the policy of train.policy_mix that takes most.\n"
               "\n"
               "  longtake plan --config train/tiny\n"
               "  longtake plan --config model/sana-video-2b-480p --target null:h100 --set train.batch=1\n",
    .options = options,
    .run = run};
