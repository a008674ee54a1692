/* A product in f32, exact: threads have 8 x 8 sums in registers, in four squares, which they add to in the order of the
 * terms, one fma a term, so that the result has the bits of the plain form. Tiles of a few terms, two of them in shared
 * memory; the next one comes into registers meanwhile. Holes: gemm_result.h. Included once for each
 * product; alone: c[M][N] = a[M][K] b[K][N] in f32, and partial[M / 64][N], the sums of 64 rows. Grid: one block for
 * each 64 x 64. Block: 64. Shared memory: 18432 bytes. */
#include "vocabulary.h"
#ifndef GEMM_NAME
typedef struct {
  float *c, *partial;
  const float *a, *b;
  i32 M, N, K;
} gemm_simt_args;
typedef i32 gemm_simt_index;
DEVICE i32 gemm_simt_M(gemm_simt_args args) { return args.M; }
DEVICE i32 gemm_simt_N(gemm_simt_args args) { return args.N; }
DEVICE i32 gemm_simt_from(gemm_simt_args args, i32 outer) {
  (void)args, (void)outer;
  return 0;
}
DEVICE i32 gemm_simt_to(gemm_simt_args args, i32 outer) {
  (void)outer;
  return args.K;
}
DEVICE void gemm_simt_a_load(gemm_simt_args args, i32 outer, i32 m, i32 k, float *v) {
  (void)outer;
  UNROLL (i, 4)
    if (k + i < args.K) v[i] = args.a[(i64)m * args.K + k + i];
}
DEVICE void gemm_simt_b_load(gemm_simt_args args, i32 outer, i32 n, i32 k, float *v) {
  (void)outer;
  UNROLL (i, 4)
    if (n + i < args.N) v[i] = args.b[(i64)k * args.N + n + i];
}
DEVICE void gemm_simt_store(gemm_simt_args args, i32 outer, i32 m, i32 n, float *v) {
  (void)outer;
  UNROLL (i, 4)
    if (n + i < args.N) args.c[(i64)m * args.N + n + i] = v[i];
}
DEVICE void gemm_simt_partial(gemm_simt_args args, i32 outer, i32 m, i32 n, float v) {
  (void)outer;
  args.partial[(i64)(m / 64) * args.N + n] = v;
}
#define GEMM_NAME gemm_simt
#define GEMM_PARAMETERS                                                                                                \
  (float *, c), (float *, partial), (const float *, a), (const float *, b), (i32, M), (i32, N), (i32, K)
#define GEMM_BEGIN   gemm_simt_args args = {c, partial, a, b, M, N, K};
#define GEMM_BM      64
#define GEMM_BN      64
#define GEMM_BK      8
#define GEMM_WARPS_M 1
#define GEMM_WARPS_N 2
#define GEMM_BLOCKS  4
#define GEMM_A_K     1
#define GEMM_B_K     0
#define GEMM_VC      4
#define GEMM_SUMS    1
#endif
#define GEMM_THREADS (GEMM_WARPS_M * GEMM_WARPS_N * 32)
#include "gemm_result.h"

#define TILE(name) GEMM_JOIN(GEMM_FN(_a), name)
#define TILE_ROWS  GEMM_BM
#define TILE_K     GEMM_A_K
#include "gemm_terms.h"
#define TILE(name) GEMM_JOIN(GEMM_FN(_b), name)
#define TILE_ROWS  GEMM_BN
#define TILE_K     GEMM_B_K
#include "gemm_terms.h"

GEMM_KERNEL_OF(GEMM_NAME, GEMM_THREADS, GEMM_BLOCKS, GEMM_PARAMETERS) {
  enum {
    BM = GEMM_BM,
    BN = GEMM_BN,
    BK = GEMM_BK,
    A_LINE = BM + 4, /* floats of a term in a tile; the 4 more keep terms of one row in different banks */
    B_LINE = BN + 4,
    TILES = (A_LINE + B_LINE) * BK * 4,
    ACROSS = BN / 8, /* threads that share rows */
    A_TURNS = BM * BK / 4 / GEMM_THREADS,
    B_TURNS = BN * BK / 4 / GEMM_THREADS
  };
  GEMM_BEGIN
  SHARED(shared);
  u32 tiles = shared_address(shared);
  GEMM_FN(_place) place = GEMM_FN(_place_of)(args);
  GEMM_INDEX rows = GEMM_FN(_M)(args), columns = GEMM_FN(_N)(args);
  GEMM_INDEX from = GEMM_FN(_from)(args, place.outer), to = GEMM_FN(_to)(args, place.outer);
  int down = (int)threadIdx.x / ACROSS * 4, across = (int)threadIdx.x % ACROSS * 4; /* and half a tile further */
  float sum[8][8];
  Vec4 a_next[A_TURNS], b_next[B_TURNS];
  UNROLL (i, 8)
    UNROLL (j, 8) sum[i][j] = 0;

  GEMM_FN(_a_fetch)(args, a_next, place.outer, place.m0, rows, from, to);
  GEMM_FN(_b_fetch)(args, b_next, place.outer, place.n0, columns, from, to);
  u32 tile = tiles;
  for (GEMM_INDEX k0 = from; k0 < to; k0 += BK) {
    GEMM_FN(_a_put)(tile, a_next);
    GEMM_FN(_b_put)(tile + A_LINE * BK * 4, b_next);
    __syncthreads(); /* it is there for all, and all are done with the one before, which is filled next */
    if (k0 + BK < to) {
      GEMM_FN(_a_fetch)(args, a_next, place.outer, place.m0, rows, k0 + BK, to);
      GEMM_FN(_b_fetch)(args, b_next, place.outer, place.n0, columns, k0 + BK, to);
    }
    UNROLL (k, BK) {
      if (k0 + k < to) {
        float a[8], b[8];
        u32 a_at = tile + (u32)(k * A_LINE + down) * 4, b_at = tile + (u32)(A_LINE * BK + k * B_LINE + across) * 4;
        UNROLL (h, 2) {
          Vec4 x = ld_shared_v4(a_at + h * (BM / 2 * 4)), y = ld_shared_v4(b_at + h * (BN / 2 * 4));
          a[h * 4] = __uint_as_float(x.x);
          a[h * 4 + 1] = __uint_as_float(x.y);
          a[h * 4 + 2] = __uint_as_float(x.z);
          a[h * 4 + 3] = __uint_as_float(x.w);
          b[h * 4] = __uint_as_float(y.x);
          b[h * 4 + 1] = __uint_as_float(y.y);
          b[h * 4 + 2] = __uint_as_float(y.z);
          b[h * 4 + 3] = __uint_as_float(y.w);
        }
        UNROLL (i, 8)
          UNROLL (j, 8) sum[i][j] = fmaf(a[i], b[j], sum[i][j]);
      }
    }
    tile = tile == tiles ? tiles + TILES : tiles;
  }

  __syncthreads(); /* all are done with the tiles: the result takes their place */
  UNROLL (i, 8)
    UNROLL (h, 2) {
      Vec4 four = {__float_as_uint(sum[i][h * 4]), __float_as_uint(sum[i][h * 4 + 1]),
                   __float_as_uint(sum[i][h * 4 + 2]), __float_as_uint(sum[i][h * 4 + 3])};
      int row = i / 4 * (BM / 2) + down + i % 4, column = h * (BN / 2) + across;
      st_shared_v4(tiles + (u32)(row * GEMM_LINE + column) * 4, four);
    }
  __syncthreads();
  GEMM_FN(_store_tile)(args, place, tiles);
}
#include "gemm_end.h"
