/* --json: stdout of every command is JSON and nothing else; and what they say of the same weights agrees. */
#include "tests/testing.h"

#include "core/safetensors.h"
#include "model/model.h"

static char hash[64];

/* Runs a command with --json; the caller frees what it printed, which was all JSON. */
#define JSON(...) json_of(ARGUMENTS(__VA_ARGS__, "--json"))
static cJSON *json_of(const char *const *arguments) {
    longtake_run(arguments, 0);
    if (got.code != 0) printf("%s: exit %d\n%s", test_command, got.code, got.err);
    CHECK(got.code == 0);
    return parse_output();
}

static void forget(cJSON *json, const char *member) {
    const cJSON *first = cJSON_IsArray(json) ? json->child : json;
    CHECK(first && cJSON_GetObjectItemCaseSensitive(first, member));
    cJSON_Delete(json);
}

static const char *text_of(const cJSON *json, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return text ? text : "";
}

static void what_the_program_knows(void) {
    static const char *const lists[] = {"policies", "policy-keys", "ops",    "metrics",
                                        "keys",     "presets",     "devices"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) forget(JSON("list", lists[i]), "help");
    forget(JSON("help"), "commands");
    forget(JSON("help", "config"), "type");
    forget(JSON("help", "exit-codes"), "code");
    forget(JSON("help", "train"), "options");
    forget(JSON("train", "--help"), "options");
    forget(JSON("version"), "libraries");
    forget(JSON("--version"), "commit");
    forget(JSON("plan", "--config", in_folder("tiny.json"), "--memory-limit", "1MiB"), "within");
    forget(JSON("bench", "--op", "sum"), "gflops");
    CHECK_EXIT(LT_USAGE, "no JSON", "help", "man", "--json");
    CHECK(*got.out == '\0');
}

/* commands.def is what `help` knows, in its order, and names the source of each. */
static void commands_are_those_of_the_table(void) {
    static const char *const rows[][2] = {
#define LT_COMMAND(name, room) {#name, #room},
#include "commands.def"
#undef LT_COMMAND
    };
    const int count = sizeof rows / sizeof *rows;
    cJSON *help = JSON("help");
    const cJSON *commands = cJSON_GetObjectItem(help, "commands");
    CHECK(cJSON_GetArraySize(commands) == count);
    for (int i = 0; i < count; i++) {
        char source[128];
        snprintf(source, sizeof source, "%s/cmd_%s.c", rows[i][1], rows[i][0]);
        CHECK(strcmp(text_of(cJSON_GetArrayItem(commands, i), "name"), rows[i][0]) == 0);
        if (!lt_path_exists(source)) printf("%s does not exist\n", source);
        CHECK(lt_path_exists(source));
    }
    cJSON_Delete(help);
}

static void datasets(void) {
    forget(JSON("scenes", "--out", in_folder("d.h5"), "--domain", "calm", "--clips", "12", "--frames", "48",
                "--size", "16x16", "--cut-every", "4", "--return-gap", "2", "--return-rate", "1", "--role",
                "val=0.3", "--role", "test=0.4", "--seed", "3"),
           "clips");
    forget(JSON("info", in_folder("d.h5")), "sets");
    forget(JSON("info", in_folder("d.h5"), "--check"), "sound");
}

static void a_run_and_all_that_reads_it(void) {
    const char *run = in_folder("run"), *data = in_folder("d.h5");
    cJSON *end = JSON("train", "--config", in_folder("tiny.json"), "--data", data, "--out", run, "--set",
                      "train.validate_every=0");
    CHECK(json_number(end, "step") == 6 && strstr(text_of(end, "checkpoint"), "step-6"));
    snprintf(hash, sizeof hash, "%s", text_of(end, "weights_hash"));
    CHECK(strlen(hash) == 16);
    cJSON_Delete(end);
    forget(JSON("train", "--data", data, "--out", run, "--resume"), "step");
    cJSON *info = JSON("info", run);
    CHECK(strcmp(text_of(info, "weights_hash"), hash) == 0);
    cJSON_Delete(info);
    cJSON *both = JSON("compare", run, run);
    const cJSON *pair = cJSON_GetObjectItem(cJSON_GetObjectItem(both, "figures"), "weights_hash");
    for (int i = 0; i < 2; i++) CHECK(strcmp(cJSON_GetArrayItem(pair, i)->valuestring, hash) == 0);
    cJSON_Delete(both);
    forget(JSON("evaluate", "--run", run, "--data", data, "--policy", "window", "--budget", "1", "--blocks",
                "4", "--clips", "2"),
           "loss");
    forget(JSON("held", "--run", run, "--data", data, "--policy", "window", "--budget", "1", "--blocks", "8"),
           "held");
}

static void an_ablation(void) {
    const char *results = in_folder("results");
    write_text(in_folder("e.json"),
               "{\"experiment\": {\"policies\": [\"window\"], \"budgets\": [\"1\"], \"blocks\": 4,"
               " \"clips\": 4, \"domains\": [\"calm\"]}}");
    forget(JSON("ablate", "--config", in_folder("e.json"), "--run", in_folder("run"), "--data",
                in_folder("d.h5"), "--out", results),
           "set");
    forget(JSON("report", results), "set");
    cJSON *info = JSON("info", results);
    CHECK(strcmp(text_of(cJSON_GetObjectItem(info, "results"), "weights_hash"), hash) == 0);
    cJSON_Delete(info);
}

