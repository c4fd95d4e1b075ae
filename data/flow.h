/* Dense optical flow between two 8-bit luma images, to say how much a clip moves and how well motion is kept.
 *
 *     lt_flow *flow;
 *     LT_TRY(lt_flow_open(width, height, &flow));            one per thread
 *     lt_flow_run(flow, luma_a, luma_b, forward);            float [H,W,2]: (dx, dy) in pixels, a -> b
 *     lt_motion motion = lt_flow_motion(flow, luma_a, luma_b);   both directions, checked against each other
 *     lt_flow_close(flow);
 *
 * Method: pyramidal Lucas-Kanade (Bouguet, "Pyramidal implementation of the Lucas Kanade feature tracker",
 * 2000) at every pixel, with the window's equations written for the total displacement, so that neighbours
 * may differ, and a weak pull towards the neighbourhood's mean where the texture says nothing.
 * Forward-backward check as in Sundaram, Brox, Keutzer, "Dense point trajectories by GPU-accelerated large
 * displacement optical flow", ECCV 2010. Reliable for displacements up to about 8 % of the width between the
 * two images. Images of 32,768 pixels and more share their rows among OpenMP threads; the result does not
 * depend on how many.
 */
#ifndef LT_DATA_FLOW_H
#define LT_DATA_FLOW_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_flow lt_flow;

/* What two consecutive frames say about motion. */
typedef struct lt_motion {
    double px;         /* mean length of the flow over consistent pixels, in pixels; 0 when there are none */
    double consistent; /* share of pixels that are consistent, 0..1 */
} lt_motion;

/* Workspace for images of this size; both sides 8 .. 16384, else LT_USAGE. */
lt_status lt_flow_open(int width, int height, lt_flow **out);
void lt_flow_close(lt_flow *flow); /* NULL is fine */

/* a, b: [H,W] bytes without padding. out: [H,W,2] pixels, such that b(x + dx, y + dy) looks like a(x, y). */
void lt_flow_run(lt_flow *flow, const uint8_t *a, const uint8_t *b, float *out);

/* consistent[H*W] = 1 where following `forward` and then `backward` leads back to the start (within half a
 * pixel plus 1 % of the lengths) without leaving the image. Returns how many. */
int64_t lt_flow_consistent(int width, int height, const float *forward, const float *backward,
                           uint8_t *consistent);

/* Mean length over the `count` vectors where mask != 0; mask NULL: all. 0 when there are none. */
double lt_flow_mean(const float *flow, const uint8_t *mask, int64_t count);

/* Runs both directions and reports the consistent motion. */
lt_motion lt_flow_motion(lt_flow *flow, const uint8_t *a, const uint8_t *b);

/* luma[i] = BT.601 luma of rgb[3 i ..], rounded. */
void lt_luma(const uint8_t *rgb, int64_t count, uint8_t *luma);

/* Mean absolute difference of two luma images, 0..255: the `luma_diff` of consecutive frames. */
double lt_luma_difference(const uint8_t *a, const uint8_t *b, int64_t count);

#ifdef __cplusplus
}
#endif
#endif
