/* Files and folders, with errors that name the path and the reason. */
#ifndef LT_CORE_IO_H
#define LT_CORE_IO_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LT_PATH_MAX 4096

/* Whether there is a file or folder of that name; a folder. */
bool lt_path_exists(const char *path);
bool lt_path_is_dir(const char *path);
/* Joins with one '/' between; LT_USAGE when the result does not fit LT_PATH_MAX bytes. */
lt_status lt_path_join(char out[LT_PATH_MAX], const char *folder, const char *name);
const char *lt_path_base(const char *path); /* what follows the last '/' */

/* Creates a folder and its parents; existing ones are fine. */
lt_status lt_make_dirs(const char *path);
/* Removes a file or a folder with all it holds; a missing one is fine. Refuses "", "/" and ".". */
lt_status lt_remove_tree(const char *path);

/* Names in a folder, sorted by bytes, without "." and ".."; free with lt_list_free. */
lt_status lt_list_dir(const char *path, char ***names, int *count);
void lt_list_free(char **names, int count);

/* The whole file with a terminating zero; the caller frees it. LT_INPUT when it cannot be read. */
lt_status lt_read_file(const char *path, char **out, size_t *size);
/* lt_hash (core/rng.h) of a file's bytes, read in pieces. LT_INPUT when it cannot be read. */
lt_status lt_hash_file(const char *path, uint64_t *out);
/* The same for a text that people write: UTF-8 without zeros, else LT_INPUT; a byte order mark is left out. */
lt_status lt_read_text(const char *path, char **out, size_t *size);
/* Writes beside `path`, flushes to disk, renames over it, flushes the folder: a reader sees old or new, never half. */
lt_status lt_write_file(const char *path, const void *data, size_t size);
/* Flushes a file or folder that was written by other means; the folder in which `path` lies, so that its name stays. */
lt_status lt_sync_path(const char *path);
lt_status lt_sync_parent(const char *path);

/* LT_FAILED, with both numbers, when the file system of `path` (or its nearest existing parent) has less than
 * `bytes`. */
lt_status lt_require_space(const char *path, int64_t bytes);

double lt_seconds(void); /* monotonic clock */
/* Peak and current resident set of this process, bytes. */
int64_t lt_rss_peak(void);
int64_t lt_rss_now(void);

/* After lt_catch_signals, SIGINT and SIGTERM only set a flag that long loops look at; a second one ends the process. */
void lt_catch_signals(void);
bool lt_interrupted(void);

/* First of all, in main: descriptors 0, 1 and 2 that the caller has closed are taken, so that no file gets one of
 * them and what is printed into it; and a reader that goes away is an error of writing, not the end of the process. */
void lt_hold_standard(void);
/* At the end: LT_FAILED when something that was printed to stdout has not arrived. */
lt_status lt_end_standard(void);

#ifdef __cplusplus
}
#endif
#endif
