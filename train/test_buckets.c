/* What several processes sum together, and when. */
#include "core/parallel.h"
#include "train/testing.h"
#include "train/trainer_impl.h"

enum { LAYERS = 4 };

static int layer_of(const lt_params *params, int param) {
    int layer = -1;
    for (int i = 0; i < params->published_count; i++)
        if (params->published[i].param == param)
            (void)sscanf(params->published[i].name, "transformer_blocks.%d.", &layer);
    return layer;
}

static bool covers(const lt_buckets *b, const lt_bucket *bucket, const lt_tensor *grad) {
    const char *start = grad->data, *end = start + lt_nbytes(grad);
    for (int i = 0; i < bucket->span_count; i++) {
        const lt_span *span = &b->spans[bucket->first_span + i];
        if (start >= span->values && end <= span->values + span->count * (int64_t)sizeof(float)) return true;
    }
    return false;
}

/* Each trained gradient is in one bucket, which is complete when the gradient's layer has gone backward and not before;
 * the others are in none. */
static void check_plan(const lt_params *params, const lt_buckets *b) {
    for (int i = 0; i < params->count; i++) {
        const lt_var *var = &params->items[i]->var;
        int found = 0, layer = layer_of(params, i);
        for (int k = 0; k < b->count; k++) {
            if (!covers(b, &b->items[k], &var->grad)) continue;
            found++;
            CHECK(layer < 0 ? b->items[k].layer == -1 : b->items[k].layer <= layer && b->items[k].layer >= 0);
            CHECK(k == 0 || layer < 0 || layer < b->items[k - 1].layer);
        }
        CHECK(found == (var->needs_grad ? 1 : 0));
    }
    for (int k = 1; k < b->count; k++) CHECK(b->items[k].layer < b->items[k - 1].layer);
}

static const char *const plain[] = {"model.layers=4", NULL};
static const char *const frozen[] = {"model.layers=4",
                                     "train.freeze=transformer_blocks.*.attn2.*,time_embed.*", NULL};

static void every_trained_gradient_is_in_one_bucket(void) {
    const char *const *const configs[] = {plain, frozen};
    for (int c = 0; c < 2; c++) {
        test_bench bench;
        lt_buckets b;
        CHECK_OK(test_open(&bench, configs[c]));
        const lt_params *params = &bench.model->params;
        CHECK_OK(lt_buckets_plan(params, 1, &b)); /* a bucket for each layer */
        CHECK(b.count == LAYERS + 1 && b.items[0].layer == LAYERS - 1);
        if (c == 0) CHECK(b.items[0].span_count == 1);
        check_plan(params, &b);
        int64_t layer = b.spans[0].count * (int64_t)sizeof(float);
        lt_buckets_free(&b);
        if (c == 0) {
            CHECK_OK(lt_buckets_plan(params, layer + 1, &b)); /* two layers in each */
            CHECK(b.count == LAYERS / 2 + 1 && b.items[0].layer == LAYERS - 2);
            CHECK(b.items[0].span_count == 1);
            check_plan(params, &b);
            lt_buckets_free(&b);
        }
        CHECK_OK(lt_buckets_plan(params, INT64_MAX, &b)); /* all layers in one */
        CHECK(b.count == 2 && b.items[0].layer == 0);
        check_plan(params, &b);
        lt_buckets_free(&b);
        test_close(&bench);
    }
}

static void without_layers_there_is_one_bucket_or_none(void) {
    static const char *const scorer[] = {"train.stage=scorer",
                                         "train.policy_mix=[{\"policy\":\"learned\",\"budget\":2}]", NULL};
    test_bench bench;
    lt_buckets b;
    CHECK_OK(test_open(&bench, scorer));
    CHECK_OK(lt_buckets_plan(&bench.model->params, 1, &b));
    CHECK(b.count == 1 && b.items[0].layer == -1);
    check_plan(&bench.model->params, &b);
    lt_buckets_free(&b);
    lt_params_set_trainable(&bench.model->params, NULL, false);
    CHECK_OK(lt_buckets_plan(&bench.model->params, 1, &b));
    CHECK(b.count == 0 && b.span_count == 0);
    lt_buckets_free(&b);
    test_close(&bench);
}

/* ---- when gradients are final ------------------------------------------------------------------------------------ */

