/* A cache as a safetensors file: slots and tails as they are, entries as rows of integers, of reals and of the
 * policy's state. */
#include "core/safetensors.h"
#include "model/cache/cache_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT, ID, FIRST_ID, FIRST_FRAME, LAST_FRAME, BLOCK, TOKENS, MERGES, READS, INTEGERS };
enum { MOTION, READ_MASS, SCORE, FEATURES, REALS = FEATURES + LT_FEATURE_COUNT };
enum { COUNT, COMMITTED, BLOCK_TOKENS, LIST_FIELDS };
enum { SEED, HAS_TAIL, STATE_FIELDS };
enum { NUMBER, LEADER, SEQUENCE_FIELDS };
enum { SLOT_S, SLOT_Z, TAILS, INTEGER_ROWS, REAL_ROWS, LISTS, STATE, SEQUENCES, POLICY_STATE, PARTS };
#define FORMAT "longtake cache 1"

/* All of it in host memory; rows [layers * batch * capacity]. */
typedef struct image {
    lt_st_entry parts[PARTS];
    int64_t (*integers)[INTEGERS];
    double (*reals)[REALS];
    int64_t (*lists)[LIST_FIELDS];
    int64_t *state;
    int64_t (*sequences)[SEQUENCE_FIELDS];
    float *policy_state; /* [rows, state_size] */
    int count;           /* of parts: one fewer where the policy keeps nothing */
    lt_pool pool;
} image;

static lt_status add_part(image *im, int part, const char *name, lt_dtype dtype, int ndim,
                          const int64_t *shape) {
    lt_tensor t = lt_tensor_of(im, dtype, ndim, shape); /* its size first, its memory next */
    t.data = lt_pool_alloc(&im->pool, lt_nbytes(&t) + 1);
    im->parts[part] = (lt_st_entry){name, t};
    return t.data ? LT_OK : LT_FAILED;
}

static lt_status image_open(const lt_cache *cache, image *im) {
    const lt_cache_shape *s = &cache->shape;
    const struct {
        const char *name;
        const lt_tensor *like;
    } device[] = {{"slot_S", &cache->slot_S}, {"slot_z", &cache->slot_z}, {"tails", &cache->tails}};
    int64_t lists = (int64_t)s->layers * s->batch, rows = lists * s->capacity;
    memset(im, 0, sizeof *im);
    for (int i = SLOT_S; i <= TAILS; i++) {
        static const int64_t none[] = {0};
        bool absent = lt_is_empty(device[i].like);
        LT_TRY(add_part(im, i, device[i].name, absent ? s->dtype : device[i].like->dtype,
                        absent ? 1 : device[i].like->ndim, absent ? none : device[i].like->shape));
    }
    LT_TRY(add_part(im, INTEGER_ROWS, "entries", LT_I64, LT_DIMS(rows, INTEGERS)));
    LT_TRY(add_part(im, REAL_ROWS, "statistics", LT_F64, LT_DIMS(rows, REALS)));
    LT_TRY(add_part(im, LISTS, "lists", LT_I64, LT_DIMS(lists, LIST_FIELDS)));
    LT_TRY(add_part(im, STATE, "state", LT_I64, LT_DIMS(STATE_FIELDS)));
    LT_TRY(add_part(im, SEQUENCES, "sequences", LT_I64, LT_DIMS(s->batch, SEQUENCE_FIELDS)));
    im->count = cache->state_size > 0 ? PARTS : POLICY_STATE;
    if (cache->state_size > 0)
        LT_TRY(add_part(im, POLICY_STATE, "policy_state", LT_F32, LT_DIMS(rows, cache->state_size)));
    im->policy_state = im->parts[POLICY_STATE].tensor.data;
    im->integers = im->parts[INTEGER_ROWS].tensor.data;
    im->reals = im->parts[REAL_ROWS].tensor.data;
    im->lists = im->parts[LISTS].tensor.data;
    im->state = im->parts[STATE].tensor.data;
    im->sequences = im->parts[SEQUENCES].tensor.data;
    return LT_OK;
}

static void entry_to_rows(const lt_entry *e, int64_t *n, double *x) {
    n[SLOT] = e->slot, n[ID] = e->id, n[FIRST_ID] = e->first_id;
    n[FIRST_FRAME] = e->first_frame, n[LAST_FRAME] = e->last_frame, n[BLOCK] = e->block;
    n[TOKENS] = e->tokens, n[MERGES] = e->merges, n[READS] = e->reads;
    x[MOTION] = e->motion, x[READ_MASS] = e->read_mass, x[SCORE] = e->score;
    for (int f = 0; f < LT_FEATURE_COUNT; f++) x[FEATURES + f] = e->features[f];
}

