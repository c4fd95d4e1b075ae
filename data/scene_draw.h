/* One generated scene: a textured ground under a moving camera, with one to three textured sprites over it.
 * Everything about it follows from a random key, and any moment of it can be drawn, so a shot can go on where
 * an earlier one stopped.
 *
 * Coordinates: the origin is the image's centre, x right, y down; one unit is the shorter side of the image.
 */
#ifndef LT_DATA_SCENE_DRAW_H
#define LT_DATA_SCENE_DRAW_H

#include "data/scene_texture.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LT_SCENE_SPRITES 3

typedef struct lt_sprite {
    int shape, pattern, colour;
    float paint[2][3];        /* the colours of its pattern, 0..255 */
    double radius;            /* units */
    double from[2], speed[2]; /* bouncing: start and velocity; orbiting: centre and half axes */
    double phase, rate;       /* orbiting: radians, radians per second; rate 0: it bounces */
    double limit[2];          /* bouncing: |position| stays below */
    double angle, spin;       /* radians, radians per second */
} lt_sprite;

typedef struct lt_scene {
    int width, height, side; /* side: texels of the tile, two units wide */
    int family, sprites;
    double pan[2];                       /* units per second; the camera's velocity */
    double zoom_depth, zoom_rate, phase; /* magnification exp(depth sin(rate t + phase)) */
    lt_sprite sprite[LT_SCENE_SPRITES];
    float *tile; /* [side][side][3] */
} lt_scene;

/* Draws a scene's contents from `key`. The caller frees it with lt_scene_free. */
lt_status lt_scene_init(lt_scene *scene, const lt_rng_key *key, int width, int height);
void lt_scene_free(lt_scene *scene);

/* The image at `seconds` of scene time: rgb[H,W,3]. If `flow` is not NULL it gets [H,W,2], the displacement
 * in pixels of what each pixel shows between `seconds` and `next`; a pixel belongs to the topmost thing that
 * covers at least half of it. */
void lt_scene_draw(const lt_scene *scene, double seconds, double next, uint8_t *rgb, float *flow);

/* "a red disc and a striped blue square over a checkered ground, panning left" */
void lt_scene_caption(const lt_scene *scene, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
