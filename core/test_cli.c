#include "core/cli.h"
#include "core/log.h"
#include "tests/harness.h"

#include <poll.h>
#include <pty.h>
#include <unistd.h>

typedef struct train_options {
    lt_globals global;
    const char *out, *mode;
    int64_t steps, any;
    double rate;
    bool resume, strict;
    lt_strings sets, colours;
} train_options;

static const train_options defaults = {.global = LT_GLOBALS, .steps = 20, .any = 5, .rate = 0.5};

static const lt_option options[] = {
    {"out", LT_OPT_STRING, offsetof(train_options, out), "DIR", "where the run goes", .required = true},
    {"steps", LT_OPT_INT, offsetof(train_options, steps), "N", "sampler steps per block", .min = 1,
     .max = 1000},
    {"any", LT_OPT_INT, offsetof(train_options, any), "N", "any whole number"},
    {"rate", LT_OPT_FLOAT, offsetof(train_options, rate), "R", "learning rate", .min = 0, .max = INFINITY},
    {"resume", LT_OPT_FLAG, offsetof(train_options, resume), NULL, "go on from the latest checkpoint"},
    {"strict", LT_OPT_FLAG, offsetof(train_options, strict), NULL, "stop at the first bad file"},
    {"mode", LT_OPT_STRING, offsetof(train_options, mode), "M", "what gradients flow through",
     .choices = "teacher|self"},
    {"set", LT_OPT_STRINGS, offsetof(train_options, sets), "KEY=VALUE",
     "overrides a key of the configuration; the value is JSON, or a string "
     "when it is not, and the last one of a key holds"},
    {"colour", LT_OPT_STRINGS, offsetof(train_options, colours), "C", "colours", .choices = "red|green"},
    {"a-very-long-name-of-an-option", LT_OPT_STRING, offsetof(train_options, mode), "WITH-A-LONG-VALUE",
     "help on a line of its own"},
    {NULL},
};

static lt_status run_nothing(const void *values, int count, const char *const *positional) {
    (void)values, (void)count, (void)positional;
    return LT_OK;
}

static const lt_command command = {
    .name = "train",
    .summary = "trains a model",
    .usage = "--config C.json --data D.h5 --out runs/X [--resume | --force] [--init RUN|DIR] [--freeze GLOB] "
             "[--set k=v] [--steps N] [--rate R]",
    .details = "Example:\n  longtake train --out runs/a",
    .options = options,
    .defaults = &defaults,
    .options_size = sizeof defaults,
    .positional = "RUN [RUN]",
    .min_positional = 0,
    .max_positional = 2,
    .run = run_nothing,
};

static const char *positional[32];
static int positional_count;
static bool done;
static train_options given; /* by the latest parse that went well */

static lt_status parse_words(const lt_command *of, int argc, char **argv) {
    void *values;
    given = defaults;
    LT_TRY(lt_cli_parse(of, argc, argv, &values, positional, &positional_count));
    done = !values;
    if (values) memcpy(&given, values, of->defaults ? sizeof given : sizeof given.global);
    lt_cli_free(values);
    given.global.line = NULL;
    return LT_OK;
}

static void the_command_line_is_kept_for_records(void) {
    char *argv[] = {"/some/where/longtake", "train", "--out", "runs/a b", "--set=x=[1,2]", "it's", "", NULL};
    void *values;
    int count;
    CHECK_OK(lt_cli_parse(&command, 7, argv, &values, (const char *[8]){0}, &count));
    CHECK(!strcmp(((train_options *)values)->global.line,
                  "longtake train --out 'runs/a b' '--set=x=[1,2]' 'it'\\''s' ''"));
    lt_cli_free(values);
}

/* Two calls of a command at once have their own values, and neither changes the defaults of the next. */
static void calls_share_no_values(void) {
    char *one[] = {"longtake", "train", "--out", "a", "--steps", "7", "--set", "x=1", "-q"};
    char *two[] = {"longtake", "train", "--out", "b", "--resume"};
    void *first, *second;
    int count;
    CHECK_OK(lt_cli_parse(&command, 9, one, &first, positional, &count));
    CHECK_OK(lt_cli_parse(&command, 5, two, &second, positional, &count));
    const train_options *a = first, *b = second;
    CHECK(strcmp(a->out, "a") == 0 && a->steps == 7 && a->sets.count == 1 && a->global.quiet && !a->resume);
    CHECK(strcmp(b->out, "b") == 0 && b->steps == 20 && b->sets.count == 0 && !b->global.quiet && b->resume);
    lt_cli_free(first), lt_cli_free(second);
}

