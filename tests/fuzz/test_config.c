/* Configurations, with --set: what is taken is printed and read back as the same configuration. The input's first part
 * is the file, each line of the second an override. */
#include "core/config.h"
#include "experiments/experiment.h"
#include "model/model.h"
#include "tests/fuzz/fuzz.h"
#include "train/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OVERRIDES = 8 };
const int fuzz_runs = 3000;

static void add(const char *text, const char *overrides) {
    fuzz_seed_of_two((fuzz_bytes){(const uint8_t *)text, strlen(text)},
                     (fuzz_bytes){(const uint8_t *)overrides, strlen(overrides)});
}

void fuzz_seeds(void) {
    lt_model_register_keys();
    lt_train_register_keys();
    lt_experiment_register_keys();
    FUZZ_HOLDS(chdir(fuzz_path("")) == 0); /* "extends" finds these */
    fuzz_write("base.json", "{\"extends\": \"other.json\", \"train\": {\"lr\": 0.1}}", 48);
    fuzz_write("other.json", "{\"model\": {\"layers\": 3}}", 24);
    add("{\"model\": {\"frame_size\": [16, 24], \"layers\": 2}, \"train\": {\"steps\": 6}}",
        "train.lr=2e-3\nmodel.frame_size=16,16");
    add("{\"extends\": [\"base.json\", \"other.json\"], \"comment\": 1, \"data\": {\"train_domains\": "
        "[\"calm\"]}}",
        "data.train_domains=calm,dynamic\ntrain.batch=4");
    add("{}", "train.schedule=constant");
}

static int lines_of(char *text, const char *lines[OVERRIDES]) {
    int count = 0;
    for (char *state, *line = strtok_r(text, "\n", &state); line && count < OVERRIDES;
         line = strtok_r(NULL, "\n", &state))
        lines[count++] = line;
    return count;
}

static char *text_of(fuzz_bytes bytes) {
    char *text = malloc(bytes.size + 1);
    FUZZ_HOLDS(text);
    if (bytes.size) memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_bytes rest = {data, size};
    char *text = text_of(fuzz_split(&rest)), *set = text_of(rest);
    const char *lines[OVERRIDES];
    int count = lines_of(set, lines);
    lt_config *config, *again;
    lt_status status = lt_config_parse(text, "input", lines, count, &config);
    FUZZ_HOLDS(status == LT_OK || status == LT_USAGE || status == LT_INPUT);
    if (status == LT_OK) {
        char *resolved = lt_config_print(config);
        FUZZ_HOLDS(resolved);
        FUZZ_OK(lt_config_parse(resolved, "what was printed", NULL, 0, &again));
        FUZZ_HOLDS(lt_config_hash(config) == lt_config_hash(again));
        free(resolved);
        lt_config_free(config);
        lt_config_free(again);
    }
    free(text);
    free(set);
    return 0;
}
