/* Vars, gradient slots and the backward pass. Segments, and values that are not kept, are in segment.c. */
#include "autograd/tape_internal.h"

#include "kernels/elementwise/elementwise.h"

#include <string.h>

void lt_tape_init(lt_tape *tape, lt_ctx *ctx, lt_arena *step) {
    memset(tape, 0, sizeof *tape);
    tape->ctx = ctx;
    tape->step = step;
    tape->base_mark = lt_arena_mark(step);
    tape->base_far = step->far;
}

void lt_tape_reset(lt_tape *tape) {
    lt_arena_release(tape->step, tape->base_mark);
    tape->step->far = tape->base_far;
    lt_pool_reset(&tape->pool);
    tape->last = NULL;
    tape->open = NULL;
    tape->far = NULL;
    tape->fate = LT_VALUE_KEPT;
}

void lt_tape_free(lt_tape *tape) {
    lt_tape_reset(tape);
    lt_pool_free(&tape->pool);
}

void *lt_tape_saved(lt_tape *tape, size_t bytes) { return lt_pool_alloc(&tape->pool, bytes); }

lt_status lt_tape_var(lt_tape *tape, lt_tensor value, bool needs_grad, lt_var **out) {
    lt_var *var = lt_pool_alloc(&tape->pool, sizeof *var);
    if (!var) return LT_FAILED;
    var->value = value;
    var->needs_grad = needs_grad && tape->recording;
    *out = var;
    return LT_OK;
}

lt_status lt_tape_new(lt_tape *tape, lt_dtype dtype, bool needs_grad, lt_var **out, int ndim,
                      const int64_t *shape) {
    lt_tensor value;
    LT_TRY(tape->fate == LT_VALUE_KEPT ? lt_tensor_new(tape->step, dtype, &value, ndim, shape)
                                       : lt_tape_new_far(tape, dtype, &value, ndim, shape));
    return lt_tape_var(tape, value, needs_grad, out);
}

lt_status lt_tape_reshape(lt_tape *tape, lt_var *var, lt_var **out, int ndim, const int64_t *shape) {
    lt_tensor value = lt_reshape(var->value, ndim, shape);
    if (lt_is_empty(&value)) {
        char text[128];
        return lt_fail(LT_FAILED, "reshape: %s does not fit the shape asked for",
                       lt_tensor_text(&var->value, text, sizeof text));
    }
    LT_TRY(lt_tape_var(tape, value, var->needs_grad, out));
    (*out)->base = var;
    (*out)->alias = true;
    (*out)->scale = var->scale;
    return LT_OK;
}

lt_status lt_tape_detach(lt_tape *tape, const lt_var *var, lt_var **out) {
    return lt_tape_var(tape, var->value, false, out);
}

/* The gradient of a view: the same place in its base's gradient as the view's value has in the base's value.
 */
static lt_tensor view_of_grad(const lt_var *view) {
    lt_tensor grad = view->value;
    grad.data = (char *)view->base->grad.data + ((char *)view->value.data - (char *)view->base->value.data);
    return grad;
}

static lt_status ensure_grad(lt_tape *tape, lt_var *var) {
    if (!lt_is_empty(&var->grad)) return LT_OK;
    if (!var->base)
        return lt_tensor_new(tape->step, var->value.dtype, &var->grad, var->value.ndim, var->value.shape);
    LT_TRY(ensure_grad(tape, var->base));
    var->grad = view_of_grad(var);
    return LT_OK;
}

/* Who keeps the has_grad flag: an alias shares its base's. */
static lt_var *owner_of(lt_var *var) {
    while (var->alias) var = var->base;
    return var;
}

lt_status lt_tape_grad_slot(lt_tape *tape, lt_var *var, lt_tensor *grad, bool *accumulate) {
    memset(grad, 0, sizeof *grad);
    *accumulate = false;
    if (!var || !var->needs_grad) return LT_OK;
    LT_TRY(ensure_grad(tape, var));
    lt_var *owner = owner_of(var);
    *grad = var->grad;
    *accumulate = owner->has_grad;
    owner->has_grad = true;
    return LT_OK;
}

lt_tensor lt_tape_grad_of(lt_var *var) {
    static const lt_tensor none;
    if (!owner_of(var)->has_grad) return none;
    return var->alias ? view_of_grad(var) : var->grad;
}

lt_status lt_tape_grad_give(lt_tape *tape, lt_var *var, lt_tensor grad) {
    if (!var->needs_grad) return LT_OK;
    if (!var->has_grad && !var->base && lt_is_empty(&var->grad)) {
        var->grad = grad;
        var->has_grad = true;
        return LT_OK;
    }
    lt_copy_args add = {.x = grad, .scale = 1};
    LT_TRY(lt_tape_grad_slot(tape, var, &add.y, &add.accumulate));
    return lt_copy(tape->ctx, &add);
}

lt_status lt_tape_grad_move(lt_tape *tape, lt_var *from, lt_var *to) {
    if (!owner_of(from)->has_grad) return LT_OK;
    if (from->base) return lt_tape_grad_give(tape, to, lt_tape_grad_of(from));
    LT_TRY(lt_tape_grad_give(tape, to, from->grad));
    memset(&from->grad, 0, sizeof from->grad);
    from->has_grad = false;
    return LT_OK;
}

