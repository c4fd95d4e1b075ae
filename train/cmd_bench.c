#include "core/cli.h"
#include "kernels/bench.h"
#include "train/bench_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct bench_options {
    lt_globals global;
    const char *op, *model, *only, *recompute, *memory_limit;
    int64_t steps, batch;
    bool profiled, no_graphs;
    lt_strings settings;
} bench_options;

static const bench_options defaults = {.global = LT_GLOBALS, .steps = 4, .batch = 1};

static const lt_option options[] = {
    {"op", LT_OPT_STRING, offsetof(bench_options, op), "NAME", "an op, or all; see `longtake list ops`"},
    {"model", LT_OPT_STRING, offsetof(bench_options, model), "C.json",
     "a configuration or preset, such as train/tiny"},
    {"only", LT_OPT_STRING, offsetof(bench_options, only), "WHAT", "of a model; without it, all four",
     .choices = "forward|step|stream|train"},
    {"batch", LT_OPT_INT, offsetof(bench_options, batch), "N",
     "sequences of the forward and of the step alone", .min = 1, .max = 16},
    {"recompute", LT_OPT_STRING, offsetof(bench_options, recompute), "WHAT",
     "of the steps: none, all, auto or JSON; else what train.recompute says"},
    {"memory-limit", LT_OPT_STRING, offsetof(bench_options, memory_limit), "SIZE",
     "refuse work of a model that takes more, as 58GiB; also what --recompute auto fits itself to"},
    {"profile", LT_OPT_FLAG, offsetof(bench_options, profiled), NULL,
     "a line per op of the last piece of work; of a streamed block without graphs"},
    {"steps", LT_OPT_INT, offsetof(bench_options, steps), "N", "sampler steps of a streamed block", .min = 1,
     .max = 1000},
    {"no-graphs", LT_OPT_FLAG, offsetof(bench_options, no_graphs), NULL,
     "of a streamed block: no CUDA graph repeats its sampler steps"},
    {"set", LT_OPT_STRINGS, offsetof(bench_options, settings), "KEY=VALUE",
     "overrides a key of the configuration"},
    {NULL}};

/* What is printed of ops, and how many lines of it. */
typedef struct op_lines {
    bool json;
    int count;
} op_lines;

static void print_op(const lt_bench_row *row, void *user) {
    op_lines *lines = user;
    int *count = &lines->count;
    if (lines->json)
        printf("%s\n  {\"op\": \"%s\", \"tokens\": %" PRId64 ", \"channels\": %" PRId64
               ", \"ms\": %.6g, \"gflops\": %.6g, \"gbytes\": %.6g, \"bound\": \"%s\", \"share\": %.4g}",
               *count ? "," : "[", row->op, row->tokens, row->channels, row->ms, row->gflops, row->gbytes,
               row->compute_bound ? "compute" : "memory", row->share);
    else if (!*count)
        printf("%-26s %8s %8s %10s %10s %8s %8s\n", "op", "tokens", "channels", "ms", "GFLOP/s", "GB/s",
               "limit");
    if (!lines->json)
        printf("%-26s %8" PRId64 " %8" PRId64 " %10.4f %10.2f %8.2f %6.0f %%%s\n", row->op, row->tokens,
               row->channels, row->ms, row->gflops, row->gbytes, 100 * row->share,
               row->compute_bound ? " c" : " m");
    fflush(stdout);
    ++*count;
}

static lt_status bench_ops(const bench_options *opt, lt_device *device) {
    lt_bench_limits limits;
    op_lines lines = {opt->global.json, 0};
    LT_TRY(lt_bench_ops(device, opt->op, &limits, print_op, &lines));
    if (opt->global.json) printf("\n]\n");
    else
        printf("limits measured now: %.1f GFLOP/s (c: a GEMM), %.1f GB/s (m: a copy)\n", limits.gflops,
               limits.gbytes);
    return LT_OK;
}

