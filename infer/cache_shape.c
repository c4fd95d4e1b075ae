#include "infer/cache_shape.h"

#include <string.h>

/* Tokens of a block: frames, rows, columns. */
static void grid_of(const lt_model *model, int64_t grid[3]) {
    int64_t latent[4];
    lt_model_block_shape(model, latent);
    for (int i = 0; i < 3; i++) grid[i] = latent[i] / model->config.patch[i];
}

int lt_block_segments(const lt_model *model, lt_granularity granularity) {
    int64_t grid[3];
    grid_of(model, grid);
    lt_rope rope = {.frames = (int)grid[0], .height = (int)grid[1], .width = (int)grid[2]};
    return lt_segment_count(&rope, lt_dit_segment_box(grid, granularity));
}

lt_status lt_spec_read(const lt_model *model, const char *policy, const char *budget, int64_t blocks,
                       lt_cache_spec *out) {
    const lt_dit_config *c = &model->config;
    int slots;
    LT_TRY(lt_cache_spec_parse(policy, 1, out));
    int64_t entries = blocks * lt_block_segments(model, out->granularity);
    LT_CHECK(entries > 0 || !strchr(budget, '%'), LT_USAGE, "budget %s: of how many blocks?", budget);
    LT_TRY(lt_budget_parse(budget, lt_entry_bytes(c->layers, c->heads, c->head_dim),
                           entries > INT32_MAX ? INT32_MAX : (int)entries, &slots));
    return lt_cache_spec_parse(policy, slots, out);
}

static lt_cache_shape common(const lt_model *model, const lt_ctx *ctx, int batch) {
    const lt_dit_config *c = &model->config;
    return (lt_cache_shape){.layers = c->layers,
                            .batch = batch,
                            .heads = c->heads,
                            .head_dim = c->head_dim,
                            .dtype = lt_ctx_sum_dtype(ctx),
                            .tail_dtype = lt_ctx_dtype(ctx)};
}

lt_cache_shape lt_cache_shape_streaming(const lt_model *model, const lt_ctx *ctx, const lt_cache_spec *spec,
                                        int batch) {
    int64_t grid[3];
    grid_of(model, grid);
    int segments = lt_block_segments(model, spec->granularity);
    lt_cache_shape shape = common(model, ctx, batch);
    shape.slots = lt_cache_slots_for(spec, segments);
    shape.capacity = spec->budget + segments;
    shape.tail_rows = grid[1] * grid[2];
    shape.tail_width = lt_dit_width(&model->config);
    return shape;
}

lt_cache_shape lt_cache_shape_whole(const lt_model *model, const lt_ctx *ctx, int batch, int blocks) {
    lt_cache_shape shape = common(model, ctx, batch);
    int most = 1;
    for (int grain = 0; grain < LT_GRAIN_COUNT; grain++) {
        int segments = lt_block_segments(model, (lt_granularity)grain);
        if (segments > most) most = segments;
    }
    shape.capacity = blocks * most;
    return shape;
}

lt_cache_spec lt_spec_for_blocks(const lt_model *model, const lt_cache_spec *spec, int64_t blocks) {
    lt_cache_spec fitting = *spec;
    int64_t most = blocks * lt_block_segments(model, spec->granularity);
    if (most > 0 && fitting.budget > most) fitting.budget = (int)most;
    return fitting;
}
