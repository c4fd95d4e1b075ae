/* Prompts as bytes: cuts, masks, gradients. */
#include "model/text/bytes.h"

#include "tests/harness.h"

enum { LENGTH = 8, WIDTH = 4 };

static void tokens(int length, const char *prompt, int32_t *ids, float *mask) {
    lt_text_encoder text = {.kind = &lt_text_bytes, .length = length, .width = WIDTH};
    lt_text_tokens(&text, prompt, ids, mask);
}

/* Bytes of the prompt that are visible. */
static int visible(int length, const char *prompt) {
    int32_t ids[64];
    float mask[64];
    tokens(length, prompt, ids, mask);
    CHECK(ids[0] == LT_TEXT_START && mask[0] == 1);
    int count = 0;
    for (int i = 1; i < length; i++) {
        CHECK(mask[i] == 0 || mask[i] == 1);
        CHECK(mask[i] <= mask[i - 1]); /* visible tokens come first */
        count += mask[i] == 1;
        if (mask[i] == 1) CHECK(ids[i] == (unsigned char)prompt[i - 1]);
        else CHECK(ids[i] >= 0 && ids[i] < LT_TEXT_VOCABULARY);
    }
    return count;
}

static void the_empty_prompt_is_the_start_token_alone(void) {
    CHECK(visible(LENGTH, "") == 0);
    CHECK(visible(LENGTH, NULL) == 0);
    CHECK(visible(1, "cut to nothing") == 0);
}

static void prompts_that_fit_are_whole(void) {
    CHECK(visible(LENGTH, "a ball") == 6);
    CHECK(visible(LENGTH, "exactly") == 7);
    CHECK(visible(LENGTH, "exactly so") == 7);
}

static void a_cut_never_splits_a_character(void) {
    const char *two = "caf\xc3\xa9", *three = "\xe2\x82\xac\xe2\x82\xac", *four = "ab\xf0\x9f\x8e\xa5z";
    CHECK(visible(6, two) == 5 && visible(5, two) == 3 && visible(4, two) == 3);
    for (int length = 2; length < 8; length++) CHECK(visible(length, three) == (length - 1) / 3 * 3);
    CHECK(visible(7, four) == 6 && visible(6, four) == 2 && visible(4, four) == 2 && visible(3, four) == 2);
}

static void bytes_that_are_no_utf8_are_cut_anywhere(void) {
    CHECK(visible(6, "\x80\x80\x80\x80\x80\x80\x80\x80\x80") == 5);
    CHECK(visible(LENGTH, "\xff\xfe") == 2);
}

typedef struct setup {
    lt_device *device;
    lt_params params;
    lt_text_encoder text;
    lt_arena weights, grads, step, scratch;
    lt_ctx ctx;
    lt_tape tape;
} setup;

static void open_setup(setup *s, lt_backend backend) {
    memset(s, 0, sizeof *s);
    CHECK_OK(lt_device_open("cpu", &s->device));
    s->ctx = (lt_ctx){.device = s->device, .backend = backend, .scratch = &s->scratch};
    lt_params_init(&s->params, s->device, lt_ctx_dtype(&s->ctx));
    CHECK_OK(lt_text_declare(&s->text, "bytes", LENGTH, WIDTH, &s->params));
    CHECK_OK(lt_arena_init(&s->weights, s->device, lt_params_bytes(&s->params), "weights"));
    CHECK_OK(lt_arena_init(&s->grads, s->device, lt_params_bytes(&s->params), "gradients"));
    CHECK_OK(lt_arena_init(&s->step, s->device, 1 << 20, "step"));
    CHECK_OK(lt_arena_init(&s->scratch, s->device, 1 << 20, "scratch"));
    CHECK_OK(lt_params_allocate(&s->params, &s->weights, &s->grads, NULL, NULL));
    CHECK_OK(lt_params_initialise(&s->params, 11));
    lt_tape_init(&s->tape, &s->ctx, &s->step);
}

static void close_setup(setup *s) {
    lt_tape_free(&s->tape);
    lt_arena_free(&s->scratch);
    lt_arena_free(&s->step);
    lt_arena_free(&s->grads);
    lt_arena_free(&s->weights);
    lt_params_free(&s->params);
    lt_device_close(s->device);
}

static void embeddings_are_the_sum_of_both_tables(void) {
    const char *prompts[] = {"go\xc3\xb6", NULL, "longer than it holds"};
    setup s;
    lt_var *out;
    lt_tensor mask;
    open_setup(&s, LT_BACKEND_CPU);
    CHECK_OK(lt_text_encode(&s.text, &s.tape, 3, prompts, &out, &mask));
    CHECK(out->value.ndim == 3 && out->value.shape[0] == 3 && out->value.shape[1] == LENGTH);
    const float *values = out->value.data, *table = s.text.parameter[LT_TEXT_BYTES_TABLE]->value.data,
                *position = s.text.parameter[LT_TEXT_BYTES_POSITION]->value.data, *shown = mask.data;
    for (int p = 0; p < 3; p++) {
        int32_t ids[LENGTH];
        float wanted[LENGTH];
        lt_text_tokens(&s.text, prompts[p], ids, wanted);
        for (int i = 0; i < LENGTH; i++) {
            CHECK(shown[p * LENGTH + i] == wanted[i]);
            for (int c = 0; c < WIDTH; c++)
                CHECK(values[(p * LENGTH + i) * WIDTH + c] ==
                      table[ids[i] * WIDTH + c] + position[i * WIDTH + c]);
        }
    }
    CHECK_FAILS(lt_text_encode(&s.text, &s.tape, 0, prompts, &out, &mask), LT_FAILED, "no prompts");
    close_setup(&s);
}

