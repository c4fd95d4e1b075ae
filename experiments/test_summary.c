/* Figures and reports from losses that were made up, so that what they must say is known. */
#include "core/io.h"
#include "core/rng.h"
#include "experiments/report.h"
#include "experiments/summary.h"
#include "experiments/testing.h"
#include "tests/harness.h"

#include <cjson/cJSON.h>
#include <unistd.h>

enum { BLOCKS = 6, DRAWS = 4, SPECS = 4 };
static const char *const policies[SPECS] = {"window", "sink", "window:read=age", "window"};
static const int budgets[SPECS] = {2, 2, 2, 4};

static lt_grid grid;
static lt_variant variants[SPECS];
static lt_eval_set sets[1];

static double normal(int clip, uint64_t index) {
    lt_rng_key key = {.seed = 1, .purpose = LT_RNG_TEST, .clip = (uint64_t)clip};
    return (double)lt_rng_normal(&key, index);
}

static void make_grid(void) {
    for (int v = 0; v < SPECS; v++) {
        CHECK_OK(lt_cache_spec_parse(policies[v], budgets[v], &variants[v].spec));
        lt_cache_spec_text(&variants[v].spec, variants[v].text, sizeof variants[v].text);
        snprintf(variants[v].name, sizeof variants[v].name, "%.*s", (int)strcspn(policies[v], ":"),
                 policies[v]);
        variants[v].hand_made = lt_spec_is_hand_made(&variants[v].spec);
        variants[v].bytes = (lt_policy_bytes){.slots = 1000000 * budgets[v], .metadata = 500 + v};
    }
    sets[0] = (lt_eval_set){.domain = "calm", .label = "calm", .clips = 12, .groups = 12, .flow_px_per_s = 3};
    sets[0].options = lt_eval_default();
    sets[0].options.blocks = BLOCKS, sets[0].options.draws = DRAWS;
    grid = (lt_grid){variants, SPECS, sets, 1, false};
}

/* `sink` is worse by 0.1, reading by age better by 0.2; both noisy. Clip k belongs to group k. */
static lt_eval_table *fake_losses(int clips) {
    static const double shift[SPECS] = {0, 0.1, -0.2, -0.3};
    lt_cache_spec specs[SPECS];
    lt_eval_table *table = NULL;
    for (int v = 0; v < SPECS; v++) specs[v] = variants[v].spec;
    CHECK_OK(lt_eval_table_open(specs, SPECS, &sets[0].options, &table));
    for (int clip = 0; clip < clips; clip++) {
        lt_clip row = {.frames = 100, .fps = 16};
        snprintf(row.domain, sizeof row.domain, "calm");
        snprintf(row.group, sizeof row.group, "group %d", clip);
        for (int i = 0; i < SPECS * BLOCKS * LT_EVAL_BINS * DRAWS; i++) {
            int at = i % (BLOCKS * LT_EVAL_BINS * DRAWS), v = i / (BLOCKS * LT_EVAL_BINS * DRAWS);
            lt_eval_sample s = {.spec = v, .clip = clip, .order = clip, .row = &row, .gaussian = 2};
            s.block = at / (LT_EVAL_BINS * DRAWS), s.bin = at / DRAWS % LT_EVAL_BINS, s.draw = at % DRAWS;
            s.t = (s.bin + (s.draw + 0.5) / DRAWS) / LT_EVAL_BINS;
            s.loss = 1 + shift[v] + 0.3 * normal(clip, 0) + 0.02 * normal(clip, (uint64_t)(i + 1));
            s.evicting = s.block > budgets[v];
            s.place = (lt_eval_place){.since_cut = s.block, .after_return = s.block == 3};
            CHECK_OK(lt_eval_table_add(&s, table));
        }
    }
    return table;
}

static cJSON *rows_of(int clips) {
    int64_t bytes[SPECS];
    int reference[SPECS];
    lt_cache_spec specs[SPECS];
    cJSON *rows = cJSON_CreateArray();
    lt_eval_table *table = fake_losses(clips);
    for (int v = 0; v < SPECS; v++)
        specs[v] = variants[v].spec, bytes[v] = lt_policy_cache_bytes(&variants[v].bytes);
    CHECK_OK(lt_eval_references(NULL, 0, specs, bytes, SPECS, reference));
    lt_summary *summary = lt_summary_open(rows);
    CHECK_OK(lt_summary_add(summary, &grid, 0, (const lt_eval_table *const *)&table, 1, reference, "d.h5"));
    CHECK_OK(lt_summary_finish(summary));
    lt_summary_close(summary);
    lt_eval_table_close(table);
    return rows;
}

