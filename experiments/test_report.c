/* Reports from folders that someone else made: what their texts and names hold is shown, and never obeyed. */
#include "core/io.h"
#include "core/log.h"
#include "data/png.h"
#include "experiments/json_file.h"
#include "experiments/report.h"
#include "experiments/testing.h"
#include "tests/harness.h"

#include <cjson/cJSON.h>
#include <sys/stat.h>
#include <unistd.h>

/* In memory where that can be: a report is flushed to disk, and hundreds are made. */
static char base[TEST_FOLDER];
static char folder[LT_PATH_MAX];

/* Harmless markup that must never reach a page, a table or a plot as it is. */
static const char marker[] = "<b>x</b>\"&'</title>`'set\\n@#\x1b[31m\xe2\x80\xae{/Bold y}";

#define COMPARISON                                                                                           \
    "{\"mean\": -0.02, \"percent\": -2, \"stderr\": 0.001, \"ci95\": [-0.03, -0.01], \"detectable\": "       \
    "0.004, "                                                                                                \
    "\"groups\": 9, \"verdict\": \"better\", \"against\": \"window, read one\"}"
#define ROW(id, keep, read, versus, reference)                                                               \
    "{\"id\": \"" id                                                                                         \
    "\", \"set\": \"calm\", \"domain\": \"calm\", \"role\": \"test\", \"dataset\": \"d.h5\", "               \
    "\"keep\": \"" keep "\", \"read\": \"" read "\", \"consolidate\": \"drop\", \"policy\": \"" keep         \
    ":" read "\", \"budget\": 2, \"clips\": 9, \"groups\": 9, \"loss\": {\"mean\": 0.98, \"stderr\": 0.1, "  \
    "\"ci95\": [0.8, 1.2]}, \"reference\": \"window:one\", \"is_reference\": " reference                     \
    ", \"vs_reference\": " versus ", \"vs_window\": " versus ", \"vs_one\": " versus                         \
    ", \"returns\": {\"clips\": 9, \"groups\": 9, \"loss\": {\"mean\": 0.98, \"stderr\": 0.1}, "             \
    "\"vs_none\": " COMPARISON                                                                               \
    "}, \"all\": {\"loss\": {\"mean\": 0.5}, \"gaussian\": 1}, \"by_time\": [{\"at\": 0.1, "                 \
    "\"loss\": 0.5, \"gaussian\": 1}], \"by_since_cut\": [{\"at\": 0, \"loss\": 0.5, "                       \
    "\"vs_reference\": " COMPARISON                                                                          \
    "}], \"cache_bytes\": 1000, \"slot_bytes\": 900, \"metadata_bytes\": 100, \"tail_bytes\": 1, "           \
    "\"scorer_bytes\": 2, \"workspace_bytes\": 3}"

static const char results[] =
    "{\"title\": \"a title\", \"run\": \"runs/a\", \"checkpoint\": \"best\", \"weights_hash\": \"00ff\", "
    "\"command\": \"longtake ablate ...\", \"blocks\": 6, \"draws\": 4, \"evaluation_seconds\": 3, "
    "\"sets\": [{\"set\": \"calm\", \"domain\": \"calm\", \"role\": \"test\", \"dataset\": \"d.h5\", "
    "\"clips\": 9, "
    "\"groups\": 9, \"flow_px_per_s\": 3}], \"reference_set\": {\"set\": \"calm\", \"domain\": \"calm\", "
    "\"role\": \"val\", \"dataset\": \"d.h5\", \"clips\": 3, \"groups\": 3}, \"rows\": [" ROW(
        "0-0", "window", "one", "null", "true") ", " ROW("0-1", "sink", "content", COMPARISON, "false") "]}";
static const char videos[] =
    "[{\"file\": \"0-source\", \"set\": \"calm\", \"clip\": 0, \"history\": 2, \"blocks\": 2, \"keep\": "
    "\"source\", "
    "\"read\": \"\", \"budget\": 0}, {\"file\": \"0-1\", \"set\": \"calm\", \"clip\": 0, \"history\": 1, "
    "\"blocks\": 2, \"keep\": \"sink\", \"read\": \"content\", \"budget\": 2}]";
static const char trace[] =
    "{\"policy\": \"sink\", \"budget\": 2, \"layers\": 1, \"heads\": 1, \"blocks\": [{\"block\": 0, "
    "\"cache\": "
    "[{\"layer\": 0, \"entries\": [{\"id\": 0, \"first_frame\": 0, \"last_frame\": 1}], \"victims\": []}]}, "
    "{\"block\": "
    "1, \"cache\": [{\"layer\": 0, \"entries\": [{\"id\": 0, \"first_frame\": 0, \"last_frame\": 1, "
    "\"score\": 1, "
    "\"weights\": [0.5]}, {\"id\": 1, \"first_frame\": 2, \"last_frame\": 3}], \"victims\": [0]}]}]}";