static lt_entry entry_of_rows(const int64_t *n, const double *x) {
    lt_entry e = {.slot = (int)n[SLOT],
                  .id = n[ID],
                  .first_id = n[FIRST_ID],
                  .first_frame = n[FIRST_FRAME],
                  .last_frame = n[LAST_FRAME],
                  .block = n[BLOCK],
                  .tokens = (int)n[TOKENS],
                  .merges = (int)n[MERGES],
                  .reads = (int)n[READS],
                  .motion = (float)x[MOTION],
                  .read_mass = x[READ_MASS],
                  .score = (float)x[SCORE]};
    for (int f = 0; f < LT_FEATURE_COUNT; f++) e.features[f] = (float)x[FEATURES + f];
    return e;
}

/* The whole of a list's state: rows of entries that are gone are 0 or of no meaning. */
static void copy_list_state(const lt_cache *cache, const image *im, int list, bool back) {
    size_t values = (size_t)cache->shape.capacity * (size_t)cache->state_size;
    float *row = im->policy_state + (size_t)list * values, *own = cache->states + (size_t)list * values;
    memcpy(back ? own : row, back ? row : own, values * sizeof *own);
}

/* Entries without slots end with their forward: there is nothing of them to save. */
static void lists_to_rows(const lt_cache *cache, image *im) {
    int capacity = cache->shape.capacity;
    for (int i = 0; lt_cache_lasts(cache) && i < cache->shape.layers * cache->shape.batch; i++) {
        const lt_entries *list = &cache->lists[i];
        im->lists[i][COUNT] = list->count;
        im->lists[i][COMMITTED] = list->committed;
        im->lists[i][BLOCK_TOKENS] = list->block_tokens;
        for (int k = 0; k < list->count; k++)
            entry_to_rows(&list->items[k], im->integers[i * capacity + k], im->reals[i * capacity + k]);
        if (cache->state_size > 0) copy_list_state(cache, im, i, false);
    }
    im->state[SEED] = (int64_t)cache->seed;
    im->state[HAS_TAIL] = cache->has_tail;
    for (int b = 0; b < cache->shape.batch; b++) {
        im->sequences[b][NUMBER] = (int64_t)cache->sequence[b];
        im->sequences[b][LEADER] = cache->leader[b];
    }
}

static const lt_tensor *device_part(const lt_cache *cache, int part) {
    const lt_tensor *parts[] = {&cache->slot_S, &cache->slot_z, &cache->tails};
    return parts[part];
}

/* What must agree for a file to fit: a line per sequence. NULL, reported, when out of memory. */
static char *specs_text(const lt_cache *cache, lt_pool *pool) {
    size_t size = (size_t)cache->shape.batch * (LT_SPEC_TEXT + 32) + 1, used = 0;
    char *text = lt_pool_alloc(pool, size), one[LT_SPEC_TEXT];
    for (int b = 0; text && b < cache->shape.batch; b++) {
        const lt_cache_spec *spec = &cache->spec[b];
        used += (size_t)snprintf(text + used, size - used, "%s budget=%d\n",
                                 lt_cache_spec_text(spec, one, sizeof one), spec->budget);
    }
    return text;
}

static lt_status save_cache(const lt_cache *cache, lt_device *device, const char *path, image *im) {
    LT_TRY(image_open(cache, im));
    for (int i = 0; i < cache->shape.layers * cache->shape.batch; i++)
        LT_CHECK(!cache->lists[i].undecided, LT_FAILED, "%s: the cache is in the middle of a forward", path);
    for (int i = SLOT_S; i <= TAILS; i++) {
        const lt_tensor *t = device_part(cache, i);
        if (!lt_is_empty(t)) LT_TRY(lt_tensor_to_host(device, NULL, t, im->parts[i].tensor.data));
    }
    lists_to_rows(cache, im);
    const char *specs = specs_text(cache, &im->pool);
    if (!specs) return LT_FAILED;
    const char *const metadata[][2] = {{"format", FORMAT}, {"specs", specs}};
    return lt_st_write(path, im->parts, im->count, metadata, 2);
}

lt_status lt_cache_save(const lt_cache *cache, lt_device *device, const char *path) {
    image im;
    lt_status status = save_cache(cache, device, path, &im);
    lt_pool_free(&im.pool);
    return status;
}

static lt_status check_cache_metadata(const lt_cache *cache, const lt_st_file *file, const char *path,
                                      lt_pool *pool) {
    const char *format = lt_st_metadata(file, "format"), *specs = lt_st_metadata(file, "specs");
    LT_CHECK(format && strcmp(format, FORMAT) == 0, LT_INPUT,
             "%s: found \"%s\", expected a saved cache (\"%s\")", path, format ? format : "no format",
             FORMAT);
    const char *wanted = specs_text(cache, pool);
    if (!wanted) return LT_FAILED;
    LT_CHECK(specs && strcmp(specs, wanted) == 0, LT_INPUT,
             "%s: saved under other policies\nfound:\n%sexpected:\n%s", path, specs ? specs : "none\n",
             wanted);
    return LT_OK;
}

