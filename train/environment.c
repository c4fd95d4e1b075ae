#include "train/environment.h"

#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "train/build_info.h"
#include "train/differences.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* "model name" of /proc/cpuinfo, where there is one. */
static void add_processor(cJSON *root) {
    char line[256], name[256] = "";
    FILE *info = fopen("/proc/cpuinfo", "re");
    while (info && !*name && fgets(line, sizeof line, info))
        if (sscanf(line, "model name : %255[^\n]", name) != 1) *name = '\0';
    if (info) fclose(info);
    cJSON_AddItemToObject(root, "processor", *name ? cJSON_CreateString(name) : cJSON_CreateNull());
}

static void add_machine(cJSON *root, const lt_device *device, const lt_comm *comm) {
    struct utsname name;
    cJSON_AddStringToObject(root, "device", device->ops->name);
    cJSON_AddStringToObject(root, "target", device->target.name);
    cJSON_AddStringToObject(root, "precision", lt_device_precision(device));
    cJSON_AddStringToObject(root, "kernels", lt_device_kernels(device));
    cJSON_AddNumberToObject(root, "threads", lt_threads());
    cJSON_AddNumberToObject(root, "processes", comm ? lt_comm_size(comm) : 1);
    cJSON_AddStringToObject(root, "collectives", comm ? lt_comm_name(comm) : "none");
    if (uname(&name) == 0) {
        char text[sizeof name.sysname + sizeof name.release + sizeof name.machine + 2];
        snprintf(text, sizeof text, "%s %s %s", name.sysname, name.release, name.machine);
        cJSON_AddStringToObject(root, "system", text);
    }
    add_processor(root);
}

static void add_dataset(cJSON *root, const lt_dataset *set) {
    char hash[LT_HASH_TEXT];
    cJSON *data = cJSON_AddObjectToObject(root, "dataset");
    cJSON_AddStringToObject(data, "path", lt_dataset_path(set));
    cJSON_AddStringToObject(data, "hash", lt_hash_text(lt_dataset_hash(set), hash));
    cJSON_AddNumberToObject(data, "clips", (double)lt_dataset_clip_count(set));
    cJSON_AddNumberToObject(data, "frames", (double)lt_dataset_frame_count(set));
}

/* null: it started from nothing. */
static void add_init(cJSON *root, const lt_start *init) {
    char hash[LT_HASH_TEXT];
    if (!init || !*init->folder) {
        cJSON_AddNullToObject(root, "init");
        return;
    }
    cJSON *record = cJSON_AddObjectToObject(root, "init");
    cJSON_AddStringToObject(record, "folder", init->folder);
    cJSON_AddStringToObject(record, "weights_hash", lt_hash_text(init->weights, hash));
}

/* Which bits this program makes: a commit with changes does not say. */
static void add_program(cJSON *root) {
    uint64_t hash;
    char text[LT_HASH_TEXT];
    bool known = lt_hash_file("/proc/self/exe", &hash) == LT_OK;
    cJSON_AddItemToObject(root, "program",
                          known ? cJSON_CreateString(lt_hash_text(hash, text)) : cJSON_CreateNull());
}

static cJSON *describe(const lt_environment *now) {
    char when[32];
    time_t seconds = time(NULL);
    cJSON *root = cJSON_CreateObject();
    if (!root) return NULL;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime(&seconds));
    cJSON_AddStringToObject(root, "started", when);
    cJSON_AddNumberToObject(root, "after_step", (double)now->step);
    if (now->arguments) cJSON_AddStringToObject(root, "command", now->arguments);
    lt_build_info(root);
    add_program(root);
    add_machine(root, now->device, now->comm);
    add_dataset(root, now->set);
    add_init(root, now->init);
    if (now->recompute) cJSON_AddStringToObject(root, "recompute", now->recompute);
    if (now->latents) cJSON_AddStringToObject(root, "latents", now->latents);
    if (now->captions) cJSON_AddStringToObject(root, "captions", now->captions);
    return root;
}

static cJSON *read_json(const char *path) {
    char *text;
    size_t size;
    cJSON *root = NULL;
    if (!lt_path_exists(path) || lt_read_file(path, &text, &size) != LT_OK) return NULL;
    (void)lt_json_parse(text, size, path, LT_INPUT, &root);
    free(text);
    return root;
}

static int compare_config(const char *path, const lt_config *config, FILE *to) {
    char other[LT_PATH_MAX];
    char *text = config ? lt_config_print(config) : NULL;
    cJSON *now = text ? cJSON_Parse(text) : NULL, *before = NULL;
    snprintf(other, sizeof other, "%.*sconfig.json", (int)(lt_path_base(path) - path), path);
    if (now) before = read_json(other);
    int count = before ? lt_config_differences(before, now, to) : 0;
    if (before && lt_config_curve_differs(before, now))
        lt_info(
            "the learning rate now falls until the new last step (train.steps): another curve than before");
    cJSON_Delete(now);
    cJSON_Delete(before);
    free(text);
    return count;
}

/* Says what differs, and takes `before` over into `root`, with what that had taken over. */
static void compare(const char *path, const lt_environment *now, cJSON *root, cJSON *before) {
    char *text = NULL;
    size_t size;
    cJSON *earlier = cJSON_DetachItemFromObjectCaseSensitive(before, "earlier");
    FILE *to = open_memstream(&text, &size);
    int count = to ? lt_environment_differences(before, root, to) + compare_config(path, now->config, to) : 0;
    if (to) fclose(to);
    if (count > 0) {
        lt_warn("%s goes on with something else than before; %s:", path, now->consequence);
        lt_warn("%s", text);
        if (!cJSON_IsArray(earlier)) cJSON_Delete(earlier), earlier = cJSON_CreateArray();
        cJSON_AddItemToArray(earlier, cJSON_Duplicate(before, true));
    }
    if (earlier) cJSON_AddItemToObject(root, "earlier", earlier);
    free(text);
}

static lt_status save(const char *path, const cJSON *root) {
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);
    if (memory) {
        lt_json_write(memory, root, 0);
        fputc('\n', memory);
        fclose(memory);
    }
    lt_status status = text ? lt_write_file(path, text, size) : lt_fail(LT_FAILED, "%s: out of memory", path);
    free(text);
    return status;
}

lt_status lt_environment_write(const char *path, const lt_environment *now) {
    cJSON *root = describe(now), *before = now->consequence ? read_json(path) : NULL;
    LT_CHECK(root, LT_FAILED, "%s: out of memory", path);
    if (before) compare(path, now, root, before);
    else if (now->consequence && lt_path_exists(path))
        lt_warn("%s cannot be read, so what differs from before is not known", path);
    lt_status status = save(path, root);
    cJSON_Delete(before);
    cJSON_Delete(root);
    return status;
}

char *lt_environment_text(const char *path, const char *key) {
    cJSON *root = read_json(path);
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, key));
    char *copy = value ? strdup(value) : NULL;
    cJSON_Delete(root);
    return copy;
}
