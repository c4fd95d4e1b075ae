/* An installed program: it can be moved, finds what it is shipped with, and comes with its manual page and completions. */
#include "tests/testing.h"

static char build_folder[LT_PATH_MAX];

static const char *prefix(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "moved/%s", name);
    return in_folder(path);
}

static void run_other(const char *const *argv) {
    process p = process_start(&(process_spec){.argv = argv, .timeout = 60});
    process_free(&got);
    got = process_wait(&p);
}

static void run_ok(const char *const *argv) {
    run_other(argv);
    if (got.code != 0) printf("%s: exit %d\n%s%s", argv[0], got.code, got.out, got.err);
    CHECK(got.code == 0);
}

static void run_bash(const char *script) {
    const char *argv[] = {"bash", "-c", script, NULL};
    run_other(argv);
}

/* From here on the installed program is the one that runs, in a folder where nothing of the tree is. */
static void install_and_move(void) {
    const char *argv[] = {"cmake", "--install", build_folder, "--prefix", in_folder("installed"), NULL};
    run_ok(argv);
    CHECK(rename(in_folder("installed"), in_folder("moved")) == 0);
    snprintf(test_program, sizeof test_program, "%s", prefix("bin/longtake"));
    CHECK(lt_path_exists(test_program));
    CHECK(chdir("/") == 0);
    unsetenv("LONGTAKE_CONFIGS");
}

static void presets_are_those_beside_the_program(void) {
    CHECK_RUN("list", "presets", "-q");
    CHECK(strstr(got.out, "train/tiny\n") && strstr(got.out, "experiments/demo.json\n"));
    CHECK_RUN("plan", "--config", "train/tiny", "--json");
    CHECK_RUN("plan", "--config", "experiments/demo");
    write_text(prefix("share/longtake/configs/train/tiny.json"),
               "{\"extends\": \"model/tiny\", \"comment\": \"of the moved one\"}");
    CHECK_RUN("list", "presets");
    CHECK(strstr(got.out, "of the moved one"));
    CHECK_EXIT(LT_USAGE, "moved/bin/../share/longtake/configs", "plan", "--config", "train/tinny");
    CHECK(strstr(got.err, "did you mean \"train/tiny\""));
}

static void a_folder_of_ones_own_goes_first(void) {
    CHECK_OK(lt_make_dirs(in_folder("own/train")));
    write_text(in_folder("own/train/tiny.json"), "{\"extends\": \"model/tiny\", \"comment\": \"my own\"}");
    setenv("LONGTAKE_CONFIGS", in_folder("own"), 1);
    CHECK_RUN("list", "presets");
    CHECK(strstr(got.out, "my own") && !strstr(got.out, "of the moved one") &&
          strstr(got.out, "train/small"));
    CHECK_RUN("plan", "--config", "train/tiny");
    unsetenv("LONGTAKE_CONFIGS");
}

static void the_shipped_model_is_found(void) {
    CHECK_RUN("info", "experiments/tiny");
    CHECK(strstr(got.out, "1365651"));
    CHECK_RUN("compare", "experiments/tiny", "experiments/tiny");
    if (has_video())
        CHECK_RUN("generate", "--run", "experiments/tiny", "--out", in_folder("v.mp4"), "--blocks", "1",
                  "--steps", "1", "-q");
    CHECK_EXIT(LT_INPUT, "experiments/other", "info", "experiments/other");
}

static void the_manual_page_has_every_command(void) {
    char *page = NULL;
    CHECK_OK(lt_read_file(prefix("share/man/man1/longtake.1"), &page, NULL));
    CHECK_RUN("help", "--json");
    cJSON *help = parse_output(), *command, *option;
    cJSON_ArrayForEach(command, cJSON_GetObjectItem(help, "commands")) {
        char section[128];
        snprintf(section, sizeof section, "\n.SS longtake %s\n",
                 cJSON_GetObjectItem(command, "name")->valuestring);
        CHECK(page && strstr(page, section));
        cJSON_ArrayForEach(option, cJSON_GetObjectItem(command, "options")) {
            const char *name = cJSON_GetObjectItem(option, "name")->valuestring;
            char label[96];
            snprintf(label, sizeof label, "\n\\fB\\-\\-%.*s", (int)strcspn(name, "-"), name);
            CHECK(page && strstr(page, label));
        }
    }
    CHECK(page && strstr(page, ".SH EXIT STATUS") && strstr(page, "train.checkpoint_every"));
    cJSON_Delete(help);
    free(page);
}

/* What the script offers for words, of which the last is being written. */
static void complete(const char *words) {
    static char script[4 * LT_PATH_MAX];
    snprintf(
        script, sizeof script,
        "cd '%s' && . '%s' && COMP_WORDS=('%s' %s) && COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) && _longtake && "
        "printf '%%s\\n' \"${COMPREPLY[@]}\"",
        test_folder, prefix("share/bash-completion/completions/longtake"), test_program, words);
    run_bash(script);
    CHECK(got.code == 0 && *got.err == '\0');
}

static bool offers(const char *line) {
    const size_t length = strlen(line);
    for (const char *at = got.out; (at = strstr(at, line)); at++)
        if ((at == got.out || at[-1] == '\n') && (at[length] == '\n' || at[length] == '\0')) return true;
    printf("no \"%s\" in:\n%s", line, got.out);
    return false;
}

static void bash_completes_commands_options_and_values(void) {
    complete("'tr'");
    CHECK(offers("train") && !strstr(got.out, "evaluate"));
    complete("train '--c'");
    CHECK(offers("--config") && offers("--collectives") && !strstr(got.out, "--data"));
    complete("train '--th'");
    CHECK(offers("--threads"));
    complete("train --config 'train/ti'");
    CHECK(offers("train/tiny") && offers("train/tiny-scorer"));
    complete("generate --policy 'key'");
    CHECK(offers("key-norm"));
    complete("generate --policy = 'si'"); /* as bash splits --policy=si */
    CHECK(offers("sink"));
    complete("train --precision ''");
    CHECK(offers("bf16") && offers("auto"));
    complete("train --set 'train.st'");
    CHECK(offers("train.steps=") && offers("train.stage="));
    complete("list 'po'");
    CHECK(offers("policies") && offers("policy-keys"));
    complete("plan --target 'null:h'");
    CHECK(strstr(got.out, "null:h"));
    complete("info 'mov'");
    CHECK(offers("moved"));
    complete("train --steps ''");
    CHECK(strcmp(got.out, "\n") == 0);
}

static void zsh_can_read_its_script(void) {
    run_bash("command -v zsh");
    if (got.code != 0) return;
    const char *argv[] = {"zsh", "-n", prefix("share/zsh/site-functions/_longtake"), NULL};
    run_ok(argv);
}

int main(int argc, char **argv) {
    test_begin("0");
    snprintf(build_folder, sizeof build_folder, "%s", test_program);
    *strrchr(build_folder, '/') = '\0';
    install_and_move();
    RUN(presets_are_those_beside_the_program);
    RUN(a_folder_of_ones_own_goes_first);
    RUN(the_shipped_model_is_found);
    RUN(the_manual_page_has_every_command);
    RUN(bash_completes_commands_options_and_values);
    RUN(zsh_can_read_its_script);
    return test_finish();
}
