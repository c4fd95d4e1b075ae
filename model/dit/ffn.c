/* Mix-FFN: 1x1 expand, depthwise 3x3 with gate and 1x1 project within frames, then a 3-tap temporal convolution whose
 * left neighbour at a block's first frame is the tail (DESIGN section 3.2). */
#include "model/dit/dit_impl.h"

lt_status lt_dit_expand(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    const lt_dit_pass *p = step->pass;
    const lt_dit_layer *l = step->weights;
    int64_t frames = h->value.shape[0], pixels = p->grid[1] * p->grid[2];
    lt_var *x, *y;
    lt_dit_begin(tape, step, LT_DIT_EXPAND);
    LT_TRY(lt_linear_apply(tape, &l->expand, h, &x));
    int64_t wide = x->value.shape[2];
    LT_TRY(LT_AG_RESHAPE(tape, x, &y, frames, p->grid[1], p->grid[2], wide));
    lt_dit_begin(tape, step, LT_DIT_GLU);
    LT_TRY(lt_ag_glu_depthwise(tape, y, l->depth_w, l->depth_b, &x));
    return LT_AG_RESHAPE(tape, x, out, frames, pixels, wide / 2);
}

lt_status lt_dit_ffn(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    const lt_dit_pass *p = step->pass;
    int64_t G = p->groups, F = p->grid[0], pixels = p->grid[1] * p->grid[2];
    lt_tensor first = {0};
    lt_var *x, *y, *tail, *rows;
    LT_TRY(LT_AG_RESHAPE(tape, h, &rows, G * F, pixels, p->width));
    LT_TRY(p->run->mix_frames(tape, step, rows, &x));
    LT_TRY(LT_AG_RESHAPE(tape, x, &y, G, F, pixels, p->width));
    lt_dit_small(tape);
    if (p->in.cache) first = lt_cache_tail(p->in.cache, step->layer);
    LT_TRY(lt_ag_tail(tape, y, p->in.blocks, p->in.streams, p->in.commit_stream, first, &tail));
    LT_TRY(p->run->commit_tail(tape, step, y));
    lt_dit_begin(tape, step, LT_DIT_TEMPORAL);
    LT_TRY(lt_ag_temporal_conv(tape, y, tail, step->weights->temporal_w, &x));
    LT_TRY(LT_AG_RESHAPE(tape, x, out, G, p->tokens, p->width));
    lt_dit_small(tape);
    return LT_OK;
}
