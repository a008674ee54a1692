/* kernels/cuda/gemm_sm80.cu with holes as compiler/emit prints them: tiles of every kind, operands of both types that
 * lie either way, copied or worked out, several products at once. c = relu(a b + bias) + more, rounded, and a b in f32
 * beside it; of `sums` relu(a b + bias) summed over 64 rows, of `along` over 64 columns. The second operand of `nn` is
 * the same for all products. The second product leaves out the first 64 terms. */
#include "vocabulary.h"

typedef struct {
  u16 *c;
  float *sums;
  const float *bias;
  const u16 *more;
  float *partial;
  i64 outer, M, N, K;
  const u16 *a, *b;
} Tiled;

#define SIZE_HOLES(name)                                                                                               \
  typedef Tiled name##_args;                                                                                           \
  typedef i32 name##_index;                                                                                            \
  DEVICE i32 name##_M(Tiled args) { return (i32)args.M; }                                                              \
  DEVICE i32 name##_N(Tiled args) { return (i32)args.N; }                                                              \
  DEVICE i32 name##_from(Tiled args, i32 outer) { return (void)args, outer * 64; }                                     \
  DEVICE i32 name##_to(Tiled args, i32 outer) { return (void)outer, (i32)args.K; }
#define PLACE(args, operand, rows, k_major, of, row, k)                                                                \
  ((args).operand + (i64)(of) * (rows) * (args).K + (k_major ? (row) * (args).K + (k) : (k) * (rows) + (row)))
#define AT_HOLE(name, operand, rows, k_major, of)                                                                      \
  DEVICE const void *name##_##operand##_at(Tiled args, i32 outer, i32 row, i32 k) {                                    \
    (void)outer;                                                                                                       \
    return PLACE(args, operand, args.rows, k_major, of, row, k);                                                       \
  }
#define LOAD_HOLE(name, operand, rows, k_major, half)                                                                  \
  DEVICE void name##_##operand##_load(Tiled args, i32 outer, i32 row, i32 k, float *v) {                               \
    UNROLL (i, 8)                                                                                                      \
      if ((k_major ? k : row) + i < (k_major ? args.K : args.rows)) {                                                  \
        half x = {PLACE(args, operand, args.rows, k_major, outer, row, k)[i]};                                         \
        v[i] = half##_to_f32(x);                                                                                       \
      }                                                                                                                \
  }
#define STORE_HOLE(name, width, half)                                                                                  \
  DEVICE void name##_store(Tiled args, i32 outer, i32 m, i32 n, const float *v) {                                      \
    UNROLL (i, width)                                                                                                  \
      if (n + i < args.N) {                                                                                            \
        i64 at = ((i64)outer * args.M + m) * args.N + n + i;                                                           \
        half more = {args.more[at]};                                                                                   \
        args.sums[at] = v[i];                                                                                          \
        args.c[at] = f32_to_##half(fmaxf(v[i] + args.bias[n + i], 0) + half##_to_f32(more)).bits;                      \
      }                                                                                                                \
  }

#define SUMS_HOLES(name, width, half, along)                                                                           \
  STORE_HOLE(name##_of, width, half)                                                                                   \
  DEVICE void name##_store(Tiled args, i32 outer, i32 m, i32 n, float *v) {                                            \
    name##_of_store(args, outer, m, n, v);                                                                             \
    UNROLL (i, width)                                                                                                  \
      if (n + i < args.N) v[i] = fmaxf(v[i] + args.bias[n + i], 0);                                                    \
  }                                                                                                                    \
  DEVICE void name##_partial(Tiled args, i32 outer, i32 m, i32 n, float v) {                                           \
    if (along)                                                                                                         \
      args.partial[(outer * ((args.N + 63) / 64) + n / 64) * args.M + m] = v;                                          \
    else                                                                                                               \
      args.partial[(outer * ((args.M + 63) / 64) + m / 64) * args.N + n] = v;                                          \
  }

SIZE_HOLES(tiled_nt)
AT_HOLE(tiled_nt, a, M, 1, outer)
AT_HOLE(tiled_nt, b, N, 1, outer)
STORE_HOLE(tiled_nt, 8, bf16)
#define GEMM_NAME       tiled_nt
#define GEMM_PARAMETERS (Tiled, args)
#define GEMM_BEGIN
#define GEMM_ELEMENT 2
#define GEMM_PACK    pack_bf16
#define GEMM_MMA     mma_m16n8k16_bf16
#define GEMM_BM      128
#define GEMM_BN      64
#define GEMM_BK      32
#define GEMM_STAGES  4
#define GEMM_WARPS_M 2
#define GEMM_WARPS_N 2
#define GEMM_BLOCKS  1
#define GEMM_A_K     1
#define GEMM_B_K     1
#define GEMM_A_AT    1
#define GEMM_B_AT    1
#define GEMM_VC      8
#include "gemm_sm80.cu"

SIZE_HOLES(tiled_nn)
AT_HOLE(tiled_nn, a, M, 1, outer)
AT_HOLE(tiled_nn, b, N, 0, 0)
STORE_HOLE(tiled_nn, 8, bf16)
#define GEMM_NAME       tiled_nn
#define GEMM_PARAMETERS (Tiled, args)
#define GEMM_BEGIN
#define GEMM_ELEMENT 2
#define GEMM_PACK    pack_bf16
#define GEMM_MMA     mma_m16n8k16_bf16
#define GEMM_BM      64
#define GEMM_BN      128
#define GEMM_BK      32
#define GEMM_STAGES  4
#define GEMM_WARPS_M 2
#define GEMM_WARPS_N 2
#define GEMM_BLOCKS  1
#define GEMM_A_K     1
#define GEMM_B_K     0
#define GEMM_A_AT    1
#define GEMM_B_AT    1
#define GEMM_VC      8
#include "gemm_sm80.cu"

