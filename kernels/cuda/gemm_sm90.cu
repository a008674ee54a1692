/* A product of operands of 16 bits, or of tf32 in 32, on sm_90a: warpgroups bring tiles into a ring of stages, others
 * multiply them by wgmma, 64 rows each, with sums in f32, and do the epilogue; blocks go on to further tiles. One
 * thread brings tiles by TMA; an operand that is no such memory (GEMM_A_FILLED, GEMM_B_FILLED) is copied or worked out
 * by all threads of as many producers as there are consumers. Holes: gemm_result.h, compiler/emit/cuda_gemm90.h.
 * Included once for each product. Alone: c[M][N] = relu(a[M][K] b[N][K]^T + bias[N]) in bf16, rows at multiples of 16
 * bytes, a box of c is 64 columns of 16 rows. Grid: any number of blocks. Block: 128 (where a tile is filled: 2 BM) + 2
 * BM threads. Shared memory: STAGES ((BM + BN) 128 + 16) + BM 256 bytes. */
#include "vocabulary.h"

#ifdef GEMM_NAME
#define LOAD_A(to, barrier, at, m, step) GEMM_FN(_load_a)(args, &a_map, to, barrier, (at).outer, m, step)
#define LOAD_B(to, barrier, at, n, step) GEMM_FN(_load_b)(args, &b_map, to, barrier, (at).outer, n, step)
#define PAIR(column, x, y)               GEMM_PACK(x, y)
#define STORE_BOX(from, at, m, n)        GEMM_FN(_store_c)(args, &c_map, from, (at).outer, m, n)
#else
typedef struct {
  i32 M, N, K;
} gemm_sm90_args;
DEVICE i32 gemm_sm90_outer(gemm_sm90_args args) {
  (void)args;
  return 1;
}
DEVICE i32 gemm_sm90_M(gemm_sm90_args args) { return args.M; }
DEVICE i32 gemm_sm90_N(gemm_sm90_args args) { return args.N; }
DEVICE i32 gemm_sm90_begin(gemm_sm90_args args, i32 outer) {
  (void)args, (void)outer;
  return 0;
}
DEVICE i32 gemm_sm90_end(gemm_sm90_args args, i32 outer) {
  (void)outer;
  return (args.K + 63) / 64;
}
#define GEMM_NAME gemm_sm90
#define GEMM_PARAMETERS                                                                                                \
  (TENSOR_MAP, a_map), (TENSOR_MAP, b_map), (TENSOR_MAP, c_map), (const float *, bias), (i32, M), (i32, N), (i32, K)
#define GEMM_BEGIN                       gemm_sm90_args args = {M, N, K};
#define GEMM_BM                          128
#define GEMM_BN                          128
#define GEMM_STAGES                      4
#define GEMM_ELEMENT                     2
#define GEMM_A_K                         1
#define GEMM_B_K                         1
#define GEMM_A_FILLED                    0
#define GEMM_B_FILLED                    0
#define GEMM_C                           1
#define GEMM_SUMS                        0
#define GEMM_WGMMA                       wgmma_bf16
#define LOAD_A(to, barrier, at, m, step) tma_load_2d(to, &a_map, barrier, (step) * 64, m)
#define LOAD_B(to, barrier, at, n, step) tma_load_2d(to, &b_map, barrier, (step) * 64, n)
#define BIAS(column)                     ((column) < N ? bias[column] : 0)
#define PAIR(column, x, y)               pack_bf16(fmaxf((x) + BIAS(column), 0), fmaxf((y) + BIAS((column) + 1), 0))
#define STORE_BOX(from, at, m, n)        tma_store_2d(&c_map, from, n, m)
#endif
#define GEMM_JOIN_(a, b)    a##b
#define GEMM_JOIN(a, b)     GEMM_JOIN_(a, b)
#define GEMM_FN(name)       GEMM_JOIN(GEMM_NAME, name) /* of this product: several are in one text */
#define GEMM_KERNEL_OF(...) KERNEL(__VA_ARGS__)        /* its arguments are expanded before */

