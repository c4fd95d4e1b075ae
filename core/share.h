/* What is shipped with the program: configs/ (presets) and experiments/ (with a trained model). An
 * installed program has them in share/longtake beside its bin, wherever that was moved to; one that was
 * only built has those of its source tree. */
#ifndef LT_CORE_SHARE_H
#define LT_CORE_SHARE_H

#include "core/io.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The folder that holds them; false where there is none. */
bool lt_share_folder(char path[LT_PATH_MAX]);
/* `name` itself where it exists, else the shipped file or folder of that name ("experiments/tiny"), else
 * `name`. Only what lies in experiments/ is meant. Returns `path`. */
const char *lt_share_find(const char *name, char path[LT_PATH_MAX]);

#ifdef __cplusplus
}
#endif
#endif
