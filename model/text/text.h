/* Text encoders: a prompt -> embeddings [length, width] and a mask, which the transformer's cross-attention reads.
 *
 *     with a model's other parameters:
 *     LT_TRY(lt_text_declare(&text, "bytes", length, width, &params));
 *
 *     training, part of the graph, once per forward:
 *     LT_TRY(lt_text_encode(&text, tape, count, prompts, &out, &mask));
 *
 *     elsewhere, encoded once and read by every forward after:
 *     LT_TRY(lt_text_embedding_new(&text, ctx, arena, count, &embedding));
 *     LT_TRY(lt_text_embed(&text, tape, count, prompts, &embedding));
 *     LT_TRY(lt_text_embedding_var(&embedding, tape, count, &out, &mask));
 *
 * Both ways give the same bits. An encoder is a row of the table in model/text/text.c: a name, its parameters, how it
 * cuts a prompt into tokens, and how tokens become embeddings. `model.text_encoder` names it; `bytes` is the first.
 */
#ifndef LT_MODEL_TEXT_TEXT_H
#define LT_MODEL_TEXT_TEXT_H

#include "autograd/ops.h"
#include "model/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_text_encoder lt_text_encoder;

/* A row of the table. */
typedef struct lt_text_kind {
    const char *name;
    const char *summary;
    /* Declares and publishes its parameters, "text_encoder.*", and sets text->parameter. */
    lt_status (*declare)(lt_text_encoder *text, lt_params *params);
    /* ids[length], mask[length] (1 = visible) of one prompt; visible tokens come first, and there is at least one. */
    void (*tokenise)(const lt_text_encoder *text, const char *prompt, int32_t *ids, float *mask);
    /* out [count, length, width] of ids [count * length] on the tape's device. */
    lt_status (*encode)(const lt_text_encoder *text, lt_tape *tape, int count, lt_tensor ids, lt_var **out);
} lt_text_kind;

enum { LT_TEXT_PARAMETERS = 2 };

struct lt_text_encoder {
    const lt_text_kind *kind;
    int length, width;                     /* tokens, channels */
    lt_var *parameter[LT_TEXT_PARAMETERS]; /* the kind's, the model's memory; NULL beyond its last */
};

/* The encoder of that name, or NULL with a message that lists the names; all in order, NULL past the end. */
const lt_text_kind *lt_text_find(const char *name);
const lt_text_kind *lt_text_at(int index);

/* LT_USAGE for an unknown kind or a size below 1. */
lt_status lt_text_declare(lt_text_encoder *text, const char *kind, int length, int width, lt_params *params);

/* What it is: name, size of an embedding, and bytes of its parameters. */
typedef struct lt_text_description {
    const char *name;
    int length, width;
    int64_t parameter_bytes;
} lt_text_description;
lt_text_description lt_text_describe(const lt_text_encoder *text);

/* Tokens of one prompt; NULL counts as "". */
void lt_text_tokens(const lt_text_encoder *text, const char *prompt, int32_t *ids, float *mask);

/* Embeds `count` prompts (NULL: all empty) on the tape, which may record: out [count, length, width], mask [count,
 * length] in the dtype of sums. */
lt_status lt_text_encode(const lt_text_encoder *text, lt_tape *tape, int count, const char *const *prompts,
                         lt_var **out, lt_tensor *mask);

/* Embeddings that outlive a step of the tape. */
typedef struct lt_text_embedding {
    lt_tensor value; /* [count, length, width], dtype of sums */
    lt_tensor mask;  /* [count, length] */
} lt_text_embedding;
/* Reserves memory for `count` prompts; contents are undefined until lt_text_embed. */
lt_status lt_text_embedding_new(const lt_text_encoder *text, const lt_ctx *ctx, lt_arena *arena, int count,
                                lt_text_embedding *out);
/* Encodes up to that many prompts under no-grad; the tape's step arena is as before on return. */
lt_status lt_text_embed(const lt_text_encoder *text, lt_tape *tape, int count, const char *const *prompts,
                        lt_text_embedding *into);
/* The first `count` of them for a forward; they need no gradient. */
lt_status lt_text_embedding_var(const lt_text_embedding *from, lt_tape *tape, int count, lt_var **out,
                                lt_tensor *mask);

#ifdef __cplusplus
}
#endif
#endif