SIZE_HOLES(tiled_tn)
AT_HOLE(tiled_tn, a, M, 0, outer)
AT_HOLE(tiled_tn, b, N, 0, outer)
STORE_HOLE(tiled_tn, 4, f16)
#define GEMM_NAME       tiled_tn
#define GEMM_PARAMETERS (Tiled, args)
#define GEMM_BEGIN
#define GEMM_ELEMENT 2
#define GEMM_PACK    pack_f16
#define GEMM_MMA     mma_m16n8k16_f16
#define GEMM_BM      128
#define GEMM_BN      128
#define GEMM_BK      32
#define GEMM_STAGES  4
#define GEMM_WARPS_M 2
#define GEMM_WARPS_N 4
#define GEMM_BLOCKS  1
#define GEMM_A_K     0
#define GEMM_B_K     0
#define GEMM_A_AT    1
#define GEMM_B_AT    1
#define GEMM_VC      4
#include "gemm_sm80.cu"

SIZE_HOLES(tiled_tt)
LOAD_HOLE(tiled_tt, a, M, 0, bf16)
AT_HOLE(tiled_tt, b, N, 1, outer)
STORE_HOLE(tiled_tt, 4, bf16)
#define GEMM_NAME       tiled_tt
#define GEMM_PARAMETERS (Tiled, args)
#define GEMM_BEGIN
#define GEMM_ELEMENT 2
#define GEMM_PACK    pack_bf16
#define GEMM_MMA     mma_m16n8k16_bf16
#define GEMM_BM      16
#define GEMM_BN      64
#define GEMM_BK      64
#define GEMM_STAGES  4
#define GEMM_WARPS_M 1
#define GEMM_WARPS_N 4
#define GEMM_BLOCKS  1
#define GEMM_A_K     0
#define GEMM_B_K     1
#define GEMM_A_AT    0
#define GEMM_B_AT    1
#define GEMM_VC      4
#include "gemm_sm80.cu"

SIZE_HOLES(tiled_worked)
LOAD_HOLE(tiled_worked, a, M, 1, f16)
LOAD_HOLE(tiled_worked, b, N, 0, f16)
STORE_HOLE(tiled_worked, 8, f16)
#define GEMM_NAME       tiled_worked
#define GEMM_PARAMETERS (Tiled, args)
#define GEMM_BEGIN
#define GEMM_ELEMENT 2
#define GEMM_PACK    pack_f16
#define GEMM_MMA     mma_m16n8k16_f16
#define GEMM_BM      64
#define GEMM_BN      16
#define GEMM_BK      64
#define GEMM_STAGES  4
#define GEMM_WARPS_M 4
#define GEMM_WARPS_N 1
#define GEMM_BLOCKS  1
#define GEMM_A_K     1
#define GEMM_B_K     0
#define GEMM_A_AT    0
#define GEMM_B_AT    0
#define GEMM_VC      8
#include "gemm_sm80.cu"

SIZE_HOLES(tiled_sums)
AT_HOLE(tiled_sums, a, M, 1, outer)
AT_HOLE(tiled_sums, b, N, 1, outer)
SUMS_HOLES(tiled_sums, 8, bf16, 0)
#define GEMM_NAME       tiled_sums
#define GEMM_PARAMETERS (Tiled, args)
#define GEMM_BEGIN
#define GEMM_ELEMENT 2
#define GEMM_PACK    pack_bf16
#define GEMM_MMA     mma_m16n8k16_bf16
#define GEMM_BM      128
#define GEMM_BN      64
#define GEMM_BK      32
#define GEMM_STAGES  4
#define GEMM_WARPS_M 2
#define GEMM_WARPS_N 2
#define GEMM_BLOCKS  1
#define GEMM_A_K     1
#define GEMM_B_K     1
#define GEMM_A_AT    1
#define GEMM_B_AT    1
#define GEMM_VC      8
#define GEMM_SUMS    1
#include "gemm_sm80.cu"

SIZE_HOLES(tiled_along)
LOAD_HOLE(tiled_along, a, M, 0, f16)
AT_HOLE(tiled_along, b, N, 1, outer)
SUMS_HOLES(tiled_along, 4, f16, 1)
#define GEMM_NAME       tiled_along
#define GEMM_PARAMETERS (Tiled, args)
#define GEMM_BEGIN
#define GEMM_ELEMENT 2
#define GEMM_PACK    pack_f16
#define GEMM_MMA     mma_m16n8k16_f16
#define GEMM_BM      64
#define GEMM_BN      128
#define GEMM_BK      32
#define GEMM_STAGES  4
#define GEMM_WARPS_M 2
#define GEMM_WARPS_N 2
#define GEMM_BLOCKS  1
#define GEMM_A_K     0
#define GEMM_B_K     1
#define GEMM_A_AT    0
#define GEMM_B_AT    1
#define GEMM_VC      4
#define GEMM_SUMS    2
#include "gemm_sm80.cu"
