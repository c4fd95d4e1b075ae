#include "model/text/text.h"

#include "model/text/bytes.h"

#include <stdio.h>
#include <string.h>

static const lt_text_kind *const kinds[] = {&lt_text_bytes};
enum { KINDS = sizeof kinds / sizeof *kinds };

const lt_text_kind *lt_text_at(int index) { return index >= 0 && index < KINDS ? kinds[index] : NULL; }

const lt_text_kind *lt_text_find(const char *name) {
    char names[256] = "";
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(name, kinds[i]->name) == 0) return kinds[i];
        size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", i ? ", " : "", kinds[i]->name);
    }
    lt_fail(LT_USAGE, "unknown text encoder '%s': choose one of %s", name, names);
    return NULL;
}

lt_status lt_text_declare(lt_text_encoder *text, const char *kind, int length, int width, lt_params *params) {
    LT_CHECK(length > 0 && width > 0, LT_USAGE,
             "the text encoder has %d tokens of %d channels, expected at least one of each", length, width);
    *text = (lt_text_encoder){.kind = lt_text_find(kind), .length = length, .width = width};
    return text->kind ? text->kind->declare(text, params) : LT_USAGE;
}

lt_text_description lt_text_describe(const lt_text_encoder *text) {
    lt_text_description d = {.name = text->kind->name, .length = text->length, .width = text->width};
    for (int i = 0; i < LT_TEXT_PARAMETERS && text->parameter[i]; i++)
        d.parameter_bytes += (int64_t)lt_nbytes(&text->parameter[i]->value);
    return d;
}

void lt_text_tokens(const lt_text_encoder *text, const char *prompt, int32_t *ids, float *mask) {
    text->kind->tokenise(text, prompt ? prompt : "", ids, mask);
}

/* ids [count * length] and mask [count, length] on the device. */
static lt_status upload_tokens(const lt_text_encoder *text, lt_tape *tape, int count,
                               const char *const *prompts, lt_tensor *ids, lt_tensor *mask) {
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
    LT_CHECK(count > 0, LT_FAILED, "text: no prompts");
    LT_TRY(upload_tokens(text, tape, count, prompts, &ids, mask));
    return text->kind->encode(text, tape, count, ids, out);
}

/* ---- embeddings that stay ---------------------------------------------------------------------------------------- */

lt_status lt_text_embedding_new(const lt_text_encoder *text, const lt_ctx *ctx, lt_arena *arena, int count,
                                lt_text_embedding *out) {
    LT_TRY(LT_NEW(arena, lt_ctx_sum_dtype(ctx), &out->value, count, text->length, text->width));
    return LT_NEW(arena, lt_ctx_sum_dtype(ctx), &out->mask, count, text->length);
}

static lt_status copy_rows(const lt_ctx *ctx, lt_tensor from, lt_tensor to) {
    LT_CHECK(from.dtype == to.dtype && lt_same_shape(&from, &to) && lt_is_contiguous(&from), LT_FAILED,
             "text: an embedding of dtype %s does not fit into one of %s", lt_dtype_name(from.dtype),
             lt_dtype_name(to.dtype));
    return lt_device_copy(ctx->device, ctx->stream, to.data, from.data, lt_nbytes(&from), LT_COPY_ON_DEVICE);
}

static lt_status embed_now(const lt_text_encoder *text, lt_tape *tape, int count, const char *const *prompts,
                           lt_text_embedding *into) {
    lt_var *value;
    lt_tensor mask;
    LT_TRY(lt_text_encode(text, tape, count, prompts, &value, &mask));
    LT_TRY(copy_rows(tape->ctx, value->value, lt_slice(into->value, 0, 0, count)));
    return copy_rows(tape->ctx, mask, lt_slice(into->mask, 0, 0, count));
}

lt_status lt_text_embed(const lt_text_encoder *text, lt_tape *tape, int count, const char *const *prompts,
                        lt_text_embedding *into) {
    bool recording = tape->recording;
    size_t mark = lt_arena_mark(tape->step);
    tape->recording = false;
    lt_status status = embed_now(text, tape, count, prompts, into);
    tape->recording = recording;
    lt_arena_release(tape->step, mark);
    return status;
}

lt_status lt_text_embedding_var(const lt_text_embedding *from, lt_tape *tape, int count, lt_var **out,
                                lt_tensor *mask) {
    *mask = lt_slice(from->mask, 0, 0, count);
    return lt_tape_var(tape, lt_slice(from->value, 0, 0, count), false, out);
}
