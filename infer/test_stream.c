/* Streaming generation: constant memory, the same bits, guidance, samplers, going on later. */
#include "core/io.h"
#include "infer/stream_impl.h"
#include "infer/testing.h"
#include "model/text/testing.h"

#include <malloc.h>
#include <unistd.h>

static lt_model *model;

static lt_stream_options plain(const char *policy, int budget) {
    return (lt_stream_options){
        .steps = 3, .shift = 2, .guidance = 1, .seed = 5, .sequence = 2, .spec = test_spec(policy, budget)};
}

static lt_video_stream *open_stream(const lt_stream_options *options) {
    lt_video_stream *stream = NULL;
    CHECK_OK(lt_video_stream_open(model, options, &stream));
    if (!stream) exit(test_end() + 1);
    return stream;
}

static void generate(lt_video_stream *stream, int blocks, float *latents) {
    for (int i = 0; i < blocks; i++) CHECK_OK(lt_video_stream_next(stream, latents + (size_t)i * TEST_BLOCK));
}

static bool same_bits(const float *a, const float *b, int blocks) {
    return memcmp(a, b, (size_t)blocks * TEST_BLOCK * sizeof *a) == 0;
}

static double distance(const float *a, const float *b, int blocks) {
    double sum = 0, norm = 0;
    for (int64_t i = 0; i < (int64_t)blocks * TEST_BLOCK; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]), norm += a[i] * a[i];
    return sqrt(sum / norm);
}

static void memory_does_not_depend_on_how_long_the_video_is(void) {
    static float latents[TEST_BLOCK];
    const int blocks = test_times(400, 60);
    lt_stream_options options = plain("window", 3);
    options.steps = 1;
    lt_video_stream *stream = open_stream(&options);
    for (int i = 0; i < 20; i++) generate(stream, 1, latents);
    lt_stream_memory early = lt_video_stream_memory(stream);
    size_t host = mallinfo2().uordblks;
    for (int i = 20; i < blocks; i++) generate(stream, 1, latents);
    lt_stream_memory late = lt_video_stream_memory(stream);
    CHECK(memcmp(&early, &late, sizeof early) == 0);
    CHECK(host == mallinfo2().uordblks);
    CHECK(late.step_peak <= late.step && late.scratch_peak <= late.scratch);
    CHECK(late.slots > 0 && late.tails > 0 && late.slots + late.tails < late.run);
    CHECK(late.slots == 3 * lt_entry_bytes(2, 2, 16));
    CHECK(lt_video_stream_position(stream) == blocks);
    lt_video_stream_close(stream);
}

/* Planning filled the cache: the first full block already takes what was reserved, and no more is left over. */
static void planned_memory_is_what_is_used(void) {
    static float latents[TEST_BLOCK];
    const char *const policies[] = {"window:read=content", "sink:consolidate=nearest", "none",
                                    "window:granularity=frame", "key-norm:scope=model"};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        lt_stream_options options = plain(policies[i], 5);
        lt_video_stream *stream = open_stream(&options);
        for (int k = 0; k < 8; k++) generate(stream, 1, latents);
        lt_stream_memory memory = lt_video_stream_memory(stream);
        CHECK(memory.step_peak == memory.step);
        CHECK(memory.scratch_peak == memory.scratch);
        lt_video_stream_close(stream);
    }
}

static void same_seed_gives_the_same_bits(void) {
    static float a[4 * TEST_BLOCK], b[4 * TEST_BLOCK];
    lt_stream_options options = plain("window", 2);
    lt_video_stream *one = open_stream(&options), *two = open_stream(&options);
    generate(one, 4, a);
    generate(two, 4, b);
    CHECK(same_bits(a, b, 4));
    CHECK_OK(lt_video_stream_restart(two, 2));
    CHECK(lt_video_stream_position(two) == 0);
    generate(two, 4, b);
    CHECK(same_bits(a, b, 4));
    CHECK_OK(lt_video_stream_restart(two, 3));
    generate(two, 1, b);
    CHECK(distance(a, b, 1) > 0.1);
    lt_video_stream_close(one);
    lt_video_stream_close(two);
}

