#include "core/cli.h"
#include "core/io.h"
#include "core/log.h"
#include "core/parallel.h"
#include "data/dataset.h"
#include "data/role_plan.h"
#include "data/scenes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct scenes_options {
    lt_globals global;
    const char *out, *domain, *size, *cuts, *kind;
    int64_t clips, frames, cut_every, return_gap;
    double fps, speed, return_rate;
    lt_strings roles;
    bool append, no_flow;
} scenes_options;

static const scenes_options defaults = {.global = LT_GLOBALS,
                                        .cuts = "on",
                                        .kind = "returns",
                                        .frames = 96,
                                        .cut_every = 16,
                                        .return_gap = 1,
                                        .speed = 1,
                                        .return_rate = 0.8};

static const lt_option options[] = {
    {"out", LT_OPT_STRING, offsetof(scenes_options, out), "FILE",
     "dataset to make, or to add to with --append", .required = true},
    {"domain", LT_OPT_STRING, offsetof(scenes_options, domain), "NAME", "domain of the clips, such as calm",
     .required = true},
    {"clips", LT_OPT_INT, offsetof(scenes_options, clips), "N", "number of clips", .required = true, .min = 1,
     .max = 10000000},
    {"kind", LT_OPT_STRING, offsetof(scenes_options, kind), "KIND",
     "returns: shots that come back; planted: one marked shot, needed again in the last",
     .choices = "returns|planted"},
    {"frames", LT_OPT_INT, offsetof(scenes_options, frames), "N", "frames per clip", .min = 1, .max = 100000},
    {"size", LT_OPT_STRING, offsetof(scenes_options, size), "WxH",
     "frame size; default 64x64, or the file's with --append"},
    {"fps", LT_OPT_FLOAT, offsetof(scenes_options, fps), "F",
     "frames per second; default 16, or the file's with --append", .min = 0, .max = 240},
    {"speed", LT_OPT_FLOAT, offsetof(scenes_options, speed), "S", "multiplies all motion; 1 is calm",
     .min = 0, .max = 100},
    {"cuts", LT_OPT_STRING, offsetof(scenes_options, cuts), "on|off", "off: every clip is one shot",
     .choices = "on|off"},
    {"cut-every", LT_OPT_INT, offsetof(scenes_options, cut_every), "N", "frames per shot", .min = 1,
     .max = 100000},
    {"return-gap", LT_OPT_INT, offsetof(scenes_options, return_gap), "N",
     "other shots between two shots of a scene (kind returns)", .min = 1, .max = 15},
    {"return-rate", LT_OPT_FLOAT, offsetof(scenes_options, return_rate), "P",
     "chance that a shot which can return does (kind returns)", .min = 0, .max = 1},
    {"role", LT_OPT_STRINGS, offsetof(scenes_options, roles), "ROLE=SHARE",
     "share of train, val or test; default val=0.1 test=0.2; test=1: all; repeatable"},
    {"no-flow", LT_OPT_FLAG, offsetof(scenes_options, no_flow), NULL,
     "leave the true flow out of a new file (57 % less space)"},
    {"append", LT_OPT_FLAG, offsetof(scenes_options, append), NULL,
     "add to an existing file; clips it holds already are skipped"},
    {NULL}};

/* One clip on its way from a drawing thread to the file. */
typedef struct slot {
    lt_clip clip;
    uint64_t index;
    uint8_t *rgb;
    float *flow; /* NULL when the file has no flow */
    lt_status status;
    char message[256];
} slot;

typedef struct job {
    const scenes_options *opt;
    lt_scenes_spec spec;
    lt_role_shares shares;
    lt_role_plan *roles;
    lt_dataset *set;
    bool created;    /* by this command */
    uint64_t *known; /* content hashes of this domain's clips in the file, sorted */
    int64_t known_count, added, committed, skipped;
    double flow_px_per_s, luma_diff; /* sums over added clips */
} job;

