/* Where a clip's latents come from: its frames through the model's codec, or /latents of the dataset, which `longtake
 * encode` filled.
 *
 * Stored latents are float16 (round to nearest even), so they differ from those of the frames by up to 2^-11 of their
 * size, and what is trained or measured on them differs slightly. They are taken only when they are the model's: the
 * attribute `producer` must name the same codec with the same parameters, and every clip must have all its rows.
 */
#ifndef LT_INFER_LATENTS_H
#define LT_INFER_LATENTS_H

#include "data/dataset.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `auto`: stored ones where they match, else frames, with a word in the log; `frames`; `latents`: stored ones or
 * LT_INPUT. */
typedef enum lt_latents_mode { LT_LATENTS_AUTO, LT_LATENTS_FRAMES, LT_LATENTS_STORED } lt_latents_mode;
#define LT_LATENTS_MODES "auto|frames|latents"
/* Of one of these names, and its name. */
lt_latents_mode lt_latents_mode_of(const char *name);
const char *lt_latents_mode_name(lt_latents_mode mode);

enum { LT_PRODUCER = 256 };
/* What identifies latents of this model's codec, and embeddings of its text encoder: name, size, hash of the
 * parameters. */
lt_status lt_latents_producer(const lt_model *model, char text[LT_PRODUCER]);
lt_status lt_text_producer(const lt_model *model, char text[LT_PRODUCER]);
/* The rows that /latents and /text have for this model. */
lt_status lt_latents_feature(const lt_model *model, lt_feature_spec *out);
lt_status lt_text_feature(const lt_model *model, lt_feature_spec *out);

/* Whether `mode` means stored latents here; LT_INPUT where it is `latents` and they are not there, not complete, or
 * another codec's. The log says which, unless `quiet`. */
lt_status lt_latents_choose(const lt_model *model, lt_dataset *set, lt_latents_mode mode, bool quiet,
                            bool *stored);

/* Latent frames [rows] of a codec, half bits [C,h,w] each as the file has them -> float32 [h,w,C], and back. */
void lt_latents_from_rows(const lt_model *model, int64_t rows, const uint16_t *halves, float *latents);
void lt_latents_to_rows(const lt_model *model, int64_t rows, const float *latents, uint16_t *halves);

/* The latents of a clip's first `frames` frames, a number of whole latent frames, from where they are. Without
 * `statistics` in the codec's unit, else normalised by them. `rgb` holds that many frames, and is written only when
 * they are not stored. */
lt_status lt_latents_read(const lt_model *model, lt_dataset *set, bool stored, const double *statistics,
                          int64_t clip, int64_t frames, uint8_t *rgb, float *latents);
/* The same with the model's own statistics. */
lt_status lt_latents_read_normalised(const lt_model *model, lt_dataset *set, bool stored, int64_t clip,
                                     int64_t frames, uint8_t *rgb, float *latents);

#ifdef __cplusplus
}
#endif
#endif
