/* c[M][N] = relu(a[M][K] b[N][K]^T + bias[N]) on sm_90a: one warpgroup brings tiles by TMA into a ring of stages, two
 * multiply them by wgmma, 64 rows each, and write them by TMA; blocks go on to further tiles. Rows of all three
 * matrices lie at multiples of 16 bytes. Maps: boxes of 64 columns (128 bytes, so swizzled) by 128 rows of a, BN of b,
 * 64 of c. Grid: any number of blocks. Block: 384. Shared memory: SHARED_BYTES. */
#include "vocabulary.h"
#ifndef BN
#define BN 128
#endif
enum {
  BM = 128,
  BK = 64,
  STAGES = BN > 128 ? 3 : 4,
  ROW = BK * 2,
  A_TILE = BM * ROW,
  B_TILE = BN * ROW,
  C_TILE = BM * BN * 2,
  C_BOX = 64 * 128, /* bytes: 64 rows of 64 columns */
  SHARED_BYTES = STAGES * (A_TILE + B_TILE) + C_TILE + 2 * STAGES * 8
};

KERNEL(gemm_sm90, 384, 1, (TENSOR_MAP, a_map), (TENSOR_MAP, b_map), (TENSOR_MAP, c_map), (const float *, bias),
       (i32, M), (i32, N), (i32, K)) {
  SHARED(shared);
  u32 a_ring = shared_address(shared), b_ring = a_ring + STAGES * A_TILE, c_tile = b_ring + STAGES * B_TILE;
  u32 full = c_tile + C_TILE, empty = full + STAGES * 8; /* a barrier a stage */
  int t = (int)threadIdx.x, warpgroup = t >> 7;
  i32 steps = (K + BK - 1) / BK, tiles_m = (M + BM - 1) / BM, tiles = tiles_m * ((N + BN - 1) / BN);
  if (t == 0) {
    for (int s = 0; s < STAGES; s++) {
      mbarrier_init(full + s * 8, 1);
      mbarrier_init(empty + s * 8, 2);
    }
    fence_mbarrier_init();
  }
  __syncthreads();

  if (warpgroup == 0) {
    setmaxnreg_dec(40);
    if (t == 0) {
      u32 stage = 0, parity = 1; /* fresh barriers count as having ended their phase 1 */
      for (i32 tile = (i32)blockIdx.x; tile < tiles; tile += (i32)gridDim.x)
        for (i32 step = 0; step < steps; step++) {
          mbarrier_wait(empty + stage * 8, parity);
          mbarrier_arrive_expect_tx(full + stage * 8, A_TILE + B_TILE);
          tma_load_2d(a_ring + stage * A_TILE, &a_map, full + stage * 8, step * BK, tile % tiles_m * BM);
          tma_load_2d(b_ring + stage * B_TILE, &b_map, full + stage * 8, step * BK, tile / tiles_m * BN);
          if (++stage == STAGES) stage = 0, parity ^= 1;
        }
    }
    return;
  }

  setmaxnreg_inc(232);
  int half = warpgroup - 1, lane = t & 31, row = (t & 127) / 32 * 16 + (lane >> 2);
  bool leads = (t & 127) == 0;
  u32 stage = 0, parity = 0, c_half = c_tile + half * (C_TILE / 2);
  float d[BN / 2];
  for (i32 tile = (i32)blockIdx.x; tile < tiles; tile += (i32)gridDim.x) {
    i32 m0 = tile % tiles_m * BM + half * 64, n0 = tile / tiles_m * BN;
    UNROLL (i, BN / 2) d[i] = 0;
    for (i32 step = 0; step < steps; step++) {
      mbarrier_wait(full + stage * 8, parity);
      u32 a_tile = a_ring + stage * A_TILE + half * 64 * ROW, b_tile = b_ring + stage * B_TILE;
      wgmma_fence();
      UNROLL (k, BK / 16) wgmma_bf16(BN, d, wgmma_k_major(a_tile + k * 32), wgmma_k_major(b_tile + k * 32), 1, 0, 0);
      wgmma_commit();
      wgmma_wait(0);
      wgmma_hold(d, BN / 2);
      if (leads) mbarrier_arrive(empty + stage * 8);
      if (++stage == STAGES) stage = 0, parity ^= 1;
    }

    if (leads) bulk_wait_read(0); /* the tile before has left */
    bar_sync(1 + half, 128);
    UNROLL (i, BN / 8) {
      int column = i * 8 + (lane & 3) * 2;
      float low = n0 + column < N ? bias[n0 + column] : 0, high = n0 + column + 1 < N ? bias[n0 + column + 1] : 0;
      UNROLL (h, 2) { /* boxes of 64 columns, swizzled as the map says */
        u32 line = (u32)(row + h * 8), chunk = (u32)(i & 7) ^ (line & 7);
        st_shared_u32(c_half + i / 8 * C_BOX + line * 128 + chunk * 16 + (lane & 3) * 4,
                      pack_bf16(fmaxf(d[i * 4 + h * 2] + low, 0), fmaxf(d[i * 4 + h * 2 + 1] + high, 0)));
      }
    }
    fence_proxy_async();
    bar_sync(1 + half, 128);
    if (leads) {
      UNROLL (box, BN / 64) tma_store_2d(&c_map, c_half + box * C_BOX, n0 + box * 64, m0);
      bulk_commit();
    }
  }
  if (leads) bulk_wait_read(0); /* shared memory ends with the block */
}
