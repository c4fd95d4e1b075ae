/* Published layouts, files and flags of parameters. */
#include "model/params.h"

#include "core/io.h"
#include "model/model.h"
#include "tests/harness.h"

#include <unistd.h>

static lt_device *device;
static char folder[TEST_FOLDER];

static const char *in_folder(const char *name) {
    static char path[LT_PATH_MAX];
    CHECK_OK(lt_path_join(path, folder, name));
    return path;
}

/* A store of a few parameters with memory of every kind. */
typedef struct store {
    lt_params params;
    lt_arena weights, grads, ema;
} store;

static void open_store(store *s, lt_dtype dtype, void (*declare)(lt_params *params)) {
    memset(s, 0, sizeof *s);
    lt_params_init(&s->params, device, dtype);
    declare(&s->params);
    size_t bytes = lt_params_bytes(&s->params);
    CHECK_OK(lt_arena_init(&s->weights, device, bytes, "weights"));
    CHECK_OK(lt_arena_init(&s->grads, device, bytes, "gradients"));
    CHECK_OK(lt_arena_init(&s->ema, device, bytes, "EMA"));
    CHECK_OK(lt_params_allocate(&s->params, &s->weights, &s->grads, NULL, &s->ema));
}

static void close_store(store *s) {
    lt_arena_free(&s->ema);
    lt_arena_free(&s->grads);
    lt_arena_free(&s->weights);
    lt_params_free(&s->params);
}

/* One permuted kernel, and two matrices stored as one. */
static void declare_kernel_and_pair(lt_params *params) {
    static const int axes[] = {2, 3, 0, 1};
    CHECK(LT_PARAM(params, true, 3, 2, 4) != NULL);
    CHECK_OK(lt_params_publish(params, LT_INIT_NORMAL, 1, axes, LT_DIMS(4, 1, 3, 2), "kernel"));
    CHECK(LT_PARAM(params, true, 4, 3) != NULL);
    CHECK_OK(lt_params_publish(params, LT_INIT_NORMAL, 1, NULL, LT_DIMS(2, 3), "first"));
    CHECK_OK(lt_params_publish(params, LT_INIT_ONE, 0, NULL, LT_DIMS(2, 3), "second"));
}

static void permutations_move_elements_where_computed_by_hand(void) {
    store s;
    open_store(&s, LT_F32, declare_kernel_and_pair);
    const lt_published *kernel = lt_params_find(&s.params, "kernel");
    double values[24], back[24];
    for (int i = 0; i < 24; i++) values[i] = i + 0.5;
    CHECK_OK(lt_params_set(&s.params, LT_COPY_VALUE, kernel, values));
    const float *stored = s.params.items[0]->var.value.data;
    /* Published [c, 0, row, column] lies at [row, column, c]. */
    for (int c = 0; c < 4; c++)
        for (int row = 0; row < 3; row++)
            for (int column = 0; column < 2; column++)
                CHECK(stored[(row * 2 + column) * 4 + c] == (float)values[(c * 3 + row) * 2 + column]);
    CHECK(stored[1 * 4 + 3] == 19.5f); /* channel 3, row 0, column 1: published index 19 */
    CHECK_OK(lt_params_get(&s.params, LT_COPY_VALUE, kernel, back));
    CHECK(memcmp(values, back, sizeof values) == 0);
    close_store(&s);
}

static void published_tensors_of_a_fused_parameter_follow_each_other(void) {
    store s;
    open_store(&s, LT_F64, declare_kernel_and_pair);
    double first[6] = {1, 2, 3, 4, 5, 6}, second[6] = {7, 8, 9, 10, 11, 12};
    CHECK_OK(lt_params_set(&s.params, LT_COPY_VALUE, lt_params_find(&s.params, "second"), second));
    CHECK_OK(lt_params_set(&s.params, LT_COPY_VALUE, lt_params_find(&s.params, "first"), first));
    const double *stored = s.params.items[1]->var.value.data;
    for (int i = 0; i < 12; i++) CHECK(stored[i] == i + 1);
    close_store(&s);
}

static void too_many_published_elements_are_refused(void) {
    lt_params params;
    lt_params_init(&params, device, LT_F32);
    CHECK_FAILS(lt_params_publish(&params, LT_INIT_ZERO, 0, NULL, LT_DIMS(2), "early"), LT_FAILED,
                "no parameter");
    CHECK(LT_PARAM(&params, true, 4) != NULL);
    CHECK_FAILS(lt_params_publish(&params, LT_INIT_ZERO, 0, NULL, LT_DIMS(5), "wide"), LT_FAILED, "wide");
    lt_params_free(&params);
}

