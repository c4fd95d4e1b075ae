/* What the program does with the descriptors it is given: closed ones, a full disk, a reader that has gone. And two of
 * it at once. */
#include "tests/testing.h"

static const char experiment[] = "{\"experiment\": {\"policies\": [\"none\", \"window\"], \"budgets\": "
                                 "[\"2\"], \"clips\": 4, \"blocks\": 6,"
                                 " \"reference_clips\": 4, \"video_blocks\": 0, \"traces\": false}}";

/* The program as "$0", in the test's folder. */
static int shell(const char *script) {
    char in_place[LT_PATH_MAX + 1024];
    snprintf(in_place, sizeof in_place, "cd '%s' && { %s; }", test_folder, script);
    snprintf(test_command, sizeof test_command, " (%s)", script);
    process p = process_start(&(process_spec){.argv = ARGUMENTS("bash", "-c", in_place, test_program)});
    process_free(&got);
    got = process_wait(&p);
    return got.code;
}

static void output_that_is_not_taken_is_an_error(void) {
    static const char *const commands[] = {"help",
                                           "help config",
                                           "help train",
                                           "train --help",
                                           "list policies",
                                           "list ops --json",
                                           "plan --config tiny.json",
                                           "plan --config tiny.json --json",
                                           "info run",
                                           "info d.h5 --json",
                                           "compare run run",
                                           "bench --op patchify --json"};
    static const char *const ways[][3] = {{"", "> /dev/full", "No space left"},
                                          {"(sleep 0.1; ", ") | true; exit ${PIPESTATUS[0]}", "Broken pipe"},
                                          {"", ">&-", "Bad file descriptor"}};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        for (int w = 0; w < 3; w++) {
            char script[256];
            if (strncmp(commands[i], "bench", 5) == 0 && w) continue; /* it takes a second */
            snprintf(script, sizeof script, "%s\"$0\" %s %s", ways[w][0], commands[i], ways[w][1]);
            shell(script);
            CHECK(ended(LT_FAILED, "standard output: cannot write") && strstr(got.err, ways[w][2]));
        }
    CHECK(shell("\"$0\" help > /dev/null") == 0);
}

/* What is printed must not land in a file that happened to get the number. */
static void closed_descriptors_change_no_file(void) {
    CHECK_RUN("scenes", "--out", in_folder("a.h5"), "--domain", "calm", "--clips", "3", "--frames", "16",
              "--size", "16x16", "--no-flow");
    static const char *const closed[] = {"2>&-", "<&- 2>&-", "<&- >&- 2>&-"};
    for (int i = 0; i < 3; i++) {
        char script[512];
        snprintf(script, sizeof script,
                 "rm -rf r b.h5; \"$0\" scenes --out b.h5 --domain calm --clips 3 --frames 16 --size 16x16 "
                 "--no-flow "
                 "--threads 1 -v %s",
                 closed[i]);
        shell(script);
        CHECK(got.code == (i < 2 ? 0 : LT_FAILED)); /* its summary goes to stdout */
        CHECK(shell("\"$0\" info b.h5 --check -q > /dev/null") == 0);
        snprintf(script, sizeof script,
                 "\"$0\" train --config tiny.json --data d.h5 --out r --threads 1 -v %s", closed[i]);
        CHECK(shell(script) == 0);
        CHECK(shell("test $(wc -l < r/metrics.jsonl) = 8 && ! grep -v '^{\"step\"' r/metrics.jsonl") == 0);
        CHECK(shell("\"$0\" train --out r --data d.h5 --resume --steps 7 --threads 1 -q") == 0);
    }
}

/* Both at once, several times: one is refused at once, the other is whole. */
static void of_two_writers_one_is_refused(void) {
    CHECK(shell("\"$0\" train --config tiny.json --data d.h5 --out part --steps 3 --threads 1 -q") == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(
            shell("rm -rf two; cp -a part two; for n in 1 2; do "
                  "{ \"$0\" train --out two --resume --data d.h5 --steps 30 --threads 1 -q 2>e$n; echo $? "
                  ">c$n; } & "
                  "done; wait; sort c1 c2 | tr '\\n' ' '; cat e1 e2; grep -c '\"loss\"' two/metrics.jsonl") ==
            0);
        CHECK(strncmp(got.out, "0 3 ", 4) == 0 &&
              strstr(got.out, "two: in use by another process (process "));
        CHECK(strstr(got.out, "\n30\n"));
    }
    CHECK(shell("\"$0\" ablate --config e.json --run run --data d.h5 --out res --threads 1 -q > one.txt") ==
          0);
    for (int i = 0; i < 2; i++) {
        CHECK(shell("rm -rf res/cells/*; for n in 1 2; do { \"$0\" ablate --config e.json --run run --data "
                    "d.h5 --out res "
                    "--resume --threads 1 -q >o$n 2>e$n; echo $? >c$n; } & done; wait; sort c1 c2 | tr '\\n' "
                    "' '; "
                    "cat e1 e2; cat o1 o2 | cmp - one.txt") == 0);
        CHECK(strncmp(got.out, "0 3 ", 4) == 0 && strstr(got.out, "res: in use by another process"));
    }
}

static void train_says_where_a_checkpoint_is_named(void) {
    CHECK_EXIT(LT_USAGE, "--resume-from STEP", "train", "--data", in_folder("d.h5"), "--out", in_folder("x"),
               "--checkpoint", "best");
    CHECK(strstr(got.err, "--init") != NULL);
}

int main(int argc, char **argv) {
    test_begin("16");
    write_text(in_folder("e.json"), experiment);
    CHECK_RUN("train", "--config", in_folder("tiny.json"), "--data", in_folder("d.h5"), "--out",
              in_folder("run"), "-q");
    RUN(output_that_is_not_taken_is_an_error);
    RUN(closed_descriptors_change_no_file);
    RUN(of_two_writers_one_is_refused);
    RUN(train_says_where_a_checkpoint_is_named);
    return test_finish();
}
