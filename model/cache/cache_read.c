/* Reading: which entries a reader sums up, with which weights, and what that says about them. */
#include "model/cache/cache_impl.h"
#include "model/cache/host_values.h"

#include <stdlib.h>
#include <string.h>

typedef struct gradient_saved {
    lt_cache_observer observer;
    lt_read_event event;
} gradient_saved;

/* In the backward walk: after the sum's, so dL/dw is complete. */
static lt_status tell_gradient(lt_tape *tape, void *memory) {
    (void)tape;
    gradient_saved *s = memory;
    if (s->event.weights->has_grad) s->observer.on_gradient(&s->event, s->observer.user);
    return LT_OK;
}

/* Keeps the entries as they are now: the list will have changed when the gradient arrives. */
static lt_status tell_later(const lt_cache *cache, lt_tape *tape, const lt_read_event *event) {
    size_t bytes = (size_t)event->count * sizeof *event->present;
    gradient_saved *s = lt_tape_saved(tape, sizeof *s + bytes);
    if (!s) return LT_FAILED;
    s->observer = cache->observer;
    s->event = *event;
    s->event.present = memcpy(s + 1, event->present, bytes);
    return lt_tape_push(tape, tell_gradient, s);
}

static lt_status tell(const lt_cache *cache, lt_tape *tape, const lt_reader *reader, const lt_entries *list,
                      lt_var *weights) {
    const lt_cache_observer *o = &cache->observer;
    lt_read_event event = {.layer = reader->layer,
                           .sequence = reader->sequence,
                           .stream = reader->stream,
                           .block = reader->block,
                           .t = reader->t,
                           .count = list->count,
                           .present = list->items,
                           .weights = weights};
    if (o->on_read) o->on_read(&event, o->user);
    bool wants = o->on_gradient && weights && lt_tape_wants(tape, 1, &weights);
    return wants ? tell_later(cache, tape, &event) : LT_OK;
}

static lt_status note(lt_tape *tape, lt_entries *list, int stream, lt_var *weights) {
    lt_read_note *one = lt_tape_saved(tape, sizeof *one);
    if (!one) return LT_FAILED;
    *one = (lt_read_note){stream, weights, list->reads};
    list->reads = one;
    return LT_OK;
}

/* Entries in time order, then the reader's own segments. */
static lt_status sources(const lt_cache *cache, lt_tape *tape, const lt_reader *reader,
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

lt_status lt_cache_read(lt_cache *cache, lt_tape *tape, const lt_reader *reader, lt_ag_sum *sum) {
    lt_entries *list = lt_cache_entries(cache, reader->layer, reader->sequence);
    int n = list->count, all = n + reader->own_count;
    LT_CHECK(reader->own_count > 0, LT_FAILED, "cache: a reader without a block of its own");
    lt_var *weights = NULL, **from = lt_tape_saved(tape, 2 * (size_t)all * sizeof *from);
    if (!from) return LT_FAILED;
    LT_TRY(sources(cache, tape, reader, list, from, from + all));
    if (n > 0) LT_TRY(lt_cache_read_weights(cache, tape, reader, &weights));
    if (weights) LT_TRY(note(tape, list, reader->stream, weights));
    *sum = (lt_ag_sum){.count = all, .weighted = n, .S = from, .z = from + all, .weights = weights};
    return tell(cache, tape, reader, list, weights);
}

/* z_e . r per head for entries and own segments, then the weights of the entries: host doubles [all + n, H]. */
static lt_status masses(lt_tape *tape, const lt_reader *reader, const lt_entries *list, lt_tensor r,
                        const lt_var *weights, lt_tensor *z, double *out) {
    int n = list->count, all = n + reader->own_count;
    int64_t H = r.shape[0];
    for (int i = 0; i < all; i++) z[i] = i < n ? list->items[i].z : reader->own_z[i - n]->value;
    lt_attn_dots_args dots = {.n = all, .m = 1, .A = z, .B = &r};
    LT_TRY(LT_NEW(tape->step, r.dtype, &dots.out, all, 1, H));
    LT_TRY(lt_attn_dots(tape->ctx, &dots));
    LT_TRY(lt_host_read(tape->ctx, &dots.out, out));
    for (int64_t i = 0; i < n * H; i++) out[all * H + i] = 1;
    return weights ? lt_host_read(tape->ctx, &weights->value, out + all * H) : LT_OK;
}

static void add_shares(lt_entries *list, int64_t H, int own, const double *mass) {
    int n = list->count;
    const double *w = mass + (n + own) * H;
    double total = 0;
    for (int64_t i = 0; i < (n + own) * H; i++) total += i < n * H ? w[i] * mass[i] : mass[i];
    for (int e = 0; e < n; e++) {
        double sum = 0;
        for (int64_t i = e * H; i < (e + 1) * H; i++) sum += w[i] * mass[i];
        list->items[e].read_mass += total > 0 ? sum / total : 0;
        list->items[e].reads++;
    }
}

lt_status lt_cache_note_reads(lt_cache *cache, lt_tape *tape, const lt_reader *reader, lt_tensor r) {
    lt_entries *list = lt_cache_entries(cache, reader->layer, reader->sequence);
    const lt_cache_observer *o = &cache->observer;
    bool looked_at =
        lt_cache_deciding_spec(cache, reader->sequence)->policy->reads || o->on_commit || o->on_read;
    bool lasting = lt_cache_lasts(cache);
    if (!looked_at || list->count == 0 || (lasting && tape->recording)) return LT_OK;
    const lt_read_note *found = list->reads;
    while (found && found->stream != reader->stream) found = found->next;
    size_t all = (size_t)(list->count + reader->own_count), H = (size_t)r.shape[0];
    lt_tensor *z = malloc(all * sizeof *z);
    double *mass = malloc(2 * all * H * sizeof *mass);
    size_t mark = lt_arena_mark(tape->step);
    lt_status status = z && mass ? masses(tape, reader, list, r, found ? found->weights : NULL, z, mass)
                                 : lt_fail(LT_FAILED, "cache: out of host memory");
    lt_arena_release(tape->step, mark);
    if (status == LT_OK) add_shares(list, (int64_t)H, reader->own_count, mass);
    free(z);
    free(mass);
    return status;
}
