/* Attention forward on sm_90a, with the holes of attention_holes.h: one warpgroup brings tiles by cp.async, two of 64
 * query rows each compute. The scores of the next tile are issued before the product of this one's probabilities with
 * v, so that the tensor cores work during the softmax. OWN is 128; sums, results and probabilities of 128 keys leave no
 * registers for scores that are worked out, so OTHER is then 64. ATTENTION_D is 64 or 128. Grid: heads times (T / OWN,
 * rounded up). */
#include "attention_holes.h"

#ifndef ATTENTION_NAME
#define ATTENTION_NAME attention_sm90
#define ATTENTION_D    128
#define ATTENTION_TILE 128, 128, 2, 384, 163912
#include "attention_alone.h"
#endif

#include "attention_tile.h"
#define BRINGERS  (THREADS - 2 * OWN) /* threads that bring tiles */
#define BOX(rows) ((rows) * 128)      /* bytes of 64 columns */
LOAD_TILE(_q, OWN, BRINGERS, ATTENTION_BOX_AT(OWN, tile, r, q))
LOAD_TILE(_k, OTHER, BRINGERS, ATTENTION_BOX_AT(OTHER, tile, r, q))
LOAD_TILE(_v, OTHER, BRINGERS, ATTENTION_BOX_AT(OTHER, tile, r, q))

/* s = q k^T, of 64 rows */
DEVICE void ATTENTION_HOLE(_issue_scores)(float *s, u32 q_rows, u32 k_tile) {
  UNROLL (i, D / 16)
    ATTENTION_WGMMA(OTHER, s, wgmma_k_major(q_rows + i / 4 * BOX(OWN) + i % 4 * 32),
                    wgmma_k_major(k_tile + i / 4 * BOX(OTHER) + i % 4 * 32), i > 0, 0, 0);
  wgmma_commit();
}

/* o += p v; lines of v are keys, so the operand is mn-major */
DEVICE void ATTENTION_HOLE(_issue_values)(float *o, const u32 *p, u32 v_tile) {
  UNROLL (i, OTHER / 16) ATTENTION_WGMMA_REGS(D, o, p + i * 4, wgmma_mn_major(v_tile + i * 2048, BOX(OTHER)), 1, 1);
  wgmma_commit();
}

/* As in attention_sm80.cu; what older sums must be multiplied with goes to shrink. */
DEVICE void ATTENTION_HOLE(_softmax)(float *s, float *most, float *sum, float *shrink, float base2) {
  UNROLL (h, 2) {
    float m = most[h], part = 0;
    UNROLL (i, OTHER / 4) m = fmaxf(m, s[i / 2 * 4 + h * 2 + i % 2]);
    m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, 1));
    m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, 2));
    float shift = m == -INFINITE ? 0 : m * base2;
    shrink[h] = ex2_approx(fmaf(most[h], base2, -shift));
    most[h] = m;
    UNROLL (i, OTHER / 4) {
      float *x = &s[i / 2 * 4 + h * 2 + i % 2];
      *x = ex2_approx(fmaf(*x, base2, -shift));
      part += *x;
    }
    sum[h] = fmaf(sum[h], shrink[h], part);
  }
}

#include "attention_scores.h"

