/* Files that programs are killed over, disks fill up under, and two processes may name at once.
 *
 * An output is written beside its name and takes it when it is complete: readers see the old file or the new one,
 * never half.
 *
 *     LT_TRY(lt_output_open("rows.csv", &output));
 *     fprintf(lt_output_file(output), ...);                 as often as needed; failures are kept for the end
 *     LT_TRY(lt_output_close(output, true));                flushed to disk, renamed; false: removed
 *
 * A log grows by whole rows, and holds no half of one after a failure:
 *
 *     LT_TRY(lt_rows_open("metrics.jsonl", false, &rows));
 *     LT_TRY(lt_rows_add(rows, text, size));
 *
 * Short writes and interrupted calls are gone on with; folders are flushed after a name in them has changed.
 */
#ifndef LT_CORE_OUTPUT_H
#define LT_CORE_OUTPUT_H

#include "core/io.h"
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_output lt_output;

/* Starts PATH.tmp and the number of this process. LT_FAILED with PATH and the reason. */
lt_status lt_output_open(const char *path, lt_output **out);
FILE *lt_output_file(const lt_output *output);
/* Frees it. With `keep`: LT_FAILED where anything could not be written; then PATH is as it was. NULL is fine. */
lt_status lt_output_close(lt_output *output, bool keep);
/* The same for what is not complete, and worth keeping: it gets the name lt_part_path(PATH), and what has the name
 * PATH stays. */
lt_status lt_output_leave(lt_output *output);

/* "DIR/v.part.mp4" for "DIR/v.mp4". */
lt_status lt_part_path(const char *path, char part[LT_PATH_MAX]);

/* Takes a lock on a file, made where it is missing, that lasts until *descriptor is closed. LT_INPUT when another
 * process has it. */
lt_status lt_lock_file(const char *path, int *descriptor);

/* Gives a finished file or folder its name, and flushes the folder of that. */
lt_status lt_rename(const char *from, const char *to);

typedef struct lt_rows lt_rows;

/* Opens for appending; `fresh`: the file must not be there yet, and LT_USAGE says that it is. */
lt_status lt_rows_open(const char *path, bool fresh, lt_rows **out);
/* All of it or nothing. */
lt_status lt_rows_add(lt_rows *rows, const void *data, size_t size);
/* What was added survives a power cut. */
lt_status lt_rows_sync(lt_rows *rows);
void lt_rows_close(lt_rows *rows); /* NULL is fine */

/* A file that a command is going to write, or one that it reads and must not write over. */
typedef struct lt_file_use {
    const char *option; /* "--stats"; for messages */
    const char *path;   /* NULL: not asked for */
    bool input;
    bool remains; /* an output that may be there: what a stopped process left of it is replaced */
} lt_file_use;

/* Before any work: LT_USAGE where two uses are one file (under whatever name), an output is there and `force` is not
 * given, or it is no regular file; LT_FAILED where its folder cannot be written. */
lt_status lt_check_files(const lt_file_use *uses, int count, bool force);

#ifdef __cplusplus
}
#endif
#endif
