/* Finds clips by what they share, in constant time: their group, or their source (both hashes). Private to
 * data/dataset*.c.
 */
#ifndef LT_DATA_CLIP_INDEX_H
#define LT_DATA_CLIP_INDEX_H

#include "data/clip.h"

typedef enum lt_clip_key { LT_BY_GROUP, LT_BY_SOURCE } lt_clip_key;

/* Open addressing; a slot holds a clip's number + 1, the first clip of its kind. Starts as {0}. */
typedef struct lt_clip_index {
    int64_t *slots;
    int64_t capacity, used;
} lt_clip_index;

/* Adds clips[at], unless one of its kind is in. */
lt_status lt_clip_index_add(lt_clip_index *index, lt_clip_key key, const lt_clip *clips, int64_t at);
/* The number of the first clip that agrees with `like` in the key, or -1. */
int64_t lt_clip_index_find(const lt_clip_index *index, lt_clip_key key, const lt_clip *clips,
                           const lt_clip *like);
void lt_clip_index_free(lt_clip_index *index);

#endif
