#include "core/cli.h"
#include "core/json.h"
#include "core/output.h"
#include "infer/cache_shape.h"
#include "infer/eval_rows.h"
#include "infer/memory.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static const char *data, *role = "test", *checkpoint, *csv, *memory_limit;
static lt_strings runs, domains, policies, budgets;
static int64_t clips = 64, blocks = 8, draws = LT_EVAL_MIN_DRAWS, rollout, steps = 20;
static bool allow_train, force;

static const lt_option options[] = {
    {"run", LT_OPT_STRINGS, &runs, "DIR",
     "a run, or a folder with published weights; repeatable: runs of other training seeds, pooled",
     .required = true},
    {"data", LT_OPT_STRING, &data, "FILE", "dataset with the clips", .required = true},
    {"domain", LT_OPT_STRINGS, &domains, "NAME", "clips of this domain; repeatable; default: all"},
    {"role", LT_OPT_STRING, &role, "ROLE", "clips of this role", .choices = "train|val|test"},
    {"policy", LT_OPT_STRINGS, &policies, "P",
     "who stays in the cache; repeatable; see longtake list policies; default: window, sink, random, "
     "keep-all, "
     "none"},
    {"budget", LT_OPT_STRINGS, &budgets, "M",
     "of the cache: entries, bytes (60MiB) or a share of all entries (25%); repeatable; default: 3"},
    {"clips", LT_OPT_INT, &clips, "N", "clips per domain at most; 0: all", .min = 0, .max = 1000000000},
    {"blocks", LT_OPT_INT, &blocks, "N", "blocks per clip; shorter clips are left out", .min = 2,
     .max = 100000},
    {"draws", LT_OPT_INT, &draws, "N", "noise draws in each of the 5 bins of t", .min = LT_EVAL_MIN_DRAWS,
     .max = 1000},
    {"rollout", LT_OPT_INT, &rollout, "N", "also generate N blocks after the first two of each clip",
     .min = 0, .max = 100000},
    {"steps", LT_OPT_INT, &steps, "N", "sampler steps per block of --rollout", .min = 1, .max = 10000},
    {"checkpoint", LT_OPT_STRING, &checkpoint, "NAME",
     "best, latest or step-N; default: best if there is one, else latest"},
    {"allow-train", LT_OPT_FLAG, &allow_train, NULL, "allow clips that the model was trained on"},
    {"csv", LT_OPT_STRING, &csv, "FILE", "write the rows there too"},
    {"force", LT_OPT_FLAG, &force, NULL, "replace an existing --csv"},
    {"memory-limit", LT_OPT_STRING, &memory_limit, "SIZE", "what it may take of the device, as 16GiB"},
    {NULL}};

typedef struct job {
    lt_device *device;
    lt_model *model; /* of one run at a time; the last stays for the rows */
    lt_dataset *set;
    lt_eval_specs specs;
    lt_eval_options options;
    lt_eval_table **tables, **validation; /* [runs.count] */
    lt_rollout_table **rollouts;
    lt_eval_row *rows;
    int row_count;
} job;

static void show_progress(int64_t done, int64_t total, void *user) {
    if (!lt_global.quiet) lt_progress(user, done, total, "passes");
}

static void fill_options(lt_eval_options *o) {
    *o = lt_eval_default();
    o->role = role, o->domains = domains.items, o->domain_count = domains.count;
    o->clips = clips, o->blocks = (int)blocks, o->draws = (int)draws;
    o->seed = lt_global.seed < 0 ? 0 : (uint64_t)lt_global.seed;
    o->allow_train = allow_train;
    o->progress = show_progress, o->progress_user = "evaluate";
}

static lt_status read_specs(const lt_model *model, lt_eval_specs *out) {
    static const char *const usual[] = {"window", "sink", "random", "keep-all", "none"}, *const three[] = {
                                                                                             "3"};
    return lt_eval_specs_parse(model, policies.count ? policies.items : usual,
                               policies.count ? policies.count : 5, budgets.count ? budgets.items : three,
                               budgets.count ? budgets.count : 1, (int)blocks, out);
}

