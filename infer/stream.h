/* Streaming generation: any number of blocks, one after the other, with a cache of fixed memory. The one sampler loop of
 * the project: `generate`, samples during training, rollouts of the evaluation and `self` context training all call it.
 *
 *     for each block: x = noise; for each step: x += (t' - t) velocity(x, t | cache);  then one commit pass at t = 0
 */
#ifndef LT_INFER_STREAM_H
#define LT_INFER_STREAM_H

#include "infer/schedule.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_stream_options {
    int steps;       /* sampler steps per block */
    double shift;    /* of the time grid */
    double guidance; /* 1: no guidance; else velocity = null + guidance (prompt - null) */
    uint64_t seed;
    uint64_t sequence;   /* which video: Philox clip number */
    int64_t first_frame; /* latent position of the first block */
    lt_cache_spec spec;
    lt_cache_observer observer;
} lt_stream_options;

typedef struct lt_video_stream lt_video_stream;

/* Plans and allocates everything; nothing is allocated afterwards. */
lt_status lt_video_stream_open(lt_model *model, const lt_stream_options *options, lt_video_stream **out);
void lt_video_stream_close(lt_video_stream *stream);
/* Forgets the video: cache, tail, position. */
lt_status lt_video_stream_restart(lt_video_stream *stream, uint64_t sequence);
/* Prompt of the blocks that follow. */
lt_status lt_video_stream_prompt(lt_video_stream *stream, const char *prompt);
/* Commits a given block (normalised latents on the host): history from footage. */
lt_status lt_video_stream_push(lt_video_stream *stream, const float *latents);
/* Generates and commits the next block into `latents` (host). */
lt_status lt_video_stream_next(lt_video_stream *stream, float *latents);
int64_t lt_video_stream_position(const lt_video_stream *stream); /* blocks committed */
lt_cache *lt_video_stream_cache(lt_video_stream *stream);
/* Bytes by role: slots, tails, step, scratch; and the arenas' high-water marks. */
typedef struct lt_stream_memory {
    int64_t slots, tails, run, step, scratch, step_peak, scratch_peak;
} lt_stream_memory;
lt_stream_memory lt_video_stream_memory(const lt_video_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
