/* kernels/cuda/gemm_sm90.cu with operands that its producers fill, copied or worked out, beside others by TMA or beside
 * each other, of both types and of tf32. What is made is as in gemm_variants.cu. */
#include "vocabulary.h"

typedef struct {
  u16 *c;
  float *sums;
  const float *bias;
  const u16 *more;
  float *partial; /* of gemm_variants.cu */
  i64 outer, M, N, K;
  const void *a, *b;
} Filled;

#define SIZE_HOLES(name)                                                                                               \
  typedef Filled name##_args;                                                                                          \
  DEVICE i32 name##_outer(Filled args) { return (i32)args.outer; }                                                     \
  DEVICE i32 name##_M(Filled args) { return (i32)args.M; }                                                             \
  DEVICE i32 name##_N(Filled args) { return (i32)args.N; }                                                             \
  DEVICE i32 name##_from(Filled args, i32 outer) { return (void)args, outer * 64; }                                    \
  DEVICE i32 name##_to(Filled args, i32 outer) { return (void)outer, (i32)args.K; }
#define PLACE(args, type, operand, rows, k_major, row, k)                                                              \
  ((const type *)(args).operand + (i64)outer * (rows) * (args).K +                                                     \
   (k_major ? (row) * (args).K + (k) : (k) * (rows) + (row)))
#define AT_HOLE(name, operand, rows, k_major)                                                                          \
  DEVICE const void *name##_##operand##_at(Filled args, i32 outer, i32 row, i32 k) {                                   \
    return PLACE(args, u16, operand, args.rows, k_major, row, k);                                                      \
  }
#define LOAD_HOLE(name, operand, rows, k_major, half)                                                                  \
  DEVICE void name##_##operand##_load(Filled args, i32 outer, i32 row, i32 k, float *v) {                              \
    UNROLL (i, 8)                                                                                                      \
      if ((k_major ? k : row) + i < (k_major ? args.K : args.rows))                                                    \
        v[i] = half##_to_f32(PLACE(args, half, operand, args.rows, k_major, row, k)[i]);                               \
  }
#define LOAD_SINGLE_HOLE(name, operand, rows, k_major)                                                                 \
  DEVICE void name##_##operand##_load(Filled args, i32 outer, i32 row, i32 k, float *v) {                              \
    UNROLL (i, 4)                                                                                                      \
      if ((k_major ? k : row) + i < (k_major ? args.K : args.rows))                                                    \
        v[i] = PLACE(args, float, operand, args.rows, k_major, row, k)[i];                                             \
  }
#define TMA_HOLE(name, operand, k_major)                                                                               \
  DEVICE void name##_load_##operand(Filled args, const TensorMap *map, u32 to, u32 barrier, i32 outer, i32 row,        \
                                    i32 step) {                                                                        \
    (void)args;                                                                                                        \
    tma_load_3d(to, map, barrier, k_major ? step * 64 : row, k_major ? row : step * 64, outer);                        \
  }
#define STORE_HOLE(name, half)                                                                                         \
  DEVICE void name##_store(Filled args, i32 outer, i32 m, i32 n, const float *v) {                                     \
    UNROLL (i, 8)                                                                                                      \
      if (n + i < args.N) {                                                                                            \
        i64 at = ((i64)outer * args.M + m) * args.N + n + i;                                                           \
        half more = {args.more[at]};                                                                                   \
        args.sums[at] = v[i];                                                                                          \
        args.c[at] = f32_to_##half(fmaxf(v[i] + args.bias[n + i], 0) + half##_to_f32(more)).bits;                      \
      }                                                                                                                \
  }

SIZE_HOLES(filled_nt)
LOAD_HOLE(filled_nt, a, M, 1, bf16)
TMA_HOLE(filled_nt, b, 1)
STORE_HOLE(filled_nt, bf16)
#define GEMM_NAME       filled_nt
#define GEMM_PARAMETERS (Filled, args), (TENSOR_MAP, b_map)
#define GEMM_BEGIN
#define GEMM_BM       128
#define GEMM_BN       128
#define GEMM_STAGES   4
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 1
#define GEMM_A_AT     0
#define GEMM_A_K      1
#define GEMM_A_WIDE   0
#define GEMM_B_FILLED 0
#define GEMM_B_K      1
#define GEMM_WGMMA    wgmma_bf16
#define GEMM_PACK     pack_bf16
#define GEMM_VC       8
#define GEMM_C        0
#include "gemm_sm90.cu"

