/* Runs with any number of ranks: alone, and `mpirun -n 3 core_test_comm`. Alone on a machine with two GPUs it also
 * starts itself as two ranks with --gpus. */
#include "core/comm.h"
#include "core/rng.h"
#include "tests/harness.h"

static lt_comm *comm;

static float value_of(int rank, int64_t i) {
    lt_rng_key key = {.seed = 5, .purpose = LT_RNG_TEST, .clip = (uint64_t)rank};
    return lt_rng_normal(&key, (uint64_t)i);
}

static void a_rank_knows_its_place(void) {
    CHECK(lt_comm_size(comm) >= 1 && lt_comm_rank(comm) >= 0 && lt_comm_rank(comm) < lt_comm_size(comm));
    CHECK(!strcmp(lt_comm_name(comm), "mpi") ||
          (!strcmp(lt_comm_name(comm), "none") && lt_comm_size(comm) == 1));
    const char *launched = getenv("OMPI_COMM_WORLD_SIZE");
    CHECK(lt_comm_size(comm) == (launched ? atoi(launched) : 1));
}

static void sums_are_taken_in_rank_order(void) {
    static const int64_t counts[] = {0, 1, 2, 7, 100003, (1 << 20) + 5};
    lt_device *host;
    CHECK_OK(lt_device_open("cpu", &host));
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const int64_t count = counts[c];
        float *f32 = malloc((size_t)count * sizeof *f32 + 1);
        double *f64 = malloc((size_t)count * sizeof *f64 + 1);
        int64_t wrong = 0;
        for (int64_t i = 0; i < count; i++) f64[i] = 0.1 * (double)(f32[i] = value_of(lt_comm_rank(comm), i));
        CHECK_OK(lt_comm_reduce(comm, host, NULL, f32, count, LT_F32));
        CHECK_OK(lt_comm_sum_f64(comm, f64, count));
        for (int64_t i = 0; i < count; i++) {
            double sum32 = 0, sum64 = 0;
            for (int rank = 0; rank < lt_comm_size(comm); rank++) {
                sum32 += value_of(rank, i);
                sum64 += 0.1 * (double)value_of(rank, i);
            }
            wrong += f32[i] != (float)sum32 || f64[i] != sum64;
        }
        CHECK(wrong == 0);
        free(f32), free(f64);
    }
    lt_device_close(host);
}

/* 1e300 - 1e300 + 1 is 1 in rank order and 0 in others. */
static void the_order_of_ranks_decides_the_rounding(void) {
    const double terms[] = {1e300, -1e300, 1};
    const int rank = lt_comm_rank(comm), size = lt_comm_size(comm);
    double value = rank < 3 ? terms[rank] : 0;
    CHECK_OK(lt_comm_sum_f64(comm, &value, 1));
    CHECK(value == (size == 1 ? 1e300 : size == 2 ? 0 : 1));
}

static void broadcast_gives_all_the_same_bytes(void) {
    for (int root = 0; root < lt_comm_size(comm); root++) {
        char bytes[1000];
        memset(bytes, lt_comm_rank(comm), sizeof bytes);
        CHECK_OK(lt_comm_broadcast(comm, bytes, sizeof bytes, root));
        CHECK(bytes[0] == root && bytes[999] == root);
    }
    CHECK_FAILS(lt_comm_broadcast(comm, NULL, 0, lt_comm_size(comm)), LT_FAILED, "broadcast from rank");
    CHECK_FAILS(lt_comm_broadcast(comm, NULL, 0, -1), LT_FAILED, "broadcast from rank");
}

static void the_worst_status_stops_all_ranks(void) {
    const int rank = lt_comm_rank(comm), last = lt_comm_size(comm) - 1;
    CHECK_OK(lt_comm_agree(comm, LT_OK));
    lt_status mine = rank == last ? lt_fail(LT_INPUT, "clip %d is broken", 7) : LT_OK;
    CHECK_FAILS(lt_comm_agree(comm, mine), LT_INPUT, "clip 7 is broken");
    if (rank != last) CHECK(!strncmp(lt_error(), "rank ", 5));
    mine = rank == last ? lt_fail(LT_FAILED, "disk full") : lt_fail(LT_INTERRUPTED, "stopped");
    CHECK_FAILS(lt_comm_agree(comm, mine), LT_FAILED, "disk full");
    mine = rank == 0 ? lt_fail(LT_INTERRUPTED, "stopped") : LT_OK;
    CHECK_FAILS(lt_comm_agree(comm, mine), LT_INTERRUPTED, "stopped");
    CHECK_OK(lt_comm_barrier(comm));
}

