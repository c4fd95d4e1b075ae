#include "core/cli.h"
#include "core/io.h"
#include "infer/encode.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct encode_options {
    lt_globals global;
    const char *model, *data, *checkpoint;
    bool latents, text, force;
} encode_options;

static const encode_options defaults = {.global = LT_GLOBALS};

static const lt_option options[] = {
    {"model", LT_OPT_STRING, offsetof(encode_options, model), "DIR",
     "a run, or a folder with published weights, whose codec and text encoder are used", .required = true},
    {"data", LT_OPT_STRING, offsetof(encode_options, data), "FILE", "dataset that gets them",
     .required = true},
    {"latents", LT_OPT_FLAG, offsetof(encode_options, latents), NULL,
     "fill /latents; neither this nor --text: this"},
    {"text", LT_OPT_FLAG, offsetof(encode_options, text), NULL,
     "fill /text with the embeddings of the captions"},
    {"checkpoint", LT_OPT_STRING, offsetof(encode_options, checkpoint), "NAME",
     "best, latest or step-N; default: best if there is one, else latest"},
    {"force", LT_OPT_FLAG, offsetof(encode_options, force), NULL, "replace latents or text of another model"},
    {NULL}};

static void show_clips(int64_t done, int64_t total, void *user) {
    (void)user;
    lt_progress("encode", done, total, "clips");
}

static lt_status encode_into(const encode_options *opt, lt_model *model) {
    lt_dataset *set;
    lt_encode_result result;
    lt_encode_options o = {.latents = opt->latents || !opt->text,
                           .text = opt->text,
                           .force = opt->force,
                           .progress = show_clips};
    LT_TRY(lt_dataset_open_append(opt->data, &set));
    lt_status status = lt_encode_dataset(model, set, &o, &result);
    lt_dataset_close(set);
    LT_TRY(status);
    if (opt->global.json)
        printf("{\"encoded\": %" PRId64 ", \"skipped\": %" PRId64 "}\n", result.encoded, result.skipped);
    else if (!opt->global.quiet)
        printf("%s: %" PRId64 " clips encoded, %" PRId64 " had it already\n", opt->data, result.encoded,
               result.skipped);
    return LT_OK;
}

static lt_status run_encode(const void *options_given, int positional_count, const char *const *positional) {
    const encode_options *opt = options_given;
    (void)positional_count, (void)positional;
    lt_device *device;
    lt_model *model = NULL;
    char weights[LT_PATH_MAX];
    lt_catch_signals();
    LT_TRY(lt_device_open_as(opt->global.device, opt->global.precision, opt->global.kernels, &device));
    lt_status status = LT_OK;
    if (lt_device_is_null(device))
        status = lt_fail(LT_USAGE, "--device %s computes nothing", opt->global.device);
    if (status == LT_OK) status = lt_run_open(opt->model, opt->checkpoint, device, &model, NULL, weights);
    if (status == LT_OK) status = encode_into(opt, model);
    lt_model_close(model);
    lt_device_close(device);
    return status;
}

const lt_command lt_cmd_encode = {
    .name = "encode",
    .summary = "latents and caption embeddings of a dataset, computed once and stored in it",
    .usage = "--model DIR --data D.h5 [--latents] [--text]",
    .details =
        "Writes float16 /latents (and with --text, /text) into the dataset, with the codec, the text\n"
        "encoder and a hash of their parameters. train, evaluate, held and ablate then read the latents\n"
        "instead of encoding frames, as long as these are their model's; their own options and keys\n"
        "(data.latents, experiment.latents) say otherwise. float16 rounds to 11 bits, so losses differ\n"
        "slightly from those on frames: by two thousandths at most in the tests.\n"
        "\n"
        "Clips that have them are skipped: after a kill or ^C (exit 6) the file is readable and the same\n"
        "command goes on. So it does after ingest or scenes added clips.\n"
        "\n"
        "  longtake encode --model runs/tiny --data data.h5\n"
        "  longtake encode --model runs/tiny --data data.h5 --latents --text\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .run = run_encode};
