/* A video chunk by chunk through a codec. On the host a chunk is used where the caller has it; a device gets a copy. */
#include "core/rng.h"
#include "model/codec/codec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What is saved in front of the state. */
typedef struct saved_header {
    uint64_t owner; /* hash of codec, direction and sizes */
    int64_t position;
} saved_header;

static int64_t rounded(int64_t bytes) {
    return (bytes + LT_ARENA_ALIGN - 1) / LT_ARENA_ALIGN * LT_ARENA_ALIGN;
}

/* The largest chunk: bytes of its frames, values of its latents. */
static int64_t chunk_bytes(const lt_codec_spec *s) {
    int64_t most = lt_codec_frames(s->codec, s->most), later = s->most * s->codec->stride_t;
    return (most > later ? most : later) * s->height * s->width * 3;
}

static int64_t chunk_values(const lt_codec_spec *s) {
    const lt_codec *c = s->codec;
    return s->most * (s->height / c->stride_h) * (s->width / c->stride_w) * c->latent_channels;
}

lt_codec_bytes lt_codec_stream_bytes(const lt_codec_spec *spec) {
    lt_codec_bytes bytes = {0};
    if (spec->codec->bytes) bytes = spec->codec->bytes(spec);
    if (spec->device && lt_device_is_host(spec->device)) return bytes;
    bytes.workspace += rounded(chunk_bytes(spec)) + rounded(chunk_values(spec) * (int64_t)sizeof(float));
    return bytes;
}

static lt_status check_device(const lt_codec_spec *s) {
    LT_CHECK(!lt_device_is_null(s->device), LT_FAILED, "codec %s: a null device computes nothing",
             s->codec->name);
    LT_CHECK(s->codec->on_device || lt_device_is_host(s->device), LT_UNAVAILABLE,
             "codec %s runs in host memory only, not on %s", s->codec->name, s->device->ops->name);
    LT_CHECK(!s->codec->declare || (s->params && s->params->device->ops == s->device->ops), LT_FAILED,
             "codec %s: its parameters are not on device %s", s->codec->name, s->device->ops->name);
    return LT_OK;
}

static lt_status check_spec(const lt_codec_spec *s) {
    int64_t shape[4];
    if (!s->codec->encode || !s->codec->decode) return lt_codec_check_streams(s->codec);
    LT_CHECK(s->most > 0, LT_USAGE, "codec %s: chunks of %" PRId64 " latent frames", s->codec->name, s->most);
    LT_TRY(lt_codec_latent_shape(s->codec, lt_codec_frames(s->codec, s->most), s->height, s->width, shape));
    return check_device(s);
}

static lt_status reserve(lt_codec_stream *s) {
    lt_device *device = s->spec.device;
    lt_codec_bytes own = s->spec.codec->bytes ? s->spec.codec->bytes(&s->spec) : (lt_codec_bytes){0};
    lt_codec_bytes all = lt_codec_stream_bytes(&s->spec);
    int64_t staged = all.workspace - own.workspace;
    LT_TRY(lt_arena_init(&s->memory, device, (size_t)(rounded(own.state) + staged), "codec"));
    LT_TRY(lt_arena_init(&s->scratch, device, (size_t)own.workspace, "codec workspace"));
    if (own.state) LT_TRY(LT_NEW(&s->memory, LT_U8, &s->state, own.state));
    if (lt_device_is_host(device)) return LT_OK;
    LT_TRY(LT_NEW(&s->memory, LT_U8, &s->rgb, chunk_bytes(&s->spec)));
    LT_TRY(LT_NEW(&s->memory, LT_F32, &s->latents, chunk_values(&s->spec)));
    return device->ops->stream_create ? device->ops->stream_create(device, &s->ctx.stream) : LT_OK;
}

lt_status lt_codec_stream_open(const lt_codec_spec *spec, lt_codec_stream **out) {
    *out = NULL;
    LT_TRY(check_spec(spec));
    lt_codec_stream *s = calloc(1, sizeof *s);
    LT_CHECK(s, LT_FAILED, "codec %s: out of memory", spec->codec->name);
    s->spec = *spec;
    s->ctx = (lt_ctx){.device = spec->device,
                      .backend = spec->device->ops->backend,
                      .dtype = LT_F32,
                      .scratch = &s->scratch};
    lt_status status = reserve(s);
    if (status == LT_OK) status = lt_codec_stream_reset(s);
    if (status == LT_OK) *out = s;
    else lt_codec_stream_close(s);
    return status;
}

void lt_codec_stream_close(lt_codec_stream *s) {
    if (!s) return;
    lt_device *device = s->spec.device;
    if (device->ops->stream_destroy && s->ctx.stream) device->ops->stream_destroy(device, s->ctx.stream);
    lt_arena_free(&s->scratch);
    lt_arena_free(&s->memory);
    free(s);
}

