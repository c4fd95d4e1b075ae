/* Codecs as streams: any chunking gives the bits of the whole video; state; rules of frames; devices. */
#include "core/rng.h"
#include "kernels/testing_device.h"
#include "model/codec/testing_toy.h"
#include "model/model.h"
#include "tests/harness.h"

enum { HEIGHT = 12, WIDTH = 20, LATENTS = 9, FRAMES = 40, PIXELS = HEIGHT * WIDTH * 3, VALUES = 15 * 96 };

static uint8_t video[FRAMES * PIXELS], whole_rgb[FRAMES * PIXELS], rgb[FRAMES * PIXELS];
static float whole[LATENTS * VALUES], latents[LATENTS * VALUES];
static lt_device *device, *host;
static lt_params params; /* of the toy */
static lt_arena weights;

static void open_all(void) {
    lt_backend backend = LT_BACKEND_CPU;
    CHECK_OK(lt_device_open("cpu", &host));
    CHECK_OK(test_device_open("cpu", &backend, &device));
    lt_params_init(&params, host, LT_F32);
    CHECK_OK(toy_declare(&params));
    CHECK_OK(lt_arena_init(&weights, host, lt_params_bytes(&params), "weights"));
    CHECK_OK(lt_params_allocate(&params, &weights, NULL, NULL, NULL));
    CHECK_OK(lt_params_initialise(&params, 1));
    lt_rng_key key = {.seed = 5, .purpose = LT_RNG_TEST};
    for (int i = 0; i < FRAMES * PIXELS; i++) video[i] = (uint8_t)lt_rng_below(&key, (uint64_t)i, 256);
}

static void close_all(void) {
    lt_arena_free(&weights);
    lt_params_free(&params);
    lt_device_close(device);
    lt_device_close(host);
}

static lt_codec_spec spec_of(const lt_codec *codec, lt_codec_direction direction) {
    return (lt_codec_spec){.codec = codec,
                           .params = codec->declare ? &params : NULL,
                           .device = codec->on_device ? device : host,
                           .direction = direction,
                           .height = HEIGHT,
                           .width = WIDTH,
                           .most = LATENTS};
}

static int64_t values_of(const lt_codec *codec, int64_t count) {
    return count * (HEIGHT / codec->stride_h) * (WIDTH / codec->stride_w) * codec->latent_channels;
}

/* The next latent frames of the video in static memory. */
static void step(lt_codec_stream *s, int64_t count, float *z, uint8_t *out) {
    const lt_codec *c = s->spec.codec;
    int64_t frame = lt_codec_frames(c, s->position), at = values_of(c, s->position);
    if (s->spec.direction == LT_CODEC_ENCODE)
        CHECK_OK(lt_codec_stream_encode(s, count, video + frame * PIXELS, z + at));
    else CHECK_OK(lt_codec_stream_decode(s, count, whole + at, out + frame * PIXELS));
}

static bool same(const lt_codec *codec, int64_t from, int64_t to, lt_codec_direction direction) {
    int64_t frame = lt_codec_frames(codec, from), frames = lt_codec_frames(codec, to) - frame;
    int64_t at = values_of(codec, from), count = values_of(codec, to) - at;
    if (direction == LT_CODEC_ENCODE)
        return memcmp(whole + at, latents + at, (size_t)count * sizeof *whole) == 0;
    return memcmp(whole_rgb + frame * PIXELS, rgb + frame * PIXELS, (size_t)(frames * PIXELS)) == 0;
}

static const lt_codec *const codecs[] = {&lt_haar3d_codec, &lt_haar3d_full, &toy_codec};
enum { CODECS = sizeof codecs / sizeof *codecs };

/* Encodes, then decodes, the whole video; the last stream is left open. */
static lt_codec_stream *run_whole(const lt_codec *codec, lt_codec_direction direction) {
    lt_codec_stream *s = NULL;
    for (int d = LT_CODEC_ENCODE; d <= (int)direction; d++) {
        lt_codec_spec spec = spec_of(codec, (lt_codec_direction)d);
        lt_codec_stream_close(s);
        CHECK_OK(lt_codec_stream_open(&spec, &s));
        step(s, LATENTS, whole, whole_rgb);
    }
    return s;
}

static void any_chunking_gives_the_bits_of_the_whole_video(void) {
    for (int i = 0; i < CODECS; i++)
        for (int d = 0; d < 2; d++) {
            lt_codec_stream *s = run_whole(codecs[i], (lt_codec_direction)d);
            for (uint64_t trial = 0; trial < 12; trial++) {
                lt_rng_key key = {.seed = trial, .purpose = LT_RNG_TEST};
                memset(latents, 0xFF, sizeof latents), memset(rgb, 7, sizeof rgb);
                CHECK_OK(lt_codec_stream_reset(s));
                while (s->position < LATENTS) {
                    int64_t left = LATENTS - s->position;
                    step(s, 1 + lt_rng_below(&key, (uint64_t)s->position, left), latents, rgb);
                }
                CHECK(same(codecs[i], 0, LATENTS, (lt_codec_direction)d));
            }
            lt_codec_stream_close(s);
        }
}

