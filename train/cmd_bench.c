#include "train/cmd_bench.h"

#include "kernels/bench.h"
#include "train/bench_model.h"

#include <inttypes.h>
#include <stdio.h>

static const char *op, *model;
static int64_t steps = 4;
static lt_strings settings;

static const lt_option options[] = {
    {"op", LT_OPT_STRING, &op, "NAME", "an op, or all; see `longtake list ops`"},
    {"model", LT_OPT_STRING, &model, "C.json", "a configuration or preset, such as train/tiny"},
    {"steps", LT_OPT_INT, &steps, "N", "sampler steps of a streamed block", .min = 1, .max = 1000},
    {"set", LT_OPT_STRINGS, &settings, "KEY=VALUE", "overrides a key of the configuration"},
    {NULL}};

static void print_op(const lt_bench_row *row, void *user) {
    int *count = user;
    if (lt_global.json)
        printf("%s\n  {\"op\": \"%s\", \"tokens\": %" PRId64 ", \"channels\": %" PRId64
               ", \"ms\": %.6g, \"gflops\": %.6g, \"gbytes\": %.6g, \"bound\": \"%s\", \"share\": %.4g}",
               *count ? "," : "[", row->op, row->tokens, row->channels, row->ms, row->gflops, row->gbytes,
               row->compute_bound ? "compute" : "memory", row->share);
    else if (!*count)
        printf("%-26s %8s %8s %10s %10s %8s %8s\n", "op", "tokens", "channels", "ms", "GFLOP/s", "GB/s",
               "limit");
    if (!lt_global.json)
        printf("%-26s %8" PRId64 " %8" PRId64 " %10.4f %10.2f %8.2f %6.0f %%%s\n", row->op, row->tokens,
               row->channels, row->ms, row->gflops, row->gbytes, 100 * row->share,
               row->compute_bound ? " c" : " m");
    fflush(stdout);
    ++*count;
}

static lt_status bench_ops(lt_device *device) {
    lt_bench_limits limits;
    int count = 0;
    LT_TRY(lt_bench_ops(device, op, &limits, print_op, &count));
    if (lt_global.json) printf("\n]\n");
    else
        printf("limits measured now: %.1f GFLOP/s (c: a product), %.1f GB/s (m: a copy)\n", limits.gflops,
               limits.gbytes);
    return LT_OK;
}

static lt_status bench_model(lt_device *device) {
    lt_config *config;
    lt_model_bench b;
    char peak[32];
    LT_TRY(lt_config_load(model, settings.items, settings.count, &config));
    lt_status status = lt_bench_model(config, device, (int)steps, &b);
    lt_config_free(config);
    LT_TRY(status);
    if (lt_global.json) {
        printf("{\"tokens\": %" PRId64
               ", \"forward_ms\": %.6g, \"block_step_ms\": %.6g, \"stream_ms\": %.6g, \"stream_steps\": %d, "
               "\"train_ms\": %.6g, \"train_tokens\": %.0f, \"peak_bytes\": %" PRId64 "}\n",
               b.tokens, b.forward_ms, b.block_step_ms, b.stream_ms, b.stream_steps, b.train_ms,
               b.train_tokens, b.peak_bytes);
        return LT_OK;
    }
    printf("forward        %10.2f ms   one block of %" PRId64 " tokens\n", b.forward_ms, b.tokens);
    printf("step alone     %10.2f ms   a training step on that block, without history\n", b.block_step_ms);
    printf("streamed block %10.2f ms   %d sampler steps and the commit\n", b.stream_ms, b.stream_steps);
    printf("training step  %10.2f ms   %.0f tokens, %.0f tokens/s, %s on the device\n", b.train_ms,
           b.train_tokens, 1e3 * b.train_tokens / b.train_ms, lt_format_bytes(b.peak_bytes, peak));
    return LT_OK;
}

static lt_status run(int positional_count, const char *const *positional) {
    (void)positional_count, (void)positional;
    lt_device *device;
    LT_CHECK(op || model, LT_USAGE, "give --op NAME (or all) or --model PRESET");
    LT_CHECK(!op || !model, LT_USAGE, "--op and --model exclude each other");
    LT_TRY(lt_device_open(lt_global.device, &device));
    lt_status status = op ? bench_ops(device) : bench_model(device);
    lt_device_close(device);
    return status;
}

const lt_command lt_cmd_bench = {
    .name = "bench",
    .summary = "time ops against the machine's limits, or a model's steps",
    .usage = "--op NAME | --model PRESET",
    .details =
        "Ops: milliseconds, GFLOP/s, GB/s, and the share of the limit that is nearer, measured in the same "
        "run.\n"
        "Model: one forward and one plain training step of a block alone, one streamed block with a full\n"
        "cache (window of 3), one training step of the configuration (each policy of the mix in turn).\n"
        "\n"
        "  longtake bench --op all\n"
        "  longtake bench --model train/tiny --set train.batch=4\n",
    .options = options,
    .run = run};
