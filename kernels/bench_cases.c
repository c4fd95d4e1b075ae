#include "kernels/bench_cases.h"

#include "kernels/attention/attention.h"
#include "kernels/cross_attention/cross_attention.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "kernels/glu_depthwise/glu_depthwise.h"
#include "kernels/haar3d/haar3d.h"
#include "kernels/linear/linear.h"
#include "kernels/loss/loss.h"
#include "kernels/norm/norm.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/patchify/patchify.h"
#include "kernels/random/random.h"
#include "kernels/temporal_conv/temporal_conv.h"

#include <string.h>

enum { HEAD = 32, TABLE_ROWS = 256, TEXT = 64 };

/* Leaves the call's arguments where the launcher will read them. */
#define CALL(bench, type, ...)                                                                               \
    do {                                                                                                     \
        _Static_assert(sizeof(type) <= LT_BENCH_ARGS, "raise LT_BENCH_ARGS");                                \
        type call_args = {__VA_ARGS__};                                                                      \
        memcpy((bench)->args.bytes, &call_args, sizeof call_args);                                           \
    } while (0)
#define NEW(...) LT_BENCH_TENSOR(b, __VA_ARGS__)

/* Sizes under short names, as the headers have them: G blocks of T tokens, C channels, H heads. */
static int64_t block_tokens(const lt_bench *b) {
    return (int64_t)b->rope.frames * b->rope.height * b->rope.width;
}
#define SIZES                                                                                                \
    const int64_t G = b->blocks, T = block_tokens(b), C = b->channels, H = C / HEAD, D = HEAD;               \
    (void)G, (void)T, (void)C, (void)H, (void)D

static lt_segment_box whole_block(const lt_bench *b) {
    return (lt_segment_box){b->rope.frames, b->rope.height, b->rope.width};
}

/* The projection to q, k, v. */
static void linear(lt_bench *b) {
    SIZES;
    CALL(b, lt_linear_args, .x = NEW(G, T, C), .w = NEW(3 * C, C), .b = NEW(3 * C), .y = NEW(G, T, 3 * C));
}

static void linear_backward(lt_bench *b) {
    SIZES;
    CALL(b, lt_linear_backward_args, .dy = NEW(G, T, 3 * C), .x = NEW(G, T, C), .w = NEW(3 * C, C),
         .dx = NEW(G, T, C), .dw = NEW(3 * C, C), .db = NEW(3 * C), .accumulate_dw = true);
}

static void norm_modulate(lt_bench *b) {
    SIZES;
    CALL(b, lt_norm_modulate_args, .x = NEW(G, T, C), .shift = NEW(G, C), .scale = NEW(G, C),
         .y = NEW(G, T, C), .eps = 1e-6);
}

static void norm_modulate_backward(lt_bench *b) {
    SIZES;
    CALL(b, lt_norm_modulate_backward_args, .dy = NEW(G, T, C), .x = NEW(G, T, C), .scale = NEW(G, C),
         .dx = NEW(G, T, C), .dshift = NEW(G, C), .dscale = NEW(G, C), .eps = 1e-6, .accumulate_dmod = true);
}

static void gated_residual_norm(lt_bench *b) {
    SIZES;
    CALL(b, lt_gated_residual_norm_args, .x = NEW(G, T, C), .h = NEW(G, T, C), .gate = NEW(G, C),
         .sum = NEW(G, T, C), .shift = NEW(G, C), .scale = NEW(G, C), .y = NEW(G, T, C), .eps = 1e-6);
}

/* q, the first third of packed q, k, v. */
static lt_tensor packed_q(lt_bench *b) {
    SIZES;
    return lt_slice(NEW(G, T, 3 * C), 2, 0, C);
}

static void rms_norm(lt_bench *b) {
    SIZES;
    CALL(b, lt_rms_norm_args, .x = packed_q(b), .weight = NEW(C), .y = NEW(G, T, C), .eps = 1e-5);
}

static void rms_scale(lt_bench *b) {
    SIZES;
    CALL(b, lt_rms_scale_args, .x = packed_q(b), .scale = NEW(G, T), .eps = 1e-5);
}

