/* The keys "experiment.*", and the variants of the grid. */
#include "experiments/experiment.h"

#include "experiments/grid_impl.h"
#include "infer/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lt_key keys[] = {
    {"experiment.title", LT_KEY_STRING, "\"Ablation\"", .help = "heading of the report"},
    {"experiment.policies", LT_KEY_STRINGS, "[\"keep-all\",\"window\",\"sink\",\"random\",\"learned\"]",
     .help = "who is kept, written as in `longtake list policies`; one with read= is not crossed with reads"},
    {"experiment.budgets", LT_KEY_STRINGS, "[\"3\"]",
     .help = "slots (\"3\"), bytes (\"60MiB\") or share of the blocks (\"25%\")"},
    {"experiment.reads", LT_KEY_STRINGS, "[\"one\"]", .choices = "one|age|content",
     .help = "how the kept are weighed when read"},
    {"experiment.domains", LT_KEY_STRINGS, "[]", .help = "domains to evaluate; []: all that the data hold"},
    {"experiment.role", LT_KEY_STRING, "\"test\"", .choices = "train|val|test", .help = "of the clips"},
    {"experiment.latents", LT_KEY_STRING, "\"auto\"", .choices = LT_LATENTS_MODES,
     .help =
         "auto: /latents of the datasets where they are the run's; frames: never; latents: or not at all"},
    {"experiment.allow_train", LT_KEY_BOOL, "false", .help = "evaluate clips the model was trained on"},
    {"experiment.clips", LT_KEY_INT, "0", 0, 1e9, .help = "clips per domain at most, evenly chosen; 0: all"},
    {"experiment.blocks", LT_KEY_INT, "8", 2, 100000, .help = "blocks per clip; shorter clips are left out"},
    {"experiment.draws", LT_KEY_INT, "4", LT_EVAL_MIN_DRAWS, 1000,
     .help = "noise draws per block and fifth of the times"},
    {"experiment.batch", LT_KEY_INT, "4", 1, 1024, .help = "clips per forward"},
    {"experiment.seed", LT_KEY_INT, "0", 0, 9007199254740991, .help = "of noise, times and intervals"},
    {"experiment.reference_domain", LT_KEY_STRING, "\"calm\"",
     .help = "domain on whose clips the best hand-made policy at equal bytes is chosen"},
    {"experiment.reference_role", LT_KEY_STRING, "\"val\"", .choices = "train|val|test",
     .help = "role of those clips"},
    {"experiment.reference_clips", LT_KEY_INT, "0", 0, 1e9, .help = "how many of them at most; 0: all"},
    {"experiment.samples_csv", LT_KEY_BOOL, "false", .help = "write every loss to samples.csv too"},
    {"experiment.traces", LT_KEY_BOOL, "true", .help = "record scores, weights and victims on one clip"},
    {"experiment.video_blocks", LT_KEY_INT, "6", 0, 100000,
     .help = "blocks that each policy generates for the side-by-side videos; 0: no videos"},
    {"experiment.video_history", LT_KEY_INT, "3", 1, 100000, .help = "blocks of footage before them"},
    {"experiment.video_steps", LT_KEY_INT, "12", 1, 1000, .help = "sampler steps per generated block"},
    {"experiment.video_policies", LT_KEY_INT, "8", 1, LT_VARIANTS, .help = "variants with a video, at most"},
    {NULL}};

void lt_experiment_register_keys(void) { lt_config_register("experiments", keys); }

/* ---- variants -------------------------------------------------------------------------------------------- */

/* What the device holds while streaming, besides slots and tails: from the plan of a stream on the null device. */
static lt_status measure_workspace(lt_model *model, lt_variant *v) {
    lt_device *device;
    lt_model *twin;
    lt_video_stream *stream = NULL;
    lt_stream_options options = {.steps = 1, .shift = 1, .guidance = 1, .spec = v->spec};
    LT_TRY(lt_device_open("null", &device));
    lt_status status = lt_model_twin(model, device, 0, &twin);
    if (status == LT_OK) {
        status = lt_video_stream_open(twin, &options, &stream);
        if (status == LT_OK) {
            lt_stream_memory memory = lt_video_stream_memory(stream);
            v->workspace = memory.run - memory.slots - memory.tails + memory.step + memory.scratch;
            lt_video_stream_close(stream);
        }
        lt_model_close(twin);
    }
    lt_device_close(device);
    return status;
}

static bool known(const lt_grid *grid, const lt_variant *v) {
    for (int i = 0; i < grid->variant_count; i++)
        if (strcmp(grid->variants[i].text, v->text) == 0 && grid->variants[i].spec.budget == v->spec.budget)
            return true;
    return false;
}

