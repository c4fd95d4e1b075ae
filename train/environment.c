#include "train/environment.h"

#include "core/io.h"
#include "core/json.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "train/build_info.h"

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

lt_status lt_environment_write(const char *path, const lt_device *device, const lt_dataset *set,
                               const lt_comm *comm, const char *arguments, const char *recompute,
                               const lt_start *init) {
    char when[32], *text = NULL;
    size_t size;
    time_t now = time(NULL);
    cJSON *root = cJSON_CreateObject();
    LT_CHECK(root, LT_FAILED, "%s: out of memory", path);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    cJSON_AddStringToObject(root, "started", when);
    if (arguments) cJSON_AddStringToObject(root, "command", arguments);
    lt_build_info(root);
    add_machine(root, device, comm);
    add_dataset(root, set);
    add_init(root, init);
    if (recompute) cJSON_AddStringToObject(root, "recompute", recompute);
    FILE *memory = open_memstream(&text, &size);
    if (memory) {
        lt_json_write(memory, root, 0);
        fputc('\n', memory);
        fclose(memory);
    }
    cJSON_Delete(root);
    lt_status status = text ? lt_write_file(path, text, size) : lt_fail(LT_FAILED, "%s: out of memory", path);
    free(text);
    return status;
}

char *lt_environment_recompute(const char *path) {
    char *text, *copy = NULL;
    size_t size;
    cJSON *root = NULL;
    if (!lt_path_exists(path) || lt_read_file(path, &text, &size) != LT_OK) return NULL;
    if (lt_json_parse(text, size, path, LT_INPUT, &root) == LT_OK) {
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "recompute"));
        copy = value ? strdup(value) : NULL;
    }
    cJSON_Delete(root);
    free(text);
    return copy;
}
