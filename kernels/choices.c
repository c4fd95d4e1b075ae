#include "kernels/choices.h"

#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#ifdef LT_WITH_CUDA
#    include "kernels/cuda_blas.h"
#endif

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEX_DIGITS = 16 * LT_CHOICE_WORDS };

typedef struct choice_table {
    lt_choice *items;
    int count, room, epoch;
} choice_table;

static const choice_table none = {.epoch = 1};

static const choice_table *table_of(const lt_device *device) {
    const choice_table *table = device->part[LT_SLOT_CHOICES].data;
    return table ? table : &none;
}

static void free_table(void *data) {
    choice_table *table = data;
    free(table->items);
    free(table);
}

/* The same, made when it is first written to; NULL without memory. */
static choice_table *writable_table(lt_device *device) {
    lt_device_part *part = &device->part[LT_SLOT_CHOICES];
    if (part->data) return part->data;
    choice_table *table = calloc(1, sizeof *table);
    if (!table) return NULL;
    table->epoch = 1;
    *part = (lt_device_part){.data = table, .free = free_table};
    return table;
}

int lt_choices_count(const lt_device *device) { return table_of(device)->count; }
int lt_choices_epoch(const lt_device *device) { return table_of(device)->epoch; }
const lt_choice *lt_choices_at(const lt_device *device, int index) {
    const choice_table *table = table_of(device);
    return index >= 0 && index < table->count ? &table->items[index] : NULL;
}

static lt_choice *find_choice(const choice_table *table, const int64_t key[LT_CHOICE_KEY]) {
    for (int i = 0; i < table->count; i++)
        if (memcmp(table->items[i].key, key, sizeof table->items[i].key) == 0) return &table->items[i];
    return NULL;
}
const lt_choice *lt_choices_find(const lt_device *device, const int64_t key[LT_CHOICE_KEY]) {
    return find_choice(table_of(device), key);
}

static bool grow_table(choice_table *table) {
    if (table->count < table->room) return true;
    int room = table->room ? 2 * table->room : 64;
    lt_choice *items = realloc(table->items, (size_t)room * sizeof *items);
    if (!items) return false;
    table->items = items, table->room = room;
    return true;
}

void lt_choices_put(lt_device *device, const lt_choice *choice) {
    choice_table *table = writable_table(device);
    lt_choice *there = table ? find_choice(table, choice->key) : NULL;
    if (there) *there = *choice;
    else if (table && grow_table(table)) table->items[table->count++] = *choice;
}

void lt_choices_clear(lt_device *device) {
    choice_table *table = writable_table(device);
    if (!table) return;
    free(table->items);
    *table = (choice_table){.epoch = table->epoch + 1};
}

/* Of cuBLASLt; 0 where the device is no GPU. */
static int64_t library_of(const lt_device *device) {
#ifdef LT_WITH_CUDA
    if (device->ops->backend == LT_BACKEND_CUDA) return lt_blas_version();
#endif
    (void)device;
    return 0;
}

/* ---- as text ----------------------------------------------------------------------------------------------------- */

static cJSON *json_of(const lt_choice *choice) {
    char hex[HEX_DIGITS + 1];
    cJSON *item = cJSON_CreateObject(), *key = cJSON_AddArrayToObject(item, "product");
    for (int i = 0; i < LT_CHOICE_KEY; i++)
        cJSON_AddItemToArray(key, cJSON_CreateNumber((double)choice->key[i]));
    for (int i = 0; i < LT_CHOICE_WORDS; i++)
        snprintf(hex + 16 * i, sizeof hex - 16 * (size_t)i, "%016" PRIx64, choice->algorithm[i]);
    cJSON_AddStringToObject(item, "algorithm", hex);
    cJSON_AddNumberToObject(item, "first_us", round(10 * choice->first) / 10);
    cJSON_AddNumberToObject(item, "taken_us", round(10 * choice->taken) / 10);
    return item;
}

lt_status lt_choices_text(const lt_device *device, char **text, size_t *size) {
    const choice_table *table = table_of(device);
    *text = NULL;
    cJSON *root = cJSON_CreateObject(), *products;
    LT_CHECK(root, LT_FAILED, "out of memory for the choices of algorithms");
    cJSON_AddStringToObject(root, "gpu", device->target.name);
    cJSON_AddNumberToObject(root, "cublaslt", (double)library_of(device));
    products = cJSON_AddArrayToObject(root, "products");
    for (int i = 0; i < table->count; i++) cJSON_AddItemToArray(products, json_of(&table->items[i]));
    FILE *memory = open_memstream(text, size);
    if (memory) {
        lt_json_write(memory, root, 0);
        fputc('\n', memory);
        fclose(memory);
    }
    cJSON_Delete(root);
    return *text ? LT_OK : lt_fail(LT_FAILED, "out of memory for the choices of algorithms");
}

