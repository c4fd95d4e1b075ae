/* A text encoder that counts its calls, for tests. */
#ifndef LT_MODEL_TEXT_TESTING_H
#define LT_MODEL_TEXT_TESTING_H

#include "model/text/text.h"

/* Calls that computed something since the last test_count_encodings. */
static int test_encodings;
static inline lt_status test_count_and_encode(const lt_text_encoder *text, lt_tape *tape, int count,
                                              lt_tensor ids, lt_var **out) {
    if (!lt_device_is_null(tape->ctx->device)) test_encodings++;
    return lt_text_find(text->kind->name)->encode(text, tape, count, ids, out);
}

/* From here on `text` counts, by way of *counting, which must live as long. Returns what its kind was, to put back. */
static inline const lt_text_kind *test_count_encodings(lt_text_encoder *text, lt_text_kind *counting) {
    const lt_text_kind *before = text->kind;
    *counting = *before, counting->encode = test_count_and_encode;
    text->kind = counting, test_encodings = 0;
    return before;
}

#endif
