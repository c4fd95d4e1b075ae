/* MMAs of four warps together, Hopper's wgmma. What is compiled for sm_90a has them (LT_MMA_HOPPER); all other code
 * multiplies warp by warp.
 *
 * Places of operands in registers are those of mma.sync, 16 rows a warp. Operands in shared memory are told by a
 * descriptor: where they start, two strides, and how chunks of 16 bytes change places.
 *
 *     S              a step of 16 channels of the sum has its two halves at HALF bytes from each other; in a half, 8
 *                    result channels of 16 bytes each follow each other: no swizzle
 *     tiles          panels of 32 channels, [token][64 bytes], bits 4 and 5 of an address xor bits 7 and 8 (the 64-byte
 *                    swizzle). Tokens are what is summed over, so operands are `transposed`
 */
#ifndef LT_KERNELS_WGMMA_CUH
#define LT_KERNELS_WGMMA_CUH

#include <stdint.h>

#ifdef __CUDA_ARCH_FEAT_SM90_ALL /* sm_90a; plain sm_90 has no wgmma */
#    define LT_MMA_HOPPER 1
#else
#    define LT_MMA_HOPPER 0
#endif

#if LT_MMA_HOPPER

/* Registers are as they were written, and may be read by MMAs from here on. */
static __device__ __forceinline__ void lt_wgmma_begin() {
    asm volatile("wgmma.fence.sync.aligned;" : : : "memory");
}
/* MMAs since then are on their way; no one may touch their operands or results before lt_mma_products_wait. */
static __device__ __forceinline__ void lt_wgmma_send() {
    asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory");
}
/* After a wait: results are read from here on only, as the compiler knows of no other reason. */
template <int PAIRS> static __device__ __forceinline__ void lt_wgmma_arrived(float (&c)[PAIRS][4]) {
#    pragma unroll
    for (int i = 0; i < PAIRS * 4; i++) asm volatile("" : "+f"(c[i / 4][i % 4]) : : "memory");
}
enum { LT_WGMMA_PLAIN = 0, LT_WGMMA_SWAP64 = 2 };

/* A descriptor; sixteenths of bytes added to it move it on. `leading` and `stride`, in bytes, of S: from one half of a
 * step to the other, from 8 result channels to the next 8; of tiles: from panel to panel, from 8 tokens to the next
 * 8. */
static __device__ __forceinline__ uint64_t lt_wgmma_at(uint32_t address, uint32_t leading, uint32_t stride,
                                                       int swap) {
    return (uint64_t)((address & 0x3ffff) >> 4) | (uint64_t)(leading >> 4) << 16 |
           (uint64_t)(stride >> 4) << 32 | (uint64_t)swap << 62;
}

#    define LT_C4(how, i)  how(c[i][0]), how(c[i][1]), how(c[i][2]), how(c[i][3])
#    define LT_C16(how, i) LT_C4(how, i), LT_C4(how, i + 1), LT_C4(how, i + 2), LT_C4(how, i + 3)
#    define LT_R0          "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#    define LT_R1          ",%16,%17,%18,%19,%20,%21,%22,%23"
#    define LT_R2          ",%24,%25,%26,%27,%28,%29,%30,%31"
#    define LT_R3          ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#    define LT_R4          ",%48,%49,%50,%51,%52,%53,%54,%55"
#    define LT_R5          ",%56,%57,%58,%59,%60,%61,%62,%63"
#    define LT_R6          ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75"
/* Rows in registers a0 to a3, the right operand at `b`; the first MMA (ADD "0") does not look at what c was: "=f" says
 * so. */
#    define LT_WGMMA_ROWS(N, PLACES, A, B, TURNED, ADD, ...)                                                 \
        asm volatile("{.reg .pred p; setp.ne.b32 p, " ADD ", 0;\n"                                           \
                     "wgmma.mma_async.sync.aligned.m64n" N "k16.f32.bf16.bf16 {" PLACES "}, {" A "}, " B     \
                     ", p, 1, 1, " TURNED ";}"                                                               \
                     : __VA_ARGS__                                                                           \
                     : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b), "n"(turned))
/* Both operands in shared memory, transposed; c is added to. */
#    define LT_WGMMA_SUM(N, PLACES, A, B, ...)                                                               \
        asm volatile("wgmma.mma_async.sync.aligned.m64n" N "k16.f32.bf16.bf16 {" PLACES "}, " A ", " B       \
                     ", 1, 1, 1, 1, 1;"                                                                      \
                     : __VA_ARGS__                                                                           \
                     : "l"(a), "l"(b))

