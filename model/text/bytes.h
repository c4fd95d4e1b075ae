/* Prompts as UTF-8 bytes through a small trained embedding, so that captions and --prompt work without a pretrained
 * encoder. A prompt is a start token, then its bytes, cut at `length` tokens without splitting a character; the rest is
 * masked. The empty prompt is the start token alone: a learned null, which guidance contrasts with. An embedding is the
 * sum of the byte's row and the position's row. */
#ifndef LT_MODEL_TEXT_BYTES_H
#define LT_MODEL_TEXT_BYTES_H

#include "model/text/text.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_TEXT_START = 256, LT_TEXT_VOCABULARY = 257 };

/* Its parameters. */
enum {
    LT_TEXT_BYTES_TABLE,   /* [257, width] "text_encoder.bytes.weight" */
    LT_TEXT_BYTES_POSITION /* [length, width] "text_encoder.position.weight" */
};

extern const lt_text_kind lt_text_bytes;

#ifdef __cplusplus
}
#endif
#endif
