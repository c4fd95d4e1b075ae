/* Stateless random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). A value is a pure function of the seed and of what it is for, so no generator state is
 * ever saved and two runs that differ in their eviction policy still see the same clips, noise and times.
 *
 * Two calls of the bijection per value. The first turns what a stream is for into a key and a salt (it is
 * made once for many values), the second makes four words; `group` is index / 4 for words and normals, index
 * / 2 for uniforms:
 *
 *     (d0, d1, d2, d3) = philox(counter = (clip low, clip high, purpose, kind | block[24..31] << 8), key =
 * seed) four words       = philox(counter = (group[0..31], group[32..39] | block[0..23] << 8, step, d2), key
 * = (d0, d1))
 *
 * Within one (seed, purpose, clip) no two (block, step, index) share words, as long as index < 2^41. Two
 * different (seed, purpose, clip) share them only when 96 bits of the first call agree by chance: about 2^-96
 * per pair of clips. `kind` (0 words, 1 uniforms and bounded integers, 2 normals) keeps the values of one key
 * apart, whatever is drawn.
 *
 * Normals are bit-equal wherever they are computed: Box-Muller in float64 with our own logarithm and cosine,
 * built from +, -, *, / , sqrt and explicit fma only, which IEEE 754 rounds the same way on every backend,
 * then rounded once to float32 (core/rng_math.h, which CUDA shares). Radius and angle have 32 bits each:
 * |normal| < 6.77.
 */
#ifndef LT_CORE_RNG_H
#define LT_CORE_RNG_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One row per use of randomness: two uses never share a stream. Append only; the numbers are part of the
 * format. */
typedef enum lt_purpose {
    LT_RNG_INIT = 1,    /* parameter initialisation; clip = hash of the parameter's name */
    LT_RNG_NOISE = 2,   /* noise added to latents in training and evaluation */
    LT_RNG_TIME = 3,    /* diffusion times */
    LT_RNG_SHUFFLE = 4, /* clip order */
    LT_RNG_CROP = 5,    /* first frame of a training window */
    LT_RNG_POLICY = 6,  /* policy and budget drawn per clip in training */
    LT_RNG_EVICT = 7,   /* the random policies */
    LT_RNG_CAPTION = 8, /* caption dropping */
    LT_RNG_SCENE = 9,   /* the scene generator */
    LT_RNG_SAMPLE = 10, /* initial noise of generated video */
    LT_RNG_BOOTSTRAP = 11,
    LT_RNG_TEST = 100
} lt_purpose;

typedef struct lt_rng_key {
    uint64_t seed;
    uint32_t purpose; /* lt_purpose */
    uint64_t clip;    /* which sequence */
    uint32_t block;   /* which block of it */
    uint32_t step;    /* training step, noise draw, ... */
} lt_rng_key;

/* The raw Philox4x32-10 bijection: matches the published known-answer vectors. */
void lt_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The index-th value of the stream `key` names. Integers below a bound take the high half of 64 bits x bound,
 * so no value's probability is off by more than 2^-64. */
uint32_t lt_rng_u32(const lt_rng_key *key, uint64_t index);
double lt_rng_uniform(const lt_rng_key *key, uint64_t index);               /* [0, 1), 53 bits */
int64_t lt_rng_below(const lt_rng_key *key, uint64_t index, int64_t bound); /* [0, bound), 0 for bound <= 0 */
float lt_rng_normal(const lt_rng_key *key, uint64_t index);

/* out[i] = the (first + i)-th normal; threads share the work, the result does not depend on how many. */
void lt_rng_fill_normal(const lt_rng_key *key, uint64_t first, int64_t count, float *out);

/* A permutation of 0..count-1 (Fisher-Yates on lt_rng_below). */
void lt_rng_permutation(const lt_rng_key *key, int64_t count, int64_t *out);

/* 64-bit FNV-1a, for names and content hashes that need no cryptography. */
uint64_t lt_hash(const void *data, size_t bytes, uint64_t seed);
/* As everything that names one writes it: 16 hexadecimal digits. Returns `text`. */
enum { LT_HASH_TEXT = 17 };
char *lt_hash_text(uint64_t hash, char text[LT_HASH_TEXT]);
#define LT_HASH_SEED 0xcbf29ce484222325ull

#ifdef __cplusplus
}
#endif
#endif
