/* Every codec of the table that can encode and decode, through streams in host memory. */
#include "core/rng.h"
#include "model/codec/codec.h"
#include "tests/harness.h"

enum { LATENTS = 7 };

typedef struct clip {
    const lt_codec *codec;
    int64_t height, width, frame, position; /* pixels; bytes of a frame; values of a latent frame */
    uint8_t *video, *rgb[2];
    float *latents[2];
} clip;

static clip make_clip(const lt_codec *codec) {
    clip c = {.codec = codec, .height = 2 * codec->stride_h, .width = 3 * codec->stride_w};
    c.frame = c.height * c.width * 3, c.position = 2 * 3 * (int64_t)codec->latent_channels;
    size_t bytes = (size_t)(lt_codec_frames(codec, LATENTS) * c.frame);
    c.video = malloc(bytes);
    for (int i = 0; i < 2; i++)
        c.rgb[i] = calloc(bytes, 1), c.latents[i] = calloc((size_t)(LATENTS * c.position), sizeof(float));
    lt_rng_key key = {.seed = 9, .purpose = LT_RNG_TEST};
    for (size_t i = 0; i < bytes; i++) c.video[i] = (uint8_t)lt_rng_below(&key, i, 256);
    return c;
}

static void free_clip(clip *c) {
    for (int i = 0; i < 2; i++) free(c->rgb[i]), free(c->latents[i]);
    free(c->video);
}

static lt_codec_spec spec_of(const clip *c, lt_device *device, int direction) {
    return (lt_codec_spec){.codec = c->codec,
                           .device = device,
                           .direction = (lt_codec_direction)direction,
                           .height = c->height,
                           .width = c->width,
                           .most = LATENTS};
}

/* Decodes what copy 0 encoded. */
static void step(const clip *c, lt_codec_stream *s, int64_t count, int copy) {
    int64_t frame = lt_codec_frames(c->codec, s->position) * c->frame, at = s->position * c->position;
    if (s->spec.direction == LT_CODEC_ENCODE)
        CHECK_OK(lt_codec_stream_encode(s, count, c->video + frame, c->latents[copy] + at));
    else CHECK_OK(lt_codec_stream_decode(s, count, c->latents[0] + at, c->rgb[copy] + frame));
}

static void check_chunks(const clip *c, lt_codec_stream *s, lt_device *device) {
    lt_codec_stream *other;
    void *saved = malloc(lt_codec_stream_saved(s));
    for (uint64_t trial = 0; trial < 8; trial++) {
        lt_rng_key key = {.seed = trial, .purpose = LT_RNG_TEST};
        lt_codec_stream *at = s;
        CHECK_OK(lt_codec_stream_reset(s));
        CHECK_OK(lt_codec_stream_open(&s->spec, &other));
        while (at->position < LATENTS) {
            step(c, at, 1 + lt_rng_below(&key, (uint64_t)at->position, LATENTS - at->position), 1);
            CHECK_OK(lt_codec_stream_save(at, saved)); /* half of the chunks go on in another stream */
            if (lt_rng_below(&key, 100 + (uint64_t)at->position, 2)) at = at == s ? other : s;
            CHECK_OK(lt_codec_stream_restore(at, saved));
        }
        if (s->spec.direction == LT_CODEC_ENCODE)
            CHECK(memcmp(c->latents[0], c->latents[1], (size_t)(LATENTS * c->position) * sizeof(float)) == 0);
        else
            CHECK(memcmp(c->rgb[0], c->rgb[1], (size_t)(lt_codec_frames(c->codec, LATENTS) * c->frame)) == 0);
        lt_codec_stream_close(other);
    }
    lt_codec_bytes planned = lt_codec_stream_bytes(&s->spec);
    CHECK((device->allocated_bytes > 0) ==
          (planned.state + planned.workspace > 0)); /* on the device only what is planned */
    free(saved);
}

static void every_codec_gives_the_same_bits_in_any_chunks(void) {
    int tried = 0;
    for (int i = 0; lt_codec_at(i); i++) {
        const lt_codec *codec = lt_codec_at(i);
        lt_device *device;
        if (!codec->encode || codec->declare || lt_codec_check_streams(codec) != LT_OK) continue;
        CHECK_OK(lt_device_open("cpu", &device));
        clip c = make_clip(codec);
        for (int direction = 0; direction < 2; direction++) {
            lt_codec_spec spec = spec_of(&c, device, direction);
            lt_codec_stream *s;
            lt_codec_bytes bytes = lt_codec_stream_bytes(&spec);
            CHECK_OK(lt_codec_stream_open(&spec, &s));
            CHECK((int64_t)lt_codec_stream_saved(s) == 16 + bytes.state);
            step(&c, s, LATENTS, 0);
            check_chunks(&c, s, device);
            lt_codec_stream_close(s);
        }
        free_clip(&c);
        CHECK(device->allocated_bytes == 0);
        lt_device_close(device);
        tried++;
    }
    CHECK(tried >= 2);
}

static void rows_are_whole(void) {
    for (int i = 0; lt_codec_at(i); i++) {
        const lt_codec *c = lt_codec_at(i);
        CHECK(c->name && c->summary && c->latent_channels > 0 && c->stride_h > 0 && c->stride_w > 0);
        CHECK(c->first_frames > 0 && c->first_frames <= c->stride_t && c->look_ahead >= 0);
        CHECK((c->encode == NULL) == (c->decode == NULL));
        CHECK(lt_codec_find(c->name) == c);
    }
}

int main(int argc, char **argv) {
    RUN(every_codec_gives_the_same_bits_in_any_chunks);
    RUN(rows_are_whole);
    return test_end();
}
