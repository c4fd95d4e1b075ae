/* A file that is changed in transactions: after a kill, a crash or a full disk it holds exactly what the last
 * commit left. It sits below HDF5 (data/h5_driver.c), which would otherwise rewrite its metadata in place, in
 * no safe order.
 *
 * Bytes below the size of the last commit are never overwritten before a commit: changed pages are kept in
 * memory, and reads see them. Bytes above that size belong to nobody yet and are written at once. A commit
 * flushes them, then writes the changed pages to PATH.journal, flushes that and its folder, copies the pages into
 * place and removes the journal. Opening a file beside which a complete journal lies finishes that commit; an
 * incomplete journal is of a commit that never was. A new file is written as PATH.new and gets its name at
 * the first commit.
 *
 * One process has a file open for appending, or any number for reading (flock, as far as the file system has it: a
 * warning says where it has not). The lock is on the file itself, whatever name leads to it, and no byte changes
 * before it is held. A symbolic link is followed first: the journal lies beside the file. Not thread-safe: the caller
 * holds a lock.
 */
#ifndef LT_DATA_JOURNAL_H
#define LT_DATA_JOURNAL_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_jfile lt_jfile;
typedef enum lt_jfile_mode { LT_JFILE_READ, LT_JFILE_APPEND, LT_JFILE_CREATE } lt_jfile_mode;

/* LT_INPUT: missing, unreadable, in use. LT_USAGE: to be created, but there. LT_FAILED: cannot be created or
 * written. */
lt_status lt_jfile_open(const char *path, lt_jfile_mode mode, lt_jfile **out);
/* Rolls back what was not committed. NULL is fine. */
void lt_jfile_close(lt_jfile *file);
/* Removes the file while its lock is held, so that nobody else can have begun to use it, and closes it. */
void lt_jfile_remove(lt_jfile *file);

/* LT_INPUT where the file ends before what it held when it was opened. What is above that reads as zero to a writer. */
lt_status lt_jfile_read(lt_jfile *file, int64_t offset, size_t bytes, void *out);
/* What was read cannot be used, and lt_error() says why: kept beside HDF5, which has no way to pass it on. */
void lt_jfile_set_read_failed(lt_jfile *file, lt_status status);
lt_status lt_jfile_read_failed(lt_jfile *file); /* the latest such failure again, once; or LT_OK */
/* The first LT_FAILED sticks: all later writes and commits report it, until it is rolled back or closed. */
lt_status lt_jfile_write(lt_jfile *file, int64_t offset, size_t bytes, const void *data);
lt_status lt_jfile_failed(const lt_jfile *file); /* that failure again, or LT_OK */
int64_t lt_jfile_size(const lt_jfile *file);     /* end of what was written, uncommitted bytes included */

/* Makes the writes permanent, with the file `size` bytes long. After a failure the file holds what the commit before
 * left, unless the message says that the journal is complete: then the next opening or rollback finishes this one. */
lt_status lt_jfile_commit(lt_jfile *file, int64_t size);
/* Back to the last commit, without letting go of the lock. */
lt_status lt_jfile_rollback(lt_jfile *file);
/* From here on writes are accepted and forgotten, until a rollback: for a caller whose shutdown writes. */
void lt_jfile_discard(lt_jfile *file);
/* Before the first write of a session: what lies above `size` is left over from a process that died. */
void lt_jfile_set_committed(lt_jfile *file, int64_t size);

/* In a child process that goes on reading: lets go of the lock, which would otherwise outlive a parent that is
 * killed. */
void lt_jfile_forked(lt_jfile *file);

#ifdef __cplusplus
}
#endif
#endif
