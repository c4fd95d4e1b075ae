/* A whole ablation on a small model with random weights and generated clips. */
#include "core/io.h"
#include "core/log.h"
#include "core/parallel.h"
#include "data/h5.h"
#include "data/scenes.h"
#include "experiments/ablate.h"
#include "experiments/info.h"
#include "experiments/report.h"
#include "experiments/testing.h"
#include "infer/testing.h"
#include "train/config.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <unistd.h>

static char folder[TEST_FOLDER], data[LT_PATH_MAX], run[LT_PATH_MAX], out[LT_PATH_MAX];

enum { CLIPS = 9, VAL_CLIPS = 3, FRAMES = 20, VARIANTS = 4, SETS = 2, CELLS = SETS * VARIANTS + 3 };

static const char experiment[] = "{\"experiment\": {\"policies\": [\"none\", \"keep-all\", \"window\", "
                                 "\"window:read=age\"], \"budgets\": [\"2\"], "
                                 "\"blocks\": 5, \"batch\": 3, \"video_blocks\": 1, \"video_history\": 2, "
                                 "\"video_steps\": 1, \"samples_csv\": "
                                 "true}}";

static void add_clips(lt_dataset *set, const char *domain, const char *role, int first, int count,
                      double speed) {
    static uint8_t rgb[FRAMES * 16 * 24 * 3];
    lt_scenes_spec spec = lt_scenes_default();
    spec.width = 24, spec.height = 16, spec.frames = FRAMES, spec.speed = speed, spec.cut_every = 4;
    for (int i = 0; i < count; i++) {
        lt_clip clip = {0};
        CHECK_OK(lt_scenes_clip(&spec, (uint64_t)(first + i), rgb, NULL, &clip));
        snprintf(clip.domain, sizeof clip.domain, "%s", domain);
        snprintf(clip.role, sizeof clip.role, "%s", role);
        CHECK_OK(lt_dataset_append_frames(set, rgb, NULL, FRAMES));
        CHECK_OK(lt_dataset_add_clip(set, &clip));
    }
}

static void make_data(void) {
    lt_dataset_spec spec = {.width = 24, .height = 16, .fps = 16};
    lt_dataset *set;
    CHECK_OK(lt_path_join(data, folder, "d.h5"));
    CHECK_OK(lt_dataset_create(data, &spec, &set));
    add_clips(set, "calm", "test", 0, CLIPS, 1);
    add_clips(set, "calm", "val", 20, VAL_CLIPS, 1);
    add_clips(set, "dynamic", "test", 0, CLIPS, 6);
    CHECK_OK(lt_dataset_commit(set));
    lt_dataset_close(set);
}

static void make_run(void) {
    char path[LT_PATH_MAX];
    lt_config *config;
    lt_model *model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    test_model_shake(model, 0.05);
    CHECK_OK(lt_path_join(run, folder, "run"));
    CHECK_OK(lt_make_dirs(run));
    CHECK_OK(lt_model_save(model, run));
    CHECK_OK(lt_config_parse(TEST_CONFIG, "test", NULL, 0, &config));
    CHECK_OK(lt_path_join(path, run, "config.json"));
    CHECK_OK(lt_config_save(config, path));
    lt_config_free(config);
    test_model_close(model);
}

static lt_status ablate(const char *text, int jobs, bool resume, bool force) {
    static const char *const files[] = {data};
    lt_config *config;
    LT_TRY(lt_config_parse(text, "test", NULL, 0, &config));
    lt_ablate_options o = {.config = config,
                           .run = run,
                           .data = files,
                           .data_count = 1,
                           .out = out,
                           .device = "cpu",
                           .arguments = "longtake ablate ...",
                           .jobs = jobs,
                           .resume = resume,
                           .force = force};
    lt_status status = lt_ablate(&o);
    lt_config_free(config);
    return status;
}

static const char *in_out(const char *name) {
    static char path[LT_PATH_MAX];
    CHECK_OK(lt_path_join(path, out, name));
    return path;
}

