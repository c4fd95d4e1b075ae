/* Every command withstands the failure of any one of its calls for files (tests/fault/inject.c): it ends with a code of
 * its own and a message that names a file, what was committed stays readable, and the same command, run again, ends as
 * if nothing had been. A call that a signal interrupts, or that transfers half, is no failure at all.
 *
 * Here a sample of the calls; LT_FAULT=all, or scripts/fault_walk.sh, tries each, LT_FAULT_PART=1/4 every fourth from
 * the first. LT_FAULT_ANY=1: the calls of libraries too. */
#include "core/rng.h"
#include "tests/testing.h"

enum { SAMPLE = 3, ARGUMENTS_MAX = 40 };

typedef struct mode {
    const char *name, *ops;
    bool absorbed; /* the command goes on as if nothing had been */
} mode;
static const mode modes[] = {
    {"EIO", "all", false},
    {"ENOSPC", "open,write,fsync,rename,close,truncate,mkdir,link,fopen,fwrite,fclose", false},
    {"EINTR", "read,write,fsync,truncate", true},
    {"short", "read,write", true}};
enum { MODES = sizeof modes / sizeof *modes };

/* All paths lie in the folder `work`, a copy of `base`. */
typedef struct scenario {
    const char *name;
    const char *const *command;
    /* what the command makes; how it is gone on with depends on whether that is there: */
    const char *product;
    const char *const *again; /* further arguments then */
    const char *check;        /* `info --check` holds as soon as this path is there */
    uint64_t (*result)(void);
} scenario;

static const char *in_work(const char *name) {
    char path[200];
    snprintf(path, sizeof path, "work/%.190s", name);
    return in_folder(path);
}

/* Arguments with what begins with '@' in the working folder. */
static int run(const char *const *command, const char *const *more) {
    static char texts[ARGUMENTS_MAX][LT_PATH_MAX];
    const char *arguments[ARGUMENTS_MAX + 1] = {NULL};
    int count = 0;
    for (int part = 0; part < 2; part++)
        for (const char *const *a = part ? more : command; a && *a && count < ARGUMENTS_MAX; a++) {
            const char *at = strchr(*a, '@');
            snprintf(texts[count], sizeof texts[count], "%.*s%s", (int)(at ? at - *a : (long)strlen(*a)), *a,
                     at ? in_work(at + 1) : "");
            arguments[count] = texts[count], count++;
        }
    return longtake_run(arguments, 0);
}

static int run_with_fault(const scenario *s, const mode *m, long n) {
    char module[LT_PATH_MAX + 16], number[24];
    snprintf(module, sizeof module, "%.*sfault.so", (int)(lt_path_base(test_program) - test_program),
             test_program);
    snprintf(number, sizeof number, "%ld", n);
    setenv("LD_PRELOAD", module, 1);
    setenv("FAULT_OPS", m->ops, 1);
    setenv("FAULT_MODE", m->name, 1);
    setenv("FAULT_N", number, 1);
    setenv("FAULT_COUNT", in_folder("count"), 1);
    if (getenv("LT_FAULT_ANY")) setenv("FAULT_ANY", "1", 1);
    remove(in_folder("count"));
    int code = run(s->command, NULL);
    unsetenv("LD_PRELOAD");
    unsetenv("FAULT_OPS");
    return code;
}

/* How many calls the latest command made, and the name of the one that failed. */
static long counted(char name[16]) {
    long calls = -1;
    FILE *file = fopen(in_folder("count"), "r");
    strcpy(name, "?");
    if (file && fscanf(file, "%ld %15s", &calls, name) != 2) calls = -1;
    if (file) fclose(file);
    return calls;
}

static void begin_anew(void) {
    CHECK_OK(lt_remove_tree(in_folder("work")));
    copy_tree(in_folder("base"), in_folder("work"));
}

/* ---- results --------------------------------------------------------------------------------------------------- */

/* Takes out what the clock says: numbers called "seconds" or "seconds_per_block". */
static size_t without_times(char *text) {
    char *to = text;
    for (const char *from = text; *from;)
        if (strncmp(from, "\"seconds", 8) == 0) from += strcspn(from, ",}\n");
        else *to++ = *from++;
    return (size_t)(to - text);
}

/* Goes on from `hash`; of a file that is missing: 0, which no command's result is. */
static uint64_t file_hash(const char *name, uint64_t hash) {
    char *text;
    size_t size;
    if (hash == 0 || lt_read_file(in_work(name), &text, &size) != LT_OK) return 0;
    if (strstr(name, ".json")) size = without_times(text);
    hash = lt_hash(text, size, hash);
    free(text);
    return hash;
}

static uint64_t dataset_hash(const char *name) {
    cJSON *info = LONGTAKE("info", in_work(name), "--json") == 0 ? parse_output() : NULL;
    const cJSON *hash = cJSON_GetObjectItemCaseSensitive(info, "hash");
    uint64_t value =
        cJSON_IsString(hash) ? lt_hash(hash->valuestring, strlen(hash->valuestring), LT_HASH_SEED) : 0;
    cJSON_Delete(info);
    return value;
}
static uint64_t ingested(void) { return dataset_hash("i.h5"); }
static uint64_t drawn(void) { return dataset_hash("s.h5"); }

