/* include/longtake.h as a program uses it, on a run made here. */
#include "include/longtake.h"

#include "core/io.h"
#include "core/parallel.h"
#include "infer/testing_data.h"

#include <pthread.h>

enum { BLOCKS = 4, BLOCK_BYTES = 4 * 16 * 24 * 3 };

static char folder[TEST_FOLDER], run_path[LT_PATH_MAX], saved_path[LT_PATH_MAX];

#define OK(call)                  CHECK_OK((lt_status)(call))
#define FAILS(call, status, text) CHECK_FAILS((lt_status)(call), (lt_status)(status), text)

static void set_up(void) {
    char path[LT_PATH_MAX];
    test_make_folder("lt_api", folder);
    CHECK_OK(lt_path_join(run_path, folder, "run"));
    CHECK_OK(lt_path_join(saved_path, folder, "saved"));
    CHECK_OK(lt_make_dirs(run_path));
    CHECK_OK(lt_path_join(path, run_path, "config.json"));
    CHECK_OK(lt_write_file(path, TEST_CONFIG, strlen(TEST_CONFIG)));
    lt_model *model = test_model_open("cpu", LT_BACKEND_CPU, 0);
    test_model_shake(model, 0.05);
    CHECK_OK(lt_model_save(model, run_path));
    test_model_close(model);
}

