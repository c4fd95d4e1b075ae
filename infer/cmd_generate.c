#include "core/cli.h"
#include "core/json.h"
#include "core/log.h"
#include "core/output.h"
#include "core/parallel.h"
#include "core/source.h"
#include "data/video_writer.h"
#include "infer/block_stats.h"
#include "infer/cache_shape.h"
#include "infer/history.h"
#include "infer/memory.h"
#include "infer/prompts.h"
#include "infer/stream.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct generate_options {
    lt_globals global;
    const char *run, *out, *checkpoint, *prompt, *prompts, *from, *stats, *memory_limit;
    const char *policy, *budget, *sampler;
    int64_t blocks, history, steps;
    double guidance, shift, fps;
    bool force;
} generate_options;

static const generate_options defaults = {.global = LT_GLOBALS,
                                          .policy = "sink",
                                          .budget = "3",
                                          .sampler = "euler",
                                          .blocks = 8,
                                          .history = 1,
                                          .steps = 20,
                                          .guidance = 1,
                                          .shift = 1};

static const lt_option options[] = {
    {"run", LT_OPT_STRING, offsetof(generate_options, run), "DIR",
     "a run, or a folder with published weights", .required = true},
    {"out", LT_OPT_STRING, offsetof(generate_options, out), "FILE",
     "the mp4 to write; FILE.json beside it says how it was made", .required = true},
    {"checkpoint", LT_OPT_STRING, offsetof(generate_options, checkpoint), "NAME",
     "best, latest or step-N; default: best if there is one, else latest"},
    {"blocks", LT_OPT_INT, offsetof(generate_options, blocks), "N", "blocks to generate", .min = 1,
     .max = 100000000},
    {"prompt", LT_OPT_STRING, offsetof(generate_options, prompt), "TEXT",
     "what to show; default: nothing said"},
    {"prompts", LT_OPT_STRING, offsetof(generate_options, prompts), "FILE",
     "a prompt per line, for equal shares of the blocks, or \"BLOCK: PROMPT\""},
    {"from", LT_OPT_STRING, offsetof(generate_options, from), "CLIP",
     "go on from the first frames of a video file, or of DATASET.h5:INDEX"},
    {"history", LT_OPT_INT, offsetof(generate_options, history), "N",
     "blocks of --from, written in front of the generated ones", .min = 1, .max = 100000},
    {"steps", LT_OPT_INT, offsetof(generate_options, steps), "N", "sampler steps per block", .min = 1,
     .max = 10000},
    {"sampler", LT_OPT_STRING, offsetof(generate_options, sampler), "NAME",
     "euler, or heun: second order, twice the work", .choices = "euler|heun"},
    {"guidance", LT_OPT_FLOAT, offsetof(generate_options, guidance), "G",
     "how far to follow the prompt; 1: no guidance, half the work", .min = 0, .max = 100},
    {"shift", LT_OPT_FLOAT, offsetof(generate_options, shift), "S",
     "shift of the time grid; above 1: more steps near noise", .min = 0.01, .max = 100},
    {"policy", LT_OPT_STRING, offsetof(generate_options, policy), "P",
     "who stays in the cache; see longtake list policies"},
    {"budget", LT_OPT_STRING, offsetof(generate_options, budget), "M",
     "of the cache: entries, bytes (60MiB) or a share of all entries (25%)"},
    {"stats", LT_OPT_STRING, offsetof(generate_options, stats), "FILE",
     "JSON with scores, weights and victims of every block"},
    {"fps", LT_OPT_FLOAT, offsetof(generate_options, fps), "F",
     "frames per second; default: that of --from, else 16", .min = 0, .max = 240},
    {"memory-limit", LT_OPT_STRING, offsetof(generate_options, memory_limit), "SIZE",
     "what it may take of the device, as 16GiB"},
    {"force", LT_OPT_FLAG, offsetof(generate_options, force), NULL,
     "replace existing files when the new ones are complete"},
    {NULL}};

