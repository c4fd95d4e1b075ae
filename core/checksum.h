/* A checksum of content: XXH64 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md), so that anyone can compute it too
 * (`xxhash.xxh64_intdigest(data, seed)` in Python).
 *
 * Each step is a bijection of the word that it takes in and of the state, so a change within one aligned word of 8
 * bytes is always seen. Any other change is missed with a chance of 2^-64. Zeros do not have the sum zero.
 */
#ifndef LT_CORE_CHECKSUM_H
#define LT_CORE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint64_t lt_checksum(const void *data, size_t bytes, uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
