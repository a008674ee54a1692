/* The gradients of attention's keys and values on sm_90a, with the holes of attention_grad_holes.h: one warpgroup
 * brings tiles of queries by cp.async, two of 64 keys each compute, so OWN is 128. Products have keys for rows: k and v
 * are read where they lie, p and the gradients of the products go from registers into the next products. p is worked
 * out while the product of v and g is under way; for the rest the tensor cores have the other warpgroup. ATTENTION_D is
 * 64 or 128. Grid: heads times (S / OWN, rounded up). */
#include "attention_holes.h"

#ifndef ATTENTION_NAME
#define ATTENTION_NAME    attention_grad_kv_sm90
#define ATTENTION_D       128
#define ATTENTION_TILE    128, 64, 3, 384, 165424
#define ATTENTION_RESULTS 3
#include "attention_alone.h"
#endif
#include "attention_grad_holes.h"
#include "attention_grad_sm90.h"

ATTENTION_KERNEL(ATTENTION_NAME, THREADS, 1, (ATTENTION_HOLE(_args), args)) {
  ATTENTION_BEGIN
  SHARED(shared);
  u32 k_tile = shared_address(shared), v_tile = k_tile + OWN_TILE, q_tiles = v_tile + OWN_TILE;
  u32 g_tiles = q_tiles + STAGES * TILE, known = g_tiles + STAGES * TILE; /* a stage of it: lse and delta of OTHER */
  u32 full = known + STAGES * OTHER * 8, empty = full + STAGES * 8;
  LAID_OUT(2 * OWN_TILE + 2 * STAGES * TILE + STAGES * (OTHER * 8 + 16), 2 * OWN * STAGED);
  int t = (int)threadIdx.x, warpgroup = t >> 7;
  i32 T = (i32)ATTENTION_HOLE(_T)(args), S = (i32)ATTENTION_HOLE(_S)(args), key_tiles = (S - 1) / OWN + 1;
  i32 outer = (i32)blockIdx.x / key_tiles, key0 = (i32)blockIdx.x % key_tiles * OWN; /* longest first */
  i32 begin = ATTENTION_HOLE(_begin)(args, key0, T), tiles = (T - 1) / OTHER + 1 - begin;
  ATTENTION_HOLE(_barriers)(full, empty);

  if (warpgroup == 0) {
    setmaxnreg_dec(40);
    if (tiles > 0) { /* with the first tile of queries */
      ATTENTION_HOLE(_load_k)(args, outer, k_tile, key0, S);
      if (OF_K) ATTENTION_HOLE(_load_v)(args, outer, v_tile, key0, S);
    }
    for (i32 tile = 0; tile < tiles; tile++) {
      u32 stage = (u32)tile % STAGES;
      i32 row0 = (begin + tile) * OTHER;
      float x = ATTENTION_HOLE(_known)(args, outer, row0, T, t);
      mbarrier_wait(empty + stage * 8, ((u32)tile / STAGES & 1) ^ 1);
      if (t < OTHER * 2) st_shared_f32(known + stage * OTHER * 8 + (u32)t * 4, x);
      ATTENTION_HOLE(_load_q)(args, outer, q_tiles + stage * TILE, row0, T);
      ATTENTION_HOLE(_load_g)(args, outer, g_tiles + stage * TILE, row0, T);
      cp_async_commit();
      if (tile == 0) continue;
      cp_async_wait(1);
      fence_proxy_async();
      mbarrier_arrive(full + (u32)(tile - 1) % STAGES * 8);
    }
    cp_async_wait(0);
    fence_proxy_async();
    if (tiles > 0) mbarrier_arrive(full + (u32)(tiles - 1) % STAGES * 8);
    return;
  }

  setmaxnreg_inc(232);
  int half = warpgroup - 1, lane = t & 31, first = half * 64 + (t & 127) / 32 * 16; /* key of the warp */
  bool leads = (t & 127) == 0;
  i32 at = key0 + first + (lane >> 2);
#ifdef ATTENTION_SCORE
  i32 key[2] = {at < S ? at : S - 1, at + 8 < S ? at + 8 : S - 1}; /* the last one for those behind it */
#endif
  float scale = ATTENTION_SCALE, s[OTHER / 2], dp[OTHER / 2] = {0}, dk[D / 2], dv[D / 2];
  u32 p[OTHER / 4], slope[OTHER / 4];
  UNROLL (i, D / 2) dk[i] = dv[i] = 0;
  i32 hidden = ATTENTION_HOLE(_hidden)(args, key0 + half * 64, begin * OTHER, T, OTHER, tiles);
  for (i32 tile = 0; tile < hidden; tile++) ATTENTION_HOLE(_leave_out)(full, empty, tile);
  for (i32 tile = hidden; tile < tiles; tile++) {
    u32 stage = (u32)tile % STAGES, q_tile = q_tiles + stage * TILE, g_tile = g_tiles + stage * TILE;
    i32 row0 = (begin + tile) * OTHER + (lane & 3) * 2;
    bool whole =
        (begin + tile + 1) * OTHER <= T && (i32)ATTENTION_HOLE(_seen)(args, (begin + tile) * OTHER) >= key0 + OWN;
    mbarrier_wait(full + stage * 8, (u32)tile / STAGES & 1);
    ATTENTION_HOLE(_issue_dot)(s, k_tile + (u32)half * 64 * 128, q_tile);
    if (OF_K) ATTENTION_HOLE(_issue_dot)(dp, v_tile + (u32)half * 64 * 128, g_tile);
#ifdef ATTENTION_SCORE
    wgmma_wait(0);
    wgmma_hold(s, OTHER / 2);
    wgmma_hold(dp, OTHER / 2);
    ATTENTION_HOLE(_work_out_tile)(args, outer, key, (begin + tile) * OTHER, T, s, dp);
#else
    u32 beside = known + stage * OTHER * 8 + (u32)(lane & 3) * 16;
    if (OF_K)
      wgmma_wait(1);
    else
      wgmma_wait(0);
    wgmma_hold(s, OTHER / 2);
    UNROLL (i, OTHER / 8) {
      Vec4 pair = ld_shared_v4(beside + (u32)i * 64);
      UNROLL (q, 4)
        s[i * 4 + q] = ex2_approx(fmaf(s[i * 4 + q], scale * LOG2_E, -__uint_as_float(q & 1 ? pair.z : pair.x)));
    }
    wgmma_wait(0);
    wgmma_hold(dp, OTHER / 2);
    UNROLL (i, OTHER / 8) {
      Vec4 pair = ld_shared_v4(beside + (u32)i * 64);
      UNROLL (q, 4) dp[i * 4 + q] = s[i * 4 + q] * (dp[i * 4 + q] - __uint_as_float(q & 1 ? pair.w : pair.y));
    }
#endif
    if (!whole)
      UNROLL (i, OTHER / 4) {
        i32 row = row0 + i / 2 * 8 + i % 2, seen = row < T ? (i32)ATTENTION_HOLE(_seen)(args, row) : 0;
        UNROLL (h, 2)
          if (at + h * 8 >= seen) s[i / 2 * 4 + h * 2 + i % 2] = dp[i / 2 * 4 + h * 2 + i % 2] = 0;
      }
    UNROLL (i, OTHER / 4)
      p[i] = ATTENTION_PACK(s[2 * i], s[2 * i + 1]), slope[i] = ATTENTION_PACK(dp[2 * i], dp[2 * i + 1]);
    if (OF_V) ATTENTION_HOLE(_issue_add)(dv, p, g_tile);
    if (OF_K) ATTENTION_HOLE(_issue_add)(dk, slope, q_tile);
    wgmma_wait(0);
    wgmma_hold(dk, D / 2);
    wgmma_hold(dv, D / 2);
    if (leads) mbarrier_arrive(empty + stage * 8);
  }

  u32 staged = k_tile + (u32)(first / 16) * 32 * STAGED; /* of the warp */
  bar_sync(1, 2 * OWN);                                  /* nobody reads tiles any more */
  if (OF_K) ATTENTION_HOLE(_stage)(staged, dk, scale);
  if (OF_V) ATTENTION_HOLE(_stage)(staged + 16 * STAGED, dv, 1);
  __syncwarp();
  ATTENTION_HOLE(_leave)(args, outer, key0 + first, S, staged);
}

#include "attention_grad_end.h"
