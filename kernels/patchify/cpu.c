#include "core/parallel.h"
#include "kernels/patchify/patchify.h"
#include "kernels/rows.h"

#include <string.h>

static void move(float *to, const float *from, int64_t count, bool add) {
    if (!add) memcpy(to, from, (size_t)count * sizeof(float));
    else
        for (int64_t i = 0; i < count; i++) to[i] += from[i];
}

/* One frame of one sequence. A latent row of pw pixels is contiguous on both sides. */
static void move_frame(const lt_patchify_args *a, int64_t frame) {
    const int64_t *s = a->latent.shape, pt = a->patch[0], ph = a->patch[1], pw = a->patch[2];
    int64_t height = s[2], columns = s[3] / pw, run = pw * s[4], width = pt * ph * run;
    float *latent = (float *)a->latent.data + frame * height * s[3] * s[4];
    float *tokens = (float *)a->tokens.data + frame / pt * (height / ph) * columns * width;
    for (int64_t i = 0; i < height; i++) {
        float *row = latent + i * s[3] * s[4];
        float *token = tokens + i / ph * columns * width + (frame % pt * ph + i % ph) * run;
        for (int64_t j = 0; j < columns; j++) {
            if (a->inverse) move(row + j * run, token + j * width, run, a->accumulate);
            else move(token + j * width, row + j * run, run, a->accumulate);
        }
    }
}

lt_status lt_patchify_cpu(lt_ctx *ctx, const void *args, void *workspace) {
    (void)ctx, (void)workspace;
    const lt_patchify_args *a = args;
    /* Frames of all sequences follow each other, and pt divides those of each: frame / pt walks through all.
     */
    int64_t frames = lt_numel(&a->latent) ? a->latent.shape[0] * a->latent.shape[1] : 0;
#pragma omp parallel for schedule(static)                                                                    \
    num_threads(lt_threads()) if (lt_numel(&a->latent) >= LT_PARALLEL_FROM)
    for (int64_t frame = 0; frame < frames; frame++) move_frame(a, frame);
    return LT_OK;
}
