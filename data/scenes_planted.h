/* Clips with one thing to remember: shots of dark grey textures that never come back, among them one marked shot, of
 * coloured fields in a white frame, that the last shot goes on with. Whoever predicts the last shot must have kept the
 * marked one, and nothing else helps; the mark tells which it is as soon as it is seen.
 *
 *     shot      0      1      2      3      4      5      6      7
 *     scene     0      1      2*     3      4      5      6      2*         (* marked; here it is shot 2 of 8)
 *
 * The marked shot is any but the last three, so a window of the two newest shots never holds it. The colours differ
 * from clip to clip and cannot be guessed.
 */
#ifndef LT_DATA_SCENES_PLANTED_H
#define LT_DATA_SCENES_PLANTED_H

#include "data/scene_texture.h"
#include "data/scenes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One shot's picture: a tile that repeats in both directions and drifts behind its frame, if it has one. */
typedef struct lt_planted_picture {
    int width, height;
    int side;      /* of the tile, texels; one texel is one pixel */
    int frame;     /* width of the white frame, pixels; 0: none */
    double pan[2]; /* pixels per second */
    float *tile;   /* [side][side][3] */
} lt_planted_picture;

/* LT_USAGE unless the frames are a whole number of shots, 4 to LT_CLIP_CUTS + 1. */
lt_status lt_planted_check(const lt_scenes_spec *spec);
/* Fills cuts and caption. Returns the number of scenes; *marked: which of them is. */
int lt_planted_cutting(const lt_scenes_spec *spec, lt_draw *draw, lt_clip *clip, int *marked);
/* The caller frees it with lt_planted_free. */
lt_status lt_planted_init(lt_planted_picture *picture, const lt_rng_key *key, const lt_scenes_spec *spec,
                          bool marked);
void lt_planted_free(lt_planted_picture *picture);
/* As lt_scene_draw (data/scene_draw.h). */
void lt_planted_draw(const lt_planted_picture *picture, double seconds, double next, uint8_t *rgb,
                     float *flow);

#ifdef __cplusplus
}
#endif
#endif
