/* Rows of results as flat tables. */
#include "core/io.h"
#include "core/text.h"
#include "experiments/summary.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPARISON(name, path)                                                                               \
    {name, path ".mean", 0}, {name "_percent", path ".percent", 0}, {name "_low", path ".ci95.0", 0},        \
        {name "_high", path ".ci95.1", 0}, {name "_table_low", path ".table95.0", 0},                        \
        {name "_table_high", path ".table95.1", 0}, {name "_p", path ".p", 0},                               \
        {name "_detectable", path ".detectable", 0}, {                                                       \
        name "_verdict", path ".verdict", 24                                                                 \
    }

const lt_column lt_columns[] = {{"domain", "domain", 32},
                                {"role", "role", 8},
                                {"dataset", "dataset", 256},
                                {"keep", "keep", 96},
                                {"read", "read", 16},
                                {"consolidate", "consolidate", 16},
                                {"budget", "budget", 0},
                                {"policy", "policy", 512},
                                {"clips", "clips", 0},
                                {"groups", "groups", 0},
                                {"evicting_reads", "evicting_reads", 0},
                                {"loss", "loss.mean", 0},
                                {"loss_stderr", "loss.stderr", 0},
                                {"loss_low", "loss.ci95.0", 0},
                                {"loss_high", "loss.ci95.1", 0},
                                {"gaussian", "gaussian", 0},
                                {"reference", "reference", 512},
                                COMPARISON("vs_reference", "vs_reference"),
                                COMPARISON("vs_window", "vs_window"),
                                COMPARISON("vs_one", "vs_one"),
                                {"returns_loss", "returns.loss.mean", 0},
                                {"returns_clips", "returns.clips", 0},
                                COMPARISON("returns_vs_none", "returns.vs_none"),
                                {"all_loss", "all.loss.mean", 0},
                                {"all_gaussian", "all.gaussian", 0},
                                {"cache_bytes", "cache_bytes", 0},
                                {"slot_bytes", "slot_bytes", 0},
                                {"metadata_bytes", "metadata_bytes", 0},
                                {"tail_bytes", "tail_bytes", 0},
                                {"scorer_bytes", "scorer_bytes", 0},
                                {"workspace_bytes", "workspace_bytes", 0},
                                {NULL}};

const cJSON *lt_column_value(const cJSON *row, const lt_column *column) {
    const char *at = column->path;
    while (row && *at) {
        char name[64];
        size_t length = strcspn(at, ".");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        row = isdigit((unsigned char)*name) ? cJSON_GetArrayItem(row, atoi(name)) : lt_json_member(row, name);
        at += length + (at[length] == '.');
    }
    return row && (column->text ? cJSON_IsString(row) : cJSON_IsNumber(row)) ? row : NULL;
}

lt_status lt_results_csv(const char *path, const cJSON *rows) {
    char *text = NULL;
    size_t size = 0;
    const cJSON *row;
    FILE *to = open_memstream(&text, &size);
    LT_CHECK(to, LT_FAILED, "%s: out of memory", path);
    for (const lt_column *c = lt_columns; c->name; c++)
        fprintf(to, "%s%s", c == lt_columns ? "" : ",", c->name);
    cJSON_ArrayForEach(row, rows) {
        fputs("\r\n", to);
        for (const lt_column *c = lt_columns; c->name; c++) {
            const cJSON *value = lt_column_value(row, c);
            if (c != lt_columns) fputc(',', to);
            if (value && c->text) lt_csv_text(to, value->valuestring);
            else if (value) fprintf(to, "%.10g", value->valuedouble);
        }
    }
    fputs("\r\n", to);
    bool written = fclose(to) == 0;
    lt_status status =
        written ? lt_write_file(path, text, size) : lt_fail(LT_FAILED, "%s: out of memory", path);
    free(text);
    return status;
}
