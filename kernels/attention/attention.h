/* Block linear attention (SANA-Video, arXiv 2509.24695; linear attention: Katharopoulos et al., arXiv 2006.16236) as
 * three ops, with ReLU features and a rotated numerator. Per head, with phi = ReLU, R_i the rotation of token i,
 * a_i = phi(q_i), b_j = phi(k_j):
 *
 *     state    S_e = sum_{j in e} (R_j b_j) v_j^T      z_e = sum_{j in e} b_j          per segment e
 *     combine  S = sum_e w_e S_e                       z = sum_e w_e z_e
 *     output   o_i = S^T (R_i a_i) / (z . a_i), 0 where z . a_i = 0                    r = sum_i a_i / (z . a_i)
 *
 * q and k arrive after their RMS norm, before ReLU and rotation: both happen inside. Nothing of size tokens x tokens or
 * tokens x d x d is stored.
 *
 * Where nothing looks back at q and k, state and output apply the norms too, as they load, in float32: k_gain and
 * k_scale, q_gain below. They are the norm's weights per head and channel, and the factor of each token
 * (lt_rms_scale_forward), which all its heads share; all are finite. q has no such factor: o and r stay as they are
 * when a token's q is multiplied by a positive number.
 *
 * q, k, v, o and their gradients are activations (lt_ctx_dtype); S, z, r, weights, dots and their gradients are sums
 * (lt_ctx_sum_dtype: float32 on CUDA whatever the precision of q, k, v). On CUDA heads have at most 256 channels.
 *
 * The read mass of entry e for a reader is exactly w_e z_e . r, hence the third output of `output`.
 */
#ifndef LT_KERNELS_ATTENTION_H
#define LT_KERNELS_ATTENTION_H

#include "kernels/attention/rope.h"
#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A segment is a box of `frames` x `height` x `width` tokens of the block's grid: the whole grid (one entry a block),
 * one frame of it, or a tile. Boxes at the far edges may be smaller. */
typedef struct lt_segment_box {
    int frames, height, width;
} lt_segment_box;

int lt_segment_count(const lt_rope *rope, lt_segment_box box); /* E: frame-major, then row, then column */
int lt_segment_tokens(const lt_rope *rope, lt_segment_box box, int index); /* tokens in segment `index` */
int lt_segment_first_frame(const lt_rope *rope, lt_segment_box box, int index); /* within the block */
int lt_segment_frames(const lt_rope *rope, lt_segment_box box, int index);

typedef struct lt_attn_state_args {
    lt_tensor k, v; /* [G, T, H, D]: G blocks of T = frames * height * width tokens; [H, D] contiguous */
    lt_rope rope;
    lt_segment_box box;
    lt_tensor S;               /* [G, E, H, D, D] contiguous: row = key channel, column = value channel */
    lt_tensor z;               /* [G, E, H, D] contiguous */
    lt_tensor k_gain, k_scale; /* [H, D], [G, T] contiguous: b_j = phi(k_j k_scale_j k_gain); or both empty */
} lt_attn_state_args;
lt_status lt_attn_state_forward(lt_ctx *ctx, const lt_attn_state_args *args);

/* dv_j = dS_e^T (R_j b_j),  db_j = R_j^T (dS_e v_j) + dz_e,  dk = db where k > 0. */
typedef struct lt_attn_state_backward_args {
    lt_tensor k, v, dS, dz;
    lt_rope rope;
    lt_segment_box box;
    lt_tensor dk, dv; /* [G, T, H, D], strided like k, v */
    bool accumulate_dk, accumulate_dv;
} lt_attn_state_backward_args;
lt_status lt_attn_state_backward(lt_ctx *ctx, const lt_attn_state_backward_args *args);

/* Several combinations in one call: all readers of a block. One combination is a left fold in the order given (time
 * order), so equal lists give equal bits and w = 1 is exact:
 *     acc = w_0 S_0;  acc = fma(w_1, S_1, acc);  ...
 * Its first `weighted` sources have weights, the others (the block's own segments) count once. */