static lt_status parse_size(const job *j, lt_scenes_spec *spec) {
    char rest;
    LT_CHECK(sscanf(j->opt->size, "%dx%d%c", &spec->width, &spec->height, &rest) == 2, LT_USAGE,
             "--size %s: expected WIDTHxHEIGHT in pixels, such as 64x64", j->opt->size);
    return LT_OK;
}

/* The specification from the options; what an existing file fixes comes from the file and must not be
 * contradicted. */
static lt_status resolve_scenes(const job *j, const lt_dataset_spec *file, lt_scenes_spec *spec) {
    *spec = lt_scenes_default();
    if (file) spec->width = file->width, spec->height = file->height, spec->fps = file->fps;
    if (j->opt->size) LT_TRY(parse_size(j, spec));
    if (j->opt->fps > 0) spec->fps = j->opt->fps;
    if (file)
        LT_CHECK(
            spec->width == file->width && spec->height == file->height && spec->fps == file->fps, LT_USAGE,
            "%s holds %dx%d at %g fps, and the options ask for %dx%d at %g fps; leave --size and --fps out",
            j->opt->out, file->width, file->height, file->fps, spec->width, spec->height, spec->fps);
    spec->seed = j->opt->global.seed < 0 ? 0 : (uint64_t)j->opt->global.seed;
    spec->frames = j->opt->frames, spec->speed = j->opt->speed;
    spec->cut_every = strcmp(j->opt->cuts, "off") == 0 ? 0 : j->opt->cut_every;
    spec->kind = strcmp(j->opt->kind, "planted") == 0 ? LT_SCENES_PLANTED : LT_SCENES_RETURNS;
    spec->return_gap = (int)j->opt->return_gap, spec->return_rate = j->opt->return_rate;
    return lt_scenes_check(spec);
}

static lt_status open_set(job *j) {
    LT_CHECK(*j->opt->domain && strlen(j->opt->domain) < sizeof(((lt_clip *)0)->domain), LT_USAGE,
             "--domain \"%s\": a domain's name has 1 to 31 bytes", j->opt->domain);
    LT_TRY(lt_role_shares_parse(&j->opt->roles, &j->shares));
    if (j->opt->append && lt_path_exists(j->opt->out)) {
        LT_TRY(lt_dataset_open_append(j->opt->out, &j->set));
        return resolve_scenes(j, lt_dataset_get_spec(j->set), &j->spec);
    }
    LT_TRY(resolve_scenes(j, NULL, &j->spec));
    int64_t pixel_bytes = j->opt->no_flow ? 3 : 7;
    LT_TRY(lt_require_space(j->opt->out,
                            j->opt->clips * j->opt->frames * j->spec.width * j->spec.height * pixel_bytes));
    lt_dataset_spec file = {j->spec.width, j->spec.height, j->spec.fps, !j->opt->no_flow};
    j->created = true;
    return lt_dataset_create(j->opt->out, &file, &j->set);
}

static int by_hash(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static lt_status list_known(job *j) {
    int64_t count = lt_dataset_clip_count(j->set);
    j->known = malloc((size_t)(count + 1) * sizeof *j->known);
    LT_CHECK(j->known, LT_FAILED, "scenes: out of memory");
    for (int64_t i = 0; i < count; i++) {
        const lt_clip *clip = lt_dataset_clip(j->set, i);
        if (strcmp(clip->domain, j->opt->domain) == 0) j->known[j->known_count++] = clip->content_hash;
    }
    qsort(j->known, (size_t)j->known_count, sizeof *j->known, by_hash);
    return LT_OK;
}

static bool is_known(const job *j, uint64_t index) {
    lt_clip clip = {0};
    lt_scenes_identify(&j->spec, index, &clip);
    return bsearch(&clip.content_hash, j->known, (size_t)j->known_count, sizeof *j->known, by_hash) != NULL;
}

static lt_status open_roles(job *j) {
    LT_TRY(lt_role_plan_open(j->set, &j->shares, &j->roles));
    for (uint64_t i = 0; i < (uint64_t)j->opt->clips; i++) {
        lt_clip clip = {0};
        lt_scenes_identify(&j->spec, i, &clip);
        LT_TRY(lt_role_plan_expect(j->roles, j->opt->domain, clip.group));
    }
    return LT_OK;
}

/* Draws all slots at once; the message of a failure belongs to the thread that met it and is carried along.
 */
static void draw_slots(const job *j, slot *slots, int count) {
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < count; i++) {
        slot *s = &slots[i];
        s->status = lt_scenes_clip(&j->spec, s->index, s->rgb, s->flow, &s->clip);
        if (s->status != LT_OK) lt_copy_text(s->message, sizeof s->message, lt_error());
    }
}

