/* Memory without a loss: when a shot returns to an earlier scene, is that scene still in the cache?
 *
 * Clips are streamed block by block with clean latents, as in generation after a given history, so every policy can be
 * asked, those with scope=model too. A block counts when it is the first of a shot that shows an earlier scene (the
 * cuts are those of the clip's row; a block with a cut inside counts as what it starts with). A layer holds the scene
 * when one of its entries covers a frame of an earlier shot of that scene; a merged entry covers all from its first
 * frame to its last.
 */
#ifndef LT_INFER_HELD_H
#define LT_INFER_HELD_H

#include "infer/evaluate.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_held {
    int64_t clips, returns; /* clips with a return; blocks that count */
    double layers;          /* mean over returns of the share of layers that hold the scene */
    double all;             /* share of returns where all layers do */
    double error;           /* standard error of `layers` by groups; NAN below LT_PAIRED_MIN_GROUPS */
} lt_held;

/* Counts over the clips that lt_evaluate would take; options->draws and batch are not used. LT_INPUT when none of them
 * has a return within options->blocks blocks. */
lt_status lt_held_measure(lt_model *model, lt_dataset *set, const lt_eval_options *options,
                          const lt_cache_spec *spec, lt_held *out);

#ifdef __cplusplus
}
#endif
#endif
