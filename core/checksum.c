#include "core/checksum.h"

#include <string.h>

static const uint64_t P1 = 0x9E3779B185EBCA87u, P2 = 0xC2B2AE3D27D4EB4Fu, P3 = 0x165667B19E3779F9u,
                      P4 = 0x85EBCA77C2B2AE63u, P5 = 0x27D4EB2F165667C5u;

static inline uint64_t rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

static inline uint64_t word(const unsigned char *at) {
    uint64_t x;
    memcpy(&x, at, sizeof x);
    return x;
}

static inline uint64_t take(uint64_t lane, uint64_t x) { return rotate(lane + x * P2, 31) * P1; }

static inline uint64_t merge(uint64_t hash, uint64_t lane) { return (hash ^ take(0, lane)) * P1 + P4; }

/* Fewer than 32 bytes. */
static uint64_t finish(uint64_t hash, const unsigned char *at, size_t left) {
    for (; left >= 8; at += 8, left -= 8) hash = rotate(hash ^ take(0, word(at)), 27) * P1 + P4;
    if (left >= 4) {
        uint32_t half;
        memcpy(&half, at, sizeof half);
        hash = rotate(hash ^ half * P1, 23) * P2 + P3;
        at += 4, left -= 4;
    }
    for (; left > 0; at++, left--) hash = rotate(hash ^ *at * P5, 11) * P1;
    hash = (hash ^ hash >> 33) * P2;
    hash = (hash ^ hash >> 29) * P3;
    return hash ^ hash >> 32;
}

uint64_t lt_checksum(const void *data, size_t bytes, uint64_t seed) {
    const unsigned char *at = data, *end = at + bytes;
    uint64_t hash = seed + P5;
    if (bytes >= 32) {
        uint64_t a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
        for (; end - at >= 32; at += 32)
            a = take(a, word(at)), b = take(b, word(at + 8)), c = take(c, word(at + 16)),
            d = take(d, word(at + 24));
        hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
        hash = merge(merge(merge(merge(hash, a), b), c), d);
    }
    return finish(hash + bytes, at, (size_t)(end - at));
}