#ifndef SINTER_GEMM_SM90
#define SINTER_GEMM_SM90
enum {
  GEMM90_LINE = 128, /* bytes of the terms of a step */
  GEMM90_BOX = 64 * GEMM90_LINE,
  GEMM90_STAGING = 4096, /* bytes, of a warp: 16 rows of 64 columns in f32, or twice of 16 bits */
  GEMM90_GROUP = 16      /* tiles of rows that go over all columns together: what they share stays in the L2 cache */
};
typedef struct {
  i32 outer, m, n; /* the product, its first row and column */
} Gemm90Place;
DEVICE Gemm90Place gemm90_place(i32 tile, i32 tiles_m, i32 tiles_n, i32 bm, i32 bn) {
  i32 outer = tile / (tiles_m * tiles_n), rest = tile % (tiles_m * tiles_n);
  i32 first = rest / (GEMM90_GROUP * tiles_n) * GEMM90_GROUP, in = rest - first * tiles_n;
  i32 group = tiles_m - first < GEMM90_GROUP ? tiles_m - first : GEMM90_GROUP;
  Gemm90Place place = {outer, (first + in % group) * bm, in / group * bn};
  return place;
}
#endif

#define CONSUMERS  (GEMM_BM / 64)
#define A_TILE     (GEMM_BM * GEMM90_LINE)
#define B_TILE     (GEMM_BN * GEMM90_LINE)
#define FILLED     (GEMM_A_FILLED || GEMM_B_FILLED)
#define BY_TMA     ((GEMM_A_FILLED ? 0 : A_TILE) + (GEMM_B_FILLED ? 0 : B_TILE)) /* bytes of a stage */
#define GEMM_BK    (GEMM90_LINE / GEMM_ELEMENT)
#define GEMM_ARGS  GEMM_FN(_args)
#define GEMM_INDEX i32
#define A_TURNED   (!GEMM_A_K && GEMM_ELEMENT == 2) /* wgmma turns it */
#define B_TURNED   (!GEMM_B_K && GEMM_ELEMENT == 2)
#if FILLED
#define GEMM_THREADS (CONSUMERS * 128) /* producers */
#else
#define GEMM_THREADS 128
#endif
#if GEMM_ELEMENT == 2
#define GEMM_WORD(v, i) GEMM_PACK((v)[(i) * 2], (v)[(i) * 2 + 1])
#define MULTIPLY(a, b)  GEMM_WGMMA(GEMM_BN, d, a, b, 1, A_TURNED, B_TURNED)
#else
#define GEMM_WORD(v, i) f32_to_tf32((v)[i])
#define MULTIPLY(a, b)  wgmma_tf32(GEMM_BN, d, a, b, 1)
#endif
#if A_TURNED
#define A_OPERAND(tile, half, k) wgmma_mn_major((tile) + (half) * GEMM90_BOX + (k) * 2048, GEMM90_BOX)
#else
#define A_OPERAND(tile, half, k) wgmma_k_major((tile) + (half) * GEMM90_BOX + (k) * 32)
#endif
#if B_TURNED
#define B_OPERAND(tile, k) wgmma_mn_major((tile) + (k) * 2048, GEMM90_BOX)
#else
#define B_OPERAND(tile, k) wgmma_k_major((tile) + (k) * 32)
#endif

/* Operands that the producers fill: the terms of a sum are numbered through, from the first one of its part on. Copies
 * are LAG stages behind when they land. */
#if FILLED
DEVICE i32 GEMM_FN(_begin)(GEMM_ARGS args, i32 outer) { return (i32)GEMM_FN(_from)(args, outer) / GEMM_BK; }
DEVICE i32 GEMM_FN(_end)(GEMM_ARGS args, i32 outer) {
  i32 from = (i32)GEMM_FN(_from)(args, outer);
  return from / GEMM_BK + ((i32)GEMM_FN(_to)(args, outer) - from + GEMM_BK - 1) / GEMM_BK;
}
#if GEMM_A_FILLED && GEMM_A_AT
#define FILL_A GEMM_FN(_a_copy)
#else
#define FILL_A GEMM_FN(_a_fill)
#endif
#if GEMM_B_FILLED && GEMM_B_AT
#define FILL_B GEMM_FN(_b_copy)
#else
#define FILL_B GEMM_FN(_b_fill)
#endif
#if (GEMM_A_FILLED && GEMM_A_AT) || (GEMM_B_FILLED && GEMM_B_AT)
#define LAG 2
#else
#define LAG 0
#endif
#endif
#if GEMM_A_FILLED
#define TILE(name) GEMM_JOIN(GEMM_FN(_a), name)
#define TILE_ROWS  GEMM_BM
#define TILE_K     GEMM_A_K
#define TILE_AT    GEMM_A_AT
#define TILE_BATCH (GEMM_A_WIDE ? 4 : 1)
#include "gemm_tile.h"
#endif
#if GEMM_B_FILLED
#define TILE(name) GEMM_JOIN(GEMM_FN(_b), name)
#define TILE_ROWS  GEMM_BN
#define TILE_K     GEMM_B_K
#define TILE_AT    GEMM_B_AT
#define TILE_BATCH (GEMM_B_WIDE ? 4 : 1)
#include "gemm_tile.h"
#endif

