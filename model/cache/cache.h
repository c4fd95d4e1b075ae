/* The constant-memory cache of block states.
 *
 * An entry is a committed segment of one layer of one sequence: S [heads, d, d], z [heads, d] and what is known
 * about them. Entries stay in time order; sums over them are left folds in time order. S and z are kept, weighed,
 * merged and dropped together.
 *
 * Two uses, one code path:
 *   - with slots (streaming): a fixed number of slots in the run arena; commit copies the newest entry in. Bytes do not
 *     depend on how many blocks were seen. A cache with tails is one of these, even where its policy keeps nothing.
 *   - without slots (training and evaluation of whole clips): entries are vars of the current forward, so gradients
 *     flow through every retained entry into the pass that wrote it; nothing outlives the forward.
 *
 * Order of calls within a forward, per layer of the transformer:
 *
 *     lt_cache_layer_begin                       entries of the layer as vars
 *     for each block: lt_cache_read (all readers), lt_ag_attn_combine, lt_cache_commit (all sequences)
 *     lt_cache_tail / lt_cache_tail_memory       left tap of the temporal convolution
 *
 * and once per forward that committed: lt_cache_forward_end.
 */
#ifndef LT_MODEL_CACHE_H
#define LT_MODEL_CACHE_H

#include "autograd/ops.h"
#include "model/cache/scorer.h"
#include "model/cache/spec.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_entry {
    lt_tensor S, z;        /* [H, D, D], [H, D] */
    lt_var *S_var, *z_var; /* the same for the current tape */
    int slot;              /* -1: not in a slot */
    bool ghost;            /* evicted, read with weight 0: only dL/dw is wanted (training the scorer) */
    int64_t id;            /* number of the commit that wrote it; the newest one after merges */
    int64_t first_id;      /* the oldest one after merges */
    int64_t first_frame, last_frame, block;
    int tokens, merges; /* merges: other entries folded into it */
    float motion;
    double read_mass; /* sum of shares over the commit passes that read it */
    int reads;        /* how many of those there were */
    float features[LT_FEATURE_COUNT];
    float score;
} lt_entry;

/* The entries of one layer of one sequence, in time order, and its last decision. */
typedef struct lt_entries {
    int count;                  /* ghosts included */
    lt_entry *items;            /* capacity: lt_cache_shape.capacity */
    int64_t committed;          /* entries committed so far: the id of the next one */
    int block_tokens;           /* tokens of the newest block */
    bool undecided;             /* has more than M entries until lt_cache_forward_end */
    int before, victims;        /* entries then, and how many of them went */
    int *victim, *target;       /* [victims] indices before the eviction; target -1: dropped */
    struct lt_read_note *reads; /* weights of this block's readers, for the commit */
} lt_entries;

typedef struct lt_cache_shape {
    int layers, batch, heads, head_dim;
    int slots;    /* per layer and sequence; 0, and no tails: without slots */
    int capacity; /* most entries a layer of a sequence may hold at any moment, the newest included */
    /* tail [batch, pixels of a frame, width] per layer; rows 0: no tails kept */
    int64_t tail_rows, tail_width;
    lt_dtype dtype;      /* of slots: float32 (0) or, on the naive backend, float64 */
    lt_dtype tail_dtype; /* of tails, which are activations: bf16, or else that of slots */
} lt_cache_shape;

/* What happened at one commit of one layer and sequence, when asked for (`--stats`, training the scorer).
 * Pointers are valid during the call only. */
typedef struct lt_commit_event {
    int layer, sequence;
    int64_t block, commit;   /* commit: id of the newest entry */
    int count;               /* entries present before the decision, the newest included */
    const lt_entry *present; /* with features and scores */
    int victims;
    const int64_t *victim_ids;
} lt_commit_event;

/* One reader. weights is NULL where all are 1. */
typedef struct lt_read_event {
    int layer, sequence, stream;
    int64_t block;
    double t;
    int count;
    const lt_entry *present; /* as they were when read */
    lt_var *weights;         /* [count, heads] */
    const double *gradient;  /* of on_gradient: dL/dw [count, heads] */
} lt_read_event;

typedef struct lt_cache_observer {
    void (*on_commit)(const lt_commit_event *event, void *user);
    void (*on_read)(const lt_read_event *event, void *user);
    /* Called in the backward pass, once per recorded read whose gradient arrived. Setting it makes every recorded
     * read have weights. */
    void (*on_gradient)(const lt_read_event *event, void *user);
    void *user;
} lt_cache_observer;

