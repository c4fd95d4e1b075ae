/* longtake as a library: open a trained run, plan, stream blocks of video, evaluate cache policies, add a
 * policy of one's own.
 *
 *     longtake *context;
 *     longtake_run *run;
 *     longtake_stream *stream;
 *     longtake_options options = {.size = sizeof options, .device = "cpu"};
 *     longtake_stream_options how = {.size = sizeof how, .policy = "sink:n=1", .budget = "3", .steps = 20, .seed = 7};
 *
 *     if (longtake_open(&options, &context) || longtake_run_open(context, "runs/x", NULL, &run) ||
 *         longtake_stream_open(run, &how, &stream))
 *         return fprintf(stderr, "%s\n", longtake_error()), 1;
 *     longtake_run_info info = {.size = sizeof info};
 *     longtake_run_describe(run, &info);
 *     uint8_t *rgb = malloc(info.block_bytes);
 *     for (int i = 0; i < 8; i++)
 *         if (longtake_next(stream, rgb, info.block_bytes, NULL)) ...
 *     longtake_stream_close(stream), longtake_run_close(run), longtake_close(context);
 *
 * Compile with `cc program.c $(pkg-config --cflags --libs longtake)`, or in CMake find_package(longtake)
 * and target_link_libraries(program longtake::longtake). docs/library.md is the tutorial;
 * examples/stream_policy.c a whole program.
 *
 * Status. Every function that can fail returns a longtake_status and leaves a message for the calling
 * thread, which says what was found, what was expected and what to do (longtake_error). The library never
 * exits, prints, aborts or takes signals; what it has to say goes to the log function of the process
 * (longtake_log), if there is one.
 *
 * Ownership. What a function opens, the caller closes, streams before their run, runs before their
 * context; closing NULL does nothing. Strings and arrays that are passed in need to last for the call
 * only, unless a comment says otherwise.
 *
 * Threads. A context and all that was opened from it belong to one thread at a time. Different contexts
 * may be used by different threads at once, and each gives the bits that it would give alone. On the CPU a
 * call computes with the context's number of threads, of which the calling one is the first;
 * docs/library.md lists the little that all contexts of a process share.
 *
 * Structs. The first member of every struct that the caller fills in or has filled in is its `size`: write
 * `{.size = sizeof it}`. Members are only ever added at the end, and a member that is 0 means the default,
 * so a program compiled against an older header goes on working. Enumerators keep their values. */
#ifndef LONGTAKE_H
#define LONGTAKE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#    define LONGTAKE_API __attribute__((visibility("default")))
#else
#    define LONGTAKE_API
#endif

/* ---- status -------------------------------------------------------------------------------------------- */

/* Also the exit codes of the program. */
typedef enum longtake_status {
    LONGTAKE_OK = 0,
    LONGTAKE_USAGE = 2,       /* an argument, option or configuration is wrong */
    LONGTAKE_INPUT = 3,       /* a file is missing, unreadable or invalid */
    LONGTAKE_FAILED = 4,      /* failed while running: out of memory, full disk, device error */
    LONGTAKE_UNAVAILABLE = 5, /* not in this build, or not on this machine */
    LONGTAKE_INTERRUPTED = 6  /* stopped by a signal, where the program has the library's handler */
} longtake_status;

/* Message of the calling thread's last failure, "" before the first. Valid until the thread's next
 * failure. */
LONGTAKE_API const char *longtake_error(void);
/* "0.1.0" */
LONGTAKE_API const char *longtake_version(void);

/* Receives complete lines without a newline, one at a time, on the thread that has something to say; level
 * 0: error, 1: warning, 2: information. NULL, the default: silence. One for the process: call it before
 * contexts are opened. */
typedef void (*longtake_log_function)(int level, const char *line, void *user);
LONGTAKE_API void longtake_log(longtake_log_function function, void *user);

/* ---- contexts ------------------------------------------------------------------------------------------ */

typedef struct longtake longtake;

