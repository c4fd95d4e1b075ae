/* Stack allocator over one slab of device memory. There are four lifetimes (model, run, step, scratch), one arena
 * each; tensors are views and never own. On the null device an arena has no slab and only counts.
 *
 *     size_t mark = lt_arena_mark(arena);
 *     ... allocate, compute ...
 *     lt_arena_release(arena, mark);          everything since the mark is gone
 *
 * A second stack grows from the far end towards the first: for what comes and goes while the first one grows.
 */
#ifndef LT_CORE_ARENA_H
#define LT_CORE_ARENA_H

#include "core/device.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LT_ARENA_ALIGN 256

typedef struct lt_arena {
    lt_device *device;
    const char *role; /* "weights", "step", ...: named in errors and in memory reports; static string */
    char *base;
    size_t capacity; /* bytes of the slab; SIZE_MAX while planning */
    size_t used;
    size_t far;  /* bytes of the stack at the far end */
    size_t peak; /* high-water mark of both since init or lt_arena_reset_peak */
    bool poison; /* fill every new block with 0xFF (a NaN in every float type): tests switch it on */
} lt_arena;

/* Takes one slab of `capacity` bytes from the device. On a null device `capacity` is ignored. */
lt_status lt_arena_init(lt_arena *arena, lt_device *device, size_t capacity, const char *role);
void lt_arena_free(lt_arena *arena);

/* `bytes` of uninitialised memory, aligned to LT_ARENA_ALIGN; LT_FAILED names the role, what was asked, what is
 * left. */
lt_status lt_arena_alloc(lt_arena *arena, size_t bytes, void **out);
/* The same from the far end. */
lt_status lt_arena_alloc_far(lt_arena *arena, size_t bytes, void **out);
/* Makes the stack at the far end `far` bytes high: lower, or as high as it was before, when the same addresses hold
 * it again. LT_FAILED where the near end has grown into it. */
lt_status lt_arena_set_far(lt_arena *arena, size_t far);

static inline size_t lt_arena_mark(const lt_arena *arena) { return arena->used; }
static inline void lt_arena_release(lt_arena *arena, size_t mark) { arena->used = mark; }
static inline void lt_arena_reset_peak(lt_arena *arena) { arena->peak = arena->used + arena->far; }

/* Host memory with one owner and many small allocations (names, tables, tape nodes): chunks that grow, freed at
 * once. */
typedef struct lt_pool {
    struct lt_pool_chunk *chunks;
    size_t bytes; /* total taken from the system */
} lt_pool;

/* Zeroed memory, aligned to 16 bytes, from `pool` (start with {0}); NULL with lt_error() set when out of memory. */
void *lt_pool_alloc(lt_pool *pool, size_t bytes);
/* A copy of `text` in such memory. */
char *lt_pool_strdup(lt_pool *pool, const char *text);
/* Forgets all allocations but keeps the chunks: the per-step host memory. */
void lt_pool_reset(lt_pool *pool);
void lt_pool_free(lt_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
