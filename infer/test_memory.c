/* Planning of 2B models on a null device. */
#include "infer/memory.h"
#include "tests/harness.h"

static lt_shadow shadow;
static lt_stream_options options = {.steps = 4, .shift = 1, .guidance = 1};

static void open_large(void) {
    lt_device *device;
    lt_config *config;
    lt_model_register_keys();
    CHECK_OK(lt_config_load("model/sana-video-2b-480p", NULL, 0, &config));
    CHECK_OK(lt_device_open("null:h100", &device));
    CHECK_OK(lt_shadow_open(config, device, 0, &shadow));
    CHECK_OK(lt_cache_spec_parse("window", 3, &options.spec));
    lt_device_close(device); /* the shadow has all it needs of it */
    lt_config_free(config);
}

static void roles_add_up_to_the_peak(void) {
    lt_memory m;
    int64_t sum = 0;
    CHECK_OK(lt_memory_streaming(shadow.model, &options, &m));
    for (int i = 0; i < LT_MEMORY_ROLES; i++) sum += m.bytes[i];
    CHECK(sum == lt_memory_peak(&m) && m.bytes[LT_MEMORY_CONTEXT] > 0 && m.bytes[LT_MEMORY_SLOTS] > 0);
    CHECK(m.bytes[LT_MEMORY_GRADIENTS] == 0 && m.bytes[LT_MEMORY_EMA] == 0);
}

static void a_limit_is_met_by_fewer_frames_at_once(void) {
    lt_memory whole, fitted;
    CHECK_OK(lt_memory_fit_streaming(shadow.model, &options, 0, &whole));
    CHECK(shadow.model->dit.wide_bytes == LT_DIT_WIDE_BYTES);
    int64_t limit = lt_memory_peak(&whole) - ((int64_t)16 << 20);
    CHECK_OK(lt_memory_fit_streaming(shadow.model, &options, limit, &fitted));
    CHECK(lt_memory_peak(&fitted) <= limit && shadow.model->dit.wide_bytes < LT_DIT_WIDE_BYTES);
    CHECK(fitted.bytes[LT_MEMORY_WEIGHTS] == whole.bytes[LT_MEMORY_WEIGHTS]);
    CHECK_OK(lt_memory_check(&fitted, limit, "the video", ""));
}

static void what_is_too_large_is_named(void) {
    lt_memory m;
    int64_t limit = (int64_t)3 << 30;
    CHECK_OK(lt_memory_fit_streaming(shadow.model, &options, limit, &m));
    CHECK_FAILS(lt_memory_check(&m, limit, "the video", "another GPU"), LT_USAGE,
                "--memory-limit 3.0 GiB: the video needs");
    CHECK(strstr(lt_error(), "weights") && strstr(lt_error(), "another GPU"));
    CHECK_OK(lt_memory_check(&m, 0, "the video", ""));
}

int main(int argc, char **argv) {
    open_large();
    RUN(roles_add_up_to_the_peak);
    RUN(a_limit_is_met_by_fewer_frames_at_once);
    RUN(what_is_too_large_is_named);
    lt_shadow_close(&shadow);
    return test_end();
}