/* Parses the words after "longtake train", which a space separates. */
static lt_status parse(const char *words) {
    static char line[512];
    static char *argv[34];
    snprintf(line, sizeof line, "longtake train %s", words);
    int argc = 0;
    for (char *word = strtok(line, " "); word && argc < 33; word = strtok(NULL, " ")) argv[argc++] = word;
    argv[argc] = NULL;
    return parse_words(&command, argc, argv);
}

/* What `action` writes to a stream, as text. */
static char *written_to(FILE *stream, void (*action)(void)) {
    static char text[16384];
    FILE *file = tmpfile();
    fflush(stream);
    int kept = dup(fileno(stream));
    dup2(fileno(file), fileno(stream));
    action();
    fflush(stream);
    dup2(kept, fileno(stream));
    close(kept);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void both_spellings_set_values(void) {
    CHECK_OK(parse("--out runs/a --steps=7 --rate 1e-3 --resume --mode=self --any -12"));
    CHECK(strcmp(given.out, "runs/a") == 0 && given.steps == 7 && given.rate == 1e-3 && given.resume &&
          !given.strict);
    CHECK(strcmp(given.mode, "self") == 0 && given.any == -12 && !done && positional_count == 0);
    CHECK_OK(parse("--out=a=b --rate=0"));
    CHECK(strcmp(given.out, "a=b") == 0 && given.rate == 0);
    CHECK_OK(parse("--out="));
    CHECK(given.out && *given.out == '\0');
}

static void defaults_stay_when_nothing_is_given(void) {
    CHECK_OK(parse("--out x"));
    CHECK(given.steps == 20 && given.any == 5 && given.rate == 0.5 && !given.resume && given.mode == NULL &&
          given.sets.count == 0);
    CHECK(strcmp(given.global.device, "cpu") == 0 && given.global.threads == 0 && given.global.seed == -1);
}

static void repeatable_options_keep_their_order(void) {
    CHECK_OK(parse("--set a=1 --out x --set=b=2 --set c=-3"));
    CHECK(given.sets.count == 3 && strcmp(given.sets.items[0], "a=1") == 0 &&
          strcmp(given.sets.items[1], "b=2") == 0 && strcmp(given.sets.items[2], "c=-3") == 0);
    CHECK_FAILS(parse("--out x --out y"), LT_USAGE, "--out is given more than once");
    CHECK_FAILS(parse("--out x --steps 1 --steps=2"), LT_USAGE, "--steps");
    CHECK_OK(parse("--out x --resume --resume"));
    CHECK(given.resume);
}

static void too_many_repetitions_are_refused(void) {
    static char *argv[2 + 2 + 257] = {"longtake", "train", "--out", "x"};
    for (int i = 4; i < 261; i++) argv[i] = "--set=a=1";
    CHECK_OK(parse_words(&command, 260, argv));
    CHECK(given.sets.count == 256);
    CHECK_FAILS(parse_words(&command, 261, argv), LT_USAGE, "256 times");
}

static void given_values_replace_a_default_list(void) {
    char *argv[] = {"longtake", "train", "--out", "x", "--set", "b=2"};
    train_options listed = defaults;
    lt_command with_list = command;
    listed.sets = (lt_strings){{"a=1"}, 1};
    with_list.defaults = &listed;
    CHECK_OK(parse_words(&with_list, 6, argv));
    CHECK(given.sets.count == 1 && strcmp(given.sets.items[0], "b=2") == 0);
    CHECK_OK(parse_words(&with_list, 4, argv));
    CHECK(given.sets.count == 1 && strcmp(given.sets.items[0], "a=1") == 0);
}

static void numbers_are_numbers(void) {
    static const char *const wrong[] = {
        "--steps x", "--steps 1.5", "--steps 1e3", "--steps 5x", "--steps=",  "--steps 99999999999999999999",
        "--rate x",  "--rate=",     "--rate nan",  "--rate inf", "--rate 1,5"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char words[64];
        snprintf(words, sizeof words, "--out x %s", wrong[i]);
        CHECK_FAILS(parse(words), LT_USAGE, "number, got");
    }
    CHECK_OK(parse("--out x --any=9223372036854775807"));
    CHECK(given.any == INT64_MAX);
}

static void ranges_hold_at_both_ends(void) {
    CHECK_OK(parse("--out x --steps 1"));
    CHECK_OK(parse("--out x --steps 1000"));
    CHECK_FAILS(parse("--out x --steps 0"), LT_USAGE, "--steps: 0 is out of range: 1 to 1000");
    CHECK_FAILS(parse("--out x --steps 1001"), LT_USAGE, "1001 is out of range");
    CHECK_FAILS(parse("--out x --rate -0.1"), LT_USAGE, "out of range: at least 0");
    CHECK_FAILS(parse("--out x --threads -1"), LT_USAGE, "--threads");
}

static void choices_suggest_the_nearest(void) {
    CHECK_FAILS(parse("--out x --mode teachr"), LT_USAGE, "teacher|self; did you mean \"teacher\"?");
    CHECK_FAILS(parse("--out x --mode zzzzzz"), LT_USAGE, "is not one of teacher|self");
    CHECK(!strstr(lt_error(), "did you mean"));
    CHECK_FAILS(parse("--out x --colour red --colour gren"), LT_USAGE, "did you mean \"green\"");
    CHECK_OK(parse("--out x --colour red --colour green"));
    CHECK(given.colours.count == 2);
}

static void unknown_options_suggest_the_nearest(void) {
    CHECK_FAILS(parse("--out x --resum"), LT_USAGE, "unknown option --resum; did you mean --resume?");
    CHECK_FAILS(parse("--out x --devcie cpu"), LT_USAGE, "did you mean --device?");
    CHECK_FAILS(parse("--out x --stpes=3"), LT_USAGE, "did you mean --steps?");
    CHECK_FAILS(parse("--out x --qqqqqqqqq"), LT_USAGE, "unknown option --qqqqqqqqq");
    CHECK(!strstr(lt_error(), "did you mean"));
    CHECK_FAILS(parse("--out x -x"), LT_USAGE, "unknown option -x");
    CHECK_FAILS(parse("--out x -out"), LT_USAGE, "did you mean --out?");
    CHECK(strstr(lt_error(), "see `longtake help train`"));
}

static void values_are_demanded_and_flags_take_none(void) {
    CHECK_FAILS(parse("--out"), LT_USAGE, "--out needs a value: --out DIR");
    CHECK_FAILS(parse("--out --resume"), LT_USAGE, "--out needs a value");
    CHECK_FAILS(parse("--out -v"), LT_USAGE, "--out needs a value");
    CHECK_OK(parse("--out=--resume"));
    CHECK_OK(parse("--out -"));
    CHECK(strcmp(given.out, "-") == 0);
    CHECK_FAILS(parse("--out x --resume=yes"), LT_USAGE, "--resume takes no value, got \"yes\"");
}

static void required_options_are_demanded(void) {
    CHECK_FAILS(parse(""), LT_USAGE, "--out DIR is required (see `longtake help train`)");
    CHECK_FAILS(parse("--steps 3"), LT_USAGE, "--out DIR is required");
}

static void positionals_are_collected_and_counted(void) {
    CHECK_OK(parse("runs/a --out x runs/b"));
    CHECK(positional_count == 2 && strcmp(positional[0], "runs/a") == 0 &&
          strcmp(positional[1], "runs/b") == 0);
    CHECK_OK(parse("--out x -- --resume -q"));
    CHECK(positional_count == 2 && strcmp(positional[0], "--resume") == 0 && !given.resume &&
          !given.global.quiet);
    CHECK_FAILS(parse("--out x a b c"), LT_USAGE, "unexpected argument \"c\": expected RUN [RUN]");
    lt_command pair = command;
    pair.min_positional = 2;
    char *argv[] = {"longtake", "compare", "--out", "x", "a"};
    CHECK_FAILS(parse_words(&pair, 5, argv), LT_USAGE, "expected RUN [RUN], got 1 argument ");
    lt_command none = {.name = "list", .summary = "lists", .run = run_nothing};
    char *stray[] = {"longtake", "list", "stray"};
    CHECK_FAILS(parse_words(&none, 3, stray), LT_USAGE,
                "unexpected argument \"stray\"; options start with --");
    CHECK_OK(parse_words(&none, 2, stray));
}

static void global_options_work_in_every_command(void) {
    CHECK_OK(parse("--out x --device null:h100 --threads 4 --seed 99 --precision bf16 --json -v"));
    CHECK(strcmp(given.global.device, "null:h100") == 0 && given.global.threads == 4 &&
          given.global.seed == 99);
    CHECK(strcmp(given.global.precision, "bf16") == 0 && given.global.json && given.global.verbose &&
          !given.global.quiet);
    CHECK_OK(parse("--out x --quiet"));
    CHECK(given.global.quiet);
    CHECK_FAILS(parse("--out x -v -q"), LT_USAGE, "exclude each other");
    CHECK_FAILS(parse("--out x --precision f8"), LT_USAGE, "auto|f32|bf16");
    CHECK_OK(parse("--out x --kernels generic"));
    CHECK(strcmp(given.global.kernels, "generic") == 0);
    CHECK_FAILS(parse("--out x --kernels plain"), LT_USAGE, "auto|generic");
    CHECK_FAILS(parse("--out x --seed -2"), LT_USAGE, "at least -1");
    CHECK_FAILS(parse("--out x -vq"), LT_USAGE, "unknown option -vq");
}

static void ask_for_help(void) { CHECK_OK(parse("--bogus --steps nonsense -h")); }
static void show_help(void) { lt_cli_help(&command, false); }

static void help_wins_over_mistakes(void) {
    char *text = written_to(stdout, ask_for_help);
    CHECK(done && strstr(text, "usage: longtake train"));
    CHECK_OK(parse("--out x -- -h"));
    CHECK(!done && positional_count == 1);
}

/* Each run of blanks and ends of lines becomes one blank: where lines break does not matter. */
static void join_lines(char *text) {
    char *to = text;
    for (const char *at = text; *at; at++)
        if (*at != ' ' && *at != '\n') *to++ = *at;
        else if (to > text && to[-1] != ' ') *to++ = ' ';
    *to = '\0';
}

static void help_says_all_there_is_to_an_option(void) {
    char *text = written_to(stdout, show_help);
    join_lines(text);
    static const char *const parts[] = {" trains a model ",
                                        "where the run goes (required)",
                                        "sampler steps per block (1 to 1000; default 20)",
                                        "any whole number (default 5)",
                                        "learning rate (at least 0; default 0.5)",
                                        "--resume",
                                        "go on from the latest checkpoint ",
                                        "(teacher|self)",
                                        "repeatable",
                                        "-v, --verbose",
                                        "-h, --help",
                                        "default cpu",
                                        "RUN [RUN]",
                                        " longtake train --out runs/a "};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(text, parts[i])) printf("no \"%s\" in:\n%s", parts[i], text), test_bad++;
}

