#include "kernels/attention/combine_plan.h"
#include "kernels/attention/testing.h"

enum { MOST = 6 };

typedef struct sources {
    lt_tensor S[MOST], z[MOST];
} sources;

static sources make_sources(lt_check *c, lt_check_role role, int count, int64_t H, int64_t D) {
    sources x = {0};
    for (int e = 0; e < count; e++) {
        x.S[e] = lt_check_operand_new(c, role, true, LT_DIMS(H, D, D));
        x.z[e] = lt_check_operand_new(c, role, true, LT_DIMS(H, D));
    }
    return x;
}

static lt_attn_sum new_sum(lt_check *c, int count, int weighted, int64_t H, int64_t D) {
    lt_attn_sum sum = {.count = count, .weighted = weighted};
    if (weighted) sum.weights = LT_IN_SUM(c, weighted, H);
    sum.S = LT_OUT_SUM(c, H, D, D);
    sum.z = LT_OUT_SUM(c, H, D);
    return sum;
}

static lt_status run_one(lt_check *c, const lt_attn_sum *sum, const lt_tensor *S, const lt_tensor *z) {
    lt_attn_combine_args args = {1, sum, S, z};
    return lt_attn_combine_forward(&c->ctx, &args);
}

static lt_status forward_agrees(int count, int weighted, int64_t H, int64_t D) {
    lt_check c;
    lt_check_begin(&c, 31);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, count, H, D);
        lt_attn_sum sum = new_sum(&c, count, weighted, H, D);
        LT_CHECK_RUN(&c, run_one(&c, &sum, x.S, x.z));
    }
    return lt_check_end(&c);
}

enum { DSOURCES = 1, DWEIGHTS = 2, ACCUMULATE = 4 };

static lt_status backward_agrees(int count, int weighted, int64_t H, int64_t D, int parts) {
    static const bool accumulates[MOST] = {true, true, true, true, true, true};
    lt_check_role role = parts & ACCUMULATE ? LT_CHECK_BOTH : LT_CHECK_OUTPUT;
    lt_check c;
    lt_check_begin(&c, 32);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, count, H, D), dx = {0};
        for (int e = 0; parts & DSOURCES && e < count; e++) {
            if (count > 2 && e == 1) continue; /* one that needs no gradient */
            dx.S[e] = lt_check_operand_new(&c, role, true, LT_DIMS(H, D, D));
            dx.z[e] = lt_check_operand_new(&c, role, true, LT_DIMS(H, D));
        }
        lt_attn_sum_gradient g = {.count = count, .weighted = weighted};
        if (weighted) g.weights = LT_IN_SUM(&c, weighted, H);
        g.dS = LT_IN_SUM(&c, H, D, D);
        g.dz = LT_IN_SUM(&c, H, D);
        if (parts & DWEIGHTS) g.dweights = lt_check_operand_new(&c, role, true, LT_DIMS(weighted, H));
        g.accumulate_dweights = parts & ACCUMULATE;
        lt_attn_combine_backward_args b = {1, &g, x.S, x.z, dx.S, dx.z};
        if (parts & ACCUMULATE) b.accumulate = accumulates;
        LT_CHECK_RUN(&c, lt_attn_combine_backward(&c.ctx, &b));
    }
    return lt_check_end(&c);
}

static void all_sizes_agree_with_the_reference(void) {
    for (int d = 0; d < TEST_DIMS; d++)
        for (int weighted = 0; weighted <= MOST; weighted += 3) {
            CHECK_OK(forward_agrees(MOST, weighted, 3, test_dims[d]));
            CHECK_OK(backward_agrees(MOST, weighted, 3, test_dims[d], DSOURCES | (weighted ? DWEIGHTS : 0)));
        }
    CHECK_OK(forward_agrees(1, 1, 1, 2));
    CHECK_OK(forward_agrees(1, 0, 1, 30));
    CHECK_OK(forward_agrees(MOST, 3, 20, 7)); /* heads that no access of several elements fits */
    CHECK_OK(backward_agrees(MOST, 3, 20, 7, DSOURCES | DWEIGHTS));
    CHECK_OK(backward_agrees(1, 1, 1, 2, DSOURCES | DWEIGHTS));
}