/* Every parameter of a model, its permutations included, through a file. */
static lt_model *open_tiny(int flags, lt_backend backend) {
    lt_config *config;
    lt_model *model = NULL;
    const char *smaller[] = {"model.layers=2", "model.frame_size=16,16"};
    CHECK_OK(lt_config_load("model/tiny", smaller, 2, &config));
    CHECK_OK(lt_model_open(config, device, backend, flags, &model));
    lt_config_free(config);
    return model;
}

static uint64_t hash_of(const lt_model *model) {
    uint64_t hash = 0;
    CHECK_OK(lt_params_hash(&model->params, &hash));
    return hash;
}

static void a_model_of_unusual_values_survives_its_file(void) {
    lt_model *a = open_tiny(0, LT_BACKEND_CPU), *b = open_tiny(0, LT_BACKEND_CPU);
    CHECK_OK(lt_model_initialise(a, 1));
    CHECK_OK(lt_model_initialise(b, 2));
    float *first = a->params.items[0]->var.value.data;
    first[0] = -0.0f, first[1] = 1e-45f, first[2] = 3.4e38f;
    CHECK(hash_of(a) != hash_of(b));
    CHECK_OK(lt_params_save(&a->params, LT_COPY_VALUE, in_folder("a.safetensors"), NULL, 0));
    CHECK_OK(lt_params_load(&b->params, LT_COPY_VALUE, in_folder("a.safetensors"), false));
    CHECK(hash_of(a) == hash_of(b));
    for (int i = 0; i < a->params.count; i++) {
        const lt_tensor *x = &a->params.items[i]->var.value, *y = &b->params.items[i]->var.value;
        CHECK(memcmp(x->data, y->data, lt_nbytes(x)) == 0);
    }
    lt_model_close(a);
    lt_model_close(b);
}

/* Writes the file of `declare_kernel_and_pair` with one change. */
typedef enum change { NONE, MISSING, RESHAPED, EXTRA, INTEGER, BF16, F16, F64 } change;

static void write_changed(const char *path, change what) {
    static float kernel[24], first[6], second[6];
    static uint16_t halves[24];
    static double wide[24];
    static int32_t integers[24];
    int64_t kernel_shape[] = {4, 1, 3, 2}, flat[] = {24}, pair[] = {2, 3};
    for (int i = 0; i < 24; i++) {
        kernel[i] = (float)(0.25 * i - 2), wide[i] = kernel[i], integers[i] = i;
        halves[i] = what == BF16 ? lt_f32_to_bf16(kernel[i]) : lt_f32_to_f16(kernel[i]);
    }
    void *data[] = {[BF16] = halves, [F16] = halves, [F64] = wide, [INTEGER] = integers};
    lt_dtype dtypes[] = {[BF16] = LT_BF16, [F16] = LT_F16, [F64] = LT_F64, [INTEGER] = LT_I32};
    lt_st_entry entries[4] = {{"first", lt_tensor_of(first, LT_F32, 2, pair)},
                              {"second", lt_tensor_of(second, LT_F32, 2, pair)},
                              {"kernel", lt_tensor_of(kernel, LT_F32, 4, kernel_shape)},
                              {"third", lt_tensor_of(first, LT_F32, 2, pair)}};
    if (what >= INTEGER) entries[2].tensor = lt_tensor_of(data[what], dtypes[what], 4, kernel_shape);
    if (what == RESHAPED) entries[2].tensor = lt_tensor_of(kernel, LT_F32, 1, flat);
    CHECK_OK(lt_st_write(path, entries, what == MISSING ? 2 : what == EXTRA ? 4 : 3, NULL, 0));
}

