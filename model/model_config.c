/* The keys "model.*". Their defaults are the preset configs/model/tiny.json. */
#include "model/model_config.h"

#include "model/model.h"

static const lt_key keys[] = {
    {"model.codec", LT_KEY_STRING, "\"haar3d\"", .help = "how frames become latents"},
    {"model.frame_size", LT_KEY_INTS, "[64,64]", 1, 16384, .help = "height and width of a frame in pixels"},
    {"model.block_frames", LT_KEY_INT, "4", 1, 4096, .help = "latent frames per block"},
    {"model.layers", LT_KEY_INT, "4", 1, 512, .help = "transformer blocks"},
    {"model.heads", LT_KEY_INT, "4", 1, 512,
     .help = "heads of the linear attention; width = heads x head_dim"},
    {"model.head_dim", LT_KEY_INT, "32", 8, 512, .help = "channels per head, even"},
    {"model.cross_heads", LT_KEY_INT, "0", 0, 512, .help = "heads of the cross-attention; 0: as model.heads"},
    {"model.cross_head_dim", LT_KEY_INT, "0", 0, 512,
     .help = "channels per head of the cross-attention; 0: as model.head_dim"},
    {"model.in_channels", LT_KEY_INT, "0", 0, 4096,
     .help = "latent channels; 0: the codec's, which any other number must equal"},
    {"model.caption_channels", LT_KEY_INT, "64", 1, 65536, .help = "width of the text embeddings"},
    {"model.text_encoder", LT_KEY_STRING, "\"bytes\"", .help = "how a prompt becomes embeddings"},
    {"model.text_length", LT_KEY_INT, "64", 1, 65536, .help = "tokens of a prompt, the start token included"},
    {"model.ffn_ratio", LT_KEY_FLOAT, "2", 0.01, 64, .help = "hidden channels of the Mix-FFN per channel"},
    {"model.patch", LT_KEY_INTS, "[1,2,2]", 1, 64, .help = "latent frames, rows and columns of one token"},
    {"model.rope_theta", LT_KEY_FLOAT, "100", 1, 1e12, .help = "longest wavelength of the rotary angles"},
    {"model.norm_eps", LT_KEY_FLOAT, "1e-6", 1e-12, 1, .help = "epsilon of the layer norms"},
    {"model.qk_eps", LT_KEY_FLOAT, "1e-5", 1e-12, 1, .help = "epsilon of the norms of queries and keys"},
    {"model.time_scale", LT_KEY_FLOAT, "1000", 1e-3, 1e6, .help = "the model sees t x time_scale"},
    {NULL}};

void lt_model_register_keys(void) { lt_config_register("model", keys); }

static int key_int(const lt_config *config, const char *key) { return (int)lt_config_int(config, key); }

static int or_else(int value, int preset) { return value ? value : preset; }

static lt_status expect_count(const lt_config *config, const char *key, int count, const char *what) {
    int found = lt_config_count(config, key);
    LT_CHECK(found == count, LT_USAGE, "%s has %d elements, expected %d: %s", key, found, count, what);
    return LT_OK;
}

static void read_transformer(const lt_config *config, lt_dit_config *dit) {
    *dit = (lt_dit_config){.in_channels = key_int(config, "model.in_channels"),
                           .layers = key_int(config, "model.layers"),
                           .heads = key_int(config, "model.heads"),
                           .head_dim = key_int(config, "model.head_dim"),
                           .caption_channels = key_int(config, "model.caption_channels"),
                           .ffn_ratio = lt_config_float(config, "model.ffn_ratio"),
                           .block_frames = key_int(config, "model.block_frames"),
                           .rope_theta = lt_config_float(config, "model.rope_theta"),
                           .norm_eps = lt_config_float(config, "model.norm_eps"),
                           .qk_eps = lt_config_float(config, "model.qk_eps"),
                           .time_scale = lt_config_float(config, "model.time_scale")};
    dit->cross_heads = or_else(key_int(config, "model.cross_heads"), dit->heads);
    dit->cross_head_dim = or_else(key_int(config, "model.cross_head_dim"), dit->head_dim);
    for (int i = 0; i < 3; i++) dit->patch[i] = (int)lt_config_int_at(config, "model.patch", i);
}

/* Frames must divide into latents, and latents into tokens. */
static lt_status check_sizes(const lt_model_spec *spec) {
    const lt_dit_config *dit = &spec->dit;
    int64_t shape[4];
    lt_status status = lt_codec_latent_shape(spec->codec, lt_codec_frames(spec->codec, dit->block_frames),
                                             spec->frame_height, spec->frame_width, shape);
    if (status != LT_OK) return lt_fail_in(status, "model.frame_size");
    for (int i = 1; i < 3; i++)
        LT_CHECK(
            shape[i] % dit->patch[i] == 0, LT_USAGE,
            "model.frame_size [%d,%d] gives latents of %lld x %lld (height x width) with codec %s, which "
            "model.patch [%d,%d,%d] does not divide",
            spec->frame_height, spec->frame_width, (long long)shape[1], (long long)shape[2],
            spec->codec->name, dit->patch[0], dit->patch[1], dit->patch[2]);
    LT_CHECK(dit->in_channels == spec->codec->latent_channels, LT_USAGE,
             "model.in_channels is %d, but codec %s has %d channels; leave it out or write 0",
             dit->in_channels, spec->codec->name, spec->codec->latent_channels);
    return LT_OK;
}

lt_status lt_model_spec_read(const lt_config *config, lt_model_spec *out) {
    LT_TRY(expect_count(config, "model.frame_size", 2, "height and width"));
    LT_TRY(expect_count(config, "model.patch", 3, "frames, rows, columns"));
    lt_model_spec spec = {.codec = lt_codec_find(lt_config_string(config, "model.codec")),
                          .frame_height = (int)lt_config_int_at(config, "model.frame_size", 0),
                          .frame_width = (int)lt_config_int_at(config, "model.frame_size", 1),
                          .text_length = key_int(config, "model.text_length")};
    if (!spec.codec) return lt_fail_in(LT_USAGE, "model.codec");
    const lt_text_kind *text = lt_text_find(lt_config_string(config, "model.text_encoder"));
    if (!text) return lt_fail_in(LT_USAGE, "model.text_encoder");
    spec.text_encoder = text->name;
    read_transformer(config, &spec.dit);
    spec.dit.in_channels = or_else(spec.dit.in_channels, spec.codec->latent_channels);
    LT_TRY(check_sizes(&spec));
    *out = spec;
    return LT_OK;
}
