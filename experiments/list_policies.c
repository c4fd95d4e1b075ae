/* The language of policies, from the tables that parse it. */
#include "experiments/list.h"

#include "model/cache/feature.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* "n=1 (0 to 64): entries at the start that stay" */
static void describe_param(const lt_policy_param *p, char *text, size_t size) {
    char preset[64], word[64];
    snprintf(preset, sizeof preset, "%g", p->preset);
    if (p->words) {
        const char *at = p->words;
        for (int skip = (int)p->preset; skip > 0 && strchr(at, '|'); skip--) at = strchr(at, '|') + 1;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, "|"), at);
        snprintf(text, size, "%s=%s (%s): %s", p->name, word, p->words, p->help);
    } else if (isfinite(p->max))
        snprintf(text, size, "%s=%s (%.15g to %.15g): %s", p->name, preset, p->min, p->max, p->help);
    else snprintf(text, size, "%s=%s (at least %.15g): %s", p->name, preset, p->min, p->help);
}

/* What it looks at, and so what has to be computed for it. */
static void list_needs(cJSON *item, const lt_policy *policy) {
    cJSON *needs = cJSON_AddArrayToObject(item, "needs");
    for (int f = 0; f < LT_FEATURE_COUNT; f++)
        if (policy->needs & LT_NEED(f))
            cJSON_AddItemToArray(needs, cJSON_CreateString(lt_feature_rows[f].name));
    if (policy->needs & LT_NEED_SIMILARITY) cJSON_AddItemToArray(needs, cJSON_CreateString("similarity"));
    cJSON_AddNumberToObject(item, "state", policy->state);
    cJSON_AddBoolToObject(item, "needs_scorer", (policy->needs & LT_NEED_SCORER) != 0);
}

lt_status lt_list_policies(cJSON *list) {
    for (int i = 0; lt_policy_at(i); i++) {
        const lt_policy *policy = lt_policy_at(i);
        cJSON *item = lt_list_add(list, policy->name, policy->help);
        cJSON *params = cJSON_AddArrayToObject(item, "params");
        for (int k = 0; k < LT_POLICY_PARAMS && policy->params[k].name; k++) {
            char text[512];
            describe_param(&policy->params[k], text, sizeof text);
            cJSON_AddItemToArray(params, cJSON_CreateString(text));
        }
        cJSON_AddStringToObject(item, "consolidate", policy->consolidate);
        list_needs(item, policy);
    }
    return LT_OK;
}

/* "0.9 (0 to 1)" */
static void describe_number(const lt_spec_key *key, char *text, size_t size) {
    snprintf(text, size, "a %snumber from %.15g to %.15g", key->integer ? "whole " : "", key->min, key->max);
}

lt_status lt_list_policy_keys(cJSON *list) {
    const lt_spec_key *key;
    for (int i = 0; (key = lt_spec_key_at(i)); i++) {
        char range[96] = "";
        cJSON *item = lt_list_add(list, key->name, key->help);
        if (key->words && key->preset_text) cJSON_AddStringToObject(item, "default", key->preset_text);
        else if (key->words) cJSON_AddStringToObject(item, "default", "the policy's own");
        else cJSON_AddNumberToObject(item, "default", key->preset);
        if (!key->words)
            describe_number(key, range, sizeof range), cJSON_AddStringToObject(item, "range", range);
        cJSON *values = key->words ? cJSON_AddArrayToObject(item, "values") : NULL;
        for (int w = 0; w < key->word_count; w++) lt_list_add(values, key->words[w], key->meanings[w]);
    }
    return LT_OK;
}

static void print_policies(void) {
    cJSON *list = cJSON_CreateArray();
    const cJSON *item, *param;
    (void)lt_list_policies(list);
    cJSON_ArrayForEach(item, list) {
        printf("  %-10s %s\n", lt_json_string(item, "name"), lt_json_string(item, "help"));
        cJSON_ArrayForEach(param, lt_json_member(item, "params"))
            printf("  %-10s   %s\n", "", param->valuestring);
        if (strcmp(lt_json_string(item, "consolidate"), "drop") != 0)
            printf("  %-10s   consolidate=%s unless said otherwise\n", "",
                   lt_json_string(item, "consolidate"));
    }
    cJSON_Delete(list);
}

static void print_keys(void) {
    const lt_spec_key *key;
    char range[96];
    for (int i = 0; (key = lt_spec_key_at(i)); i++) {
        if (key->words)
            printf("  %s=%s\n      %s (default: %s)\n", key->name, key->words[0], key->help,
                   key->preset_text ? key->preset_text : "the policy's own, drop for most");
        else {
            describe_number(key, range, sizeof range);
            printf("  %s=%g\n      %s (%s)\n", key->name, key->preset, key->help, range);
        }
        for (int w = 0; w < key->word_count; w++) printf("      %-9s %s\n", key->words[w], key->meanings[w]);
    }
}

void lt_print_policies(void) {
    printf(
        "A policy is written NAME or NAME:key=value,key=value, as in "
        "sink:n=2,consolidate=ema,alpha=0.9,read=content.\n"
        "It says which entries of the cache stay when --budget is full; what was not said has its default.\n"
        "\nNAME, with the keys of its own:\n");
    print_policies();
    printf("\nKeys that every policy takes:\n");
    print_keys();
    printf("\n--budget:\n"
           "  3           entries (slots) a layer keeps\n"
           "  60MiB       as many whole slots as fit into these bytes of all layers\n"
           "  25%%         of the entries that the video or clip has, at least one\n");
}