#    define LT_FRESH "=f"
#    define LT_HELD  "+f"
/* By the number of pairs. */
#    define LT_WGMMA_ROWS_OF(ADD, C)                                                                         \
        if constexpr (PAIRS == 19)                                                                           \
            LT_WGMMA_ROWS("152", LT_R0 LT_R1 LT_R2 LT_R3 LT_R4 LT_R5 LT_R6, "%76,%77,%78,%79", "%80", "%81", \
                          ADD, LT_C16(C, 0), LT_C16(C, 4), LT_C16(C, 8), LT_C16(C, 12), LT_C4(C, 16),        \
                          LT_C4(C, 17), LT_C4(C, 18));                                                       \
        else if constexpr (PAIRS == 16)                                                                      \
            LT_WGMMA_ROWS("128", LT_R0 LT_R1 LT_R2 LT_R3 LT_R4 LT_R5, "%64,%65,%66,%67", "%68", "%69", ADD,  \
                          LT_C16(C, 0), LT_C16(C, 4), LT_C16(C, 8), LT_C16(C, 12));                          \
        else if constexpr (PAIRS == 14)                                                                      \
            LT_WGMMA_ROWS("112", LT_R0 LT_R1 LT_R2 LT_R3 LT_R4, "%56,%57,%58,%59", "%60", "%61", ADD,        \
                          LT_C16(C, 0), LT_C16(C, 4), LT_C16(C, 8), LT_C4(C, 12), LT_C4(C, 13));             \
        else if constexpr (PAIRS == 12)                                                                      \
            LT_WGMMA_ROWS("96", LT_R0 LT_R1 LT_R2 LT_R3, "%48,%49,%50,%51", "%52", "%53", ADD, LT_C16(C, 0), \
                          LT_C16(C, 4), LT_C16(C, 8));                                                       \
        else if constexpr (PAIRS == 8)                                                                       \
            LT_WGMMA_ROWS("64", LT_R0 LT_R1 LT_R2, "%32,%33,%34,%35", "%36", "%37", ADD, LT_C16(C, 0),       \
                          LT_C16(C, 4));                                                                     \
        else if constexpr (PAIRS == 4)                                                                       \
        LT_WGMMA_ROWS("32", LT_R0, "%16,%17,%18,%19", "%20", "%21", ADD, LT_C16(C, 0))

/* c[pair] = 16 columns of the warp's 16 rows times 16 rows of the right operand, which may lie transposed
 * (`turned`). */
template <int PAIRS, int turned = 0>
static __device__ __forceinline__ void lt_wgmma_rows_first(float (&c)[PAIRS][4], uint32_t a0, uint32_t a1,
                                                           uint32_t a2, uint32_t a3, uint64_t b) {
    LT_WGMMA_ROWS_OF("0", LT_FRESH);
}
/* c[pair] += the same. */
template <int PAIRS, int turned = 0>
static __device__ __forceinline__ void lt_wgmma_rows_more(float (&c)[PAIRS][4], uint32_t a0, uint32_t a1,
                                                          uint32_t a2, uint32_t a3, uint64_t b) {
    LT_WGMMA_ROWS_OF("1", LT_HELD);
}

/* c[pair] += 16 tokens of A^T B, 64 rows. */
template <int D>
static __device__ __forceinline__ void lt_wgmma_sum(float (&c)[D / 8][4], uint64_t a, uint64_t b) {
    if constexpr (D == 32) LT_WGMMA_SUM("32", LT_R0, "%16", "%17", LT_C16(LT_HELD, 0));
    else if constexpr (D == 64)
        LT_WGMMA_SUM("64", LT_R0 LT_R1 LT_R2, "%32", "%33", LT_C16(LT_HELD, 0), LT_C16(LT_HELD, 4));
    else if constexpr (D == 96)
        LT_WGMMA_SUM("96", LT_R0 LT_R1 LT_R2 LT_R3, "%48", "%49", LT_C16(LT_HELD, 0), LT_C16(LT_HELD, 4),
                     LT_C16(LT_HELD, 8));
    else if constexpr (D == 112)
        LT_WGMMA_SUM("112", LT_R0 LT_R1 LT_R2 LT_R3 LT_R4, "%56", "%57", LT_C16(LT_HELD, 0),
                     LT_C16(LT_HELD, 4), LT_C16(LT_HELD, 8), LT_C4(LT_HELD, 12), LT_C4(LT_HELD, 13));
    else
        LT_WGMMA_SUM("128", LT_R0 LT_R1 LT_R2 LT_R3 LT_R4 LT_R5, "%64", "%65", LT_C16(LT_HELD, 0),
                     LT_C16(LT_HELD, 4), LT_C16(LT_HELD, 8), LT_C16(LT_HELD, 12));
}

#    undef LT_WGMMA_SUM
#    undef LT_WGMMA_ROWS_OF
#    undef LT_WGMMA_ROWS
#    undef LT_R6
#    undef LT_R5
#    undef LT_R4
#    undef LT_R3
#    undef LT_R2
#    undef LT_R1
#    undef LT_R0
#    undef LT_HELD
#    undef LT_FRESH
#    undef LT_C16
#    undef LT_C4

#endif

/* Until at most LEFT of the batches that were sent are on their way. */
template <int LEFT = 0> static __device__ __forceinline__ void lt_mma_products_wait() {
#if LT_MMA_HOPPER
    asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(LEFT) : "memory");
#endif
}

/* What this thread has written to shared memory is seen by MMAs that start after the next barrier. */
static __device__ __forceinline__ void lt_mma_publish() {
#if LT_MMA_HOPPER
    asm volatile("fence.proxy.async.shared::cta;" : : : "memory");
#endif
}

#endif
