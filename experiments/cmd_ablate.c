#include "core/cli.h"
#include "core/io.h"
#include "experiments/ablate.h"
#include "experiments/json_file.h"
#include "experiments/report.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct ablate_options {
    lt_globals global;
    const char *config, *run, *checkpoint, *out;
    lt_strings data, settings;
    int64_t jobs;
    bool resume, force;
} ablate_options;

static const ablate_options defaults = {.global = LT_GLOBALS, .jobs = 1};

static const lt_option options[] = {
    {"config", LT_OPT_STRING, offsetof(ablate_options, config), "E.json",
     "the experiment, such as experiments/demo.json", .required = true},
    {"run", LT_OPT_STRING, offsetof(ablate_options, run), "RUN", "run folder or published checkpoint",
     .required = true},
    {"data", LT_OPT_STRINGS, offsetof(ablate_options, data), "D.h5", "dataset; repeatable", .required = true},
    {"out", LT_OPT_STRING, offsetof(ablate_options, out), "DIR", "folder of the results", .required = true},
    {"checkpoint", LT_OPT_STRING, offsetof(ablate_options, checkpoint), "NAME",
     "best, latest or step-N; default best, else latest"},
    {"jobs", LT_OPT_INT, offsetof(ablate_options, jobs), "N",
     "processes that share the cells and the threads", .min = 1, .max = 64},
    {"resume", LT_OPT_FLAG, offsetof(ablate_options, resume), NULL,
     "go on with the cells that --out does not hold yet"},
    {"force", LT_OPT_FLAG, offsetof(ablate_options, force), NULL, "replace the results in --out"},
    {"set", LT_OPT_STRINGS, offsetof(ablate_options, settings), "KEY=VALUE",
     "overrides a key of the experiment"},
    {NULL}};

enum { OVERRIDES = sizeof((lt_strings *)0)->items / sizeof(char *) + 1 };

static lt_status load_config(const ablate_options *opt, lt_config **config) {
    const char *overrides[OVERRIDES];
    char seed[64];
    int count = 0;
    for (; count < opt->settings.count; count++) overrides[count] = opt->settings.items[count];
    snprintf(seed, sizeof seed, "experiment.seed=%" PRId64, opt->global.seed);
    if (opt->global.seed >= 0) overrides[count++] = seed;
    return lt_config_load(opt->config, overrides, count, config);
}

static lt_status show_results(const ablate_options *opt) {
    char path[LT_PATH_MAX];
    cJSON *results;
    LT_TRY(lt_path_join(path, opt->out, "results.json"));
    LT_TRY(lt_json_load(path, &results));
    if (opt->global.json) lt_json_print(lt_json_member(results, "rows"));
    else {
        lt_report_table(results, stdout);
        printf("\n%s/report.html\n", opt->out);
    }
    cJSON_Delete(results);
    return LT_OK;
}

static lt_status run_ablate(const void *options_given, int positional_count, const char *const *positional) {
    const ablate_options *opt = options_given;
    (void)positional_count, (void)positional;
    lt_config *config;
    lt_experiment_register_keys();
    LT_TRY(load_config(opt, &config));
    lt_ablate_options o = {.config = config,
                           .run = opt->run,
                           .checkpoint = opt->checkpoint,
                           .data = opt->data.items,
                           .data_count = opt->data.count,
                           .out = opt->out,
                           .device = opt->global.device,
                           .precision = opt->global.precision,
                           .kernels = opt->global.kernels,
                           .arguments = opt->global.line,
                           .jobs = (int)opt->jobs,
                           .resume = opt->resume,
                           .force = opt->force,
                           .report = true};
    lt_status status = lt_ablate(&o);
    lt_config_free(config);
    LT_TRY(status);
    return show_results(opt);
}

const lt_command lt_cmd_ablate = {
    .name = "ablate",
    .summary = "compare cache policies on the same clips, noise and times, with intervals",
    .usage =
        "--config experiments/E.json --run RUN --data D.h5 --out results/X [--resume | --force] [--jobs N]",
    .details =
        "Evaluates every policy x budget x read weight of the experiment on every domain of the\n"
        "datasets, all on the same clips, noise and times, and compares each with the best hand-made\n"
        "policy of equal bytes, which is chosen on calm validation clips. Intervals resample source\n"
        "groups; where the data cannot tell, the table says `not distinguishable` or `insufficient\n"
        "data`. The folder gets results.csv, results.h5, results.json and report.html. A finished\n"
        "cell is on disk: after a kill, --resume goes on with the rest; more policies or domains may\n"
        "be added the same way.\n"
        "\n"
        "  longtake ablate --config experiments/demo.json --run runs/a --data data.h5 --out results/a\n"
        "  longtake ablate --config experiments/factorial.json --run runs/a --data a.h5 --data b.h5 --out "
        "results/f\n"
        "  longtake ablate --config experiments/demo.json --set experiment.budgets=1,2,4 --run runs/a --data "
        "a.h5 --out results/b\n"
        "\n"
        "`longtake help config` lists the keys of an experiment, `longtake list policies` who can be\n"
        "kept.\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .run = run_ablate};
