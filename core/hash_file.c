#include "core/io.h"
#include "core/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lt_status hash_stream(FILE *file, const char *path, uint64_t *out) {
    enum { PIECE = 1 << 18 };
    char *piece = malloc(PIECE);
    uint64_t hash = LT_HASH_SEED;
    LT_CHECK(piece, LT_FAILED, "%s: out of memory", path);
    for (size_t got; (got = fread(piece, 1, PIECE, file)) > 0;) hash = lt_hash(piece, got, hash);
    int reason = ferror(file) ? errno : 0;
    free(piece);
    LT_CHECK(!reason, LT_INPUT, "%s: cannot read: %s", path, strerror(reason));
    *out = hash;
    return LT_OK;
}

lt_status lt_hash_file(const char *path, uint64_t *out) {
    FILE *file = fopen(path, "rbe");
    LT_CHECK(file, LT_INPUT, "%s: cannot open: %s", path, strerror(errno));
    lt_status status = hash_stream(file, path, out);
    fclose(file);
    return status;
}
