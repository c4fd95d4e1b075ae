#include "core/config.h"
#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#include "tests/harness.h"
#include <cjson/cJSON.h>
#include <sys/stat.h>
#include <unistd.h>

static const lt_key train_keys[] = {
    {"train.steps", LT_KEY_INT, "100", 1, 1e9, .help = "optimizer steps"},
    {"train.lr", LT_KEY_FLOAT, "0.1", 0, 1, .help = "peak learning rate"},
    {"train.resume", LT_KEY_BOOL, "false", .help = "go on"},
    {"train.stage", LT_KEY_STRING, "\"joint\"", .choices = "denoiser|scorer|joint",
     .help = "what is trained"},
    {"train.seed", LT_KEY_INT, "0", .help = "seed"},
    {"train.note", LT_KEY_STRING, "\"\"", .help = "free text"},
    {"train.adam.betas", LT_KEY_FLOATS, "[0.9, 0.999]", 0, 1, .help = "decay of the moments"},
    {NULL}};
static const lt_key data_keys[] = {
    {"data.domains", LT_KEY_STRINGS, "[\"calm\"]", .choices = "calm|dynamic|real", .help = "what is read"},
    {"data.patch", LT_KEY_INTS, "[1, 2, 2]", 1, 8, .help = "frames, rows, columns"},
    {"data.mix", LT_KEY_JSON, "null", .help = "anything"},
    {"data.path", LT_KEY_STRING, NULL, .help = "the dataset"},
    {NULL}};

static char folder[TEST_FOLDER];

static void write_file(const char *name, const char *text) {
    char path[LT_PATH_MAX];
    CHECK_OK(lt_path_join(path, folder, name));
    CHECK_OK(lt_write_file(path, text, strlen(text)));
}

static lt_status load(const char *name, lt_config **out) {
    char path[LT_PATH_MAX];
    *out = NULL;
    LT_TRY(lt_path_join(path, folder, name));
    return lt_config_load(path, NULL, 0, out);
}

static lt_status parse(const char *text, lt_config **out) {
    return lt_config_parse(text, "memory", NULL, 0, out);
}

/* Parses text that must be refused. */
static lt_status refuse(const char *text) {
    lt_config *config;
    lt_status status = parse(text, &config);
    CHECK(config == NULL);
    lt_config_free(config);
    return status;
}

/* {"data": {"path": "x"}} with these overrides. */
static lt_status set2(const char *first, const char *second, lt_config **out) {
    const char *overrides[] = {first, second};
    return lt_config_parse("{\"data\": {\"path\": \"x\"}}", "memory", overrides, 2, out);
}

static lt_status refuse_set(const char *text) {
    lt_config *config;
    lt_status status = set2(text, "train.steps=1", &config);
    lt_config_free(config);
    return status;
}

static void defaults_fill_what_is_not_given(void) {
    lt_config *c;
    CHECK_OK(parse("{\"data\": {\"path\": \"d.h5\"}, \"train\": {\"lr\": 1e-3}}", &c));
    CHECK(lt_config_int(c, "train.steps") == 100 && !lt_config_bool(c, "train.resume"));
    CHECK_NEAR(lt_config_float(c, "train.lr"), 1e-3, 0);
    CHECK(!strcmp(lt_config_string(c, "train.stage"), "joint") &&
          !strcmp(lt_config_string(c, "data.path"), "d.h5"));
    CHECK(lt_config_count(c, "data.patch") == 3 && lt_config_int_at(c, "data.patch", 1) == 2);
    CHECK_NEAR(lt_config_float_at(c, "train.adam.betas", 1), 0.999, 0);
    CHECK(!strcmp(lt_config_string_at(c, "data.domains", 0), "calm") && !lt_config_json(c, "data.mix"));
    lt_config_free(c);
}

static void a_required_key_must_be_given(void) {
    CHECK_FAILS(refuse("{}"), LT_USAGE, "data.path is missing");
}