static void float64_references_get_a_float64_mask(void) {
    setup s;
    lt_var *out;
    lt_tensor mask;
    open_setup(&s, LT_BACKEND_NAIVE);
    CHECK_OK(lt_text_encode(&s.text, &s.tape, 2, NULL, &out, &mask));
    CHECK(mask.dtype == LT_F64 && out->value.dtype == LT_F64);
    const double *shown = mask.data;
    for (int i = 0; i < 2 * LENGTH; i++) CHECK(shown[i] == (i % LENGTH == 0));
    close_setup(&s);
}

static void gradients_reach_the_rows_that_were_read(void) {
    const char *prompts[] = {"aab", ""};
    setup s;
    lt_var *out;
    lt_tensor mask, seed;
    open_setup(&s, LT_BACKEND_CPU);
    s.tape.recording = true;
    CHECK_OK(lt_text_encode(&s.text, &s.tape, 2, prompts, &out, &mask));
    CHECK_OK(LT_NEW(&s.step, LT_F32, &seed, 2, LENGTH, WIDTH));
    float *weights = seed.data;
    const float *shown = mask.data;
    for (int i = 0; i < 2 * LENGTH * WIDTH; i++) weights[i] = shown[i / WIDTH]; /* masked tokens get none */
    CHECK_OK(lt_tape_seed(&s.tape, out, seed));
    CHECK_OK(lt_tape_backward(&s.tape));
    const float *table = s.text.parameter[LT_TEXT_BYTES_TABLE]->grad.data,
                *position = s.text.parameter[LT_TEXT_BYTES_POSITION]->grad.data;
    for (int id = 0; id < LT_TEXT_VOCABULARY; id++)
        for (int c = 0; c < WIDTH; c++) {
            float reads = id == 'a' || id == LT_TEXT_START ? 2 : id == 'b';
            CHECK(table[id * WIDTH + c] == reads);
        }
    for (int i = 0; i < LENGTH; i++) CHECK(position[i * WIDTH] == (i == 0 ? 2 : i < 4));
    close_setup(&s);
}

/* The embedding that stays is what the graph computes, whatever happens on the tape in between. */
static void encoding_once_gives_the_bits_of_the_graph(void) {
    const char *prompts[] = {"a cat", NULL};
    for (int backend = 0; backend < 2; backend++) {
        setup s;
        lt_var *out, *kept;
        lt_tensor mask, kept_mask;
        lt_text_embedding e;
        open_setup(&s, backend ? LT_BACKEND_CPU : LT_BACKEND_NAIVE);
        s.tape.recording = true;
        CHECK_OK(lt_text_embedding_new(&s.text, &s.ctx, &s.scratch, 3, &e));
        size_t mark = lt_arena_mark(&s.step);
        CHECK_OK(lt_text_embed(&s.text, &s.tape, 2, prompts, &e));
        CHECK(lt_arena_mark(&s.step) == mark && s.tape.recording && s.tape.last == NULL);
        CHECK_OK(lt_text_encode(&s.text, &s.tape, 2, prompts, &out, &mask));
        CHECK_OK(lt_text_embedding_var(&e, &s.tape, 2, &kept, &kept_mask));
        CHECK(!kept->needs_grad && kept->value.dtype == out->value.dtype && kept->value.shape[0] == 2);
        CHECK(memcmp(kept->value.data, out->value.data, lt_nbytes(&out->value)) == 0);
        CHECK(memcmp(kept_mask.data, mask.data, lt_nbytes(&mask)) == 0);
        close_setup(&s);
    }
}

static void encoders_are_found_by_name_and_described(void) {
    setup s;
    lt_text_encoder text;
    open_setup(&s, LT_BACKEND_CPU);
    lt_text_description d = lt_text_describe(&s.text);
    CHECK(strcmp(d.name, "bytes") == 0 && d.length == LENGTH && d.width == WIDTH);
    CHECK(d.parameter_bytes == (LT_TEXT_VOCABULARY + LENGTH) * WIDTH * (int64_t)sizeof(float));
    CHECK(lt_text_find("bytes") == &lt_text_bytes && lt_text_at(0) == &lt_text_bytes &&
          lt_text_at(-1) == NULL);
    CHECK_FAILS(lt_text_declare(&text, "gemma", LENGTH, WIDTH, &s.params), LT_USAGE, "choose one of bytes");
    CHECK_FAILS(lt_text_declare(&text, "bytes", 0, WIDTH, &s.params), LT_USAGE, "at least one of each");
    close_setup(&s);
}

int main(int argc, char **argv) {
    RUN(the_empty_prompt_is_the_start_token_alone);
    RUN(prompts_that_fit_are_whole);
    RUN(a_cut_never_splits_a_character);
    RUN(bytes_that_are_no_utf8_are_cut_anywhere);
    RUN(embeddings_are_the_sum_of_both_tables);
    RUN(float64_references_get_a_float64_mask);
    RUN(gradients_reach_the_rows_that_were_read);
    RUN(encoding_once_gives_the_bits_of_the_graph);
    RUN(encoders_are_found_by_name_and_described);
    return test_end();
}