/* Rows without what the clock says. */
static uint64_t rows_hash(const char *name, uint64_t hash) {
    char *text, *rest, *line;
    if (hash == 0 || lt_read_file(in_work(name), &text, NULL) != LT_OK) return 0;
    rest = text;
    while ((line = strsep(&rest, "\n")) && *line) {
        cJSON *row = NULL;
        CHECK_OK(lt_json_parse(line, strlen(line), name, LT_INPUT, &row));
        cJSON_DeleteItemFromObjectCaseSensitive(row, "seconds");
        cJSON_DeleteItemFromObjectCaseSensitive(row, "tokens_per_s");
        cJSON_DeleteItemFromObjectCaseSensitive(row, "peak_bytes");
        char *printed = cJSON_PrintUnformatted(row);
        if (printed) hash = lt_hash(printed, strlen(printed), hash);
        free(printed);
        cJSON_Delete(row);
    }
    free(text);
    return hash;
}

static uint64_t trained_in(const char *run) {
    char path[256];
    static const char *const files[] = {"model", "ema", "optimizer"};
    snprintf(path, sizeof path, "%s/metrics.jsonl", run);
    uint64_t hash = rows_hash(path, LT_HASH_SEED);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/checkpoints/latest/%s.safetensors", run, files[i]);
        hash = file_hash(path, hash);
    }
    return hash;
}
static uint64_t trained(void) { return trained_in("new"); }
static uint64_t resumed(void) { return trained_in("half"); }
static uint64_t generated(void) {
    return file_hash("v.mp4", file_hash("v.mp4.json", file_hash("v.stats.json", LT_HASH_SEED)));
}
static uint64_t ablated(void) { return file_hash("results/results.csv", LT_HASH_SEED); }
static uint64_t reported(void) { return file_hash("done/report.html", LT_HASH_SEED); }

/* ---- commands -------------------------------------------------------------------------------------------------- */

static const char fault_config[] =
    "{\"model\": {\"frame_size\": [16, 16], \"block_frames\": 1, \"layers\": 1, \"heads\": 1, \"head_dim\": "
    "16,"
    " \"caption_channels\": 16, \"text_length\": 8},"
    " \"train\": {\"batch\": 1, \"blocks\": 2, \"lr\": 2e-3, \"warmup\": 0, \"schedule\": \"constant\","
    " \"steps\": 3, \"checkpoint_every\": 1, \"validate_every\": 2, \"validate_clips\": 1},"
    " \"data\": {\"train_domains\": [\"calm\"]}}";
static const char fault_experiment[] =
    "{\"experiment\": {\"title\": \"t\", \"policies\": [\"none\", \"window\"], \"budgets\": [\"1\"], "
    "\"reads\": [\"one\"],"
    " \"clips\": 2, \"blocks\": 3, \"draws\": 4, \"reference_clips\": 1, \"video_blocks\": 0}}";

#define LIST(...)  ((const char *const[]){__VA_ARGS__, NULL})
#define TRAIN(run) "train", "--data", "@d.h5", "--out", run, "-q"

static void make_base(void) {
    CHECK_OK(lt_make_dirs(in_work("clips")));
    write_text(in_work("tiny.json"), fault_config);
    write_text(in_work("e.json"), fault_experiment);
    CHECK(run(LIST("scenes", "--out", "@d.h5", "--domain", "calm", "--clips", "9", "--frames", "16", "--size",
                   "16x16", "--role", "val=0.3", "--role", "test=0.4", "--seed", "3", "-q"),
              NULL) == 0);
    CHECK(run(LIST(TRAIN("@run"), "--config", "@tiny.json"), NULL) == 0);
    CHECK(run(LIST(TRAIN("@half"), "--config", "@tiny.json", "--steps", "2"), NULL) == 0);
    if (has_video())
        for (int i = 0; i < 2; i++)
            CHECK(run(LIST("generate", "--run", "@run", "--out", i ? "@clips/b.mp4" : "@clips/a.mp4",
                           "--blocks", "6", "--steps", "1", "--seed", i ? "1" : "2", "-q"),
                      NULL) == 0);
    CHECK(
        run(LIST("ablate", "--config", "@e.json", "--run", "@run", "--data", "@d.h5", "--out", "@done", "-q"),
            NULL) == 0);
    CHECK_OK(lt_remove_tree(in_folder("base")));
    CHECK(rename(in_folder("work"), in_folder("base")) == 0);
}

/* ---- the walk -------------------------------------------------------------------------------------------------- */

static char faulted_says[4096]; /* what the command with the fault said */

static bool complain(const scenario *s, const mode *m, long n, const char *call, const char *what) {
    printf("%s, %s at call %ld (%s): %s; it said:\n%.600s\nand the latest command, exit %d:\n%.600s\n",
           s->name, m->name, n, call, what, faulted_says, got.code, got.err);
    return false;
}

/* The command that has failed goes on, or is begun anew where it had made nothing. */
static int run_again(const scenario *s) {
    return run(s->command, s->again && lt_path_exists(in_work(s->product)) ? s->again : NULL);
}

