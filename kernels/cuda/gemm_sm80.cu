/* A product of operands of 16 bits, or of tf32 in 32, on sm_80: a ring of stages filled by cp.async, or by threads
 * where an operand is worked out; fragments by ldmatrix, products by mma.sync with sums in f32; the result goes through
 * shared memory, so that the epilogue has neighbouring columns. Holes: gemm_result.h. Included once for
 * each product. Alone: c[M][N] = relu(a[M][K] b[N][K]^T + bias[N]), K a multiple of 8, rows at multiples of 16 bytes.
 * Grid: (N / 128, M / 128), rounded up. Block: 256. Shared memory: 98304 bytes. */
#include "vocabulary.h"
#ifndef GEMM_NAME
typedef struct {
  bf16 *c;
  const bf16 *a, *b;
  const float *bias;
  i32 M, N, K;
} gemm_sm80_args;
typedef i32 gemm_sm80_index;
DEVICE i32 gemm_sm80_M(gemm_sm80_args args) { return args.M; }
DEVICE i32 gemm_sm80_N(gemm_sm80_args args) { return args.N; }
DEVICE i32 gemm_sm80_from(gemm_sm80_args args, i32 outer) {
  (void)args, (void)outer;
  return 0;
}
DEVICE i32 gemm_sm80_to(gemm_sm80_args args, i32 outer) {
  (void)outer;
  return args.K;
}
DEVICE const void *gemm_sm80_a_at(gemm_sm80_args args, i32 outer, i32 m, i32 k) {
  (void)outer;
  return args.a + (i64)m * args.K + k;
}
DEVICE const void *gemm_sm80_b_at(gemm_sm80_args args, i32 outer, i32 n, i32 k) {
  (void)outer;
  return args.b + (i64)n * args.K + k;
}
DEVICE void gemm_sm80_store(gemm_sm80_args args, i32 outer, i32 m, i32 n, const float *v) {
  (void)outer;
  UNROLL (i, 8)
    if (n + i < args.N) args.c[(i64)m * args.N + n + i] = f32_to_bf16(fmaxf(v[i] + args.bias[n + i], 0));
}
#define GEMM_NAME gemm_sm80
#define GEMM_PARAMETERS                                                                                                \
  (bf16 *, c), (const bf16 *, a), (const bf16 *, b), (const float *, bias), (i32, M), (i32, N), (i32, K)
#define GEMM_BEGIN   gemm_sm80_args args = {c, a, b, bias, M, N, K};
#define GEMM_ELEMENT 2
#define GEMM_PACK    pack_bf16
#define GEMM_MMA     mma_m16n8k16_bf16
#define GEMM_BM      128
#define GEMM_BN      128
#define GEMM_BK      64
#define GEMM_STAGES  3
#define GEMM_WARPS_M 2
#define GEMM_WARPS_N 4
#define GEMM_BLOCKS  1
#define GEMM_A_K     1
#define GEMM_B_K     1
#define GEMM_A_AT    1
#define GEMM_B_AT    1
#define GEMM_VC      8
#define GEMM_SUMS    0
#endif
#define GEMM_THREADS (GEMM_WARPS_M * GEMM_WARPS_N * 32)
#include "gemm_result.h"
#if GEMM_ELEMENT == 2
#define GEMM_WORD(v, i) GEMM_PACK((v)[(i) * 2], (v)[(i) * 2 + 1])
#define GEMM_ROUND(fragment)
#else
#define GEMM_WORD(v, i) __float_as_uint((v)[i])
#define GEMM_ROUND(fragment)                                                                                           \
  UNROLL (q, 4) (fragment)[q] = f32_to_tf32(__uint_as_float((fragment)[q]))
#endif

#define TILE(name) GEMM_JOIN(GEMM_FN(_a), name)
#define TILE_ROWS  GEMM_BM
#define TILE_K     GEMM_A_K
#define TILE_AT    GEMM_A_AT
#define TILE_BATCH TILE_TURNS
#include "gemm_tile.h"
#define TILE(name) GEMM_JOIN(GEMM_FN(_b), name)
#define TILE_ROWS  GEMM_BN
#define TILE_K     GEMM_B_K
#define TILE_AT    GEMM_B_AT
#define TILE_BATCH TILE_TURNS
#include "gemm_tile.h"