static const char config[] = "{\"experiment\": {\"title\": \"a title\", \"policies\": [\"window\"]}}";
static const char environment[] = "{\"host\": \"a host\", \"version\": \"1\"}";

typedef struct part {
    const char *name, *text;
} part;
static const part parts[] = {{"results.json", results},
                             {"videos/index.json", videos},
                             {"traces/0-1.json", trace},
                             {"config.json", config},
                             {"environment.json", environment}};
enum { PARTS = sizeof parts / sizeof *parts };

static const char *in(const char *name) {
    static char path[4][LT_PATH_MAX];
    static int next;
    char *out = path[next++ % 4];
    CHECK_OK(lt_path_join(out, folder, name));
    return out;
}

/* Not lt_write_file, which waits for the disk each time. */
static void put(const char *name, const char *text) {
    FILE *to = fopen(in(name), "w");
    CHECK(to && fputs(text, to) >= 0 && fclose(to) == 0);
}

static void put_json(const char *name, const cJSON *value) {
    char *text = cJSON_PrintUnformatted(value);
    put(name, text);
    cJSON_free(text);
}

static void make_folder(void) {
    CHECK_OK(lt_path_join(folder, base, "results"));
    CHECK_OK(lt_remove_tree(folder));
    CHECK_OK(lt_make_dirs(in("videos")));
    CHECK_OK(lt_make_dirs(in("traces")));
    for (int i = 0; i < PARTS; i++) put(parts[i].name, parts[i].text);
    put("videos/0-source.mp4", "source video");
    put("videos/0-1.png", "a strip");
}

static char *render(void) {
    char *text = NULL;
    size_t size;
    CHECK_OK(lt_report_write(folder));
    CHECK_OK(lt_read_file(in("report.html"), &text, &size));
    return text ? text : calloc(1, 1);
}

static int count(const char *text, const char *piece) {
    int found = 0;
    for (const char *at = text; (at = strstr(at, piece)); at++) found++;
    return found;
}

static void check_clean(const char *text, const char *what) {
    bool clean = !strstr(text, "<b>") && !strstr(text, "\"&'") && !strchr(text, 0x1b) &&
                 !strstr(text, "\xe2\x80\xae") && count(text, "</title>") <= count(text, "<title") &&
                 lt_well_formed(text);
    if (!clean) printf("not escaped, or not well formed: %s\n", what);
    CHECK(clean);
}

/* Replaces string number `index` of a document (-1: all) by the marker; false when there are not so many. */
static bool taint(cJSON *value, int index, int *seen) {
    bool done = false;
    if (cJSON_IsString(value) && (index < 0 || *seen == index)) {
        cJSON_SetValuestring(value, marker);
        done = true;
    }
    *seen += cJSON_IsString(value);
    for (cJSON *child = value->child; child; child = child->next) done = taint(child, index, seen) || done;
    return done;
}

static bool put_tainted(const part *p, int index) {
    int seen = 0;
    cJSON *root = cJSON_Parse(p->text);
    CHECK(root != NULL);
    bool done = taint(root, index, &seen);
    put_json(p->name, root);
    cJSON_Delete(root);
    return done;
}

static void every_text_field_is_escaped(void) {
    make_folder();
    for (int i = 0; i < PARTS; i++) {
        for (int field = 0; put_tainted(&parts[i], field); field++) {
            char what[64], *text = render();
            snprintf(what, sizeof what, "%s, text %d", parts[i].name, field);
            check_clean(text, what);
            free(text);
        }
        put(parts[i].name, parts[i].text);
    }
}

/* With the marker in all fields at once, sets and rows still belong together, so that all of them are shown. */
static void all_text_fields_at_once_are_escaped(void) {
    make_folder();
    for (int i = 0; i < PARTS; i++) CHECK(put_tainted(&parts[i], -1));
    char *text = render();
    check_clean(text, "all");
    CHECK(count(text, "&lt;b&gt;x&lt;/b&gt;&quot;&amp;&#39;&lt;/title&gt;") > 20);
    CHECK(strstr(text, "\\x1b[31m\\u202e") != NULL);
    CHECK(strstr(text, "<title>&lt;b&gt;x") != NULL); /* a point of a plot */
    free(text);
}

static void the_table_for_terminals_shows_controls(void) {
    cJSON *root = cJSON_Parse(results);
    int seen = 0;
    char *text = NULL;
    size_t size;
    taint(root, -1, &seen);
    FILE *to = open_memstream(&text, &size);
    lt_report_table(root, to);
    fclose(to);
    CHECK(strchr(text, 0x1b) == NULL && strstr(text, "\xe2\x80\xae") == NULL);
    free(text);
    cJSON_Delete(root);
}

