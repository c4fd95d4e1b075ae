#include "kernels/attention/attention.h"
#include "kernels/attention/cuda_product.cuh"
#include "kernels/attention/cuda_sum.cuh"
#include "kernels/attention/mma.h"

static lt_attn_shape shape_of(const lt_tensor *t) {
    lt_attn_shape shape = {t->shape[0], t->shape[1], t->shape[2], t->shape[3]};
    return shape;
}

static lt_status fold_r(lt_ctx *ctx, const lt_attn_output_args *a, const lt_attn_read_args *read) {
    lt_attn_fold_args fold = {NULL, read->r, NULL, (float *)a->r.data};
    fold.S_size = 0;
    fold.z_size = a->q.shape[3];
    fold.items = a->q.shape[0] * a->q.shape[2];
    fold.heads = (int)a->q.shape[2];
    fold.chunk_tokens = read->chunks.tokens;
    fold.boxes = read->boxes;
    return lt_attn_fold(ctx, &fold);
}

extern "C" lt_status lt_attn_output_cuda(lt_ctx *ctx, const void *untyped, void *workspace) {
    const lt_attn_output_args *a = (const lt_attn_output_args *)untyped;
    if (lt_attn_output_mma_serves(ctx, a)) return lt_attn_output_mma(ctx, a, workspace);
    lt_attn_shape shape = shape_of(&a->q);
    lt_segment_box whole = lt_attn_whole(&a->rope);
    bool wants_r = !lt_is_empty(&a->r);
    lt_attn_read_args read = {&a->q, &a->o, (const float *)a->S.data, (const float *)a->z.data};
    LT_TRY(lt_rope_table_fill(ctx, &a->rope, &shape, workspace, &read.table));
    read.boxes = lt_attn_boxes_of(&a->rope, whole);
    read.chunks = lt_attn_read_chunks(&shape, &a->rope, whole, wants_r);
    bool folds = wants_r && read.chunks.count > 1;
    read.gain = (const float *)a->q_gain.data;
    read.r = (float *)a->r.data;
    if (folds) read.r = (float *)((char *)workspace + lt_rope_table_bytes(&a->rope, &shape));
    LT_TRY(lt_attn_read(ctx, &read));
    return folds ? fold_r(ctx, a, &read) : LT_OK;
}

/* dS = sum_i (R_i a_i) n_i^T and dz = sum_i a_i m_i, where n_i = do_i / mass_i. */
static lt_status sum_S(lt_ctx *ctx, const lt_attn_output_backward_args *a, const lt_attn_shape *shape,
                       const lt_attn_back_args *back, void *partial) {
    lt_attn_partials_args sum = {&a->q, &a->dout, back->masses, back->table, back->boxes};
    sum.chunks = lt_attn_sum_chunks(shape, &a->rope, lt_attn_whole(&a->rope));
    sum.partial = partial;
    sum.S = (float *)a->dS.data;
    sum.z = (float *)a->dz.data;
    sum.add = a->accumulate_dS;
    return lt_attn_sum_partials(ctx, &sum);
}

extern "C" lt_status lt_attn_output_backward_cuda(lt_ctx *ctx, const void *untyped, void *workspace) {
    const lt_attn_output_backward_args *a = (const lt_attn_output_backward_args *)untyped;
    if (lt_attn_output_backward_mma_serves(ctx, a)) return lt_attn_output_backward_mma(ctx, a, workspace);
    bool wants_q = !lt_is_empty(&a->dq), wants_S = !lt_is_empty(&a->dS);
    if (!wants_q && !wants_S) return LT_OK;
    lt_attn_shape shape = shape_of(&a->q);
    lt_segment_box whole = lt_attn_whole(&a->rope);
    char *masses = (char *)workspace + lt_rope_table_bytes(&a->rope, &shape);
    lt_attn_back_args back = {&a->q, &a->dout, &a->dq, (const float *)a->S.data, (const float *)a->z.data};
    back.masses = wants_S ? (float2 *)masses : NULL;
    LT_TRY(lt_rope_table_fill(ctx, &a->rope, &shape, workspace, &back.table));
    back.boxes = lt_attn_boxes_of(&a->rope, whole);
    back.chunks = lt_attn_read_chunks(&shape, &a->rope, whole, false);
    back.normalised = true;
    back.add = a->accumulate_dq;
    LT_TRY(lt_attn_back(ctx, &back));
    return wants_S ? sum_S(ctx, a, &shape, &back, masses + lt_attn_masses_bytes(&shape)) : LT_OK;
}