SIZE_HOLES(filled_tn)
AT_HOLE(filled_tn, a, M, 0)
TMA_HOLE(filled_tn, b, 0)
STORE_HOLE(filled_tn, f16)
#define GEMM_NAME       filled_tn
#define GEMM_PARAMETERS (Filled, args), (TENSOR_MAP, b_map)
#define GEMM_BEGIN
#define GEMM_BM       128
#define GEMM_BN       64
#define GEMM_STAGES   5
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 1
#define GEMM_A_AT     1
#define GEMM_A_K      0
#define GEMM_A_WIDE   1
#define GEMM_B_FILLED 0
#define GEMM_B_K      0
#define GEMM_WGMMA    wgmma_f16
#define GEMM_PACK     pack_f16
#define GEMM_VC       8
#define GEMM_C        0
#include "gemm_sm90.cu"

SIZE_HOLES(filled_nn)
TMA_HOLE(filled_nn, a, 1)
LOAD_HOLE(filled_nn, b, N, 0, bf16)
STORE_HOLE(filled_nn, bf16)
#define GEMM_NAME       filled_nn
#define GEMM_PARAMETERS (Filled, args), (TENSOR_MAP, a_map)
#define GEMM_BEGIN
#define GEMM_BM       64
#define GEMM_BN       128
#define GEMM_STAGES   4
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 0
#define GEMM_A_K      1
#define GEMM_B_FILLED 1
#define GEMM_B_AT     0
#define GEMM_B_K      0
#define GEMM_B_WIDE   1
#define GEMM_WGMMA    wgmma_bf16
#define GEMM_PACK     pack_bf16
#define GEMM_VC       8
#define GEMM_C        0
#include "gemm_sm90.cu"

SIZE_HOLES(filled_tt)
LOAD_HOLE(filled_tt, a, M, 0, f16)
AT_HOLE(filled_tt, b, N, 1)
STORE_HOLE(filled_tt, f16)
#define GEMM_NAME       filled_tt
#define GEMM_PARAMETERS (Filled, args)
#define GEMM_BEGIN
#define GEMM_BM       64
#define GEMM_BN       64
#define GEMM_STAGES   4
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 1
#define GEMM_A_AT     0
#define GEMM_A_K      0
#define GEMM_A_WIDE   1
#define GEMM_B_FILLED 1
#define GEMM_B_AT     1
#define GEMM_B_K      1
#define GEMM_B_WIDE   1
#define GEMM_WGMMA    wgmma_f16
#define GEMM_PACK     pack_f16
#define GEMM_VC       8
#define GEMM_C        0
#include "gemm_sm90.cu"

SIZE_HOLES(filled_tf32)
LOAD_SINGLE_HOLE(filled_tf32, a, M, 1)
LOAD_SINGLE_HOLE(filled_tf32, b, N, 0)
STORE_HOLE(filled_tf32, bf16)
#define GEMM_NAME       filled_tf32
#define GEMM_PARAMETERS (Filled, args)
#define GEMM_BEGIN
#define GEMM_BM       128
#define GEMM_BN       64
#define GEMM_STAGES   4
#define GEMM_ELEMENT  4
#define GEMM_A_FILLED 1
#define GEMM_A_AT     0
#define GEMM_A_K      1
#define GEMM_A_WIDE   1
#define GEMM_B_FILLED 1
#define GEMM_B_AT     0
#define GEMM_B_K      0
#define GEMM_B_WIDE   0
#define GEMM_VC       8
#define GEMM_C        0
#include "gemm_sm90.cu"

SIZE_HOLES(filled_tf32_turned)
LOAD_SINGLE_HOLE(filled_tf32_turned, a, M, 0)
LOAD_SINGLE_HOLE(filled_tf32_turned, b, N, 1)
STORE_HOLE(filled_tf32_turned, bf16)
#define GEMM_NAME       filled_tf32_turned
#define GEMM_PARAMETERS (Filled, args)
#define GEMM_BEGIN
#define GEMM_BM       64
#define GEMM_BN       128
#define GEMM_STAGES   4
#define GEMM_ELEMENT  4
#define GEMM_A_FILLED 1
#define GEMM_A_AT     0
#define GEMM_A_K      0
#define GEMM_A_WIDE   1
#define GEMM_B_FILLED 1
#define GEMM_B_AT     0
#define GEMM_B_K      1
#define GEMM_B_WIDE   1
#define GEMM_VC       8
#define GEMM_C        0
#include "gemm_sm90.cu"