static void unknown_keys_name_the_nearest(void) {
    CHECK_FAILS(refuse("{\"train\": {\"step\": 3}}"), LT_USAGE,
                "memory: unknown key \"train.step\"; did you mean \"train.steps\"");
    CHECK_FAILS(refuse("{\"lr\": 3}"), LT_USAGE, "did you mean \"train.lr\"");
    CHECK_FAILS(refuse("{\"tarin\": {\"lr\": 3}}"), LT_USAGE, "unknown key \"tarin\"");
    CHECK_FAILS(refuse("{\"quite_something_else\": 3}"), LT_USAGE, "help config");
    CHECK_FAILS(refuse("{\"train.lr\": 0.5}"), LT_USAGE, "nested objects");
    CHECK_FAILS(refuse("{\"train\": 5}"), LT_USAGE, "\"train\" is a group");
    CHECK_FAILS(refuse("{\"train\": {\"lr\": {\"x\": 1}}}"), LT_USAGE,
                "train.lr is an object; expected a number");
    CHECK_FAILS(refuse("{\"\": 1}"), LT_USAGE, "unknown key \"\"");
}

static void wrong_values_say_what_is_expected(void) {
    CHECK_FAILS(refuse("{\"train\": {\"steps\": \"many\"}}"), LT_USAGE,
                "train.steps is \"many\"; expected an integer");
    CHECK_FAILS(refuse("{\"train\": {\"steps\": 2.5}}"), LT_USAGE, "expected an integer");
    CHECK_FAILS(refuse("{\"train\": {\"steps\": 0}}"), LT_USAGE, "expected 1 to 1000000000");
    CHECK_FAILS(refuse("{\"train\": {\"steps\": null}}"), LT_USAGE, "is null");
    CHECK_FAILS(refuse("{\"train\": {\"lr\": -0.1}}"), LT_USAGE, "train.lr is -0.1; expected 0 to 1");
    CHECK_FAILS(refuse("{\"train\": {\"lr\": true}}"), LT_USAGE, "is true; expected a number");
    CHECK_FAILS(refuse("{\"train\": {\"resume\": 1}}"), LT_USAGE, "expected true or false");
    CHECK_FAILS(refuse("{\"train\": {\"stage\": \"scorrer\"}}"), LT_USAGE, "did you mean \"scorer\"");
    CHECK_FAILS(refuse("{\"train\": {\"note\": 3}}"), LT_USAGE, "expected a string");
    CHECK_FAILS(refuse("{\"train\": {\"seed\": 9007199254740993}}"), LT_USAGE, "lose digits");
    CHECK_FAILS(refuse("{\"data\": {\"patch\": 3}}"), LT_USAGE, "expected an array");
    CHECK_FAILS(refuse("{\"data\": {\"patch\": [1, 9]}}"), LT_USAGE, "data.patch is 9; expected 1 to 8");
    CHECK_FAILS(refuse("{\"data\": {\"domains\": [\"calm\", \"dynamc\"]}}"), LT_USAGE,
                "did you mean \"dynamic\"");
}

static void syntax_errors_name_line_and_column(void) {
    CHECK_FAILS(refuse("{\n  \"train\": {\n    \"lr\": ,\n"), LT_USAGE, "memory:3:11");
    CHECK_FAILS(refuse("{\"a\": 1} x"), LT_USAGE, "memory:1:10");
    CHECK_FAILS(refuse(""), LT_USAGE, "memory:1:1");
    CHECK_FAILS(refuse("{\"train\": {\"lr\": 01}}"), LT_USAGE, "memory:1:18: not a JSON number");
    CHECK_FAILS(refuse("{\"train\": {\"lr\": 1.}}"), LT_USAGE, "not a JSON number");
    CHECK_FAILS(refuse("{\"train\": {\"lr\": NaN}}"), LT_USAGE, "memory:1:18");
    CHECK_FAILS(refuse("{\"train\": {\"lr\": 1e999}}"), LT_USAGE, "the number of lr is too large");
    CHECK_FAILS(refuse("{\"train\": {\"note\": \"a\nb\"}}"), LT_USAGE, "control character");
    CHECK_FAILS(refuse("{\"train\": {\"note\": \"abc\\"), LT_USAGE, "closing quote");
    CHECK_FAILS(refuse("{\"train\": {\"note\": \"a\\u0000\"}}"), LT_USAGE, "\\u0000");
    CHECK_FAILS(refuse("{\"train\": {\"note\": \"\xff\"}}"), LT_USAGE, "UTF-8");
    CHECK_FAILS(refuse("{\"train\":\x01 {}}"), LT_USAGE, "control character");
    CHECK_FAILS(refuse("[1]"), LT_USAGE, "one JSON object");
    CHECK_FAILS(refuse("{// no\n}"), LT_USAGE, "memory:1:3: syntax error");
}

