/* Attention forward on sm_80, with the holes of attention_holes.h: online softmax over tiles of 64 keys, which cp.async
 * brings into two stages; q and the probabilities stay in registers, products by mma.sync. A block has OWN rows of
 * queries, a warp 16; tiles of keys that a causal mask hides are left out. ATTENTION_D is 32, 64, 96 or 128. Grid:
 * heads times (T / OWN, rounded up). */
#include "attention_holes.h"

#ifndef ATTENTION_NAME
#define ATTENTION_NAME attention_sm80
#define ATTENTION_D    64
#define ATTENTION_TILE 64, 64, 2, 128, 40960
#include "attention_alone.h"
#endif

#include "attention_tile.h"
#define AT(tile, row, q) ATTENTION_AT(D, tile, row, q)
LOAD_TILE(_q, OWN, THREADS, AT(tile, r, q))
LOAD_TILE(_k, OTHER, THREADS, AT(tile, r, q))
LOAD_TILE(_v, OTHER, THREADS, AT(tile, r, q))

/* One tile's scores become exp2(scores - most); the running maximum and sum of a lane's two rows (of the quad's, for
 * the maximum) go on; older results are scaled down. A row that has seen nothing but -inf keeps distances from 0. */
DEVICE void ATTENTION_HOLE(_softmax)(float (*s)[4], float (*o)[4], float *most, float *sum, float base2) {
  UNROLL (h, 2) {
    float m = most[h], part = 0;
    UNROLL (i, OTHER / 8) m = fmaxf(m, fmaxf(s[i][h * 2], s[i][h * 2 + 1]));
    m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, 1));
    m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, 2));
    float shift = m == -INFINITE ? 0 : m * base2, shrink = ex2_approx(fmaf(most[h], base2, -shift));
    most[h] = m;
    UNROLL (i, OTHER / 8)
      UNROLL (q, 2) {
        float *x = &s[i][h * 2 + q];
        *x = ex2_approx(fmaf(*x, base2, -shift));
        part += *x;
      }
    UNROLL (i, D / 8)
      UNROLL (q, 2) o[i][h * 2 + q] *= shrink;
    sum[h] = fmaf(sum[h], shrink, part);
  }
}

#include "attention_scores.h"