static void backward_adds_and_leaves_out(void) {
    CHECK_OK(backward_agrees(4, 2, 3, 60, DSOURCES | DWEIGHTS | ACCUMULATE));
    CHECK_OK(backward_agrees(4, 2, 3, 60, DWEIGHTS));
    CHECK_OK(backward_agrees(4, 4, 3, 60, DSOURCES));
}

/* Bits of a running sum, updated in place entry by entry, against one fold of the list, without weights and with
 * weights that are 1. */
static void a_running_sum_is_the_fold_of_the_list_bit_for_bit(void) {
    enum { H = 2, D = 60 };
    lt_check c;
    lt_check_begin(&c, 33);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, MOST, H, D);
        lt_attn_sum sums[2] = {new_sum(&c, MOST, MOST, H, D), new_sum(&c, MOST, 0, H, D)};
        lt_attn_sum *list = &sums[0], *plain = &sums[1];
        for (int i = 0; i < MOST * H; i++) lt_check_set(&list->weights, i, 1);
        lt_attn_combine_args both = {2, sums, x.S, x.z};
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &both));
        lt_tensor S[2] = {LT_OUT_SUM(&c, H, D, D)}, z[2] = {LT_OUT_SUM(&c, H, D)};
        memcpy(S[0].data, x.S[0].data, lt_nbytes(&S[0]));
        memcpy(z[0].data, x.z[0].data, lt_nbytes(&z[0]));
        for (int e = 1; e < MOST; e++) {
            S[1] = x.S[e], z[1] = x.z[e];
            lt_attn_sum step = {.count = 2, .S = S[0], .z = z[0]};
            LT_CHECK_RUN(&c, run_one(&c, &step, S, z));
        }
        CHECK(memcmp(list->S.data, S[0].data, lt_nbytes(&S[0])) == 0);
        CHECK(memcmp(list->z.data, z[0].data, lt_nbytes(&z[0])) == 0);
        CHECK(memcmp(plain->S.data, S[0].data, lt_nbytes(&S[0])) == 0);
        CHECK(memcmp(plain->z.data, z[0].data, lt_nbytes(&z[0])) == 0);
    }
    CHECK_OK(lt_check_end(&c));
}

static void a_weight_of_zero_removes_an_entry(void) {
    lt_check c;
    lt_check_begin(&c, 34);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, 3, 2, 32), two = {{x.S[0], x.S[2]}, {x.z[0], x.z[2]}};
        lt_attn_sum all = new_sum(&c, 3, 3, 2, 32), without = new_sum(&c, 2, 0, 2, 32);
        for (int i = 0; i < 6; i++) lt_check_set(&all.weights, i, i / 2 != 1);
        LT_CHECK_RUN(&c, run_one(&c, &all, x.S, x.z));
        LT_CHECK_RUN(&c, run_one(&c, &without, two.S, two.z));
        CHECK(memcmp(all.S.data, without.S.data, lt_nbytes(&all.S)) == 0);
        CHECK(memcmp(all.z.data, without.z.data, lt_nbytes(&all.z)) == 0);
    }
    CHECK_OK(lt_check_end(&c));
}

/* More sources than one launch has room for, of which several share a tensor and its gradient. */
static void long_lists_agree_with_the_reference(void) {
    enum { COUNT = 500, WEIGHTED = 490, PAIRS = 2600, H = 2, D = 6 };
    static lt_tensor S[COUNT], z[COUNT], dS[COUNT], dz[COUNT];
    static lt_tensor A[PAIRS], B[PAIRS];
    static bool accumulate[COUNT];
    lt_check c;
    lt_check_begin(&c, 38);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, MOST, H, D),
                dx = make_sources(&c, LT_CHECK_OUTPUT, MOST, H, D);
        lt_attn_sum f = new_sum(&c, COUNT, WEIGHTED, H, D);
        lt_attn_sum_gradient b = {.count = COUNT, .weighted = WEIGHTED, .weights = f.weights};
        for (int e = 0; e < COUNT; e++) {
            S[e] = x.S[e % MOST], z[e] = x.z[e % MOST];
            bool own = e < MOST - 1, shared = e == COUNT - 2 || e == COUNT - 1;
            dS[e] = own ? dx.S[e] : shared ? dx.S[MOST - 1] : (lt_tensor){0};
            dz[e] = own ? dx.z[e] : shared ? dx.z[MOST - 1] : (lt_tensor){0};
            accumulate[e] = e == COUNT - 1;
        }
        b.dS = LT_IN_SUM(&c, H, D, D);
        b.dz = LT_IN_SUM(&c, H, D);
        b.dweights = LT_OUT_SUM(&c, WEIGHTED, H);
        lt_attn_combine_backward_args back = {1, &b, S, z, dS, dz, accumulate};
        for (int i = 0; i < PAIRS; i++) A[i] = z[i % COUNT], B[i] = z[i / 7 % COUNT];
        lt_attn_dots_args d = {.count = PAIRS, .A = A, .B = B, .out = LT_OUT_SUM(&c, PAIRS, H)};
        LT_CHECK_RUN(&c, run_one(&c, &f, S, z));
        LT_CHECK_RUN(&c, lt_attn_combine_backward(&c.ctx, &back));
        LT_CHECK_RUN(&c, lt_attn_dots(&c.ctx, &d));
    }
    CHECK_OK(lt_check_end(&c));
}

