#include "core/output.h"
#include "data/h5.h"
#include "experiments/results.h"
#include "experiments/summary.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 80 };

typedef struct sample_record {
    int32_t row;
    int32_t order, block, bin, draw, evicting;
    int64_t clip;
    float t, loss, gaussian, unused;
} sample_record;

#define FIELD(name, type, about)                                                                             \
    { #name, type, offsetof(sample_record, name), 1, false, about }
static const lt_h5_field sample_fields[] = {
    FIELD(row, LT_H5_I32, "index of the policy's row in /rows"),
    FIELD(clip, LT_H5_I64, "index of the clip in its dataset"),
    FIELD(order, LT_H5_I32, "number of the clip among those evaluated"),
    FIELD(block, LT_H5_I32, "block of the clip, from 0"),
    FIELD(bin, LT_H5_I32, "stratum of the time t"),
    FIELD(draw, LT_H5_I32, "number of the noise draw"),
    FIELD(evicting, LT_H5_I32, "1: the block is read with an eviction in force"),
    FIELD(t, LT_H5_F32, "diffusion time, 0 to 1"),
    FIELD(loss, LT_H5_F32, "mean squared error of the velocity"),
    FIELD(gaussian, LT_H5_F32, "the same of the Gaussian denoiser of the clip's domain"),
    {NULL}};

struct lt_results_h5 {
    lt_h5 *h5;
    char path[LT_PATH_MAX], part[LT_PATH_MAX];
    int samples; /* id of the array */
    int64_t count;
    lt_h5_field fields[MOST_COLUMNS + 1]; /* of /rows */
    size_t record_bytes;
};

/* Numbers first, so that they are aligned. */
static void lay_out_rows(lt_results_h5 *f) {
    int count = 0;
    for (int texts = 0; texts < 2; texts++)
        for (const lt_column *c = lt_columns; c->name && count < MOST_COLUMNS; c++) {
            if ((c->text > 0) != (texts == 1)) continue;
            f->fields[count++] = (lt_h5_field){c->name, c->text ? LT_H5_TEXT : LT_H5_F64, f->record_bytes,
                                               c->text ? c->text : 1};
            f->record_bytes += c->text ? (size_t)c->text : sizeof(double);
        }
    f->record_bytes = (f->record_bytes + 7) / 8 * 8;
}

static lt_status start_results(lt_results_h5 *f) {
    lt_h5_layout layout = {.type = LT_H5_RECORD,
                           .fields = sample_fields,
                           .record_bytes = sizeof(sample_record),
                           .ndim = 1,
                           .chunk_rows = 16384,
                           .labels = {"sample"},
                           .about = "every loss; what a column means: the attribute of its name"};
    LT_TRY(lt_remove_tree(f->part));
    LT_TRY(lt_h5_create(f->part, &f->h5));
    return lt_h5_add(f->h5, "/samples", &layout, &f->samples);
}

lt_status lt_results_h5_open(const char *path, lt_results_h5 **out) {
    *out = NULL;
    lt_results_h5 *f = calloc(1, sizeof *f);
    LT_CHECK(f, LT_FAILED, "%s: out of memory", path);
    snprintf(f->path, sizeof f->path, "%s", path);
    int length = snprintf(f->part, sizeof f->part, "%s.part", path);
    lay_out_rows(f);
    lt_status status =
        length < (int)sizeof f->part ? start_results(f) : lt_fail(LT_USAGE, "%.60s...: path too long", path);
    if (status == LT_OK) *out = f;
    else {
        lt_h5_close(f->h5);
        free(f);
    }
    return status;
}

lt_status lt_results_h5_samples(lt_results_h5 *f, int row, const lt_cell *cell) {
    sample_record *records = calloc((size_t)cell->count, sizeof *records);
    LT_CHECK(records, LT_FAILED, "%s: out of memory", f->path);
    for (int64_t i = 0; i < cell->count; i++) {
        const lt_cell_sample *s = &cell->samples[i];
        records[i] = (sample_record){row,     s->order, s->block, s->bin,      s->draw, s->evicting,
                                     s->clip, s->t,     s->loss,  s->gaussian, 0};
    }
    lt_status status = lt_h5_write(f->h5, f->samples, f->count, cell->count, records);
    f->count += cell->count;
    free(records);
    return status;
}

static void fill_record(const lt_results_h5 *f, const cJSON *row, char *record) {
    for (const lt_h5_field *field = f->fields; field->name; field++) {
        const lt_column *c = lt_columns;
        while (strcmp(c->name, field->name) != 0) c++;
        const cJSON *value = lt_column_value(row, c);
        if (c->text) snprintf(record + field->offset, (size_t)c->text, "%s", value ? value->valuestring : "");
        else {
            double number = value ? value->valuedouble : NAN;
            memcpy(record + field->offset, &number, sizeof number);
        }
    }
}

static lt_status write_rows(lt_results_h5 *f, const cJSON *rows) {
    int64_t count = cJSON_GetArraySize(rows), at = 0;
    const cJSON *row;
    int id;
    lt_h5_layout layout = {.type = LT_H5_RECORD,
                           .fields = f->fields,
                           .record_bytes = f->record_bytes,
                           .ndim = 1,
                           .chunk_rows = 64,
                           .labels = {"row"},
                           .about = "one row per policy, budget and set; columns as in results.csv"};
    LT_TRY(lt_h5_add(f->h5, "/rows", &layout, &id));
    char *records = calloc((size_t)count + 1, f->record_bytes);
    LT_CHECK(records, LT_FAILED, "%s: out of memory", f->path);
    cJSON_ArrayForEach(row, rows) fill_record(f, row, records + (size_t)at++ * f->record_bytes);
    lt_status status = lt_h5_write(f->h5, id, 0, count, records);
    if (status == LT_OK) status = lt_h5_set_int(f->h5, "/", "schema_version", 1);
    if (status == LT_OK) status = lt_h5_commit(f->h5);
    free(records);
    return status;
}

lt_status lt_results_h5_close(lt_results_h5 *f, const cJSON *rows, bool keep) {
    lt_status status = keep ? write_rows(f, rows) : LT_OK;
    lt_h5_close(f->h5);
    if (keep && status == LT_OK) status = lt_rename(f->part, f->path);
    if (!keep || status != LT_OK) (void)lt_remove_tree(f->part);
    free(f);
    return status;
}
