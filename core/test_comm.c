/* Runs with any number of ranks: alone, and `mpirun -n 3 core_test_comm`. */
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
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const int64_t count = counts[c];
        float *f32 = malloc((size_t)count * sizeof *f32 + 1);
        double *f64 = malloc((size_t)count * sizeof *f64 + 1);
        int64_t wrong = 0;
        for (int64_t i = 0; i < count; i++) f64[i] = 0.1 * (double)(f32[i] = value_of(lt_comm_rank(comm), i));
        CHECK_OK(lt_comm_sum_f32(comm, f32, count));
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

int main(int argc, char **argv) {
    if (lt_comm_open(&comm) != LT_OK) return printf("%s\n", lt_error()), 1;
    RUN(a_rank_knows_its_place);
    RUN(sums_are_taken_in_rank_order);
    RUN(the_order_of_ranks_decides_the_rounding);
    RUN(broadcast_gives_all_the_same_bytes);
    RUN(the_worst_status_stops_all_ranks);
    RUN(a_job_without_mpi_says_so_or_joins);
    lt_comm_close(comm);
    return test_end();
}
