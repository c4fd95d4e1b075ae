/* For describe functions of ops whose operands must be contiguous. */
#ifndef LT_KERNELS_DENSE_H
#define LT_KERNELS_DENSE_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* lt_expect, then contiguity of a tensor that is there. */
static inline lt_status lt_expect_dense(const char *op, const char *operand, const lt_tensor *t,
                                        lt_dtype dtype, bool optional, int ndim, const int64_t *shape) {
    LT_TRY(lt_expect(op, operand, t, dtype, optional, ndim, shape));
    return lt_is_empty(t) ? LT_OK : lt_expect_rows(op, operand, t, t->ndim);
}
#define LT_EXPECT_DENSE(op, operand, t, dtype, optional, ...)                                                \
    lt_expect_dense((op), (operand), (t), (dtype), (optional), LT_DIMS(__VA_ARGS__))

#ifdef __cplusplus
}
#endif
#endif