static void rms_norm_backward(lt_bench *b) {
    SIZES;
    CALL(b, lt_rms_norm_backward_args, .dy = NEW(G, T, C), .x = packed_q(b), .weight = NEW(C),
         .dx = packed_q(b), .dweight = NEW(C), .eps = 1e-5, .accumulate_dweight = true);
}

static void unary(lt_bench *b) {
    SIZES;
    CALL(b, lt_unary_args, .kind = LT_SILU, .x = NEW(G, T, C), .y = NEW(G, T, C));
}

static void unary_backward(lt_bench *b) {
    SIZES;
    CALL(b, lt_unary_backward_args, .kind = LT_SILU, .dy = NEW(G, T, C), .x = NEW(G, T, C),
         .dx = NEW(G, T, C));
}

static void add_broadcast(lt_bench *b) {
    SIZES;
    CALL(b, lt_add_broadcast_args, .a = NEW(T, C), .b = NEW(G, 1, C), .y = NEW(G, T, C));
}

static void add_broadcast_backward(lt_bench *b) {
    SIZES;
    CALL(b, lt_add_broadcast_backward_args, .dy = NEW(G, T, C), .da = NEW(T, C), .db = NEW(G, 1, C));
}

static void gated_residual(lt_bench *b) {
    SIZES;
    CALL(b, lt_gated_residual_args, .x = NEW(G, T, C), .h = NEW(G, T, C), .gate = NEW(G, C),
         .y = NEW(G, T, C));
}

static void gated_residual_backward(lt_bench *b) {
    SIZES;
    CALL(b, lt_gated_residual_backward_args, .dy = NEW(G, T, C), .h = NEW(G, T, C), .gate = NEW(G, C),
         .dh = NEW(G, T, C), .dgate = NEW(G, C));
}

static void copy(lt_bench *b) {
    SIZES;
    CALL(b, lt_copy_args, .x = NEW(G, T, C), .y = NEW(G, T, C), .scale = 1, .accumulate = true);
}

static void mix(lt_bench *b) {
    SIZES;
    CALL(b, lt_mix_args, .a = NEW(G, T * C), .b = NEW(G, T * C), .alpha = NEW(G), .beta = NEW(G),
         .y = NEW(G, T * C));
}

static void normals(lt_bench *b) {
    static lt_rng_key keys[64];
    SIZES;
    for (int i = 0; i < 64; i++) keys[i] = (lt_rng_key){.purpose = LT_RNG_TEST, .clip = (uint64_t)i};
    CALL(b, lt_normals_args, .keys = keys, .y = NEW(G, T * C));
}

static void sum(lt_bench *b) {
    SIZES;
    CALL(b, lt_sum_args, .x = NEW(G, T * C), .y = NEW(G));
}

/* As many gradients as a small model has tensors, T * C * G elements in all. */
static void grad_norm(lt_bench *b) {
    SIZES;
    for (int i = 0; i < LT_BENCH_LIST; i++) b->lists[0][i] = NEW(G * T / LT_BENCH_LIST, C);
    CALL(b, lt_grad_norm_args, .count = LT_BENCH_LIST, .grads = b->lists[0], .scale = 1, .max_norm = 1,
         .control = NEW(3));
}

static void adamw(lt_bench *b) {
    SIZES;
    lt_tensor v = NEW(G * T, C); /* second moments are not negative */
    if (b->status == LT_OK) b->status = lt_tensor_zero(b->ctx.device, b->ctx.stream, &v);
    b->param = (lt_adamw_param){.param = NEW(G * T, C), .grad = NEW(G * T, C), .m = NEW(G * T, C), .v = v};
    b->param.ema = NEW(G * T, C), b->param.decays = true;
    CALL(b, lt_adamw_args, .count = 1, .params = &b->param, .control = NEW(3), .lr = 1e-4, .beta1 = 0.9,
         .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .ema_decay = 0.999, .step = 10);
}

static void attn_state(lt_bench *b) {
    SIZES;
    CALL(b, lt_attn_state_args, .k = NEW(G, T, H, D), .v = NEW(G, T, H, D), .rope = b->rope,
         .box = whole_block(b), .S = NEW(G, 1, H, D, D), .z = NEW(G, 1, H, D));
}

