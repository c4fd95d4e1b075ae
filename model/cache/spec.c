/* Cache policies as text: parsing, the resolved string, budgets. */
#include "model/cache/spec.h"

#include "core/cli.h"
#include "core/config.h"
#include "model/cache/feature.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const lt_consolidate_names[LT_CONSOLIDATE_COUNT] = {"drop", "sum", "ema", "nearest", "decay"};
const char *const lt_scope_names[LT_SCOPE_COUNT] = {"layer", "model"};
const char *const lt_read_names[LT_READ_COUNT] = {"one", "age", "content"};
const char *const lt_granularity_names[LT_GRAIN_COUNT] = {"block", "frame", "tile"};

enum { MAX_WORDS = 8, MAX_PROTECT = 1 << 20 };

static const char *const consolidate_meanings[LT_CONSOLIDATE_COUNT] = {
    "it is gone", "it is added to its older neighbour in time, or to the next newer one if it is the oldest",
    "that neighbour becomes alpha * neighbour + (1 - alpha) * victim",
    "it is added to the entry whose z is most similar",
    "it is added as in sum, the older of the two multiplied by gamma"};
static const char *const scope_meanings[LT_SCOPE_COUNT] = {
    "each layer decides for itself", "all layers share the mean of their scores, and keep the same entries"};
static const char *const read_meanings[LT_READ_COUNT] = {
    "every entry counts fully", "the trained read head weighs it by its age",
    "the trained read head weighs it by its content and age"};
static const char *const granularity_meanings[LT_GRAIN_COUNT] = {
    "a block of latent frames", "one latent frame",
    "a corner, a quarter of the picture, of a block's frames"};

/* Keys that every policy takes. */
enum { CONSOLIDATE, ALPHA, GAMMA, SCOPE, READ, GRANULARITY, PROTECT, KEYS };
static const lt_spec_key keys[KEYS] = {
    [CONSOLIDATE] = {"consolidate", "what becomes of a victim", lt_consolidate_names, consolidate_meanings,
                     LT_CONSOLIDATE_COUNT},
    [ALPHA] = {"alpha", "with consolidate=ema: the share of the neighbour", .max = 1, .preset = 0.9},
    [GAMMA] = {"gamma", "with consolidate=decay: the factor of the older entry", .max = 1, .preset = 0.9},
    [SCOPE] = {"scope", "who decides what is evicted", lt_scope_names, scope_meanings, LT_SCOPE_COUNT,
               .preset_text = "layer"},
    [READ] = {"read", "how much an entry counts when it is read", lt_read_names, read_meanings, LT_READ_COUNT,
              .preset_text = "one"},
    [GRANULARITY] = {"granularity", "what one entry is", lt_granularity_names, granularity_meanings,
                     LT_GRAIN_COUNT, .preset_text = "block"},
    [PROTECT] = {"protect", "newest entries that no policy may evict", .max = MAX_PROTECT, .preset = 1,
                 .integer = true},
};

const lt_spec_key *lt_spec_key_at(int index) { return index >= 0 && index < KEYS ? &keys[index] : NULL; }

static lt_status parse_word(const char *key, const char *value, const char *const *words, int count,
                            int *out) {
    char known[128] = "";
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], value) == 0) {
            *out = i;
            return LT_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", words[i]);
    }
    const char *nearest = lt_nearest(value, words, count);
    if (nearest) return lt_fail(LT_USAGE, "%s=%s: did you mean \"%s\"? (%s)", key, value, nearest, known);
    return lt_fail(LT_USAGE, "%s=%s: expected one of %s", key, value, known);
}

static lt_status parse_number(const char *key, const char *value, double min, double max, bool integer,
                              double *out) {
    char *end;
    *out = strtod(value, &end);
    bool number = end != value && *end == 0 && *out >= min && *out <= max;
    LT_CHECK(number && (!integer || *out == floor(*out)), LT_USAGE, "%s=%s: expected %s from %.15g to %.15g",
             key, value, integer ? "a whole number" : "a number", min, max);
    return LT_OK;
}

/* Splits "a|b|c" into words inside `memory`. */
static int split_words(const char *text, char memory[128], const char *words[MAX_WORDS]) {
    int count = 0;
    char *save;
    snprintf(memory, 128, "%s", text);
    for (char *word = strtok_r(memory, "|", &save); word && count < MAX_WORDS;
         word = strtok_r(NULL, "|", &save))
        words[count++] = word;
    return count;
}

