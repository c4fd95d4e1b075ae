#include "core/cli.h"
#include "core/json.h"
#include "train/plan_fit.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct plan_options {
    lt_globals global;
    const char *config, *memory_limit, *target, *policy, *budget;
    lt_strings settings;
} plan_options;

static const plan_options defaults = {
    .global = LT_GLOBALS, .target = "null", .policy = "window", .budget = "3"};

static const lt_option options[] = {
    {"config", LT_OPT_STRING, offsetof(plan_options, config), "C.json",
     "configuration or preset, such as model/small", .required = true},
    {"memory-limit", LT_OPT_STRING, offsetof(plan_options, memory_limit), "SIZE",
     "what must suffice: 16GiB; else the target's memory less a 64th, as for a run without a limit"},
    {"target", LT_OPT_STRING, offsetof(plan_options, target), "null:NAME",
     "machine whose memory and rates count; see list devices"},
    {"policy", LT_OPT_STRING, offsetof(plan_options, policy), "P", "cache policy of the streamed video"},
    {"budget", LT_OPT_STRING, offsetof(plan_options, budget), "M", "its budget"},
    {"set", LT_OPT_STRINGS, offsetof(plan_options, settings), "KEY=VALUE",
     "overrides a key of the configuration"},
    {NULL}};

static void print_rows(const lt_plan *p) {
    printf("%-8s %-28s %14s %12s\n", "layer", "output", "parameters", "GFLOP");
    for (int i = 0; i < p->row_count; i++)
        printf("%-8s %-28s %14" PRId64 " %12.3f\n", p->rows[i].name, p->rows[i].shape, p->rows[i].parameters,
               p->rows[i].flops * 1e-9);
    printf("%-8s %-28s %14" PRId64 " %12.3f\n\n", "all", "", p->parameters, p->forward_flops * 1e-9);
    printf("one forward: one block without cache; one training step: %.1f GFLOP for %.0f tokens\n\n",
           p->train_flops * 1e-9, p->train_tokens);
}

static const char *bytes_text(int64_t bytes, char text[32]) {
    if (bytes == 0) snprintf(text, 32, "-");
    else lt_format_bytes(bytes, text);
    return text;
}

static void print_bytes(const lt_plan *p, const char *spec) {
    char one[32], two[32];
    printf("%-12s %14s %14s    (%s; streaming with %s)\n", "memory", "streaming", "training", p->target,
           spec);
    for (int i = 0; i < LT_MEMORY_ROLES; i++)
        printf("%-12s %14s %14s\n", lt_memory_names[i], bytes_text(p->inference.bytes[i], one),
               bytes_text(p->training.bytes[i], two));
    printf("%-12s %14s %14s\n", "peak", bytes_text(lt_memory_peak(&p->inference), one),
           bytes_text(lt_memory_peak(&p->training), two));
}

static void print_recompute(const lt_plan *p) {
    char text[LT_RECOMPUTE_TEXT], least[32], most[32];
    const lt_recompute_choice *r = &p->recompute;
    printf("\nrecompute: %s\n", lt_recompute_text(&r->keep, p->layers, text));
    if (r->least)
        printf("  about %.1f ms a step to compute again; all: %.1f ms, peak %s; none: peak %s\n", r->again_ms,
               r->all_ms, lt_format_bytes(r->least, least), lt_format_bytes(r->most, most));
}

/* Single changes that make a step fit; false where there is none. */
static bool print_changes(const lt_plan_fit *f) {
    const char *separator = "fits with ";
    if (f->batch > 0) printf("%strain.batch=%" PRId64, separator, f->batch), separator = ", or ";
    if (f->recompute_all) printf("%strain.recompute=all", separator), separator = ", or ";
    if (f->blocks > 0) printf("%strain.blocks=%" PRId64, separator, f->blocks), separator = ", or ";
    return *separator == ',';
}

static void print_training_fit(const lt_plan *p, const lt_plan_fit *f, int64_t limit) {
    bool fits = lt_memory_peak(&p->training) <= limit;
    if (fits)
        printf("fits, with train.batch up to %" PRId64 " (train.recompute=all: %" PRId64
               "), or train.blocks up to %" PRId64,
               f->batch, f->batch_all, f->blocks);
    else {
        printf("does not fit; ");
        if (print_changes(f)) (void)0;
        else if (f->batch_all > 0)
            printf("fits with train.recompute=all and train.batch=%" PRId64, f->batch_all);
        else if (f->frame_size[0] > 0)
            printf("fits with train.recompute=all, train.batch=1 and model.frame_size=%" PRId64 ",%" PRId64,
                   f->frame_size[0], f->frame_size[1]);
        else printf("it needs a smaller model (model.layers, model.heads)");
    }
    printf("\n");
}

