/* Inside the attention kernels (self and cross): how work over tokens is cut into pieces. */
#ifndef LT_KERNELS_ATTENTION_CPU_SPANS_H
#define LT_KERNELS_ATTENTION_CPU_SPANS_H

#include <stdint.h>

/* Tokens packed at a time: a chunk of keys and values stays in the first-level cache. */
enum { LT_ATTN_CHUNK = 64 };

/* Long sequences with few heads are cut into spans, so that there is work for every thread; what spans sum is added
 * up in span order. Depends on the problem alone: `items` independent sums over up to `tokens` tokens. */
typedef struct lt_spans {
    int64_t count, tokens; /* spans an item, tokens a span */
} lt_spans;
lt_spans lt_attn_spans(int64_t items, int64_t tokens);

/* Threads for a parallel loop over this many multiplications: one, where starting the others costs more. */
int lt_attn_threads(double products);

/* Sum of `count` partial results of `floats` each, in order, left in the first one. */
void lt_attn_add_spans(int64_t count, int64_t floats, float *partial);

#endif