/* Every policy of the table keeps at most its budget, in time order, and its videos differ from an empty cache's. */
static void every_policy_streams(void) {
    static float none[4 * TEST_BLOCK], latents[4 * TEST_BLOCK];
    lt_stream_options options = plain("none", 0);
    lt_video_stream *stream = open_stream(&options);
    generate(stream, 4, none);
    lt_video_stream_close(stream);
    for (int i = 0; lt_policy_at(i); i++) {
        options = plain(lt_policy_at(i)->name, 2);
        stream = open_stream(&options);
        generate(stream, 4, latents);
        lt_entries *entries = lt_cache_entries(lt_video_stream_cache(stream), 1, 0);
        CHECK(entries->count == options.spec.budget);
        for (int e = 1; e < entries->count; e++) CHECK(entries->items[e].id > entries->items[e - 1].id);
        CHECK(same_bits(none, latents, 1));
        bool empty = strcmp(lt_policy_at(i)->name, "none") == 0;
        CHECK(empty ? same_bits(none, latents, 4) : distance(none, latents, 4) > 1e-4);
        lt_video_stream_close(stream);
    }
}

static void resuming_gives_the_same_bits(void) {
    static float whole[6 * TEST_BLOCK], rest[3 * TEST_BLOCK];
    const char *const policies[] = {"random", "read-mass", "none", "sink:consolidate=ema,read=content"};
    char folder[TEST_FOLDER];
    test_make_folder("lt_stream", folder);
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        lt_stream_options options = plain(policies[i], 2);
        options.guidance = i % 2 ? 1 : 2.5;
        lt_video_stream *stream = open_stream(&options), *later = open_stream(&options);
        CHECK_OK(lt_video_stream_prompt(stream, "red"));
        CHECK_OK(lt_video_stream_prompt(later, "red"));
        generate(stream, 2, whole);
        CHECK_OK(lt_video_stream_save(stream, folder));
        generate(stream, 1, whole + 2 * TEST_BLOCK);
        CHECK_OK(lt_video_stream_save(stream, folder)); /* replaces the first */
        generate(stream, 3, whole + 3 * TEST_BLOCK);
        generate(later, 1, rest); /* is forgotten */
        CHECK_OK(lt_video_stream_load(later, folder));
        CHECK(lt_video_stream_position(later) == 3);
        generate(later, 3, rest);
        CHECK(same_bits(whole + 3 * TEST_BLOCK, rest, 3));
        lt_video_stream_close(stream);
        lt_video_stream_close(later);
    }
    char **names;
    int count;
    CHECK_OK(lt_list_dir(folder, &names, &count));
    CHECK(count == 2);
    lt_list_free(names, count);
    CHECK_OK(lt_remove_tree(folder));
}

static void a_saved_stream_of_other_options_is_refused(void) {
    char folder[TEST_FOLDER];
    test_make_folder("lt_stream", folder);
    static float latents[TEST_BLOCK];
    lt_stream_options options = plain("window", 2);
    lt_video_stream *stream = open_stream(&options);
    CHECK_FAILS(lt_video_stream_load(stream, folder), LT_INPUT, "stream.json");
    generate(stream, 1, latents);
    CHECK_OK(lt_video_stream_save(stream, folder));
    lt_stream_options others[3] = {options, options, options};
    others[0].seed = 6;
    others[1].guidance = 2;
    others[2].spec = test_spec("window", 3);
    for (int i = 0; i < 3; i++) {
        lt_video_stream *other = open_stream(&others[i]);
        CHECK(lt_video_stream_load(other, folder) == LT_INPUT);
        lt_video_stream_close(other);
    }
    lt_video_stream_close(stream);
    CHECK_OK(lt_remove_tree(folder));
}

/* With guidance, Heun's two forwards a step, a prompt that changes and a cache that fills up: everything that ends a
 * graph. */
static void steps_repeated_as_a_graph_give_the_bits_of_launches(void) {
    enum { BLOCKS = 5 };
    static float latents[2][BLOCKS * TEST_BLOCK];
    if (!model->device->ops->graph_begin) {
        printf("    (no graphs on %s)\n", model->device->ops->name);
        return;
    }
    lt_session_poison(false); /* a graph would note the poison too */
    for (int i = 0; i < 2; i++) {
        lt_stream_options options = plain("window", 2);
        options.steps = 4, options.guidance = 2, options.sampler = LT_SAMPLER_HEUN, options.no_graphs = i;
        lt_video_stream *stream = open_stream(&options);
        generate(stream, BLOCKS - 1, latents[i]);
        CHECK_OK(lt_video_stream_prompt(stream, "a red ball"));
        generate(stream, 1, latents[i] + (BLOCKS - 1) * TEST_BLOCK);
        CHECK((stream->replay.graph != NULL) == (i == 0) && !stream->replay.failed);
        lt_video_stream_close(stream);
    }
    lt_session_poison(true);
    CHECK(same_bits(latents[0], latents[1], BLOCKS));
}

