#include "train/mix.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char key[] = "train.policy_mix";

/* A budget as text, whether it was written as a number or as a string. */
static lt_status budget_text(const cJSON *value, int row, char *text, size_t size) {
    LT_CHECK(cJSON_IsNumber(value) || cJSON_IsString(value), LT_USAGE,
             "%s[%d].budget: expected a number of entries, \"25%%\", \"60MiB\" or an array of these", key,
             row);
    if (cJSON_IsString(value)) snprintf(text, size, "%s", value->valuestring);
    else snprintf(text, size, "%.17g", value->valuedouble);
    return LT_OK;
}

static lt_status add_row(lt_train_config *out, const lt_model *model, const char *policy, const cJSON *budget,
                         double weight, int row) {
    char text[64] = "0";
    int entries = 0;
    lt_mix_row *mix = realloc(out->mix, (size_t)(out->mix_count + 1) * sizeof *mix);
    LT_CHECK(mix, LT_FAILED, "out of memory");
    out->mix = mix;
    if (budget) {
        const lt_dit_config *c = &model->config;
        LT_TRY(budget_text(budget, row, text, sizeof text));
        int64_t bytes = lt_entry_bytes(c->layers, c->heads, c->head_dim);
        lt_status status = lt_budget_parse(text, bytes, out->blocks, &entries);
        if (status != LT_OK) return lt_fail_in(status, "%s[%d].budget", key, row);
    }
    lt_mix_row *to = &out->mix[out->mix_count];
    lt_status status = lt_cache_spec_parse(policy, entries, &to->spec);
    if (status != LT_OK) return lt_fail_in(status, "%s[%d].policy", key, row);
    LT_CHECK(budget || to->spec.policy->fixed_budget >= 0, LT_USAGE,
             "%s[%d]: policy \"%s\" needs a \"budget\"", key, row, policy);
    to->weight = weight;
    out->mix_count++;
    if (to->spec.budget > out->max_budget) out->max_budget = to->spec.budget;
    return LT_OK;
}

static lt_status check_fields(const cJSON *object, int row) {
    LT_CHECK(cJSON_IsObject(object), LT_USAGE, "%s[%d]: expected {\"policy\", \"budget\", \"weight\"}", key,
             row);
    for (const cJSON *field = object->child; field; field = field->next)
        LT_CHECK(strcmp(field->string, "policy") == 0 || strcmp(field->string, "budget") == 0 ||
                     strcmp(field->string, "weight") == 0,
                 LT_USAGE, "%s[%d]: unknown field \"%s\"; known are policy, budget, weight", key, row,
                 field->string);
    return LT_OK;
}

static lt_status read_row(lt_train_config *out, const lt_model *model, const cJSON *object, int row) {
    LT_TRY(check_fields(object, row));
    const cJSON *policy = cJSON_GetObjectItemCaseSensitive(object, "policy");
    const cJSON *budget = cJSON_GetObjectItemCaseSensitive(object, "budget");
    const cJSON *weight = cJSON_GetObjectItemCaseSensitive(object, "weight");
    LT_CHECK(cJSON_IsString(policy), LT_USAGE, "%s[%d]: \"policy\" is missing or no string", key, row);
    LT_CHECK(!weight || (cJSON_IsNumber(weight) && weight->valuedouble > 0), LT_USAGE,
             "%s[%d].weight: expected a number above 0", key, row);
    double share = weight ? weight->valuedouble : 1;
    if (!cJSON_IsArray(budget)) return add_row(out, model, policy->valuestring, budget, share, row);
    int count = cJSON_GetArraySize(budget);
    LT_CHECK(count > 0, LT_USAGE, "%s[%d].budget: an empty array", key, row);
    for (int i = 0; i < count; i++)
        LT_TRY(add_row(out, model, policy->valuestring, cJSON_GetArrayItem(budget, i), share / count, row));
    return LT_OK;
}

static void normalise(lt_train_config *out) {
    double sum = 0;
    for (int i = 0; i < out->mix_count; i++) sum += out->mix[i].weight;
    for (int i = 0; i < out->mix_count; i++) out->mix[i].weight /= sum;
}

static lt_status check_empty(const lt_train_config *out, double min_empty) {
    double empty = 0;
    for (int i = 0; i < out->mix_count; i++)
        if (out->mix[i].spec.budget == 0) empty += out->mix[i].weight;
    LT_CHECK(
        out->stage == LT_STAGE_SCORER || empty + 1e-9 >= min_empty, LT_USAGE,
        "%s: %.0f %% of the clips have an empty cache, expected at least %.0f %% or evaluation measures the "
        "mismatch; add {\"policy\": \"none\", \"weight\": ...} or lower train.min_empty",
        key, 100 * empty, 100 * min_empty);
    return LT_OK;
}

static lt_status check_mix(const lt_train_config *out) {
    bool reads = false;
    for (int i = 0; i < out->mix_count; i++) {
        const lt_cache_spec *spec = &out->mix[i].spec;
        reads |= spec->read != LT_READ_ONE;
        LT_CHECK(spec->granularity == out->mix[0].spec.granularity, LT_USAGE,
                 "%s: all policies must have the same granularity", key);
    }
    LT_CHECK(
        out->stage != LT_STAGE_SCORER || reads || out->keep_target != LT_KEEP_NONE, LT_USAGE,
        "train.stage is scorer, but no policy of %s has read=age or read=content and scorer.target is none: "
        "nothing would learn",
        key);
    return LT_OK;
}

lt_status lt_mix_read(const void *json, const lt_model *model, lt_train_config *out, double min_empty) {
    const cJSON *array = json;
    int count = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : 0;
    LT_CHECK(count > 0, LT_USAGE,
             "%s: expected an array with at least one {\"policy\", \"budget\", \"weight\"}", key);
    for (int i = 0; i < count; i++) LT_TRY(read_row(out, model, cJSON_GetArrayItem(array, i), i));
    normalise(out);
    LT_TRY(check_empty(out, min_empty));
    return check_mix(out);
}

int lt_mix_draw(const lt_train_config *config, uint64_t clip) {
    lt_rng_key draw = {.seed = config->seed, .purpose = LT_RNG_POLICY, .clip = clip};
    double left = lt_rng_uniform(&draw, 0);
    int i = 0;
    for (; i < config->mix_count - 1 && left >= config->mix[i].weight; i++) left -= config->mix[i].weight;
    return i;
}