/* Several readers of entries that they share, each with segments of its own: a block of a training step. Gradients of
 * entries sum over their readers and what earlier calls left there. */
enum { READERS = 5, ENTRIES = 3 };
typedef struct readers {
    lt_tensor S[READERS * (ENTRIES + 1)], z[READERS * (ENTRIES + 1)], dS[READERS * (ENTRIES + 1)],
        dz[READERS * (ENTRIES + 1)];
    bool accumulate[READERS * (ENTRIES + 1)];
    lt_attn_sum sums[READERS];
    lt_attn_sum_gradient gradients[READERS];
} readers;

/* Reader i: the first i % (ENTRIES + 1) entries, weighted where i is odd, then its own. */
static void fill_readers(lt_check *c, readers *r, int64_t H, int64_t D) {
    sources entry = make_sources(c, LT_CHECK_INPUT, ENTRIES, H, D),
            d_entry = make_sources(c, LT_CHECK_BOTH, ENTRIES, H, D),
            own = make_sources(c, LT_CHECK_INPUT, READERS, H, D),
            d_own = make_sources(c, LT_CHECK_OUTPUT, READERS, H, D);
    int at = 0;
    for (int i = 0; i < READERS; i++) {
        int read = i % (ENTRIES + 1), first = at;
        for (int e = 0; e < read; e++, at++) {
            r->S[at] = entry.S[e], r->z[at] = entry.z[e];
            r->dS[at] = d_entry.S[e], r->dz[at] = d_entry.z[e];
            r->accumulate[at] = true;
        }
        r->S[at] = own.S[i], r->z[at] = own.z[i], r->dS[at] = d_own.S[i], r->dz[at] = d_own.z[i];
        r->accumulate[at++] = false;
        r->sums[i] = new_sum(c, read + 1, i % 2 ? read : 0, H, D);
        r->sums[i].first = first;
        lt_attn_sum_gradient *g = &r->gradients[i];
        *g = (lt_attn_sum_gradient){first, read + 1, r->sums[i].weighted, r->sums[i].weights};
        g->dS = LT_IN_SUM(c, H, D, D), g->dz = LT_IN_SUM(c, H, D);
        if (g->weighted) g->dweights = LT_OUT_SUM(c, g->weighted, H);
    }
}

static void readers_that_share_entries_agree_with_the_reference(void) {
    lt_check c;
    lt_check_begin(&c, 39);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        readers r = {0};
        fill_readers(&c, &r, 3, 30);
        lt_attn_combine_args f = {READERS, r.sums, r.S, r.z};
        lt_attn_combine_backward_args b = {READERS, r.gradients, r.S, r.z, r.dS, r.dz, r.accumulate};
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_attn_combine_backward(&c.ctx, &b));
    }
    CHECK_OK(lt_check_end(&c));
}

/* ---- plans: what CUDA launches, carried out here in plain loops -------------------------------------------------- */

static void carry_out(const lt_fold_plan *p) {
    for (int l = 0; l < p->lists; l++)
        for (int64_t i = 0; i < p->heads * (p->S_size + p->z_size); i++) {
            const lt_fold_list *list = &p->list[l];
            bool of_S = i < p->heads * p->S_size;
            int64_t at = of_S ? i : i - p->heads * p->S_size, head = at / (of_S ? p->S_size : p->z_size);
            float *out = of_S ? list->S : list->z, sum = list->adds ? out[at] : 0;
            for (int e = list->first; e < list->first + list->count; e++)
                sum += (p->item[e].w ? p->item[e].w[head] : 1) * (of_S ? p->item[e].S : p->item[e].z)[at];
            out[at] = sum;
        }
}