static lt_status parse_param(const lt_policy_param *param, const char *value, double *out) {
    if (!param->words) return parse_number(param->name, value, param->min, param->max, param->integer, out);
    char memory[128];
    const char *words[MAX_WORDS];
    int count = split_words(param->words, memory, words), index = 0;
    LT_TRY(parse_word(param->name, value, words, count, &index));
    *out = index;
    return LT_OK;
}

/* One of the keys that every policy takes. */
static lt_status parse_key(lt_cache_spec *spec, int key, const char *value) {
    double number = 0;
    int word = 0;
    const lt_spec_key *row = &keys[key];
    LT_TRY(row->words ? parse_word(row->name, value, row->words, row->word_count, &word)
                      : parse_number(row->name, value, row->min, row->max, row->integer, &number));
    switch (key) {
    case CONSOLIDATE: spec->consolidate = (lt_consolidate)word; break;
    case SCOPE: spec->scope = (lt_cache_scope)word; break;
    case READ: spec->read = (lt_read_weight)word; break;
    case GRANULARITY: spec->granularity = (lt_granularity)word; break;
    case ALPHA: spec->alpha = number; break;
    case GAMMA: spec->gamma = number; break;
    default: spec->protect = (int)number;
    }
    return LT_OK;
}

/* Index of `name` among the policy's parameters, then among the shared keys behind them; -1: unknown. */
static int find_key(const lt_policy *policy, const char *name) {
    const char *known[LT_POLICY_PARAMS + KEYS];
    int count = 0;
    for (int i = 0; i < LT_POLICY_PARAMS && policy->params[i].name; i++) {
        if (strcmp(name, policy->params[i].name) == 0) return i;
        known[count++] = policy->params[i].name;
    }
    for (int i = 0; i < KEYS; i++) {
        if (strcmp(name, keys[i].name) == 0) return LT_POLICY_PARAMS + i;
        known[count++] = keys[i].name;
    }
    const char *nearest = lt_nearest(name, known, count);
    if (nearest)
        lt_fail(LT_USAGE, "policy %s has no \"%s\"; did you mean \"%s\"?", policy->name, name, nearest);
    else lt_fail(LT_USAGE, "policy %s has no \"%s\"; see longtake list policies", policy->name, name);
    return -1;
}

static lt_status parse_item(lt_cache_spec *spec, char *item, bool *given) {
    char *value = strchr(item, '=');
    LT_CHECK(value && value > item && value[1], LT_USAGE, "\"%s\": expected name=value", item);
    *value++ = 0;
    int key = find_key(spec->policy, item);
    if (key < 0) return LT_USAGE;
    LT_CHECK(!given[key], LT_USAGE, "\"%s\" is given twice", item);
    given[key] = true;
    if (key < LT_POLICY_PARAMS) return parse_param(&spec->policy->params[key], value, &spec->params[key]);
    return parse_key(spec, key - LT_POLICY_PARAMS, value);
}

static void set_defaults(lt_cache_spec *spec, const lt_policy *policy, int budget) {
    *spec = (lt_cache_spec){.policy = policy,
                            .budget = budget,
                            .alpha = keys[ALPHA].preset,
                            .gamma = keys[GAMMA].preset,
                            .protect = (int)keys[PROTECT].preset};
    if (policy->fixed_budget >= 0) spec->budget = policy->fixed_budget;
    for (int i = 0; i < LT_POLICY_PARAMS; i++) spec->params[i] = policy->params[i].preset;
    for (int i = 0; i < LT_CONSOLIDATE_COUNT; i++)
        if (strcmp(lt_consolidate_names[i], policy->consolidate) == 0) spec->consolidate = (lt_consolidate)i;
}

/* What would silently do nothing, or something else than its name says. */
static lt_status check_sense(const lt_cache_spec *spec, const bool *given) {
    LT_CHECK(!given[LT_POLICY_PARAMS + ALPHA] || spec->consolidate == LT_EMA, LT_USAGE,
             "alpha belongs to consolidate=ema");
    LT_CHECK(!given[LT_POLICY_PARAMS + GAMMA] || spec->consolidate == LT_DECAY, LT_USAGE,
             "gamma belongs to consolidate=decay");
    LT_CHECK(spec->policy->fixed_budget != 0 || spec->consolidate == LT_DROP, LT_USAGE,
             "%s keeps nothing that a victim could be folded into; leave consolidate out",
             spec->policy->name);
    LT_CHECK(spec->policy->fixed_budget != 1 || spec->consolidate != LT_DROP, LT_USAGE,
             "%s drops nothing; for the newest entry alone write window with a budget of 1",
             spec->policy->name);
    return LT_OK;
}