static void a_name_twice_in_one_object_is_refused(void) {
    CHECK_FAILS(refuse("{\"train\": {\"lr\": 0.1, \"steps\": 3, \"lr\": 0.2}}"), LT_USAGE,
                "\"lr\" appears twice");
    CHECK_FAILS(refuse("{\"data\": {\"mix\": [{\"a\": 1, \"a\": 1}]}}"), LT_USAGE, "\"a\" appears twice");
}

static void comments_are_dropped_at_any_level(void) {
    lt_config *c;
    CHECK_OK(parse("{\"comment\": [1], \"comment\": 2, \"data\": {\"comment\": {}, \"path\": \"x\","
                   "\"mix\": {\"comment\": 1, \"a\": [{\"comment\": 5, \"b\": 2}]}}}",
                   &c));
    char *text = lt_config_print(c);
    CHECK(!strstr(text, "comment") && strstr(text, "\"b\": 2"));
    free(text);
    lt_config_free(c);
}

static void files_extend_each_other_key_by_key(void) {
    lt_config *c;
    CHECK_OK(lt_make_dirs(folder));
    write_file("base.json", "{\"train\": {\"lr\": 0.5, \"steps\": 7}, \"data\": {\"path\": \"base\", "
                            "\"patch\": [4, 4], \"mix\": {\"a\": 1}}}");
    write_file("other.json", "{\"train\": {\"steps\": 8, \"note\": \"other\"}}");
    write_file("top.json", "{\"extends\": [\"base.json\", \"other.json\"], \"train\": {\"lr\": 0.25}, "
                           "\"data\": {\"mix\": {\"b\": 2}, \"patch\": [2]}}");
    CHECK_OK(load("top.json", &c));
    CHECK_NEAR(lt_config_float(c, "train.lr"), 0.25, 0);
    CHECK(lt_config_int(c, "train.steps") == 8 && !strcmp(lt_config_string(c, "train.note"), "other"));
    CHECK(!strcmp(lt_config_string(c, "data.path"), "base") && lt_config_count(c, "data.patch") == 1);
    const cJSON *mix = lt_config_json(c, "data.mix");
    CHECK(cJSON_GetObjectItem(mix, "b") && !cJSON_GetObjectItem(mix, "a"));
    lt_config_free(c);
}

static void errors_name_the_file_that_holds_them(void) {
    lt_config *c;
    write_file("bad.json", "{\"train\": {\"lr\": 7}}");
    write_file("good.json", "{\"extends\": \"bad.json\", \"data\": {\"path\": \"x\"}}");
    CHECK_FAILS(load("good.json", &c), LT_USAGE, "bad.json: train.lr is 7");
    CHECK_FAILS(load("missing.json", &c), LT_USAGE, "neither a file nor a preset");
    write_file("lost.json", "{\"extends\": \"nowhere\"}");
    CHECK_FAILS(load("lost.json", &c), LT_USAGE, "lost.json extends \"nowhere\"");
    write_file("odd.json", "{\"extends\": 3}");
    CHECK_FAILS(load("odd.json", &c), LT_USAGE, "\"extends\" must be");
}

