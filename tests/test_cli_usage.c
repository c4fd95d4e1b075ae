/* The command line as an interface: what the manual pages say, what mistakes answer, and that a mistake
 * writes nothing. */
#include "tests/testing.h"

/* Commands and options that the design promises. */
static const struct {
    const char *name, *options;
} promised[] = {
    {"ingest", "out size fps domain role strict group-by"},
    {"scenes", "out domain clips speed append"},
    {"info", "check"},
    {"list", ""},
    {"plan", "config memory-limit"},
    {"train", "config data out resume force init freeze set"},
    {"generate", "run out prompt prompts from blocks steps guidance policy budget stats"},
    {"evaluate", "run data domain role policy budget"},
    {"ablate", "config run data out resume jobs"},
    {"report", ""},
    {"compare", ""},
    {"bench", "op model"},
    {"help", ""},
    {"version", ""},
};
enum { PROMISED = sizeof promised / sizeof *promised, NAMES = 64, NAME = 48 };

static char commands[NAMES][NAME];
static int command_count;

static void check_width(const char *page) {
    for (const char *line = page; *line;
         line += line[strcspn(line, "\n")] == '\n' ? strcspn(line, "\n") + 1 : strcspn(line, "\n")) {
        const int length = (int)strcspn(line, "\n");
        if (length > 80) printf("%d columns: %.*s\n", length, length, line);
        CHECK(length <= 80);
    }
}

/* "  name  summary" lines of `longtake help`, up to the topics. */
static void read_commands(void) {
    CHECK_RUN("help");
    check_width(got.out);
    char *rest = got.out, *line;
    while ((line = strsep(&rest, "\n")) && *line != '`' && command_count < NAMES)
        if (strncmp(line, "  ", 2) == 0 && sscanf(line + 2, "%47[a-z] ", commands[command_count]) == 1)
            command_count++;
    CHECK(command_count >= PROMISED);
}

/* Options that a manual page lists: lines of "      --name HINT  text". */
static int listed_options(const char *page, char names[NAMES][NAME]) {
    int count = 0;
    for (const char *line = page; line && count < NAMES; line = strchr(line, '\n'), line += line != NULL) {
        char letter;
        if (sscanf(line, "      --%47[a-z-]", names[count]) == 1 && strncmp(line, "      --", 8) == 0)
            count++;
        else if (sscanf(line, "  -%c, --%47[a-z-]", &letter, names[count]) == 2) count++;
    }
    return count;
}

