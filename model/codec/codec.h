/* Codecs: video in bytes <-> the latents that the transformer denoises, as streams with state on a device.
 *
 *     const lt_codec *codec = lt_codec_find("haar3d");          NULL: unknown, lt_error() lists the known ones
 *     lt_codec_spec spec = {codec, NULL, device, LT_CODEC_DECODE, .height = 64, .width = 64, .most = 4};
 *     LT_TRY(lt_codec_stream_open(&spec, &stream));
 *     LT_TRY(lt_codec_stream_decode(stream, 4, latents, rgb));  the video's first 4 latent frames
 *     LT_TRY(lt_codec_stream_decode(stream, 3, latents, rgb));  the next 3, whatever their number
 *     lt_codec_stream_close(stream);
 *
 * A codec is a row of model/codec/codecs.def; docs/adding-a-codec.md says how to write one.
 *
 * How many frames: a video's first latent frame stands for `first_frames` video frames, each later one for `stride_t`,
 * so L latent frames are first_frames + stride_t (L - 1) video frames. haar3d: 2 L. Causal VAEs, whose first latent
 * frame is an image: 1 + 4 (L - 1), or 1 + 8 (L - 1). Nothing outside the codec assumes more than lt_codec_frames and
 * lt_codec_latents say.
 *
 * Chunks: a video that goes through a stream in any chunks of whole latent frames comes out with the bits of the video
 * in one piece. What the codec must remember from one chunk to the next (the last frames that its causal convolutions
 * reach back to) is the stream's state: its size depends on the spec alone, it is zero at a video's start, and it can
 * be saved and restored.
 *
 * Frames are bytes [F,H,W,3]; latents are float32 [L,h,w,C], contiguous, in the codec's own unit (stated by each):
 * training normalises them per channel with statistics of its data (DESIGN section 5).
 */
#ifndef LT_MODEL_CODEC_CODEC_H
#define LT_MODEL_CODEC_CODEC_H

#include "kernels/op.h"
#include "model/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_codec lt_codec;
typedef struct lt_codec_stream lt_codec_stream;

typedef enum lt_codec_direction { LT_CODEC_ENCODE, LT_CODEC_DECODE } lt_codec_direction;

/* What a stream is opened for. */
typedef struct lt_codec_spec {
    const lt_codec *codec;
    /* that hold what codec->declare declared, on `device`; NULL for codecs without parameters */
    const lt_params *params;
    lt_device *device; /* that computes */
    lt_codec_direction direction;
    int64_t height, width; /* pixels of a frame */
    int64_t most;          /* latent frames of the largest chunk */
} lt_codec_spec;

/* Device memory of a stream, known from the spec alone. */
typedef struct lt_codec_bytes {
    int64_t state;     /* from one chunk to the next */
    int64_t workspace; /* during a chunk */
} lt_codec_bytes;

/* A row of the table. */
struct lt_codec {
    const char *name;
    const char *summary; /* one line for `list` and `info` */
    int latent_channels;
    int stride_t, stride_h, stride_w; /* video frames, rows, columns to one of the latent */
    int first_frames;                 /* video frames of a video's first latent frame: stride_t, or 1 */
    int look_ahead; /* later latent frames that one depends on; more than 0: a video goes through in one piece only */
    bool on_device; /* encode and decode run on the GPU too; else in host memory only */
    /* Declares and publishes its parameters, "codec.*", none of them trainable; NULL: it has none. */
    lt_status (*declare)(lt_params *params);
    /* State, and workspace of the largest chunk; NULL: neither. */
    lt_codec_bytes (*bytes)(const lt_codec_spec *spec);
    /* One chunk of `latents` whole latent frames, in the device's memory; the sizes agree. NULL: only the shape is
     * known. */
    lt_status (*encode)(lt_codec_stream *stream, lt_tensor rgb, lt_tensor latents);
    lt_status (*decode)(lt_codec_stream *stream, lt_tensor latents, lt_tensor rgb);
};

