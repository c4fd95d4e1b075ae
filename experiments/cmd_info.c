#include "core/cli.h"
#include "experiments/info.h"
#include "experiments/report.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct info_options {
    lt_globals global;
    bool check;
} info_options;

static const info_options defaults = {.global = LT_GLOBALS};

static const lt_option options[] = {{"check", LT_OPT_FLAG, offsetof(info_options, check), NULL,
                                     "read everything and report every fault; exits with 3 if there is one"},
                                    {NULL}};

static double member_number(const cJSON *object, const char *name) { return lt_json_number(object, name); }

static void print_dataset(const cJSON *info) {
    const cJSON *set;
    printf("dataset %s: %gx%g, %g fps, %g clips, %g frames, hash %s\n", lt_json_string(info, "path"),
           member_number(info, "width"), member_number(info, "height"), member_number(info, "fps"),
           member_number(info, "clips"), member_number(info, "frames"), lt_json_string(info, "hash"));
    printf("flow: %s; latents: %s; text: %s\n\n", cJSON_IsTrue(lt_json_member(info, "flow")) ? "yes" : "no",
           cJSON_IsString(lt_json_member(info, "latents")) ? lt_json_string(info, "latents") : "none",
           cJSON_IsString(lt_json_member(info, "text")) ? lt_json_string(info, "text") : "none");
    printf("%-16s %-6s %7s %7s %9s %9s %10s %10s %6s %8s\n", "domain", "role", "groups", "clips", "frames",
           "seconds", "luma diff", "flow px/s", "cuts", "returns");
    cJSON_ArrayForEach(set, lt_json_member(info, "sets")) printf(
        "%-16s %-6s %7g %7g %9g %9.1f %10.2f %10.2f %6g %8g\n", lt_json_string(set, "domain"),
        lt_json_string(set, "role"), member_number(set, "groups"), member_number(set, "clips"),
        member_number(set, "frames"), member_number(set, "seconds"), member_number(set, "luma_diff"),
        member_number(set, "flow_px_per_s"), member_number(set, "cuts"), member_number(set, "returns"));
}

static void print_figure(const char *name, const cJSON *object, const char *member, const char *format) {
    double value = member_number(object, member);
    if (!isfinite(value)) return;
    printf("%-18s ", name);
    printf(format, value);
    putchar('\n');
}

/* Scalars of one section of the configuration on one line. */
static void print_section(const cJSON *config, const char *name) {
    const cJSON *item, *section = lt_json_member(config, name);
    if (!section) return;
    printf("%-18s", name);
    cJSON_ArrayForEach(item, section) {
        if (cJSON_IsNumber(item)) printf(" %s=%g", item->string, item->valuedouble);
        else if (cJSON_IsString(item)) printf(" %s=%s", item->string, item->valuestring);
    }
    putchar('\n');
}

static void print_run(const cJSON *info) {
    const cJSON *item, *config = lt_json_member(info, "config");
    printf("run %s\n", lt_json_string(info, "path"));
    print_section(config, "model");
    print_section(config, "train");
    print_figure("parameters", info, "parameters", "%.0f");
    if (*lt_json_string(info, "weights_hash"))
        printf("%-18s %s, of %s\n", "weights", lt_json_string(info, "weights_hash"),
               lt_json_string(info, "checkpoint"));
    print_figure("step", info, "step", "%.0f");
    print_figure("seconds", info, "seconds", "%.0f");
    print_figure("first loss", info, "first_loss", "%.5f");
    print_figure("loss (last 100)", info, "loss", "%.5f");
    print_figure("validation loss", info, "val_loss", "%.5f");
    print_figure("  at step", info, "val_step", "%.0f");
    print_figure("best validation", info, "best_val_loss", "%.5f");
    print_figure("  at step", info, "best_val_step", "%.0f");
    cJSON_ArrayForEach(item, lt_json_member(info, "checkpoints")) printf(
        "%-18s %s, %.1f MB%s\n", "checkpoint", lt_json_string(item, "name"),
        member_number(item, "bytes") / 1e6, cJSON_IsTrue(lt_json_member(item, "done")) ? "" : ", incomplete");
}

static void print_results(const cJSON *info) {
    const cJSON *results = lt_json_member(info, "results");
    printf("results %s: %g finished cells\n", lt_json_string(info, "path"), member_number(info, "cells"));
    if (cJSON_IsObject(results)) {
        printf("run %s, weights %s\n\n", lt_json_string(results, "run"),
               lt_json_string(results, "weights_hash"));
        lt_report_table(results, stdout);
    } else printf("not done yet: `longtake ablate --resume` goes on\n");
}

static void print_fault(const char *line, void *user) {
    if (!((const info_options *)user)->global.json) printf("%s\n", line);
    else fprintf(stderr, "%s\n", line);
}

typedef lt_status (*reader_fn)(const char *path, cJSON **info);

static lt_status describe_path(const char *path, lt_info_kind kind, cJSON **info) {
    static const reader_fn readers[] = {lt_info_dataset, lt_info_run, lt_info_results};
    return readers[kind](path, info);
}

static lt_status run_info(const void *options_given, int count, const char *const *paths) {
    const info_options *opt = options_given;
    void (*const printers[])(const cJSON *) = {print_dataset, print_run, print_results};
    lt_info_kind kind;
    cJSON *info;
    (void)count;
    LT_TRY(lt_info_kind_of(paths[0], &kind));
    lt_status checked = opt->check ? lt_info_check(paths[0], print_fault, (void *)opt) : LT_OK;
    if (opt->check && checked != LT_OK && checked != LT_INPUT) return checked;
    char fault[512];
    snprintf(fault, sizeof fault, "%s", checked == LT_OK ? "" : lt_error());
    lt_status status = describe_path(paths[0], kind, &info);
    if (status == LT_OK) {
        if (opt->check) cJSON_AddBoolToObject(info, "sound", checked == LT_OK);
        if (opt->global.json) lt_json_print(info);
        else {
            lt_json_make_printable(info);
            printers[kind](info);
            if (opt->check && checked == LT_OK) printf("\nchecked: no faults\n");
        }
        cJSON_Delete(info);
    }
    return checked != LT_OK ? lt_fail(checked, "%s", fault) : status;
}

const lt_command lt_cmd_info = {
    .name = "info",
    .summary = "what a dataset, a run or a results folder holds; --check verifies it",
    .usage = "[--check]",
    .details = "A dataset: groups, clips, frames and motion per domain and role. A run: configuration,\n"
               "losses, checkpoints. Results: the table. --check reads everything: checksums, roles of\n"
               "groups, finite weights that fit the model, finished cells; every fault is one line, and the\n"
               "exit code 3.\n"
               "\n"
               "  longtake info data.h5 --check\n"
               "  longtake info runs/a --json\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .positional = "FILE|RUN|RESULTS",
    .min_positional = 1,
    .max_positional = 1,
    .run = run_info};
