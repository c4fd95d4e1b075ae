/* Inside kernels/attention: what the launches of one call of combine or its backward do, as lists of states to fold.
 *
 * Both directions are folds. Forward, a list is a combination and its items are the sources. Backward, a list is the
 * gradient of a source and its items are the gradients of the sums that read it, in the order of the call: so each
 * gradient is written once, by one block of threads, however many readers it has.
 *
 * A plan is the argument of a kernel, which has room for 32,764 bytes; a longer call takes several, in the order that
 * they are handed out. */
#ifndef LT_KERNELS_ATTENTION_COMBINE_PLAN_H
#define LT_KERNELS_ATTENTION_COMBINE_PLAN_H

#include "kernels/attention/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_FOLD_LISTS = 192, LT_FOLD_ITEMS = 384, LT_DOT_ITEMS = 256 };

typedef struct lt_fold_item {
    const float *S, *z;
    const float *w; /* [H]; NULL: 1 */
} lt_fold_item;

/* acc = w_0 item_0, or what the result holds where `adds`; then acc = fma(w, item, acc) for the others. */
typedef struct lt_fold_list {
    float *S, *z; /* the result; NULL: not wanted */
    int first, count;
    bool adds;
} lt_fold_list;

typedef struct lt_fold_plan {
    int lists, heads;
    int64_t S_size, z_size; /* elements a head */
    lt_fold_list list[LT_FOLD_LISTS];
    lt_fold_item item[LT_FOLD_ITEMS];
} lt_fold_plan;

/* dw[h] (+)= <dS, S> + <dz, z> of head h. */
typedef struct lt_dot_item {
    const float *S, *z, *dS, *dz;
    float *dw; /* [H] */
    bool adds;
} lt_dot_item;

typedef struct lt_dot_plan {
    int items, heads;
    int64_t S_size, z_size;
    lt_dot_item item[LT_DOT_ITEMS];
} lt_dot_plan;

/* How far a call has been handed out: start at zero. */
typedef struct lt_plan_place {
    int sum, source;
} lt_plan_place;

/* The next plan; false when there is none left. */
bool lt_fold_next(const lt_attn_combine_args *args, lt_plan_place *place, lt_fold_plan *plan);
bool lt_spread_next(const lt_attn_combine_backward_args *args, lt_plan_place *place, lt_fold_plan *plan);
bool lt_dots_next(const lt_attn_combine_backward_args *args, lt_plan_place *place, lt_dot_plan *plan);

#ifdef __cplusplus
}
#endif
#endif
