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

/* A tile that none of the warpgroup's rows has to do with. */
DEVICE void ATTENTION_HOLE(_leave_out)(u32 full, u32 empty, i32 tile) {
  u32 stage = (u32)tile % STAGES;
  if ((threadIdx.x & 127) != 0) return;
  mbarrier_wait(full + stage * 8, (u32)tile / STAGES & 1);
  mbarrier_arrive(empty + stage * 8);
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

#ifdef ATTENTION_SCORE
/* A tile's, from row other0 of n on, with the two own rows of a thread. Where it reaches beyond n it is done one by
 * one: with every row's place held back registers would not suffice. */
DEVICE void ATTENTION_HOLE(_work_out_tile)(ATTENTION_HOLE(_args) args, i32 outer, const i32 *own, i32 other0, i32 n,
                                           float *x, float *dp) {
  i32 first = other0 + ((int)threadIdx.x & 3) * 2;
  if (other0 + OTHER <= n) {
    UNROLL (i, OTHER / 2)
      ATTENTION_HOLE(_work_out)(args, outer, own[i / 2 & 1], first + i / 4 * 8 + (i & 1), x + i, dp + i);
    return;
  }
  ROLLED for (int at = 0; at < OTHER / 2; at++) {
    i32 other = first + at / 4 * 8 + (at & 1);
    float y = 0, z = 0;
    UNROLL (i, OTHER / 2)
      if (i == at) y = x[i], z = dp[i];
    ATTENTION_HOLE(_work_out)(args, outer, at & 2 ? own[1] : own[0], other < n ? other : n - 1, &y, &z);
    UNROLL (i, OTHER / 2)
      if (i == at) x[i] = y, dp[i] = z;
  }
}
#endif
