/* Commit: admit the newest entries, decide who goes, fold or drop them, keep the rest in slots. */
#include "model/cache/cache_impl.h"

#include <string.h>

static bool waits(const lt_cache_spec *spec) {
    return spec->scope == LT_SCOPE_MODEL && lt_cache_spec_looks(spec);
}

static lt_status check(const lt_cache *cache, const lt_tape *tape, const lt_commit *commit,
                       const lt_entries *list, int segments) {
    const lt_cache_spec *spec = lt_cache_deciding_spec(cache, commit->reader.sequence);
    bool lasting = lt_cache_lasts(cache);
    LT_CHECK(!lasting || !tape->recording, LT_FAILED,
             "cache: a recording forward cannot commit into slots; train with a cache without slots");
    LT_CHECK(!lasting || !cache->ghosts, LT_USAGE, "cache: ghosts need a cache without slots");
    LT_CHECK(!waits(spec) || lasting, LT_USAGE,
             "policy %s with scope=model: all layers decide together once they have seen the block, so the "
             "forward "
             "must walk block by block with slots; use scope=layer",
             spec->policy->name);
    LT_CHECK(!lasting || lt_cache_slots_for(spec, segments) <= cache->shape.slots, LT_USAGE,
             "cache: %d slots, but %s with a budget of %d and %d entries a block needs %d",
             cache->shape.slots, spec->policy->name, spec->budget, segments,
             lt_cache_slots_for(spec, segments));
    LT_CHECK(!list->undecided, LT_USAGE,
             "policy %s with scope=model: a forward commits one block at a time and ends before the next",
             spec->policy->name);
    LT_CHECK(list->count + segments <= cache->shape.capacity, LT_FAILED,
             "cache: %d entries and %d new ones, with room for %d (lt_cache_shape.capacity)", list->count,
             segments, cache->shape.capacity);
    return LT_OK;
}

static void admit(lt_entries *list, const lt_commit *commit, int segments) {
    list->block_tokens = 0;
    for (int i = 0; i < segments; i++) {
        int64_t first = commit->reader.first_frame + lt_segment_first_frame(commit->rope, commit->box, i);
        lt_entry *e = &list->items[list->count++];
        *e = (lt_entry){.S = commit->reader.own_S[i]->value,
                        .z = commit->reader.own_z[i]->value,
                        .S_var = commit->reader.own_S[i],
                        .z_var = commit->reader.own_z[i],
                        .slot = -1,
                        .id = list->committed,
                        .first_id = list->committed,
                        .first_frame = first,
                        .last_frame = first + lt_segment_frames(commit->rope, commit->box, i) - 1,
                        .block = commit->reader.block,
                        .tokens = lt_segment_tokens(commit->rope, commit->box, i),
                        .motion = commit->motion};
        list->committed++;
        list->block_tokens += e->tokens;
    }
    list->reads = NULL;
}

/* Ids grow along the list; folding may have given an entry the id of a newer one. */
static void close_gaps(lt_entries *list, const bool *gone) {
    int count = 0;
    for (int i = 0; i < list->count; i++) {
        if (gone[i]) continue;
        lt_entry moved = list->items[i];
        int at = count++;
        for (; at > 0 && list->items[at - 1].id > moved.id; at--) list->items[at] = list->items[at - 1];
        list->items[at] = moved;
    }
    list->count = count;
}

lt_status lt_evict(lt_cache *cache, lt_tape *tape, const lt_cache_spec *spec, lt_entries *list) {
    bool *gone = cache->decision->gone;
    memset(gone, 0, (size_t)list->count * sizeof *gone);
    int64_t newest = list->items[list->count - 1].block;
    for (int i = 0; i < list->victims; i++) {
        lt_entry *victim = &list->items[list->victim[i]];
        int target = list->target[i];
        if (target >= 0)
            LT_TRY(lt_consolidate_merge(cache, tape, spec, newest, &list->items[target], victim));
        gone[list->victim[i]] = target >= 0 || !cache->ghosts;
        victim->ghost = target < 0;
    }
    close_gaps(list, gone);
    return LT_OK;
}

static int free_slot(const lt_cache *cache, const lt_entries *list) {
    for (int slot = 0; slot < cache->shape.slots; slot++) {
        int i = 0;
        while (i < list->count && list->items[i].slot != slot) i++;
        if (i == list->count) return slot;
    }
    return -1;
}

static lt_status copy(lt_ctx *ctx, lt_tensor from, lt_tensor to) {
    lt_copy_args args = {.x = from, .y = to, .scale = 1};
    return lt_copy(ctx, &args);
}

