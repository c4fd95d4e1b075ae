/* What tape.c takes from segment.c. Private to autograd/. */
#ifndef LT_AUTOGRAD_TAPE_INTERNAL_H
#define LT_AUTOGRAD_TAPE_INTERNAL_H

#include "autograd/tape.h"

/* Memory of a value that is not kept. */
lt_status lt_tape_new_far(lt_tape *tape, lt_dtype dtype, lt_tensor *value, int ndim, const int64_t *shape);

#endif
