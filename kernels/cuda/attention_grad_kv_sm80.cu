/* The gradients of attention's keys and values on sm_80, with the holes of attention_grad_holes.h. A block has OWN keys
 * and walks over the tiles of queries that see any of them, which cp.async brings into two stages. A warp's products
 * have its keys for rows: k, in registers, and v, in shared memory, are first operands; p and the gradients of the
 * products, of 16 queries at once, are those of the next products as they are. Every block has its own results.
 * ATTENTION_D is 32, 64, 96 or 128, ATTENTION_RESULTS 1, 2 or 3. Grid: heads times (S / OWN, rounded up). */
#include "attention_holes.h"

#ifndef ATTENTION_NAME
#define ATTENTION_NAME    attention_grad_kv_sm80
#define ATTENTION_D       64
#define ATTENTION_TILE    128, 64, 2, 128, 50176
#define ATTENTION_RESULTS 3
#include "attention_alone.h"
#endif
#include "attention_grad_holes.h"
#include "attention_grad_sm80.h"

ATTENTION_KERNEL(ATTENTION_NAME, THREADS, 1, (ATTENTION_HOLE(_args), args)) {
  ATTENTION_BEGIN
  SHARED(shared);
  /* a stage is a tile of q and one of g; k lies in the second one, until it is in registers */
  u32 stages = shared_address(shared), k_rows = stages + 2 * TILE, v_rows = stages + 4 * TILE;
  u32 known = v_rows + OWN_TILE; /* two stages of a tile's rows' lse, of base 2, and delta, a thread each */
  LAID_OUT(4 * TILE + OWN_TILE + STAGES * THREADS * 4, THREADS * STAGED);
  int lane = (int)threadIdx.x & 31, first = ((int)threadIdx.x >> 5) * 16 * BANDS; /* key of the warp */
  i32 T = (i32)ATTENTION_HOLE(_T)(args), S = (i32)ATTENTION_HOLE(_S)(args), key_tiles = (S - 1) / OWN + 1;
  i32 outer = (i32)blockIdx.x / key_tiles, key0 = (i32)blockIdx.x % key_tiles * OWN; /* longest first */
  i32 tiles = (T - 1) / OTHER + 1, begin = ATTENTION_HOLE(_begin)(args, key0, T);
  float dk[BANDS][D / 8][4], dv[BANDS][D / 8][4];
  u32 fk[BANDS][D / 16][4];
#ifdef ATTENTION_SCORE
  float scale = 1;
#else
  float scale = ATTENTION_SCALE;
#endif
  UNROLL (m, BANDS)
    UNROLL (i, D / 8)
      UNROLL (q, 4) dk[m][i][q] = dv[m][i][q] = 0;
  if (begin < tiles) {
    ATTENTION_HOLE(_load_k)(args, outer, k_rows, key0, S);
    if (OF_K) ATTENTION_HOLE(_load_v)(args, outer, v_rows, key0, S);
    ATTENTION_HOLE(_load_q)(args, outer, stages, begin * OTHER, T);
    ATTENTION_HOLE(_load_g)(args, outer, stages + TILE, begin * OTHER, T);
    st_shared_f32(known + threadIdx.x * 4, ATTENTION_HOLE(_known)(args, outer, begin * OTHER, T, (int)threadIdx.x));
  }
  cp_async_commit();
  for (i32 tile = begin; tile < tiles; tile++) {
    u32 stage = (u32)(tile - begin) % STAGES, q_tile = stages + stage * 2 * TILE, g_tile = q_tile + TILE;
    float next = 0;
    cp_async_wait(0);
    __syncthreads(); /* this tile is there for all, and all are done with the other stage */
    if (tile == begin) {
      ATTENTION_HOLE(_keep)(fk, k_rows + (u32)first * ROW);
      __syncthreads();
    }
    if (tile + 1 < tiles) {
      u32 to = stages + (stage + 1) % STAGES * 2 * TILE;
      ATTENTION_HOLE(_load_q)(args, outer, to, (tile + 1) * OTHER, T);
      ATTENTION_HOLE(_load_g)(args, outer, to + TILE, (tile + 1) * OTHER, T);
      next = ATTENTION_HOLE(_known)(args, outer, (tile + 1) * OTHER, T, (int)threadIdx.x);
    }
    cp_async_commit();
    bool whole = (tile + 1) * OTHER <= T && (i32)ATTENTION_HOLE(_seen)(args, tile * OTHER) >= key0 + OWN;
    int step = whole ? 0 : ATTENTION_HOLE(_hidden)(args, key0 + first, tile * OTHER, T, 16, OTHER / 16);
    ROLLED for (; step < OTHER / 16; step++) {
      float p[BANDS][2][4], dp[BANDS][2][4];
      i32 row0 = tile * OTHER + step * 16 + (lane & 3) * 2, at = key0 + first + (lane >> 2);
      ATTENTION_HOLE(_dot)(p, fk, 0, q_tile + (u32)step * 16 * ROW);
      if (OF_K) ATTENTION_HOLE(_dot)(dp, 0, v_rows + (u32)first * ROW, g_tile + (u32)step * 16 * ROW);
      UNROLL (i, 2) {
        Vec4 pair = ld_shared_v4(known + stage * THREADS * 4 + (u32)(step * 16 + i * 8 + (lane & 3) * 2) * 8);
        UNROLL (m, BANDS)
          UNROLL (q, 4) {
            float *x = &p[m][i][q], *y = &dp[m][i][q];
            (void)y;
#ifdef ATTENTION_SCORE
            i32 row = row0 + i * 8 + (q & 1), key = at + m * 16 + (q >> 1) * 8;
            ATTENTION_HOLE(_work_out)(args, outer, key < S ? key : S - 1, row < T ? row : T - 1, x, y);
            (void)pair;
#else
            *x = ex2_approx(fmaf(*x, scale * LOG2_E, -__uint_as_float(q & 1 ? pair.z : pair.x)));
            if (OF_K) *y = *x * (*y - __uint_as_float(q & 1 ? pair.w : pair.y));
#endif
          }
      }
      if (!whole)
        UNROLL (i, 2)
          UNROLL (odd, 2) {
            i32 row = row0 + i * 8 + odd, seen = row < T ? (i32)ATTENTION_HOLE(_seen)(args, row) : 0;
            UNROLL (m, BANDS)
              UNROLL (h, 2)
                if (at + m * 16 + h * 8 >= seen) p[m][i][h * 2 + odd] = dp[m][i][h * 2 + odd] = 0;
          }
      if (OF_V) ATTENTION_HOLE(_add)(dv, p, g_tile + (u32)step * 16 * ROW);
      if (OF_K) ATTENTION_HOLE(_add)(dk, dp, q_tile + (u32)step * 16 * ROW);
    }
    st_shared_f32(known + (stage + 1) % STAGES * THREADS * 4 + threadIdx.x * 4, next);
  }

  u32 staged = stages + ((u32)threadIdx.x >> 5) * 32 * STAGED; /* of the warp, where no thread reads tiles any more */
  __syncthreads();
  UNROLL (m, BANDS) {
    if (OF_K) ATTENTION_HOLE(_stage)(staged, dk[m][0], scale);
    if (OF_V) ATTENTION_HOLE(_stage)(staged + 16 * STAGED, dv[m][0], 1);
    __syncwarp();
    ATTENTION_HOLE(_leave)(args, outer, key0 + first + m * 16, S, staged);
    __syncwarp();
  }
}

#include "attention_grad_end.h"
