/* The changed pages of a journaled file, and the journal that makes them safe to copy into place. */
#include "core/log.h"
#include "core/rng.h"
#include "data/journal_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The journal: this header, int64 index[count], then count pages. `tail` is the hash of the last bytes that the file
 * has after the commit, which tells it from any other that came to bear its name. `checksum` covers all but itself. */
typedef struct journal_header {
    char magic[8];
    int64_t page_bytes, count, base, size;
    uint64_t tail, checksum;
} journal_header;

/* What was written until version 0.1 has no `tail`. */
enum { TAIL = 16384, HEADER_BYTES_1 = sizeof(journal_header) - sizeof(uint64_t) };
static const char magic_1[8] = {'L', 'T', 'J', 'R', 'N', 'L', '0', '1'};
static const char magic_2[8] = {'L', 'T', 'J', 'R', 'N', 'L', '0', '2'};

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

uint8_t *lt_jpage_find(const lt_jfile *file, int64_t index) {
    int64_t at = find_page(file, index);
    return at < file->page_count && file->pages[at].index == index ? file->pages[at].bytes : NULL;
}

/* Bytes of a page that are below the base. */
static size_t page_bytes(int64_t index, int64_t base) {
    int64_t left = base - index * LT_JPAGE;
    return left < LT_JPAGE ? (size_t)left : LT_JPAGE;
}

static bool make_room(lt_jfile *file) {
    if (file->page_count < file->page_capacity) return true;
    int64_t capacity = file->page_capacity ? 2 * file->page_capacity : 64;
    lt_jpage *pages = realloc(file->pages, (size_t)capacity * sizeof *pages);
    if (pages) file->pages = pages, file->page_capacity = capacity;
    return pages != NULL;
}

lt_status lt_jpage_take(lt_jfile *file, int64_t index, uint8_t **out) {
    *out = lt_jpage_find(file, index);
    if (*out) return LT_OK;
    uint8_t *bytes = make_room(file) ? calloc(1, LT_JPAGE) : NULL;
    if (!bytes || !lt_jread_all(file->fd, bytes, page_bytes(index, file->base), index * LT_JPAGE)) {
        lt_status status = lt_jfile_break(file, "cannot change a page", file->path);
        free(bytes);
        return status;
    }
    int64_t at = find_page(file, index);
    memmove(file->pages + at + 1, file->pages + at, (size_t)(file->page_count - at) * sizeof(lt_jpage));
    file->pages[at] = (lt_jpage){index, bytes};
    file->page_count++;
    *out = bytes;
    return LT_OK;
}

void lt_jpages_drop(lt_jfile *file) {
    for (int64_t i = 0; i < file->page_count; i++) free(file->pages[i].bytes);
    file->page_count = 0;
}

static uint64_t journal_checksum(journal_header header, const void *body, size_t bytes) {
    bool first = memcmp(header.magic, magic_1, sizeof magic_1) == 0;
    header.checksum = 0;
    uint64_t hash = lt_hash(&header, offsetof(journal_header, tail), LT_HASH_SEED);
    if (!first) hash = lt_hash(&header.tail, sizeof header.tail, hash);
    return lt_hash(body, bytes, lt_hash(&header.checksum, sizeof header.checksum, hash));
}

/* Of the file as the changed pages make it. */
static lt_status hash_tail(lt_jfile *file, int64_t size, uint64_t *out) {
    uint8_t bytes[TAIL];
    int64_t from = size > TAIL ? size - TAIL : 0;
    LT_TRY(lt_jfile_read(file, from, (size_t)(size - from), bytes));
    *out = lt_hash(bytes, (size_t)(size - from), LT_HASH_SEED);
    return LT_OK;
}

/* Whoever cannot take it back does not know whether a later opening will find it, and so leaves the file as it must be
 * for that. */
static void take_back(lt_jfile *file) {
    bool gone = unlink(file->journal) == 0 || errno == ENOENT;
    file->journaled = !gone || lt_sync_parent(file->journal) != LT_OK;
}

