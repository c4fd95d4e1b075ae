#include "train/metrics.h"

#include "core/output.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lt_metrics {
    lt_rows *rows;
    FILE *file; /* the row under way, in memory */
    char *text;
    size_t size;
};

/* Length of the beginning of `text` that stays: whole lines up to the first with a later step. */
static size_t kept(const char *text, int64_t step) {
    const char *line = text;
    for (const char *end; (end = strchr(line, '\n')); line = end + 1) {
        long long row;
        if (sscanf(line, "{\"step\": %lld", &row) != 1 || row > step) break;
    }
    return (size_t)(line - text);
}

static lt_status truncate_after(const char *path, int64_t step) {
    char *text;
    size_t size;
    if (!lt_path_exists(path)) return LT_OK;
    LT_TRY(lt_read_file(path, &text, &size));
    size_t keep = kept(text, step);
    lt_status status = keep < size ? lt_write_file(path, text, keep) : LT_OK;
    free(text);
    return status;
}

lt_status lt_metrics_open(const char *path, int64_t step, lt_metrics **out) {
    *out = NULL;
    LT_TRY(truncate_after(path, step));
    lt_metrics *m = calloc(1, sizeof *m);
    LT_CHECK(m, LT_FAILED, "%s: out of memory", path);
    m->file = open_memstream(&m->text, &m->size);
    lt_status status =
        m->file ? lt_rows_open(path, false, &m->rows) : lt_fail(LT_FAILED, "%s: out of memory", path);
    if (status == LT_OK) *out = m;
    else lt_metrics_close(m);
    return status;
}

lt_status lt_metrics_sync(lt_metrics *metrics) { return lt_rows_sync(metrics->rows); }

void lt_metrics_close(lt_metrics *metrics) {
    if (!metrics) return;
    if (metrics->file) fclose(metrics->file);
    lt_rows_close(metrics->rows);
    free(metrics->text);
    free(metrics);
}

static void number(FILE *to, const char *name, double value) {
    if (isfinite(value)) fprintf(to, ", \"%s\": %.9g", name, value);
    else fprintf(to, ", \"%s\": null", name);
}

static lt_status end_row(lt_metrics *m) {
    fputs("}\n", m->file);
    LT_CHECK(fflush(m->file) == 0, LT_FAILED, "out of memory for a row of metrics.jsonl");
    lt_status status = lt_rows_add(m->rows, m->text, m->size);
    rewind(m->file); /* the next row starts over */
    return status;
}

static void figure(void *user, const char *name, double value) { number(user, name, value); }

lt_status lt_metrics_write_step(lt_metrics *m, const lt_metrics_step *row) {
    const lt_step_result *r = row->result;
    fprintf(m->file, "{\"step\": %" PRId64, r->step);
    number(m->file, "loss", r->loss);
    number(m->file, "lr", r->lr);
    number(m->file, "grad_norm", r->grad_norm);
    if (!r->finite) fputs(", \"skipped\": true", m->file);
    if (row->objectives) lt_objectives_report(row->objectives, r->figures, figure, m->file);
    number(m->file, "tokens_per_s", row->tokens_per_s);
    fprintf(m->file, ", \"peak_bytes\": %" PRId64, row->peak_bytes);
    number(m->file, "seconds", row->seconds);
    return end_row(m);
}

lt_status lt_metrics_write_validation(lt_metrics *m, int64_t step, const lt_validation *v, double seconds) {
    fprintf(m->file, "{\"step\": %" PRId64, step);
    number(m->file, "val_loss", v->loss);
    fputs(", \"val_by_time\": [", m->file);
    for (int i = 0; i < LT_TIME_BINS; i++) fprintf(m->file, "%s%.9g", i ? ", " : "", v->by_time[i]);
    fprintf(m->file, "], \"val_clips\": %" PRId64, v->clips);
    number(m->file, "seconds", seconds);
    return end_row(m);
}