/* The sums of neighbouring columns of a row out of the warp's shared memory. */
#define PUT_ROW(line)                                                                                                  \
  do {                                                                                                                 \
    int line_ = line;                                                                                                  \
    float sums[GEMM_VC];                                                                                               \
    UNROLL (q, GEMM_VC / 4) {                                                                                          \
      Vec4 v = ld_shared_v4(mine + (u32)(line_ * 256 + (((column / 4 + q) ^ (line_ & 3) * 2) << 4)));                  \
      sums[q * 4] = __uint_as_float(v.x), sums[q * 4 + 1] = __uint_as_float(v.y);                                      \
      sums[q * 4 + 2] = __uint_as_float(v.z), sums[q * 4 + 3] = __uint_as_float(v.w);                                  \
    }                                                                                                                  \
    GEMM_FN(_store)(args, at.outer, m0 + line_, n0 + column, sums);                                                    \
    KEEP_ROW(line_);                                                                                                   \
  } while (0)
#if GEMM_SUMS /* the values to be summed take the place of the sums */
#define KEEP_ROW(line)                                                                                                 \
  UNROLL (q, GEMM_VC / 4) {                                                                                            \
    Vec4 v = {__float_as_uint(sums[q * 4]), __float_as_uint(sums[q * 4 + 1]), __float_as_uint(sums[q * 4 + 2]),        \
              __float_as_uint(sums[q * 4 + 3])};                                                                       \
    st_shared_v4(mine + (u32)(line * 256 + (((column / 4 + q) ^ (line & 3) * 2) << 4)), v);                            \
  }
#else
#define KEEP_ROW(line)
#endif

/* Of a line of 64 columns in a warp's shared memory; the first of each four lies as it is. */
#define COLUMN_OF(line, column) ((u32)((line) * 256 + ((((column) >> 2) ^ ((line) & 3) * 2) << 4) + ((column) & 3) * 4))

/* Registers of threads of producers and consumers, when the ones have given up what the others get. Of blocks of 64
 * rows two are on a multiprocessor at once. */