typedef struct lt_attn_sum {
    int first, count;  /* its sources: [first, first + count) of the call's lists */
    int weighted;      /* how many of them, from the first on */
    lt_tensor weights; /* [weighted, H] contiguous, or empty: all 1 */
    lt_tensor S, z;    /* the result: [H, D, D], [H, D] contiguous; may be its own S[first], z[first] */
} lt_attn_sum;

typedef struct lt_attn_combine_args {
    int count;               /* combinations, all of one size; no result is another's source */
    const lt_attn_sum *sums; /* host array */
    const lt_tensor *S;      /* host array of sources [H, D, D] contiguous */
    const lt_tensor *z;      /* [H, D] */
} lt_attn_combine_args;
lt_status lt_attn_combine_forward(lt_ctx *ctx, const lt_attn_combine_args *args);

/* dS_e (+)= w_e dS,  dw_e = <dS, S_e> + <dz, z_e> per head. */
typedef struct lt_attn_sum_gradient {
    int first, count, weighted;
    lt_tensor weights;
    lt_tensor dS, dz;   /* gradients of the result */
    lt_tensor dweights; /* [weighted, H] or empty; nobody else's */
    bool accumulate_dweights;
} lt_attn_sum_gradient;

/* Sources may share a gradient (an entry that several readers read): in the order of the lists each one overwrites it
 * or adds to it. Those that share dS_e share dz_e. */
typedef struct lt_attn_combine_backward_args {
    int count;
    const lt_attn_sum_gradient *sums;
    const lt_tensor *S, *z;       /* per source; needed where dweights is wanted */
    const lt_tensor *dS_e, *dz_e; /* per source; empty ones are skipped, NULL: all */
    const bool *accumulate;       /* per source; NULL: none */
} lt_attn_combine_backward_args;
lt_status lt_attn_combine_backward(lt_ctx *ctx, const lt_attn_combine_backward_args *args);

typedef struct lt_attn_output_args {
    lt_tensor q;    /* [G, T, H, D]; [H, D] contiguous */
    lt_tensor S, z; /* [G, H, D, D], [G, H, D] contiguous */
    lt_rope rope;
    lt_tensor o;      /* [G, T, H, D]; [H, D] contiguous */
    lt_tensor r;      /* [G, H, D] contiguous, or empty */
    lt_tensor q_gain; /* [H, D] contiguous: a_i = phi(q_i q_gain); or empty */
} lt_attn_output_args;
lt_status lt_attn_output_forward(lt_ctx *ctx, const lt_attn_output_args *args);

/* With g_i = do_i, n_i = g_i / (z.a_i), m_i = -(g_i . o_i) / (z.a_i); o is recomputed from S:
 *     dS = sum_i (R_i a_i) n_i^T    dz = sum_i a_i m_i    da_i = R_i^T S n_i + z m_i,  dq = da where q > 0 */
typedef struct lt_attn_output_backward_args {
    lt_tensor q, S, z, dout; /* dout [G, T, H, D] */
    lt_rope rope;
    lt_tensor dq;     /* or empty */
    lt_tensor dS, dz; /* or both empty */
    bool accumulate_dq, accumulate_dS;
} lt_attn_output_backward_args;
lt_status lt_attn_output_backward(lt_ctx *ctx, const lt_attn_output_backward_args *args);

/* out[i, h] = <A_i[h, :], B_i[h, :]>: norms, cosines and read masses of entries, of all sequences at once. */
typedef struct lt_attn_dots_args {
    int count;              /* pairs */
    const lt_tensor *A, *B; /* host arrays; those of pair i are [H, K_i] contiguous */
    lt_tensor out;          /* [count, H] contiguous */
} lt_attn_dots_args;
lt_status lt_attn_dots(lt_ctx *ctx, const lt_attn_dots_args *args);

#ifdef __cplusplus
}
#endif
#endif
