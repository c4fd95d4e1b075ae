#include "core/cli.h"
#include "core/io.h"
#include "core/json.h"
#include "core/rng.h"
#include "train/run.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct train_options {
    lt_globals global;
    const char *config, *data, *out, *init, *freeze, *collectives, *memory_limit;
    int64_t steps, resume_from;
    bool resume, force;
    lt_strings settings;
} train_options;

static const train_options defaults = {.global = LT_GLOBALS, .collectives = "auto"};

static const lt_option options[] = {
    {"config", LT_OPT_STRING, offsetof(train_options, config), "C.json",
     "configuration or preset (train/tiny); with --resume the run's own"},
    {"data", LT_OPT_STRING, offsetof(train_options, data), "D.h5", "dataset made by ingest or scenes",
     .required = true},
    {"out", LT_OPT_STRING, offsetof(train_options, out), "DIR", "folder of the run", .required = true},
    {"resume", LT_OPT_FLAG, offsetof(train_options, resume), NULL,
     "go on from the latest checkpoint of --out"},
    {"resume-from", LT_OPT_INT, offsetof(train_options, resume_from), "STEP",
     "go on from the checkpoint of that step; what came after it is set aside", .min = 1, .max = 1e12},
    {"force", LT_OPT_FLAG, offsetof(train_options, force), NULL, "replace the run in --out"},
    {"init", LT_OPT_STRING, offsetof(train_options, init), "RUN|DIR",
     "start from these weights and latent statistics"},
    {"freeze", LT_OPT_STRING, offsetof(train_options, freeze), "GLOB",
     "overrides train.freeze: published names that are not trained"},
    {"steps", LT_OPT_INT, offsetof(train_options, steps), "N", "overrides train.steps", .min = 0,
     .max = 1e12},
    {"collectives", LT_OPT_STRING, offsetof(train_options, collectives), "NAME",
     "what sums gradients over processes; nccl: from GPU to GPU, mpi: through the host, auto: nccl if it can",
     .choices = "auto|nccl|mpi"},
    {"memory-limit", LT_OPT_STRING, offsetof(train_options, memory_limit), "SIZE",
     "what each process may take of its device, as 58GiB; what train.recompute=auto fits itself to"},
    {"set", LT_OPT_STRINGS, offsetof(train_options, settings), "KEY=VALUE",
     "overrides a key of the configuration"},
    {NULL}};

enum { OVERRIDES = sizeof((lt_strings *)0)->items / sizeof(char *) + 3 };

/* --set, then what has an option of its own. */
static int collect(const train_options *opt, const char *overrides[OVERRIDES], char text[3][512]) {
    int count = 0;
    for (; count < opt->settings.count; count++) overrides[count] = opt->settings.items[count];
    snprintf(text[0], sizeof text[0], "train.steps=%" PRId64, opt->steps);
    snprintf(text[1], sizeof text[1], "train.seed=%" PRId64, opt->global.seed);
    snprintf(text[2], sizeof text[2], "train.freeze=%s", opt->freeze ? opt->freeze : "");
    if (opt->steps > 0) overrides[count++] = text[0];
    if (opt->global.seed >= 0) overrides[count++] = text[1];
    if (opt->freeze) overrides[count++] = text[2];
    return count;
}

static bool resumes(const train_options *opt) { return opt->resume || opt->resume_from > 0; }

static lt_status load_config(const train_options *opt, lt_config **config) {
    const char *overrides[OVERRIDES];
    char text[3][512];
    int count = collect(opt, overrides, text);
    LT_CHECK(!resumes(opt) || !opt->force, LT_USAGE, "--resume and --force exclude each other");
    LT_CHECK(!resumes(opt) || !opt->init, LT_USAGE,
             "--init starts a run and --resume goes on with one; give one of them");
    if (!resumes(opt)) {
        LT_CHECK(opt->config, LT_USAGE, "--config is missing; for example --config train/tiny");
        return lt_config_load(opt->config, overrides, count, config);
    }
    LT_TRY(lt_run_config(opt->out, overrides, count, config));
    if (!opt->config) return LT_OK;
    lt_config *given;
    lt_status status = lt_config_load(opt->config, overrides, count, &given);
    if (status == LT_OK && lt_config_hash(given) != lt_config_hash(*config))
        status = lt_fail(
            LT_USAGE,
            "--resume: %s differs from the configuration that %s was started with; leave --config out, "
            "and change single keys with --set",
            opt->config, opt->out);
    if (status == LT_OK) lt_config_free(given);
    if (status != LT_OK) lt_config_free(*config);
    return status;
}

/* This rank's device, joined to the others'; the caller closes it. */
static lt_status open_device(const train_options *opt, lt_comm *comm, lt_device **device) {
    char spec[LT_COMM_DEVICE];
    lt_comm_device(comm, opt->global.device, spec);
    lt_status status = lt_device_open_as(spec, opt->global.precision, opt->global.kernels, device);
    bool opened = status == LT_OK;
    status = lt_comm_agree(comm, status);
    if (status == LT_OK) status = lt_comm_attach(comm, *device, opt->collectives);
    if (status != LT_OK && opened) lt_device_close(*device);
    return status;
}