static bool is_listed(const char *name, char names[NAMES][NAME], int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* Every "--name" that the page mentions is an option of it. Examples of other programs aside: they have no
 * "--". */
static void check_mentions(const char *command, const char *page, char names[NAMES][NAME], int count) {
    char name[NAME];
    for (const char *at = page; (at = strstr(at, "--")); at += 2) {
        if ((at > page && strchr("-abcdefghijklmnopqrstuvwxyz", at[-1])) ||
            sscanf(at, "--%47[a-z-]", name) != 1)
            continue;
        bool listed =
            is_listed(name, names, count) || strcmp(name, "version") == 0; /* stands for a command */
        if (!listed) printf("help %s mentions --%s, which is no option of it\n", command, name);
        CHECK(listed);
    }
}

static bool has_words(const char *text, const char *words, char names[NAMES][NAME], int count) {
    char copy[256], *rest = copy, *word;
    snprintf(copy, sizeof copy, "%s", words);
    while ((word = strsep(&rest, " ")))
        if (*word && !is_listed(word, names, count)) {
            printf("help %s: --%s is missing\n", text, word);
            return false;
        }
    return true;
}

/* What a command takes without options is in its usage line once. */
static void check_usage_line(const char *page) {
    char usage[1024], *rest = usage, last[256] = "";
    int repeats = 0;
    snprintf(usage, sizeof usage, "%.*s", (int)strcspn(page, "\n"), page);
    for (char *word; (word = strsep(&rest, " "));) {
        repeats += *word && strcmp(word, last) == 0 && strcmp(word, "RUN") != 0; /* compare takes two */
        snprintf(last, sizeof last, "%s", word);
    }
    if (repeats) printf("%.*s\n", (int)strcspn(page, "\n"), page);
    CHECK(repeats == 0);
}

static void every_command_has_a_manual_that_names_its_options(void) {
    static const char *const globals = "device threads seed precision kernels json verbose quiet help";
    static char names[NAMES][NAME];
    for (int i = 0; i < command_count; i++) {
        CHECK_RUN("help", commands[i]);
        char *page = strdup(got.out);
        CHECK_RUN(commands[i], "--help");
        CHECK(strcmp(page, got.out) == 0 && *got.err == '\0');
        char start[96];
        snprintf(start, sizeof start, "usage: longtake %.47s", commands[i]);
        CHECK(strncmp(page, start, strlen(start)) == 0);
        int count = listed_options(page, names);
        CHECK(has_words(commands[i], globals, names, count));
        check_mentions(commands[i], page, names, count);
        check_usage_line(page);
        check_width(page);
        free(page);
    }
}

/* A value that the option takes by its own description, as "--name=value". */
static const char *good_value(const cJSON *option, char text[256]) {
    const char *name = cJSON_GetObjectItem(option, "name")->valuestring,
               *type = cJSON_GetObjectItem(option, "type")->valuestring;
    const cJSON *choices = cJSON_GetObjectItem(option, "choices"), *min = cJSON_GetObjectItem(option, "min");
    if (strcmp(type, "flag") == 0) snprintf(text, 256, "--%s", name);
    else if (choices)
        snprintf(text, 256, "--%s=%.*s", name, (int)strcspn(choices->valuestring, "|"), choices->valuestring);
    else if (strcmp(type, "text") == 0) snprintf(text, 256, "--%s=x", name);
    else snprintf(text, 256, "--%s=%.15g", name, min ? min->valuedouble : 1);
    return text;
}

/* With every option that its help lists, each with a value that the help allows: the first that is unknown
 * is the one nobody has. */
static void check_all_options(const cJSON *command, const cJSON *globals) {
    static char texts[NAMES][256];
    const char *arguments[NAMES + 2] = {cJSON_GetObjectItem(command, "name")->valuestring};
    const cJSON *const lists[2] = {cJSON_GetObjectItem(command, "options"), globals}, *option;
    int count = 1;
    for (int i = 0; i < 2; i++) cJSON_ArrayForEach(option, lists[i]) {
            if (strcmp(cJSON_GetObjectItem(option, "name")->valuestring, "help") == 0 || count > 50) continue;
            if (strcmp(cJSON_GetObjectItem(option, "name")->valuestring, "threads") == 0)
                continue; /* the harness gives it */
            arguments[count] = good_value(option, texts[count]);
            count++;
        }
    arguments[count] = "--nobody-has-this-one";
    longtake_run(arguments, 0);
    CHECK(ended(LT_USAGE, "unknown option --nobody-has-this-one"));
}

static bool takes(const cJSON *command, const char *name) {
    const cJSON *option;
    cJSON_ArrayForEach(
        option,
        cJSON_GetObjectItem(command, "options")) if (strcmp(cJSON_GetObjectItem(option, "name")->valuestring,
                                                            name) == 0) return true;
    return false;
}

static void check_refused(const cJSON *command, const char *name) {
    char given[64], said[96];
    snprintf(given, sizeof given, "--%.50s", name);
    snprintf(said, sizeof said, "unknown option %s", given);
    CHECK_EXIT(LT_USAGE, said, cJSON_GetObjectItem(command, "name")->valuestring, given);
}

static void every_option_of_the_help_is_taken_and_no_other(void) {
    CHECK_RUN("help", "--json");
    cJSON *help = parse_output(), *command, *option;
    const cJSON *all = cJSON_GetObjectItem(help, "commands");
    cJSON_ArrayForEach(command, all) check_all_options(command, cJSON_GetObjectItem(help, "options"));
    int turn = 0;
    cJSON_ArrayForEach(command, all) cJSON_ArrayForEach(option, cJSON_GetObjectItem(command, "options")) {
        const cJSON *other = cJSON_GetArrayItem(all, turn++ % cJSON_GetArraySize(all));
        const char *name = cJSON_GetObjectItem(option, "name")->valuestring;
        if (turn % 4 == 0 && !takes(other, name))
            check_refused(other, name); /* a process each: some of them */
    }
    cJSON_Delete(help);
}

static void the_commands_and_options_of_the_design_are_there(void) {
    static char names[NAMES][NAME];
    for (int i = 0; i < PROMISED; i++) {
        CHECK(is_listed(promised[i].name, commands, command_count));
        CHECK_RUN("help", promised[i].name);
        int count = listed_options(got.out, names);
        CHECK(has_words(promised[i].name, promised[i].options, names, count));
    }
}

static void help_lists_the_keys_of_configurations(void) {
    static const char *const keys[] = {
        "train.steps", "train.lr",           "train.batch",  "train.checkpoint_every", "train.seed",
        "train.stage", "data.train_domains", "model.layers", "experiment.policies"};
    CHECK_RUN("help", "config");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) CHECK(strstr(got.out, keys[i]));
    CHECK_EXIT(LT_USAGE, "\"train\"", "help", "trian");
    LONGTAKE("--help");
    CHECK(got.code == 0 && strstr(got.out, "generate"));
    CHECK_RUN("help", "exit-codes");
    for (int code = 0; code <= LT_INTERRUPTED; code++) {
        char line[16];
        snprintf(line, sizeof line, "\n  %d  ", code);
        CHECK((strstr(got.out, line) != NULL) == (code != 1));
    }
    CHECK_RUN("list", "policies");
    CHECK(strstr(got.out, "sink") && strstr(got.out, "granularity=") && strstr(got.out, "60MiB"));
}