static void tear_down(void) {
    char command[LT_PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    CHECK(system(command) == 0);
}

/* ---- one job, of which several may run at once --------------------------------------------------------- */

typedef struct job {
    const char *policy;
    uint64_t seed;
    int threads;
    longtake_score score; /* of a policy "mine", or NULL */
    void *user;
    uint8_t frames[BLOCKS][BLOCK_BYTES];
    int64_t ids[BLOCKS]; /* of the oldest entry after each block */
    pthread_barrier_t *start;
} job;

static void open_all(const job *j, longtake **context, longtake_run **run, longtake_stream **stream) {
    const longtake_options options = {sizeof options, .threads = j->threads ? j->threads : 1};
    const longtake_policy mine = {sizeof mine, .name = "mine", .score = j->score, .user = j->user,
                                  .needs = LONGTAKE_NEED(LONGTAKE_AGE) | LONGTAKE_NEED(LONGTAKE_ORDER)};
    const longtake_stream_options how = {sizeof how,      .policy = j->policy, .budget = "2",     .steps = 3,
                                         .seed = j->seed, .guidance = 1.5,     .prompt = "a ball"};
    OK(longtake_open(&options, context));
    if (j->score) OK(longtake_policy_add(*context, &mine));
    OK(longtake_run_open(*context, run_path, NULL, run));
    OK(longtake_stream_open(*run, &how, stream));
}

static void close_all(longtake *context, longtake_run *run, longtake_stream *stream) {
    longtake_stream_close(stream);
    longtake_run_close(run);
    longtake_close(context);
}

static void *stream_blocks(void *user) {
    job *j = user;
    longtake *context;
    longtake_run *run;
    longtake_stream *stream;
    open_all(j, &context, &run, &stream);
    if (j->start) pthread_barrier_wait(j->start);
    for (int i = 0; i < BLOCKS; i++) {
        longtake_entry oldest = {sizeof oldest};
        OK(longtake_next(stream, j->frames[i], BLOCK_BYTES, NULL));
        OK(longtake_entry_at(stream, 1, 0, &oldest));
        j->ids[i] = oldest.id;
    }
    close_all(context, run, stream);
    return NULL;
}

static bool same(const job *a, const job *b) {
    return memcmp(a->frames, b->frames, sizeof a->frames) == 0 && memcmp(a->ids, b->ids, sizeof a->ids) == 0;
}

/* Keeps the entry whose number is user's. */
static int keep_one(const longtake_view *view, float *score, void *user) {
    for (int i = 0; i < view->entries; i++)
        score[i] = view->ids[i] == *(const int64_t *)user ? 1 : -view->feature[LONGTAKE_AGE][i];
    return 0;
}

/* Policies of the same name, seeds and numbers of threads differ between the two, so whatever they shared
 * would show. */
static void two_contexts_in_two_threads_give_the_results_of_one(void) {
    static int64_t first = 0, second = 1;
    static job alone[2], together[2];
    const job jobs[2] = {
        {.policy = "mine", .seed = 5, .threads = 1, .score = keep_one, .user = &first},
        {.policy = "mine:consolidate=sum", .seed = 6, .threads = 2, .score = keep_one, .user = &second}};
    pthread_barrier_t start;
    for (int i = 0; i < 2; i++) alone[i] = together[i] = jobs[i], stream_blocks(&alone[i]);
    CHECK(alone[0].ids[3] == 0 && alone[1].ids[3] == 2);
    CHECK(!same(&alone[0], &alone[1]));
    for (int round = 0; round < 5; round++) {
        pthread_t thread[2];
        CHECK(pthread_barrier_init(&start, NULL, 2) == 0);
        for (int i = 0; i < 2; i++) {
            together[i].start = &start;
            memset(together[i].frames, 0, sizeof together[i].frames);
            CHECK(pthread_create(&thread[i], NULL, stream_blocks, &together[i]) == 0);
        }
        for (int i = 0; i < 2; i++) CHECK(pthread_join(thread[i], NULL) == 0);
        pthread_barrier_destroy(&start);
        CHECK(same(&alone[0], &together[0]) && same(&alone[1], &together[1]));
    }
}

/* Opening looks policies up by name and plans memory for a number of threads: each must be the context's
 * own. */
typedef struct opener {
    pthread_barrier_t *start;
    int threads, called;
} opener;

static int count_calls(const longtake_view *view, float *score, void *user) {
    memset(score, 0, (size_t)view->entries * sizeof *score);
    opener *o = user;
    o->called += lt_threads() == o->threads ? 1 : 1000000;
    return 0;
}

static void *open_again_and_again(void *user) {
    opener *o = user;
    const longtake_options options = {sizeof options, .threads = o->threads};
    const longtake_policy mine = {sizeof mine, .name = "mine", .score = count_calls, .user = o};
    const longtake_stream_options how = {sizeof how, .policy = "mine", .budget = "2", .steps = 1};
    longtake *context;
    longtake_run *run;
    longtake_stream *stream;
    OK(longtake_open(&options, &context));
    OK(longtake_policy_add(context, &mine));
    OK(longtake_run_open(context, run_path, NULL, &run));
    pthread_barrier_wait(o->start);
    for (int i = 0; i < 600; i++) {
        const int before = o->called;
        OK(longtake_stream_open(run, &how, &stream));
        CHECK(o->called > before && o->called < 1000000);
        longtake_stream_close(stream);
    }
    close_all(context, run, NULL);
    return NULL;
}

static void what_a_context_was_given_stays_its_own(void) {
    pthread_barrier_t start;
    pthread_t thread[2];
    opener openers[2] = {{&start, 1, 0}, {&start, 3, 0}};
    CHECK(pthread_barrier_init(&start, NULL, 2) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&thread[i], NULL, open_again_and_again, &openers[i]) == 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(thread[i], NULL) == 0);
    pthread_barrier_destroy(&start);
    CHECK(openers[0].called == openers[1].called);
}

/* "sink", written as a policy of the program's. */
static int sink(const longtake_view *view, float *score, void *user) {
    int *layers = user;
    if (view->layer >= *layers) *layers = view->layer + 1;
    for (int i = 0; i < view->entries; i++)
        score[i] = view->feature[LONGTAKE_ORDER][i] < 1 ? 1 : -view->feature[LONGTAKE_AGE][i];
    return 0;
}

static void a_policy_of_the_program_decides_as_the_same_one_of_the_library(void) {
    static job own, ours;
    int layers = 0;
    own = (job){.policy = "mine", .seed = 3, .score = sink, .user = &layers};
    ours = (job){.policy = "sink", .seed = 3};
    stream_blocks(&own);
    stream_blocks(&ours);
    CHECK(same(&own, &ours) && layers == 2);
    CHECK(own.ids[3] == 0);
}

static int refuse(const longtake_view *view, float *score, void *user) {
    (void)score, (void)user;
    return view->entries > 2 && view->feature[LONGTAKE_MOTION][0] > 0 ? 7 : 0;
}

