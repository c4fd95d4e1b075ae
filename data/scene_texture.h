/* Backgrounds of generated scenes: smooth procedural textures on a tile that repeats in both directions. */
#ifndef LT_DATA_SCENE_TEXTURE_H
#define LT_DATA_SCENE_TEXTURE_H

#include "core/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A stream of random numbers that is read in order: the draws that shape one scene. */
typedef struct lt_draw {
    lt_rng_key key;
    uint64_t index;
} lt_draw;

double lt_draw_range(lt_draw *draw, double low, double high); /* uniform in [low, high) */
int lt_draw_below(lt_draw *draw, int bound);                  /* 0 .. bound - 1 */

#define LT_TEXTURE_FAMILIES 7

/* "checkered", "striped", ...: how a caption calls a ground of this family. */
const char *lt_texture_name(int family);

/* Fills tile[side][side][3], 0..255, with a texture of `family` in colours drawn from `draw`; `mean` gets the
 * mean colour. Structures scale with `side` (at least 8); none is finer than about side / 24. */
void lt_texture_fill(int family, lt_draw *draw, int side, float *tile, float mean[3]);

#ifdef __cplusplus
}
#endif
#endif
