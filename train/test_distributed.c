/* One process against two under mpirun, at the same global batch, on the CPU and on two GPUs where there are any.
 * Started by mpirun this is one of the two. */
#include "core/parallel.h"
#include "kernels/choices.h"
#include "train/testing.h"

#include <sys/wait.h>

static const char *program, *device_name = "cpu";

/* The second goes on from `base`: the damage that a new transformer's entries do is rounding alone. */
static const char *const base[] = {"train.steps=40", "train.batch=4", NULL};
static const char *const stages[][4] = {{"train.steps=3", "train.batch=4", "train.validate_every=3", NULL},
                                        {"train.steps=3", "train.batch=4", "train.stage=joint", NULL}};
enum { STAGES = sizeof stages / sizeof *stages };

/* In float32. */
static lt_status open_own(lt_comm *comm, lt_device **device) {
    char spec[LT_COMM_DEVICE];
    snprintf(spec, sizeof spec, "%s", device_name);
    if (comm) lt_comm_device(comm, device_name, spec);
    return lt_device_open_as(spec, "f32", NULL, device);
}

/* A device that fails where the norm of the gradients, three numbers, is read. */
static lt_device_ops broken;
static lt_status (*whole_copy)(lt_device *device, lt_stream *stream, void *to, const void *from, size_t bytes,
                               lt_copy_kind kind);
static lt_status broken_copy(lt_device *device, lt_stream *stream, void *to, const void *from, size_t bytes,
                             lt_copy_kind kind) {
    LT_CHECK(kind != LT_COPY_TO_HOST || bytes != 3 * sizeof(float), LT_FAILED, "the norm is lost");
    return whole_copy(device, stream, to, from, bytes, kind);
}
static bool breaks; /* rank 1's device does */

static void break_device(lt_device *device) {
    broken = *device->ops;
    whole_copy = broken.copy;
    broken.copy = broken_copy;
    device->ops = &broken;
}

/* Each rank has chosen an algorithm of its own for a GEMM: after training rank 0's is there. */
static void choose(lt_device *device, const lt_comm *comm) {
    lt_choice own = {.key = {1, 2, 3}, .algorithm = {7 + (uint64_t)lt_comm_rank(comm)}};
    lt_choices_put(device, &own);
}
static lt_status check_choice(const lt_device *device) {
    const lt_choice *found = lt_choices_find(device, (int64_t[LT_CHOICE_KEY]){1, 2, 3});
    LT_CHECK(found && found->algorithm[0] == 7, LT_FAILED, "ranks do not use the choices of rank 0");
    return LT_OK;
}

static lt_status train_into(const char *name, const char *const *overrides, const char *init, lt_comm *comm) {
    char out[LT_PATH_MAX], from[LT_PATH_MAX];
    lt_device *device;
    lt_config *config = test_config(overrides);
    LT_TRY(lt_path_join(out, test_folder, name));
    if (init) LT_TRY(lt_path_join(from, test_folder, init));
    LT_TRY(open_own(comm, &device));
    if (breaks && lt_comm_rank(comm) == 1) break_device(device);
    if (comm) choose(device, comm);
    lt_run_options options = {.config = config,
                              .data = test_data,
                              .out = out,
                              .init = init ? from : NULL,
                              .force = true,
                              .device = device,
                              .comm = comm};
    lt_status status = lt_run_train(&options);
    if (status == LT_OK && comm) status = check_choice(device);
    lt_device_close(device);
    lt_config_free(config);
    return status;
}

static lt_status train_stage(const char *prefix, int stage, lt_comm *comm) {
    char name[32];
    snprintf(name, sizeof name, "%s%d", prefix, stage);
    return train_into(name, stages[stage], stage ? "base" : NULL, comm);
}

/* Gradients go from GPU to GPU where the build has NCCL; the message says if not. */
static lt_status join(lt_comm **comm) {
    lt_device *device;
    LT_TRY(lt_comm_open(comm));
    LT_TRY(open_own(*comm, &device));
    lt_status status = lt_comm_attach(*comm, device, "auto");
    lt_device_close(device);
    return status;
}

