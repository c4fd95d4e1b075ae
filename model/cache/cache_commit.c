/* Commit: admit the newest entries, decide who goes, fold or drop them, keep the rest in slots. */
#include "model/cache/cache_impl.h"

#include <string.h>

static bool waits(const lt_cache_spec *spec) {
    return spec->scope == LT_SCOPE_MODEL && lt_cache_spec_looks(spec);
}

static lt_status check_commit(const lt_cache *cache, const lt_tape *tape, const lt_commit *commit,
                              const lt_entries *list, int segments) {
    const lt_cache_spec *spec = lt_cache_deciding_spec(cache, commit->reader.sequence);
    bool lasting = lt_cache_lasts(cache);
    LT_CHECK(!lasting || lt_tape_is_no_grad(tape), LT_FAILED,
             "cache: a forward with gradients cannot commit into slots; train with a cache without slots");
    LT_CHECK(!lasting || !cache->ghosts, LT_USAGE, "cache: ghosts need a cache without slots");
    LT_CHECK(!waits(spec) || lasting, LT_USAGE,
             "policy %s with scope=model: all layers decide together once they have seen the block, so "
             "the forward must walk block by block with slots; use scope=layer",
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

static void clear_state(const lt_cache *cache, const lt_entries *list, int index) {
    if (cache->state_size == 0) return;
    memset(lt_entry_state(cache, list, index), 0, (size_t)cache->state_size * sizeof *cache->states);
}

static void admit_entries(const lt_cache *cache, lt_entries *list, const lt_commit *commit, int segments) {
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
        clear_state(cache, list, list->count - 1);
        list->committed++;
        list->block_tokens += e->tokens;
    }
    list->reads = NULL;
}

static void tell_observer(const lt_cache *cache, int layer, int sequence, const lt_entries *list) {
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

/* ---- decisions ----------------------------------------------------------------------------------------------- */

/* Where the dot products of each layer that decides now begin, from the first one on; -1: nobody looks at them. */
typedef struct answers {
    const lt_dots *dots;
    const int *place;
} answers;

/* Whether the entries of a sequence are scored: somebody must go, or somebody wants to know. */
static bool must_score(lt_cache *cache, int sequence, int layer) {
    if (cache->observer.on_commit) return true;
    if (cache->leader[sequence] != sequence) return false;
    const lt_cache_spec *spec = &cache->spec[sequence];
    return spec->policy->update || candidates(lt_cache_entries(cache, layer, sequence)) > spec->budget;
}

/* Asks for what a decision of this layer looks at: its place, or -1. */
static int ask_for_decision(lt_cache *cache, int sequence, int layer, lt_dots *dots) {
    if (!must_score(cache, sequence, layer)) return -1;
    return lt_features_ask(lt_cache_entries(cache, layer, sequence), lt_decision_needs(cache, sequence),
                           dots);
}

static lt_status add_decision_layer(lt_cache *cache, lt_tape *tape, int layer, int sequence, answers found,
                                    int index) {
    int place = found.place[index];
    return lt_decision_add(cache, tape, layer, sequence, place < 0 ? NULL : lt_dots_of(found.dots, place));
}

/* Scores those that are left, by the sum over the layers that decide together. */
static lt_status score_all(lt_cache *cache, lt_tape *tape, int sequence, int first, int layers,
                           answers found) {
    lt_decision_clear(cache, lt_cache_entries(cache, first, sequence));
    for (int l = first; l < first + layers; l++)
        LT_TRY(add_decision_layer(cache, tape, l, sequence, found, l - first));
    return LT_OK;
}

/* The sequence's own decision for `layers` layers from `first` on, which decide together. */
static lt_status choose_victims(lt_cache *cache, lt_tape *tape, int sequence, int first, int layers,
                                answers found) {
    lt_entries *lead = lt_cache_entries(cache, first, sequence);
    const lt_cache_spec *spec = &cache->spec[sequence];
    lead->victims = 0;
    lead->before = lead->count;
    lt_decision_begin(cache, lead);
    if (must_score(cache, sequence, first)) LT_TRY(score_all(cache, tape, sequence, first, layers, found));
    for (int left = candidates(lead); left > spec->budget; left--) {
        lt_decision_evict(cache->decision, spec, lead);
        cache->view->renewed = true;
        if (left - 1 > spec->budget) LT_TRY(score_all(cache, tape, sequence, first, layers, found));
    }
    for (int l = first + 1; l < first + layers; l++) take_victims(lt_cache_entries(cache, l, sequence), lead);
    return LT_OK;
}

/* The leader's decision, made before in the same layers. */
static lt_status follow_leader(lt_cache *cache, lt_tape *tape, int sequence, int first, int layers,
                               answers found) {
    int leader = cache->leader[sequence];
    for (int l = first; l < first + layers; l++) {
        lt_entries *list = lt_cache_entries(cache, l, sequence), *from = lt_cache_entries(cache, l, leader);
        LT_CHECK(list->committed == from->committed && list->count == from->before, LT_FAILED,
                 "cache: sequence %d has other entries than its leader %d", sequence, leader);
        if (cache->observer.on_commit) {
            lt_decision_begin(cache, list);
            lt_decision_clear(cache, list);
            LT_TRY(add_decision_layer(cache, tape, l, sequence, found, l - first));
        }
        take_victims(list, from);
    }
    return LT_OK;
}

static lt_status decide_layers(lt_cache *cache, lt_tape *tape, int sequence, int first, int layers,
                               answers found) {
    if (cache->leader[sequence] == sequence)
        LT_TRY(choose_victims(cache, tape, sequence, first, layers, found));
    else LT_TRY(follow_leader(cache, tape, sequence, first, layers, found));
    for (int l = first; l < first + layers; l++) {
        lt_entries *list = lt_cache_entries(cache, l, sequence);
        tell_observer(cache, l, sequence, list);
        list->undecided = false;
    }
    return LT_OK;
}

/* ---- a block commits ----------------------------------------------------------------------------------------- */

/* What one commit asks of the device. */
typedef struct commit_asked {
    int features; /* as ask_for_decision says */
    lt_mass_asked mass;
} commit_asked;

static lt_status admit_one(lt_cache *cache, lt_tape *tape, const lt_commit *commit, lt_dots *dots,
                           commit_asked *a) {
    lt_entries *list = lt_cache_entries(cache, commit->reader.layer, commit->reader.sequence);
    int segments = lt_segment_count(commit->rope, commit->box);
    LT_TRY(check_commit(cache, tape, commit, list, segments));
    lt_mass_ask(cache, tape, commit, dots, &a->mass);
    admit_entries(cache, list, commit, segments);
    list->undecided = waits(lt_cache_deciding_spec(cache, commit->reader.sequence));
    a->features = -1;
    if (!list->undecided)
        a->features = ask_for_decision(cache, commit->reader.sequence, commit->reader.layer, dots);
    return LT_OK;
}

/* Adds a list whose victims go now to `evicted`. */
static lt_status decide_one(lt_cache *cache, lt_tape *tape, const lt_commit *commit, const lt_dots *dots,
                            const commit_asked *a, lt_list_place *evicted, int *count) {
    int layer = commit->reader.layer, sequence = commit->reader.sequence;
    lt_entries *list = lt_cache_entries(cache, layer, sequence);
    lt_mass_add(list, commit, dots, &a->mass);
    if (list->undecided) return LT_OK;
    evicted[(*count)++] = (lt_list_place){layer, sequence};
    return decide_layers(cache, tape, sequence, layer, 1, (answers){dots, &a->features});
}

static lt_status commit_all(lt_cache *cache, lt_tape *tape, int count, const lt_commit *commits,
                            lt_dots *dots) {
    commit_asked *a = lt_tape_saved(tape, (size_t)count * sizeof *a);
    lt_list_place *places = lt_tape_saved(tape, 2 * (size_t)count * sizeof *places), *evicted;
    int going = 0;
    if (!a || !places) return LT_FAILED;
    evicted = places + count;
    for (int i = 0; i < count; i++) LT_TRY(admit_one(cache, tape, &commits[i], dots, &a[i]));
    LT_TRY(lt_dots_run(dots, tape));
    for (int i = 0; i < count; i++) {
        places[i] = (lt_list_place){commits[i].reader.layer, commits[i].reader.sequence};
        LT_TRY(decide_one(cache, tape, &commits[i], dots, &a[i], evicted, &going));
    }
    LT_TRY(lt_evict(cache, tape, going, evicted));
    return lt_cache_settle(cache, tape, count, places);
}

lt_status lt_cache_commit(lt_cache *cache, lt_tape *tape, int count, const lt_commit *commits) {
    lt_dots dots = {0};
    lt_status status = commit_all(cache, tape, count, commits, &dots);
    lt_dots_free(&dots);
    return status;
}

/* All sequences that wait, all of their layers. */
static lt_status decide_all(lt_cache *cache, lt_tape *tape, lt_dots *dots) {
    int layers = cache->shape.layers, lists = layers * cache->shape.batch, count = 0;
    lt_list_place *places = lt_tape_saved(tape, (size_t)lists * sizeof *places);
    int *features = lt_tape_saved(tape, (size_t)lists * sizeof *features);
    if (!places || !features) return LT_FAILED;
    for (int b = 0; b < cache->shape.batch; b++)
        for (int l = 0; l < layers && lt_cache_entries(cache, 0, b)->undecided; l++) {
            places[count] = (lt_list_place){l, b};
            features[count++] = ask_for_decision(cache, b, l, dots);
        }
    LT_TRY(lt_dots_run(dots, tape));
    for (int i = 0; i < count; i += layers)
        LT_TRY(decide_layers(cache, tape, places[i].sequence, 0, layers, (answers){dots, features + i}));
    LT_TRY(lt_evict(cache, tape, count, places));
    return lt_cache_settle(cache, tape, count, places);
}

lt_status lt_cache_forward_end(lt_cache *cache, lt_tape *tape, bool tails_written) {
    lt_dots dots = {0};
    lt_status status = decide_all(cache, tape, &dots);
    lt_dots_free(&dots);
    if (status == LT_OK && tails_written) cache->has_tail = true;
    return status;
}
