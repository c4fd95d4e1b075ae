/* longtake evaluate from end to end, on a run and a dataset made here. */
#include "core/cli.h"
#include "core/json.h"
#include "infer/testing_data.h"

#include <cjson/cJSON.h>
#include <sys/wait.h>

extern const lt_command lt_cmd_evaluate;

static char folder[TEST_FOLDER], run_path[LT_PATH_MAX], data_path[LT_PATH_MAX], out_path[LT_PATH_MAX],
    csv_path[LT_PATH_MAX];

static void set_up(void) {
    char path[LT_PATH_MAX];
    test_make_folder("lt_evaluate", folder);
    CHECK_OK(lt_path_join(run_path, folder, "run"));
    CHECK_OK(lt_path_join(data_path, folder, "data.h5"));
    CHECK_OK(lt_path_join(out_path, folder, "out"));
    CHECK_OK(lt_path_join(csv_path, folder, "rows.csv"));
    CHECK_OK(lt_make_dirs(run_path));
    CHECK_OK(lt_path_join(path, run_path, "config.json"));
    CHECK_OK(lt_write_file(path, TEST_CONFIG, strlen(TEST_CONFIG)));
    lt_model *model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    test_model_shake(model, 0.1);
    CHECK_OK(lt_model_save(model, run_path));
    test_model_close(model);
    CHECK_OK(test_dataset_make(data_path));
}

/* Runs "longtake evaluate -q --run ... --data ... <arguments>" in a process of its own; its output goes to out_path. */
static int evaluate(const char *arguments) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char text[512], *argv[48] = {"longtake", "evaluate", "-q", "--run", run_path, "--data", data_path};
        int argc = 7;
        snprintf(text, sizeof text, "%s", arguments);
        for (char *word = strtok(text, " "); word && argc < 48; word = strtok(NULL, " ")) argv[argc++] = word;
        if (!freopen(out_path, "w", stdout)) _exit(99);
        lt_status status = lt_cli_run(&lt_cmd_evaluate, argc, argv);
        if (status != LT_OK) printf("%s\n", lt_error());
        fflush(stdout);
        _exit(status);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *output(void) {
    char *text = NULL;
    size_t size;
    CHECK_OK(lt_read_file(out_path, &text, &size));
    return text;
}

static cJSON *json_output(void) {
    char *text = output();
    cJSON *list = NULL;
    CHECK_OK(lt_json_parse(text, strlen(text), "output", LT_INPUT, &list));
    free(text);
    return list;
}

static const cJSON *at(const cJSON *item, const char *name) {
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(item, name);
    if (!found) printf("no field %s\n", name), test_bad++;
    return found;
}
static double number(const cJSON *item, const char *name) {
    const cJSON *found = at(item, name);
    return cJSON_IsNumber(found) ? found->valuedouble : NAN;
}
static bool is_text(const cJSON *item, const char *name, const char *wanted) {
    const cJSON *found = at(item, name);
    return cJSON_IsString(found) && strcmp(found->valuestring, wanted) == 0;
}

static void json_has_a_row_for_every_policy_and_domain(void) {
    CHECK(evaluate("--json --blocks 6 --clips 3 --policy window --policy sink --policy learned --budget 2") ==
          0);
    cJSON *list = json_output();
    CHECK(cJSON_GetArraySize(list) == 6);
    int references = 0;
    for (int i = 0; i < cJSON_GetArraySize(list); i++) {
        const cJSON *row = cJSON_GetArrayItem(list, i), *versus = at(row, "vs_reference");
        CHECK(is_text(row, "domain", i < 3 ? "calm" : "dynamic") && is_text(row, "role", "test"));
        CHECK(number(row, "budget") == 2 && number(row, "clips") == 3 && number(row, "groups") == 3);
        CHECK(number(row, "evicting_reads") == 3 * 3);
        CHECK(number(at(row, "loss"), "mean") > 0 && cJSON_IsNull(at(at(row, "loss"), "stderr")));
        CHECK(number(row, "gaussian_loss") > 0 && number(row, "cache_bytes") > 0);
        CHECK(number(at(row, "bytes"), "tail") > 0);
        CHECK((number(at(row, "bytes"), "scorer") > 0) == (i % 3 == 2));
        CHECK(cJSON_IsNull(at(versus, "ci95")) && cJSON_IsNull(at(versus, "table95")));
        CHECK(cJSON_IsNull(at(versus, "p")) && cJSON_IsNull(at(versus, "detectable")));
        references += is_text(versus, "verdict", "reference");
        if (!is_text(versus, "verdict", "reference")) CHECK(is_text(versus, "verdict", "insufficient data"));
        CHECK(cJSON_GetArraySize(at(row, "since_cut")) == 3 && number(at(row, "returns"), "reads") > 0);
        CHECK(!cJSON_GetObjectItemCaseSensitive(row, "metrics"));
    }
    CHECK(references == 2);
    const cJSON *sink = cJSON_GetArrayItem(list, 1);
    CHECK(strncmp(at(sink, "policy")->valuestring, "sink:n=1,consolidate=drop", 25) == 0);
    cJSON_Delete(list);
}

