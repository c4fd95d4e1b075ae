#include "data/sources.h"
#include "core/io.h"
#include "core/json.h"
#include "core/rng.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH 32 /* folders within folders: a link may lead back up */

static const char *const endings[] = {"mp4", "m4v",  "mov",  "mkv",   "webm", "avi", "ogv", "ogg",
                                      "mpg", "mpeg", "ts",   "mts",   "m2ts", "wmv", "asf", "flv",
                                      "3gp", "gif",  "y4m",  "mjpeg", "mjpg", "dv",  "vob", "rm",
                                      "swf", "ivf",  "h264", "hevc",  "mxf",  "nut", NULL};

lt_status lt_grouping_parse(const char *text, lt_grouping *out) {
    memset(out, 0, sizeof *out);
    if (strcmp(text, "source") == 0) out->by = LT_GROUP_SOURCE;
    else if (strcmp(text, "folder") == 0) out->by = LT_GROUP_FOLDER;
    else if (strncmp(text, "prefix:", 7) == 0 && text[7] &&
             lt_copy_text(out->separator, sizeof out->separator, text + 7))
        out->by = LT_GROUP_PREFIX;
    else
        return lt_fail(LT_USAGE,
                       "--group-by %s: expected source, folder or prefix:SEPARATOR, such as prefix:_", text);
    return LT_OK;
}

static const char *ending_of(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? dot + 1 : "";
}

static bool is_video_name(const char *name) {
    if (name[0] == '.') return false;
    for (int i = 0; endings[i]; i++)
        if (strcasecmp(ending_of(name), endings[i]) == 0) return true;
    return false;
}

/* PATH with its ending replaced. */
static lt_status sidecar(const char *path, const char *ending, char out[LT_PATH_MAX]) {
    const char *base = lt_path_base(path), *dot = strrchr(base, '.');
    int stem = (int)(dot && dot != base ? dot - path : (ptrdiff_t)strlen(path));
    int length = snprintf(out, LT_PATH_MAX, "%.*s.%s", stem, path, ending);
    LT_CHECK(length < LT_PATH_MAX, LT_USAGE, "%.100s...: the path is too long", path);
    return LT_OK;
}

/* Reads a small text beside a source as one line; "" when there is none. */
static lt_status read_sidecar(const char *path, const char *ending, char *out, size_t size, bool *whole) {
    char name[LT_PATH_MAX], *text;
    size_t length;
    out[0] = '\0';
    *whole = true;
    LT_TRY(sidecar(path, ending, name));
    if (strcmp(name, path) == 0 || !lt_path_exists(name)) return LT_OK;
    LT_TRY(lt_read_file(name, &text, &length));
    if (!lt_utf8_valid(text, length) || memchr(text, 0, length)) {
        free(text);
        return lt_fail(LT_INPUT, "%s: not a text in UTF-8", name);
    }
    for (size_t i = 0; i < length; i++)
        if (iscntrl((unsigned char)text[i])) text[i] = ' ';
    while (length > 0 && text[length - 1] == ' ') text[--length] = '\0';
    *whole = lt_copy_text(out, size, text + strspn(text, " "));
    free(text);
    return LT_OK;
}

lt_status lt_source_caption(const lt_source *source, char *out, size_t size, bool *whole) {
    return read_sidecar(source->path, "txt", out, size, whole);
}

/* `relative` is the path below the folder that was named: files of one name in two folders are two groups. */
static lt_status find_group(lt_source *source, const char *relative, const lt_grouping *grouping) {
    char name[LT_PATH_MAX];
    bool whole;
    LT_TRY(read_sidecar(source->path, "group", source->group, sizeof source->group, &whole));
    LT_CHECK(whole, LT_INPUT, "%s: the group's name is longer than %zu bytes", source->path,
             sizeof source->group - 1);
    if (source->group[0]) return LT_OK;
    const char *base = lt_path_base(relative), *dot = strrchr(base, '.');
    int length = (int)(dot && dot != base ? dot - relative : (ptrdiff_t)strlen(relative));
    if (grouping->by == LT_GROUP_PREFIX) {
        const char *end = strstr(base + 1, grouping->separator);
        if (end && end - relative < length) length = (int)(end - relative);
    }
    if (grouping->by == LT_GROUP_FOLDER) {
        snprintf(name, sizeof name, "%s", source->path);
        char *slash = strrchr(name, '/');
        if (slash) *slash = '\0';
        else strcpy(name, ".");
    } else {
        snprintf(name, sizeof name, "%.*s", length, relative);
    }
    if (lt_copy_text(source->group, sizeof source->group, name)) return LT_OK;
    /* Too long to keep: the end of the name tells more than its beginning, and the hash keeps groups apart. */
    snprintf(source->group, sizeof source->group,
             "%016llx:", (unsigned long long)lt_hash(name, strlen(name), LT_HASH_SEED));
    size_t used = strlen(source->group), tail = sizeof source->group - 1 - used;
    const char *rest = name + strlen(name) - tail;
    while (((unsigned char)*rest & 0xC0) == 0x80) rest++;
    lt_copy_text(source->group + used, sizeof source->group - used, rest);
    return LT_OK;
}