typedef struct job {
    const generate_options *opt;
    /* Where things go: to the last three while the video is not complete. */
    char summary_file[LT_PATH_MAX], part_file[LT_PATH_MAX], part_summary[LT_PATH_MAX],
        part_stats[LT_PATH_MAX];
    bool stale_parts; /* a generate that was stopped has left some */
    lt_device *device;
    lt_model *model;
    char weights[LT_PATH_MAX]; /* the checkpoint folder */
    lt_cache_spec spec;
    int64_t wide_bytes; /* lt_dit.wide_bytes that --memory-limit makes necessary; 0: the usual ones */
    lt_prompts prompts;
    lt_history history;
    lt_video_stream *stream;
    lt_frame_stream *encoder, *decoder; /* of the history; of what is shown */
    lt_block_stats *stats;
    lt_video_writer *video;
    int lock; /* on the part of the video */
    float *latents;
    uint8_t *rgb;
    double fps;
    int64_t total, done; /* blocks, given ones included */
    double seconds;      /* generating */
    cJSON *arguments;
} job;

static lt_status name_files(job *j) {
    static const char *const endings[] = {".mp4", ".m4v"};
    const char *dot = strrchr(lt_path_base(j->opt->out), '.');
    bool known = false;
    for (int i = 0; i < 2 && dot; i++) known = known || strcasecmp(dot, endings[i]) == 0;
    LT_CHECK(known, LT_USAGE, "--out: %s: the video is an mp4; give it a name that ends with .mp4 or .m4v",
             j->opt->out);
    LT_TRY(lt_part_path(j->opt->out, j->part_file));
    LT_CHECK(strlen(j->part_file) + 6 < LT_PATH_MAX, LT_USAGE, "%.60s...: path too long", j->opt->out);
    snprintf(j->summary_file, sizeof j->summary_file, "%s.json", j->opt->out);
    snprintf(j->part_summary, sizeof j->part_summary, "%.*s.json", LT_PATH_MAX - 6, j->part_file);
    return LT_OK;
}

static void see_own(const char *key, const char *value, void *user) {
    (void)value;
    if (strcmp(key, "weights_hash") == 0 || strcmp(key, "weights") == 0) /* as 0.1.0 had it */
        *(bool *)user = true;
}

/* What a stopped generate left is replaced; anything else of that name is not ours. */
static lt_status check_part(job *j) {
    struct stat info;
    if (stat(j->part_file, &info) != 0) return LT_OK;
    bool own = info.st_size == 0;
    j->stale_parts = true;
    if (j->opt->force || own) return LT_OK;
    lt_status status = lt_video_metadata(j->part_file, see_own, &own);
    LT_CHECK(
        own || status == LT_UNAVAILABLE, LT_USAGE,
        "%s, where the video is written until it is complete, exists and was not made by generate; move it, "
        "or replace it with --force",
        j->part_file);
    lt_warn("%s is what a generate that was stopped left; it is replaced", j->part_file);
    return LT_OK;
}

/* Before any work. */
static lt_status check_options(job *j) {
    char source[LT_PATH_MAX] = "";
    LT_CHECK(!j->opt->prompt || !j->opt->prompts, LT_USAGE, "--prompt and --prompts exclude each other");
    LT_TRY(name_files(j));
    if (j->opt->from) snprintf(source, sizeof source, "%s", j->opt->from);
    char *colon =
        j->opt->from && !lt_path_exists(j->opt->from) ? strrchr(source, ':') : NULL; /* DATASET.h5:INDEX */
    if (colon) *colon = '\0';
    if (j->opt->stats) LT_TRY(lt_part_path(j->opt->stats, j->part_stats));
    const lt_file_use uses[] = {
        {"--from", j->opt->from ? source : NULL, .input = true},
        {"--prompts", j->opt->prompts, .input = true},
        {"--out", j->opt->out},
        {"--out (its FILE.json)", j->summary_file},
        {"--out (until it is complete)", j->part_file, .remains = true},
        {"--out (until it is complete)", j->part_summary, .remains = true},
        {"--stats", j->opt->stats},
        {"--stats (if it is stopped)", j->opt->stats ? j->part_stats : NULL, .remains = true}};
    LT_TRY(lt_check_files(uses, sizeof uses / sizeof *uses, j->opt->force));
    return check_part(j);
}

static lt_status read_policy(job *j, const lt_model *model) {
    return lt_spec_read(model, j->opt->policy, j->opt->budget, j->total, &j->spec);
}

