/* Inside kernels/attention: 16 tokens of one head as a box that Hopper's copy engine carries between memory and shared
 * memory. Memory sees whole lines, and no thread waits for a load of its own.
 */
#ifndef LT_KERNELS_ATTENTION_MMA_BOX_CUH
#define LT_KERNELS_ATTENTION_MMA_BOX_CUH

#include "kernels/attention/mma_stream.cuh"
#include <cuda.h>

/* Bytes of a token, and of a box. */
template <int D> struct lt_mma_box { static constexpr int ROW = 2 * D, BYTES = 16 * ROW; };

#if LT_MMA_HOPPER
/* A warp's own piece of shared memory: a box of k, one of v, and one of results. */
template <int D> struct lt_mma_boxes {
    static constexpr int ROW = lt_mma_box<D>::ROW, BOX = lt_mma_box<D>::BYTES, BYTES = 3 * BOX;
    char *base;
    uint32_t address; /* of base */
    uint32_t barrier; /* counts bytes that arrive */

    __device__ __forceinline__ lt_mma_boxes(char *piece, uint64_t *arrivals)
        : base(piece), address((uint32_t)__cvta_generic_to_shared(piece)),
          barrier((uint32_t)__cvta_generic_to_shared(arrivals)) {
        if ((threadIdx.x & 31) == 0) {
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" : : "r"(barrier) : "memory");
            asm volatile("fence.mbarrier_init.release.cluster;" : : : "memory");
            asm volatile("fence.proxy.async.shared::cta;" : : : "memory");
        }
        __syncwarp();
    }
    __device__ __forceinline__ void fetch_one(const CUtensorMap *map, const lt_mma_part &part, int token,
                                              int which) const {
        asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
                     "[%0], [%1, {%2, %3, %4, %5}], [%6];"
                     :
                     : "r"(address + which * BOX), "l"(map), "r"(0), "r"(part.head), "r"(token),
                       "r"(part.block), "r"(barrier)
                     : "memory");
    }
    /* 16 tokens of k and of v; the block has zeros behind its last one. */
    __device__ __forceinline__ void fetch(const CUtensorMap *k, const CUtensorMap *v, const lt_mma_part &part,
                                          int token) const {
        if ((threadIdx.x & 31) != 0) return;
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                     :
                     : "r"(barrier), "r"(2 * BOX)
                     : "memory");
        fetch_one(k, part, token, 0);
        fetch_one(v, part, token, 1);
    }
    /* Until what was fetched is there; parity changes from one fetch to the next, from 0. */
    __device__ __forceinline__ void await(int parity) const {
        asm volatile("{.reg .pred p;\n"
                     "LT_AGAIN: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
                     "@!p bra LT_AGAIN;}"
                     :
                     : "r"(barrier), "r"(parity)
                     : "memory");
    }
    /* Tokens of box 0 (k) or 1 (v). */
    __device__ __forceinline__ void take(lt_mma_tokens<D> &to, int which, int lane) const {
        using L = lt_mma_layout<D>;
#    pragma unroll
        for (int i = 0; i < 2; i++)
#    pragma unroll
            for (int group = 0; group < L::GROUPS; group++) {
                const char *at =
                    base + which * BOX + ((lane >> 2) + 8 * i) * ROW + 2 * L::first_channel(group, lane & 3);
                if (group < L::WIDE) {
                    uint4 v = *reinterpret_cast<const uint4 *>(at);
                    to.x[i][4 * group] = v.x, to.x[i][4 * group + 1] = v.y;
                    to.x[i][4 * group + 2] = v.z, to.x[i][4 * group + 3] = v.w;
                } else {
                    uint2 v = *reinterpret_cast<const uint2 *>(at);
                    to.x[i][4 * group] = v.x, to.x[i][4 * group + 1] = v.y;
                }
            }
    }
    /* One group of a result. */
    __device__ __forceinline__ void put(int i, int group, int lane, const uint32_t (&x)[4]) const {
        using L = lt_mma_layout<D>;
        char *at = base + 2 * BOX + ((lane >> 2) + 8 * i) * ROW + 2 * L::first_channel(group, lane & 3);
        if (group < L::WIDE) *reinterpret_cast<uint4 *>(at) = make_uint4(x[0], x[1], x[2], x[3]);
        else *reinterpret_cast<uint2 *>(at) = make_uint2(x[0], x[1]);
    }
    /* Before results are put: the rows sent last have been read. */
    __device__ __forceinline__ void await_sent() const {
        asm volatile("cp.async.bulk.wait_group.read 0;" : : : "memory");
        __syncwarp();
    }
    /* The 16 rows of results, as far as the part has tokens. */
    __device__ __forceinline__ void send(const CUtensorMap *map, const lt_mma_rows &to,
                                         const lt_mma_part &part, int token) const {
        int lane = threadIdx.x & 31;
        asm volatile("fence.proxy.async.shared::cta;" : : : "memory");
        __syncwarp();
        if (token + 16 <= part.last) {
            if (lane == 0)
                asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group "
                             "[%0, {%1, %2, %3, %4}], [%5];"
                             :
                             : "l"(map), "r"(0), "r"(part.head), "r"(token), "r"(part.block),
                               "r"(address + 2 * BOX)
                             : "memory");
        } else if (lane < 16 && token + lane < part.last) {
            asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;"
                         :
                         : "l"(lt_mma_row<D>(to, part, token + lane)), "r"(address + 2 * BOX + lane * ROW),
                           "r"(ROW)
                         : "memory");
        }
        asm volatile("cp.async.bulk.commit_group;" : : : "memory");
    }
    /* Before the warp ends: all that was sent is in memory. */
    __device__ __forceinline__ void await_all() const {
        asm volatile("cp.async.bulk.wait_group 0;" : : : "memory");
    }
};
#endif