/* The rows, as text; the caller frees it. */
static char *rows_text(void) {
    cJSON *results = NULL;
    CHECK_OK(lt_json_load(in_out("results.json"), &results));
    char *text = cJSON_Print(lt_json_member(results, "rows"));
    cJSON_Delete(results);
    return text;
}

static int count_cells(void) {
    char **names;
    int count = 0;
    CHECK_OK(lt_list_dir(in_out("cells"), &names, &count));
    lt_list_free(names, count);
    return count;
}

/* The path of the cell whose name comes first. */
static void first_cell(char path[LT_PATH_MAX]) {
    char **names, cells[LT_PATH_MAX];
    int count = 0;
    snprintf(cells, sizeof cells, "%s", in_out("cells"));
    CHECK_OK(lt_list_dir(cells, &names, &count));
    CHECK_OK(lt_path_join(path, cells, names[0]));
    lt_list_free(names, count);
}

static void an_ablation_has_a_row_per_domain_and_variant(void) {
    cJSON *results = NULL;
    const cJSON *row;
    CHECK_OK(ablate(experiment, 1, false, false));
    CHECK(count_cells() == CELLS);
    CHECK_OK(lt_json_load(in_out("results.json"), &results));
    const cJSON *rows = lt_json_member(results, "rows");
    CHECK(cJSON_GetArraySize(rows) == SETS * VARIANTS);
    CHECK(cJSON_GetArraySize(lt_json_member(results, "sets")) == SETS);
    CHECK(lt_json_number(lt_json_member(results, "reference_set"), "clips") == VAL_CLIPS);
    cJSON_ArrayForEach(row, rows) {
        CHECK(lt_json_number(row, "clips") == CLIPS && lt_json_number(row, "groups") == CLIPS);
        CHECK(lt_json_number(lt_json_member(row, "loss"), "mean") > 0);
        CHECK(lt_json_number(row, "cache_bytes") ==
              lt_json_number(row, "slot_bytes") + lt_json_number(row, "metadata_bytes"));
        CHECK(lt_json_number(row, "tail_bytes") > 0 && lt_json_number(row, "workspace_bytes") > 0);
    }
    cJSON_Delete(results);
}

static void results_hold_every_loss(void) {
    lt_h5 *h5;
    int id;
    lt_info_kind kind;
    static const lt_h5_field loss[] = {{"loss", LT_H5_F32, 0, 1}, {NULL}},
                             keep[] = {{"keep", LT_H5_TEXT, 0, 96}, {NULL}};
    lt_h5_layout losses = {.type = LT_H5_RECORD, .fields = loss, .record_bytes = 4, .ndim = 1},
                 kept = {.type = LT_H5_RECORD, .fields = keep, .record_bytes = 96, .ndim = 1};
    CHECK_OK(lt_info_kind_of(out, &kind));
    CHECK(kind == LT_INFO_RESULTS);
    CHECK(lt_path_exists(in_out("results.csv")));
    CHECK_OK(lt_h5_open(in_out("results.h5"), false, &h5));
    CHECK_OK(lt_h5_bind(h5, "/rows", &kept, &id));
    CHECK(lt_h5_rows(h5, id) == SETS * VARIANTS);
    CHECK_OK(lt_h5_bind(h5, "/samples", &losses, &id));
    CHECK(lt_h5_rows(h5, id) == SETS * VARIANTS * CLIPS * 5 * LT_EVAL_BINS * LT_EVAL_MIN_DRAWS);
    lt_h5_close(h5);
    char *text;
    size_t size;
    int lines = 0;
    CHECK_OK(lt_read_file(in_out("samples.csv"), &text, &size));
    for (const char *c = text; *c; c++) lines += *c == '\n';
    CHECK(lines == 1 + SETS * VARIANTS * CLIPS * 5 * LT_EVAL_BINS * LT_EVAL_MIN_DRAWS);
    free(text);
}

