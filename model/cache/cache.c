/* The cache's memory, from init to free; what happens per block is in cache_read.c and cache_commit.c. */
#include "model/cache/cache_impl.h"

#include <string.h>

lt_entries *lt_cache_entries(lt_cache *cache, int layer, int sequence) {
    return &cache->lists[layer * cache->shape.batch + sequence];
}

int lt_cache_slots_for(const lt_cache_spec *spec, int segments_per_block) {
    bool waits = spec->scope == LT_SCOPE_MODEL && lt_cache_spec_looks(spec);
    return spec->budget + (waits ? segments_per_block : 0);
}

int64_t lt_entry_bytes(int layers, int heads, int head_dim) {
    return (int64_t)sizeof(float) * layers * heads * head_dim * (head_dim + 1);
}

static int64_t bytes_of_slots(const lt_tensor *t) { return lt_is_empty(t) ? 0 : (int64_t)lt_nbytes(t); }

int64_t lt_cache_slot_bytes(const lt_cache *cache) {
    return bytes_of_slots(&cache->slot_S) + bytes_of_slots(&cache->slot_z);
}
int64_t lt_cache_tail_bytes(const lt_cache *cache) { return bytes_of_slots(&cache->tails); }
static int64_t state_bytes(const lt_cache *cache, int size) {
    const lt_cache_shape *s = &cache->shape;
    return (int64_t)s->layers * s->batch * s->capacity * size * (int64_t)sizeof *cache->states;
}

int64_t lt_cache_metadata_bytes(const lt_cache *cache) {
    return (int64_t)cache->pool.bytes + state_bytes(cache, cache->state_size);
}

static lt_status check_shape(const lt_cache_shape *s, const lt_cache_spec *spec, const lt_arena *run) {
    LT_CHECK(s->layers > 0 && s->batch > 0 && s->heads > 0 && s->head_dim > 0 && s->slots >= 0, LT_USAGE,
             "cache: %d layers, %d sequences, %d heads of %d, %d slots; expected at least 1 of each, 0 slots",
             s->layers, s->batch, s->heads, s->head_dim, s->slots);
    LT_CHECK(s->capacity >= 1 && s->capacity >= s->slots, LT_USAGE,
             "cache: room for %d entries with %d slots; a block's new entries need room too", s->capacity,
             s->slots);
    int needed = lt_cache_slots_for(spec, 1);
    LT_CHECK((s->slots == 0 && s->tail_rows == 0) || s->slots >= needed, LT_USAGE,
             "cache: %d slots, but %s with a budget of %d needs %d", s->slots, spec->policy->name,
             spec->budget, needed);
    LT_CHECK(run || (s->slots == 0 && s->tail_rows == 0), LT_FAILED,
             "cache: slots and tails need a run arena");
    return LT_OK;
}

/* One allocation after the other; NULL was reported by the pool. */
static bool allocate_decision(lt_cache *cache) {
    size_t n = (size_t)cache->shape.capacity;
    lt_pool *pool = &cache->pool;
    lt_decision *d = cache->decision = lt_pool_alloc(pool, sizeof *d);
    if (d) d->capacity = cache->shape.capacity;
    return d && (d->index = lt_pool_alloc(pool, n * sizeof *d->index)) &&
           (d->features = lt_pool_alloc(pool, n * sizeof *d->features)) &&
           (d->ids = lt_pool_alloc(pool, n * sizeof *d->ids)) &&
           (d->layer_score = lt_pool_alloc(pool, n * sizeof *d->layer_score)) &&
           (d->score = lt_pool_alloc(pool, n * sizeof *d->score)) &&
           (d->cosine = lt_pool_alloc(pool, n * n * sizeof *d->cosine)) &&
           (d->gone = lt_pool_alloc(pool, n * sizeof *d->gone)) &&
           (d->victim_ids = lt_pool_alloc(pool, n * sizeof *d->victim_ids));
}