typedef struct longtake_options {
    size_t size;
    const char *device; /* "cpu" (default), "cuda", "cuda:1"; "null" or "null:h100" to plan only */
    /* of GEMM operands: "auto" (default: f32 on the CPU, bf16 on a GPU), "f32", "bf16", "fp8" */
    const char *precision;
    const char *kernels; /* of a GPU: "auto" (default), or "generic": those without tensor cores */
    int threads;         /* of the processor; 0: all cores */
    uint64_t seed;       /* of streams and evaluations that name none */
} longtake_options;

/* A device, with the policies that were added. `options` may be NULL. LONGTAKE_USAGE for a device that
 * does not exist, LONGTAKE_UNAVAILABLE for one that this build or machine lacks. */
LONGTAKE_API longtake_status longtake_open(const longtake_options *options, longtake **out);
LONGTAKE_API void longtake_close(longtake *context);

/* ---- policies: who stays in the cache ------------------------------------------------------------------ */

/* What is known of an entry when it is scored. Ages and positions are counted in commits. */
typedef enum longtake_feature {
    LONGTAKE_AGE,    /* commits since it was written: 0 for the newest */
    LONGTAKE_ORDER,  /* how many were committed before it (its oldest part): 0 for the first of the video */
    LONGTAKE_MERGES, /* entries folded into it */
    LONGTAKE_TOKENS, /* tokens it stands for, relative to one block */
    LONGTAKE_Z_NORM, /* |z| per token */
    LONGTAKE_S_NORM, /* |S| per token */
    LONGTAKE_READ_MASS, /* mean share of attention that commit passes gave it */
    LONGTAKE_NOVELTY,   /* 1 - largest cosine of its z with another entry present */
    LONGTAKE_RECENCY,   /* cosine of its z with the newest entry's */
    LONGTAKE_MOTION,    /* RMS difference of its latent frames */
    LONGTAKE_FEATURES
} longtake_feature;

/* What a policy looks at: a set of LONGTAKE_NEED(LONGTAKE_AGE) and the like. Only that is computed; other
 * features are 0. */
#define LONGTAKE_NEED(feature)   (UINT64_C(1) << (feature))
#define LONGTAKE_NEED_SIMILARITY LONGTAKE_NEED(62) /* of each pair of entries */

/* The entries present in one layer, the newest included, in time order. All of it is valid during the call
 * only. */
typedef struct longtake_view {
    size_t size;
    int entries;
    int layer;
    int64_t commit;          /* number of the newest commit, from 0 */
    uint64_t seed, sequence; /* of the video, for policies that draw: the same view, the same decision */
    const int64_t *ids;      /* [entries] number of the commit that wrote each; the newest one after merges */
    const float *const *feature; /* feature[LONGTAKE_AGE][entry]; the entries of feature are [entries] */
    /* [entries, entries] cosine of their z, mean over heads; NULL without LONGTAKE_NEED_SIMILARITY */
    const float *similarity;
    /* [entries, policy.state] of the policy's own; NULL without, and only `update` may write it */
    float *state;
} longtake_view;

/* Writes one number per entry into `score` [entries]: the lowest goes, the oldest of equals first; a NaN
 * is the lowest. Protected entries (protect=1: the newest) are scored but stay. Anything but 0 fails the
 * block with LONGTAKE_FAILED. It is a pure function of the view that calls no function of the library:
 * evaluation scores clips in any order, and planning memory scores views whose values are all 0. */
typedef int (*longtake_score)(const longtake_view *view, float *score, void *user);

typedef struct longtake_policy {
    size_t size;
    /* small letters, digits and dashes; no policy's of the context or of `longtake list policies` */
    const char *name;
    const char *help; /* one sentence, or NULL */
    uint64_t needs;   /* LONGTAKE_NEED(...) | ...; 0: ids, numbers and seed alone */
    /* what becomes of a victim where nothing is said: NULL for "drop", "sum", "ema", "nearest", "decay" */
    const char *consolidate;
    longtake_score score;
    void *user; /* what `score` is called with; lasts as long as the context */
    /* So many floats belong to each entry, at most 16: 0 for a new one, they move, are saved and go with it, and where
     * one is folded into another they become the mean of both by tokens. `update` (or NULL) writes view->state once per
     * commit and layer, before any score; what it returns is as in `score`. */
    int state;
    int (*update)(const longtake_view *view, void *user);
} longtake_policy;

