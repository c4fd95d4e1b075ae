/* The cache that a model and a spec need. */
#ifndef LT_INFER_CACHE_SHAPE_H
#define LT_INFER_CACHE_SHAPE_H

#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Entries that one committed block makes per layer. */
int lt_block_segments(const lt_model *model, lt_granularity granularity);

/* Reads a policy and a budget, whose unit depends on the policy's granularity: "25%" is of the entries of
 * `blocks` blocks. LT_USAGE names what cannot be read, a share of an unknown number of blocks (0) too. */
lt_status lt_spec_read(const lt_model *model, const char *policy, const char *budget, int64_t blocks,
                       lt_cache_spec *out);

/* Streaming: as many slots as the spec needs, and tails. `ctx` is the session's. */
lt_cache_shape lt_cache_shape_streaming(const lt_model *model, const lt_ctx *ctx, const lt_cache_spec *spec,
                                        int batch);
/* Whole clips of at most `blocks` blocks, any granularity and budget, ghosts included: without slots. */
lt_cache_shape lt_cache_shape_whole(const lt_model *model, const lt_ctx *ctx, int batch, int blocks);

/* The spec with a budget of at most what so many blocks can fill. Nothing is evicted where the larger one
 * would not evict either, and a stream of known length takes no memory for entries that never come. */
lt_cache_spec lt_spec_for_blocks(const lt_model *model, const lt_cache_spec *spec, int64_t blocks);

#ifdef __cplusplus
}
#endif
#endif
