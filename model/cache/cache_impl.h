/* Inside the cache: the parts of one commit.
 *
 *     lt_decision_begin, then until few enough are left:
 *         lt_decision_clear, per layer lt_decision_add        features -> scores, summed over these layers
 *         lt_decision_evict                                   scores -> one victim and who receives it
 *     lt_evict                                                drops or folds the victims of all lists that have decided
 *     lt_cache_settle                                         copies what still lies in the step arena into slots
 */
#ifndef LT_MODEL_CACHE_IMPL_H
#define LT_MODEL_CACHE_IMPL_H

#include "model/cache/cache.h"
#include "model/cache/dots.h"

/* Candidates are the entries of a list that are neither ghosts nor victims of this decision, in time order. */
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

/* What else a policy sees of the layer added last. */
typedef struct lt_view_memory {
    bool renewed;      /* scored again without the victims so far */
    int total;         /* candidates when the decision began */
    int *rank;         /* [capacity] which of those each candidate is */
    double *z2, *S2;   /* [capacity] |z|^2, |S|^2 */
    double *cosine;    /* [candidates, candidates] */
    float *similarity; /* the same as float32 */
    float *state;      /* [candidates, policy's state] */
} lt_view_memory;

/* The weights that one stream's reader used, rows of those of all readers: for the commit. */
typedef struct lt_read_note {
    int stream;
    lt_tensor all; /* [entries of all readers, H] */
    int64_t first;
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

/* What a decision of this sequence looks at: bits as in policy.h. */
uint64_t lt_decision_needs(const lt_cache *cache, int sequence);
void lt_decision_begin(lt_cache *cache, const lt_entries *list);
void lt_decision_clear(lt_cache *cache, const lt_entries *list);
/* Features and scores of one layer's candidates; the first time also updates the policy's state and writes both
 * into the entries. `dots` as in lt_decision_features. */
lt_status lt_decision_add(lt_cache *cache, lt_tape *tape, int layer, int sequence, const double *dots);
/* Asks for the dot products that `needs` takes; their place, or -1 where it takes none. */
int lt_features_ask(const lt_entries *list, uint64_t needs, lt_dots *dots);
/* Fills the decision's candidates, and of their features and cosines what is needed. dots: the values at that
 * place, or NULL. */
void lt_decision_features(lt_cache *cache, const lt_entries *list, uint64_t needs, const double *dots);
/* Adds the candidate with the lowest score to list->victim, and who receives it to list->target. */
void lt_decision_evict(lt_decision *decision, const lt_cache_spec *spec, lt_entries *list);

/* State of the policy for entry `index` of a list, or NULL where it keeps none. */
static inline float *lt_entry_state(const lt_cache *cache, const lt_entries *list, int index) {
    if (!cache->states) return NULL;
    size_t row = (size_t)(list - cache->lists) * (size_t)cache->shape.capacity + (size_t)index;
    return cache->states + row * (size_t)cache->state_size;
}
/* Makes room for the state that the specs need; LT_USAGE where entries that last are already there without it. */
lt_status lt_cache_fit_state(lt_cache *cache);

/* Who receives victim `victim` (a place in the list): a place in the list, or -1. */
int lt_consolidate_target(const lt_cache_spec *spec, const lt_entries *list, const lt_decision *decision,
                          int victim);
/* A victim folded into `target`, which then stands for both; `newest` is the block committed last. */
typedef struct lt_merge {
    const lt_cache_spec *spec;
    int64_t newest;
    lt_entry *target, *victim;
    float *target_state, *victim_state;
} lt_merge;
/* All at once; no entry is in two of them. */
lt_status lt_consolidate_merge(const lt_cache *cache, lt_tape *tape, int count, const lt_merge *merges);

typedef struct lt_list_place {
    int layer, sequence;
} lt_list_place;
/* Carries out list->victim and list->target. */
lt_status lt_evict(lt_cache *cache, lt_tape *tape, int count, const lt_list_place *places);
lt_status lt_cache_settle(lt_cache *cache, lt_tape *tape, int count, const lt_list_place *places);

lt_read_event lt_cache_read_event(const lt_reader *reader, const lt_entries *list, lt_var *weights);

/* What a reader makes of the entries: one row of the read head per (entry that is no ghost, head). */
typedef struct lt_read_rows {
    const lt_reader *reader;
    const lt_entries *list;
    lt_read_weight mode;
    bool weighted;  /* has weights at all */
    double scale;   /* what they are where mode is LT_READ_ONE */
    int present;    /* entries that are no ghosts */
    int pair;       /* read=content: place of its first dot product */
    int64_t scored; /* its first row among those of its mode */
    int64_t first;  /* and its first entry among those of all readers, ghosts included */
} lt_read_rows;

/* Asks for what lt_read_inputs needs of the device. */
void lt_read_inputs_ask(lt_read_rows *rows, lt_dots *dots);
/* The inputs of the read head [present * H, LT_READ_INPUTS], zeroed before. */
void lt_read_inputs(const lt_read_rows *rows, const lt_dots *dots, int64_t H, double *x);

/* The weights [count, H] of each read, or NULL where all are 1. Tells the observer of their gradients, and notes
 * them for the commit. */
lt_status lt_cache_read_weights(lt_cache *cache, lt_tape *tape, int count, const lt_reader *readers,
                                lt_var **weights);

/* What a commit asks of the device to know the shares of attention of its reader: before its entries are admitted. */
typedef struct lt_mass_asked {
    int entries, pair; /* 0 entries: nothing */
    int64_t weights;   /* place of their weights; -1: all 1 */
} lt_mass_asked;
void lt_mass_ask(const lt_cache *cache, const lt_tape *tape, const lt_commit *commit, lt_dots *dots,
                 lt_mass_asked *asked);
/* Adds the shares to the entries that were there then. */
void lt_mass_add(lt_entries *list, const lt_commit *commit, const lt_dots *dots, const lt_mass_asked *asked);

/* Views of a slot. */
lt_tensor lt_slot_S(const lt_cache *cache, int layer, int sequence, int slot);
lt_tensor lt_slot_z(const lt_cache *cache, int layer, int sequence, int slot);
/* Makes S and z the entry's, and vars of the tape that need no gradient. */
lt_status lt_entry_set(lt_tape *tape, lt_entry *entry, lt_tensor S, lt_tensor z);

#endif