/* ---- mistakes ------------------------------------------------------------------------------------------ */

static void a_misspelt_command_or_option_gets_the_nearest_name(void) {
    static char names[NAMES][NAME];
    CHECK_EXIT(LT_USAGE, "did you mean \"train\"", "trian");
    CHECK_EXIT(LT_USAGE, "did you mean \"generate\"", "genrate", "--blocks", "3");
    CHECK_EXIT(LT_USAGE, "longtake help", "xyzzyxyzzy");
    for (int i = 0; i < command_count; i++) {
        char wrong[64], near[64];
        CHECK_RUN("help", commands[i]);
        int count = listed_options(got.out, names);
        CHECK(count > 0);
        snprintf(wrong, sizeof wrong, "--%sz", names[0]);
        snprintf(near, sizeof near, "did you mean --%s?", names[0]);
        CHECK_EXIT(LT_USAGE, near, commands[i], wrong);
        CHECK(*got.out == '\0');
    }
    CHECK_EXIT(LT_USAGE, "--threads", "plan", "--threads", "many");
    CHECK_EXIT(LT_USAGE, "out of range", "plan", "--threads", "-2");
    CHECK_EXIT(LT_USAGE, "auto|f32|bf16", "train", "--precision", "f33");
    CHECK_EXIT(LT_USAGE, "--out", "train", "--config", "train/tiny", "--data", "d.h5");
    CHECK_EXIT(LT_USAGE, "fp8 is for inference", "train", "--config", "train/tiny", "--data", "d.h5", "--out",
               "new", "--precision", "fp8");
    CHECK_EXIT(LT_UNAVAILABLE, "on a GPU that has fp8", "bench", "--model", "train/tiny", "--precision",
               "fp8");
    CHECK_EXIT(LT_USAGE, "unexpected", "train", "tiny");
}

#define TRAIN "train", "--data", in_folder("d.h5"), "--out", in_folder("new")
#define TINY  TRAIN, "--config", in_folder("tiny.json")

