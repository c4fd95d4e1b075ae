#include "model/cache/dots.h"

#include "kernels/attention/attention.h"
#include "kernels/elementwise/elementwise.h"
#include "model/cache/host_values.h"

#include <stdlib.h>

/* Room for one more in each of two arrays, or one. */
static bool grow_tensors(int count, int *capacity, lt_tensor **a, lt_tensor **b) {
    if (count < *capacity) return true;
    int more = *capacity ? 2 * *capacity : 64;
    lt_tensor *bigger = realloc(*a, (size_t)more * sizeof **a);
    if (!bigger) return false;
    *a = bigger;
    if (b) {
        if (!(bigger = realloc(*b, (size_t)more * sizeof **b))) return false;
        *b = bigger;
    }
    *capacity = more;
    return true;
}

int lt_dots_pair(lt_dots *p, lt_tensor a, lt_tensor b) {
    if (!grow_tensors(p->count, &p->capacity, &p->A, &p->B)) {
        p->out_of_memory = true;
        return 0;
    }
    p->heads = a.shape[0];
    p->A[p->count] = a;
    p->B[p->count] = b;
    return p->count++;
}

int64_t lt_dots_rows(lt_dots *p, lt_tensor rows) {
    int64_t place = p->row_count;
    for (int i = p->tensors - 1; i >= 0; i--) {
        place -= p->rows[i].shape[0];
        if (p->rows[i].data == rows.data) return place;
    }
    if (!grow_tensors(p->tensors, &p->tensor_capacity, &p->rows, NULL)) {
        p->out_of_memory = true;
        return 0;
    }
    p->heads = rows.shape[1];
    p->rows[p->tensors++] = rows;
    place = p->row_count;
    p->row_count += rows.shape[0];
    return place;
}

static lt_status fill_dots(lt_dots *p, lt_tape *tape, lt_tensor all) {
    lt_attn_dots_args dots = {.count = p->count, .A = p->A, .B = p->B};
    int64_t row = p->count;
    if (p->count > 0) {
        dots.out = lt_slice(all, 0, 0, p->count);
        LT_TRY(lt_attn_dots(tape->ctx, &dots));
    }
    for (int i = 0; i < p->tensors; row += p->rows[i++].shape[0]) {
        lt_copy_args copy = {.x = p->rows[i], .y = lt_slice(all, 0, row, p->rows[i].shape[0]), .scale = 1};
        LT_TRY(lt_copy(tape->ctx, &copy));
    }
    return lt_host_read(tape->ctx, &all, p->values);
}

lt_status lt_dots_run(lt_dots *p, lt_tape *tape) {
    int64_t rows = p->count + p->row_count;
    if (rows == 0 && !p->out_of_memory) return LT_OK;
    if (!p->out_of_memory) p->values = malloc((size_t)(rows * p->heads) * sizeof *p->values);
    LT_CHECK(p->values, LT_FAILED, "cache: out of host memory for %lld dot products", (long long)rows);
    lt_tensor all;
    size_t mark = lt_arena_mark(tape->step);
    lt_status status = LT_NEW(tape->step, lt_ctx_sum_dtype(tape->ctx), &all, rows, p->heads);
    if (status == LT_OK) status = fill_dots(p, tape, all);
    lt_arena_release(tape->step, mark);
    return status;
}

void lt_dots_free(lt_dots *p) {
    free(p->A);
    free(p->B);
    free(p->rows);
    free(p->values);
    *p = (lt_dots){0};
}