static void help_is_aligned_and_at_most_80_wide(void) {
    char *text = written_to(stdout, show_help);
    int column = -1, wrapped = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        CHECK(strlen(line) <= 80);
        CHECK(*line == '\0' || line[strlen(line) - 1] != ' ');
        char *help = strstr(line, "where the run goes");
        if (help) column = (int)(help - line);
        if ((help = strstr(line, "machine-readable")) || (help = strstr(line, "help on a line of its own")))
            CHECK(help - line == column);
        if (column > 0 && (int)strspn(line, " ") == column) wrapped++;
    }
    CHECK(column > 0 && wrapped >= 2); /* the long help and the long name */
}

static void show_bare_help(void) {
    lt_cli_help(&(lt_command){.name = "list", .summary = "lists things", .run = run_nothing}, false);
}

static void help_without_options_has_global_ones_only(void) {
    char *text = written_to(stdout, show_bare_help);
    CHECK(strstr(text, "usage: longtake list\n\nlists things\n\noptions of every command:\n") == text);
}

static void ignore_line(lt_log_level level, const char *line, void *user) {
    (void)level, (void)line, (void)user;
}

static void count_to_ten(void) {
    for (int64_t i = 0; i <= 10; i++) lt_progress("training", i, 10, "steps");
}
static void count_from_a_resumed_step(void) {
    lt_progress("training", 100, 110, "steps");
    lt_progress("training", 110, 110, "steps");
}
static void leave_unfinished(void) { lt_progress("walking", 1, 10, "blocks"); }
static void count_nothing(void) { lt_progress("reading", 0, 0, "clips"); }

