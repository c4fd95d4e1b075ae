#include "model/codec/published.h"

const lt_codec lt_wan_vae = {.name = "wan-vae",
                             .summary = "Wan 2.1 VAE (SANA-Video 480p): shapes only",
                             .latent_channels = 16,
                             .stride_t = 4,
                             .stride_h = 8,
                             .stride_w = 8,
                             .first_frames = 1};

const lt_codec lt_ltx2_vae = {.name = "ltx2-vae",
                              .summary = "LTX-2 VAE (SANA-Video 720p): shapes only",
                              .latent_channels = 128,
                              .stride_t = 8,
                              .stride_h = 32,
                              .stride_w = 32,
                              .first_frames = 1};
