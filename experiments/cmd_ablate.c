#include "core/cli.h"
#include "core/io.h"
#include "experiments/ablate.h"
#include "experiments/json_file.h"
#include "experiments/report.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *config_name, *run_folder, *checkpoint, *out;
static lt_strings data, settings;
static int64_t jobs = 1;
static bool resume, force;

static const lt_option options[] = {
    {"config", LT_OPT_STRING, &config_name, "E.json", "the experiment, such as experiments/demo.json",
     .required = true},
    {"run", LT_OPT_STRING, &run_folder, "RUN", "run folder or published checkpoint", .required = true},
    {"data", LT_OPT_STRINGS, &data, "D.h5", "dataset; repeatable", .required = true},
    {"out", LT_OPT_STRING, &out, "DIR", "folder of the results", .required = true},
    {"checkpoint", LT_OPT_STRING, &checkpoint, "NAME", "best, latest or step-N; default best, else latest"},
    {"jobs", LT_OPT_INT, &jobs, "N", "processes that share the cells and the threads", .min = 1, .max = 64},
    {"resume", LT_OPT_FLAG, &resume, NULL, "go on with the cells that --out does not hold yet"},
    {"force", LT_OPT_FLAG, &force, NULL, "replace the results in --out"},
    {"set", LT_OPT_STRINGS, &settings, "KEY=VALUE", "overrides a key of the experiment"},
    {NULL}};

enum { OVERRIDES = sizeof settings.items / sizeof *settings.items + 1 };

static lt_status load_config(lt_config **config) {
    const char *overrides[OVERRIDES];
    char seed[64];
    int count = 0;
    for (; count < settings.count; count++) overrides[count] = settings.items[count];
    snprintf(seed, sizeof seed, "experiment.seed=%" PRId64, lt_global.seed);
    if (lt_global.seed >= 0) overrides[count++] = seed;
    return lt_config_load(config_name, overrides, count, config);
}

static lt_status show(void) {
    char path[LT_PATH_MAX];
    cJSON *results;
    LT_TRY(lt_path_join(path, out, "results.json"));
    LT_TRY(lt_json_load(path, &results));
    if (lt_global.json) lt_json_print(lt_json_member(results, "rows"));
    else {
        lt_report_table(results, stdout);
        printf("\n%s/report.html\n", out);
    }
    cJSON_Delete(results);
    return LT_OK;
}

static lt_status run(int positional_count, const char *const *positional) {
    (void)positional_count, (void)positional;
    lt_config *config;
    lt_experiment_register_keys();
    LT_TRY(load_config(&config));
    lt_ablate_options o = {.config = config,
                           .run = run_folder,
                           .checkpoint = checkpoint,
                           .data = data.items,
                           .data_count = data.count,
                           .out = out,
                           .device = lt_global.device,
                           .precision = lt_global.precision,
                           .kernels = lt_global.kernels,
                           .arguments = lt_cli_command(),
                           .jobs = (int)jobs,
                           .resume = resume,
                           .force = force,
                           .report = true};
    lt_status status = lt_ablate(&o);
    lt_config_free(config);
    LT_TRY(status);
    return show();
}

const lt_command lt_cmd_ablate = {
    .name = "ablate",
    .summary = "compare cache policies on the same clips, noise and times, with intervals",
    .usage =
        "--config experiments/E.json --run RUN --data D.h5 --out results/X [--resume | --force] [--jobs N]",
    .details =
        "Evaluates every policy x budget x read weight of the experiment on every domain of the datasets, "
        "all "
        "on the same\n"
        "clips, noise and times, and compares each with the best hand-made policy of equal bytes, which is "
        "chosen on calm\n"
        "validation clips. Intervals resample source groups; where the data cannot tell, the table says "
        "`not\n"
        "distinguishable` or `insufficient data`. The folder gets results.csv, results.h5, results.json and "
        "report.html.\n"
        "A finished cell is on disk: after a kill, --resume goes on with the rest; more policies or domains "
        "may be added\n"
        "the same way.\n"
        "\n"
        "  longtake ablate --config experiments/demo.json --run runs/a --data data.h5 --out results/a\n"
        "  longtake ablate --config experiments/factorial.json --run runs/a --data a.h5 --data b.h5 --out "
        "results/f\n"
        "  longtake ablate --config experiments/demo.json --set experiment.budgets=1,2,4 --run runs/a --data "
        "a.h5 --out results/b\n"
        "\n"
        "`longtake help config` lists the keys of an experiment, `longtake list policies` who can be kept.\n",
    .options = options,
    .run = run};