static void carry_out_dots(const lt_dot_plan *p) {
    for (int i = 0; i < p->items; i++)
        for (int h = 0; h < p->heads; h++) {
            const lt_dot_item *d = &p->item[i];
            double dot = d->adds ? d->dw[h] : 0;
            for (int64_t k = h * p->S_size; k < (h + 1) * p->S_size; k++) dot += (double)d->S[k] * d->dS[k];
            for (int64_t k = h * p->z_size; k < (h + 1) * p->z_size; k++) dot += (double)d->z[k] * d->dz[k];
            d->dw[h] = (float)dot;
        }
}

/* A call too long for one plan, through the op or, on the CPU's passes, through the plans: more sums than a plan has
 * lists, one of them of more sources than a plan has items, more shared gradients than lists, some of them overwritten
 * midway. */
enum { LONG_SUMS = 300, LONGEST = 900, POOL = 250, LONG_SOURCES = LONGEST + 3 * LONG_SUMS };
typedef struct long_call {
    lt_tensor S[LONG_SOURCES], z[LONG_SOURCES], dS[LONG_SOURCES], dz[LONG_SOURCES];
    bool accumulate[LONG_SOURCES];
    lt_attn_sum sums[LONG_SUMS];
    lt_attn_sum_gradient gradients[LONG_SUMS];
} long_call;

static int count_of(int i) { return i == 100 ? LONGEST : i % 3 + 1; }
static int weighted_of(int i) { return i == 100 ? LONGEST - 1 : i % 2; }

/* Sums from 0 on without sources yet; weights and their gradients are rows of one operand each. */
static void long_sums(lt_check *c, long_call *x, int64_t H, int64_t D) {
    int rows = 0, row = 0, first = 0;
    for (int i = 0; i < LONG_SUMS; i++) rows += weighted_of(i);
    lt_tensor w = LT_IN_SUM(c, rows, H), dw = LT_OUT_SUM(c, rows, H), S = LT_OUT_SUM(c, LONG_SUMS, H, D, D),
              z = LT_OUT_SUM(c, LONG_SUMS, H, D), dS = LT_IN_SUM(c, LONG_SUMS, H, D, D),
              dz = LT_IN_SUM(c, LONG_SUMS, H, D);
    for (int i = 0; i < LONG_SUMS; i++) {
        int count = count_of(i), weighted = weighted_of(i);
        lt_attn_sum *sum = &x->sums[i];
        lt_attn_sum_gradient *g = &x->gradients[i];
        *sum = (lt_attn_sum){.first = first, .count = count, .weighted = weighted};
        sum->S = lt_select(S, 0, i), sum->z = lt_select(z, 0, i);
        if (weighted) sum->weights = lt_slice(w, 0, row, weighted);
        *g = (lt_attn_sum_gradient){
            first, count, weighted, sum->weights, lt_select(dS, 0, i), lt_select(dz, 0, i)};
        if (weighted) g->dweights = lt_slice(dw, 0, row, weighted);
        first += count;
        row += weighted;
    }
}

static void long_sources(lt_check *c, long_call *x, int64_t H, int64_t D) {
    lt_tensor S = LT_IN_SUM(c, POOL, H, D, D), z = LT_IN_SUM(c, POOL, H, D),
              dS = LT_INOUT_SUM(c, POOL, H, D, D), dz = LT_INOUT_SUM(c, POOL, H, D);
    for (int e = 0; e < LONG_SOURCES; e++) {
        int from = e * 7919 % (e % 2 ? POOL : 20);
        x->S[e] = lt_select(S, 0, from), x->z[e] = lt_select(z, 0, from);
        x->dS[e] = lt_select(dS, 0, from), x->dz[e] = lt_select(dz, 0, from);
        x->accumulate[e] = e % 97 != 5;
        if (e % 11 == 3) x->dS[e] = x->dz[e] = (lt_tensor){0};
    }
}

