#include "experiments/cmd_compare.h"

#include "core/json.h"
#include "experiments/info.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lt_option options[] = {{NULL}};

static const char *const figures[] = {"parameters", "step",     "seconds",       "tokens_per_s", "first_loss",
                                      "loss",       "val_loss", "best_val_loss", "best_val_step"};
enum { FIGURES = sizeof figures / sizeof *figures };

static cJSON *copy_or_null(const cJSON *value) {
    return value ? cJSON_Duplicate(value, true) : cJSON_CreateNull();
}

/* Appends {key, values: [a, b]} for every leaf that differs; an object missing on one side counts as empty. */
static void add_differences(const char *prefix, const cJSON *a, const cJSON *b, cJSON *list) {
    const cJSON *item;
    char key[512];
    const cJSON *sides[2] = {a, b};
    for (int side = 0; side < 2; side++) cJSON_ArrayForEach(item, sides[side]) {
            const cJSON *x = lt_json_member(a, item->string), *y = lt_json_member(b, item->string);
            if (side == 1 && x) continue; /* seen from the other side */
            snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", item->string);
            if (cJSON_IsObject(item) && (!x || cJSON_IsObject(x)) && (!y || cJSON_IsObject(y))) {
                add_differences(key, x, y, list);
                continue;
            }
            if (x && y && cJSON_Compare(x, y, true)) continue;
            cJSON *difference = cJSON_CreateObject(), *values = cJSON_CreateArray();
            cJSON_AddStringToObject(difference, "key", key);
            cJSON_AddItemToArray(values, copy_or_null(x));
            cJSON_AddItemToArray(values, copy_or_null(y));
            cJSON_AddItemToObject(difference, "values", values);
            cJSON_AddItemToArray(list, difference);
        }
}

static cJSON *compare(const cJSON *a, const cJSON *b) {
    cJSON *out = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(out, "runs");
    cJSON_AddItemToArray(runs, cJSON_CreateString(lt_json_string(a, "path")));
    cJSON_AddItemToArray(runs, cJSON_CreateString(lt_json_string(b, "path")));
    add_differences("", lt_json_member(a, "config"), lt_json_member(b, "config"),
                    cJSON_AddArrayToObject(out, "config"));
    cJSON *table = cJSON_AddObjectToObject(out, "figures");
    for (int i = 0; i < FIGURES; i++) {
        cJSON *pair = cJSON_AddArrayToObject(table, figures[i]);
        cJSON_AddItemToArray(pair, copy_or_null(lt_json_member(a, figures[i])));
        cJSON_AddItemToArray(pair, copy_or_null(lt_json_member(b, figures[i])));
    }
    const cJSON *curves[2] = {lt_json_member(a, "curve"), lt_json_member(b, "curve")};
    cJSON *copies = cJSON_AddArrayToObject(out, "curves");
    for (int i = 0; i < 2; i++) cJSON_AddItemToArray(copies, copy_or_null(curves[i]));
    return out;
}

static void print_value(const cJSON *value) {
    char *text = cJSON_PrintUnformatted(value);
    printf(" %-28.28s", cJSON_IsNull(value) ? "-" : text ? text : "?");
    cJSON_free(text);
}

/* Losses at tenths of the longer curve. */
static void print_curves(const cJSON *curves) {
    enum { ROWS = 10 };
    const cJSON *a = cJSON_GetArrayItem(curves, 0), *b = cJSON_GetArrayItem(curves, 1);
    double last[2] = {0, 0};
    const cJSON *list[2] = {a, b};
    for (int side = 0; side < 2; side++) {
        int n = cJSON_GetArraySize(list[side]);
        if (n) last[side] = cJSON_GetArrayItem(cJSON_GetArrayItem(list[side], n - 1), 0)->valuedouble;
    }
    double end = fmax(last[0], last[1]);
    if (end <= 0) return;
    printf("\n%-24s\n", "loss by step");
    for (int row = 1; row <= ROWS; row++) {
        double step = end * row / ROWS;
        printf("%-24.0f", step);
        for (int side = 0; side < 2; side++) {
            const cJSON *point, *found = NULL;
            cJSON_ArrayForEach(point, list[side]) {
                if (cJSON_GetArrayItem(point, 0)->valuedouble > step) break;
                found = point;
            }
            if (found && last[side] >= end * (row - 1) / ROWS)
                printf(" %-28.5f", cJSON_GetArrayItem(found, 1)->valuedouble);
            else printf(" %-28s", "-");
        }
        putchar('\n');
    }
}

static void print_text(const cJSON *out) {
    const cJSON *item, *runs = lt_json_member(out, "runs");
    printf("%-24s", "");
    for (int i = 0; i < 2; i++) printf(" %-28.28s", cJSON_GetArrayItem(runs, i)->valuestring);
    putchar('\n');
    cJSON_ArrayForEach(item, lt_json_member(out, "config")) {
        printf("%-24s", lt_json_string(item, "key"));
        for (int i = 0; i < 2; i++) print_value(cJSON_GetArrayItem(lt_json_member(item, "values"), i));
        putchar('\n');
    }
    if (cJSON_GetArraySize(lt_json_member(out, "config")) == 0) printf("(the configurations are equal)\n");
    putchar('\n');
    cJSON_ArrayForEach(item, lt_json_member(out, "figures")) {
        printf("%-24s", item->string);
        for (int i = 0; i < 2; i++) print_value(cJSON_GetArrayItem(item, i));
        putchar('\n');
    }
    print_curves(lt_json_member(out, "curves"));
}

static lt_status run(int count, const char *const *runs) {
    cJSON *a, *b;
    (void)count;
    LT_TRY(lt_info_run(runs[0], &a));
    lt_status status = lt_info_run(runs[1], &b);
    if (status == LT_OK) {
        cJSON *out = compare(a, b);
        if (lt_global.json) lt_json_print(out);
        else print_text(out);
        cJSON_Delete(out);
        cJSON_Delete(b);
    }
    cJSON_Delete(a);
    return status;
}

const lt_command lt_cmd_compare = {
    .name = "compare",
    .summary = "two runs: which keys differ, and their losses",
    .details = "Prints the configuration keys that differ, figures of both runs, and their losses by step.\n"
               "\n"
               "  longtake compare runs/a runs/b\n",
    .options = options,
    .positional = "RUN RUN",
    .min_positional = 2,
    .max_positional = 2,
    .run = run};
