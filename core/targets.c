/* Machines that "null:NAME" impersonates.
 *
 * Memory is the total that nvidia-smi prints; the context column is what driver and loaded kernels take before
 * the first allocation, estimated but for h100. GEMM rates are dense bf16 with float32 accumulation.
 * h100 is measured (8192^3 GEMM; device copy counted as read + write); the others are the vendor's peaks,
 * of which large GEMMs and copies reach about three quarters and nine tenths. */
#include "core/device.h"

#define MIB ((int64_t)1 << 20)

static const lt_target targets[] = {
    /* name, memory, context, FLOP/s, bytes/s, bytes per element of a GEMM operand, fp8 */
    {"h100", 81559 * MIB, 529 * MIB, 756e12, 2.97e12, 2,
     true}, /* SXM5 80 GB HBM3; published peaks 989e12, 3.35e12 */
    {"h200", 143771 * MIB, 512 * MIB, 989e12, 4.8e12, 2, true}, /* NVIDIA H200 datasheet, SXM */
    {"a100-80g", 81920 * MIB, 448 * MIB, 312e12, 2.039e12, 2,
     false}, /* NVIDIA A100 datasheet, SXM 80 GB HBM2e */
    {"rtx4080", 16376 * MIB, 384 * MIB, 97.5e12, 716.8e9, 2,
     true}, /* NVIDIA Ada GPU architecture whitepaper */
    {"rtx4090", 24564 * MIB, 384 * MIB, 165.2e12, 1008e9, 2,
     true}, /* NVIDIA Ada GPU architecture whitepaper */
    {"rtx5090", 32607 * MIB, 512 * MIB, 209.5e12, 1792e9, 2,
     true}, /* NVIDIA RTX Blackwell architecture whitepaper */
    {"l40s", 46068 * MIB, 448 * MIB, 362.05e12, 864e9, 2, true}, /* NVIDIA L40S datasheet */
};

const lt_target *lt_target_at(int index) {
    return index >= 0 && index < (int)(sizeof targets / sizeof *targets) ? &targets[index] : NULL;
}