/* What a policy sees of one layer: not counted with the entries, since nothing of it lasts. */
static bool allocate_view(lt_cache *cache) {
    size_t n = (size_t)cache->shape.capacity;
    lt_pool *pool = &cache->work;
    lt_view_memory *v = cache->view = lt_pool_alloc(pool, sizeof *v);
    return v && (v->rank = lt_pool_alloc(pool, n * sizeof *v->rank)) &&
           (v->z2 = lt_pool_alloc(pool, n * sizeof *v->z2)) &&
           (v->S2 = lt_pool_alloc(pool, n * sizeof *v->S2)) &&
           (v->cosine = lt_pool_alloc(pool, n * n * sizeof *v->cosine)) &&
           (v->similarity = lt_pool_alloc(pool, n * n * sizeof *v->similarity)) &&
           (v->state = lt_pool_alloc(pool, n * LT_POLICY_STATE * sizeof *v->state));
}

lt_status lt_cache_fit_state(lt_cache *cache) {
    const lt_cache_shape *s = &cache->shape;
    int size = 0;
    for (int b = 0; b < s->batch; b++)
        if (cache->spec[b].policy->state > size) size = cache->spec[b].policy->state;
    if (size <= cache->state_size) return LT_OK;
    LT_CHECK(size <= LT_POLICY_STATE, LT_USAGE, "a policy keeps %d numbers per entry, at most %d", size,
             LT_POLICY_STATE);
    LT_CHECK(!lt_cache_lasts(cache) || cache->lists[0].committed == 0, LT_USAGE,
             "cache: a policy that keeps %d numbers per entry cannot take over in the middle of a video",
             size);
    cache->states = lt_pool_alloc(&cache->work, (size_t)state_bytes(cache, size));
    cache->state_size = cache->states ? size : 0;
    return cache->states ? LT_OK : LT_FAILED;
}

static bool allocate_host(lt_cache *cache) {
    size_t batch = (size_t)cache->shape.batch, lists = batch * (size_t)cache->shape.layers;
    size_t capacity = (size_t)cache->shape.capacity;
    lt_pool *pool = &cache->pool;
    if (!(cache->spec = lt_pool_alloc(pool, batch * sizeof *cache->spec)) ||
        !(cache->leader = lt_pool_alloc(pool, batch * sizeof *cache->leader)) ||
        !(cache->sequence = lt_pool_alloc(pool, batch * sizeof *cache->sequence)) ||
        !(cache->lists = lt_pool_alloc(pool, lists * sizeof *cache->lists)))
        return false;
    for (size_t i = 0; i < lists; i++) {
        lt_entries *list = &cache->lists[i];
        if (!(list->items = lt_pool_alloc(pool, capacity * sizeof *list->items)) ||
            !(list->victim = lt_pool_alloc(pool, capacity * sizeof *list->victim)) ||
            !(list->target = lt_pool_alloc(pool, capacity * sizeof *list->target)))
            return false;
    }
    return allocate_decision(cache) && allocate_view(cache);
}

/* Zeroed, so that a saved cache never holds what the memory held before. */
static lt_status allocate_device(lt_cache *cache, lt_arena *run) {
    const lt_cache_shape *s = &cache->shape;
    if (s->slots > 0) {
        LT_TRY(LT_NEW(run, s->dtype, &cache->slot_S, s->layers, s->batch, s->slots, s->heads, s->head_dim,
                      s->head_dim));
        LT_TRY(LT_NEW(run, s->dtype, &cache->slot_z, s->layers, s->batch, s->slots, s->heads, s->head_dim));
        LT_TRY(lt_tensor_zero(run->device, NULL, &cache->slot_S));
        LT_TRY(lt_tensor_zero(run->device, NULL, &cache->slot_z));
    }
    if (s->tail_rows == 0) return LT_OK;
    lt_dtype dtype = s->tail_dtype == LT_BF16 ? LT_BF16 : s->dtype;
    LT_TRY(LT_NEW(run, dtype, &cache->tails, s->layers, s->batch, s->tail_rows, s->tail_width));
    return lt_tensor_zero(run->device, NULL, &cache->tails);
}

