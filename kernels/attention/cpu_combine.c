#include "kernels/attention/attention.h"
#include "kernels/attention/cpu_dot.h"
#include "kernels/attention/cpu_rope.h"

#include <omp.h>

/* Elements folded at a time by one thread. */
enum { PIECE = 4096 };

static float weight_of(const lt_tensor *weights, int weighted, int e, int64_t h, int64_t heads) {
    return lt_is_empty(weights) || e >= weighted ? 1 : ((const float *)weights->data)[e * heads + h];
}

/* Elements [first, last) of a head, all of which have the weights of head h. Sums stay in registers while the sources
 * pass, so out may be the first source. */
static void fold(const lt_attn_combine_args *a, const lt_tensor *sources, int64_t h, int64_t first,
                 int64_t last, float *out) {
    int64_t heads = a->out_S.shape[0], i = first;
    enum { WIDE = 4 };
    for (; i + WIDE * LT_LANES <= last; i += WIDE * LT_LANES) {
        lt_v sum[WIDE];
        float w = weight_of(&a->weights, a->weighted, 0, h, heads);
        for (int v = 0; v < WIDE; v++)
            sum[v] = w * lt_v_load((const float *)sources[0].data + i + v * LT_LANES);
        for (int e = 1; e < a->count; e++) {
            w = weight_of(&a->weights, a->weighted, e, h, heads);
            for (int v = 0; v < WIDE; v++)
                sum[v] += w * lt_v_load((const float *)sources[e].data + i + v * LT_LANES);
        }
        for (int v = 0; v < WIDE; v++) lt_v_store(out + i + v * LT_LANES, sum[v]);
    }
    for (; i < last; i++) {
        float sum = weight_of(&a->weights, a->weighted, 0, h, heads) * ((const float *)sources[0].data)[i];
        for (int e = 1; e < a->count; e++)
            sum += weight_of(&a->weights, a->weighted, e, h, heads) * ((const float *)sources[e].data)[i];
        out[i] = sum;
    }
}

lt_status lt_attn_combine_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_combine_args *a = untyped;
    int64_t H = a->out_S.shape[0], D = a->out_S.shape[1], pieces = (D * D + PIECE - 1) / PIECE;
    int threads = lt_attn_threads((double)a->count * H * D * D);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t index = 0; index < H * pieces; index++) {
        int64_t h = index / pieces, first = index % pieces * PIECE;
        int64_t last = first + PIECE < D * D ? first + PIECE : D * D;
        fold(a, a->S, h, h * D * D + first, h * D * D + last, a->out_S.data);
    }
    for (int64_t h = 0; h < H; h++) fold(a, a->z, h, h * D, (h + 1) * D, a->out_z.data);
    return LT_OK;
}

static void spread(int64_t n, float w, const float *from, const lt_tensor *to, int64_t offset,
                   bool accumulate) {
    float *out = (float *)to->data + offset;
    if (accumulate)
        for (int64_t i = 0; i < n; i++) out[i] += w * from[i];
    else
        for (int64_t i = 0; i < n; i++) out[i] = w * from[i];
}

static void combine_backward(const lt_attn_combine_backward_args *a, int e, int64_t h) {
    int64_t H = a->dS.shape[0], D = a->dS.shape[1], S_at = h * D * D, z_at = h * D;
    const float *dS = (const float *)a->dS.data + S_at, *dz = (const float *)a->dz.data + z_at;
    float w = weight_of(&a->weights, a->weighted, e, h, H);
    bool accumulate = a->accumulate && a->accumulate[e];
    if (!lt_is_empty(&a->dweights) && e < a->weighted) {
        double dw = lt_cpu_dot(D * D, dS, (const float *)a->S[e].data + S_at) +
                    lt_cpu_dot(D, dz, (const float *)a->z[e].data + z_at);
        float *out = (float *)a->dweights.data + e * H + h;
        *out = (float)(a->accumulate_dweights ? *out + dw : dw);
    }
    if (a->dS_e && !lt_is_empty(&a->dS_e[e])) spread(D * D, w, dS, &a->dS_e[e], S_at, accumulate);
    if (a->dz_e && !lt_is_empty(&a->dz_e[e])) spread(D, w, dz, &a->dz_e[e], z_at, accumulate);
}

lt_status lt_attn_combine_backward_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_combine_backward_args *a = untyped;
    int64_t H = a->dS.shape[0], D = a->dS.shape[1];
    int threads = lt_attn_threads(2.0 * a->count * H * D * D);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t h = 0; h < H; h++)
        for (int e = 0; e < a->count; e++) combine_backward(a, e, h);
    return LT_OK;
}