/* One video on its way through a codec. Rows read it and change the contents of `state`; callers use the functions
 * below. */
struct lt_codec_stream {
    lt_codec_spec spec;
    lt_ctx ctx;             /* on spec.device, float32; its scratch arena has the row's workspace */
    int64_t position;       /* latent frames before this chunk; 0: at the video's start */
    lt_tensor state;        /* u8 [bytes], or empty */
    lt_tensor rgb, latents; /* where a chunk is put on a device that is not the host; flat, of the largest */
    lt_arena memory, scratch;
};

/* ---- codecs ------------------------------------------------------------------------------------------------------ */

/* The codec of that name, or NULL with a message that lists the names. */
const lt_codec *lt_codec_find(const char *name);
/* All codecs in a fixed order: index 0, 1, ... until NULL. */
const lt_codec *lt_codec_at(int index);
/* The table behind both, which ends with NULL. A test program that defines it has its own. */
extern const lt_codec *const lt_codec_table[];

/* Video frames of a video's first `latents` latent frames; latent frame l begins at lt_codec_frames(codec, l). */
int64_t lt_codec_frames(const lt_codec *codec, int64_t latents);
/* Whole latent frames in a video's first `frames` frames. */
int64_t lt_codec_latents(const lt_codec *codec, int64_t frames);
/* shape = {latent frames, H / stride_h, W / stride_w, latent_channels} of a video of F frames of H x W pixels. LT_USAGE
 * when F is not a number of whole latent frames, or H or W not a positive multiple of its stride. */
lt_status lt_codec_latent_shape(const lt_codec *codec, int64_t frames, int64_t height, int64_t width,
                                int64_t shape[4]);
/* LT_UNAVAILABLE unless the codec can encode and decode, and in chunks. */
lt_status lt_codec_check_streams(const lt_codec *codec);

/* Whole videos in host memory through codecs without parameters. LT_USAGE when the sizes do not fit. Values outside
 * 0..255 saturate; NaN becomes 0. */
lt_status lt_codec_encode(const lt_codec *codec, int64_t frames, int64_t height, int64_t width,
                          const uint8_t *rgb, float *latents);
lt_status lt_codec_decode(const lt_codec *codec, int64_t latents, int64_t latent_height, int64_t latent_width,
                          const float *values, uint8_t *rgb);

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* What the planner counts. Chunks are copied to and from a device that is not the host: that is part of the
 * workspace. */
lt_codec_bytes lt_codec_stream_bytes(const lt_codec_spec *spec);
/* At a video's start. LT_UNAVAILABLE when the codec cannot do it, or not on this device; LT_USAGE for sizes that do not
 * fit. */
lt_status lt_codec_stream_open(const lt_codec_spec *spec, lt_codec_stream **out);
void lt_codec_stream_close(lt_codec_stream *stream); /* NULL is fine */
/* The next `latents` latent frames, at most spec.most, between host arrays. Their video frames are
 * lt_codec_stream_frames(stream, latents). Complete on return. */
lt_status lt_codec_stream_encode(lt_codec_stream *stream, int64_t latents, const uint8_t *rgb, float *values);
lt_status lt_codec_stream_decode(lt_codec_stream *stream, int64_t latents, const float *values, uint8_t *rgb);
int64_t lt_codec_stream_frames(const lt_codec_stream *stream, int64_t latents);
/* The next chunk is the first of another video. */
lt_status lt_codec_stream_reset(lt_codec_stream *stream);
/* Position and state into `to`, lt_codec_stream_saved(stream) bytes of host memory, and back, into a stream of the same
 * spec: LT_INPUT when it was another codec's, direction's or size's. */
size_t lt_codec_stream_saved(const lt_codec_stream *stream);
lt_status lt_codec_stream_save(const lt_codec_stream *stream, void *to);
lt_status lt_codec_stream_restore(lt_codec_stream *stream, const void *from);

#ifdef __cplusplus
}
#endif
#endif
