/* From the cells of an ablation to its result files. */
#include "core/output.h"
#include "core/text.h"
#include "experiments/ablate_impl.h"
#include "experiments/results.h"
#include "experiments/summary.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lt_status table_of(const lt_ablation *a, int set, lt_eval_table **out) {
    const lt_grid *grid = &a->grid;
    lt_cache_spec specs[LT_VARIANTS];
    for (int v = 0; v < grid->variant_count; v++) specs[v] = grid->variants[v].spec;
    return lt_eval_table_open(specs, grid->variant_count, &grid->sets[set].options, out);
}

static lt_status add_cell(const lt_ablation *a, int set, int variant, const lt_cell *cell,
                          lt_eval_table *table) {
    lt_dataset *data = a->data[a->grid.sets[set].data];
    for (int64_t i = 0; i < cell->count; i++) {
        const lt_cell_sample *c = &cell->samples[i];
        lt_eval_sample s = {.spec = variant,
                            .clip = c->clip,
                            .order = c->order,
                            .row = lt_dataset_clip(data, c->clip),
                            .block = c->block,
                            .bin = c->bin,
                            .draw = c->draw,
                            .t = (double)c->t,
                            .loss = (double)c->loss,
                            .gaussian = (double)c->gaussian,
                            .evicting = c->evicting != 0};
        s.place = lt_eval_place_of(s.row, a->model, s.block);
        LT_TRY(lt_eval_table_add(&s, table));
    }
    return LT_OK;
}

/* The losses of one set. With `file`, they are also copied into results.h5 under their rows, the first of which is
 * `row`. `seconds` grows by what the cells took. */
static lt_status load_set(const lt_ablation *a, int set, lt_results_h5 *file, int row, double *seconds,
                          lt_eval_table *table) {
    for (int v = 0; v < a->grid.variant_count; v++) {
        char path[LT_PATH_MAX];
        lt_cell cell;
        if (!lt_grid_wants(&a->grid, set, v)) continue;
        LT_TRY(lt_ablation_cell_path(a, set, v, path));
        LT_TRY(lt_cell_load(path, &cell));
        *seconds += cell.seconds;
        lt_status status = add_cell(a, set, v, &cell, table);
        if (status == LT_OK && file) status = lt_results_h5_samples(file, row + v, &cell);
        lt_cell_free(&cell);
        LT_TRY(status);
    }
    return LT_OK;
}

/* ---- references ------------------------------------------------------------------------------------------ */

static lt_status choose_references(const lt_ablation *a, int *reference, double *seconds) {
    const lt_grid *grid = &a->grid;
    lt_cache_spec specs[LT_VARIANTS];
    int64_t bytes[LT_VARIANTS];
    lt_eval_table *validation = NULL;
    lt_status status = LT_OK;
    for (int v = 0; v < grid->variant_count; v++) {
        specs[v] = grid->variants[v].spec;
        bytes[v] = lt_policy_cache_bytes(&grid->variants[v].bytes);
    }
    if (grid->has_reference) {
        LT_TRY(table_of(a, grid->set_count - 1, &validation));
        status = load_set(a, grid->set_count - 1, NULL, 0, seconds, validation);
    }
    if (status == LT_OK)
        status = lt_eval_references((const lt_eval_table *const *)&validation, validation ? 1 : 0, specs,
                                    bytes, grid->variant_count, reference);
    lt_eval_table_close(validation);
    return status;
}

/* ---- results.json ---------------------------------------------------------------------------------------- */

static void add_sets(const lt_ablation *a, cJSON *root) {
    cJSON *sets = cJSON_AddArrayToObject(root, "sets");
    for (int i = 0; i < a->grid.set_count; i++) {
        const lt_eval_set *s = &a->grid.sets[i];
        cJSON *set = s->reference ? cJSON_AddObjectToObject(root, "reference_set") : cJSON_CreateObject();
        cJSON_AddStringToObject(set, "set", s->label);
        cJSON_AddStringToObject(set, "domain", s->domain);
        cJSON_AddStringToObject(set, "role", s->options.role);
        cJSON_AddStringToObject(set, "dataset", lt_dataset_path(a->data[s->data]));
        cJSON_AddNumberToObject(set, "clips", (double)s->clips);
        cJSON_AddNumberToObject(set, "groups", s->groups);
        lt_json_add_number(set, "flow_px_per_s", s->flow_px_per_s);
        if (!s->reference) cJSON_AddItemToArray(sets, set);
    }
    if (!a->grid.has_reference) cJSON_AddNullToObject(root, "reference_set");
}

static void add_head(const lt_ablation *a, cJSON *root) {
    const lt_ablate_options *o = &a->options;
    char hash[LT_HASH_TEXT];
    cJSON_AddStringToObject(root, "title", lt_config_string(o->config, "experiment.title"));
    cJSON_AddStringToObject(root, "run", o->run);
    cJSON_AddStringToObject(root, "checkpoint", a->checkpoint);
    cJSON_AddStringToObject(root, "weights_hash", lt_hash_text(a->weights, hash));
    if (o->arguments) cJSON_AddStringToObject(root, "command", o->arguments);
    else cJSON_AddNullToObject(root, "command");
    cJSON_AddNumberToObject(root, "blocks", (double)lt_config_int(o->config, "experiment.blocks"));
    cJSON_AddNumberToObject(root, "draws", (double)lt_config_int(o->config, "experiment.draws"));
    cJSON_AddNumberToObject(root, "layers", a->model->config.layers);
    cJSON_AddNumberToObject(root, "heads", a->model->config.heads);
    cJSON_AddNumberToObject(root, "frames_per_block", lt_model_frames_per_block(a->model));
    add_sets(a, root);
}