static bool withstands(const scenario *s, const mode *m, long n, uint64_t wanted) {
    char call[16];
    begin_anew();
    int code = run_with_fault(s, m, n);
    counted(call);
    snprintf(faulted_says, sizeof faulted_says, "%s", got.err);
    if (code < 0 || code > 6 || got.timed_out) return complain(s, m, n, call, "not an exit code of its own");
    if (code != 0 && m->absorbed) return complain(s, m, n, call, "should have gone on");
    if (code != 0 && !(strstr(got.err, "longtake") && strchr(got.err, '/')))
        return complain(s, m, n, call, "no message that names a file");
    if (s->check && lt_path_exists(in_work(s->check)) &&
        LONGTAKE("info", "--check", in_work(s->product)) != 0)
        return complain(s, m, n, call, "what was committed cannot be read");
    /* Where a part is left out it is said; then the result is another until the command is run again. */
    bool whole = code == 0 && s->result() == wanted,
         said = strstr(faulted_says, "warning") && strchr(faulted_says, '/');
    if (code == 0 && !whole && (!said || m->absorbed)) return complain(s, m, n, call, "it ended otherwise");
    if (!whole && run_again(s) != 0) return complain(s, m, n, call, "running it again fails");
    if (!whole && s->result() != wanted) return complain(s, m, n, call, "run again it ends otherwise");
    return true;
}

/* Which calls are tried: each `step`th from `first`. */
typedef struct extent {
    long first, step;
    bool told;
} extent;

static extent choose(long calls, int turn) {
    const char *asked = getenv("LT_FAULT"), *part = getenv("LT_FAULT_PART");
    long step = calls < SAMPLE ? 1 : calls / SAMPLE;
    if (!asked || strcmp(asked, "all") != 0) return (extent){1 + turn * 7 % step, step, false};
    extent e = {1, 1, true};
    if (part && sscanf(part, "%ld/%ld", &e.first, &e.step) != 2)
        printf("LT_FAULT_PART=%s: expected 1/4\n", part), exit(2);
    return e;
}

static void walk(const scenario *s) {
    char call[16];
    uint64_t wanted = 0;
    for (int i = 0; i < MODES; i++) {
        begin_anew();
        CHECK(run_with_fault(s, &modes[i], 0) == 0);
        long calls = counted(call), tried = 0, failed = 0;
        uint64_t result = s->result();
        CHECK(calls > 0 && result != 0 && (i == 0 || result == wanted));
        wanted = result;
        extent e = choose(calls, i);
        for (long n = e.first; n <= calls; n += e.step)
            tried++, failed += !withstands(s, &modes[i], n, wanted);
        if (e.told)
            printf("%-9s %-7s %5ld calls, %5ld tried, %5ld failures\n", s->name, modes[i].name, calls, tried,
                   failed);
        CHECK(failed == 0);
    }
}

static void ingest_withstands_faults(void) {
    if (!has_video()) return;
    walk(&(scenario){"ingest",
                     LIST("ingest", "--out", "@i.h5", "--domain", "calm=@clips", "--size", "16x16",
                          "--min-frames", "1", "--strict", "-q"),
                     "i.h5", NULL, "i.h5", ingested});
}

static void scenes_withstands_faults(void) {
    walk(&(scenario){"scenes",
                     LIST("scenes", "--out", "@s.h5", "--domain", "calm", "--clips", "3", "--frames", "8",
                          "--size", "16x16", "-q"),
                     "s.h5", LIST("--append"), "s.h5", drawn});
}

static void train_withstands_faults(void) {
    walk(&(scenario){"train", LIST(TRAIN("@new"), "--config", "@tiny.json"), "new", LIST("--force"),
                     "new/checkpoints/latest", trained});
}

static void a_resumed_run_withstands_faults(void) {
    walk(&(scenario){"resume", LIST(TRAIN("@half"), "--resume", "--steps", "4"), "half", NULL, "half",
                     resumed});
}

static void generate_withstands_faults(void) {
    if (!has_video()) return;
    walk(&(scenario){"generate",
                     LIST("generate", "--run", "@run", "--out", "@v.mp4", "--stats", "@v.stats.json",
                          "--blocks", "2", "--steps", "1", "-q"),
                     "v.stats.json", LIST("--force"), NULL, generated});
}

static void ablate_withstands_faults(void) {
    walk(&(scenario){
        "ablate",
        LIST("ablate", "--config", "@e.json", "--run", "@run", "--data", "@d.h5", "--out", "@results", "-q"),
        "results", LIST("--resume"), "results/cells", ablated});
}

static void report_withstands_faults(void) {
    walk(&(scenario){"report", LIST("report", "@done", "-q"), "done", NULL, "done", reported});
}

int main(int argc, char **argv) {
    test_begin("0");
    make_base();
    RUN(ingest_withstands_faults);
    RUN(scenes_withstands_faults);
    RUN(train_withstands_faults);
    RUN(a_resumed_run_withstands_faults);
    RUN(generate_withstands_faults);
    RUN(ablate_withstands_faults);
    RUN(report_withstands_faults);
    return test_finish();
}