static void a_restored_state_goes_on_with_the_same_bits(void) {
    for (int i = 0; i < CODECS; i++)
        for (int d = 0; d < 2; d++) {
            lt_codec_stream *s = run_whole(codecs[i], (lt_codec_direction)d), *other;
            lt_codec_spec spec = spec_of(codecs[i], (lt_codec_direction)d);
            void *saved = malloc(lt_codec_stream_saved(s));
            CHECK_OK(lt_codec_stream_reset(s));
            step(s, 4, latents, rgb);
            CHECK_OK(lt_codec_stream_save(s, saved));
            step(s, 5, latents, rgb); /* what comes after the save does not change it */
            memset(latents, 0xFF, sizeof latents), memset(rgb, 7, sizeof rgb);
            CHECK_OK(lt_codec_stream_open(&spec, &other));
            CHECK_OK(lt_codec_stream_restore(other, saved));
            CHECK(other->position == 4 && lt_codec_stream_frames(other, 1) == codecs[i]->stride_t);
            step(other, 5, latents, rgb);
            CHECK(same(codecs[i], 4, LATENTS, (lt_codec_direction)d));
            spec.width -= 4;
            lt_codec_stream_close(s);
            CHECK_OK(lt_codec_stream_open(&spec, &s));
            CHECK_FAILS(lt_codec_stream_restore(s, saved), LT_INPUT,
                        "another codec, direction or frame size");
            free(saved);
            lt_codec_stream_close(s);
            lt_codec_stream_close(other);
        }
}

/* Without its state a causal codec gives something else: the tests above can fail. */
static void the_toy_remembers_one_frame(void) {
    lt_codec_stream *s = run_whole(&toy_codec, LT_CODEC_ENCODE);
    CHECK(lt_nbytes(&s->state) == HEIGHT / 4 * (WIDTH / 4) * 3 * sizeof(float));
    CHECK_OK(lt_codec_stream_reset(s));
    step(s, 4, latents, NULL);
    CHECK_OK(lt_tensor_zero(host, NULL, &s->state));
    step(s, 5, latents, NULL);
    CHECK(same(&toy_codec, 0, 4, LT_CODEC_ENCODE) && !same(&toy_codec, 4, LATENTS, LT_CODEC_ENCODE));
    lt_codec_stream_close(s);
}

static void frames_and_latents_follow_the_codec_s_rule(void) {
    for (int i = 0; i < CODECS; i++) {
        const lt_codec *c = codecs[i];
        CHECK(lt_codec_frames(c, 0) == 0 && lt_codec_latents(c, 0) == 0);
        for (int64_t l = 1; l < 9; l++) {
            int64_t frames = c == &toy_codec ? 1 + 4 * (l - 1) : 2 * l;
            CHECK(lt_codec_frames(c, l) == frames && lt_codec_latents(c, frames) == l);
            CHECK(lt_codec_latents(c, frames - 1) == l - 1 && lt_codec_latents(c, frames + 1) == l);
        }
    }
    int64_t shape[4];
    CHECK_OK(lt_codec_latent_shape(&toy_codec, 9, 8, 12, shape));
    CHECK(shape[0] == 3 && shape[1] == 2 && shape[2] == 3 && shape[3] == 6);
    CHECK_FAILS(lt_codec_latent_shape(&toy_codec, 8, 8, 12, shape), LT_USAGE, "1 and a multiple of 4");
    CHECK_FAILS(lt_codec_latent_shape(&toy_codec, 0, 8, 12, shape), LT_USAGE, "1 and a multiple of 4");
}

static void the_planner_knows_what_a_stream_takes(void) {
    for (int i = 0; i < CODECS; i++) {
        lt_codec_spec spec = spec_of(codecs[i], LT_CODEC_DECODE);
        lt_codec_stream *s;
        int64_t before = spec.device->allocated_bytes;
        lt_codec_bytes bytes = lt_codec_stream_bytes(&spec);
        CHECK_OK(lt_codec_stream_open(&spec, &s));
        int64_t took = spec.device->allocated_bytes - before;
        CHECK(took >= bytes.state + bytes.workspace &&
              took <= bytes.state + bytes.workspace + LT_ARENA_ALIGN);
        CHECK((bytes.state > 0) == (codecs[i] == &toy_codec));
        CHECK((bytes.workspace > 0) == !lt_device_is_host(spec.device));
        lt_codec_stream_close(s);
        CHECK(spec.device->allocated_bytes == before);
    }
}

