#include "core/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t lt_checksum(const void *data, size_t bytes, uint64_t seed) { return XXH64(data, bytes, seed); }
