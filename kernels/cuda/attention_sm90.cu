/* attention_sm80.cu's function for head dimension 128 on sm_90a: one warpgroup brings tiles by TMA, two of 64 query
 * rows each compute. The scores of the next tile are issued before the product of this one's probabilities with v, so
 * that the tensor cores work during the softmax. Maps of q, k and v: [heads][positions][128] in boxes of 1, 128, 64
 * (128 bytes, so swizzled): a tile of 128 x 128 is two boxes. Grid: (positions / 128 rounded up, heads). Block: 384.
 * Shared memory: SHARED_BYTES. */
#include "vocabulary.h"
enum {
  D = 128,
  ROWS = 128, /* of a tile: of queries, of keys */
  STAGES = 2,
  TILE = ROWS * D * 2,
  BOX = TILE / 2, /* bytes of 64 columns */
  SHARED_BYTES = (1 + 2 * STAGES) * TILE + (1 + 4 * STAGES) * 8
};
#define LOG2_E 1.4426950408889634f
#define LN_2   0.6931471805599453f
#define MASKED -1e30f

DEVICE void load_tile(u32 to, const TensorMap *map, u32 barrier, i32 row, i32 head) {
  mbarrier_arrive_expect_tx(barrier, TILE);
  tma_load_3d(to, map, barrier, 0, row, head);
  tma_load_3d(to + BOX, map, barrier, 64, row, head);
}

/* s = q k^T, 64 rows by 128 keys */
DEVICE void issue_scores(float *s, u32 q_rows, u32 k_tile) {
  UNROLL (i, D / 16)
    wgmma_bf16(128, s, wgmma_k_major(q_rows + i / 4 * BOX + i % 4 * 32),
               wgmma_k_major(k_tile + i / 4 * BOX + i % 4 * 32), i > 0, 0, 0);
  wgmma_commit();
}

/* o += p v; lines of v are keys, so the operand is mn-major */
DEVICE void issue_values(float *o, const u32 *p, u32 v_tile) {
  UNROLL (i, ROWS / 16) wgmma_regs_bf16(128, o, p + i * 4, wgmma_mn_major(v_tile + i * 2048, BOX), 1, 1);
  wgmma_commit();
}

/* As in attention_sm80.cu; what older sums must be multiplied with goes to shrink. */
DEVICE void online_softmax(float *s, float *most, float *sum, float *shrink, float base2) {
  UNROLL (h, 2) {
    float m = most[h], part = 0;
    UNROLL (i, 32) m = fmaxf(m, s[i / 2 * 4 + h * 2 + i % 2]);
    m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, 1));
    m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, 2));
    shrink[h] = ex2_approx((most[h] - m) * base2);
    most[h] = m;
    UNROLL (i, 32) {
      float *x = &s[i / 2 * 4 + h * 2 + i % 2];
      *x = ex2_approx(*x * base2 - m * base2);
      part += *x;
    }
    sum[h] = sum[h] * shrink[h] + part;
  }
}

DEVICE void mask(float *s, i32 row0, i32 key0, i32 positions, i32 causal) {
  UNROLL (i, 64) {
    i32 row = row0 + (i / 2 & 1) * 8, key = key0 + i / 4 * 8 + (i & 1);
    if (key >= positions || (causal && key > row)) s[i] = MASKED;
  }
}

