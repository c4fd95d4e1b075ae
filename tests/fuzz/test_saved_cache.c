/* A saved video: it is loaded, and goes on, or is refused and the stream begins anew. The input's first part is
 * stream.json, the second the cache. */
#include "core/io.h"
#include "core/parallel.h"
#include "infer/stream.h"
#include "model/model.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATENTS = 4096 };
const int fuzz_runs = 500;

static const char config[] =
    "{\"model\": {\"frame_size\": [16, 16], \"block_frames\": 1, \"layers\": 1, \"heads\": 1, "
    "\"head_dim\": 16, \"caption_channels\": 16, \"text_length\": 8}}";
static lt_device *device;
static lt_model *model;
static lt_video_stream *stream;
static float latents[LATENTS];

static void close_all(void) {
    lt_video_stream_close(stream);
    lt_model_close(model);
    lt_device_close(device);
}

static void open_all(void) {
    lt_config *parsed;
    lt_stream_options options = {.steps = 1, .shift = 3, .guidance = 1, .seed = 7};
    lt_set_threads(1);
    lt_model_register_keys();
    FUZZ_OK(lt_config_parse(config, "model", NULL, 0, &parsed));
    FUZZ_OK(lt_device_open("cpu", &device));
    FUZZ_OK(lt_model_open(parsed, device, LT_BACKEND_CPU, 0, &model));
    lt_config_free(parsed);
    FUZZ_OK(lt_model_initialise(model, 1));
    FUZZ_OK(lt_cache_spec_parse("sink:n=1,consolidate=nearest,read=age", 2, &options.spec));
    FUZZ_OK(lt_video_stream_open(model, &options, &stream));
    atexit(close_all);
}

static void seed_of(int blocks) {
    char cache[64];
    size_t index_size, size;
    FUZZ_OK(lt_video_stream_restart(stream, 3));
    for (int i = 0; i < blocks; i++) FUZZ_OK(lt_video_stream_next(stream, latents));
    FUZZ_OK(lt_video_stream_save(stream, fuzz_path("saved")));
    snprintf(cache, sizeof cache, "saved/cache-%d.safetensors", blocks);
    uint8_t *index = fuzz_read(fuzz_path("saved/stream.json"), &index_size),
            *bytes = fuzz_read(fuzz_path(cache), &size);
    fuzz_seed_of_two((fuzz_bytes){index, index_size}, (fuzz_bytes){bytes, size});
    free(index);
    free(bytes);
}

void fuzz_seeds(void) {
    open_all();
    for (int blocks = 0; blocks < 4; blocks++) seed_of(blocks);
    (void)lt_remove_tree(fuzz_path("saved"));
    FUZZ_OK(lt_make_dirs(fuzz_path("saved")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_bytes rest = {data, size}, first = fuzz_split(&rest);
    fuzz_write("saved/stream.json", first.data, first.size);
    for (int blocks = 0; blocks < 4; blocks++) { /* whichever the index names */
        char cache[64];
        snprintf(cache, sizeof cache, "saved/cache-%d.safetensors", blocks);
        fuzz_write(cache, rest.data, rest.size);
    }
    FUZZ_OK(lt_video_stream_restart(stream, 3));
    lt_status status = lt_video_stream_load(stream, fuzz_path("saved"));
    FUZZ_HOLDS(status == LT_OK || status == LT_INPUT);
    FUZZ_HOLDS(lt_video_stream_position(stream) >= 0);
    lt_status next = lt_video_stream_next(stream, latents); /* what was loaded may not be finite */
    FUZZ_HOLDS(next == LT_OK || (next == LT_FAILED && status == LT_OK));
    return 0;
}
