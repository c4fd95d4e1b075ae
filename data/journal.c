#include "data/journal.h"
#include "core/io.h"
#include "core/log.h"
#include "core/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

typedef struct page {
    int64_t index;
    uint8_t *bytes; /* PAGE of them */
} page;

struct lt_jfile {
    char path[LT_PATH_MAX];
    char journal[LT_PATH_MAX + 16];
    char fresh[LT_PATH_MAX + 16]; /* the name before the first commit */
    lt_jfile_mode mode;
    int fd;
    bool named;       /* has its final name */
    bool discard;     /* writes are forgotten */
    bool torn;        /* the journal has been applied in part */
    lt_status failed; /* of the first write that failed */
    char error[512];
    int64_t base; /* bytes below are committed and only change through pages */
    int64_t size; /* end of what was written */
    page *pages;  /* sorted by index */
    int64_t page_count, page_capacity;
};

/* The journal: this header, int64 index[count], then count pages. `checksum` covers all but itself. */
typedef struct journal_header {
    char magic[8];
    int64_t page_bytes, count, base, size;
    uint64_t checksum;
} journal_header;

static const char journal_magic[8] = {'L', 'T', 'J', 'R', 'N', 'L', '0', '1'};

lt_status lt_jfile_failed(const lt_jfile *file) {
    return file->failed == LT_OK ? LT_OK : lt_fail(file->failed, "%s", file->error);
}

static lt_status broken(lt_jfile *file, const char *what, const char *path) {
    LT_TRY(lt_jfile_failed(file));
    file->failed =
        lt_fail(LT_FAILED, "%s: %s: %s; nothing since the last commit was kept", path, what, strerror(errno));
    snprintf(file->error, sizeof file->error, "%s", lt_error());
    return file->failed;
}

static bool write_all(int fd, const void *data, size_t bytes, int64_t offset) {
    const char *p = data;
    while (bytes > 0) {
        ssize_t done = pwrite(fd, p, bytes, offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        p += done, offset += done, bytes -= (size_t)done;
    }
    return true;
}

/* Zeros stand for what lies past the end. */
static bool read_all(int fd, void *data, size_t bytes, int64_t offset) {
    char *p = data;
    while (bytes > 0) {
        ssize_t done = pread(fd, p, bytes, offset);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        if (done == 0) {
            memset(p, 0, bytes);
            return true;
        }
        p += done, offset += done, bytes -= (size_t)done;
    }
    return true;
}

/* Where page `index` is, or would be inserted. */
static int64_t find_page(const lt_jfile *file, int64_t index) {
    int64_t low = 0, high = file->page_count;
    if (high > 0 && file->pages[high - 1].index < index) return high;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (file->pages[middle].index < index) low = middle + 1;
        else high = middle;
    }
    return low;
}

static uint8_t *page_at(const lt_jfile *file, int64_t index) {
    int64_t at = find_page(file, index);
    return at < file->page_count && file->pages[at].index == index ? file->pages[at].bytes : NULL;
}

/* Inserts a page with the bytes that the file has there; NULL when out of memory or unreadable. */
static uint8_t *add_page(lt_jfile *file, int64_t index) {
    if (file->page_count == file->page_capacity) {
        int64_t capacity = file->page_capacity ? 2 * file->page_capacity : 64;
        page *pages = realloc(file->pages, (size_t)capacity * sizeof *pages);
        if (!pages) return NULL;
        file->pages = pages, file->page_capacity = capacity;
    }
    uint8_t *bytes = malloc(PAGE);
    if (!bytes || !read_all(file->fd, bytes, PAGE, index * PAGE)) {
        free(bytes);
        return NULL;
    }
    int64_t at = find_page(file, index);
    memmove(file->pages + at + 1, file->pages + at, (size_t)(file->page_count - at) * sizeof(page));
    file->pages[at] = (page){index, bytes};
    file->page_count++;
    return bytes;
}

static void drop_pages(lt_jfile *file) {
    for (int64_t i = 0; i < file->page_count; i++) free(file->pages[i].bytes);
    file->page_count = 0;
}

/* Bytes of a page that are below the base. */
static size_t page_bytes(int64_t index, int64_t base) {
    int64_t left = base - index * PAGE;
    return left < PAGE ? (size_t)left : PAGE;
}

/* Bytes from `offset` to the end of its page, the base or the request. */
static size_t page_span(const lt_jfile *file, int64_t offset, size_t bytes) {
    int64_t span = PAGE - offset % PAGE;
    if (span > file->base - offset) span = file->base - offset;
    return (size_t)span < bytes ? (size_t)span : bytes;
}

