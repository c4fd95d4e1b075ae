#include "kernels/attention/cpu_spans.h"

#include "core/parallel.h"

lt_spans lt_attn_spans(int64_t items, int64_t tokens) {
    int64_t wanted = (64 + items - 1) / items, most = (tokens + 255) / 256;
    int64_t count = wanted < most ? wanted : most;
    if (count < 1) count = 1;
    int64_t span = (tokens + count - 1) / count;
    span = (span + LT_ATTN_CHUNK - 1) / LT_ATTN_CHUNK * LT_ATTN_CHUNK;
    return (lt_spans){(tokens + span - 1) / span, span};
}

int lt_attn_threads(double products) { return products < 4e5 ? 1 : lt_threads(); }

void lt_attn_add_spans(int64_t count, int64_t floats, float *partial) {
    for (int64_t s = 1; s < count; s++)
        for (int64_t i = 0; i < floats; i++) partial[i] += partial[s * floats + i];
}
