/* Policy texts and budgets: what is taken is printed in full and read back as the same policy. The input's first part
 * is the policy, the second a budget. */
#include "model/cache/spec.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

const int fuzz_runs = 20000;

void fuzz_seeds(void) {
    static const char *const texts[][2] = {
        {"sink:n=1,consolidate=ema,alpha=0.9,scope=layer,read=content,protect=1", "3"},
        {"window", "60MiB"},
        {"keep-all:read=age", "25%"},
        {"none", "1.5GB"},
        {"learned:scope=model,granularity=frame,consolidate=nearest", "0"},
        {"random:seed=7,consolidate=decay,gamma=0.5,granularity=tile", "4096KiB"},
        {"key-norm:consolidate=sum", "100%"},
        {"read-mass:decay=0.5,protect=2", "9999"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        fuzz_seed_of_two((fuzz_bytes){(const uint8_t *)texts[i][0], strlen(texts[i][0])},
                         (fuzz_bytes){(const uint8_t *)texts[i][1], strlen(texts[i][1])});
}

static void read_policy(const char *text, int budget) {
    lt_cache_spec spec, again;
    char full[LT_SPEC_TEXT], full_again[LT_SPEC_TEXT];
    lt_status status = lt_cache_spec_parse(text, budget, &spec);
    FUZZ_HOLDS(status == LT_OK || status == LT_USAGE);
    if (status != LT_OK) return;
    lt_cache_spec_text(&spec, full, sizeof full);
    FUZZ_HOLDS(strlen(full) < LT_SPEC_TEXT - 1);
    FUZZ_OK(lt_cache_spec_parse(full, budget, &again));
    lt_cache_spec_text(&again, full_again, sizeof full_again);
    FUZZ_HOLDS(strcmp(full, full_again) == 0 && spec.budget == again.budget && spec.alpha == again.alpha &&
               spec.gamma == again.gamma && memcmp(spec.params, again.params, sizeof spec.params) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char policy[1024], budget[64];
    fuzz_bytes rest = {data, size}, first = fuzz_split(&rest);
    if (first.size >= sizeof policy || rest.size >= sizeof budget) return 0;
    memcpy(policy, first.data, first.size);
    policy[first.size] = '\0';
    if (rest.size) memcpy(budget, rest.data, rest.size);
    budget[rest.size] = '\0';
    int slots = 4;
    lt_status status = lt_budget_parse(budget, 4096, 12, &slots);
    FUZZ_HOLDS(status == LT_USAGE || (status == LT_OK && slots >= 0));
    read_policy(policy, status == LT_OK ? slots : 4);
    return 0;
}