static int selected(const bench_options *opt) {
    static const char *const names[] = {"forward", "step", "stream", "train"};
    for (int i = 0; opt->only && i < 4; i++)
        if (strcmp(opt->only, names[i]) == 0) return 1 << i;
    return LT_BENCH_ALL;
}

static void print_json(const bench_options *opt, const lt_model_bench *b) {
    printf("{\"tokens\": %" PRId64 ", \"batch\": %" PRId64 ", \"stream_steps\": %" PRId64, b->tokens,
           opt->batch, opt->steps);
    printf(", \"forward_ms\": %.6g, \"block_step_ms\": %.6g, \"stream_ms\": %.6g, \"train_ms\": %.6g",
           b->forward_ms, b->step_ms, b->stream_ms, b->train_ms);
    printf(", \"forward_bytes\": %" PRId64 ", \"block_step_bytes\": %" PRId64 ", \"stream_bytes\": %" PRId64
           ", \"peak_bytes\": %" PRId64 ", \"train_tokens\": %.0f",
           b->forward_bytes, b->step_bytes, b->stream_bytes, b->train_bytes, b->train_tokens);
    printf(", \"forward_planned\": %" PRId64 ", \"block_step_planned\": %" PRId64
           ", \"stream_planned\": %" PRId64 ", \"train_planned\": %" PRId64 ", \"context_bytes\": %" PRId64
           ", \"library_bytes\": %" PRId64 "}\n",
           b->forward_planned, b->step_choice.peak, b->stream_planned, b->train_choice.peak, b->context_bytes,
           b->library_bytes);
}