/* A scene that the file holds, at another speed say, keeps its role there; not where that has no share. */
static lt_status give_role(const job *j, lt_clip *clip) {
    const char *role = lt_role_plan_role(j->roles, j->opt->domain, clip->group);
    LT_CHECK(lt_role_share(&j->shares, lt_role_number(role)) > 0, LT_USAGE,
             "%s: the scenes of group %s have role %s in it already, which has no share by --role; choose "
             "another --seed",
             j->opt->out, clip->group, role);
    lt_copy_text(clip->role, sizeof clip->role, role);
    return LT_OK;
}

static lt_status store_slots(job *j, slot *slots, int count) {
    for (int i = 0; i < count; i++) {
        slot *s = &slots[i];
        LT_CHECK(s->status == LT_OK, s->status, "%s", s->message);
        lt_copy_text(s->clip.domain, sizeof s->clip.domain, j->opt->domain);
        LT_TRY(give_role(j, &s->clip));
        LT_TRY(lt_dataset_append_frames(j->set, s->rgb, s->flow, s->clip.frames));
        LT_TRY(lt_dataset_add_clip(j->set, &s->clip));
        LT_TRY(lt_role_plan_add(j->roles, j->opt->domain, s->clip.group, s->clip.role));
        j->added++;
        j->flow_px_per_s += s->clip.flow_px_per_s, j->luma_diff += s->clip.luma_diff;
    }
    return LT_OK;
}

enum { COMMIT_CLIPS = 64 }; /* an interruption loses at most about this many */

static lt_status fill_slots(job *j, slot *slots, int slot_count) {
    for (uint64_t next = 0; next < (uint64_t)j->opt->clips;) {
        int count = 0;
        for (; count < slot_count && next < (uint64_t)j->opt->clips; next++) {
            if (is_known(j, next)) j->skipped++;
            else slots[count++].index = next;
        }
        draw_slots(j, slots, count);
        LT_TRY(store_slots(j, slots, count));
        bool stop = lt_interrupted();
        if (stop || j->added - j->committed >= COMMIT_CLIPS) {
            LT_TRY(lt_dataset_commit(j->set));
            j->committed = j->added;
        }
        LT_CHECK(!stop, LT_INTERRUPTED,
                 "%s: %" PRId64 " of %" PRId64 " clips are in; run it again with --append", j->opt->out,
                 j->added + j->skipped, j->opt->clips);
        lt_progress("scenes", (int64_t)next, j->opt->clips, "clips");
    }
    LT_TRY(lt_dataset_commit(j->set));
    j->committed = j->added;
    return LT_OK;
}

