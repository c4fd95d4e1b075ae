/* Folders that longtake makes (a run, results): one process writes at a time, and what longtake did not make is not
 * replaced.
 *
 * Both hang on FOLDER/.longtake. Its first line says what the folder is; the second which process writes there, or
 * wrote there last. Writers hold a lock on the file (flock), which ends with them however they end. Readers need
 * none.
 *
 *     LT_TRY(lt_folder_lock_take("runs/a", "run", &lock));
 *     ...
 *     lt_folder_lock_release(lock);
 */
#ifndef LT_CORE_FOLDER_H
#define LT_CORE_FOLDER_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LT_FOLDER_MARK ".longtake"

typedef struct lt_folder_lock lt_folder_lock;

/* Whether `folder` is marked as a `kind`; whether it holds nothing, the mark apart. */
bool lt_folder_is(const char *folder, const char *kind);
bool lt_folder_is_empty(const char *folder);

/* Removes from `folder`, or from the folder `below` in it where that is not "", the names that `own` knows; whatever
 * else is there stays. A folder below that is then empty goes too; one that is missing is fine. */
lt_status lt_folder_remove_own(const char *folder, const char *below, bool (*own)(const char *name));

/* Makes the folder where it is missing and marks it. LT_INPUT when another process holds it (with its number and
 * machine), or it is marked as something else. */
lt_status lt_folder_lock_take(const char *folder, const char *kind, lt_folder_lock **out);
/* The mark stays. NULL is fine. */
void lt_folder_lock_release(lt_folder_lock *lock);
/* For a child of the holder, which must not hold on when that has ended: gives up its own copy. */
void lt_folder_lock_forget(lt_folder_lock *lock);

#ifdef __cplusplus
}
#endif
#endif
