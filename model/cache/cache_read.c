/* Reading: which entries the readers of a block sum up. */
#include "model/cache/cache_impl.h"

#include <string.h>

/* Entries in time order, then the reader's own segments. */
static lt_status reader_sources(const lt_cache *cache, lt_tape *tape, const lt_reader *reader,
                                const lt_entries *list, lt_var **S, lt_var **z) {
    int n = list->count;
    for (int i = 0; i < n; i++) {
        const lt_entry *e = &list->items[i];
        bool cut = cache->bptt_blocks >= 0 && reader->block - e->block > cache->bptt_blocks;
        S[i] = e->S_var, z[i] = e->z_var;
        if (!cut) continue;
        LT_TRY(lt_tape_detach(tape, e->S_var, &S[i]));
        LT_TRY(lt_tape_detach(tape, e->z_var, &z[i]));
    }
    memcpy(S + n, reader->own_S, (size_t)reader->own_count * sizeof *S);
    memcpy(z + n, reader->own_z, (size_t)reader->own_count * sizeof *z);
    return LT_OK;
}

lt_read_event lt_cache_read_event(const lt_reader *reader, const lt_entries *list, lt_var *weights) {
    return (lt_read_event){.layer = reader->layer,
                           .sequence = reader->sequence,
                           .stream = reader->stream,
                           .block = reader->block,
                           .t = reader->t,
                           .count = list->count,
                           .present = list->items,
                           .weights = weights};
}

static lt_status read_one(lt_cache *cache, lt_tape *tape, const lt_reader *reader, lt_var *weights,
                          lt_ag_sum *sum) {
    const lt_entries *list = lt_cache_entries(cache, reader->layer, reader->sequence);
    const lt_cache_observer *o = &cache->observer;
    int n = list->count, all = n + reader->own_count;
    LT_CHECK(reader->own_count > 0, LT_FAILED, "cache: a reader without a block of its own");
    lt_var **from = lt_tape_saved(tape, 2 * (size_t)all * sizeof *from);
    if (!from) return LT_FAILED;
    LT_TRY(reader_sources(cache, tape, reader, list, from, from + all));
    *sum = (lt_ag_sum){.count = all, .weighted = n, .S = from, .z = from + all, .weights = weights};
    lt_read_event event = lt_cache_read_event(reader, list, weights);
    if (o->on_read) o->on_read(&event, o->user);
    return LT_OK;
}

lt_status lt_cache_read(lt_cache *cache, lt_tape *tape, int count, const lt_reader *readers,
                        lt_ag_sum *sums) {
    lt_var **weights = lt_tape_saved(tape, (size_t)count * sizeof(lt_var *));
    if (!weights) return LT_FAILED;
    LT_TRY(lt_cache_read_weights(cache, tape, count, readers, weights));
    for (int i = 0; i < count; i++) LT_TRY(read_one(cache, tape, &readers[i], weights[i], &sums[i]));
    return LT_OK;
}
