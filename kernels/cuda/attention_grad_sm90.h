/* What the skeletons of attention's backward on sm_90a share, behind attention_grad_holes.h: OWN rows of a block, tiles
 * of OTHER rows that it walks over, and the two kinds of products of a warpgroup, for 64 of its own, with a tile. Tiles
 * lie in boxes of 64 columns, lines of 128 bytes that are swizzled as wgmma wants them. */
#define OWN      128
#define OWN_TILE (OWN * D * 2) /* bytes */
#define TILE     (OTHER * D * 2)

/* Rows of an operand; what lies behind the last one is zero. */
#define LOAD_TILE(what, n)                                                                                             \
  DEVICE void ATTENTION_HOLE(_load##what)(ATTENTION_HOLE(_args) args, i32 outer, u32 tile, i32 row0, i32 rows) {       \
    ROLLED for (int c = (int)threadIdx.x; c < (n) * (D / 8); c += 128) {                                               \
      int r = c / (D / 8), q = c % (D / 8);                                                                            \
      bool inside = row0 + r < rows;                                                                                   \
      const void *from = ATTENTION_HOLE(what##_at)(args, outer, inside ? row0 + r : rows - 1, q * 8);                  \
      cp_async_16(tile + (u32)(q / 8 * (n) * 128 + r * 128 + ((q ^ r) & 7) * 16), from, inside ? 16 : 0);              \
    }                                                                                                                  \
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
