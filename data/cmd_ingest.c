#include "core/cli.h"
#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#include "data/ingest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct ingest_options {
    lt_globals global;
    const char *out, *size, *group_by;
    double fps, clip_seconds;
    int64_t clip_frames, min_frames;
    lt_strings domains, roles;
    bool strict, no_cuts;
} ingest_options;

static const ingest_options defaults = {
    .global = LT_GLOBALS, .group_by = "source", .clip_seconds = 60, .min_frames = 8};

static const lt_option options[] = {
    {"out", LT_OPT_STRING, offsetof(ingest_options, out), "FILE", "dataset to make or to add to",
     .required = true},
    {"domain", LT_OPT_STRINGS, offsetof(ingest_options, domains), "NAME=PATH",
     "folder or file, and the domain its clips belong to; repeatable", .required = true},
    {"size", LT_OPT_STRING, offsetof(ingest_options, size), "WxH",
     "frame size; default 64x64, or the file's"},
    {"fps", LT_OPT_FLOAT, offsetof(ingest_options, fps), "F",
     "frames per second, at most; default 16, or the file's", .min = 0, .max = 1000},
    {"role", LT_OPT_STRINGS, offsetof(ingest_options, roles), "ROLE=SHARE",
     "share of train, val or test; default val=0.1 test=0.2; test=1: all; repeatable"},
    {"group-by", LT_OPT_STRING, offsetof(ingest_options, group_by), "RULE",
     "source, folder or prefix:S; NAME.group beside NAME.mp4 goes first"},
    {"clip-seconds", LT_OPT_FLOAT, offsetof(ingest_options, clip_seconds), "S", "longest clip; 0: any length",
     .min = 0, .max = 1e6},
    {"clip-frames", LT_OPT_INT, offsetof(ingest_options, clip_frames), "N",
     "the same in frames; 0: any length", .min = 0, .max = 1e9},
    {"min-frames", LT_OPT_INT, offsetof(ingest_options, min_frames), "N", "shorter clips are dropped",
     .min = 1, .max = 1e9},
    {"no-cuts", LT_OPT_FLAG, offsetof(ingest_options, no_cuts), NULL, "do not look for shot cuts"},
    {"strict", LT_OPT_FLAG, offsetof(ingest_options, strict), NULL,
     "end at the first file that cannot be used"},
    {NULL}};

/* What is kept as it is, or left out, and should be known: a fact of a source, and how many sources have it. */
enum { LOST, RESTARTS, HOLES, HDR, INTERLACED, ALPHA, FACTS };
static const struct {
    const char *key, *text;
} facts[FACTS] = {{"damaged", "damaged pictures, left out"},
                  {"clock_restarts", "clock restarts: joined recordings, a new clip after each"},
                  {"holes", "holes in time or held pictures: a new clip after each"},
                  {"hdr", "HDR (PQ or HLG), kept as coded without tone mapping: it will look flat"},
                  {"interlaced", "interlaced, kept as coded: both fields in one picture"},
                  {"alpha", "transparent in places: alpha is left out"}};

typedef struct totals {
    const ingest_options *opt;
    int64_t added, known, bad, clips, frames, cuts, dropped, having[FACTS];
    bool first_bad;
} totals;

static lt_status resolve_size(const ingest_options *opt, const lt_dataset_spec *file, lt_dataset_spec *spec) {
    char rest;
    *spec = file ? *file : (lt_dataset_spec){64, 64, 16, false};
    if (opt->size)
        LT_CHECK(sscanf(opt->size, "%dx%d%c", &spec->width, &spec->height, &rest) == 2, LT_USAGE,
                 "--size %s: expected WIDTHxHEIGHT in pixels, such as 64x64", opt->size);
    LT_CHECK(spec->width >= 8 && spec->height >= 8 && spec->width <= 8192 && spec->height <= 8192, LT_USAGE,
             "--size %dx%d: both sides must be 8 to 8192", spec->width, spec->height);
    if (opt->fps > 0) spec->fps = opt->fps;
    if (file)
        LT_CHECK(spec->width == file->width && spec->height == file->height && spec->fps == file->fps,
                 LT_USAGE,
                 "%s holds %dx%d at %g fps, and the options ask for %dx%d at %g fps; leave --size and --fps "
                 "out, or "
                 "choose another --out",
                 opt->out, file->width, file->height, file->fps, spec->width, spec->height, spec->fps);
    return LT_OK;
}

