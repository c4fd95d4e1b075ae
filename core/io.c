#include "core/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool lt_path_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool lt_path_is_dir(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

lt_status lt_path_join(char out[LT_PATH_MAX], const char *folder, const char *name) {
    size_t length = strlen(folder);
    const char *between = length && folder[length - 1] != '/' ? "/" : "";
    while (length && *name == '/') name++;
    int used = snprintf(out, LT_PATH_MAX, "%s%s%s", folder, between, name);
    LT_CHECK(used >= 0 && used < LT_PATH_MAX, LT_USAGE,
             "path too long: %.60s...%s%.60s is %d bytes, at most %d", folder, between, name, used,
             LT_PATH_MAX - 1);
    return LT_OK;
}

const char *lt_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static lt_status make_dir(const char *path) {
    if (mkdir(path, 0777) == 0) return lt_sync_parent(path);
    int reason = errno; /* an existing folder may answer EEXIST, EROFS or EACCES */
    if (lt_path_is_dir(path)) return LT_OK;
    LT_CHECK(reason != EEXIST, LT_FAILED, "%s: cannot make this folder: a file has that name", path);
    return lt_fail(LT_FAILED, "%s: cannot make this folder: %s", path, strerror(reason));
}

lt_status lt_make_dirs(const char *path) {
    char partial[LT_PATH_MAX];
    LT_CHECK(*path, LT_USAGE, "the name of a folder is empty");
    LT_TRY(lt_path_join(partial, path, ""));
    for (char *slash = strchr(partial + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        LT_TRY(make_dir(partial));
        *slash = '/';
    }
    return LT_OK;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    if (remove(path) == 0 || errno == ENOENT) return LT_OK;
    return lt_fail(LT_FAILED, "%s: cannot remove: %s", path, strerror(errno));
}

/* Links are removed, never followed; so a slash after a link's name, which would follow it, is taken off. */
lt_status lt_remove_tree(const char *path) {
    char plain[LT_PATH_MAX];
    LT_TRY(lt_path_join(plain, path, ""));
    size_t end = strlen(plain);
    while (end && plain[end - 1] == '/') plain[--end] = '\0';
    const char *base = lt_path_base(plain);
    LT_CHECK(*base && strcmp(base, ".") != 0 && strcmp(base, "..") != 0, LT_USAGE,
             "refusing to remove \"%s\"", path);
    enum { OPEN_FOLDERS = 16 };
    int result = nftw(plain, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    if (result == -1 && errno == ENOENT) return LT_OK;
    LT_CHECK(result != -1, LT_FAILED, "%s: cannot remove: %s", path, strerror(errno));
    return (lt_status)result;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool append_name(char ***names, int *count, const char *name) {
    if ((*count & (*count - 1)) == 0) { /* a power of two: full */
        char **grown = realloc(*names, (size_t)(*count ? 2 * *count : 1) * sizeof **names);
        if (!grown) return false;
        *names = grown;
    }
    char *copy = strdup(name);
    if (!copy) return false;
    (*names)[(*count)++] = copy;
    return true;
}

lt_status lt_list_dir(const char *path, char ***names, int *count) {
    *names = NULL;
    *count = 0;
    DIR *folder = opendir(path);
    LT_CHECK(folder, LT_INPUT, "%s: cannot read this folder: %s", path, strerror(errno));
    char **list = NULL;
    int found = 0, reason = 0;
    struct dirent *entry;
    while (!reason && (errno = 0, entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (!append_name(&list, &found, entry->d_name)) reason = ENOMEM;
    }
    if (!reason) reason = errno;
    closedir(folder);
    if (reason) {
        lt_list_free(list, found);
        return lt_fail(reason == ENOMEM ? LT_FAILED : LT_INPUT, "%s: cannot read this folder: %s", path,
                       strerror(reason));
    }
    if (found) qsort(list, (size_t)found, sizeof *list, compare_names);
    *names = list;
    *count = found;
    return LT_OK;
}

void lt_list_free(char **names, int count) {
    for (int i = 0; i < count; i++) free(names[i]);
    free(names);
}

/* Of a pipe or a terminal: until there is something, or nobody writes any more. False: interrupted before. */
static bool wait_for_data(int file) {
    struct pollfd one = {.fd = file, .events = POLLIN};
    while (poll(&one, 1, 100) <= 0)
        if (lt_interrupted()) return false;
    return true;
}

/* Reads to the end rather than trusting the size: pipes and /proc files have none. */
static lt_status read_all(int file, const char *path, const struct stat *info, char **out, size_t *size) {
    bool waits = !S_ISREG(info->st_mode);
    size_t expected = (size_t)info->st_size + 1;
    size_t capacity = expected + 1, used = 0;
    char *data = malloc(capacity);
    while (data) {
        if (used + 1 == capacity) {
            char *grown = capacity < SIZE_MAX / 2 ? realloc(data, capacity * 2) : NULL;
            if (!grown) break;
            data = grown;
            capacity *= 2;
        }
        if (waits && !wait_for_data(file)) {
            free(data);
            return lt_fail(LT_INTERRUPTED, "interrupted while waiting for %s", path);
        }
        ssize_t got = read(file, data + used, capacity - used - 1);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got < 0) {
            int reason = errno;
            free(data);
            return lt_fail(LT_INPUT, "%s: cannot read: %s", path, strerror(reason));
        }
        if (got == 0) {
            data[used] = '\0';
            *out = data;
            if (size) *size = used;
            return LT_OK;
        }
        used += (size_t)got;
    }
    free(data);
    return lt_fail(LT_FAILED, "%s: out of memory after reading %zu bytes", path, used);
}

lt_status lt_read_file(const char *path, char **out, size_t *size) {
    *out = NULL;
    if (size) *size = 0;
    int file; /* opening a pipe would wait for its writer, deaf to signals */
    do file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (file < 0 && errno == EINTR);
    LT_CHECK(file >= 0, LT_INPUT, "%s: cannot open: %s", path, strerror(errno));
    struct stat info;
    lt_status status;
    if (fstat(file, &info) != 0) status = lt_fail(LT_INPUT, "%s: cannot read: %s", path, strerror(errno));
    else if (S_ISDIR(info.st_mode)) status = lt_fail(LT_INPUT, "%s: expected a file, found a folder", path);
    else status = read_all(file, path, &info, out, size);
    close(file);
    return status;
}

/* One that may be written and not read cannot be opened, and so not be flushed. */
lt_status lt_sync_parent(const char *path) {
    char parent[LT_PATH_MAX];
    LT_TRY(lt_path_join(parent, path, ""));
    parent[strlen(parent) - 1] = '\0';
    char *slash = strrchr(parent, '/');
    if (!slash) return lt_sync_path(".");
    slash[slash == parent] = '\0'; /* the parent of "/name" is "/" */
    return access(parent, R_OK) == 0 ? lt_sync_path(parent) : LT_OK;
}

lt_status lt_sync_path(const char *path) {
    int file;
    do file = open(path, O_RDONLY | O_CLOEXEC);
    while (file < 0 && errno == EINTR);
    LT_CHECK(file >= 0, LT_FAILED, "%s: cannot open to flush: %s", path, strerror(errno));
    int reason;
    do reason = fsync(file) == 0 ? 0 : errno;
    while (reason == EINTR);
    close(file);
    /* some file systems cannot flush folders, and have nothing to flush then */
    LT_CHECK(!reason || reason == EINVAL, LT_FAILED, "%s: cannot flush to disk: %s", path, strerror(reason));
    return LT_OK;
}
