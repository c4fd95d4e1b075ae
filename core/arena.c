#include "core/arena.h"

#include "core/cli.h"
#include <stdlib.h>
#include <string.h>

lt_status lt_arena_init(lt_arena *arena, lt_device *device, size_t capacity, const char *role) {
    *arena = (lt_arena){.device = device, .role = role};
    bool counts_only = lt_device_is_null(device);
    void *base;
    lt_status status = lt_device_allocate(device, counts_only ? 0 : capacity, &base);
    if (status != LT_OK) return lt_fail_in(status, "memory for %s", role);
    arena->base = base;
    arena->capacity = counts_only ? SIZE_MAX : capacity;
    return LT_OK;
}

void lt_arena_free(lt_arena *arena) {
    if (!arena->base) return;
    lt_device_release(arena->device, arena->base, lt_device_is_null(arena->device) ? 0 : arena->capacity);
    *arena = (lt_arena){0};
}

static lt_status arena_full(const lt_arena *arena, size_t bytes) {
    char asked[32], left[32], capacity[32];
    return lt_fail(LT_FAILED, "memory for %s: asked for %s (%zu bytes), %s left of %s", arena->role,
                   lt_format_bytes(bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes, asked), bytes,
                   lt_format_bytes((int64_t)(arena->capacity - arena->used - arena->far), left),
                   lt_format_bytes((int64_t)arena->capacity, capacity));
}

static size_t rounded_up(size_t bytes) {
    return (bytes + LT_ARENA_ALIGN - 1) / LT_ARENA_ALIGN * LT_ARENA_ALIGN;
}

static lt_status check_request(const lt_arena *arena, size_t bytes) {
    LT_CHECK(arena->base, LT_FAILED, "allocation of %zu bytes from an arena that was not initialised", bytes);
    LT_CHECK(bytes <= (size_t)INT64_MAX - LT_ARENA_ALIGN, LT_FAILED, "memory for %s: %zu bytes is not a size",
             arena->role, bytes);
    return LT_OK;
}

/* Both ends have grown; `block` is new. */
static lt_status taken(lt_arena *arena, void *block, size_t bytes, void **out) {
    if (arena->used + arena->far > arena->peak) arena->peak = arena->used + arena->far;
    if (arena->poison) LT_TRY(lt_device_fill(arena->device, NULL, block, 0xFF, bytes));
    *out = block;
    return LT_OK;
}

/* Sizes are rounded up, so `used`, and with it every block, stays aligned. */
lt_status lt_arena_alloc(lt_arena *arena, size_t bytes, void **out) {
    *out = NULL;
    LT_TRY(check_request(arena, bytes));
    size_t rounded = rounded_up(bytes), left = arena->capacity - arena->used - arena->far;
    if (bytes > left) return arena_full(arena, bytes);
    if (rounded > left)
        rounded = left; /* the last block of a slab whose size is no multiple of the alignment */
    void *block = arena->base + arena->used;
    arena->used += rounded;
    return taken(arena, block, rounded, out);
}

/* Where the far end is: a multiple of the alignment, and on a null device, which has no end, within the arena's
 * addresses. */
static size_t far_end(const lt_arena *arena) {
    const size_t planned = (size_t)1 << 43;
    size_t end = arena->capacity < planned ? arena->capacity : planned;
    return end / LT_ARENA_ALIGN * LT_ARENA_ALIGN;
}

lt_status lt_arena_alloc_far(lt_arena *arena, size_t bytes, void **out) {
    *out = NULL;
    LT_TRY(check_request(arena, bytes));
    size_t rounded = rounded_up(bytes), end = far_end(arena);
    if (end < arena->used + arena->far || rounded > end - arena->used - arena->far)
        return arena_full(arena, bytes);
    arena->far += rounded;
    return taken(arena, arena->base + (end - arena->far), rounded, out);
}

lt_status lt_arena_set_far(lt_arena *arena, size_t far) {
    size_t end = far_end(arena);
    if (far > arena->far && (end < arena->used || far > end - arena->used)) return arena_full(arena, far);
    arena->far = far;
    if (arena->used + far > arena->peak) arena->peak = arena->used + far;
    return LT_OK;
}

struct lt_pool_chunk {
    struct lt_pool_chunk *next;
    size_t size, used;
    size_t written; /* bytes from here on are as calloc gave them: zero, and no memory of the machine's yet */
    _Alignas(16) char data[];
};

enum { POOL_ALIGN = 16, FIRST_CHUNK = 4096 };

/* Chunks at least double what is held, so there are few of them to look through. */
static struct lt_pool_chunk *pool_grow(lt_pool *pool, size_t bytes) {
    size_t size = pool->bytes > FIRST_CHUNK ? pool->bytes : FIRST_CHUNK;
    if (size < bytes) size = bytes;
    struct lt_pool_chunk *chunk = calloc(1, sizeof *chunk + size);
    if (!chunk) return NULL;
    chunk->next = pool->chunks, chunk->size = size;
    pool->chunks = chunk;
    pool->bytes += sizeof *chunk + size;
    return chunk;
}

void *lt_pool_alloc(lt_pool *pool, size_t bytes) {
    struct lt_pool_chunk *chunk = NULL;
    if (bytes <= PTRDIFF_MAX / 2) {
        bytes = bytes ? (bytes + POOL_ALIGN - 1) / POOL_ALIGN * POOL_ALIGN : POOL_ALIGN;
        for (chunk = pool->chunks; chunk && chunk->size - chunk->used < bytes; chunk = chunk->next) continue;
        if (!chunk) chunk = pool_grow(pool, bytes);
    }
    if (!chunk) {
        lt_fail(LT_FAILED, "out of host memory: asked for %zu bytes beside %zu held", bytes, pool->bytes);
        return NULL;
    }
    void *block = chunk->data + chunk->used;
    if (chunk->written > chunk->used)
        memset(block, 0, chunk->written - chunk->used < bytes ? chunk->written - chunk->used : bytes);
    chunk->used += bytes;
    if (chunk->used > chunk->written) chunk->written = chunk->used;
    return block;
}

char *lt_pool_strdup(lt_pool *pool, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = lt_pool_alloc(pool, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

void lt_pool_reset(lt_pool *pool) {
    for (struct lt_pool_chunk *chunk = pool->chunks; chunk; chunk = chunk->next) chunk->used = 0;
}

void lt_pool_free(lt_pool *pool) {
    while (pool->chunks) {
        struct lt_pool_chunk *next = pool->chunks->next;
        free(pool->chunks);
        pool->chunks = next;
    }
    pool->bytes = 0;
}