static void without_an_eviction_there_is_no_figure(void) {
    CHECK(evaluate("--json --blocks 3 --clips 1 --domain calm --policy window --budget 8") == 0);
    cJSON *list = json_output();
    const cJSON *row = cJSON_GetArrayItem(list, 0);
    CHECK(cJSON_GetArraySize(list) == 1 && number(row, "evicting_reads") == 0);
    CHECK(cJSON_IsNull(at(row, "loss")) && cJSON_IsNull(at(row, "vs_reference")));
    CHECK(number(at(at(row, "all_blocks"), "loss"), "mean") > 0);
    cJSON_Delete(list);
}

static void rollouts_add_metrics_and_baselines(void) {
    CHECK(evaluate(
              "--json --blocks 4 --clips 1 --domain calm --policy window --budget 1 --rollout 4 --steps 2") ==
          0);
    cJSON *list = json_output();
    CHECK(cJSON_GetArraySize(list) == 3);
    for (int i = 0; i < cJSON_GetArraySize(list); i++) {
        const cJSON *row = cJSON_GetArrayItem(list, i), *metrics = at(row, "metrics");
        CHECK(number(at(metrics, "psnr"), "mean") > 0);
        CHECK(number(row, "clips") == 1);
        if (i == 1) CHECK(is_text(row, "policy", "freeze-last-frame") && cJSON_IsNull(at(row, "budget")));
        if (i == 1) CHECK(number(at(metrics, "frozen"), "mean") == 1);
        if (i == 2) CHECK(is_text(row, "policy", "copy-oldest"));
    }
    cJSON_Delete(list);
}

static void policies_with_one_budget_appear_once(void) {
    CHECK(evaluate("--json --blocks 4 --clips 1 --domain calm --policy keep-all --policy window --budget 1 "
                   "--budget 50%") == 0);
    cJSON *list = json_output();
    CHECK(cJSON_GetArraySize(list) == 3);
    CHECK(number(cJSON_GetArrayItem(list, 0), "budget") == 1);
    CHECK(number(cJSON_GetArrayItem(list, 2), "budget") == 2);
    cJSON_Delete(list);
}

static int columns(const char *line) {
    int count = 1;
    for (bool quoted = false; *line && *line != '\n'; line++) {
        if (*line == '"') quoted = !quoted;
        count += *line == ',' && !quoted;
    }
    return count;
}

/* The field of a line under the name that the header gives it. */
static bool is_empty(const char *line, const char *header, const char *name) {
    int wanted = 0, at = 0;
    bool quoted = false;
    for (const char *c = header; strncmp(c, name, strlen(name)) != 0; c++) wanted += *c == ',';
    for (; at < wanted; line++) {
        if (*line == '"') quoted = !quoted;
        at += *line == ',' && !quoted;
    }
    return *line == ',' || *line == '\n';
}

static void csv_and_table_hold_the_rows(void) {
    char arguments[LT_PATH_MAX + 128], *text;
    size_t size;
    snprintf(arguments, sizeof arguments,
             "--blocks 4 --clips 1 --policy window --policy none --budget 1 --csv %s", csv_path);
    CHECK(evaluate(arguments) == 0);
    CHECK_OK(lt_read_file(csv_path, &text, &size));
    int lines = 0, wanted = columns(text);
    CHECK(!strstr(text, "nan"));
    for (const char *line = text; *line; line = strchr(line, '\n') + 1, lines++) {
        CHECK(columns(line) == wanted);
        if (lines) CHECK(is_empty(line, text, "loss_stderr") && is_empty(line, text, "ci95_low"));
    }
    CHECK(lines == 1 + 4);
    free(text);
    text = output();
    CHECK(strstr(text, "reference") && strstr(text, "window") && strstr(text, "dynamic"));
    CHECK(!strstr(text, "+- 0") && !strstr(text, "nan")); /* one clip has no standard error */
    free(text);
}

static void what_is_wrong_is_named(void) {
    const struct {
        const char *arguments;
        int status;
        const char *text;
    } cases[] = {{"--role train", LT_USAGE, "--allow-train"},
                 {"--policy windwo", LT_USAGE, "window"},
                 {"--policy window --budget lots", LT_USAGE, "lots"},
                 {"--domain night", LT_INPUT, "night"},
                 {"--blocks 99", LT_INPUT, ""},
                 {"--checkpoint step-7", LT_INPUT, "checkpoint"},
                 {"--policy key-norm:scope=model", LT_USAGE, "scope=layer"},
                 {"--draws 2", LT_USAGE, "draws"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(evaluate(cases[i].arguments) == cases[i].status);
        char *text = output();
        if (!strstr(text, cases[i].text)) printf("%s: %s", cases[i].arguments, text), test_bad++;
        free(text);
    }
}

int main(int argc, char **argv) {
    lt_model_register_keys();
    set_up();
    RUN(json_has_a_row_for_every_policy_and_domain);
    RUN(without_an_eviction_there_is_no_figure);
    RUN(rollouts_add_metrics_and_baselines);
    RUN(policies_with_one_budget_appear_once);
    RUN(csv_and_table_hold_the_rows);
    RUN(what_is_wrong_is_named);
    lt_remove_tree(folder);
    return test_end();
}