static lt_stream_options stream_options(const job *j, const lt_model *model) {
    return (lt_stream_options){.steps = (int)j->opt->steps,
                               .sampler =
                                   strcmp(j->opt->sampler, "heun") == 0 ? LT_SAMPLER_HEUN : LT_SAMPLER_EULER,
                               .shift = j->opt->shift,
                               .guidance = j->opt->guidance,
                               .seed = j->opt->global.seed < 0 ? 0 : (uint64_t)j->opt->global.seed,
                               .spec = lt_spec_for_blocks(model, &j->spec, j->total)};
}

/* With the slots of one entry, and without guidance: what would take less. */
static lt_status check_stream(job *j, lt_model *shadow, int64_t limit) {
    lt_memory memory, least;
    char advice[96], text[32];
    LT_TRY(read_policy(j, shadow));
    lt_stream_options wanted = stream_options(j, shadow), less = wanted;
    less.spec.budget = wanted.spec.budget > 1 ? 1 : wanted.spec.budget;
    less.guidance = 1;
    LT_TRY(lt_memory_fit_streaming(shadow, &wanted, limit, &memory));
    LT_TRY(lt_memory_streaming(shadow, &less, &least));
    j->wide_bytes = shadow->dit.wide_bytes;
    snprintf(advice, sizeof advice, "with --budget %d and no guidance %s", less.spec.budget,
             lt_format_bytes(lt_memory_peak(&least), text));
    return lt_memory_check(&memory, limit, "the video", advice);
}

/* Before the model is opened. */
static lt_status check_memory(job *j) {
    int64_t limit;
    lt_shadow shadow;
    if (!j->opt->memory_limit) return LT_OK;
    LT_TRY(lt_parse_memory_limit(j->opt->memory_limit, &limit));
    LT_TRY(lt_shadow_open_run(j->opt->run, j->opt->checkpoint, j->device, &shadow));
    lt_status status = check_stream(j, shadow.model, limit);
    lt_shadow_close(&shadow);
    return status;
}

static lt_status open_model(job *j) {
    j->total = j->opt->blocks + (j->opt->from ? j->opt->history : 0);
    LT_TRY(lt_device_open_as(j->opt->global.device ? j->opt->global.device : "cpu", j->opt->global.precision,
                             j->opt->global.kernels, &j->device));
    LT_CHECK(!lt_device_is_null(j->device), LT_USAGE,
             "--device %s computes nothing; `longtake plan` says what a model would take there",
             j->opt->global.device);
    LT_TRY(check_memory(j));
    LT_TRY(lt_run_open(j->opt->run, j->opt->checkpoint, j->device, &j->model, NULL, j->weights));
    if (j->wide_bytes) j->model->dit.wide_bytes = j->wide_bytes;
    return LT_OK;
}

static lt_status open_inputs(job *j) {
    LT_TRY(read_policy(j, j->model));
    LT_TRY(j->opt->prompts ? lt_prompts_read(j->opt->prompts, j->total, &j->prompts)
                           : lt_prompts_one(j->opt->prompt, &j->prompts));
    j->fps = j->opt->fps > 0 ? j->opt->fps : 16;
    if (!j->opt->from) return LT_OK;
    LT_TRY(lt_history_read(j->model, j->opt->from, j->opt->history, j->fps, &j->history));
    if (j->opt->fps <= 0) j->fps = j->history.fps;
    return LT_OK;
}

static lt_status open_stream(job *j) {
    int64_t n[4];
    lt_stream_options o = stream_options(j, j->model);
    if (j->opt->stats) LT_TRY(lt_block_stats_open(j->opt->stats, &j->stats, &o.observer));
    LT_TRY(lt_video_stream_open(j->model, &o, &j->stream));
    if (j->stats) LT_TRY(lt_block_stats_begin(j->stats, j->model, &j->spec, j->stream));
    lt_model_block_shape(j->model, n);
    size_t pixels = (size_t)j->model->frame_height * (size_t)j->model->frame_width;
    if (j->opt->from) LT_TRY(lt_frame_stream_open(j->model, LT_CODEC_ENCODE, n[0], &j->encoder));
    LT_TRY(lt_frame_stream_open(j->model, LT_CODEC_DECODE, n[0], &j->decoder));
    j->latents = malloc((size_t)(n[0] * n[1] * n[2] * n[3]) * sizeof *j->latents);
    j->rgb = malloc((size_t)lt_model_frames_per_block(j->model) * pixels * 3);
    LT_CHECK(j->latents && j->rgb, LT_FAILED, "generate: out of memory for a block");
    return LT_OK;
}

