#include "core/cli.h"
#include "core/json.h"
#include "core/output.h"
#include "infer/comparison.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

typedef struct evaluate_options {
    lt_globals global;
    const char *data, *role, *checkpoint, *csv, *memory_limit, *latents;
    lt_strings runs, domains, policies, budgets;
    int64_t clips, blocks, draws, rollout, steps;
    bool allow_train, force;
} evaluate_options;

static const evaluate_options defaults = {.global = LT_GLOBALS,
                                          .role = "test",
                                          .policies = {{"window", "sink", "random", "keep-all", "none"}, 5},
                                          .budgets = {{"3"}, 1},
                                          .clips = 64,
                                          .blocks = 8,
                                          .draws = LT_EVAL_MIN_DRAWS,
                                          .steps = 20,
                                          .latents = "auto"};

static const lt_option options[] = {
    {"run", LT_OPT_STRINGS, offsetof(evaluate_options, runs), "DIR",
     "a run, or a folder with published weights; repeatable: runs of other training seeds, pooled",
     .required = true},
    {"data", LT_OPT_STRING, offsetof(evaluate_options, data), "FILE", "dataset with the clips",
     .required = true},
    {"domain", LT_OPT_STRINGS, offsetof(evaluate_options, domains), "NAME",
     "clips of this domain; repeatable; default: all"},
    {"role", LT_OPT_STRING, offsetof(evaluate_options, role), "ROLE", "clips of this role",
     .choices = "train|val|test"},
    {"policy", LT_OPT_STRINGS, offsetof(evaluate_options, policies), "P",
     "who stays in the cache; repeatable; see longtake list policies; default: window, sink, random, "
     "keep-all, "
     "none"},
    {"budget", LT_OPT_STRINGS, offsetof(evaluate_options, budgets), "M",
     "of the cache: entries, bytes (60MiB) or a share of all entries (25%); repeatable; default: 3"},
    {"clips", LT_OPT_INT, offsetof(evaluate_options, clips), "N", "clips per domain at most; 0: all",
     .min = 0, .max = 1000000000},
    {"blocks", LT_OPT_INT, offsetof(evaluate_options, blocks), "N",
     "blocks per clip; shorter clips are left out", .min = 2, .max = 100000},
    {"draws", LT_OPT_INT, offsetof(evaluate_options, draws), "N", "noise draws in each of the 5 bins of t",
     .min = LT_EVAL_MIN_DRAWS, .max = 1000},
    {"rollout", LT_OPT_INT, offsetof(evaluate_options, rollout), "N",
     "also generate N blocks after the first two of each clip", .min = 0, .max = 100000},
    {"steps", LT_OPT_INT, offsetof(evaluate_options, steps), "N", "sampler steps per block of --rollout",
     .min = 1, .max = 10000},
    {"latents", LT_OPT_STRING, offsetof(evaluate_options, latents), "FROM",
     "auto: /latents of the dataset (longtake encode) where they are this model's, else frames; frames; "
     "latents",
     .choices = LT_LATENTS_MODES},
    {"checkpoint", LT_OPT_STRING, offsetof(evaluate_options, checkpoint), "NAME",
     "best, latest or step-N; default: best if there is one, else latest"},
    {"allow-train", LT_OPT_FLAG, offsetof(evaluate_options, allow_train), NULL,
     "allow clips that the model was trained on"},
    {"csv", LT_OPT_STRING, offsetof(evaluate_options, csv), "FILE", "write the rows there too"},
    {"force", LT_OPT_FLAG, offsetof(evaluate_options, force), NULL, "replace an existing --csv"},
    {"memory-limit", LT_OPT_STRING, offsetof(evaluate_options, memory_limit), "SIZE",
     "what it may take of the device, as 16GiB"},
    {NULL}};

typedef struct job {
    const evaluate_options *opt;
    lt_device *device;
    lt_model *model; /* of one run at a time; the last stays for the rows */
    lt_dataset *set;
    lt_comparison_spec spec;
    lt_comparison *comparison;
    const lt_eval_row *rows;
    int row_count;
} job;

static void show_progress(const char *what, int64_t done, int64_t total, void *user) {
    (void)user;
    lt_progress(what, done, total, "passes");
}

static lt_comparison_spec spec_of(const evaluate_options *opt) {
    lt_eval_options o = lt_eval_default();
    o.role = opt->role, o.domains = opt->domains.items, o.domain_count = opt->domains.count;
    o.clips = opt->clips, o.blocks = (int)opt->blocks, o.draws = (int)opt->draws;
    o.seed = opt->global.seed < 0 ? 0 : (uint64_t)opt->global.seed;
    o.allow_train = opt->allow_train;
    o.latents = lt_latents_mode_of(opt->latents);
    return (lt_comparison_spec){.policies = opt->policies.items,
                                .policy_count = opt->policies.count,
                                .budgets = opt->budgets.items,
                                .budget_count = opt->budgets.count,
                                .options = o,
                                .progress = show_progress,
                                .rollout = (int)opt->rollout,
                                .steps = (int)opt->steps,
                                .runs = opt->runs.count};
}