/* From now on the context's streams and evaluations know the policy by its name, with the keys that every
 * policy takes ("mine:consolidate=sum,scope=layer"). Names belong to a context: two contexts may have
 * different policies of one name. */
LONGTAKE_API longtake_status longtake_policy_add(longtake *context, const longtake_policy *policy);

/* ---- runs: trained models ------------------------------------------------------------------------------ */

typedef struct longtake_run longtake_run;

/* Opens a run folder for inference, with its EMA weights: a folder that `longtake train` wrote, a
 * checkpoint in it, or a published one ("experiments/tiny" is shipped). `checkpoint`: "best", "latest",
 * "step-N", or NULL for the best if there is one, else the latest. */
LONGTAKE_API longtake_status longtake_run_open(longtake *context, const char *folder, const char *checkpoint,
                                               longtake_run **out);
LONGTAKE_API void longtake_run_close(longtake_run *run);

typedef struct longtake_run_info {
    size_t size;
    int width, height;    /* of a frame, in pixels */
    int frames_per_block; /* video frames that one call of longtake_next gives */
    size_t block_bytes;   /* of a block as RGB: frames_per_block * height * width * 3 */
    int layers, heads, head_dim;
    int64_t parameters;    /* numbers in the model */
    int64_t entry_bytes;   /* of the cache, one entry of all layers */
    uint64_t weights_hash; /* as `longtake info` shows it */
} longtake_run_info;
LONGTAKE_API longtake_status longtake_run_describe(const longtake_run *run, longtake_run_info *info);

/* ---- streams: video of any length ---------------------------------------------------------------------- */

typedef struct longtake_stream longtake_stream;

typedef struct longtake_stream_options {
    size_t size;
    /* "sink" by default; `longtake list policies` explains how one is written, parameters included */
    const char *policy;
    /* entries ("3", the default), bytes ("60MiB"), or a share of the entries of `blocks` blocks ("25%") */
    const char *budget;
    const char *prompt;  /* of the first blocks; NULL: the null prompt */
    int steps;           /* of the sampler per block; 20 by default */
    const char *sampler; /* "euler" (default), or "heun": second order, twice the work */
    /* velocity = null + guidance (prompt - null); 1 by default: no guidance, half the work */
    double guidance;
    double shift;      /* of the time grid; 1 by default, above 1: more steps near noise */
    uint64_t seed;     /* 0: the context's */
    uint64_t sequence; /* which of the videos of that seed */
    int64_t blocks;    /* so many will be generated at most; 0: any number */
} longtake_stream_options;

/* What a stream takes, from a walk on a null device: nothing is allocated and no value is computed. */
typedef struct longtake_plan {
    size_t size;
    int64_t peak_bytes; /* of the device: the sum of those below */
    int64_t weight_bytes, slot_bytes, tail_bytes, activation_bytes, workspace_bytes, other_bytes;
    /* one generated block, all sampler steps and the commit, the cache full (or with 32 blocks) */
    double block_flops;
} longtake_plan;
LONGTAKE_API longtake_status longtake_plan_stream(longtake *context, const char *folder,
                                                  const char *checkpoint,
                                                  const longtake_stream_options *options,
                                                  longtake_plan *plan);

/* Plans and allocates everything: no device memory is allocated afterwards, however long the video gets. */
LONGTAKE_API longtake_status longtake_stream_open(longtake_run *run, const longtake_stream_options *options,
                                                  longtake_stream **out);
LONGTAKE_API void longtake_stream_close(longtake_stream *stream);
/* Prompt of the blocks that follow; NULL: the null prompt. */
LONGTAKE_API longtake_status longtake_stream_prompt(longtake_stream *stream, const char *prompt);

/* What the cache holds after a block. */
typedef struct longtake_block {
    size_t size;
    int64_t position;   /* blocks committed, this one included */
    int entries;        /* in each layer */
    int victims;        /* of this commit, summed over layers */
    int64_t slot_bytes; /* of the cache; the same after every block */
    int64_t tail_bytes; /* of the temporal convolution; likewise */
    double seconds;     /* of this block: sampling and commit, without decoding */
} longtake_block;

