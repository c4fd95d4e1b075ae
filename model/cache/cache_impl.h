/* Inside the cache: the parts of one commit.
 *
 *     lt_decision_clear, then per layer lt_decision_add       features -> scores, summed over layers that decide together
 *     lt_decision_select                                      scores -> victims and who receives them
 *     lt_evict                                                drops or folds the victims of one layer
 *     lt_cache_settle                                         copies what still lies in the step arena into slots
 */
#ifndef LT_MODEL_CACHE_IMPL_H
#define LT_MODEL_CACHE_IMPL_H

#include "model/cache/cache.h"

/* Candidates are the entries of a list that are no ghosts, in time order. */
typedef struct lt_decision {
    int capacity, candidates;
    int *index;                          /* [capacity] where each stands in the list */
    float (*features)[LT_FEATURE_COUNT]; /* [capacity] of the layer added last */
    int64_t *ids;                        /* [capacity] */
    float *layer_score;                  /* [capacity] */
    double *score;                       /* [capacity] sum over layers */
    double *cosine;                      /* [capacity, capacity] of z, mean over heads, sum over layers */
    bool *gone;                          /* [capacity] by place in the list */
    int64_t *victim_ids;                 /* [capacity] */
} lt_decision;

/* The weights that one stream's reader used: for lt_cache_note_reads. */
typedef struct lt_read_note {
    int stream;
    lt_var *weights;
    struct lt_read_note *next;
} lt_read_note;

/* Streaming: what it holds outlives a forward. */
static inline bool lt_cache_lasts(const lt_cache *cache) {
    return cache->shape.slots > 0 || cache->shape.tail_rows > 0;
}

/* The spec whose decisions a sequence carries out. */
static inline const lt_cache_spec *lt_cache_deciding_spec(const lt_cache *cache, int sequence) {
    return &cache->spec[cache->leader[sequence]];
}

void lt_decision_clear(lt_cache *cache, const lt_entries *list);
/* Features and scores of one layer's candidates; also writes them into the entries. */
lt_status lt_decision_add(lt_cache *cache, lt_tape *tape, int layer, int sequence);
/* Fills the decision's features, ids and cosines from the entries present. `values`: look at S and z. */
lt_status lt_decision_features(lt_cache *cache, lt_tape *tape, const lt_entries *list, bool values);
/* Chooses victims while more than `spec->budget` candidates remain: list->victim, list->target. */
void lt_decision_select(lt_decision *decision, const lt_cache_spec *spec, lt_entries *list);

/* Who receives victim `victim` (a place in the list): a place in the list, or -1. */
int lt_consolidate_target(const lt_cache_spec *spec, const lt_entries *list, const lt_decision *decision,
                          int victim);
/* Folds `victim` into `target`, which then stands for both; `newest` is the block committed last. */
lt_status lt_consolidate_merge(const lt_cache *cache, lt_tape *tape, const lt_cache_spec *spec,
                               int64_t newest, lt_entry *target, lt_entry *victim);

/* Carries out list->victim and list->target. */
lt_status lt_evict(lt_cache *cache, lt_tape *tape, const lt_cache_spec *spec, lt_entries *list);
lt_status lt_cache_settle(lt_cache *cache, lt_tape *tape, int layer, int sequence);

/* The weights [count, H] of a read, or NULL where all are 1. */
lt_status lt_cache_read_weights(lt_cache *cache, lt_tape *tape, const lt_reader *reader, lt_var **weights);

/* Views of a slot. */
lt_tensor lt_slot_S(const lt_cache *cache, int layer, int sequence, int slot);
lt_tensor lt_slot_z(const lt_cache *cache, int layer, int sequence, int slot);
/* Makes S and z the entry's, and vars of the tape that need no gradient. */
lt_status lt_entry_set(lt_tape *tape, lt_entry *entry, lt_tensor S, lt_tensor z);

#endif