static void cycles_are_found_and_diamonds_are_not_cycles(void) {
    lt_config *c;
    write_file("a.json", "{\"extends\": \"b.json\"}");
    write_file("b.json", "{\"extends\": \"a.json\"}");
    CHECK_FAILS(load("a.json", &c), LT_USAGE, "extends itself");
    write_file("self.json", "{\"extends\": \"./self.json\"}");
    CHECK_FAILS(load("self.json", &c), LT_USAGE, "extends itself");
    write_file("root.json", "{\"data\": {\"path\": \"x\"}}");
    write_file("left.json", "{\"extends\": \"root.json\"}");
    write_file("right.json", "{\"extends\": \"root.json\"}");
    write_file("diamond.json", "{\"extends\": [\"left.json\", \"right.json\"]}");
    CHECK_OK(load("diamond.json", &c));
    lt_config_free(c);
}

static void a_cycle_is_named_and_long_chains_end(void) {
    lt_config *c;
    char name[32], text[96];
    write_file("p.json", "{\"extends\": \"q.json\"}");
    write_file("q.json", "{\"extends\": \"r.json\"}");
    write_file("r.json", "{\"extends\": \"q.json\"}");
    CHECK_FAILS(load("p.json", &c), LT_USAGE, "(q.json -> r.json -> q.json)");
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "c%d.json", i);
        snprintf(text, sizeof text, "{\"extends\": \"c%d.json\"}", i + 1);
        write_file(name, text);
    }
    write_file("c2000.json", "{\"data\": {\"path\": \"x\"}}");
    CHECK_FAILS(load("c0.json", &c), LT_USAGE, "more than 32 configurations");
    CHECK_OK(load("c1969.json", &c)); /* the 32nd from the end */
    lt_config_free(c);
}

/* 2^24 ways lead from the top to the bottom, and later ones win with all that they extend. */
static void a_file_that_many_extend_is_read_once(void) {
    lt_config *c;
    char name[32], text[128];
    write_file("d24.json", "{\"train\": {\"steps\": 5}, \"data\": {\"path\": \"x\"}}");
    for (int i = 0; i < 24; i++) {
        snprintf(name, sizeof name, "d%d.json", i);
        snprintf(text, sizeof text, "{\"extends\": [\"d%d.json\", \"d%d.json\"]}", i + 1, i + 1);
        write_file(name, text);
    }
    double start = lt_seconds();
    CHECK_OK(load("d0.json", &c));
    CHECK(lt_seconds() - start < 2 && lt_config_int(c, "train.steps") == 5);
    lt_config_free(c);
    write_file("changed.json", "{\"extends\": \"d24.json\", \"train\": {\"steps\": 6}}");
    write_file("plain.json", "{\"extends\": \"d24.json\"}");
    write_file("both.json", "{\"extends\": [\"changed.json\", \"plain.json\"]}");
    CHECK_OK(load("both.json", &c));
    CHECK(lt_config_int(c, "train.steps") == 5);
    lt_config_free(c);
}

static void what_is_no_file_of_a_likely_size_is_not_read(void) {
    lt_config *c;
    char pipe[LT_PATH_MAX], large[LT_PATH_MAX];
    CHECK_OK(lt_path_join(pipe, folder, "pipe.json"));
    CHECK_OK(lt_path_join(large, folder, "large.json"));
    CHECK(mkfifo(pipe, 0600) == 0);
    CHECK_FAILS(lt_config_load(pipe, NULL, 0, &c), LT_USAGE, "pipe.json: expected a file");
    CHECK_FAILS(lt_config_load("/dev/zero", NULL, 0, &c), LT_USAGE, "expected a file");
    write_file("large.json", "{}");
    CHECK(truncate(large, (off_t)1 << 40) == 0);
    CHECK_FAILS(lt_config_load(large, NULL, 0, &c), LT_USAGE, "at most");
}

static void deep_nesting_is_refused(void) {
    lt_config *c;
    enum { DEEP = 1000 };
    char text[DEEP * 8] = "{\"data\": {\"mix\": ";
    for (int i = 0; i < DEEP; i++) strcat(text, "[");
    CHECK_FAILS(lt_config_parse(text, "deep", NULL, 0, &c), LT_USAGE, "levels");
}