static const char *verdict(const cJSON *rows, int row, const char *comparison) {
    return lt_json_string(lt_json_member(cJSON_GetArrayItem(rows, row), comparison), "verdict");
}

static void differences_that_are_there_are_found(void) {
    cJSON *rows = rows_of(12);
    CHECK(cJSON_GetArraySize(rows) == SPECS);
    CHECK(cJSON_IsTrue(lt_json_member(cJSON_GetArrayItem(rows, 0), "is_reference")));
    CHECK(strcmp(verdict(rows, 1, "vs_reference"), "worse") == 0);
    CHECK(strcmp(verdict(rows, 2, "vs_reference"), "better") == 0);
    CHECK(strcmp(verdict(rows, 2, "vs_one"), "better") == 0);
    CHECK(strcmp(verdict(rows, 1, "vs_window"), "worse") == 0);
    const cJSON *versus = lt_json_member(cJSON_GetArrayItem(rows, 2), "vs_reference");
    CHECK_NEAR(lt_json_number(versus, "mean"), -0.2, 0.02);
    /* Clips differ far more than policies do: only a paired interval is this narrow. */
    const cJSON *loss = lt_json_member(cJSON_GetArrayItem(rows, 2), "loss");
    CHECK(lt_json_number(versus, "stderr") < 0.1 * lt_json_number(loss, "stderr"));
    cJSON_Delete(rows);
}

static void rows_of_other_bytes_are_not_rivals(void) {
    cJSON *rows = rows_of(12);
    CHECK(cJSON_IsTrue(lt_json_member(cJSON_GetArrayItem(rows, 3), "is_reference")));
    CHECK(cJSON_IsNull(lt_json_member(cJSON_GetArrayItem(rows, 3), "vs_reference")));
    cJSON_Delete(rows);
}

static void few_groups_give_no_verdict(void) {
    cJSON *rows = rows_of(5);
    CHECK(strcmp(verdict(rows, 1, "vs_reference"), "insufficient data") == 0);
    CHECK(strcmp(verdict(rows, 2, "vs_reference"), "insufficient data") == 0);
    cJSON_Delete(rows);
}

static void figures_use_blocks_that_every_policy_evicted_before(void) {
    cJSON *rows = rows_of(12);
    for (int v = 0; v < SPECS; v++) {
        const cJSON *row = cJSON_GetArrayItem(rows, v);
        CHECK_NEAR(lt_json_number(row, "first_block"), 5, 0);
        CHECK_NEAR(lt_json_number(row, "evicting_reads"), 12, 0);
    }
    cJSON_Delete(rows);
}

static void a_csv_has_as_many_fields_in_every_line(void) {
    char folder[TEST_FOLDER], path[LT_PATH_MAX], *text;
    size_t size;
    int columns = 0, lines = 0;
    test_make_folder("lt_csv", folder);
    CHECK_OK(lt_path_join(path, folder, "results.csv"));
    cJSON *rows = rows_of(12);
    CHECK_OK(lt_results_csv(path, rows));
    CHECK_OK(lt_read_file(path, &text, &size));
    while (lt_columns[columns].name) columns++;
    int fields = 1;
    bool quoted = false;
    for (const char *c = text; *c; c++) {
        if (*c == '"') quoted = !quoted;
        else if (*c == ',' && !quoted) fields++;
        else if (*c == '\n') {
            CHECK(fields == columns);
            fields = 1, lines++;
        }
    }
    CHECK(lines == SPECS + 1 && !quoted);
    CHECK(strstr(text, "\"window:consolidate=drop,") != NULL);
    free(text);
    cJSON_Delete(rows);
    CHECK_OK(lt_remove_tree(folder));
}

static void what_info_and_compare_print_is_shown_and_not_obeyed(void) {
    static const char text[] =
        "{\"a\\u001b[2J\": [\"b\\r\", {\"c\": \"\\u202e\", \"d\": \"\xc3\xa4\"}], \"e\": 1}";
    cJSON *value = cJSON_Parse(text);
    lt_json_make_printable(value);
    char *shown = cJSON_PrintUnformatted(value);
    CHECK(shown &&
          strcmp(shown, "{\"a\\\\x1b[2J\":[\"b\\\\r\",{\"c\":\"\\\\u202e\",\"d\":\"\xc3\xa4\"}],\"e\":1}") ==
              0);
    cJSON_free(shown);
    cJSON_Delete(value);
}