static void an_ablation_that_lost_cells_goes_on_to_the_same_figures(void) {
    char path[LT_PATH_MAX], *before = rows_text();
    first_cell(path);
    CHECK_OK(lt_remove_tree(path));
    CHECK_OK(lt_remove_tree(in_out("results.json")));
    CHECK_OK(ablate(experiment, 1, true, false));
    CHECK(count_cells() == CELLS);
    char *after = rows_text();
    CHECK(strcmp(before, after) == 0);
    free(before);
    free(after);
}

static void a_damaged_cell_is_found_and_evaluated_again(void) {
    char path[LT_PATH_MAX], *before = rows_text();
    first_cell(path);
    CHECK_OK(lt_info_check(out, NULL, NULL));
    CHECK(truncate(path, 700) == 0);
    CHECK_FAILS(lt_info_check(out, NULL, NULL), LT_INPUT, "1 fault found");
    CHECK_OK(ablate(experiment, 1, true, false));
    CHECK_OK(lt_info_check(out, NULL, NULL));
    char *after = rows_text();
    CHECK(strcmp(before, after) == 0);
    free(before);
    free(after);
}

static void ignore_line(lt_log_level level, const char *line, void *user) {
    (void)level, (void)line, (void)user;
}

/* What an ablation says on stderr beside the log; the caller frees it. */
static char *heard_of(int jobs, bool resume) {
    char path[LT_PATH_MAX], *text = NULL;
    size_t size;
    CHECK_OK(lt_path_join(path, folder, "stderr"));
    int keep = dup(STDERR_FILENO), file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(keep >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0);
    lt_log_init(ignore_line, NULL, LT_LOG_INFO);
    lt_status status = ablate(experiment, jobs, resume, !resume);
    lt_log_init(NULL, NULL, LT_LOG_INFO);
    CHECK(dup2(keep, STDERR_FILENO) >= 0);
    close(keep), close(file);
    CHECK_OK(status);
    CHECK_OK(lt_read_file(path, &text, &size));
    return text;
}

/* Cells of all processes are one count, and each phase says when it ends. */
static void check_phases(const char *heard) {
    const char *cells = strstr(heard, "ablate: 11 / 11 cells"),
               *shown = strstr(heard, "traces and videos: 64 / 64 blocks"),
               *rows = strstr(heard, "figures: 8 / 8 rows");
    CHECK(cells && shown && rows && cells < shown && shown < rows);
    CHECK(cells && !strstr(cells + 1, "ablate: "));
}

static void two_processes_find_what_one_does(void) {
    char *before = rows_text(), *heard = heard_of(2, false);
    check_phases(heard);
    free(heard);
    heard = heard_of(2, true); /* nothing is left to do */
    check_phases(heard);
    free(heard);
    char *after = rows_text();
    CHECK(strcmp(before, after) == 0);
    free(before);
    free(after);
}

static void the_report_is_one_file(void) {
    char *text;
    size_t size;
    CHECK_OK(lt_report_write(out));
    CHECK_OK(lt_read_file(in_out("report.html"), &text, &size));
    CHECK(strstr(text, "<h2>Plots</h2>") != NULL && lt_well_formed(text));
    CHECK(strstr(text, "What was held, and how it was weighed") != NULL);
    CHECK(strstr(text, "Side by side") != NULL && strstr(text, ";base64,") != NULL);
    CHECK(strstr(text, "longtake ablate ...") != NULL && strstr(text, "weights_hash") != NULL);
    CHECK(strstr(text, "src=\"http") == NULL && strstr(text, "href=") == NULL);
    free(text);
}

static void what_exists_is_not_overwritten(void) {
    CHECK_FAILS(ablate(experiment, 1, false, false), LT_USAGE, "exists");
    CHECK_FAILS(ablate(experiment, 1, true, true), LT_USAGE, "exclude each other");
    CHECK_OK(lt_path_join(out, folder, "other"));
    CHECK_FAILS(ablate(experiment, 1, true, false), LT_INPUT, "holds no results");
    CHECK_OK(lt_make_dirs(out));
    CHECK_OK(lt_write_file(in_out("precious"), "x", 1));
    CHECK_FAILS(ablate(experiment, 1, false, true), LT_USAGE, "not replaced");
    CHECK(lt_path_exists(in_out("precious")));
    CHECK_OK(lt_path_join(out, folder, "out"));
}