static bool write_body(lt_jfile *file, const journal_header *header, const void *body, size_t bytes) {
    int fd = TEMP_FAILURE_RETRY(open(file->journal, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    bool ok = fd >= 0 && lt_jwrite_all(fd, body, bytes, sizeof *header) &&
              lt_jwrite_all(fd, header, sizeof *header, 0) && TEMP_FAILURE_RETRY(fsync(fd)) == 0;
    int reason = errno;
    if (fd >= 0) close(fd); /* it has been flushed: what closing says does not matter */
    errno = reason;
    return ok;
}

lt_status lt_journal_write(lt_jfile *file, int64_t size) {
    size_t index_bytes = (size_t)file->page_count * sizeof(int64_t);
    size_t bytes = index_bytes + (size_t)file->page_count * LT_JPAGE;
    journal_header header = {{0}, LT_JPAGE, file->page_count, file->base, size, 0, 0};
    memcpy(header.magic, magic_2, sizeof header.magic);
    lt_status status = hash_tail(file, size, &header.tail);
    if (status != LT_OK) return lt_jfile_break(file, "cannot read what is to be committed", file->path);
    uint8_t *body = malloc(bytes);
    if (!body) return lt_jfile_break(file, "no memory for the journal", file->path);
    for (int64_t i = 0; i < file->page_count; i++) {
        memcpy(body + (size_t)i * sizeof(int64_t), &file->pages[i].index, sizeof(int64_t));
        memcpy(body + index_bytes + (size_t)i * LT_JPAGE, file->pages[i].bytes, LT_JPAGE);
    }
    header.checksum = journal_checksum(header, body, bytes);
    if (!write_body(file, &header, body, bytes)) {
        status = lt_jfile_break(file, "cannot write", file->journal);
        take_back(file);
    } else if (lt_sync_parent(file->journal) != LT_OK) {
        status = lt_jfile_break(file, "cannot flush the folder of", file->journal);
        take_back(file);
    }
    free(body);
    return status == LT_OK ? LT_OK : lt_jfile_failed(file);
}

static lt_status apply_failed(lt_jfile *file, const char *what) {
    int reason = errno;
    file->failed =
        lt_fail(LT_FAILED, "%s: %s: %s; the commit is complete in %s, and the next opening finishes it",
                file->path, what, strerror(reason), file->journal);
    snprintf(file->error, sizeof file->error, "%s", lt_error());
    return file->failed;
}

lt_status lt_journal_apply(lt_jfile *file) {
    file->journaled = true;
    for (int64_t i = 0; i < file->page_count; i++) {
        const lt_jpage *p = &file->pages[i];
        if (!lt_jwrite_all(file->fd, p->bytes, page_bytes(p->index, file->base), p->index * LT_JPAGE))
            return apply_failed(file, "cannot write");
    }
    if (TEMP_FAILURE_RETRY(fdatasync(file->fd)) != 0) return apply_failed(file, "cannot flush");
    /* One that stays would do the same again, until the next commit replaces it. */
    if (unlink(file->journal) != 0) lt_debug("%s: cannot remove: %s", file->journal, strerror(errno));
    file->journaled = false;
    lt_jpages_drop(file);
    return LT_OK;
}

/* The header, and where the index begins; false when this is no journal that was completed. */
static bool parse(const char *text, size_t bytes, journal_header *header, const char **index) {
    *header = (journal_header){0};
    if (bytes < HEADER_BYTES_1) return false;
    memcpy(header, text, HEADER_BYTES_1);
    size_t head = sizeof *header, each = sizeof(int64_t) + LT_JPAGE;
    if (memcmp(header->magic, magic_1, sizeof magic_1) == 0) {
        head = HEADER_BYTES_1;
        header->checksum = header->tail, header->tail = 0; /* it has only the one */
    } else {
        if (memcmp(header->magic, magic_2, sizeof magic_2) != 0 || bytes < head) return false;
        memcpy(header, text, head);
    }
    *index = text + head;
    size_t body = bytes - head;
    return header->page_bytes == LT_JPAGE && header->count >= 0 && header->base >= 0 && header->size >= 0 &&
           (uint64_t)header->count == body / each && body % each == 0 &&
           header->checksum == journal_checksum(*header, *index, body);
}

bool lt_journal_complete(const char *text, size_t bytes) {
    journal_header header;
    const char *index;
    return parse(text, bytes, &header, &index);
}

static lt_status foreign(const lt_jfile *file) {
    return lt_fail(LT_INPUT,
                   "%s belongs to another file than the %s that is there now: put that file back, or remove "
                   "the journal",
                   file->journal, file->path);
}

/* Whether the tail would be the same in any file, since the journal has all of it; then the size must tell. */
static bool has_whole_tail(const lt_jfile *file, int64_t size) {
    if (size > file->base) return false;
    for (int64_t at = size > TAIL ? size - TAIL : 0; at < size; at += LT_JPAGE - at % LT_JPAGE)
        if (!lt_jpage_find(file, at / LT_JPAGE)) return false;
    return true;
}

/* Puts the journal's pages into memory. */
static lt_status load_pages(lt_jfile *file, const journal_header *header, const char *index) {
    const char *page_data = index + (size_t)header->count * sizeof(int64_t);
    file->base = header->base;
    for (int64_t i = 0; i < header->count; i++) {
        int64_t at;
        uint8_t *into;
        memcpy(&at, index + (size_t)i * sizeof at, sizeof at);
        if (at < 0 || at > header->base / LT_JPAGE || at * LT_JPAGE >= header->base) return foreign(file);
        LT_TRY(lt_jpage_take(file, at, &into));
        memcpy(into, page_data + (size_t)i * LT_JPAGE, LT_JPAGE);
    }
    if (memcmp(header->magic, magic_1, sizeof magic_1) == 0) return LT_OK;
    uint64_t tail = 0;
    LT_TRY(hash_tail(file, header->size, &tail));
    bool same = tail == header->tail && (!has_whole_tail(file, header->size) || file->size == header->base);
    return same ? LT_OK : foreign(file);
}

/* Loads a complete journal's pages; *found is false when there is none, or one that was never completed. */
static lt_status load_journal(lt_jfile *file, bool *found) {
    char *text = NULL;
    const char *index;
    size_t bytes = 0;
    journal_header header;
    *found = false;
    if (!lt_path_exists(file->journal)) return LT_OK;
    LT_TRY(lt_read_file(file->journal, &text, &bytes));
    lt_status status = LT_OK;
    if (parse(text, bytes, &header, &index)) {
        bool fits = header.size <= file->size && header.base <= file->size;
        status = fits ? load_pages(file, &header, index) : foreign(file);
        *found = status == LT_OK;
    }
    free(text);
    return status;
}

lt_status lt_journal_recover(lt_jfile *file) {
    struct stat info;
    bool found;
    if (fstat(file->fd, &info) != 0 || !S_ISREG(info.st_mode))
        return lt_fail(LT_INPUT, "%s: not a regular file", file->path);
    file->base = file->size = info.st_size;
    LT_TRY(load_journal(file, &found));
    if (file->mode == LT_JFILE_READ) return LT_OK;
    if (found) LT_TRY(lt_journal_apply(file));
    else if (unlink(file->journal) != 0 && errno != ENOENT)
        return lt_fail(LT_FAILED, "%s: cannot remove: %s", file->journal, strerror(errno));
    file->journaled = false;
    file->base = file->size; /* what the file lacks of its end is not committed: data/h5.c cuts it off */
    return LT_OK;
}