ATTENTION_KERNEL(ATTENTION_NAME, THREADS, 1, (ATTENTION_HOLE(_args), args)) {
  ATTENTION_BEGIN
  SHARED(shared);
  u32 q_tile = shared_address(shared), k_tiles = q_tile + OWN_TILE, v_tiles = k_tiles + STAGES * TILE;
  LAID_OUT(OWN_TILE + 2 * STAGES * TILE, OWN_TILE + OWN * STAGED);
  int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x >> 5;
  i32 T = (i32)ATTENTION_HOLE(_T)(args), S = (i32)ATTENTION_HOLE(_S)(args), row_tiles = (T - 1) / OWN + 1;
  i32 outer = (i32)blockIdx.x / row_tiles, q0 = (row_tiles - 1 - (i32)blockIdx.x % row_tiles) * OWN; /* longest first */
  i32 last = q0 + OWN <= T ? q0 + OWN - 1 : T - 1;
  i32 keys = (i32)ATTENTION_HOLE(_seen)(args, last), whole = (i32)ATTENTION_HOLE(_seen)(args, q0);
  i32 tiles = (keys + OTHER - 1) / OTHER, row[2], there[2], seen[2]; /* there: the last row for those behind it */
  float scale = ATTENTION_SCALE, base2 = scale * LOG2_E;
  float o[D / 8][4], most[2] = {-INFINITE, -INFINITE}, sum[2] = {0, 0};
  u32 fq[D / 16][4];
  UNROLL (h, 2) {
    row[h] = q0 + warp * 16 + h * 8 + (lane >> 2);
    there[h] = row[h] < T ? row[h] : T - 1;
    seen[h] = (i32)ATTENTION_HOLE(_seen)(args, there[h]);
  }
  UNROLL (i, D / 8)
    UNROLL (j, 4) o[i][j] = 0;

  if (tiles > 0) {
    ATTENTION_HOLE(_load_q)(args, outer, q_tile, q0, T);
    ATTENTION_HOLE(_load_k)(args, outer, k_tiles, 0, S);
    ATTENTION_HOLE(_load_v)(args, outer, v_tiles, 0, S);
  }
  cp_async_commit();
  for (i32 tile = 0; tile < tiles; tile++) {
    u32 k_tile = k_tiles + (u32)tile % STAGES * TILE, v_tile = v_tiles + (u32)tile % STAGES * TILE;
    cp_async_wait(0);
    __syncthreads(); /* this tile is there for all, and all are done with the other stage */
    if (tile + 1 < tiles) {
      u32 next = (u32)(tile + 1) % STAGES * TILE;
      ATTENTION_HOLE(_load_k)(args, outer, k_tiles + next, (tile + 1) * OTHER, S);
      ATTENTION_HOLE(_load_v)(args, outer, v_tiles + next, (tile + 1) * OTHER, S);
    }
    cp_async_commit();
    if (tile == 0)
      UNROLL (i, D / 16) ldmatrix_x4(fq[i], AT(q_tile, warp * 16 + (lane & 15), i * 2 + (lane >> 4)));

    float s[OTHER / 8][4];
    UNROLL (i, OTHER / 8)
      UNROLL (j, 4) s[i][j] = 0;
    UNROLL (i, D / 16)
      UNROLL (j, OTHER / 16) {
        u32 fk[4];
        ldmatrix_x4(fk, AT(k_tile, j * 16 + (lane & 7) + (lane >> 4) * 8, i * 2 + (lane >> 3 & 1)));
        ATTENTION_MMA(s[2 * j], fq[i], fk);
        ATTENTION_MMA(s[2 * j + 1], fq[i], fk + 2);
      }
    ATTENTION_HOLE(_score_tile)(args, outer, s[0], there, seen, tile * OTHER, whole, S);
    ATTENTION_HOLE(_softmax)(s, o, most, sum, base2);
    UNROLL (i, OTHER / 16) { /* accumulators of two tiles of 8 keys are the A fragment of 16 */
      u32 p[4] = {ATTENTION_PACK(s[2 * i][0], s[2 * i][1]), ATTENTION_PACK(s[2 * i][2], s[2 * i][3]),
                  ATTENTION_PACK(s[2 * i + 1][0], s[2 * i + 1][1]), ATTENTION_PACK(s[2 * i + 1][2], s[2 * i + 1][3])};
      UNROLL (j, D / 16) {
        u32 fv[4];
        ldmatrix_x4_trans(fv, AT(v_tile, i * 16 + (lane & 15), j * 2 + (lane >> 4)));
        ATTENTION_MMA(o[2 * j], p, fv);
        ATTENTION_MMA(o[2 * j + 1], p, fv + 2);
      }
    }
  }

  u32 staged = k_tiles + (u32)warp * 16 * STAGED; /* of the warp, where no thread reads tiles any more */
  __syncthreads();
  UNROLL (h, 2) {
    float all = sum[h], times;
    all += __shfl_xor_sync(ALL_LANES, all, 1);
    all += __shfl_xor_sync(ALL_LANES, all, 2);
    times = ATTENTION_HOLE(_scale)(args, outer, there[h], most[h] * scale, all);
    if (row[h] < T && (lane & 3) == 0) ATTENTION_HOLE(_row)(args, outer, row[h], most[h] * scale, all);
    UNROLL (i, D / 8)
      UNROLL (q, 2)
        st_shared_f32(staged + (u32)((h * 8 + (lane >> 2)) * STAGED + (i * 8 + (lane & 3) * 2 + q) * 4),
                      o[i][h * 2 + q] * times);
  }
  __syncwarp();
  UNROLL (i, 16 * (D / 8) / 32) {
    int c = i * 32 + lane, r = c / (D / 8), n = c % (D / 8) * 8;
    float v[8];
    attention_staged(staged + (u32)(r * STAGED + n * 4), v);
    UNROLL (part, 8 / ATTENTION_WIDTH) {
      i32 at = q0 + warp * 16 + r;
      if (at < T) ATTENTION_HOLE(_store)(args, outer, at, n + part * ATTENTION_WIDTH, v + part * ATTENTION_WIDTH);
    }
  }
}

#include "attention_end.h"