static void presets_are_found_by_name(void) {
    lt_config *c;
    char path[LT_PATH_MAX], sub[LT_PATH_MAX];
    setenv("LONGTAKE_CONFIGS", folder, 1);
    CHECK_OK(lt_path_join(sub, folder, "model"));
    CHECK_OK(lt_make_dirs(sub));
    write_file("model/tiny.json", "{\"train\": {\"steps\": 9}}");
    write_file("run.json", "{\"extends\": \"model/tiny\", \"data\": {\"path\": \"x\"}}");
    CHECK_OK(lt_config_load("run", NULL, 0, &c));
    CHECK(lt_config_int(c, "train.steps") == 9);
    lt_config_free(c);
    CHECK_FAILS(lt_config_find("model/tinny", path, sizeof path), LT_USAGE, "did you mean \"model/tiny\"");
    CHECK_FAILS(lt_config_find("", path, sizeof path), LT_USAGE, "not the name");
    CHECK_FAILS(lt_config_find("model", path, sizeof path), LT_USAGE, "neither"); /* a folder */
    unsetenv("LONGTAKE_CONFIGS");
}

static void overrides_win_and_take_plain_text(void) {
    lt_config *c;
    CHECK_OK(set2("train.lr=0.5", "train.lr=2e-1", &c));
    CHECK_NEAR(lt_config_float(c, "train.lr"), 0.2, 0);
    lt_config_free(c);
    CHECK_OK(set2("train.stage=scorer", "train.note=12", &c));
    CHECK(!strcmp(lt_config_string(c, "train.stage"), "scorer") &&
          !strcmp(lt_config_string(c, "train.note"), "12"));
    lt_config_free(c);
    CHECK_OK(set2("train.note=\"a = b\"", "data.domains=calm,dynamic", &c));
    CHECK(!strcmp(lt_config_string(c, "train.note"), "a = b") && lt_config_count(c, "data.domains") == 2);
    CHECK(!strcmp(lt_config_string_at(c, "data.domains", 1), "dynamic"));
    lt_config_free(c);
    CHECK_OK(set2("data.patch=4,8,8", "train.adam.betas=[0.5]", &c));
    CHECK(lt_config_count(c, "data.patch") == 3 && lt_config_int_at(c, "data.patch", 2) == 8);
    CHECK(lt_config_count(c, "train.adam.betas") == 1);
    lt_config_free(c);
    CHECK_OK(
        set2("train={\"lr\": 0.75, \"steps\": 5}", "data.mix={\"deep\": {\"er\": 1}, \"comment\": 1}", &c));
    CHECK(lt_config_int(c, "train.steps") == 5);
    CHECK_NEAR(lt_config_float(c, "train.lr"), 0.75, 0);
    CHECK(cJSON_GetArraySize(lt_config_json(c, "data.mix")) == 1);
    lt_config_free(c);
}

static void wrong_overrides_are_refused(void) {
    CHECK_FAILS(refuse_set("train.lrr=1"), LT_USAGE,
                "--set train.lrr=1: unknown key \"train.lrr\"; did you mean \"train.lr\"");
    CHECK_FAILS(refuse_set("train.lr"), LT_USAGE, "expected key=value");
    CHECK_FAILS(refuse_set("=1"), LT_USAGE, "expected key=value");
    CHECK_FAILS(refuse_set("train.lr=nan"), LT_USAGE, "train.lr is \"nan\"; expected a number");
    CHECK_FAILS(refuse_set("train.lr=1e400"), LT_USAGE, "expected a number");
    CHECK_FAILS(refuse_set("train.steps="), LT_USAGE, "expected an integer");
    CHECK_FAILS(refuse_set("train=3"), LT_USAGE, "is a group");
    CHECK_FAILS(refuse_set("data.patch=a,b"), LT_USAGE, "expected an array");
    CHECK_FAILS(refuse_set("data.domains=calm,x"), LT_USAGE, "expected one of");
    CHECK_FAILS(refuse_set("train.note=\xc3"), LT_USAGE, "UTF-8");
}

