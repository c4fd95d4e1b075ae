/* What the processes of a job do together in a step: they agree to go on, sum gradients and figures, and stay the
 * same. */
#include "train/trainer_impl.h"

#include <inttypes.h>
#include <string.h>

static lt_status layer_passed(void *user, int layer) {
    lt_trainer *t = user;
    return lt_buckets_reduce(&t->buckets, &t->spec.model->params, &t->session->ctx, t->spec.comm, layer);
}

lt_status lt_trainer_join_ranks(lt_trainer *t) {
    const lt_params *params = &t->spec.model->params;
    if (t->ranks == 1) return LT_OK;
    LT_TRY(lt_buckets_plan(params, lt_buckets_size(params), &t->buckets));
    return lt_buckets_clear(&t->buckets, params->dtype, t->spec.model->device);
}

void lt_trainer_sum_from_here(lt_trainer *t) {
    if (t->ranks == 1) return;
    lt_buckets_begin(&t->buckets);
    if (!lt_comm_overlaps(t->spec.comm)) return;
    t->session->tape.passed = layer_passed;
    t->session->tape.passed_user = t;
}

lt_status lt_trainer_agree(lt_trainer *t, lt_status mine) {
    if (t->ranks == 1) return mine;
    lt_status status = lt_comm_agree(t->spec.comm, mine);
    if (status == LT_OK) return LT_OK;
    t->session->tape.passed = NULL;
    lt_comm_reduce_abandon(t->spec.comm);
    return status;
}

lt_status lt_trainer_share(lt_trainer *t, double *loss, double *figures) {
    double sums[1 + LT_OBJECTIVE_FIGURES] = {*loss};
    int count = t->objectives.figures;
    if (t->ranks == 1) return LT_OK;
    t->session->tape.passed = NULL;
    LT_TRY(lt_buckets_finish(&t->buckets, &t->spec.model->params, &t->session->ctx, t->spec.comm));
    memcpy(sums + 1, figures, (size_t)count * sizeof *figures);
    LT_TRY(lt_comm_sum_f64(t->spec.comm, sums, 1 + count));
    LT_TRY(lt_comm_reduce_check(t->spec.comm));
    *loss = sums[0];
    memcpy(figures, sums + 1, (size_t)count * sizeof *figures);
    return LT_OK;
}

static lt_status hash_values(lt_trainer *t, uint64_t hash[2]) {
    lt_params *params = &t->spec.model->params;
    LT_TRY(lt_params_hash(params, &hash[0]));
    LT_TRY(lt_params_swap_ema(params, &t->session->ctx));
    lt_status status = lt_params_hash(params, &hash[1]);
    LT_TRY(lt_params_swap_ema(params, &t->session->ctx));
    return status;
}

lt_status lt_trainer_check_ranks(lt_trainer *t) {
    uint64_t mine[2] = {0}, first[2];
    if (t->ranks == 1) return LT_OK;
    LT_TRY(lt_comm_agree(t->spec.comm, hash_values(t, mine)));
    memcpy(first, mine, sizeof first);
    LT_TRY(lt_comm_broadcast(t->spec.comm, first, sizeof first, 0));
    lt_status status = LT_OK;
    if (memcmp(first, mine, sizeof first) != 0)
        status = lt_fail(LT_FAILED,
                         "step %" PRId64 ": the values of rank %d (%016" PRIx64 ", EMA %016" PRIx64
                         ") are not rank 0's (%016" PRIx64 ", EMA %016" PRIx64
                         "); resume from the checkpoint before",
                         t->done, t->rank, mine[0], mine[1], first[0], first[1]);
    return lt_comm_agree(t->spec.comm, status);
}
