#include "core/cli.h"
#include "core/io.h"
#include "core/log.h"
#include "infer/eval_specs.h"
#include "infer/held.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct held_options {
    lt_globals global;
    const char *run, *data, *role, *checkpoint, *latents;
    lt_strings domains, policies, budgets;
    int64_t clips, blocks;
    bool losses;
} held_options;

static const held_options defaults = {.global = LT_GLOBALS, .role = "test", .blocks = 8, .latents = "auto"};

static const lt_option options[] = {{"run", LT_OPT_STRING, offsetof(held_options, run), "DIR",
                                     "a run, or a folder with published weights", .required = true},
                                    {"data", LT_OPT_STRING, offsetof(held_options, data), "FILE",
                                     "dataset with clips that return to earlier scenes", .required = true},
                                    {"domain", LT_OPT_STRINGS, offsetof(held_options, domains), "NAME",
                                     "clips of this domain; repeatable; default: all"},
                                    {"role", LT_OPT_STRING, offsetof(held_options, role), "ROLE",
                                     "clips of this role", .choices = "val|test"},
                                    {"policy", LT_OPT_STRINGS, offsetof(held_options, policies), "P",
                                     "who stays in the cache; repeatable", .required = true},
                                    {"budget", LT_OPT_STRINGS, offsetof(held_options, budgets), "M",
                                     "of the cache: entries, bytes (60MiB) or a share (25%); repeatable",
                                     .required = true},
                                    {"clips", LT_OPT_INT, offsetof(held_options, clips), "N",
                                     "clips per domain at most; 0: all", .min = 0, .max = 1000000000},
                                    {"blocks", LT_OPT_INT, offsetof(held_options, blocks), "N",
                                     "blocks per clip; shorter clips are left out", .min = 2, .max = 100000},
                                    {"loss", LT_OPT_FLAG, offsetof(held_options, losses), NULL,
                                     "measure the loss on the returning blocks too, t in [0.6, 1]"},
                                    {"latents", LT_OPT_STRING, offsetof(held_options, latents), "FROM",
                                     "auto: /latents of the dataset (longtake encode) where they are this "
                                     "model's, else frames; frames; latents",
                                     .choices = LT_LATENTS_MODES},
                                    {"checkpoint", LT_OPT_STRING, offsetof(held_options, checkpoint), "NAME",
                                     "best, latest or step-N; default: best if there is one, else latest"},
                                    {NULL}};

/* What is known of one policy. */
typedef struct row {
    lt_held held;
    lt_eval_figures loss; /* clips 0: not measured; differences are against the first policy that was */
} row;

typedef struct job {
    const held_options *opt;
    lt_device *device;
    lt_model *model;
    lt_dataset *set;
    lt_eval_specs specs;
    lt_eval_options options;
    row *rows; /* [specs.count] */
} job;

static void show_progress(int64_t done, int64_t total, void *user) {
    lt_progress(user, done, total, "clips");
}

static lt_status open_inputs(job *j) {
    char weights[LT_PATH_MAX];
    LT_TRY(lt_device_open_as(j->opt->global.device ? j->opt->global.device : "cpu", j->opt->global.precision,
                             j->opt->global.kernels, &j->device));
    LT_CHECK(!lt_device_is_null(j->device), LT_USAGE, "--device %s computes nothing", j->opt->global.device);
    LT_TRY(lt_run_open(j->opt->run, j->opt->checkpoint, j->device, &j->model, NULL, weights));
    LT_TRY(lt_dataset_open(j->opt->data, &j->set));
    return lt_eval_specs_parse(j->model, j->opt->policies.items, j->opt->policies.count,
                               j->opt->budgets.items, j->opt->budgets.count, (int)j->opt->blocks, &j->specs);
}

static void fill_options(const job *j, lt_eval_options *o) {
    *o = lt_eval_default();
    o->role = j->opt->role, o->domains = j->opt->domains.items, o->domain_count = j->opt->domains.count;
    o->clips = j->opt->clips, o->blocks = (int)j->opt->blocks, o->progress = show_progress;
    o->seed = j->opt->global.seed < 0 ? 0 : (uint64_t)j->opt->global.seed;
}

/* Once for all policies. */
static lt_status choose_latents(job *j) {
    bool stored;
    LT_TRY(lt_latents_choose(j->model, j->set, lt_latents_mode_of(j->opt->latents), false, &stored));
    j->options.latents = stored ? LT_LATENTS_STORED : LT_LATENTS_FRAMES;
    return LT_OK;
}

static lt_status measure_held(job *j) {
    for (int i = 0; i < j->specs.count; i++) {
        j->options.progress_user = (void *)j->specs.labels[i];
        LT_TRY(lt_held_measure(j->model, j->set, &j->options, &j->specs.items[i], &j->rows[i].held));
    }
    return LT_OK;
}

static lt_status fill_losses(job *j, const lt_cache_spec *specs, const int *place, int count,
                             lt_eval_table *table) {
    lt_eval_slice slice = lt_slice_returns(NULL);
    slice.after_return = 1;
    j->options.progress_user = "losses";
    LT_TRY(lt_evaluate(j->model, j->set, &j->options, specs, count, lt_eval_table_add, table));
    for (int i = 0; i < count; i++)
        LT_TRY(lt_eval_table_figures(table, &slice, i, 0, &j->rows[place[i]].loss));
    return LT_OK;
}