lt_status lt_jfile_read(lt_jfile *file, int64_t offset, size_t bytes, void *out) {
    if (!read_all(file->fd, out, bytes, offset))
        return lt_fail(LT_INPUT, "%s: cannot read: %s", file->path, strerror(errno));
    char *p = out;
    while (file->page_count > 0 && bytes > 0 && offset < file->base) {
        size_t span = page_span(file, offset, bytes);
        const uint8_t *changed = page_at(file, offset / PAGE);
        if (changed) memcpy(p, changed + offset % PAGE, span);
        p += span, offset += (int64_t)span, bytes -= span;
    }
    return LT_OK;
}

lt_status lt_jfile_write(lt_jfile *file, int64_t offset, size_t bytes, const void *data) {
    if (file->discard) return LT_OK;
    LT_TRY(lt_jfile_failed(file));
    const char *p = data;
    if (offset + (int64_t)bytes > file->size) file->size = offset + (int64_t)bytes;
    while (bytes > 0 && offset < file->base) {
        size_t span = page_span(file, offset, bytes);
        uint8_t *changed = page_at(file, offset / PAGE);
        if (!changed) changed = add_page(file, offset / PAGE);
        if (!changed) return broken(file, "cannot buffer a change", file->path);
        memcpy(changed + offset % PAGE, p, span);
        p += span, offset += (int64_t)span, bytes -= span;
    }
    if (!write_all(file->fd, p, bytes, offset)) return broken(file, "cannot write", file->path);
    return LT_OK;
}

int64_t lt_jfile_size(const lt_jfile *file) { return file->size; }

static uint64_t journal_checksum(journal_header header, const void *body, size_t bytes) {
    header.checksum = 0;
    return lt_hash(body, bytes, lt_hash(&header, sizeof header, LT_HASH_SEED));
}

