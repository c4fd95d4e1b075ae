#include "core/checksum.h"
#include "core/rng.h"
#include "tests/harness.h"

/* What the reference implementation gives (Python package xxhash). */
static void it_is_xxh64(void) {
    uint8_t bytes[100], zeros[768] = {0};
    for (int i = 0; i < 100; i++) bytes[i] = (uint8_t)i;
    CHECK(lt_checksum("", 0, 0) == 0xef46db3751d8e999u && lt_checksum("", 0, 1) == 0xd5afba1336a3be4bu);
    CHECK(lt_checksum("a", 1, 1) == 0xdec2bc81c3cd46c6u);
    CHECK(lt_checksum("abc", 3, 0) == 0x44bc2cf5ad770999u &&
          lt_checksum("abc", 3, 12345678901) == 0x27c37b0a1c089487u);
    CHECK(lt_checksum(bytes, 31, 12345678901) == 0x4eff1c3e4ec4c99au);
    CHECK(lt_checksum(bytes, 32, 0) == 0xcbf59c5116ff32b4u &&
          lt_checksum(bytes, 32, 1) == 0xd74e6766ce9dba94u);
    CHECK(lt_checksum(bytes, 100, 0) == 0x6ac1e58032166597u);
    CHECK(lt_checksum(zeros, 768, 0) == 0x685174094863a9e2u);
}

/* Every bit, every byte set to every value, every 16-bit word between 0x0000 and 0xFFFF. */
static void a_change_within_a_word_is_always_seen(void) {
    uint8_t bytes[75], changed[75];
    lt_rng_key key = {.seed = 3, .purpose = LT_RNG_TEST};
    for (int i = 0; i < 75; i++) bytes[i] = (uint8_t)lt_rng_below(&key, (uint64_t)i, 256);
    uint64_t sum = lt_checksum(bytes, sizeof bytes, 7);
    int missed = 0;
    for (int i = 0; i < 75; i++)
        for (int value = 0; value < 256; value++) {
            memcpy(changed, bytes, sizeof bytes);
            changed[i] = (uint8_t)value;
            missed += value != bytes[i] && lt_checksum(changed, sizeof changed, 7) == sum;
        }
    CHECK(missed == 0);
}

/* What Fletcher32 does not see, and what a disk does: zeros, words of ones for words of zeros, rows in one another's
 * place. */
static void damage_of_whole_blocks_is_seen(void) {
    enum { BYTES = 4096 };
    static uint8_t black[BYTES], white[BYTES];
    memset(white, 0xFF, sizeof white);
    CHECK(lt_checksum(black, BYTES, 5) != 0 && lt_checksum(black, BYTES, 5) != lt_checksum(white, BYTES, 5));
    CHECK(lt_checksum(black, BYTES, 5) != lt_checksum(black, BYTES, 6));
    uint64_t sum = lt_checksum(black, BYTES, 0);
    int missed = 0;
    for (int first = 0; first < BYTES; first += 2)
        for (int words = 1; words <= 8 && first + 2 * words <= BYTES; words++) {
            memset(black + first, 0xFF, (size_t)(2 * words));
            missed += lt_checksum(black, BYTES, 0) == sum;
            memset(black + first, 0, (size_t)(2 * words));
        }
    CHECK(missed == 0);
}

int main(int argc, char **argv) {
    RUN(it_is_xxh64);
    RUN(a_change_within_a_word_is_always_seen);
    RUN(damage_of_whole_blocks_is_seen);
    return test_end();
}
