#include "kernels/column_sums.h"
#include "kernels/e4m3.h"
#include "kernels/linear/cpu_product.h"
#include "kernels/linear/cpu_sweep.h"
#include "kernels/linear/linear.h"
#include "kernels/rows.h"

/* y += b */
static void add_bias(float *y, const lt_rows *r, const float *b) {
#pragma omp parallel for schedule(static) if (r->rows * r->columns >= LT_PARALLEL_FROM)
    for (int64_t n = 0; n < r->rows; n++)
        for (int64_t m = 0; m < r->columns; m++) y[n * r->ld + m] += b[m];
}

static lt_factor factor_of(const lt_tensor *t, bool transposed) {
    return (lt_factor){t->data, lt_rows_of(t, 1).ld, transposed};
}

/* With w in e4m3: both factors as float32, in workspace. */
static void round_factors(const lt_linear_args *a, float *workspace, lt_product *p) {
    lt_rows x = lt_rows_of(&a->x, 1);
    float *w = workspace + x.rows * x.columns;
    if (lt_is_empty(&a->x_scale)) lt_e4m3_round_rows(a->x.data, x.rows, x.columns, x.ld, workspace);
    else lt_e4m3_widen_rows(a->x.data, a->x_scale.data, x.rows, x.columns, workspace);
    lt_e4m3_widen_rows(a->w.data, a->scale.data, a->w.shape[0], a->w.shape[1], w);
    p->a = (lt_factor){workspace, x.columns, false}, p->b = (lt_factor){w, x.columns, true};
}

lt_status lt_linear_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_linear_args *a = args;
    lt_rows y = lt_rows_of(&a->y, 1);
    bool bias = !lt_is_empty(&a->b);
    if (bias && a->accumulate) add_bias(a->y.data, &y, a->b.data);
    lt_product p = {.m = y.rows, .n = y.columns, .k = a->w.shape[1]};
    p.a = factor_of(&a->x, false), p.b = factor_of(&a->w, true);
    if (!lt_is_empty(&a->scale)) round_factors(a, workspace, &p);
    p.c = a->y.data, p.c_step = y.ld;
    p.start = a->accumulate ? p.c : a->b.data, p.start_step = a->accumulate ? y.ld : 0;
    return lt_product_cpu(&p);
}

/* c (+)= a b with k terms */
static lt_status product(lt_factor a, lt_factor b, int64_t k, const lt_tensor *c, bool accumulate) {
    lt_rows r = lt_rows_of(c, 1);
    return lt_product_cpu(&(lt_product){.m = r.rows,
                                        .n = r.columns,
                                        .k = k,
                                        .a = a,
                                        .b = b,
                                        .start = accumulate ? c->data : NULL,
                                        .start_step = r.ld,
                                        .c = c->data,
                                        .c_step = r.ld});
}

lt_status lt_linear_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_linear_backward_args *a = args;
    if (lt_linear_sweeps(a)) {
        lt_linear_sweep(a, workspace);
        return LT_OK;
    }
    lt_factor dy = factor_of(&a->dy, false);
    if (!lt_is_empty(&a->dx))
        LT_TRY(product(dy, factor_of(&a->w, false), a->w.shape[0], &a->dx, a->accumulate_dx));
    if (!lt_is_empty(&a->dw))
        LT_TRY(product(factor_of(&a->dy, true), factor_of(&a->x, false), lt_rows_of(&a->dy, 1).rows, &a->dw,
                       a->accumulate_dw));
    if (!lt_is_empty(&a->db)) lt_column_sums(&a->dy, a->db.data, a->accumulate_dw, workspace);
    return LT_OK;
}