static lt_status write_journal(lt_jfile *file, int64_t size) {
    size_t index_bytes = (size_t)file->page_count * sizeof(int64_t);
    size_t bytes = index_bytes + (size_t)file->page_count * PAGE;
    uint8_t *body = malloc(bytes);
    if (!body) return broken(file, "no memory for the journal", file->path);
    for (int64_t i = 0; i < file->page_count; i++) {
        memcpy(body + (size_t)i * sizeof(int64_t), &file->pages[i].index, sizeof(int64_t));
        memcpy(body + index_bytes + (size_t)i * PAGE, file->pages[i].bytes, PAGE);
    }
    journal_header header = {{0}, PAGE, file->page_count, file->base, size, 0};
    memcpy(header.magic, journal_magic, sizeof header.magic);
    header.checksum = journal_checksum(header, body, bytes);
    int fd = open(file->journal, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && write_all(fd, body, bytes, sizeof header) &&
              write_all(fd, &header, sizeof header, 0) && fsync(fd) == 0;
    free(body);
    if (!ok) broken(file, "cannot write", file->journal);
    if (fd >= 0) close(fd);
    if (!ok) unlink(file->journal);
    return ok ? lt_sync_path(file->journal) : file->failed;
}

/* Copies the pages into place. They are in the journal, so a failure here is repaired by the next opening. */
static lt_status apply_pages(lt_jfile *file, int64_t base) {
    file->torn = true;
    for (int64_t i = 0; i < file->page_count; i++) {
        const page *p = &file->pages[i];
        if (!write_all(file->fd, p->bytes, page_bytes(p->index, base), p->index * PAGE))
            return broken(file, "cannot write", file->path);
    }
    if (fdatasync(file->fd) != 0) return broken(file, "cannot flush", file->path);
    file->torn = false;
    unlink(file->journal);
    drop_pages(file);
    return LT_OK;
}

static lt_status give_name(lt_jfile *file) {
    if (rename(file->fresh, file->path) != 0) return broken(file, "cannot create", file->path);
    file->named = true;
    return lt_sync_path(file->path);
}

lt_status lt_jfile_commit(lt_jfile *file, int64_t size) {
    LT_TRY(lt_jfile_failed(file));
    if (file->mode == LT_JFILE_READ || file->discard)
        return lt_fail(LT_USAGE, "%s: not open for writing", file->path);
    int64_t least =
        size > file->base ? size : file->base; /* a shorter file loses its end only after the commit */
    if (ftruncate(file->fd, least) != 0) return broken(file, "cannot set the size", file->path);
    if (fdatasync(file->fd) != 0) return broken(file, "cannot flush", file->path);
    if (file->page_count > 0) {
        LT_TRY(write_journal(file, size));
        LT_TRY(apply_pages(file, file->base));
    }
    if (size < least && ftruncate(file->fd, size) != 0)
        return broken(file, "cannot set the size", file->path);
    if (!file->named) LT_TRY(give_name(file));
    file->base = file->size = size;
    return LT_OK;
}

void lt_jfile_discard(lt_jfile *file) { file->discard = true; }

void lt_jfile_set_committed(lt_jfile *file, int64_t size) {
    if (size < file->base) file->base = file->size = size;
}

/* Loads a complete journal's pages; *found is false when there is none, or one that was never completed. */
static lt_status load_journal(lt_jfile *file, journal_header *header, bool *found) {
    char *text = NULL;
    size_t bytes = 0;
    *found = false;
    if (!lt_path_exists(file->journal)) return LT_OK;
    LT_TRY(lt_read_file(file->journal, &text, &bytes));
    lt_status status = LT_OK;
    if (bytes < sizeof *header) goto done;
    memcpy(header, text, sizeof *header);
    size_t body = bytes - sizeof *header, each = sizeof(int64_t) + PAGE;
    if (memcmp(header->magic, journal_magic, sizeof journal_magic) != 0 || header->page_bytes != PAGE)
        goto done;
    if (header->count < 0 || (uint64_t)header->count != body / each || body % each != 0) goto done;
    if (header->checksum != journal_checksum(*header, text + sizeof *header, body)) goto done;
    if (header->size > file->size) {
        status = lt_fail(
            LT_INPUT,
            "%s belongs to a file of %lld bytes, but %s has %lld: put that file back, or remove the journal",
            file->journal, (long long)header->size, file->path, (long long)file->size);
        goto done;
    }
    const char *index = text + sizeof *header, *page_data = index + (size_t)header->count * sizeof(int64_t);
    for (int64_t i = 0; i < header->count && status == LT_OK; i++) {
        int64_t at;
        memcpy(&at, index + (size_t)i * sizeof at, sizeof at);
        uint8_t *into = at >= 0 && at * PAGE < header->base ? add_page(file, at) : NULL;
        if (into) memcpy(into, page_data + (size_t)i * PAGE, PAGE);
        else status = lt_fail(LT_INPUT, "%s: cannot load page %lld", file->journal, (long long)at);
    }
    *found = status == LT_OK;
done:
    free(text);
    return status;
}

/* Finishes a commit that a dead process had begun: in the file, or in memory when it is only read. */
static lt_status recover(lt_jfile *file) {
    journal_header header;
    bool found;
    LT_TRY(load_journal(file, &header, &found));
    if (file->mode == LT_JFILE_APPEND) {
        if (found) LT_TRY(apply_pages(file, header.base));
        else unlink(file->journal);
    } else if (found) {
        file->base = header.base;
    }
    return LT_OK;
}

static lt_status open_file(lt_jfile *file) {
    bool create = file->mode == LT_JFILE_CREATE;
    if (create && lt_path_exists(file->path)) return lt_fail(LT_USAGE, "%s: exists already", file->path);
    int flags = create ? O_RDWR | O_CREAT : file->mode == LT_JFILE_APPEND ? O_RDWR : O_RDONLY;
    file->fd = open(create ? file->fresh : file->path, flags | O_CLOEXEC, 0666);
    if (file->fd < 0)
        return lt_fail(create ? LT_FAILED : LT_INPUT, "%s: cannot %s: %s", file->path,
                       create ? "create" : "open", strerror(errno));
    if (flock(file->fd, (file->mode == LT_JFILE_READ ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 &&
        errno == EWOULDBLOCK)
        return lt_fail(LT_INPUT, "%s: in use by another process; wait until it has finished", file->path);
    file->named = !create;
    struct stat info;
    if (fstat(file->fd, &info) != 0 || !S_ISREG(info.st_mode))
        return lt_fail(LT_INPUT, "%s: not a regular file", file->path);
    if (!create) {
        file->base = file->size = info.st_size;
        return recover(file);
    }
    unlink(file->journal);
    if (ftruncate(file->fd, 0) != 0) return broken(file, "cannot empty", file->fresh);
    return LT_OK;
}

lt_status lt_jfile_open(const char *path, lt_jfile_mode mode, lt_jfile **out) {
    *out = NULL;
    LT_CHECK(strlen(path) < LT_PATH_MAX, LT_USAGE, "%.60s...: longer than %d bytes", path, LT_PATH_MAX);
    lt_jfile *file = calloc(1, sizeof *file);
    LT_CHECK(file, LT_FAILED, "%s: out of memory", path);
    snprintf(file->path, sizeof file->path, "%s", path);
    snprintf(file->journal, sizeof file->journal, "%s.journal", path);
    snprintf(file->fresh, sizeof file->fresh, "%s.new", path);
    file->mode = mode;
    file->fd = -1;
    file->named = true;
    lt_status status = open_file(file);
    if (status != LT_OK) {
        lt_jfile_close(file);
        return status;
    }
    *out = file;
    return LT_OK;
}

void lt_jfile_close(lt_jfile *file) {
    if (!file) return;
    if (file->fd >= 0) {
        /* Only tidies: bytes above the base mean nothing, except to a journal that is still to be applied. */
        bool tidy = file->mode != LT_JFILE_READ && !file->torn;
        if (tidy && ftruncate(file->fd, file->base) != 0)
            lt_debug("%s: cannot tidy: %s", file->path, strerror(errno));
        if (!file->named) unlink(file->fresh);
        close(file->fd);
    }
    drop_pages(file);
    free(file->pages);
    free(file);
}