/* Before the model is opened. */
static lt_status check_memory(const job *j) {
    int64_t limit;
    lt_shadow shadow;
    lt_memory memory;
    if (!j->opt->memory_limit) return LT_OK;
    LT_TRY(lt_parse_memory_limit(j->opt->memory_limit, &limit));
    LT_TRY(lt_shadow_open_run(j->opt->runs.items[0], j->opt->checkpoint, j->device, &shadow));
    lt_status status = lt_comparison_memory(&j->spec, shadow.model, &memory);
    if (status == LT_OK)
        status = lt_memory_check(&memory, limit, "the evaluation",
                                 "fewer --blocks or --draws, or a smaller --budget");
    lt_shadow_close(&shadow);
    return status;
}

static lt_status open_inputs(job *j) {
    const lt_globals *global = &j->opt->global;
    LT_TRY(lt_device_open_as(global->device, global->precision, global->kernels, &j->device));
    LT_CHECK(!lt_device_is_null(j->device), LT_USAGE,
             "--device %s computes nothing; `longtake plan` says what a model would take there",
             global->device);
    LT_TRY(check_memory(j));
    LT_TRY(lt_dataset_open(j->opt->data, &j->set));
    return lt_comparison_open(&j->spec, &j->comparison);
}

static lt_status evaluate_run(job *j, int run) {
    const lt_strings *runs = &j->opt->runs;
    const char *name = runs->items[run];
    for (int i = 0; i < run; i++)
        LT_CHECK(strcmp(runs->items[i], name) != 0, LT_USAGE,
                 "--run %s is named twice: a run that is pooled with itself seems more certain than it is",
                 name);
    if (j->model) lt_model_close(j->model);
    j->model = NULL;
    LT_TRY(lt_run_open(name, j->opt->checkpoint, j->device, &j->model, NULL, NULL));
    return lt_comparison_run(j->comparison, j->model, j->set, name);
}

static lt_status write_csv(const job *j) {
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    LT_CHECK(to, LT_FAILED, "evaluate: out of memory");
    lt_eval_rows_csv(to, j->rows, j->row_count);
    bool whole = fclose(to) == 0;
    lt_status status =
        whole ? lt_write_file(j->opt->csv, text, size) : lt_fail(LT_FAILED, "evaluate: out of memory");
    free(text);
    return status;
}

static lt_status print_json(const job *j) {
    cJSON *list = cJSON_CreateArray();
    LT_CHECK(list, LT_FAILED, "evaluate: out of memory");
    for (int i = 0; i < j->row_count; i++) cJSON_AddItemToArray(list, lt_eval_row_json(&j->rows[i]));
    lt_json_write(stdout, list, 0);
    printf("\n");
    cJSON_Delete(list);
    return LT_OK;
}

static lt_status evaluate_all(job *j) {
    const evaluate_options *opt = j->opt;
    const lt_file_use uses[] = {{"--data", opt->data, .input = true}, {"--csv", opt->csv}};
    LT_TRY(lt_check_files(uses, 2, opt->force));
    j->spec = spec_of(opt);
    LT_TRY(open_inputs(j));
    for (int run = 0; run < opt->runs.count; run++) LT_TRY(evaluate_run(j, run));
    LT_TRY(lt_comparison_rows(j->comparison, j->model, &j->rows, &j->row_count));
    if (opt->csv) LT_TRY(write_csv(j));
    if (opt->global.json) return print_json(j);
    lt_eval_rows_print(stdout, j->rows, j->row_count);
    return LT_OK;
}

static lt_status run_evaluate(const void *options_given, int positional_count,
                              const char *const *positional) {
    (void)positional_count, (void)positional;
    job j = {.opt = options_given};
    lt_status status = evaluate_all(&j);
    lt_comparison_close(j.comparison);
    lt_dataset_close(j.set);
    if (j.model) lt_model_close(j.model);
    if (j.device) lt_device_close(j.device);
    return status;
}

const lt_command lt_cmd_evaluate = {
    .name = "evaluate",
    .summary = "compare cache policies on held-out clips, paired",
    .usage =
        "--run DIR... --data FILE [--domain D] [--role test] [--policy P]... [--budget M]... [--rollout N]",
    .details =
        "Every policy at every budget sees the same clips, noise and times. The figure is the loss at\n"
        "t in [0.5, 0.95] on blocks read with an eviction in force, against the best hand-made policy\n"
        "of equal bytes, which is chosen on calm validation clips. Intervals are over source groups\n"
        "and are corrected for all rows of the table (Holm): the verdict says whether one leaves 0\n"
        "out. Below 8 groups there is none, and the verdict is \"insufficient data\". Several --run\n"
        "(of one model, trained with other seeds) are pooled: seeds are crossed with groups. With\n"
        "--rollout the model also goes on from the first two blocks of each clip, and the videos are\n"
        "measured; see longtake list metrics.\n"
        "\n"
        "  longtake evaluate --run runs/tiny --data data.h5 --policy window --policy sink --policy learned "
        "--budget 3\n"
        "  longtake evaluate --run runs/tiny --data data.h5 --domain dynamic --policy sink:read=content "
        "--budget 25% --json\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .run = run_evaluate};