static lt_status open_set(const ingest_options *opt, bool exists, lt_dataset **set) {
    lt_dataset_spec spec;
    *set = NULL;
    if (exists) {
        LT_TRY(lt_dataset_open_append(opt->out, set));
        return resolve_size(opt, lt_dataset_get_spec(*set), &spec);
    }
    LT_TRY(resolve_size(opt, NULL, &spec));
    return lt_dataset_create(opt->out, &spec, set);
}

/* Warns of what was met in one source, in one line. */
static void tell_facts(const lt_source *source, const lt_video_info *video, totals *t) {
    const int64_t found[FACTS] = {video->lost, video->restarts,   video->holes,
                                  video->hdr,  video->interlaced, video->alpha};
    char text[1024] = "";
    size_t used = 0;
    for (int i = 0; i < FACTS; i++) {
        if (!found[i]) continue;
        t->having[i]++;
        /* Holes are ordinary in screen recordings: counted, and said with -v. */
        if (i == HOLES && !t->opt->global.verbose) continue;
        char count[24] = "";
        if (i < HDR) snprintf(count, sizeof count, "%" PRId64 " ", found[i]);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s%s", used ? "; " : "", count,
                                 facts[i].text);
    }
    if (used) lt_warn("%s: %s", source->path, text);
}

static void on_source(const lt_source *source, const lt_ingest_result *result, int64_t done, int64_t total,
                      void *user) {
    totals *t = user;
    t->added += result->outcome == LT_INGEST_ADDED;
    t->known += result->outcome == LT_INGEST_KNOWN;
    t->clips += result->clips;
    t->frames += result->frames;
    t->cuts += result->cuts;
    t->dropped += result->dropped;
    if (result->outcome == LT_INGEST_BAD) {
        t->bad++;
        lt_warn("skipped %s", result->reason);
        if (t->opt->global.json) {
            printf("%s\n    {\"path\": ", t->first_bad ? "" : ",");
            lt_json_write_string(stdout, source->path);
            printf(", \"reason\": ");
            lt_json_write_string(stdout, result->reason);
            printf("}");
        }
        t->first_bad = false;
    }
    if (result->outcome == LT_INGEST_ADDED)
        lt_debug("%s: %" PRId64 " clips, %" PRId64 " frames, %" PRId64 " cuts, %" PRId64
                 " frames dropped, %" PRId64 " source frames repeat",
                 source->path, result->clips, result->frames, result->cuts, result->dropped,
                 result->repeated);
    tell_facts(source, &result->video, t);
    lt_progress("ingest", done, total, "sources");
}

static void summarise_facts(const totals *t) {
    for (int i = 0; i < FACTS; i++)
        if (t->having[i])
            printf("  %" PRId64 " source%s: %s\n", t->having[i], t->having[i] == 1 ? "" : "s", facts[i].text);
}

static void summary(const ingest_options *opt, const totals *t, const lt_dataset *set, double seconds) {
    if (opt->global.json) {
        printf("%s],\n  \"sources\": %" PRId64 ", \"known\": %" PRId64 ", \"clips\": %" PRId64
               ", \"frames\": %" PRId64 ", \"cuts\": %" PRId64 ", \"frames_dropped\": %" PRId64
               ",\n  \"file_clips\": %" PRId64 ", \"seconds\": %.3f,\n  \"sources_with\": {",
               t->first_bad ? "" : "\n  ", t->added, t->known, t->clips, t->frames, t->cuts, t->dropped,
               set ? lt_dataset_clip_count(set) : (int64_t)0, seconds);
        for (int i = 0; i < FACTS; i++)
            printf("%s\"%s\": %" PRId64, i ? ", " : "", facts[i].key, t->having[i]);
        printf("}\n}\n");
    } else if (!opt->global.quiet) {
        printf("%s: %" PRId64 " sources added (%" PRId64 " clips, %" PRId64 " frames, %" PRId64
               " cuts, %" PRId64 " frames in pieces too short), %" PRId64 " were in, %" PRId64
               " skipped as bad; %.1f s\n",
               opt->out, t->added, t->clips, t->frames, t->cuts, t->dropped, t->known, t->bad, seconds);
        summarise_facts(t);
    }
}

