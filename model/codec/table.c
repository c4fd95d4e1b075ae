/* Every codec that model.codec can name: a row is added here and nowhere else. Nothing but the table is in this file, so that a test
 * program can bring its own. */
#include "model/codec/codec.h"
#include "model/codec/haar3d.h"
#include "model/codec/published.h"

const lt_codec *const lt_codec_table[] = {&lt_haar3d_codec, &lt_haar3d_full, &lt_wan_vae, &lt_ltx2_vae, NULL};
