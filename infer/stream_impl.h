/* What the parts of a video stream share. Private to infer/stream*.c. */
#ifndef LT_INFER_STREAM_IMPL_H
#define LT_INFER_STREAM_IMPL_H

#include "infer/stream.h"

struct lt_video_stream {
    lt_model *model;
    lt_stream_options options;
    lt_session *session; /* while planning, that on the null device */
    lt_cache cache;
    int batch;              /* 2 with guidance: the prompt's sequence leads, the null prompt's follows */
    int64_t shape[4], size; /* latents of a block; their number */
    int segments;           /* entries per block */
    int64_t position;
    uint64_t sequence;
    char *prompt;
    lt_text_embedding text;   /* of the prompt, and of no prompt with guidance */
    bool text_encoded;        /* false: the prompt, or the weights it is encoded with, may have changed */
    double *grid;             /* [steps + 1] times */
    lt_dit_replay replay;     /* of the block's second velocity and those after it */
    int velocities;           /* of the block, so far */
    lt_tensor x;              /* [batch, size], equal rows */
    lt_tensor velocity[2];    /* [1, size] */
    lt_tensor coefficient[2]; /* [1] */
};

/* What the velocity depends on beside t and x is no longer what it was. */
static inline void lt_stream_changed(lt_video_stream *stream) {
    stream->replay.ready = false;
    stream->velocities = 0;
}

/* Fills x from host latents [size], or with the noise that the block starts from. */
lt_status lt_stream_put(lt_video_stream *stream, const float *latents);
lt_status lt_stream_put_noise(lt_video_stream *stream);
/* One step of the sampler over x, from time t to the next. */
lt_status lt_stream_step(lt_video_stream *stream, double t, double next);
/* The commit pass of x at t = 0; the position moves on. */
lt_status lt_stream_commit(lt_video_stream *stream, float motion);

#endif