static lt_status add_sets_rows(const lt_ablation *a, const int *reference, lt_results_h5 *file,
                               double *seconds, lt_summary *summary, cJSON *rows) {
    for (int s = 0; s < a->grid.set_count; s++) {
        lt_eval_table *table;
        const lt_eval_set *set = &a->grid.sets[s];
        if (set->reference) continue;
        LT_TRY(table_of(a, s, &table));
        lt_status status = load_set(a, s, file, cJSON_GetArraySize(rows), seconds, table);
        if (status == LT_OK)
            status = lt_summary_add(summary, &a->grid, s, (const lt_eval_table *const *)&table, 1, reference,
                                    lt_dataset_path(a->data[set->data]));
        lt_eval_table_close(table);
        LT_TRY(status);
    }
    return LT_OK;
}

static lt_status add_rows(const lt_ablation *a, const int *reference, lt_results_h5 *file, double *seconds,
                          cJSON *rows) {
    lt_summary *summary = lt_summary_open(rows);
    LT_CHECK(summary, LT_FAILED, "out of memory for results");
    lt_status status = add_sets_rows(a, reference, file, seconds, summary, rows);
    if (status == LT_OK) status = lt_summary_finish(summary);
    lt_summary_close(summary);
    return status;
}

/* ---- samples.csv ----------------------------------------------------------------------------------------- */

static void write_samples(const lt_eval_set *set, const lt_variant *v, const lt_dataset *data,
                          const lt_cell *cell, FILE *to) {
    for (int64_t i = 0; i < cell->count; i++) {
        const lt_cell_sample *s = &cell->samples[i];
        lt_csv_text(to, set->domain);
        fputc(',', to);
        lt_csv_text(to, v->text);
        fprintf(to, ",%d,%" PRId64 ",", v->spec.budget, s->clip);
        lt_csv_text(to, lt_dataset_clip(data, s->clip)->group);
        fprintf(to, ",%d,%d,%d,%.9g,%.9g,%.9g,%d\r\n", s->block, s->bin, s->draw, (double)s->t,
                (double)s->loss, (double)s->gaussian, s->evicting);
    }
}

static lt_status write_samples_csv(const lt_ablation *a) {
    char path[LT_PATH_MAX], cell_path[LT_PATH_MAX];
    lt_output *output;
    if (!lt_config_bool(a->options.config, "experiment.samples_csv")) return LT_OK;
    LT_TRY(lt_path_join(path, a->options.out, "samples.csv"));
    LT_TRY(lt_output_open(path, &output));
    FILE *to = lt_output_file(output);
    fprintf(to, "domain,policy,budget,clip,group,block,bin,draw,t,loss,gaussian,evicting\r\n");
    lt_status status = LT_OK;
    for (int s = 0; s < a->grid.set_count; s++)
        for (int v = 0; v < a->grid.variant_count && status == LT_OK; v++) {
            const lt_eval_set *set = &a->grid.sets[s];
            lt_cell cell;
            if (set->reference) continue;
            status = lt_ablation_cell_path(a, s, v, cell_path);
            if (status == LT_OK) status = lt_cell_load(cell_path, &cell);
            if (status != LT_OK) break;
            write_samples(set, &a->grid.variants[v], a->data[set->data], &cell, to);
            lt_cell_free(&cell);
        }
    lt_status closed = lt_output_close(output, status == LT_OK);
    return status == LT_OK ? closed : status;
}

/* ---- all ------------------------------------------------------------------------------------------------- */

static lt_status write_tables(lt_ablation *a, cJSON *root) {
    char path[LT_PATH_MAX];
    int reference[LT_VARIANTS];
    double seconds = 0;
    lt_results_h5 *file;
    LT_TRY(choose_references(a, reference, &seconds));
    LT_TRY(lt_path_join(path, a->options.out, "results.h5"));
    LT_TRY(lt_results_h5_open(path, &file));
    cJSON *rows = cJSON_CreateArray();
    lt_status status = add_rows(a, reference, file, &seconds, rows);
    lt_status closed = lt_results_h5_close(file, rows, status == LT_OK);
    cJSON_AddNumberToObject(root, "evaluation_seconds", seconds);
    cJSON_AddItemToObject(root, "rows", rows);
    LT_TRY(status);
    LT_TRY(closed);
    LT_TRY(lt_path_join(path, a->options.out, "results.csv"));
    LT_TRY(lt_results_csv(path, rows));
    LT_TRY(lt_path_join(path, a->options.out, "results.json"));
    return lt_json_save(path, root);
}

lt_status lt_ablation_summarise(lt_ablation *a) {
    cJSON *root = cJSON_CreateObject();
    LT_CHECK(root, LT_FAILED, "out of memory for results");
    add_head(a, root);
    lt_status status = write_tables(a, root);
    cJSON_Delete(root);
    return status == LT_OK ? write_samples_csv(a) : status;
}
