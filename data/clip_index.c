#include "data/clip_index.h"
#include "core/rng.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash_of(lt_clip_key key, const lt_clip *clip) {
    if (key == LT_BY_GROUP) return lt_hash(clip->group, strlen(clip->group), LT_HASH_SEED);
    return lt_hash(&clip->recipe_hash, sizeof clip->recipe_hash, clip->content_hash);
}

static bool agree(lt_clip_key key, const lt_clip *a, const lt_clip *b) {
    if (key == LT_BY_GROUP) return strcmp(a->group, b->group) == 0;
    return a->content_hash == b->content_hash && a->recipe_hash == b->recipe_hash;
}

/* The slot of a clip of this kind, or the free one where it belongs. */
static int64_t *slot_of(const lt_clip_index *index, lt_clip_key key, const lt_clip *clips,
                        const lt_clip *like) {
    uint64_t mask = (uint64_t)index->capacity - 1, at = hash_of(key, like);
    at ^= at >> 32; /* FNV's low bits depend on few of the input's */
    for (;; at++) {
        int64_t *slot = &index->slots[at & mask];
        if (*slot == 0 || agree(key, &clips[*slot - 1], like)) return slot;
    }
}

/* At most half of the slots are in use. */
static lt_status grow_clip_index(lt_clip_index *index, lt_clip_key key, const lt_clip *clips) {
    lt_clip_index wider = {.capacity = index->capacity ? 2 * index->capacity : 64, .used = index->used};
    wider.slots = calloc((size_t)wider.capacity, sizeof *wider.slots);
    LT_CHECK(wider.slots, LT_FAILED, "no memory for an index of %lld clips", (long long)wider.capacity);
    for (int64_t i = 0; i < index->capacity; i++)
        if (index->slots[i]) *slot_of(&wider, key, clips, &clips[index->slots[i] - 1]) = index->slots[i];
    free(index->slots);
    *index = wider;
    return LT_OK;
}

lt_status lt_clip_index_add(lt_clip_index *index, lt_clip_key key, const lt_clip *clips, int64_t at) {
    if (2 * (index->used + 1) > index->capacity) LT_TRY(grow_clip_index(index, key, clips));
    int64_t *slot = slot_of(index, key, clips, &clips[at]);
    if (*slot) return LT_OK;
    *slot = at + 1;
    index->used++;
    return LT_OK;
}

int64_t lt_clip_index_find(const lt_clip_index *index, lt_clip_key key, const lt_clip *clips,
                           const lt_clip *like) {
    return index->capacity ? *slot_of(index, key, clips, like) - 1 : -1;
}

void lt_clip_index_free(lt_clip_index *index) {
    free(index->slots);
    memset(index, 0, sizeof *index);
}