/* Generates and commits the next block: frames_per_block frames of RGB bytes, [frame][row][column][3],
 * into `rgb`, which has room for `bytes`, at least block_bytes. `block` (may be NULL) tells of the cache.
 * The block is a pure function of weights, options, prompts, what was pushed and its number: the same bits
 * on the same machine with the same number of threads. After a failure only restart, load and close may
 * follow. */
LONGTAKE_API longtake_status longtake_next(longtake_stream *stream, uint8_t *rgb, size_t bytes,
                                           longtake_block *block);
/* Commits a block of footage in place of a generated one: history that what follows goes on from. */
LONGTAKE_API longtake_status longtake_push(longtake_stream *stream, const uint8_t *rgb, size_t bytes,
                                           longtake_block *block);
/* Forgets the video: cache, tail and position. */
LONGTAKE_API longtake_status longtake_restart(longtake_stream *stream, uint64_t sequence);

/* One entry of one layer. */
typedef struct longtake_entry {
    size_t size;
    int64_t id;                      /* number of the commit that wrote it; the newest one after merges */
    int64_t first_frame, last_frame; /* latent frames it stands for */
    int merges;                      /* entries folded into it */
    float score;                     /* the policy's at the latest commit */
} longtake_entry;
/* Entry `index` of `layer`, from the oldest (0) on; LONGTAKE_USAGE past the end. */
LONGTAKE_API longtake_status longtake_entry_at(const longtake_stream *stream, int layer, int index,
                                               longtake_entry *entry);

/* Saves cache and position into a folder, which is made if need be; a save that is interrupted leaves the
 * one before. Loading goes into a stream of the same run, seed, policy, budget and guidance (else
 * LONGTAKE_INPUT): what follows has the same bits as if nothing had been interrupted. The prompt is not
 * saved. */
LONGTAKE_API longtake_status longtake_stream_save(longtake_stream *stream, const char *folder);
LONGTAKE_API longtake_status longtake_stream_load(longtake_stream *stream, const char *folder);

/* ---- evaluation: paired comparison of policies --------------------------------------------------------- */

typedef struct longtake_evaluation {
    size_t size;
    const char *data;           /* the dataset (HDF5) */
    const char *role;           /* of its clips: "test" (default), "val"; "train" only with allow_train */
    const char *const *domains; /* [domain_count]; 0: all */
    int domain_count;
    const char *const *policies; /* [policy_count], at least one */
    int policy_count;
    const char *const *budgets; /* [budget_count]; 0: "3" */
    int budget_count;
    int64_t clips; /* per domain at most; 0: all */
    int blocks;    /* per clip; 8 by default */
    int draws;     /* of noise in each of the 5 bins of t; 4 by default, the least */
    uint64_t seed; /* 0: the context's */
    int allow_train;
    /* Hears what is being done ("evaluate", "choosing references") and how many of its passes are; may be
     * NULL. */
    void (*progress)(const char *what, int64_t done, int64_t total, void *user);
    void *user;
} longtake_evaluation;

/* One policy on the clips of one domain: figures as `longtake evaluate` prints them. What there are no
 * data for is NaN. */
typedef struct longtake_row {
    size_t size;
    const char *policy; /* resolved, every parameter written out */
    const char *domain;
    int budget;
    int64_t cache_bytes; /* slots and metadata */
    int64_t clips;
    int groups;
    int64_t evicting_reads;
    double loss,
        loss_error; /* mean and standard error: t in [0.5, 0.95], blocks read with an eviction in force */
    const char *reference;           /* best hand-made policy of equal bytes, or NULL */
    double difference, low, high, p; /* against it; the interval and p are corrected for all rows (Holm) */
    /* "better", "worse", "not distinguishable", "insufficient data"; NULL without difference */
    const char *verdict;
} longtake_row;

/* Runs the evaluation and calls `row` for each row, in order; its strings are valid during the call. */
LONGTAKE_API longtake_status longtake_evaluate(longtake_run *run, const longtake_evaluation *evaluation,
                                               void (*row)(const longtake_row *row, void *user), void *user);

#ifdef __cplusplus
}
#endif
#endif