/* ---- what is told about the video ---------------------------------------------------------------------- */

static void add_text(cJSON *to, const char *key, const char *text) {
    cJSON_AddItemToObject(to, key, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

/* What rounds differently elsewhere. A limit may have the Mix-FFN take fewer frames at once. */
static void add_machine(const job *j, cJSON *to, const lt_device *device) {
    char commit[LT_COMMIT_MAX];
    add_text(to, "device", device->ops->name);
    add_text(to, "target", device->target.name);
    add_text(to, "precision", lt_device_precision(device));
    add_text(to, "kernels", lt_device_kernels(device));
    add_text(to, "memory_limit", j->opt->memory_limit);
    cJSON_AddNumberToObject(to, "threads", lt_threads());
    add_text(to, "commit", lt_source_commit(commit) ? commit : NULL);
}

static lt_status describe(job *j) {
    char text[LT_SPEC_TEXT], hash[LT_HASH_TEXT];
    uint64_t weights;
    LT_TRY(lt_weights_hash(j->weights, &weights));
    cJSON *a = j->arguments = cJSON_CreateObject();
    LT_CHECK(a, LT_FAILED, "generate: out of memory");
    add_text(a, "run", j->opt->run);
    add_text(a, "checkpoint", lt_path_base(j->weights));
    add_text(a, "weights_hash", lt_hash_text(weights, hash));
    add_text(a, "prompt", j->opt->prompt);
    add_text(a, "prompts", j->opt->prompts);
    add_text(a, "from", j->opt->from);
    cJSON_AddNumberToObject(a, "history", j->opt->from ? (double)j->opt->history : 0);
    cJSON_AddNumberToObject(a, "blocks", (double)j->opt->blocks);
    cJSON_AddNumberToObject(a, "steps", (double)j->opt->steps);
    add_text(a, "sampler", j->opt->sampler);
    cJSON_AddNumberToObject(a, "guidance", j->opt->guidance);
    cJSON_AddNumberToObject(a, "shift", j->opt->shift);
    cJSON_AddNumberToObject(a, "seed", j->opt->global.seed < 0 ? 0 : (double)j->opt->global.seed);
    add_text(a, "policy", lt_cache_spec_text(&j->spec, text, sizeof text));
    cJSON_AddNumberToObject(a, "budget", j->spec.budget);
    cJSON_AddNumberToObject(a, "fps", j->fps);
    add_machine(j, a, j->device);
    return LT_OK;
}

enum { PAIRS_MAX = 32, NUMBER_TEXT = 32 };

/* The arguments as the mp4's metadata. */
static lt_status open_video(job *j) {
    const char *pairs[PAIRS_MAX][2];
    char numbers[PAIRS_MAX][NUMBER_TEXT];
    int count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, j->arguments) {
        if (cJSON_IsNull(item) || count == PAIRS_MAX) continue;
        snprintf(numbers[count], NUMBER_TEXT, "%.15g", item->valuedouble);
        pairs[count][0] = item->string;
        pairs[count][1] = cJSON_IsString(item) ? item->valuestring : numbers[count];
        count++;
    }
    lt_video_writer_spec spec = {.width = j->model->frame_width,
                                 .height = j->model->frame_height,
                                 .fps = j->fps,
                                 .metadata = (const char *const(*)[2])pairs,
                                 .metadata_count = count};
    LT_TRY(lt_lock_file(j->part_file, &j->lock));
    lt_status status = lt_video_writer_open(j->opt->out, &spec, &j->video);
    if (status != LT_OK) remove(j->part_file);
    LT_TRY(status);
    /* Another generate may have made it since; whoever has the part has the name. */
    LT_CHECK(j->opt->force || !lt_path_exists(j->opt->out), LT_USAGE, "--out: %s exists; --force replaces it",
             j->opt->out);
    return LT_OK;
}

static void add_memory(cJSON *root, const job *j) {
    lt_stream_memory m = lt_video_stream_memory(j->stream);
    cJSON *bytes = cJSON_AddObjectToObject(root, "bytes");
    cJSON_AddNumberToObject(bytes, "slots", (double)m.slots);
    cJSON_AddNumberToObject(bytes, "tails", (double)m.tails);
    cJSON_AddNumberToObject(bytes, "metadata",
                            (double)lt_cache_metadata_bytes(lt_video_stream_cache(j->stream)));
    cJSON_AddNumberToObject(bytes, "run", (double)m.run);
    cJSON_AddNumberToObject(bytes, "step", (double)m.step);
    cJSON_AddNumberToObject(bytes, "scratch", (double)m.scratch);
}

/* The summary: beside the part of the video, and on stdout with --json. */
static lt_status write_summary(const job *j, bool complete) {
    char *text = NULL;
    size_t size;
    int64_t given = j->opt->from ? j->opt->history : 0, made = j->done > given ? j->done - given : 0;
    cJSON *root = cJSON_CreateObject();
    LT_CHECK(root, LT_FAILED, "%s: out of memory", j->part_summary);
    add_text(root, "video", complete ? j->opt->out : j->part_file);
    cJSON_AddNumberToObject(root, "frames", (double)lt_model_frames(j->model, j->done));
    cJSON_AddNumberToObject(root, "blocks", (double)j->done);
    cJSON_AddBoolToObject(root, "complete", complete);
    cJSON_AddNumberToObject(root, "seconds", j->seconds);
    cJSON_AddNumberToObject(root, "seconds_per_block", made ? j->seconds / (double)made : 0);
    add_memory(root, j);
    cJSON_AddItemReferenceToObject(root, "arguments", j->arguments);
    FILE *memory = open_memstream(&text, &size);
    if (memory) {
        lt_json_write(memory, root, 0);
        fputc('\n', memory);
        fclose(memory);
    }
    cJSON_Delete(root);
    lt_status status = text ? lt_write_file(j->part_summary, text, size)
                            : lt_fail(LT_FAILED, "%s: out of memory", j->part_summary);
    if (status == LT_OK && j->opt->global.json) fputs(text, stdout);
    free(text);
    return status;
}

/* ---- the blocks ---------------------------------------------------------------------------------------- */

static int64_t device_bytes(const job *j) { return j->device->allocated_bytes; }

/* A given block enters as the codec sees it, and is shown so. */
static lt_status make_block(job *j, bool given) {
    int64_t first = lt_model_frames(j->model, j->done), latents = j->model->config.block_frames;
    size_t frame_bytes = (size_t)j->model->frame_height * (size_t)j->model->frame_width * 3;
    const char *text = lt_prompts_at(&j->prompts, j->done);
    if (j->done == 0 || text != lt_prompts_at(&j->prompts, j->done - 1))
        LT_TRY(lt_video_stream_prompt(j->stream, text));
    double start = lt_seconds();
    if (given) {
        const uint8_t *rgb = j->history.rgb + (size_t)first * frame_bytes;
        LT_TRY(lt_frame_stream_encode(j->encoder, latents, rgb, j->latents));
        LT_TRY(lt_video_stream_push(j->stream, j->latents));
    } else LT_TRY(lt_video_stream_next(j->stream, j->latents));
    double took = lt_seconds() - start;
    if (!given) j->seconds += took;
    LT_TRY(lt_frame_stream_decode(j->decoder, latents, j->latents, j->rgb));
    LT_TRY(lt_video_writer_append(j->video, j->rgb, lt_model_frames(j->model, j->done + 1) - first));
    if (j->stats) LT_TRY(lt_block_stats_block(j->stats, given, took, device_bytes(j)));
    j->done++;
    return LT_OK;
}

static lt_status make_blocks(job *j) {
    int64_t given = j->opt->from ? j->opt->history : 0;
    while (j->done < j->total) {
        LT_CHECK(!lt_interrupted(), LT_INTERRUPTED, "interrupted; %s holds %" PRId64 " of %" PRId64 " blocks",
                 j->part_file, j->done, j->total);
        LT_TRY(make_block(j, j->done < given));
        lt_progress("generate", j->done, j->total, "blocks");
    }
    return LT_OK;
}

/* Everything is on the disk before anything gets its name. */
static lt_status publish(job *j) {
    lt_block_stats *stats = j->stats;
    j->stats = NULL;
    LT_TRY(lt_block_stats_close(stats, true));
    if (j->opt->stats && j->stale_parts) remove(j->part_stats);
    LT_TRY(lt_rename(j->part_file, j->opt->out));
    return lt_rename(j->part_summary, j->summary_file);
}

/* What was generated is kept, whatever ended it; a file without a block is not. The first failure is the
 * one reported. */
static lt_status finish(job *j, lt_status status) {
    char message[1024];
    snprintf(message, sizeof message, "%s", lt_error());
    lt_status closed = lt_video_writer_leave(j->video);
    j->video = NULL;
    if (j->done == 0) remove(j->part_file);
    else if (closed == LT_OK) closed = write_summary(j, status == LT_OK);
    if (status == LT_OK && closed == LT_OK) return publish(j);
    if (j->done > 0) {
        lt_status left = lt_block_stats_leave(j->stats);
        if (closed == LT_OK) closed = left;
        j->stats = NULL;
    }
    return status != LT_OK ? lt_fail(status, "%s", message) : closed;
}

static void close_job(job *j) {
    lt_block_stats_close(j->stats, false);
    if (j->video) { /* not a block was made */
        (void)lt_video_writer_leave(j->video);
        remove(j->part_file);
    }
    if (j->lock >= 0) close(j->lock);
    lt_video_stream_close(j->stream);
    lt_frame_stream_close(j->encoder);
    lt_frame_stream_close(j->decoder);
    lt_history_free(&j->history);
    lt_prompts_free(&j->prompts);
    lt_model_close(j->model);
    if (j->device) lt_device_close(j->device);
    cJSON_Delete(j->arguments);
    free(j->latents);
    free(j->rgb);
}

static void report(const job *j) {
    if (j->opt->global.json || j->opt->global.quiet) return;
    printf("%s: %" PRId64 " blocks, %" PRId64 " frames at %g fps, %.1f ms per generated block\n", j->opt->out,
           j->done, lt_model_frames(j->model, j->done), j->fps,
           j->opt->blocks ? 1e3 * j->seconds / (double)j->opt->blocks : 0);
}

static lt_status run_generate(const void *options_given, int positional_count,
                              const char *const *positional) {
    (void)positional_count, (void)positional;
    job j = {.opt = options_given, .lock = -1};
    LT_TRY(check_options(&j));
    lt_catch_signals();
    lt_status status = open_model(&j);
    if (status == LT_OK) status = open_inputs(&j);
    if (status == LT_OK) status = open_stream(&j);
    if (status == LT_OK) status = describe(&j);
    if (status == LT_OK) status = open_video(&j);
    if (status == LT_OK) status = finish(&j, make_blocks(&j));
    if (status == LT_OK) report(&j);
    close_job(&j);
    return status;
}

const lt_command lt_cmd_generate = {
    .name = "generate",
    .summary = "video of any length out of a trained run",
    .usage = "--run DIR --out V.mp4 [--blocks N] [--prompt T | --prompts FILE] [--from CLIP] [--policy P] "
             "[--budget M]",
    .details =
        "Generates block after block with a cache of fixed memory and writes each to the mp4 as soon\n"
        "as it is there. Until it is complete the file is V.part.mp4, which plays while it grows, and\n"
        "after a kill or ^C (exit 6, with V.part.mp4.json); the next generate of the same name\n"
        "replaces it, so move it to keep it. What is there under the names of --out and --stats is\n"
        "refused, or with --force replaced when the new video is complete.\n"
        "\n"
        "All arguments, the seed, the policy with its parameters, the hash of the weights, the device\n"
        "and its precision are in the mp4's metadata and in FILE.json beside it. The same arguments\n"
        "give the same latents, to the bit, on the same machine with the same number of threads. On a\n"
        "GPU, large GEMMs that algorithms.json of the run does not list are timed anew in each\n"
        "process, and may round differently.\n"
        "\n"
        "  longtake generate --run runs/tiny --out v.mp4 --blocks 32 --policy sink:n=1 --budget 3\n"
        "  longtake generate --run runs/tiny --out v.mp4 --from data.h5:12 --history 2 --stats v.stats.json\n"
        "  longtake generate --run runs/tiny --out v.mp4 --prompts scenes.txt --guidance 3 --seed 7\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .run = run_generate};