static lt_status ingest_all(const ingest_options *opt, lt_dataset *set, const lt_sources *sources,
                            totals *t) {
    lt_ingest_options chosen = lt_ingest_defaults();
    chosen.clip_frames = opt->clip_frames;
    chosen.clip_seconds = opt->clip_seconds;
    chosen.min_frames = opt->min_frames;
    chosen.split_cuts = !opt->no_cuts;
    chosen.strict = opt->strict;
    chosen.threads = (int)opt->global.threads;
    LT_TRY(lt_role_shares_parse(&opt->roles, &chosen.shares));
    return lt_ingest(set, sources, &chosen, on_source, t);
}

static lt_status list_sources(const ingest_options *opt, lt_sources *sources) {
    lt_grouping grouping;
    LT_TRY(lt_grouping_parse(opt->group_by, &grouping));
    for (int i = 0; i < opt->domains.count; i++)
        LT_TRY(lt_sources_add(sources, opt->domains.items[i], &grouping));
    return LT_OK;
}

static lt_status run_ingest(const void *options_given, int positional_count, const char *const *positional) {
    const ingest_options *opt = options_given;
    (void)positional_count, (void)positional;
    lt_sources sources = {0};
    lt_dataset *set = NULL;
    totals t = {.opt = opt, .first_bad = true};
    bool exists = lt_path_exists(opt->out);
    double start = lt_seconds();
    lt_status status = lt_video_available();
    if (status == LT_OK) status = list_sources(opt, &sources);
    if (status == LT_OK) status = open_set(opt, exists, &set);
    if (status == LT_OK) {
        if (opt->global.json) printf("{\n  \"skipped\": [");
        status = ingest_all(opt, set, &sources, &t);
        summary(opt, &t, set, lt_seconds() - start);
    }
    /* A new file into which nothing came is not left behind. */
    if (!exists && t.clips == 0) lt_dataset_close_and_remove(set);
    else lt_dataset_close(set);
    lt_sources_free(&sources);
    return status;
}

const lt_command lt_cmd_ingest = {
    .name = "ingest",
    .summary = "video files into a dataset file",
    .usage =
        "--out FILE --domain NAME=PATH [--domain ...] [--size WxH] [--fps F] [--role test=0.2] [--strict]",
    .details =
        "Decodes each file, scales it to cover the frame and crops the rest, leaves frames out down\n"
        "to the rate (a slower source keeps its rate), splits at shot cuts and at --clip-seconds, and\n"
        "measures motion. Beside NAME.mp4, NAME.txt is its caption and NAME.group its group; all\n"
        "clips of a group have one role. A domain of a few groups gets train, test and val in turn, a\n"
        "large one by a hash of the groups' names; a group that is in keeps its role.\n"
        "\n"
        "Each source is committed as a whole: an interrupted run keeps the finished ones, and running\n"
        "again skips them. Files that cannot be used are listed and skipped; with --strict the first\n"
        "one ends the run (exit 3), and what was finished before it stays.\n"
        "\n"
        "  longtake ingest --out data.h5 --size 64x64 --fps 16 --domain calm=clips/calm --domain "
        "dynamic=clips/sport\n"
        "  longtake ingest --out data.h5 --domain calm=more --group-by prefix:_ --clip-seconds 10\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .run = run_ingest};