static void attn_state_backward(lt_bench *b) {
    SIZES;
    CALL(b, lt_attn_state_backward_args, .k = NEW(G, T, H, D), .v = NEW(G, T, H, D), .dS = NEW(G, 1, H, D, D),
         .dz = NEW(G, 1, H, D), .rope = b->rope, .box = whole_block(b), .dk = NEW(G, T, H, D),
         .dv = NEW(G, T, H, D));
}

/* LT_BENCH_LIST entries, all weighted. */
static void sources(lt_bench *b, int S_list, int z_list) {
    SIZES;
    for (int e = 0; e < LT_BENCH_LIST; e++)
        b->lists[S_list][e] = NEW(H, D, D), b->lists[z_list][e] = NEW(H, D);
}

static void attn_combine(lt_bench *b) {
    SIZES;
    sources(b, 0, 1);
    b->sum = (lt_attn_sum){.count = LT_BENCH_LIST, .weighted = LT_BENCH_LIST};
    b->sum.weights = NEW(LT_BENCH_LIST, H);
    b->sum.S = NEW(H, D, D), b->sum.z = NEW(H, D);
    CALL(b, lt_attn_combine_args, .count = 1, .sums = &b->sum, .S = b->lists[0], .z = b->lists[1]);
}

static void attn_combine_backward(lt_bench *b) {
    SIZES;
    sources(b, 0, 1);
    sources(b, 2, 3);
    memset(b->flags, 0, sizeof b->flags);
    b->sum_gradient = (lt_attn_sum_gradient){.count = LT_BENCH_LIST, .weighted = LT_BENCH_LIST};
    b->sum_gradient.weights = NEW(LT_BENCH_LIST, H), b->sum_gradient.dweights = NEW(LT_BENCH_LIST, H);
    b->sum_gradient.dS = NEW(H, D, D), b->sum_gradient.dz = NEW(H, D);
    CALL(b, lt_attn_combine_backward_args, .count = 1, .sums = &b->sum_gradient, .S = b->lists[0],
         .z = b->lists[1], .dS_e = b->lists[2], .dz_e = b->lists[3], .accumulate = b->flags);
}

static void attn_output(lt_bench *b) {
    SIZES;
    CALL(b, lt_attn_output_args, .q = NEW(G, T, H, D), .S = NEW(G, H, D, D), .z = NEW(G, H, D),
         .rope = b->rope, .o = NEW(G, T, H, D), .r = NEW(G, H, D));
}

static void attn_output_backward(lt_bench *b) {
    SIZES;
    CALL(b, lt_attn_output_backward_args, .q = NEW(G, T, H, D), .S = NEW(G, H, D, D), .z = NEW(G, H, D),
         .dout = NEW(G, T, H, D), .rope = b->rope, .dq = NEW(G, T, H, D), .dS = NEW(G, H, D, D),
         .dz = NEW(G, H, D));
}

static void attn_dots(lt_bench *b) {
    SIZES;
    for (int e = 0; e < LT_BENCH_LIST; e++) b->lists[0][e] = NEW(H, D * D), b->lists[1][e] = NEW(H, D * D);
    CALL(b, lt_attn_dots_args, .count = LT_BENCH_LIST, .A = b->lists[0], .B = b->lists[1],
         .out = NEW(LT_BENCH_LIST, H));
}

/* Text of TEXT bytes: keys and values are views of one GEMM. */
static void cross_attention(lt_bench *b) {
    SIZES;
    lt_tensor kv = NEW(G, TEXT, 2, H, D);
    CALL(b, lt_cross_attention_args, .q = NEW(G, T, H, D), .k = lt_select(kv, 2, 0), .v = lt_select(kv, 2, 1),
         .scale = 0.177, .o = NEW(G, T, H, D), .lse = NEW(G, H, T));
}

