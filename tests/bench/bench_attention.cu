/* Block linear attention on tensor cores: correctness against float64, then speed beside the copy bandwidth of the same
 * run. A program of its own, which calls the kernels without the launcher:
 *
 *     nvcc -std=c++17 -O3 -lineinfo --extended-lambda -gencode arch=compute_90a,code=sm_90a
 *         -I. -D_GNU_SOURCE -DLT_WITH_CUDA '-DLT_CUBLASLT="libcublasLt.so.13"'
 *         -o bench_attention tests/bench/bench_attention.cu kernels/attention/mma_*.{cu,c}
 *         kernels/attention/cuda_bytes.c kernels/attention/cuda_{rope,combine}.cu
 *         kernels/attention/{grid,rope,combine_plan}.c kernels/attention/naive_{rope,state,output}.c
 *         core/{status,tensor,arena,convert,units,log,targets}.c
 *         core/{device,device_cpu,device_null,device_cuda,cublaslt_cuda}.c -ldl
 *     ./bench_attention [check | time]
 */
#include "kernels/attention/mma.h"
#include "kernels/cuda.cuh"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

extern "C" {
lt_status lt_attn_combine_cuda(lt_ctx *ctx, const void *args, void *workspace);
lt_status lt_attn_combine_backward_cuda(lt_ctx *ctx, const void *args, void *workspace);
lt_status lt_attn_state_naive(lt_ctx *ctx, const void *args, void *workspace);
lt_status lt_attn_state_backward_naive(lt_ctx *ctx, const void *args, void *workspace);
lt_status lt_attn_output_naive(lt_ctx *ctx, const void *args, void *workspace);
lt_status lt_attn_output_backward_naive(lt_ctx *ctx, const void *args, void *workspace);
}

/* Descriptions are not called here; what they ask of kernels/op.c need only exist. */
extern "C" lt_dtype lt_ctx_dtype(const lt_ctx *ctx) { return ctx->dtype; }
extern "C" lt_status lt_expect(const char *, const char *, const lt_tensor *, lt_dtype, bool, int,
                               const int64_t *) {
    return LT_OK;
}

static void must(lt_status status, const char *what) {
    if (status == LT_OK) return;
    printf("FAIL %s: %s\n", what, lt_error());
    exit(1);
}
static void must(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return;
    printf("FAIL %s: %s\n", what, cudaGetErrorString(error));
    exit(1);
}

struct machine {
    lt_device *device;
    cudaStream_t stream;
    lt_ctx ctx;
};

static machine open_machine() {
    machine m = {};
    must(lt_device_open("cuda", &m.device), "opening the device");
    must(cudaStreamCreate(&m.stream), "making a stream");
    m.ctx.device = m.device;
    m.ctx.backend = LT_BACKEND_CUDA;
    m.ctx.stream = (lt_stream *)m.stream;
    m.ctx.dtype = LT_BF16;
    return m;
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

/* Sums of four uniform numbers: close enough to normals of variance 1. */
static __global__ void fill_random(lt_bf16 *to, int64_t count, uint64_t seed) {
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x) {
        uint64_t x = (uint64_t)i + seed * 0x9e3779b97f4a7c15ull;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
        x ^= x >> 31;
        float sum = 0;
        for (int part = 0; part < 4; part++) sum += (float)(x >> (16 * part) & 0xffff) / 65536.0f - 0.5f;
        to[i] = __float2bfloat16_rn(sum * 1.7320508f);
    }
}

static __global__ void fill_ones(float *to, int64_t count) {
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x)
        to[i] = 1;
}

struct problem {
    int64_t blocks, heads, dim;
    lt_rope rope;
    int segment_frames;
};

static int64_t tokens_of(const problem &p) { return (int64_t)p.rope.frames * p.rope.height * p.rope.width; }

struct operands {
    lt_tensor packed, dpacked, o, dout;
    lt_tensor S, z, all_S, all_z, r, dS, dz, dall_S, dall_z;
    lt_tensor gain, scale; /* of a norm, all 1 */
    void *workspace;
    size_t workspace_bytes;
    std::vector<void *> memory;
};