static lt_status add_file(lt_sources *sources, const char *domain, const char *path, const char *relative,
                          bool named, const lt_grouping *grouping) {
    if (sources->count == sources->capacity) {
        int64_t capacity = sources->capacity ? 2 * sources->capacity : 64;
        lt_source *items = realloc(sources->items, (size_t)capacity * sizeof *items);
        LT_CHECK(items, LT_FAILED, "out of memory for %lld sources", (long long)capacity);
        sources->items = items;
        sources->capacity = capacity;
    }
    lt_source *source = &sources->items[sources->count];
    memset(source, 0, sizeof *source);
    source->path = strdup(path);
    LT_CHECK(source->path, LT_FAILED, "out of memory");
    sources->count++;
    source->named = named;
    lt_copy_text(source->domain, sizeof source->domain, domain);
    return find_group(source, relative, grouping);
}

/* `skip` bytes of a path lead to the folder that was named. */
static lt_status add_folder(lt_sources *sources, const char *domain, const char *path, size_t skip, int depth,
                            const lt_grouping *grouping) {
    char **names;
    int count;
    LT_CHECK(depth < DEPTH, LT_INPUT, "%s: more than %d folders deep", path, DEPTH);
    LT_TRY(lt_list_dir(path, &names, &count));
    lt_status status = LT_OK;
    for (int i = 0; i < count && status == LT_OK; i++) {
        char below[LT_PATH_MAX];
        if (names[i][0] == '.') continue;
        status = lt_path_join(below, path, names[i]);
        if (status != LT_OK) break;
        if (lt_path_is_dir(below)) status = add_folder(sources, domain, below, skip, depth + 1, grouping);
        else if (is_video_name(names[i]))
            status = add_file(sources, domain, below, below + skip, false, grouping);
    }
    lt_list_free(names, count);
    return status;
}

lt_status lt_sources_add(lt_sources *sources, const char *domain_and_path, const lt_grouping *grouping) {
    const char *equals = strchr(domain_and_path, '=');
    char domain[32];
    LT_CHECK(equals && equals != domain_and_path && equals[1], LT_USAGE,
             "--domain %s: expected NAME=FOLDER or NAME=FILE, such as calm=clips/calm", domain_and_path);
    LT_CHECK((size_t)(equals - domain_and_path) < sizeof domain, LT_USAGE,
             "--domain %s: a domain's name has at most %zu bytes", domain_and_path, sizeof domain - 1);
    snprintf(domain, sizeof domain, "%.*s", (int)(equals - domain_and_path), domain_and_path);
    const char *path = equals + 1;
    LT_CHECK(lt_path_exists(path), LT_INPUT, "%s: there is no such file or folder (--domain %s)", path,
             domain);
    if (!lt_path_is_dir(path)) return add_file(sources, domain, path, lt_path_base(path), true, grouping);
    size_t skip = strlen(path);
    int64_t before = sources->count;
    LT_TRY(add_folder(sources, domain, path, path[skip - 1] == '/' ? skip : skip + 1, 0, grouping));
    LT_CHECK(sources->count > before, LT_INPUT,
             "%s: this folder holds no video files (mp4, mkv, webm, avi, ...)", path);
    return LT_OK;
}

void lt_sources_free(lt_sources *sources) {
    for (int64_t i = 0; i < sources->count; i++) free(sources->items[i].path);
    free(sources->items);
    memset(sources, 0, sizeof *sources);
}

lt_status lt_source_hash(const lt_source *source, uint64_t *out) { return lt_hash_file(source->path, out); }