/* Of the policies that a pass over whole clips can run: not those where all layers decide together after a look. */
static lt_status measure_losses(job *j) {
    size_t most = (size_t)j->specs.count;
    lt_cache_spec *specs = malloc(most * sizeof *specs);
    int *place = malloc(most * sizeof *place), count = 0;
    lt_eval_table *table = NULL;
    lt_status status = specs && place ? LT_OK : lt_fail(LT_FAILED, "held: out of memory");
    for (int i = 0; i < j->specs.count && status == LT_OK; i++)
        if (j->specs.items[i].scope == LT_SCOPE_LAYER || !lt_cache_spec_looks(&j->specs.items[i]))
            specs[count] = j->specs.items[i], place[count++] = i;
    if (status == LT_OK && count > 0) {
        status = lt_eval_table_open(specs, count, &j->options, &table);
        if (status == LT_OK) status = fill_losses(j, specs, place, count, table);
    }
    lt_eval_table_close(table);
    free(specs), free(place);
    return status;
}

/* null below 8 groups. */
static void print_number(const char *name, double value) {
    if (isfinite(value)) printf(", \"%s\": %.9g", name, value);
    else printf(", \"%s\": null", name);
}

static void print_json(const job *j) {
    char text[LT_SPEC_TEXT];
    for (int i = 0; i < j->specs.count; i++) {
        const lt_held *h = &j->rows[i].held;
        const lt_eval_figures *f = &j->rows[i].loss;
        printf("%s{\"policy\": \"%s\", \"budget\": %d, \"clips\": %" PRId64 ", \"returns\": %" PRId64
               ", \"held\": %.6f",
               i ? ",\n " : "[", lt_cache_spec_text(&j->specs.items[i], text, sizeof text),
               j->specs.items[i].budget, h->clips, h->returns, h->layers);
        print_number("stderr", h->error);
        print_number("held_by_all_layers", h->all);
        if (f->clips > 0) {
            printf(", \"loss\": {\"mean\": %.9g, \"vs_first\": %.9g", f->loss.mean, f->difference.mean);
            print_number("vs_first_stderr", f->difference.standard_error);
            printf("}");
        }
        printf("}");
    }
    printf("]\n");
}

/* "(0.7)", or nothing below 8 groups. */
static const char *in_brackets(char text[32], double value, int digits) {
    *text = 0;
    if (isfinite(value)) snprintf(text, 32, "(%.*f)", digits, value);
    return text;
}

static void print_table(const job *j) {
    char error[32];
    printf("%-32s %4s %6s %8s  %-16s %-16s%s\n", "policy", "M", "clips", "returns", "held, % (s.e.)",
           "by all layers, %", j->opt->losses ? "  loss     vs first (s.e.)" : "");
    for (int i = 0; i < j->specs.count; i++) {
        const lt_held *h = &j->rows[i].held;
        const lt_eval_figures *f = &j->rows[i].loss;
        printf("%-32s %4d %6" PRId64 " %8" PRId64 "  %5.1f %-10s %5.1f           ", j->specs.labels[i],
               j->specs.items[i].budget, h->clips, h->returns, 100 * h->layers,
               in_brackets(error, 100 * h->error, 1), 100 * h->all);
        if (f->clips > 0)
            printf("  %.4f  %+.4f %s", f->loss.mean, f->difference.mean,
                   i ? in_brackets(error, f->difference.standard_error, 4) : "");
        else if (j->opt->losses) printf("  -");
        printf("\n");
    }
    printf("\nheld: mean share of layers whose cache holds the scene when the video returns to it\n"
           "s.e.: standard error by source groups; not below 8 of them\n");
    if (j->opt->losses)
        printf("loss: first block of the return, t in [0.6, 1]; - where all layers decide together\n");
}

static lt_status measure(job *j) {
    fill_options(j, &j->options);
    j->rows = calloc((size_t)j->specs.count, sizeof *j->rows);
    LT_CHECK(j->rows, LT_FAILED, "held: out of memory");
    LT_TRY(choose_latents(j));
    LT_TRY(measure_held(j));
    if (j->opt->losses) LT_TRY(measure_losses(j));
    if (j->opt->global.json) print_json(j);
    else print_table(j);
    return LT_OK;
}

static lt_status run_held(const void *options_given, int positional_count, const char *const *positional) {
    const held_options *opt = options_given;
    (void)positional_count, (void)positional;
    job j = {.opt = opt};
    lt_status status = open_inputs(&j);
    if (status == LT_OK) status = measure(&j);
    free(j.rows);
    lt_eval_specs_free(&j.specs);
    lt_dataset_close(j.set);
    if (j.model) lt_model_close(j.model);
    if (j.device) lt_device_close(j.device);
    return status;
}

const lt_command lt_cmd_held = {
    .name = "held",
    .summary = "how often the cache still holds what a video returns to",
    .usage = "--run DIR --data FILE --policy P... --budget M... [--loss] [--domain D] [--role test]",
    .details = "Streams held-out clips through the cache. Wherever a shot returns to an earlier scene, it\n"
               "counts the layers whose cache still holds an entry of that scene.\n"
               "\n"
               "  longtake held --run runs/X --data planted.h5 --policy learned --policy random --policy "
               "window --budget 2 --loss\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .run = run_held};
