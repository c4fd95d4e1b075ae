#include "infer/eval_specs.h"

#include "core/log.h"
#include "infer/cache_shape.h"

#include <stdlib.h>
#include <string.h>

static bool known(const lt_eval_specs *s, const lt_cache_spec *spec) {
    char a[LT_SPEC_TEXT], b[LT_SPEC_TEXT];
    lt_cache_spec_text(spec, a, sizeof a);
    for (int i = 0; i < s->count; i++)
        if (s->items[i].budget == spec->budget &&
            strcmp(lt_cache_spec_text(&s->items[i], b, sizeof b), a) == 0)
            return true;
    return false;
}

static lt_status add(lt_eval_specs *s, const lt_model *model, const char *policy, const char *budget,
                     int blocks) {
    lt_cache_spec spec;
    lt_policy_bytes bytes;
    LT_TRY(lt_spec_read(model, policy, budget, blocks, &spec));
    if (known(s, &spec)) return LT_OK;
    LT_TRY(lt_eval_bytes(model, &spec, &bytes));
    s->items[s->count] = spec;
    s->labels[s->count] = policy;
    s->bytes[s->count] = lt_policy_cache_bytes(&bytes);
    s->reference[s->count++] = -1;
    return LT_OK;
}

lt_status lt_eval_specs_parse(const lt_model *model, const char *const *policies, int policy_count,
                              const char *const *budgets, int budget_count, int blocks, lt_eval_specs *out) {
    size_t most = (size_t)policy_count * (size_t)budget_count;
    *out = (lt_eval_specs){0};
    LT_CHECK(most > 0, LT_USAGE, "no policy, or no budget, to evaluate");
    out->items = calloc(most, sizeof *out->items);
    out->labels = calloc(most, sizeof *out->labels);
    out->bytes = calloc(most, sizeof *out->bytes);
    out->reference = calloc(most, sizeof *out->reference);
    lt_status status = out->items && out->labels && out->bytes && out->reference
                           ? LT_OK
                           : lt_fail(LT_FAILED, "evaluation: out of memory");
    for (int i = 0; i < policy_count; i++)
        for (int k = 0; k < budget_count && status == LT_OK; k++)
            status = add(out, model, policies[i], budgets[k], blocks);
    if (status != LT_OK) lt_eval_specs_free(out);
    return status;
}

void lt_eval_specs_free(lt_eval_specs *s) {
    free(s->items), free(s->labels), free(s->bytes), free(s->reference);
    *s = (lt_eval_specs){0};
}

/* Only hand-made policies run on the validation clips; their losses go to their places in the whole table. */
typedef struct candidates {
    lt_eval_table *table;
    int *place;
} candidates;

static lt_status put(const lt_eval_sample *sample, void *user) {
    candidates *c = user;
    lt_eval_sample placed = *sample;
    placed.spec = c->place[sample->spec];
    return lt_eval_table_add(&placed, c->table);
}

static bool has_rival(const lt_eval_specs *s, int index) {
    for (int i = 0; i < s->count; i++)
        if (i != index && lt_spec_is_hand_made(&s->items[i]) && lt_equal_bytes(s->bytes[i], s->bytes[index]))
            return true;
    return false;
}

static bool has_clips(lt_model *model, lt_dataset *set, const lt_eval_options *options, lt_status *status) {
    int64_t *clips, count;
    *status = lt_eval_clips(model, set, options, &clips, &count);
    if (*status == LT_OK) {
        free(clips);
        return true;
    }
    if (*status != LT_INPUT) return false;
    lt_warn("references are the first hand-made policies of equal bytes, not the best: %s", lt_error());
    *status = LT_OK;
    return false;
}

lt_status lt_eval_specs_validate(const lt_eval_specs *s, lt_model *model, lt_dataset *set,
                                 const lt_eval_options *options, lt_eval_table **out) {
    static const char *const calm[] = {"calm"};
    lt_eval_options o = *options;
    candidates c = {.place = calloc((size_t)s->count, sizeof *c.place)};
    lt_cache_spec *specs = calloc((size_t)s->count, sizeof *specs);
    lt_status status = c.place && specs ? LT_OK : lt_fail(LT_FAILED, "evaluation: out of memory");
    int count = 0;
    *out = NULL;
    o.role = "val", o.domains = calm, o.domain_count = 1;
    for (int i = 0; i < s->count && status == LT_OK; i++)
        if (lt_spec_is_hand_made(&s->items[i]) && has_rival(s, i))
            specs[count] = s->items[i], c.place[count++] = i;
    if (count > 0 && has_clips(model, set, &o, &status)) {
        status = lt_eval_table_open(s->items, s->count, options, &c.table);
        if (status == LT_OK) status = lt_evaluate(model, set, &o, specs, count, put, &c);
    }
    free(c.place), free(specs);
    if (status == LT_OK) *out = c.table;
    else lt_eval_table_close(c.table);
    return status;
}

lt_status lt_eval_specs_choose(lt_eval_specs *s, lt_eval_table *const *validation, int tables) {
    const lt_eval_table **known = malloc(((size_t)tables + 1) * sizeof *known);
    int count = 0;
    LT_CHECK(known, LT_FAILED, "evaluation: out of memory");
    for (int i = 0; i < tables; i++)
        if (validation[i]) known[count++] = validation[i];
    lt_status status = lt_eval_references(known, count, s->items, s->bytes, s->count, s->reference);
    free(known);
    return status;
}