GEMM_KERNEL_OF(GEMM_NAME, GEMM_THREADS, GEMM_BLOCKS, GEMM_PARAMETERS) {
  enum {
    BM = GEMM_BM,
    BN = GEMM_BN,
    BK = GEMM_BK,
    STAGES = GEMM_STAGES,
    WM = BM / GEMM_WARPS_M, /* of a warp */
    WN = BN / GEMM_WARPS_N,
    A_TILE = BM * BK * GEMM_ELEMENT,
    STAGE = (BM + BN) * BK * GEMM_ELEMENT
  };
  GEMM_BEGIN
  SHARED(shared);
  u32 ring = shared_address(shared);
  int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x >> 5;
  int warp_m = warp / GEMM_WARPS_N * WM, warp_n = warp % GEMM_WARPS_N * WN;
  GEMM_FN(_place) place = GEMM_FN(_place_of)(args);
  GEMM_INDEX rows = GEMM_FN(_M)(args), columns = GEMM_FN(_N)(args);
  GEMM_INDEX from = GEMM_FN(_from)(args, place.outer), to = GEMM_FN(_to)(args, place.outer);
  GEMM_INDEX steps = (to - from + BK - 1) / BK;
  float d[WM / 16][WN / 8][4];
  UNROLL (i, WM / 16)
    UNROLL (j, WN / 8)
      UNROLL (q, 4) d[i][j][q] = 0;
#if !GEMM_A_AT
  Vec4 a_next[A_TILE / 16 / GEMM_THREADS];
#endif
#if !GEMM_B_AT
  Vec4 b_next[(STAGE - A_TILE) / 16 / GEMM_THREADS];
#endif

/* A stage is filled in two halves, with the products of another between them. */
#if GEMM_A_AT
#define FILL_A(tile, k0) GEMM_FN(_a_copy)(args, tile, place.outer, place.m0, rows, k0, to)
#define PUT_A(tile)
#else
#define FILL_A(tile, k0) GEMM_FN(_a_fetch)(args, a_next, 0, place.outer, place.m0, rows, k0, to)
#define PUT_A(tile)      GEMM_FN(_a_put)(tile, 0, a_next)
#endif
#if GEMM_B_AT
#define FILL_B(tile, k0) GEMM_FN(_b_copy)(args, (tile) + A_TILE, place.outer, place.n0, columns, k0, to)
#define PUT_B(tile)
#else
#define FILL_B(tile, k0) GEMM_FN(_b_fetch)(args, b_next, 0, place.outer, place.n0, columns, k0, to)
#define PUT_B(tile)      GEMM_FN(_b_put)((tile) + A_TILE, 0, b_next)
#endif
  UNROLL (s, STAGES - 1) {
    if (s < steps) {
      FILL_A(ring + s * STAGE, from + s * BK);
      FILL_B(ring + s * STAGE, from + s * BK);
      PUT_A(ring + s * STAGE);
      PUT_B(ring + s * STAGE);
    }
    cp_async_commit();
  }
  for (GEMM_INDEX step = 0; step < steps; step++) {
    cp_async_wait(STAGES - 2);
    __syncthreads(); /* this stage is there for all, and all are done with the one before, which is filled next */
    GEMM_INDEX next = step + STAGES - 1;
    u32 free = ring + (u32)(next % STAGES) * STAGE;
    if (next < steps) {
      FILL_A(free, from + next * BK);
      FILL_B(free, from + next * BK);
    }
    cp_async_commit();
    u32 a_tile = ring + (u32)(step % STAGES) * STAGE, b_tile = a_tile + A_TILE;
    UNROLL (k, BK * GEMM_ELEMENT / 32) { /* 32 bytes of each row */
      u32 fa[WM / 16][4], fb[WN / 16][4];
#if GEMM_A_K || GEMM_ELEMENT == 4
      UNROLL (i, WM / 16)
        ldmatrix_x4(fa[i], GEMM_FN(_a_chunk)(a_tile, warp_m + i * 16 + (lane & 15), k * 2 + (lane >> 4)));
#else
      UNROLL (i, WM / 16)
        ldmatrix_x4_trans(fa[i], GEMM_FN(_a_chunk)(a_tile, k * 16 + (lane & 7) + (lane >> 4) * 8,
                                                   (warp_m + i * 16) / 8 + (lane >> 3 & 1)));
#endif
#if GEMM_B_K || GEMM_ELEMENT == 4
      UNROLL (j, WN / 16)
        ldmatrix_x4(fb[j],
                    GEMM_FN(_b_chunk)(b_tile, warp_n + j * 16 + (lane & 7) + (lane >> 4) * 8, k * 2 + (lane >> 3 & 1)));
#else
      UNROLL (j, WN / 16)
        ldmatrix_x4_trans(fb[j], GEMM_FN(_b_chunk)(b_tile, k * 16 + (lane & 15), (warp_n + j * 16) / 8 + (lane >> 4)));
#endif
      UNROLL (i, WM / 16) GEMM_ROUND(fa[i]);
      UNROLL (j, WN / 16) GEMM_ROUND(fb[j]);
      UNROLL (i, WM / 16)
        UNROLL (j, WN / 8) GEMM_MMA(d[i][j], fa[i], fb[j >> 1] + (j & 1) * 2);
    }
    if (next < steps) {
      PUT_A(free);
      PUT_B(free);
    }
  }

  cp_async_wait(0);
  __syncthreads(); /* all are done with the ring: the result takes its place */
  UNROLL (i, WM / 16)
    UNROLL (j, WN / 8)
      UNROLL (h, 2) {
        int row = warp_m + i * 16 + h * 8 + (lane >> 2), column = warp_n + j * 8 + (lane & 3) * 2;
        st_shared_v2(ring + (u32)(row * GEMM_LINE + column) * 4, __float_as_uint(d[i][j][h * 2]),
                     __float_as_uint(d[i][j][h * 2 + 1]));
      }
  __syncthreads();
  GEMM_FN(_store_tile)(args, place, ring);
}
#undef FILL_A
#undef FILL_B
#undef PUT_A
#undef PUT_B
#undef GEMM_ROUND
#include "gemm_end.h"
