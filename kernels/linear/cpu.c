#include "kernels/column_sums.h"
#include "kernels/linear/linear.h"
#include "kernels/rows.h"

#include <cblas.h>
#include <limits.h>
#include <string.h>

/* A matrix as BLAS sees it. */
typedef struct {
    float *data;
    CBLAS_TRANSPOSE transpose;
    lt_rows rows;
} factor;

static factor factor_of(const lt_tensor *t, CBLAS_TRANSPOSE transpose) {
    return (factor){t->data, transpose, lt_rows_of(t, 1)};
}

/* c = a b + beta c. BLAS counts in int. */
static lt_status product(factor a, factor b, factor c, float beta) {
    int64_t inner = a.transpose == CblasTrans ? a.rows.rows : a.rows.columns;
    const lt_rows *all[] = {&a.rows, &b.rows, &c.rows};
    for (int i = 0; i < 3; i++)
        LT_CHECK(all[i]->rows <= INT_MAX && all[i]->ld <= INT_MAX, LT_FAILED,
                 "op linear: %lld rows at distance %lld are more than BLAS counts; split the batch",
                 (long long)all[i]->rows, (long long)all[i]->ld);
    if (c.rows.rows == 0 || c.rows.columns == 0) return LT_OK;
    cblas_sgemm(CblasRowMajor, a.transpose, b.transpose, (int)c.rows.rows, (int)c.rows.columns, (int)inner, 1,
                a.data, (int)a.rows.ld, b.data, (int)b.rows.ld, beta, c.data, (int)c.rows.ld);
    return LT_OK;
}

/* BLAS clears or scales y before it adds the product, so a bias that is put there first costs nothing. */
static void put_bias(float *y, const lt_rows *r, const float *b, bool accumulate) {
#pragma omp parallel for schedule(static) if (r->rows * r->columns >= LT_PARALLEL_FROM)
    for (int64_t n = 0; n < r->rows; n++) {
        float *row = y + n * r->ld;
        if (!accumulate) memcpy(row, b, (size_t)r->columns * sizeof *b);
        else
            for (int64_t m = 0; m < r->columns; m++) row[m] += b[m];
    }
}

lt_status lt_linear_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_linear_args *a = args;
    factor y = factor_of(&a->y, CblasNoTrans);
    bool bias = !lt_is_empty(&a->b);
    if (bias) put_bias(y.data, &y.rows, a->b.data, a->accumulate);
    return product(factor_of(&a->x, CblasNoTrans), factor_of(&a->w, CblasTrans), y,
                   bias || a->accumulate ? 1 : 0);
}

lt_status lt_linear_backward_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    const lt_linear_backward_args *a = args;
    if (!lt_is_empty(&a->dx))
        LT_TRY(product(factor_of(&a->dy, CblasNoTrans), factor_of(&a->w, CblasNoTrans),
                       factor_of(&a->dx, CblasNoTrans), a->accumulate_dx ? 1 : 0));
    if (!lt_is_empty(&a->dw))
        LT_TRY(product(factor_of(&a->dy, CblasTrans), factor_of(&a->x, CblasNoTrans),
                       factor_of(&a->dw, CblasNoTrans), a->accumulate_dw ? 1 : 0));
    if (!lt_is_empty(&a->db)) lt_column_sums(&a->dy, a->db.data, a->accumulate_dw, workspace);
    return LT_OK;
}
