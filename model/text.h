/* Prompts as UTF-8 bytes through a small trained embedding, so that captions and --prompt work without a pretrained
 * encoder. A prompt is a start token, then its bytes, cut at `length` tokens; the rest is masked. The empty prompt is the
 * start token alone: a learned null, which guidance contrasts with.
 */
#ifndef LT_MODEL_TEXT_H
#define LT_MODEL_TEXT_H

#include "autograd/ops.h"
#include "model/params.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_TEXT_START = 256, LT_TEXT_VOCABULARY = 257 };

typedef struct lt_text_encoder {
    int length, width; /* tokens, channels */
    lt_var *table;     /* [257, width] "text_encoder.bytes.weight" */
    lt_var *position;  /* [length, width] "text_encoder.position.weight" */
} lt_text_encoder;

/* Declares its two parameters. */
lt_status lt_text_declare(lt_text_encoder *text, int length, int width, lt_params *params);

/* ids[length], mask[length] (1 = visible) of one prompt; NULL counts as "". A cut never splits a UTF-8 character. */
void lt_text_tokens(const lt_text_encoder *text, const char *prompt, int32_t *ids, float *mask);

/* Embeds `count` prompts (NULL: all empty): out [count, length, width], mask [count, length] in the compute dtype. */
lt_status lt_text_encode(const lt_text_encoder *text, lt_tape *tape, int count, const char *const *prompts,
                         lt_var **out, lt_tensor *mask);

#ifdef __cplusplus
}
#endif
#endif
