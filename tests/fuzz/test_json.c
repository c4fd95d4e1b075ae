/* JSON as configurations and safetensors headers have it: what is read is printed and read back as the same value. */
#include "core/json.h"
#include "tests/fuzz/fuzz.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

const int fuzz_runs = 20000;

void fuzz_seeds(void) {
    static const char *const texts[] = {
        "{\"model\": {\"layers\": 2, \"a\\u00e9\\n\\ud83d\\ude00\": 1e-3}, \"mix\": [1, 2.5, -0]}",
        "[]",
        "[[[[{\"a\": [true, false, null]}]]]]",
        "-12.5E+10",
        "\"\\\\ \\\" \\/ \\b \\f \\t\"",
        "[9007199254740991, 0.1, 1.7976931348623157e308, 5e-324]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) fuzz_seed(texts[i], strlen(texts[i]));
}

static char *printed(const cJSON *value, size_t *size) {
    char *text = NULL;
    FILE *memory = open_memstream(&text, size);
    FUZZ_HOLDS(memory);
    lt_json_write(memory, value, 0);
    FUZZ_HOLDS(fclose(memory) == 0);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cJSON *value, *again;
    lt_status status = lt_json_parse((const char *)data, size, "input", LT_INPUT, &value);
    FUZZ_HOLDS(status == LT_OK || (status == LT_INPUT && !value));
    if (status != LT_OK) return 0;
    size_t length, length_again;
    char *text = printed(value, &length);
    FUZZ_OK(lt_json_parse(text, length, "what was printed", LT_INPUT, &again));
    char *text_again = printed(again, &length_again);
    FUZZ_HOLDS(length == length_again && memcmp(text, text_again, length) == 0);
    free(text);
    free(text_again);
    cJSON_Delete(value);
    cJSON_Delete(again);
    return 0;
}
