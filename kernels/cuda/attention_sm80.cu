/* out[h][i] = sum over j of softmax_j(scale * q[h][i] . k[h][j]) v[h][j], head dimension 64, on sm_80: online softmax
 * over tiles of 64 keys, which cp.async brings into two stages; q and the probabilities stay in registers. causal: j <=
 * i. lse[h][i]: the logarithm of the sum, for the backward. All tensors [heads][positions][64]. Grid: (positions / 64
 * rounded up, heads). Block: 128. Shared memory: 40960 bytes. */
#include "vocabulary.h"
enum { D = 64, TILE = 64 * 128, THREADS = 128 }; /* TILE: bytes of 64 rows of D elements */
#define LOG2_E 1.4426950408889634f
#define LN_2   0.6931471805599453f
#define MASKED -1e30f

DEVICE u32 swizzled(u32 tile, int row, int q) { return tile + (u32)(row * 128 + ((q ^ (row & 7)) << 4)); }

DEVICE void load_tile(u32 tile, const bf16 *head, i32 row0, i32 positions) {
  UNROLL (i, 64 * 8 / THREADS) {
    int c = i * THREADS + (int)threadIdx.x, r = c >> 3, q = c & 7;
    bool inside = row0 + r < positions;
    cp_async_16(swizzled(tile, r, q), inside ? head + (i64)(row0 + r) * D + q * 8 : head, inside ? 16 : 0);
  }
}

/* One tile's scores become exp2(scores - most); the running maximum and sum of a lane's two rows (of the quad's, for
 * the maximum) go on; older results are scaled down. */
DEVICE void online_softmax(float (*s)[4], float (*o)[4], float *most, float *sum, float base2) {
  UNROLL (h, 2) {
    float m = most[h], part = 0;
    UNROLL (i, 8) m = fmaxf(m, fmaxf(s[i][h * 2], s[i][h * 2 + 1]));
    m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, 1));
    m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, 2));
    float shrink = ex2_approx((most[h] - m) * base2);
    most[h] = m;
    UNROLL (i, 8)
      UNROLL (q, 2) {
        float *x = &s[i][h * 2 + q];
        *x = ex2_approx(*x * base2 - m * base2);
        part += *x;
        o[i][h * 2 + q] *= shrink;
      }
    sum[h] = sum[h] * shrink + part;
  }
}

KERNEL(attention_sm80, 128, 1, (bf16 *, out), (float *, lse), (const bf16 *, q), (const bf16 *, k), (const bf16 *, v),
       (i32, positions), (float, scale), (i32, causal)) {
  SHARED(shared);
  u32 q_tile = shared_address(shared), k_tiles = q_tile + TILE, v_tiles = k_tiles + 2 * TILE;
  int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x >> 5;
  i32 q0 = (i32)blockIdx.x * 64, row0 = q0 + warp * 16 + (lane >> 2);
  i64 head = (i64)blockIdx.y * positions * D;
  i32 keys = causal ? q0 + 64 < positions ? q0 + 64 : positions : positions, tiles = (keys + 63) / 64;
  float o[8][4], most[2] = {MASKED, MASKED}, sum[2] = {0, 0}, base2 = scale * LOG2_E;
  u32 fq[4][4];
  UNROLL (i, 8)
    UNROLL (j, 4) o[i][j] = 0;

  load_tile(q_tile, q + head, q0, positions);
  load_tile(k_tiles, k + head, 0, positions);
  load_tile(v_tiles, v + head, 0, positions);
  cp_async_commit();
  for (i32 tile = 0; tile < tiles; tile++) {
    u32 k_tile = k_tiles + (u32)(tile & 1) * TILE, v_tile = v_tiles + (u32)(tile & 1) * TILE;
    cp_async_wait(0);
    __syncthreads(); /* this tile is there for all, and all are done with the other stage */
    if (tile + 1 < tiles) {
      u32 next = (u32)((tile + 1) & 1) * TILE;
      load_tile(k_tiles + next, k + head, (tile + 1) * 64, positions);
      load_tile(v_tiles + next, v + head, (tile + 1) * 64, positions);
    }
    cp_async_commit();
    if (tile == 0)
      UNROLL (i, 4) ldmatrix_x4(fq[i], swizzled(q_tile, warp * 16 + (lane & 15), i * 2 + (lane >> 4)));

    float s[8][4];
    UNROLL (i, 8)
      UNROLL (j, 4) s[i][j] = 0;
    UNROLL (i, 4)
      UNROLL (j, 4) {
        u32 fk[4];
        ldmatrix_x4(fk, swizzled(k_tile, j * 16 + (lane & 7) + (lane >> 4) * 8, i * 2 + (lane >> 3 & 1)));
        mma_m16n8k16_bf16(s[2 * j], fq[i], fk);
        mma_m16n8k16_bf16(s[2 * j + 1], fq[i], fk + 2);
      }
    if (tile == tiles - 1) {
      UNROLL (i, 8)
        UNROLL (j, 4) {
          i32 row = row0 + (j >> 1) * 8, key = tile * 64 + i * 8 + (lane & 3) * 2 + (j & 1);
          if (key >= positions || (causal && key > row)) s[i][j] = MASKED;
        }
    }
    online_softmax(s, o, most, sum, base2);
    UNROLL (i, 4) { /* accumulators of two tiles of 8 keys are the A fragment of 16 */
      u32 p[4] = {pack_bf16(s[2 * i][0], s[2 * i][1]), pack_bf16(s[2 * i][2], s[2 * i][3]),
                  pack_bf16(s[2 * i + 1][0], s[2 * i + 1][1]), pack_bf16(s[2 * i + 1][2], s[2 * i + 1][3])};
      UNROLL (j, 4) {
        u32 fv[4];
        ldmatrix_x4_trans(fv, swizzled(v_tile, i * 16 + (lane & 15), j * 2 + (lane >> 4)));
        mma_m16n8k16_bf16(o[2 * j], p, fv);
        mma_m16n8k16_bf16(o[2 * j + 1], p, fv + 2);
      }
    }
  }

  UNROLL (h, 2) {
    float all = sum[h];
    all += __shfl_xor_sync(ALL_LANES, all, 1);
    all += __shfl_xor_sync(ALL_LANES, all, 2);
    float inverse = rcp_approx(all);
    i32 row = row0 + h * 8;
    if (row < positions) {
      if ((lane & 3) == 0) lse[(i64)blockIdx.y * positions + row] = (most[h] * base2 + lg2_approx(all)) * LN_2;
      UNROLL (i, 8)
        *(u32 *)(out + head + (i64)row * D + i * 8 + (lane & 3) * 2) =
            pack_bf16(o[i][h * 2] * inverse, o[i][h * 2 + 1] * inverse);
    }
  }
}