static int be_a_rank(void) {
    lt_comm *comm;
    lt_status status = join(&comm);
    for (int stage = 0; stage < STAGES && status == LT_OK; stage++) status = train_stage("two", stage, comm);
    if (status != LT_OK) fprintf(stderr, "rank: %s\n", lt_error());
    lt_comm_close(comm);
    return status;
}

/* ---- a rank that fails ------------------------------------------------------------------------------------------- */

/* The step before: a failure here is not the one that is expected. */
static lt_status first_step(test_bench *b, lt_comm *comm) {
    static const char *const overrides[] = {"train.batch=4", NULL};
    lt_step_result r;
    LT_TRY(open_own(comm, &b->device));
    LT_TRY(test_open_on(b, b->device->ops->backend, overrides, comm));
    return lt_trainer_step(b->trainer, &r);
}

/* Rank 1 lacks memory in the backward pass of the second step; all ranks get its status. */
static lt_status lack_memory(test_bench *b, lt_comm *comm) {
    lt_step_result r;
    if (first_step(b, comm) != LT_OK) return lt_fail(LT_INPUT, "before the memory goes: %s", lt_error());
    lt_arena *step = &lt_trainer_session(b->trainer)->step;
    size_t whole = step->capacity;
    if (lt_comm_rank(comm) == 1) step->capacity = step->peak - step->peak / 8;
    lt_status status = lt_trainer_step(b->trainer, &r);
    step->capacity = whole;
    LT_CHECK(status == LT_FAILED && strstr(lt_error(), "memory for step"), LT_INPUT,
             "rank %d: a step that lacks memory ended with %d: %s", lt_comm_rank(comm), status, lt_error());
    LT_CHECK(lt_comm_rank(comm) == 1 || strncmp(lt_error(), "rank 1: ", 8) == 0, LT_INPUT,
             "rank 0 was told \"%s\"", lt_error());
    return status;
}

/* Rank 1 fails between the sums and the next agreement, where rank 0 goes on: lt_run_train does not return. */
static lt_status fail_alone(lt_comm *comm) {
    breaks = true;
    (void)train_stage("alone", 0, comm);
    return lt_fail(LT_INPUT, "rank %d came back", lt_comm_rank(comm));
}

static int be_a_rank_that_fails(bool alone) {
    lt_comm *comm;
    test_bench b = {0};
    lt_status status = join(&comm);
    if (status != LT_OK) status = lt_fail(LT_INPUT, "the ranks did not meet: %s", lt_error());
    else status = alone ? fail_alone(comm) : lack_memory(&b, comm);
    if (status != LT_OK) fprintf(stderr, "rank: %s\n", lt_error());
    test_close(&b);
    lt_comm_close(comm);
    return status;
}

static lt_model *open_values(const char *run, lt_device *device) {
    char folder[LT_PATH_MAX];
    lt_model *model = NULL;
    lt_config *config = test_config(NULL);
    CHECK_OK(lt_run_checkpoint(run, "latest", folder));
    CHECK_OK(lt_model_open(config, device, LT_BACKEND_CPU, LT_MODEL_EMA, &model));
    CHECK_OK(lt_model_load(model, folder, false));
    lt_config_free(config);
    return model;
}

static double difference(const lt_model *a, const lt_model *b) {
    double sum = 0, square = 0;
    for (int i = 0; i < a->params.count; i++) {
        const lt_tensor *x = &a->params.items[i]->var.value, *y = &b->params.items[i]->var.value;
        for (int64_t j = 0; j < lt_numel(x); j++) {
            double p = ((const float *)x->data)[j], q = ((const float *)y->data)[j];
            sum += (p - q) * (p - q), square += q * q;
        }
    }
    return sqrt(sum / square);
}

static double last_number(const char *run, const char *name) {
    char path[LT_PATH_MAX], *text = NULL, *at, *last = NULL;
    size_t size;
    CHECK_OK(lt_path_join(path, run, "metrics.jsonl"));
    CHECK_OK(lt_read_file(path, &text, &size));
    for (at = text; at && (at = strstr(at, name)); at++) last = at;
    double value = last ? strtod(last + strlen(name), NULL) : NAN;
    free(text);
    return value;
}

