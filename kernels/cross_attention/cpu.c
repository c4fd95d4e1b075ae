#include "core/parallel.h"
#include "kernels/cross_attention/cpu_parts.h"
#include "kernels/e4m3.h"

#include <math.h>
#include <omp.h>

/* Keys transposed [D, padded_L] and values [L, padded_D] of one head. */
static int64_t head_floats(const lt_cross_shape *s) { return s->D * s->padded_L + s->L * s->padded_D; }
static int64_t thread_floats(const lt_cross_shape *s) { return LT_CROSS_ROWS * (s->padded_L + s->padded_D); }

size_t lt_cross_attention_cpu_bytes(const lt_cross_shape *s) {
    int64_t floats = s->B * s->padded_L + s->B * s->H * head_floats(s) + lt_threads() * thread_floats(s);
    return (size_t)floats * sizeof(float);
}

static void row_terms(int64_t L, const float *mask, float *terms) {
    float visible = mask[0];
    for (int64_t j = 1; j < L; j++) visible = mask[j] > visible ? mask[j] : visible;
    for (int64_t j = 0; j < L; j++) terms[j] = -10000 * (visible - mask[j]);
}

void lt_cross_mask_terms(const lt_cross_shape *s, const lt_tensor *mask, float *terms) {
    for (int64_t b = 0; b < s->B; b++, terms += s->padded_L) {
        for (int64_t j = 0; j < s->padded_L; j++) terms[j] = j < s->L ? 0 : -INFINITY;
        if (!lt_is_empty(mask)) row_terms(s->L, (const float *)mask->data + b * s->L, terms);
    }
}

/* Scores to exp(score - largest), in place; what they add up to, and the largest. */
static float exponentials(int64_t n, float scale, const float *terms, float *x, float *largest) {
    float most = -INFINITY, sum = 0;
#pragma omp simd reduction(max : most)
    for (int64_t j = 0; j < n; j++) {
        x[j] = x[j] * scale + terms[j];
        most = x[j] > most ? x[j] : most;
    }
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) {
        x[j] = lt_vec_exp(x[j] - most);
        sum += x[j];
    }
    *largest = most;
    return sum;
}

static void write_row(int64_t d, float scale, const float *from, float *to) {
    for (int64_t c = 0; c < d; c++) to[c] = from[c] * scale;
}

/* The same in e4m3, by the largest number of its text's values. */
static void write_codes(const lt_cross_attention_args *a, const lt_cross_shape *s, int64_t g, int64_t t,
                        int64_t h, float scale, const float *from, float largest) {
    uint8_t *to = (uint8_t *)a->o.data + ((g * s->T + t) * s->H + h) * s->D;
    float factor = lt_e4m3_factor(largest);
    for (int64_t c = 0; c < s->D; c++) to[c] = lt_f32_to_e4m3(from[c] * scale * factor);
    if (h == 0) ((float *)a->o_scale.data)[g * s->T + t] = lt_e4m3_scale(largest);
}

/* NaN where one of them is. */
static float largest_of(const lt_tensor *v, int64_t text, const lt_cross_shape *s) {
    float largest = LT_E4M3_LEAST;
    for (int64_t j = 0; j < s->L && largest == largest; j++) {
        float row = lt_e4m3_largest(lt_cross_at(v, text, j, 0), s->H * s->D);
        if (!(row <= largest)) largest = row;
    }
    return largest;
}

/* Queries [first, first + rows) of one head of group g. `largest`: of its text's values, where o is e4m3. */
static void attend(const lt_cross_attention_args *a, const lt_cross_shape *s, int64_t g, int64_t h,
                   int64_t first, int64_t rows, const float *terms, const float *keys, const float *largest,
                   float *mine) {
    const float *values = keys + s->D * s->padded_L, *q = lt_cross_at(&a->q, g, first, h);
    float *scores = mine, *product = mine + LT_CROSS_ROWS * s->padded_L, inverse[LT_CROSS_ROWS];
    lt_tile_product(rows, s->padded_L, s->D, q, a->q.stride[1], 1, keys, s->padded_L, scores, s->padded_L,
                    false);
    const float *own = lt_is_empty(&a->q_scale) ? NULL : (const float *)a->q_scale.data + g * s->T + first;
    for (int64_t i = 0; i < rows; i++) {
        float scale = (float)a->scale * (own ? own[i] : 1);
        float most, sum = exponentials(s->padded_L, scale, terms, scores + i * s->padded_L, &most);
        inverse[i] = 1 / sum;
        if (!lt_is_empty(&a->lse))
            ((float *)a->lse.data)[(g * s->H + h) * s->T + first + i] = most + logf(sum);
    }
    lt_tile_product(rows, s->padded_D, s->L, scores, s->padded_L, 1, values, s->padded_D, product,
                    s->padded_D, false);
    for (int64_t i = 0; i < rows; i++) {
        const float *row = product + i * s->padded_D;
        if (largest) write_codes(a, s, g, first + i, h, inverse[i], row, *largest);
        else write_row(s->D, inverse[i], row, lt_cross_at(&a->o, g, first + i, h));
    }
}

lt_status lt_cross_attention_cpu(lt_ctx *ctx, const void *untyped, void *workspace) {
    (void)ctx;
    const lt_cross_attention_args *a = untyped;
    lt_cross_shape s = lt_cross_shape_of(&a->q, &a->k);
    float *terms = workspace, *heads = terms + s.B * s.padded_L,
          *scratch = heads + s.B * s.H * head_floats(&s);
    float *largest =
        lt_is_empty(&a->o_scale) ? NULL : terms + lt_cross_attention_cpu_bytes(&s) / sizeof *terms;
    int64_t pieces = (s.T + LT_CROSS_ROWS - 1) / LT_CROSS_ROWS;
    int threads = lt_attn_threads(2.0 * s.G * s.H * s.T * s.L * s.D);
    lt_cross_mask_terms(&s, &a->mask, terms);
    for (int64_t b = 0; largest && b < s.B; b++) largest[b] = largest_of(&a->v, b, &s);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
#pragma omp for
        for (int64_t i = 0; i < s.B * s.H; i++) {
            int64_t b = i / s.H, h = i % s.H;
            float *keys = heads + i * head_floats(&s);
            lt_tile_transpose(s.L, s.D, lt_cross_at(&a->k, b, 0, h), a->k.stride[1], keys);
            lt_tile_pad(s.L, s.D, lt_cross_at(&a->v, b, 0, h), a->v.stride[1], keys + s.D * s.padded_L);
        }
        float *mine = scratch + omp_get_thread_num() * thread_floats(&s);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < s.G * s.H * pieces; i++) {
            int64_t g = i / pieces / s.H, h = i / pieces % s.H, first = i % pieces * LT_CROSS_ROWS;
            int64_t rows = s.T - first < LT_CROSS_ROWS ? s.T - first : LT_CROSS_ROWS;
            attend(a, &s, g, h, first, rows, terms + g % s.B * s.padded_L,
                   heads + (g % s.B * s.H + h) * head_floats(&s), largest ? largest + g % s.B : NULL, mine);
        }
    }
    return LT_OK;
}