static void printing_and_reading_again_changes_nothing(void) {
    lt_config *c, *again;
    CHECK_OK(parse("{\"data\": {\"path\": \"a\\\"b\\\\c\\n\\u0001\\u00e9\\ud83d\\ude00\", \"mix\": [1, -0.1, "
                   "1e300, {\"x\": [], \"y\": {}, \"z\": [[null, true]]}]},"
                   "\"train\": {\"lr\": 0.30000000000000004, \"seed\": -9007199254740991, \"adam\": "
                   "{\"betas\": [0.1, 5e-324, 0.333333333333333314]}}}",
                   &c));
    char *text = lt_config_print(c);
    CHECK_OK(parse(text, &again));
    char *text2 = lt_config_print(again);
    CHECK(!strcmp(text, text2) && lt_config_hash(c) == lt_config_hash(again));
    CHECK(lt_config_float(again, "train.lr") == 0.30000000000000004 &&
          lt_config_int(again, "train.seed") == -9007199254740991);
    CHECK(lt_config_float_at(again, "train.adam.betas", 1) == 5e-324);
    CHECK(!strcmp(lt_config_string(again, "data.path"), "a\"b\\c\n\001\xc3\xa9\xf0\x9f\x98\x80"));
    CHECK(strstr(text, "\"steps\": 100,") && strstr(text, "\"lr\": 0.30000000000000004,") &&
          strstr(text, "[0.1, 4.94065645841247e-324,"));
    CHECK(strstr(text, "steps") < strstr(text, "lr") && strstr(text, "\"train\"") < strstr(text, "\"data\""));
    lt_config_free(again);
    CHECK_OK(set2("train.steps=101", "train.lr=0.1", &again));
    CHECK(lt_config_hash(c) != lt_config_hash(again));
    char path[LT_PATH_MAX], *saved;
    size_t size;
    CHECK_OK(lt_path_join(path, folder, "saved.json"));
    CHECK_OK(lt_config_save(c, path));
    CHECK_OK(lt_read_file(path, &saved, &size));
    CHECK(!strcmp(saved, text));
    free(saved), free(text), free(text2);
    lt_config_free(c), lt_config_free(again);
}

static int complaints;
static void count_complaints(lt_log_level level, const char *line, void *user) {
    (void)user;
    complaints += level == LT_LOG_ERROR && strstr(line, "config:");
}

static void asking_wrongly_gives_zero_and_one_complaint(void) {
    lt_config *c;
    CHECK_OK(parse("{\"data\": {\"path\": \"x\"}}", &c));
    lt_log_init(count_complaints, NULL, LT_LOG_ERROR);
    CHECK(lt_config_int(c, "no.such") == 0 && lt_config_int(c, "train.lr") == 0 &&
          !lt_config_bool(c, "train.lr"));
    CHECK(!*lt_config_string(c, "train.lr") && lt_config_count(c, "train.lr") == 0 &&
          lt_config_float(c, "train.steps") == 0);
    CHECK(lt_config_int_at(c, "data.patch", 9) == 0 && lt_config_json(c, "x") == NULL);
    CHECK(complaints == 1);
    lt_config_free(c);
}

static void bad_tables_are_refused_at_registration(void) {
    static const lt_key again[] = {{"train.lr", LT_KEY_INT, "1", .help = "taken"}, {NULL}};
    static const lt_key group[] = {{"train.adam", LT_KEY_INT, "1", .help = "a group"}, {NULL}};
    lt_log_init(count_complaints, NULL, LT_LOG_ERROR);
    const int before = complaints;
    lt_config_register("other", again);
    lt_config_register("other", group);
    CHECK(complaints == before + 2);
    lt_config_register("train", train_keys); /* twice is fine */
    CHECK(complaints == before + 2);
}

static void count_keys(const char *room, const lt_key *key, void *user) {
    *(int *)user += !strcmp(room, "data") && key->help != NULL;
}

