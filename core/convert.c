/* Scalar conversions between float32 and the narrow formats, exact to the bit on every machine. */
#include "core/tensor.h"

#include <string.h>

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* NaN is made quiet: rounding its payload could carry into infinity. */
uint16_t lt_f32_to_bf16(float value) {
    uint32_t bits = bits_of(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float lt_bf16_to_f32(uint16_t bits) { return float_of((uint32_t)bits << 16); }

uint16_t lt_f32_to_f16(float value) {
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFF;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
    if (magnitude >= 0x477FF000) return sign | 0x7C00; /* 65520 and up round to infinity */
    if (magnitude >= 0x38800000) {                     /* 2^-14, the smallest normal */
        uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
        return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
    }
    /* Numbers in [0.5, 1) lie 2^-24 apart, which is the spacing of half subnormals: the addition rounds. */
    return (uint16_t)(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3F000000));
}

float lt_f16_to_f32(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 0x1F, fraction = bits & 0x3FF;
    if (exponent == 0x1F) return float_of(sign | 0x7F800000 | fraction << 13);
    if (exponent == 0) return float_of(sign | bits_of((float)fraction * 0x1p-24f));
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

/* As lt_f32_to_f16, with other widths: normal from 2^-6, subnormals 2^-9 apart, the largest number 448. */
uint8_t lt_f32_to_e4m3(float value) {
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFF;
    uint8_t sign = (uint8_t)(bits >> 24 & 0x80);
    if (magnitude > 0x7F800000) return 0x7F;
    if (magnitude >= 0x43E00000) return sign | 0x7E;
    if (magnitude >= 0x3C800000) {
        uint32_t rounded = magnitude + 0x7FFFF + (magnitude >> 20 & 1);
        return (uint8_t)(sign | (rounded - 0x3C000000) >> 20);
    }
    /* Numbers in [2^14, 2^15) lie 2^-9 apart. */
    return (uint8_t)(sign | (bits_of(float_of(magnitude) + 0x1p14f) - 0x46800000));
}

float lt_e4m3_to_f32(uint8_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x80) << 24, exponent = bits >> 3 & 0xF, fraction = bits & 7;
    if ((bits & 0x7F) == 0x7F) return float_of(sign | 0x7FC00000);
    if (exponent == 0) return float_of(sign | bits_of((float)fraction * 0x1p-9f));
    return float_of(sign | (exponent + 120) << 23 | fraction << 20);
}
