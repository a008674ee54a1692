/* kernels/cuda/gemm_sm90.cu with holes as compiler/emit prints them: operands of both types that lie either way, tiles
 * of every kind, several products at once, the epilogues. c = relu(a b + bias) + more, rounded, and a b in f32 beside
 * it; of `plain` a b rounded; of `sums` relu(a b + bias) summed over 64 rows, of `along` over 64 columns. The second
 * operand of `nn` is the same for all products. The second product leaves out the first 64 terms. */
#include "vocabulary.h"

typedef struct {
  u16 *c;
  float *sums;
  const float *bias;
  const u16 *more;
  float *partial;
  i64 outer, M, N, K;
} Product;

#define SIZE_HOLES(name)                                                                                               \
  DEVICE i32 name##_outer(Product args) { return (i32)args.outer; }                                                    \
  DEVICE i32 name##_M(Product args) { return (i32)args.M; }                                                            \
  DEVICE i32 name##_N(Product args) { return (i32)args.N; }                                                            \
  DEVICE i32 name##_begin(Product args, i32 outer) {                                                                   \
    (void)args;                                                                                                        \
    return outer;                                                                                                      \
  }                                                                                                                    \
  DEVICE i32 name##_end(Product args, i32 outer) {                                                                     \
    (void)outer;                                                                                                       \
    return (i32)(args.K + 63) / 64;                                                                                    \
  }
#define LOAD_HOLE(name, operand, k_major, of)                                                                          \
  DEVICE void name##_load_##operand(Product args, const TensorMap *map, u32 to, u32 barrier, i32 outer, i32 row,       \
                                    i32 step) {                                                                        \
    (void)args, (void)outer;                                                                                           \
    tma_load_3d(to, map, barrier, k_major ? step * 64 : row, k_major ? row : step * 64, of);                           \
  }
#define STORE_C_HOLE(name)                                                                                             \
  DEVICE void name##_store_c(Product args, const TensorMap *map, u32 from, i32 outer, i32 m, i32 n) {                  \
    (void)args;                                                                                                        \
    tma_store_3d(map, from, n, m, outer);                                                                              \
  }
#define STORE_HOLE(name, width, half)                                                                                  \
  DEVICE void name##_store(Product args, i32 outer, i32 m, i32 n, const float *v) {                                    \
    i64 at = ((i64)outer * args.M + m) * args.N + n;                                                                   \
    if (n + width <= args.N && args.N % 8 == 0) {                                                                      \
      UNROLL (q, width / 4) {                                                                                          \
        Vec4 four = {__float_as_uint(v[q * 4]), __float_as_uint(v[q * 4 + 1]), __float_as_uint(v[q * 4 + 2]),          \
                     __float_as_uint(v[q * 4 + 3])};                                                                   \
        st_global_v4(args.sums + at + q * 4, four);                                                                    \
      }                                                                                                                \
    } else {                                                                                                           \
      UNROLL (i, width)                                                                                                \
        if (n + i < args.N) args.sums[at + i] = v[i];                                                                  \
    }                                                                                                                  \
    UNROLL (i, width)                                                                                                  \
      if (n + i < args.N) {                                                                                            \
        half more = {args.more[at + i]};                                                                               \
        args.c[at + i] = f32_to_##half(fmaxf(v[i] + args.bias[n + i], 0) + half##_to_f32(more)).bits;                  \
      }                                                                                                                \
  }

#define SUMS_HOLES(name, width, half, along)                                                                           \
  STORE_HOLE(name##_of, width, half)                                                                                   \
  DEVICE void name##_store(Product args, i32 outer, i32 m, i32 n, float *v) {                                          \
    name##_of_store(args, outer, m, n, v);                                                                             \
    UNROLL (i, width)                                                                                                  \
      if (n + i < args.N) v[i] = fmaxf(v[i] + args.bias[n + i], 0);                                                    \
  }                                                                                                                    \
  DEVICE void name##_partial(Product args, i32 outer, i32 m, i32 n, float v) {                                         \
    if (along)                                                                                                         \
      args.partial[(outer * ((args.N + 63) / 64) + n / 64) * args.M + m] = v;                                          \
    else                                                                                                               \
      args.partial[(outer * ((args.M + 63) / 64) + m / 64) * args.N + n] = v;                                          \
  }

SIZE_HOLES(product_plain)
LOAD_HOLE(product_plain, a, 1, outer)
LOAD_HOLE(product_plain, b, 1, outer)
STORE_C_HOLE(product_plain)
#define GEMM_NAME       product_plain
#define GEMM_PARAMETERS (Product, args), (TENSOR_MAP, a_map), (TENSOR_MAP, b_map), (TENSOR_MAP, c_map)
#define GEMM_BEGIN
#define GEMM_BM       128
#define GEMM_BN       256
#define GEMM_STAGES   4
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 0
#define GEMM_B_FILLED 0
#define GEMM_A_K      1
#define GEMM_B_K      1
#define GEMM_WGMMA    wgmma_f16
#define GEMM_PACK     pack_f16
#define GEMM_C        1
#include "gemm_sm90.cu"

