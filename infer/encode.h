/* Fills /latents and /text of a dataset from a model's codec and text encoder (`longtake encode`).
 *
 * /latents: the whole latent frames of each clip, the clip being a video of its own, [channels, height, width] each, in
 * the codec's unit. /text: the embeddings of the visible tokens of each clip's caption, a row per token. Both float16,
 * converted here.
 *
 * What a clip has already is left alone, and clips are committed in batches: after a kill, the file is readable and the
 * next call goes on. Latents or text of another producer are refused (LT_INPUT) unless `force` replaces them.
 */
#ifndef LT_INFER_ENCODE_H
#define LT_INFER_ENCODE_H

#include "data/dataset.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_encode_options {
    bool latents, text, force;
    int commit_every; /* clips; 0: 64 */
    /* Hears how many clips are done; may be NULL. */
    void (*progress)(int64_t done, int64_t total, void *user);
    void *progress_user;
} lt_encode_options;

/* Clips that were encoded, and that had all they need before. */
typedef struct lt_encode_result {
    int64_t encoded, skipped;
} lt_encode_result;

/* `set` is open to append. LT_INTERRUPTED after a signal, with what was done committed. */
lt_status lt_encode_dataset(lt_model *model, lt_dataset *set, const lt_encode_options *options,
                            lt_encode_result *out);

#ifdef __cplusplus
}
#endif
#endif
