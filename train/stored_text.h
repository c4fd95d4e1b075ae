/* Embeddings of captions from /text of the dataset, in place of the text encoder: where it is frozen, and the file has
 * those of exactly these weights for every clip. float16 rounds them. A caption that is dropped is the empty prompt,
 * encoded once. */
#ifndef LT_TRAIN_STORED_TEXT_H
#define LT_TRAIN_STORED_TEXT_H

#include "infer/clip_pass.h"
#include "infer/latents.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_stored_text lt_stored_text;

/* *out is NULL where prompts are encoded: `mode` is frames, the encoder is trained, or the file has no such text, which
 * with mode `latents` is LT_INPUT. For `clips` clips at most; the log says when text is read, unless `quiet`. */
lt_status lt_stored_text_open(const lt_model *model, lt_dataset *set, lt_latents_mode mode, int clips,
                              bool quiet, lt_stored_text **out);
void lt_stored_text_close(lt_stored_text *text);
/* Embeddings for the pass's next batches: of clip clips[i]'s caption, or of the empty prompt where prompts[i] is
 * NULL. */
lt_status lt_stored_text_put(lt_stored_text *text, lt_clip_pass *pass, int count, const int64_t *clips,
                             const char *const *prompts);

#ifdef __cplusplus
}
#endif
#endif
