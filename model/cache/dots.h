/* What the host asks the device about states, gathered: dot products of pairs and rows of other values, all in one
 * launch and one copy (and a copy on the device for each tensor of rows). A copy that the host waits for takes
 * longer than any kernel that entries need, so all readers of a block, and all sequences of a commit, share one.
 *
 *     lt_dots p = {0};
 *     int place = lt_dots_pair(&p, a, b);              as often as wanted
 *     LT_TRY(lt_dots_run(&p, tape));                   also where memory ran out in between
 *     lt_dots_of(&p, place)[h]
 *     lt_dots_free(&p);
 */
#ifndef LT_MODEL_DOTS_H
#define LT_MODEL_DOTS_H

#include "autograd/tape.h"

typedef struct lt_dots {
    int count, capacity;          /* pairs */
    lt_tensor *A, *B;             /* [count]: [H, K] each, sum dtype */
    int tensors, tensor_capacity; /* of rows */
    lt_tensor *rows;              /* [tensors]: [n, H] each */
    int64_t row_count, heads;
    double *values; /* [count + row_count, heads], after lt_dots_run */
    bool out_of_memory;
} lt_dots;

/* Asks for <a, b> per head: returns its place for lt_dots_of. */
int lt_dots_pair(lt_dots *p, lt_tensor a, lt_tensor b);
/* Asks for the values of `rows` [n, H]: returns the place of the first for lt_dots_rows_of; the same for the same
 * tensor. */
int64_t lt_dots_rows(lt_dots *p, lt_tensor rows);

/* Nothing was asked for: does nothing. */
lt_status lt_dots_run(lt_dots *p, lt_tape *tape);
static inline const double *lt_dots_of(const lt_dots *p, int pair) { return p->values + pair * p->heads; }
static inline const double *lt_dots_rows_of(const lt_dots *p, int64_t row) {
    return p->values + (p->count + row) * p->heads;
}
void lt_dots_free(lt_dots *p);

#endif
