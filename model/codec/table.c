/* The table of codecs. Nothing else is in this file, so that a test program can bring a table of its own. */
#include "model/codec/codec.h"

#define LT_CODEC(variable) extern const lt_codec variable;
#include "model/codec/codecs.def"
#undef LT_CODEC

const lt_codec *const lt_codec_table[] = {
#define LT_CODEC(variable) &variable,
#include "model/codec/codecs.def"
#undef LT_CODEC
    NULL};