static int look(const longtake_view *view, float *score, void *user) {
    double *sums = user;
    for (int f = 0; f < LONGTAKE_FEATURES; f++)
        for (int i = 0; i < view->entries; i++) sums[f] += (double)fabsf(view->feature[f][i]);
    for (int i = 0; i < view->entries; i++) score[i] = (float)i;
    return 0;
}

static void only_what_a_policy_needs_is_computed(void) {
    longtake *context;
    longtake_run *run;
    for (int feature = -1; feature < LONGTAKE_FEATURES; feature++) {
        const uint64_t needs = feature < 0 ? 0 : LONGTAKE_NEED(feature);
        double sums[LONGTAKE_FEATURES] = {0};
        uint8_t rgb[BLOCK_BYTES];
        longtake_stream *stream;
        const longtake_policy mine = {sizeof mine, .name = "mine", .score = look, .user = sums,
                                      .needs = needs};
        const longtake_stream_options how = {sizeof how, .policy = "mine", .budget = "2", .steps = 1};
        OK(longtake_open(NULL, &context));
        OK(longtake_policy_add(context, &mine));
        OK(longtake_run_open(context, run_path, NULL, &run));
        OK(longtake_stream_open(run, &how, &stream));
        for (int i = 0; i < 4; i++) OK(longtake_next(stream, rgb, sizeof rgb, NULL));
        /* Nothing is folded into an entry where victims are dropped. */
        for (int f = 0; f < LONGTAKE_FEATURES; f++)
            CHECK((sums[f] > 0) == (f == feature && f != LONGTAKE_MERGES));
        close_all(context, run, stream);
    }
}

/* State counts the commits that an entry has seen: its age, kept by the policy. */
static int count_commits(const longtake_view *view, void *user) {
    (void)user;
    for (int i = 0; i < view->entries; i++) view->state[i] += 1;
    return 0;
}

static int check_pairs_and_state(const longtake_view *view, float *score, void *user) {
    int *seen = user;
    for (int i = 0; i < view->entries; i++) {
        score[i] = -view->state[i];
        CHECK_NEAR(view->state[i], view->feature[LONGTAKE_AGE][i] + 1, 0);
        float novelty = 1;
        for (int k = 0; k < view->entries; k++) {
            const float s = view->similarity[i * view->entries + k];
            CHECK_NEAR(s, view->similarity[k * view->entries + i], 1e-6);
            if (k != i) novelty = fminf(novelty, 1 - s);
        }
        if (view->feature[LONGTAKE_NOVELTY][i] == 0) continue; /* planned */
        CHECK_NEAR(view->feature[LONGTAKE_NOVELTY][i], novelty, 1e-5);
        ++*seen;
    }
    return 0;
}

static void a_policy_of_the_program_sees_pairs_and_has_state(void) {
    longtake *context;
    longtake_run *run;
    longtake_stream *stream;
    int seen = 0;
    uint8_t rgb[BLOCK_BYTES];
    const longtake_policy mine = {.size = sizeof mine,
                                  .name = "mine",
                                  .score = check_pairs_and_state,
                                  .user = &seen,
                                  .state = 1,
                                  .update = count_commits,
                                  .needs = LONGTAKE_NEED_SIMILARITY | LONGTAKE_NEED(LONGTAKE_NOVELTY) |
                                           LONGTAKE_NEED(LONGTAKE_AGE)};
    const longtake_stream_options how = {sizeof how, .policy = "mine", .budget = "2", .steps = 1};
    longtake_entry oldest = {sizeof oldest};
    OK(longtake_open(NULL, &context));
    OK(longtake_policy_add(context, &mine));
    OK(longtake_run_open(context, run_path, NULL, &run));
    OK(longtake_stream_open(run, &how, &stream));
    for (int i = 0; i < 5; i++) OK(longtake_next(stream, rgb, sizeof rgb, NULL));
    OK(longtake_entry_at(stream, 0, 0, &oldest));
    CHECK(seen >= 2 * 3 * 3 && oldest.id == 3); /* window */
    close_all(context, run, stream);
}

