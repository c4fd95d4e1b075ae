#include "kernels/e4m3.h"
#include "kernels/temporal_conv/temporal_conv.h"

#include <string.h>

/* Frame f of block g of t [G, F, P, C]; frame -1 is the tail; NULL stands for a frame of zeros. */
static double *frame_of(const lt_tensor *t, const lt_tensor *tail, int64_t g, int64_t f) {
    int64_t frames = t->shape[1], size = t->shape[2] * t->shape[3];
    if (f >= 0 && f < frames) return (double *)t->data + (g * frames + f) * size;
    return f == -1 && !lt_is_empty(tail) ? (double *)tail->data + g * size : NULL;
}

/* `t` with rows quantised to e4m3, in memory that is then taken from `*memory`. */
static lt_tensor rounded_weights(lt_tensor t, int64_t channels, double **memory) {
    double *to = *memory;
    for (int64_t i = 0; !lt_is_empty(&t) && i < lt_numel(&t); i += channels)
        lt_e4m3_round_exactly((const double *)t.data + i, channels, to + i);
    if (lt_is_empty(&t)) return t;
    *memory += lt_numel(&t);
    t.data = to;
    return t;
}

/* What GEMMs read in place of x, tail and w. */
static void round_all(lt_temporal_conv_args *a, double *memory) {
    int64_t channels = a->x.shape[3];
    const double *w = a->w.data, *scale = a->scale.data;
    a->x = rounded_weights(a->x, channels, &memory), a->tail = rounded_weights(a->tail, channels, &memory);
    for (int64_t i = 0; i < lt_numel(&a->w); i++) memory[i] = w[i] * scale[i / channels];
    a->w.data = memory;
}

lt_status lt_temporal_conv_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx;
    lt_temporal_conv_args from = *(const lt_temporal_conv_args *)args;
    const lt_temporal_conv_args *a = &from;
    const lt_tensor x = from.x;
    if (!lt_is_empty(&from.scale)) round_all(&from, workspace);
    int64_t blocks = a->x.shape[0], frames = a->x.shape[1], pixels = a->x.shape[2], channels = a->x.shape[3];
    const double *w = a->w.data;
    for (int64_t g = 0; g < blocks; g++)
        for (int64_t f = 0; f < frames; f++)
            for (int64_t i = 0; i < pixels * channels; i++) {
                int64_t pixel = i / channels * channels, out = i % channels;
                double sum = frame_of(&x, &a->tail, g, f)[i];
                for (int tap = 0; tap < 3; tap++) {
                    const double *read = frame_of(&a->x, &a->tail, g, f + tap - 1);
                    for (int64_t in = 0; read && in < channels; in++)
                        sum += w[(tap * channels + out) * channels + in] * read[pixel + in];
                }
                frame_of(&a->y, &a->tail, g, f)[i] = sum;
            }
    return LT_OK;
}

/* What outputs f+1, f and f-1 send back to element i of frame f, through taps 0, 1 and 2. */
static double sent_back(const lt_temporal_conv_backward_args *a, int64_t g, int64_t f, int64_t i) {
    const lt_tensor none = {0};
    const double *w = a->w.data;
    int64_t channels = a->x.shape[3], pixel = i / channels * channels, in = i % channels;
    double sum = 0;
    for (int tap = 0; tap < 3; tap++) {
        const double *dy = frame_of(&a->dy, &none, g, f + 1 - tap);
        for (int64_t out = 0; dy && out < channels; out++)
            sum += w[(tap * channels + out) * channels + in] * dy[pixel + out];
    }
    return sum;
}

static void conv_input_gradient(const lt_temporal_conv_backward_args *a) {
    const lt_tensor none = {0};
    int64_t blocks = a->x.shape[0], frames = a->x.shape[1], size = a->x.shape[2] * a->x.shape[3];
    for (int64_t g = 0; g < blocks; g++)
        for (int64_t f = 0; f < frames; f++)
            for (int64_t i = 0; i < size; i++) {
                double *dx = &frame_of(&a->dx, &none, g, f)[i];
                *dx = (a->accumulate_dx ? *dx : 0) + frame_of(&a->dy, &none, g, f)[i] + sent_back(a, g, f, i);
            }
}

static void tail_gradient(const lt_temporal_conv_backward_args *a) {
    int64_t blocks = a->x.shape[0], size = a->x.shape[2] * a->x.shape[3];
    double *dtail = a->dtail.data;
    for (int64_t g = 0; g < blocks; g++)
        for (int64_t i = 0; i < size; i++) {
            double *d = &dtail[g * size + i];
            *d = (a->accumulate_dtail ? *d : 0) + sent_back(a, g, -1, i);
        }
}

static void conv_weight_gradient(const lt_temporal_conv_backward_args *a) {
    int64_t blocks = a->x.shape[0], frames = a->x.shape[1], channels = a->x.shape[3];
    const lt_tensor none = {0};
    double *dw = a->dw.data;
    if (!a->accumulate_dw) memset(dw, 0, lt_nbytes(&a->dw));
    for (int64_t g = 0; g < blocks; g++)
        for (int64_t f = 0; f < frames; f++)
            for (int tap = 0; tap < 3; tap++) {
                const double *x = frame_of(&a->x, &a->tail, g, f + tap - 1);
                const double *dy = frame_of(&a->dy, &none, g, f);
                for (int64_t i = 0; x && i < a->x.shape[2] * channels; i++)
                    for (int64_t in = 0; in < channels; in++)
                        dw[(tap * channels + i % channels) * channels + in] +=
                            dy[i] * x[i / channels * channels + in];
            }
}

lt_status lt_temporal_conv_backward_naive(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_temporal_conv_backward_args *a = args;
    if (!lt_is_empty(&a->dx)) conv_input_gradient(a);
    if (!lt_is_empty(&a->dtail)) tail_gradient(a);
    if (!lt_is_empty(&a->dw)) conv_weight_gradient(a);
    return LT_OK;
}
