#include "kernels/attention/attention.h"
#include "kernels/attention/cuda_product.cuh"
#include "kernels/attention/cuda_sum.cuh"
#include "kernels/attention/mma.h"

static lt_attn_shape shape_of(const lt_tensor *t) {
    lt_attn_shape shape = {t->shape[0], t->shape[1], t->shape[2], t->shape[3]};
    return shape;
}

extern "C" lt_status lt_attn_state_cuda(lt_ctx *ctx, const void *untyped, void *workspace) {
    const lt_attn_state_args *a = (const lt_attn_state_args *)untyped;
    if (lt_attn_state_mma_serves(ctx, a)) return lt_attn_state_mma(ctx, a, workspace);
    lt_attn_shape shape = shape_of(&a->k);
    lt_attn_partials_args sum = {&a->k, &a->v};
    LT_TRY(lt_rope_table_fill(ctx, &a->rope, &shape, workspace, &sum.table));
    sum.boxes = lt_attn_boxes_of(&a->rope, a->box);
    sum.chunks = lt_attn_sum_chunks(&shape, &a->rope, a->box);
    sum.partial = (char *)workspace + lt_rope_table_bytes(&a->rope, &shape);
    sum.S = (float *)a->S.data;
    sum.z = (float *)a->z.data;
    sum.gain = (const float *)a->k_gain.data;
    sum.scale = (const float *)a->k_scale.data;
    return lt_attn_sum_partials(ctx, &sum);
}

/* dv = dS^T (R b). */
static lt_status write_dv(lt_ctx *ctx, const lt_attn_state_backward_args *a, const lt_rope_table *table,
                          lt_attn_boxes boxes, lt_attn_chunks chunks) {
    lt_attn_read_args read = {&a->k, &a->dv, (const float *)a->dS.data};
    read.table = *table;
    read.boxes = boxes;
    read.chunks = chunks;
    read.add = a->accumulate_dv;
    return lt_attn_read(ctx, &read);
}

/* dk = R^T (dS v) + dz where k > 0. */
static lt_status write_dk(lt_ctx *ctx, const lt_attn_state_backward_args *a, const lt_rope_table *table,
                          lt_attn_boxes boxes, lt_attn_chunks chunks) {
    lt_attn_back_args back = {&a->k, &a->v, &a->dk, (const float *)a->dS.data, (const float *)a->dz.data};
    back.table = *table;
    back.boxes = boxes;
    back.chunks = chunks;
    back.add = a->accumulate_dk;
    return lt_attn_back(ctx, &back);
}

extern "C" lt_status lt_attn_state_backward_cuda(lt_ctx *ctx, const void *untyped, void *workspace) {
    const lt_attn_state_backward_args *a = (const lt_attn_state_backward_args *)untyped;
    if (lt_attn_state_backward_mma_serves(ctx, a)) return lt_attn_state_backward_mma(ctx, a, workspace);
    if (lt_is_empty(&a->dk) && lt_is_empty(&a->dv)) return LT_OK;
    lt_attn_shape shape = shape_of(&a->k);
    lt_attn_boxes boxes = lt_attn_boxes_of(&a->rope, a->box);
    lt_attn_chunks chunks = lt_attn_read_chunks(&shape, &a->rope, a->box, false);
    lt_rope_table table;
    LT_TRY(lt_rope_table_fill(ctx, &a->rope, &shape, workspace, &table));
    if (!lt_is_empty(&a->dv)) LT_TRY(write_dv(ctx, a, &table, boxes, chunks));
    return lt_is_empty(&a->dk) ? LT_OK : write_dk(ctx, a, &table, boxes, chunks);
}
