#include "train/recompute.h"

#include "core/config.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void keep_in(lt_dit_keep *keep, int layers) {
    for (int i = 0; i < LT_DIT_VALUES; i++) keep->layers[i] = layers;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static const char expected[] =
    "expected none, all, auto, or an object of how many layers keep what, such as {\"expand\": 12}";

static int value_named(const char *name) {
    for (int i = 0; i < LT_DIT_VALUES; i++)
        if (strcmp(name, lt_dit_value_names[i]) == 0) return i;
    return -1;
}

static lt_status unknown_value(const char *name) {
    const char *nearest = lt_nearest(name, lt_dit_value_names, LT_DIT_VALUES);
    char all[256];
    size_t used = 0;
    for (int i = 0; i < LT_DIT_VALUES; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", lt_dit_value_names[i]);
    return lt_fail(LT_USAGE, "train.recompute: a layer has no value \"%s\"%s%s%s; it has: %s", name,
                   nearest ? ", did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "", all);
}

static lt_status read_object(const cJSON *object, int layers, lt_dit_keep *keep) {
    const cJSON *member;
    keep_in(keep, 0);
    cJSON_ArrayForEach(member, object) {
        int value = value_named(member->string);
        double count = cJSON_IsNumber(member) ? member->valuedouble : -1;
        if (value < 0) return unknown_value(member->string);
        LT_CHECK(count >= 0 && count <= layers && count == (int)count, LT_USAGE,
                 "train.recompute.%s: expected a number of layers, 0 to %d", member->string, layers);
        keep->layers[value] = (int)count;
    }
    return LT_OK;
}

lt_status lt_recompute_read(const void *json, int layers, lt_recompute *out) {
    const cJSON *value = json;
    const char *word = cJSON_IsString(value)  ? value->valuestring
                       : cJSON_IsTrue(value)  ? "all"
                       : cJSON_IsFalse(value) ? "none"
                                              : "";
    *out = (lt_recompute){.automatic = strcmp(word, "auto") == 0};
    if (cJSON_IsObject(value)) return read_object(value, layers, &out->keep);
    keep_in(&out->keep, strcmp(word, "all") == 0 ? 0 : layers);
    LT_CHECK(out->automatic || strcmp(word, "all") == 0 || strcmp(word, "none") == 0, LT_USAGE,
             "train.recompute%s%s: %s", *word ? ": " : "", word, expected);
    return LT_OK;
}

lt_status lt_recompute_parse(const char *text, int layers, lt_recompute *out) {
    cJSON *json = *text == '{' ? cJSON_Parse(text) : cJSON_CreateString(text);
    LT_CHECK(json, LT_USAGE, "\"%s\": %s", text, expected);
    lt_status status = lt_recompute_read(json, layers, out);
    cJSON_Delete(json);
    return status;
}

char *lt_recompute_text(const lt_dit_keep *keep, int layers, char text[LT_RECOMPUTE_TEXT]) {
    int none = 0, whole = 0;
    size_t used = 1;
    for (int i = 0; i < LT_DIT_VALUES; i++) none += keep->layers[i] <= 0, whole += keep->layers[i] >= layers;
    snprintf(text, LT_RECOMPUTE_TEXT, "%s",
             none == LT_DIT_VALUES    ? "all"
             : whole == LT_DIT_VALUES ? "none"
                                      : "{");
    if (*text != '{') return text;
    for (int i = 0; i < LT_DIT_VALUES; i++)
        if (keep->layers[i] > 0)
            used +=
                (size_t)snprintf(text + used, LT_RECOMPUTE_TEXT - used, "%s\"%s\": %d", used > 1 ? ", " : "",
                                 lt_dit_value_names[i], keep->layers[i] < layers ? keep->layers[i] : layers);
    snprintf(text + used, LT_RECOMPUTE_TEXT - used, "}");
    return text;
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

typedef struct candidate {
    lt_dit_value value;
    double ms, bytes; /* of one layer */
} candidate;

typedef struct chooser {
    int layers;
    candidate order[LT_DIT_VALUES]; /* best first */
    lt_recompute_measure measure;
    void *user;
} chooser;

/* GEMMs run near the rate of the largest ones; passes over memory at less of a copy's. Where a rate is unknown: a
 * processor's bandwidth; a GPU's 200 operations a byte; a processor's ten. */
static double milliseconds(const lt_target *target, const lt_tape_tally *tally) {
    double bandwidth = target->bandwidth > 0 ? 0.8 * target->bandwidth : 2e10;
    double flops = target->matrix_flops > 0 ? 0.95 * target->matrix_flops
                                            : bandwidth * (target->matrix_dtype_bytes == 2 ? 200 : 10);
    double compute = tally->flops / flops, memory = tally->moved / bandwidth;
    return 1e3 * (compute > memory ? compute : memory);
}

static int better(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    double left = x->ms * y->bytes, right = y->ms * x->bytes;
    if (left != right) return left < right ? 1 : -1;
    return (int)x->value - (int)y->value;
}

static void rank(chooser *c, const lt_target *target, const lt_session_plan *nothing_kept, double passes) {
    for (int i = 0; i < LT_DIT_VALUES; i++) {
        const lt_tape_tally *tally = &nothing_kept->again[i];
        c->order[i] = (candidate){.value = (lt_dit_value)i,
                                  .ms = milliseconds(target, tally) / passes / c->layers,
                                  .bytes = (double)tally->bytes / passes / c->layers};
    }
    qsort(c->order, LT_DIT_VALUES, sizeof *c->order, better);
}

/* The first `count` of all (value, layer) in order. */
static lt_dit_keep first_of(const chooser *c, int count) {
    lt_dit_keep keep = {{0}};
    for (int i = 0; i < LT_DIT_VALUES && count > 0; i++, count -= c->layers)
        keep.layers[c->order[i].value] = count < c->layers ? count : c->layers;
    return keep;
}

/* The last layer is never recomputed: its values are still there. */
static double again_ms(const chooser *c, const lt_dit_keep *keep) {
    double ms = 0, last = 0;
    for (int i = 0; i < LT_DIT_VALUES; i++) {
        const candidate *one = &c->order[i];
        int kept = keep->layers[one->value];
        ms += one->ms * (c->layers - kept);
        if (kept < c->layers) last += one->ms;
    }
    return ms - last;
}

static lt_status try_count(const chooser *c, int count, int64_t limit, lt_recompute_choice *out, bool *fits) {
    lt_session_plan plan;
    int64_t peak;
    lt_dit_keep keep = first_of(c, count);
    LT_TRY(c->measure(&keep, &plan, &peak, c->user));
    *fits = peak <= limit;
    if (*fits) out->keep = keep, out->peak = peak;
    return LT_OK;
}

lt_status lt_recompute_choose(int layers, const lt_target *target, int64_t limit, double passes,
                              lt_recompute_measure measure, void *user, lt_recompute_choice *out) {
    chooser c = {.layers = layers, .measure = measure, .user = user};
    lt_session_plan plan;
    lt_dit_keep all;
    *out = (lt_recompute_choice){0};
    keep_in(&all, layers);
    LT_TRY(measure(&out->keep, &plan, &out->least, user));
    rank(&c, target, &plan, passes);
    out->all_ms = out->again_ms = again_ms(&c, &out->keep);
    out->peak = out->least;
    LT_TRY(measure(&all, &plan, &out->most, user));
    int low = 0, high = LT_DIT_VALUES * layers; /* `low` fits, or nothing does */
    if (out->most <= limit) low = high, out->keep = all, out->peak = out->most;
    while (out->least <= limit && high - low > 1) {
        int middle = low + (high - low) / 2;
        bool fits;
        LT_TRY(try_count(&c, middle, limit, out, &fits));
        if (fits) low = middle;
        else high = middle;
    }
    out->again_ms = again_ms(&c, &out->keep);
    return LT_OK;
}
