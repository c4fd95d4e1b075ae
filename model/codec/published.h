/* Published autoencoders whose latents the published transformers denoise. Their geometry is known, so that models
 * for them can be planned and their weights imported; encoding and decoding answer LT_UNAVAILABLE.
 *
 *     wan-vae    AutoencoderKLWan of Wan 2.1 (arXiv 2503.20314): SANA-Video 2B, 480p
 *     ltx2-vae   AutoencoderKLLTX2Video of LTX-2 (class of the package diffusers): SANA-Video 2B, 720p
 *
 * Both are causal: a published clip of 4 k + 1 (8 k + 1) frames has k + 1 latent frames, the first of which stands for
 * one frame alone. The strides below are those of every later latent frame.
 */
#ifndef LT_MODEL_CODEC_PUBLISHED_H
#define LT_MODEL_CODEC_PUBLISHED_H

#include "model/codec/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const lt_codec lt_wan_vae;  /* 16 channels, 4 x 8 x 8 */
extern const lt_codec lt_ltx2_vae; /* 128 channels, 8 x 32 x 32 */

#ifdef __cplusplus
}
#endif
#endif