static lt_status run_long(lt_check *c, const lt_attn_combine_args *f,
                          const lt_attn_combine_backward_args *b) {
    static lt_fold_plan plan;
    static lt_dot_plan dots;
    lt_plan_place fold = {0}, spread = {0}, weights = {0};
    if (c->ctx.backend != LT_BACKEND_CPU) {
        LT_TRY(lt_attn_combine_forward(&c->ctx, f));
        return lt_attn_combine_backward(&c->ctx, b);
    }
    while (lt_fold_next(f, &fold, &plan)) carry_out(&plan);
    while (lt_spread_next(b, &spread, &plan)) carry_out(&plan);
    while (lt_dots_next(b, &weights, &dots)) carry_out_dots(&dots);
    return LT_OK;
}

static void plans_carry_out_calls_of_any_length(void) {
    static long_call x;
    for (int64_t D = 2; D <= 3; D++) {
        lt_check c;
        lt_check_begin(&c, 40);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            long_sums(&c, &x, 2, D);
            long_sources(&c, &x, 2, D);
            lt_attn_combine_args f = {LONG_SUMS, x.sums, x.S, x.z};
            lt_attn_combine_backward_args b = {LONG_SUMS, x.gradients, x.S, x.z, x.dS, x.dz, x.accumulate};
            LT_CHECK_RUN(&c, run_long(&c, &f, &b));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

/* What a training step of the tiny model asks for: 16 sequences of 3 streams, each reading 5 entries and itself. */
static void a_block_of_a_training_step_is_one_launch(void) {
    enum { SEQUENCES = 16, STREAMS = 3, READ = 5, GROUPS = SEQUENCES * STREAMS, LONG = GROUPS * (READ + 1) };
    static lt_fold_plan plan;
    static float memory[2 * (SEQUENCES * READ + GROUPS)];
    static lt_tensor list[LONG];
    static bool accumulate[LONG];
    lt_attn_sum sums[GROUPS];
    lt_attn_sum_gradient gradients[GROUPS];
    for (int g = 0; g < GROUPS; g++) {
        int first = g * (READ + 1);
        for (int e = 0; e <= READ; e++) {
            float *at = memory + (e < READ ? g % SEQUENCES * READ + e : SEQUENCES * READ + g);
            list[first + e] = LT_VIEW(at, LT_F32, 1, 1, 1);
            accumulate[first + e] = g >= SEQUENCES;
        }
        sums[g] = (lt_attn_sum){.first = first, .count = READ + 1, .S = list[first], .z = list[first]};
        gradients[g] =
            (lt_attn_sum_gradient){.first = first, .count = READ + 1, .dS = list[first], .dz = list[first]};
    }
    lt_attn_combine_args f = {GROUPS, sums, list, list};
    lt_attn_combine_backward_args b = {GROUPS, gradients, list, list, list, list, accumulate};
    lt_plan_place fold = {0}, spread = {0};
    CHECK(lt_fold_next(&f, &fold, &plan) && plan.lists == GROUPS);
    CHECK(!lt_fold_next(&f, &fold, &plan));
    CHECK(lt_spread_next(&b, &spread, &plan) && plan.lists == SEQUENCES * READ + GROUPS);
    CHECK(plan.list[0].count == STREAMS && !plan.list[0].adds);
    CHECK(!lt_spread_next(&b, &spread, &plan));
}

static void gradients_equal_differences(void) {
    enum { COUNT = 3, WEIGHTED = 2, H = 2, D = 4 };
    lt_check c;
    lt_check_begin(&c, 35);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, COUNT, H, D),
                dx = make_sources(&c, LT_CHECK_OUTPUT, COUNT, H, D);
        lt_attn_sum sum = new_sum(&c, COUNT, WEIGHTED, H, D);
        lt_attn_combine_args f = {1, &sum, x.S, x.z};
        lt_attn_sum_gradient g = {.count = COUNT, .weighted = WEIGHTED, .weights = sum.weights};
        g.dS = LT_IN_SUM(&c, H, D, D);
        g.dz = LT_IN_SUM(&c, H, D);
        g.dweights = LT_OUT_SUM(&c, WEIGHTED, H);
        lt_attn_combine_backward_args b = {1, &g, x.S, x.z, dx.S, dx.z};
        LT_CHECK_RUN(&c, lt_attn_combine_forward(&c.ctx, &f));
        LT_CHECK_RUN(&c, lt_attn_combine_backward(&c.ctx, &b));
        lt_tensor y[] = {sum.S, sum.z}, dy[] = {g.dS, g.dz};
        lt_check_gradient(&c, "dweights", LT_OP_ATTN_COMBINE, &f, 2, y, dy, sum.weights, &g.dweights);
        for (int e = 0; e < COUNT; e++) {
            lt_check_gradient(&c, "dS_e", LT_OP_ATTN_COMBINE, &f, 2, y, dy, x.S[e], &dx.S[e]);
            lt_check_gradient(&c, "dz_e", LT_OP_ATTN_COMBINE, &f, 2, y, dy, x.z[e], &dx.z[e]);
        }
    }
    CHECK_OK(lt_check_end(&c));
}

