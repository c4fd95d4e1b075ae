#include "kernels/linear/cpu_sweep.h"

#include "core/parallel.h"
#include "kernels/attention/cpu_tile.h"
#include "kernels/rows.h"

/* Rows of a span at least, spans at most; rows of a block, which are also the terms of a GEMM that a panel of the
 * second factor serves from L1. LARGEST: elements of w; w, dw and a block of dy share L2. */
enum { SPAN = 512, MOST_SPANS = 16, BLOCK = 128, PANEL = 64, LARGEST = 1 << 17 };

/* dy [rows, m], x [rows, k], w [m, k]. */
typedef struct sweep {
    const lt_linear_backward_args *args;
    lt_rows dy, x, w, dx, dw;
    int64_t spans;
    float *packed;   /* w, panel by panel: [k / PANEL][m, PANEL], the last one narrower */
    float *products; /* [spans - 1][m, k]: what all spans but the first add to dw */
    float *sums;     /* [spans][m]: of the columns of dy */
} sweep;

static int64_t least_rows(int64_t a, int64_t b) { return a < b ? a : b; }

static sweep sweep_of(const lt_linear_backward_args *a, float *workspace) {
    sweep s = {.args = a, .dy = lt_rows_of(&a->dy, 1), .x = lt_rows_of(&a->x, 1), .w = lt_rows_of(&a->w, 1)};
    s.dx = lt_rows_of(&a->dx, 1), s.dw = lt_rows_of(&a->dw, 1);
    s.spans = least_rows(s.dy.rows / SPAN, MOST_SPANS);
    s.packed = workspace;
    s.products = s.packed + s.w.rows * s.w.columns;
    s.sums = s.products + (s.spans - 1) * s.w.rows * s.w.columns;
    return s;
}

bool lt_linear_sweeps(const lt_linear_backward_args *a) {
    if (LT_LANES < 16 || lt_is_empty(&a->dx) || lt_is_empty(&a->dw)) return false;
    int64_t k = a->w.shape[1];
    return lt_rows_of(&a->dy, 1).rows >= 2 * SPAN && k % 16 == 0 && a->w.shape[0] * k <= LARGEST;
}

size_t lt_linear_sweep_bytes(const lt_linear_backward_args *a) {
    int64_t spans = least_rows(lt_rows_of(&a->dy, 1).rows / SPAN, MOST_SPANS), m = a->w.shape[0];
    return (size_t)(spans * m * a->w.shape[1] + spans * m) * sizeof(float);
}

/* dx of rows [row, row + rows): a GEMM with w. */
static void sweep_input_gradient(const sweep *s, int64_t row, int64_t rows) {
    float *dx = (float *)s->args->dx.data + row * s->dx.ld;
    const float *dy = (const float *)s->args->dy.data + row * s->dy.ld;
    for (int64_t m = 0; m < s->w.rows; m += BLOCK)
        for (int64_t k = 0; k < s->w.columns; k += PANEL) {
            int64_t width = least_rows(PANEL, s->w.columns - k);
            const float *w = s->packed + k * s->w.rows + m * width;
            bool add = m > 0 || s->args->accumulate_dx;
            lt_tile_product_from(rows, width, least_rows(BLOCK, s->w.rows - m), dy + m, s->dy.ld, false, w,
                                 width, (lt_tile_out){dx + k, s->dx.ld, add ? dx + k : NULL, s->dx.ld});
        }
}

/* What rows [row, row + rows) add to dw, or to a span's part of it. */
static void sweep_weight_gradient(const sweep *s, int64_t row, int64_t rows, float *dw, int64_t step,
                                  bool add) {
    _Alignas(64) float packed[BLOCK * PANEL];
    const float *x = (const float *)s->args->x.data + row * s->x.ld;
    const float *dy = (const float *)s->args->dy.data + row * s->dy.ld;
    for (int64_t k = 0; k < s->w.columns; k += PANEL) {
        int64_t width = least_rows(PANEL, s->w.columns - k);
        lt_tile_pad(rows, width, x + k, s->x.ld, packed);
        lt_tile_product_from(s->w.rows, width, rows, dy, s->dy.ld, true, packed, width,
                             (lt_tile_out){dw + k, step, add ? dw + k : NULL, step});
    }
}

static void column_sums(const sweep *s, int64_t row, int64_t rows, float *restrict sums) {
    for (int64_t n = row; n < row + rows; n++) {
        const float *dy = (const float *)s->args->dy.data + n * s->dy.ld;
        for (int64_t m = 0; m < s->w.rows; m++) sums[m] += dy[m];
    }
}

static void run_span(const sweep *s, int64_t span) {
    int64_t first = s->dy.rows * span / s->spans, last = s->dy.rows * (span + 1) / s->spans;
    float *dw = span ? s->products + (span - 1) * s->w.rows * s->w.columns : s->args->dw.data;
    float *sums = s->sums + span * s->w.rows;
    memset(sums, 0, (size_t)s->w.rows * sizeof *sums);
    for (int64_t row = first; row < last; row += BLOCK) {
        int64_t rows = least_rows(BLOCK, last - row);
        bool add = row > first || (span == 0 && s->args->accumulate_dw);
        sweep_weight_gradient(s, row, rows, dw, span ? s->w.columns : s->dw.ld, add);
        if (!lt_is_empty(&s->args->db)) column_sums(s, row, rows, sums);
        sweep_input_gradient(s, row, rows);
    }
}

/* Row m of dw and element m of db: what the spans found, in order. */
static void add_spans(const sweep *s, int64_t m) {
    float *restrict dw = (float *)s->args->dw.data + m * s->dw.ld;
    for (int64_t span = 1; span < s->spans; span++) {
        const float *from = s->products + ((span - 1) * s->w.rows + m) * s->w.columns;
        for (int64_t k = 0; k < s->w.columns; k++) dw[k] += from[k];
    }
    if (lt_is_empty(&s->args->db)) return;
    float *db = (float *)s->args->db.data + m, sum = s->args->accumulate_dw ? *db : 0;
    for (int64_t span = 0; span < s->spans; span++) sum += s->sums[span * s->w.rows + m];
    *db = sum;
}

void lt_linear_sweep(const lt_linear_backward_args *a, float *workspace) {
    sweep s = sweep_of(a, workspace);
#pragma omp parallel num_threads(lt_threads())
    {
#pragma omp for schedule(static)
        for (int64_t k = 0; k < s.w.columns; k += PANEL)
            lt_tile_pad(s.w.rows, least_rows(PANEL, s.w.columns - k), (const float *)a->w.data + k, s.w.ld,
                        s.packed + k * s.w.rows);
#pragma omp for schedule(static)
        for (int64_t span = 0; span < s.spans; span++) run_span(&s, span);
#pragma omp for schedule(static)
        for (int64_t m = 0; m < s.w.rows; m++) add_spans(&s, m);
    }
}