static void cross_attention_backward(lt_bench *b) {
    SIZES;
    lt_tensor kv = NEW(G, TEXT, 2, H, D), dkv = NEW(G, TEXT, 2, H, D);
    lt_cross_attention_args f = {.q = NEW(G, T, H, D), .k = lt_select(kv, 2, 0), .v = lt_select(kv, 2, 1)};
    f.scale = 0.177, f.o = NEW(G, T, H, D), f.lse = NEW(G, H, T);
    if (b->status == LT_OK) b->status = lt_cross_attention_forward(&b->ctx, &f);
    CALL(b, lt_cross_attention_backward_args, .q = f.q, .k = f.k, .v = f.v, .o = f.o, .lse = f.lse,
         .dout = NEW(G, T, H, D), .scale = f.scale, .dq = NEW(G, T, H, D), .dk = lt_select(dkv, 2, 0),
         .dv = lt_select(dkv, 2, 1));
}

static void glu_depthwise(lt_bench *b) {
    SIZES;
    int64_t N = G * b->rope.frames, h = b->rope.height, w = b->rope.width;
    CALL(b, lt_glu_depthwise_args, .x = NEW(N, h, w, 4 * C), .w = NEW(3, 3, 4 * C), .b = NEW(4 * C),
         .y = NEW(N, h, w, 2 * C));
}

static void glu_depthwise_backward(lt_bench *b) {
    SIZES;
    int64_t N = G * b->rope.frames, h = b->rope.height, w = b->rope.width;
    CALL(b, lt_glu_depthwise_backward_args, .dy = NEW(N, h, w, 2 * C), .x = NEW(N, h, w, 4 * C),
         .w = NEW(3, 3, 4 * C), .b = NEW(4 * C), .dx = NEW(N, h, w, 4 * C), .dw = NEW(3, 3, 4 * C),
         .db = NEW(4 * C), .accumulate_dw = true);
}

static void temporal_conv(lt_bench *b) {
    SIZES;
    int64_t F = b->rope.frames, P = T / F;
    CALL(b, lt_temporal_conv_args, .x = NEW(G, F, P, C), .tail = NEW(G, P, C), .w = NEW(3, C, C),
         .y = NEW(G, F, P, C));
}

static void temporal_conv_backward(lt_bench *b) {
    SIZES;
    int64_t F = b->rope.frames, P = T / F;
    CALL(b, lt_temporal_conv_backward_args, .dy = NEW(G, F, P, C), .x = NEW(G, F, P, C), .tail = NEW(G, P, C),
         .w = NEW(3, C, C), .dx = NEW(G, F, P, C), .dtail = NEW(G, P, C), .dw = NEW(3, C, C),
         .accumulate_dw = true);
}

static void patchify(lt_bench *b) {
    SIZES;
    int64_t F = b->rope.frames, h = b->rope.height, w = b->rope.width;
    CALL(b, lt_patchify_args, .latent = NEW(G, F, 2 * h, 2 * w, C / 4), .tokens = NEW(G, T, C),
         .patch = {1, 2, 2});
}

/* Token ids of a text: every table row in turn, in an order that jumps. */
static lt_tensor ids_of(lt_bench *b) {
    SIZES;
    lt_tensor ids = {0};
    if (b->status == LT_OK) b->status = LT_NEW(&b->arena, LT_I32, &ids, G * T);
    for (int64_t i = 0; b->status == LT_OK && i < G * T; i++) {
        int32_t id = (int32_t)(i * 97 % TABLE_ROWS);
        b->status = lt_device_copy(b->ctx.device, b->ctx.stream, (int32_t *)ids.data + i, &id, sizeof id,
                                   LT_COPY_TO_DEVICE);
    }
    return ids;
}

static void embedding(lt_bench *b) {
    SIZES;
    CALL(b, lt_embedding_args, .ids = ids_of(b), .table = NEW(TABLE_ROWS, C), .y = NEW(G * T, C));
}

static void embedding_backward(lt_bench *b) {
    SIZES;
    CALL(b, lt_embedding_backward_args, .ids = ids_of(b), .dy = NEW(G * T, C), .dtable = NEW(TABLE_ROWS, C),
         .accumulate_dtable = true);
}

static void mse(lt_bench *b) {
    SIZES;
    CALL(b, lt_mse_args, .prediction = NEW(G, T * C), .target = NEW(G, T * C), .loss = NEW(G));
}