static void what_is_wrong_with_a_policy_is_said(void) {
    longtake *context;
    longtake_run *run;
    longtake_stream *stream;
    uint8_t rgb[BLOCK_BYTES];
    OK(longtake_open(NULL, &context));
    OK(longtake_run_open(context, run_path, NULL, &run));
    const longtake_stream_options how = {sizeof how, .policy = "mine", .budget = "2", .steps = 1};
    FAILS(longtake_stream_open(run, &how, &stream), LONGTAKE_USAGE, "there is no policy \"mine\"");
    longtake_policy mine = {sizeof mine, .name = "sink", .score = refuse};
    FAILS(longtake_policy_add(context, &mine), LONGTAKE_USAGE, "the library's own");
    mine.name = "Mine";
    FAILS(longtake_policy_add(context, &mine), LONGTAKE_USAGE, "small letters");
    mine.name = "mine", mine.consolidate = "none";
    FAILS(longtake_policy_add(context, &mine), LONGTAKE_USAGE, "expected drop, sum");
    mine.consolidate = NULL, mine.needs = UINT64_C(1) << 40;
    FAILS(longtake_policy_add(context, &mine), LONGTAKE_USAGE, "needs is 0x10000000000");
    mine.needs = LONGTAKE_NEED(LONGTAKE_MOTION), mine.size = 0;
    FAILS(longtake_policy_add(context, &mine), LONGTAKE_USAGE, "policy.size is 0");
    mine.size = sizeof mine;
    OK(longtake_policy_add(context, &mine));
    FAILS(longtake_policy_add(context, &mine), LONGTAKE_USAGE, "added before");
    OK(longtake_stream_open(run, &how, &stream));
    for (int i = 0; i < 2; i++) OK(longtake_next(stream, rgb, sizeof rgb, NULL));
    FAILS(longtake_next(stream, rgb, sizeof rgb, NULL), LONGTAKE_FAILED,
          "policy mine: its score function returned 7");
    close_all(context, run, stream);
}

/* ---- streams ------------------------------------------------------------------------------------------- */

static void a_saved_stream_goes_on_with_the_same_bits(void) {
    static job whole;
    longtake *context;
    longtake_run *run;
    longtake_stream *stream;
    uint8_t rgb[BLOCK_BYTES];
    whole = (job){.policy = "window", .seed = 9};
    stream_blocks(&whole);
    open_all(&whole, &context, &run, &stream);
    for (int i = 0; i < 2; i++) OK(longtake_next(stream, rgb, sizeof rgb, NULL));
    OK(longtake_stream_save(stream, saved_path));
    close_all(context, run, stream);
    open_all(&whole, &context, &run, &stream);
    OK(longtake_stream_load(stream, saved_path));
    longtake_block block = {sizeof block};
    OK(longtake_next(stream, rgb, sizeof rgb, &block));
    CHECK(memcmp(rgb, whole.frames[2], sizeof rgb) == 0);
    CHECK(block.position == 3 && block.entries == 2 && block.victims == 2 && block.slot_bytes > 0 &&
          block.tail_bytes > 0);
    OK(longtake_restart(stream, 0));
    OK(longtake_next(stream, rgb, sizeof rgb, &block));
    CHECK(block.position == 1 && block.victims == 0 && memcmp(rgb, whole.frames[0], sizeof rgb) == 0);
    close_all(context, run, stream);
}

static void pushed_footage_is_history(void) {
    static job whole;
    longtake *context;
    longtake_run *run;
    longtake_stream *stream;
    uint8_t rgb[BLOCK_BYTES];
    longtake_block block = {sizeof block};
    longtake_entry entry = {sizeof entry};
    whole = (job){.policy = "window", .seed = 9};
    stream_blocks(&whole);
    open_all(&whole, &context, &run, &stream);
    memset(rgb, 200, sizeof rgb);
    OK(longtake_push(stream, rgb, sizeof rgb, &block));
    CHECK(block.position == 1 && block.entries == 1);
    OK(longtake_next(stream, rgb, sizeof rgb, &block));
    CHECK(block.position == 2 && memcmp(rgb, whole.frames[1], sizeof rgb) != 0);
    OK(longtake_entry_at(stream, 0, 1, &entry));
    CHECK(entry.id == 1 && entry.first_frame == 2 && entry.last_frame == 3 && entry.merges == 0);
    FAILS(longtake_entry_at(stream, 0, 2, &entry), LONGTAKE_USAGE, "there are 2");
    FAILS(longtake_entry_at(stream, 2, 0, &entry), LONGTAKE_USAGE, "layer 2");
    FAILS(longtake_next(stream, rgb, sizeof rgb - 1, NULL), LONGTAKE_USAGE, "a block is 4608 bytes");
    close_all(context, run, stream);
}