static void a_wrong_configuration_names_the_key(void) {
    CHECK_EXIT(LT_USAGE, "train.steps", TINY, "--set", "train.stepz=3");
    CHECK_EXIT(LT_USAGE, "train.lr", TINY, "--set", "train.lr=fast");
    CHECK_EXIT(LT_USAGE, "train.lr", TINY, "--set", "train.lr=-1");
    CHECK_EXIT(LT_USAGE, "scorer", TINY, "--set", "train.stage=scorrer");
    CHECK_EXIT(LT_USAGE, "=", TINY, "--set", "train.lr");
    CHECK_EXIT(LT_USAGE, "window", TINY, "--set", "train.policy_mix=[{\"policy\":\"windw\",\"weight\":1}]");
    CHECK_EXIT(LT_USAGE, "train/tiny", TRAIN, "--config", "train/tinny");
    write_text(in_folder("bad.json"), "{\"train\": {\"stepz\": 3}}");
    CHECK_EXIT(LT_USAGE, "train.steps", TRAIN, "--config", in_folder("bad.json"));
    write_text(in_folder("bad.json"), "{\"train\": {\"steps\": 3,}}");
    CHECK_EXIT(LT_USAGE, "bad.json", TRAIN, "--config", in_folder("bad.json"));
    write_text(in_folder("bad.json"), "{\"extends\": \"bad.json\"}");
    CHECK_EXIT(LT_USAGE, "bad.json", TRAIN, "--config", in_folder("bad.json"));
    CHECK_EXIT(LT_USAGE, "--config", TRAIN);
    CHECK(!lt_path_exists(in_folder("new")));
}

static void what_is_missing_is_named_with_3(void) {
    const char *none = in_folder("none"), *out = in_folder("new");
    char domain[LT_PATH_MAX];
    snprintf(domain, sizeof domain, "calm=%s", none);
    uint64_t before = folder_state(test_folder);
    CHECK_EXIT(LT_INPUT, none, "train", "--config", in_folder("tiny.json"), "--data", none, "--out", out);
    CHECK_EXIT(LT_INPUT, none, "info", none);
    CHECK_EXIT(LT_INPUT, none, "info", none, "--check");
    CHECK_EXIT(LT_INPUT, none, "generate", "--run", none, "--out", in_folder("v.mp4"));
    CHECK_EXIT(LT_INPUT, none, "evaluate", "--run", none, "--data", in_folder("d.h5"), "--policy", "window");
    CHECK_EXIT(LT_INPUT, none, "report", none);
    CHECK_EXIT(LT_INPUT, none, "compare", none, none);
    CHECK_EXIT(LT_INPUT, none, "ablate", "--config", in_folder("e.json"), "--run", none, "--data",
               in_folder("d.h5"), "--out", out);
    CHECK_EXIT(LT_INPUT, "is no run", "train", "--data", in_folder("d.h5"), "--out", none, "--resume");
    if (has_video()) CHECK_EXIT(LT_INPUT, none, "ingest", "--out", out, "--domain", domain);
    CHECK(folder_state(test_folder) == before);
}

static void what_exists_is_not_overwritten(void) {
    const char *taken = in_folder("taken"), *file = in_folder("taken/file");
    CHECK_OK(lt_make_dirs(taken));
    write_text(file, "mine");
    uint64_t before = folder_state(test_folder);
    CHECK_EXIT(LT_USAGE, "d.h5", "scenes", "--out", in_folder("d.h5"), "--domain", "calm", "--clips", "1");
    CHECK_EXIT(LT_USAGE, "file", "scenes", "--out", file, "--domain", "calm", "--clips", "1");
    CHECK_EXIT(LT_USAGE, "nor a run; choose", "train", "--config", in_folder("tiny.json"), "--data",
               in_folder("d.h5"), "--out", taken);
    CHECK_EXIT(LT_USAGE, "taken", "train", "--config", in_folder("tiny.json"), "--data", in_folder("d.h5"),
               "--out", taken, "--force");
    CHECK_EXIT(LT_USAGE, "file", "generate", "--run", in_folder("none"), "--out", file);
    CHECK_EXIT(LT_USAGE, "taken", "ablate", "--config", in_folder("e.json"), "--run", in_folder("none"),
               "--data", in_folder("d.h5"), "--out", taken);
    CHECK_EXIT(LT_INPUT, "file", "scenes", "--out", file, "--domain", "calm", "--clips", "1", "--append");
    CHECK(folder_state(test_folder) == before);
}

