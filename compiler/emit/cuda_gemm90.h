/* Products on sm_90a by kernels/cuda/gemm_sm90.cu. Of the holes of products (cuda_skeleton.h) it takes GEMM_NAME,
 * GEMM_PARAMETERS (the words, then maps of a, b, and c if GEMM_C), GEMM_BEGIN, GEMM_BM (64 or 128), GEMM_BN (64, 128 or
 * 256), GEMM_STAGES, GEMM_A_K, GEMM_B_K, GEMM_PACK (of c), GEMM_VC (4 or 8), NAME_M, NAME_N, NAME_store, and its own:
 * - GEMM_WGMMA: wgmma_bf16 or wgmma_f16
 * - NAME_begin(args, outer), NAME_end(args, outer): steps of 64 terms of the sum that a product takes
 * - NAME_load_a(args, map, to, barrier, outer, m, step), NAME_load_b(.., n, step): tma_load of a box, swizzled in lines
 *   of 128 bytes: 64 terms of all rows of the tile where the operand is k-major, else 64 rows (columns) of 64 terms
 * - GEMM_C 1: the epilogue does no more than to round to 16 bits, and a box of 64 columns of 16 rows, swizzled in lines
 *   of 128 bytes, is stored by NAME_store_c(args, map, from, outer, m, n); then NAME_store and GEMM_VC are not wanted
 */
#ifndef SINTER_EMIT_CUDA_GEMM90_H
#define SINTER_EMIT_CUDA_GEMM90_H
#include "cuda_skeleton.h"

/* What cuda_skeleton_stage does. It fits where both operands are plain memory of one 16-bit type, with strides and
 * beginnings at multiples of 16 bytes: what TMA can bring. */
bool cuda_gemm90_stage(Kernel *, const Stage *, const CudaWanted *, CudaStage *made, Buf *out);
#endif
