#include "model/text/bytes.h"

#include <math.h>
#include <string.h>

static lt_status bytes_declare(lt_text_encoder *text, lt_params *params) {
    const double half = sqrt(0.5); /* the sum of both tables starts with variance 1 */
    lt_param *table = LT_PARAM(params, false, LT_TEXT_VOCABULARY, text->width);
    if (!table) return LT_FAILED;
    LT_TRY(lt_params_publish(params, LT_INIT_NORMAL, half, NULL, LT_DIMS(LT_TEXT_VOCABULARY, text->width),
                             "text_encoder.bytes.weight"));
    lt_param *position = LT_PARAM(params, false, text->length, text->width);
    if (!position) return LT_FAILED;
    text->parameter[LT_TEXT_BYTES_TABLE] = &table->var;
    text->parameter[LT_TEXT_BYTES_POSITION] = &position->var;
    return lt_params_publish(params, LT_INIT_NORMAL, half, NULL, LT_DIMS(text->length, text->width),
                             "text_encoder.position.weight");
}

static bool continues_character(char byte) { return ((unsigned char)byte & 0xC0) == 0x80; }

/* Bytes of `prompt` that fit `room` without splitting a character (of at most 4 bytes: text that is not UTF-8 is cut
 * anywhere). */
static size_t cut_prompt(const char *prompt, size_t room) {
    size_t size = strlen(prompt), end = room;
    if (size <= room) return size;
    while (end > 0 && room - end < 4 && continues_character(prompt[end])) end--;
    return continues_character(prompt[end]) ? room : end;
}

static void bytes_tokenise(const lt_text_encoder *text, const char *prompt, int32_t *ids, float *mask) {
    size_t bytes = cut_prompt(prompt, (size_t)text->length - 1);
    for (int i = 0; i < text->length; i++) {
        bool visible = (size_t)i <= bytes;
        ids[i] = i > 0 && visible ? (unsigned char)prompt[i - 1] : LT_TEXT_START;
        mask[i] = visible;
    }
}

static lt_status bytes_encode(const lt_text_encoder *text, lt_tape *tape, int count, lt_tensor ids,
                              lt_var **out) {
    lt_var *rows, *bytes;
    LT_TRY(lt_ag_embedding(tape, ids, text->parameter[LT_TEXT_BYTES_TABLE], &rows));
    LT_TRY(LT_AG_RESHAPE(tape, rows, &bytes, count, text->length, text->width));
    return lt_ag_add_broadcast(tape, text->parameter[LT_TEXT_BYTES_POSITION], bytes, out);
}

const lt_text_kind lt_text_bytes = {.name = "bytes",
                                    .summary = "UTF-8 bytes through a small embedding that is trained",
                                    .declare = bytes_declare,
                                    .tokenise = bytes_tokenise,
                                    .encode = bytes_encode};
