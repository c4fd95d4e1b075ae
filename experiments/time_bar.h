/* A bar above each frame of a video (players lay their buttons over the lower edge): which frames were given and
 * which the model made, and how far the video is.
 *
 *     int height = lt_time_bar_height(width);
 *     lt_time_bar_draw(above, width, frame, given, frames);      above: [height, width, 3]
 *
 * The picture itself stays as it is. Grey, "GIVEN": footage; orange, "GENERATED": the model's. The part of the line
 * that has passed is bright.
 */
#ifndef LT_EXPERIMENTS_TIME_BAR_H
#define LT_EXPERIMENTS_TIME_BAR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of the bar: an even number. */
int lt_time_bar_height(int width);
/* Draws it for frame 0 <= frame < frames, of which the first `given` were given. */
void lt_time_bar_draw(uint8_t *rgb, int width, int64_t frame, int64_t given, int64_t frames);

#ifdef __cplusplus
}
#endif
#endif
