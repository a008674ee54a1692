/* The gradient of attention's queries on sm_90a, with the holes of attention_grad_holes.h: one warpgroup brings tiles
 * of keys by cp.async, two of 64 rows of queries each compute, so OWN is 128. q, g and tiles are read where they lie;
 * the gradients of the products go from registers into the next product. p is worked out while the product of g and v
 * is under way; for the rest the tensor cores have the other warpgroup. ATTENTION_D is 64 or 128. Grid: heads times
 * (T / OWN, rounded up). */
#include "attention_holes.h"

#ifndef ATTENTION_NAME
#define ATTENTION_NAME    attention_grad_q_sm90
#define ATTENTION_D       128
#define ATTENTION_TILE    128, 128, 2, 384, 196640
#define ATTENTION_RESULTS 0
#include "attention_alone.h"
#endif
#include "attention_grad_holes.h"
#include "attention_grad_sm90.h"

ATTENTION_KERNEL(ATTENTION_NAME, THREADS, 1, (ATTENTION_HOLE(_args), args)) {
  ATTENTION_BEGIN
  SHARED(shared);
  u32 q_tile = shared_address(shared), g_tile = q_tile + OWN_TILE, k_tiles = g_tile + OWN_TILE;
  u32 v_tiles = k_tiles + STAGES * TILE, full = v_tiles + STAGES * TILE, empty = full + STAGES * 8;
  LAID_OUT(2 * OWN_TILE + 2 * STAGES * TILE + 2 * STAGES * 8, OWN * STAGED);
  int t = (int)threadIdx.x, warpgroup = t >> 7;
  i32 T = (i32)ATTENTION_HOLE(_T)(args), S = (i32)ATTENTION_HOLE(_S)(args), row_tiles = (T - 1) / OWN + 1;
  i32 outer = (i32)blockIdx.x / row_tiles;
  i32 q0 = (row_tiles - 1 - (i32)blockIdx.x % row_tiles) * OWN; /* longest first */
  i32 keys = (i32)ATTENTION_HOLE(_seen)(args, q0 + OWN <= T ? q0 + OWN - 1 : T - 1);
  i32 whole = (i32)ATTENTION_HOLE(_seen)(args, q0), tiles = (keys + OTHER - 1) / OTHER;
  ATTENTION_HOLE(_barriers)(full, empty);

  if (warpgroup == 0) {
    setmaxnreg_dec(40);
    if (tiles > 0) { /* with the first tile of keys */
      ATTENTION_HOLE(_load_q)(args, outer, q_tile, q0, T);
      ATTENTION_HOLE(_load_g)(args, outer, g_tile, q0, T);
    }
    for (i32 tile = 0; tile < tiles; tile++) {
      u32 stage = (u32)tile % STAGES;
      mbarrier_wait(empty + stage * 8, ((u32)tile / STAGES & 1) ^ 1);
      ATTENTION_HOLE(_load_k)(args, outer, k_tiles + stage * TILE, tile * OTHER, S);
      ATTENTION_HOLE(_load_v)(args, outer, v_tiles + stage * TILE, tile * OTHER, S);
      cp_async_commit();
      cp_async_wait(0); /* not later: the other stage is in use until then */
      fence_proxy_async();
      mbarrier_arrive(full + stage * 8);
    }
    return;
  }

  setmaxnreg_inc(232);
  int half = warpgroup - 1, lane = t & 31, first = half * 64 + (t & 127) / 32 * 16; /* row of the warp */
  bool leads = (t & 127) == 0;
  i32 row[2], seen[2];
  float scale = ATTENTION_SCALE, s[OTHER / 2], dp[OTHER / 2], dq[D / 2];
#ifndef ATTENTION_SCORE
  float lse2[2], delta[2]; /* lse2: of base 2 */
#endif
  u32 slope[OTHER / 4];
  UNROLL (h, 2) {
    i32 r = q0 + first + h * 8 + (lane >> 2);
    row[h] = r < T ? r : T - 1;
    seen[h] = (i32)ATTENTION_HOLE(_seen)(args, row[h]);
#ifndef ATTENTION_SCORE
    lse2[h] = ATTENTION_HOLE(_lse)(args, outer, row[h]) * LOG2_E;
    delta[h] = ATTENTION_HOLE(_delta)(args, outer, row[h]);
#endif
  }
  UNROLL (i, D / 2) dq[i] = 0;
  i32 last = q0 + half * 64 + 63, end = ((i32)ATTENTION_HOLE(_seen)(args, last < T ? last : T - 1) + OTHER - 1) / OTHER;
  for (i32 tile = 0; tile < end; tile++) {
    u32 stage = (u32)tile % STAGES, k_tile = k_tiles + stage * TILE;
    mbarrier_wait(full + stage * 8, (u32)tile / STAGES & 1);
    ATTENTION_HOLE(_issue_dot)(s, q_tile + (u32)half * 64 * 128, k_tile);
    ATTENTION_HOLE(_issue_dot)(dp, g_tile + (u32)half * 64 * 128, v_tiles + stage * TILE);
#ifdef ATTENTION_SCORE
    wgmma_wait(0);
    wgmma_hold(s, OTHER / 2);
    wgmma_hold(dp, OTHER / 2);
    ATTENTION_HOLE(_work_out_tile)(args, outer, row, tile * OTHER, S, s, dp);
#else
    wgmma_wait(1);
    wgmma_hold(s, OTHER / 2);
    UNROLL (i, OTHER / 2) s[i] = ex2_approx(fmaf(s[i], scale * LOG2_E, -lse2[i >> 1 & 1]));
    wgmma_wait(0);
    wgmma_hold(dp, OTHER / 2);
    UNROLL (i, OTHER / 2) dp[i] = s[i] * (dp[i] - delta[i >> 1 & 1]);
#endif
    if ((tile + 1) * OTHER > whole)
      UNROLL (i, OTHER / 2)
        if (tile * OTHER + i / 4 * 8 + (lane & 3) * 2 + (i & 1) >= seen[i >> 1 & 1]) dp[i] = 0;
    UNROLL (i, OTHER / 4) slope[i] = ATTENTION_PACK(dp[2 * i], dp[2 * i + 1]);
    ATTENTION_HOLE(_issue_add)(dq, slope, k_tile);
    wgmma_wait(0);
    wgmma_hold(dq, D / 2);
    if (leads) mbarrier_arrive(empty + stage * 8);
  }
  for (i32 tile = end; tile < tiles; tile++) ATTENTION_HOLE(_leave_out)(full, empty, tile);

  u32 staged = q_tile + (u32)first * STAGED; /* of the warp */
  bar_sync(1, 2 * OWN);                      /* nobody reads tiles any more */
  ATTENTION_HOLE(_stage)(staged, dq, scale);
  __syncwarp();
  UNROLL (i, 16 * (D / 8) / 32) {
    int c = i * 32 + lane, r = c / (D / 8), n = c % (D / 8) * 8;
    i32 at = q0 + first + r;
    float v[8];
    attention_staged(staged + (u32)(r * STAGED + n * 4), v);
    UNROLL (part, 8 / ATTENTION_WIDTH)
      if (at < T) ATTENTION_HOLE(_store)(args, outer, at, n + part * ATTENTION_WIDTH, v + part * ATTENTION_WIDTH);
  }
}

#include "attention_grad_end.h"
