#include "data/h5_tree.h"

#include <string.h>

/* "TREE", kind, level, entries (2 bytes), left and right neighbour (8 each); then key, child, key, child, ..., key. The
 * file format specification, III.A.1. Numbers are little-endian, as is every machine that this runs on. */
enum { HEAD = 24, NAMES = 0, CHUNKS = 1, NAME_CHILDREN = 32, CHUNK_CHILDREN = 64, MOST_LEVELS = 16 };

static uint64_t number_at(const uint8_t *at, size_t bytes) {
    uint64_t value = 0;
    memcpy(&value, at, bytes);
    return value;
}

/* 0 when a node of that size has no keys that we know: then HDF5 was told other sizes than it has by itself. */
static size_t key_bytes(int kind, size_t node_bytes) {
    size_t children = kind == NAMES ? NAME_CHILDREN : CHUNK_CHILDREN;
    if (node_bytes < HEAD + 8 * children) return 0;
    size_t keys = node_bytes - HEAD - 8 * children;
    return keys % (children + 1) == 0 ? keys / (children + 1) : 0;
}

static lt_status check_child(lt_jfile *file, uint64_t end, int64_t offset, uint64_t child, int kind,
                             int level) {
    uint8_t head[HEAD];
    LT_CHECK(child < end, LT_INPUT, "the tree node at byte %lld leads out of the file", (long long)offset);
    if (level == 0) return LT_OK;
    LT_TRY(lt_jfile_read(file, (int64_t)child, sizeof head, head));
    LT_CHECK(memcmp(head, "TREE", 4) == 0 && head[4] == kind && head[5] == level - 1, LT_INPUT,
             "the tree node at byte %lld leads to byte %lld, where there is no node of the level below",
             (long long)offset, (long long)child);
    return LT_OK;
}

lt_status lt_h5_tree_check(lt_jfile *file, int64_t base, int64_t end, int64_t offset, const uint8_t *node,
                           size_t bytes) {
    if (bytes < HEAD || memcmp(node, "TREE", 4) != 0)
        return LT_OK; /* HDF5 refuses it, or it is of another kind */
    int kind = node[4], level = node[5];
    LT_CHECK(kind <= CHUNKS && level <= MOST_LEVELS, LT_INPUT,
             "the tree node at byte %lld is of kind %d, level %d", (long long)offset, kind, level);
    size_t key = key_bytes(kind, bytes), entries = number_at(node + 6, 2);
    LT_CHECK(key > 0 && HEAD + entries * (key + 8) + key <= bytes, LT_INPUT,
             "the tree node at byte %lld has %zu entries in %zu bytes", (long long)offset, entries, bytes);
    for (size_t i = 0; i < entries; i++) {
        const uint8_t *at = node + HEAD + i * (key + 8);
        uint64_t child = (uint64_t)base + number_at(at + key, 8),
                 stored = kind == CHUNKS && level == 0 ? number_at(at, 4) : 0;
        LT_TRY(check_child(file, (uint64_t)end, offset, child, kind, level));
        LT_CHECK(stored <= (uint64_t)end - child, LT_INPUT,
                 "the tree node at byte %lld has a chunk of %llu bytes that the file cannot hold",
                 (long long)offset, (unsigned long long)stored);
    }
    return LT_OK;
}
