/* Products on sm_90a by kernels/cuda/gemm_sm90.cu. Of the holes of products (gemm_result.h) it takes GEMM_NAME,
 * GEMM_PARAMETERS (the words, then maps of a and b where they come by TMA, and of c if GEMM_C), GEMM_BEGIN, GEMM_BM (64
 * or 128), GEMM_BN (64, 128 or 256), GEMM_STAGES, GEMM_ELEMENT, GEMM_A_K, GEMM_B_K, GEMM_PACK (of operands that are
 * filled, and of c), GEMM_VC (4 or 8), NAME_M, NAME_N, NAME_store, and its own:
 * - GEMM_WGMMA: wgmma_bf16 or wgmma_f16; with a GEMM_ELEMENT of 4 the products are of tf32, and both operands filled
 * - GEMM_A_FILLED, GEMM_B_FILLED: 0: NAME_load_a(args, map, to, barrier, outer, m, step), NAME_load_b(.., n, step) are
 *   tma_load of a box, swizzled in lines of 128 bytes: 64 terms of all rows of the tile where the operand is k-major,
 *   else 64 rows (columns) of 64 terms. 1: threads fill tiles, by NAME_a_at or NAME_a_load as on sm_80 (GEMM_A_AT), of
 *   4 runs at once where GEMM_A_WIDE is 1, else one by one; GEMM_BN is then 128 at most
 * - NAME_begin(args, outer), NAME_end(args, outer), where nothing is filled: steps of 64 terms of the sum that a
 *   product takes; else NAME_from and NAME_to say which terms
 * - GEMM_C 1: the epilogue does no more than to round to 16 bits, and a box of 64 columns of 16 rows, swizzled in lines
 *   of 128 bytes, is stored by NAME_store_c(args, map, from, outer, m, n); then NAME_store and GEMM_VC are not wanted
 */
#ifndef SINTER_EMIT_CUDA_GEMM90_H
#define SINTER_EMIT_CUDA_GEMM90_H
#include "cuda_skeleton.h"

/* What cuda_skeleton_stage does. It fits where both operands are of one 16-bit type, or of f32 for tf32. TMA brings
 * what is plain memory with strides and beginnings at multiples of 16 bytes; else producers copy it or work it out. */
bool cuda_gemm90_stage(Kernel *, const Stage *, const CudaWanted *, CudaStage *made, Buf *out);
#endif
