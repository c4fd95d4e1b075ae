/* Flow matching (rectified flow: Liu et al., arXiv 2209.03003; Lipman et al., arXiv 2210.02747):
 *
 *     x_t = (1 - t) x + t n      target velocity n - x      t = 0 clean, t = 1 noise
 *
 * Times in training are logit-normal with a shift (Esser et al., arXiv 2403.03206); samplers walk a shifted grid.
 */
#ifndef LT_INFER_SCHEDULE_H
#define LT_INFER_SCHEDULE_H

#include "core/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

/* s t / (1 + (s - 1) t): s > 1 spends more of the range near noise. */
double lt_shift_time(double t, double shift);

/* t for one draw: sigmoid(mean + deviation * normal), then shifted. */
double lt_time_logit_normal(const lt_rng_key *key, uint64_t index, double mean, double deviation,
                            double shift);

/* How the times of a clip's blocks relate. */
typedef enum lt_noise_mode {
    LT_NOISE_SAME,
    LT_NOISE_INDEPENDENT,
    LT_NOISE_MONOTONE,
    LT_NOISE_COUNT
} lt_noise_mode;
extern const char *const lt_noise_names[LT_NOISE_COUNT]; /* "same", "independent", "monotone" */

/* Times t[blocks] of one clip at one step: one draw for all; one each; or one each, sorted so that noise never
 * decreases with time (SANA-Video's monotonically increasing SNR sampler, arXiv 2509.24695, section 3.3). */
void lt_clip_times(lt_noise_mode mode, const lt_rng_key *key, double mean, double deviation, double shift,
                   int blocks, double *t);

/* t[0] = 1 > ... > t[steps] = 0, shifted. */
void lt_sampler_grid(int steps, double shift, double *t);

#ifdef __cplusplus
}
#endif
#endif