static void a_job_without_mpi_says_so_or_joins(void) {
    lt_comm *second = NULL;
    if (strcmp(lt_comm_name(comm), "none")) {
        CHECK_FAILS(lt_comm_open(&second), LT_FAILED, "called before");
        return;
    }
    CHECK_OK(lt_comm_open(&second));
    lt_comm_close(second);
#ifndef LT_WITH_MPI
    setenv("PMI_SIZE", "2", 1);
    CHECK_FAILS(lt_comm_open(&second), LT_UNAVAILABLE, "no MPI");
    unsetenv("PMI_SIZE");
#endif
    lt_comm_close(NULL);
}

static void a_device_without_nccl_is_summed_through_the_host(void) {
    enum { COUNT = 1001 };
    float values[COUNT];
    int64_t wrong = 0;
    lt_device *device;
    const char *before = lt_comm_name(comm);
    CHECK_OK(lt_device_open("cpu", &device));
    CHECK_FAILS(lt_comm_attach(comm, device, "nccl"), LT_UNAVAILABLE, "--collectives mpi");
    CHECK_FAILS(lt_comm_attach(comm, device, "carrier pigeons"), LT_USAGE, "auto, nccl or mpi");
    int sharers = 0;
    int64_t least = 10 - lt_comm_rank(comm);
    CHECK_OK(lt_comm_sharers(comm, device, &sharers));
    CHECK(sharers == lt_comm_size(comm)); /* of one machine */
    snprintf(device->place, sizeof device->place, "%d", lt_comm_rank(comm) / 2);
    CHECK_OK(lt_comm_sharers(comm, device, &sharers));
    CHECK(sharers == (lt_comm_size(comm) > (lt_comm_rank(comm) | 1) ? 2 : 1));
    CHECK_OK(lt_comm_min_i64(comm, &least));
    CHECK(least == 11 - lt_comm_size(comm));
    CHECK_OK(lt_comm_attach(comm, device, NULL));
    CHECK(!strcmp(lt_comm_name(comm), before));
    for (int64_t i = 0; i < COUNT; i++) values[i] = value_of(lt_comm_rank(comm), i);
    CHECK_OK(lt_comm_reduce(comm, device, NULL, values, COUNT, LT_F32));
    CHECK_OK(lt_comm_reduce_end(comm, NULL));
    for (int64_t i = 0; i < COUNT; i++) {
        double sum = 0;
        for (int rank = 0; rank < lt_comm_size(comm); rank++) sum += value_of(rank, i);
        wrong += values[i] != (float)sum;
    }
    CHECK(wrong == 0);
    lt_comm_reduce_abandon(comm);
    CHECK_FAILS(lt_comm_reduce(comm, device, NULL, values, 1, LT_I32), LT_FAILED, "float32 or float64");
    lt_device_close(device);
}

static void each_rank_takes_a_gpu_of_its_own(void) {
    char spec[LT_COMM_DEVICE], own[LT_COMM_DEVICE];
    const char *local = getenv("OMPI_COMM_WORLD_LOCAL_RANK");
    snprintf(own, sizeof own, lt_comm_size(comm) > 1 ? "cuda:%s" : "cuda", local);
    lt_comm_device(comm, "cuda", spec);
    CHECK(!strcmp(spec, own));
    lt_comm_device(comm, "cuda:5", spec);
    CHECK(!strcmp(spec, "cuda:5"));
    lt_comm_device(comm, "cpu", spec);
    CHECK(!strcmp(spec, "cpu"));
}

/* ---- two GPUs ------------------------------------------------------------------------------------------ */

static lt_device *gpu;
static lt_stream *stream;

enum { PIECES = 6, PIECE = (1 << 20) + 3 };

/* Pieces of this rank in device memory, each written on the stream right before it is summed: a sum that does not
 * wait for the stream, or a stream that does not wait for the sum, finds other values. */
static int64_t wrong_sums(int round) {
    float *host = malloc(PIECE * sizeof *host);
    void *memory;
    int64_t wrong = 0;
    CHECK_OK(lt_device_allocate(gpu, (size_t)PIECES * PIECE * sizeof *host, &memory));
    for (int p = 0; p < PIECES; p++) {
        float *piece = (float *)memory + (int64_t)p * PIECE;
        for (int64_t i = 0; i < PIECE; i++)
            host[i] = value_of(lt_comm_rank(comm), i + p) * (float)(1 + round);
        CHECK_OK(lt_device_copy(gpu, stream, piece, host, PIECE * sizeof *host, LT_COPY_TO_DEVICE));
        CHECK_OK(lt_comm_reduce(comm, gpu, stream, piece, PIECE, LT_F32));
    }
    CHECK_OK(lt_comm_reduce_end(comm, stream));
    for (int p = 0; p < PIECES; p++) {
        const float *piece = (float *)memory + (int64_t)p * PIECE;
        CHECK_OK(lt_device_copy(gpu, stream, host, piece, PIECE * sizeof *host, LT_COPY_TO_HOST));
        for (int64_t i = 0; i < PIECE; i++)
            wrong +=
                host[i] != value_of(0, i + p) * (float)(1 + round) + value_of(1, i + p) * (float)(1 + round);
    }
    lt_device_release(gpu, memory, (size_t)PIECES * PIECE * sizeof *host);
    free(host);
    return wrong;
}

