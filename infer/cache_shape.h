/* The cache that a model and a spec need. */
#ifndef LT_INFER_CACHE_SHAPE_H
#define LT_INFER_CACHE_SHAPE_H

#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Entries that one committed block makes per layer. */
int lt_block_segments(const lt_model *model, lt_granularity granularity);

/* Streaming: as many slots as the spec needs, and tails. `ctx` is the session's. */
lt_cache_shape lt_cache_shape_streaming(const lt_model *model, const lt_ctx *ctx, const lt_cache_spec *spec,
                                        int batch);
/* Whole clips of at most `blocks` blocks, any granularity and budget, ghosts included: without slots. */
lt_cache_shape lt_cache_shape_whole(const lt_model *model, const lt_ctx *ctx, int batch, int blocks);

/* The spec with a budget of at most what so many blocks can fill. Nothing is evicted where the larger one would not evict
 * either, and a stream of known length takes no memory for entries that never come. */
lt_cache_spec lt_spec_for_blocks(const lt_model *model, const lt_cache_spec *spec, int64_t blocks);

#ifdef __cplusplus
}
#endif
#endif