SIZE_HOLES(product_nt)
LOAD_HOLE(product_nt, a, 1, outer)
LOAD_HOLE(product_nt, b, 1, outer)
STORE_HOLE(product_nt, 8, bf16)
#define GEMM_NAME       product_nt
#define GEMM_PARAMETERS (Product, args), (TENSOR_MAP, a_map), (TENSOR_MAP, b_map)
#define GEMM_BEGIN
#define GEMM_BM       128
#define GEMM_BN       128
#define GEMM_STAGES   5
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 0
#define GEMM_B_FILLED 0
#define GEMM_A_K      1
#define GEMM_B_K      1
#define GEMM_WGMMA    wgmma_bf16
#define GEMM_VC       8
#define GEMM_C        0
#include "gemm_sm90.cu"

SIZE_HOLES(product_nn)
LOAD_HOLE(product_nn, a, 1, outer)
LOAD_HOLE(product_nn, b, 0, 0)
STORE_HOLE(product_nn, 8, bf16)
#define GEMM_NAME       product_nn
#define GEMM_PARAMETERS (Product, args), (TENSOR_MAP, a_map), (TENSOR_MAP, b_map)
#define GEMM_BEGIN
#define GEMM_BM       128
#define GEMM_BN       256
#define GEMM_STAGES   4
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 0
#define GEMM_B_FILLED 0
#define GEMM_A_K      1
#define GEMM_B_K      0
#define GEMM_WGMMA    wgmma_bf16
#define GEMM_VC       8
#define GEMM_C        0
#include "gemm_sm90.cu"

SIZE_HOLES(product_tn)
LOAD_HOLE(product_tn, a, 0, outer)
LOAD_HOLE(product_tn, b, 0, outer)
STORE_HOLE(product_tn, 4, f16)
#define GEMM_NAME       product_tn
#define GEMM_PARAMETERS (Product, args), (TENSOR_MAP, a_map), (TENSOR_MAP, b_map)
#define GEMM_BEGIN
#define GEMM_BM       128
#define GEMM_BN       64
#define GEMM_STAGES   6
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 0
#define GEMM_B_FILLED 0
#define GEMM_A_K      0
#define GEMM_B_K      0
#define GEMM_WGMMA    wgmma_f16
#define GEMM_VC       4
#define GEMM_C        0
#include "gemm_sm90.cu"

SIZE_HOLES(product_tt)
LOAD_HOLE(product_tt, a, 0, outer)
LOAD_HOLE(product_tt, b, 1, outer)
STORE_HOLE(product_tt, 4, bf16)
#define GEMM_NAME       product_tt
#define GEMM_PARAMETERS (Product, args), (TENSOR_MAP, a_map), (TENSOR_MAP, b_map)
#define GEMM_BEGIN
#define GEMM_BM       64
#define GEMM_BN       128
#define GEMM_STAGES   4
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 0
#define GEMM_B_FILLED 0
#define GEMM_A_K      0
#define GEMM_B_K      1
#define GEMM_WGMMA    wgmma_bf16
#define GEMM_VC       4
#define GEMM_C        0
#include "gemm_sm90.cu"

SIZE_HOLES(product_sums)
LOAD_HOLE(product_sums, a, 1, outer)
LOAD_HOLE(product_sums, b, 1, outer)
SUMS_HOLES(product_sums, 8, bf16, 0)
#define GEMM_NAME       product_sums
#define GEMM_PARAMETERS (Product, args), (TENSOR_MAP, a_map), (TENSOR_MAP, b_map)
#define GEMM_BEGIN
#define GEMM_BM       128
#define GEMM_BN       128
#define GEMM_STAGES   4
#define GEMM_A_K      1
#define GEMM_B_K      1
#define GEMM_WGMMA    wgmma_bf16
#define GEMM_VC       8
#define GEMM_C        0
#define GEMM_SUMS     1
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 0
#define GEMM_B_FILLED 0
#include "gemm_sm90.cu"

SIZE_HOLES(product_sums_64)
LOAD_HOLE(product_sums_64, a, 1, outer)
LOAD_HOLE(product_sums_64, b, 0, outer)
SUMS_HOLES(product_sums_64, 4, f16, 0)
#define GEMM_NAME       product_sums_64
#define GEMM_PARAMETERS (Product, args), (TENSOR_MAP, a_map), (TENSOR_MAP, b_map)
#define GEMM_BEGIN
#define GEMM_BM       64
#define GEMM_BN       64
#define GEMM_STAGES   6
#define GEMM_A_K      1
#define GEMM_B_K      0
#define GEMM_WGMMA    wgmma_f16
#define GEMM_VC       4
#define GEMM_C        0
#define GEMM_SUMS     1
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 0
#define GEMM_B_FILLED 0
#include "gemm_sm90.cu"

SIZE_HOLES(product_along)
LOAD_HOLE(product_along, a, 0, outer)
LOAD_HOLE(product_along, b, 1, outer)
SUMS_HOLES(product_along, 8, bf16, 1)
#define GEMM_NAME       product_along
#define GEMM_PARAMETERS (Product, args), (TENSOR_MAP, a_map), (TENSOR_MAP, b_map)
#define GEMM_BEGIN
#define GEMM_BM       128
#define GEMM_BN       256
#define GEMM_STAGES   4
#define GEMM_A_K      0
#define GEMM_B_K      1
#define GEMM_WGMMA    wgmma_bf16
#define GEMM_VC       8
#define GEMM_C        0
#define GEMM_SUMS     2
#define GEMM_ELEMENT  2
#define GEMM_A_FILLED 0
#define GEMM_B_FILLED 0
#include "gemm_sm90.cu"
