/* Forwards that replay the graph which an earlier one has captured. */
#include "core/log.h"
#include "model/dit/dit_impl.h"

void lt_dit_replay_free(lt_dit_replay *replay, lt_device *device) {
    if (replay->graph) device->ops->graph_destroy(device, replay->graph);
    *replay = (lt_dit_replay){0};
}

/* No decision or number of the host may lie between the launches. */
static bool can_capture(const lt_tape *tape, const lt_dit_pass *p) {
    const lt_ctx *ctx = tape->ctx;
    const lt_cache *cache = p->in.cache;
    bool watched = ctx->sync || (ctx->meter && ctx->meter->timed) || p->in.probe;
    if (!ctx->device->ops->graph_begin || watched || p->run != &lt_dit_infer || p->in.commit_stream >= 0)
        return false;
    for (int i = 0; cache && i < cache->shape.batch; i++)
        if (cache->spec[i].read != LT_READ_ONE) return false;
    return !cache || (!cache->observer.on_read && !cache->read_scale);
}

static lt_status capture(lt_tape *tape, lt_dit_pass *p, lt_var **velocity) {
    const lt_ctx *ctx = tape->ctx;
    const lt_device_ops *ops = ctx->device->ops;
    lt_dit_replay *r = p->in.replay;
    r->mark = lt_arena_mark(tape->step);
    r->far = tape->step->far;
    LT_TRY(ops->graph_begin(ctx->device, ctx->stream));
    lt_status status = lt_dit_body(tape, p, velocity);
    lt_status ended = ops->graph_end(ctx->device, ctx->stream, status == LT_OK ? &r->graph : NULL);
    if (status == LT_OK) status = ended;
    if (status != LT_OK) return status;
    r->velocity = (*velocity)->value;
    r->ready = true;
    return ops->graph_launch(ctx->device, r->graph, ctx->stream);
}

/* The same work uncaptured, where the driver refused to capture it. */
static lt_status launch_one_by_one(lt_tape *tape, lt_dit_pass *p, lt_var **velocity) {
    lt_dit_replay *r = p->in.replay;
    lt_warn("sampler steps are not replayed as a CUDA graph, which is slower: %s", lt_error());
    r->failed = true;
    r->ready = false;
    tape->ctx->sticky = LT_OK;
    lt_arena_release(tape->step, r->mark);
    LT_TRY(lt_arena_set_far(tape->step, r->far));
    lt_dit_small(tape);
    return lt_dit_body(tape, p, velocity);
}

lt_status lt_dit_replay_body(lt_tape *tape, lt_dit_pass *p, lt_var **velocity) {
    const lt_ctx *ctx = tape->ctx;
    lt_dit_replay *r = p->in.replay;
    if (r->failed || !velocity || !can_capture(tape, p)) return lt_dit_body(tape, p, velocity);
    if (!r->ready) return capture(tape, p, velocity) == LT_OK ? LT_OK : launch_one_by_one(tape, p, velocity);
    LT_CHECK(r->mark == lt_arena_mark(tape->step), LT_FAILED,
             "dit: a forward to be replayed begins at byte %zu of its memory, before it was %zu",
             lt_arena_mark(tape->step), r->mark);
    LT_TRY(ctx->device->ops->graph_launch(ctx->device, r->graph, ctx->stream));
    return lt_tape_var(tape, r->velocity, false, velocity);
}