ATTENTION_KERNEL(ATTENTION_NAME, THREADS, 1, (ATTENTION_HOLE(_args), args)) {
  ATTENTION_BEGIN
  SHARED(shared);
  u32 q_tile = shared_address(shared), k_tiles = q_tile + OWN_TILE, v_tiles = k_tiles + STAGES * TILE;
  u32 q_full = v_tiles + STAGES * TILE, k_full = q_full + 8, k_empty = k_full + STAGES * 8;
  u32 v_full = k_empty + STAGES * 8, v_empty = v_full + STAGES * 8;
  LAID_OUT(OWN_TILE + 2 * STAGES * TILE + 8 + 4 * STAGES * 8, OWN * STAGED);
  int t = (int)threadIdx.x, warpgroup = t >> 7;
  i32 T = (i32)ATTENTION_HOLE(_T)(args), S = (i32)ATTENTION_HOLE(_S)(args), row_tiles = (T - 1) / OWN + 1;
  i32 outer = (i32)blockIdx.x / row_tiles, q0 = (row_tiles - 1 - (i32)blockIdx.x % row_tiles) * OWN;
  i32 last_row = q0 + OWN < T ? q0 + OWN - 1 : T - 1;
  i32 keys = (i32)ATTENTION_HOLE(_seen)(args, last_row), whole = (i32)ATTENTION_HOLE(_seen)(args, q0);
  i32 tiles = keys > OTHER ? (keys + OTHER - 1) / OTHER : 1; /* of rows that see nothing one, which hides all */
  if (t == 0) {
    mbarrier_init(q_full, BRINGERS);
    for (u32 s = 0; s < STAGES; s++) {
      mbarrier_init(k_full + s * 8, BRINGERS);
      mbarrier_init(v_full + s * 8, BRINGERS);
      mbarrier_init(k_empty + s * 8, 2);
      mbarrier_init(v_empty + s * 8, 2);
    }
    fence_mbarrier_init();
  }
  __syncthreads();

  if (warpgroup == 0) {
    setmaxnreg_dec(40);
    u32 landing = q_full; /* whose tile has been issued and is not yet there */
    ATTENTION_HOLE(_load_q)(args, outer, q_tile, q0, T);
    cp_async_commit();
    for (i32 tile = 0; tile < tiles; tile++) {
      u32 stage = (u32)tile % STAGES, parity = ((u32)tile / STAGES & 1) ^ 1;
      mbarrier_wait(k_empty + stage * 8, parity);
      ATTENTION_HOLE(_load_k)(args, outer, k_tiles + stage * TILE, tile * OTHER, S);
      cp_async_commit();
      cp_async_wait(1);
      fence_proxy_async();
      mbarrier_arrive(landing);
      mbarrier_wait(v_empty + stage * 8, parity);
      ATTENTION_HOLE(_load_v)(args, outer, v_tiles + stage * TILE, tile * OTHER, S);
      cp_async_commit();
      cp_async_wait(1);
      fence_proxy_async();
      mbarrier_arrive(k_full + stage * 8);
      landing = v_full + stage * 8;
    }
    cp_async_wait(0);
    fence_proxy_async();
    mbarrier_arrive(landing);
    return;
  }

  setmaxnreg_inc(232);
  int half = warpgroup - 1, lane = t & 31, row_in = (t & 127) / 32 * 16 + (lane >> 2);
  bool leads = (t & 127) == 0;
  i32 row[2], there[2], seen[2]; /* there: the last row for those behind it */
  u32 q_rows = q_tile + (u32)half * 64 * 128;
  float scale = ATTENTION_SCALE, base2 = scale * LOG2_E;
  float s[OTHER / 2], o[D / 2], most[2] = {-INFINITE, -INFINITE}, sum[2] = {0, 0}, shrink[2];
  u32 p[OTHER / 4];
  UNROLL (h, 2) {
    row[h] = q0 + half * 64 + row_in + h * 8;
    there[h] = row[h] < T ? row[h] : T - 1;
    seen[h] = (i32)ATTENTION_HOLE(_seen)(args, there[h]);
  }
  UNROLL (i, D / 2) o[i] = 0;
  mbarrier_wait(q_full, 0);
  mbarrier_wait(k_full, 0);
  wgmma_fence();
  ATTENTION_HOLE(_issue_scores)(s, q_rows, k_tiles);
  wgmma_wait(0);
  wgmma_hold(s, OTHER / 2);
  if (leads) mbarrier_arrive(k_empty);
  ATTENTION_HOLE(_score_tile)(args, outer, s, there, seen, 0, whole, S);
  ATTENTION_HOLE(_softmax)(s, most, sum, shrink, base2);
  UNROLL (i, OTHER / 4) p[i] = ATTENTION_PACK(s[2 * i], s[2 * i + 1]);

  for (i32 tile = 1; tile < tiles; tile++) {
    u32 stage = (u32)tile % STAGES, last = (u32)(tile - 1) % STAGES; /* of these keys, of those of p */
    mbarrier_wait(k_full + stage * 8, (u32)tile / STAGES & 1);
    wgmma_fence();
    ATTENTION_HOLE(_issue_scores)(s, q_rows, k_tiles + stage * TILE);
    mbarrier_wait(v_full + last * 8, (u32)(tile - 1) / STAGES & 1);
    wgmma_fence(); /* for o and p; ptxas does not see that the one above served */
    ATTENTION_HOLE(_issue_values)(o, p, v_tiles + last * TILE);
    wgmma_wait(1);
    wgmma_hold(s, OTHER / 2);
    if (leads) mbarrier_arrive(k_empty + stage * 8);
    ATTENTION_HOLE(_score_tile)(args, outer, s, there, seen, tile * OTHER, whole, S);
    ATTENTION_HOLE(_softmax)(s, most, sum, shrink, base2);
    wgmma_wait(0);
    wgmma_hold(o, D / 2);
    if (leads) mbarrier_arrive(v_empty + last * 8);
    UNROLL (i, D / 2) o[i] *= shrink[i / 2 & 1];
    UNROLL (i, OTHER / 4) p[i] = ATTENTION_PACK(s[2 * i], s[2 * i + 1]);
  }
  u32 last = (u32)(tiles - 1) % STAGES;
  mbarrier_wait(v_full + last * 8, (u32)(tiles - 1) / STAGES & 1);
  wgmma_fence();
  ATTENTION_HOLE(_issue_values)(o, p, v_tiles + last * TILE);
  wgmma_wait(0);
  wgmma_hold(o, D / 2);

  u32 staged = q_tile + (u32)(half * 64 + (t & 127) / 32 * 16) * STAGED; /* 16 rows of the warp */
  bar_sync(1, 2 * OWN);                                                  /* nobody reads tiles any more */
  UNROLL (h, 2) {
    float all = sum[h], times;
    all += __shfl_xor_sync(ALL_LANES, all, 1);
    all += __shfl_xor_sync(ALL_LANES, all, 2);
    times = ATTENTION_HOLE(_scale)(args, outer, there[h], most[h] * scale, all);
    if (row[h] < T && (lane & 3) == 0) ATTENTION_HOLE(_row)(args, outer, row[h], most[h] * scale, all);
    UNROLL (i, D / 8)
      UNROLL (q, 2)
        st_shared_f32(staged + (u32)((h * 8 + (lane >> 2)) * STAGED + (i * 8 + (lane & 3) * 2 + q) * 4),
                      o[i * 4 + h * 2 + q] * times);
  }
  __syncwarp();
  UNROLL (i, 16 * (D / 8) / 32) {
    int c = i * 32 + lane, r = c / (D / 8), n = c % (D / 8) * 8;
    i32 at = q0 + half * 64 + (t & 127) / 32 * 16 + r;
    float v[8];
    attention_staged(staged + (u32)(r * STAGED + n * 4), v);
    UNROLL (part, 8 / ATTENTION_WIDTH)
      if (at < T) ATTENTION_HOLE(_store)(args, outer, at, n + part * ATTENTION_WIDTH, v + part * ATTENTION_WIDTH);
  }
}

#undef BRINGERS
#undef BOX
#include "attention_end.h"