static void print_row(const char *what, double ms, int64_t bytes, const char *format, ...) LT_PRINTF(4, 5);
static void print_row(const char *what, double ms, int64_t bytes, const char *format, ...) {
    char held[32];
    va_list arguments;
    if (ms == 0) return;
    printf("%-14s %10.2f ms %10s   ", what, ms, lt_format_bytes(bytes, held));
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

/* What was planned for work that held `bytes`, and what the device holds in all, with context and kernels. */
static void print_planned(const char *what, double ms, const lt_model_bench *b, int64_t bytes,
                          int64_t planned) {
    char one[32], two[32];
    int64_t all = bytes + b->context_bytes + b->library_bytes;
    if (ms == 0) return;
    printf("%-14s planned %s, holds %s with context and kernels (%+.1f %%)\n", what,
           lt_format_bytes(planned, one), lt_format_bytes(all, two),
           100.0 * (double)(all - planned) / (double)planned);
}

static void print_choice(const char *what, double ms, const lt_model_bench *b,
                         const lt_recompute_choice *choice) {
    char text[LT_RECOMPUTE_TEXT];
    if (ms > 0) printf("%-14s recompute %s\n", what, lt_recompute_text(&choice->keep, b->layers, text));
}

static void print_memory(const lt_model_bench *b) {
    char one[32], two[32];
    printf("memory         context at open %s, kernels and libraries since then %s\n",
           lt_format_bytes(b->context_bytes, one), lt_format_bytes(b->library_bytes, two));
    print_planned("forward", b->forward_ms, b, b->forward_bytes, b->forward_planned);
    print_planned("step alone", b->step_ms, b, b->step_bytes, b->step_choice.peak);
    print_planned("streamed block", b->stream_ms, b, b->stream_bytes, b->stream_planned);
    print_planned("training step", b->train_ms, b, b->train_bytes, b->train_choice.peak);
    print_choice("step alone", b->step_ms, b, &b->step_choice);
    print_choice("training step", b->train_ms, b, &b->train_choice);
}

static void print_model(const bench_options *opt, const lt_model_bench *b) {
    print_row("forward", b->forward_ms, b->forward_bytes, "%" PRId64 " x one block of %" PRId64 " tokens",
              opt->batch, b->tokens);
    print_row("step alone", b->step_ms, b->step_bytes, "a training step on that, without history");
    print_row("streamed block", b->stream_ms, b->stream_bytes, "%" PRId64 " sampler steps and the commit",
              opt->steps);
    print_row("training step", b->train_ms, b->train_bytes, "%.0f tokens, %.0f tokens/s", b->train_tokens,
              1e3 * b->train_tokens / b->train_ms);
    print_memory(b);
}

static void print_profile(const lt_meter *meters) {
    double host = 0, waited = 0;
    printf("%-26s %7s %10s %10s %9s %9s\n", "op", "calls", "host ms", "alone ms", "TFLOP/s", "GB/s");
    for (int i = 0; i < LT_OP_COUNT; i++) {
        double seconds = meters[1].op[i].seconds;
        if (!meters[1].op[i].calls) continue;
        printf("%-26s %7" PRId64 " %10.3f %10.3f %9.2f %9.1f\n", lt_op_at((lt_op_id)i)->name,
               meters[1].op[i].calls, 1e3 * meters[0].op[i].seconds, 1e3 * seconds,
               1e-12 * meters[1].op[i].flops / seconds, 1e-9 * meters[1].op[i].bytes / seconds);
        host += meters[0].op[i].seconds, waited += seconds;
    }
    printf("%-26s %7s %10.3f %10.3f   host: until calls return; alone: each waited for\n", "all", "",
           1e3 * host, 1e3 * waited);
}

static lt_status bench_model(const bench_options *opt, lt_device *device) {
    lt_meter meters[2] = {0};
    lt_config *config;
    lt_model_bench b;
    lt_model_bench_options wanted = {.what = selected(opt),
                                     .batch = (int)opt->batch,
                                     .stream_steps = (int)opt->steps,
                                     .no_graphs = opt->no_graphs,
                                     .recompute = opt->recompute,
                                     .profile = opt->profiled ? meters : NULL};
    LT_TRY(lt_parse_memory_limit(opt->memory_limit, &wanted.memory_limit));
    LT_TRY(lt_config_load(opt->model, opt->settings.items, opt->settings.count, &config));
    lt_status status = lt_bench_model(config, device, &wanted, &b);
    lt_config_free(config);
    LT_TRY(status);
    if (opt->global.json) print_json(opt, &b);
    else print_model(opt, &b);
    if (opt->profiled && !opt->global.json) print_profile(meters);
    return LT_OK;
}

static lt_status run_bench(const void *options_given, int positional_count, const char *const *positional) {
    const bench_options *opt = options_given;
    (void)positional_count, (void)positional;
    lt_device *device;
    LT_CHECK(opt->op || opt->model, LT_USAGE, "give --op NAME (or all) or --model PRESET");
    LT_CHECK(!opt->op || !opt->model, LT_USAGE, "--op and --model exclude each other");
    LT_CHECK(opt->model || (!opt->recompute && !opt->memory_limit), LT_USAGE,
             "--recompute and --memory-limit are about --model");
    LT_CHECK(!opt->profiled || (opt->model && !opt->global.json), LT_USAGE,
             "--profile is a table about --model; not with --op or --json");
    LT_TRY(lt_device_open_as(opt->global.device, opt->global.precision, opt->global.kernels, &device));
    lt_status status = opt->op ? bench_ops(opt, device) : bench_model(opt, device);
    lt_device_close(device);
    return status;
}

const lt_command lt_cmd_bench = {
    .name = "bench",
    .summary = "time ops against the machine's limits, or a model's steps",
    .usage = "--op NAME | --model PRESET [--only WHAT] [--recompute WHAT] [--memory-limit M] [--set k=v]",
    .details =
        "Ops: milliseconds, GFLOP/s, GB/s, and the share of the limit that is nearer, measured in the\n"
        "same run. Model: one forward and one plain training step of a block alone, one streamed\n"
        "block with a full cache (window of 3), one training step of the configuration (each policy\n"
        "of the mix in turn); and the most memory each held on the device.\n"
        "\n"
        "  longtake bench --op all\n"
        "  longtake bench --model train/tiny --set train.batch=4\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .run = run_bench};