static lt_status read_parts(const lt_st_file *file, const char *path, image *im) {
    for (int i = 0; i < im->count; i++) {
        lt_st_entry *part = &im->parts[i];
        const lt_st_entry *found = lt_st_find(file, part->name);
        LT_CHECK(found, LT_INPUT, "%s: \"%s\" is missing", path, part->name);
        char a[128], b[128];
        LT_CHECK(found->tensor.dtype == part->tensor.dtype && lt_same_shape(&found->tensor, &part->tensor),
                 LT_INPUT, "%s: \"%s\" is %s, expected %s: saved from a cache of another shape", path,
                 part->name, lt_tensor_text(&found->tensor, a, sizeof a),
                 lt_tensor_text(&part->tensor, b, sizeof b));
        size_t bytes = lt_nbytes(&part->tensor);
        if (bytes) memcpy(part->tensor.data, found->tensor.data, bytes);
    }
    return LT_OK;
}

static bool entry_is_sound(const lt_cache *cache, const int64_t *n, const lt_entries *list) {
    bool sound = n[SLOT] >= 0 && n[SLOT] < cache->shape.slots && n[FIRST_ID] >= 0 && n[FIRST_ID] <= n[ID] &&
                 n[ID] < list->committed && n[TOKENS] > 0 && n[TOKENS] <= INT32_MAX && n[MERGES] >= 0 &&
                 n[MERGES] <= INT32_MAX && n[READS] >= 0 && n[READS] <= INT32_MAX;
    for (int i = 0; i < list->count; i++)
        sound = sound && n[SLOT] != list->items[i].slot && n[ID] > list->items[i].id;
    return sound;
}

static lt_status lists_of_rows(lt_cache *cache, const char *path, const image *im) {
    int capacity = cache->shape.capacity;
    for (int i = 0; i < cache->shape.layers * cache->shape.batch; i++) {
        lt_entries *list = &cache->lists[i];
        const int64_t *n = im->lists[i];
        LT_CHECK(n[COUNT] >= 0 && n[COUNT] <= cache->shape.slots && n[COMMITTED] >= n[COUNT] &&
                     n[BLOCK_TOKENS] >= (n[COUNT] > 0) && n[BLOCK_TOKENS] <= INT32_MAX,
                 LT_INPUT, "%s: list %d is not one: %lld entries of %lld", path, i, (long long)n[COUNT],
                 (long long)n[COMMITTED]);
        list->committed = n[COMMITTED];
        list->block_tokens = (int)n[BLOCK_TOKENS];
        for (int k = 0; k < n[COUNT]; k++) {
            const int64_t *row = im->integers[i * capacity + k];
            LT_CHECK(entry_is_sound(cache, row, list), LT_INPUT, "%s: entry %d of list %d is not one", path,
                     k, i);
            list->items[list->count++] = entry_of_rows(row, im->reals[i * capacity + k]);
        }
        if (cache->state_size > 0) copy_list_state(cache, im, i, true);
    }
    return LT_OK;
}

static lt_status load_cache(lt_cache *cache, lt_device *device, const lt_st_file *file, const char *path,
                            image *im) {
    LT_TRY(image_open(cache, im));
    LT_TRY(check_cache_metadata(cache, file, path, &im->pool));
    LT_TRY(read_parts(file, path, im));
    for (int b = 0; b < cache->shape.batch; b++)
        LT_CHECK(im->sequences[b][LEADER] >= 0 && im->sequences[b][LEADER] <= b, LT_INPUT,
                 "%s: sequence %d follows %lld", path, b, (long long)im->sequences[b][LEADER]);
    LT_TRY(lists_of_rows(cache, path, im));
    for (int i = SLOT_S; i <= TAILS; i++) {
        lt_tensor t = *device_part(cache, i);
        if (!lt_is_empty(&t)) LT_TRY(lt_tensor_from_host(device, NULL, &t, im->parts[i].tensor.data));
    }
    cache->seed = (uint64_t)im->state[SEED];
    cache->has_tail = im->state[HAS_TAIL] != 0;
    for (int b = 0; b < cache->shape.batch; b++) {
        cache->sequence[b] = (uint64_t)im->sequences[b][NUMBER];
        cache->leader[b] = (int)im->sequences[b][LEADER];
    }
    return LT_OK;
}

lt_status lt_cache_load(lt_cache *cache, lt_device *device, const char *path) {
    lt_st_file *file;
    image im = {0};
    lt_cache_reset(cache);
    LT_TRY(lt_cache_fit_state(cache));
    LT_TRY(lt_st_open(path, &file));
    lt_status status = load_cache(cache, device, file, path, &im);
    if (status != LT_OK) lt_cache_reset(cache);
    lt_st_close(file);
    lt_pool_free(&im.pool);
    return status;
}
