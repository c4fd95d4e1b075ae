/* A video stream that goes on later, in another process. A folder holds the cache under a name of its own and
 * stream.json, which names it and is replaced last: an interrupted save leaves what was saved before. */
#include "core/io.h"
#include "core/json.h"
#include "infer/stream_impl.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char index_name[] = "stream.json", cache_prefix[] = "cache-";

/* Removes caches that the index does not name. */
static void clean(const char *folder, const char *keep) {
    char **names, path[LT_PATH_MAX];
    int count;
    if (lt_list_dir(folder, &names, &count) != LT_OK) return;
    for (int i = 0; i < count; i++)
        if (strncmp(names[i], cache_prefix, strlen(cache_prefix)) == 0 && strcmp(names[i], keep) != 0 &&
            lt_path_join(path, folder, names[i]) == LT_OK)
            remove(path);
    lt_list_free(names, count);
}

lt_status lt_video_stream_save(lt_video_stream *s, const char *folder) {
    char path[LT_PATH_MAX], name[64], text[160];
    LT_TRY(lt_make_dirs(folder));
    snprintf(name, sizeof name, "%s%" PRId64 ".safetensors", cache_prefix, s->position);
    LT_TRY(lt_path_join(path, folder, name));
    LT_TRY(lt_cache_save(&s->cache, s->session->ctx.device, path));
    int size = snprintf(text, sizeof text, "{\"version\": 1, \"position\": %" PRId64 ", \"cache\": \"%s\"}\n",
                        s->position, name);
    LT_TRY(lt_path_join(path, folder, index_name));
    LT_TRY(lt_write_file(path, text, (size_t)size));
    clean(folder, name);
    return LT_OK;
}

static lt_status read_index(const char *folder, int64_t *position, char cache[LT_PATH_MAX]) {
    char path[LT_PATH_MAX], *text;
    size_t size;
    cJSON *index;
    LT_TRY(lt_path_join(path, folder, index_name));
    LT_TRY(lt_read_file(path, &text, &size));
    lt_status status = lt_json_parse(text, size, path, LT_INPUT, &index);
    free(text);
    LT_TRY(status);
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(index, "version"),
                *at = cJSON_GetObjectItemCaseSensitive(index, "position"),
                *name = cJSON_GetObjectItemCaseSensitive(index, "cache");
    if (!cJSON_IsNumber(version) || version->valuedouble != 1 || !cJSON_IsNumber(at) || at->valuedouble < 0 ||
        at->valuedouble > LT_JSON_MAX_INT || !cJSON_IsString(name) || strchr(name->valuestring, '/'))
        status = lt_fail(
            LT_INPUT, "%s: not a saved video stream of version 1 (expected version, position, cache)", path);
    else {
        *position = (int64_t)at->valuedouble;
        status = lt_path_join(cache, folder, name->valuestring);
    }
    cJSON_Delete(index);
    return status;
}

lt_status lt_video_stream_load(lt_video_stream *s, const char *folder) {
    char path[LT_PATH_MAX];
    int64_t position = 0;
    LT_TRY(read_index(folder, &position, path));
    LT_TRY(lt_cache_load(&s->cache, s->session->ctx.device, path));
    lt_stream_changed(s);
    s->position = position;
    s->sequence = s->cache.sequence[0];
    if (s->cache.seed == s->options.seed) return LT_OK;
    uint64_t seed = s->cache.seed;
    s->cache.seed = s->options.seed;
    LT_TRY(lt_video_stream_restart(s, s->options.sequence));
    return lt_fail(LT_INPUT, "%s: of a video with seed %" PRIu64 ", expected %" PRIu64, path, seed,
                   s->options.seed);
}
