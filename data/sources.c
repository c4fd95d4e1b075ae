#include "data/sources.h"
#include "core/io.h"
#include "core/log.h"
#include "core/rng.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define DEPTH 32 /* folders within folders */

static const char *const endings[] = {
    "mp4", "m4v", "mov", "mkv",  "webm", "avi",  "ogv",  "ogg", "mpg",   "mpeg", "ts",  "mts", "m2ts",
    "wmv", "asf", "flv", "f4v",  "3gp",  "3g2",  "gif",  "y4m", "mjpeg", "mjpg", "dv",  "vob", "rm",
    "swf", "ivf", "obu", "h264", "264",  "hevc", "h265", "265", "m2v",   "mxf",  "nut", NULL};

const char *const *lt_source_endings(void) { return endings; }

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
    LT_TRY(lt_read_text(name, &text, &length));
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

static lt_status grow_sources(lt_sources *sources) {
    if (sources->count < sources->capacity) return LT_OK;
    int64_t capacity = sources->capacity ? 2 * sources->capacity : 64;
    lt_source *items = realloc(sources->items, (size_t)capacity * sizeof *items);
    LT_CHECK(items, LT_FAILED, "out of memory for %lld sources", (long long)capacity);
    sources->items = items;
    sources->capacity = capacity;
    return LT_OK;
}

static lt_status add_source(lt_sources *sources, const char *domain, const char *path, bool named,
                            lt_source **out) {
    LT_TRY(grow_sources(sources));
    lt_source *source = *out = &sources->items[sources->count];
    memset(source, 0, sizeof *source);
    source->path = strdup(path);
    LT_CHECK(source->path, LT_FAILED, "out of memory");
    sources->count++;
    source->named = named;
    lt_copy_text(source->domain, sizeof source->domain, domain);
    return LT_OK;
}

/* Only the source is lost by what is wrong with it. */
static lt_status set_problem(lt_source *source, lt_status status) {
    if (status != LT_INPUT) return status;
    source->problem = strdup(lt_error());
    LT_CHECK(source->problem, LT_FAILED, "out of memory");
    return LT_OK;
}

lt_status lt_source_check(const char *path) {
    struct stat info;
    LT_CHECK(stat(path, &info) == 0, LT_INPUT, "%s: cannot open: %s", path, strerror(errno));
    LT_CHECK(S_ISREG(info.st_mode), LT_INPUT, "%s: expected a video file, found a %s", path,
             S_ISDIR(info.st_mode)    ? "folder"
             : S_ISFIFO(info.st_mode) ? "pipe"
             : S_ISSOCK(info.st_mode) ? "socket"
                                      : "device");
    return LT_OK;
}

static lt_status add_file(lt_sources *sources, const char *domain, const char *path, const char *relative,
                          bool named, const lt_grouping *grouping) {
    lt_source *source;
    LT_TRY(add_source(sources, domain, path, named, &source));
    lt_status status = lt_source_check(path);
    if (status == LT_OK) status = find_group(source, relative, grouping);
    return set_problem(source, status);
}

/* A folder that is being listed, and the one that holds it. */
typedef struct level {
    const struct level *parent;
    dev_t device;
    ino_t inode;
    int depth;
} level;

static bool leads_back(const level *here) {
    for (const level *up = here->parent; up; up = up->parent)
        if (up->device == here->device && up->inode == here->inode) return true;
    return false;
}

typedef struct listing {
    lt_sources *sources;
    const char *domain;
    size_t skip; /* bytes of a path that lead to the folder that was named */
    const lt_grouping *grouping;
} listing;

static lt_status add_folder(const listing *to, const char *path, const level *parent);

static lt_status add_names(const listing *to, const char *path, char **names, int count, const level *here) {
    for (int i = 0; i < count; i++) {
        char below[LT_PATH_MAX];
        if (names[i][0] == '.') continue;
        LT_TRY(lt_path_join(below, path, names[i]));
        if (lt_path_is_dir(below)) LT_TRY(add_folder(to, below, here));
        else if (is_video_name(names[i]))
            LT_TRY(add_file(to->sources, to->domain, below, below + to->skip, false, to->grouping));
    }
    return LT_OK;
}

static lt_status add_folder(const listing *to, const char *path, const level *parent) {
    struct stat info;
    char **names;
    int count;
    level here = {.parent = parent, .depth = parent ? parent->depth + 1 : 0};
    lt_status status = stat(path, &info) == 0 ? LT_OK : lt_fail(LT_INPUT, "%s: %s", path, strerror(errno));
    if (status == LT_OK) {
        here.device = info.st_dev, here.inode = info.st_ino;
        if (leads_back(&here)) {
            lt_warn("%s: this link leads back to a folder it is in, and is passed over", path);
            return LT_OK;
        }
        status = here.depth < DEPTH ? lt_list_dir(path, &names, &count)
                                    : lt_fail(LT_INPUT, "%s: more than %d folders deep", path, DEPTH);
    }
    if (status == LT_OK) {
        status = add_names(to, path, names, count, &here);
        lt_list_free(names, count);
        return status;
    }
    if (!parent) return status;
    lt_source *source;
    lt_status why = status;
    char reason[1024];
    snprintf(reason, sizeof reason, "%s", lt_error());
    LT_TRY(add_source(to->sources, to->domain, path, false, &source));
    return set_problem(source, lt_fail(why, "%s", reason));
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
    size_t length = strlen(path);
    int64_t before = sources->count;
    listing to = {sources, domain, path[length - 1] == '/' ? length : length + 1, grouping};
    LT_TRY(add_folder(&to, path, NULL));
    LT_CHECK(sources->count > before, LT_INPUT,
             "%s: this folder holds no video files (mp4, mkv, webm, avi, ...)", path);
    return LT_OK;
}

void lt_sources_free(lt_sources *sources) {
    for (int64_t i = 0; i < sources->count; i++)
        free(sources->items[i].path), free(sources->items[i].problem);
    free(sources->items);
    memset(sources, 0, sizeof *sources);
}

lt_status lt_source_hash(const lt_source *source, uint64_t *out) { return lt_hash_file(source->path, out); }