static void mse_backward(lt_bench *b) {
    SIZES;
    CALL(b, lt_mse_backward_args, .prediction = NEW(G, T * C), .target = NEW(G, T * C), .dloss = NEW(G),
         .dprediction = NEW(G, T * C));
}

/* Encoding; a cell of the video for each token. */
static void haar3d(lt_bench *b) {
    int64_t F = b->blocks * b->rope.frames, h = b->rope.height, w = b->rope.width;
    lt_tensor rgb = {0}, latents = {0};
    if (b->status == LT_OK) b->status = LT_NEW(&b->arena, LT_U8, &rgb, 2 * F, 4 * h, 4 * w, 3);
    if (b->status == LT_OK)
        b->status = LT_NEW(&b->arena, lt_ctx_sum_dtype(&b->ctx), &latents, F, h, w, LT_HAAR3D_KEPT);
    if (b->status == LT_OK)
        b->status = lt_device_fill(b->ctx.device, b->ctx.stream, rgb.data, 77, lt_nbytes(&rgb));
    CALL(b, lt_haar3d_args, .rgb = rgb, .latents = latents);
}

static const lt_bench_setup setups[LT_OP_COUNT] = {
    [LT_OP_LINEAR] = linear,
    [LT_OP_LINEAR_BACKWARD] = linear_backward,
    [LT_OP_NORM_MODULATE] = norm_modulate,
    [LT_OP_NORM_MODULATE_BACKWARD] = norm_modulate_backward,
    [LT_OP_GATED_RESIDUAL_NORM] = gated_residual_norm,
    [LT_OP_RMS_NORM] = rms_norm,
    [LT_OP_RMS_SCALE] = rms_scale,
    [LT_OP_RMS_NORM_BACKWARD] = rms_norm_backward,
    [LT_OP_UNARY] = unary,
    [LT_OP_UNARY_BACKWARD] = unary_backward,
    [LT_OP_ADD_BROADCAST] = add_broadcast,
    [LT_OP_ADD_BROADCAST_BACKWARD] = add_broadcast_backward,
    [LT_OP_GATED_RESIDUAL] = gated_residual,
    [LT_OP_GATED_RESIDUAL_BACKWARD] = gated_residual_backward,
    [LT_OP_COPY] = copy,
    [LT_OP_MIX] = mix,
    [LT_OP_SUM] = sum,
    [LT_OP_NORMALS] = normals,
    [LT_OP_GRAD_NORM] = grad_norm,
    [LT_OP_ADAMW] = adamw,
    [LT_OP_ATTN_STATE] = attn_state,
    [LT_OP_ATTN_STATE_BACKWARD] = attn_state_backward,
    [LT_OP_ATTN_COMBINE] = attn_combine,
    [LT_OP_ATTN_COMBINE_BACKWARD] = attn_combine_backward,
    [LT_OP_ATTN_OUTPUT] = attn_output,
    [LT_OP_ATTN_OUTPUT_BACKWARD] = attn_output_backward,
    [LT_OP_ATTN_DOTS] = attn_dots,
    [LT_OP_CROSS_ATTENTION] = cross_attention,
    [LT_OP_CROSS_ATTENTION_BACKWARD] = cross_attention_backward,
    [LT_OP_GLU_DEPTHWISE] = glu_depthwise,
    [LT_OP_GLU_DEPTHWISE_BACKWARD] = glu_depthwise_backward,
    [LT_OP_TEMPORAL_CONV] = temporal_conv,
    [LT_OP_TEMPORAL_CONV_BACKWARD] = temporal_conv_backward,
    [LT_OP_PATCHIFY] = patchify,
    [LT_OP_EMBEDDING] = embedding,
    [LT_OP_EMBEDDING_BACKWARD] = embedding_backward,
    [LT_OP_MSE] = mse,
    [LT_OP_MSE_BACKWARD] = mse_backward,
    [LT_OP_HAAR3D] = haar3d,
};

lt_bench_setup lt_bench_setup_of(lt_op_id id) { return (int)id >= 0 && id < LT_OP_COUNT ? setups[id] : NULL; }