typedef struct watch {
    lt_buckets buckets; /* one for each layer */
    char *copies[LAYERS];
    int calls, wrong;
} watch;

static size_t bucket_bytes(const watch *w, int layer) {
    const lt_bucket *bucket = &w->buckets.items[LAYERS - 1 - layer];
    return (size_t)w->buckets.spans[bucket->first_span].count * sizeof(float);
}

static char *bucket_values(const watch *w, int layer) {
    return w->buckets.spans[w->buckets.items[LAYERS - 1 - layer].first_span].values;
}

static lt_status take_copy(void *user, int layer) {
    watch *w = user;
    w->wrong += layer != LAYERS - 1 - w->calls % LAYERS;
    w->calls++;
    memcpy(w->copies[layer], bucket_values(w, layer), bucket_bytes(w, layer));
    return LT_OK;
}

static void run_watched(const char *const *overrides, int passes) {
    test_bench bench;
    watch w = {0};
    lt_step_result r;
    CHECK_OK(test_open(&bench, overrides));
    CHECK_OK(lt_buckets_plan(&bench.model->params, 1, &w.buckets));
    CHECK_OK(lt_buckets_clear(&w.buckets, LT_F32, bench.device));
    for (int i = 0; i < LAYERS; i++) w.copies[i] = calloc(1, bucket_bytes(&w, i));
    lt_tape *tape = &lt_trainer_session(bench.trainer)->tape;
    tape->passed = take_copy;
    tape->passed_user = &w;
    CHECK_OK(lt_trainer_step(bench.trainer, &r));
    CHECK(w.calls == passes * LAYERS && w.wrong == 0);
    for (int i = 0; i < LAYERS; i++) {
        CHECK(memcmp(w.copies[i], bucket_values(&w, i), bucket_bytes(&w, i)) == 0);
        free(w.copies[i]);
    }
    lt_buckets_free(&w.buckets);
    test_close(&bench);
}

static void a_layer_that_was_passed_keeps_its_gradients(void) {
    static const char *const recompute[] = {"model.layers=4", "train.recompute=true", NULL};
    static const char *const parts[] = {"model.layers=4", "train.accumulate=2", NULL};
    static const char *const joint[] = {"model.layers=4", "train.stage=joint", NULL};
    run_watched(plain, 1);
    run_watched(recompute, 1);
    run_watched(parts, 2);
    run_watched(joint, 1);
}

/* ---- the order of sums ------------------------------------------------------------------------------------------- */

static void sums_start_in_the_order_of_the_plan_and_all_are_made(void) {
    test_bench bench;
    lt_comm *comm;
    lt_buckets b;
    CHECK_OK(test_open(&bench, plain));
    CHECK_OK(lt_comm_open(&comm));
    lt_params *params = &bench.model->params;
    lt_ctx *ctx = &lt_trainer_session(bench.trainer)->ctx;
    CHECK_OK(lt_buckets_plan(params, 1, &b));
    for (int step = 0; step < 2; step++) {
        lt_params_clear_grads(params);
        lt_buckets_begin(&b);
        CHECK_OK(lt_buckets_reduce(&b, params, ctx, comm, LAYERS - 1));
        CHECK(b.next == 1);
        CHECK_OK(lt_buckets_reduce(&b, params, ctx, comm, 1)); /* 2 was not told */
        CHECK(b.next == 3);
        /* A gradient that nothing reached is zero before it is summed, and only those that are summed are touched. */
        for (int i = 0; i < params->count; i++)
            if (params->items[i]->var.needs_grad)
                CHECK(params->items[i]->var.has_grad == (layer_of(params, i) >= 1));
        CHECK_OK(lt_buckets_finish(&b, params, ctx, comm));
        CHECK(b.next == b.count);
    }
    lt_buckets_free(&b);
    lt_comm_close(comm);
    test_close(&bench);
}

int main(int argc, char **argv) {
    test_begin();
    lt_set_threads(1);
    RUN(every_trained_gradient_is_in_one_bucket);
    RUN(without_layers_there_is_one_bucket_or_none);
    RUN(a_layer_that_was_passed_keeps_its_gradients);
    RUN(sums_start_in_the_order_of_the_plan_and_all_are_made);
    test_finish();
    return test_end();
}