typedef struct lt_cache {
    lt_cache_shape shape;
    /* The caller may set these after lt_cache_init: */
    lt_cache_spec *spec; /* [batch] */
    int *leader;         /* [batch]: whose decisions this sequence follows, a lower one; itself by default */
    uint64_t *sequence;  /* [batch]: number of the clip or video, for the random policies */
    uint64_t seed;
    lt_scorer *scorer; /* or NULL */
    /* gradients reach entries at most this many blocks old; -1: all. A merged entry is as old as its newest part. */
    int bptt_blocks;
    /* [batch] or NULL: times 1. Streams other than 0 read every entry at this weight where read=one, for estimating
     * what an entry is worth by integrating dL/dw (train/objective/keep_loss.h). What is committed and decided does not
     * change. */
    const double *read_scale;
    bool ghosts; /* dropped entries stay, with weight 0; only without slots */
    lt_cache_observer observer;
    /* Its own: */
    lt_entries *lists; /* [layers * batch] */
    lt_tensor slot_S;  /* [layers, batch, slots, H, D, D]; empty without slots */
    lt_tensor slot_z;  /* [layers, batch, slots, H, D] */
    lt_tensor tails;   /* [layers, batch, rows, width] */
    bool has_tail;
    /* [layers * batch, capacity, state_size]: what the policy keeps of each entry, in the order of `items`. */
    float *states;
    int state_size;
    bool scorer_read;             /* the scorer's host copy is this forward's */
    lt_pool pool;                 /* host memory behind the pointers above */
    struct lt_decision *decision; /* host scratch of one decision */
    struct lt_view_memory *view;  /* host scratch of what a policy sees of one layer */
    lt_pool work;                 /* behind `view` and `states` */
} lt_cache;

/* Allocates slots and tails from `run` (NULL where there are none). All sequences get the same spec. LT_USAGE when
 * the slots do not suffice for it. */
lt_status lt_cache_init(lt_cache *cache, const lt_cache_shape *shape, const lt_cache_spec *spec,
                        lt_arena *run);
void lt_cache_free(lt_cache *cache);
/* Forgets everything: a new video. */
void lt_cache_reset(lt_cache *cache);
/* Bytes of slots and of tails; they never change. */
int64_t lt_cache_slot_bytes(const lt_cache *cache);
int64_t lt_cache_tail_bytes(const lt_cache *cache);
/* Host bytes of entry statistics and of the policy's state; they never change either. */
int64_t lt_cache_metadata_bytes(const lt_cache *cache);
/* Bytes of one entry of all layers of one sequence (float32 S and z). */
int64_t lt_entry_bytes(int layers, int heads, int head_dim);
/* Slots that a spec needs per layer and sequence: M, and a block's segments more where all layers decide together
 * after looking at values. */
int lt_cache_slots_for(const lt_cache_spec *spec, int segments_per_block);

/* The entries of one layer and sequence. */
lt_entries *lt_cache_entries(lt_cache *cache, int layer, int sequence);

/* Starts a layer of a forward: entries in slots become vars; entries of an earlier forward without slots are gone. */
lt_status lt_cache_layer_begin(lt_cache *cache, lt_tape *tape, int layer);

/* One reader of the cache: a block of one stream of one sequence. */
typedef struct lt_reader {
    int layer, sequence, stream;
    int64_t block;
    int64_t first_frame;
    double t;
    int own_count; /* segments of the block itself */
    lt_var **own_S, **own_z;
} lt_reader;

/* What each reader sums up: S = sum w_e S_e + own, z likewise. Fills the sums but for out_S and out_z;
 * lt_ag_attn_combine, called before any of them commits, carries them out. All readers of a block of one layer come
 * in one call: what they ask of the device takes as many launches and copies as one of them (at most one that the
 * host waits for, with read=content). */
lt_status lt_cache_read(lt_cache *cache, lt_tape *tape, int count, const lt_reader *readers, lt_ag_sum *sums);

/* After the output op: one sequence's newest entries, which are the own segments of the reader that lt_cache_read
 * had. */
typedef struct lt_commit {
    lt_reader reader;
    lt_tensor r; /* [H, D] of that reader, from the output op */
    const lt_rope *rope;
    lt_segment_box box;
    float motion;
} lt_commit;

/* For each sequence, each once and a leader before who follows it, all of one layer: adds to every entry that its
 * reader read the share of attention that this one drew, w_e z_e . r over the sum of all (only where a policy or
 * observer looks at it); admits the new entries; evicts while more than M remain (with scope=model and a policy
 * that looks at values: in lt_cache_forward_end; that needs slots, and one block per forward, else LT_USAGE). The
 * host waits for the device at most once a call. A forward with gradients cannot commit into slots (LT_FAILED): train
 * with a cache without slots. */
lt_status lt_cache_commit(lt_cache *cache, lt_tape *tape, int count, const lt_commit *commits);

/* Ends a forward that committed: with scope=model all layers now decide together; tails count from here. */
lt_status lt_cache_forward_end(lt_cache *cache, lt_tape *tape, bool tails_written);

/* The tail of a layer [batch, rows, width], or empty before the first commit. */
lt_tensor lt_cache_tail(const lt_cache *cache, int layer);
/* Where the commit pass writes it (empty without slots). */
lt_tensor lt_cache_tail_memory(const lt_cache *cache, int layer);

/* Saves everything that outlives a forward (slots, entries with their statistics and policy state, tails, counters,
 * seed, sequence numbers, leaders) and loads it into a cache of the same shape and specs (else LT_INPUT, and the
 * cache is empty): the continuation has the same bits. */
lt_status lt_cache_save(const lt_cache *cache, lt_device *device, const char *path);
lt_status lt_cache_load(lt_cache *cache, lt_device *device, const char *path);

#ifdef __cplusplus
}
#endif
#endif
