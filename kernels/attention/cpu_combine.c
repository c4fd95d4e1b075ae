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
static void fold(const lt_attn_sum *s, const lt_tensor *sources, int64_t h, int64_t first, int64_t last,
                 float *out) {
    int64_t heads = s->S.shape[0], i = first;
    enum { WIDE = 4 };
    for (; i + WIDE * LT_LANES <= last; i += WIDE * LT_LANES) {
        lt_v sum[WIDE];
        float w = weight_of(&s->weights, s->weighted, 0, h, heads);
        for (int v = 0; v < WIDE; v++)
            sum[v] = w * lt_v_load((const float *)sources[0].data + i + v * LT_LANES);
        for (int e = 1; e < s->count; e++) {
            w = weight_of(&s->weights, s->weighted, e, h, heads);
            for (int v = 0; v < WIDE; v++)
                sum[v] += w * lt_v_load((const float *)sources[e].data + i + v * LT_LANES);
        }
        for (int v = 0; v < WIDE; v++) lt_v_store(out + i + v * LT_LANES, sum[v]);
    }
    for (; i < last; i++) {
        float sum = weight_of(&s->weights, s->weighted, 0, h, heads) * ((const float *)sources[0].data)[i];
        for (int e = 1; e < s->count; e++)
            sum += weight_of(&s->weights, s->weighted, e, h, heads) * ((const float *)sources[e].data)[i];
        out[i] = sum;
    }
}

/* Piece `piece` of head h of S; the first one brings z along. */
static void fold_piece(const lt_attn_combine_args *a, const lt_attn_sum *s, int64_t h, int64_t piece) {
    int64_t D = s->S.shape[1], first = piece * PIECE, last = first + PIECE < D * D ? first + PIECE : D * D;
    fold(s, a->S + s->first, h, h * D * D + first, h * D * D + last, s->S.data);
    if (piece == 0) fold(s, a->z + s->first, h, h * D, (h + 1) * D, s->z.data);
}

lt_status lt_attn_combine_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_combine_args *a = untyped;
    int64_t H = a->sums[0].S.shape[0], D = a->sums[0].S.shape[1], pieces = (D * D + PIECE - 1) / PIECE;
    double sources = 0;
    for (int s = 0; s < a->count; s++) sources += a->sums[s].count;
    int threads = lt_attn_threads(sources * H * D * D);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t index = 0; index < a->count * H * pieces; index++)
        fold_piece(a, &a->sums[index / (H * pieces)], index / pieces % H, index % pieces);
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

/* Head h of the combination's source number i. */
static void combine_backward(const lt_attn_combine_backward_args *a, const lt_attn_sum_gradient *sum, int i,
                             int64_t h) {
    int64_t H = sum->dS.shape[0], D = sum->dS.shape[1], S_at = h * D * D, z_at = h * D;
    const float *dS = (const float *)sum->dS.data + S_at, *dz = (const float *)sum->dz.data + z_at;
    float w = weight_of(&sum->weights, sum->weighted, i, h, H);
    int e = sum->first + i;
    bool accumulate = a->accumulate && a->accumulate[e];
    if (!lt_is_empty(&sum->dweights) && i < sum->weighted) {
        double dw = lt_cpu_dot(D * D, dS, (const float *)a->S[e].data + S_at) +
                    lt_cpu_dot(D, dz, (const float *)a->z[e].data + z_at);
        float *out = (float *)sum->dweights.data + i * H + h;
        *out = (float)(sum->accumulate_dweights ? *out + dw : dw);
    }
    if (a->dS_e && !lt_is_empty(&a->dS_e[e])) spread(D * D, w, dS, &a->dS_e[e], S_at, accumulate);
    if (a->dz_e && !lt_is_empty(&a->dz_e[e])) spread(D, w, dz, &a->dz_e[e], z_at, accumulate);
}

/* A thread has its heads to itself, so sources that share a gradient meet there in the order of the lists. */
lt_status lt_attn_combine_backward_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_attn_combine_backward_args *a = untyped;
    int64_t H = a->sums[0].dS.shape[0], D = a->sums[0].dS.shape[1];
    double sources = 0;
    for (int s = 0; s < a->count; s++) sources += a->sums[s].count;
    int threads = lt_attn_threads(2 * sources * H * D * D);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t h = 0; h < H; h++)
        for (int s = 0; s < a->count; s++)
            for (int i = 0; i < a->sums[s].count; i++) combine_backward(a, &a->sums[s], i, h);
    return LT_OK;
}