static char warned[16384];
static void keep_warning(lt_log_level level, const char *line, void *user) {
    size_t used = strlen(warned);
    (void)level, (void)user;
    snprintf(warned + used, sizeof warned - used, "%s\n", line);
}

/* The page without a part that is refused: it says so, and what the file holds is not in it. */
static void check_left_out(const char *why) {
    static const char secret[] = "a secret of three words";
    char *code = lt_base64(secret, strlen(secret));
    warned[0] = '\0';
    char *text = render();
    CHECK(strstr(text, "Left out: ") != NULL && strstr(text, secret) == NULL && strstr(text, code) == NULL);
    CHECK(strstr(warned, why) != NULL && strstr(warned, "--resume") != NULL);
    CHECK(strstr(text, "<h2>At equal bytes</h2>") != NULL);
    free(text);
    free(code);
}

static void put_secret(const char *name) { put(name, "a secret of three words"); }

static void names_in_an_index_stay_in_the_folder(void) {
    static const char *const names[] = {
        "../secret",  "../../secret",  "..",     ".",       "", ".hidden", "a/b",
        "videos/0-1", "/etc/hostname", "0-1\\n", "x\\u0007"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[512];
        make_folder();
        put_secret("secret.mp4");
        put_secret("videos/.hidden.mp4");
        CHECK_OK(lt_make_dirs(in("videos/a")));
        put_secret("videos/a/b.mp4");
        snprintf(text, sizeof text,
                 "[{\"file\": \"%s\", \"set\": \"calm\", \"keep\": \"sink\", \"read\": \"content\", "
                 "\"budget\": 2, \"history\": 1, \"blocks\": 2}]",
                 names[i]);
        put("videos/index.json", text);
        check_left_out("plain file name");
    }
    make_folder();
    char *text = strdup(results), *at = strstr(text, "\"0-1\"");
    put_secret("secret.json");
    memcpy(at, "\"../", 4); /* ../" stays a string that ends where it did */
    put("results.json", text);
    free(text);
    check_left_out("plain file name");
}

static void links_that_lead_out_are_refused(void) {
    static const char *const names[] = {"videos/0-source.mp4", "videos/0-1.png", "traces/0-1.json",
                                        "config.json", "environment.json"};
    char outside[LT_PATH_MAX];
    CHECK_OK(lt_path_join(outside, base, "outside"));
    CHECK_OK(lt_write_file(outside, "a secret of three words", 23));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        make_folder();
        CHECK(unlink(in(names[i])) == 0 && symlink(outside, in(names[i])) == 0);
        check_left_out("leads out of the folder");
    }
    make_folder();
    CHECK(unlink(in("results.json")) == 0 && symlink(outside, in("results.json")) == 0);
    CHECK_FAILS(lt_report_write(folder), LT_INPUT, "leads out of the folder");
    make_folder(); /* within the folder a link is as good as the file */
    CHECK(rename(in("videos/0-1.png"), in("videos/one.png")) == 0 &&
          symlink("one.png", in("videos/0-1.png")) == 0);
    char *text = render();
    CHECK(strstr(text, "Left out") == NULL && strstr(text, "data:image/png;base64,") != NULL);
    free(text);
}

static void what_is_no_file_or_too_large_is_refused(void) {
    make_folder();
    CHECK(unlink(in("videos/0-1.png")) == 0 && mkfifo(in("videos/0-1.png"), 0600) == 0);
    check_left_out("expected a file");
    make_folder();
    CHECK(truncate(in("videos/0-source.mp4"), (64 << 20) + 1) == 0);
    check_left_out("expected at most");
}

static void damage_is_named_with_the_way_out(void) {
    make_folder();
    put("traces/0-1.json", "{\"blocks\": [");
    check_left_out("0-1.json");
    make_folder();
    put("videos/index.json", "[{]");
    check_left_out("index.json");
    make_folder();
    CHECK(unlink(in("videos/0-1.png")) == 0);
    check_left_out("not there");
    make_folder();
    put("results.json", "{\"rows\": [");
    CHECK_FAILS(lt_report_write(folder), LT_INPUT, "--resume");
    put("results.json", "{\"rows\": [1], \"sets\": [null]}");
    CHECK_FAILS(lt_report_write(folder), LT_INPUT, "not the results of an ablation");
    CHECK(unlink(in("results.json")) == 0);
    CHECK_FAILS(lt_report_write(folder), LT_INPUT, "no results.json");
    CHECK_FAILS(lt_report_write("/nonexistent/results"), LT_INPUT, "no such folder");
}

