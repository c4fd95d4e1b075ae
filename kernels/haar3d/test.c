/* haar3d against its definition in float64, on 1 and 2 threads, and on the GPU. */
#include "core/parallel.h"
#include "kernels/check.h"
#include "kernels/haar3d/haar3d.h"
#include "kernels/testing_device.h"
#include "tests/harness.h"

typedef struct size {
    int64_t frames, height, width, channels; /* of the latents */
} size;

static const size sizes[] = {{1, 1, 1, 24},   {3, 3, 5, 24}, {2, 2, 3, 96},
                             {4, 33, 41, 24}, {0, 3, 5, 24}, {1, 16, 70, 96}};
enum { SIZES = sizeof sizes / sizeof *sizes, PIXELS = 4 * 33 * 41 * 96 };

static uint8_t video[PIXELS], decoded[3][PIXELS];
static float latents[3][PIXELS];
static double wide[PIXELS];

static void draw(void) {
    uint32_t state = 12345;
    for (int i = 0; i < PIXELS; i++) {
        state = state * 1664525u + 1013904223u;
        video[i] = (uint8_t)(state >> 24);
    }
    video[0] = 0, video[1] = 255;
}

static int64_t values(size s) { return s.frames * s.height * s.width * s.channels; }
static int64_t bytes(size s) { return s.frames * s.height * s.width * LT_HAAR3D_CELL; }

static lt_haar3d_args args_of(size s, void *rgb, void *z, lt_dtype dtype, bool inverse) {
    return (lt_haar3d_args){.rgb = LT_VIEW(rgb, LT_U8, 2 * s.frames, 4 * s.height, 4 * s.width, 3),
                            .latents = LT_VIEW(z, dtype, s.frames, s.height, s.width, s.channels),
                            .inverse = inverse};
}

static void run_naive(size s, uint8_t *rgb, double *z, bool inverse) {
    lt_device *device;
    CHECK_OK(lt_device_open("cpu", &device));
    lt_ctx ctx = {.device = device, .backend = LT_BACKEND_NAIVE};
    lt_haar3d_args args = args_of(s, rgb, z, LT_F64, inverse);
    CHECK_OK(lt_haar3d(&ctx, &args));
    lt_device_close(device);
}

/* On the test's device or the CPU, through its memory. */
static void run(const char *name, size s, uint8_t *rgb, float *z, bool inverse) {
    lt_device *device;
    lt_arena arena;
    lt_tensor in_rgb, in_z;
    CHECK_OK(lt_device_open_as(name, "f32", NULL, &device));
    CHECK_OK(lt_arena_init(&arena, device, (size_t)(bytes(s) + 4 * values(s)) + 4 * LT_ARENA_ALIGN, "test"));
    lt_ctx ctx = {.device = device, .backend = device->ops->backend};
    if (device->ops->stream_create) CHECK_OK(device->ops->stream_create(device, &ctx.stream));
    CHECK_OK(LT_NEW(&arena, LT_U8, &in_rgb, 2 * s.frames, 4 * s.height, 4 * s.width, 3));
    CHECK_OK(LT_NEW(&arena, LT_F32, &in_z, s.frames, s.height, s.width, s.channels));
    if (inverse) CHECK_OK(lt_tensor_from_host(device, ctx.stream, &in_z, z));
    else CHECK_OK(lt_tensor_from_host(device, ctx.stream, &in_rgb, rgb));
    lt_haar3d_args args = {.rgb = in_rgb, .latents = in_z, .inverse = inverse};
    CHECK_OK(lt_haar3d(&ctx, &args));
    if (inverse) CHECK_OK(lt_tensor_to_host(device, ctx.stream, &in_rgb, rgb));
    else CHECK_OK(lt_tensor_to_host(device, ctx.stream, &in_z, z));
    if (device->ops->stream_destroy) device->ops->stream_destroy(device, ctx.stream);
    lt_arena_free(&arena);
    lt_device_close(device);
}

static void encoding_is_within_the_bound_of_its_definition(void) {
    for (int i = 0; i < SIZES; i++) {
        size s = sizes[i];
        run_naive(s, video, wide, false);
        run("cpu", s, video, latents[0], false);
        lt_tensor found = LT_VIEW(latents[0], LT_F32, s.frames * s.height * s.width, s.channels);
        lt_tensor wanted = LT_VIEW(wide, LT_F64, s.frames * s.height * s.width, s.channels);
        if (values(s)) CHECK_OK(lt_compare("latents", &found, &wanted, LT_TOL_CPU));
    }
}