#if FILLED
#define PRODUCER_REGISTERS 104
#define CONSUMER_REGISTERS 152
#elif GEMM_BM == 64
#define PRODUCER_REGISTERS 40
#define CONSUMER_REGISTERS 216
#else
#define PRODUCER_REGISTERS 40
#define CONSUMER_REGISTERS 232
#endif
GEMM_KERNEL_OF(GEMM_NAME, GEMM_THREADS + 2 * GEMM_BM, GEMM_BM == 64 ? 2 : 1, GEMM_PARAMETERS) {
  GEMM_BEGIN
  SHARED(shared);
  u32 a_ring = shared_address(shared), b_ring = a_ring + GEMM_STAGES * A_TILE, staging = b_ring + GEMM_STAGES * B_TILE;
  u32 full = staging + CONSUMERS * 4 * GEMM90_STAGING, empty = full + GEMM_STAGES * 8; /* a barrier a stage */
  int t = (int)threadIdx.x;
  i32 rows = (i32)GEMM_FN(_M)(args), columns = (i32)GEMM_FN(_N)(args);
  i32 tiles_m = (rows + GEMM_BM - 1) / GEMM_BM, tiles_n = (columns + GEMM_BN - 1) / GEMM_BN;
  i32 tiles = (i32)GEMM_FN(_outer)(args) * tiles_m * tiles_n;
  if (t == 0) {
    for (int s = 0; s < GEMM_STAGES; s++) {
      mbarrier_init(full + s * 8, (FILLED ? GEMM_THREADS : 0) + (BY_TMA > 0));
      mbarrier_init(empty + s * 8, CONSUMERS);
    }
    fence_mbarrier_init();
  }
  __syncthreads();

  if (t < GEMM_THREADS) {
    setmaxnreg_dec(PRODUCER_REGISTERS);
    u32 stage = 0, parity = 1; /* fresh barriers count as having ended their phase 1 */
#if FILLED
    u32 landing = 0, behind = 0;
#else
    if (t) return;
#endif
    for (i32 tile = (i32)blockIdx.x; tile < tiles; tile += (i32)gridDim.x) {
      Gemm90Place at = gemm90_place(tile, tiles_m, tiles_n, GEMM_BM, GEMM_BN);
      i32 step = GEMM_FN(_begin)(args, at.outer), end = GEMM_FN(_end)(args, at.outer);
#if FILLED
      i32 k0 = (i32)GEMM_FN(_from)(args, at.outer), to = (i32)GEMM_FN(_to)(args, at.outer);
#endif
      for (; step < end; step++) {
        u32 a_tile = a_ring + stage * A_TILE, b_tile = b_ring + stage * B_TILE;
        mbarrier_wait(empty + stage * 8, parity);
#if !GEMM_A_FILLED || !GEMM_B_FILLED
        if (t == 0) {
          mbarrier_arrive_expect_tx(full + stage * 8, BY_TMA);
#if !GEMM_A_FILLED
          UNROLL (box, GEMM_A_K ? 1 : GEMM_BM / 64)
            LOAD_A(a_tile + box * GEMM90_BOX, full + stage * 8, at, at.m + box * 64, step);
#endif
#if !GEMM_B_FILLED
          UNROLL (box, GEMM_B_K ? 1 : GEMM_BN / 64)
            LOAD_B(b_tile + box * GEMM90_BOX, full + stage * 8, at, at.n + box * 64, step);
#endif
        }
#endif
#if GEMM_A_FILLED
        FILL_A(args, a_tile, at.outer, at.m, rows, k0, to);
#endif
#if GEMM_B_FILLED
        FILL_B(args, b_tile, at.outer, at.n, columns, k0, to);
#endif
#if FILLED
        k0 += GEMM_BK;
        cp_async_commit();
        if (++behind > LAG) {
          cp_async_wait(LAG);
          fence_proxy_async();
          mbarrier_arrive(full + landing * 8);
          behind--;
          if (++landing == GEMM_STAGES) landing = 0;
        }
#endif
        if (++stage == GEMM_STAGES) stage = 0, parity ^= 1;
      }
    }
#if FILLED && LAG
    cp_async_wait(0);
    fence_proxy_async();
    for (; behind > 0; behind--) {
      mbarrier_arrive(full + landing * 8);
      if (++landing == GEMM_STAGES) landing = 0;
    }
#endif
    return;
  }

  setmaxnreg_inc(CONSUMER_REGISTERS);
  int half = (t - GEMM_THREADS) >> 7, lane = t & 31, warp = (t & 127) >> 5;
  bool leads = (t & 127) == 0;
  u32 stage = 0, parity = 0, last = 0, ours = staging + (u32)half * 4 * GEMM90_STAGING,
      mine = ours + (u32)warp * GEMM90_STAGING;
  float d[GEMM_BN / 2];
  for (i32 tile = (i32)blockIdx.x; tile < tiles; tile += (i32)gridDim.x) {
    Gemm90Place at = gemm90_place(tile, tiles_m, tiles_n, GEMM_BM, GEMM_BN);
    i32 step = GEMM_FN(_begin)(args, at.outer), end = GEMM_FN(_end)(args, at.outer);
    i32 m0 = at.m + half * 64 + warp * 16;
    bool first = true;
    UNROLL (i, GEMM_BN / 2) d[i] = 0;
    if (step < end) { /* around the loop and the last wait: sums under way do not meet those that are 0 */
      do {
        mbarrier_wait(full + stage * 8, parity);
        u32 a_tile = a_ring + stage * A_TILE, b_tile = b_ring + stage * B_TILE;
        wgmma_fence();
        UNROLL (k, GEMM90_LINE / 32) MULTIPLY(A_OPERAND(a_tile, half, k), B_OPERAND(b_tile, k));
        wgmma_commit();
        wgmma_wait(1); /* the step before has been read */
        if (leads && !first) mbarrier_arrive(empty + last * 8);
        first = false;
        last = stage;
        if (++stage == GEMM_STAGES) stage = 0, parity ^= 1;
      } while (++step < end);
      wgmma_wait(0);
      wgmma_hold(d, GEMM_BN / 2);
      if (leads) mbarrier_arrive(empty + last * 8);
    }

#if !GEMM_C
    ROLLED for (int piece = 0; piece < GEMM_BN / 64; piece++) { /* of 64 columns; a warp has 16 rows */
      i32 n0 = at.n + piece * 64;
      int column = lane % (64 / GEMM_VC) * GEMM_VC, row = lane / (64 / GEMM_VC);
      __syncwarp(); /* the piece before has been read */
      UNROLL (p, GEMM_BN / 64)
        if (p == piece)
          UNROLL (i, 8)
            UNROLL (h, 2) {
              int line = (lane >> 2) + h * 8, chunk = i * 2 + ((lane & 3) >> 1);
              st_shared_v2(mine + (u32)(line * 256 + ((chunk ^ (line & 3) * 2) << 4) + (lane & 1) * 8),
                           __float_as_uint(d[p * 32 + i * 4 + h * 2]), __float_as_uint(d[p * 32 + i * 4 + h * 2 + 1]));
            }
      __syncwarp();
      if (n0 + column < columns) {
        if (m0 + 16 <= rows) {
          UNROLL (pass, 32 / GEMM_VC) PUT_ROW(pass * (GEMM_VC / 2) + row);
        } else {
          ROLLED for (; row < 16 && m0 + row < rows; row += GEMM_VC / 2) PUT_ROW(row);
        }
      }
#if GEMM_SUMS == 1
      __syncwarp(); /* a lane sums runs of 4 rows of two columns, then a thread has all 16 of a column, of four warps */
      UNROLL (c, 2)
        UNROLL (run, 4) {
          float part = 0;
          UNROLL (j, 4)
            if (m0 + run * 4 + j < rows) part += ld_shared_f32(mine + COLUMN_OF(run * 4 + j, lane + c * 32));
          st_shared_f32(mine + COLUMN_OF(run * 4, lane + c * 32), part);
        }
      bar_sync((u32)(1 + half), 128);
      i32 m = at.m + half * 64, n = n0 + (t & 127);
      if ((t & 127) < 64 && m < rows && n < columns) {
        float all = 0;
        UNROLL (run, 16) all += ld_shared_f32(ours + (u32)(run * 1024) + (u32)(t & 63) * 4);
        GEMM_FN(_partial)(args, at.outer, m, n, all);
      }
      bar_sync((u32)(1 + half), 128); /* the next piece takes its place */
#elif GEMM_SUMS == 2
      __syncwarp();
      if (lane < 16 && m0 + lane < rows && n0 < columns) { /* has a row, by runs of 4 columns */
        float all = 0;
        UNROLL (run, 16) {
          Vec4 v = ld_shared_v4(mine + COLUMN_OF(lane, run * 4));
          float part = __uint_as_float(v.x);
          i32 left = columns - n0 - run * 4;
          if (left > 1) part += __uint_as_float(v.y);
          if (left > 2) part += __uint_as_float(v.z);
          if (left > 3) part += __uint_as_float(v.w);
          if (left > 0) all += part;
        }
        GEMM_FN(_partial)(args, at.outer, m0 + lane, n0, all);
      }
#endif
    }
#else
    UNROLL (piece, GEMM_BN / 64) {
      i32 n0 = at.n + piece * 64;
      u32 box = mine + (u32)(piece & 1) * (GEMM90_STAGING / 2);
      if (lane == 0) bulk_wait_read(1); /* the last piece but one has left */
      __syncwarp();
      UNROLL (i, 8)
        UNROLL (h, 2) {
          u32 row = (u32)((lane >> 2) + h * 8), chunk = (u32)i ^ (row & 7);
          u32 pair =
              PAIR(n0 + i * 8 + (lane & 3) * 2, d[piece * 32 + i * 4 + h * 2], d[piece * 32 + i * 4 + h * 2 + 1]);
          st_shared_u32(box + row * 128 + chunk * 16 + (u32)(lane & 3) * 4, pair);
        }
      fence_proxy_async();
      __syncwarp();
      if (lane == 0) {
        STORE_BOX(box, at, m0, n0);
        bulk_commit();
      }
    }
#endif
  }
#if GEMM_C
  if (lane == 0) bulk_wait_read(0); /* shared memory ends with the block */
#endif
}

#undef LOAD_A
#undef LOAD_B
#undef BIAS
#undef PAIR
#undef STORE_BOX
#undef CONSUMERS
#undef A_TILE
#undef B_TILE
#undef A_OPERAND
#undef B_OPERAND
#undef PUT_ROW
#undef KEEP_ROW
#undef COLUMN_OF
#undef FILLED
#undef BY_TMA
#undef A_TURNED
#undef B_TURNED
#undef MULTIPLY
#undef LAG
#undef FILL_A
#undef FILL_B
#undef PRODUCER_REGISTERS
#undef CONSUMER_REGISTERS
#undef GEMM_C
#undef GEMM_WGMMA
#include "gemm_end.h"