/* What the run has come to, as one object. */
static void print_end(const train_options *opt, const lt_run_end *end, bool complete) {
    char folder[LT_PATH_MAX], hash[LT_HASH_TEXT];
    uint64_t weights;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "run", opt->out);
    cJSON_AddBoolToObject(root, "complete", complete);
    cJSON_AddNumberToObject(root, "step", (double)end->steps);
    cJSON_AddNumberToObject(root, "seconds", end->seconds);
    const bool best = end->best_step > 0, any = lt_run_checkpoint(opt->out, "latest", folder) == LT_OK;
    cJSON_AddItemToObject(root, "best_val_step",
                          best ? cJSON_CreateNumber((double)end->best_step) : cJSON_CreateNull());
    cJSON_AddItemToObject(root, "best_val_loss",
                          best ? cJSON_CreateNumber(end->best_loss) : cJSON_CreateNull());
    cJSON_AddItemToObject(root, "checkpoint", any ? cJSON_CreateString(folder) : cJSON_CreateNull());
    if (any && lt_weights_hash(folder, &weights) == LT_OK)
        cJSON_AddStringToObject(root, "weights_hash", lt_hash_text(weights, hash));
    lt_json_write(stdout, root, 0);
    printf("\n");
    cJSON_Delete(root);
}

static lt_status train(const train_options *opt, const lt_config *config, lt_comm *comm) {
    lt_run_end end = {0};
    lt_device *device;
    int64_t limit = 0;
    LT_TRY(lt_parse_memory_limit(opt->memory_limit, &limit));
    LT_TRY(open_device(opt, comm, &device));
    lt_run_options run = {.config = config,
                          .data = opt->data,
                          .out = opt->out,
                          .init = opt->init,
                          .arguments = opt->global.line,
                          .resume = resumes(opt),
                          .resume_from = opt->resume_from,
                          .force = opt->force,
                          .memory_limit = limit,
                          .device = device,
                          .comm = comm,
                          .end = &end};
    lt_status status = lt_device_is_null(device)
                           ? lt_fail(LT_USAGE, "--device %s trains nothing; `longtake plan` measures on it",
                                     opt->global.device)
                           : lt_run_train(&run);
    lt_device_close(device);
    bool ended = status == LT_OK || (status == LT_INTERRUPTED && end.steps > 0);
    if (opt->global.json && lt_comm_rank(comm) == 0 && ended) {
        char message[1024];
        snprintf(message, sizeof message, "%s", lt_error());
        print_end(opt, &end, status == LT_OK);
        if (status != LT_OK) return lt_fail(status, "%s", message);
    }
    return status;
}

static lt_status run_train(const void *options_given, int positional_count, const char *const *positional) {
    const train_options *opt = options_given;
    (void)positional_count, (void)positional;
    lt_comm *comm;
    lt_config *config;
    LT_CHECK(strcmp(opt->global.precision, "fp8") != 0, LT_USAGE,
             "--precision fp8 is for inference; train with f32 or bf16, then generate and evaluate with it");
    LT_TRY(lt_comm_open(&comm));
    lt_status status = lt_comm_agree(comm, load_config(opt, &config));
    if (status == LT_OK) {
        status = train(opt, config, comm);
        lt_config_free(config);
    }
    lt_comm_close(comm);
    return status;
}

static const char *const elsewhere[][2] = {{"checkpoint",
                                            "go on from the latest checkpoint with --resume, from an older "
                                            "one with --resume-from STEP, or start another "
                                            "run from the best with --init RUN"},
                                           {NULL}};

const lt_command lt_cmd_train = {
    .name = "train",
    .summary = "train a model, or the scorer of its cache, from a dataset",
    .usage = "--config C.json --data D.h5 --out runs/X [--resume | --resume-from STEP | --force] [--init "
             "RUN|DIR] [--steps N] "
             "[--memory-limit M] [--set k=v]",
    .details =
        "Trains the denoiser (train.stage=denoiser), the scorer on a frozen denoiser (scorer), or\n"
        "both (joint), on clips of role train of the domains in data.train_domains. The run folder\n"
        "gets config.json, environment.json, algorithms.json (on a GPU: the algorithms of large\n"
        "GEMMs, which --resume repeats), metrics.jsonl, TensorBoard events, log.txt, checkpoints and\n"
        "samples. Ctrl-C writes a checkpoint and exits with 6; --resume goes on from the latest one,\n"
        "or from the start (of --init, if its weights are still there) where there is none, and gives\n"
        "the same bits as an unbroken run with the same data, program, machine, threads and\n"
        "processes; what differs is said, and kept in environment.json. --resume-from STEP goes back\n"
        "to an older checkpoint (train.keep says how many stay): newer ones, newer samples and\n"
        "metrics.jsonl go to set-aside/N. Steps whose gradient is not finite are skipped and have no\n"
        "checkpoint. One process at a time writes into a run; .longtake in it says which, and marks\n"
        "what --force may replace. Several processes share train.batch; with --device cuda each takes\n"
        "a GPU of its own, and one that fails ends all:\n"
        "\n"
        "  mpirun -n 2 longtake train --device cuda ...\n"
        "\n"
        "  longtake train --config train/tiny --data data.h5 --out runs/a\n"
        "  longtake train --config train/tiny --data data.h5 --out runs/a --resume --steps 4000\n"
        "  longtake train --config train/tiny-scorer --data data.h5 --out runs/b --init runs/a\n"
        "\n"
        "`longtake help config` lists all keys.\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .elsewhere = elsewhere,
    .run = run_train};
