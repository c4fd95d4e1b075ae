/* HDF5 files, as much of them as the framework needs: attributes, and arrays that grow along their first
 * dimension, whose elements are numbers or records. Only data/h5*.c includes hdf5.h, and one lock in h5.c
 * lets one caller at a time into the library, whatever file it works on.
 *
 * Writing is transactional (data/journal.h): the file on disk is at every instant what the last commit left,
 * and another program's HDF5 tools can read it.
 */
#ifndef LT_DATA_H5_H
#define LT_DATA_H5_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LT_H5_DIMS   4
#define LT_H5_ARRAYS 16 /* arrays of one file in use */

typedef enum lt_h5_type {
    LT_H5_U8,
    LT_H5_I32,
    LT_H5_U32,
    LT_H5_I64,
    LT_H5_U64,
    LT_H5_F16,
    LT_H5_F32,
    LT_H5_F64,
    LT_H5_TEXT,  /* field of a record only: fixed size, zero-terminated UTF-8 */
    LT_H5_RECORD /* a C struct */
} lt_h5_type;

/* One member of a record; a table of them ends with {NULL}. */
typedef struct lt_h5_field {
    const char *name;
    lt_h5_type type;
    size_t offset;
    int count;     /* bytes of a text; elements of a short array; 1 */
    bool optional; /* older files lack it; memory is then left as it is */
    /* what it is, in its unit: an attribute of the array with the field's name; may be NULL */
    const char *about;
} lt_h5_field;

typedef struct lt_h5_layout {
    lt_h5_type type;
    const lt_h5_field *fields; /* of a record; static */
    size_t record_bytes;
    int ndim;
    int64_t dims[LT_H5_DIMS]; /* dims[0] is the number of rows */
    int64_t chunk_rows;       /* rows per chunk; each chunk carries a Fletcher32 checksum */
    /* Each row has a checksum of its content (core/checksum.h, over the row as it is in memory, the seed being its
     * number), in an array beside it, NAME_sum. It is written with the row, and compared whenever the row is read. */
    bool sums;
    bool sparse; /* rows that were never written are no damage */
    /* What other programs show; NULL: nothing. */
    const char *labels[LT_H5_DIMS], *about, *units;
} lt_h5_layout;

typedef struct lt_h5 lt_h5;

/* A new file, which exists from the first commit on. LT_USAGE when it is there already. */
lt_status lt_h5_create(const char *path, lt_h5 **out);
/* LT_INPUT when it is missing, not HDF5, damaged or in use. HDF5 crashes on some damaged files: a process of its own
 * tries the file first. Nothing is read through links, from other files or through filters other than Fletcher32, and
 * no array claims more than the file can hold. */
lt_status lt_h5_open(const char *path, bool append, lt_h5 **out);
void lt_h5_close(lt_h5 *h5); /* without a commit; NULL is fine */
/* Of a file that is open to append: removes it before anybody else can open it. */
void lt_h5_close_and_remove(lt_h5 *h5);
/* LT_FAILED when the disk is full or fails; then only lt_h5_rollback and lt_h5_close are possible. */
lt_status lt_h5_commit(lt_h5 *h5);
/* Back to the last commit, without letting another writer in. Arrays are bound no longer. */
lt_status lt_h5_rollback(lt_h5 *h5);
/* The path that it was opened by. */
const char *lt_h5_path(const lt_h5 *h5);

/* Attributes of the file ("/") or of an array ("/frames"). Getting one that is missing or of another kind is
 * LT_INPUT. Setting replaces. */
lt_status lt_h5_set_int(lt_h5 *h5, const char *object, const char *name, int64_t value);
lt_status lt_h5_set_float(lt_h5 *h5, const char *object, const char *name, double value);
lt_status lt_h5_set_text(lt_h5 *h5, const char *object, const char *name, const char *value);
lt_status lt_h5_get_int(lt_h5 *h5, const char *object, const char *name, int64_t *out);
lt_status lt_h5_get_float(lt_h5 *h5, const char *object, const char *name, double *out);
lt_status lt_h5_get_text(lt_h5 *h5, const char *object, const char *name, char *out, size_t size);

/* Whether the file has an array of that name. */
bool lt_h5_has(lt_h5 *h5, const char *array);
/* Creates an array of layout->dims rows and binds it: *id serves the functions below. */
lt_status lt_h5_add(lt_h5 *h5, const char *array, const lt_h5_layout *layout, int *id);
/* Binds an array of the file. Its type must match; dims of 0 in the layout match any and are filled in, as
 * dims[0] always is. */
lt_status lt_h5_bind(lt_h5 *h5, const char *array, lt_h5_layout *layout, int *id);
/* Takes an array out of the file. */
lt_status lt_h5_remove(lt_h5 *h5, const char *array);

/* Gives an array its description, unit, labels and those of its fields, as lt_h5_add does. */
lt_status lt_h5_describe(lt_h5 *h5, const char *array, const lt_h5_layout *layout);

/* From now on, rows with checksums of content are read with Fletcher32 compared too, as other programs do. */
void lt_h5_set_thorough(lt_h5 *h5, bool thorough);
/* Those checksums themselves. */
lt_status lt_h5_read_sums(lt_h5 *h5, int id, int64_t first, int64_t count, uint64_t *out);

/* Rows of a bound array. */
int64_t lt_h5_rows(const lt_h5 *h5, int id);
/* New rows are zero; rows cut off are gone. */
lt_status lt_h5_resize(lt_h5 *h5, int id, int64_t rows);
/* Rows first .. first + count - 1, from or to memory of the array's own type; writing past the end makes it
 * longer. */
lt_status lt_h5_write(lt_h5 *h5, int id, int64_t first, int64_t count, const void *data);
lt_status lt_h5_read(lt_h5 *h5, int id, int64_t first, int64_t count, void *out);

#ifdef __cplusplus
}
#endif
#endif