/* `policy` without its "read=..." item. */
static void name_of(const char *policy, char *name, size_t size) {
    const char *read = strstr(policy, "read=");
    snprintf(name, size, "%s", policy);
    if (!read || (size_t)(read - policy) >= size) return;
    const char *rest = strchr(read, ',');
    size_t before = (size_t)(read - policy);
    if (!rest && before > 0) before--; /* the ':' or ',' in front goes too */
    snprintf(name + before, size - before, "%s", rest ? rest + 1 : "");
}

static lt_status add_variant(lt_grid *grid, lt_model *model, const char *policy, const char *read,
                             int budget) {
    lt_variant v = {0};
    char text[LT_SPEC_TEXT];
    int length = snprintf(text, sizeof text, "%s", policy);
    if (read)
        length = snprintf(text, sizeof text, "%s%sread=%s", policy, strchr(policy, ':') ? "," : ":", read);
    LT_CHECK(length < (int)sizeof text, LT_USAGE, "experiment.policies: \"%.60s...\" is too long", policy);
    lt_status status = lt_cache_spec_parse(text, budget, &v.spec);
    if (status != LT_OK) return lt_fail_in(status, "experiment.policies");
    if (v.spec.budget == 0) v.spec.read = LT_READ_ONE; /* nothing is read, so nothing is weighed */
    lt_cache_spec_text(&v.spec, v.text, sizeof v.text);
    if (known(grid, &v)) return LT_OK;
    LT_CHECK(grid->variant_count < LT_VARIANTS, LT_USAGE, "the grid has more than %d policies", LT_VARIANTS);
    name_of(policy, v.name, sizeof v.name);
    v.hand_made = lt_spec_is_hand_made(&v.spec);
    LT_TRY(lt_eval_bytes(model, &v.spec, &v.bytes));
    LT_TRY(measure_workspace(model, &v));
    grid->variants[grid->variant_count++] = v;
    return LT_OK;
}

static lt_status add_policy(const lt_config *config, lt_model *model, const char *policy, int budget,
                            lt_grid *grid) {
    if (strstr(policy, "read=")) return add_variant(grid, model, policy, NULL, budget);
    for (int r = 0; r < lt_config_count(config, "experiment.reads"); r++)
        LT_TRY(add_variant(grid, model, policy, lt_config_string_at(config, "experiment.reads", r), budget));
    return LT_OK;
}

static lt_status build_variants(const lt_config *config, lt_model *model, lt_grid *grid) {
    int policies = lt_config_count(config, "experiment.policies"),
        budgets = lt_config_count(config, "experiment.budgets");
    int64_t slot = lt_entry_bytes(model->config.layers, model->config.heads, model->config.head_dim);
    LT_CHECK(policies > 0 && budgets > 0 && lt_config_count(config, "experiment.reads") > 0, LT_USAGE,
             "experiment.policies, experiment.budgets and experiment.reads need at least one element each");
    for (int b = 0; b < budgets; b++) {
        int budget;
        lt_status status = lt_budget_parse(lt_config_string_at(config, "experiment.budgets", b), slot,
                                           (int)lt_config_int(config, "experiment.blocks"), &budget);
        if (status != LT_OK) return lt_fail_in(status, "experiment.budgets");
        for (int p = 0; p < policies; p++)
            LT_TRY(add_policy(config, model, lt_config_string_at(config, "experiment.policies", p), budget,
                              grid));
    }
    return LT_OK;
}

lt_status lt_grid_build(const lt_config *config, lt_model *model, lt_dataset *const *data, int data_count,
                        lt_grid *out) {
    *out = (lt_grid){0};
    out->variants = calloc(LT_VARIANTS, sizeof *out->variants);
    out->sets = calloc(LT_EVAL_SETS, sizeof *out->sets);
    lt_status status = out->variants && out->sets ? LT_OK : lt_fail(LT_FAILED, "out of memory for the grid");
    if (status == LT_OK) status = build_variants(config, model, out);
    if (status == LT_OK) status = lt_grid_find_sets(config, model, data, data_count, out);
    if (status != LT_OK) lt_grid_free(out);
    return status;
}

void lt_grid_free(lt_grid *grid) {
    free(grid->variants);
    free(grid->sets);
    *grid = (lt_grid){0};
}

bool lt_grid_wants(const lt_grid *grid, int set, int variant) {
    return !grid->sets[set].reference || grid->variants[variant].hand_made;
}
