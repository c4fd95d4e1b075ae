#include "core/folder.h"

#include "core/io.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TEXT = 512 };
static const char heading[] = "longtake ";

struct lt_folder_lock {
    int file;
};

/* What the mark says: 0 bytes are those of a process that was killed before it wrote it. */
static int read_text(int file, char text[TEXT]) {
    ssize_t got;
    do got = pread(file, text, TEXT - 1, 0);
    while (got < 0 && errno == EINTR);
    text[got > 0 ? got : 0] = '\0';
    return (int)got;
}

static bool says(const char *text, const char *kind) {
    size_t length = strlen(kind);
    return strncmp(text, heading, sizeof heading - 1) == 0 &&
           strncmp(text + sizeof heading - 1, kind, length) == 0 && text[sizeof heading - 1 + length] == '\n';
}

bool lt_folder_is(const char *folder, const char *kind) {
    char path[LT_PATH_MAX], text[TEXT];
    int file = lt_path_join(path, folder, LT_FOLDER_MARK) == LT_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return false;
    int size = read_text(file, text);
    close(file);
    return size == 0 || says(text, kind);
}

bool lt_folder_is_empty(const char *folder) {
    char **names;
    int count;
    if (lt_list_dir(folder, &names, &count) != LT_OK) return false;
    bool empty = count == 0 || (count == 1 && strcmp(names[0], LT_FOLDER_MARK) == 0);
    lt_list_free(names, count);
    return empty;
}

/* The file of that name now, not one that somebody has removed since. */
static bool still_there(int file, const char *path) {
    struct stat held, named;
    return fstat(file, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev &&
           held.st_ino == named.st_ino;
}

lt_status lt_folder_remove_own(const char *folder, const char *below, bool (*own)(const char *name)) {
    char within[LT_PATH_MAX], path[LT_PATH_MAX], **names;
    int count;
    LT_TRY(lt_path_join(within, folder, below));
    if (!lt_path_is_dir(within)) return LT_OK;
    LT_TRY(lt_list_dir(within, &names, &count));
    lt_status status = LT_OK;
    for (int i = 0; i < count && status == LT_OK; i++) {
        if (!own(names[i])) continue;
        status = lt_path_join(path, within, names[i]);
        if (status == LT_OK) status = lt_remove_tree(path);
    }
    lt_list_free(names, count);
    if (status == LT_OK && *below) (void)rmdir(within); /* unless somebody else's files are there */
    return status;
}

static lt_status in_use(int file, const char *folder) {
    char text[TEXT];
    read_text(file, text);
    char *holder = strchr(text, '\n');
    holder = holder ? holder + 1 : text;
    holder[strcspn(holder, "\n")] = '\0';
    return lt_fail(LT_INPUT, "%s: in use by another process (%s); wait until it has finished", folder,
                   *holder ? holder : "which has just begun");
}

/* Some network file systems have no locks: then that is said, and the user sees to it. */
static lt_status lock_file(int file, const char *folder) {
    int result;
    do result = flock(file, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result == 0) return LT_OK;
    if (errno == EWOULDBLOCK) return in_use(file, folder);
    LT_CHECK(errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS, LT_FAILED, "%s: cannot be locked: %s",
             folder, strerror(errno));
    lt_warn("%s: this file system has no locks (%s); see to it that no other process writes there", folder,
            strerror(errno));
    return LT_OK;
}

static lt_status write_text(int file, const char *path, const char *kind) {
    char text[TEXT], host[128] = "", when[32];
    time_t now = time(NULL);
    (void)gethostname(host, sizeof host - 1);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    int size = snprintf(text, sizeof text, "%s%s\nprocess %ld on %s since %s\n", heading, kind,
                        (long)getpid(), host, when);
    int done = 0;
    ssize_t put = 0;
    while (done < size &&
           (put = TEMP_FAILURE_RETRY(pwrite(file, text + done, (size_t)(size - done), done))) > 0)
        done += (int)put;
    LT_CHECK(done == size, LT_FAILED, "%s: cannot write: %s", path,
             put < 0 ? strerror(errno) : "the disk is full");
    LT_CHECK(TEMP_FAILURE_RETRY(ftruncate(file, size)) == 0, LT_FAILED, "%s: cannot write: %s", path,
             strerror(errno));
    return LT_OK;
}

static lt_status hold(int file, const char *folder, const char *path, const char *kind) {
    char text[TEXT];
    LT_TRY(lock_file(file, folder));
    int size = read_text(file, text);
    text[strcspn(text, "\n")] = '\0';
    LT_CHECK(size <= 0 || strcmp(text, heading) == 0 || strncmp(text, heading, sizeof heading - 1) != 0 ||
                 strcmp(text + sizeof heading - 1, kind) == 0,
             LT_INPUT, "%s: a folder of longtake's, but not of a %s (%s says \"%s\")", folder, kind,
             LT_FOLDER_MARK, text);
    return write_text(file, path, kind);
}

lt_status lt_folder_lock_take(const char *folder, const char *kind, lt_folder_lock **out) {
    char path[LT_PATH_MAX];
    int file;
    *out = NULL;
    LT_TRY(lt_make_dirs(folder));
    LT_TRY(lt_path_join(path, folder, LT_FOLDER_MARK));
    lt_folder_lock *lock = malloc(sizeof *lock);
    LT_CHECK(lock, LT_FAILED, "%s: out of memory", folder);
    lt_status status;
    do {
        file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        status = file >= 0 ? hold(file, folder, path, kind)
                           : lt_fail(LT_FAILED, "%s: cannot write: %s", path, strerror(errno));
        if (status == LT_OK && still_there(file, path)) break;
        if (file >= 0) close(file);
    } while (status == LT_OK);
    lock->file = file;
    if (status == LT_OK) *out = lock;
    else free(lock);
    return status;
}

void lt_folder_lock_forget(lt_folder_lock *lock) {
    if (lock) close(lock->file);
    free(lock);
}

/* Closing would do, were there no children that have not begun yet. */
void lt_folder_lock_release(lt_folder_lock *lock) {
    if (lock) (void)flock(lock->file, LOCK_UN);
    lt_folder_lock_forget(lock);
}