/* Every member but names may be null, or of another type: then there is a dash, and no figure is made up. */
static void spoil(cJSON *value, int index, int *seen, const char *with) {
    for (cJSON *child = value->child; child; child = child->next) {
        bool hit =
            (cJSON_IsNumber(child) || cJSON_IsArray(child) || cJSON_IsObject(child)) && (*seen)++ == index;
        if (hit) {
            cJSON *other = cJSON_Parse(with);
            other->string = child->string ? strdup(child->string) : NULL;
            cJSON_ReplaceItemViaPointer(value, child, other);
            return;
        }
        spoil(child, index, seen, with);
    }
}

static void what_is_missing_is_a_dash(void) {
    static const char *const others[] = {"null", "\"text\"", "-1e300", "[]"};
    make_folder();
    for (int i = 0; i < 2 * 3; i++)
        for (int index = 0;; index++) {
            const part *p = &parts[i / 2 == 0 ? 0 : i / 2];
            int seen = 0;
            cJSON *root = cJSON_Parse(p->text);
            spoil(root, index, &seen, others[(index + i) % 4]);
            put_json(p->name, root);
            cJSON_Delete(root);
            bool written = lt_report_write(folder) == LT_OK;
            CHECK(written || (i / 2 == 0 && strstr(lt_error(), "not the results of an ablation")));
            char *text = NULL;
            size_t size;
            CHECK_OK(lt_read_file(in("report.html"), &text, &size));
            CHECK(!strstr(text, "nan ") && !strstr(text, "nan<") && !strstr(text, ">nan") &&
                  !strstr(text, "nan\"") && !strstr(text, "inf<") && !strstr(text, "inf "));
            free(text);
            if (seen <= index) {
                put(p->name, p->text);
                break;
            }
        }
}

/* results.json with another rule of consolidation, and a third block of the trace that holds entry 0 still, or does
 * not. */
static char *render_trace(const char *rule, const char *first_frame) {
    char text[sizeof results + 64], blocks[2 * sizeof trace];
    make_folder();
    const char *at = strstr(results, "\"0-1\""), *drop = strstr(at, "\"drop\"");
    snprintf(text, sizeof text, "%.*s\"%s\"%s", (int)(drop - results), results, rule,
             drop + strlen("\"drop\""));
    snprintf(blocks, sizeof blocks,
             "%.*s, {\"block\": 2, \"cache\": [{\"layer\": 0, \"entries\": [{\"id\": 1, \"first_frame\": %s, "
             "\"last_frame\": 3}], \"victims\": []}]}]}",
             (int)(strlen(trace) - 2), trace, first_frame);
    put("results.json", text);
    put("traces/0-1.json", blocks);
    return render();
}

static void what_is_merged_is_not_drawn_as_evicted(void) {
    char *text = render_trace("drop", "2");
    CHECK(strstr(text, "; evicted in 1") != NULL && strstr(text, "; merged in") == NULL);
    free(text);
    text = render_trace("sum", "0");
    CHECK(strstr(text, "; evicted in") == NULL && strstr(text, "; merged in 1") != NULL);
    free(text);
    text = render_trace("sum", "2"); /* it merges, but not this one */
    CHECK(strstr(text, "; evicted in 1") != NULL && strstr(text, "; merged in") == NULL);
    free(text);
}

static void a_report_changes_nothing_but_itself(void) {
    make_folder();
    free(render());
    for (int i = 0; i < PARTS; i++) {
        char *text = NULL;
        size_t size;
        CHECK_OK(lt_read_file(in(parts[i].name), &text, &size));
        CHECK(strcmp(text, parts[i].text) == 0);
        free(text);
    }
    char **names;
    int found;
    CHECK_OK(lt_list_dir(folder, &names, &found));
    CHECK(found == 6); /* three files, two folders, the report */
    lt_list_free(names, found);
}

static void nothing_is_loaded_or_run(void) {
    make_folder();
    char *text = render();
    CHECK(strstr(text, "Content-Security-Policy\"\n  content=\"default-src 'none'") != NULL);
    CHECK(!strstr(text, "<script") && !strstr(text, "src=\"http") && !strstr(text, "<link"));
    free(text);
}

int main(int argc, char **argv) {
    test_make_folder_in(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", "lt_report", base);
    lt_log_init(keep_warning, NULL, LT_LOG_WARN);
    RUN(every_text_field_is_escaped);
    RUN(all_text_fields_at_once_are_escaped);
    RUN(the_table_for_terminals_shows_controls);
    RUN(names_in_an_index_stay_in_the_folder);
    RUN(links_that_lead_out_are_refused);
    RUN(what_is_no_file_or_too_large_is_refused);
    RUN(damage_is_named_with_the_way_out);
    RUN(what_is_missing_is_a_dash);
    RUN(what_is_merged_is_not_drawn_as_evicted);
    RUN(a_report_changes_nothing_but_itself);
    RUN(nothing_is_loaded_or_run);
    CHECK_OK(lt_remove_tree(base));
    return test_end();
}