lt_status lt_cache_init(lt_cache *cache, const lt_cache_shape *shape, const lt_cache_spec *spec,
                        lt_arena *run) {
    memset(cache, 0, sizeof *cache);
    LT_TRY(check_shape(shape, spec, run));
    cache->shape = *shape;
    cache->bptt_blocks = -1;
    lt_status status = allocate_host(cache) ? allocate_device(cache, run) : LT_FAILED;
    if (status != LT_OK) {
        lt_cache_free(cache);
        return status;
    }
    for (int b = 0; b < shape->batch; b++) cache->spec[b] = *spec, cache->leader[b] = b;
    status = lt_cache_fit_state(cache);
    if (status != LT_OK) lt_cache_free(cache);
    return status;
}

void lt_cache_free(lt_cache *cache) {
    lt_pool_free(&cache->pool);
    lt_pool_free(&cache->work);
    memset(cache, 0, sizeof *cache);
}

static void forget(lt_entries *list) {
    list->count = list->before = list->victims = list->block_tokens = 0;
    list->committed = 0;
    list->undecided = false;
    list->reads = NULL;
}

void lt_cache_reset(lt_cache *cache) {
    for (int i = 0; i < cache->shape.layers * cache->shape.batch; i++) forget(&cache->lists[i]);
    cache->has_tail = false;
}

lt_tensor lt_slot_S(const lt_cache *cache, int layer, int sequence, int slot) {
    return lt_select(lt_select(lt_select(cache->slot_S, 0, layer), 0, sequence), 0, slot);
}

lt_tensor lt_slot_z(const lt_cache *cache, int layer, int sequence, int slot) {
    return lt_select(lt_select(lt_select(cache->slot_z, 0, layer), 0, sequence), 0, slot);
}

lt_status lt_entry_set(lt_tape *tape, lt_entry *entry, lt_tensor S, lt_tensor z) {
    entry->S = S;
    entry->z = z;
    LT_TRY(lt_tape_var(tape, S, false, &entry->S_var));
    return lt_tape_var(tape, z, false, &entry->z_var);
}

lt_status lt_cache_layer_begin(lt_cache *cache, lt_tape *tape, int layer) {
    LT_CHECK(layer >= 0 && layer < cache->shape.layers, LT_FAILED, "cache: layer %d of %d", layer,
             cache->shape.layers);
    if (layer == 0) cache->scorer_read = false;
    if (layer == 0) LT_TRY(lt_cache_fit_state(cache));
    for (int b = 0; b < cache->shape.batch; b++) {
        int leader = cache->leader[b];
        LT_CHECK(leader == b || (leader >= 0 && leader < b && cache->leader[leader] == leader), LT_USAGE,
                 "cache: sequence %d cannot follow %d; a leader comes before it and follows nobody", b,
                 leader);
        lt_entries *list = lt_cache_entries(cache, layer, b);
        list->reads = NULL;
        if (!lt_cache_lasts(cache)) forget(list);
        for (int i = 0; i < list->count; i++) {
            lt_entry *e = &list->items[i];
            LT_TRY(lt_entry_set(tape, e, lt_slot_S(cache, layer, b, e->slot),
                                lt_slot_z(cache, layer, b, e->slot)));
        }
    }
    return LT_OK;
}

lt_tensor lt_cache_tail_memory(const lt_cache *cache, int layer) {
    static const lt_tensor none;
    return lt_is_empty(&cache->tails) ? none : lt_select(cache->tails, 0, layer);
}

lt_tensor lt_cache_tail(const lt_cache *cache, int layer) {
    static const lt_tensor none;
    return cache->has_tail ? lt_cache_tail_memory(cache, layer) : none;
}