static void what_a_stream_cannot_do_is_said(void) {
    lt_codec_spec spec = spec_of(&toy_ahead_codec, LT_CODEC_ENCODE);
    lt_codec_stream *s;
    CHECK_OK(lt_codec_stream_open(&spec, &s));
    step(s, 2, latents, NULL);
    CHECK_FAILS(lt_codec_stream_encode(s, 1, video, latents), LT_UNAVAILABLE, "in one piece");
    CHECK_FAILS(lt_codec_stream_decode(s, 1, latents, rgb), LT_FAILED, "other direction");
    CHECK_FAILS(lt_codec_stream_encode(s, LATENTS + 1, video, latents), LT_FAILED, "10 latent frames");
    lt_codec_stream_close(s);
    CHECK_FAILS(lt_codec_check_streams(&toy_ahead_codec), LT_UNAVAILABLE, "looks 1 latent frames ahead");
    CHECK_OK(lt_codec_check_streams(&toy_codec));
    spec = spec_of(&toy_codec, LT_CODEC_ENCODE), spec.params = NULL;
    CHECK_FAILS(lt_codec_stream_open(&spec, &s), LT_FAILED, "parameters are not on device");
    spec = spec_of(&toy_codec, LT_CODEC_ENCODE), spec.height = 10;
    CHECK_FAILS(lt_codec_stream_open(&spec, &s), LT_USAGE, "20x10");
    spec.height = HEIGHT, spec.most = 0;
    CHECK_FAILS(lt_codec_stream_open(&spec, &s), LT_USAGE, "0 latent frames");
}

/* A model's codec has its latent statistics, and its parameters are the model's. */
static void a_model_s_frames_go_in_chunks_too(void) {
    static const char text[] =
        "{\"model\": {\"codec\": \"toy\", \"frame_size\": [16, 16], \"block_frames\": 2, \"layers\": 1, "
        "\"heads\": 1, \"head_dim\": 8, \"text_length\": 4}}";
    enum { BLOCKS = 3, SIZE = 4 * 4 * 6, BYTES = 16 * 16 * 3 };
    static float z[2 * BLOCKS * SIZE], chunk[2 * SIZE], mean[6], deviation[6];
    static uint8_t in[21 * BYTES], out[21 * BYTES], part[8 * BYTES];
    lt_config *config;
    lt_model *m;
    lt_frame_stream *e, *d;
    lt_model_register_keys();
    CHECK_OK(lt_config_parse(text, "test", NULL, 0, &config));
    CHECK_OK(lt_model_open(config, host, LT_BACKEND_CPU, 0, &m));
    CHECK_OK(lt_model_initialise(m, 3));
    for (int c = 0; c < 6; c++) mean[c] = 0.1f * (float)c, deviation[c] = 0.5f + 0.1f * (float)c;
    CHECK_OK(lt_model_set_latent_stats(m, mean, deviation));
    CHECK(lt_params_find(&m->params, "codec.gain") != NULL);
    CHECK(lt_model_frames(m, 1) == 5 && lt_model_frames(m, BLOCKS) == 21 &&
          lt_model_frames_per_block(m) == 8);
    for (int i = 0; i < 21 * BYTES; i++) in[i] = video[i];
    CHECK_OK(lt_model_encode(m, 21, in, z));
    CHECK_OK(lt_model_decode(m, 2 * BLOCKS, z, out));
    CHECK_OK(lt_frame_stream_open(m, LT_CODEC_ENCODE, 2, &e));
    CHECK_OK(lt_frame_stream_open(m, LT_CODEC_DECODE, 2, &d));
    for (int b = 0; b < BLOCKS; b++) {
        int64_t first = lt_model_frames(m, b), frames = lt_model_frames(m, b + 1) - first;
        CHECK_OK(lt_frame_stream_encode(e, 2, in + first * BYTES, chunk));
        CHECK(memcmp(chunk, z + b * 2 * SIZE, sizeof chunk) == 0);
        CHECK_OK(lt_frame_stream_decode(d, 2, chunk, part));
        CHECK(memcmp(part, out + first * BYTES, (size_t)(frames * BYTES)) == 0);
    }
    lt_frame_stream_close(e);
    lt_frame_stream_close(d);
    lt_model_close(m);
    lt_config_free(config);
}

int main(int argc, char **argv) {
    open_all();
    RUN(any_chunking_gives_the_bits_of_the_whole_video);
    RUN(a_restored_state_goes_on_with_the_same_bits);
    RUN(the_toy_remembers_one_frame);
    RUN(frames_and_latents_follow_the_codec_s_rule);
    RUN(the_planner_knows_what_a_stream_takes);
    RUN(what_a_stream_cannot_do_is_said);
    RUN(a_model_s_frames_go_in_chunks_too);
    close_all();
    return test_end();
}