static void what_is_wrong_with_a_stream_is_said(void) {
    longtake *context;
    longtake_run *run;
    longtake_stream *stream = (void *)1;
    FAILS(longtake_open(&(longtake_options){sizeof(longtake_options), .device = "tpu"}, &context),
          LONGTAKE_USAGE, "tpu");
    CHECK(!context);
    FAILS(longtake_open(&(longtake_options){sizeof(longtake_options), .threads = -1}, &context),
          LONGTAKE_USAGE, "options.threads");
    OK(longtake_open(NULL, &context));
    FAILS(longtake_run_open(context, "/nowhere", NULL, &run), LONGTAKE_INPUT,
          "/nowhere: there is no such run");
    OK(longtake_run_open(context, run_path, NULL, &run));
    longtake_stream_options how = {sizeof how, .budget = "25%"};
    FAILS(longtake_stream_open(run, &how, &stream), LONGTAKE_USAGE, "of how many blocks?");
    CHECK(!stream);
    how.budget = NULL, how.sampler = "rk4";
    FAILS(longtake_stream_open(run, &how, &stream), LONGTAKE_USAGE, "expected euler or heun");
    how.sampler = NULL, how.steps = -1;
    FAILS(longtake_stream_open(run, &how, &stream), LONGTAKE_USAGE, "-1 sampler steps");
    close_all(context, run, NULL);
}

/* ---- runs and plans ------------------------------------------------------------------------------------ */

static void a_plan_says_what_a_stream_takes(void) {
    longtake *context, *null;
    longtake_run *run;
    longtake_stream *stream;
    longtake_plan plan = {sizeof plan}, twice = {sizeof twice};
    longtake_run_info info = {sizeof info};
    longtake_block block = {sizeof block};
    longtake_stream_options how = {sizeof how, .policy = "window", .budget = "3", .steps = 2};
    uint8_t rgb[BLOCK_BYTES];
    OK(longtake_open(NULL, &context));
    OK(longtake_plan_stream(context, run_path, NULL, &how, &plan));
    OK(longtake_run_open(context, run_path, NULL, &run));
    OK(longtake_run_describe(run, &info));
    CHECK(info.width == 24 && info.height == 16 && info.frames_per_block == 4 &&
          info.block_bytes == BLOCK_BYTES);
    CHECK(info.layers == 2 && info.heads == 2 && info.head_dim == 16 && info.weights_hash != 0);
    CHECK(plan.weight_bytes >= 4 * info.parameters && plan.block_flops > 2.0 * (double)info.parameters);
    OK(longtake_stream_open(run, &how, &stream));
    for (int i = 0; i < 5; i++) OK(longtake_next(stream, rgb, sizeof rgb, &block));
    CHECK(plan.slot_bytes == block.slot_bytes && plan.tail_bytes == block.tail_bytes);
    CHECK(plan.slot_bytes >= 3 * info.entry_bytes);
    close_all(context, run, stream);
    OK(longtake_open(&(longtake_options){sizeof(longtake_options), .device = "null:h100"}, &null));
    how.steps = 5; /* 6 forwards for 3 */
    OK(longtake_plan_stream(null, run_path, NULL, &how, &twice));
    CHECK_NEAR(twice.block_flops / plan.block_flops, 2, 0.1);
    FAILS(longtake_run_open(null, run_path, NULL, &run), LONGTAKE_USAGE, "computes nothing");
    longtake_close(null);
}

/* ---- evaluation ---------------------------------------------------------------------------------------- */

typedef struct rows {
    int count;
    longtake_row row[8];
    char policy[8][256];
    int64_t passes;
} rows;

static void keep_row(const longtake_row *row, void *user) {
    rows *to = user;
    to->row[to->count] = *row;
    snprintf(to->policy[to->count++], sizeof to->policy[0], "%s", row->policy);
}