lt_status lt_codec_stream_reset(lt_codec_stream *s) {
    s->position = 0;
    return lt_is_empty(&s->state) ? LT_OK : lt_tensor_zero(s->spec.device, s->ctx.stream, &s->state);
}

int64_t lt_codec_stream_frames(const lt_codec_stream *s, int64_t latents) {
    return lt_codec_frames(s->spec.codec, s->position + latents) -
           lt_codec_frames(s->spec.codec, s->position);
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

static lt_status check_chunk(const lt_codec_stream *s, lt_codec_direction direction, int64_t latents) {
    const lt_codec *c = s->spec.codec;
    LT_CHECK(s->spec.direction == direction, LT_FAILED, "codec %s: a stream for the other direction",
             c->name);
    LT_CHECK(latents > 0 && latents <= s->spec.most, LT_FAILED,
             "codec %s: a chunk of %" PRId64 " latent frames, expected 1 to %" PRId64, c->name, latents,
             s->spec.most);
    LT_CHECK(c->look_ahead == 0 || s->position == 0, LT_UNAVAILABLE,
             "codec %s looks %d latent frames ahead: a video goes through it in one piece", c->name,
             c->look_ahead);
    return LT_OK;
}

/* Both ends of a chunk: in the caller's memory on the host, else in ours. */
static void chunk_of(const lt_codec_stream *s, int64_t latents, void *host_rgb, void *host_latents,
                     lt_tensor *rgb, lt_tensor *values) {
    const lt_codec_spec *p = &s->spec;
    const lt_codec *c = p->codec;
    bool on_host = lt_device_is_host(p->device);
    *rgb = LT_VIEW(on_host ? host_rgb : s->rgb.data, LT_U8, lt_codec_stream_frames(s, latents), p->height,
                   p->width, 3);
    *values = LT_VIEW(on_host ? host_latents : s->latents.data, LT_F32, latents, p->height / c->stride_h,
                      p->width / c->stride_w, c->latent_channels);
}

lt_status lt_codec_stream_encode(lt_codec_stream *s, int64_t latents, const uint8_t *rgb, float *values) {
    lt_tensor from, to;
    lt_device *device = s->spec.device;
    bool on_host = lt_device_is_host(device);
    LT_TRY(check_chunk(s, LT_CODEC_ENCODE, latents));
    chunk_of(s, latents, (void *)(uintptr_t)rgb, values, &from, &to);
    if (!on_host) LT_TRY(lt_tensor_from_host(device, s->ctx.stream, &from, rgb));
    LT_TRY(s->spec.codec->encode(s, from, to));
    if (!on_host) LT_TRY(lt_tensor_to_host(device, s->ctx.stream, &to, values));
    s->position += latents;
    return LT_OK;
}

lt_status lt_codec_stream_decode(lt_codec_stream *s, int64_t latents, const float *values, uint8_t *rgb) {
    lt_tensor from, to;
    lt_device *device = s->spec.device;
    bool on_host = lt_device_is_host(device);
    LT_TRY(check_chunk(s, LT_CODEC_DECODE, latents));
    chunk_of(s, latents, rgb, (void *)(uintptr_t)values, &to, &from);
    if (!on_host) LT_TRY(lt_tensor_from_host(device, s->ctx.stream, &from, values));
    LT_TRY(s->spec.codec->decode(s, from, to));
    if (!on_host) LT_TRY(lt_tensor_to_host(device, s->ctx.stream, &to, rgb));
    s->position += latents;
    return LT_OK;
}

/* ---- saving ------------------------------------------------------------------------------------------------------ */

static uint64_t owner_of(const lt_codec_spec *s) {
    int64_t sizes[3] = {s->direction, s->height, s->width};
    uint64_t hash = lt_hash(s->codec->name, strlen(s->codec->name), LT_HASH_SEED);
    return lt_hash(sizes, sizeof sizes, hash);
}

size_t lt_codec_stream_saved(const lt_codec_stream *s) {
    return sizeof(saved_header) + (lt_is_empty(&s->state) ? 0 : lt_nbytes(&s->state));
}

lt_status lt_codec_stream_save(const lt_codec_stream *s, void *to) {
    saved_header header = {owner_of(&s->spec), s->position};
    memcpy(to, &header, sizeof header);
    if (lt_is_empty(&s->state)) return LT_OK;
    return lt_tensor_to_host(s->spec.device, s->ctx.stream, &s->state, (char *)to + sizeof header);
}

lt_status lt_codec_stream_restore(lt_codec_stream *s, const void *from) {
    saved_header header;
    memcpy(&header, from, sizeof header);
    LT_CHECK(header.owner == owner_of(&s->spec) && header.position >= 0, LT_INPUT,
             "codec %s: the saved state is of another codec, direction or frame size", s->spec.codec->name);
    s->position = header.position;
    if (lt_is_empty(&s->state)) return LT_OK;
    return lt_tensor_from_host(s->spec.device, s->ctx.stream, &s->state, (const char *)from + sizeof header);
}