static void dots_agree_with_the_reference(void) {
    enum { LENGTHS = 5, REPEATS = 20 };
    static const int64_t lengths[LENGTHS] = {1, 32, 63, 1000, 112 * 112};
    for (int repeats = 1; repeats <= REPEATS; repeats += REPEATS - 1) { /* as few arguments, as many */
        lt_check c;
        lt_check_begin(&c, 36);
        c.bf16 = true;
        while (lt_check_next(&c)) {
            lt_tensor A[LENGTHS * REPEATS], B[LENGTHS * REPEATS];
            int count = LENGTHS * repeats;
            for (int i = 0; i < LENGTHS; i++) {
                A[i] = LT_IN_SUM(&c, 3, lengths[i]);
                B[i] = LT_IN_SUM(&c, 3, lengths[i]);
            }
            for (int i = LENGTHS; i < count; i++) A[i] = A[i - LENGTHS], B[i] = B[i - LENGTHS];
            lt_attn_dots_args d = {.count = count, .A = A, .B = B, .out = LT_OUT_SUM(&c, count, 3)};
            LT_CHECK_RUN(&c, lt_attn_dots(&c.ctx, &d));
        }
        CHECK_OK(lt_check_end(&c));
    }
}

static void wrong_operands_are_named(void) {
    lt_check c;
    lt_check_begin(&c, 37);
    c.bf16 = true;
    while (lt_check_next(&c)) {
        sources x = make_sources(&c, LT_CHECK_INPUT, 3, 2, 32);
        lt_attn_sum sum = new_sum(&c, 3, 2, 2, 32), bad;
        lt_attn_combine_args none = {0, &sum, x.S, x.z};
        CHECK_FAILS(lt_attn_combine_forward(&c.ctx, &none), LT_FAILED, "0 combinations");
        bad = sum, bad.count = 0;
        CHECK_FAILS(run_one(&c, &bad, x.S, x.z), LT_FAILED, "0 sources");
        bad = sum, bad.weighted = 4;
        CHECK_FAILS(run_one(&c, &bad, x.S, x.z), LT_FAILED, "4 of 3 sources have weights");
        bad = sum, bad.weighted = 3;
        CHECK_FAILS(run_one(&c, &bad, x.S, x.z), LT_FAILED, "operand weights");
        sources odd = x;
        odd.z[2] = lt_slice(x.z[2], 1, 0, 31);
        CHECK_FAILS(run_one(&c, &sum, x.S, odd.z), LT_FAILED, "source 2");
        CHECK(strstr(lt_error(), "operand z") != NULL);
        lt_attn_dots_args d = {.A = x.z, .B = odd.z, .out = LT_INOUT_SUM(&c, 3, 2)};
        CHECK_FAILS(lt_attn_dots(&c.ctx, &d), LT_FAILED, "0 pairs");
        d.count = 3;
        CHECK_FAILS(lt_attn_dots(&c.ctx, &d), LT_FAILED, "pair 2");
        LT_CHECK_RUN(&c, run_one(&c, &sum, x.S, x.z));
    }
    CHECK_OK(lt_check_end(&c));
}

int main(int argc, char **argv) {
    RUN(all_sizes_agree_with_the_reference);
    RUN(backward_adds_and_leaves_out);
    RUN(a_running_sum_is_the_fold_of_the_list_bit_for_bit);
    RUN(a_weight_of_zero_removes_an_entry);
    RUN(long_lists_agree_with_the_reference);
    RUN(readers_that_share_entries_agree_with_the_reference);
    RUN(plans_carry_out_calls_of_any_length);
    RUN(a_block_of_a_training_step_is_one_launch);
    RUN(gradients_equal_differences);
    RUN(dots_agree_with_the_reference);
    RUN(wrong_operands_are_named);
    return test_end();
}