static void print_fit(const lt_plan *p, const lt_plan_fit *f, int64_t limit) {
    char text[32];
    if (limit <= 0) return;
    printf("\nwithin %s:\n", lt_format_bytes(limit, text));
    bool fits = lt_memory_peak(&p->inference) <= limit;
    printf("  streaming  %s", fits ? "fits" : "does not fit");
    if (f->budget > 0)
        printf("%s %" PRId64 "\n", fits ? ", with --budget up to" : "; fits with --budget", f->budget);
    else printf("%s\n", fits ? "" : "; it needs smaller frames (model.frame_size) or a smaller model");
    printf("  training   ");
    print_training_fit(p, f, limit);
}

static void add_fit(cJSON *root, const lt_plan_fit *f, int64_t limit) {
    cJSON *fit = cJSON_AddObjectToObject(root, "within");
    const struct {
        const char *name;
        int64_t value;
    } rows[] = {{"limit", limit},
                {"budget", f->budget},
                {"batch", f->batch},
                {"blocks", f->blocks},
                {"batch_recompute_all", f->batch_all}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cJSON_AddNumberToObject(fit, rows[i].name, (double)rows[i].value);
    cJSON_AddBoolToObject(fit, "recompute_all", f->recompute_all);
    if (!f->frame_size[0]) return;
    cJSON *size = cJSON_AddArrayToObject(fit, "frame_size");
    for (int i = 0; i < 2; i++) cJSON_AddItemToArray(size, cJSON_CreateNumber((double)f->frame_size[i]));
}

static void add_memory(cJSON *root, const char *name, const lt_memory *memory, int64_t limit) {
    cJSON *group = cJSON_AddObjectToObject(root, name);
    for (int i = 0; i < LT_MEMORY_ROLES; i++)
        if (memory->bytes[i] > 0)
            cJSON_AddNumberToObject(group, lt_memory_names[i], (double)memory->bytes[i]);
    cJSON_AddNumberToObject(group, "peak", (double)lt_memory_peak(memory));
    if (limit > 0) cJSON_AddBoolToObject(group, "fits", lt_memory_peak(memory) <= limit);
}

static void print_json(const lt_plan *p, const lt_plan_fit *fit, int64_t limit) {
    char text[LT_RECOMPUTE_TEXT];
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
    add_memory(root, "inference", &p->inference, limit);
    add_memory(root, "training", &p->training, limit);
    cJSON_AddStringToObject(root, "recompute", lt_recompute_text(&p->recompute.keep, p->layers, text));
    if (limit > 0) add_fit(root, fit, limit);
    lt_json_write(stdout, root, 0);
    printf("\n");
    cJSON_Delete(root);
}

static lt_status run_plan(const void *options_given, int positional_count, const char *const *positional) {
    const plan_options *opt = options_given;
    (void)positional_count, (void)positional;
    lt_config *config;
    lt_plan plan;
    lt_plan_fit fit;
    int64_t limit = 0;
    char spec[128];
    LT_TRY(lt_parse_memory_limit(opt->memory_limit, &limit));
    LT_TRY(lt_config_load(opt->config, opt->settings.items, opt->settings.count, &config));
    lt_status status = lt_plan_make(config, opt->target, opt->policy, opt->budget, limit, &plan);
    bool planned = status == LT_OK;
    if (planned) limit = plan.limit;
    if (planned && limit > 0) status = lt_plan_fit_find(config, opt->target, opt->policy, limit, &fit);
    lt_config_free(config);
    if (status == LT_OK && opt->global.json) {
        print_json(&plan, &fit, limit);
    } else if (status == LT_OK) {
        snprintf(spec, sizeof spec, "%s, budget %s", opt->policy, opt->budget);
        print_rows(&plan);
        print_bytes(&plan, spec);
        print_recompute(&plan);
        print_fit(&plan, &fit, limit);
    }
    if (planned) lt_plan_free(&plan);
    return status;
}

const lt_command lt_cmd_plan = {
    .name = "plan",
    .summary = "FLOPs, and bytes per role, of a configuration; nothing is allocated",
    .usage =
        "--config C.json [--memory-limit 16GiB] [--target null:NAME] [--policy P] [--budget M] [--set k=v]",
    .details =
        "Runs one forward, a streamed video and a training step on a device without memory, which\n"
        "counts what they would take, and prints a row per layer and the bytes of each role. Training\n"
        "counts the largest pass: every clip under the policy of train.policy_mix that takes most.\n"
        "Under a limit it says what would fit: the largest budget, batch and clip, each with the rest\n"
        "as configured, or what to change.\n"
        "\n"
        "  longtake plan --config train/tiny\n"
        "  longtake plan --config model/sana-video-2b-480p --target null:h100 --set train.batch=1\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .run = run_plan};
