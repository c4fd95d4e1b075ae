/* Differentiable operations: each runs its kernel, returns a new var and records how to run backward. Shapes and
 * mathematics are those of the kernel headers. `out` receives a var of the tape; weights are vars the caller
 * keeps (model/params.h). Where an operation writes into a var given by the caller, it says so.
 */
#ifndef LT_AUTOGRAD_OPS_H
#define LT_AUTOGRAD_OPS_H

#include "autograd/tape.h"
#include "kernels/attention/attention.h"
#include "kernels/elementwise/elementwise.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x [..., K], w [M, K], b [M] or NULL -> [..., M]. x may be e4m3 with its scale, where w is. */
lt_status lt_ag_linear(lt_tape *tape, lt_var *x, lt_var *w, lt_var *b, lt_var **out);

/* x [G, T, C], shift and scale [G, C] or both NULL -> [G, T, C]. */
lt_status lt_ag_norm_modulate(lt_tape *tape, lt_var *x, lt_var *shift, lt_var *scale, double eps,
                              lt_var **out);

/* x [..., C], weight [C] -> contiguous [..., C]. */
lt_status lt_ag_rms_norm(lt_tape *tape, lt_var *x, lt_var *weight, double eps, lt_var **out);

/* x in another floating dtype; x itself where it has that dtype already. */
lt_status lt_ag_cast(lt_tape *tape, lt_var *x, lt_dtype dtype, lt_var **out);

/* The elementwise function `kind` of x, of any shape. */
lt_status lt_ag_unary(lt_tape *tape, lt_unary kind, lt_var *x, lt_var **out);

/* a [M, C] + b [G, M or 1, C] -> [G, M, C]. */
lt_status lt_ag_add_broadcast(lt_tape *tape, lt_var *a, lt_var *b, lt_var **out);

/* x + gate * h for x, h [G, T, C], gate [G, C] or NULL. *out NULL: a new var; otherwise the result goes into
 * that var (of the same shape, not x). The gradient buffer of the result becomes x's. */
lt_status lt_ag_gated_residual(lt_tape *tape, lt_var *x, lt_var *h, lt_var *gate, lt_var **out);

/* lt_ag_gated_residual to *sum, then lt_ag_norm_modulate of that to *normed; in one kernel where no gradient is wanted.
 * Either may come as a var to write into (*normed only there, and in e4m3 where it has a scale). */
lt_status lt_ag_gated_residual_norm(lt_tape *tape, lt_var *x, lt_var *h, lt_var *gate, lt_var *shift,
                                    lt_var *scale, double eps, lt_var **sum, lt_var **normed);

/* A contiguous copy of a view; its gradient adds into the view's. */
lt_status lt_ag_copy(lt_tape *tape, lt_var *x, lt_var **out);

/* Writes `x` into memory the caller owns (a slice of a larger var's value): *out is a var on that memory. */
lt_status lt_ag_copy_into(lt_tape *tape, lt_var *x, lt_tensor to, lt_var **out);

/* What k lacks of its RMS norm, for attention to apply on the way (the kernels' k_gain and k_scale); both empty:
 * nothing. Like q_gain and q_scale below, only where no gradient is wanted. */
typedef struct lt_ag_norm {
    lt_tensor gain, scale; /* per channel [H, D], per token [G, T] */
} lt_ag_norm;

/* k, v [G, T, H, D] -> the state of each segment: S and z receive G * E vars [H, D, D] and [H, D],
 * block-major. rope->first_frame must stay valid until the tape is reset. norm: NULL where k is normalised. */
lt_status lt_ag_attn_state(lt_tape *tape, lt_var *k, lt_var *v, const lt_ag_norm *norm, const lt_rope *rope,
                           lt_segment_box box, lt_var **S, lt_var **z);

/* One combination for lt_ag_attn_combine: the left fold of `count` states, of which the first `weighted` have
 * `weights`. */
typedef struct lt_ag_sum {
    int count, weighted;
    lt_var **S, **z; /* [count]; copied */
    lt_var *weights; /* [weighted, H], of this sum alone; NULL: all 1 */
    lt_tensor out_S,
        out_z; /* [H, D, D], [H, D]: memory of the caller (all_S and all_z of lt_ag_attn_output, or a slot) */
    lt_var *sum_S, *sum_z; /* set: the result */
} lt_ag_sum;

/* All of them at once; none reads another's result. */
lt_status lt_ag_attn_combine(lt_tape *tape, int count, lt_ag_sum *sums);

/* q [G, T, H, D] and one state per block: vars S[g], z[g] whose values are the slices g of all_S [G, H, D, D] and all_z
 * [G, H, D] -> o [G, T, H, D], and r [G, H, D], through which no gradient flows. q_gain: the weights [H, D] of the norm
 * that q lacks, or empty. */
lt_status lt_ag_attn_output(lt_tape *tape, lt_var *q, lt_tensor q_gain, lt_var *const *S, lt_var *const *z,
                            lt_tensor all_S, lt_tensor all_z, const lt_rope *rope, lt_var **o, lt_tensor *r);

/* q [G, T, H, D], k, v [B, L, H, D], mask [B, L] or empty -> o [G, T, H, D]; group g attends to text g % B. q_scale:
 * the factors [G, T] of the norm that q lacks, whose weights are in k, or empty. */
lt_status lt_ag_cross_attention(lt_tape *tape, lt_var *q, lt_tensor q_scale, lt_var *k, lt_var *v,
                                lt_tensor mask, lt_var **o);

/* x [N, height, width, 2R], w [3, 3, 2R], b [2R] -> [N, height, width, R]. */
lt_status lt_ag_glu_depthwise(lt_tape *tape, lt_var *x, lt_var *w, lt_var *b, lt_var **out);

/* x [G, F, P, C], tail [G, P, C] or NULL, w [3, C, C] -> [G, F, P, C]; where w is e4m3, for inference, in the memory of
 * x. */
lt_status lt_ag_temporal_conv(lt_tape *tape, lt_var *x, lt_var *tail, lt_var *w, lt_var **out);

/* What the temporal convolution reads left of each block's first frame. h [G, F, P, C] with groups ordered (block,
 * stream, sequence): block i > 0 gets the last frame of block i - 1 in stream `commit` (-1: zero), block 0 gets `first`
 * [sequences, P, C] (empty: zero) -> [G, P, C]. Gradients flow into h. */
lt_status lt_ag_tail(lt_tape *tape, lt_var *h, int blocks, int streams, int commit, lt_tensor first,
                     lt_var **out);

/* latent [N, F, H, W, C] <-> tokens [N, T, pt * ph * pw * C]. */
lt_status lt_ag_patchify(lt_tape *tape, lt_var *latent, const int patch[3], lt_var **tokens);
lt_status lt_ag_unpatchify(lt_tape *tape, lt_var *tokens, const int patch[3], const int64_t grid[3],
                           lt_var **latent);

/* ids [N] int32, table [V, C] -> [N, C]. */
lt_status lt_ag_embedding(lt_tape *tape, lt_tensor ids, lt_var *table, lt_var **out);

/* prediction [G, N], target [G, N] -> loss [G]: mean squares. */
lt_status lt_ag_mse(lt_tape *tape, lt_var *prediction, lt_tensor target, lt_var **loss);
/* The same into a var of the caller, such as a piece (lt_tape_piece) of the losses of several predictions. */
lt_status lt_ag_mse_into(lt_tape *tape, lt_var *prediction, lt_tensor target, lt_var *loss);

#ifdef __cplusplus
}
#endif
#endif
