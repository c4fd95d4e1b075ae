#include "core/cli.h"
#include "core/json.h"
#include "core/text.h"
#include "experiments/info.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `step`: the figure that says when a loss was measured. */
static const struct {
    const char *name, *step, *title;
} figures[] = {{"weights_hash", NULL, "weights"},
               {"checkpoint", NULL, "checkpoint"},
               {"parameters", NULL, "parameters"},
               {"step", NULL, "steps"},
               {"seconds", NULL, "seconds"},
               {"tokens_per_s", NULL, "tokens/s"},
               {"first_loss", NULL, "first loss"},
               {"loss", "loss_step", "loss (mean of last 100)"},
               {"val_loss", "val_step", "validation loss, last"},
               {"best_val_loss", "best_val_step", "validation loss, best"}};
enum { FIGURES = sizeof figures / sizeof *figures, ROWS = 10, WIDTH = 28 };

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

static void add_figure(cJSON *table, const char *name, const cJSON *a, const cJSON *b) {
    cJSON *pair = cJSON_AddArrayToObject(table, name);
    cJSON_AddItemToArray(pair, copy_or_null(lt_json_member(a, name)));
    cJSON_AddItemToArray(pair, copy_or_null(lt_json_member(b, name)));
}

/* ---- losses at the same steps ------------------------------------------------------------------------------------ */

typedef struct side {
    const char *path;
    cJSON *info;
    lt_losses loss, val;
} side;

static double last_step(const lt_losses *list) { return list->count ? list->at[list->count - 1][0] : 0; }

/* Mean over steps after `from` up to `to`; NaN where there is none. */
static double mean_between(const lt_losses *list, double from, double to) {
    double sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < list->count; i++)
        if (list->at[i][0] > from && list->at[i][0] <= to) sum += list->at[i][1], count++;
    return count ? sum / (double)count : NAN;
}

static void add_compared_row(cJSON *rows, double from, double to, double a, double b) {
    cJSON *row = cJSON_CreateObject();
    if (from >= 0) cJSON_AddNumberToObject(row, "after", from);
    cJSON_AddNumberToObject(row, "step", to);
    cJSON *values = cJSON_AddArrayToObject(row, "values");
    for (int i = 0; i < 2; i++)
        cJSON_AddItemToArray(values,
                             isfinite(i ? b : a) ? cJSON_CreateNumber(i ? b : a) : cJSON_CreateNull());
    cJSON_AddItemToArray(rows, row);
}

/* Means over tenths of the steps that both have taken. */
static void align_losses(const side *sides, cJSON *rows) {
    double end = fmin(last_step(&sides[0].loss), last_step(&sides[1].loss)), from = 0;
    for (int row = 1; row <= ROWS && end > 0; row++) {
        double to = floor(end * row / ROWS);
        if (to <= from) continue;
        add_compared_row(rows, from, to, mean_between(&sides[0].loss, from, to),
                         mean_between(&sides[1].loss, from, to));
        from = to;
    }
}

/* Validations at steps where both have one. */
static void align_validations(const side *sides, cJSON *rows) {
    const lt_losses *a = &sides[0].val, *b = &sides[1].val;
    for (int64_t i = 0, k = 0; i < a->count && k < b->count;) {
        double x = a->at[i][0], y = b->at[k][0];
        if (x == y) add_compared_row(rows, -1, x, a->at[i][1], b->at[k][1]);
        i += x <= y, k += y <= x;
    }
}