static const cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static bool read_key(const cJSON *numbers, int64_t key[LT_CHOICE_KEY]) {
    if (!cJSON_IsArray(numbers) || cJSON_GetArraySize(numbers) != LT_CHOICE_KEY) return false;
    const cJSON *number = numbers->child;
    for (int i = 0; i < LT_CHOICE_KEY; i++, number = number->next) {
        double value = cJSON_IsNumber(number) ? number->valuedouble : NAN;
        if (!(fabs(value) <= (double)LT_JSON_MAX_INT) || value != floor(value)) return false;
        key[i] = (int64_t)value;
    }
    return true;
}

static bool read_hex(const char *text, uint64_t words[LT_CHOICE_WORDS]) {
    if (!text || strlen(text) != HEX_DIGITS || strspn(text, "0123456789abcdef") != HEX_DIGITS) return false;
    for (int i = 0; i < LT_CHOICE_WORDS; i++) {
        char word[17] = "";
        memcpy(word, text + 16 * i, 16);
        words[i] = strtoull(word, NULL, 16);
    }
    return true;
}

static bool read_choice(const cJSON *item, lt_choice *out) {
    const cJSON *first = member(item, "first_us"), *taken = member(item, "taken_us");
    *out = (lt_choice){.first = cJSON_IsNumber(first) ? first->valuedouble : 0,
                       .taken = cJSON_IsNumber(taken) ? taken->valuedouble : 0};
    return read_key(member(item, "product"), out->key) &&
           read_hex(cJSON_GetStringValue(member(item, "algorithm")), out->algorithm);
}

/* All of them are looked at before the first is added. */
static lt_status add_products(lt_device *device, const cJSON *products, const char *name) {
    const cJSON *item;
    lt_choice choice;
    int at = 0;
    LT_CHECK(cJSON_IsArray(products), LT_INPUT, "%s: there is no list \"products\"", name);
    cJSON_ArrayForEach(item, products) {
        LT_CHECK(read_choice(item, &choice), LT_INPUT,
                 "%s: product %d is not %d whole numbers with an algorithm of %d hexadecimal digits", name,
                 at, LT_CHOICE_KEY, HEX_DIGITS);
        at++;
    }
    cJSON_ArrayForEach(item, products) if (read_choice(item, &choice)) lt_choices_put(device, &choice);
    choice_table *table = writable_table(device);
    if (table) table->epoch++;
    return LT_OK;
}

static lt_status check_origin(const lt_device *device, const cJSON *root, const char *name) {
    const int64_t version = library_of(device);
    const char *gpu = cJSON_GetStringValue(member(root, "gpu"));
    const cJSON *library = member(root, "cublaslt");
    LT_CHECK(gpu && cJSON_IsNumber(library), LT_INPUT, "%s: it does not say \"gpu\" and \"cublaslt\"", name);
    LT_CHECK(strcmp(gpu, device->target.name) == 0 && library->valuedouble == (double)version, LT_INPUT,
             "%s: chosen on %s with cuBLASLt %.0f, and this is %s with %" PRId64, name, gpu,
             library->valuedouble, device->target.name, version);
    return LT_OK;
}

lt_status lt_choices_parse(lt_device *device, const char *text, size_t size, const char *name) {
    cJSON *root;
    LT_TRY(lt_json_parse(text, size, name, LT_INPUT, &root));
    lt_status status = check_origin(device, root, name);
    if (status == LT_OK) status = add_products(device, member(root, "products"), name);
    cJSON_Delete(root);
    return status;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

lt_status lt_choices_save(const lt_device *device, const char *path) {
    char *text;
    size_t size;
    if (lt_choices_count(device) == 0) return LT_OK;
    LT_TRY(lt_choices_text(device, &text, &size));
    lt_status status = lt_write_file(path, text, size);
    free(text);
    return status;
}

void lt_choices_load(lt_device *device, const char *path) {
    char *text;
    size_t size;
    if (device->ops->backend != LT_BACKEND_CUDA || !lt_path_exists(path)) return;
    lt_status status = lt_read_file(path, &text, &size);
    if (status == LT_OK) {
        status = lt_choices_parse(device, text, size, path);
        free(text);
    }
    if (status != LT_OK)
        lt_warn("%s; large GEMMs are measured anew, and may round differently than before", lt_error());
}
