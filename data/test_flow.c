#include "core/parallel.h"
#include "core/rng.h"
#include "data/flow.h"
#include "tests/harness.h"

enum { WAVES = 24 };

/* A texture as a function of the plane, so that moved images are exact and not resampled: waves from 5 pixels
 * to `coarsest`. */
static double texture(double x, double y, double coarsest, uint64_t seed) {
    lt_rng_key key = {.seed = seed, .purpose = LT_RNG_TEST};
    double sum = 0;
    for (int i = 0; i < WAVES; i++) {
        double angle = 6.2831853 * lt_rng_uniform(&key, 3 * (uint64_t)i);
        double wavelength = 5 * pow(coarsest / 5, lt_rng_uniform(&key, 3 * (uint64_t)i + 1));
        double phase = 6.2831853 * lt_rng_uniform(&key, 3 * (uint64_t)i + 2);
        sum += cos(6.2831853 / wavelength * (x * cos(angle) + y * sin(angle)) + phase);
    }
    return fmin(fmax(128 + 20 * sum, 0), 255);
}

/* The texture seen through x' = cx + scale (x - cx) + shift, around the image's centre. */
static uint8_t *view(int w, int h, double dx, double dy, double scale, uint64_t seed) {
    uint8_t *image = malloc((size_t)w * (size_t)h);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double px = 0.5 * w + (x - dx - 0.5 * w) / scale, py = 0.5 * h + (y - dy - 0.5 * h) / scale;
            image[(size_t)y * w + x] = (uint8_t)(texture(px, py, 0.6 * w, seed) + 0.5);
        }
    return image;
}

/* Mean endpoint error over pixels that stay in the image; `outlier` gets the share that is off by more than 1
 * px. */
static double endpoint_error(int w, int h, double dx, double dy, double scale, uint64_t seed,
                             double *outlier) {
    uint8_t *a = view(w, h, 0, 0, 1, seed), *b = view(w, h, dx, dy, scale, seed);
    float *out = malloc(2 * sizeof(float) * (size_t)w * (size_t)h);
    lt_flow *flow = NULL;
    CHECK_OK(lt_flow_open(w, h, &flow));
    lt_flow_run(flow, a, b, out);
    double sum = 0;
    int64_t count = 0, bad = 0;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double u = 0.5 * w + scale * (x - 0.5 * w) + dx - x, v = 0.5 * h + scale * (y - 0.5 * h) + dy - y;
            if (x + u < 0 || y + v < 0 || x + u > w - 1 || y + v > h - 1) continue;
            double e = hypot(out[2 * (y * w + x)] - u, out[2 * (y * w + x) + 1] - v);
            sum += e, count++, bad += e > 1;
        }
    lt_flow_close(flow);
    free(a), free(b), free(out);
    if (outlier) *outlier = (double)bad / (double)count;
    return sum / (double)count;
}

static void shifts_up_to_8_percent_are_found(void) {
    static const double shift[][2] = {{0, 0},   {0.3, 0},     {-0.7, 0.4}, {1, 1},     {2.5, -1.5},
                                      {5.1, 0}, {-3.6, -3.6}, {0, -5.1},   {-4.2, 2.9}};
    double worst = 0, outlier = 0, worst_outlier = 0;
    for (int i = 0; i < 9; i++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            worst = fmax(worst, endpoint_error(64, 64, shift[i][0], shift[i][1], 1, seed, &outlier));
            worst_outlier = fmax(worst_outlier, outlier);
        }
    printf("64 x 64, shifts up to 5.1 px: worst mean endpoint error %.3f px, worst share over 1 px %.3f\n",
           worst, worst_outlier);
    CHECK(worst < 0.25);
    CHECK(endpoint_error(200, 120, 16, -5, 1, 7, NULL) < 0.25);
    CHECK(endpoint_error(97, 51, -6.5, 3.25, 1, 8, NULL) < 0.25);
}

static void zoom_is_found(void) {
    CHECK(endpoint_error(64, 64, 0, 0, 1.05, 3, NULL) < 0.25);
    CHECK(endpoint_error(64, 64, 1, -1, 0.94, 4, NULL) < 0.25);
}

static void a_still_or_empty_image_has_no_flow(void) {
    uint8_t *a = view(64, 48, 0, 0, 1, 5), *flat = calloc(64, 48);
    lt_flow *flow = NULL;
    CHECK_OK(lt_flow_open(64, 48, &flow));
    lt_motion still = lt_flow_motion(flow, a, a), empty = lt_flow_motion(flow, flat, flat);
    CHECK_NEAR(still.px, 0, 1e-4);
    CHECK_NEAR(still.consistent, 1, 0);
    CHECK_NEAR(empty.px, 0, 0);
    lt_flow_close(flow);
    free(a), free(flat);
}