static void *take(operands &x, size_t bytes) {
    void *memory;
    must(cudaMalloc(&memory, bytes + 256), "allocating memory");
    must(cudaMemset(memory, 0xff, bytes), "poisoning memory");
    x.memory.push_back(memory);
    return memory;
}

static lt_tensor make(operands &x, lt_dtype dtype, std::vector<int64_t> shape) {
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    return lt_tensor_of(take(x, count * lt_dtype_size(dtype)), dtype, (int)shape.size(), shape.data());
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static lt_segment_box box_of(const problem &p) {
    lt_segment_box box = {p.segment_frames, p.rope.height, p.rope.width};
    return box;
}

static operands make_operands(const problem &p) {
    operands x = {};
    int64_t G = p.blocks, T = tokens_of(p), H = p.heads, D = p.dim, E = lt_segment_count(&p.rope, box_of(p));
    x.packed = make(x, LT_BF16, {G, T, 3, H, D});
    x.dpacked = make(x, LT_BF16, {G, T, 3, H, D});
    x.o = make(x, LT_BF16, {G, T, H, D});
    x.dout = make(x, LT_BF16, {G, T, H, D});
    fill_random<<<4096, 256>>>((lt_bf16 *)x.packed.data, lt_numel(&x.packed), 1);
    fill_random<<<4096, 256>>>((lt_bf16 *)x.dout.data, lt_numel(&x.dout), 2);
    x.S = make(x, LT_F32, {G, E, H, D, D}), x.z = make(x, LT_F32, {G, E, H, D});
    x.all_S = make(x, LT_F32, {G, H, D, D}), x.all_z = make(x, LT_F32, {G, H, D});
    x.dall_S = make(x, LT_F32, {G, H, D, D}), x.dall_z = make(x, LT_F32, {G, H, D});
    x.dS = make(x, LT_F32, {G, E, H, D, D}), x.dz = make(x, LT_F32, {G, E, H, D});
    x.r = make(x, LT_F32, {G, H, D});
    x.gain = make(x, LT_F32, {H, D}), x.scale = make(x, LT_F32, {G, T});
    fill_ones<<<256, 256>>>((float *)x.gain.data, H * D);
    fill_ones<<<256, 256>>>((float *)x.scale.data, G * T);
    lt_attn_shape shape = {G, T, H, D};
    size_t bytes = larger(lt_attn_state_mma_bytes(&shape, &p.rope, box_of(p)),
                          lt_attn_state_backward_mma_bytes(&shape, &p.rope, box_of(p)));
    bytes = larger(bytes, lt_attn_output_mma_bytes(&shape, &p.rope, true));
    x.workspace_bytes = larger(bytes, lt_attn_output_backward_mma_bytes(&shape, &p.rope, true));
    x.workspace = take(x, x.workspace_bytes);
    must(cudaDeviceSynchronize(), "filling operands");
    return x;
}

static void free_operands(operands &x) {
    for (void *memory : x.memory) cudaFree(memory);
}

static lt_tensor part_of(const lt_tensor &packed, int which) { return lt_select(packed, 2, which); }

/* ---- the calls --------------------------------------------------------------------------------------------------- */

enum call { STATE, COMBINE, OUTPUT, OUTPUT_BACKWARD, COMBINE_BACKWARD, STATE_BACKWARD, CALLS };
static const char *const call_names[] = {"state",       "combine",      "output",
                                         "output back", "combine back", "state back"};

static lt_attn_state_args state_args(const problem &p, const operands &x) {
    return {part_of(x.packed, 1), part_of(x.packed, 2), p.rope, box_of(p), x.S, x.z};
}
static lt_attn_output_args output_args(const problem &p, const operands &x, bool wants_r) {
    lt_tensor none = {};
    return {part_of(x.packed, 0), x.all_S, x.all_z, p.rope, x.o, wants_r ? x.r : none};
}
static lt_attn_output_backward_args output_backward_args(const problem &p, const operands &x) {
    return {part_of(x.packed, 0),  x.all_S,  x.all_z,  x.dout, p.rope,
            part_of(x.dpacked, 0), x.dall_S, x.dall_z, false,  false};
}
static lt_attn_state_backward_args state_backward_args(const problem &p, const operands &x) {
    return {part_of(x.packed, 1),  part_of(x.packed, 2),  x.dS,  x.dz, p.rope, box_of(p),
            part_of(x.dpacked, 1), part_of(x.dpacked, 2), false, false};
}

/* Each block's reader sums up the segments of its own block, unweighted. */
static lt_status combine(machine &m, const problem &p, const operands &x, bool backward) {
    int E = (int)x.S.shape[1], n = (int)p.blocks * E;
    std::vector<lt_tensor> S(n), z(n), dS(n), dz(n);
    std::vector<lt_attn_sum> sums(p.blocks);
    std::vector<lt_attn_sum_gradient> gradients(p.blocks);
    for (int i = 0; i < n; i++) {
        int g = i / E, e = i % E;
        S[i] = lt_select(lt_select(x.S, 0, g), 0, e), z[i] = lt_select(lt_select(x.z, 0, g), 0, e);
        dS[i] = lt_select(lt_select(x.dS, 0, g), 0, e), dz[i] = lt_select(lt_select(x.dz, 0, g), 0, e);
    }
    for (int g = 0; g < (int)p.blocks; g++) {
        sums[g] = {g * E, E, 0, {}, lt_select(x.all_S, 0, g), lt_select(x.all_z, 0, g)};
        gradients[g] = {g * E, E, 0, {}, lt_select(x.dall_S, 0, g), lt_select(x.dall_z, 0, g), {}, false};
    }
    lt_attn_combine_args forward = {(int)p.blocks, sums.data(), S.data(), z.data()};
    lt_attn_combine_backward_args back = {(int)p.blocks, gradients.data(), S.data(), z.data(),
                                          dS.data(),     dz.data(),        NULL};
    return backward ? lt_attn_combine_backward_cuda(&m.ctx, &back, NULL)
                    : lt_attn_combine_cuda(&m.ctx, &forward, NULL);
}

static lt_status run(machine &m, const problem &p, const operands &x, int which, bool wants_r) {
    lt_attn_state_args state = state_args(p, x);
    lt_attn_output_args output = output_args(p, x, wants_r);
    lt_attn_output_backward_args output_back = output_backward_args(p, x);
    lt_attn_state_backward_args state_back = state_backward_args(p, x);
    switch (which) {
    case STATE: return lt_attn_state_mma(&m.ctx, &state, x.workspace);
    case COMBINE: return combine(m, p, x, false);
    case OUTPUT: return lt_attn_output_mma(&m.ctx, &output, x.workspace);
    case OUTPUT_BACKWARD: return lt_attn_output_backward_mma(&m.ctx, &output_back, x.workspace);
    case COMBINE_BACKWARD: return combine(m, p, x, true);
    default: return lt_attn_state_backward_mma(&m.ctx, &state_back, x.workspace);
    }
}

/* ---- correctness ------------------------------------------------------------------------------------------------- */

static double value_at(const lt_tensor &host, int64_t index) {
    if (host.dtype == LT_F32) return ((const float *)host.data)[index];
    return lt_bf16_to_f32(((const uint16_t *)host.data)[index]);
}

/* One block's and head's part [T or E, ...] of a device tensor [G, T or E, (3,) H, ...] as float64. */
static std::vector<double> head_of(const lt_tensor &x, int64_t g, int64_t h, int64_t inner) {
    int64_t rows = x.shape[1], row = x.stride[1] ? x.stride[1] : inner;
    size_t size = lt_dtype_size(x.dtype);
    std::vector<char> bytes((size_t)(rows * inner) * size);
    const char *from = (const char *)x.data + (g * x.stride[0] + h * inner) * (int64_t)size;
    must(cudaMemcpy2D(bytes.data(), inner * size, from, row * size, inner * size, rows, cudaMemcpyDefault),
         "reading back");
    lt_tensor host = {bytes.data(), x.dtype};
    std::vector<double> values((size_t)(rows * inner));
    for (size_t i = 0; i < values.size(); i++) values[i] = value_at(host, (int64_t)i);
    return values;
}

static lt_tensor view(std::vector<double> &values, std::vector<int64_t> shape) {
    return lt_tensor_of(values.data(), LT_F64, (int)shape.size(), shape.data());
}

/* RMS of the difference over RMS of what is wanted; the worst row of `inner` at most ten times the bound. */
static bool close_to(const char *what, const std::vector<double> &found, const std::vector<double> &wanted,
                     int64_t inner, double bound) {
    double difference = 0, size = 0, worst = 0;
    for (size_t row = 0; row < wanted.size(); row += inner) {
        double here = 0;
        for (size_t i = row; i < row + inner; i++) {
            double d = found[i] - wanted[i];
            here += d * d;
            size += wanted[i] * wanted[i];
        }
        difference += here;
        if (!(here <= worst)) worst = here;
    }
    double error = sqrt(difference / size), row_error = sqrt(worst / inner / (size / wanted.size()));
    bool ok = error <= bound && row_error <= 10 * bound;
    if (!ok || getenv("LT_VERBOSE"))
        printf("    %-4s error %.2e, worst row %.2e, bound %.0e%s\n", what, error, row_error, bound,
               ok ? "" : "  <-");
    return ok;
}

/* All four ops of one block and head, each against float64 on the operands that the kernel had. */
static bool check_head(const problem &p, const operands &x, int64_t g, int64_t h) {
    int64_t T = tokens_of(p), D = p.dim, E = x.S.shape[1];
    int64_t start = p.rope.first_frame ? p.rope.first_frame[g] : 0;
    lt_rope rope = p.rope;
    rope.first_frame = &start;
    auto rows = [&](const lt_tensor &t) { return head_of(t, g, h, D); };
    std::vector<double> q = rows(part_of(x.packed, 0)), k = rows(part_of(x.packed, 1)),
                        v = rows(part_of(x.packed, 2));
    std::vector<double> S = head_of(x.S, g, h, D * D), z = head_of(x.z, g, h, D), all_S, all_z,
                        g_o = rows(x.dout);
    auto alone = [&](const lt_tensor &t, int64_t inner) {
        return head_of(lt_split(t, 0, p.blocks, 1), g, h, inner);
    };
    all_S = alone(x.all_S, D * D), all_z = alone(x.all_z, D);
    std::vector<double> dS = head_of(x.dS, g, h, D * D), dz = head_of(x.dz, g, h, D);
    std::vector<double> out_S(E * D * D), out_z(E * D), o(T * D), r(D), dq(T * D), dk(T * D), dv(T * D),
        dall_S(D * D), dall_z(D);
    std::vector<double> scratch(8 * D);
    lt_tensor tq = view(q, {1, T, 1, D}), tk = view(k, {1, T, 1, D}), tv = view(v, {1, T, 1, D}),
              tg = view(g_o, {1, T, 1, D});
    lt_ctx ctx = {};
    lt_attn_state_args s = {tk, tv, rope, box_of(p), view(out_S, {1, E, 1, D, D}), view(out_z, {1, E, 1, D})};
    must(lt_attn_state_naive(&ctx, &s, scratch.data()), "reference");
    lt_attn_output_args f = {tq,   view(all_S, {1, 1, D, D}), view(all_z, {1, 1, D}),
                             rope, view(o, {1, T, 1, D}),     view(r, {1, 1, D})};
    must(lt_attn_output_naive(&ctx, &f, scratch.data()), "reference");
    lt_attn_output_backward_args b = {tq,
                                      f.S,
                                      f.z,
                                      tg,
                                      rope,
                                      view(dq, {1, T, 1, D}),
                                      view(dall_S, {1, 1, D, D}),
                                      view(dall_z, {1, 1, D}),
                                      false,
                                      false};
    must(lt_attn_output_backward_naive(&ctx, &b, scratch.data()), "reference");
    lt_attn_state_backward_args c = {tk,    tv,        view(dS, {1, E, 1, D, D}), view(dz, {1, E, 1, D}),
                                     rope,  box_of(p), view(dk, {1, T, 1, D}),    view(dv, {1, T, 1, D}),
                                     false, false};
    must(lt_attn_state_backward_naive(&ctx, &c, scratch.data()), "reference");
    bool ok = close_to("S", S, out_S, D, 3e-3);
    ok &= close_to("z", z, out_z, D, 1e-5);
    ok &= close_to("o", rows(x.o), o, D, 3e-3);
    ok &= close_to("r", alone(x.r, D), r, D, 1e-5);
    ok &= close_to("dq", rows(part_of(x.dpacked, 0)), dq, D, 1e-2);
    ok &= close_to("dS", alone(x.dall_S, D * D), dall_S, D, 1e-2);
    ok &= close_to("dz", alone(x.dall_z, D), dall_z, D, 1e-2);
    ok &= close_to("dk", rows(part_of(x.dpacked, 1)), dk, D, 1e-2);
    ok &= close_to("dv", rows(part_of(x.dpacked, 2)), dv, D, 1e-2);
    return ok;
}

static std::vector<char> all_bits(const operands &x) {
    std::vector<char> bits;
    const lt_tensor *outputs[] = {&x.S, &x.z, &x.o, &x.r, &x.dpacked, &x.dall_S, &x.dall_z};
    for (const lt_tensor *t : outputs) {
        size_t at = bits.size();
        bits.resize(at + lt_nbytes(t));
        must(cudaMemcpy(bits.data() + at, t->data, lt_nbytes(t), cudaMemcpyDefault), "reading back");
    }
    return bits;
}

static void run_all(machine &m, const problem &p, const operands &x) {
    must(cudaMemset(x.workspace, 0xff, x.workspace_bytes), "poisoning the workspace");
    must(cudaDeviceSynchronize(), "poisoning the workspace");
    for (int i = 0; i < CALLS; i++) must(run(m, p, x, i, true), call_names[i]);
    must(cudaDeviceSynchronize(), "running");
}

static bool check(machine &m, const problem &p, int heads) {
    operands x = make_operands(p);
    lt_attn_state_args state = state_args(p, x);
    lt_attn_output_args output = output_args(p, x, true);
    lt_attn_output_backward_args output_back = output_backward_args(p, x);
    lt_attn_state_backward_args state_back = state_backward_args(p, x);
    bool ok = lt_attn_state_mma_serves(&m.ctx, &state) && lt_attn_output_mma_serves(&m.ctx, &output) &&
              lt_attn_output_backward_mma_serves(&m.ctx, &output_back) &&
              lt_attn_state_backward_mma_serves(&m.ctx, &state_back);
    if (!ok) printf("    not served\n");
    if (ok) run_all(m, p, x);
    bool small = lt_nbytes(&x.packed) < (64 << 20);
    std::vector<char> first = ok && small ? all_bits(x) : std::vector<char>();
    if (ok && small) {
        run_all(m, p, x);
        if (all_bits(x) != first) ok = false, printf("    two runs differ\n");
    }
    for (int i = 0; ok && i < heads; i++) ok = check_head(p, x, i % p.blocks, (i * 7 + 3) % p.heads);
    printf("%s B%lld H%lld N%lld D%lld, %lld segments\n", ok ? "PASS" : "FAIL", (long long)p.blocks,
           (long long)p.heads, (long long)tokens_of(p), (long long)p.dim, (long long)x.S.shape[1]);
    free_operands(x);
    return ok;
}

static bool check_all(machine &m) {
    static const int64_t starts[] = {0, 40, 1000000};
    static const int64_t dims[] = {32, 64, 96, 112, 128};
    bool ok = true;
    for (int64_t D : dims) {
        ok &= check(m, {1, 2, D, {1, 7, 9, 10000, NULL}, 1}, 2);
        ok &= check(m, {1, 2, D, {4, 5, 25, 10000, NULL}, 4}, 2);
        ok &= check(m, {1, 3, D, {10, 10, 10, 10000, NULL}, 10}, 3);
        ok &= check(m, {3, 2, D, {4, 5, 9, 10000, starts}, 3}, 3);
    }
    return check(m, {1, 20, 112, {21, 30, 52, 10000, NULL}, 21}, 1) && ok;
}

/* ---- speed ------------------------------------------------------------------------------------------------------- */

template <typename F> static double milliseconds(machine &m, int repeats, F &&work) {
    cudaEvent_t begin, end;
    float total;
    must(cudaEventCreate(&begin), "event"), must(cudaEventCreate(&end), "event");
    for (int i = 0; i < 3; i++) work();
    must(cudaEventRecord(begin, m.stream), "event");
    for (int i = 0; i < repeats; i++) work();
    must(cudaEventRecord(end, m.stream), "event");
    must(cudaEventSynchronize(end), "timing");
    must(cudaEventElapsedTime(&total, begin, end), "timing");
    cudaEventDestroy(begin), cudaEventDestroy(end);
    return total / repeats;
}

/* Bytes a second, read and written. */
static double copy_bandwidth(machine &m) {
    size_t bytes = (size_t)1 << 30;
    operands x = {};
    void *from = take(x, bytes), *to = take(x, bytes);
    double ms =
        milliseconds(m, 10, [&] { cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, m.stream); });
    free_operands(x);
    return 2 * bytes / (ms * 1e-3);
}