static void a_pushed_block_is_history_like_a_generated_one(void) {
    static float whole[3 * TEST_BLOCK], rest[2 * TEST_BLOCK], other[TEST_BLOCK];
    lt_stream_options options = plain("window", 2);
    lt_video_stream *stream = open_stream(&options);
    generate(stream, 3, whole);
    CHECK_OK(lt_video_stream_restart(stream, options.sequence));
    CHECK_OK(lt_video_stream_push(stream, whole));
    generate(stream, 2, rest);
    CHECK(same_bits(whole + TEST_BLOCK, rest, 2));
    CHECK_OK(lt_video_stream_restart(stream, options.sequence));
    test_latents(1, TEST_BLOCK, other);
    CHECK_OK(lt_video_stream_push(stream, other));
    generate(stream, 1, rest);
    CHECK(distance(whole + TEST_BLOCK, rest, 1) > 1e-3);
    other[7] = NAN;
    CHECK_FAILS(lt_video_stream_push(stream, other), LT_INPUT, "block 2: value 7");
    CHECK(lt_video_stream_position(stream) == 2);
    lt_video_stream_close(stream);
}

static void prompts_act_from_the_block_they_are_given_at(void) {
    static float null[3 * TEST_BLOCK], latents[3 * TEST_BLOCK];
    lt_stream_options options = plain("window", 2);
    lt_video_stream *stream = open_stream(&options);
    generate(stream, 3, null);
    CHECK_OK(lt_video_stream_restart(stream, options.sequence));
    CHECK_OK(lt_video_stream_prompt(stream, ""));
    generate(stream, 1, latents);
    CHECK_OK(lt_video_stream_prompt(stream, "a red ball"));
    generate(stream, 2, latents + TEST_BLOCK);
    CHECK(same_bits(null, latents, 1));
    CHECK(distance(null + TEST_BLOCK, latents + TEST_BLOCK, 1) > 1e-4);
    lt_video_stream_close(stream);
}

static void a_prompt_is_encoded_once_for_all_steps_and_blocks(void) {
    static float latents[3 * TEST_BLOCK];
    lt_stream_options o = plain("window", 2);
    lt_text_kind counting;
    o.guidance = 2, o.sampler = LT_SAMPLER_HEUN;
    lt_video_stream *s = open_stream(&o);
    const lt_text_kind *before = test_count_encodings(&model->text, &counting);
    CHECK_OK(lt_video_stream_prompt(s, "a cat"));
    generate(s, 3, latents); /* 6 velocities and a commit each, with two sequences */
    CHECK(test_encodings == 1);
    CHECK_OK(lt_video_stream_prompt(s, "a dog"));
    generate(s, 1, latents);
    CHECK(test_encodings == 2);
    CHECK_OK(lt_video_stream_restart(s, 4)); /* weights may be others since */
    generate(s, 1, latents);
    CHECK(test_encodings == 3);
    model->text.kind = before;
    lt_video_stream_close(s);
}

/* Guidance just off 1 walks two sequences, of which the null one then weighs nothing; and with the null prompt on both
 * sides any guidance is none. */
static void guidance_of_one_is_no_guidance(void) {
    static float plainly[3 * TEST_BLOCK], guided[3 * TEST_BLOCK];
    lt_stream_options options = plain("sink", 2);
    const double guidances[] = {nextafter(1, 2), 4, 4};
    for (int i = 0; i < 3; i++) {
        const char *prompt = i == 1 ? NULL : "a red ball";
        options.guidance = 1;
        lt_video_stream *one = open_stream(&options);
        CHECK_OK(lt_video_stream_prompt(one, prompt));
        generate(one, 3, plainly);
        options.guidance = guidances[i];
        lt_video_stream *two = open_stream(&options);
        CHECK_OK(lt_video_stream_prompt(two, prompt));
        generate(two, 3, guided);
        if (i < 2) CHECK_NEAR(distance(plainly, guided, 3), 0, 1e-5);
        else CHECK(distance(plainly, guided, 3) > 1e-3);
        lt_entries *lead = lt_cache_entries(lt_video_stream_cache(two), 0, 0),
                   *follow = lt_cache_entries(lt_video_stream_cache(two), 0, 1);
        CHECK(lead->count == 2 && follow->count == 2);
        for (int e = 0; e < 2; e++) CHECK(lead->items[e].id == follow->items[e].id);
        lt_video_stream_close(one);
        lt_video_stream_close(two);
    }
}

