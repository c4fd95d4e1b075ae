#include "core/rng.h"
#include "core/rng_math.h"
#include <inttypes.h>
#include <stdio.h>

void lt_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    lt_words words = {{counter[0], counter[1], counter[2], counter[3]}};
    words = lt_philox_words(words, key[0], key[1]);
    memcpy(out, words.w, sizeof words.w);
}

uint32_t lt_rng_u32(const lt_rng_key *key, uint64_t index) {
    lt_rng_stream stream = lt_rng_open(key, LT_RNG_WORDS);
    return lt_rng_words(&stream, index / 4).w[index % 4];
}

/* 64 bits, two values to a group. */
static uint64_t pair_at(const lt_rng_key *key, uint64_t index) {
    lt_rng_stream stream = lt_rng_open(key, LT_RNG_PAIRS);
    lt_words words = lt_rng_words(&stream, index / 2);
    int at = (int)(index % 2) * 2;
    return (uint64_t)words.w[at + 1] << 32 | words.w[at];
}

double lt_rng_uniform(const lt_rng_key *key, uint64_t index) {
    return (double)(pair_at(key, index) >> 11) * 0x1p-53;
}

int64_t lt_rng_below(const lt_rng_key *key, uint64_t index, int64_t bound) {
    if (bound <= 0) return 0;
    return (int64_t)((unsigned __int128)pair_at(key, index) * (uint64_t)bound >> 64);
}

float lt_rng_normal(const lt_rng_key *key, uint64_t index) {
    lt_rng_stream stream = lt_rng_open(key, LT_RNG_NORMALS);
    float four[4];
    lt_normals4(&stream, index / 4, four);
    return four[index % 4];
}

/* LANES groups at once, in stages over short arrays: the form in which the compiler vectorises every stage.
 */
enum { LANES = 64, BATCH = 4 * LANES };

static void normal_batch(const lt_rng_stream *stream, uint64_t group, float *restrict out) {
    uint32_t words[4][LANES];
    float normals[4][LANES];
    for (int lane = 0; lane < LANES; lane++) {
        lt_words four = lt_rng_words(stream, group + (uint64_t)lane);
        for (int i = 0; i < 4; i++) words[i][lane] = four.w[i];
    }
    for (int lane = 0; lane < LANES; lane++)
        lt_box_muller(words[0][lane], words[1][lane], &normals[0][lane], &normals[1][lane]);
    for (int lane = 0; lane < LANES; lane++)
        lt_box_muller(words[2][lane], words[3][lane], &normals[2][lane], &normals[3][lane]);
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < 4; i++) out[4 * lane + i] = normals[i][lane];
}

/* The whole batch, of which out takes `count` normals from `skip` on. */
static void partial_batch(const lt_rng_stream *stream, uint64_t group, int64_t skip, int64_t count,
                          float *out) {
    float all[BATCH];
    normal_batch(stream, group, all);
    memcpy(out, all + skip, (size_t)count * sizeof *out);
}

void lt_rng_fill_normal(const lt_rng_key *key, uint64_t first, int64_t count, float *out) {
    const lt_rng_stream stream = lt_rng_open(key, LT_RNG_NORMALS);
    const uint64_t group = first / 4;
    const int64_t skip = (int64_t)(first % 4), end = skip + count;
    const int64_t batches = (end + BATCH - 1) / BATCH;
#pragma omp parallel for schedule(static) if (batches > 32)
    for (int64_t batch = 0; batch < batches; batch++) {
        int64_t from = batch * BATCH, to = from + BATCH < end ? from + BATCH : end;
        int64_t hidden = batch == 0 ? skip : 0;
        float *at = out + from + hidden - skip;
        uint64_t at_group = group + (uint64_t)batch * LANES;
        if (to - from == BATCH && !hidden) normal_batch(&stream, at_group, at);
        else partial_batch(&stream, at_group, hidden, to - from - hidden, at);
    }
}

void lt_rng_permutation(const lt_rng_key *key, int64_t count, int64_t *out) {
    for (int64_t i = 0; i < count; i++) out[i] = i;
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = lt_rng_below(key, (uint64_t)i, i + 1), kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}

uint64_t lt_hash(const void *data, size_t bytes, uint64_t seed) {
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++) seed = (seed ^ at[i]) * 0x100000001b3ull;
    return seed;
}

char *lt_hash_text(uint64_t hash, char text[LT_HASH_TEXT]) {
    snprintf(text, LT_HASH_TEXT, "%016" PRIx64, hash);
    return text;
}