/* A folder with results.json of made-up figures. */
static void make_results(int clips, char folder[TEST_FOLDER]) {
    char path[LT_PATH_MAX];
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "sets"),
          *set = cJSON_CreateObject();
    test_make_folder("lt_report", folder);
    cJSON_AddStringToObject(root, "title", "Made up <b>&</b>");
    cJSON_AddItemToArray(list, set);
    cJSON_AddStringToObject(set, "set", "calm");
    cJSON_AddStringToObject(set, "role", "test");
    cJSON_AddNumberToObject(set, "clips", clips);
    cJSON_AddNumberToObject(set, "groups", clips);
    cJSON_AddItemToObject(root, "rows", rows_of(clips));
    CHECK_OK(lt_path_join(path, folder, "results.json"));
    CHECK_OK(lt_json_save(path, root));
    cJSON_Delete(root);
}

static char *render(const char *folder) {
    char path[LT_PATH_MAX], *text = NULL;
    size_t size;
    CHECK_OK(lt_report_write(folder));
    CHECK_OK(lt_path_join(path, folder, "report.html"));
    CHECK_OK(lt_read_file(path, &text, &size));
    return text;
}

static void a_report_says_what_the_figures_say(void) {
    char folder[TEST_FOLDER];
    make_results(12, folder);
    char *text = render(folder);
    const char *found = strstr(text, "What was found"), *better = strstr(text, "1 of 2 better</span>"),
               *worse = strstr(text, "1 of 2 worse</span>");
    CHECK(found && better && worse && found < better && better < worse);
    const char *name = strstr(better ? better : text, "window + age, 2 slots (-");
    CHECK(name && name < worse);
    CHECK(worse && strstr(worse, " sink, 2 slots (+") != NULL);
    CHECK(strstr(text, "insufficient data") == NULL);
    CHECK(strstr(text, "below that of a denoiser") != NULL);
    CHECK(strstr(text, "Made up &lt;b&gt;&amp;&lt;/b&gt;") != NULL);
    free(text);
    CHECK_OK(lt_remove_tree(folder));
}

static void a_report_says_when_data_are_insufficient(void) {
    char folder[TEST_FOLDER];
    make_results(5, folder);
    char *text = render(folder);
    CHECK(strstr(text, "insufficient data</span> 5 source groups, and below 8 no verdict is given") != NULL);
    CHECK(strstr(text, " better</span>") == NULL && strstr(text, " worse</span>") == NULL);
    free(text);
    CHECK_OK(lt_remove_tree(folder));
}

static void a_report_holds_its_plots_and_tables(void) {
    char folder[TEST_FOLDER];
    make_results(12, folder);
    char *text = render(folder);
    CHECK(strstr(text, "Bytes against loss") != NULL && lt_well_formed(text));
    CHECK(strstr(text, "<h2>At equal bytes</h2>") != NULL &&
          strstr(text, "<h2>How it is weighed</h2>") != NULL);
    CHECK(strstr(text, "src=\"http") == NULL && strstr(text, "href=") == NULL);
    free(text);
    CHECK_OK(lt_remove_tree(folder));
}

static void a_folder_without_results_is_refused(void) {
    char folder[TEST_FOLDER], path[LT_PATH_MAX];
    test_make_folder("lt_report", folder);
    CHECK_FAILS(lt_report_write(folder), LT_INPUT, "no results.json");
    CHECK_OK(lt_path_join(path, folder, "results.json"));
    CHECK_OK(lt_write_file(path, "{}", 2));
    CHECK_FAILS(lt_report_write(folder), LT_INPUT, "not the results of an ablation");
    CHECK_OK(lt_remove_tree(folder));
}

int main(int argc, char **argv) {
    make_grid();
    RUN(differences_that_are_there_are_found);
    RUN(rows_of_other_bytes_are_not_rivals);
    RUN(few_groups_give_no_verdict);
    RUN(figures_use_blocks_that_every_policy_evicted_before);
    RUN(a_csv_has_as_many_fields_in_every_line);
    RUN(what_info_and_compare_print_is_shown_and_not_obeyed);
    RUN(a_report_says_what_the_figures_say);
    RUN(a_report_says_when_data_are_insufficient);
    RUN(a_report_holds_its_plots_and_tables);
    RUN(a_folder_without_results_is_refused);
    return test_end();
}