static lt_status parse_spec(char *text, int budget, lt_cache_spec *out) {
    char *items = strchr(text, ':');
    if (items) *items++ = 0;
    const lt_policy *policy = lt_policy_find(text);
    if (!policy) return LT_USAGE;
    LT_CHECK(budget >= 0 || policy->fixed_budget >= 0, LT_USAGE, "a budget of %d: expected 0 or more",
             budget);
    set_defaults(out, policy, budget);
    bool given[LT_POLICY_PARAMS + KEYS] = {false};
    while (items) {
        char *next = strchr(items, ',');
        if (next) *next++ = 0;
        LT_TRY(parse_item(out, items, given));
        items = next;
    }
    return check_sense(out, given);
}

lt_status lt_cache_spec_parse(const char *text, int budget, lt_cache_spec *out) {
    char copy[LT_SPEC_TEXT];
    LT_CHECK(strlen(text) < sizeof copy, LT_USAGE, "a policy of %zu characters: expected NAME:key=value,...",
             strlen(text));
    snprintf(copy, sizeof copy, "%s", text);
    lt_status status = parse_spec(copy, budget, out);
    return status == LT_OK ? LT_OK : lt_fail_in(status, "policy \"%s\"", text);
}

bool lt_cache_spec_looks(const lt_cache_spec *spec) {
    uint64_t needs = spec->policy->needs;
    return lt_need_sources(needs) != LT_FROM_HOST || needs & LT_NEED_SCORER ||
           spec->consolidate == LT_NEAREST;
}

/* The shortest of 15 to 17 digits that reads back equal. */
static const char *number_text(double value, char text[32]) {
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return text;
}

static const char *param_text(const lt_policy_param *param, double value, char memory[128]) {
    const char *words[MAX_WORDS];
    if (!param->words) return number_text(value, memory);
    int count = split_words(param->words, memory, words);
    return value < count ? words[(int)value] : "";
}

char *lt_cache_spec_text(const lt_cache_spec *spec, char *text, size_t size) {
    char memory[128], all[2 * LT_SPEC_TEXT];
    int used = snprintf(all, sizeof all, "%s:", spec->policy->name);
    for (int i = 0; i < LT_POLICY_PARAMS && spec->policy->params[i].name; i++) {
        const lt_policy_param *param = &spec->policy->params[i];
        used += snprintf(all + used, sizeof all - used, "%s=%s,", param->name,
                         param_text(param, spec->params[i], memory));
    }
    used +=
        snprintf(all + used, sizeof all - used, "consolidate=%s,", lt_consolidate_names[spec->consolidate]);
    if (spec->consolidate == LT_EMA)
        used += snprintf(all + used, sizeof all - used, "alpha=%s,", number_text(spec->alpha, memory));
    if (spec->consolidate == LT_DECAY)
        used += snprintf(all + used, sizeof all - used, "gamma=%s,", number_text(spec->gamma, memory));
    snprintf(all + used, sizeof all - used, "scope=%s,read=%s,granularity=%s,protect=%d",
             lt_scope_names[spec->scope], lt_read_names[spec->read], lt_granularity_names[spec->granularity],
             spec->protect);
    snprintf(text, size, "%s", all);
    return text;
}

static lt_status whole_slots(const char *text, int64_t slot_bytes, int *out) {
    int64_t bytes;
    LT_TRY(lt_parse_bytes(text, &bytes));
    LT_CHECK(slot_bytes > 0, LT_USAGE, "budget %s: bytes say nothing where a slot has none", text);
    int64_t slots = bytes / slot_bytes;
    char one[32];
    LT_CHECK(slots >= 1 && slots <= INT_MAX, LT_USAGE, "budget %s: that is %lld slots; one takes %s", text,
             (long long)slots, lt_format_bytes(slot_bytes, one));
    *out = (int)slots;
    return LT_OK;
}

lt_status lt_budget_parse(const char *text, int64_t slot_bytes, int entries, int *out) {
    char *end;
    double number = strtod(text, &end);
    if (end != text && strcmp(end, "%") == 0) {
        LT_CHECK(number > 0 && number <= 100, LT_USAGE, "budget %s: expected more than 0%% and at most 100%%",
                 text);
        *out = (int)fmax(1, floor(number / 100 * entries));
        return LT_OK;
    }
    LT_CHECK(end != text, LT_USAGE, "budget \"%s\": expected slots (3), bytes (60MiB) or a share (25%%)",
             text);
    if (*end) return whole_slots(text, slot_bytes, out);
    LT_CHECK(number >= 0 && number <= INT_MAX && number == floor(number), LT_USAGE,
             "budget %s: expected a whole number of slots, 0 or more", text);
    *out = (int)number;
    return LT_OK;
}