/* A square of another texture moves 3 px over a background that stands still. */
static void a_moving_square_is_told_from_the_background(void) {
    enum { N = 64, SIDE = 24, LEFT = 16 };
    uint8_t *a = view(N, N, 0, 0, 1, 11), *b = view(N, N, 0, 0, 1, 11),
            *square = view(SIDE, SIDE, 0, 0, 1, 12);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            a[(y + 20) * N + x + LEFT] = square[y * SIDE + x];
            b[(y + 20) * N + x + LEFT + 3] = square[y * SIDE + x];
        }
    lt_flow *flow = NULL;
    CHECK_OK(lt_flow_open(N, N, &flow));
    float forward[2 * N * N], backward[2 * N * N];
    uint8_t mask[N * N];
    lt_flow_run(flow, a, b, forward);
    lt_flow_run(flow, b, a, backward);
    int64_t count = lt_flow_consistent(N, N, forward, backward, mask);
    CHECK(count < N * N && count > N * N * 8 / 10);
    int middle = (20 + SIDE / 2) * N + LEFT + SIDE / 2;
    CHECK_NEAR(forward[2 * middle], 3, 0.2);
    CHECK_NEAR(forward[2 * middle + 1], 0, 0.2);
    CHECK_NEAR(forward[2 * (8 * N + 50)], 0, 0.1);
    lt_motion motion = lt_flow_motion(flow, a, b);
    CHECK_NEAR(motion.px, 3.0 * SIDE * SIDE / (N * N), 0.15);
    lt_flow_close(flow);
    free(a), free(b), free(square);
}

static void unrelated_images_are_mostly_inconsistent(void) {
    uint8_t *a = view(64, 64, 0, 0, 1, 21), *b = view(64, 64, 0, 0, 1, 22);
    lt_flow *flow = NULL;
    CHECK_OK(lt_flow_open(64, 64, &flow));
    lt_motion motion = lt_flow_motion(flow, a, b);
    CHECK(motion.consistent < 0.5);
    lt_flow_close(flow);
    free(a), free(b);
}

static void threads_do_not_change_the_result(void) {
    enum { W = 256, H = 160 };
    uint8_t *a = view(W, H, 0, 0, 1, 31), *b = view(W, H, 4, 2, 1, 31);
    float *one = malloc(2 * W * H * sizeof(float)), *two = malloc(2 * W * H * sizeof(float));
    lt_flow *flow = NULL;
    CHECK_OK(lt_flow_open(W, H, &flow));
    lt_set_threads(1);
    lt_flow_run(flow, a, b, one);
    lt_set_threads(2);
    lt_flow_run(flow, a, b, two);
    CHECK(memcmp(one, two, 2 * W * H * sizeof(float)) == 0);
    lt_flow_close(flow);
    free(a), free(b), free(one), free(two);
}

static void bad_sizes_are_refused(void) {
    lt_flow *flow = NULL;
    CHECK_FAILS(lt_flow_open(7, 64, &flow), LT_USAGE, "7 x 64");
    CHECK_FAILS(lt_flow_open(64, 20000, &flow), LT_USAGE, "8 to 16384");
    CHECK_OK(lt_flow_open(8, 9, &flow));
    uint8_t tiny[72] = {0};
    CHECK_NEAR(lt_flow_motion(flow, tiny, tiny).px, 0, 0);
    lt_flow_close(flow);
}

static void luma_weighs_the_colours(void) {
    static const uint8_t rgb[] = {0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255};
    uint8_t luma[5];
    lt_luma(rgb, 5, luma);
    CHECK(luma[0] == 0 && luma[1] == 255 && luma[2] == 76 && luma[3] == 150 && luma[4] == 29);
    CHECK_NEAR(lt_luma_difference(luma, luma + 1, 1), 255, 0);
    CHECK_NEAR(lt_luma_difference(luma + 2, luma + 3, 2), (74 + 121) / 2.0, 1e-12);
}

int main(int argc, char **argv) {
    RUN(shifts_up_to_8_percent_are_found);
    RUN(zoom_is_found);
    RUN(a_still_or_empty_image_has_no_flow);
    RUN(a_moving_square_is_told_from_the_background);
    RUN(unrelated_images_are_mostly_inconsistent);
    RUN(threads_do_not_change_the_result);
    RUN(bad_sizes_are_refused);
    RUN(luma_weighs_the_colours);
    return test_end();
}
