/* What the skeletons of attention's backward on sm_90a share, behind attention_grad_holes.h: the barriers of tiles that
 * come and go, and the two kinds of products of a warpgroup, for 64 rows of the block's own, with a tile. */
#define BRINGERS (THREADS - 2 * OWN) /* threads that bring tiles */
LOAD_TILE(_q, OF_QUERIES, BRINGERS, ATTENTION_BOX_AT(OF_QUERIES, tile, r, q))
LOAD_TILE(_g, OF_QUERIES, BRINGERS, ATTENTION_BOX_AT(OF_QUERIES, tile, r, q))
LOAD_TILE(_k, OF_KEYS, BRINGERS, ATTENTION_BOX_AT(OF_KEYS, tile, r, q))
LOAD_TILE(_v, OF_KEYS, BRINGERS, ATTENTION_BOX_AT(OF_KEYS, tile, r, q))

/* Of each stage: it is full, it is empty. */
DEVICE void ATTENTION_HOLE(_barriers)(u32 full, u32 empty) {
  if (threadIdx.x == 0) {
    for (u32 s = 0; s < STAGES; s++) {
      mbarrier_init(full + s * 8, BRINGERS);
      mbarrier_init(empty + s * 8, OWN / 64);
    }
    fence_mbarrier_init();
  }
  __syncthreads();
}

/* x = a b^T: 64 of the block's own rows, and a tile */
DEVICE void ATTENTION_HOLE(_issue_dot)(float *x, u32 a, u32 b) {
  wgmma_fence();
  UNROLL (i, D / 16)
    ATTENTION_WGMMA(OTHER, x, wgmma_k_major(a + i / 4 * OWN * 128 + i % 4 * 32),
                    wgmma_k_major(b + i / 4 * OTHER * 128 + i % 4 * 32), i > 0, 0, 0);
  wgmma_commit();
}

/* sum += x b, with a tile; its lines are terms of the sums, so the operand is mn-major */
DEVICE void ATTENTION_HOLE(_issue_add)(float *sum, const u32 *x, u32 b) {
  wgmma_fence();
  UNROLL (i, OTHER / 16) ATTENTION_WGMMA_REGS(D, sum, x + i * 4, wgmma_mn_major(b + i * 2048, OTHER * 128), 1, 1);
  wgmma_commit();
}