/* Runs this program under mpirun; false, with a note, where there is none. 124 is the exit code of ranks that hang. */
static bool run_ranks(const char *what, int *code) {
    char command[2 * LT_PATH_MAX];
    if (system("mpirun --version >/dev/null 2>&1") != 0) {
        printf("skipped: no mpirun\n");
        return false;
    }
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    snprintf(command, sizeof command, "timeout 60 mpirun --oversubscribe -n 2 '%s' %s '%s' %s", program, what,
             test_folder, device_name);
    int status = system(command);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return true;
}

static bool run_two(void) {
    int code = 0;
    if (!run_ranks("--rank", &code)) return false;
    CHECK(code == 0);
    return true;
}

static void a_rank_that_lacks_memory_backward_stops_all(void) {
    int code = LT_FAILED;
    (void)run_ranks("--lack", &code);
    CHECK(code == LT_FAILED);
}

static void a_rank_that_fails_alone_ends_the_job(void) {
    int code = LT_FAILED;
    (void)run_ranks("--alone", &code);
    CHECK(code == LT_FAILED);
}

static void path_of(const char *prefix, int stage, char out[LT_PATH_MAX]) {
    snprintf(out, LT_PATH_MAX, "%s/%s%d", test_folder, prefix, stage);
}

static void compare_stage(int stage, lt_device *host) {
    char one[LT_PATH_MAX], two[LT_PATH_MAX];
    path_of("one", stage, one);
    path_of("two", stage, two);
    CHECK_OK(train_stage("one", stage, NULL));
    lt_model *a = open_values(one, host), *b = open_values(two, host);
    CHECK_NEAR(difference(a, b), 0, 1e-6);
    CHECK_NEAR(last_number(one, "\"loss\": "), last_number(two, "\"loss\": "), 1e-6);
    if (stage == 0) CHECK_NEAR(last_number(one, "\"val_loss\": "), last_number(two, "\"val_loss\": "), 1e-6);
    lt_model_close(a);
    lt_model_close(b);
}

/* The same once more gives the same bits. */
static void run_two_again(lt_device *host) {
    lt_model *first[STAGES];
    char two[LT_PATH_MAX];
    for (int stage = 0; stage < STAGES; stage++)
        path_of("two", stage, two), first[stage] = open_values(two, host);
    CHECK(run_two());
    for (int stage = 0; stage < STAGES; stage++) {
        path_of("two", stage, two);
        lt_model *second = open_values(two, host);
        CHECK(difference(first[stage], second) == 0);
        lt_model_close(first[stage]);
        lt_model_close(second);
    }
}

static void two_processes_equal_one_at_the_same_batch(void) {
    lt_device *host;
    CHECK_OK(train_into("base", base, NULL, NULL));
    if (!run_two()) return;
    CHECK_OK(lt_device_open("cpu", &host));
    for (int stage = 0; stage < STAGES; stage++) compare_stage(stage, host);
    run_two_again(host);
    lt_device_close(host);
}

static void two_gpus_equal_one_at_the_same_batch(void) {
    lt_device *second;
    if (lt_device_open("cuda:1", &second) != LT_OK) {
        printf("skipped: no second GPU\n");
        return;
    }
    lt_device_close(second);
    device_name = "cuda";
    two_processes_equal_one_at_the_same_batch();
    a_rank_that_lacks_memory_backward_stops_all();
}

static int be(const char *what, const char *folder) {
    unsetenv("CUDA_LAUNCH_BLOCKING"); /* sums beside other work are what is tested */
    snprintf(test_folder, sizeof test_folder, "%s", folder);
    snprintf(test_data, sizeof test_data, "%s/data.h5", folder);
    lt_model_register_keys();
    lt_train_register_keys();
    return strcmp(what, "--rank") == 0 ? be_a_rank() : be_a_rank_that_fails(strcmp(what, "--alone") == 0);
}

int main(int argc, char **argv) {
    program = argv[0];
    lt_set_threads(1);
    if (argc == 4) {
        device_name = argv[3];
        return be(argv[1], argv[2]);
    }
    test_begin();
#ifdef LT_WITH_MPI
    RUN(a_rank_that_lacks_memory_backward_stops_all);
    RUN(a_rank_that_fails_alone_ends_the_job);
    RUN(two_processes_equal_one_at_the_same_batch);
    RUN(two_gpus_equal_one_at_the_same_batch);
#else
    printf("skipped: this build has no MPI\n");
    test_passed++;
#endif
    test_finish();
    return test_end();
}