static void time_problem(machine &m, const problem &p, double bandwidth) {
    operands x = make_operands(p);
    run_all(m, p, x);
    double tensor = 2.0 * p.blocks * tokens_of(p) * p.heads * p.dim;
    static const int moved[CALLS] = {2, 0, 2, 3, 0, 4};
    int repeats = tokens_of(p) > 200000 ? 5 : 20;
    auto report = [&](const char *name, double ms, int tensors) {
        double bytes = tensors * tensor;
        printf("  %-16s %9.4f ms", name, ms);
        if (tensors)
            printf("  %7.0f GB/s  %5.1f %% of copying", bytes / ms * 1e-6,
                   100 * bytes / bandwidth / (ms * 1e-3));
        printf("\n");
    };
    auto steps = [&](int first, int last, bool wants_r) {
        return milliseconds(m, repeats, [&] {
            for (int i = first; i < last; i++) must(run(m, p, x, i, wants_r), call_names[i]);
        });
    };
    printf("B%lld H%lld N%lld D%lld\n", (long long)p.blocks, (long long)p.heads, (long long)tokens_of(p),
           (long long)p.dim);
    for (int i = 0; i < CALLS; i++) report(call_names[i], steps(i, i + 1, false), moved[i]);
    report("output with r", steps(OUTPUT, OUTPUT + 1, true), 2);
    lt_attn_state_args state = state_args(p, x);
    lt_attn_output_args output = output_args(p, x, true);
    state.k_gain = output.q_gain = x.gain, state.k_scale = x.scale;
    double normed = milliseconds(
        m, repeats, [&] { must(lt_attn_state_mma(&m.ctx, &state, x.workspace), "state with norm"); });
    report("state with norm", normed, 2);
    double gained = milliseconds(
        m, repeats, [&] { must(lt_attn_output_mma(&m.ctx, &output, x.workspace), "output with gain"); });
    report("output, r, gain", gained, 2);
    report("forward", steps(0, OUTPUT_BACKWARD, false), 4);
    report("forward+backward", steps(0, CALLS, false), 11);
    free_operands(x);
}

static void time_all(machine &m) {
    double bandwidth = copy_bandwidth(m);
    printf("%s: copies at %.0f GB/s\n", m.device->target.name, bandwidth * 1e-9);
    static const int frames[] = {1, 10, 21, 84, 641};
    for (int f : frames) time_problem(m, {1, 20, 112, {f, 30, 52, 10000, NULL}, f}, bandwidth);
    time_problem(m, {1, 32, 64, {21, 30, 52, 10000, NULL}, 21}, bandwidth);
    time_problem(m, {1, 16, 128, {21, 30, 52, 10000, NULL}, 21}, bandwidth);
}

int main(int argc, char **argv) {
    machine m = open_machine();
    bool ok = true;
    if (argc < 2 || strcmp(argv[1], "check") == 0) ok = check_all(m);
    if (argc < 2 || strcmp(argv[1], "time") == 0) time_all(m);
    lt_device_close(m.device);
    printf("%s\n", ok ? "PASS" : "FAIL");
    return ok ? 0 : 1;
}