static void load_errors_name_the_tensor_and_change_nothing(void) {
    const struct {
        change what;
        const char *message;
    } cases[] = {{MISSING, "the tensor kernel is missing"},
                 {RESHAPED, "kernel is f32[24], expected f32[4,1,3,2]"},
                 {EXTRA, "no tensor named third"},
                 {INTEGER, "kernel has dtype i32"}};
    store s;
    open_store(&s, LT_F32, declare_kernel_and_pair);
    CHECK_OK(lt_params_initialise(&s.params, 3));
    uint64_t before, after;
    CHECK_OK(lt_params_hash(&s.params, &before));
    const char *path = in_folder("changed.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_changed(path, cases[i].what);
        CHECK_FAILS(lt_params_load(&s.params, LT_COPY_VALUE, path, false), LT_INPUT, cases[i].message);
        CHECK(strstr(lt_error(), "changed.safetensors") != NULL);
        CHECK_OK(lt_params_hash(&s.params, &after));
        CHECK(before == after);
    }
    CHECK_FAILS(lt_params_load(&s.params, LT_COPY_VALUE, in_folder("absent"), false), LT_INPUT, "absent");
    write_changed(path, EXTRA);
    CHECK_OK(lt_params_load(&s.params, LT_COPY_VALUE, path, true));
    CHECK_OK(lt_params_hash(&s.params, &after));
    CHECK(before != after);
    close_store(&s);
}

static void files_of_every_float_dtype_load(void) {
    change kinds[] = {NONE, BF16, F16, F64};
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < 4; i++) {
            store s;
            double values[24];
            open_store(&s, d ? LT_F64 : LT_F32, declare_kernel_and_pair);
            write_changed(in_folder("dtype.safetensors"), kinds[i]);
            CHECK_OK(lt_params_load(&s.params, LT_COPY_VALUE, in_folder("dtype.safetensors"), false));
            CHECK_OK(lt_params_get(&s.params, LT_COPY_VALUE, lt_params_find(&s.params, "kernel"), values));
            for (int k = 0; k < 24; k++) CHECK(values[k] == 0.25 * k - 2); /* exact in all of them */
            close_store(&s);
        }
}

static void declare_with_statistics(lt_params *params) {
    CHECK(LT_PARAM(params, true, 2, 2) != NULL);
    CHECK_OK(lt_params_publish(params, LT_INIT_NORMAL, 1, NULL, LT_DIMS(2, 2), "layer.weight"));
    lt_param *mean = LT_PARAM(params, false, 2);
    lt_params_fix(mean);
    CHECK_OK(lt_params_publish(params, LT_INIT_ZERO, 0, NULL, LT_DIMS(2), "latent.mean"));
}

static void fixed_parameters_are_never_trained(void) {
    store s;
    open_store(&s, LT_F32, declare_with_statistics);
    lt_param *layer = s.params.items[0], *mean = s.params.items[1];
    CHECK(layer->var.needs_grad && !mean->var.needs_grad && !mean->trainable);
    CHECK(lt_params_set_trainable(&s.params, NULL, false) == 1);
    CHECK(!layer->var.needs_grad && !layer->trainable);
    CHECK(lt_params_set_trainable(&s.params, "nothing,*.mean", true) == 0);
    CHECK(lt_params_set_trainable(&s.params, "nothing,layer.*", true) == 1);
    CHECK(layer->var.needs_grad && !mean->var.needs_grad && !mean->trainable);
    close_store(&s);
}

static void ema_starts_at_the_values_and_swaps(void) {
    store s;
    open_store(&s, LT_F32, declare_with_statistics);
    CHECK_OK(lt_params_initialise(&s.params, 5));
    const lt_param *layer = s.params.items[0];
    float *value = layer->var.value.data, *ema = layer->ema.data;
    CHECK(value[0] != 0 && memcmp(value, ema, 4 * sizeof *value) == 0);
    ema[0] = 7;
    CHECK_OK(lt_params_swap_ema(&s.params, NULL));
    CHECK(((const float *)layer->var.value.data)[0] == 7 && layer->ema.data == (void *)value);
    CHECK_OK(lt_params_swap_ema(&s.params, NULL));
    CHECK(layer->var.value.data == (void *)value);
    CHECK_OK(lt_params_reset_ema(&s.params));
    CHECK(ema[0] == value[0]);
    close_store(&s);
}

int main(int argc, char **argv) {
    lt_model_register_keys();
    test_make_folder("lt_params", folder);
    if (lt_device_open("cpu", &device) != LT_OK) return 1;
    RUN(permutations_move_elements_where_computed_by_hand);
    RUN(published_tensors_of_a_fused_parameter_follow_each_other);
    RUN(too_many_published_elements_are_refused);
    RUN(a_model_of_unusual_values_survives_its_file);
    RUN(load_errors_name_the_tensor_and_change_nothing);
    RUN(files_of_every_float_dtype_load);
    RUN(fixed_parameters_are_never_trained);
    RUN(ema_starts_at_the_values_and_swaps);
    lt_device_close(device);
    CHECK_OK(lt_remove_tree(folder));
    return test_end();
}
