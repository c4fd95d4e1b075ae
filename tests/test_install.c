/* What is installed. The program: it can be moved, finds what it is shipped with, and comes with its
 * manual page and completions. The library: programs are compiled against it through pkg-config and CMake,
 * wherever it was moved to. */
#include "tests/testing.h"

static char build_folder[LT_PATH_MAX], tree[LT_PATH_MAX];

/* A sanitizer's runtime would have to come first in a program that knows nothing of it. */
#ifdef __SANITIZE_ADDRESS__
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

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

/* ---- the library --------------------------------------------------------------------------------------- */

/* A shell script with $moved, $tree and $work: the installation, the source tree, a folder of the test's
 * own. */
static void run_script(const char *script) {
    static char text[1 << 13];
    snprintf(text, sizeof text,
             "set -euo pipefail; moved='%s' tree='%s' work='%s'; "
             "export PKG_CONFIG_PATH=$(dirname \"$(find \"$moved\" -name longtake.pc)\"); %s",
             in_folder("moved"), tree, test_folder, script);
    run_bash(text);
    if (got.code != 0) printf("exit %d of: %s\n%s%s", got.code, script, got.out, got.err);
    CHECK(got.code == 0);
}

static int lines_with(const char *text, const char *what) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, what)); at++) count++;
    return count;
}

static void a_program_with_its_own_policy_streams_through_pkg_config(void) {
    run_script(
        "cd \"$work\"; cc -std=c11 -Wall -Wextra -Werror \"$tree/examples/stream_policy.c\" -o stream_policy "
        "$(pkg-config --cflags --libs longtake) -Wl,-rpath,\"$(pkg-config --variable=libdir longtake)\"; "
        "./stream_policy experiments/tiny >a.rgb; stat -c %s a.rgb; "
        "./stream_policy experiments/tiny 2>/dev/null | cmp - a.rgb");
    CHECK(lines_with(got.err, "block ") == 8 && lines_with(got.err, ": 3 entries") == 6);
    CHECK(lines_with(got.err, " 0 evicted") == 3);
    CHECK(atoi(got.out) > 0 && atoi(got.out) % (8 * 64 * 64 * 3) == 0);
    run_script("cd \"$work\"; if ./stream_policy nowhere; then false; else test $? = 3; fi");
    CHECK(strstr(got.err, "stream_policy: nowhere: there is no such run"));
}

static void a_project_finds_the_package_of_cmake(void) {
    CHECK_OK(lt_make_dirs(in_folder("project")));
    write_text(
        in_folder("project/CMakeLists.txt"),
        "cmake_minimum_required(VERSION 3.22)\nproject(example C)\nfind_package(longtake 0.1 REQUIRED)\n"
        "add_executable(stream_policy ${TREE}/examples/stream_policy.c)\n"
        "target_link_libraries(stream_policy PRIVATE longtake::longtake)\n");
    run_script("cd \"$work/project\"; cmake -S . -B build -DTREE=\"$tree\" -DCMAKE_PREFIX_PATH=\"$moved\"; "
               "cmake --build build; build/stream_policy experiments/tiny | cmp - ../a.rgb");
}

static void the_library_shows_nothing_but_its_own_names(void) {
    run_script("nm -D --defined-only \"$(pkg-config --variable=libdir longtake)/liblongtake.so\" | awk "
               "'{print $3}' | "
               "grep -vE '^(longtake_[a-z_]+@@)?LONGTAKE_0$' || true");
    CHECK(*got.out == '\0');
    run_script("sed -nE 's/.*LONGTAKE_API[^(]*(longtake_[a-z_]+)\\(.*/\\1/p' \"$tree/include/longtake.h\" | "
               "sort >\"$work/declared\"; "
               "test $(wc -l <\"$work/declared\") -ge 20; nm -D --defined-only \"$(pkg-config "
               "--variable=libdir longtake)/liblongtake.so\" | "
               "sed -nE 's/.* (longtake_[a-z_]+)@@.*/\\1/p' | sort | diff \"$work/declared\" -");
}

/* docs/library.md lists what contexts of a process share; gcov, sanitizers and CUDA's runtime bring
 * variables of their own. */
static void contexts_share_only_what_the_manual_lists(void) {
    char *manual = NULL, path[LT_PATH_MAX];
    CHECK_OK(lt_path_join(path, tree, "docs/library.md"));
    CHECK_OK(lt_read_file(path, &manual, NULL));
    run_script("objdump -t \"$(dirname \"$PKG_CONFIG_PATH\")/liblongtake.so\" >\"$work/symbols\" && ! grep "
               "-qiE 'gcov|asan|cudart' \"$work/symbols\" || "
               "exit 0; awk 'NF > 3 && $(NF-2) ~ /^[.](data|bss)$/ && $(NF-1) !~ /^0+$/ {print $NF}' "
               "\"$work/symbols\" | sed 's/[.][0-9]*$//' | sort -u");
    for (char *name = strtok(got.out, "\n"); name && manual; name = strtok(NULL, "\n")) {
        char quoted[128];
        snprintf(quoted, sizeof quoted, "`%s`", name);
        if (strcmp(name, "completed") == 0 || strstr(manual, quoted))
            continue; /* of the C compiler's start-up code */
        printf("%s is writable, and docs/library.md does not list it among what contexts share\n", name);
        CHECK(false);
    }
    free(manual);
}

/* What a package is made of: below $DESTDIR, from where it goes again whole. */
static void an_installation_below_destdir_is_removed_by_its_list(void) {
    static char script[4 * LT_PATH_MAX];
    snprintf(script, sizeof script,
             "export DESTDIR=\"$work/stage\"; cmake --install '%s' --prefix /opt/lt >/dev/null; "
             "test -x \"$DESTDIR/opt/lt/bin/longtake\"; test ! -e /opt/lt; echo mine "
             ">\"$DESTDIR/opt/lt/share/mine\"; "
             "cmake --build '%s' --target uninstall >/dev/null; cd \"$DESTDIR\"; find . -type f -o -type l; "
             "find . -name 'longtake*'",
             build_folder, build_folder);
    run_script(script);
    CHECK(strcmp(got.out, "./opt/lt/share/mine\n") == 0);
    if (strcmp(got.out, "./opt/lt/share/mine\n") != 0) printf("%s", got.out);
}

int main(int argc, char **argv) {
    CHECK(getcwd(tree, sizeof tree));
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
    if (!sanitized) RUN(a_program_with_its_own_policy_streams_through_pkg_config);
    if (!sanitized) RUN(a_project_finds_the_package_of_cmake);
    RUN(the_library_shows_nothing_but_its_own_names);
    RUN(contexts_share_only_what_the_manual_lists);
    RUN(an_installation_below_destdir_is_removed_by_its_list);
    return test_finish();
}
