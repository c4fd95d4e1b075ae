#include "model/text.h"

#include <math.h>
#include <string.h>

lt_status lt_text_declare(lt_text_encoder *text, int length, int width, lt_params *params) {
    LT_CHECK(length > 0 && width > 0, LT_USAGE,
             "the text encoder has %d tokens of %d channels, expected at least one of each", length, width);
    *text = (lt_text_encoder){.length = length, .width = width};
    const double half = sqrt(0.5); /* the sum of both tables starts with variance 1 */
    lt_param *table = LT_PARAM(params, false, LT_TEXT_VOCABULARY, width);
    if (!table) return LT_FAILED;
    LT_TRY(lt_params_publish(params, LT_INIT_NORMAL, half, NULL, LT_DIMS(LT_TEXT_VOCABULARY, width),
                             "text_encoder.bytes.weight"));
    lt_param *position = LT_PARAM(params, false, length, width);
    if (!position) return LT_FAILED;
    text->table = &table->var;
    text->position = &position->var;
    return lt_params_publish(params, LT_INIT_NORMAL, half, NULL, LT_DIMS(length, width),
                             "text_encoder.position.weight");
}

static bool continues_character(char byte) { return ((unsigned char)byte & 0xC0) == 0x80; }

/* Bytes of `prompt` that fit `room` without splitting a character (of at most 4 bytes: text that is not UTF-8 is cut
 * anywhere). */
static size_t cut(const char *prompt, size_t room) {
    size_t size = strlen(prompt), end = room;
    if (size <= room) return size;
    while (end > 0 && room - end < 4 && continues_character(prompt[end])) end--;
    return continues_character(prompt[end]) ? room : end;
}

void lt_text_tokens(const lt_text_encoder *text, const char *prompt, int32_t *ids, float *mask) {
    if (!prompt) prompt = "";
    size_t bytes = cut(prompt, (size_t)text->length - 1);
    for (int i = 0; i < text->length; i++) {
        bool visible = (size_t)i <= bytes;
        ids[i] = i > 0 && visible ? (unsigned char)prompt[i - 1] : LT_TEXT_START;
        mask[i] = visible;
    }
}

/* ids [count * length] and mask [count, length] on the device. */
static lt_status upload(const lt_text_encoder *text, lt_tape *tape, int count, const char *const *prompts,
                        lt_tensor *ids, lt_tensor *mask) {
    const lt_ctx *ctx = tape->ctx;
    int64_t length = text->length, total = count * length;
    LT_TRY(LT_NEW(tape->step, LT_I32, ids, total));
    LT_TRY(LT_NEW(tape->step, lt_ctx_sum_dtype(ctx), mask, count, length));
    int32_t *host_ids = lt_tape_saved(tape, total * sizeof *host_ids);
    float *host_mask = lt_tape_saved(tape, total * sizeof *host_mask);
    double *wide = lt_tape_saved(tape, total * sizeof *wide);
    if (!host_ids || !host_mask || !wide) return LT_FAILED;
    for (int i = 0; i < count; i++)
        lt_text_tokens(text, prompts ? prompts[i] : NULL, host_ids + i * length, host_mask + i * length);
    for (int64_t i = 0; i < total; i++) wide[i] = host_mask[i];
    LT_TRY(lt_tensor_from_host(ctx->device, ctx->stream, ids, host_ids));
    return lt_tensor_from_host(ctx->device, ctx->stream, mask,
                               mask->dtype == LT_F64 ? (void *)wide : (void *)host_mask);
}

lt_status lt_text_encode(const lt_text_encoder *text, lt_tape *tape, int count, const char *const *prompts,
                         lt_var **out, lt_tensor *mask) {
    lt_tensor ids;
    lt_var *rows, *bytes;
    LT_CHECK(count > 0, LT_FAILED, "text: no prompts");
    LT_TRY(upload(text, tape, count, prompts, &ids, mask));
    LT_TRY(lt_ag_embedding(tape, ids, text->table, &rows));
    LT_TRY(LT_AG_RESHAPE(tape, rows, &bytes, count, text->length, text->width));
    return lt_ag_add_broadcast(tape, text->position, bytes, out);
}
