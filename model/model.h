/* A model: transformer, text encoder, scorer, codec and the latent statistics that go with them, with one store of
 * parameters. Built from the "model.*" keys of a configuration; everything that trains or generates starts here.
 */
#ifndef LT_MODEL_MODEL_H
#define LT_MODEL_MODEL_H

#include "core/config.h"
#include "model/codec/codec.h"
#include "model/dit/dit.h"
#include "model/text/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Registers the keys "model.*" (model/model_config.c documents each). */
void lt_model_register_keys(void);

typedef struct lt_model {
    lt_device *device;  /* borrowed */
    lt_dtype dtype;     /* of lt_ctx: bf16 where the device's GEMMs read two bytes an element, else float32 */
    lt_backend backend; /* of the contexts that run it: the device's, or naive for float64 references */
    lt_dit_config config;
    const lt_codec *codec;
    int frame_height, frame_width; /* pixels it was configured for: model.frame_size */
    lt_params params;
    lt_dit dit;
    lt_text_encoder text;
    lt_scorer scorer;
    lt_var *latent_mean, *latent_std;      /* [latent channels]: "latent.mean", "latent.std"; never trained */
    lt_arena weights, grads, moments, ema; /* those that were asked for */
} lt_model;

/* What besides the weights gets memory. */
enum { LT_MODEL_GRADS = 1, LT_MODEL_MOMENTS = 2, LT_MODEL_EMA = 4, LT_MODEL_TRAINING = 7 };

/* Declares and allocates; values are uninitialised until lt_model_initialise or lt_model_load. `backend` naive computes
 * in float64 on a host device. The caller closes it; device must outlive it. */
lt_status lt_model_open(const lt_config *config, lt_device *device, lt_backend backend, int flags,
                        lt_model **out);
void lt_model_close(lt_model *model);
lt_status lt_model_initialise(lt_model *model, uint64_t seed);
/* Latent mean 0 and deviation 1 until set; host arrays of latent_channels. LT_INPUT names the channel whose deviation
 * is not positive or whose mean is not finite. */
lt_status lt_model_set_latent_stats(lt_model *model, const float *mean, const float *deviation);
/* The same architecture on another device, without values, the same parameters trainable. On a null device it keeps the
 * backend of `model`, so it measures what that backend takes; in host memory all its values are float32. */
lt_status lt_model_twin(const lt_model *model, lt_device *device, int flags, lt_model **out);

/* Latent shape of one block: frames, height, width, channels. */
void lt_model_block_shape(const lt_model *model, int64_t shape[4]);
/* Video frames of a video's first `blocks` blocks: block b shows frames lt_model_frames(model, b) to
 * lt_model_frames(model, b + 1) - 1. */
int64_t lt_model_frames(const lt_model *model, int64_t blocks);
/* Those of every block but the first, which has as many or fewer. */
int lt_model_frames_per_block(const lt_model *model);

/* Mean and deviation of each latent channel, checked: [2, channels], freed by the caller. Waits for the device; on a
 * null device they are 0 and 1. */
lt_status lt_model_statistics(const lt_model *model, double **out);
/* In place, [positions, channels]: codec latents -> what the transformer sees, (x - mean) / deviation. */
void lt_model_normalise(const lt_model *model, const double *statistics, int64_t positions, float *latents);

/* Whole videos between host arrays: rgb [frames, frame_height, frame_width, 3] bytes <-> normalised latents. Encoding
 * runs on the host where the codec has no parameters, since training encodes while the device works; decoding runs on
 * the model's device where the codec can. */
lt_status lt_model_encode(const lt_model *model, int64_t frames, const uint8_t *rgb, float *latents);
lt_status lt_model_decode(const lt_model *model, int64_t latent_frames, const float *latents, uint8_t *rgb);
/* Several clips of as many frames, one after the other in both, with statistics that were read before: encoding often
 * need not wait for the device each time. Without statistics (NULL) latents stay as the codec gives them. */
lt_status lt_model_encode_clips(const lt_model *model, const double *statistics, int clips, int64_t frames,
                                const uint8_t *rgb, float *latents);

/* The same in chunks of whole latent frames, at most `most` at once: a codec's stream (model/codec/codec.h) with the
 * model's latent statistics as of opening. LT_UNAVAILABLE when the codec cannot be used in chunks. */
typedef struct lt_frame_stream lt_frame_stream;
lt_status lt_frame_stream_open(const lt_model *model, lt_codec_direction direction, int64_t most,
                               lt_frame_stream **out);
