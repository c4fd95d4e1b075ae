/* Policies and budgets as text. */
#include "model/cache/spec.h"
#include "tests/harness.h"

#include <dirent.h>

static void text_of_a_spec_parses_to_the_same_spec(void) {
    const char *texts[] = {
        "keep-all",
        "none",
        "window",
        "window:protect=0,scope=model,granularity=frame",
        "sink:n=3,consolidate=ema,alpha=0.1,read=content,protect=2",
        "random",
        "random:mode=uniform,consolidate=decay,gamma=0.30000000000000004",
        "key-norm:keep=small,consolidate=nearest",
        "read-mass:read=age,consolidate=sum,granularity=tile",
        "learned:scope=model",
        "keep-all:consolidate=decay,gamma=0.95",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lt_cache_spec a, b;
        char first[LT_SPEC_TEXT], second[LT_SPEC_TEXT];
        CHECK_OK(lt_cache_spec_parse(texts[i], 5, &a));
        lt_cache_spec_text(&a, first, sizeof first);
        CHECK_OK(lt_cache_spec_parse(first, a.budget, &b));
        CHECK(strcmp(first, lt_cache_spec_text(&b, second, sizeof second)) == 0);
        CHECK(a.policy == b.policy && a.budget == b.budget && a.consolidate == b.consolidate &&
              a.alpha == b.alpha && a.gamma == b.gamma && a.scope == b.scope && a.read == b.read &&
              a.granularity == b.granularity && a.protect == b.protect &&
              memcmp(a.params, b.params, sizeof a.params) == 0);
    }
}

static void every_value_reaches_its_field(void) {
    lt_cache_spec s;
    CHECK_OK(lt_cache_spec_parse(
        "sink:n=3,consolidate=ema,alpha=0.25,scope=model,read=age,granularity=tile,protect=4", 9, &s));
    CHECK(s.policy == lt_policy_find("sink") && s.params[0] == 3 && s.budget == 9);
    CHECK(s.consolidate == LT_EMA && s.alpha == 0.25 && s.scope == LT_SCOPE_MODEL && s.read == LT_READ_AGE);
    CHECK(s.granularity == LT_GRAIN_TILE && s.protect == 4);
    char text[LT_SPEC_TEXT];
    CHECK(strcmp(lt_cache_spec_text(&s, text, sizeof text),
                 "sink:n=3,consolidate=ema,alpha=0.25,scope=model,read=age,granularity=tile,protect=4") == 0);
    CHECK_OK(lt_cache_spec_parse("random:mode=uniform", 1, &s));
    CHECK(s.params[0] == 1);
}

static void defaults_are_those_of_the_row(void) {
    lt_cache_spec s;
    CHECK_OK(lt_cache_spec_parse("keep-all", 40, &s));
    CHECK(s.budget == 1 && s.consolidate == LT_SUM && s.protect == 1 && s.read == LT_READ_ONE);
    CHECK_OK(lt_cache_spec_parse("none", 40, &s));
    CHECK(s.budget == 0 && s.consolidate == LT_DROP);
    CHECK_OK(lt_cache_spec_parse("sink", 40, &s));
    CHECK(s.budget == 40 && s.consolidate == LT_DROP && s.params[0] == 1 && s.scope == LT_SCOPE_LAYER);
}

