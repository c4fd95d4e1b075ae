/* A run's metrics.jsonl: opening it for a run that goes on at a step keeps whole lines from its beginning, and nothing
 * else; `info` reads it or says what is wrong. The input's first part is the step, the second the file. */
#include "core/io.h"
#include "experiments/info.h"
#include "tests/fuzz/fuzz.h"
#include "train/metrics.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const int fuzz_runs = 2000;

extern const lt_objective lt_objective_keep;

static void row(lt_metrics *metrics, int64_t step, bool finite) {
    lt_step_result result = {
        .step = step, .loss = finite ? 1.5 / (double)step : NAN, .lr = 1e-3, .finite = finite};
    const lt_objectives keep = {.count = 1, .items[0].row = &lt_objective_keep};
    lt_metrics_step one = {.result = &result,
                           .objectives = step % 2 ? &keep : NULL,
                           .tokens_per_s = 1e4,
                           .seconds = (double)step};
    FUZZ_OK(lt_metrics_write_step(metrics, &one));
}

void fuzz_seeds(void) {
    static const char config[] = "{\"model\": {\"layers\": 1}}";
    lt_metrics *metrics;
    size_t size;
    FUZZ_OK(lt_make_dirs(fuzz_path("run")));
    fuzz_write("run/config.json", config, sizeof config - 1);
    FUZZ_OK(lt_metrics_open(fuzz_path("run/metrics.jsonl"), 0, &metrics));
    for (int64_t step = 1; step < 6; step++) row(metrics, step, step != 4);
    FUZZ_OK(lt_metrics_write_validation(metrics, 5, &(lt_validation){.loss = 0.5, .clips = 3}, 7));
    lt_metrics_close(metrics);
    uint8_t *text = fuzz_read(fuzz_path("run/metrics.jsonl"), &size);
    fuzz_seed_of_two((fuzz_bytes){(const uint8_t *)"3", 1}, (fuzz_bytes){text, size});
    fuzz_seed_of_two((fuzz_bytes){(const uint8_t *)"9", 1}, (fuzz_bytes){text, size - 5});
    fuzz_seed_of_two((fuzz_bytes){(const uint8_t *)"0", 1}, (fuzz_bytes){text, 0});
    free(text);
}

static void inform(void) {
    cJSON *info;
    lt_status status = lt_info_run(fuzz_path("run"), &info);
    FUZZ_HOLDS(status == LT_OK || (status == LT_INPUT && !info));
    cJSON_Delete(info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_bytes rest = {data, size}, first = fuzz_split(&rest);
    char number[24];
    if (first.size >= sizeof number) return 0;
    memcpy(number, first.data, first.size);
    number[first.size] = '\0';
    fuzz_write("run/metrics.jsonl", rest.data, rest.size);
    inform();
    lt_metrics *metrics;
    FUZZ_OK(lt_metrics_open(fuzz_path("run/metrics.jsonl"), strtoll(number, NULL, 10), &metrics));
    size_t kept;
    uint8_t *text = fuzz_read(fuzz_path("run/metrics.jsonl"), &kept);
    FUZZ_HOLDS(kept <= rest.size && memcmp(text, rest.data, kept) == 0 &&
               (kept == 0 || text[kept - 1] == '\n'));
    free(text);
    row(metrics, 7, true);
    lt_metrics_close(metrics);
    inform();
    text = fuzz_read(fuzz_path("run/metrics.jsonl"), &size);
    FUZZ_HOLDS(size > kept && text[size - 1] == '\n');
    free(text);
    return 0;
}
