#include "kernels/linear/cpu_product.h"

#include "core/parallel.h"
#include "kernels/attention/cpu_tile.h"

#if LT_LANES == 16

/* B is packed in blocks of DEPTH x WIDTH, panel by panel: PANEL columns, the widest block of lt_tile_product, which
 * stay in L1 while ROWS rows of A pass by in L2. */
enum { PANEL = 64, DEPTH = 128, WIDTH = 256, ROWS = 252 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static const float *at(const lt_factor *f, int64_t row, int64_t column) {
    return f->data + (f->transposed ? column * f->step + row : row * f->step + column);
}

/* b[k .. k + depth, j .. j + width] as panels of [depth, PANEL], the last one of lt_pad16 of what is left. */
static void pack_operand(const lt_factor *b, int64_t k, int64_t depth, int64_t j, int64_t width,
                         float *packed) {
    for (int64_t at_j = 0; at_j < width; at_j += PANEL) {
        int64_t columns = least(PANEL, width - at_j);
        float *to = packed + at_j * depth;
        if (b->transposed) lt_tile_transpose(columns, depth, at(b, k, j + at_j), b->step, to);
        else lt_tile_pad(depth, columns, at(b, k, j + at_j), b->step, to);
    }
}

/* Rows [i, i + rows) and columns [j, j + columns), terms [k, k + depth). */
static void panel(const lt_product *p, int64_t i, int64_t rows, int64_t j, int64_t columns, int64_t k,
                  int64_t depth, const float *packed) {
    float *c = p->c + i * p->c_step + j;
    lt_tile_out out = {c, p->c_step, c, p->c_step};
    if (k == 0)
        out.start = p->start ? p->start + i * p->start_step + j : NULL, out.start_step = p->start_step;
    int64_t padded = lt_pad16(columns);
    if (padded == columns) {
        lt_tile_product_from(rows, columns, depth, at(&p->a, i, k), p->a.step, p->a.transposed, packed,
                             columns, out);
        return;
    }
    _Alignas(64) float product[ROWS * PANEL];
    lt_tile_product_from(rows, padded, depth, at(&p->a, i, k), p->a.step, p->a.transposed, packed, padded,
                         (lt_tile_out){product, padded, NULL, 0});
    for (int64_t r = 0; r < rows; r++)
        for (int64_t l = 0; l < columns; l++)
            c[r * p->c_step + l] =
                product[r * padded + l] + (out.start ? out.start[r * out.start_step + l] : 0);
}

/* One thread's rectangle of c. */
static void rectangle(const lt_product *p, int64_t top, int64_t bottom, int64_t left, int64_t right) {
    _Alignas(64) float packed[DEPTH * WIDTH];
    for (int64_t j = left; j < right; j += WIDTH) {
        int64_t width = least(WIDTH, right - j);
        for (int64_t k = 0; k == 0 || k < p->k; k += DEPTH) {
            int64_t depth = least(DEPTH, p->k - k);
            pack_operand(&p->b, k, depth, j, width, packed);
            for (int64_t i = top; i < bottom; i += ROWS)
                for (int64_t l = 0; l < width; l += PANEL)
                    panel(p, i, least(ROWS, bottom - i), j + l, least(PANEL, width - l), k, depth,
                          packed + l * depth);
        }
    }
}

lt_status lt_product_cpu(const lt_product *p) {
    if (p->m == 0 || p->n == 0) return LT_OK;
    int64_t threads = (double)p->m * (double)p->n * (double)p->k < 4e5 ? 1 : lt_threads();
    int64_t panels = (p->n + PANEL - 1) / PANEL, sixths = (p->m + 5) / 6;
    int64_t down = p->m >= p->n ? least(threads, (sixths + 7) / 8) : 1,
            across = least(threads / down, panels);
    if (p->m < p->n) across = least(threads, panels), down = least(threads / across, (sixths + 7) / 8);
#    pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1)
    for (int64_t part = 0; part < down * across; part++) {
        int64_t y = part / across, x = part % across;
        rectangle(p, least(sixths * y / down * 6, p->m), least(sixths * (y + 1) / down * 6, p->m),
                  least(panels * x / across * PANEL, p->n), least(panels * (x + 1) / across * PANEL, p->n));
    }
    return LT_OK;
}

#else

#    include <cblas.h>
#    include <limits.h>
#    include <string.h>

/* BLAS adds to what c holds. */
static void put_start(const lt_product *p) {
    if (!p->start || p->start == p->c) return;
    for (int64_t i = 0; i < p->m; i++)
        memcpy(p->c + i * p->c_step, p->start + i * p->start_step, (size_t)p->n * sizeof *p->c);
}

/* It counts in int. */
lt_status lt_product_cpu(const lt_product *p) {
    const int64_t counts[] = {p->m, p->n, p->k, p->a.step, p->b.step, p->c_step};
    for (int i = 0; i < 6; i++)
        LT_CHECK(counts[i] <= INT_MAX, LT_FAILED,
                 "a product of [%lld,%lld] and [%lld,%lld] is more than BLAS counts; split the batch",
                 (long long)p->m, (long long)p->k, (long long)p->k, (long long)p->n);
    if (p->m == 0 || p->n == 0) return LT_OK;
    put_start(p);
    cblas_sgemm(CblasRowMajor, p->a.transposed ? CblasTrans : CblasNoTrans,
                p->b.transposed ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1, p->a.data,
                (int)p->a.step, p->b.data, (int)p->b.step, p->start ? 1 : 0, p->c, (int)p->c_step);
    return LT_OK;
}

#endif