static cJSON *compare(const side *sides) {
    const cJSON *a = sides[0].info, *b = sides[1].info;
    cJSON *out = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(out, "runs");
    for (int i = 0; i < 2; i++) cJSON_AddItemToArray(runs, cJSON_CreateString(sides[i].path));
    add_differences("", lt_json_member(a, "config"), lt_json_member(b, "config"),
                    cJSON_AddArrayToObject(out, "config"));
    cJSON *table = cJSON_AddObjectToObject(out, "figures");
    for (int i = 0; i < FIGURES; i++) {
        add_figure(table, figures[i].name, a, b);
        if (figures[i].step) add_figure(table, figures[i].step, a, b);
    }
    align_losses(sides, cJSON_AddArrayToObject(out, "loss_at_steps"));
    align_validations(sides, cJSON_AddArrayToObject(out, "val_loss_at_steps"));
    cJSON *copies = cJSON_AddArrayToObject(out, "curves");
    for (int i = 0; i < 2; i++)
        cJSON_AddItemToArray(copies, copy_or_null(lt_json_member(sides[i].info, "curve")));
    return out;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void print_value(const cJSON *value) {
    char cell[8 * WIDTH], *text = cJSON_PrintUnformatted(value);
    const char *shown = cJSON_IsString(value) ? value->valuestring
                        : cJSON_IsNull(value) ? "-"
                        : text                ? text
                                              : "?";
    printf(" %s", lt_table_cell(cell, sizeof cell, shown, WIDTH));
    cJSON_free(text);
}

/* "0.91234 at step 500" */
static void print_loss(const cJSON *value, const cJSON *step) {
    char text[64] = "-";
    if (cJSON_IsNumber(value) && cJSON_IsNumber(step))
        snprintf(text, sizeof text, "%.5f at step %.0f", value->valuedouble, step->valuedouble);
    else if (cJSON_IsNumber(value)) snprintf(text, sizeof text, "%.5f", value->valuedouble);
    printf(" %-*s", WIDTH, text);
}

static void print_figures(const cJSON *table) {
    for (int i = 0; i < FIGURES; i++) {
        const cJSON *pair = lt_json_member(table, figures[i].name),
                    *steps = figures[i].step ? lt_json_member(table, figures[i].step) : NULL;
        printf("%-24s", figures[i].title);
        for (int k = 0; k < 2; k++)
            if (strstr(figures[i].name, "loss"))
                print_loss(cJSON_GetArrayItem(pair, k), cJSON_GetArrayItem(steps, k));
            else print_value(cJSON_GetArrayItem(pair, k));
        putchar('\n');
    }
}

/* At most ROWS of them, the last one included. */
static void print_aligned(const char *title, const cJSON *rows) {
    int count = cJSON_GetArraySize(rows), shown = 0;
    if (!count) return;
    printf("\n%-24s %-*s %-*s %s\n", title, WIDTH, "", WIDTH, "", "second - first");
    for (int i = 0; i < count; i++) {
        const cJSON *row = cJSON_GetArrayItem(rows, i), *values = lt_json_member(row, "values");
        if ((int64_t)(i + 1) * ROWS / count == shown && count > ROWS) continue;
        shown = count > ROWS ? (int)((int64_t)(i + 1) * ROWS / count) : i;
        printf("%-24.0f", lt_json_number(row, "step"));
        for (int k = 0; k < 2; k++) print_loss(cJSON_GetArrayItem(values, k), NULL);
        const cJSON *a = cJSON_GetArrayItem(values, 0), *b = cJSON_GetArrayItem(values, 1);
        if (cJSON_IsNumber(a) && cJSON_IsNumber(b)) printf(" %+.5f", b->valuedouble - a->valuedouble);
        putchar('\n');
    }
}

static void print_text(const cJSON *out) {
    const cJSON *item, *runs = lt_json_member(out, "runs");
    printf("%-24s", "");
    for (int i = 0; i < 2; i++) printf(" %-*.*s", WIDTH, WIDTH, cJSON_GetArrayItem(runs, i)->valuestring);
    putchar('\n');
    cJSON_ArrayForEach(item, lt_json_member(out, "config")) {
        printf("%-24s", lt_json_string(item, "key"));
        for (int i = 0; i < 2; i++) print_value(cJSON_GetArrayItem(lt_json_member(item, "values"), i));
        putchar('\n');
    }
    if (cJSON_GetArraySize(lt_json_member(out, "config")) == 0) printf("(the configurations are equal)\n");
    putchar('\n');
    print_figures(lt_json_member(out, "figures"));
    print_aligned("mean loss up to step", lt_json_member(out, "loss_at_steps"));
    print_aligned("validation at step", lt_json_member(out, "val_loss_at_steps"));
}

static lt_status read_side(const char *path, side *out) {
    out->path = path;
    LT_TRY(lt_info_run(path, &out->info));
    return lt_info_losses(path, &out->loss, &out->val);
}

static lt_status run_compare(const void *options, int count, const char *const *runs) {
    const lt_globals *global = options;
    side sides[2] = {{0}};
    (void)count;
    lt_status status = read_side(runs[0], &sides[0]);
    if (status == LT_OK) status = read_side(runs[1], &sides[1]);
    if (status == LT_OK) {
        cJSON *out = compare(sides);
        if (global->json) lt_json_print(out);
        else {
            lt_json_make_printable(out);
            print_text(out);
        }
        cJSON_Delete(out);
    }
    for (int i = 0; i < 2; i++) {
        cJSON_Delete(sides[i].info);
        free(sides[i].loss.at);
        free(sides[i].val.at);
    }
    return status;
}

const lt_command lt_cmd_compare = {
    .name = "compare",
    .summary = "two runs: which keys differ, and their losses",
    .details = "Prints the configuration keys that differ, figures of both runs, each loss with the step\n"
               "that it was measured at, and losses at steps that both have taken: training losses as means\n"
               "since the row above, validation losses where both were measured.\n"
               "\n"
               "  longtake compare runs/a runs/b\n",
    .positional = "RUN RUN",
    .min_positional = 2,
    .max_positional = 2,
    .run = run_compare};