/* A value that lies within rounding of x.5 may become either byte, and means of bytes often do. */
static void decoding_gives_the_bytes_of_its_definition(void) {
    for (int i = 0; i < SIZES; i++) {
        size s = sizes[i];
        int64_t differ = 0;
        run("cpu", s, video, latents[0], false);
        for (int64_t k = 0; k < values(s); k++) wide[k] = latents[0][k];
        run_naive(s, decoded[0], wide, true);
        run("cpu", s, decoded[1], latents[0], true);
        for (int64_t k = 0; k < bytes(s); k++) {
            differ += decoded[0][k] != decoded[1][k];
            CHECK(abs(decoded[0][k] - decoded[1][k]) <= 1);
        }
        CHECK(differ * 50 <= bytes(s));
        if (s.channels == LT_HAAR3D_CELL) CHECK(memcmp(decoded[1], video, (size_t)bytes(s)) == 0);
    }
}

static void threads_give_the_same_bits_and_devices_agree(void) {
    int before = lt_threads();
    for (int i = 0; i < SIZES; i++) {
        size s = sizes[i];
        lt_set_threads(1);
        run("cpu", s, video, latents[0], false);
        run("cpu", s, decoded[0], latents[0], true);
        lt_set_threads(2);
        run("cpu", s, video, latents[1], false);
        run("cpu", s, decoded[1], latents[1], true);
        run(test_device(), s, video, latents[2], false);
        run(test_device(), s, decoded[2], latents[2], true);
        CHECK(memcmp(latents[0], latents[1], (size_t)values(s) * sizeof(float)) == 0);
        CHECK(memcmp(decoded[0], decoded[1], (size_t)bytes(s)) == 0);
        lt_tensor found = LT_VIEW(latents[2], LT_F32, s.frames * s.height * s.width, s.channels);
        lt_tensor wanted = LT_VIEW(latents[0], LT_F32, s.frames * s.height * s.width, s.channels);
        if (values(s)) CHECK_OK(lt_compare("latents", &found, &wanted, LT_TOL_CUDA_F32));
        int64_t differ = 0;
        for (int64_t k = 0; k < bytes(s); k++) {
            differ += decoded[0][k] != decoded[2][k];
            CHECK(abs(decoded[0][k] - decoded[2][k]) <= 1);
        }
        CHECK(differ * 50 <= bytes(s));
    }
    lt_set_threads(before);
}

static void misfits_are_named(void) {
    lt_device *device;
    CHECK_OK(lt_device_open("cpu", &device));
    lt_ctx ctx = {.device = device, .backend = LT_BACKEND_CPU};
    size s = sizes[1];
    lt_haar3d_args good = args_of(s, video, latents[0], LT_F32, false), bad = good;
    bad.rgb = LT_VIEW(video, LT_U8, 2 * s.frames, 4 * s.height - 1, 4 * s.width, 3);
    CHECK_FAILS(lt_haar3d(&ctx, &bad), LT_FAILED, "do not divide into cells of 2 x 4 x 4");
    bad = good, bad.latents = LT_VIEW(latents[0], LT_F32, s.frames, s.height, s.width, 25);
    CHECK_FAILS(lt_haar3d(&ctx, &bad), LT_FAILED, "25 channels");
    bad = good, bad.latents = LT_VIEW(latents[0], LT_F32, s.frames + 1, s.height, s.width, 24);
    CHECK_FAILS(lt_haar3d(&ctx, &bad), LT_FAILED, "operand latents");
    bad = good, bad.rgb = LT_VIEW(video, LT_F32, 2 * s.frames, 4 * s.height, 4 * s.width, 3);
    CHECK_FAILS(lt_haar3d(&ctx, &bad), LT_FAILED, "operand rgb");
    lt_device_close(device);
}

int main(int argc, char **argv) {
    draw();
    RUN(encoding_is_within_the_bound_of_its_definition);
    RUN(decoding_gives_the_bytes_of_its_definition);
    RUN(threads_give_the_same_bits_and_devices_agree);
    RUN(misfits_are_named);
    return test_end();
}