void lt_frame_stream_close(lt_frame_stream *stream); /* NULL is fine */
/* The next `latent_frames` latent frames and their video frames, lt_codec_stream_frames of the codec's stream. */
lt_status lt_frame_stream_encode(lt_frame_stream *stream, int64_t latent_frames, const uint8_t *rgb,
                                 float *latents);
lt_status lt_frame_stream_decode(lt_frame_stream *stream, int64_t latent_frames, const float *latents,
                                 uint8_t *rgb);
/* To reset, save and restore. */
lt_codec_stream *lt_frame_stream_codec(lt_frame_stream *stream);
/* What such a stream takes of the model's device. */
lt_codec_bytes lt_frame_stream_bytes(const lt_model *model, lt_codec_direction direction, int64_t most);

/* Motion of a block of normalised latents [frames, height, width, channels]: RMS difference of consecutive frames. */
float lt_latent_motion(const float *latents, int64_t frames, int64_t frame_size);

/* ---- sessions: a context with memory that was planned ------------------------------------------------------------ */

typedef struct lt_session lt_session;

/* What will be run: called once on the null device to measure, later by the owner for real, any number of times. It
 * must make the same allocations whatever the values. `setup` allocates from session->run what outlives one call of
 * `work`; it runs twice, on the session that measures and on the one that stays, and must not use what the first run
 * left. `close` frees host memory that setup took: after measuring, and in lt_session_close. */
typedef struct lt_work {
    lt_status (*setup)(lt_session *session, void *user); /* may be NULL */
    lt_status (*work)(lt_session *session, void *user);
    void *user;
    void (*close)(lt_session *session, void *user); /* may be NULL; also called when setup failed */
} lt_work;

/* A context, a tape and arenas of exactly the size that `work` needs. */
struct lt_session {
    lt_model *model;
    lt_ctx ctx;
    lt_arena step, scratch,
        run; /* values and gradients; workspaces; cache slots and tails and whatever work keeps */
    lt_tape tape;
    lt_meter meter; /* of all that ran since setup */
    lt_work work;
};

typedef struct lt_session_plan {
    int64_t step_bytes, scratch_bytes, run_bytes;
    lt_meter meter; /* of one call of work */
    /* of its tape: what its values that are not kept take, by lt_dit_value */
    lt_tape_tally again[LT_TAPE_LABELS];
} lt_session_plan;

/* Runs setup and work on a null twin of `model` and reports what they take. `target` is "null" or "null:NAME". */
lt_status lt_session_measure(const lt_model *model, const char *target, const lt_work *work,
                             lt_session_plan *plan);
/* Measures, then allocates the arenas on the model's device and runs setup there. */
lt_status lt_session_open(lt_model *model, const lt_work *work, lt_session **out);
void lt_session_close(lt_session *session);
/* For tests: sessions opened from now on fill every block of their arenas with NaN. */
void lt_session_poison(bool on);

/* ---- folders ----------------------------------------------------------------------------------------------------- */

/* Writes model.safetensors (values) and, when the model has one, ema.safetensors into an existing folder. */
lt_status lt_model_save(const lt_model *model, const char *folder);
/* Reads values from `folder`; `ema`: takes ema.safetensors for the values. A model with an EMA gets the folder's, or a
 * copy of the values where the folder has none. LT_INPUT names what is missing or does not fit. */
lt_status lt_model_load(lt_model *model, const char *folder, bool ema);

/* A run folder (runs/X, or a checkpoint folder inside it, or a published experiment folder: config.json beside
 * ema.safetensors, also one that is shipped: experiments/tiny). `which` is "best", "latest", "step-N" or NULL: best if
 * there is one, else latest, else the folder itself. Opens its model for inference on `device` with EMA weights (plain
 * ones where none were kept). `config` (may be NULL) receives the run's resolved configuration, freed by the caller;
 * `checkpoint` (may be NULL, LT_PATH_MAX bytes) the folder used. Large GEMMs take the algorithms of the run
 * (kernels/choices.h). */
lt_status lt_run_open(const char *run, const char *which, lt_device *device, lt_model **model,
                      lt_config **config, char *checkpoint);
/* The one hash of a checkpoint's weights that everything shows: of the values that lt_run_open takes from its folder
 * (lt_st_hash). */
lt_status lt_weights_hash(const char *checkpoint, uint64_t *out);
/* The resolved configuration of that checkpoint alone, freed by the caller. */
lt_status lt_run_read_config(const char *run, const char *which, lt_config **out);
/* The checkpoint folder alone, links followed; LT_INPUT when there is none that is complete (has DONE). "latest" is the
 * complete step-N of the highest N, whatever an interrupted run left behind. */
lt_status lt_run_checkpoint(const char *run, const char *which, char *checkpoint);

#ifdef __cplusplus
}
#endif
#endif
