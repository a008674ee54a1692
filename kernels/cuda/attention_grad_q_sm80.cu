/* The gradient of attention's queries on sm_80, with the holes of attention_grad_holes.h. A block has OWN rows of
 * queries, whose q and g stay in registers; it walks over the tiles of keys that its last row sees, which cp.async
 * brings into two stages. A warp takes 16 keys at once; the gradients of the products are the next product's operand as
 * they are. ATTENTION_D is 32, 64, 96 or 128. Grid: heads times (T / OWN, rounded up). */
#include "attention_holes.h"

#ifndef ATTENTION_NAME
#define ATTENTION_NAME    attention_grad_q_sm80
#define ATTENTION_D       64
#define ATTENTION_TILE    128, 64, 2, 128, 49152
#define ATTENTION_RESULTS 0
#include "attention_alone.h"
#endif
#include "attention_grad_holes.h"
#include "attention_grad_sm80.h"

ATTENTION_KERNEL(ATTENTION_NAME, THREADS, 1, (ATTENTION_HOLE(_args), args)) {
  ATTENTION_BEGIN
  SHARED(shared);
  /* a stage is a tile of k and one of v; q and g lie in the second one and behind it, until they are in registers */
  u32 stages = shared_address(shared), q_tile = stages + 2 * TILE, g_tile = q_tile + OWN_TILE;
  LAID_OUT(2 * TILE + 2 * OWN_TILE, THREADS / 2 * STAGED);
  int lane = (int)threadIdx.x & 31, first = ((int)threadIdx.x >> 5) * 16 * BANDS; /* row of the warp */
  i32 T = (i32)ATTENTION_HOLE(_T)(args), S = (i32)ATTENTION_HOLE(_S)(args), row_tiles = (T - 1) / OWN + 1;
  i32 outer = (i32)blockIdx.x / row_tiles;
  i32 q0 = (row_tiles - 1 - (i32)blockIdx.x % row_tiles) * OWN; /* longest first */
  i32 last = q0 + OWN <= T ? q0 + OWN - 1 : T - 1;
  i32 keys = (i32)ATTENTION_HOLE(_seen)(args, last), whole = (i32)ATTENTION_HOLE(_seen)(args, q0);
  i32 tiles = (keys + OTHER - 1) / OTHER, row[BANDS][2], seen[BANDS][2];
  float sum[BANDS][D / 8][4];
  u32 fq[BANDS][D / 16][4], fg[BANDS][D / 16][4];
#ifdef ATTENTION_SCORE
  float scale = 1;
#else
  float scale = ATTENTION_SCALE, lse2[BANDS][2], delta[BANDS][2]; /* lse2: of base 2 */
#endif
  UNROLL (m, BANDS) {
    UNROLL (h, 2) {
      i32 r = q0 + first + m * 16 + h * 8 + (lane >> 2);
      row[m][h] = r < T ? r : T - 1;
      seen[m][h] = (i32)ATTENTION_HOLE(_seen)(args, row[m][h]);
#ifndef ATTENTION_SCORE
      lse2[m][h] = ATTENTION_HOLE(_lse)(args, outer, row[m][h]) * LOG2_E;
      delta[m][h] = ATTENTION_HOLE(_delta)(args, outer, row[m][h]);
#endif
    }
    UNROLL (i, D / 8)
      UNROLL (q, 4) sum[m][i][q] = 0;
  }

  if (tiles > 0) {
    ATTENTION_HOLE(_load_q)(args, outer, q_tile, q0, T);
    ATTENTION_HOLE(_load_g)(args, outer, g_tile, q0, T);
    ATTENTION_HOLE(_load_k)(args, outer, stages, 0, S);
    ATTENTION_HOLE(_load_v)(args, outer, stages + TILE, 0, S);
  }
  cp_async_commit();
  for (i32 tile = 0; tile < tiles; tile++) {
    u32 k_tile = stages + (u32)tile % STAGES * 2 * TILE, v_tile = k_tile + TILE;
    cp_async_wait(0);
    __syncthreads(); /* this tile is there for all, and all are done with the other stage */
    if (tile == 0) {
      ATTENTION_HOLE(_keep)(fq, q_tile + (u32)first * ROW);
      ATTENTION_HOLE(_keep)(fg, g_tile + (u32)first * ROW);
      __syncthreads();
    }
    if (tile + 1 < tiles) {
      u32 next = stages + (u32)(tile + 1) % STAGES * 2 * TILE;
      ATTENTION_HOLE(_load_k)(args, outer, next, (tile + 1) * OTHER, S);
      ATTENTION_HOLE(_load_v)(args, outer, next + TILE, (tile + 1) * OTHER, S);
    }
    cp_async_commit();
    ROLLED for (int step = 0; step < OTHER / 16; step++) {
      float s[BANDS][2][4], dp[BANDS][2][4];
      i32 key0 = tile * OTHER + step * 16 + (lane & 3) * 2;
      if ((tile + 1) * OTHER > whole && tile * OTHER + step * 16 >= __shfl_sync(ALL_LANES, seen[BANDS - 1][1], 31))
        break; /* of the warp's rows the last one sees most */
      ATTENTION_HOLE(_dot)(s, fq, 0, k_tile + (u32)step * 16 * ROW);
      ATTENTION_HOLE(_dot)(dp, fg, 0, v_tile + (u32)step * 16 * ROW);
      UNROLL (m, BANDS)
        UNROLL (i, 2)
          UNROLL (q, 4) {
            float *x = &dp[m][i][q];
            int h = q >> 1;
#ifdef ATTENTION_SCORE
            i32 key = key0 + i * 8 + (q & 1);
            ATTENTION_HOLE(_work_out)(args, outer, row[m][h], key < S ? key : S - 1, &s[m][i][q], x);
#else
            *x = ex2_approx(fmaf(s[m][i][q], scale * LOG2_E, -lse2[m][h])) * (*x - delta[m][h]);
#endif
          }
      if ((tile + 1) * OTHER > whole)
        UNROLL (m, BANDS)
          UNROLL (i, 2)
            UNROLL (q, 4)
              if (key0 + i * 8 + (q & 1) >= seen[m][q >> 1]) dp[m][i][q] = 0;
      ATTENTION_HOLE(_add)(sum, dp, k_tile + (u32)step * 16 * ROW);
    }
  }

  u32 staged = stages + ((u32)threadIdx.x >> 5) * 16 * STAGED; /* of the warp, where no thread reads tiles any more */
  __syncthreads();
  UNROLL (m, BANDS) {
    ATTENTION_HOLE(_stage)(staged, sum[m][0], scale);
    __syncwarp();
    UNROLL (i, 16 * (D / 8) / 32) {
      int c = i * 32 + lane, r = c / (D / 8), n = c % (D / 8) * 8;
      i32 at = q0 + first + m * 16 + r;
      float v[8];
      attention_staged(staged + (u32)(r * STAGED + n * 4), v);
      UNROLL (part, 8 / ATTENTION_WIDTH)
        if (at < T) ATTENTION_HOLE(_store)(args, outer, at, n + part * ATTENTION_WIDTH, v + part * ATTENTION_WIDTH);
    }
    __syncwarp();
  }
}

#include "attention_grad_end.h"