lt_status lt_cache_settle(lt_cache *cache, lt_tape *tape, int layer, int sequence) {
    lt_entries *list = lt_cache_entries(cache, layer, sequence);
    for (int i = 0; lt_cache_lasts(cache) && i < list->count; i++) {
        lt_entry *e = &list->items[i];
        if (e->slot >= 0) continue;
        int slot = free_slot(cache, list);
        LT_CHECK(slot >= 0, LT_FAILED, "cache: %d entries to keep in %d slots", list->count,
                 cache->shape.slots);
        lt_tensor S = lt_slot_S(cache, layer, sequence, slot), z = lt_slot_z(cache, layer, sequence, slot);
        LT_TRY(copy(tape->ctx, e->S, S));
        LT_TRY(copy(tape->ctx, e->z, z));
        LT_TRY(lt_entry_set(tape, e, S, z));
        e->slot = slot;
    }
    return LT_OK;
}

static void tell(const lt_cache *cache, int layer, int sequence, const lt_entries *list) {
    if (!cache->observer.on_commit) return;
    int64_t *ids = cache->decision->victim_ids;
    for (int i = 0; i < list->victims; i++) ids[i] = list->items[list->victim[i]].id;
    lt_commit_event event = {.layer = layer,
                             .sequence = sequence,
                             .block = list->items[list->count - 1].block,
                             .commit = list->committed - 1,
                             .count = list->count,
                             .present = list->items,
                             .victims = list->victims,
                             .victim_ids = ids};
    cache->observer.on_commit(&event, cache->observer.user);
}

static void take_victims(lt_entries *list, const lt_entries *from) {
    list->before = list->count;
    list->victims = from->victims;
    memcpy(list->victim, from->victim, (size_t)from->victims * sizeof *list->victim);
    memcpy(list->target, from->target, (size_t)from->victims * sizeof *list->target);
}

static int candidates(const lt_entries *list) {
    int count = 0;
    for (int i = 0; i < list->count; i++) count += !list->items[i].ghost;
    return count;
}

/* ---- decisions ------------------------------------------------------------------------------------------------------- */

/* Where the products of each layer that decides now begin, from the first one on; -1: nobody looks at them. */
typedef struct answers {
    const lt_products *products;
    const int *place;
} answers;

/* Whether the entries of a sequence are scored before victims are chosen. */
static bool scores(lt_cache *cache, int sequence, int layer) {
    if (cache->observer.on_commit) return true;
    return cache->leader[sequence] == sequence &&
           candidates(lt_cache_entries(cache, layer, sequence)) > cache->spec[sequence].budget;
}

/* Asks for what a decision of this layer looks at: its place, or -1. */
static int ask(lt_cache *cache, int sequence, int layer, lt_products *products) {
    bool looks = lt_cache_spec_looks(lt_cache_deciding_spec(cache, sequence)) || cache->observer.on_commit;
    if (!looks || !scores(cache, sequence, layer)) return -1;
    return lt_features_ask(lt_cache_entries(cache, layer, sequence), products);
}

static lt_status add_layer(lt_cache *cache, lt_tape *tape, int layer, int sequence, answers found,
                           int index) {
    int place = found.place[index];
    return lt_decision_add(cache, tape, layer, sequence,
                           place < 0 ? NULL : lt_products_of(found.products, place));
}

/* The sequence's own decision for `layers` layers from `first` on, which decide together. */
static lt_status choose(lt_cache *cache, lt_tape *tape, int sequence, int first, int layers, answers found) {
    lt_entries *lead = lt_cache_entries(cache, first, sequence);
    const lt_cache_spec *spec = &cache->spec[sequence];
    lead->victims = 0;
    lead->before = lead->count;
    bool scored = scores(cache, sequence, first), evicting = candidates(lead) > spec->budget;
    lt_decision_clear(cache, lead);
    for (int l = first; l < first + layers && scored; l++)
        LT_TRY(add_layer(cache, tape, l, sequence, found, l - first));
    if (evicting) lt_decision_select(cache->decision, spec, lead);
    for (int l = first + 1; l < first + layers; l++) take_victims(lt_cache_entries(cache, l, sequence), lead);
    return LT_OK;
}

/* The leader's decision, made before in the same layers. */
static lt_status follow(lt_cache *cache, lt_tape *tape, int sequence, int first, int layers, answers found) {
    int leader = cache->leader[sequence];
    for (int l = first; l < first + layers; l++) {
        lt_entries *list = lt_cache_entries(cache, l, sequence), *from = lt_cache_entries(cache, l, leader);
        LT_CHECK(list->committed == from->committed && list->count == from->before, LT_FAILED,
                 "cache: sequence %d has other entries than its leader %d", sequence, leader);
        if (cache->observer.on_commit) {
            lt_decision_clear(cache, list);
            LT_TRY(add_layer(cache, tape, l, sequence, found, l - first));
        }
        take_victims(list, from);
    }
    return LT_OK;
}

