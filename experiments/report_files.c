/* Files of the folder that the report shows. The folder may be someone else's: what its indexes name is not trusted. */
#include "experiments/report_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool lt_is_plain_name(const char *name) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(name);
    return length > 0 && length <= 100 && *name != '.' && strspn(name, plain) == length;
}

/* Whether `path`, once links are followed, is in `folder`. */
static lt_status check_place(const char *folder, const char *path) {
    char *root = realpath(folder, NULL), *place = realpath(path, NULL);
    size_t length = root ? strlen(root) : 0;
    bool inside = root && place && strncmp(place, root, length) == 0 && (place[length] == '/' || length == 1);
    int reason = errno;
    bool there = root && place;
    free(root);
    free(place);
    LT_CHECK(there, LT_INPUT, "%s: %s", path, strerror(reason));
    LT_CHECK(inside, LT_INPUT, "%s: a link that leads out of the folder; put the file itself there", path);
    return LT_OK;
}

/* A pipe would wait for its writer: it is opened without waiting, and refused. */
static lt_status check_kind(const char *path, size_t limit) {
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    LT_CHECK(file >= 0, LT_INPUT, "%s: cannot open: %s", path, strerror(errno));
    bool known = fstat(file, &info) == 0;
    close(file);
    LT_CHECK(known && S_ISREG(info.st_mode), LT_INPUT, "%s: expected a file", path);
    LT_CHECK((uint64_t)info.st_size <= limit, LT_INPUT, "%s: %lld bytes, expected at most %zu", path,
             (long long)info.st_size, limit);
    return LT_OK;
}

static lt_status path_of(const char *folder, const char *part, const char *name, char path[LT_PATH_MAX]) {
    char inner[LT_PATH_MAX];
    LT_CHECK(lt_is_plain_name(name), LT_INPUT,
             "%s/%s: an index names \"%.100s\"; expected a plain file name (letters, digits, . _ -)", folder,
             part ? part : "", name);
    LT_TRY(lt_path_join(inner, folder, part ? part : ""));
    return lt_path_join(path, inner, name);
}

lt_status lt_report_read(const char *folder, const char *part, const char *name, size_t limit, char **out,
                         size_t *size) {
    char path[LT_PATH_MAX];
    struct stat link;
    *out = NULL;
    if (size) *size = 0;
    LT_TRY(path_of(folder, part, name, path));
    if (lstat(path, &link) != 0 && (errno == ENOENT || errno == ENOTDIR)) return LT_OK;
    LT_TRY(check_place(folder, path));
    LT_TRY(check_kind(path, limit));
    return lt_read_file(path, out, size);
}

lt_status lt_report_json(const char *folder, const char *part, const char *name, cJSON **out) {
    char *text, origin[LT_PATH_MAX];
    size_t size;
    *out = NULL;
    LT_TRY(lt_report_read(folder, part, name, LT_REPORT_JSON_LIMIT, &text, &size));
    if (!text) return LT_OK;
    lt_status status = path_of(folder, part, name, origin);
    if (status == LT_OK) status = lt_json_parse(text, size, origin, LT_INPUT, out);
    free(text);
    return status;
}