static void mistakes_are_named(void) {
    CHECK_FAILS(ablate("{\"experiment\": {\"policies\": [\"windw\"]}}", 1, false, true), LT_USAGE, "window");
    CHECK_FAILS(ablate("{\"experiment\": {\"budgets\": [\"many\"]}}", 1, false, true), LT_USAGE,
                "experiment.budgets");
    CHECK_FAILS(ablate("{\"experiment\": {\"domains\": [\"sports\"]}}", 1, false, true), LT_INPUT,
                "\"sports\"");
    CHECK_FAILS(ablate("{\"experiment\": {\"blocks\": 50}}", 1, false, true), LT_INPUT, "50 blocks");
    CHECK_FAILS(ablate("{\"experiment\": {\"role\": \"train\"}}", 1, false, true), LT_USAGE, "train");
}

static void info_counts_what_a_dataset_holds(void) {
    cJSON *info = NULL;
    CHECK_OK(lt_info_dataset(data, &info));
    const cJSON *sets = lt_json_member(info, "sets");
    CHECK(cJSON_GetArraySize(sets) == 3);
    const cJSON *first = cJSON_GetArrayItem(sets, 0);
    CHECK(strcmp(lt_json_string(first, "domain"), "calm") == 0);
    CHECK(strcmp(lt_json_string(first, "role"), "test") == 0);
    CHECK(lt_json_number(first, "clips") == CLIPS && lt_json_number(first, "groups") == CLIPS);
    CHECK(lt_json_number(first, "frames") == CLIPS * FRAMES);
    CHECK(lt_json_number(first, "cuts") == 4 * CLIPS);
    cJSON_Delete(info);
    CHECK_OK(lt_info_check(data, NULL, NULL));
    CHECK_FAILS(lt_info_dataset(in_out("results.csv"), &info), LT_INPUT, "results.csv");
}

static void info_checks_the_weights_of_a_run(void) {
    char path[LT_PATH_MAX], *bytes;
    size_t size;
    cJSON *info = NULL;
    CHECK_OK(lt_info_run(run, &info));
    CHECK(lt_json_number(info, "parameters") > 1000);
    cJSON_Delete(info);
    CHECK_OK(lt_info_check(run, NULL, NULL));
    CHECK_OK(lt_path_join(path, run, "model.safetensors"));
    CHECK_OK(lt_read_file(path, &bytes, &size));
    memset(bytes + size - 4, 0xff, 4); /* a NaN */
    CHECK_OK(lt_write_file(path, bytes, size));
    free(bytes);
    CHECK_FAILS(lt_info_check(run, NULL, NULL), LT_INPUT, "fault");
}

int main(int argc, char **argv) {
    lt_set_threads(1); /* no threads, so that processes may be started at any time */
    lt_model_register_keys();
    lt_train_register_keys();
    lt_experiment_register_keys();
    test_make_folder("lt_ablate", folder);
    make_data();
    make_run();
    CHECK_OK(lt_path_join(out, folder, "out"));
    RUN(an_ablation_has_a_row_per_domain_and_variant);
    RUN(results_hold_every_loss);
    RUN(an_ablation_that_lost_cells_goes_on_to_the_same_figures);
    RUN(a_damaged_cell_is_found_and_evaluated_again);
    RUN(two_processes_find_what_one_does);
    RUN(the_report_is_one_file);
    RUN(what_exists_is_not_overwritten);
    RUN(info_counts_what_a_dataset_holds);
    RUN(mistakes_are_named);
    RUN(info_checks_the_weights_of_a_run);
    CHECK_OK(lt_remove_tree(folder));
    return test_end();
}