static lt_status decide(lt_cache *cache, lt_tape *tape, int sequence, int first, int layers, answers found) {
    const lt_cache_spec *spec = lt_cache_deciding_spec(cache, sequence);
    if (cache->leader[sequence] == sequence) LT_TRY(choose(cache, tape, sequence, first, layers, found));
    else LT_TRY(follow(cache, tape, sequence, first, layers, found));
    for (int l = first; l < first + layers; l++) {
        lt_entries *list = lt_cache_entries(cache, l, sequence);
        tell(cache, l, sequence, list);
        LT_TRY(lt_evict(cache, tape, spec, list));
        LT_TRY(lt_cache_settle(cache, tape, l, sequence));
        list->undecided = false;
    }
    return LT_OK;
}

/* ---- a block commits ------------------------------------------------------------------------------------------------- */

/* What one commit asks of the device. */
typedef struct commit_asked {
    int features; /* as `ask` says */
    lt_mass_asked mass;
} commit_asked;

static lt_status admit_one(lt_cache *cache, lt_tape *tape, const lt_commit *commit, lt_products *products,
                           commit_asked *a) {
    lt_entries *list = lt_cache_entries(cache, commit->reader.layer, commit->reader.sequence);
    int segments = lt_segment_count(commit->rope, commit->box);
    LT_TRY(check(cache, tape, commit, list, segments));
    lt_mass_ask(cache, tape, commit, products, &a->mass);
    admit(list, commit, segments);
    list->undecided = waits(lt_cache_deciding_spec(cache, commit->reader.sequence));
    a->features = -1;
    if (!list->undecided) a->features = ask(cache, commit->reader.sequence, commit->reader.layer, products);
    return LT_OK;
}

static lt_status finish_one(lt_cache *cache, lt_tape *tape, const lt_commit *commit,
                            const lt_products *products, const commit_asked *a) {
    int layer = commit->reader.layer, sequence = commit->reader.sequence;
    lt_entries *list = lt_cache_entries(cache, layer, sequence);
    lt_mass_add(list, commit, products, &a->mass);
    if (list->undecided) return lt_cache_settle(cache, tape, layer, sequence);
    return decide(cache, tape, sequence, layer, 1, (answers){products, &a->features});
}

static lt_status commit_all(lt_cache *cache, lt_tape *tape, int count, const lt_commit *commits,
                            lt_products *products) {
    commit_asked *a = lt_tape_saved(tape, (size_t)count * sizeof *a);
    if (!a) return LT_FAILED;
    for (int i = 0; i < count; i++) LT_TRY(admit_one(cache, tape, &commits[i], products, &a[i]));
    LT_TRY(lt_products_run(products, tape));
    for (int i = 0; i < count; i++) LT_TRY(finish_one(cache, tape, &commits[i], products, &a[i]));
    return LT_OK;
}

lt_status lt_cache_commit(lt_cache *cache, lt_tape *tape, int count, const lt_commit *commits) {
    lt_products products = {0};
    lt_status status = commit_all(cache, tape, count, commits, &products);
    lt_products_free(&products);
    return status;
}

/* All sequences that wait, all of their layers. */
static lt_status decide_all(lt_cache *cache, lt_tape *tape, lt_products *products) {
    int layers = cache->shape.layers, batch = cache->shape.batch;
    int *place = lt_tape_saved(tape, (size_t)(layers * batch) * sizeof *place);
    if (!place) return LT_FAILED;
    for (int b = 0; b < batch; b++)
        for (int l = 0; l < layers && lt_cache_entries(cache, 0, b)->undecided; l++)
            place[b * layers + l] = ask(cache, b, l, products);
    LT_TRY(lt_products_run(products, tape));
    for (int b = 0; b < batch; b++)
        if (lt_cache_entries(cache, 0, b)->undecided)
            LT_TRY(decide(cache, tape, b, 0, layers, (answers){products, place + b * layers}));
    return LT_OK;
}

lt_status lt_cache_forward_end(lt_cache *cache, lt_tape *tape, bool tails_written) {
    lt_products products = {0};
    lt_status status = decide_all(cache, tape, &products);
    lt_products_free(&products);
    if (status == LT_OK && tails_written) cache->has_tail = true;
    return status;
}
