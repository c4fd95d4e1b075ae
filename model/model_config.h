/* What the keys "model.*" say. Private to model/. */
#ifndef LT_MODEL_MODEL_CONFIG_H
#define LT_MODEL_MODEL_CONFIG_H

#include "core/config.h"
#include "model/codec/codec.h"
#include "model/dit/dit.h"

/* An architecture: all that a model of the same shape needs. */
typedef struct lt_model_spec {
    lt_dit_config dit;
    const lt_codec *codec;
    int frame_height, frame_width; /* pixels */
    const char *text_encoder;      /* name, static */
    int text_length;               /* tokens */
    lt_dtype dtype;                /* of lt_ctx: set by lt_model_open, no key */
    bool e4m3;                     /* of lt_params: the same */
} lt_model_spec;

/* LT_USAGE names the key that does not fit the others. */
lt_status lt_model_spec_read(const lt_config *config, lt_model_spec *out);

#endif