/* The prompt's sequence decides for both, also where the null prompt's values would have it otherwise. */
static void the_null_prompt_follows_the_prompt(void) {
    static float latents[12 * TEST_BLOCK];
    const char *const policies[] = {"key-norm", "read-mass", "learned"};
    for (int i = 0; i < 3; i++) {
        lt_stream_options options = plain(policies[i], 3);
        options.guidance = 3;
        lt_video_stream *stream = open_stream(&options);
        CHECK_OK(lt_video_stream_prompt(stream, "a red ball"));
        generate(stream, 12, latents);
        for (int layer = 0; layer < 2; layer++) {
            lt_entries *lead = lt_cache_entries(lt_video_stream_cache(stream), layer, 0),
                       *follow = lt_cache_entries(lt_video_stream_cache(stream), layer, 1);
            for (int e = 0; e < 3; e++) CHECK(lead->items[e].id == follow->items[e].id);
        }
        lt_video_stream_close(stream);
    }
}

/* Blocks follow each other in time, from wherever the video starts; where that is does not matter. */
static void positions_advance_with_the_blocks(void) {
    static float near[5 * TEST_BLOCK], far[5 * TEST_BLOCK];
    lt_stream_options options = plain("window", 3);
    lt_video_stream *stream = open_stream(&options);
    generate(stream, 5, near);
    lt_video_stream_close(stream);
    options.first_frame = 1000000 * TEST_FRAMES;
    stream = open_stream(&options);
    generate(stream, 5, far);
    lt_entries *entries = lt_cache_entries(lt_video_stream_cache(stream), 0, 0);
    for (int e = 0; e < 3; e++) {
        CHECK(entries->items[e].id == 2 + e);
        CHECK(entries->items[e].first_frame == (1000000 + 2 + e) * TEST_FRAMES);
        CHECK(entries->items[e].last_frame == (1000000 + 3 + e) * TEST_FRAMES - 1);
    }
    CHECK_NEAR(distance(near, far, 5), 0, 1e-5);
    lt_video_stream_close(stream);
}

/* Without a projection the velocity is its bias, whatever x and t: x = noise - bias at any number of steps. */
static void a_constant_velocity_is_integrated_exactly(void) {
    static float noise[TEST_BLOCK], latents[TEST_BLOCK];
    lt_model *kept = model;
    model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    float *bias = model->dit.out.b->value.data;
    for (int64_t i = 0; i < lt_numel(&model->dit.out.b->value); i++) bias[i] = 0.25f;
    lt_stream_options options = plain("none", 0);
    lt_rng_key key = {.seed = options.seed, .purpose = LT_RNG_SAMPLE, .clip = options.sequence};
    lt_rng_fill_normal(&key, 0, TEST_BLOCK, noise);
    for (int sampler = 0; sampler < LT_SAMPLER_COUNT; sampler++)
        for (options.steps = 1; options.steps < 6; options.steps += 2) {
            options.sampler = (lt_sampler)sampler;
            lt_video_stream *stream = open_stream(&options);
            generate(stream, 1, latents);
            for (int i = 0; i < TEST_BLOCK; i++) CHECK_NEAR(latents[i], noise[i] - 0.25f, 1e-6);
            lt_video_stream_close(stream);
        }
    test_model_close(model);
    model = kept;
}

static void heun_needs_fewer_steps_than_euler(void) {
    static float fine[TEST_BLOCK], euler[TEST_BLOCK], heun[TEST_BLOCK];
    const struct {
        lt_sampler sampler;
        int steps;
        float *out;
    } runs[] = {{LT_SAMPLER_HEUN, test_times(200, 60), fine},
                {LT_SAMPLER_EULER, 16, euler},
                {LT_SAMPLER_HEUN, 8, heun}};
    for (int i = 0; i < 3; i++) {
        lt_stream_options options = plain("none", 0);
        options.shift = 1, options.sampler = runs[i].sampler, options.steps = runs[i].steps;
        lt_video_stream *stream = open_stream(&options);
        generate(stream, 1, runs[i].out);
        lt_video_stream_close(stream);
    }
    double e = distance(fine, euler, 1), h = distance(fine, heun, 1);
    CHECK(h < e);
    CHECK(e < 0.2);
}

