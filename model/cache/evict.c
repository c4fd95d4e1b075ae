/* Victims go, and what stays finds a slot: of several lists in as many launches as of one. */
#include "model/cache/cache_impl.h"

#include <string.h>

static lt_entries *list_at(lt_cache *cache, lt_list_place place) {
    return lt_cache_entries(cache, place.layer, place.sequence);
}

/* ---- eviction ------------------------------------------------------------------------------------------------ */

/* Folds the victims number `round` of all lists, which do not depend on each other. */
static lt_status merge_round(lt_cache *cache, lt_tape *tape, int count, const lt_list_place *places,
                             int round, lt_merge *merges) {
    int n = 0;
    for (int i = 0; i < count; i++) {
        lt_entries *list = list_at(cache, places[i]);
        if (round >= list->victims || list->target[round] < 0) continue;
        int target = list->target[round], victim = list->victim[round];
        merges[n++] = (lt_merge){.spec = lt_cache_deciding_spec(cache, places[i].sequence),
                                 .newest = list->items[list->count - 1].block,
                                 .target = &list->items[target],
                                 .victim = &list->items[victim],
                                 .target_state = lt_entry_state(cache, list, target),
                                 .victim_state = lt_entry_state(cache, list, victim)};
    }
    return n > 0 ? lt_consolidate_merge(cache, tape, n, merges) : LT_OK;
}

/* Entry and state go together. */
static void move_entry(const lt_cache *cache, lt_entries *list, int from, int to) {
    size_t size = (size_t)cache->state_size * sizeof *cache->states;
    if (from == to) return;
    list->items[to] = list->items[from];
    if (size) memcpy(lt_entry_state(cache, list, to), lt_entry_state(cache, list, from), size);
}

/* Ids grow along the list; folding may have given an entry the id of a newer one. */
static void close_gaps(const lt_cache *cache, lt_entries *list, const bool *gone) {
    size_t size = (size_t)cache->state_size * sizeof *cache->states;
    float state[LT_POLICY_STATE];
    int count = 0;
    for (int i = 0; i < list->count; i++) {
        if (gone[i]) continue;
        lt_entry moved = list->items[i];
        if (size) memcpy(state, lt_entry_state(cache, list, i), size);
        int at = count++;
        for (; at > 0 && list->items[at - 1].id > moved.id; at--) move_entry(cache, list, at - 1, at);
        list->items[at] = moved;
        if (size) memcpy(lt_entry_state(cache, list, at), state, size);
    }
    list->count = count;
}

static void remove_victims(const lt_cache *cache, lt_entries *list) {
    bool *gone = cache->decision->gone;
    memset(gone, 0, (size_t)list->count * sizeof *gone);
    for (int i = 0; i < list->victims; i++) {
        int target = list->target[i];
        gone[list->victim[i]] = target >= 0 || !cache->ghosts;
        list->items[list->victim[i]].ghost = target < 0;
    }
    close_gaps(cache, list, gone);
}

lt_status lt_evict(lt_cache *cache, lt_tape *tape, int count, const lt_list_place *places) {
    lt_merge *merges = lt_tape_saved(tape, (size_t)count * sizeof *merges);
    int rounds = 0;
    if (!merges) return LT_FAILED;
    for (int i = 0; i < count; i++) {
        int victims = list_at(cache, places[i])->victims;
        rounds = victims > rounds ? victims : rounds;
    }
    for (int round = 0; round < rounds; round++)
        LT_TRY(merge_round(cache, tape, count, places, round, merges));
    for (int i = 0; i < count; i++) remove_victims(cache, list_at(cache, places[i]));
    return LT_OK;
}

/* ---- slots --------------------------------------------------------------------------------------------------- */

static int free_slot(const lt_cache *cache, const lt_entries *list) {
    for (int slot = 0; slot < cache->shape.slots; slot++) {
        int i = 0;
        while (i < list->count && list->items[i].slot != slot) i++;
        if (i == list->count) return slot;
    }
    return -1;
}

/* Copies to make: sums of one source each. */
typedef struct moves {
    int count;
    lt_attn_sum *sums;
    lt_tensor *S, *z;
} moves;

static lt_status open_moves(lt_tape *tape, int most, moves *m) {
    *m = (moves){.sums = lt_tape_saved(tape, (size_t)most * sizeof *m->sums),
                 .S = lt_tape_saved(tape, 2 * (size_t)most * sizeof *m->S)};
    m->z = m->S + most;
    return m->sums && m->S ? LT_OK : LT_FAILED;
}

static lt_status move_to_slot(lt_cache *cache, lt_tape *tape, lt_list_place place, lt_entry *e, moves *m) {
    lt_entries *list = list_at(cache, place);
    int slot = free_slot(cache, list), i = m->count++;
    LT_CHECK(slot >= 0, LT_FAILED, "cache: %d entries to keep in %d slots", list->count, cache->shape.slots);
    m->S[i] = e->S, m->z[i] = e->z;
    m->sums[i] = (lt_attn_sum){.first = i,
                               .count = 1,
                               .S = lt_slot_S(cache, place.layer, place.sequence, slot),
                               .z = lt_slot_z(cache, place.layer, place.sequence, slot)};
    e->slot = slot;
    return lt_entry_set(tape, e, m->sums[i].S, m->sums[i].z);
}

lt_status lt_cache_settle(lt_cache *cache, lt_tape *tape, int count, const lt_list_place *places) {
    int most = 0;
    moves m;
    if (!lt_cache_lasts(cache)) return LT_OK;
    for (int i = 0; i < count; i++) most += list_at(cache, places[i])->count;
    LT_TRY(open_moves(tape, most, &m));
    for (int i = 0; i < count; i++) {
        lt_entries *list = list_at(cache, places[i]);
        for (int e = 0; e < list->count; e++)
            if (list->items[e].slot < 0) LT_TRY(move_to_slot(cache, tape, places[i], &list->items[e], &m));
    }
    lt_attn_combine_args args = {m.count, m.sums, m.S, m.z};
    return m.count > 0 ? lt_attn_combine_forward(tape->ctx, &args) : LT_OK;
}
