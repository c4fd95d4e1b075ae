#include "core/cli.h"
#include "core/config.h"
#include "core/device.h"
#include "core/share.h"
#include "experiments/list.h"
#include "infer/metrics.h"
#include "kernels/op.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cJSON *lt_list_add(cJSON *list, const char *name, const char *help) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", name);
    cJSON_AddStringToObject(item, "help", help);
    cJSON_AddItemToArray(list, item);
    return item;
}

static lt_status list_ops(cJSON *list) {
    static const char *const names[LT_BACKEND_COUNT] = {"naive", "cpu", "null", "cuda"};
    for (int i = 0; i < LT_OP_COUNT; i++) {
        const lt_op *op = lt_op_at((lt_op_id)i);
        char text[128] = "";
        size_t used = 0;
        for (int b = 0; b < LT_BACKEND_COUNT; b++)
            if (op->run[b])
                used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? ", " : "", names[b]);
        lt_list_add(list, op->name, text);
    }
    return LT_OK;
}

static lt_status list_metrics(cJSON *list) {
    for (int i = 0; lt_metric_at(i); i++) {
        const lt_metric_row *row = lt_metric_at(i);
        cJSON *item = lt_list_add(list, row->name, row->help);
        cJSON_AddStringToObject(item, "unit", row->unit);
        cJSON_AddStringToObject(item, "direction", row->direction);
    }
    return LT_OK;
}

static lt_status list_devices(cJSON *list) {
    for (int i = 0; lt_device_at(i); i++) {
        lt_device *device;
        const char *name = lt_device_at(i)->name;
        lt_status status = lt_device_open(name, &device);
        if (status == LT_OK) {
            char memory[32], text[160];
            snprintf(text, sizeof text, "%s%s%s", device->target.name,
                     device->target.memory_bytes ? ", " : "",
                     device->target.memory_bytes ? lt_format_bytes(device->target.memory_bytes, memory) : "");
            lt_list_add(list, name, text);
            lt_device_close(device);
        } else lt_list_add(list, name, lt_error());
    }
    for (int i = 0; lt_target_at(i); i++) {
        char name[80], memory[32], text[128];
        snprintf(name, sizeof name, "null:%s", lt_target_at(i)->name);
        snprintf(text, sizeof text, "impersonates a GPU with %s for planning",
                 lt_format_bytes(lt_target_at(i)->memory_bytes, memory));
        lt_list_add(list, name, text);
    }
    return LT_OK;
}

/* "comment" of the file at `path`, or "". */
static void add_preset(cJSON *list, const char *name, const char *path) {
    cJSON *root = NULL;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) /* one of a folder that is looked through before */
        if (strcmp(lt_json_string(item, "name"), name) == 0) return;
    lt_status status = lt_json_load(path, &root);
    lt_list_add(list, name, status == LT_OK ? lt_json_string(root, "comment") : lt_error());
    cJSON_Delete(root);
}

/* Every *.json below root/folder, named as --config takes them. Published checkpoints have folders of their own, whose
 * configuration belongs to the weights. */
static lt_status add_presets(cJSON *list, const char *root, const char *folder, bool suffix) {
    char path[LT_PATH_MAX], file[LT_PATH_MAX], name[512], **names;
    int count;
    LT_TRY(lt_path_join(path, root, folder));
    if (!lt_path_is_dir(path)) return LT_OK;
    LT_TRY(lt_list_dir(path, &names, &count));
    for (int i = 0; i < count; i++) {
        size_t length = strlen(names[i]);
        if (length < 6 || strcmp(names[i] + length - 5, ".json") != 0) continue;
        snprintf(name, sizeof name, "%s/%.*s", folder, (int)(suffix ? length : length - 5), names[i]);
        if (lt_path_join(file, path, names[i]) == LT_OK) add_preset(list, name, file);
    }
    lt_list_free(names, count);
    return LT_OK;
}

static lt_status list_presets(cJSON *list) {
    char roots[LT_CONFIG_ROOTS][LT_PATH_MAX], share[LT_PATH_MAX];
    const int count = lt_config_roots(roots);
    for (int i = 0; i < count; i++) {
        LT_TRY(add_presets(list, roots[i], "model", false));
        LT_TRY(add_presets(list, roots[i], "train", false));
    }
    return lt_share_folder(share) ? add_presets(list, share, "experiments", true) : LT_OK;
}

static void add_key(const char *room, const lt_key *key, void *list) {
    (void)room;
    lt_list_add(list, key->name, key->help);
}

static lt_status list_keys(cJSON *list) {
    lt_config_each_key(add_key, list);
    return LT_OK;
}

static void print_names(const cJSON *list) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) printf("%s\n", lt_json_string(item, "name"));
}

static void print_text(const cJSON *list) {
    const cJSON *item, *value;
    int width = 0;
    cJSON_ArrayForEach(item, list) {
        int length = (int)strlen(lt_json_string(item, "name"));
        if (length > width) width = length;
    }
    cJSON_ArrayForEach(item, list) {
        printf("%-*s  %s\n", width, lt_json_string(item, "name"), lt_json_string(item, "help"));
        cJSON_ArrayForEach(value, lt_json_member(item, "values")) printf(
            "%*s    %-9s %s\n", width, "", lt_json_string(value, "name"), lt_json_string(value, "help"));
    }
}

static const char list_names[] = "policies|policy-keys|ops|metrics|keys|presets|devices";

static lt_status run_list(const void *options, int count, const char *const *what) {
    const lt_globals *global = options;
    static const struct {
        const char *name;
        lt_status (*fill)(cJSON *list);
    } lists[] = {{"policies", lt_list_policies},
                 {"policy-keys", lt_list_policy_keys},
                 {"ops", list_ops},
                 {"metrics", list_metrics},
                 {"keys", list_keys},
                 {"presets", list_presets},
                 {"devices", list_devices}};
    enum { LISTS = sizeof lists / sizeof *lists };
    (void)count;
    for (int i = 0; i < LISTS; i++) {
        if (strcmp(what[0], lists[i].name) != 0) continue;
        cJSON *list = cJSON_CreateArray();
        lt_status status = lists[i].fill(list);
        if (status == LT_OK && global->json) lt_json_print(list);
        else if (status == LT_OK && global->quiet) print_names(list);
        else if (status == LT_OK && lists[i].fill == lt_list_policies) lt_print_policies();
        else if (status == LT_OK) print_text(list);
        cJSON_Delete(list);
        return status;
    }
    const char *names[LISTS];
    for (int i = 0; i < LISTS; i++) names[i] = lists[i].name;
    const char *near = lt_nearest(what[0], names, LISTS);
    return lt_fail(LT_USAGE, "there is no list \"%s\"%s%s%s; expected %s", what[0],
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", list_names);
}

const lt_command lt_cmd_list = {
    .name = "list",
    .summary = "names that this build knows: policies, ops, metrics, configuration keys, presets, devices",
    .details = "Prints one line per name; with --json, an array of objects with name and help. `policies`\n"
               "explains the whole language in which a policy is written; policy-keys are the keys that\n"
               "every policy takes.\n"
               "\n"
               "  longtake list policies\n"
               "  longtake list presets --json\n",
    .positional = list_names,
    .min_positional = 1,
    .max_positional = 1,
    .run = run_list};
