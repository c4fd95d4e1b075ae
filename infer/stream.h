/* Streaming generation: any number of blocks, one after the other, with a cache of fixed memory. The one sampler loop
 * of the project: `generate`, samples during training, rollouts of the evaluation and `self` context training all call
 * it.
 *
 *     for each block: x = noise; for each step: x += (t' - t) velocity(x, t | cache);  then one commit pass at t = 0
 *
 *     lt_stream_options options = {.steps = 20, .shift = 3, .guidance = 1, .seed = 7, .spec = spec};
 *     LT_TRY(lt_video_stream_open(model, &options, &stream));
 *     LT_TRY(lt_video_stream_prompt(stream, "a red ball"));
 *     for (...) LT_TRY(lt_video_stream_next(stream, latents));
 *
 * Block k of sequence s is a pure function of the weights, the options, the prompts, what was pushed, s and k: the same
 * bits on the same machine with the same number of threads. After a failure only restart, load and close may follow.
 */
#ifndef LT_INFER_STREAM_H
#define LT_INFER_STREAM_H

#include "infer/schedule.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the velocity is integrated over the time grid. */
typedef enum lt_sampler {
    LT_SAMPLER_EULER, /* one forward per step */
    LT_SAMPLER_HEUN,  /* second order: two, but one in the last step (Karras et al., arXiv 2206.00364) */
    LT_SAMPLER_COUNT
} lt_sampler;
extern const char *const lt_sampler_names[LT_SAMPLER_COUNT]; /* "euler", "heun" */

typedef struct lt_stream_options {
    int steps; /* per block */
    lt_sampler sampler;
    double shift;    /* of the time grid */
    double guidance; /* 1: no guidance; else velocity = null + guidance (prompt - null) */
    uint64_t seed;
    uint64_t sequence;   /* which video: Philox clip number */
    int64_t first_frame; /* latent position of the first block */
    bool no_graphs; /* no captured graph, also where the steps of a block could replay one (lt_dit_replay) */
    lt_cache_spec spec;
    lt_cache_observer observer;
} lt_stream_options;

typedef struct lt_video_stream lt_video_stream;

/* Plans and allocates everything for a full cache; no device memory is allocated afterwards. The model must outlive the
 * stream. LT_USAGE names an option out of range. */
lt_status lt_video_stream_open(lt_model *model, const lt_stream_options *options, lt_video_stream **out);
void lt_video_stream_close(lt_video_stream *stream);
/* Forgets the video: cache, tail, position. */
lt_status lt_video_stream_restart(lt_video_stream *stream, uint64_t sequence);
/* Prompt of the blocks that follow, those pushed too; NULL: the null prompt, which is what a stream starts with. */
lt_status lt_video_stream_prompt(lt_video_stream *stream, const char *prompt);
/* Commits a given block (normalised latents on the host): history from footage. LT_INPUT when a value is not finite. */
lt_status lt_video_stream_push(lt_video_stream *stream, const float *latents);
/* Generates and commits the next block into `latents` (host). LT_FAILED when a value is not finite; then it is not
 * committed. */
lt_status lt_video_stream_next(lt_video_stream *stream, float *latents);
int64_t lt_video_stream_position(const lt_video_stream *stream); /* blocks committed */
/* Its cache, to look at. */
lt_cache *lt_video_stream_cache(lt_video_stream *stream);
/* What it runs in: an observer copies tensors through its context's stream. */
lt_session *lt_video_stream_session(lt_video_stream *stream);
/* Device bytes by role, fixed at open, and the arenas' high-water marks so far. */
typedef struct lt_stream_memory {
    int64_t slots, tails; /* both lie in run */
    int64_t run, step, scratch;
    int64_t step_peak, scratch_peak;
} lt_stream_memory;
lt_stream_memory lt_video_stream_memory(const lt_video_stream *stream);

/* Saves cache and position into a folder (made if need be; an interrupted save leaves the one before), and loads them
 * into a stream opened with the same model, seed, policy, budget and guidance (else LT_INPUT): what follows has the
 * same bits as if nothing had been interrupted. The prompt is not saved. */
lt_status lt_video_stream_save(lt_video_stream *stream, const char *folder);
lt_status lt_video_stream_load(lt_video_stream *stream, const char *folder);

#ifdef __cplusplus
}
#endif
#endif