static void latents_that_are_not_finite_stop_the_video(void) {
    static float latents[2 * TEST_BLOCK];
    lt_stream_options options = plain("window", 2);
    lt_video_stream *stream = open_stream(&options);
    generate(stream, 2, latents);
    float *bias = model->dit.out.b->value.data, before = bias[3];
    bias[3] = NAN;
    CHECK_FAILS(lt_video_stream_next(stream, latents), LT_FAILED, "block 2: value");
    CHECK(lt_video_stream_position(stream) == 2);
    bias[3] = before;
    lt_video_stream_close(stream);
}

static void bad_options_are_usage_errors(void) {
    lt_video_stream *stream = NULL;
    lt_stream_options options = plain("window", 2);
    options.steps = 0;
    CHECK_FAILS(lt_video_stream_open(model, &options, &stream), LT_USAGE, "0 sampler steps");
    options.steps = 1, options.shift = 0;
    CHECK_FAILS(lt_video_stream_open(model, &options, &stream), LT_USAGE, "shift");
    options.shift = 1, options.guidance = NAN;
    CHECK_FAILS(lt_video_stream_open(model, &options, &stream), LT_USAGE, "guidance");
    options.guidance = 1, options.spec.policy = NULL;
    CHECK_FAILS(lt_video_stream_open(model, &options, &stream), LT_USAGE, "policy");
    CHECK(!stream);
}

typedef struct seen {
    int commits, victims, commit_reads, reads;
    bool null_data;
} seen;

static void see_commit(const lt_commit_event *event, void *user) {
    seen *s = user;
    s->commits++;
    s->victims += event->victims;
    s->null_data |= event->present[event->count - 1].z.data == NULL;
}

static void see_read(const lt_read_event *event, void *user) {
    seen *s = user;
    if (event->t == 0) s->commit_reads++;
    else s->reads++;
}

/* The planning pass on the null device is not among what the observer sees. */
static void observers_see_each_block_once(void) {
    static float latents[5 * TEST_BLOCK], alone[5 * TEST_BLOCK];
    seen s = {0};
    lt_stream_options options = plain("window", 2);
    lt_video_stream *stream = open_stream(&options);
    generate(stream, 5, alone);
    lt_video_stream_close(stream);
    options.observer = (lt_cache_observer){.on_commit = see_commit, .on_read = see_read, .user = &s};
    stream = open_stream(&options);
    CHECK(s.commits == 0 && s.reads == 0);
    generate(stream, 5, latents);
    CHECK(s.commits == 2 * 5 && s.victims == 2 * 3 && s.commit_reads == 2 * 5 && s.reads == 2 * 5 * 3);
    CHECK(!s.null_data);
    CHECK(same_bits(alone, latents, 5));
    lt_video_stream_close(stream);
}

/* A whole stream walks on a device without memory. */
static void streams_walk_on_the_null_device(void) {
    static float latents[TEST_BLOCK];
    lt_model *kept = model;
    model = test_model_open("null", LT_BACKEND_NULL, 0);
    lt_stream_options options = plain("read-mass:read=content", 2);
    lt_video_stream *stream = open_stream(&options);
    generate(stream, 1, latents);
    CHECK(lt_video_stream_position(stream) == 1);
    lt_video_stream_close(stream);
    test_model_close(model);
    model = kept;
}

int main(int argc, char **argv) {
    lt_session_poison(true);
    model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    test_model_shake(model, 0.1);
    RUN(memory_does_not_depend_on_how_long_the_video_is);
    RUN(planned_memory_is_what_is_used);
    RUN(same_seed_gives_the_same_bits);
    RUN(every_policy_streams);
    RUN(resuming_gives_the_same_bits);
    RUN(a_saved_stream_of_other_options_is_refused);
    RUN(steps_repeated_as_a_graph_give_the_bits_of_launches);
    RUN(a_pushed_block_is_history_like_a_generated_one);
    RUN(prompts_act_from_the_block_they_are_given_at);
    RUN(a_prompt_is_encoded_once_for_all_steps_and_blocks);
    RUN(guidance_of_one_is_no_guidance);
    RUN(the_null_prompt_follows_the_prompt);
    RUN(positions_advance_with_the_blocks);
    RUN(a_constant_velocity_is_integrated_exactly);
    RUN(heun_needs_fewer_steps_than_euler);
    RUN(latents_that_are_not_finite_stop_the_video);
    RUN(bad_options_are_usage_errors);
    RUN(observers_see_each_block_once);
    RUN(streams_walk_on_the_null_device);
    test_model_close(model);
    return test_end();
}
