/* The commit in the records of runs: what a build of a clone, a changed clone, an archive and a folder within another
 * repository writes down, and that nothing asks git later. */
#include "core/source.h"
#include "tests/testing.h"

static char shell_output[4096];

/* Runs a shell command in `folder`; false when it failed. */
static bool shell(const char *folder, const char *command) {
    char text[3 * LT_PATH_MAX];
    snprintf(text, sizeof text, "cd '%s' && %s", folder, command);
    process p = process_start(&(process_spec){.argv = ARGUMENTS("sh", "-c", text)});
    process_result r = process_wait(&p);
    bool ok = r.code == 0;
    snprintf(shell_output, sizeof shell_output, "%s", r.out);
    shell_output[strcspn(shell_output, "\n")] = '\0';
    process_free(&r);
    return ok;
}

static bool have(const char *tool) {
    char command[64];
    snprintf(command, sizeof command, "command -v %s", tool);
    if (shell("/", command)) return true;
    printf("skipped: no %s\n", tool);
    return false;
}

/* What a build of the tree in `folder` writes. */
static void built_commit(const char *folder, char commit[LT_COMMIT_MAX]) {
    char command[2 * LT_PATH_MAX], *text = NULL, *quote;
    const char *file = in_folder("commit.c");
    size_t size;
    snprintf(command, sizeof command, "cmake -DSOURCE='%s' -DOUTPUT='%s' -P '%s'", folder, file,
             LT_SOURCE_DIR "/cmake/commit.cmake");
    commit[0] = '\0';
    CHECK(shell("/", command));
    CHECK_OK(lt_read_file(file, &text, &size));
    quote = text ? strstr(text, "= \"") : NULL;
    CHECK(quote && sscanf(quote, "= \"%79[^\"]", commit) <= 1);
    free(text);
}

static void a_build_knows_its_commit(void) {
    char head[LT_COMMIT_MAX], dirty[LT_COMMIT_MAX + 8], commit[LT_COMMIT_MAX];
    const char *tree = in_folder("tree"), *inner = in_folder("tree/inner");
    if (!have("git") || !have("cmake")) return;
    CHECK_OK(lt_make_dirs(inner));
    built_commit(tree, commit);
    CHECK(strcmp(commit, "") == 0); /* an archive */
    CHECK(shell(tree, "git init -q && echo one >file && cp file inner && git add . &&"
                      " git -c user.name=a -c user.email=a@b commit -qm one && git rev-parse HEAD"));
    snprintf(head, sizeof head, "%.70s", shell_output);
    snprintf(dirty, sizeof dirty, "%s-dirty", head);
    built_commit(tree, commit);
    CHECK(strlen(head) >= 40 && strcmp(commit, head) == 0);
    built_commit(inner, commit);
    CHECK(strcmp(commit, "") ==
          0); /* unpacked within another repository, whose commit says nothing about it */
    write_text(in_folder("tree/new"), "untracked\n");
    built_commit(tree, commit);
    CHECK(strcmp(commit, head) == 0);
    write_text(in_folder("tree/file"), "two\n");
    built_commit(tree, commit);
    CHECK(strcmp(commit, dirty) == 0);
}

static void records_need_no_git(void) {
    char path[1 << 12];
    snprintf(path, sizeof path, "%s", getenv("PATH"));
    cJSON *records[2];
    for (int i = 0; i < 2; i++) {
        const char *run = in_folder(i ? "without" : "with");
        CHECK(setenv("PATH", i ? test_folder : path, 1) == 0);
        CHECK_RUN("train", "--config", in_folder("tiny.json"), "--data", in_folder("d.h5"), "--out", run,
                  "--steps", "1", "-q");
        records[i] = read_json(in_folder(i ? "without/environment.json" : "with/environment.json"));
    }
    setenv("PATH", path, 1);
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "dirty" : "commit";
        CHECK(cJSON_HasObjectItem(records[0], name) &&
              cJSON_Compare(cJSON_GetObjectItem(records[0], name), cJSON_GetObjectItem(records[1], name),
                            true));
    }
    cJSON_Delete(records[0]), cJSON_Delete(records[1]);
}

int main(int argc, char **argv) {
    test_begin("12");
    RUN(a_build_knows_its_commit);
    RUN(records_need_no_git);
    return test_finish();
}