static void sums_through_the_host_are_right(void) {
    CHECK_OK(lt_comm_attach(comm, gpu, "mpi"));
    CHECK(!strcmp(lt_comm_name(comm), "mpi"));
    CHECK(wrong_sums(0) == 0);
}

static void sums_between_gpus_are_right(void) {
    lt_status status = lt_comm_attach(comm, gpu, "nccl");
    if (status == LT_UNAVAILABLE) {
        printf("skipped: %s\n", lt_error());
        return;
    }
    CHECK_OK(status);
    CHECK(!strcmp(lt_comm_name(comm), "nccl"));
    for (int round = 0; round < 3; round++) CHECK(wrong_sums(round) == 0);
    the_order_of_ranks_decides_the_rounding(); /* host memory still goes through MPI */
}

static void a_sum_that_the_other_rank_never_joins_can_be_dropped(void) {
    void *memory;
    if (strcmp(lt_comm_name(comm), "nccl")) return;
    CHECK_OK(lt_device_allocate(gpu, 4096, &memory));
    if (lt_comm_rank(comm) == 0) CHECK_OK(lt_comm_reduce(comm, gpu, stream, memory, 1024, LT_F32));
    CHECK_OK(lt_comm_barrier(comm));
    lt_comm_reduce_abandon(comm);
    CHECK_OK(lt_device_synchronize(gpu, NULL));
    CHECK_FAILS(lt_comm_reduce(comm, gpu, stream, memory, 1024, LT_F32), LT_FAILED, "abandoned");
    lt_device_release(gpu, memory, 4096);
}

static int be_a_rank_with_a_gpu(int argc, char **argv) {
    char spec[LT_COMM_DEVICE];
    lt_comm_device(comm, "cuda", spec);
    CHECK_OK(lt_device_open(spec, &gpu));
    CHECK_OK(gpu->ops->stream_create(gpu, &stream));
    RUN(sums_through_the_host_are_right);
    RUN(sums_between_gpus_are_right);
    RUN(a_sum_that_the_other_rank_never_joins_can_be_dropped);
    gpu->ops->stream_destroy(gpu, stream);
    lt_device_close(gpu);
    lt_comm_close(comm);
    return test_end();
}

static const char *program;

static void two_gpus_sum(void) {
    char command[1024];
    CHECK_OK(lt_device_open("cuda:1", &gpu));
    lt_device_close(gpu);
    snprintf(command, sizeof command, "timeout 300 mpirun --oversubscribe -n 2 '%s' --gpus", program);
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    CHECK(system(command) == 0);
}

/* A second GPU, mpirun, and no rank already. */
static bool can_start_two(void) {
    lt_device *second = NULL;
    if (getenv("OMPI_COMM_WORLD_SIZE")) return false;
    bool can = lt_device_open("cuda:1", &second) == LT_OK && system("mpirun --version >/dev/null 2>&1") == 0;
    if (second) lt_device_close(second);
    if (!can) printf("skipped: sums between GPUs need two of them and mpirun\n");
    return can;
}

int main(int argc, char **argv) {
    program = argv[0];
    if (argc == 2 && !strcmp(argv[1], "--gpus")) {
        unsetenv("CUDA_LAUNCH_BLOCKING"); /* sums beside other work are what is tested */
        if (lt_comm_open(&comm) != LT_OK) return printf("%s\n", lt_error()), 1;
        return be_a_rank_with_a_gpu(1, argv);
    }
    if (lt_comm_open(&comm) != LT_OK) return printf("%s\n", lt_error()), 1;
    RUN(a_rank_knows_its_place);
    RUN(sums_are_taken_in_rank_order);
    RUN(the_order_of_ranks_decides_the_rounding);
    RUN(broadcast_gives_all_the_same_bytes);
    RUN(the_worst_status_stops_all_ranks);
    RUN(a_device_without_nccl_is_summed_through_the_host);
    RUN(each_rank_takes_a_gpu_of_its_own);
    RUN(a_job_without_mpi_says_so_or_joins);
    if (can_start_two()) RUN(two_gpus_sum);
    lt_comm_close(comm);
    return test_end();
}