/* Shared memory that the boxes of a block of threads take: three a warp, and where each warp counts arrivals. */
template <int D> static constexpr size_t lt_mma_box_bytes() {
    return LT_MMA_THREADS / 32 * (3 * lt_mma_box<D>::BYTES + sizeof(uint64_t));
}

/* Whether maps describe a tensor whose rows are aligned: its tokens, and its blocks, at distances that are above 0. */
static inline bool lt_mma_boxes_reach(const lt_tensor *x) {
    return (x->shape[0] == 1 || x->stride[0] > 0) && (x->shape[1] == 1 || x->stride[1] > 0);
}

/* [blocks, tokens, heads, D] in boxes of 16 tokens of a head. */
static inline lt_status lt_mma_map_boxes(CUtensorMap *map, const lt_mma_rows &x, const lt_attn_shape &shape) {
    void *entry = NULL;
    cudaDriverEntryPointQueryResult found;
    LT_TRY(lt_cuda_check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000,
                                                          cudaEnableDefault, &found)));
    LT_CHECK(entry, LT_FAILED, "CUDA: this driver makes no tensor maps (found %d); update it", (int)found);
    auto encode = (decltype(&cuTensorMapEncodeTiled))entry;
    cuuint64_t token = 2 * (cuuint64_t)x.token,
               sizes[] = {(cuuint64_t)shape.dim, (cuuint64_t)shape.heads, (cuuint64_t)shape.tokens,
                          (cuuint64_t)shape.blocks};
    if (token == 0) token = 16; /* of a single token */
    cuuint64_t strides[] = {2 * (cuuint64_t)shape.dim, token,
                            shape.blocks > 1 ? 2 * (cuuint64_t)x.block : token * (cuuint64_t)shape.tokens};
    cuuint32_t box[] = {(cuuint32_t)shape.dim, 1, 16, 1}, steps[] = {1, 1, 1, 1};
    CUresult result = encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, x.data, sizes, strides, box, steps,
                             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
                             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    LT_CHECK(result == CUDA_SUCCESS, LT_FAILED, "CUDA: a tensor map was refused (%d)", (int)result);
    return LT_OK;
}

#endif