bool lt_tape_is_no_grad(const lt_tape *tape) { return !tape->recording; }

bool lt_tape_wants(const lt_tape *tape, int count, lt_var *const *inputs) {
    if (!tape->recording) return false;
    for (int i = 0; i < count; i++)
        if (inputs[i] && inputs[i]->needs_grad) return true;
    return false;
}

lt_status lt_tape_push(lt_tape *tape, lt_backward_fn backward, void *saved) {
    lt_node *node = lt_pool_alloc(&tape->pool, sizeof *node);
    if (!node || !saved) return LT_FAILED;
    *node = (lt_node){tape->last, backward, saved};
    tape->last = node;
    return LT_OK;
}

lt_status lt_tape_seed(lt_tape *tape, lt_var *var, lt_tensor grad) {
    LT_CHECK(lt_same_shape(&var->value, &grad), LT_FAILED, "seed: the gradient's shape is not the var's");
    LT_CHECK(var->needs_grad, LT_FAILED, "seed: nothing that needs a gradient leads to this var");
    lt_copy_args copy = {.x = grad, .scale = 1};
    LT_TRY(lt_tape_grad_slot(tape, var, &copy.y, &copy.accumulate));
    return lt_copy(tape->ctx, &copy);
}

lt_status lt_tape_backward(lt_tape *tape) {
    while (tape->last) {
        lt_node *node = tape->last;
        tape->last = node->previous;
        LT_TRY(node->backward(tape, node->saved));
    }
    return LT_OK;
}

static lt_status mark_backward(lt_tape *tape, void *saved) {
    return tape->passed ? tape->passed(tape->passed_user, *(const int *)saved) : LT_OK;
}

lt_status lt_tape_mark(lt_tape *tape, int mark) {
    if (!tape->recording || !tape->passed) return LT_OK;
    int *saved = lt_tape_saved(tape, sizeof *saved);
    if (!saved) return LT_FAILED;
    *saved = mark;
    return lt_tape_push(tape, mark_backward, saved);
}

lt_status lt_tape_part(lt_tape *tape, lt_var *whole, lt_tensor view, lt_var **out) {
    LT_TRY(lt_tape_var(tape, view, whole->needs_grad, out));
    (*out)->base = whole;
    return LT_OK;
}

lt_status lt_tape_piece(lt_tape *tape, lt_var *whole, lt_tensor view, lt_var **out) {
    LT_TRY(lt_tape_part(tape, whole, view, out));
    (*out)->alias = true;
    return LT_OK;
}

lt_status lt_tape_join(lt_tape *tape, lt_var *whole, int count, lt_var *const *parts, bool *any) {
    *any = false;
    for (int i = 0; i < count; i++) *any |= parts[i]->has_grad;
    if (!*any) return LT_OK;
    LT_CHECK(!owner_of(whole)->has_grad, LT_FAILED, "join: the var is used in parts and as a whole");
    for (int i = 0; i < count; i++) {
        if (parts[i]->has_grad) continue;
        LT_TRY(ensure_grad(tape, parts[i]));
        lt_copy_args zero = {.x = parts[i]->value, .y = parts[i]->grad, .scale = 0};
        LT_TRY(lt_copy(tape->ctx, &zero));
    }
    owner_of(whole)->has_grad = true;
    return LT_OK;
}

typedef struct views_saved {
    lt_var *whole;
    int count;
    lt_var **parts;
} views_saved;

/* Runs after every consumer of the parts. */
static lt_status views_backward(lt_tape *tape, void *memory) {
    views_saved *saved = memory;
    bool any;
    return lt_tape_join(tape, saved->whole, saved->count, saved->parts, &any);
}

lt_status lt_tape_views(lt_tape *tape, lt_var *var, int count, const lt_tensor *views, lt_var **parts) {
    int64_t covered = 0;
    for (int i = 0; i < count; covered += lt_numel(&views[i++]))
        LT_TRY(lt_tape_part(tape, var, views[i], &parts[i]));
    LT_CHECK(covered == lt_numel(&var->value), LT_FAILED, "views: the parts do not cover the var");
    if (!lt_tape_wants(tape, 1, &var)) return LT_OK;
    views_saved *saved = lt_tape_saved(tape, sizeof *saved + count * sizeof *parts);
    if (!saved) return LT_FAILED;
    *saved = (views_saved){var, count, (lt_var **)(saved + 1)};
    memcpy(saved->parts, parts, count * sizeof *parts);
    return lt_tape_push(tape, views_backward, saved);
}

lt_status lt_tape_unstack(lt_tape *tape, lt_var *var, int dim, lt_var **parts) {
    lt_tensor views[64];
    int count = (int)var->value.shape[dim];
    LT_CHECK(count <= 64, LT_FAILED, "unstack: %d parts, at most 64", count);
    for (int i = 0; i < count; i++) views[i] = lt_select(var->value, dim, i);
    return lt_tape_views(tape, var, count, views, parts);
}
