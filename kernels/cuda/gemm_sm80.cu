/* c[M][N] = relu(a[M][K] b[N][K]^T + bias[N]) on sm_80: tiles of 128 x 128, a ring of stages filled by cp.async,
 * fragments by ldmatrix, products by mma.sync; 8 warps of 64 x 32. K is a multiple of 8, rows lie at multiples of 16
 * bytes. Grid: (N / 128, M / 128), rounded up. Block: 256. Shared memory: 98304 bytes. */
#include "vocabulary.h"
enum {
  BM = 128,
  BN = 128,
  BK = 64,
  STAGES = 3,
  THREADS = 256,
  ROW = BK * 2,
  A_TILE = BM * ROW,
  STAGE = (BM + BN) * ROW
};

/* The chunk of 16 bytes in a row of 128 where column chunk q lies: rows differ, so that neither the 8 rows of a
 * fragment nor the 8 chunks of a copy meet in one bank. */
DEVICE u32 swizzled(u32 tile, int row, int q) { return tile + (u32)(row * ROW + ((q ^ (row & 7)) << 4)); }

/* 128 rows of BK elements; what lies outside of the matrix is zero. */
DEVICE void load_tile(u32 tile, const bf16 *matrix, i32 row0, i32 rows, i32 k0, i32 depth) {
  UNROLL (i, 128 * 8 / THREADS) {
    int c = i * THREADS + (int)threadIdx.x, r = c >> 3, q = c & 7;
    bool inside = row0 + r < rows && k0 + q * 8 < depth;
    const bf16 *from = inside ? matrix + (i64)(row0 + r) * depth + k0 + q * 8 : matrix;
    cp_async_16(swizzled(tile, r, q), from, inside ? 16 : 0);
  }
}

KERNEL(gemm_sm80, 256, 1, (bf16 *, c), (const bf16 *, a), (const bf16 *, b), (const float *, bias), (i32, M), (i32, N),
       (i32, K)) {
  SHARED(shared);
  u32 ring = shared_address(shared);
  int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x >> 5, warp_m = (warp >> 2) * 64, warp_n = (warp & 3) * 32;
  i32 m0 = (i32)blockIdx.y * BM, n0 = (i32)blockIdx.x * BN, steps = (K + BK - 1) / BK;
  float d[4][4][4];
  UNROLL (i, 4)
    UNROLL (j, 4)
      UNROLL (q, 4) d[i][j][q] = 0;

  UNROLL (s, STAGES - 1) {
    if (s < steps) {
      load_tile(ring + s * STAGE, a, m0, M, s * BK, K);
      load_tile(ring + s * STAGE + A_TILE, b, n0, N, s * BK, K);
    }
    cp_async_commit();
  }
  for (int step = 0; step < steps; step++) {
    cp_async_wait(STAGES - 2);
    __syncthreads(); /* this stage is there for all, and all are done with the one before, which is filled next */
    int next = step + STAGES - 1;
    if (next < steps) {
      load_tile(ring + next % STAGES * STAGE, a, m0, M, next * BK, K);
      load_tile(ring + next % STAGES * STAGE + A_TILE, b, n0, N, next * BK, K);
    }
    cp_async_commit();
    u32 a_tile = ring + step % STAGES * STAGE, b_tile = a_tile + A_TILE;
    UNROLL (k, BK / 16) {
      u32 fa[4][4], fb[2][4];
      UNROLL (i, 4) ldmatrix_x4(fa[i], swizzled(a_tile, warp_m + i * 16 + (lane & 15), k * 2 + (lane >> 4)));
      UNROLL (j, 2)
        ldmatrix_x4(fb[j], swizzled(b_tile, warp_n + j * 16 + (lane & 7) + (lane >> 4) * 8, k * 2 + (lane >> 3 & 1)));
      UNROLL (i, 4)
        UNROLL (j, 4) mma_m16n8k16_bf16(d[i][j], fa[i], fb[j >> 1] + (j & 1) * 2);
    }
  }

  UNROLL (j, 4) {
    i32 column = n0 + warp_n + j * 8 + (lane & 3) * 2;
    float low = column < N ? bias[column] : 0, high = column + 1 < N ? bias[column + 1] : 0;
    UNROLL (i, 4)
      UNROLL (h, 2) {
        i32 row = m0 + warp_m + i * 16 + h * 8 + (lane >> 2);
        float x = fmaxf(d[i][j][h * 2] + low, 0), y = fmaxf(d[i][j][h * 2 + 1] + high, 0);
        bf16 *to = c + (i64)row * N + column;
        if (row < M && column + 1 < N && N % 2 == 0) {
          *(u32 *)to = pack_bf16(x, y);
        } else if (row < M) {
          if (column < N) to[0] = f32_to_bf16(x);
          if (column + 1 < N) to[1] = f32_to_bf16(y);
        }
      }
  }
}