/* The larger of the passes over clips and, with --rollout, the stream of the policy that takes most. */
static lt_status measure(const job *j, lt_model *shadow, lt_memory *out) {
    lt_session_plan plan;
    LT_TRY(lt_evaluate_measure(shadow, &j->options, j->specs.items, j->specs.count, &plan));
    *out = lt_memory_of(shadow, &plan);
    for (int i = 0; i < j->specs.count && rollout > 0; i++) {
        lt_stream_options one = {
            .steps = 1,
            .shift = 1,
            .guidance = 1,
            .spec = lt_spec_for_blocks(shadow, &j->specs.items[i], lt_rollout_default().context + rollout)};
        lt_memory stream;
        LT_TRY(lt_memory_streaming(shadow, &one, &stream));
        if (lt_memory_peak(&stream) > lt_memory_peak(out)) *out = stream;
    }
    return LT_OK;
}

/* Before the model is opened. */
static lt_status check_memory(job *j) {
    int64_t limit;
    lt_shadow shadow;
    lt_memory memory;
    if (!memory_limit) return LT_OK;
    LT_TRY(lt_parse_memory_limit(memory_limit, &limit));
    LT_TRY(lt_shadow_open_run(runs.items[0], checkpoint, j->device, &shadow));
    lt_status status = read_specs(shadow.model, &j->specs);
    if (status == LT_OK) status = measure(j, shadow.model, &memory);
    if (status == LT_OK)
        status = lt_memory_check(&memory, limit, "the evaluation",
                                 "fewer --blocks or --draws, or a smaller --budget");
    lt_eval_specs_free(&j->specs);
    lt_shadow_close(&shadow);
    return status;
}

static lt_status open_inputs(job *j) {
    size_t count = (size_t)runs.count;
    j->tables = calloc(count, sizeof *j->tables), j->validation = calloc(count, sizeof *j->validation);
    j->rollouts = calloc(count, sizeof *j->rollouts);
    LT_CHECK(j->tables && j->validation && j->rollouts, LT_FAILED, "evaluate: out of memory");
    LT_TRY(lt_device_open_as(lt_global.device ? lt_global.device : "cpu", lt_global.precision,
                             lt_global.kernels, &j->device));
    LT_CHECK(!lt_device_is_null(j->device), LT_USAGE,
             "--device %s computes nothing; `longtake plan` says what a model would take there",
             lt_global.device);
    LT_TRY(check_memory(j));
    return lt_dataset_open(data, &j->set);
}

/* Runs that are pooled differ in their training alone: the same policies mean the same bytes on the same blocks. */
static lt_status check_alike(const job *j, const char *run) {
    lt_eval_specs specs;
    LT_TRY(read_specs(j->model, &specs));
    bool alike = specs.count == j->specs.count;
    for (int i = 0; i < specs.count && alike; i++)
        alike = specs.bytes[i] == j->specs.bytes[i] && specs.items[i].budget == j->specs.items[i].budget;
    lt_eval_specs_free(&specs);
    LT_CHECK(
        alike, LT_USAGE,
        "%s and %s are models of different shapes: only runs that differ in their training seed are pooled; "
        "evaluate the others on their own",
        runs.items[0], run);
    return LT_OK;
}

static lt_status open_run(job *j, int run) {
    char weights[LT_PATH_MAX];
    for (int i = 0; i < run; i++)
        LT_CHECK(strcmp(runs.items[i], runs.items[run]) != 0, LT_USAGE,
                 "--run %s is named twice: a run that is pooled with itself seems more certain than it is",
                 runs.items[run]);
    if (j->model) lt_model_close(j->model);
    j->model = NULL;
    LT_TRY(lt_run_open(runs.items[run], checkpoint, j->device, &j->model, NULL, weights));
    return run == 0 ? read_specs(j->model, &j->specs) : check_alike(j, runs.items[run]);
}

static lt_status run_rollouts(job *j, int run) {
    lt_rollout_options o = lt_rollout_default();
    if (rollout == 0) return LT_OK;
    o.clips = j->options;
    o.clips.progress_user = "rollouts";
    o.blocks = (int)rollout, o.stream.steps = (int)steps;
    LT_TRY(lt_rollout_table_open(j->specs.count, &j->rollouts[run]));
    return lt_evaluate_rollout(j->model, j->set, &o, j->specs.items, j->specs.count, lt_rollout_table_add,
                               j->rollouts[run]);
}

