#include "kernels/attention/combine_plan.h"

#include <string.h>

static const float *data_of(const lt_tensor *list, int e) { return list[e].data; }
static float *gradient_of(const lt_tensor *list, int e) { return list ? list[e].data : NULL; }

/* The weights of a combination's source number i. */
static const float *weights_of(const lt_tensor *weights, int weighted, int i) {
    return lt_is_empty(weights) || i >= weighted ? NULL
                                                 : (const float *)weights->data + i * weights->shape[1];
}

static void start_plan(lt_fold_plan *plan, const lt_tensor *S) {
    plan->lists = 0;
    plan->heads = (int)S->shape[0];
    plan->z_size = S->shape[1];
    plan->S_size = plan->z_size * plan->z_size;
}

bool lt_fold_next(const lt_attn_combine_args *args, lt_plan_place *place, lt_fold_plan *plan) {
    int items = 0;
    start_plan(plan, &args->sums[0].S);
    for (; place->sum < args->count; place->sum++, place->source = 0) {
        const lt_attn_sum *sum = &args->sums[place->sum];
        if (plan->lists == LT_FOLD_LISTS || items == LT_FOLD_ITEMS) return true;
        lt_fold_list *list = &plan->list[plan->lists++];
        *list = (lt_fold_list){sum->S.data, sum->z.data, items, 0, place->source > 0};
        for (; place->source < sum->count && items < LT_FOLD_ITEMS; place->source++) {
            int e = sum->first + place->source;
            plan->item[items++] = (lt_fold_item){data_of(args->S, e), data_of(args->z, e),
                                                 weights_of(&sum->weights, sum->weighted, place->source)};
        }
        list->count = items - list->first;
        if (place->source < sum->count) return true;
    }
    return plan->lists > 0;
}

/* Items in the order of the call, and the list that each belongs to. */
typedef struct gathering {
    int items;
    lt_fold_item item[LT_FOLD_ITEMS];
    int16_t list[LT_FOLD_ITEMS];
    int16_t table[1024]; /* open addressing by the address of a gradient: a list, or -1; mostly empty */
} gathering;

/* Where the table has, or should have, the list of this gradient. */
static int16_t *entry_of(gathering *g, const lt_fold_plan *plan, const float *dS, const float *dz) {
    enum { COUNT = sizeof g->table / sizeof *g->table };
    uint64_t address = (uintptr_t)(dS ? dS : dz);
    for (uint64_t i = address * 0x9E3779B97F4A7C15u >> 54;; i = (i + 1) % COUNT) {
        const lt_fold_list *list = &plan->list[g->table[i] < 0 ? 0 : g->table[i]];
        if (g->table[i] < 0 || (list->S == dS && list->z == dz)) return &g->table[i];
    }
}

/* Adds source i of a combination; false where it has to wait for the plan gathered so far. */
static bool take(gathering *g, lt_fold_plan *plan, const lt_attn_combine_backward_args *args,
                 const lt_attn_sum_gradient *sum, int i) {
    int e = sum->first + i;
    float *dS = gradient_of(args->dS_e, e), *dz = gradient_of(args->dz_e, e);
    if (!dS && !dz) return true;
    bool adds = args->accumulate && args->accumulate[e];
    int16_t *entry = entry_of(g, plan, dS, dz);
    if (g->items == LT_FOLD_ITEMS) return false;
    if (*entry >= 0 && !adds) return false; /* it overwrites what came before */
    if (*entry < 0) {
        if (plan->lists == LT_FOLD_LISTS) return false;
        *entry = (int16_t)plan->lists;
        plan->list[plan->lists++] = (lt_fold_list){dS, dz, 0, 0, adds};
    }
    plan->list[*entry].count++;
    g->list[g->items] = *entry;
    g->item[g->items++] =
        (lt_fold_item){sum->dS.data, sum->dz.data, weights_of(&sum->weights, sum->weighted, i)};
    return true;
}

/* Puts the items of each list side by side, in their order. */
static void sort(const gathering *g, lt_fold_plan *plan) {
    int first = 0;
    for (int i = 0; i < plan->lists; i++) {
        plan->list[i].first = first;
        first += plan->list[i].count;
        plan->list[i].count = 0;
    }
    for (int i = 0; i < g->items; i++) {
        lt_fold_list *list = &plan->list[g->list[i]];
        plan->item[list->first + list->count++] = g->item[i];
    }
}

bool lt_spread_next(const lt_attn_combine_backward_args *args, lt_plan_place *place, lt_fold_plan *plan) {
    gathering g;
    g.items = 0;
    memset(g.table, -1, sizeof g.table);
    start_plan(plan, &args->sums[0].dS);
    bool room = true;
    while (place->sum < args->count && room) {
        const lt_attn_sum_gradient *sum = &args->sums[place->sum];
        while (place->source < sum->count && (room = take(&g, plan, args, sum, place->source)))
            place->source++;
        if (room) *place = (lt_plan_place){place->sum + 1, 0};
    }
    sort(&g, plan);
    return plan->lists > 0;
}

bool lt_dots_next(const lt_attn_combine_backward_args *args, lt_plan_place *place, lt_dot_plan *plan) {
    const lt_tensor *shape = &args->sums[0].dS;
    *plan = (lt_dot_plan){0};
    plan->heads = (int)shape->shape[0];
    plan->z_size = shape->shape[1];
    plan->S_size = plan->z_size * plan->z_size;
    for (; place->sum < args->count; place->sum++, place->source = 0) {
        const lt_attn_sum_gradient *sum = &args->sums[place->sum];
        if (lt_is_empty(&sum->dweights)) continue;
        for (; place->source < sum->weighted; place->source++) {
            if (plan->items == LT_DOT_ITEMS) return true;
            int e = sum->first + place->source;
            float *dw = (float *)sum->dweights.data + place->source * plan->heads;
            plan->item[plan->items++] =
                (lt_dot_item){data_of(args->S, e),     data_of(args->z, e), sum->dS.data, sum->dz.data, dw,
                              sum->accumulate_dweights};
        }
    }
    return plan->items > 0;
}
