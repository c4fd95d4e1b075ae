/* One block alone, without history: a forward, or a training step on it. For the bench. */
#ifndef LT_TRAIN_BENCH_BLOCK_H
#define LT_TRAIN_BENCH_BLOCK_H

#include "train/optimizer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LT_BLOCK_BATCH = 16 };

typedef struct lt_block_bench {
    lt_session *session;
    int batch;                    /* at most LT_BLOCK_BATCH */
    const float *latents;         /* [batch, block] */
    const lt_train_config *train; /* NULL: a forward that records nothing; else a whole training step */
    lt_dit_keep keep;
    lt_optimizer optimizer;
} lt_block_bench;

/* What a session runs for it; `bench` must outlive the session. */
lt_work lt_block_work(lt_block_bench *bench);
/* The work again: `user` is a bench whose session is set. */
lt_status lt_block_call(void *user);

#ifdef __cplusplus
}
#endif
#endif