static void wrong_text_is_refused_with_the_nearest_word(void) {
    lt_cache_spec s;
    const char *cases[][2] = {
        {"windw", "did you mean \"window\""},
        {"", "there is no policy"},
        {"lru", "list policies"},
        {"sink:m=1", "policy sink has no \"m\""},
        {"window:consolidat=sum", "did you mean \"consolidate\""},
        {"window:n=1", "policy window has no \"n\""},
        {"window:consolidate=sums", "did you mean \"sum\""},
        {"window:consolidate=zzz", "expected one of drop, sum, ema, nearest, decay"},
        {"random:mode=uniforms", "did you mean \"uniform\""},
        {"random:mode=0", "expected one of reservoir, uniform"},
        {"sink:n=0", "a whole number from 1 to 1048576"},
        {"sink:n=1.5", "a whole number from 1"},
        {"sink:n=2x", "a whole number from 1"},
        {"sink:n=nan", "a whole number from 1"},
        {"sink:n=1,n=2", "given twice"},
        {"sink:n", "expected name=value"},
        {"sink:n=", "expected name=value"},
        {"sink:", "expected name=value"},
        {"sink:n=1,", "expected name=value"},
        {"window:protect=-1", "from 0"},
        {"window:alpha=0.5", "belongs to consolidate=ema"},
        {"window:consolidate=ema,gamma=0.5", "belongs to consolidate=decay"},
        {"window:consolidate=ema,alpha=1.5", "from 0 to 1"},
        {"keep-all:consolidate=drop", "drops nothing"},
        {"none:consolidate=sum", "keeps nothing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_FAILS(lt_cache_spec_parse(cases[i][0], 3, &s), LT_USAGE, cases[i][1]);
    CHECK_FAILS(lt_cache_spec_parse("window", -1, &s), LT_USAGE, "budget of -1");
    char longest[2 * LT_SPEC_TEXT];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = 0;
    CHECK_FAILS(lt_cache_spec_parse(longest, 3, &s), LT_USAGE, "characters");
}

/* What `longtake list policies` says of the keys is what is parsed: every word is taken, and what is the default
 * changes nothing. */
static void keys_are_listed_as_they_are_parsed(void) {
    const lt_spec_key *key;
    int count = 0;
    lt_cache_spec plain, s;
    char text[128], resolved[LT_SPEC_TEXT], expected[LT_SPEC_TEXT];
    CHECK_OK(lt_cache_spec_parse("window", 3, &plain));
    lt_cache_spec_text(&plain, expected, sizeof expected);
    for (; (key = lt_spec_key_at(count)); count++) {
        CHECK(strlen(key->help) > 5 && (key->words == NULL) == (key->meanings == NULL));
        for (int i = 0; i < key->word_count; i++) {
            snprintf(text, sizeof text, "window:%s=%s", key->name, key->words[i]);
            CHECK_OK(lt_cache_spec_parse(text, 3, &s));
            CHECK(strlen(key->meanings[i]) > 5);
            bool preset = key->preset_text ? strcmp(key->words[i], key->preset_text) == 0 : i == 0;
            CHECK(preset == (strcmp(lt_cache_spec_text(&s, resolved, sizeof resolved), expected) == 0));
        }
        if (key->words) continue;
        const char *rule = strcmp(key->name, "alpha") == 0   ? "consolidate=ema,"
                           : strcmp(key->name, "gamma") == 0 ? "consolidate=decay,"
                                                             : "";
        snprintf(text, sizeof text, "window:%s%s=%.15g", rule, key->name, key->max);
        CHECK_OK(lt_cache_spec_parse(text, 3, &s));
        snprintf(text, sizeof text, "window:%s%s=%.15g", rule, key->name, key->max + 1);
        CHECK_FAILS(lt_cache_spec_parse(text, 3, &s), LT_USAGE, key->name);
    }
    CHECK(count == 7 && lt_spec_key_at(-1) == NULL);
}

static void budgets_are_slots_bytes_or_shares(void) {
    int slots;
    CHECK(lt_budget_parse("3", 100, 8, &slots) == LT_OK && slots == 3);
    CHECK(lt_budget_parse("0", 100, 8, &slots) == LT_OK && slots == 0);
    CHECK(lt_budget_parse("1KiB", 100, 8, &slots) == LT_OK && slots == 10);
    CHECK(lt_budget_parse("60MiB", 20 << 20, 8, &slots) == LT_OK && slots == 3);
    CHECK(lt_budget_parse("25%", 100, 8, &slots) == LT_OK && slots == 2);
    CHECK(lt_budget_parse("1%", 100, 8, &slots) == LT_OK && slots == 1);
    CHECK(lt_budget_parse("100%", 100, 8, &slots) == LT_OK && slots == 8);
    CHECK_FAILS(lt_budget_parse("99B", 100, 8, &slots), LT_USAGE, "0 slots; one takes 100 B");
    CHECK_FAILS(lt_budget_parse("101%", 100, 8, &slots), LT_USAGE, "at most 100%");
    CHECK_FAILS(lt_budget_parse("0%", 100, 8, &slots), LT_USAGE, "more than 0%");
    CHECK_FAILS(lt_budget_parse("-1", 100, 8, &slots), LT_USAGE, "0 or more");
    CHECK_FAILS(lt_budget_parse("2.5", 100, 8, &slots), LT_USAGE, "whole number");
    CHECK_FAILS(lt_budget_parse("many", 100, 8, &slots), LT_USAGE, "a share (25%)");
    CHECK_FAILS(lt_budget_parse("3 slots", 100, 8, &slots), LT_USAGE, "not a size in bytes");
    CHECK_FAILS(lt_budget_parse("1KiB", 0, 8, &slots), LT_USAGE, "bytes say nothing");
}

static void rows_are_complete(void) {
    int count = 0;
    for (const lt_policy *p; (p = lt_policy_at(count)); count++) {
        CHECK(lt_policy_find(p->name) == p && p->score && strlen(p->help) > 20 && p->consolidate);
        for (int i = 0; i < LT_POLICY_PARAMS && p->params[i].name; i++)
            CHECK(p->params[i].min <= p->params[i].preset && p->params[i].preset <= p->params[i].max);
    }
    CHECK(count >= 8 && lt_policy_at(-1) == NULL);
}

static void a_policy_is_a_file_of_fewer_than_60_lines(void) {
    const char *folder = LT_SOURCE_DIR "/model/cache/policy";
    DIR *dir = opendir(folder);
    CHECK(dir);
    int files = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char path[1024];
        int lines = 0;
        if (!strstr(e->d_name, ".c") || strncmp(e->d_name, "test", 4) == 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        FILE *file = fopen(path, "r");
        for (int c; file && (c = fgetc(file)) != EOF;) lines += c == '\n';
        if (file) fclose(file);
        files++;
        CHECK(lines > 5 && lines < 60);
    }
    if (dir) closedir(dir);
    int rows = 0;
    while (lt_policy_at(rows)) rows++;
    CHECK(files == rows && rows >= 8);
}

int main(int argc, char **argv) {
    RUN(text_of_a_spec_parses_to_the_same_spec);
    RUN(every_value_reaches_its_field);
    RUN(defaults_are_those_of_the_row);
    RUN(wrong_text_is_refused_with_the_nearest_word);
    RUN(keys_are_listed_as_they_are_parsed);
    RUN(budgets_are_slots_bytes_or_shares);
    RUN(rows_are_complete);
    RUN(a_policy_is_a_file_of_fewer_than_60_lines);
    return test_end();
}
