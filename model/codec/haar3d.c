#include "model/codec/haar3d.h"

#include "kernels/haar3d/haar3d.h"

static lt_status haar3d_encode(lt_codec_stream *stream, lt_tensor rgb, lt_tensor latents) {
    lt_haar3d_args args = {.rgb = rgb, .latents = latents};
    return lt_haar3d(&stream->ctx, &args);
}

static lt_status haar3d_decode(lt_codec_stream *stream, lt_tensor latents, lt_tensor rgb) {
    lt_haar3d_args args = {.rgb = rgb, .latents = latents, .inverse = true};
    return lt_haar3d(&stream->ctx, &args);
}

const lt_codec lt_haar3d_codec = {.name = "haar3d",
                                  .summary = "fixed 3D Haar transform, 24 of 96 coefficients",
                                  .latent_channels = LT_HAAR3D_KEPT,
                                  .stride_t = LT_HAAR3D_T,
                                  .stride_h = LT_HAAR3D_H,
                                  .stride_w = LT_HAAR3D_W,
                                  .first_frames = LT_HAAR3D_T,
                                  .on_device = true,
                                  .encode = haar3d_encode,
                                  .decode = haar3d_decode};

const lt_codec lt_haar3d_full = {.name = "haar3d-full",
                                 .summary = "fixed 3D Haar transform, every coefficient (exact)",
                                 .latent_channels = LT_HAAR3D_CELL,
                                 .stride_t = LT_HAAR3D_T,
                                 .stride_h = LT_HAAR3D_H,
                                 .stride_w = LT_HAAR3D_W,
                                 .first_frames = LT_HAAR3D_T,
                                 .on_device = true,
                                 .encode = haar3d_encode,
                                 .decode = haar3d_decode};