static void what_is_not_in_this_build_answers_5_and_says_how_to_get_it(void) {
    uint64_t before = folder_state(test_folder);
    CHECK_EXIT(LT_UNAVAILABLE, "CUDA", TINY, "--device", "cuda");
    CHECK_EXIT(LT_USAGE, "cpu", TINY, "--device", "gpuu");
    CHECK_EXIT(LT_USAGE, "plan", TINY, "--device", "null");
    CHECK_EXIT(LT_USAGE, "--profile", "bench", "--op", "sum", "--profile");
    CHECK_EXIT(LT_USAGE, "--json", "bench", "--model", "train/tiny", "--profile", "--json");
    if (!has_video())
        CHECK_EXIT(LT_UNAVAILABLE, "FFmpeg", "ingest", "--out", in_folder("n.h5"), "--domain", "a=.");
    CHECK(folder_state(test_folder) == before);
}

/* Threads that spin are in the way of whatever else runs (core/parallel.h); libgomp tells what it goes by. */
static void threads_sleep_while_they_wait(void) {
    static const char *const wanted[2][2] = {{NULL, "GOMP_SPINCOUNT = '2000'"},
                                             {"17", "GOMP_SPINCOUNT = '17'"}};
    char *policy = getenv("OMP_WAIT_POLICY"), *spins = getenv("GOMP_SPINCOUNT");
    policy = policy ? strdup(policy) : NULL, spins = spins ? strdup(spins) : NULL;
    unsetenv("OMP_WAIT_POLICY");
    setenv("OMP_DISPLAY_ENV", "VERBOSE", 1);
    for (int i = 0; i < 2; i++) {
        if (wanted[i][0]) setenv("GOMP_SPINCOUNT", wanted[i][0], 1);
        else unsetenv("GOMP_SPINCOUNT");
        process p = process_start(&(process_spec){.argv = ARGUMENTS(test_program, "list", "devices")});
        process_result r = process_wait(&p);
        bool told = strstr(r.err, "OPENMP DISPLAY ENVIRONMENT BEGIN") != NULL;
        if (!told) printf("skipped: this OpenMP does not show its environment\n");
        CHECK(r.code == 0 && (!told || strstr(r.err, wanted[i][1])));
        process_free(&r);
    }
    unsetenv("OMP_DISPLAY_ENV"), unsetenv("GOMP_SPINCOUNT");
    if (policy) setenv("OMP_WAIT_POLICY", policy, 1);
    if (spins) setenv("GOMP_SPINCOUNT", spins, 1);
    free(policy), free(spins);
}

int main(int argc, char **argv) {
    test_begin("12");
    write_text(in_folder("e.json"), "{\"experiment\": {\"policies\": [\"window\"]}}");
    read_commands();
    RUN(every_command_has_a_manual_that_names_its_options);
    RUN(every_option_of_the_help_is_taken_and_no_other);
    RUN(the_commands_and_options_of_the_design_are_there);
    RUN(help_lists_the_keys_of_configurations);
    RUN(a_misspelt_command_or_option_gets_the_nearest_name);
    RUN(a_wrong_configuration_names_the_key);
    RUN(what_is_missing_is_named_with_3);
    RUN(what_exists_is_not_overwritten);
    RUN(what_is_not_in_this_build_answers_5_and_says_how_to_get_it);
    RUN(threads_sleep_while_they_wait);
    return test_finish();
}