static void count_passes(const char *what, int64_t done, int64_t total, void *user) {
    (void)total;
    if (strcmp(what, "evaluate") == 0) ((rows *)user)->passes = done;
}

static void a_policy_of_the_program_is_evaluated_beside_those_of_the_library(void) {
    static const char *const policies[] = {"sink", "mine", "window"}, *const calm[] = {"calm"},
                             *const two[] = {"2"};
    longtake *context;
    longtake_run *run;
    int layers = 0;
    rows all = {0};
    char data[LT_PATH_MAX];
    const longtake_policy mine = {sizeof mine, .name = "mine", .score = sink, .user = &layers,
                                  .needs = LONGTAKE_NEED(LONGTAKE_AGE) | LONGTAKE_NEED(LONGTAKE_ORDER)};
    CHECK_OK(lt_path_join(data, folder, "d.h5"));
    CHECK_OK(test_dataset_make(data));
    OK(longtake_open(&(longtake_options){sizeof(longtake_options), .threads = 1}, &context));
    OK(longtake_policy_add(context, &mine));
    OK(longtake_run_open(context, run_path, NULL, &run));
    longtake_evaluation how = {
        sizeof how,           .data = data,      .domains = calm,          .domain_count = 1,
        .policies = policies, .policy_count = 3, .budgets = two,           .budget_count = 1,
        .clips = 2,           .blocks = 4,       .progress = count_passes, .user = &all};
    OK(longtake_evaluate(run, &how, keep_row, &all));
    CHECK(all.count == 3 && all.passes > 0);
    CHECK(strncmp(all.policy[0], "sink:n=1,", 9) == 0 &&
          strncmp(all.policy[1], "mine:consolidate=drop", 21) == 0);
    CHECK(all.row[0].loss == all.row[1].loss && all.row[0].loss != all.row[2].loss &&
          isfinite(all.row[0].loss));
    CHECK(all.row[1].clips == 2 && all.row[1].budget == 2 && all.row[1].evicting_reads > 0 &&
          all.row[1].cache_bytes > 0);
    how.policy_count = 0;
    FAILS(longtake_evaluate(run, &how, keep_row, &all), LONGTAKE_USAGE, "evaluation.policies is empty");
    how.policy_count = 3, how.data = "/nowhere.h5";
    FAILS(longtake_evaluate(run, &how, keep_row, &all), LONGTAKE_INPUT, "/nowhere.h5");
    close_all(context, run, NULL);
}

/* A program of an older header hands shorter structs in; what lies behind them is not written. */
static void structs_may_be_of_an_older_header(void) {
    longtake *context;
    longtake_run *run;
    struct {
        size_t size;
        int width, height, behind;
    } old = {sizeof(size_t) + 2 * sizeof(int), 0, 0, 77};
    OK(longtake_open(NULL, &context));
    OK(longtake_run_open(context, run_path, NULL, &run));
    OK(longtake_run_describe(run, (longtake_run_info *)&old));
    CHECK(old.width == 24 && old.height == 16 && old.behind == 77);
    close_all(context, run, NULL);
}

static void closing_nothing_does_nothing(void) {
    longtake_stream_close(NULL);
    longtake_run_close(NULL);
    longtake_close(NULL);
    CHECK(strcmp(longtake_version(), "") != 0);
}

int main(int argc, char **argv) {
    set_up();
    RUN(two_contexts_in_two_threads_give_the_results_of_one);
    RUN(what_a_context_was_given_stays_its_own);
    RUN(a_policy_of_the_program_decides_as_the_same_one_of_the_library);
    RUN(only_what_a_policy_needs_is_computed);
    RUN(a_policy_of_the_program_sees_pairs_and_has_state);
    RUN(what_is_wrong_with_a_policy_is_said);
    RUN(a_saved_stream_goes_on_with_the_same_bits);
    RUN(pushed_footage_is_history);
    RUN(what_is_wrong_with_a_stream_is_said);
    RUN(a_plan_says_what_a_stream_takes);
    RUN(a_policy_of_the_program_is_evaluated_beside_those_of_the_library);
    RUN(structs_may_be_of_an_older_header);
    RUN(closing_nothing_does_nothing);
    tear_down();
    return test_end();
}
