/* Configuration files that extend each other. Each is read and checked once, however many extend it: what it says,
 * with what it extends, is a layer, which those that name it lay down in their order. */
#include "core/config_impl.h"
#include "core/io.h"
#include "core/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 32, MAX_BYTES = 16 << 20 };

struct lt_config_file {
    char *path; /* resolved */
    lt_config *layer;
    const lt_config_file *from; /* while it is being read: the file that extends it */
    bool open;
    lt_config_file *next;
};

void lt_config_files_free(lt_config_files *files) {
    for (lt_config_file *file = files->list, *next; file; file = next) {
        next = file->next;
        lt_config_free(file->layer);
        free(file->path);
        free(file);
    }
    *files = (lt_config_files){0};
}

/* The file that `name` means inside a file at `from`: beside that file if there is one, else as for any name.
 */
static lt_status find_extended(const char *name, const char *from, char path[LT_PATH_MAX]) {
    const char *base = lt_path_base(from);
    int length = snprintf(path, LT_PATH_MAX, "%.*s%s", *name == '/' ? 0 : (int)(base - from), from, name);
    if (length < LT_PATH_MAX && lt_path_exists(path) && !lt_path_is_dir(path)) return LT_OK;
    lt_status status = lt_config_find(name, path, LT_PATH_MAX);
    return status == LT_OK ? LT_OK : lt_fail_in(status, "%s extends \"%s\"", from, name);
}

/* "a.json -> b.json -> a.json", the first and last few of a long one. */
static lt_status fail_cycle(const char *path, const lt_config_file *again, const lt_config_file *last) {
    const lt_config_file *members[MAX_DEPTH + 1];
    int count = 0;
    char text[512];
    for (const lt_config_file *at = last; at && count <= MAX_DEPTH; at = at == again ? NULL : at->from)
        members[count++] = at;
    size_t used = 0;
    for (int i = count - 1; i >= 0 && used < sizeof text; i--)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s -> ", lt_path_base(members[i]->path));
    return lt_fail(LT_USAGE, "%s: extends itself (%s%s); take one of these out", path,
                   used < sizeof text ? text : "", lt_path_base(path));
}

static lt_status read_regular(const char *path, char **text, size_t *size) {
    struct stat info;
    LT_CHECK(stat(path, &info) == 0 && S_ISREG(info.st_mode), LT_USAGE,
             "%s: expected a file with JSON, found something else", path);
    LT_CHECK(info.st_size <= MAX_BYTES, LT_USAGE, "%s: %lld MB, and a configuration has at most %d", path,
             (long long)info.st_size / 1000000, MAX_BYTES / 1000000);
    return lt_read_file(path, text, size);
}

static lt_status read_layer(lt_config_files *files, lt_config_file *file, const char *path) {
    char *text;
    size_t size;
    LT_TRY(lt_config_new(&file->layer));
    LT_TRY(read_regular(path, &text, &size));
    const lt_config_file *from = files->top;
    file->from = from, file->open = true;
    files->top = file, files->depth++;
    lt_status status = lt_config_apply_text(file->layer, text, size, path, files);
    files->top = from, files->depth--;
    file->open = false;
    free(text);
    return status;
}

static lt_config_file *known_file(const lt_config_files *files, const char *real) {
    lt_config_file *file = files->list;
    while (file && strcmp(file->path, real) != 0) file = file->next;
    return file;
}

lt_status lt_config_apply_file(lt_config *config, const char *path, lt_config_files *files) {
    char *real = realpath(path, NULL);
    LT_CHECK(real, LT_USAGE, "%s: cannot be opened", path);
    lt_config_file *file = known_file(files, real);
    lt_status status = LT_OK;
    if (file && file->open) status = fail_cycle(path, file, files->top);
    else if (files->depth >= MAX_DEPTH)
        status =
            lt_fail(LT_USAGE, "%s: more than %d configurations extend each other in a row; join some of them",
                    path, MAX_DEPTH);
    else if (!file) {
        file = calloc(1, sizeof *file);
        if (!file) status = lt_fail(LT_FAILED, "%s: out of memory", path);
        else {
            *file = (lt_config_file){.path = real, .next = files->list};
            files->list = file;
            real = NULL;
            status = read_layer(files, file, path);
        }
    }
    free(real);
    return status == LT_OK ? lt_config_lay(config, file->layer) : status;
}

lt_status lt_config_apply_extended(lt_config *config, const cJSON *extends, const char *origin,
                                   lt_config_files *files) {
    char path[LT_PATH_MAX];
    const cJSON *name;
    if (cJSON_IsString(extends)) {
        LT_TRY(find_extended(extends->valuestring, origin, path));
        return lt_config_apply_file(config, path, files);
    }
    LT_CHECK(cJSON_IsArray(extends), LT_USAGE, "%s: \"extends\" must be a name or an array of names", origin);
    cJSON_ArrayForEach(name, extends) {
        LT_CHECK(cJSON_IsString(name), LT_USAGE, "%s: \"extends\" holds something that is not a name",
                 origin);
        LT_TRY(lt_config_apply_extended(config, name, origin, files));
    }
    return LT_OK;
}