static lt_status run_slots(job *j) {
    int count = lt_threads() * 2;
    size_t pixels = (size_t)j->spec.frames * (size_t)j->spec.width * (size_t)j->spec.height;
    bool with_flow = lt_dataset_get_spec(j->set)->flow, ok = true;
    slot *slots = calloc((size_t)count, sizeof *slots);
    LT_CHECK(slots, LT_FAILED, "scenes: out of memory");
    for (int i = 0; i < count; i++) {
        slots[i].rgb = malloc(3 * pixels);
        slots[i].flow = with_flow ? malloc(2 * pixels * sizeof(float)) : NULL;
        ok = ok && slots[i].rgb && (slots[i].flow || !with_flow);
    }
    lt_status status =
        ok ? fill_slots(j, slots, count)
           : lt_fail(LT_FAILED, "scenes: out of memory for %d clips of %" PRId64 " frames at %dx%d", count,
                     j->spec.frames, j->spec.width, j->spec.height);
    for (int i = 0; i < count; i++) free(slots[i].rgb), free(slots[i].flow);
    free(slots);
    return status;
}

static void report(const job *j, double seconds) {
    double mean_flow = j->added ? j->flow_px_per_s / (double)j->added : 0;
    double mean_luma = j->added ? j->luma_diff / (double)j->added : 0;
    double rate = seconds > 0 ? (double)(j->added * j->spec.frames) / seconds : 0;
    if (j->opt->global.json)
        printf("{\"clips\": %" PRId64 ", \"skipped\": %" PRId64 ", \"frames\": %" PRId64
               ", \"flow_px_per_s\": %.4f, \"luma_diff\": %.4f, \"seconds\": %.3f, \"frames_per_s\": %.1f}\n",
               j->added, j->skipped, j->added * j->spec.frames, mean_flow, mean_luma, seconds, rate);
    else if (!j->opt->global.quiet)
        printf("%" PRId64 " clips of %" PRId64 " frames added, %" PRId64
               " were there; motion %.2f px/s, luma difference %.2f, %.0f frames/s\n",
               j->added, j->spec.frames, j->skipped, mean_flow, mean_luma, rate);
}

static lt_status run_scenes(const void *options_given, int positional_count, const char *const *positional) {
    const scenes_options *opt = options_given;
    (void)positional_count, (void)positional;
    job j = {.opt = opt};
    double start = lt_seconds();
    lt_status status = open_set(&j);
    if (status == LT_OK) status = list_known(&j);
    if (status == LT_OK) status = open_roles(&j);
    if (status == LT_OK) status = run_slots(&j);
    if (status == LT_OK) report(&j, lt_seconds() - start);
    if (status == LT_OK) lt_role_plan_log(j.roles);
    lt_role_plan_close(j.roles);
    /* A new file in which nothing was finished is not left behind. */
    bool empty = j.created && j.committed == 0 && status != LT_OK && status != LT_INTERRUPTED;
    if (empty) lt_dataset_close_and_remove(j.set);
    else lt_dataset_close(j.set);
    free(j.known);
    return status;
}

const lt_command lt_cmd_scenes = {
    .name = "scenes",
    .summary = "generate clips with known motion, cuts and returns",
    .usage = "--out FILE --domain NAME --clips N [--speed S] [--append]",
    .details =
        "Draws clips of textured sprites over textured grounds under a moving camera, and stores them\n"
        "with captions, cuts and the true optical flow. Shots cut to other scenes and return to\n"
        "earlier ones, which go on where they were left. A clip depends on --seed, its number and the\n"
        "options only: at another --speed the same scenes move faster, and keep their group and so\n"
        "their role.\n"
        "\n"
        "Kind planted tests memory: of the dark grey shots one, in a white frame, is bright and\n"
        "coloured, and the last shot goes on with it; two other shots lie between at least.\n"
        "\n"
        "  longtake scenes --out data.h5 --domain calm --clips 256\n"
        "  longtake scenes --out data.h5 --domain dynamic --clips 64 --speed 6 --append\n"
        "  longtake scenes --out long.h5 --domain calm --clips 64 --frames 256 --cut-every 32 --return-gap "
        "3\n"
        "  longtake scenes --out planted.h5 --domain planted --kind planted --clips 512 --frames 64 "
        "--cut-every 8 --size 32x32\n",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .run = run_scenes};