static lt_status evaluate(job *j, int run) {
    lt_eval_options choosing = j->options;
    int64_t *chosen, count;
    /* What is wrong with the options is said before anything runs. */
    LT_TRY(lt_eval_clips(j->model, j->set, &j->options, &chosen, &count));
    free(chosen);
    choosing.progress_user = "choosing references";
    LT_TRY(lt_eval_specs_validate(&j->specs, j->model, j->set, &choosing, &j->validation[run]));
    LT_TRY(lt_eval_table_open(j->specs.items, j->specs.count, &j->options, &j->tables[run]));
    LT_TRY(lt_evaluate(j->model, j->set, &j->options, j->specs.items, j->specs.count, lt_eval_table_add,
                       j->tables[run]));
    return run_rollouts(j, run);
}

static lt_status make_rows(job *j) {
    const lt_eval_measured measured = {j->tables, rollout ? j->rollouts : NULL, runs.count};
    int domain_count = 0;
    while (lt_eval_table_domain(j->tables[0], domain_count)) domain_count++;
    j->rows = calloc((size_t)domain_count * (size_t)(j->specs.count + LT_BASELINE_COUNT), sizeof *j->rows);
    LT_CHECK(j->rows, LT_FAILED, "evaluate: out of memory");
    for (int d = 0; d < domain_count; d++) {
        const char *domain = lt_eval_table_domain(j->tables[0], d);
        for (int i = 0; i < j->specs.count; i++)
            LT_TRY(
                lt_eval_row_make(j->model, &j->specs, i, &measured, domain, role, &j->rows[j->row_count++]));
        for (int b = 0; b < LT_BASELINE_COUNT && rollout; b++)
            LT_TRY(lt_eval_row_baseline(&j->specs, b, &measured, domain, role, &j->rows[j->row_count++]));
    }
    return lt_eval_rows_correct(j->rows, j->row_count);
}

static lt_status write_csv(const job *j) {
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    LT_CHECK(to, LT_FAILED, "evaluate: out of memory");
    lt_eval_rows_csv(to, j->rows, j->row_count);
    bool whole = fclose(to) == 0;
    lt_status status = whole ? lt_write_file(csv, text, size) : lt_fail(LT_FAILED, "evaluate: out of memory");
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

static lt_status run_job(job *j) {
    const lt_file_use uses[] = {{"--data", data, .input = true}, {"--csv", csv}};
    LT_TRY(lt_check_files(uses, 2, force));
    fill_options(&j->options);
    LT_TRY(open_inputs(j));
    for (int run = 0; run < runs.count; run++) {
        LT_TRY(open_run(j, run));
        LT_TRY(evaluate(j, run));
    }
    LT_TRY(lt_eval_specs_choose(&j->specs, j->validation, runs.count));
    LT_TRY(make_rows(j));
    if (csv) LT_TRY(write_csv(j));
    if (lt_global.json) return print_json(j);
    lt_eval_rows_print(stdout, j->rows, j->row_count);
    return LT_OK;
}

static lt_status run(int positional_count, const char *const *positional) {
    (void)positional_count, (void)positional;
    job j = {0};
    lt_status status = run_job(&j);
    free(j.rows);
    for (int i = 0; i < runs.count; i++) {
        if (j.rollouts) lt_rollout_table_close(j.rollouts[i]);
        if (j.tables) lt_eval_table_close(j.tables[i]);
        if (j.validation) lt_eval_table_close(j.validation[i]);
    }
    free(j.rollouts), free(j.tables), free(j.validation);
    lt_eval_specs_free(&j.specs);
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
        "Every policy at every budget sees the same clips, noise and times. The figure is the loss at t in "
        "[0.5, "
        "0.95] on\n"
        "blocks read with an eviction in force, against the best hand-made policy of equal bytes, which is "
        "chosen on calm\n"
        "validation clips. Intervals are over source groups and are corrected for all rows of the table "
        "(Holm): the verdict\n"
        "says whether one leaves 0 out. Below 8 groups there is none, and the verdict is \"insufficient "
        "data\".\n"
        "Several --run (of one model, trained with other seeds) are pooled: seeds are crossed with groups.\n"
        "With --rollout the model also goes on from the first two blocks of each clip, and the videos are "
        "measured; see\n"
        "longtake list metrics.\n"
        "\n"
        "  longtake evaluate --run runs/tiny --data data.h5 --policy window --policy sink --policy learned "
        "--budget 3\n"
        "  longtake evaluate --run runs/tiny --data data.h5 --domain dynamic --policy sink:read=content "
        "--budget "
        "25% --json\n",
    .options = options,
    .run = run};