static void each_key_is_visited_once(void) {
    int seen = 0;
    lt_config_each_key(count_keys, &seen);
    CHECK(seen == 4);
}

static void nearest_finds_slips_and_no_strangers(void) {
    static const char *const names[] = {"window", "sink", "random", "keep-all", "lr"};
    CHECK(lt_nearest("windwo", names, 5) == names[0] && lt_nearest("SINK", names, 5) == names[1]);
    CHECK(lt_nearest("keepall", names, 5) == names[3] && lt_nearest("lrr", names, 5) == names[4]);
    CHECK(!lt_nearest("x", names, 5) && !lt_nearest("elephant", names, 5) && !lt_nearest("", names, 5) &&
          !lt_nearest("window", names, 0));
    char very_long[400];
    memset(very_long, 'a', sizeof very_long);
    very_long[399] = 0;
    CHECK(!lt_nearest(very_long, names, 5));
}

static void utf8_is_told_from_other_bytes(void) {
    static const char *const good[] = {
        "", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc3",
                                      "\xc0\xaf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xe2\x82",
                                      "\xc3\x28"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK(lt_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!lt_utf8_valid(bad[i], strlen(bad[i])));
}

static void a_byte_order_mark_before_json_is_no_error(void) {
    cJSON *value = NULL;
    CHECK_OK(lt_json_parse("\xef\xbb\xbf{\"a\": 1}", 11, "c.json", LT_USAGE, &value));
    CHECK(cJSON_GetObjectItem(value, "a") != NULL);
    cJSON_Delete(value);
}

static void damaged_text_never_crashes(void) {
    static const char text[] = "{\"train\": {\"lr\": 0.5, \"note\": \"\\u00e9\\n\", \"adam\": {\"betas\": "
                               "[1, 0]}}, \"data\": {\"path\": \"x\"}}";
    int refused = 0;
    for (size_t at = 0; at < sizeof text - 1; at++)
        for (int bit = 0; bit <= 8; bit++) {
            char damaged[sizeof text];
            lt_config *c;
            memcpy(damaged, text, sizeof text);
            damaged[at] =
                bit == 8 ? 0 : (char)(damaged[at] ^ (1 << bit)); /* a flipped bit, or cut off here */
            refused += parse(damaged, &c) != LT_OK;
            lt_config_free(c);
        }
    CHECK(refused > 500);
}

int main(int argc, char **argv) {
    lt_config_register("train", train_keys);
    lt_config_register("data", data_keys);
    test_make_folder("lt_test_config", folder);
    RUN(defaults_fill_what_is_not_given);
    RUN(a_required_key_must_be_given);
    RUN(unknown_keys_name_the_nearest);
    RUN(wrong_values_say_what_is_expected);
    RUN(syntax_errors_name_line_and_column);
    RUN(a_name_twice_in_one_object_is_refused);
    RUN(comments_are_dropped_at_any_level);
    RUN(files_extend_each_other_key_by_key);
    RUN(errors_name_the_file_that_holds_them);
    RUN(cycles_are_found_and_diamonds_are_not_cycles);
    RUN(a_cycle_is_named_and_long_chains_end);
    RUN(a_file_that_many_extend_is_read_once);
    RUN(what_is_no_file_of_a_likely_size_is_not_read);
    RUN(deep_nesting_is_refused);
    RUN(presets_are_found_by_name);
    RUN(overrides_win_and_take_plain_text);
    RUN(wrong_overrides_are_refused);
    RUN(printing_and_reading_again_changes_nothing);
    RUN(asking_wrongly_gives_zero_and_one_complaint);
    RUN(bad_tables_are_refused_at_registration);
    RUN(each_key_is_visited_once);
    RUN(nearest_finds_slips_and_no_strangers);
    RUN(utf8_is_told_from_other_bytes);
    RUN(a_byte_order_mark_before_json_is_no_error);
    RUN(damaged_text_never_crashes);
    if (lt_remove_tree(folder) != LT_OK) return 1;
    return test_end();
}