static void videos(void) {
    if (!has_video()) return;
    cJSON *video = JSON("generate", "--run", in_folder("run"), "--out", in_folder("v.mp4"), "--blocks", "2",
                        "--steps", "1");
    CHECK(strcmp(text_of(cJSON_GetObjectItem(video, "arguments"), "weights_hash"), hash) == 0);
    cJSON_Delete(video);
    CHECK_OK(lt_make_dirs(in_folder("clips")));
    CHECK(rename(in_folder("v.mp4"), in_folder("clips/v.mp4")) == 0);
    char domain[LT_PATH_MAX];
    snprintf(domain, sizeof domain, "calm=%s", in_folder("clips"));
    forget(JSON("ingest", "--out", in_folder("i.h5"), "--domain", domain, "--size", "16x16", "--no-cuts"),
           "clips");
}

/* Other weights have another hash; the same, copied without their metadata, have the same. */
static void the_hash_is_of_the_weights_alone(void) {
    const char *other = in_folder("other"), *copy = in_folder("copy");
    forget(JSON("train", "--config", in_folder("tiny.json"), "--data", in_folder("d.h5"), "--out", other,
                "--set", "train.steps=1"),
           "step");
    cJSON *info = JSON("info", other);
    CHECK(strcmp(text_of(info, "weights_hash"), hash) != 0);
    cJSON_Delete(info);
    char from[LT_PATH_MAX], path[LT_PATH_MAX];
    lt_st_file *file;
    CHECK_OK(lt_run_checkpoint(in_folder("run"), NULL, from));
    CHECK_OK(lt_path_join(path, from, "ema.safetensors"));
    CHECK_OK(lt_make_dirs(copy));
    CHECK_OK(lt_st_open(path, &file));
    CHECK_OK(lt_st_write(in_folder("copy/ema.safetensors"), lt_st_at(file, 0), lt_st_count(file), NULL, 0));
    lt_st_close(file);
    CHECK_OK(lt_path_join(path, from, "config.json"));
    copy_tree(path, in_folder("copy/config.json"));
    info = JSON("info", copy);
    CHECK(strcmp(text_of(info, "weights_hash"), hash) == 0);
    cJSON_Delete(info);
}

/* Six steps against two of the same run: each loss has its own step, and rows are at steps that both have taken. */
static void losses_are_compared_at_the_same_steps(void) {
    const char *brief = in_folder("brief");
    forget(JSON("train", "--config", in_folder("tiny.json"), "--data", in_folder("d.h5"), "--out", brief,
                "--set", "train.steps=2", "--set", "train.validate_every=1"),
           "step");
    cJSON *both = JSON("compare", in_folder("run"), brief);
    const cJSON *figures = cJSON_GetObjectItem(both, "figures"),
                *rows = cJSON_GetObjectItem(both, "loss_at_steps"), *row;
    const cJSON *steps = cJSON_GetObjectItem(figures, "loss_step"),
                *val = cJSON_GetObjectItem(figures, "val_step");
    CHECK(cJSON_GetArrayItem(steps, 0)->valuedouble == 6 && cJSON_GetArrayItem(steps, 1)->valuedouble == 2);
    CHECK(cJSON_IsNull(cJSON_GetArrayItem(val, 0)) && cJSON_GetArrayItem(val, 1)->valuedouble == 2);
    CHECK(cJSON_GetArraySize(rows) == 2 &&
          cJSON_GetArraySize(cJSON_GetObjectItem(both, "val_loss_at_steps")) == 0);
    cJSON_ArrayForEach(row, rows) {
        const cJSON *values = cJSON_GetObjectItem(row, "values");
        CHECK(json_number(row, "step") <= 2);
        CHECK(cJSON_GetArrayItem(values, 0)->valuedouble == cJSON_GetArrayItem(values, 1)->valuedouble);
    }
    cJSON_Delete(both);
    CHECK_RUN("compare", in_folder("run"), brief);
    CHECK(strstr(got.out, "at step 6") && strstr(got.out, "at step 2"));
}

/* A bit that flips in a checkpoint is seen by what reads it, and by --check. */
static void damaged_weights_are_refused(void) {
    static const char *const files[] = {"model.safetensors", "ema.safetensors", "optimizer.safetensors"};
    char folder[LT_PATH_MAX], path[LT_PATH_MAX];
    CHECK_OK(lt_run_checkpoint(in_folder("run"), NULL, folder));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(lt_path_join(path, folder, files[i]));
        damage_byte(path, -6, 1);
        CHECK_EXIT(LT_INPUT, "fault", "info", in_folder("run"), "--check");
        CHECK(strstr(got.out, files[i]));
        CHECK_EXIT(LT_INPUT, files[i], "train", "--data", in_folder("d.h5"), "--out", in_folder("run"),
                   "--resume", "--steps", "8");
        damage_byte(path, -6, -1);
    }
    CHECK_RUN("info", in_folder("run"), "--check");
}

/* An error is plain text on stderr, and stdout stays empty. */
static void errors_are_text_on_stderr(void) {
    CHECK_EXIT(LT_INPUT, "longtake info: ", "info", in_folder("none"), "--json");
    CHECK(*got.out == '\0' && *got.err != '{');
    CHECK_EXIT(LT_USAGE, "did you mean", "plan", "--confg", "x", "--json");
    CHECK(*got.out == '\0');
    CHECK_EXIT(LT_USAGE, "train/tinny", "train", "--config", "train/tinny", "--data", in_folder("d.h5"),
               "--out", in_folder("new"), "--json");
    CHECK(*got.out == '\0');
}

int main(int argc, char **argv) {
    test_begin("0");
    RUN(what_the_program_knows);
    RUN(commands_are_those_of_the_table);
    RUN(datasets);
    RUN(a_run_and_all_that_reads_it);
    RUN(an_ablation);
    RUN(videos);
    RUN(the_hash_is_of_the_weights_alone);
    RUN(losses_are_compared_at_the_same_steps);
    RUN(damaged_weights_are_refused);
    RUN(errors_are_text_on_stderr);
    return test_finish();
}