static void progress_off_a_terminal_is_one_line_at_the_end(void) {
    char *text = written_to(stderr, count_to_ten);
    CHECK(strstr(text, "training: 10 / 10 steps, ") == text && strstr(text, "steps/s, 0:00\n"));
    CHECK(strchr(text, '\n') == text + strlen(text) - 1 && !strchr(text, '\r'));
    text = written_to(stderr, count_from_a_resumed_step);
    CHECK(strstr(text, "training: 110 / 110 steps") == text);
    text = written_to(stderr, leave_unfinished);
    CHECK(*text == '\0');
    text = written_to(stderr, count_nothing);
    CHECK(strcmp(text, "reading: 0 clips, 0:00\n") == 0);
}

static void quiet_progress_is_silent(void) {
    lt_log_init(ignore_line, NULL, LT_LOG_WARN);
    CHECK(*written_to(stderr, count_to_ten) == '\0');
    lt_log_init(NULL, NULL, LT_LOG_INFO); /* a library that nobody listens to */
    CHECK(*written_to(stderr, count_to_ten) == '\0');
    lt_log_init(ignore_line, NULL, LT_LOG_INFO);
}

static void progress_on_a_terminal_rewrites_its_line(void) {
    int reader, terminal, kept = dup(STDERR_FILENO);
    if (openpty(&reader, &terminal, NULL, NULL, NULL) != 0) {
        close(kept);
        return; /* a machine without terminals */
    }
    dup2(terminal, STDERR_FILENO);
    lt_progress("long name of what", 0, 2, "steps");
    usleep(120000); /* longer than the pause between two drawings */
    lt_progress("long name of what", 1, 2, "steps");
    lt_progress("long name of what", 2, 2, "steps");
    dup2(kept, STDERR_FILENO);
    close(kept);
    char text[1024] = "";
    size_t got = 0; /* a terminal hands on what was written in pieces, some of them late */
    struct pollfd ready = {.fd = reader, .events = POLLIN};
    while (!strchr(text, '\n') && got < sizeof text - 1 && poll(&ready, 1, 5000) > 0) {
        ssize_t n = read(reader, text + got, sizeof text - 1 - got);
        if (n <= 0) break;
        got += (size_t)n;
        text[got] = '\0';
    }
    close(reader);
    close(terminal);
    CHECK(strstr(text, "\rlong name of what: 1 / 2 steps, ") == text && strstr(text, " left\r"));
    char *last = strstr(text, "\rlong name of what: 2 / 2 steps");
    CHECK(last && strchr(last, '\n') && strchr(last, '\n')[1] == '\0');
    const size_t first = last ? (size_t)(last - text) : 0;
    CHECK(last && strcspn(last + 1, "\r\n") + 1 >= first); /* nothing of the longer line is left */
}

int main(int argc, char **argv) {
    lt_log_init(ignore_line, NULL, LT_LOG_INFO);
    RUN(the_command_line_is_kept_for_records);
    RUN(calls_share_no_values);
    RUN(both_spellings_set_values);
    RUN(defaults_stay_when_nothing_is_given);
    RUN(repeatable_options_keep_their_order);
    RUN(too_many_repetitions_are_refused);
    RUN(given_values_replace_a_default_list);
    RUN(numbers_are_numbers);
    RUN(ranges_hold_at_both_ends);
    RUN(choices_suggest_the_nearest);
    RUN(unknown_options_suggest_the_nearest);
    RUN(values_are_demanded_and_flags_take_none);
    RUN(required_options_are_demanded);
    RUN(positionals_are_collected_and_counted);
    RUN(global_options_work_in_every_command);
    RUN(help_wins_over_mistakes);
    RUN(help_says_all_there_is_to_an_option);
    RUN(help_is_aligned_and_at_most_80_wide);
    RUN(help_without_options_has_global_ones_only);
    RUN(progress_off_a_terminal_is_one_line_at_the_end);
    RUN(progress_on_a_terminal_rewrites_its_line);
    RUN(quiet_progress_is_silent);
    return test_end();
}