KERNEL(attention_sm90, 384, 1, (TENSOR_MAP, q_map), (TENSOR_MAP, k_map), (TENSOR_MAP, v_map), (bf16 *, out),
       (float *, lse), (i32, positions), (float, scale), (i32, causal)) {
  SHARED(shared);
  u32 q_tile = shared_address(shared), k_tiles = q_tile + TILE, v_tiles = k_tiles + STAGES * TILE;
  u32 q_full = v_tiles + STAGES * TILE, k_full = q_full + 8, k_empty = k_full + STAGES * 8;
  u32 v_full = k_empty + STAGES * 8, v_empty = v_full + STAGES * 8;
  int t = (int)threadIdx.x, warpgroup = t >> 7;
  i32 q0 = (i32)blockIdx.x * ROWS, head = (i32)blockIdx.y,
      keys = causal && q0 + ROWS < positions ? q0 + ROWS : positions;
  i32 tiles = (keys + ROWS - 1) / ROWS;
  if (t == 0) {
    mbarrier_init(q_full, 1);
    for (u32 s = 0; s < STAGES; s++) {
      mbarrier_init(k_full + s * 8, 1);
      mbarrier_init(v_full + s * 8, 1);
      mbarrier_init(k_empty + s * 8, 2);
      mbarrier_init(v_empty + s * 8, 2);
    }
    fence_mbarrier_init();
  }
  __syncthreads();

  if (warpgroup == 0) {
    setmaxnreg_dec(24);
    if (t == 0) {
      load_tile(q_tile, &q_map, q_full, q0, head);
      for (i32 tile = 0; tile < tiles; tile++) {
        u32 stage = (u32)tile % STAGES, parity = ((u32)tile / STAGES & 1) ^ 1;
        mbarrier_wait(k_empty + stage * 8, parity);
        load_tile(k_tiles + stage * TILE, &k_map, k_full + stage * 8, tile * ROWS, head);
        mbarrier_wait(v_empty + stage * 8, parity);
        load_tile(v_tiles + stage * TILE, &v_map, v_full + stage * 8, tile * ROWS, head);
      }
    }
    return;
  }

  setmaxnreg_inc(240);
  int half = warpgroup - 1, lane = t & 31;
  bool leads = (t & 127) == 0;
  i32 row0 = q0 + half * 64 + (t & 127) / 32 * 16 + (lane >> 2), column0 = (lane & 3) * 2;
  u32 q_rows = q_tile + (u32)half * 64 * 128;
  float s[64], o[64], most[2] = {MASKED, MASKED}, sum[2] = {0, 0}, shrink[2], base2 = scale * LOG2_E;
  u32 p[32];
  UNROLL (i, 64) o[i] = 0;
  mbarrier_wait(q_full, 0);
  mbarrier_wait(k_full, 0);
  wgmma_fence();
  issue_scores(s, q_rows, k_tiles);
  wgmma_wait(0);
  wgmma_hold(s, 64);
  if (leads) mbarrier_arrive(k_empty);
  if (tiles == 1) mask(s, row0, column0, positions, causal);
  online_softmax(s, most, sum, shrink, base2);
  UNROLL (i, 32) p[i] = pack_bf16(s[2 * i], s[2 * i + 1]);

  for (i32 tile = 1; tile < tiles; tile++) {
    u32 stage = (u32)tile % STAGES, last = (u32)(tile - 1) % STAGES; /* of these keys, of those of p */
    mbarrier_wait(k_full + stage * 8, (u32)tile / STAGES & 1);
    wgmma_fence();
    issue_scores(s, q_rows, k_tiles + stage * TILE);
    mbarrier_wait(v_full + last * 8, (u32)(tile - 1) / STAGES & 1);
    wgmma_fence(); /* for o and p; ptxas does not see that the one above served */
    issue_values(o, p, v_tiles + last * TILE);
    wgmma_wait(1);
    wgmma_hold(s, 64);
    if (leads) mbarrier_arrive(k_empty + stage * 8);
    if (tile == tiles - 1) mask(s, row0, tile * ROWS + column0, positions, causal);
    online_softmax(s, most, sum, shrink, base2);
    wgmma_wait(0);
    wgmma_hold(o, 64);
    if (leads) mbarrier_arrive(v_empty + last * 8);
    UNROLL (i, 64) o[i] *= shrink[i / 2 & 1];
    UNROLL (i, 32) p[i] = pack_bf16(s[2 * i], s[2 * i + 1]);
  }
  u32 last = (u32)(tiles - 1) % STAGES;
  mbarrier_wait(v_full + last * 8, (u32)(tiles - 1) / STAGES & 1);
  wgmma_fence();
  issue_values(o, p, v_tiles + last * TILE);
  wgmma_wait(0);
  wgmma_hold(o, 64);

  UNROLL (h, 2) {
    float all = sum[h];
    all += __shfl_xor_sync(ALL_LANES, all, 1);
    all += __shfl_xor_sync(ALL_LANES, all, 2);
    float inverse = rcp_approx(all);
    i64 row = (i64)head * positions + row0 + h * 8;
    if (row0 + h * 8 < positions) {
      if ((lane & 3) == 0) lse[row] = (most[h] * base2 + lg2_approx(all)) * LN_2;
      UNROLL (i, 16)
        *(u32 *)(out + row * D + i * 8 + column0) =
            pack_bf16(o[i * 4 + h * 2] * inverse, o[i * 4 + h * 2 + 1] * inverse);
    }
  }
}
