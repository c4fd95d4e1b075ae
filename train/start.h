/* What a run started from (--init): recorded in its environment.json, so that a run which was stopped before its first
 * checkpoint starts from the same values again. */
#ifndef LT_TRAIN_START_H
#define LT_TRAIN_START_H

#include "core/io.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_start {
    char folder[LT_PATH_MAX]; /* of the weights, absolute; "": new values */
    uint64_t weights;         /* lt_weights_hash */
} lt_start;

/* The weights of `source`, a run or a folder, as they are now. */
lt_status lt_start_find(const char *source, lt_start *out);
/* LT_INPUT where they are gone or others. */
lt_status lt_start_check(const lt_start *init);

/* What `path`, an environment.json, says; LT_INPUT where it cannot be read. *out has no folder where it names none, and
 * then. */
lt_status lt_start_read(const char *path, lt_start *out);

#ifdef __cplusplus
}
#endif
#endif
