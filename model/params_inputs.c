/* Named inputs of trained heads: a file says which inputs its columns are, and the program maps them to its own by
 * name. */
#include "model/params.h"

#include <stdio.h>
#include <string.h>

void lt_params_name_inputs(lt_params *params, const lt_inputs *inputs) {
    params->published[params->published_count - 1].inputs = inputs;
}

static int find_input(const lt_inputs *inputs, const char *name, size_t length) {
    for (int i = 0; i < inputs->count; i++)
        if (strncmp(inputs->names[i], name, length) == 0 && !inputs->names[i][length]) return i;
    return -1;
}

/* "a,b,c" */
static const char *join_names(const lt_inputs *inputs, char *text, size_t size) {
    size_t used = 0;
    *text = '\0';
    for (int i = 0; i < inputs->count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "," : "", inputs->names[i]);
    return text;
}

lt_status lt_inputs_map(const lt_inputs *inputs, const lt_st_file *file, lt_input_map *map) {
    const char *names = lt_st_metadata(file, inputs->key), *at = names ? names : inputs->unnamed;
    char known[LT_INPUTS_TEXT];
    map->width = 0;
    for (int i = 0; i < inputs->count; i++) map->from[i] = -1;
    for (size_t length; *at; at += length + (at[length] == ',')) {
        length = strcspn(at, ",");
        int input = find_input(inputs, at, length);
        LT_CHECK(input >= 0, LT_INPUT,
                 "%s: it was trained on the input \"%.*s\", which this program does not have (%s)",
                 inputs->key, (int)length, at, join_names(inputs, known, sizeof known));
        LT_CHECK(map->from[input] < 0, LT_INPUT, "%s: \"%.*s\" is named twice", inputs->key, (int)length, at);
        map->from[input] = map->width++;
    }
    return LT_OK;
}

int lt_params_input_rows(const lt_params *params, lt_input_rows *rows) {
    int count = 0;
    for (int i = 0; i < params->published_count; i++) {
        const lt_inputs *inputs = params->published[i].inputs;
        if (!inputs || count == LT_INPUT_ROWS) continue;
        rows->row[count][0] = inputs->key;
        rows->row[count][1] = join_names(inputs, rows->text[count], sizeof rows->text[count]);
        count++;
    }
    return count;
}

int64_t lt_inputs_at(const lt_published *p, const lt_input_map *map, int64_t index) {
    int64_t columns = p->shape[p->ndim - 1], from = map->from[index % columns];
    return from < 0 ? -1 : index / columns * map->width + from;
}
