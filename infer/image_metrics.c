/* Metrics of single frames. */
#include "data/flow.h"
#include "infer/metrics.h"

#include <math.h>
#include <stdlib.h>

double lt_psnr(const uint8_t *a, const uint8_t *b, int64_t bytes) {
    double sum = 0;
    for (int64_t i = 0; i < bytes; i++) sum += (double)((a[i] - b[i]) * (a[i] - b[i]));
    double psnr = sum > 0 ? 10 * log10(255.0 * 255.0 * (double)bytes / sum) : LT_PSNR_MOST;
    return psnr < LT_PSNR_MOST ? psnr : LT_PSNR_MOST;
}

enum { TAPS = 11, PLANES = 5 }; /* planes: a, b, a^2, b^2, a b */

static void gaussian_taps(double taps[TAPS]) {
    double sum = 0;
    for (int i = 0; i < TAPS; i++) sum += taps[i] = exp(-(i - 5) * (i - 5) / (2 * 1.5 * 1.5));
    for (int i = 0; i < TAPS; i++) taps[i] /= sum;
}

/* Rows of all planes filtered: [height, PLANES, width - 10]. */
static void filter_rows(int height, int width, const uint8_t *a, const uint8_t *b, const double *taps,
                        double *out) {
    int columns = width - TAPS + 1;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < columns; x++) {
            double sums[PLANES] = {0};
            for (int k = 0; k < TAPS; k++) {
                double p = a[y * width + x + k], q = b[y * width + x + k];
                sums[0] += taps[k] * p, sums[1] += taps[k] * q;
                sums[2] += taps[k] * p * p, sums[3] += taps[k] * q * q, sums[4] += taps[k] * p * q;
            }
            for (int plane = 0; plane < PLANES; plane++)
                out[((int64_t)y * PLANES + plane) * columns + x] = sums[plane];
        }
}

static double ssim_at(const double *rows, int columns, int y, int x, const double *taps) {
    const double c1 = 0.01 * 255 * 0.01 * 255, c2 = 0.03 * 255 * 0.03 * 255;
    double s[PLANES] = {0};
    for (int k = 0; k < TAPS; k++)
        for (int plane = 0; plane < PLANES; plane++)
            s[plane] += taps[k] * rows[((int64_t)(y + k) * PLANES + plane) * columns + x];
    double va = s[2] - s[0] * s[0], vb = s[3] - s[1] * s[1], cov = s[4] - s[0] * s[1];
    return (2 * s[0] * s[1] + c1) * (2 * cov + c2) / ((s[0] * s[0] + s[1] * s[1] + c1) * (va + vb + c2));
}

lt_status lt_ssim(int height, int width, const uint8_t *a, const uint8_t *b, double *out) {
    LT_CHECK(height >= TAPS && width >= TAPS, LT_USAGE, "ssim: frames of %dx%d, expected at least %dx%d",
             width, height, TAPS, TAPS);
    int64_t pixels = (int64_t)height * width;
    int columns = width - TAPS + 1, lines = height - TAPS + 1;
    uint8_t *luma = malloc(2 * (size_t)pixels);
    double *rows = malloc((size_t)height * PLANES * (size_t)columns * sizeof *rows), taps[TAPS], sum = 0;
    lt_status status = luma && rows ? LT_OK : lt_fail(LT_FAILED, "ssim: out of memory");
    if (status == LT_OK) {
        lt_luma(a, pixels, luma);
        lt_luma(b, pixels, luma + pixels);
        gaussian_taps(taps);
        filter_rows(height, width, luma, luma + pixels, taps, rows);
        for (int y = 0; y < lines; y++)
            for (int x = 0; x < columns; x++) sum += ssim_at(rows, columns, y, x, taps);
        *out = sum / ((double)lines * columns);
    }
    free(luma), free(rows);
    return status;
}

static double gradient_length(const uint8_t *luma, int height, int width) {
    double sum = 0;
    for (int y = 0; y + 1 < height; y++)
        for (int x = 0; x + 1 < width; x++) {
            const uint8_t *p = luma + (int64_t)y * width + x;
            sum += hypot(p[1] - p[0], p[width] - p[0]);
        }
    return sum / ((double)(height - 1) * (width - 1));
}

lt_status lt_frame_look_of(int height, int width, const uint8_t *rgb, lt_frame_look *out) {
    int64_t pixels = (int64_t)height * width;
    double n = (double)pixels, sum = 0, square = 0, r = 0, g = 0, b = 0;
    uint8_t *luma = malloc((size_t)pixels);
    LT_CHECK(luma, LT_FAILED, "metrics: out of memory");
    lt_luma(rgb, pixels, luma);
    for (int64_t i = 0; i < pixels; i++) {
        sum += luma[i], square += (double)luma[i] * luma[i];
        r += rgb[3 * i], g += rgb[3 * i + 1], b += rgb[3 * i + 2];
    }
    double y = 0.299 * r + 0.587 * g + 0.114 * b;
    out->contrast = sqrt(fmax(0, square / n - sum / n * (sum / n)));
    out->sharpness = out->contrast > 0 ? gradient_length(luma, height, width) / out->contrast : 0;
    out->cb = 0.564 * (b - y) / n;
    out->cr = 0.713 * (r - y) / n;
    free(luma);
    return LT_OK;
}
