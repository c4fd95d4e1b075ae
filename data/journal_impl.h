/* What an open journaled file is made of. Private to data/journal*.c. */
#ifndef LT_DATA_JOURNAL_IMPL_H
#define LT_DATA_JOURNAL_IMPL_H

#include "core/io.h"
#include "data/journal.h"

#define LT_JPAGE 4096

typedef struct lt_jpage {
    int64_t index;
    uint8_t *bytes; /* LT_JPAGE of them */
} lt_jpage;

struct lt_jfile {
    char path[LT_PATH_MAX]; /* of the file itself: links to it are followed */
    char journal[LT_PATH_MAX + 16];
    char fresh[LT_PATH_MAX + 16]; /* the name before the first commit */
    lt_jfile_mode mode;
    int fd;
    bool owned;     /* its lock is held, and `path` or `fresh` names this very file */
    bool ready;     /* base is known */
    bool named;     /* has its final name */
    bool discard;   /* writes are forgotten */
    bool journaled; /* a complete journal may lie beside it and is still to be applied: nothing is cut off */
    lt_status failed;      /* of the first write that failed */
    lt_status read_failed; /* of the latest read */
    char error[512], read_error[512];
    int64_t base;    /* bytes below are committed and only change through pages */
    int64_t size;    /* end of what was written */
    lt_jpage *pages; /* sorted by index */
    int64_t page_count, page_capacity;
};

/* Remembers the first failure of a write, with the system's reason, and returns it. */
lt_status lt_jfile_break(lt_jfile *file, const char *what, const char *path);

/* Calls that a signal interrupts are repeated; no more is written or read than all of it. errno says why not; it is 0
 * where the file ends early. */
bool lt_jwrite_all(int fd, const void *data, size_t bytes, int64_t offset);
bool lt_jread_all(int fd, void *data, size_t bytes, int64_t offset);

/* Page `index` as it is in memory; NULL when it has not changed. */
uint8_t *lt_jpage_find(const lt_jfile *file, int64_t index);
/* The same, read from the file if need be. */
lt_status lt_jpage_take(lt_jfile *file, int64_t index, uint8_t **out);
void lt_jpages_drop(lt_jfile *file);

/* Makes a journal of the changed pages, durable; the file will be `size` bytes long. */
lt_status lt_journal_write(lt_jfile *file, int64_t size);
/* Copies the changed pages into place and removes the journal, which holds them: a failure is repaired by the next
 * opening. */
lt_status lt_journal_apply(lt_jfile *file);
/* The bytes are those of a journal that was completed. */
bool lt_journal_complete(const char *text, size_t bytes);
/* Finishes a commit that was begun: in the file, or in memory when it is only read. */
lt_status lt_journal_recover(lt_jfile *file);

#endif
